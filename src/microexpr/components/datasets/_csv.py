"""CSV files as spreadsheets write them: comma, semicolon or tab, with or without a byte-order mark."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from microexpr.components.datasets._root import unusable
from microexpr.components.datasets._table import Row, squeeze
from microexpr.core.errors import DataError, Fault


def read_csv(file: Path, known: Sequence[str]) -> tuple[list[str], list[Row]]:
    """Return the headers and the rows; headers in `known` lose case and spaces, the others stay as they are.

    A row's number is its line in the file. Raises DataError that says what is wrong with the file.
    """
    lines = csv.reader(io.StringIO(text := _text(file), newline=""), delimiter=_delimiter(text), strict=True)
    try:
        numbered = [(lines.line_num, cells) for cells in lines if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise _broken(file, f"breaks off in line {lines.line_num} ({error})", "close its quotation marks") from None
    if not numbered:
        raise _broken(file, "is empty", "write one header and one line a clip")
    spelt = {squeeze(name): name for name in known}
    headers = [spelt.get(squeeze(cell), cell.strip()) for cell in numbered[0][1]]
    twice = sorted({header for header in headers if header and headers.count(header) > 1})
    if twice:
        raise _broken(file, f"has the column {twice[0]!r} more than once", "rename one of them")
    for number, cells in numbered[1:]:
        while len(cells) > len(headers) and not cells[-1].strip():
            cells.pop()  # spreadsheets write commas for cells that were empty
        if len(cells) != len(headers):
            problem = f"has {len(cells)} cells in line {number}, but {len(headers)} columns"
            raise _broken(file, problem, "put cells that hold a comma in quotation marks")
    return headers, [Row(number, dict(zip(headers, cells, strict=True))) for number, cells in numbered[1:]]


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise _broken(file, f"cannot be opened ({error.strerror})", "ask for the right to read it") from None
    except UnicodeDecodeError:
        raise _broken(file, "is not a text file in UTF-8", "save it as 'CSV UTF-8'") from None


def _delimiter(text: str) -> str:
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


def _broken(file: Path, problem: str, fix: str) -> DataError:
    return unusable(Fault("E201", str(file), problem, fix))
