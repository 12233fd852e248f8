"""How owners name tables, folders and subjects, where several readers have to tell the same thing of a name."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from microexpr.components.datasets._root import child, folders
from microexpr.components.datasets._table import Row, RowReader, find_rows
from microexpr.components.datasets._workbook import read_sheets
from microexpr.core.errors import DataError, Fault
from microexpr.core.facs import narrow

K = TypeVar("K")
_WORKBOOKS = (".xls", ".xlsx", ".xlsm")
_NUMBER = re.compile(r"(?:(?:sub|s)[ _-]*)?([0-9]{1,6})")
_OWN = re.compile(r"(?:sub|s)([0-9]{1,6})(?![0-9])")


def is_workbook(name: str) -> bool:
    """Whether a file's name ends as an Excel workbook's does, in any case of letters."""
    return name.casefold().endswith(_WORKBOOKS)


# --- folders ----------------------------------------------------------------------------------------------------------
def kinds(wanted: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of frames that may be read, the preferred first; 'auto' leaves the choice to what is there."""
    return tuple(known) if wanted == "auto" else (wanted,)


def first_kind(wanted: str, known: Mapping[str, K], place: Callable[[K], Path | None]) -> tuple[str, Path] | None:
    """Return the first kind of frames that is wanted and has a `place`, and that place."""
    found = ((kind, place(known[kind])) for kind in kinds(wanted, known))
    return next(((kind, folder) for kind, folder in found if folder), None)


def with_subjects(root: Path, names: Iterable[str], named: str) -> Path | None:
    """Return the first folder of these names that holds folders `named` so, also one level down (Cropped/Cropped).

    `named` is a pattern of casefolded names.
    """
    for name in names:
        place = child(root, name)
        for folder in (place, *folders(place)):
            if any(re.fullmatch(named, path.name.casefold()) for path in folders(folder)):
                return folder
    return None


# --- subjects ---------------------------------------------------------------------------------------------------------
def number_of(text: str, digits: int) -> str:
    """Return the number in a subject's name, padded with zeros; '' where it is none.

    >>> number_of("S1", 2), number_of("sub0012", 4), number_of("Bob", 2)
    ('01', '0012', '')
    """
    match = _NUMBER.fullmatch(narrow(text).casefold())
    return f"{int(match[1]):0{digits}d}" if match else ""


def subject_number(cells: RowReader, digits: int, known: str = "") -> str:
    """Return the number of a row's subject; what is none is noted, with the `known` ones."""
    found = cells.required("subject")
    number = number_of(found, digits)
    if found and not number:
        cells.note(f"the cell subject holds {found!r}", f"write the subject's number{known}")
    return number


def check_own(cells: RowReader, subject: str, video: str) -> None:
    """Note a clip that bears another subject's number: sub0001_01 in a row of sub0002."""
    own = _OWN.match(video.casefold())
    if subject and own and int(own[1]) != int(subject):
        cells.note(f"{video} is not called after its subject {subject}", "correct the one or the other")


# --- clips ------------------------------------------------------------------------------------------------------------
def left_out(names: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the names that are left out between others of the same beginning, with where they should be.

    >>> list(left_out(["s1_ne_01", "s1_ne_03", "s1_po_02"]))
    [('s1_ne_01 ... s1_ne_03', ['s1_ne_02'])]
    """
    numbers: dict[str, set[int]] = {}
    for name in names:
        start, _, number = name.rpartition("_")
        numbers.setdefault(start, set()).add(int(number))
    for start, found in numbers.items():
        first, last = min(found), max(found)
        lacking = [f"{start}_{number:02d}" for number in range(first, last) if number not in found]
        if lacking:
            yield f"{start}_{first:02d} ... {start}_{last:02d}", lacking


def alike_folders(places: Iterable[tuple[Path, str, Mapping[int, list[Path]]]]) -> dict[Path, list[Path]]:
    """Return the folders that begin with the same frame as others of their subject and have as many, with those others.

    `places` are folders, each with its subject and its frames by number. Where frames are counted from 1 in each clip,
    numbers tell nothing: there the first picture must be the same.
    """
    alike: dict[tuple[object, ...], list[Path]] = {}
    for place, subject, frames in places:
        if frames:
            first = min(frames)
            content = _content(frames[first][0]) if first <= 1 else b""
            alike.setdefault((subject, first, len(frames), content), []).append(place)
    return {place: [each for each in many if each != place] for many in alike.values() for place in many}


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


# --- tables beside the first ------------------------------------------------------------------------------------------
def rows_beside(
    files: Iterable[Path],
    columns: Mapping[str, Sequence[str]],
    optional: Mapping[str, Sequence[str]],
    holds: str,
) -> tuple[list[RowReader], list[Fault]]:
    """Return the rows of tables that add to the first one, and a remark for each that cannot be read.

    `holds` says what of them is then not read.
    """
    rows: list[RowReader] = []
    notes: list[Fault] = []
    for file in files:
        try:
            rows += [RowReader(file, row) for row in _longest(file, columns, optional)]
        except DataError as error:
            told = "; ".join(fault.problem for fault in error.faults) or str(error)
            fix = "; ".join(fault.fix for fault in error.faults) or "use the table as the owners ship it"
            notes.append(Fault("E201", str(file), f"{holds} are not read: {told}", fix))
    return rows, notes


def _longest(file: Path, columns: Mapping[str, Sequence[str]], optional: Mapping[str, Sequence[str]]) -> list[Row]:
    """Return the rows of the sheet that has most; the owners leave scraps of the same columns in others."""
    sheets = read_sheets(file)
    found: list[list[Row]] = []
    for title, rows in sheets.items():
        with contextlib.suppress(DataError):
            found.append(find_rows(file, {title: rows}, columns, optional))
    return max(found, key=len) if found else find_rows(file, sheets, columns, optional)
