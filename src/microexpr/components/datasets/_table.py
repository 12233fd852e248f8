"""Tables of clips: columns found by name, cells whose errors are collected rather than raised."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict

from microexpr.components.datasets._folders import unusable
from microexpr.components.datasets._workbook import Formula, Merged, Sheets, read_sheets
from microexpr.core.delimited_text import columns as find_columns
from microexpr.core.delimited_text import squeeze
from microexpr.core.errors import DataError, Fault, suggest
from microexpr.core.facs import narrow

NO_APEX = ("", "/", "\\", "-1", "0")
"""How tables write that an apex was not coded."""
ERRORS = ("#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!", "#DIV/0!", "#ERROR", "#GETTING_DATA")
"""What a spreadsheet displays where a formula fails."""
NAMES = ("subject", "video")
"""Columns in which a cell merged with the one above has the same value."""
_HEADER_WITHIN = 20
_LONGEST = 100_000  # frames; more is a typing error
_LONGEST_NAME = 200  # bytes between two slashes; few file systems accept more
_EXACT = 2**53  # from here on not every integer is a float
_WHOLE = re.compile(r"[+-]?[0-9]{1,12}(?:\.0*)?")
_UNSEEN = "\u200b\u200c\u200d\u2060\ufeff"
_SUBJECT = re.compile(r"(?:(?:sub|s)[ _-]*)?([0-9]{1,6})")
_CLIP_OF_SUBJECT = re.compile(r"(?:sub|s)([0-9]{1,6})(?![0-9])")
_AS_DISTRIBUTED = "use the table as distributed by the owners"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number in the spreadsheet and its cells by the reader's own column names."""

    number: int
    cells: Mapping[str, object]
    place: str = ""
    """Where it was found, if it is not a row of a table but, for instance, a folder."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The table's name of each column."""


class Times(TypedDict):
    """Onset, apex and offset of an expression, in frame numbers."""

    onset: int | None
    apex: int | None
    offset: int | None


@dataclass(slots=True)
class RowReader:
    """One row that is being read; everything wrong with it is collected."""

    file: Path
    row: Row
    problems: list[tuple[str, str, str]] = field(default_factory=list)
    """Code, problem and fix."""

    def note(self, code: str, problem: str, fix: str) -> None:
        """Add a problem and its fix, once."""
        if (code, problem, fix) not in self.problems:
            self.problems.append((code, problem, fix))

    def text(self, column: str) -> str:
        """Return a cell as text; '' where it is empty or, which is a problem, has no value that an owner wrote."""
        cell = self.row.cells.get(column)
        if isinstance(cell, Merged) and column not in NAMES:
            problem = f"the {column} cell is merged with the one above, so its own value is unknown"
            self.note("E221", problem, "split the cells and write each value")
        wrong = _no_value(cell)
        if wrong:
            self.note("E221", f"the {column} cell contains {wrong[0]}", wrong[1])
        return "" if wrong else plain(cell)

    def labels(self, *columns: str) -> dict[str, tuple[str, ...]]:
        """Return the cells that are not empty as a clip's labels, unchecked."""
        return {name: (text,) for name in columns if (text := plain(self.row.cells.get(name)))}

    def required(self, column: str) -> str:
        """Return a cell as text; an empty cell is a problem, and so is one too long for a name, which gives ''."""
        found = self.text(column)
        if not plain(self.row.cells.get(column)):
            self.note("E220", f"the {column} cell is empty", "fill it in")
        if any(len(part.encode()) > _LONGEST_NAME for part in found.split("/")):
            self.note("E221", f"the {column} cell contains {len(found)} letters", "write only the name")
            return ""
        return found

    def number(self, column: str, *, absent: Iterable[str] = ()) -> int | None:
        """Return a cell as an integer, None for a text in `absent`; anything else is a problem."""
        if _no_value(self.row.cells.get(column)):
            self.text(column)
            return None
        found = narrow(self.text(column))
        if found in absent:
            return None
        if _WHOLE.fullmatch(found):
            return int(found.partition(".")[0])
        if not found:
            self.note("E220", f"the {column} cell is empty", "write the frame number")
            return None
        self.note("E221", f"the {column} cell contains {found!r}, not an integer", "write the frame number")
        return None

    def times(self, *, no_apex: Iterable[str] = NO_APEX) -> Times:
        """Return onset, apex and offset; an apex that was not coded (one of `no_apex`) is None."""
        return {
            "onset": self.number("onset"),
            "apex": self.number("apex", absent=no_apex) if "apex" in self.row.cells else None,
            "offset": self.number("offset"),
        }

    def emotion(self, column: str, words: Mapping[str, str]) -> str | None:
        """Return the emotion in microexpr's vocabulary; an unknown one is a problem."""
        found = " ".join(narrow(self.text(column)).split())
        emotion = words.get(found.casefold())
        if emotion is None and not _no_value(self.row.cells.get(column)):
            near = suggest(found.casefold(), words)
            self.note("E222", f"unknown emotion {found!r}{near}", f"write one of {', '.join(words)}")
        return emotion

    def subject_number(self, digits: int, known: str = "") -> str:
        """Return the number of the row's subject; anything else is a problem, whose fix names the `known` ones."""
        found = self.required("subject")
        number = number_of(found, digits)
        if found and not number:
            self.note("E221", f"the subject cell contains {found!r}", f"write the subject's number{known}")
        return number

    def check_times(self, onset: int | None, apex: int | None, offset: int | None) -> None:
        """Note a negative onset, an offset before the onset, an apex outside its clip, an impossibly long clip."""
        if onset is not None and onset < 0:
            self.note("E223", f"the onset {onset} is before the first frame", "correct the number")
        if onset is None or offset is None:
            return
        if offset < onset:
            self.note("E223", f"the offset {offset} is before the onset {onset}", "correct the numbers")
        elif offset - onset > _LONGEST:
            problem = f"the clip {onset}-{offset} would have {offset - onset + 1} frames"
            self.note("E223", problem, "correct the numbers")
        elif apex is not None and not onset <= apex <= offset:
            self.note("E223", f"the apex {apex} is outside its clip {onset}-{offset}", "correct the numbers")

    def check_owner(self, subject: str, video: str) -> None:
        """Note a clip whose name has another subject's number: sub0001_01 in a row of sub0002."""
        owner = _CLIP_OF_SUBJECT.match(video.casefold())
        if subject and owner and int(owner[1]) != int(subject):
            self.note("E225", f"{video} is not named after its subject {subject}", "correct one of the two")

    def faults(self, name: str, key: str) -> list[Fault]:
        """Return the problems as faults of the clip `name`, whose key is `key`."""
        where = self.row.place or f"{self.file.name}, row {self.row.number} ({name})"
        return [Fault(code, where, self._with_header(problem), fix, key) for code, problem, fix in self.problems]

    def _with_header(self, problem: str) -> str:
        """Add the table's name of the column, where it differs from ours."""
        cell = re.match(r"the (\S+) cell ", problem)
        ours = cell[1] if cell else ""
        theirs = self.row.headers.get(ours, ours)
        return problem if squeeze(theirs) == squeeze(ours) else f"{problem} (column {theirs})"


def plain(cell: object) -> str:
    """Return a cell as a reader sees it: trimmed, and 4.0 as '4'.

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


def number_of(text: str, digits: int) -> str:
    """Return the number in a subject's name, padded with zeros; '' where there is none.

    >>> number_of("S1", 2), number_of("sub0012", 4), number_of("Bob", 2)
    ('01', '0012', '')
    """
    match = _SUBJECT.fullmatch(narrow(text).casefold())
    return f"{int(match[1]):0{digits}d}" if match else ""


def _no_value(cell: object) -> tuple[str, str] | None:
    """Return what a cell contains instead of a value, and the fix; None where it has a value or is empty."""
    if isinstance(cell, Formula):
        fix = "open the table in a spreadsheet and save it, so that the value is saved too, or write the value"
        return f"the formula {cell.text!r}, saved without its value", fix
    if isinstance(cell, str) and cell.strip().upper() in ERRORS:
        return f"the error {cell.strip()}", "correct its formula, or write the value"
    if isinstance(cell, date | time | timedelta):
        original = f" from something like '{cell.month}-{cell.day}'" if isinstance(cell, date) else ""
        fix = "format its column as text and write what the owners wrote"
        return f"the time {plain(cell)}, which a spreadsheet made{original}", fix
    return None


def find_rows(
    file: Path,
    sheets: Sheets,
    columns: Mapping[str, Sequence[str]],
    optional: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[Row]:
    """Return the rows below the first header that has all `columns` (their known spellings, the owners' first).

    Columns in `optional` are read where the header has them. Case, spaces and underscores of headers are ignored. Rows
    without a value in any of `columns` are left out, and so are sheets without other rows. Raises DataError where two
    sheets have different rows, because it is unknown which counts.
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
        raise unusable("E208", file, f"sheet {bare!r} has the columns but no row below them", _AS_DISTRIBUTED)
    raise _no_header(file, sheets, columns)


def rows_beside(
    files: Iterable[Path],
    columns: Mapping[str, Sequence[str]],
    optional: Mapping[str, Sequence[str]],
    content: str,
) -> tuple[list[RowReader], list[Fault]]:
    """Return the rows of tables that supplement the first one, and a note for each that cannot be read.

    `content` says what is then not read. Of a table's sheets the one with most rows counts: the owners leave fragments
    with the same columns in others.
    """
    found: list[RowReader] = []
    notes: list[Fault] = []
    for file in files:
        try:
            sheets = read_sheets(file)
            read: list[list[Row]] = []
            for title, rows in sheets.items():
                with contextlib.suppress(DataError):
                    read.append(find_rows(file, {title: rows}, columns, optional))
            longest = max(read, key=len) if read else find_rows(file, sheets, columns, optional)
            found += [RowReader(file, row) for row in longest]
        except DataError as error:
            (fault,) = error.faults
            notes.append(Fault(fault.code, str(file), f"{content} are not read: {fault.problem}", fault.fix))
    return found, notes


def _only(file: Path, read: Mapping[str, list[Row]], columns: Iterable[str]) -> list[Row]:
    """Return the rows of the first sheet; raises DataError where another sheet has other rows."""
    (title, rows), *others = read.items()

    def texts(rows: Iterable[Row]) -> list[list[str]]:
        return [[plain(row.cells[column]) for column in columns] for row in rows]

    for name, other in others:
        if texts(rows) != texts(other):
            problem = f"its sheets {title!r} and {name!r} both have the columns, with different rows"
            raise unusable("E208", file, problem, "delete the sheet that is not the owners' table")
    return rows


def _filled(row: Row, columns: Iterable[str]) -> bool:
    """Whether a row has content; formulas that were filled down too far do not count."""
    cells = [row.cells[column] for column in columns]
    formulas = [isinstance(cell, Formula) for cell in cells]
    return all(formulas) or any(plain(cell) for cell, formula in zip(cells, formulas, strict=True) if not formula)


def _check_single(file: Path, title: str, rows: Sequence[Sequence[object]], places: Mapping[str, int]) -> None:
    """Raise DataError where a header occurs twice over different cells, because it is unknown which column counts."""
    names = [squeeze(plain(cell)) for cell in rows[0]]
    for place in places.values():
        for other in range(place + 1, len(names)):
            if names[other] == names[place] and any(_at(row, other) != _at(row, place) for row in rows[1:]):
                problem = f"sheet {title!r} has the column {plain(rows[0][place])!r} more than once"
                raise unusable("E208", file, problem, "rename or delete the one that is not the owners'")


def _at(cells: Sequence[object], place: int) -> str:
    return plain(cells[place]) if place < len(cells) else ""


def _places(header: Sequence[object], columns: Mapping[str, Sequence[str]]) -> dict[str, int]:
    return find_columns([plain(cell) for cell in header], columns)


def _cells(cells: Sequence[object], places: Mapping[str, int]) -> dict[str, object]:
    return {column: cells[place] if place < len(cells) else None for column, place in places.items()}


def _no_header(file: Path, sheets: Sheets, columns: Mapping[str, Sequence[str]]) -> DataError:
    found = []
    for title, rows in sheets.items():
        header = max(rows[:_HEADER_WITHIN], key=lambda row: len(_places(row, columns)), default=())
        have = [plain(cell) for cell in header if plain(cell)]
        below = any(plain(cell) for row in rows[_HEADER_WITHIN:] for cell in row)
        lacking = [known[0] for column, known in columns.items() if column not in _places(header, columns)]
        found.append(
            f"sheet {title!r} has {', '.join(have)} and lacks {', '.join(lacking)}"
            if have
            else f"{title!r} has no header in its first {_HEADER_WITHIN} rows"
            if below
            else f"{title!r} is empty"
        )
    wanted = ", ".join(known[0] for known in columns.values())
    problem = f"no sheet has all required columns: {'; '.join(found) or 'it has no sheet'}"
    return unusable("E208", file, problem, f"{_AS_DISTRIBUTED}, with the columns {wanted}")
