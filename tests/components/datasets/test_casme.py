"""CASME's reader against small databases in its layout: two sections, shared videos, second apexes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from example_databases import write_example
from example_databases.files import xls
from microexpr.components.datasets.casme import Casme
from microexpr.core.clip import ActionUnit
from microexpr.core.errors import DataError, Fault
from microexpr.core.interfaces import datasets
from microexpr.core.labels import AS_GIVEN, label_set

TABLE = "CASME-coded-20190721.xls"
HEADER = (
    *("Subject", "Filename", None, "OnsetF", "ApexF1", "ApexF2", "OffsetF", None),
    *("Onset", "Total", "AU", "Emotion"),
)
EXTRACT = {
    "tense": 68,
    "disgust": 45,
    "repression": 39,
    "surprise": 20,
    "happiness": 7,
    "sadness": 6,
    "contempt": 2,
    "fear": 2,
}
"""Class counts of the public extract of 189 rows."""


def row(
    subject: object, video: str, times: Sequence[Any], units: object = 4, emotion: str = "tense", second: Any = "\\"
):
    onset, apex, offset = times
    total = (offset - onset + 1) * 1000 / 60 if isinstance(onset, int) and isinstance(offset, int) else "\\"
    return (subject, video, None, onset, apex, second, offset, None, 150.0, total, units, emotion)


def jpeg(shade: int = 90) -> bytes:
    return cv2.imencode(".jpg", np.full((16, 24, 3), shade, np.uint8))[1].tobytes()


def write_frames(folder: Path, numbers: Iterable[int], name: str = "{video}-{number}.jpg") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / name.format(video=folder.name, number=number)).write_bytes(jpeg())


ROWS = (
    row(1, "EP01_12", (5, 7, 9)),
    row(1, "EP01_12", (12, 13, 16), "4+17", "repression", 14),
    row(12, "EP07_4", (98, 99, 101), "R12", "happiness"),
)


def build(root: Path, rows: Sequence[Sequence[Any]] = ROWS, place: str = "CASME_raw_selected", name: str = "") -> Path:
    """Write a table and every frame that it names."""
    xls(root / TABLE, [HEADER, *rows])
    for cells in rows:
        folder = root / place / f"sub{int(cells[0]):02d}" / cells[1]
        write_frames(folder, range(int(cells[3]), int(cells[6]) + 1), name or "{video}-{number}.jpg")
    return root


def only(faults: Sequence[Fault]) -> Fault:
    assert len(faults) == 1, list(map(str, faults))
    return faults[0]


def says(fault: Fault, *words: str) -> None:
    assert all(word in str(fault) for word in words), f"{fault} does not say {words}"


# --- the table --------------------------------------------------------------------------------------------------------
def test_reads_the_owners_columns(tmp_path):
    reader = Casme(build(tmp_path))
    first, second, third = reader.clips()
    assert reader.faults() == ()
    assert (first.key, first.apex, first.fps, first.kind) == ("casme/01/EP01_12/5-9", 7, 60.0, "micro")
    assert first.labels == {"action_units": ("4",), "onset to apex ms": ("150",), "onset to offset ms": (f"{250 / 3}",)}
    assert (second.key, second.emotion, second.labels["second apex"]) == (
        "casme/01/EP01_12/12-16",
        "repression",
        ("14",),
    )
    assert second.action_units == (ActionUnit(4), ActionUnit(17))
    assert (third.subject, third.action_units) == ("casme/12", (ActionUnit(12, side="R"),))


def test_one_video_may_bear_two_expressions_but_not_one_twice(tmp_path):
    build(tmp_path, [*ROWS, ROWS[0]])
    fault = only(Casme(tmp_path).faults())
    says(fault, f"{TABLE}, row 5 (01/EP01_12)", "in the table twice")


@pytest.mark.parametrize("missing", ["\\", "/", None, "-1"])
def test_a_missing_apex_is_no_fault(tmp_path, missing):
    reader = Casme(build(tmp_path, [ROWS[2], row(1, "EP01_5", (5, missing, 9))]))
    _, clip = reader.clips()
    assert (clip.apex, reader.faults()) == (None, ())
    assert "second apex" not in clip.labels
    says(only(reader.notes()), "[E250]", "apex")


def test_rows_are_counted_against_the_known_tables(tmp_path):
    words = [word for word, count in EXTRACT.items() for _ in range(count)]
    xls(tmp_path / TABLE, [HEADER, *(row(n % 19 + 1, f"E{n}", (1, 2, 3), 4, w) for n, w in enumerate(words))])
    reader = Casme(tmp_path)
    counts = "tense 68, disgust 45, repression 39, surprise 20, happiness 7, sadness 6, contempt 2, fear 2"
    assert reader.metadata()["label version"] == f"the table that MEB reads (189 rows: {counts})"
    assert (len(reader.clips()), len({clip.subject for clip in reader.clips()})) == (189, 19)
    assert set(label_set(AS_GIVEN, reader.clips()).classes) == set(EXTRACT)
    more = [row(19, f"F{n}", (1, 2, 3), 4, "amusement") for n in range(4)]
    xls(tmp_path / TABLE, [HEADER, *(row(1, f"E{n}", (1, 2, 3), 4, w) for n, w in enumerate(words)), *more])
    assert Casme(tmp_path).metadata()["label version"].startswith("2019-07-21 (193 rows: tense 68")
    assert "happiness 11" in Casme(tmp_path).metadata()["label version"]
    build(tmp_path)
    assert Casme(tmp_path).metadata()["label version"].startswith("neither 2019-07-21 (193 rows) nor")


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (row("Bob", "E", (5, 7, 9)), ("[E221]", "subject cell ", "'Bob'", "write the subject's number")),
        (row(1, "", (5, 7, 9)), ("video cell is empty",)),
        (
            row(1, "E", (5, 70, 9)),
            ("[E223]", "apex 70"),
        ),
        (
            row(1, "E", (9, 9, 5)),
            ("[E223]", "offset 5", "onset 9"),
        ),
        (row(1, "E", ("\\", 7, 9)), ("[E221]", "onset cell ", "'\\\\'", "write the frame number")),
        (row(1, "E", (5, 7, 9), 4, "tens"), ("unknown emotion 'tens' (did you mean 'tense'?)",)),
        (row(1, "E", (5, 7, 9), 4, "anger"), ("unknown emotion 'anger'", "write one of tense, disgust")),
    ],
)
def test_a_row_that_is_wrong_is_told_with_its_place(tmp_path, cells, words):
    xls(tmp_path / TABLE, [HEADER, ROWS[0], cells])
    says(only(Casme(tmp_path).faults(table_only=True)), f"{TABLE}, row 3", *words)
    assert len(Casme(tmp_path).clips()) == 1


def test_frame_numbers_that_disagree_with_the_duration_are_remarked(tmp_path):
    cells = [*ROWS[0]]
    cells[9] = 250.0
    reader = Casme(build(tmp_path, [cells, *ROWS[1:]]))
    assert reader.faults() == ()
    says(only(reader.notes(table_only=True)), "casme/01/EP01_12/5-9", "Total is 250 ms", "5 frames of 1/60 s")


def test_a_new_workbook_with_other_spellings(tmp_path):
    build(tmp_path)
    (tmp_path / TABLE).unlink()
    book = openpyxl.Workbook()
    book.active.append(["note"])
    book.active.append([None, "emotion", "AU", "offsetf", "apexf1", "onsetf", "file name", "SUBJECT"])
    book.active.append([None, "tense", 4, 9, 7, 5, "EP01_12", "sub01"])
    book.save(tmp_path / "casme.xlsx")
    (clip,) = Casme(tmp_path).clips()
    assert (clip.key, clip.labels) == ("casme/01/EP01_12/5-9", {"action_units": ("4",)})


@pytest.mark.parametrize(
    ("name", "is_table"),
    [
        ("CASME-coded-20190721.xls", True),
        ("CASME.xls", True),
        ("casme1_label.xlsx", True),
        ("CASME2-coding-20140508.xlsx", False),
        ("CAS(ME)^2code_final.xlsx", False),
        ("CASME.pdf", False),
    ],
)
def test_which_file_is_its_table(tmp_path, name, is_table):
    assert Casme(tmp_path)._is_table(name) == is_table


def test_columns_that_lack_are_named(tmp_path):
    xls(tmp_path / TABLE, [("Subject", "Filename", "Onset", "Emotion"), (1, "E", 5, "tense")])
    says(only(Casme(tmp_path).faults()), TABLE, "lacks OnsetF, ApexF1, OffsetF, AU")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 11), st.sampled_from(["", "x", "-3", "\\", 1e9, 7, 2.5, "Subject", "é"])
        ),
        max_size=5,
    )
)
def test_a_mangled_table_gives_a_message_or_the_right_clips(tmp_path, changes):
    rows = [list(cells) for cells in (HEADER, *ROWS)]
    for y, x, value in changes:
        rows[y][x] = value
    xls(tmp_path / TABLE, rows)
    reader = Casme(tmp_path)
    faults = reader.faults(table_only=True)
    try:
        clips = reader.clips()
    except DataError:
        assert faults
        return
    assert len(clips) + len(faults) >= len(ROWS)
    for clip in clips:
        assert clip.subject_id.isdigit()
        assert clip.emotion in EXTRACT
        assert clip.onset is not None
        assert clip.offset is not None
        assert clip.apex is None or clip.onset <= clip.apex <= clip.offset


# --- the frames -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("place", "name", "cropped"),
    [
        ("CASME_raw_selected", "{video}-{number}.jpg", "no"),
        ("CASME_raw_selected", "{video}-{number:03d}.jpg", "no"),
        (".", "{video}_{number}.jpg", "no"),
        ("Section A", "img{number}.jpg", "no"),
        ("Cropped", "reg_{video}-{number}.jpg", "yes"),
        ("Cropped/Section B", "reg_img{number}.jpg", "yes"),
        ("CASME_cropped_selected/faces/Section B", "{video}-{number:03d}.jpg", "yes"),
        ("Section B", "reg_{video}-{number:03d}.jpg", "yes"),
    ],
)
def test_frame_folders_as_they_are_found(tmp_path, place, name, cropped):
    reader = Casme(build(tmp_path, place=place, name=name))
    assert list(map(str, reader.faults())) == []
    assert (reader.metadata()["folder"], reader.metadata()["cropped"]) == (place, cropped)
    assert reader.frames(reader.clips()[0], [9, 5], "colour").shape == (2, 16, 24, 3)
    section = {"A": ("A",), "B": ("B",)}.get(place[-1])
    assert reader.clips()[0].labels.get("section") == section


def test_sections_are_one_database_and_a_label(tmp_path):
    build(tmp_path, ROWS[:2], "Section A")
    build(tmp_path, ROWS[2:], "Section B", "{video}-{number:03d}.jpg")
    xls(tmp_path / TABLE, [HEADER, *ROWS])
    reader = Casme(tmp_path)
    assert reader.faults() == ()
    assert [clip.labels["section"] for clip in reader.clips()] == [("A",), ("A",), ("B",)]
    assert reader.metadata()["folder"] == "Section A, Section B"
    assert reader.frames(reader.clips()[2], [98, 101], "colour").shape == (2, 16, 24, 3)


def test_a_video_in_both_sections_is_told_by_its_frames(tmp_path):
    build(tmp_path, [ROWS[0], ROWS[2]], "Section A")
    build(tmp_path, [ROWS[1]], "Section B")
    xls(tmp_path / TABLE, [HEADER, *ROWS])
    reader = Casme(tmp_path)
    assert reader.faults() == ()
    assert [clip.labels["section"] for clip in reader.clips()] == [("A",), ("B",), ("A",)]
    write_frames(tmp_path / "Section B/sub01/EP01_12", range(5, 10))
    fault = only(Casme(tmp_path).faults())
    says(fault, "Section A/sub01/EP01_12", "[E237]", "in Section B/sub01/EP01_12")
    assert fault.clip == "casme/01/EP01_12/5-9"


def test_frames_that_lie_there_twice_are_a_question(tmp_path):
    build(tmp_path, place="CASME_raw_selected")
    build(tmp_path, place="old copy")
    fault = only(Casme(tmp_path).faults())
    says(fault, "contains the raw frames twice: CASME_raw_selected and old copy", "move one of them away")
    assert Casme(tmp_path).metadata()["folder"] == "none"
    with pytest.raises(DataError, match="twice"):
        Casme(tmp_path).frames(Casme(tmp_path).clips()[0], [5], "colour")


def test_raw_is_preferred_and_cropped_can_be_chosen(tmp_path):
    build(tmp_path)
    assert not Casme(tmp_path).cropped()
    says(only(Casme(tmp_path, folder="cropped").faults()), "[E209]", "--set folder=raw ")
    build(tmp_path, place="Cropped", name="reg_{video}-{number}.jpg")
    assert not Casme(tmp_path).cropped()
    assert Casme(tmp_path, folder="cropped").cropped()


def test_frames_of_casme_ii_beside_it_are_not_taken_for_its_own(tmp_path):
    build(tmp_path, place="CASME2_RAW_selected", name="img{number}.jpg")
    says(only(Casme(tmp_path).faults()), "[E209]", "CASME2_RAW_selected", "Section A/sub01/EP01_12")


def test_missing_frames_and_folders_are_told(tmp_path):
    build(tmp_path)
    folder = tmp_path / "CASME_raw_selected/sub01/EP01_12"
    (folder / "EP01_12-14.jpg").unlink()
    # A browser's copy has no frame number of its own.
    (folder / "EP01_12-14 (1).jpg").write_bytes(jpeg())
    (tmp_path / "CASME_raw_selected/sub12/EP07_4").rename(tmp_path / "CASME_raw_selected/sub12/EP07_5")
    lacking, missing = Casme(tmp_path).faults()
    says(lacking, "lacks the frames 14 of 12-16", "copy its folder again")
    says(missing, "CASME_raw_selected/sub12/EP07_4: the clip's folder is missing")
    assert missing.clip == "casme/12/EP07_4/98-101"


# --- the example ------------------------------------------------------------------------------------------------------
def test_the_registry_finds_and_binds_it():
    assert datasets.bind("casme", {"folder": "raw"}) == {"folder": "raw", "table": None}


def test_the_example_has_the_owners_layout(tmp_path):
    write_example("casme", tmp_path)
    reader = Casme(tmp_path)
    assert list(map(str, reader.faults())) == []
    assert list(map(str, reader.notes())) == []
    assert (tmp_path / "Section A/sub01/EP01_12/EP01_12-73.jpg").is_file()
    assert (tmp_path / "Section B/sub08/EP07_4/EP07_4-057.jpg").is_file()
    assert [clip.subject_id for clip in reader.clips()] == ["01", "01", "02", "08", "08"]
    assert reader.clips()[1].labels["second apex"] == ("87",)
    assert reader.metadata()["label version"].startswith("imitates 2019-07-21 (tense 1")
    assert reader.frames(reader.clips()[3], [57, 65], "colour").shape == (2, 240, 320, 3)
