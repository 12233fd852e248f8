"""Prediction logs as their authors write them, one line a clip; nothing is judged here.

Three forms are read. Blocks, as the MEGC 2019 asked for them: a line ``dataset subject``, then lines
``clip truth prediction``. Tables (CSV): columns found by their names, or by place. Lists: ``Subject: s01`` followed by
``Predicted: [0, 1]`` and ``Ground Truth: [0, 2]``, which name no clips.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from microexpr.cells import Cells, columns, listed, read_cells, runs, squeeze, unreadable
from microexpr.errors import UsageError, suggest

NAMES: Final = {
    "dataset": ("dataset", "database", "db", "corpus"),
    "subject": ("subject", "sub", "person", "participant", "subject_id"),
    "clip": ("clip", "video", "filename", "file", "sample", "name", "key"),
    "truth": ("truth", "y_true", "true", "ground_truth", "gt", "actual", "target", "label", "true_label"),
    "prediction": ("prediction", "y_pred", "predicted", "pred", "predict", "output", "predicted_label", "pred_label"),
    "fold": ("fold",),
    "epoch": ("epoch",),
}
"""The columns of a log and what people call them."""
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
_ITEM: Final = re.compile(r"\s*(?P<what>subject|predicted|ground[ _]?truth)\s*:\s*(?P<rest>.*)", re.IGNORECASE)
_PROBABILITY: Final = re.compile(r"p_(\d+)")


@dataclass(frozen=True, slots=True)
class Line:
    """What one line says of one clip; `labels` stand in the order of the log."""

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
    """A log as it stands, and in which of its forms."""

    lines: tuple[Line, ...]
    form: Literal["blocks", "table", "lists"]
    named: bool
    """Whether a header says which column is the truth."""


@dataclass(frozen=True, slots=True)
class TrueClip:
    """One line of the ground truth."""

    number: int
    dataset: str
    subject: str
    clip: str
    label: str


def read_log(file: Path, names: Sequence[str] | None = None, persons: str | None = None) -> Log:
    """Read a log; `names` are the columns of a table without a header, `persons` the column that names the person."""
    rows = read_cells(file)
    if rows[0].cells[0].startswith(("{", "[")):
        raise unreadable(file, "is JSON, not a log of predictions", "give a text or CSV file with one line a clip")
    if names is None and any(_ITEM.match(",".join(row.cells)) for row in rows[:10]):
        return Log(tuple(_from_lists(file, rows)), "lists", named=True)
    widths = {len(row.cells) for row in rows}
    if names is None and len(rows[0].cells) <= 2 and 3 in widths:
        return Log(tuple(_from_blocks(file, rows)), "blocks", named=False)
    places, rows, named = _places(file, rows, names, persons)
    _check_width(file, rows, places)
    return Log(tuple(_line(row, places) for row in rows), "table", named)


def read_truth(file: Path) -> tuple[TrueClip, ...]:
    """Read a ground truth, with a header or without: ``dataset,subject,clip,label``, less from the left."""
    rows = read_cells(file)
    places = columns(rows[0].cells, TRUTH_NAMES)
    if {"clip", "label"} <= set(places):
        rows = rows[1:]
    else:
        known = _TRUTH_BY_PLACE.get(len(rows[0].cells))
        if known is None:
            problem = f"has {len(rows[0].cells)} columns and no header that names a clip and a label"
            raise unreadable(file, problem, "write dataset,subject,clip,label")
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
        raise unreadable(file, problem, "write two or three words in each line")
    for row in rows:
        if len(row.cells) == 3:
            yield Line(row.line, dataset, subject, row.cells[0], (row.cells[1], row.cells[2]))
        else:
            dataset, subject = row.cells if len(row.cells) == 2 else ("", row.cells[0])


def _from_lists(file: Path, rows: Sequence[Cells]) -> Iterator[Line]:
    subject, lists, number = "", dict[str, list[str]](), 0
    for row in rows:
        found = _ITEM.match(",".join(row.cells))
        if found is None:
            continue
        what = found["what"].casefold()
        if what == "subject":
            subject, lists = found["rest"].strip(" ,"), {}
            continue
        lists["predicted" if what == "predicted" else "truth"] = re.findall(r"[^\s,\[\]'\"]+", found["rest"])
        if len(lists) < 2:
            continue
        if len(lists["truth"]) != len(lists["predicted"]):
            problem = f"has {len(lists['predicted'])} predictions of {len(lists['truth'])} clips in line {row.line}"
            raise unreadable(file, problem, "write as many predictions as labels for every subject")
        for pair in zip(lists["truth"], lists["predicted"], strict=True):
            number += 1
            yield Line(row.line, "", subject, f"#{number}", pair)


def _places(
    file: Path, rows: list[Cells], names: Sequence[str] | None, persons: str | None
) -> tuple[dict[str, int], list[Cells], bool]:
    """Return where each column stands, the rows without the header, and whether there was one."""
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
            raise unreadable(file, problem, "name it 'truth' or 'prediction', or name all columns with --columns")
        if len(header) not in _BY_PLACE:
            problem = f"has {len(header)} columns and no header that names them"
            raise unreadable(file, problem, "name them, for instance --columns dataset,subject,clip,truth,prediction")
        return {name: at for at, name in enumerate(_BY_PLACE[len(header)])}, rows, False
    if persons is not None:
        if persons not in header:
            raise UsageError(f"--persons {persons}: {file} has no such column{suggest(persons, header)}.")
        found["subject"] = header.index(persons)
    found |= {cell: at for at, cell in enumerate(header) if _PROBABILITY.fullmatch(cell)}
    return found, rows[1:], True


def _by_names(file: Path, names: Sequence[str], width: int) -> dict[str, int]:
    spelt = {squeeze(word): name for name, words in NAMES.items() for word in words}
    names = [spelt.get(squeeze(name), name) for name in names]
    for name in names:
        if name not in (*NAMES, "-"):
            known = (*NAMES, "-")
            raise UsageError(f"--columns: unknown column {name!r}{suggest(name, known)}; known: {', '.join(known)}.")
    if not {"truth", "prediction"} <= set(names) or len(names) != width:
        raise UsageError(
            f"--columns names {len(names)} columns of {file}, which has {width}; name each of them, truth and "
            "prediction among them, and those of no use '-'."
        )
    return {name: at for at, name in enumerate(names) if name != "-"}


def _check_width(file: Path, rows: Sequence[Cells], places: dict[str, int]) -> None:
    if not rows:
        raise unreadable(file, "has a header and nothing below it", "write one line a clip")
    last = max(at for name, at in places.items() if name in ("clip", "truth", "prediction", "label"))
    short = [row.line for row in rows if len(row.cells) <= last]
    if short:
        raise unreadable(file, f"has too few cells in line {runs(short)}", f"write {last + 1} cells in each line")


def _line(row: Cells, places: dict[str, int]) -> Line:
    dataset, subject, clip = (_cell(row, places, name) for name in ("dataset", "subject", "clip"))
    if "dataset" not in places and clip.count("/") >= 2:  # the keys of our own results
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
