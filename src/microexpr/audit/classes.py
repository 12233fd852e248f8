"""The classes of a log: which words and numbers name them, and which labels name no class."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from microexpr.audit.reading import Line, Log, TrueClip
from microexpr.core.delimited_text import listed, runs
from microexpr.core.errors import Fault, UsageError

NO_LABEL: Final = frozenset({"", "nan"})
"""What is written if there is no label."""
MANY: Final = 8
"""If more labels than this name no class, they are reported as one fault."""


class Classes:
    """The classes of an audit, and which words and numbers name them."""

    def __init__(self, given: Sequence[str] | None, log: Log, truth: Sequence[TrueClip] | None) -> None:
        width = len(log.lines[0].probabilities) if log.lines else 0
        every, true = ({label_of(line.labels[at]) for line in log.lines} - NO_LABEL for at in (1, 0))
        every |= true
        self.source = "truth" if truth is not None else "classes" if given else "log"
        self.unlabelled = {""} | (
            NO_LABEL & {label_of(line.labels[0]) for line in log.lines} if truth is None else set()
        )
        if given:
            self.names = tuple(given)
        elif truth is not None:
            self.names = _in_order({label_of(clip.label) for clip in truth})
        elif width > 1 and every <= {str(at) for at in range(width)}:
            self.names = tuple(str(at) for at in range(width))
        else:  # a label that is only predicted is not a class; a truth of one class is reported elsewhere
            self.names = _in_order(true if len(true) > 1 else every)
        self.number = {label_of(name): at for at, name in enumerate(self.names)}
        if given and len(self.number) < len(self.names):
            raise UsageError("E902", f"--classes {','.join(given)}: a class is named twice.")
        for at in range(len(self.names) if given else 0):
            self.number.setdefault(str(at), at)
        lacking = sorted({label_of(clip.label) for clip in truth or ()} - set(self.number))
        if lacking:
            raise UsageError(
                "E902", f"--classes {','.join(self.names)}: add {', '.join(lacking)}, which occurs in the truth file."
            )

    def of(self, word: str) -> int:
        """Return the number of the class that a label names, -1 if it names none."""
        return self.number.get(label_of(word), -1)

    def same(self, word: str, clip: TrueClip) -> bool:
        """Return whether a label of the log is the true one."""
        return self.of(word) == self.of(clip.label)

    def faults(self, file: Path, lines: Sequence[Line], places: Sequence[int], way: str = "") -> Iterator[Fault]:
        """Yield one fault per label in these columns that names no class, or a single one if there are many.

        `way` is another way to fix them.
        """
        outside = defaultdict(set)
        for line in lines:
            for word in (line.labels[at] for at in places):
                if self.of(word) < 0:
                    outside[label_of(word)].add(line.number)
        for word in sorted(outside.keys() & self.unlabelled):
            fix = ", ".join(filter(None, ("write the label", way)))
            yield Fault("E906", f"{file.name}, line {runs(outside.pop(word))}", "has no label", fix)
        groups = [list(outside)] if len(outside) > MANY else [[word] for word in outside]
        for words in filter(None, groups):
            numbers = set().union(*(outside[word] for word in words))
            yield Fault("E907", f"{file.name}, line {runs(numbers)}", *self._outside(words, way))

    def _outside(self, outside: Sequence[str], way: str) -> tuple[str, str]:
        """Return what is wrong with labels that name no class, and how to fix it."""
        words, verb = listed(map(repr, outside), 4), "is" if len(outside) == 1 else "are"
        if self.source == "log":
            problem = f"{words} {verb} predicted, but {verb} not the true label of any clip"
            return problem, "correct the log, or name the classes with --classes"
        where = "the truth file, which has" if self.source == "truth" else "--classes, which names"
        fix = (
            f"correct the label; or name every class, in the order of their numbers, with --classes{way and f', {way}'}"
        )
        kind = "a class" if len(outside) == 1 else "classes"
        return f"{words} {verb} not {kind} of {where} {', '.join(self.names)}", fix


def label_of(word: str) -> str:
    """Return a label in lower case, and a whole number without its decimals (tables write 1 as 1.0)."""
    word = word.strip().casefold()
    return word.partition(".")[0] if re.fullmatch(r"\d+\.0+", word) else word


def _in_order(words: set[str]) -> tuple[str, ...]:
    return tuple(sorted(words, key=lambda word: (not word.isdigit(), int(word) if word.isdigit() else 0, word)))
