"""CASME II's reader against small databases in its layout, whole and broken in every way that was thought of."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openpyxl
import pytest

from casme2_files import BLUE, GREEN, HEADER, RED, TABLE, jpeg, row, write_table
from example_databases import write_example
from microexpr.components.datasets.casme2 import Casme2
from microexpr.components.datasets.synthetic import SyntheticSpec, plan
from microexpr.components.datasets.synthetic.writing import table
from microexpr.core.clip import ActionUnit
from microexpr.core.errors import DataError, Fault, FrameError
from microexpr.core.facs import parse_action_units
from microexpr.core.interfaces import Modality, datasets
from microexpr.core.labels import LABEL_SETS

ROWS = (
    row("01", "EP02_01f", 46, 48, 50, "4+L10", "happiness"),
    row(3, "EP01_2", 7.0, " 8 ", "9", 4, " Others "),
    row("09", "EP09f", 1, 2, 4, "?", "disgust"),
)


def write_frames(folder: Path, numbers: Iterable[int], prefix: str = "img") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{prefix}{number}.jpg").write_bytes(jpeg())


def build(root: Path, rows: Sequence[Sequence[Any]] = ROWS, folder: str = "CASME2_RAW_selected", prefix: str = "img"):
    """Write a table and every frame that it names."""
    write_table(root / TABLE, rows)
    for cells in rows:
        numbers = range(int(cells[3]), int(cells[5]) + 1)
        write_frames(root / folder / f"sub{int(cells[0]):02d}" / cells[1], numbers, prefix)
    return root


def only(faults: Sequence[Fault]) -> Fault:
    assert len(faults) == 1, list(map(str, faults))
    return faults[0]


def says(fault: Fault, *words: str) -> None:
    assert all(word in str(fault) for word in words), f"{fault} does not say {words}"


# --- what a sound copy gives ------------------------------------------------------------------------------------------
def test_reads_subjects_times_emotions_and_action_units_as_people_typed_them(tmp_path):
    first, second, third = Casme2(build(tmp_path)).clips()
    assert first.key == "casme2/01/EP02_01f/46-50"
    assert (first.onset, first.apex, first.offset, first.fps) == (46, 48, 50, 200.0)
    assert first.action_units == (ActionUnit(4), ActionUnit(10, side="L"))
    assert first.labels == {"action_units": ("4+L10",)}
    assert first.subject == "casme2/01"
    assert (second.subject_id, second.onset, second.apex, second.offset) == ("03", 7, 8, 9)
    assert (second.emotion, second.action_units) == ("others", (ActionUnit(4),))
    assert (third.video, third.action_units, third.labels) == ("EP09f", (), {"action_units": ("?",)})


def test_a_sound_copy_has_no_fault(tmp_path):
    reader = Casme2(build(tmp_path))
    assert reader.faults() == ()
    assert reader.applied() == ()


def test_columns_are_found_by_name_wherever_they_are(tmp_path):
    build(tmp_path)
    header = ("estimated emotion", "ACTION UNITS", "Offset Frame", "apex_frame", "Onset frame", "file name", "subject ")
    note = ("the table of 2014",)
    cells = ("happiness", "4", 50, 48, 46, "EP02_01f", "01")
    write_table(tmp_path / TABLE, [(), header, cells], note)
    (clip,) = Casme2(tmp_path).clips()
    assert (clip.key, clip.apex, clip.emotion) == ("casme2/01/EP02_01f/46-50", 48, "happiness")


def test_construction_reads_nothing():
    Casme2(Path("nowhere at all"))


def test_frames_are_rgb_in_the_order_asked_for(tmp_path):
    reader = Casme2(build(tmp_path))
    frames = reader.frames(reader.clips()[0], [50, 46, 50], "colour")
    assert frames.shape == (3, 16, 24, 3)
    assert frames.dtype == np.uint8
    assert np.abs(frames.reshape(-1, 3).astype(int) - (RED, GREEN, BLUE)).max() < 6
    assert reader.modalities() == {"colour": Modality(("r", "g", "b"))}
    with pytest.raises(DataError, match=r"no modality 'depth'.*colour"):
        reader.frames(reader.clips()[0], [46], "depth")


def test_each_number_is_its_own_file(tmp_path):
    reader = Casme2(build(tmp_path))
    folder = tmp_path / "CASME2_RAW_selected/sub01/EP02_01f"
    (folder / "img48.jpg").write_bytes(cv2.imencode(".jpg", np.zeros((16, 24, 3), np.uint8))[1].tobytes())
    # Not frames: a browser's copy, and what macOS leaves behind.
    (folder / "img46 (1).jpg").write_bytes(b"")
    (folder / "._img47.jpg").write_bytes(b"")
    (folder / "img51.jpg").write_bytes(b"a frame that the clip does not have")
    assert [int(frame.max()) < 10 for frame in reader.frames(reader.clips()[0], [47, 48, 49], "colour")] == [0, 1, 0]
    assert reader.faults() == ()


@pytest.mark.parametrize(
    ("folder", "prefix", "cropped"),
    [
        ("CASME2_RAW_selected", "img", "no"),
        ("CASME2_RAW_selected/CASME2_RAW_selected", "img", "no"),
        ("CASME2-RAW", "img", "no"),
        ("Cropped", "reg_img", "yes"),
        ("Cropped-updated/Cropped", "reg_img", "yes"),
    ],
)
def test_frame_folders_as_they_are_unpacked(tmp_path, folder, prefix, cropped):
    reader = Casme2(build(tmp_path, folder=folder, prefix=prefix))
    assert reader.faults() == ()
    assert (reader.metadata()["folder"], reader.metadata()["cropped"]) == (folder, cropped)
    assert reader.frames(reader.clips()[0], [46], "colour").shape == (1, 16, 24, 3)


def test_raw_is_preferred_and_cropped_can_be_chosen(tmp_path):
    build(tmp_path)
    build(tmp_path, folder="Cropped", prefix="reg_img")
    assert Casme2(tmp_path).metadata()["folder"] == "CASME2_RAW_selected"
    assert Casme2(tmp_path, folder="cropped").metadata()["cropped"] == "yes"


def test_fingerprint_follows_table_and_frames_but_not_the_place(tmp_path):
    root = build(tmp_path / "a")
    before = Casme2(root).fingerprint()
    moved = Path(shutil.copytree(root, tmp_path / "b"))
    assert Casme2(moved).fingerprint() == before
    with (moved / "CASME2_RAW_selected/sub01/EP02_01f/img46.jpg").open("ab") as stream:
        stream.write(b"\0")
    assert Casme2(moved).fingerprint() != before
    write_table(root / TABLE, [*ROWS[:2], row("09", "EP09f", 1, 3, 4, "?", "disgust")])
    assert Casme2(root).fingerprint() != before


@pytest.mark.parametrize("contained", [False, True])
def test_old_excel_format(tmp_path, contained):
    build(tmp_path)
    (tmp_path / TABLE).unlink()
    (tmp_path / "CASME2_label_Ver_2.xls").write_bytes(old_excel([HEADER, *ROWS], contained))
    reader = Casme2(tmp_path)
    assert reader.faults() == ()
    assert [clip.key for clip in reader.clips()] == [
        "casme2/01/EP02_01f/46-50",
        "casme2/03/EP01_2/7-9",
        "casme2/09/EP09f/1-4",
    ]


def old_excel(rows: Sequence[Sequence[object]], contained: bool) -> bytes:
    """Return a worksheet as Excel 2.1 wrote it, or a workbook of Excel 5 in the container that .xls files have."""
    records = []
    for y, cells in enumerate(rows):
        for x, cell in enumerate(cells):
            place = struct.pack("<HH", y, x)
            if isinstance(cell, str):
                text = struct.pack("<HH", 0, len(cell)) if contained else bytes((0, 0, 0, len(cell)))
                records.append((0x0204 if contained else 0x0004, place + text + cell.encode("ascii")))
            elif cell is not None:
                attributes = bytes(2 if contained else 3)
                records.append((0x0203 if contained else 0x0003, place + attributes + struct.pack("<d", cell)))
    if not contained:
        return _records([(0x0009, struct.pack("<HH", 2, 0x10)), *records, (0x000A, b"")])
    start, end = (0x0809, struct.pack("<HHHH", 0x0500, 5, 0, 0)), (0x000A, b"")
    sheet = lambda at: (0x0085, struct.pack("<IHB", at, 0, 6) + b"Sheet1")  # noqa: E731
    head = len(_records([start, sheet(0), end]))
    begin = (0x0809, struct.pack("<HHHH", 0x0500, 0x10, 0, 0))
    return _compound(_records([start, sheet(head), end, begin, *records, end]))


def _records(records: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack("<HH", kind, len(data)) + data for kind, data in records)


def _compound(stream: bytes) -> bytes:
    """Return a compound file with one stream: header, allocation table, directory, then the stream's sectors."""
    stream = stream.ljust(4096, b"\0")
    stream += bytes(-len(stream) % 512)
    count, free, last = len(stream) // 512, 0xFFFFFFFF, 0xFFFFFFFE
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    header += struct.pack("<HHHHH6xIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, 4096, last, 0, last, 0)
    chain = [0xFFFFFFFD, last, *range(3, count + 2), last]
    table_ = struct.pack("<128I", *chain, *[free] * (128 - len(chain)))
    entries = _entry("Root Entry", 5, 1, last, 0) + _entry("Book", 2, free, 2, len(stream))
    return header + struct.pack("<109I", 0, *[free] * 108) + table_ + entries.ljust(512, b"\0") + stream


def _entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
    title = (name + "\0").encode("utf-16-le")
    none = 0xFFFFFFFF
    return title.ljust(64, b"\0") + struct.pack("<HBBIII36xIII", len(title), kind, 1, none, none, child, start, size, 0)


# --- label versions ---------------------------------------------------------------------------------------------------
def full_table(file: Path, surprise: int, sadness: int, uncoded: int, first: Sequence[object] | None = None) -> Path:
    counts = {"others": 99, "disgust": 63, "happiness": 32, "repression": 27, "fear": 2}
    words = [word for word, n in {**counts, "surprise": surprise, "sadness": sadness}.items() for _ in range(n)]
    rows = [row("01", f"EP{n}", 1, 2, 3, "?" if n < uncoded else 4, word) for n, word in enumerate(words)]
    return write_table(file, [first or rows[0], *rows[1:]])


@pytest.mark.parametrize(
    ("name", "counts", "version"),
    [
        ("20140508", (25, 7, 5), "2014-05-08 (surprise 25, sadness 7)"),
        ("20190701", (28, 4, 0), "2019-07-01 (surprise 28, sadness 4)"),
        ("updated", (28, 4, 0), "2019-07-01 (surprise 28, sadness 4)"),
        (
            "20140508",
            (28, 4, 0),
            "2019-07-01 (surprise 28, sadness 4), although the file's name says 2014-05-08",
        ),
        (
            "20140508",
            (25, 7, 0),
            "neither 2014-05-08 nor 2019-07-01 (255 rows, surprise 25, sadness 7, 0 action-unit cells '?'); "
            "nearest to 2014-05-08, but action-unit cells '?' 0, not 5",
        ),
    ],
)
def test_label_version_is_told_by_content(tmp_path, name, counts, version):
    full_table(tmp_path / f"CASME2-coding-{name}.xlsx", *counts)
    reader = Casme2(tmp_path)
    assert reader.metadata()["label version"] == version
    assert len(reader.clips()) == 255


def test_a_table_with_an_added_row_is_neither_version(tmp_path):
    file = full_table(tmp_path / TABLE, 25, 7, 5)
    book = openpyxl.load_workbook(file)
    book["Sheet1"].append(list(row("24", "EP02_07", 61, 91, 106, 4, "disgust")))
    book.save(file)
    stated = Casme2(tmp_path).metadata()["label version"]
    assert stated.startswith("neither 2014-05-08 nor 2019-07-01 (256 rows")
    assert stated.endswith("; nearest to 2014-05-08, but 256 rows, not 255; disgust 64, not 63")


def test_two_tables_are_a_question_that_a_parameter_answers(tmp_path):
    build(tmp_path)
    other = "CASME2-coding-20190701.xlsx"
    write_table(tmp_path / other, ROWS[:1])
    (tmp_path / "~$CASME2-coding-20190701.xlsx").write_bytes(b"lock")
    fault = only(Casme2(tmp_path).faults())
    says(fault, "2 tables", TABLE, other, f"--set table={TABLE} ")
    assert fault.clip is None
    assert len(Casme2(tmp_path, table=other).clips()) == 1
    says(only(Casme2(tmp_path, table="mine.xlsx").faults()), "[E205]", "table mine.xlsx", TABLE)


def test_objective_classes_are_labels_where_their_table_lies_beside(tmp_path):
    build(tmp_path)
    rows = [(1, "EP02_01f", 1), ("03", "EP01_2", 5)]
    write_table(tmp_path / "CASME2-ObjectiveClasses.xlsx", rows, ("Subject", "Filename", "Objective Class"))
    clips = Casme2(tmp_path).clips()
    assert [clip.labels.get("objective class") for clip in clips] == [("1",), ("5",), None]
    assert [LABEL_SETS["objective_7"].of(clip) for clip in clips] == ["1", "5", None]


def objective(
    root: Path, *rows: Sequence[object], header: Sequence[object] = ("Subject", "Filename", "Objective Class")
):
    write_table(root / "CASME2-ObjectiveClasses.xlsx", rows, header)
    return Casme2(root)


def test_objective_classes_whose_names_are_in_another_case_are_the_clips(tmp_path):
    reader = objective(build(tmp_path), ("sub01", "ep02_01F", 1), (3.0, " EP01_2 ", 5.0))
    assert [clip.labels.get("objective class") for clip in reader.clips()] == [("1",), ("5",), None]
    assert (reader.faults(), reader.notes()) == ((), ())


@pytest.mark.parametrize("cell", [0, 8, "III", "?", None, 2.5])
def test_an_objective_class_that_is_none_is_told_with_its_row(tmp_path, cell):
    reader = objective(build(tmp_path), ("01", "EP02_01f", cell), ("03", "EP01_2", 5))
    fault = only(reader.faults())
    says(fault, f"{TABLE}, row 2", "its objective class is '", "row 2 of CASME2-ObjectiveClasses.xlsx", "1, 2, 3, 4, 5")
    assert fault.clip == "casme2/01/EP02_01f/46-50"
    assert [clip.video for clip in reader.clips()] == ["EP01_2", "EP09f"]


def test_two_objective_classes_of_a_clip_are_told(tmp_path):
    reader = objective(
        build(tmp_path), ("01", "EP02_01f", 1), ("01", "EP02_01F", 2), ("03", "EP01_2", 5), (3, "EP01_2", 5)
    )
    fault = only(reader.faults())
    says(fault, "its objective class is '1' in row 2 and '2' in row 3 of CASME2-ObjectiveClasses.xlsx")
    assert fault.clip == "casme2/01/EP02_01f/46-50"
    # The same class twice is harmless.
    assert [clip.labels.get("objective class") for clip in reader.clips()] == [("5",), None]


def test_objective_classes_of_no_clip_are_one_remark(tmp_path):
    lost = [("07", f"EP{n}", 9) for n in range(8)]
    reader = objective(build(tmp_path), ("01", "EP02_01f", 1), *lost, (None, "EP01_2", 4))
    assert reader.faults() == ()
    remark = only(reader.notes(table_only=True))
    says(remark, "[E256]", "CASME2-ObjectiveClasses.xlsx: ", "row 3 (07/EP0)", "and 3 more")
    assert remark.clip is None
    # A clip whose own row is wrong is none of them.
    write_table(tmp_path / TABLE, [*ROWS[:2], row("01", "EP9", 5, 2, 4, 4, "joy")])
    (remark,) = objective(tmp_path, ("01", "EP9", 2), ("02", "EP9", 2)).notes(table_only=True)
    says(remark, "row 3 (02/EP9)")
    assert "row 2" not in str(remark)


@pytest.mark.parametrize("spoil", ["broken", "no header", "cut off", "no rows"])
def test_without_a_readable_table_of_objective_classes_clips_are_read_without_them(tmp_path, spoil):
    build(tmp_path)
    file = tmp_path / "CASME2-ObjectiveClasses.xlsx"
    header = ("Subject", "Filename", "Class") if spoil == "no header" else ("Subject", "Filename", "Objective Class")
    write_table(file, [] if spoil == "no rows" else [("01", "EP02_01f", 1)], header)
    if spoil in ("broken", "cut off"):
        file.write_bytes(b"broken" if spoil == "broken" else file.read_bytes()[:-200])
    reader = Casme2(tmp_path)
    assert (len(reader.clips()), reader.faults()) == (3, ())
    says(only(reader.notes()), "CASME2-ObjectiveClasses.xlsx: its classes are not read: ")


def test_the_scrap_on_the_second_sheet_of_the_objective_classes_is_not_read(tmp_path):
    build(tmp_path)
    book = openpyxl.Workbook()
    for sheet, rows in (
        (book.active, [("01", "EP02_01f", 1), ("03", "EP01_2", 5)]),
        (book.create_sheet("Sheet2"), [("01", "EP02_01f", 6)]),
    ):
        for cells in (("Subject", "Filename", "Objective Class"), *rows):
            sheet.append(cells)
    book.save(tmp_path / "CASME2-ObjectiveClasses.xlsx")
    reader = Casme2(tmp_path)
    assert (reader.clips()[0].labels["objective class"], reader.faults()) == (("1",), ())


def test_the_fingerprint_follows_the_objective_classes(tmp_path):
    before = objective(build(tmp_path), ("01", "EP02_01f", 1)).fingerprint()
    assert objective(tmp_path, ("01", "EP02_01f", 2)).fingerprint() != before


@pytest.mark.parametrize(
    ("apex", "stated"), [("/", ""), (279, ", but the apex of 04/EP12_01f has been filled in (279)")]
)
def test_an_apex_that_somebody_filled_in_is_told(tmp_path, apex, stated):
    full_table(tmp_path / TABLE, 25, 7, 5, first=row("04", "EP12_01f", 257, apex, 325, "?", "others"))
    assert Casme2(tmp_path).metadata()["label version"] == f"2014-05-08 (surprise 25, sadness 7){stated}"
    assert Casme2(tmp_path, corrections=False).metadata()["label version"].endswith(stated or "sadness 7)")


def test_other_differences_from_a_released_table_are_told(tmp_path):
    full_table(tmp_path / TABLE, 25, 7, 5, first=row("04", "EP12_01f", 257, 291, 325, "?", "disgust"))
    stated = Casme2(tmp_path).metadata()["label version"]
    assert stated.endswith(
        "but others 98, not 99; disgust 64, not 63; the apex of 04/EP12_01f has been filled in (291)"
    )
    full_table(tmp_path / TABLE, 25, 7, 5, first=row("04", "EP12_01f", 257, 9, 325, "?", "others"))
    assert "(255 rows, surprise 25, sadness 7, 4 " in Casme2(tmp_path).metadata()["label version"]
    assert (
        "; nearest to 2014-05-08, but 1 rows with faults; others 98, " in Casme2(tmp_path).metadata()["label version"]
    )


def test_synthetic_marker_is_stated_and_keeps_its_subjects_apart(tmp_path):
    build(tmp_path)
    spec = '{"spec": {"seed": 7, "expression_size": 3.0, "labels": "20140508"}}'
    (tmp_path / "microexpr-synthetic.json").write_text(spec, "utf-8")
    reader = Casme2(tmp_path)
    assert reader.metadata()["synthetic"] == "seed 7, expression size 3.0, labels 20140508"
    assert reader.metadata()["label version"] == "imitates 20140508 (surprise 0, sadness 0)"
    assert (reader.clips()[0].dataset, reader.clips()[0].subject) == ("casme2", "synthetic-7/01")
    (tmp_path / "microexpr-synthetic.json").write_text("{", "utf-8")
    assert "cannot be read" in Casme2(tmp_path).metadata()["synthetic"]
    assert Casme2(tmp_path).clips()[0].namespace == "synthetic"


def test_clips_whose_apex_is_an_end_are_facts_not_faults(tmp_path):
    rows = [row("05", "EP09_05f", 3, 3, 6, 4, "repression"), row("12", "EP09_06", 3, 6, 6, 4, "disgust")]
    reader = Casme2(build(tmp_path, rows))
    assert reader.faults() == ()
    assert reader.metadata()["apex on onset"] == "05/EP09_05f"
    assert reader.metadata()["apex on offset"] == "12/EP09_06"


# --- corrections ------------------------------------------------------------------------------------------------------
def corrected(
    root: Path, cells: Sequence[Any], present: Iterable[int], **options: Any
) -> tuple[Casme2, tuple[int | None, ...]]:
    write_table(root / TABLE, [cells])
    write_frames(root / "CASME2_RAW_selected" / f"sub{cells[0]}" / cells[1], present)
    reader = Casme2(root, **options)
    (clip,) = reader.clips()
    return reader, (clip.onset, clip.apex, clip.offset)


NO_APEX = row("04", "EP12_01f", 257, "/", 325, 4, "disgust")
SHORT = row("16", "EP01_08", 73, 84, 110, 4, "disgust")


def test_missing_apex_becomes_the_middle(tmp_path):
    reader, times = corrected(tmp_path, NO_APEX, range(257, 326))
    assert times == (257, 291, 325)
    (correction,) = reader.applied()
    assert (correction.clip, correction.found, correction.used) == ("04/EP12_01f", "/", 291)
    assert reader.faults() == ()


def test_missing_apex_of_another_clip_stays_missing(tmp_path):
    reader, times = corrected(tmp_path, row("04", "EP12_02f", 1, "/", 5, 4, "disgust"), range(1, 6))
    assert times == (1, None, 5)
    assert reader.metadata()["without apex"] == "04/EP12_02f"
    assert (reader.applied(), reader.faults()) == ((), ())


def test_offset_past_the_folder_becomes_its_last_frame(tmp_path):
    reader, times = corrected(tmp_path, SHORT, range(73, 97))
    assert times == (73, 84, 96)
    assert [str(correction) for correction in reader.applied()] == [
        "16/EP01_08: offset 110 read as 96 (its folder ends at frame 96)"
    ]
    assert reader.faults() == ()


def test_a_folder_that_has_all_frames_needs_no_correction(tmp_path):
    reader, times = corrected(tmp_path, SHORT, range(73, 111))
    assert times == (73, 84, 110)
    assert (reader.applied(), reader.faults()) == ((), ())


def test_a_folder_that_ends_elsewhere_is_a_fault_not_a_correction(tmp_path):
    reader, times = corrected(tmp_path, SHORT, range(73, 91))
    assert times == (73, 84, 110)
    says(only(reader.faults()), "lacks the frames 91-110")


@pytest.mark.parametrize(
    ("clip", "table", "other"),
    [(("07", "EP06_01"), (15, 49, 68), (56, 89, 116)), (("12", "EP09_02"), (16, 59, 101), (161, 176, 206))],
)
def test_folders_numbered_as_in_another_copy(tmp_path, clip, table, other):
    cells = row(*clip, *table, 4, "disgust")
    reader, times = corrected(tmp_path / "other", cells, range(other[0], other[2] + 1))
    assert times == other
    assert [c.clip for c in reader.applied()] == ["/".join(clip)]
    assert reader.faults() == ()
    reader, times = corrected(tmp_path / "table", cells, range(table[0], table[2] + 1))
    assert times == table
    assert (reader.applied(), reader.faults()) == ((), ())
    # The long recordings have the frames of both.
    reader, times = corrected(tmp_path / "both", cells, range(1, other[2] + 1))
    assert (times, reader.applied(), reader.faults()) == (table, (), ())
    reader, times = corrected(tmp_path / "neither", cells, range(20, 60))
    assert times == table
    assert reader.applied() == ()
    says(only(reader.faults()), f"of {table[0]}-{table[2]}", "(it has 20-59)")


def test_corrections_can_be_switched_off(tmp_path):
    reader, times = corrected(tmp_path / "a", NO_APEX, range(257, 326), corrections=False)
    assert (times, reader.applied()) == ((257, None, 325), ())
    reader, times = corrected(tmp_path / "b", SHORT, range(73, 97), corrections=False)
    assert (times, reader.applied()) == ((73, 84, 110), ())
    fault = only(reader.faults())
    says(fault, "sub16/EP01_08", "lacks the frames 97-110 of 73-110", "copy its folder again")
    assert fault.clip == reader.clips()[0].key


def test_a_table_that_somebody_mended_already_is_left_alone(tmp_path):
    reader, times = corrected(tmp_path, row("04", "EP12_01f", 257, 294, 325, 4, "disgust"), range(257, 326))
    assert (times, reader.applied()) == ((257, 294, 325), ())


# --- rows -------------------------------------------------------------------------------------------------------------
GOOD = ROWS[0]


@pytest.mark.parametrize(
    ("cells", "words", "key"),
    [
        (
            row("01", "E", 46, 51, 50, 4, "fear"),
            ("[E223]", "apex 51", "46-50"),
            "casme2/01/E/46-50",
        ),
        (
            row("01", "E", 46, -1, 50, 4, "fear"),
            ("[E223]", "apex -1"),
            "casme2/01/E/46-50",
        ),
        (
            row("01", "E", 46, 46, 40, 4, "fear"),
            ("[E223]", "offset 40", "onset 46"),
            "casme2/01/E/46-40",
        ),
        (row("01", "E", 1, 2, 9_000_000, 4, "fear"), ("would have 9000000 frames",), "casme2/01/E/1-9000000"),
        (row("01", "E", "4b", 46, 50, 4, "fear"), ("[E221]", "onset cell ", "'4b'", "write the frame number"), "01/E"),
        (
            row("01", "E", 46, 47.5, 50, 4, "fear"),
            ("[E221]", "apex cell ", "'47.5'"),
            "casme2/01/E/46-50",
        ),
        (row("01", "E", 46, None, 50, 4, "fear"), ("apex cell is empty",), "casme2/01/E/46-50"),
        (
            row("01", "E", 46, 47, "inf", 4, "fear"),
            ("[E221]", "offset cell ", "'inf'"),
            "01/E",
        ),
        (
            row("01", "E", 46, 47, 50, 4, "happyness"),
            ("unknown emotion 'happyness' (did you mean 'happiness'?)", "others, disgust, happiness, repression"),
            "casme2/01/E/46-50",
        ),
        (row("01", "E", 46, 47, 50, 4, None), ("unknown emotion ''",), "casme2/01/E/46-50"),
        (row("Bob", "E", 46, 47, 50, 4, "fear"), ("[E221]", "subject cell ", "'Bob'", "01 to 26"), "?/E"),
        (row(None, "E", 46, 47, 50, 4, "fear"), ("subject cell is empty",), "?/E"),
        (row("01", " ", 46, 47, 50, 4, "fear"), ("video cell is empty",), "01/?"),
    ],
)
def test_a_row_that_is_wrong_is_told_with_its_place(tmp_path, cells, words, key):
    build(tmp_path, [GOOD])
    write_table(tmp_path / TABLE, [GOOD, (), cells])
    reader = Casme2(tmp_path)
    fault = only(reader.faults())
    says(fault, f"{TABLE}, row 4", *words)
    assert fault.clip == key
    assert [clip.video for clip in reader.clips()] == ["EP02_01f"]


def test_a_clip_with_two_rows(tmp_path):
    build(tmp_path, [GOOD])
    write_table(tmp_path / TABLE, [GOOD, row("1", "EP02_01f", 46, 47, 49, 4, "fear")])
    reader = Casme2(tmp_path)
    fault = only(reader.faults())
    says(fault, "row 3 (01/EP02_01f)", "in the table twice", "delete one")
    # Nobody can tell which row is right, so the one that was kept is the faulty one.
    assert [fault.clip] == [clip.key for clip in reader.clips()]


def test_all_faults_are_told_at_once(tmp_path):
    build(tmp_path)
    rows = [*ROWS, row("05", "A", 1, 9, 3, 4, "joy"), row("06", "B", 1, 2, 3, 4, "fear")]
    write_table(tmp_path / TABLE, rows)
    (tmp_path / "CASME2_RAW_selected/sub01/EP02_01f/img47.jpg").unlink()
    stated = "\n".join(map(str, Casme2(tmp_path).faults()))
    assert stated.count("\n") == 3
    for words in ("[E223]", "apex 9", "emotion 'joy'", "sub06/B: the clip's folder is missing", "frames 47 of"):
        assert words in stated


# --- frames -----------------------------------------------------------------------------------------------------------
def damage(change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: change(root / "CASME2_RAW_selected/sub01/EP02_01f/img48.jpg")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (damage(lambda file: file.unlink()), ("lacks the frames 48 of 46-50 (it has 46-47, 49-50)",)),
        (
            damage(lambda file: file.write_bytes(b"")),
            ("[E233]", "img48.jpg is empty (0 bytes)"),
        ),
        (
            damage(lambda file: file.write_bytes(jpeg()[:-9])),
            ("[E233]", "img48.jpg is truncated"),
        ),
        (
            damage(lambda file: file.write_text("<html>")),
            ("[E233]", "img48.jpg is not an image"),
        ),
        (damage(lambda file: shutil.copy(file, file.with_name("img048.jpg"))), ("img048.jpg and img48.jpg",)),
        (damage(lambda file: shutil.rmtree(file.parent)), ("the clip's folder is missing",)),
    ],
)
def test_damaged_folders(tmp_path, change, words):
    build(tmp_path)
    change(tmp_path)
    reader = Casme2(tmp_path)
    fault = only(reader.faults())
    says(fault, "CASME2_RAW_selected/sub01/EP02_01f", *words, "copy its folder again")
    assert fault.clip == "casme2/01/EP02_01f/46-50"
    assert fault.clip in [clip.key for clip in reader.clips()]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, r"EP02_01f: frame 48 is missing; the folder has 46-47, 49-50"),
        (b"", r"img48\.jpg is empty"),
        (jpeg()[:-9], r"img48\.jpg is truncated.*copy it again"),
        (b"\xff\xd8" + bytes(50) + b"\xff\xd9", r"img48\.jpg cannot be decoded"),
    ],
)
def test_reading_a_frame_that_is_not_whole_names_the_file(tmp_path, content, words):
    reader = Casme2(build(tmp_path))
    file = tmp_path / "CASME2_RAW_selected/sub01/EP02_01f/img48.jpg"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(FrameError, match=words):
        reader.frames(reader.clips()[0], [47, 48], "colour")


def test_frames_of_two_sizes_cannot_be_one_array(tmp_path):
    reader = Casme2(build(tmp_path))
    file = tmp_path / "CASME2_RAW_selected/sub01/EP02_01f/img48.jpg"
    file.write_bytes(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    with pytest.raises(FrameError, match=r"img48\.jpg is 8x8.*img47\.jpg is 24x16"):
        reader.frames(reader.clips()[0], [47, 48], "colour")


# --- a database that cannot be used at all ----------------------------------------------------------------------------
def test_no_frames_at_all(tmp_path):
    write_table(tmp_path / TABLE, [*ROWS, row("05", "A", 1, 2, 3, 4, "joy")])
    (tmp_path / "pictures").mkdir()
    fault, of_a_row = Casme2(tmp_path).faults()
    says(of_a_row, "emotion 'joy'")
    says(fault, "[E209]", "CASME2_RAW_selected", "Cropped", "its folders are pictures")
    assert fault.clip is None
    # The table alone is still worth reading.
    assert len(Casme2(tmp_path).clips()) == 3
    assert Casme2(tmp_path).metadata()["folder"] == "none"


def test_the_other_kind_of_frames_is_offered(tmp_path):
    build(tmp_path, folder="Cropped", prefix="reg_img")
    fault = only(Casme2(tmp_path, folder="raw").faults())
    says(fault, "[E209]", "CASME2_RAW_selected", "--set folder=cropped ")


def test_roots_that_are_wrong(tmp_path):
    root = build(tmp_path / "data/casme2")

    def stated(path: Path) -> Fault:
        fault = only(Casme2(path).faults())
        assert fault.clip is None
        with pytest.raises(DataError, match="cannot be read"):
            Casme2(path).clips()
        return fault

    says(stated(root.parent / "casme"), "does not exist (did you mean 'casme2'?)")
    says(stated(root / TABLE), "[E204]", f"contains it, {root}")
    says(stated(root.parent), "[E205]", "coding table", f"give {root} instead, which contains {TABLE}")
    says(stated(root / "CASME2_RAW_selected"), f"give {root} instead")
    says(stated(root / "CASME2_RAW_selected/sub01"), f"give {root} instead")
    (tmp_path / "x/y/empty").mkdir(parents=True)
    says(stated(tmp_path / "x/y/empty"), "it contains nothing", "CASME2-coding-*.xlsx")


def encrypted() -> bytes:
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le") + bytes(600)


def other_zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("content.xml", "<ods/>")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda whole: whole[: len(whole) // 2], ("[E207]", "download it again")),
        (lambda _: encrypted(), ("protected by a password", "save it without one")),
        (lambda _: b"Subject,Filename\n01,EP02_01f\n", ("is not an Excel workbook", "save it as .xlsx")),
        (lambda _: b"", ("is empty (0 bytes)",)),
        (lambda _: other_zip(), ("not an Excel workbook", "save it again")),
        (lambda _: encrypted()[:512], ("[E207]",)),
    ],
)
def test_workbooks_that_cannot_be_read(tmp_path, spoil, words):
    file = build(tmp_path) / TABLE
    file.write_bytes(spoil(file.read_bytes()))
    fault = only(Casme2(tmp_path).faults())
    says(fault, TABLE, *words)
    assert fault.clip is None
    with pytest.raises(DataError, match=TABLE):
        Casme2(tmp_path).clips()


def test_missing_columns_are_told_with_what_was_found(tmp_path):
    build(tmp_path)
    write_table(tmp_path / TABLE, [("01", "EP02_01f", 1)], ("Subject", "Filename", "Objective Class"))
    fault = only(Casme2(tmp_path).faults())
    says(fault, "'Sheet1' has Subject, Filename, Objective Class and lacks OnsetFrame", "'Sheet2' is empty")
    says(fault, "with the columns Subject, Filename, OnsetFrame, ApexFrame, OffsetFrame, Action Units, Est")
    assert fault.clip is None


# --- action units -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("cell", "units"),
    [
        ("4", ["4"]),
        ("4+L10", ["4", "L10"]),
        ("R12+R15", ["R12", "R15"]),
        ("?", []),
        ("", []),
        ("12B", ["12B"]),
        ("L12A+4?", ["L12A", "4?"]),
        ("10A/B", ["10A/B"]),
        ("1 + 2", ["1", "2"]),
        ("4，7", ["4", "7"]),
        ("4 or 7", ["4?", "7?"]),
        ("soft focus", []),
    ],
)
def test_action_units(cell, units):
    assert list(map(str, parse_action_units(cell))) == units


# --- the example ------------------------------------------------------------------------------------------------------
def test_the_registry_finds_and_binds_it():
    assert "casme2" in datasets.names()
    assert datasets.bind("casme2", {"folder": "cropped"}) == {"folder": "cropped", "corrections": True, "table": None}


def test_the_whole_synthetic_table_is_read_with_every_quirk(tmp_path):
    """All 255 clips with small pictures; drawing them is another test's work."""
    spec = SyntheticSpec()
    (tmp_path / "CASME2-coding-20140508.xlsx").write_bytes(table(plan(spec)))
    (tmp_path / "picture").write_bytes(jpeg())
    for clip in plan(spec):
        folder = tmp_path / "CASME2_RAW_selected" / clip.folder
        folder.mkdir(parents=True)
        for number in clip.numbers:
            os.link(tmp_path / "picture", folder / f"img{number}.jpg")
    reader = Casme2(tmp_path)
    assert list(map(str, reader.faults())) == []
    assert sorted(correction.clip for correction in reader.applied()) == ["04/EP12_01f", "16/EP01_08"]
    assert reader.metadata()["label version"] == "2014-05-08 (surprise 25, sadness 7)"
    assert reader.metadata()["apex on onset"] == "05/EP09_05f"
    assert len(reader.metadata()["apex on offset"].split(", ")) == 4
    assert (len(reader.clips()), len({clip.subject for clip in reader.clips()})) == (255, 26)


def test_the_example_is_sound(tmp_path):
    write_example("casme2", tmp_path)
    reader = Casme2(tmp_path)
    assert list(map(str, reader.faults())) == []
    assert (len(reader.clips()), len({clip.subject for clip in reader.clips()})) == (6, 4)
    assert reader.clips()[0].namespace.startswith("synthetic-")
    assert "layout casme2" in reader.metadata()["synthetic"]
    assert [correction.clip for correction in reader.applied()] == ["04/EP12_01f"]
    assert reader.metadata()["without apex"] == "03/EP09f"
    assert {clip.labels.get("objective class") for clip in reader.clips()} == {("1",), ("3",), ("4",), ("7",), None}
    assert reader.frames(reader.clips()[0], [reader.clips()[0].onset], "colour").shape == (1, 240, 320, 3)
