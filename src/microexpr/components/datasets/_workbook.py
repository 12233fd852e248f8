"""Excel workbooks in the new and the old format, recognised by content; damaged ones get a clear error."""

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

from microexpr.components.datasets._folders import unusable

Cells: TypeAlias = tuple[object, ...]
Sheets: TypeAlias = Mapping[str, list[Cells]]
Block: TypeAlias = tuple[int, int, int, int]
"""Merged cells: first row, last row, first column, last column, counted from 0."""

_SUFFIXES = (".xls", ".xlsx", ".xlsm")
_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BARE_XLS = tuple(bytes((9, kind)) for kind in (0, 2, 4, 8))
_END_OF_BARE = 10
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_FORMULA = re.compile(rb"<(?:\w+:)?f[ />]")
_MERGED = re.compile(rb"<(?:\w+:)?mergeCell ")


@dataclass(frozen=True, slots=True)
class Formula:
    """A cell whose formula was saved without its value; it must not pass for an empty cell."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Merged:
    """A cell that is merged with the one above, whose value it displays."""

    value: object

    def __str__(self) -> str:
        return str(self.value)


def is_workbook(name: str) -> bool:
    """Whether a file name has the suffix of an Excel workbook, ignoring case."""
    return name.casefold().endswith(_SUFFIXES)


def read_sheets(file: Path) -> Sheets:
    """Return every sheet's rows, the first being spreadsheet row 1; raises DataError.

    Hidden sheets are left out where a visible one has rows. Cells merged within one column all have its value, below
    the first as `Merged`; cells merged across columns have it only in the first. Formulas give the value that was
    saved with them, or a `Formula`; dates are dates.
    """
    locked = ("is protected by a password", "open it with the owners' password and save it without one, as .xlsx")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise unusable(
            "E207", file, f"cannot be opened ({error.strerror})", "check that you have permission to read it"
        ) from None
    if not data:
        raise unusable("E207", file, "is empty (0 bytes)", "copy or download it again")
    if data.startswith(_OLE) and _ENCRYPTED in data:
        raise unusable("E207", file, *locked)
    # The suffix is not trusted: copies called .xls are often in the new format, and vice versa.
    reader = _xlsx if data.startswith(_ZIP) else _xls if data.startswith((_OLE, *_BARE_XLS)) else None
    if reader is None:
        fix = "use the table as distributed by the owners, or save it as .xlsx"
        raise unusable("E207", file, "is not an Excel workbook", fix)
    try:
        return reader(data)
    # Damaged workbooks make the two libraries raise all kinds of errors.
    except Exception as error:
        if "encrypted" in str(error).casefold():
            raise unusable("E207", file, *locked) from None
        problem = f"is truncated, damaged or not an Excel workbook ({type(error).__name__}: {error})"
        fix = "copy or download it again, or open it in a spreadsheet and save it again"
        raise unusable("E207", file, problem, fix) from None


# --- the new format ---------------------------------------------------------------------------------------------------
def _xlsx(data: bytes) -> Sheets:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = [archive.read(name) for name in archive.namelist() if name.startswith("xl/worksheets/")]
    merged = any(map(_MERGED.search, parts))
    sheets, blocks, hidden = _opened(data, values=True, merged=merged)
    if any(map(_FORMULA.search, parts)):
        formulas, _, _ = _opened(data, values=False, merged=merged)
        sheets = {title: _with_formulas(rows, formulas[title]) for title, rows in sheets.items()}
    return _visible({title: _spread(rows, blocks.get(title, ())) for title, rows in sheets.items()}, hidden)


def _opened(data: bytes, *, values: bool, merged: bool) -> tuple[Sheets, Mapping[str, list[Block]], set[str]]:
    """Return the rows of each sheet, its merged cells, and which sheets are hidden; `values` rather than formulas."""
    import openpyxl

    with warnings.catch_warnings():
        # It warns of styles and validations that it does not know; neither affects a value.
        warnings.simplefilter("ignore")
        # The fast mode does not report merged cells.
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=not merged, data_only=values)
        sheets: dict[str, list[Cells]] = {}
        for sheet in book.worksheets:
            if not merged:
                sheet.reset_dimensions()  # some programs write too small a range
            sheets[sheet.title] = _trimmed(sheet.iter_rows(values_only=True))
        blocks = {sheet.title: _blocks(sheet) for sheet in book.worksheets} if merged else {}
        hidden = {sheet.title for sheet in book.worksheets if sheet.sheet_state != "visible"}
        book.close()
    return sheets, blocks, hidden


def _blocks(sheet: Any) -> list[Block]:
    ranges = sheet.merged_cells.ranges
    return [(each.min_row - 1, each.max_row - 1, each.min_col - 1, each.max_col - 1) for each in ranges]


def _with_formulas(rows: Sequence[Cells], formulas: Sequence[Cells]) -> list[Cells]:
    """Return the rows with a `Formula` in each cell that has a formula but no value."""

    def cell(value: object, formula: object) -> object:
        if value is not None or formula is None:
            return value
        # A formula over several cells is an object with its text.
        return Formula(str(getattr(formula, "text", None) or formula))

    # Rows at the end that contain only such formulas have been cut off with the empty ones.
    pairs = zip_longest(rows, formulas, fillvalue=())
    return [tuple(cell(*cells) for cells in zip_longest(*pair)) for pair in pairs]


# --- the old format ---------------------------------------------------------------------------------------------------
def _xls(data: bytes) -> Sheets:
    import xlrd

    if not data.startswith(_OLE) and not _whole(data):
        # The library would take the remaining rows for all rows.
        raise ValueError("it ends before its last record")
    try:
        book = xlrd.open_workbook(file_contents=data, logfile=io.StringIO(), formatting_info=True)
    # Only the formatting shows which cells are merged; where the library cannot read it, the values are still valid.
    except Exception:
        book = xlrd.open_workbook(file_contents=data, logfile=io.StringIO())
    sheets: dict[str, list[Cells]] = {}
    for sheet in book.sheets():
        rows = _trimmed(tuple(_value(cell, book) for cell in sheet.row(n)) for n in range(sheet.nrows))
        sheets[sheet.name] = _spread(rows, [(a, b - 1, c, d - 1) for a, b, c, d in sheet.merged_cells])
    return _visible(sheets, {sheet.name for sheet in book.sheets() if sheet.visibility})


def _value(cell: Any, book: Any) -> object:
    import xlrd

    # An error cell contains its code as an int ('#N/A' is 42), which must not pass for a frame number.
    if cell.ctype == xlrd.XL_CELL_ERROR:
        return str(xlrd.error_text_from_code.get(cell.value, "#ERROR"))
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return bool(cell.value)
    if cell.ctype == xlrd.XL_CELL_DATE:
        return xlrd.xldate.xldate_as_datetime(cell.value, book.datemode)
    return None if cell.ctype in (xlrd.XL_CELL_EMPTY, xlrd.XL_CELL_BLANK) else cell.value


def _whole(data: bytes) -> bool:
    """Whether the records of a file without a container reach the end record."""
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
    """Return the rows with the value of cells merged within one column in each of these cells."""
    for first, last, column, end in blocks:
        if column != end or first >= len(rows) or column >= len(rows[first]):
            continue
        for number in range(first + 1, min(last + 1, len(rows))):
            row = [*rows[number], *[None] * (column + 1 - len(rows[number]))]
            row[column] = Merged(rows[first][column])
            rows[number] = tuple(row)
    return rows


def _visible(sheets: Sheets, hidden: set[str]) -> Sheets:
    visible = {title: rows for title, rows in sheets.items() if title not in hidden}
    return visible if any(visible.values()) else sheets
