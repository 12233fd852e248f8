"""Codings as written by coders: one row per expression, one file per coder or tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from microexpr.audit.reading import unusable
from microexpr.core.delimited_text import columns, listed, plain_name, read_cells, runs, squeeze
from microexpr.core.facs import parse_action_units

COLUMNS: Final = {
    "video": ("video", "clip", "filename", "file", "vid"),
    "onset": ("onset", "onsetframe", "start", "startframe", "starttime", "begin", "beginframe", "begintime"),
    "apex": ("apex", "apexframe", "peak", "peakframe"),
    "offset": ("offset", "offsetframe", "end", "endframe", "endtime"),
    "label": ("label", "emotion", "class"),
    "action_units": ("action_units", "au", "aus", "action_unit"),
    "subject": ("subject", "person", "participant", "subject_id"),
}
TIMES: Final = ("onset", "apex", "offset")


@dataclass(frozen=True, slots=True)
class Event:
    """One coded expression."""

    line: int
    video: str
    times: tuple[float | None, float | None, float | None]
    label: str = ""
    action_units: frozenset[int] = frozenset()
    subject: str = ""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Onset and offset; None if one of them is missing."""
        onset, _, offset = self.times
        return None if onset is None or offset is None else (onset, offset)


@dataclass(frozen=True, slots=True)
class Coding:
    """One file: its columns, its events, and every video that was coded."""

    name: str
    has: frozenset[str]
    events: tuple[Event, ...]
    videos: Mapping[str, str]
    """Plain name -> name as written."""
    header: tuple[str, ...] = ()
    read_as: Mapping[str, str] = field(default_factory=dict)
    """Time columns with other names: column as written -> column that it was read as."""
    unread: tuple[str, ...] = ()
    """Columns with unknown names."""


def read_coding(file: Path) -> Coding:
    """Read one coding; raises DataError naming the line."""
    rows = read_cells(file)
    places = columns(rows[0].cells, COLUMNS)
    if "video" not in places or len(places) < 2:
        lacks = "no column 'video'" if "video" not in places else "no known column other than 'video'"
        problem = f"has {lacks}; its columns are {listed(rows[0].cells)}"
        raise unusable("E930", file, problem, f"name the columns {', '.join(COLUMNS)}")
    events, videos = [], dict[str, str]()
    for row in rows[1:]:
        cells = {name: row.cells[at] if at < len(row.cells) else "" for name, at in places.items()}
        if not cells["video"]:
            raise unusable("E930", f"{file}, line {row.line}", "names no video", "name the video in every row")
        videos.setdefault(plain_name(cells["video"]), cells["video"])
        if any(cells.get(name) for name in (*TIMES, "label", "action_units")):
            events.append(_event(file, row.line, cells))
    if not videos:
        raise unusable("E930", file, "has a header and no other lines", "write one row per expression")
    _check_duplicates(file, events)
    header = rows[0].cells
    read_as = {header[places[name]]: name for name in TIMES if name in places}
    return Coding(
        file.name,
        frozenset(places),
        tuple(events),
        videos,
        header,
        {cell: name for cell, name in read_as.items() if not squeeze(cell).startswith(name)},
        tuple(cell for at, cell in enumerate(header) if cell and at not in places.values()),
    )


def _event(file: Path, line: int, cells: Mapping[str, str]) -> Event:
    times = tuple(_time(file, line, name, cells.get(name, "")) for name in TIMES)
    onset, apex, offset = times
    if onset is not None and offset is not None and offset < onset:
        problem = f"the offset ({offset:g}) is before the onset ({onset:g})"
        raise unusable("E931", f"{file}, line {line}", problem, "correct the times")
    if apex is not None and ((onset is not None and apex < onset) or (offset is not None and apex > offset)):
        ends = " to ".join("?" if end is None else f"{end:g}" for end in (onset, offset))
        problem = f"the apex ({apex:g}) is outside {ends}"
        raise unusable("E931", f"{file}, line {line}", problem, "correct the times")
    coded = parse_action_units(cells.get("action_units", ""))
    units = frozenset(unit.number for unit in coded if not unit.descriptor)  # AD38 is not an action unit
    label = cells.get("label", "").casefold()
    return Event(line, cells["video"], (onset, apex, offset), label, units, cells.get("subject", ""))


def _time(file: Path, line: int, name: str, cell: str) -> float | None:
    if cell in ("", "-", "/", "\\"):
        return None
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise unusable("E931", f"{file}, line {line}", f"the {name} is {cell!r}", "write a frame number or seconds")
    return value


def _check_duplicates(file: Path, events: Sequence[Event]) -> None:
    lines: dict[object, int] = {}
    for event in events:
        key = (plain_name(event.video), event.times, event.label, event.action_units)
        if key in lines:
            where = f"{file}, line {runs([lines[key], event.line])}"
            raise unusable("E932", where, f"an expression of {event.video} is listed twice", "keep one row")
        lines[key] = event.line
