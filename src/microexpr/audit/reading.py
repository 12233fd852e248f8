"""Reads prediction logs as their authors write them, one line per clip, without checking them against anything.

Three forms are read. Blocks, as required by MEGC 2019: a line ``dataset subject``, then lines
``clip truth prediction``. Tables (CSV): columns found by name, or by position. Lists: ``Subject: s01`` followed by
``Predicted: [0, 1]`` (or ``Best Predicted``) and ``Ground Truth: [0, 2]``, which name no clips; lists as printed by
numpy and torch are read as well, and other lines between them are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from microexpr.core.delimited_text import Cells, columns, listed, read_cells, read_text, runs, squeeze
from microexpr.core.errors import DataError, Fault, UsageError, suggest
from microexpr.core.words import many

NAMES: Final = {
    "dataset": ("dataset", "database", "db", "corpus"),
    "subject": ("subject", "sub", "person", "participant", "subject_id"),
    "clip": ("clip", "video", "filename", "file", "sample", "name", "key"),
    "truth": ("truth", "y_true", "true", "ground_truth", "gt", "actual", "target", "label", "true_label"),
    "prediction": ("prediction", "y_pred", "predicted", "pred", "predict", "output", "predicted_label", "pred_label"),
    "fold": ("fold",),
    "epoch": ("epoch",),
}
"""The columns of a log and the names in use."""
TRUTH_NAMES: Final = {
    **{name: NAMES[name] for name in ("dataset", "subject", "clip")},
    "label": ("label", "truth", "emotion", "class", "y_true", "ground_truth", "gt", "estimated_emotion"),
}
_BY_PLACE: Final = {
    3: ("clip", "truth", "prediction"),
    4: ("subject", "clip", "truth", "prediction"),
    5: ("dataset", "subject", "clip", "truth", "prediction"),
}
_TRUTH_BY_PLACE: Final = {
    2: ("clip", "label"),
    3: ("subject", "clip", "label"),
    4: ("dataset", "subject", "clip", "label"),
}
_WORDS: Final = r"(?:subject|(?:best[ _])?predict(?:ed|ions?)|ground[ _]?truth)"
_ITEM: Final = re.compile(
    rf"(?:^|(?<=[\s|;,]))(?P<what>{_WORDS})[ \t]*:[ \t]*"
    rf"(?P<rest>(?:tensor|array)?\(?\[[^\]]*\]|[^\n]*?(?=[\s|;,]+{_WORDS}[ \t]*:|$))",
    re.IGNORECASE | re.MULTILINE,
)
"""One item of lists: a subject's name, or values up to the closing bracket, which may be some lines below."""
_VALUE: Final = re.compile(r"'([^']*)'|\"([^\"]*)\"|([^\s,]+)")
_PROBABILITY: Final = re.compile(r"p_(\d+)")


@dataclass(frozen=True, slots=True)
class Line:
    """The content of one line, which is of one clip; `labels` are in the order of the log."""

    number: int
    dataset: str
    subject: str
    clip: str
    labels: tuple[str, str]
    fold: str = ""
    epoch: str = ""
    probabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Log:
    """The lines of a log, and its form."""

    lines: tuple[Line, ...]
    form: Literal["blocks", "table", "lists"]
    named: bool
    """Whether a header names the column of true labels."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrueClip:
    """One line of the truth file."""

    number: int
    dataset: str
    subject: str
    clip: str
    label: str


def unusable(code: str, where: object, problem: str, fix: str) -> DataError:
    """Return the error of a file that cannot be used at all."""
    return DataError(code, f"{where} cannot be used.", [Fault(code, str(where), problem, fix)])


def read_log(file: Path, names: Sequence[str] | None = None, subjects: str | None = None) -> Log:
    """Read a log; `names` are the columns of a table without a header, `subjects` the column that names the subject."""
    rows = read_cells(file)
    if rows[0].cells[0].startswith(("{", "[")):
        raise unusable("E901", file, "is JSON, not a log of predictions", "give a text or CSV file, one line per clip")
    if names is None:
        # From the text itself: how many of its lines have commas depends on how many clips each subject has.
        items = list(_items(read_text(file)))
        if {"truth", "prediction"} <= {item.what for item in items}:
            return _from_lists(file, items)
    widths = {len(row.cells) for row in rows}
    if names is None and len(rows[0].cells) <= 2 and 3 in widths:
        return Log(tuple(_from_blocks(file, rows)), "blocks", named=False)
    places, rows, named = _places(file, rows, names, subjects)
    _check_width(file, rows, places)
    return Log(tuple(_line(row, places) for row in rows), "table", named)


def read_truth(file: Path) -> tuple[TrueClip, ...]:
    """Read a truth file, with or without a header: ``dataset,subject,clip,label``; the first ones may be missing."""
    rows = read_cells(file)
    places = columns(rows[0].cells, TRUTH_NAMES)
    if {"clip", "label"} <= set(places):
        rows = rows[1:]
    else:
        known = _TRUTH_BY_PLACE.get(len(rows[0].cells))
        if known is None:
            problem = f"has {len(rows[0].cells)} columns and no header that names a clip and a label"
            raise unusable("E901", file, problem, "write dataset,subject,clip,label")
        places = {name: at for at, name in enumerate(known)}
    _check_width(file, rows, places)
    return tuple(
        TrueClip(row.line, *(_cell(row, places, name) for name in ("dataset", "subject", "clip", "label")))
        for row in rows
    )


# --- the three forms --------------------------------------------------------------------------------------------------
def _from_blocks(file: Path, rows: Sequence[Cells]) -> Iterator[Line]:
    dataset = subject = ""
    odd = [row.line for row in rows if len(row.cells) > 3]
    if odd:
        problem = f"has lines that are neither 'dataset subject' nor 'clip truth prediction': {runs(odd)}"
        raise unusable("E901", file, problem, "write two or three words in each line")
    for row in rows:
        if len(row.cells) == 3:
            yield Line(row.line, dataset, subject, row.cells[0], (row.cells[1], row.cells[2]))
        else:
            dataset, subject = row.cells if len(row.cells) == 2 else ("", row.cells[0])


class _Item(NamedTuple):
    line: int
    what: Literal["subject", "prediction", "truth"]
    words: str
    best: bool


def _items(text: str) -> Iterator[_Item]:
    for found in _ITEM.finditer(text):
        word = found["what"].casefold()
        what: Literal["subject", "prediction", "truth"] = (
            "subject" if word == "subject" else "prediction" if "predict" in word else "truth"
        )
        yield _Item(text.count("\n", 0, found.start()) + 1, what, found["rest"], word.startswith("best"))


def _from_lists(file: Path, items: Sequence[_Item]) -> Log:
    """Read the lists of each subject; raises DataError listing every subject with lists of different lengths."""
    groups: list[dict[str, _Item]] = []
    for item in items:
        if item.what == "subject":
            groups.append({"subject": item})
        elif not groups or item.what in groups[-1]:
            groups.append(
                {"subject": groups[-1]["subject"], item.what: item}
                if groups and "subject" in groups[-1]
                else {item.what: item}
            )
        else:
            groups[-1][item.what] = item
    lines, faults = list[Line](), list[Fault]()
    for group in groups:
        if not {"truth", "prediction"} & group.keys():
            continue
        subject = group["subject"].words.strip(" ,") if "subject" in group else ""
        truth, predicted = (_values(group[what].words) if what in group else [] for what in ("truth", "prediction"))
        at = max(item.line for item in group.values())
        if len(truth) != len(predicted):
            problem = f"has {many(len(predicted), 'prediction')} for {many(len(truth), 'clip')} in line {at}"
            fix = "write as many predictions as labels for every subject"
            faults.append(Fault("E903", str(file), f"{problem} (subject {subject})" if subject else problem, fix))
        lines += (
            Line(at, "", subject, f"#{len(lines) + n}", pair)
            for n, pair in enumerate(zip(truth, predicted, strict=False), start=1)
        )
    if faults:
        raise DataError("E910", f"{file} cannot be used.", faults)
    return Log(tuple(lines), "lists", True, tuple(_list_notes(groups)))


def _values(words: str) -> list[str]:
    inside = re.search(r"\[([^\]]*)", words)
    return ["".join(found) for found in _VALUE.findall(inside[1] if inside else words)]


def _list_notes(groups: Sequence[dict[str, _Item]]) -> Iterator[str]:
    if any(group["prediction"].best for group in groups if "prediction" in group):
        yield (
            "The predictions are the log's 'Best Predicted': each subject's epoch was chosen on that subject's test "
            "clips, so the scores are too high by an unknown amount."
        )
    names = [group["subject"].words.strip(" ,") for group in groups if {"subject", "truth"} <= group.keys()]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        yield (
            f"{many(len(twice), 'subject')} with several lists, all of which are scored: {listed(twice)}. If a run was "
            "logged twice, every clip counts twice; if these are subjects of two databases, give them different names."
        )


def _places(
    file: Path, rows: list[Cells], names: Sequence[str] | None, subjects: str | None
) -> tuple[dict[str, int], list[Cells], bool]:
    """Return the position of each column, the rows without the header, and whether there was one."""
    header = rows[0].cells
    found = columns(header, NAMES)
    named = {"truth", "prediction"} <= set(found)
    if names is not None:
        places = _by_names(file, names, len(header))
        return places, rows[1:] if found else rows, True
    if not named:
        if found and not any(cell.isdigit() for cell in header):
            lacking = "the prediction" if "truth" in found else "the truth"
            problem = f"has no column for {lacking}; its columns are {listed(header)}"
            raise unusable("E901", file, problem, "name it 'truth' or 'prediction', or use --columns")
        if len(header) not in _BY_PLACE:
            problem = f"has {len(header)} columns and no header that names them"
            raise unusable("E901", file, problem, "name them: --columns dataset,subject,clip,truth,prediction")
        return {name: at for at, name in enumerate(_BY_PLACE[len(header)])}, rows, False
    if subjects is not None:
        if subjects not in header:
            raise UsageError("E902", f"--subjects {subjects}: {file} has no such column{suggest(subjects, header)}.")
        found["subject"] = header.index(subjects)
    found |= {cell: at for at, cell in enumerate(header) if _PROBABILITY.fullmatch(cell)}
    return found, rows[1:], True


def _by_names(file: Path, names: Sequence[str], width: int) -> dict[str, int]:
    spelt = {squeeze(word): name for name, words in NAMES.items() for word in words}
    names = [spelt.get(squeeze(name), name) for name in names]
    for name in names:
        if name not in (*NAMES, "-"):
            known = (*NAMES, "-")
            raise UsageError(
                "E902", f"--columns: unknown column {name!r}{suggest(name, known)}; known: {', '.join(known)}."
            )
    if not {"truth", "prediction"} <= set(names) or len(names) != width:
        raise UsageError(
            "E902",
            f"--columns names {len(names)} columns, and {file} has {width}. Name every column, including truth and "
            "prediction; write '-' for one that is not used.",
        )
    return {name: at for at, name in enumerate(names) if name != "-"}


def _check_width(file: Path, rows: Sequence[Cells], places: dict[str, int]) -> None:
    if not rows:
        raise unusable("E901", file, "has a header and no other lines", "write one line per clip")
    last = max(at for name, at in places.items() if name in ("clip", "truth", "prediction", "label"))
    short = [row.line for row in rows if len(row.cells) <= last]
    if short:
        raise unusable("E901", file, f"has too few cells in line {runs(short)}", f"write {last + 1} cells in each line")


def _line(row: Cells, places: dict[str, int]) -> Line:
    dataset, subject, clip = (_cell(row, places, name) for name in ("dataset", "subject", "clip"))
    if "dataset" not in places and clip.count("/") >= 2:  # the keys of this package's results
        dataset, _, rest = clip.partition("/")
        subject = subject.removeprefix(f"{dataset}/") or rest.partition("/")[0]
        clip = rest.partition("/")[2]
    labels = (_cell(row, places, "truth"), _cell(row, places, "prediction"))
    probabilities = sorted((int(name[2:]), at) for name, at in places.items() if _PROBABILITY.fullmatch(name))
    return Line(
        row.line,
        dataset,
        subject,
        clip or f"#{row.line}",
        labels,
        _cell(row, places, "fold"),
        _cell(row, places, "epoch"),
        tuple(row.cells[at] if at < len(row.cells) else "" for _, at in probabilities),
    )


def _cell(row: Cells, places: dict[str, int], name: str) -> str:
    at = places.get(name)
    return row.cells[at] if at is not None and at < len(row.cells) else ""
