"""The classes of a log: which words and numbers name them, and which labels are none."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from microexpr.audit.reading import Line, Log, TrueClip
from microexpr.core.delimited_text import listed, runs
from microexpr.core.errors import Fault, UsageError

NONE: Final = frozenset({"", "nan"})
"""What stands where there is no label."""
MANY: Final = 8
"""Labels outside the classes that are listed one by one."""


class Classes:
    """The classes of an audit and which words and numbers name them."""

    def __init__(self, given: Sequence[str] | None, log: Log, truth: Sequence[TrueClip] | None) -> None:
        width = len(log.lines[0].probabilities) if log.lines else 0
        seen, true = ({label_of(line.labels[at]) for line in log.lines} - NONE for at in (1, 0))
        seen |= true
        self.told = "truth" if truth is not None else "classes" if given else "log"
        self.unlabelled = {""} | (NONE & {label_of(line.labels[0]) for line in log.lines} if truth is None else set())
        if given:
            self.names = tuple(given)
        elif truth is not None:
            self.names = _in_order({label_of(clip.label) for clip in truth})
        elif width > 1 and seen <= {str(at) for at in range(width)}:
            self.names = tuple(str(at) for at in range(width))
        else:  # what is only predicted is no class; a truth of one class is told elsewhere
            self.names = _in_order(true if len(true) > 1 else seen)
        self.number = {label_of(name): at for at, name in enumerate(self.names)}
        if given and len(self.number) < len(self.names):
            raise UsageError("E105", f"--classes names a class twice: {', '.join(given)}.")
        for at in range(len(self.names) if given else 0):
            self.number.setdefault(str(at), at)
        lacking = sorted({label_of(clip.label) for clip in truth or ()} - set(self.number))
        if lacking:
            raise UsageError("E105", f"--classes {','.join(self.names)}: the truth also has {', '.join(lacking)}.")

    def of(self, word: str) -> int:
        return self.number.get(label_of(word), -1)

    def same(self, word: str, clip: TrueClip) -> bool:
        """Say whether a label of the log is the truth's."""
        return self.of(word) == self.of(clip.label)

    def faults(self, file: Path, lines: Sequence[Line], places: Sequence[int], way: str = "") -> Iterator[Fault]:
        """Yield one fault for every label in these columns that is no class; many in one; `way` is one more way out."""
        outside = defaultdict(set)
        for line in lines:
            for word in (line.labels[at] for at in places):
                if self.of(word) < 0:
                    outside[label_of(word)].add(line.number)
        for word in sorted(outside.keys() & self.unlabelled):
            fix = ", ".join(filter(None, ("write the label", way)))
            yield Fault("E201", f"{file.name}, line {runs(outside.pop(word))}", "has no label", fix)
        groups = [list(outside)] if len(outside) > MANY else [[word] for word in outside]
        for words in filter(None, groups):
            numbers = set().union(*(outside[word] for word in words))
            yield Fault("E201", f"{file.name}, line {runs(numbers)}", *self._outside(words, way))

    def _outside(self, outside: Sequence[str], way: str) -> tuple[str, str]:
        """Return what is wrong with labels that are no class, and the ways out."""
        words, verb = listed(map(repr, outside), 4), "is" if len(outside) == 1 else "are"
        if self.told == "log":
            problem, ways = f"{words} {verb} predicted and {verb} nobody's truth", "fix the log"
            return problem, f"{ways}, or name the classes with --classes"
        has = "the truth, which has" if self.told == "truth" else "--classes, which names"
        ways = f"fix the label; or name every class, in the order of their numbers, with --classes{way and f', {way}'}"
        return f"{words} {verb} no class of {has} {', '.join(self.names)}", ways


def label_of(word: str) -> str:
    """Return a label without case, and a whole number without its decimals (tables write 1 as 1.0)."""
    word = word.strip().casefold()
    return word.partition(".")[0] if re.fullmatch(r"\d+\.0+", word) else word


def _in_order(words: set[str]) -> tuple[str, ...]:
    return tuple(sorted(words, key=lambda word: (not word.isdigit(), int(word) if word.isdigit() else 0, word)))
