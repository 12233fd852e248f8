"""From the lines of a log to predictions: clips looked up in the truth file, column order checked, faults listed."""

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
from microexpr.core.errors import DataError, Fault, UsageError
from microexpr.core.words import many

_DATABASES: Final = {"casmeii": "casme2", "smichs": "smic", "smichse": "smic", "smice": "smic", "casme3": "casme3"}
"""Other names of databases, without signs."""
MAX_WRONG: Final = 0.1
"""Share of clips of which neither label is the true one, above which the files do not belong together."""
LISTED: Final = 5
"""Wrong labels that are listed one by one."""


@dataclass(frozen=True, slots=True)
class ClipPredictions:
    """Predictions of clips, one row each; `epochs` has all epochs if a log has several (`y_pred`: the last)."""

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
    """The log's own labels, if some of them differ from the truth file and all name a class."""
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
    """Return the predictions to score; raises DataError with every fault of the log.

    If a label of the log differs from the truth file, this is reported, and the clip is scored with the label of the
    truth file. `skip_invalid` leaves out clips that are not in the truth file, lines that repeat a clip, and clips
    whose label is missing, not a class, or not that of the truth file. A prediction that is not a class is always an
    error: it is wrong whatever the true label, so leaving it out would raise the scores.
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
        faults += names.faults(file, lines, places[:1], "or leave out these clips with --skip-invalid")
    if skip_invalid:
        lines, left = _without(lines, found, truth, {line.number for line in wrong}, names)
        notes += [f"left out: {fault}" for fault in faults] + ([f"{many(left, 'line')} left out"] if left else [])
        faults = []
    if unordered:  # that labels are not classes is more specific than that they differ from the truth file
        faults += list(names.faults(file, lines, places)) or unordered
    else:
        faults += names.faults(file, lines, places[1:])
    if faults or not lines:
        if not faults:
            fix = "check that the log and the truth file are of the same clips"
            faults = [Fault("E909", file.name, "no line is left to be scored", fix)]
        raise DataError("E910", f"{file} cannot be scored.", faults)
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
    """Return the clip of the truth file that each line names, by line number.

    Database and subject must match if both files have them. The name must be the same, or differ only in case and
    leading zeros and match one clip only.
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
        matches = exact[*place(line), line.clip] or plain[*place(line), plain_name(line.clip)]
        if len(matches) == 1:
            found[line.number] = matches[0]
    return found


def _database(name: str) -> str:
    name = squeeze(name)
    return _DATABASES.get(name, name)


def _subject(name: str) -> str:
    """Return a subject's number, so that sub01, s01, 01 and 1 are the same; any other name is returned as it is.

    A number alone would merge anna1 and ben1, or T1S2 and T2S2, into one subject.
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
            "E904",
            f"{file.name}, line {runs(line.number for line in unknown)}",
            f"{many(len(unknown), 'clip')} not in the truth file, or in it more than once: "
            + listed(_name(line) for line in unknown),
            "correct the names in the log or the truth file, or leave out these clips with --skip-invalid",
        )


def _repeated(file: Path, lines: Sequence[Line], found: Mapping[int, TrueClip]) -> Iterator[Fault]:
    for numbers in _again(lines, found).values():
        line = next(line for line in lines if line.number == numbers[0])
        yield Fault(
            "E905",
            f"{file.name}, line {runs(numbers)}",
            f"{_name(line)} occurs {len(numbers)} times",
            "keep one line per clip, or leave out repeated clips with --skip-invalid",
        )


def _again(lines: Sequence[Line], found: Mapping[int, TrueClip]) -> dict[object, list[int]]:
    places: dict[object, list[int]] = defaultdict(list)
    for line in lines:
        places[_identity(line, found)].append(line.number)
    return {key: numbers for key, numbers in places.items() if len(numbers) > 1 and len(set(numbers)) > 1}


def _identity(line: Line, found: Mapping[int, TrueClip]) -> tuple[object, ...]:
    if line.clip.startswith("#"):  # lists name no clips, and many are on one line
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
    """Leave out unknown clips, wrong labels, and every line of a repeated clip, as it is unclear which line counts."""
    again = {number for numbers in _again(lines, found).values() for number in numbers}
    known = [line for line in lines if (names.of(line.labels[0]) >= 0 if truth is None else line.number in found)]
    kept = [line for line in known if line.number not in again | wrong]
    return kept, len(lines) - len(kept)


def _name(line: Line) -> str:
    return "/".join(filter(None, (line.dataset, line.subject, line.clip)))


# --- which column is the truth ----------------------------------------------------------------------------------------
def _order(
    file: Path, lines: Sequence[Line], found: Mapping[int, TrueClip], names: Classes
) -> tuple[bool, list[Fault]]:
    """Return whether the columns of prediction and truth are swapped, and the faults that leave this undecided.

    A few labels that differ from the truth file do not matter: the order is that of the other lines. It is undecided if
    lines support either order in similar numbers, or if in more than one line of ten neither label is the true one.
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
    if neither.sum() > max(1, MAX_WRONG * len(held)):
        faults.append(
            Fault(
                "E908",
                f"{file.name}, line {runs(numbers[neither].tolist())}",
                f"neither label of {many(int(neither.sum()), 'clip')} of {len(held)} is that of the truth file (more "
                "than one clip of ten)",
                "check that both files number or name the classes in the same way (--classes)",
            )
        )
    return int(only_second.sum()) > int(only_first.sum()), faults


def _wrong_labels(
    wrong: Sequence[Line], found: Mapping[int, TrueClip], places: tuple[int, int], skipped: bool
) -> Iterator[str]:
    """Say which labels of the log differ from the truth file."""
    if not wrong:
        return
    truth, prediction = places
    each = listed(
        (
            f"line {line.number}, {_name(line)}: truth {line.labels[truth] or 'none'}, prediction "
            f"{line.labels[prediction]}, and the truth file has {found[line.number].label}"
            for line in wrong
        ),
        LISTED,
    )
    done = (
        "These clips are left out."
        if skipped
        else "These clips are scored with the labels of the truth file; if the two labels of a line are swapped, its "
        "prediction is the other one."
    )
    verb = "differs" if len(wrong) == 1 else "differ"
    yield f"{many(len(wrong), 'label')} of the log {verb} from the truth file ({each}). {done}"


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
        "E908",
        f"{file.name}, line {runs(numbers[fewer].tolist())}",
        f"the true label is the {place} one here and the {other} one in {many(more, 'other line')}: the order of the "
        "columns is mixed, or these labels differ from the truth file",
        "write truth and prediction in the same order in every line, with the labels of the truth file",
    )


def _order_note(log: Log, truth: Sequence[TrueClip] | None, swapped: bool) -> Iterator[str]:
    if truth is None:
        how = "taken from the header" if log.named else "the usual order of this format"
        yield f"Which column is the truth was not checked ({how}); use --truth to check it."
    elif swapped:
        yield (
            "The columns are swapped: the truth is where the prediction is expected. They were read in the correct "
            "order. Scores computed without noticing this have precision and recall exchanged."
        )


def _spelling(lines: Sequence[Line], found: Mapping[int, TrueClip]) -> Iterator[str]:
    other = [line for line in lines if line.number in found and found[line.number].clip != line.clip]
    if other:
        first = other[0]
        yield (
            f"{many(len(other), 'clip')} with names that differ from the truth file only in case or leading zeros "
            f"(line {first.number}: {first.clip} is {found[first.number].clip})."
        )


def _missing(found: Mapping[int, TrueClip], truth: Sequence[TrueClip] | None, lines: Sequence[Line]) -> Iterator[str]:
    present = {found[line.number].number for line in lines if line.number in found}
    missing = [clip for clip in truth or () if clip.number not in present]
    if missing and truth is not None:
        named = listed("/".join(filter(None, (clip.dataset, clip.subject, clip.clip))) for clip in missing)
        yield (
            f"{len(missing)} of the {many(len(truth), 'clip')} in the truth file are missing from the log, so its "
            f"scores are not comparable with those of a complete log: {named}."
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
        notes.append(f"Epochs with other clips than the last are ignored: {listed(uneven)}.")
    if len(tables) > 1:
        notes.append(f"The log holds {len(tables)} epochs; the last one, {last}, is scored.")
    used = [tables[last][key] for key in keys]
    at = 0 if swapped else 1
    predictions = {
        name: np.array([names.of(table[key].labels[at]) for key in keys])
        for name, table in tables.items()
        if name not in uneven
    }
    true = [found[line.number].label if line.number in found else line.labels[0] for line in used]
    dataset = np.array([_field(line, found, "dataset") for line in used])
    subject = np.array([_of_subject(line, found, subjects) for line in used])
    own = np.array([names.of(line.labels[1 - at]) for line in used])
    return ClipPredictions(
        names.names,
        np.array([names.of(word) for word in true]),
        predictions[last],
        dataset,
        subject,
        np.array([line.fold for line in used]) if all(line.fold for line in used) else subject,
        _probabilities(used, len(names.names)),
        predictions if len(predictions) > 1 else {},
        swapped,
        tuple(notes),
        own if (own >= 0).all() and any(line in used for line in wrong) else None,
        tuple(wrong),
    )


def _row_key(line: Line, found: Mapping[int, TrueClip]) -> tuple[object, ...]:
    if line.number in found:
        return (found[line.number].number,)
    return (line.dataset, line.subject, line.clip)


def _field(line: Line, found: Mapping[int, TrueClip], name: str) -> str:
    value = str(getattr(line, name))
    return value or (str(getattr(found[line.number], name)) if line.number in found else "")


def _of_subject(line: Line, found: Mapping[int, TrueClip], subjects: str | None) -> str:
    """Return the subject of a clip; subjects of different databases are never the same."""
    subject = _field(line, found, "subject")
    if subjects is not None and "(" in subjects:
        try:
            named = re.search(subjects, line.clip)
        except re.error as error:
            raise UsageError("E902", f"--subjects {subjects} is not a valid pattern: {error}.") from None
        if named is None or not named.groups():
            raise UsageError("E902", f"--subjects {subjects} finds no subject in {line.clip} (line {line.number}).")
        subject = named.group(1)
    return f"{_field(line, found, 'dataset')}/{subject}" if subject else ""


def _probabilities(lines: Sequence[Line], num_classes: int) -> Float[np.ndarray, "n k"] | None:
    if not lines[0].probabilities or len(lines[0].probabilities) != num_classes:
        return None
    try:
        found = np.array([line.probabilities for line in lines], dtype=float)
    except ValueError:
        return None
    return found if np.allclose(found.sum(1), 1, atol=1e-3) else None
