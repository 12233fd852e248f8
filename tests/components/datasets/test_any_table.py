"""Tables as people leave them: a reader answers with the right clips or with what is wrong, never with a traceback.

The first part spoils small workbooks in every way that was thought of; the second takes the example of every reader
that is registered, spoils its table at random, and compares what is read with what the sound table gives.
"""

from __future__ import annotations

import csv
import io
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import openpyxl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from example_databases import write_example
from microexpr.components.datasets._folders import child
from microexpr.components.datasets._table import Row, RowReader, find_rows, plain
from microexpr.components.datasets._workbook import Formula, read_sheets
from microexpr.components.datasets.manifest import read_csv
from microexpr.core.clip import ActionUnit, Clip
from microexpr.core.delimited_text import squeeze
from microexpr.core.errors import ConfigError, DataError, Fault
from microexpr.core.facs import beside_units, narrow, parse_action_units, still_units
from microexpr.core.interfaces import Dataset, datasets

Grid = list[list[object]]
COLUMNS = {
    "subject": ("Subject",),
    "video": ("Filename",),
    "onset": ("OnsetFrame", "Onset"),
    "offset": ("OffsetFrame",),
}
OPTIONAL = {"apex": ("ApexFrame",), "units": ("AU",), "emotion": ("Emotion",)}
HEADER = ("Subject", "Filename", "OnsetFrame", "OffsetFrame", "AU")
GOOD = ("01", "EP01", 5, 9, "4+7")


def save(
    file: Path, sheets: Mapping[str, Iterable[Sequence[object]]], change: Callable[..., object] | None = None
) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for cells in rows:
            sheet.append(list(cells))
    if change:
        change(book)
    book.save(file)
    return file


def rows_of(file: Path) -> list[Row]:
    return find_rows(file, read_sheets(file), COLUMNS, OPTIONAL)


def first(tmp_path: Path, *cells: object, header: Sequence[object] = HEADER) -> RowReader:
    """Return the reader of a row that has these cells."""
    file = save(tmp_path / "t.xlsx", {"Sheet1": [header, cells]})
    return RowReader(file, rows_of(file)[0])


def stated(error: pytest.ExceptionInfo[DataError]) -> str:
    return str(error.value)


def with_values(file: Path, values: Mapping[str, str]) -> None:
    """Save values beside formulas, as a spreadsheet does and openpyxl does not."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"].decode()
    for formula, value in values.items():
        assert f"<f>{formula}</f><v />" in sheet or f"<f>{formula}</f><v/>" in sheet
        sheet = sheet.replace(f"<f>{formula}</f><v />", f"<f>{formula}</f><v>{value}</v>")
        sheet = sheet.replace(f"<f>{formula}</f><v/>", f"<f>{formula}</f><v>{value}</v>")
    parts["xl/worksheets/sheet1.xml"] = sheet.encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


# --- cells ------------------------------------------------------------------------------------------------------------
def test_a_formula_without_a_saved_value_is_told_and_one_with_it_is_read(tmp_path):
    file = save(tmp_path / "t.xlsx", {"Sheet1": [HEADER, ("01", "EP01", 5, "=C2+4", "4"), ("=A2", "EP02", 5, 9, "4")]})
    offset, subject = (RowReader(file, row) for row in rows_of(file))
    assert offset.number("offset") is None
    assert subject.required("subject") == ""
    (code, problem, fix), *rest = offset.problems
    assert (code, "offset cell " in problem, "'=C2+4'" in problem) == ("E221", True, True)
    assert "open the table in a spreadsheet and save it" in fix
    assert not rest
    assert ["the formula '=A2'" in problem for _, problem, _ in subject.problems] == [True]
    with_values(file, {"C2+4": "9", "A2": "1"})
    offset, subject = (RowReader(file, row) for row in rows_of(file))
    assert (offset.number("offset"), subject.required("subject")) == (9, "1")
    assert not offset.problems + subject.problems


def test_formulas_filled_down_to_nowhere_make_no_rows(tmp_path):
    file = save(
        tmp_path / "t.xlsx", {"Sheet1": [HEADER, GOOD, (None, None, None, "=C3+4"), (), ("=A9", "=B9", "=C9", "=D9")]}
    )
    assert [row.number for row in rows_of(file)] == [2, 5]
    assert rows_of(file)[1].cells["onset"] == Formula("=C9")


@pytest.mark.parametrize("error", ["#N/A", "#REF!", "#DIV/0!", "#value!", " #NAME? "])
def test_error_cells_are_told_once(tmp_path, error):
    cells = first(tmp_path, error, error, error, 9, error)
    assert (cells.required("subject"), cells.required("video"), cells.number("onset")) == ("", "", None)
    assert cells.text("units") == ""
    assert [problem for _, problem, _ in cells.problems] == [
        f"the {column} cell contains the error {error.strip()}" for column in ("subject", "video", "onset", "units")
    ]
    assert cells.labels("units") == {"units": (error.strip(),)}
    assert cells.emotion("emotion", {}) is None


def test_dates_that_a_spreadsheet_made_are_told(tmp_path):
    cells = first(tmp_path, "01", "EP01", datetime(2024, 4, 10), 9, datetime(2024, 4, 10))
    assert (cells.number("onset"), cells.text("units")) == (None, "")
    problems = [problem for _, problem, _ in cells.problems]
    assert len(problems) == 2
    assert (
        "the units cell contains the time 2024-04-10, which a spreadsheet made from something like '4-10'" in problems
    )
    assert cells.problems[0][2] == "format its column as text and write what the owners wrote"


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        (46, 46),
        (46.0, 46),
        ("46", 46),
        (" 46 ", 46),
        ("046", 46),
        ("46.0", 46),
        ("４６", 46),
        ("\u200b46", 46),
        (0, 0),
        (-3, -3),
    ],
)
def test_numbers_as_people_store_them(tmp_path, cell, number):
    cells = first(tmp_path, "01", "EP01", cell, 9)
    assert (cells.number("onset"), cells.problems) == (number, [])


@pytest.mark.parametrize(
    "cell",
    [
        "4b",
        "46,5",
        "46.5",
        46.5,
        "1_000",
        "1e3",
        "inf",
        "nan",
        "1,000",
        "4 6",
        "--4",
        True,
        "9" * 400,
        "½",
        "²",
        "IV",
        "?",
    ],
)
def test_what_is_no_whole_number_is_told(tmp_path, cell):
    cells = first(tmp_path, "01", "EP01", cell, 9)
    assert cells.number("onset") is None
    ((code, problem, fix),) = cells.problems
    assert (code, "onset cell " in problem, fix) == ("E221", True, "write the frame number")


@pytest.mark.parametrize("cell", ["/", "／", " / ", None, "", "-1", "\\"])
def test_an_apex_that_nobody_coded(tmp_path, cell):
    cells = first(tmp_path, "01", "EP01", 5, 9, cell, header=(*HEADER[:4], "ApexFrame"))
    assert (cells.times()["apex"], cells.problems) == (None, [])


def test_emotions_in_other_letters(tmp_path):
    words = {"happy": "happiness", "very sad": "sadness"}
    for cell, emotion in (("Happy", "happiness"), ("ｈａｐｐｙ ", "happiness"), ("very  sad", "sadness")):
        cells = first(tmp_path, "01", "EP01", 5, 9, cell, header=(*HEADER[:4], "Emotion"))
        assert (cells.emotion("emotion", words), cells.problems) == (emotion, [])


def test_names_that_no_file_system_takes_and_times_before_the_first_frame(tmp_path):
    cells = first(tmp_path, "01", "E" * 300, -4, 9)
    assert cells.required("video") == ""
    cells.check_times(-4, None, 9)
    assert [problem for _, problem, _ in cells.problems] == [
        "the video cell contains 300 letters",
        "the onset -4 is before the first frame",
    ]


def test_a_name_that_leads_out_of_the_folder_is_no_entry_of_it(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    assert child(tmp_path / "a", "B") == tmp_path / "a/b"
    for name in ("/", "/etc", "..", "../a", "b/../.."):
        assert not child(tmp_path / "a", name).exists()
        assert child(tmp_path / "a", name).parent == tmp_path / "a"


def test_the_same_thing_is_told_once(tmp_path):
    cells = first(tmp_path, "01", "EP01", "#N/A", 9)
    assert [cells.number("onset") for _ in range(3)] == [None, None, None]
    assert len(cells.faults("01/EP01", "k")) == 1


# --- sheets -----------------------------------------------------------------------------------------------------------
def test_columns_and_rows_that_are_nobodys(tmp_path):
    rows = [
        *[("Table of clips",), ()] * 6,
        ("no", "AU", None, "filename", "extra", "Offset_Frame", "ONSET FRAME", "Subject "),
        (1, "4+7", None, "EP01", "x", 9, 5, "01"),
        (),
        (None, None, None, None, "a note", None, None, None),
        (2, "12", None, "EP02", None, "9", "5", 2),
        *[()] * 30,
    ]
    file = save(tmp_path / "t.xlsx", {"Empty": [], "Sheet1": rows}, lambda book: book["Sheet1"].cell(5000, 3))
    found = rows_of(file)
    assert [row.number for row in found] == [14, 17]
    assert [RowReader(file, row).required("video") for row in found] == ["EP01", "EP02"]
    assert found[0].cells["units"] == "4+7"


def test_a_header_too_far_down_and_sheets_without_one_are_told(tmp_path):
    file = save(tmp_path / "t.xlsx", {"A": [*[("note",)] * 25, HEADER, GOOD], "B": [], "C": [("Subject", "Filename")]})
    with pytest.raises(DataError) as error:
        rows_of(file)
    assert "sheet 'A' has note and lacks Subject" in stated(error)
    assert "'B' is empty" in stated(error)
    assert "sheet 'C' has Subject, Filename and lacks OnsetFrame, OffsetFrame" in stated(error)


def test_a_header_without_rows_is_passed_over_or_told(tmp_path):
    file = save(tmp_path / "t.xlsx", {"A": [HEADER, ()], "B": [HEADER, GOOD]})
    assert len(rows_of(file)) == 1
    with pytest.raises(DataError, match="sheet 'A' has the columns but no row below them"):
        rows_of(save(tmp_path / "t.xlsx", {"A": [HEADER]}))
    with pytest.raises(DataError, match="'A' is empty"):
        rows_of(save(tmp_path / "t.xlsx", {"A": []}))


def test_hidden_sheets_count_only_where_no_other_has_rows(tmp_path):
    def hide(book):
        book["old"].sheet_state = "hidden"

    old, new = [HEADER, ("01", "OLD", 5, 9, "4")], [HEADER, GOOD]
    assert rows_of(save(tmp_path / "t.xlsx", {"old": old, "new": new}, hide))[0].cells["video"] == "EP01"
    assert rows_of(save(tmp_path / "t.xlsx", {"old": old, "new": []}, hide))[0].cells["video"] == "OLD"


def test_cells_merged_in_a_column_have_their_value_and_others_have_not(tmp_path):
    def merge(book):
        for cells in ("A2:A4", "C4:D4", "A1:A1"):
            book["S"].merge_cells(cells)

    rows = [HEADER, GOOD, (None, "EP02", 5, 9), (None, "EP03", 5, 9)]
    file = save(tmp_path / "t.xlsx", {"S": rows}, merge)
    found = [RowReader(file, row) for row in rows_of(file)]
    assert [cells.required("subject") for cells in found] == ["01", "01", "01"]
    assert (found[2].number("onset"), found[2].number("offset")) == (5, None)
    assert "the offset cell is empty" in found[2].problems[0][1]


def test_a_merged_cell_that_is_no_name_is_told(tmp_path):
    file = save(
        tmp_path / "t.xlsx", {"S": [HEADER, GOOD, ("02", "EP02", None, 9)]}, lambda b: b["S"].merge_cells("C2:C3")
    )
    cells = RowReader(file, rows_of(file)[1])
    cells.number("onset")
    assert "the onset cell is merged with the one above" in cells.problems[0][1]


def test_two_sheets_with_different_rows_are_refused(tmp_path):
    one, two = [HEADER, GOOD], [HEADER, ("01", "OLD", 5, 9, "4")]
    with pytest.raises(DataError, match="sheets 'A' and 'B' both have the columns, with different rows"):
        rows_of(save(tmp_path / "t.xlsx", {"A": one, "B": two}))
    assert len(rows_of(save(tmp_path / "t.xlsx", {"A": one, "B": one}))) == 1


def test_messages_name_the_tables_own_column(tmp_path):
    file = save(tmp_path / "t.xlsx", {"S": [HEADER, ("01", "EP01", "x", 9, "4")]})
    row = replace(rows_of(file)[0], headers={"onset": "OnsetFrame"})
    cells = RowReader(file, row)
    cells.number("onset")
    assert "(column OnsetFrame)" in str(cells.faults("01/EP01", "k")[0])


def test_a_header_of_two_rows(tmp_path):
    def merge(book):
        for cells in ("A1:A2", "B1:B2", "C1:D1"):
            book["S"].merge_cells(cells)

    rows = [("Subject", "Filename", "Frames", None), (None, None, "Onset", "OffsetFrame"), GOOD]
    (row,) = rows_of(save(tmp_path / "t.xlsx", {"S": rows}, merge))
    assert (row.number, row.cells["onset"], row.cells["subject"]) == (3, 5, "01")


def test_a_column_that_is_there_twice(tmp_path):
    header = (*HEADER, "Onset Frame")
    with pytest.raises(DataError, match=r"'OnsetFrame' more than once.*rename or delete"):
        rows_of(save(tmp_path / "t.xlsx", {"S": [header, (*GOOD, 6)]}))
    with pytest.raises(DataError, match="'AU' more than once"):
        rows_of(save(tmp_path / "t.xlsx", {"S": [(*HEADER, "au"), (*GOOD, "12")]}))
    # Nothing hangs on which of two equal columns is read, nor on another spelling's.
    assert len(rows_of(save(tmp_path / "t.xlsx", {"S": [header, (*GOOD, "5")]}))) == 1
    assert rows_of(save(tmp_path / "t.xlsx", {"S": [(*HEADER, "Onset"), (*GOOD, 77)]}))[0].cells["onset"] == 5


def old(rows: Sequence[tuple[int, int, str, object]]) -> bytes:
    """Return a sheet of Excel 2 whose cells are text, number, truth value or error."""
    import struct

    parts = [(9, struct.pack("<HH", 2, 0x10))]
    for y, x, kind, value in rows:
        place = struct.pack("<HH", y, x) + bytes(3)
        if kind == "text":
            parts.append((4, place + bytes((len(str(value)),)) + str(value).encode("ascii")))
        elif kind == "number":
            parts.append((3, place + struct.pack("<d", value)))
        else:
            parts.append((5, place + bytes((int(str(value)), kind == "error"))))
    return b"".join(struct.pack("<HH", kind, len(data)) + data for kind, data in [*parts, (10, b"")])


def test_truth_values_and_errors_of_old_workbooks_are_no_frame_numbers(tmp_path):
    file = tmp_path / "t.xls"
    header = [(0, x, "text", name) for x, name in enumerate(HEADER)]
    cells = [
        (1, 0, "text", "01"),
        (1, 1, "text", "EP01"),
        (1, 2, "truth", 1),
        (1, 3, "error", 42),
        (1, 4, "number", 4.0),
    ]
    file.write_bytes(old([*header, *cells]))
    found = RowReader(file, rows_of(file)[0])
    assert (found.number("onset"), found.number("offset"), found.text("units")) == (None, None, "4")
    assert ["'True'" in found.problems[0][1], "error #N/A" in found.problems[1][1]] == [True, True]


def test_an_old_workbook_that_is_cut_off_is_not_taken_for_a_shorter_one(tmp_path):
    file = tmp_path / "t.xls"
    whole = old([(y, x, "text", "a") for y in range(3) for x in range(3)])
    for end in range(4, len(whole) - 1):
        file.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"truncated|is not an Excel workbook"):
            read_sheets(file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le"),
            "protected by a password",
        ),
        (b"PK\x03\x04" + bytes(40), "is truncated, damaged"),
        (b"%PDF-1.7", "is not an Excel workbook"),
    ],
)
def test_files_that_are_no_workbooks(tmp_path, content, words):
    (tmp_path / "t.xlsx").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_sheets(tmp_path / "t.xlsx")


def test_lines_of_text_files(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("Subject, Clip\n01,a,,\n,\n02,b\n", "utf-8-sig")
    headers, rows = read_csv(file, ("subject", "clip"))
    assert headers == ["subject", "clip"]
    assert [(row.number, row.cells["clip"]) for row in rows] == [(2, "a"), (4, "b")]
    file.write_text("subject,clip\n01,a,b\n", "utf-8")
    with pytest.raises(DataError, match="has 3 cells in line 2, but 2 columns"):
        read_csv(file, ())


def test_a_table_of_4206_rows_is_read_in_less_than_five_seconds(tmp_path):
    rows = [(f"spNO.{n % 94}", "a", n, n + 9, "4+L10", n + 3, "disgust", *"abc") for n in range(4206)]
    header = (*HEADER, "ApexFrame", "Emotion", "x", "y", "z")
    file = save(
        tmp_path / "t.xlsx", {"S": [header, *rows, (None, None, "=C2")]}, lambda book: book["S"].merge_cells("K1:L1")
    )
    started = time.process_time()
    read = [RowReader(file, row) for row in rows_of(file)]
    units = [parse_action_units(cells.text("units")) for cells in read if cells.times() and cells.required("video")]
    assert time.process_time() - started < 5
    assert len(units) == 4206


# --- action units -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("cell", "units", "beside"),
    [
        ("4+L10", ["4", "L10"], []),
        ("R12+R15", ["R12", "R15"], []),
        ("?", [], []),
        ("A/L12", ["L12"], ["A"]),
        ("10A/B", ["10A/B"], []),
        ("12(k)", ["12"], []),
        ("12 （K）", ["12"], []),
        ("AU4(k)+L7", ["4", "L7"], []),
        ("AUR2+12(k)+45", ["R2", "12", "45"], []),
        ("4，7", ["4", "7"], []),
        ("4、7；10", ["4", "7", "10"], []),
        ("４＋Ｌ１０Ａ", ["4", "L10A"], []),
        ("4+7, 10", ["4", "7", "10"], []),
        ("AU4", ["4"], []),
        ("au 4+Au12", ["4", "12"], []),
        ("L14A or R14B", ["L14A?", "R14B?"], []),
        ("R12 or R12 + R15", ["R12?", "R12?", "R15?"], []),
        ("(R6 or R12)+R15", ["R6?", "R12?", "R15"], []),
        ("R15+(R6 or (R12))+（4/7）+9", ["R15", "R6?", "R12?", "4?", "7?", "9"], []),
        ("(R6) or R12+R15", ["R6?", "R12?", "R15?"], []),
        ("4+(6 or 12", ["4?", "6?", "12?"], []),
        ("AD38", ["AD38"], []),
        ("14+ad 38+AU38+38", ["14", "AD38", "38", "38"], []),
        ("ADL32A+4/AD38", ["ADL32A?", "4?", "AD38?"], []),
        ("4/7", ["4?", "7?"], []),
        ("12L+l10", ["L12", "L10"], []),
        ("12b?", ["12B?"], []),
        ("4 ?", ["4?"], []),
        ("12A?(k)", ["12A?"], []),
        ("T28", ["28"], ["T"]),
        ("soft focus", [], ["soft focus"]),
        ("ref(43)+4", ["43", "4"], ["ref"]),
        ("6+12 (eyes closed)", ["6", "12"], ["eyes closed"]),
        ("123", [], ["123"]),
        ("L4R", ["L4"], ["R"]),
        ("R4L + 12", ["R4", "12"], ["L"]),
        ("L4L", ["L4"], []),
        ("4+l0", ["4"], ["l0"]),
        ("0", [], ["0"]),
        ("10+04", ["10", "4"], []),
        ("4.10", [], ["4.10"]),
        ("12AB", ["12"], ["AB"]),
        ("", [], []),
    ],
)
def test_action_units_lose_nothing(cell, units, beside):
    assert list(map(str, parse_action_units(cell))) == units
    assert list(beside_units(cell)) == beside


def test_units_that_do_not_move():
    assert list(map(str, still_units("AU4(k)+L7+R12A （k）"))) == ["4", "R12A"]
    assert still_units("4+7") == ()


UNITS = st.builds(
    ActionUnit,
    st.integers(1, 98),
    st.sampled_from([None, "L", "R"]),
    st.sampled_from([None, *"ABCDE", "A/B", "C/D"]),
    st.booleans(),
    st.booleans(),
)


@given(st.lists(UNITS, max_size=6), st.sampled_from(["+", " + ", ", ", "，", "、", "；", " "]), st.booleans())
def test_units_are_read_as_they_are_printed(units, sign, named):
    text = sign.join(("AU" if named and not unit.descriptor else "") + str(unit) for unit in units)
    assert list(parse_action_units(text)) == units
    assert beside_units(text) == ()


@given(st.text(st.sampled_from("0123456789LRABDKklor ?/+,，(（)）.-TU"), max_size=14))
def test_no_digit_of_a_cell_is_lost(text):
    # An even count of digits more than once is no concern: numbers may have a zero before them.
    kept = "".join([str(unit.number) for unit in parse_action_units(text)] + list(beside_units(text)))
    for digit in set("123456789"):
        assert kept.count(digit) == narrow(text).count(digit)


# --- every reader -----------------------------------------------------------------------------------------------------
class Original:
    """A reader's example without its pictures, read with some parameters, and the clips that the sound tables give."""

    def __init__(self, root: Path, kind: type[Dataset], parameters: Mapping[str, str]) -> None:
        self.root, self.kind, self.parameters = root, kind, parameters
        self.notes: Sequence[Fault] = ()
        reader = kind(root, **parameters)
        tables = [reader._file] if hasattr(reader, "_file") else list(getattr(reader, "_tables", ()))
        self.tables = {file: file.read_bytes() for file in tables}
        self.clips = {clip.key: clip for clip in reader.clips()} if tables else {}
        assert not tables or list(map(str, reader.faults(table_only=True))) == []

    def __repr__(self) -> str:
        return f"the example of {self.kind.__name__} with {dict(self.parameters)}"

    def read(self) -> tuple[dict[str, Clip], Sequence[Fault]]:
        """Return the clips that carry no fault, and the faults, and mend the tables again."""
        try:
            return self._read()
        finally:
            for file, content in self.tables.items():
                file.write_bytes(content)

    def _read(self) -> tuple[dict[str, Clip], Sequence[Fault]]:
        reader = self.kind(self.root, **self.parameters)
        faults = reader.faults(table_only=True)
        try:
            clips = reader.clips()
        except DataError as error:
            # Not readable at all: then that is what was told.
            return {}, faults if list(error.faults) == list(faults) else ()
        assert all(fault.where and fault.problem and fault.fix for fault in faults)
        assert reader.metadata()
        self.notes = reader.notes(table_only=True)
        assert isinstance(self.notes, Sequence)
        faulty = {fault.clip for fault in faults}
        return {clip.key: clip for clip in clips if clip.key not in faulty}, faults


def skeleton(source: Path, root: Path) -> None:
    """Copy an example without its pictures."""
    for path in source.rglob("*"):
        if path.is_dir():
            (root / path.relative_to(source)).mkdir(parents=True, exist_ok=True)
        elif path.suffix.casefold() in (".xlsx", ".xls", ".csv", ".json", ".txt"):
            file = root / path.relative_to(source)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(path.read_bytes())


def variants(kind: type[Dataset]) -> Iterator[dict[str, str]]:
    """Yield the parameters of a reader with which it may read other rows or tables: one choice other than usual."""
    yield {}
    for parameter, hint in get_type_hints(kind.__init__).items():
        if get_origin(hint) is Literal and parameter != "folder":
            yield from ({parameter: choice} for choice in get_args(hint))


@pytest.fixture(scope="session")
def originals(tmp_path_factory) -> Callable[[str], list[Original]]:
    """Each reader's example, drawn when it is first asked for: with empty pictures, since nobody looks at them."""
    kept: dict[str, list[Original]] = {}

    def blank(subject, numbers, *_, **__):
        return (np.zeros((480, 640, 3), np.uint8) for _ in numbers)

    def read(root: Path, kind: type[Dataset], parameters: Mapping[str, str]) -> list[Original]:
        try:
            return [Original(root, kind, parameters)]
        except (ConfigError, DataError):
            # A choice that needs another one, or that the example has no table for.
            assert parameters
            return []

    def original(name: str) -> list[Original]:
        if name not in kept:
            source, root = tmp_path_factory.mktemp(f"{name}-example"), tmp_path_factory.mktemp(name)
            kind = datasets.get(name)
            with pytest.MonkeyPatch.context() as patch:  # others draw in this session too
                patch.setattr("example_databases.files.film", blank)
                patch.setattr(
                    "microexpr.components.datasets.synthetic.writing.render",
                    lambda *_: np.zeros((480, 640, 3), np.uint8),
                )
                write_example(name, source)
            skeleton(source, root)
            found = [each for parameters in variants(kind) for each in read(root, kind, parameters)]
            kept[name] = [each for each in found if each.tables]
        return kept[name]

    return original


@pytest.fixture
def examples(name: str, originals) -> list[Original]:
    return originals(name) or pytest.skip("has no table")


every_reader = pytest.mark.parametrize("name", datasets.names())
few = settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass
class Table:
    """A table being spoilt: its sheets as rows of equal length; `headers` are the rows that hold names of columns."""

    file: Path
    sheets: dict[str, Grid]
    headers: dict[str, int]

    @classmethod
    def of(cls, original: Original, file: Path) -> Table:
        content = original.tables[file]
        if file.suffix == ".csv":
            sheets = {"": list(csv.reader(io.StringIO(content.decode())))}
            return cls(file, {"": [list(row) for row in sheets[""]]}, {"": 0})
        sheets = {title: _square(rows) for title, rows in read_sheets(file).items()}
        spelt = {**original.kind.columns, **original.kind.optional}
        # The class: a column of the table beside CASME II's.
        known = {squeeze(word) for words in spelt.values() for word in words} | {"objectiveclass"}
        found = {title: _header(rows, known) for title, rows in sheets.items()}
        return cls(file, sheets, {title: index for title, index in found.items() if index is not None})

    def write(self) -> None:
        if self.file.suffix == ".csv":
            stream = io.StringIO()
            csv.writer(stream).writerows(self.sheets[""])
            self.file.write_text(stream.getvalue(), "utf-8")
            return
        book = openpyxl.Workbook()
        book.remove(book.active)
        for title, rows in self.sheets.items():
            sheet = book.create_sheet(title)
            for cells in rows:
                sheet.append([str(cell) if isinstance(cell, Formula) else cell for cell in cells])
        book.save(self.file)

    def data(self, title: str) -> range:
        """Return the places of a sheet's rows below its header."""
        return range(self.headers.get(title, -1) + 1, len(self.sheets[title]))


def _square(rows: Sequence[Sequence[object]]) -> Grid:
    width = max(map(len, rows), default=0)
    return [[*row, *[None] * (width - len(row))] for row in rows]


def _header(rows: Grid, known: set[str]) -> int | None:
    held = [sum(squeeze(plain(cell)) in known for cell in row) for row in rows[:20]]
    return held.index(max(held)) if held and max(held) > 2 else None


def drawn(data: st.DataObject, original: Original) -> Table:
    return deepcopy(Table.of(original, data.draw(st.sampled_from(sorted(original.tables)))))


def sheet_of(data: st.DataObject, table: Table, *, named: bool = False) -> str | None:
    """Return a sheet that has rows of data; `named`: and a header."""
    titles = [title for title in table.sheets if table.data(title) and (title in table.headers or not named)]
    return data.draw(st.sampled_from(titles)) if titles else None


@every_reader
@few
@given(data=st.data())
def test_what_is_harmless_changes_nothing(name, examples, data):
    original = data.draw(st.sampled_from(examples))
    table = drawn(data, original)
    for title, rows in table.sheets.items():
        if not rows:
            continue
        head = table.headers.get(title)
        order = data.draw(st.permutations(table.data(title)))
        body = [rows[place] for place in order]
        for place in data.draw(st.lists(st.integers(0, len(body)), max_size=3)):
            body.insert(place, [None] * len(rows[0]))
        top = rows[: (head or 0) + (head is not None)]
        if table.file.suffix != ".csv":
            # Numbers stored as text, spaces around words.
            chance = Random(data.draw(st.integers(0, 99)))
            body = [[_as_text(cell) if chance.random() < 0.1 else cell for cell in row] for row in body]
            extra = data.draw(st.integers(0, 3)) if head is not None else 0
            top = [*[["Made-up", *[None] * (len(rows[0]) - 1)]] * extra, *top]
        table.sheets[title] = [*top, *body, *[[None] * len(rows[0])] * data.draw(st.integers(0, 2))]
        if head is not None:
            table.sheets[title] = _rearranged(data, table.sheets[title], len(top) - 1, table.file.suffix == ".csv")
    if table.file.suffix != ".csv" and data.draw(st.booleans()):
        table.sheets = {"an empty sheet": [], **table.sheets}
    table.write()
    clips, faults = original.read()
    assert list(map(str, faults)) == []
    assert clips == original.clips


def _as_text(cell: object) -> object:
    if isinstance(cell, str):
        return f" {cell} "
    return plain(cell) if isinstance(cell, int | float) else cell


def _rearranged(data: st.DataObject, rows: Grid, head: int, text: bool) -> Grid:
    """Return the rows with their columns in another order, others between them, and headers in other letters."""
    width = len(rows[0])
    order: list[int | None] = list(data.draw(st.permutations(range(width))))
    for place in data.draw(st.lists(st.integers(0, width), max_size=2)):
        order.insert(place, None)
    foreign = iter(("added by somebody", "another note"))

    def cells(index: int, row: list[object]) -> list[object]:
        names = iter(foreign) if index == head else iter(())
        other = "" if text or index < head else "x"
        moved = [row[place] if place is not None else next(names, other) for place in order]
        return [name.upper() if isinstance(name, str) else name for name in moved] if index == head else moved

    return [cells(index, row) for index, row in enumerate(rows)]


JUNK = st.one_of(
    st.sampled_from(
        [
            None,
            "",
            " ",
            "?",
            "/",
            "#N/A",
            "#REF!",
            "=A1+1",
            "４",
            "x y",
            "4+",
            "a/b",
            "..",
            "é" * 150,
            "True",
            "-",
            "\u200b",
            "\\",
        ]
    ),
    st.integers(-10, 10**7),
    st.sampled_from([46.5, -0.25, 1e300, 7.0]),
    st.booleans(),
    st.just(datetime(2024, 4, 10)),
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=8),
)


@every_reader
@few
@given(data=st.data())
def test_junk_in_a_cell_is_told_or_shown_and_touches_no_other_clip(name, examples, data):
    original = data.draw(st.sampled_from(examples))
    table = drawn(data, original)
    title = sheet_of(data, table, named=bool(table.headers))
    assert title is not None
    places = table.data(title)
    row = table.sheets[title][data.draw(st.sampled_from(places))]
    column, junk = data.draw(st.integers(0, len(row) - 1)), data.draw(JUNK)
    row[column] = junk
    table.write()
    clips, faults = original.read()
    strange = [clip for key, clip in clips.items() if original.clips.get(key) != clip]
    lost = [clip for key, clip in original.clips.items() if key not in clips]
    if table.headers:
        # Without a header some sheet may give names to what several rows say.
        assert all(len({(clip.subject_id, clip.video) for clip in each}) <= 1 for each in (strange, lost))
    assert strange or faults or not lost
    beside = table.file != next(iter(original.tables))
    for clip in strange:
        # A table beside the first names some clips' emotion; a name that is gone there leaves its clip without.
        assert shows(clip, junk) or (beside and lacks(clip, original)), f"{junk!r} in {column} became {clip} unsaid"


def lacks(clip: Clip, original: Original) -> bool:
    sound = original.clips.get(clip.key, clip)
    fewer = clip.labels.items() <= sound.labels.items() and clip.emotion in (None, sound.emotion)
    return fewer and replace(clip, emotion=sound.emotion, labels=sound.labels) == sound


def shows(clip: Clip, junk: object) -> bool:
    """Whether a clip shows what stands in its cell: as it is, or as nothing where that means nothing."""
    stated = narrow(plain(junk)).casefold()
    if stated in ("", "/", "\\", "-1", "0", "-", "?"):
        return True
    labels = [text for texts in clip.labels.values() for text in texts]
    units = map(str, clip.action_units)
    shown = (
        clip.dataset,
        clip.subject_id,
        clip.video,
        clip.onset,
        clip.apex,
        clip.offset,
        clip.emotion,
        clip.fps,
        *labels,
        *units,
    )
    return any(stated in narrow(str(each)).casefold() for each in shown)


@every_reader
@few
@given(data=st.data())
def test_a_row_that_stands_twice_harms_no_other(name, examples, data):
    original = data.draw(st.sampled_from(examples))
    table = drawn(data, original)
    title = sheet_of(data, table)
    assert title is not None
    rows = table.sheets[title]
    place = data.draw(st.sampled_from(table.data(title)))
    rows.insert(data.draw(st.integers(place, len(rows))), list(rows[place]))
    table.write()
    clips, faults = original.read()
    assert all(original.clips.get(key) == clip for key, clip in clips.items())
    assert len(clips) + len(faults) >= len(original.clips)


@every_reader
@few
@given(data=st.data())
def test_a_column_that_is_gone_is_told_or_leaves_only_itself_out(name, examples, data):
    original = data.draw(st.sampled_from(examples))
    table = drawn(data, original)
    title = sheet_of(data, table)
    assert title is not None
    rows = table.sheets[title]
    gone = data.draw(st.integers(0, len(rows[0]) - 1))
    table.sheets[title] = [[cell for place, cell in enumerate(row) if place != gone] for row in rows]
    table.write()
    clips, faults = original.read()
    for key, clip in clips.items():
        sound = original.clips[key]
        assert clip.apex in (None, sound.apex)
        assert clip.emotion in (None, sound.emotion)
        assert clip.fps in (None, sound.fps)
        assert all(set(texts) <= set(sound.labels[label]) for label, texts in clip.labels.items())
        assert clip.action_units in ((), sound.action_units)
    assert clips or faults


@every_reader
@few
@given(data=st.data())
def test_a_file_that_is_cut_off_or_damaged_is_told(name, examples, data):
    original = data.draw(st.sampled_from(examples))
    file = data.draw(st.sampled_from(sorted(original.tables)))
    whole = original.tables[file]
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(whole) - 20))
        cut = whole[:place] + data.draw(st.binary(min_size=20, max_size=20)) + whole[place + 20 :]
    file.write_bytes(cut)
    clips, faults = original.read()
    if file.suffix == ".csv":
        # Lines that are there are read; of the last nobody can tell whether it is whole.
        assert sum(original.clips.get(key) != clip for key, clip in clips.items()) <= 2 or len(cut) == len(whole)
    elif len(cut) < len(whole) and clips:
        # A table beside the first only adds to its clips: they are read without, and that is remarked.
        assert file != next(iter(original.tables))
        assert all(lacks(clip, original) or clip == original.clips[key] for key, clip in clips.items())
        assert any(file.name in remark.where for remark in original.notes)
    elif len(cut) < len(whole):
        assert faults
