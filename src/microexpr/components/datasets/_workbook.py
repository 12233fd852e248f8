"""Workbooks as they are found on disks: new and old Excel files, told apart by content, their faults in words."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeAlias

from microexpr.components.datasets._root import unusable
from microexpr.core.errors import DataError, Fault

Cells: TypeAlias = tuple[object, ...]
Sheets: TypeAlias = Mapping[str, list[Cells]]
Block: TypeAlias = tuple[int, int, int, int]
"""Merged cells: first row, last row, first column, last column, counted from 0."""

_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BARE_XLS = tuple(bytes((9, kind)) for kind in (0, 2, 4, 8))
_END_OF_BARE = 10
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_FORMULA = re.compile(rb"<(?:\w+:)?f[ />]")
_MERGED = re.compile(rb"<(?:\w+:)?mergeCell ")


@dataclass(frozen=True, slots=True)
class Formula:
    """A cell whose formula was saved without the value that it gives: whoever reads it must not take it for empty."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Merged:
    """A cell that is merged with the one above, whose value it shows."""

    value: object

    def __str__(self) -> str:
        return str(self.value)


def read_sheets(file: Path) -> Sheets:
    """Return every sheet's rows, the first being spreadsheet row 1; raises DataError that says what is wrong.

    Hidden sheets are left out where a visible one has rows. Cells merged within one column all have its value, below
    the first as `Merged`; cells merged across columns have it in the first alone. Formulas give the value that was
    saved with them, or a `Formula`; dates are dates.
    """
    data = _read(file)
    if not data:
        raise _broken(file, "is empty (0 bytes)", "copy or download it again")
    if data.startswith(_OLE) and _ENCRYPTED in data:
        raise _locked(file)
    # The name's ending is not trusted: copies called .xls often hold the new format, and the other way round.
    reader = _xlsx if data.startswith(_ZIP) else _xls if data.startswith((_OLE, *_BARE_XLS)) else None
    if reader is None:
        raise _broken(file, "is not an Excel workbook", "use the table as the owners ship it, or save it as .xlsx")
    try:
        return reader(data)
    # Damaged workbooks make the two libraries raise whatever they stumble over.
    except Exception as error:
        if "encrypted" in str(error).casefold():
            raise _locked(file) from None
        problem = f"is cut off, damaged or not an Excel workbook ({type(error).__name__}: {error})"
        raise _broken(
            file, problem, "copy or download it again, or open it in a spreadsheet and save it anew"
        ) from None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _broken(file, f"cannot be opened ({error.strerror})", "ask for the right to read it") from None


# --- the new format ---------------------------------------------------------------------------------------------------
def _xlsx(data: bytes) -> Sheets:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = [archive.read(name) for name in archive.namelist() if name.startswith("xl/worksheets/")]
    merged = any(map(_MERGED.search, parts))
    sheets, blocks, hidden = _opened(data, values=True, merged=merged)
    if any(map(_FORMULA.search, parts)):
        formulas, _, _ = _opened(data, values=False, merged=merged)
        sheets = {title: _told(rows, formulas[title]) for title, rows in sheets.items()}
    return _shown({title: _spread(rows, blocks.get(title, ())) for title, rows in sheets.items()}, hidden)


def _opened(data: bytes, *, values: bool, merged: bool) -> tuple[Sheets, Mapping[str, list[Block]], set[str]]:
    """Return the rows of each sheet, its merged cells, and which sheets are hidden; `values`: not the formulas."""
    import openpyxl

    with warnings.catch_warnings():
        # Styles and validations it does not know; neither touches a value.
        warnings.simplefilter("ignore")
        # The fast way of reading does not tell which cells are merged.
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=not merged, data_only=values)
        sheets: dict[str, list[Cells]] = {}
        for sheet in book.worksheets:
            if not merged:
                sheet.reset_dimensions()  # some programs write a range that is too small
            sheets[sheet.title] = _trimmed(sheet.iter_rows(values_only=True))
        blocks = {sheet.title: _blocks(sheet) for sheet in book.worksheets} if merged else {}
        hidden = {sheet.title for sheet in book.worksheets if sheet.sheet_state != "visible"}
        book.close()
    return sheets, blocks, hidden


def _blocks(sheet: Any) -> list[Block]:
    ranges = sheet.merged_cells.ranges
    return [(each.min_row - 1, each.max_row - 1, each.min_col - 1, each.max_col - 1) for each in ranges]


def _told(rows: Sequence[Cells], formulas: Sequence[Cells]) -> list[Cells]:
    """Return the rows with a `Formula` in each cell that has one and no value."""

    def told(value: object, formula: object) -> object:
        if value is not None or formula is None:
            return value
        # A formula over several cells is an object that holds its text.
        return Formula(str(getattr(formula, "text", None) or formula))

    # Rows at the end that hold nothing but such formulas have been cut off with the empty ones.
    pairs = zip_longest(rows, formulas, fillvalue=())
    return [tuple(told(*cells) for cells in zip_longest(*pair)) for pair in pairs]


# --- the old format ---------------------------------------------------------------------------------------------------
def _xls(data: bytes) -> Sheets:
    import xlrd

    if not data.startswith(_OLE) and not _whole(data):
        # The library takes the rows that are left for all there are.
        raise ValueError("it ends before its last record")
    try:
        book = xlrd.open_workbook(file_contents=data, logfile=io.StringIO(), formatting_info=True)
    # Only formatting tells which cells are merged; where the library cannot read it, the values are still good.
    except Exception:
        book = xlrd.open_workbook(file_contents=data, logfile=io.StringIO())
    sheets: dict[str, list[Cells]] = {}
    for sheet in book.sheets():
        rows = _trimmed(tuple(_value(cell, book) for cell in sheet.row(n)) for n in range(sheet.nrows))
        sheets[sheet.name] = _spread(rows, [(a, b - 1, c, d - 1) for a, b, c, d in sheet.merged_cells])
    return _shown(sheets, {sheet.name for sheet in book.sheets() if sheet.visibility})


def _value(cell: Any, book: Any) -> object:
    import xlrd

    # An error cell holds its code as an int, '#N/A' for instance 42: it must not pass for a frame number.
    if cell.ctype == xlrd.XL_CELL_ERROR:
        return str(xlrd.error_text_from_code.get(cell.value, "#ERROR"))
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return bool(cell.value)
    if cell.ctype == xlrd.XL_CELL_DATE:
        return xlrd.xldate.xldate_as_datetime(cell.value, book.datemode)
    return None if cell.ctype in (xlrd.XL_CELL_EMPTY, xlrd.XL_CELL_BLANK) else cell.value


def _whole(data: bytes) -> bool:
    """Whether the records of a file without a container go on to the one that ends it."""
    place = 0
    while place + 4 <= len(data):
        kind, size = struct.unpack_from("<HH", data, place)
        if kind == _END_OF_BARE:
            return True
        place += 4 + size
    return False


# --- both -------------------------------------------------------------------------------------------------------------
def _trimmed(rows: Iterable[Sequence[object]]) -> list[Cells]:
    """Return the rows without the empty ones at the end: a sheet may be formatted far below its last value."""
    kept: list[Cells] = []
    empty = 0
    for row in rows:
        if any(cell is not None for cell in row):
            kept += [()] * empty
            kept.append(tuple(row))
            empty = 0
        else:
            empty += 1
    return kept


def _spread(rows: list[Cells], blocks: Iterable[Block]) -> list[Cells]:
    """Return the rows with the value of cells merged within one column in each of them."""
    for first, last, column, end in blocks:
        if column != end or first >= len(rows) or column >= len(rows[first]):
            continue
        for number in range(first + 1, min(last + 1, len(rows))):
            row = [*rows[number], *[None] * (column + 1 - len(rows[number]))]
            row[column] = Merged(rows[first][column])
            rows[number] = tuple(row)
    return rows


def _shown(sheets: Sheets, hidden: set[str]) -> Sheets:
    visible = {title: rows for title, rows in sheets.items() if title not in hidden}
    return visible if any(visible.values()) else sheets


def _locked(file: Path) -> DataError:
    fix = "open it with the password that the owners gave you and save it without one, as .xlsx"
    return _broken(file, "is protected by a password", fix)


def _broken(file: Path, problem: str, fix: str) -> DataError:
    return unusable(Fault("E201", str(file), problem, fix))
