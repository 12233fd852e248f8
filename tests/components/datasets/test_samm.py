"""SAMM's reader against small databases in its layout and a table of full size; its long videos likewise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from example_databases import write_example
from example_databases.files import xlsx
from full_tables import DEFECTS, SAMM_HEADER, SAMM_OBJECTIVE, SAMM_TABLE, picture, samm_row, samm_rows, samm_table
from microexpr.components.datasets.samm import COUNTS, Samm
from microexpr.core.errors import ConfigError, DataError, Fault
from microexpr.core.interfaces import datasets
from microexpr.core.labels import LABEL_SETS

ROWS = (
    samm_row("006", "006_1_2", (5562, 5564, 5566), "4+7", "Anger", 3),
    samm_row(7, "007_6_1", (497, "498", 500.0), "(R6 or R12)+R15", " Other ", "7"),
    samm_row("9", "009_3_4", (3334, "/", 3336), None, "HAPPINESS", None),
)
LONG_TABLE = "SAMM_LongVideos_V2_Release.xlsx"
LONG_HEADER = (
    *("Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration", "Type"),
    *("Action Units", "Notes"),
)
LONG_ROWS = (
    ("006", "006_1_2", 1, 2, 3, 4, "=F11-D11+1", "Micro - 1/2", "4+7", None),
    (6, "006_1_7", 1, 3, -1, 6, None, "Macro", "12", "Smiles"),
    ("007", "007_3_1", 3, 1, 2, 3, None, "Micro - 1/2", "20", None),
)


def write_frames(folder: Path, numbers: Iterable[int], name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / name.format(number)).write_bytes(picture(".jpg"))


def build(root: Path, rows: Sequence[Sequence[Any]] = ROWS, place: str = "SAMM", preface: int = 13) -> Path:
    """Write a table and every frame that it names."""
    samm_table(root, rows, preface=preface)
    for cells in rows:
        subject = f"{int(cells[0]):03d}"
        name = subject + ("_{:05d}.jpg" if cells[1][4] == "1" else "_{:04d}.jpg")
        write_frames(root / place / subject / cells[1], range(int(cells[3]), int(cells[5]) + 1), name)
    return root


def write_long(root: Path, rows: Sequence[Sequence[Any]] = LONG_ROWS, preface: int = 9) -> Path:
    above = [("SAMM: long videos",), *[()] * (preface - 1)]
    xlsx(root / LONG_TABLE, {"Sheet1": [*above, LONG_HEADER, *rows]})
    return root


def build_long(root: Path, place: str = "SAMM_longvideos") -> Path:
    for video in ("006_1", "007_3", "010_1"):
        write_frames(root / place / video, range(1, 9), video + "_{:04d}.jpg")
    return write_long(root)


def only(faults: Sequence[Fault]) -> Fault:
    assert len(faults) == 1, list(map(str, faults))
    return faults[0]


def says(fault: Fault, *words: str) -> None:
    assert all(word in str(fault) for word in words), f"{fault} does not say {words}"


# --- the table --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("preface", [13, 0])
def test_the_whole_table_with_its_header_in_either_place(tmp_path, preface):
    samm_table(tmp_path, samm_rows(), preface=preface)
    reader = Samm(tmp_path)
    clips = reader.clips()
    assert reader.faults(table_only=True) == ()
    assert (len(clips), len({clip.subject for clip in clips})) == (159, 29)
    assert Counter(clip.emotion for clip in clips) == COUNTS
    assert [sum(clip.labels["objective class"] == (n,) for clip in clips) for n in "1234567"] == [*SAMM_OBJECTIVE]
    assert sum(LABEL_SETS["megc2019_3"].of(clip) is not None for clip in clips) == 133
    assert sum(LABEL_SETS["samm_5"].of(clip) is not None for clip in clips) == 136
    assert sum(LABEL_SETS["objective_7"].of(clip) is not None for clip in clips) == 159
    assert reader.metadata()["label version"] == "159 rows, as first released"
    assert reader.metadata()["table"] == SAMM_TABLE


def test_reads_cells_as_people_typed_them(tmp_path):
    first, second, third = Samm(build(tmp_path)).clips()
    assert first.key == "samm/006/006_1_2/5562-5566"
    assert (first.fps, first.subject, first.kind) == (200.0, "samm/006", "micro")
    assert first.labels == {
        "action_units": ("4+7",),
        "inducement code": ("1",),
        "type": ("Micro - 1/2",),
        "objective class": ("3",),
    }
    assert (second.subject_id, second.onset, second.apex, second.offset) == ("007", 497, 498, 500)
    assert (second.emotion, list(map(str, second.action_units))[:2]) == ("others", ["R6?", "R12?"])
    assert str(second.action_units[2]) == "R15"
    assert (third.subject_id, third.apex, third.emotion, third.action_units) == ("009", None, "happiness", ())
    assert "objective class" not in third.labels


@pytest.mark.parametrize(
    ("cell", "units"),
    [
        ("L12 or L14", ["L12?", "L14?"]),
        ("A/L12", ["L12"]),
        ("10A/B", ["10A/B"]),
        ("7B+ ref(43)", ["7B", "43"]),
        ("R14+17+soft focus", ["R14", "17"]),
        ("A9+12", ["9", "12"]),
        ("4+13+T18+39", ["4", "13", "18", "39"]),
        ("1A+2B+L14C", ["1A", "2B", "L14C"]),
        (25, ["25"]),
    ],
)
def test_action_units_and_the_cell_beside_them(tmp_path, cell, units):
    samm_table(tmp_path, [samm_row("006", "006_1_2", (1, 2, 3), cell)])
    (clip,) = Samm(tmp_path).clips()
    assert list(map(str, clip.action_units)) == units
    assert clip.labels["action_units"] == (str(cell),)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (samm_row("Bob", "006_1_2", (1, 2, 3)), ("[E221]", "subject cell ", "'Bob'", "006 to 037")),
        (samm_row(None, "006_1_2", (1, 2, 3)), ("subject cell is empty",)),
        (
            samm_row("006", "006_1_2", (1, 9, 3)),
            ("[E223]", "apex 9", "1-3"),
        ),
        (
            samm_row("006", "006_1_2", (5, 5, 3)),
            ("[E223]", "offset 3", "onset 5"),
        ),
        (
            samm_row("006", "006_1_2", ("x", 2, 3)),
            ("[E221]", "onset cell ", "'x'"),
        ),
        (samm_row("006", "006_1_2", (1, 2, "=D15+2")), ("the formula '=D15+2', saved without its value",)),
        (
            samm_row("006", "007_1_2", (1, 2, 3)),
            ("[E225]", "007_1_2", "subject 006"),
        ),
        (samm_row("006", "first", (1, 2, 3)), ("[E221]", "video cell ", "'first'", "006_1_2")),
        (samm_row("006", "006_1_2", (1, 2, 3), emotion="Angre"), ("unknown emotion 'Angre' (did you mean 'anger'?)",)),
        (
            samm_row("006", "006_1_2", (1, 2, 3), objective="8"),
            ("[E221]", "objective class cell ", "'8'"),
        ),
        (samm_row("6", "006_1_1", (7, 8, 9)), ("in the table twice", "delete one")),
    ],
)
def test_a_row_that_is_wrong_is_told_with_its_place(tmp_path, cells, words):
    good = samm_row("006", "006_1_1", (1, 2, 3))
    samm_table(tmp_path, [good, (), cells])
    reader = Samm(tmp_path)
    says(only(reader.faults(table_only=True)), f"{SAMM_TABLE}, row 17", *words)
    assert [clip.key for clip in reader.clips()] == ["samm/006/006_1_1/1-3"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.integers(0, len(SAMM_HEADER) - 1),
    cell=st.none() | st.integers(-5, 10**9) | st.floats(allow_nan=False) | st.text("0123456789_/-,AL?é ", max_size=8),
)
def test_a_spoiled_cell_gives_a_message_or_a_right_row(tmp_path, place, cell):
    wrong = (*ROWS[0][:place], cell, *ROWS[0][place + 1 :])
    samm_table(tmp_path, [wrong, ROWS[1]])
    reader = Samm(tmp_path)
    clips, faults = reader.clips(), reader.faults(table_only=True)
    kept = [clip for clip in clips if clip.video != "007_6_1"]
    assert len(clips) - len(kept) == 1
    assert len(kept) == (0 if faults else 1)
    assert all(clip.subject_id == "006" and clip.onset <= clip.offset for clip in kept)
    assert all(clip.emotion in COUNTS for clip in kept)


@pytest.mark.parametrize("spoil", ["broken", "no header"])
def test_without_a_readable_table_of_the_clips_long_videos_are_read_without_emotions(tmp_path, spoil):
    build_long(tmp_path)
    if spoil == "broken":
        (tmp_path / SAMM_TABLE).write_bytes(b"PK\x03\x04")
    else:
        samm_table(tmp_path, [], preface=0)
    reader = Samm(tmp_path, part="long", kind="both")
    assert (len(reader.clips()), reader.faults()) == (3, ())
    assert {clip.emotion for clip in reader.clips()} == {None}
    (stated,) = [remark for remark in reader.notes() if SAMM_TABLE in remark.where]
    says(stated, "the clips' emotions and objective classes are not read: ")
    assert stated in reader.notes(table_only=True)


# --- corrections ------------------------------------------------------------------------------------------------------
def corrected(root: Path, name: str, times: Sequence[Any], **options: Any) -> Samm:
    samm_table(root, [samm_row(DEFECTS[name][0], name, times, emotion=DEFECTS[name][1])])
    return Samm(root, **options)


@pytest.mark.parametrize(("name", "apex"), [("028_4_1", 1102), ("032_3_1", 4930)])
def test_apexes_that_were_released_wrong(tmp_path, name, apex):
    reader = corrected(tmp_path, name, DEFECTS[name][2])
    (clip,) = reader.clips()
    (correction,) = reader.applied()
    assert (clip.apex, correction.used, correction.found) == (apex, apex, DEFECTS[name][2][1])
    assert reader.faults(table_only=True) == ()
    assert clip.labels.get("estimated") == (("apex",) if name == "028_4_1" else None)


@pytest.mark.parametrize(
    ("name", "times"),
    [
        *[("028_4_1", (1071, apex, 1134)) for apex in (1105, 1113, 1124, 1134)],
        ("032_3_1", (4896, 4930, 4970)),
        # What is only odd, one frame after the onset, stays.
        ("032_3_2", (5126, 5127, 5207)),
        ("032_3_2", (5126, 5130, 5207)),
        ("013_1_9", (5658, 5680, 5739)),
    ],
)
def test_a_table_that_is_mended_already_is_left_alone(tmp_path, name, times):
    reader = corrected(tmp_path, name, times)
    (clip,) = reader.clips()
    assert (clip.onset, clip.apex, clip.offset) == times
    assert (reader.applied(), reader.faults(table_only=True)) == ((), ())


def test_corrections_can_be_switched_off(tmp_path):
    samm_table(tmp_path, samm_rows())
    reader = Samm(tmp_path, corrections=False)
    assert len(reader.clips()) == 157
    outside, before = reader.faults(table_only=True)
    says(outside, "028_4_1", "[E223]", "apex 1143", "1071-1134")
    says(before, "032_3_1", "[E223]", "apex 1930", "4896-4970")
    assert reader.metadata()["label version"] == "159 rows, 2 of them with faults"


def test_a_table_mended_by_hand_is_told(tmp_path):
    rows = [
        samm_row("028", "028_4_1", (1071, 1113, 1134), emotion="Contempt") if r[1] == "028_4_1" else r
        for r in samm_rows()
    ]
    samm_table(tmp_path, rows)
    assert Samm(tmp_path).metadata()["label version"] == "159 rows, apex 1113 of 028_4_1: corrected by hand"


# --- frames -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("place", "folder", "cropped"),
    [
        ("SAMM", "SAMM", "no"),
        ("samm/SAMM", "samm/SAMM", "no"),
        ("", ".", "no"),
        ("SAMM_CROP", "SAMM_CROP", "yes"),
        ("SAMM_Cropped/SAMM_cropped", "SAMM_Cropped/SAMM_cropped", "yes"),
    ],
)
def test_frame_folders_as_they_are_unpacked(tmp_path, place, folder, cropped):
    reader = Samm(build(tmp_path, place=place))
    assert list(map(str, reader.faults())) == []
    assert (reader.metadata()["folder"], reader.metadata()["cropped"]) == (folder, cropped)
    frames = reader.frames(reader.clips()[0], [5566, 5562], "colour")
    assert (frames.shape, frames.dtype) == ((2, 2, 3, 3), np.uint8)
    assert np.abs(frames.astype(int) - 90).max() < 4


def test_a_folder_of_cropped_faces_with_the_table_in_it(tmp_path):
    reader = Samm(build(tmp_path / "SAMM_CROP", place=""))
    assert (reader.faults(), reader.metadata()["cropped"]) == ((), "yes")


def test_raw_frames_are_preferred(tmp_path):
    build(tmp_path, place="SAMM_CROP")
    assert Samm(build(tmp_path)).metadata()["folder"] == "SAMM"


def test_damaged_and_missing_frames(tmp_path):
    build(tmp_path)
    (tmp_path / "SAMM/006/006_1_2/006_05563.jpg").unlink()
    (tmp_path / "SAMM/007/007_6_1/007_0498.jpg").write_bytes(b"")
    (tmp_path / "SAMM/009/009_3_4").rename(tmp_path / "SAMM/009/009_3_5")
    reader = Samm(tmp_path)
    lacking, empty, missing = reader.faults()
    says(lacking, "SAMM/006/006_1_2", "lacks the frames 5563 of 5562-5566")
    says(empty, "007_0498.jpg is empty")
    says(missing, "009_3_4", "the clip's folder is missing")
    stated = "\n".join(map(str, reader.notes()))
    assert "SAMM/009/009_3_5: no row of the table refers to this folder" in stated


def test_no_frames_at_all(tmp_path):
    samm_table(tmp_path, ROWS)
    fault = only(Samm(tmp_path).faults())
    says(fault, "[E209]", "SAMM/006/006_1_2/006_05562.jpg")
    assert fault.clip is None


def test_roots_that_are_wrong(tmp_path):
    root = build(tmp_path / "data/samm")
    says(
        only(Samm(root / "SAMM").faults()),
        "[E205]",
        "coding table",
        f"give {root} instead, which contains {SAMM_TABLE}",
    )
    says(only(Samm(root.parent).faults()), f"give {root} instead")
    says(only(Samm(root.parent / "sam").faults()), "does not exist (did you mean 'samm'?)")
    with pytest.raises(DataError, match="contains no coding table"):
        Samm(root, part="long").clips()


def test_two_tables_are_a_question_that_a_parameter_answers(tmp_path):
    build(tmp_path)
    samm_table(tmp_path, ROWS[:1], name="SAMM.xlsx", preface=0)
    says(only(Samm(tmp_path).faults()), "2 tables", "SAMM.xlsx", SAMM_TABLE)
    assert len(Samm(tmp_path, table="SAMM.xlsx").clips()) == 1


def test_a_table_without_its_columns(tmp_path):
    xlsx(tmp_path / SAMM_TABLE, {"MICRO_ONLY": [("Subject", "Filename"), ("006", "006_1_2")]})
    says(only(Samm(tmp_path).faults()), "'MICRO_ONLY' has Subject, Filename and lacks Onset Frame", "Estimated Emotion")


# --- the long videos --------------------------------------------------------------------------------------------------
def test_long_videos_hold_several_expressions_of_the_same_subjects(tmp_path):
    build_long(tmp_path)
    reader = Samm(tmp_path, part="long", kind="both")
    first, second, third = reader.clips()
    assert list(map(str, reader.faults())) == []
    assert (first.key, first.video, first.subject) == ("samm_long/006/006_1/2-4", "006_1", "samm/006")
    assert first.labels["filename"] == ("006_1_2",)
    assert (second.kind, second.apex, second.emotion, second.labels["notes"]) == ("macro", None, None, ("Smiles",))
    assert (second.labels["type"], third.subject_id) == (("Macro",), "007")
    assert reader.frames(second, [6], "colour").shape == (1, 2, 3, 3)
    assert reader.metadata()["label version"] == "long videos: 1 macro, 2 micro"
    assert not any("no clip names" in str(remark) for remark in reader.notes())


def test_the_kind_of_expression_is_chosen(tmp_path):
    build_long(tmp_path)
    assert [clip.kind for clip in Samm(tmp_path, part="long").clips()] == ["micro", "micro"]
    assert [clip.kind for clip in Samm(tmp_path, part="long", kind="macro").clips()] == ["macro"]
    with pytest.raises(ConfigError, match="part = 'long'"):
        Samm(tmp_path, kind="macro")


def test_long_clips_have_the_emotion_of_the_clip_of_their_name(tmp_path):
    build_long(tmp_path)
    before = Samm(tmp_path, part="long").fingerprint()
    samm_table(tmp_path, [samm_row("006", "006_1_2", (5562, 5564, 5566), emotion="Disgust", objective=4)])
    reader = Samm(tmp_path, part="long", kind="both")
    assert [clip.emotion for clip in reader.clips()] == ["disgust", None, None]
    assert reader.clips()[0].labels["objective class"] == ("4",)
    assert Samm(tmp_path, part="long").fingerprint() != before
    assert reader.metadata()["table"] == f"{LONG_TABLE}, {SAMM_TABLE}"


@pytest.mark.parametrize("preface", [9, 10])
@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        (7, "Makro", ("[E221]", "type cell ", "'Makro'", "Micro - 1/2 or Macro")),
        (7, None, ("type cell is empty",)),
        (
            1,
            "006_1",
            ("[E221]", "video cell ", "'006_1'"),
        ),
        (
            5,
            0,
            ("[E223]", "offset 0", "onset 2"),
        ),
    ],
)
def test_rows_of_the_long_table_that_are_wrong(tmp_path, preface, column, cell, words):
    wrong = (*LONG_ROWS[0][:column], cell, *LONG_ROWS[0][column + 1 :])
    write_long(tmp_path, [wrong, *LONG_ROWS[1:]], preface)
    reader = Samm(tmp_path, part="long", kind="both")
    says(only(reader.faults(table_only=True)), f"{LONG_TABLE}, row {preface + 2}", *words)
    assert len(reader.clips()) == 2


def test_long_videos_that_are_cropped(tmp_path):
    reader = Samm(build_long(tmp_path, "cropped_SAMM_longvideos"), part="long")
    assert (reader.faults(), reader.metadata()["cropped"]) == ((), "yes")


# --- the example ------------------------------------------------------------------------------------------------------
def test_the_registry_finds_and_binds_it():
    given_ = {"part": "long", "kind": "both"}
    assert datasets.bind("samm", given_) == {**given_, "corrections": True, "table": None}


def test_the_example_is_sound(tmp_path):
    write_example("samm", tmp_path)
    for reader in (Samm(tmp_path), Samm(tmp_path, part="long", kind="both")):
        assert list(map(str, reader.faults())) == []
        assert len({clip.subject for clip in reader.clips()}) > 1
        clip = reader.clips()[0]
        pixels = reader.frames(clip, [clip.onset], "colour")
        assert (pixels[..., 0] == pixels[..., 2]).all()
        assert clip.namespace == "synthetic-0"
    assert [correction.clip for correction in Samm(tmp_path).applied()] == ["028/028_4_1"]
