"""Codings as their coders write them: one row an expression, one file a coder or a tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from microexpr.core.delimited_text import columns, listed, plain_name, read_cells, runs, squeeze, unreadable
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
        """Onset and offset, None where one of them is missing."""
        onset, _, offset = self.times
        return None if onset is None or offset is None else (onset, offset)


@dataclass(frozen=True, slots=True)
class Coding:
    """One file: which columns it has, its events, and every video that was looked at."""

    name: str
    has: frozenset[str]
    events: tuple[Event, ...]
    videos: Mapping[str, str]
    """Plain name -> name as written."""
    header: tuple[str, ...] = ()
    read_as: Mapping[str, str] = field(default_factory=dict)
    """Times under another name: column as written -> what it was read as."""
    unread: tuple[str, ...] = ()
    """Columns that no name is known for."""


def read_coding(file: Path) -> Coding:
    """Read one coding; raises DataError naming the line."""
    rows = read_cells(file)
    places = columns(rows[0].cells, COLUMNS)
    if "video" not in places or len(places) < 2:
        lacks = "no column 'video'" if "video" not in places else "no column beside 'video' that is known"
        problem = f"has {lacks}; its columns are {listed(rows[0].cells)}"
        raise unreadable(file, problem, f"name the columns {', '.join(COLUMNS)}")
    events, videos = [], dict[str, str]()
    for row in rows[1:]:
        cells = {name: row.cells[at] if at < len(row.cells) else "" for name, at in places.items()}
        if not cells["video"]:
            raise unreadable(f"{file}, line {row.line}", "names no video", "name the video of every row")
        videos.setdefault(plain_name(cells["video"]), cells["video"])
        if any(cells.get(name) for name in (*TIMES, "label", "action_units")):
            events.append(_event(file, row.line, cells))
    if not videos:
        raise unreadable(file, "has a header and nothing below it", "write one row an expression")
    _check_twice(file, events)
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
        raise unreadable(f"{file}, line {line}", f"ends ({offset:g}) before it begins ({onset:g})", "mend its times")
    if apex is not None and ((onset is not None and apex < onset) or (offset is not None and apex > offset)):
        ends = " to ".join("?" if end is None else f"{end:g}" for end in (onset, offset))
        raise unreadable(f"{file}, line {line}", f"its apex ({apex:g}) lies outside of {ends}", "mend its times")
    coded = parse_action_units(cells.get("action_units", ""))
    units = frozenset(unit.number for unit in coded if not unit.descriptor)  # AD38 is no action unit
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
        raise unreadable(f"{file}, line {line}", f"its {name} is {cell!r}", "write a frame number or seconds")
    return value


def _check_twice(file: Path, events: Sequence[Event]) -> None:
    seen: dict[object, int] = {}
    for event in events:
        key = (plain_name(event.video), event.times, event.label, event.action_units)
        if key in seen:
            where = f"{file}, line {runs([seen[key], event.line])}"
            raise unreadable(where, f"an expression of {event.video} stands there twice", "keep one row")
        seen[key] = event.line
