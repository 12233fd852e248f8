"""Tables of clips: columns found by name, cells read with everything wrong noted rather than raised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict

from microexpr.datasets._root import unusable
from microexpr.datasets._workbook import Sheets
from microexpr.errors import DataError, Fault, suggest

NO_APEX = ("", "/", "\\", "-1", "0")
"""How tables say that nobody coded an apex."""
_HEADER_WITHIN = 20
_LONGEST = 100_000  # frames; more is a slip of the pen


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number in the spreadsheet and its cells by the reader's own column names."""

    number: int
    cells: Mapping[str, object]


class Times(TypedDict):
    """When an expression starts, peaks and ends, in frame numbers."""

    onset: int | None
    apex: int | None
    offset: int | None


@dataclass(slots=True)
class RowReader:
    """One row being read: all that is wrong with it is noted."""

    file: Path
    row: Row
    noted: list[tuple[str, str]] = field(default_factory=list)

    def note(self, problem: str, mend: str) -> None:
        """Remember one thing that is wrong, and its mend."""
        self.noted.append((problem, mend))

    def text(self, column: str) -> str:
        """Return a cell as text, '' where it is empty."""
        return plain(self.row.cells.get(column))

    def labels(self, *columns: str) -> dict[str, tuple[str, ...]]:
        """Return the cells that are filled, as a clip's labels."""
        return {name: (text,) for name in columns if (text := self.text(name))}

    def required(self, column: str) -> str:
        """Return a cell as text; an empty one is noted."""
        found = self.text(column)
        if not found:
            self.note(f"the cell {column} is empty", "fill it in")
        return found

    def number(self, column: str, *, absent: Iterable[str] = ()) -> int | None:
        """Return a cell as a whole number, None for one of the texts in `absent`; anything else is noted."""
        found = self.text(column)
        if found in absent:
            return None
        try:
            value = float(found)
            if value == int(value):
                return int(value)
        except (ValueError, OverflowError):
            pass
        self.note(f"the cell {column} holds {found!r}, not a whole number", "write the frame's number")
        return None

    def times(self, *, unapexed: Iterable[str] = NO_APEX) -> Times:
        """Return onset, apex and offset; an apex that nobody coded, one of `unapexed`, is None."""
        return {
            "onset": self.number("onset"),
            "apex": self.number("apex", absent=unapexed) if "apex" in self.row.cells else None,
            "offset": self.number("offset"),
        }

    def emotion(self, column: str, words: Mapping[str, str]) -> str | None:
        """Return the house's word for the emotion; an unknown one is noted with the known ones."""
        found = self.text(column)
        emotion = words.get(found.casefold())
        if emotion is None:
            near = suggest(found.casefold(), words)
            self.note(f"unknown emotion {found!r}{near}", f"write one of {', '.join(words)}")
        return emotion

    def check_times(self, onset: int | None, apex: int | None, offset: int | None) -> None:
        """Note an offset before its onset, an apex outside its clip and a clip without end."""
        if onset is None or offset is None:
            return
        if offset < onset:
            self.note(f"the offset {offset} lies before the onset {onset}", "correct the numbers")
        elif offset - onset > _LONGEST:
            self.note(f"the clip {onset}-{offset} would have {offset - onset + 1} frames", "correct the numbers")
        elif apex is not None and not onset <= apex <= offset:
            self.note(f"the apex {apex} lies outside its clip {onset}-{offset}", "correct the numbers")

    def faults(self, name: str, key: str) -> list[Fault]:
        """Return what was noted, of the clip called `name`, whose key is `key`."""
        where = f"{self.file.name}, row {self.row.number} ({name})"
        return [Fault(where, problem, mend, key) for problem, mend in self.noted]


def plain(cell: object) -> str:
    """Return a cell as its reader sees it: trimmed, and 4.0 as '4'.

    >>> plain(4.0), plain(" EP02_01f "), plain(None)
    ('4', 'EP02_01f', '')
    """
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def find_rows(
    file: Path,
    sheets: Sheets,
    columns: Mapping[str, Sequence[str]],
    optional: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[Row]:
    """Return the rows below the first header that has all `columns` (their known spellings, the owners' first).

    Columns in `optional` are read where the header has them. Case, spaces and underscores of headers do not count.
    Rows without a value in any of the columns are left out.
    """
    for rows in sheets.values():
        for index, header in enumerate(rows[:_HEADER_WITHIN]):
            places = _places(header, columns)
            if len(places) == len(columns):
                places |= _places(header, optional)
                below = enumerate(rows[index + 1 :], start=index + 2)
                found = [Row(number, _cells(cells, places)) for number, cells in below]
                return [row for row in found if any(map(plain, row.cells.values()))]
    raise _no_header(file, sheets, columns)


def squeeze(header: object) -> str:
    """Return a header without case, spaces and signs, so that 'Apex Frame' is 'ApexFrame'."""
    return "".join(filter(str.isalnum, plain(header).casefold()))


def _places(header: Sequence[object], columns: Mapping[str, Sequence[str]]) -> dict[str, int]:
    names = [squeeze(cell) for cell in header]
    spelt = {column: [squeeze(name) for name in known] for column, known in columns.items()}
    return {
        column: next(names.index(name) for name in known if name in names)
        for column, known in spelt.items()
        if any(name in names for name in known)
    }


def _cells(cells: Sequence[object], places: Mapping[str, int]) -> dict[str, object]:
    return {column: cells[place] if place < len(cells) else None for column, place in places.items()}


def _no_header(file: Path, sheets: Sheets, columns: Mapping[str, Sequence[str]]) -> DataError:
    told = []
    for title, rows in sheets.items():
        header = max(rows[:_HEADER_WITHIN], key=lambda row: len(_places(row, columns)), default=())
        have = [plain(cell) for cell in header if plain(cell)]
        lacking = [known[0] for column, known in columns.items() if column not in _places(header, columns)]
        told.append(
            f"sheet {title!r} has {', '.join(have)} and lacks {', '.join(lacking)}" if have else f"{title!r} is empty"
        )
    wanted = ", ".join(known[0] for known in columns.values())
    problem = f"no sheet has all the columns needed: {'; '.join(told) or 'it has no sheet'}"
    return unusable(Fault(str(file), problem, f"use the table as the owners ship it, with the columns {wanted}"))
