"""From a log's lines to predictions that can be scored: clips found in the truth, columns told apart, faults named."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from microexpr.audit.classes import Classes
from microexpr.audit.reading import Line, Log, TrueClip
from microexpr.core.delimited_text import listed, plain_name, runs, squeeze
from microexpr.core.errors import DataError, Fault, UsageError, many

_DATABASES: Final = {"casmeii": "casme2", "smichs": "smic", "smichse": "smic", "smice": "smic", "casme3": "casme3"}


WRONG: Final = 0.1
"""Share of clips with neither label the truth's up to which the labels are wrong, and not the whole file."""
SHOWN: Final = 5
"""Wrong labels that are listed one by one."""


@dataclass(frozen=True, slots=True)
class ClipPredictions:
    """Predictions of clips, one row each; `epochs` are those of a log that holds several, the last one's first here."""

    classes: tuple[str, ...]
    y_true: Int[np.ndarray, "n"]
    y_pred: Int[np.ndarray, "n"]
    dataset: Shaped[np.ndarray, "n"]
    subject: Shaped[np.ndarray, "n"]
    fold: Shaped[np.ndarray, "n"]
    proba: Float[np.ndarray, "n k"] | None = None
    epochs: Mapping[str, Int[np.ndarray, "n"]] = field(default_factory=dict)
    swapped: bool = False
    notes: tuple[str, ...] = ()
    as_logged: Int[np.ndarray, "n"] | None = None
    """The log's own labels where some are not the truth's and all are classes."""
    wrong_labels: tuple[Line, ...] = ()


def match(
    log: Log,
    truth: Sequence[TrueClip] | None,
    file: Path,
    *,
    classes: Sequence[str] | None = None,
    subjects: str | None = None,
    skip_invalid: bool = False,
) -> ClipPredictions:
    """Return what can be scored; raises DataError with every fault of the log.

    A label of the log that is not the truth's is reported, and the clip scored with the truth's. `skip_invalid` leaves
    out clips that the truth does not know, lines that repeat a clip, and clips whose label is missing, no class or not
    the truth's. A prediction that is no class always stops: it is wrong whatever the truth, so leaving it out would
    raise the scores.
    """
    names = Classes(classes, log, truth)
    lines, notes = list(log.lines), list(log.notes)
    found = _find(lines, truth) if truth is not None else {}
    swapped, unordered = _order(file, lines, found, names)
    places = (1, 0) if swapped else (0, 1)
    wrong = [
        line for line in lines if line.number in found and not names.same(line.labels[places[0]], found[line.number])
    ]
    faults = [*_unknown(file, lines, found, truth), *_repeated(file, lines, found)]
    if truth is None:
        faults += names.faults(file, lines, places[:1], "or leave these clips out with --skip-invalid")
    if skip_invalid:
        lines, left = _without(lines, found, truth, {line.number for line in wrong}, names)
        notes += [f"left out: {fault}" for fault in faults] + ([f"{many(left, 'line')} left out"] if left else [])
        faults = []
    if unordered:  # labels that are no class say more than that they are not the truth's
        faults += list(names.faults(file, lines, places)) or unordered
    else:
        faults += names.faults(file, lines, places[1:])
    if faults or not lines:
        raise DataError("E201", f"{file} cannot be scored as it stands.", faults or [_nothing(file)])
    notes = [
        *_order_note(log, truth, swapped),
        *_wrong_labels(wrong, found, places, skip_invalid),
        *notes,
        *_spelling(lines, found),
        *_missing(found, truth, lines),
    ]
    return _rows(lines, found, names, swapped, subjects, notes, wrong)


# --- clips ------------------------------------------------------------------------------------------------------------
def _find(lines: Sequence[Line], truth: Sequence[TrueClip]) -> dict[int, TrueClip]:
    """Return the clip of the truth that each line names, by line number.

    Database and subject count where both files tell them; a name must be the same, or else differ in case and zeros
    alone and be the only one of its kind.
    """
    by_dataset = all(line.dataset for line in lines) and all(clip.dataset for clip in truth)
    by_subject = all(line.subject for line in lines) and all(clip.subject for clip in truth)

    def place(item: Line | TrueClip) -> tuple[str, str]:
        return (_database(item.dataset) if by_dataset else "", _subject(item.subject) if by_subject else "")

    exact, plain = defaultdict(list), defaultdict(list)
    for clip in truth:
        exact[*place(clip), clip.clip].append(clip)
        plain[*place(clip), plain_name(clip.clip)].append(clip)
    found = {}
    for line in lines:
        there = exact[*place(line), line.clip] or plain[*place(line), plain_name(line.clip)]
        if len(there) == 1:
            found[line.number] = there[0]
    return found


def _database(name: str) -> str:
    name = squeeze(name)
    return _DATABASES.get(name, name)


def _subject(name: str) -> str:
    """Return a subject's number, so that sub01, s01, 01 and 1 are one; any other name stands for itself.

    Of anna1 and ben1, or T1S2 and T2S2, a number alone would make one subject.
    """
    name = plain_name(name)
    numbered = re.fullmatch(r"(?:subject|sub|s|p)?[ _-]?(\d+)", name)
    return numbered[1] if numbered else name


def _unknown(
    file: Path, lines: Sequence[Line], found: Mapping[int, TrueClip], truth: Sequence[TrueClip] | None
) -> Iterator[Fault]:
    unknown = [line for line in lines if line.number not in found] if truth is not None else []
    if unknown:
        yield Fault(
            "E201",
            f"{file.name}, line {runs(line.number for line in unknown)}",
            f"{many(len(unknown), 'clip')} that the truth does not know, or knows more than once: "
            + listed(_called(line) for line in unknown),
            "mend the names or the truth, or leave these clips out with --skip-invalid",
        )


def _repeated(file: Path, lines: Sequence[Line], found: Mapping[int, TrueClip]) -> Iterator[Fault]:
    for numbers in _again(lines, found).values():
        line = next(line for line in lines if line.number == numbers[0])
        yield Fault(
            "E201",
            f"{file.name}, line {runs(numbers)}",
            f"{_called(line)} stands there {len(numbers)} times",
            "keep one line a clip, or leave repeated clips out with --skip-invalid",
        )


def _again(lines: Sequence[Line], found: Mapping[int, TrueClip]) -> dict[object, list[int]]:
    places: dict[object, list[int]] = defaultdict(list)
    for line in lines:
        places[_identity(line, found)].append(line.number)
    return {key: numbers for key, numbers in places.items() if len(numbers) > 1 and len(set(numbers)) > 1}


def _identity(line: Line, found: Mapping[int, TrueClip]) -> tuple[object, ...]:
    if line.clip.startswith("#"):  # lists name no clips, and many stand on one line
        return ("#", line.number, line.clip)
    if line.number in found:
        return (line.epoch, found[line.number].number)
    return (line.epoch, _database(line.dataset), _subject(line.subject), plain_name(line.clip))


def _without(
    lines: Sequence[Line],
    found: Mapping[int, TrueClip],
    truth: Sequence[TrueClip] | None,
    wrong: Set[int],
    names: Classes,
) -> tuple[list[Line], int]:
    """Leave out unknown clips, wrong labels, and every line of a repeated clip: which line counts, no one can tell."""
    again = {number for numbers in _again(lines, found).values() for number in numbers}
    known = [line for line in lines if (names.of(line.labels[0]) >= 0 if truth is None else line.number in found)]
    kept = [line for line in known if line.number not in again | wrong]
    return kept, len(lines) - len(kept)


def _called(line: Line) -> str:
    return "/".join(filter(None, (line.dataset, line.subject, line.clip)))


def _nothing(file: Path) -> Fault:
    return Fault(
        "E201", file.name, "no line is left that could be scored", "check that log and truth are of the same clips"
    )


# --- which column is the truth ----------------------------------------------------------------------------------------
def _order(
    file: Path, lines: Sequence[Line], found: Mapping[int, TrueClip], names: Classes
) -> tuple[bool, list[Fault]]:
    """Say whether prediction and truth stand in each other's place, and what makes that impossible to say.

    A few labels that are not the truth's do not: the order is that of the other lines. It cannot be said where lines
    speak for either order in like numbers, or where neither label is the truth's in more than one line of ten.
    """
    held = [line for line in lines if line.number in found]
    if not held:
        return False, []
    true = np.array([names.of(found[line.number].label) for line in held])
    first, second = (np.array([names.of(line.labels[at]) for line in held]) == true for at in (0, 1))
    numbers = np.array([line.number for line in held])
    only_first, only_second, neither = first & ~second, second & ~first, ~first & ~second
    faults = []
    fewer, more = sorted((int(only_first.sum()), int(only_second.sum())))
    if fewer and 2 * fewer >= more:
        faults.append(_mixed(file, numbers, only_first, only_second))
    if neither.sum() > max(1, WRONG * len(held)):
        faults.append(
            Fault(
                "E201",
                f"{file.name}, line {runs(numbers[neither].tolist())}",
                f"neither label of {many(int(neither.sum()), 'clip')} of {len(held)} is the truth's",
                "check that both files number or name the classes alike (--classes): more than one clip of ten",
            )
        )
    return int(only_second.sum()) > int(only_first.sum()), faults


def _wrong_labels(
    wrong: Sequence[Line], found: Mapping[int, TrueClip], places: tuple[int, int], skipped: bool
) -> Iterator[str]:
    """Say which labels of the log are not the truth's."""
    if not wrong:
        return
    truth, prediction = places
    each = listed(
        (
            f"line {line.number}, {_called(line)}: truth {line.labels[truth] or 'none'}, prediction "
            f"{line.labels[prediction]}, and the truth file has {found[line.number].label}"
            for line in wrong
        ),
        SHOWN,
    )
    done = (
        "They are left out."
        if skipped
        else "Scored with the truth file's; if a line has its two labels swapped, its prediction is the other one."
    )
    verb = "is" if len(wrong) == 1 else "are"
    yield f"{many(len(wrong), 'label')} of the log {verb} not the truth's ({each}). {done}"


def _mixed(
    file: Path,
    numbers: Int[np.ndarray, "n"],
    only_first: Bool[np.ndarray, "n"],
    only_second: Bool[np.ndarray, "n"],
) -> Fault:
    fewer, place, other = (
        (only_second, "second", "first") if only_second.sum() <= only_first.sum() else (only_first, "first", "second")
    )
    more = int(only_first.sum() + only_second.sum() - fewer.sum())
    return Fault(
        "E201",
        f"{file.name}, line {runs(numbers[fewer].tolist())}",
        f"the truth stands {place} there and {other} in {many(more, 'other line')}: the order of the columns is "
        "mixed, or these labels are not the truth's",
        "write truth and prediction in one order throughout, and the truth's labels",
    )


def _order_note(log: Log, truth: Sequence[TrueClip] | None, swapped: bool) -> Iterator[str]:
    if truth is None:
        how = "its header says" if log.named else "the form's own order"
        yield f"Which column is the truth was not checked ({how}); give --truth to have it checked."
    elif swapped:
        yield (
            "The columns are swapped: the truth stands where the prediction is expected. They were read the right way "
            "round. Whoever did not notice took precision for recall."
        )


def _spelling(lines: Sequence[Line], found: Mapping[int, TrueClip]) -> Iterator[str]:
    other = [line for line in lines if line.number in found and found[line.number].clip != line.clip]
    if other:
        first = other[0]
        yield (
            f"{many(len(other), 'clip')} under names that differ from the truth's in case or zeros alone (line "
            f"{first.number}: {first.clip} is {found[first.number].clip})."
        )


def _missing(found: Mapping[int, TrueClip], truth: Sequence[TrueClip] | None, lines: Sequence[Line]) -> Iterator[str]:
    there = {found[line.number].number for line in lines if line.number in found}
    missing = [clip for clip in truth or () if clip.number not in there]
    if missing and truth is not None:
        named = listed("/".join(filter(None, (clip.dataset, clip.subject, clip.clip))) for clip in missing)
        yield (
            f"{many(len(missing), 'clip')} of the truth's {len(truth)} missing from the log, so its scores are of "
            f"other clips than those of a whole log: {named}."
        )


# --- rows -------------------------------------------------------------------------------------------------------------
def _rows(
    lines: Sequence[Line],
    found: Mapping[int, TrueClip],
    names: Classes,
    swapped: bool,
    subjects: str | None,
    notes: list[str],
    wrong: Sequence[Line],
) -> ClipPredictions:
    epochs = {line.epoch: None for line in lines}
    tables = {name: {_row_key(line, found): line for line in lines if line.epoch == name} for name in epochs}
    last = list(tables)[-1]
    keys = list(tables[last])
    uneven = [name for name, table in tables.items() if set(table) != set(keys)]
    if uneven:
        notes.append(f"Epochs of other clips than the last are passed over: {listed(uneven)}.")
    if len(tables) > 1:
        notes.append(f"The log holds {len(tables)} epochs; what is scored is the last, {last}.")
    used = [tables[last][key] for key in keys]
    at = 0 if swapped else 1
    guesses = {
        name: np.array([names.of(table[key].labels[at]) for key in keys])
        for name, table in tables.items()
        if name not in uneven
    }
    true = [found[line.number].label if line.number in found else line.labels[0] for line in used]
    dataset = np.array([_of_truth(line, found, "dataset") for line in used])
    subject = np.array([_of_subject(line, found, subjects) for line in used])
    own = np.array([names.of(line.labels[1 - at]) for line in used])
    return ClipPredictions(
        names.names,
        np.array([names.of(word) for word in true]),
        guesses[last],
        dataset,
        subject,
        np.array([line.fold for line in used]) if all(line.fold for line in used) else subject,
        _probabilities(used, len(names.names)),
        guesses if len(guesses) > 1 else {},
        swapped,
        tuple(notes),
        own if (own >= 0).all() and any(line in used for line in wrong) else None,
        tuple(wrong),
    )


def _row_key(line: Line, found: Mapping[int, TrueClip]) -> tuple[object, ...]:
    if line.number in found:
        return (found[line.number].number,)
    return (line.dataset, line.subject, line.clip)


def _of_truth(line: Line, found: Mapping[int, TrueClip], name: str) -> str:
    told = str(getattr(line, name))
    return told or (str(getattr(found[line.number], name)) if line.number in found else "")


def _of_subject(line: Line, found: Mapping[int, TrueClip], subjects: str | None) -> str:
    """Return who is seen; subjects of two databases are never one."""
    subject = _of_truth(line, found, "subject")
    if subjects is not None and "(" in subjects:
        try:
            named = re.search(subjects, line.clip)
        except re.error as error:
            raise UsageError("E105", f"--subjects {subjects} is no pattern: {error}.") from None
        if named is None or not named.groups():
            raise UsageError("E105", f"--subjects {subjects} finds no subject in {line.clip} (line {line.number}).")
        subject = named.group(1)
    return f"{_of_truth(line, found, 'dataset')}/{subject}" if subject else ""


def _probabilities(lines: Sequence[Line], num_classes: int) -> Float[np.ndarray, "n k"] | None:
    if not lines[0].probabilities or len(lines[0].probabilities) != num_classes:
        return None
    try:
        found = np.array([line.probabilities for line in lines], dtype=float)
    except ValueError:
        return None
    return found if np.allclose(found.sum(1), 1, atol=1e-3) else None
