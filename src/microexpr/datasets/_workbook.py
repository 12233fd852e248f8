"""Workbooks as they are found on disks: new and old Excel files, told apart by content, their faults in words."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from microexpr.datasets._root import unusable
from microexpr.errors import DataError, Fault

Sheets: TypeAlias = Mapping[str, list[tuple[object, ...]]]

_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BARE_XLS = tuple(bytes((9, kind)) for kind in (0, 2, 4, 8))
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


def read_sheets(file: Path) -> Sheets:
    """Return every sheet's rows, the first being spreadsheet row 1; raises DataError that says what is wrong."""
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


def _xlsx(data: bytes) -> Sheets:
    import openpyxl

    with warnings.catch_warnings():
        # Styles and validations it does not know; neither touches a value.
        warnings.simplefilter("ignore")
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        sheets: dict[str, list[tuple[object, ...]]] = {}
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # some programs write a range that is too small
            sheets[sheet.title] = [tuple(row) for row in sheet.iter_rows(values_only=True)]
        book.close()
    return sheets


def _xls(data: bytes) -> Sheets:
    import xlrd

    def value(cell: xlrd.sheet.Cell) -> object:
        # An error cell holds its code as an int, '#N/A' for instance 42: it must not pass for a frame number.
        if cell.ctype == xlrd.XL_CELL_ERROR:
            return str(xlrd.error_text_from_code.get(cell.value, "#ERROR"))
        return f"date {cell.value}" if cell.ctype == xlrd.XL_CELL_DATE else cell.value

    book = xlrd.open_workbook(file_contents=data, logfile=io.StringIO())
    return {sheet.name: [tuple(map(value, sheet.row(n))) for n in range(sheet.nrows)] for sheet in book.sheets()}


def _locked(file: Path) -> DataError:
    mend = "open it with the password that the owners gave you and save it without one, as .xlsx"
    return _broken(file, "is protected by a password", mend)


def _broken(file: Path, problem: str, mend: str) -> DataError:
    return unusable(Fault(str(file), problem, mend))
