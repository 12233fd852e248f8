"""Tables of clips: columns found by name, cells read with everything wrong noted rather than raised."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict

from microexpr.components.datasets._root import unusable
from microexpr.components.datasets._workbook import Formula, Merged, Sheets
from microexpr.core.delimited_text import squeeze as squeezed
from microexpr.core.errors import DataError, Fault, suggest
from microexpr.core.facs import narrow

NO_APEX = ("", "/", "\\", "-1", "0")
"""How tables say that nobody coded an apex."""
ERRORS = ("#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!", "#DIV/0!", "#ERROR", "#GETTING_DATA")
"""What a spreadsheet shows where a formula fails."""
NAMES = ("subject", "video")
"""Columns in which a cell merged with the one above says the same as that."""
_HEADER_WITHIN = 20
_LONGEST = 100_000  # frames; more is a slip of the pen
_LONGEST_NAME = 200  # bytes between two slashes; few file systems take more
_EXACT = 2**53  # from here on not every whole number is a float
_WHOLE = re.compile(r"[+-]?[0-9]{1,12}(?:\.0*)?")
_UNSEEN = "\u200b\u200c\u200d\u2060\ufeff"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number in the spreadsheet and its cells by the reader's own column names."""

    number: int
    cells: Mapping[str, object]
    place: str = ""
    """Where it was found, if it is not a row of a table: a folder, say."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What the table calls each column."""


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

    def note(self, problem: str, fix: str) -> None:
        """Remember one thing that is wrong, and its mend; the same thing once."""
        if (problem, fix) not in self.noted:
            self.noted.append((problem, fix))

    def text(self, column: str) -> str:
        """Return a cell as text, '' where it is empty or holds nothing that an owner wrote, which is noted."""
        cell = self.row.cells.get(column)
        if isinstance(cell, Merged) and column not in NAMES:
            problem = f"the cell {column} is merged with the one above, so that nobody can tell what it held"
            self.note(problem, "split the cells and write each value")
        wrong = _no_value(cell)
        if wrong:
            self.note(f"the cell {column} holds {wrong[0]}", wrong[1])
        return "" if wrong else plain(cell)

    def labels(self, *columns: str) -> dict[str, tuple[str, ...]]:
        """Return the cells that are filled, as a clip's labels: what stands there, right or wrong."""
        return {name: (text,) for name in columns if (text := plain(self.row.cells.get(name)))}

    def required(self, column: str) -> str:
        """Return a cell as text; an empty one is noted, and one too long for a name, which gives ''."""
        found = self.text(column)
        if not plain(self.row.cells.get(column)):
            self.note(f"the cell {column} is empty", "fill it in")
        if any(len(part.encode()) > _LONGEST_NAME for part in found.split("/")):
            self.note(f"the cell {column} holds {len(found)} letters", "write the name alone")
            return ""
        return found

    def number(self, column: str, *, absent: Iterable[str] = ()) -> int | None:
        """Return a cell as a whole number, None for one of the texts in `absent`; anything else is noted."""
        if _no_value(self.row.cells.get(column)):
            self.text(column)
            return None
        found = narrow(self.text(column))
        if found in absent:
            return None
        if _WHOLE.fullmatch(found):
            return int(found.partition(".")[0])
        if not found:
            self.note(f"the cell {column} is empty", "write the frame's number")
            return None
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
        found = " ".join(narrow(self.text(column)).split())
        emotion = words.get(found.casefold())
        if emotion is None and not _no_value(self.row.cells.get(column)):
            near = suggest(found.casefold(), words)
            self.note(f"unknown emotion {found!r}{near}", f"write one of {', '.join(words)}")
        return emotion

    def check_times(self, onset: int | None, apex: int | None, offset: int | None) -> None:
        """Note a frame before the first, an offset before its onset, an apex outside its clip, a clip without end."""
        if onset is not None and onset < 0:
            self.note(f"the onset {onset} lies before the first frame", "correct the number")
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
        where = self.row.place or f"{self.file.name}, row {self.row.number} ({name})"
        return [Fault("E201", where, self._named(problem), fix, key) for problem, fix in self.noted]

    def _named(self, problem: str) -> str:
        """Add what the table calls the column, where that is another word than ours."""
        ours = problem.removeprefix("the cell ").split(" ")[0] if problem.startswith("the cell ") else ""
        theirs = self.row.headers.get(ours, ours)
        return problem if squeeze(theirs) == squeeze(ours) else f"{problem} (column {theirs})"


def plain(cell: object) -> str:
    """Return a cell as its reader sees it: trimmed, and 4.0 as '4'.

    >>> plain(4.0), plain(" EP02_01f "), plain(None)
    ('4', 'EP02_01f', '')
    """
    if cell is None:
        return ""
    if isinstance(cell, Merged):
        return plain(cell.value)
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _EXACT:
        return str(int(cell))
    if isinstance(cell, datetime) and cell.time() == time():
        return str(cell.date())
    return str(cell).strip().strip(_UNSEEN).strip()


def _no_value(cell: object) -> tuple[str, str] | None:
    """Return what a cell holds in place of a value, and the mend; None where it holds a value or nothing."""
    if isinstance(cell, Formula):
        fix = "open the table in a spreadsheet and save it, so that the value is saved too, or write the value"
        return f"the formula {cell.text!r}, saved without its value", fix
    if isinstance(cell, str) and cell.strip().upper() in ERRORS:
        return f"the error {cell.strip()}", "mend its formula, or write the value"
    if isinstance(cell, date | time | timedelta):
        made = f" of something like '{cell.month}-{cell.day}'" if isinstance(cell, date) else ""
        fix = "format its column as text and write what the owners wrote"
        return f"the time {plain(cell)}, which a spreadsheet made{made}", fix
    return None


def find_rows(
    file: Path,
    sheets: Sheets,
    columns: Mapping[str, Sequence[str]],
    optional: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[Row]:
    """Return the rows below the first header that has all `columns` (their known spellings, the owners' first).

    Columns in `optional` are read where the header has them. Case, spaces and underscores of headers do not count.
    Rows without a value in any of `columns` are left out; a sheet without any other row is passed over. Two sheets
    that both have rows, and different ones, are refused: nobody can tell which counts.
    """
    bare, read = None, dict[str, list[Row]]()
    for title, rows in sheets.items():
        for index, header in enumerate(rows[:_HEADER_WITHIN]):
            places = _places(header, columns)
            if len(places) == len(columns):
                places |= _places(header, optional)
                _check_single(file, title, rows[index:], places)
                below = enumerate(rows[index + 1 :], start=index + 2)
                names = {column: plain(header[place]) for column, place in places.items()}
                found = [Row(number, _cells(cells, places), headers=names) for number, cells in below]
                found = [row for row in found if _filled(row, columns)]
                if found:
                    read[title] = found
                else:
                    bare = bare or title
                break
    if read:
        return _only(file, read, columns)
    if bare is not None:
        problem = f"sheet {bare!r} has the columns and no row below them"
        raise unusable(Fault("E201", str(file), problem, "use the table as the owners ship it"))
    raise _no_header(file, sheets, columns)


def _only(file: Path, read: Mapping[str, list[Row]], columns: Iterable[str]) -> list[Row]:
    """Return the rows of the first sheet; raises DataError where another sheet has other rows."""
    (title, rows), *others = read.items()

    def said(rows: Iterable[Row]) -> list[list[str]]:
        return [[plain(row.cells[column]) for column in columns] for row in rows]

    for name, other in others:
        if said(rows) != said(other):
            problem = f"its sheets {title!r} and {name!r} both have the columns, with different rows"
            raise unusable(Fault("E201", str(file), problem, "delete the sheet that is not the owners' table"))
    return rows


def _filled(row: Row, columns: Iterable[str]) -> bool:
    """Whether a row says anything; formulas that were filled down to nowhere do not."""
    cells = [row.cells[column] for column in columns]
    formulas = [isinstance(cell, Formula) for cell in cells]
    return all(formulas) or any(plain(cell) for cell, formula in zip(cells, formulas, strict=True) if not formula)


def _check_single(file: Path, title: str, rows: Sequence[Sequence[object]], places: Mapping[str, int]) -> None:
    """Raise DataError where a header stands twice over different cells: nobody can tell which column is meant."""
    names = [squeeze(cell) for cell in rows[0]]
    for place in places.values():
        for other in range(place + 1, len(names)):
            if names[other] == names[place] and any(_at(row, other) != _at(row, place) for row in rows[1:]):
                problem = f"sheet {title!r} has the column {plain(rows[0][place])!r} more than once"
                raise unusable(Fault("E201", str(file), problem, "rename or delete the one that is not the owners'"))


def _at(cells: Sequence[object], place: int) -> str:
    return plain(cells[place]) if place < len(cells) else ""


def squeeze(header: object) -> str:
    """Return a header without case, spaces and signs, so that 'Apex Frame' is 'ApexFrame'."""
    return squeezed(plain(header))


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
        below = any(plain(cell) for row in rows[_HEADER_WITHIN:] for cell in row)
        lacking = [known[0] for column, known in columns.items() if column not in _places(header, columns)]
        told.append(
            f"sheet {title!r} has {', '.join(have)} and lacks {', '.join(lacking)}"
            if have
            else f"{title!r} has no header in its first {_HEADER_WITHIN} rows"
            if below
            else f"{title!r} is empty"
        )
    wanted = ", ".join(known[0] for known in columns.values())
    problem = f"no sheet has all the columns needed: {'; '.join(told) or 'it has no sheet'}"
    return unusable(
        Fault("E201", str(file), problem, f"use the table as the owners ship it, with the columns {wanted}")
    )
