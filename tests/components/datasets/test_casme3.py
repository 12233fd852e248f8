"""CAS(ME)^3's reader: both releases of part A, macro-expressions, part C, colour and depth, in three layouts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from example_databases import write_example
from example_databases.files import xls, xlsx
from microexpr.components.datasets.casme3 import Casme3
from microexpr.config.experiment import Experiment
from microexpr.config.loading import SHIPPED as STUDIES
from microexpr.config.study import Study, load
from microexpr.core.clip import ActionUnit
from microexpr.core.errors import ConfigError, DataError, Fault, FrameError, IncompatibleError
from microexpr.core.interfaces import Modality, datasets
from microexpr.core.labels import LABEL_SETS
from microexpr.runs.plan import Options, Workspace
from microexpr.runs.study import planned

LABELS = "annotation/partA/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"
OLD_LABELS = "annotation/partA/cas(me)3_part_A_ME_label_JpgIndex_v1.xls"
ALL = "annotation/CAS(ME)3_part_A_v2.xls"
PART_C = "annotation/CAS(ME)3_part_C_ME.xlsx"
HEADER = ("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion")
HEADER_ALL = (*HEADER[:6], "Expression type", "Objective class")
HEADER_C = ("sub", "count", "onset", "offset", "au", "emotion")
COUNTS = {"disgust": 250, "surprise": 187, "others": 158, "Others": 3, "fear": 86, "anger": 64, "sad": 57, "happy": 55}
# The six rows of v2 that cannot be as they are (numbers as released; the emotions of the last four are made up).
BAD = (
    ("spNO.149", "d", 112, 83, 358, "T28+14", "VII", "fear"),
    ("spNO.214", "c", 5, 5, 3460, "17+4", "VII", "disgust"),
    ("spNO.216", "d", 3647, 2668, 2694, 4, "III", "others"),
    ("spNO.216", "e", 0, 0, 25, 4, "III", "others"),
    ("spNO.40", "e", 1812, 1818, 0, 4, "III", "others"),
    ("spNO.40", "e", 2327, 2333, 0, 4, "III", "others"),
)
MENDED = ("112-160-358", "5-5-34", "2647-2668-2694", "1-1-25", "1812-1818-1845", "2327-2333-2403")
ROW = ("spNO.1", "a", 355, 359, 362, "4+L10", "III", "disgust")


def released() -> list[tuple[object, ...]]:
    """860 rows of 94 subjects with the counts of v2: numbers as text and as numbers, several clips a video."""
    left = Counter(COUNTS)
    left.subtract(row[-1] for row in BAD)
    words = list(left.elements())
    names = [*dict.fromkeys(str(row[0]) for row in BAD), *(f"spNO.{n}" for n in range(1, 39)), "spNO.41"]
    names += [f"spNO.{n}" for n in range(150, 201)]
    rows: list[tuple[object, ...]] = list(BAD)
    for number, word in enumerate(words):
        onset = 3700 + 20 * number
        apex, offset = (onset, str(onset + 9)) if number < 50 else (str(onset + 4), onset + 9)
        rows.append((names[number % 94], "afgkm"[number % 5], onset, apex, offset, "R2+R1", "II", word))
    return rows


def build(root: Path, rows: Iterable[Sequence[object]] = (ROW,), name: str = LABELS) -> Path:
    header = {PART_C: HEADER_C, ALL: HEADER_ALL}.get(name, HEADER)
    xlsx(root / name, {"label" if name == LABELS else "AU+Emotion": [header, *rows]})
    return root


def picture(ending: str, value: int = 7000) -> bytes:
    deep = np.full((6, 8), value, np.uint16)
    flat = np.full((6, 8, 3), (30, 100, 200), np.uint8)
    return cv2.imencode(ending, deep if ending == ".png" else flat)[1].tobytes()


def frames(folder: Path, numbers: Iterable[int], ending: str = ".jpg") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number}{ending}").write_bytes(picture(ending))


def only(faults: Sequence[Fault]) -> Fault:
    assert len(faults) == 1, list(map(str, faults))
    return faults[0]


def says(fault: Fault, *words: str) -> None:
    assert all(word in str(fault) for word in words), f"{fault} does not say {words}"


def times(reader: Casme3) -> list[str]:
    return [f"{clip.onset}-{clip.apex}-{clip.offset}" for clip in reader.clips()]


# --- part A -----------------------------------------------------------------------------------------------------------
def test_the_released_table_gives_860_clips_of_94_subjects(tmp_path):
    reader = Casme3(build(tmp_path, released()))
    clips = reader.clips()
    assert reader.faults(table_only=True) == ()
    assert (len(clips), len({clip.subject for clip in clips})) == (860, 94)
    words = Counter(clip.emotion for clip in clips)
    assert words == {
        **{"disgust": 250, "surprise": 187, "others": 161, "fear": 86},
        **{"anger": 64, "sadness": 57, "happiness": 55},
    }
    assert len(reader.applied()) == 6
    metadata = reader.metadata()
    assert metadata["label version"] == "v2 (860 rows)"
    assert (metadata["part"], metadata["kind"], metadata["folder"]) == ("A", "micro", "none")
    assert metadata["clips with the apex on the onset"] == "52"
    assert "warning" not in metadata


@pytest.mark.parametrize(
    ("labels", "counts"),
    [
        ("casme3_7", {"disgust": 250, "surprise": 187, "others": 161, "fear": 86, "anger": 64}),
        ("casme3_4", {"negative": 457, "positive": 55, "surprise": 187, "others": 161}),
        ("objective_7", {"2": 854, "3": 4, "7": 2}),
    ],
)
def test_label_sets(tmp_path, labels, counts):
    found = Counter(LABEL_SETS[labels].of(clip) for clip in Casme3(build(tmp_path, released())).clips())
    assert {word: found[word] for word in counts} == counts
    assert sum(found.values()) == 860


def test_a_raw_table_loses_the_four_rows_that_make_no_sense(tmp_path):
    reader = Casme3(build(tmp_path, released()), corrections=False)
    faults = reader.faults(table_only=True)
    assert (len(reader.clips()), len(faults), reader.applied()) == (856, 4, ())
    stated = " ".join(map(str, faults))
    for words in (
        "[E223]",
        "apex 83",
        "112-358",
        "(spNO.216/d): the offset 2694 is before the onset 3647",
        "(spNO.40/e): the offset 0 is before the onset 1812",
        "(spNO.40/e): the offset 0 is before the onset 2327",
    ):
        assert words in stated


def test_known_defects_are_mended_and_told(tmp_path):
    reader = Casme3(build(tmp_path, BAD))
    assert times(reader) == list(MENDED)
    assert [correction.clip for correction in reader.applied()] == [c.clip for c in Casme3.corrections]
    assert str(reader.applied()[0]).startswith("spNO.149/d/112: apex 83 read as 160 (")


def test_corrections_name_the_owners_sheet_where_it_has_the_value():
    # CAS(ME)3_part_A_v2.xls has 160, 2647, 1845 and 2403; MEB has 123 for the first, and alone has 34 and 1.
    own = {c.used for c in Casme3.corrections if "the owners' CAS(ME)3_part_A_v2.xls" in c.source}
    assert own == {160, 2647, 1845, 2403}
    first = next(c for c in Casme3.corrections if c.used == 160)
    assert "MEB reads 123" in first.source
    assert {c.used for c in Casme3.corrections if c.source.endswith("are MEB's") or c.source.endswith("is MEB's")} == {
        34,
        (1, 1),
    }


def test_a_correction_finds_its_clip_in_capitals(tmp_path):
    reader = Casme3(build(tmp_path, [("spNO.149", "D", *BAD[0][2:])]))
    assert (times(reader), [c.clip for c in reader.applied()]) == (["112-160-358"], ["spNO.149/d/112"])
    assert reader.clips()[0].video == "D"


@pytest.mark.parametrize(("number", "cell", "value"), [(0, 3, 120), (1, 4, 40), (2, 4, 2695), (3, 4, 26), (4, 4, 1850)])
def test_what_somebody_mended_already_is_left_alone(tmp_path, number, cell, value):
    row = list(BAD[number])
    row[cell] = value
    if number == 2:
        row[2] = 2650  # the onset is what is wrong here
    if number == 3:
        row[2] = row[3] = 2
    reader = Casme3(build(tmp_path, [row]))
    assert (times(reader), reader.applied()) == ([f"{row[2]}-{row[3]}-{row[4]}"], ())


def test_the_same_numbers_in_another_video_are_another_clip(tmp_path):
    reader = Casme3(build(tmp_path, [("spNO.149", "e", 112, 83, 358, 4, "III", "fear")]))
    says(only(reader.faults(table_only=True)), "row 2 (spNO.149/e)", "[E223]", "apex 83")
    assert reader.applied() == ()


def test_cells_as_people_typed_them(tmp_path):
    rows = [
        ("spNO.1", "a", "355", "359.0", 362.0, "T28+14", "VII", " Others "),
        ("spNo. 3", "J", 7, "/", "12", 4, "iii", "Sad"),
        ("SPNO7", "k", 7, 8, 12, None, None, "happy"),
    ]
    first, second, third = Casme3(build(tmp_path, rows)).clips()
    assert (first.key, first.apex, first.emotion) == ("casme3/spNO.1/a/355-362", 359, "others")
    assert first.action_units == (ActionUnit(28), ActionUnit(14))
    assert first.labels == {"action_units": ("T28+14",), "objective class": ("7",)}
    assert (first.subject, first.fps, first.kind) == ("casme3/spNO.1", 30.0, "micro")
    # The table's own name of the video: other tables of these clips are joined by it.
    assert (second.key, second.apex, second.emotion) == ("casme3/spNO.3/J/7-12", None, "sadness")
    assert second.labels["objective class"] == ("3",)
    assert (third.subject_id, third.emotion, third.labels) == ("spNO.7", "happiness", {})


def test_several_clips_share_a_video_and_a_row_twice_is_told(tmp_path):
    other = ("spNO.1", "a", 371, 374, 378, 4, "III", "fear")
    reader = Casme3(build(tmp_path, [ROW, other, ("spNO.1", "A", 355, 360, "362", 4, "III", "fear")]))
    assert [clip.key for clip in reader.clips()] == ["casme3/spNO.1/a/355-362", "casme3/spNO.1/a/371-378"]
    says(only(reader.faults(table_only=True)), "row 4 (spNO.1/A)", "in the table twice, first in row 2")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("Bob", *ROW[1:]), ("[E221]", "subject cell ", "'Bob'", "spNO.1")),
        ((None, *ROW[1:]), ("the subject cell is empty",)),
        ((*ROW[:7], "negative"), ("unknown emotion 'negative'", "disgust, surprise, others")),
        ((*ROW[:7], "surprize"), ("did you mean 'surprise'?",)),
        (
            (*ROW[:2], "x", *ROW[3:]),
            ("[E221]", "onset cell ", "'x'"),
        ),
        (
            (*ROW[:4], 1, *ROW[5:]),
            ("[E223]", "offset 1", "onset 355"),
        ),
    ],
)
def test_rows_that_are_wrong(tmp_path, row, words):
    reader = Casme3(build(tmp_path, [row, ("spNO.2", *ROW[1:])]))
    says(only(reader.faults(table_only=True)), "v2.xlsx, row 2", *words)
    assert [clip.subject_id for clip in reader.clips()] == ["spNO.2"]


# --- releases and where tables lie ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("cell", "number"), [("vii", "7"), ("VII", "7"), (3, "3"), ("4.0", None), ("VIII", None), (0, None), ("x", None)]
)
def test_objective_classes_are_one_to_seven(tmp_path, cell, number):
    build(tmp_path, [(*ROW[:6], cell, *ROW[7:])])
    reader = Casme3(tmp_path)
    faults = reader.faults(table_only=True)
    if number:
        assert (faults, reader.clips()[0].labels["objective class"]) == ((), (number,))
    else:
        says(only(faults), "[E221]", "objective cell ", f"'{cell}'", "write one of I, II, III, IV, V, VI, VII")
        assert reader.clips() == ()


def test_the_first_release_is_read_with_a_warning_that_accuses_no_row(tmp_path):
    more = [("spNO.9", "b", 20 * n, 20 * n + 1, 20 * n + 5, 4, "III", "fear") for n in range(1, 62)]
    xls(tmp_path / "cas(me)3_part_A_ME_label_JpgIndex_v1.xls", [HEADER, *released(), *more])
    reader = Casme3(tmp_path)
    assert len(reader.clips()) == 921
    assert reader.metadata()["label version"] == "v1 (921 rows)"
    assert reader.metadata()["warning"].startswith("v1, which the owners distribute beside v2")
    assert "wrongly" not in str(Casme3.info) + reader.metadata()["warning"]


def test_releases_are_told_by_content(tmp_path):
    build(tmp_path, released(), OLD_LABELS)
    assert Casme3(tmp_path).metadata()["label version"] == "v2 (860 rows), although the file's name says v1"
    build(tmp_path, [ROW], OLD_LABELS)
    assert Casme3(tmp_path).metadata()["label version"] == "neither v2 (860 rows) nor v1 (921 rows): 1 rows"


def test_of_two_releases_side_by_side_the_newest_is_read_and_named(tmp_path):
    build(build(tmp_path), [(*ROW[:7], "fear")], OLD_LABELS)
    reader = Casme3(tmp_path)
    assert (reader.faults(table_only=True), reader.clips()[0].emotion) == ((), "disgust")
    assert reader.metadata()["table"] == Path(LABELS).name
    assert (
        reader.metadata()["tables not read"] == f"{Path(OLD_LABELS).name}, because v2 is newer; `table` chooses another"
    )
    assert "tables not read" not in Casme3(tmp_path, table=Path(LABELS).name).metadata()
    for name, word in ((LABELS, "disgust"), (OLD_LABELS, "fear")):
        (clip,) = Casme3(tmp_path, table=Path(name).name).clips()
        assert clip.emotion == word


@pytest.mark.parametrize("name", ["ME_label_JpgIndex_v2.xlsx", "part_A_ME_label_mine.xlsx"])
def test_tables_of_which_no_name_tells_the_newest_want_a_choice(tmp_path, name):
    build(build(tmp_path), [(*ROW[:7], "fear")], f"annotation/part_A_{name}")
    fault = only(Casme3(tmp_path).faults())
    says(fault, "[E206]", "2 tables", "--set table=")
    assert fault.clip is None


def test_a_table_that_lies_there_twice_is_one(tmp_path):
    build(tmp_path)
    (tmp_path / Path(LABELS).name).write_bytes((tmp_path / LABELS).read_bytes())
    assert len(Casme3(tmp_path).clips()) == 1


@pytest.mark.parametrize("place", [".", "annotation", "Annotation/PartA", "PartA_annotation"])
def test_where_the_table_may_lie(tmp_path, place):
    build(tmp_path, name=f"{place}/{Path(LABELS).name}")
    assert len(Casme3(tmp_path).clips()) == 1


def test_roots_that_are_wrong(tmp_path):
    root = build(tmp_path / "data/casme3")
    (root / "part_A/spNO.1").mkdir(parents=True)
    for wrong in (root / "part_A", root.parent, root / "part_A/spNO.1"):
        says(only(Casme3(wrong).faults()), "[E205]", "label table", f"give {root} instead", "partA/cas(me)3")
    says(only(Casme3(tmp_path / "data/casme33").faults()), "does not exist (did you mean 'casme3'?)")
    (tmp_path / "x/y/z").mkdir(parents=True)
    says(only(Casme3(tmp_path / "x/y/z").faults()), "it contains nothing", "annotation/partA")
    says(only(Casme3(root, table="mine.xlsx").faults()), "[E205]", "table mine.xlsx", "annotation, part_A")
    with pytest.raises(DataError, match="cannot be read"):
        Casme3(tmp_path / "x").clips()


def test_construction_reads_nothing():
    Casme3(Path("nowhere at all"))


def test_the_list_of_wrong_labels_is_no_table(tmp_path):
    build(tmp_path)
    (tmp_path / "annotation/CAS(ME)3_part_A_wrongly_labeled_me_in_V1.xlsx").write_bytes(b"")
    (tmp_path / "annotation/CAS(ME)3_part_A_v2.xls").write_bytes(b"")
    assert len(Casme3(tmp_path).clips()) == 1


# --- macro-expressions ------------------------------------------------------------------------------------------------
def coded() -> list[tuple[object, ...]]:
    micro = [(*row[:6], "Micro-expression", row[6]) for row in released()]
    macro = [
        (f"spNO.{n % 90 + 1}", "bchij"[n % 5], 30 * n, str(30 * n + 8), 30 * n + 25, "6+12", "Macro-expression", "I")
        for n in range(3346)
    ]
    return [*micro[:400], *macro, *micro[400:]]


def test_macro_expressions_of_a_big_table_in_time(tmp_path):
    build(build(tmp_path, released()), coded(), ALL)  # a new workbook under the old ending
    began = time.process_time()
    reader = Casme3(tmp_path, kind="both")
    clips = reader.clips()
    assert time.process_time() - began < 5
    assert Counter(clip.kind for clip in clips) == {"micro": 860, "macro": 3346}
    assert reader.metadata()["label version"] == "v2 (4206 rows)"
    assert reader.faults(table_only=True) == ()
    macro = Casme3(tmp_path, kind="macro")
    assert {(clip.kind, clip.emotion) for clip in macro.clips()} == {("macro", None)}
    assert macro.metadata()["label version"] == "v2 (3346 rows)"
    assert macro.metadata()["table"] == "CAS(ME)3_part_A_v2.xls"
    clip = macro.clips()[1]
    assert clip.labels == {"action_units": ("6+12",), "objective class": ("1",)}


def test_an_old_workbook_of_4206_rows_in_time(tmp_path):
    build(tmp_path, released())
    xls(tmp_path / ALL, [HEADER_ALL, *coded()])
    began = time.process_time()
    assert len(Casme3(tmp_path, kind="both").clips()) == 4206
    assert time.process_time() - began < 5


def test_macro_expressions_need_their_table(tmp_path):
    build(tmp_path)
    for kind in ("macro", "both"):
        says(only(Casme3(tmp_path, kind=kind).faults()), "[E205]", "table CAS(ME)3_part_A_v2.xls", "annotation")


def test_both_kinds_take_tables_of_one_version(tmp_path):
    old = "annotation/CAS(ME)3_part_A_v1.xls"
    for labels, table, emotion, onset in ((LABELS, ALL, "disgust", 350), (OLD_LABELS, old, "fear", 340)):
        build(tmp_path, [(*ROW[:7], emotion)], labels)
        xlsx(tmp_path / table, {"1": [HEADER_ALL, (*ROW[:2], onset, *ROW[3:6], "Macro-expression", "I")]})
    micro, macro = Casme3(tmp_path, kind="both").clips()
    assert (micro.emotion, macro.onset) == ("disgust", 350)
    metadata = Casme3(tmp_path, kind="both").metadata()
    assert metadata["table"] == f"{Path(LABELS).name}, {Path(ALL).name}"
    assert all(f"{Path(left).name}, because v2" in metadata["tables not read"] for left in (OLD_LABELS, old))
    for chosen, emotion, onset in ((LABELS, "disgust", 350), (ALL, "disgust", 350), (OLD_LABELS, "fear", 340)):
        micro, macro = Casme3(tmp_path, kind="both", table=Path(chosen).name).clips()
        assert (micro.emotion, macro.onset) == (emotion, onset)
    says(only(Casme3(tmp_path, kind="both", table="x_v2.xls").faults()), "[E205]", "x_v2.xls", "choose one of")


def test_an_unknown_type_is_told(tmp_path):
    build(tmp_path, [(*ROW[:6], "meso", "I"), ("spNO.2", *ROW[1:6], "macro-expression", "I")], ALL)
    reader = Casme3(tmp_path, kind="macro")
    says(only(reader.faults(table_only=True)), "row 2 (spNO.1/a)", "type cell contains 'meso'", "Macro-expression")
    assert len(reader.clips()) == 1


# --- part C -----------------------------------------------------------------------------------------------------------
def test_part_c(tmp_path):
    words = [*["negative"] * 99, *["surprise"] * 30, *["others"] * 20, *["positive"] * 16]
    rows = [(n % 31 + 1, n // 31 + 1, 100 * n, 100 * n + 12, "1,2", word) for n, word in enumerate(words)]
    rows[14] = (*rows[14][:4], "4，7", "negative")
    reader = Casme3(build(tmp_path, rows, PART_C), part="c")
    clips = reader.clips()
    assert reader.faults(table_only=True) == ()
    assert Counter(clip.emotion for clip in clips) == {"negative": 99, "surprise": 30, "others": 20, "positive": 16}
    assert (len(clips), len({clip.subject for clip in clips})) == (165, 31)
    assert reader.metadata()["label version"] == "the owners' (165 rows)"
    assert clips[0].key == "casme3c/01/1/0-12"
    assert (clips[0].subject, clips[0].apex) == ("casme3c/01", None)
    assert list(map(str, clips[14].action_units)) == ["4", "7"]
    assert clips[14].labels == {"action_units": ("4，7",)}


def test_frames_of_part_c(tmp_path):
    build(tmp_path, [(1, 1, 5, 7, 4, "negative"), ("02", 1, 9, 11, 4, "positive"), (2, 2, 20, 21, 4, "others")], PART_C)
    frames(tmp_path / "part_C/RGB_Depth/part_C/01/a/color", range(1, 9))
    frames(tmp_path / "part_C/RGB_Depth/part_C/02/1/color", range(9, 12))
    frames(tmp_path / "part_C/RGB_Depth/part_C/02/2/color", range(20, 22))
    frames(tmp_path / "part_A/spNO.1/a/color", range(3))
    reader = Casme3(tmp_path, part="c")
    assert list(map(str, reader.faults())) == []
    assert list(reader.modalities()) == ["colour"]
    assert reader.metadata()["folder"] == "part_C/RGB_Depth/part_C"


@pytest.mark.parametrize("subject", ["x", "", None, "spNO.1"])
def test_subjects_of_part_c_are_numbers(tmp_path, subject):
    reader = Casme3(build(tmp_path, [(subject, 1, 5, 7, 4, "negative")], PART_C), part="c")
    says(only(reader.faults(table_only=True)), "the subject cell")


def test_part_c_has_no_macro_expressions():
    with pytest.raises(ConfigError, match="leave kind = 'both' out"):
        Casme3(Path("x"), part="c", kind="both")


# --- frames -----------------------------------------------------------------------------------------------------------
TWO = (ROW, ("spNO.3", "j", 7, 8, 12, 4, "III", "fear"))


def test_colour_and_depth(tmp_path):
    build(tmp_path, TWO)
    frames(tmp_path / "part_A/spNO.1/a/color", range(350, 370))
    frames(tmp_path / "part_A/spNO.1/a/depth", range(350, 370), ".png")
    frames(tmp_path / "part_A/spNO.3/J/color", range(7, 13))
    frames(tmp_path / "part_A/spNO.3/J/depth", range(7, 13), ".png")
    reader = Casme3(tmp_path)
    assert list(map(str, reader.faults())) == []
    assert reader.modalities() == {
        **{"colour": Modality(("r", "g", "b")), "depth": Modality(("depth",), 0.0, 65535.0)},
        **{"near_depth": Modality(("depth",)), "colour_depth": Modality(("r", "g", "b", "depth"))},
    }
    first, second = reader.clips()
    assert reader.frames(first, [355, 362], "colour").shape == (2, 6, 8, 3)
    assert abs(int(reader.frames(first, [355], "colour")[0, 0, 0, 0]) - 200) < 6
    depth = reader.frames(second, [12], "depth")
    assert (depth.shape, depth.dtype, int(depth.max())) == ((1, 6, 8, 1), np.uint16, 7000)
    with pytest.raises(FrameError, match=r"spNO\.3/J/depth: frame 99 is missing"):
        reader.frames(second, [99], "depth")
    # Frames of a whole video that no clip names are no surprise; neither are videos without an expression.
    frames(tmp_path / "part_A/spNO.1/b/color", range(5))
    assert [str(remark) for remark in Casme3(tmp_path).notes() if "part_A" in remark.where] == [
        "part_A/spNO.3/J: the table calls it j -> no action needed: it is read [E260]"
    ]
    assert second.key == "casme3/spNO.3/j/7-12"
    before = reader.fingerprint()
    assert before == Casme3(tmp_path).fingerprint() != Casme3(tmp_path, depth=False).fingerprint()
    (tmp_path / "part_A/spNO.1/a/color/351.jpg").write_bytes(b"no clip names this frame")
    assert before == Casme3(tmp_path).fingerprint()
    (tmp_path / "part_A/spNO.1/a/depth/358.png").write_bytes(b"a clip names this one")
    assert before != Casme3(tmp_path).fingerprint()


def coloured(root: Path, depth: np.ndarray, side: tuple[int, int] = (6, 8)) -> Casme3:
    """One clip of colour pictures of `side`, every depth picture as given."""
    build(root, [ROW])
    for number in range(355, 363):
        for kind, pixels in (("color", np.full((*side, 3), (30, 100, 200), np.uint8)), ("depth", depth)):
            folder = root / "part_A/spNO.1/a" / kind
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return Casme3(root)


def test_depth_is_a_fourth_channel_in_the_range_of_colour(tmp_path):
    depth = np.full((6, 8), 800, np.uint16)
    depth[0, :6] = 0, 300, 299, 1300, 1301, 801
    reader = coloured(tmp_path, depth)
    assert list(map(str, reader.faults())) == []
    (clip,) = reader.clips()
    both, alone = (reader.frames(clip, [355, 360], name) for name in ("colour_depth", "near_depth"))
    assert (both.shape, both.dtype, alone.shape) == ((2, 6, 8, 4), np.float32, (2, 6, 8, 1))
    assert np.array_equal(both[..., :3], reader.frames(clip, [355, 360], "colour"))
    assert np.array_equal(both[..., 3:], alone)
    # Not measured is as far as far; beyond the limits nothing more is told; a unit is a quarter of a grey level.
    assert both[0, 0, :6, 3].tolist() == pytest.approx([0, 255, 255, 0, 0, 0.255 * 499])
    assert both[1, 3, 3].tolist() == pytest.approx([200, 100, 30, 127.5])
    deeper = Casme3(tmp_path, near=700, far=900).frames(clip, [355], "colour_depth")[0, 3, 3, 3]
    assert deeper == pytest.approx(127.5)
    assert Casme3(tmp_path, far=900).frames(clip, [355], "near_depth")[0, 3, 3, 0] == pytest.approx(42.5)


def test_the_range_of_depth_does_not_move_with_what_a_picture_shows(tmp_path):
    here = np.full((6, 8), 700, np.uint16)
    beside = np.where(np.arange(8) < 4, here, 400).astype(np.uint16)
    shown = [coloured(tmp_path / str(n), depth) for n, depth in enumerate((here, beside))]
    values = [reader.frames(reader.clips()[0], [355], "near_depth")[0, :, :4] for reader in shown]
    assert np.array_equal(*values)


def test_depth_of_another_size_is_fitted_without_averages_and_of_other_proportions_refused(tmp_path):
    depth = np.where(np.arange(4) < 2, 500, 0).astype(np.uint16)[None].repeat(3, 0)
    reader = coloured(tmp_path / "small", depth)
    fitted = reader.frames(reader.clips()[0], [355], "colour_depth")[0, ..., 3]
    assert fitted.shape == (6, 8)
    assert np.array_equal(fitted, np.where(np.arange(8) < 4, np.float32(204), 0)[None].repeat(6, 0))
    reader = coloured(tmp_path / "wide", np.full((6, 10), 700, np.uint16))
    with pytest.raises(FrameError, match=r"casme3/spNO\.1/a/355-362: its depth images are 10x6 .*8x6.*near_depth"):
        reader.frames(reader.clips()[0], [355], "colour_depth")
    assert reader.frames(reader.clips()[0], [355], "near_depth").shape == (1, 6, 10, 1)
    reader = coloured(tmp_path / "three", np.full((6, 8, 3), 7, np.uint8))
    with pytest.raises(FrameError, match="have 3 channels instead of one"):
        reader.frames(reader.clips()[0], [355], "colour_depth")


def test_the_limits_of_depth_are_part_of_what_the_data_are(tmp_path):
    reader = coloured(tmp_path, np.full((6, 8), 700, np.uint16))
    assert reader.fingerprint() == Casme3(tmp_path, near=300).fingerprint()
    assert len({reader.fingerprint(), *(Casme3(tmp_path, near=n).fingerprint() for n in (301, 302))}) == 3
    with pytest.raises(ConfigError, match=r"near = 900 and far = 900.*choose near smaller than far"):
        Casme3(tmp_path, near=900, far=900)


def test_a_clip_without_depth_is_one_fault_for_all_modalities(tmp_path):
    coloured(build(tmp_path, TWO), np.full((6, 8), 700, np.uint16))
    build(tmp_path, TWO)
    frames(tmp_path / "part_A/spNO.3/j/color", range(7, 13))
    reader = Casme3(tmp_path)
    says(only(reader.faults()), "part_A/spNO.3/j/depth: the clip's folder is missing", "depth = false")
    with pytest.raises(FrameError, match="depth: frame 7 is missing"):
        reader.frames(reader.clips()[1], [7], "colour_depth")
    (tmp_path / "part_A/spNO.1/a/color/358.png").unlink()
    stated = sorted(str(fault.where) for fault in Casme3(tmp_path).faults())
    assert stated == ["part_A/spNO.1/a/color", "part_A/spNO.3/j/depth"]


def workspace(root: Path, out: Path) -> Workspace:
    return Workspace(Options({"casme3": root}, out, workers=1))


def deep(**values: object) -> Experiment:
    return Experiment().with_values(
        {
            **{"datasets": "casme3", "labels": "as_given", "modality": "colour_depth", "model": "poolformer_nano"},
            **{"preprocessing": {"name": "m1", "size": 64}, "protocol": "loso", **values},
        }
    )


@pytest.mark.parametrize("crop", ["m1", "m2"])
def test_four_channels_pass_through_every_crop(example, tmp_path, crop):
    part = {"name": crop, "size": 64, **({"colour": "rgb"} if crop == "m2" else {})}
    plan = workspace(example, tmp_path).plan(deep(preprocessing=part))
    assert plan.spec == ((1, 64, 64, 4), ("r", "g", "b", "depth"), 0.0, 255.0, "")
    assert plan.weights == {"weights": "random"}


def test_a_face_is_looked_for_in_the_colours_alone(example, tmp_path):
    boxes = []
    for modality in ("colour", "colour_depth"):
        plan = workspace(example, tmp_path).plan(deep(modality=modality))
        boxes.append(plan.data.cache.frames(plan.data.clips[0]).boxes([359], "dlib_hog"))
    assert np.array_equal(*boxes)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"preprocessing": {"name": "m2", "size": 64}}, 'r, g, b, depth.*colour = "rgb"'),
        ({"augmentation": ["colour"]}, "r, g, b or grey.*r, g, b, depth"),
        ({"representation": "flow", "sampling": "onset_apex"}, "r, g, b, depth.*another modality"),
        ({"modality": "infrared"}, "casme3 has no 'infrared'; it has colour, depth, near_depth, colour_depth"),
    ],
)
def test_what_four_channels_do_not_allow_skips_a_method(example, tmp_path, values, words):
    with pytest.raises(IncompatibleError, match=words):
        workspace(example, tmp_path).plan(deep(**values))


def test_the_study_of_depth_skips_what_a_copy_has_not(example, tmp_path):
    study = load(Study, STUDIES / "depth_casme3.toml", {"experiment.model": "poolformer_nano"})
    assert [cell.modality for cell in study.cells()] == ["colour", "near_depth", "colour_depth"]
    jobs, skipped, _ = planned(study, workspace(example, tmp_path))
    assert ([job.plan.spec.shape[3] for job in jobs if job.part == "cells"], skipped) == ([3, 1, 4], {})
    flat = load(Study, STUDIES / "depth_casme3.toml", {"experiment.model": "poolformer_nano"})
    without = flat.experiment.with_values({"datasets": [{"name": "casme3", "depth": False}]})
    jobs, skipped, _ = planned(flat.model_copy(update={"experiment": without}), workspace(example, tmp_path))
    assert [job.plan.spec.shape[3] for job in jobs if job.part == "cells"] == [3]
    assert {name: reason.split(";")[0] for name, reason in skipped.items()} == {
        "depth": "modality: casme3(depth=False) has no 'near_depth'",
        "colour_depth": "modality: casme3(depth=False) has no 'colour_depth'",
    }


def test_depth_is_offered_only_where_it_is_there(tmp_path):
    build(tmp_path, TWO)
    frames(tmp_path / "part_A/spNO.1/a/color", range(355, 363))
    frames(tmp_path / "part_A/spNO.3/j/color", range(7, 13))
    reader = Casme3(tmp_path)
    assert (list(reader.modalities()), reader.faults()) == (["colour"], ())
    with pytest.raises(DataError, match="no modality 'depth'"):
        reader.frames(reader.clips()[0], [355], "depth")
    frames(tmp_path / "part_A/spNO.1/a/depth", range(355, 363), ".png")
    fault = only(Casme3(tmp_path).faults())
    says(fault, "part_A/spNO.3/j/depth: the clip's folder is missing", "[E230]", "depth = false")
    assert fault.clip == "casme3/spNO.3/j/7-12"
    assert Casme3(tmp_path, depth=False).faults() == ()


def test_dropped_frames_are_told(tmp_path):
    build(tmp_path, [ROW])
    frames(tmp_path / "part_A/spNO.1/a/color", [*range(300, 357), *range(359, 400)])
    says(
        only(Casme3(tmp_path).faults()),
        "part_A/spNO.1/a/color",
        "lacks the frames 357-358",
        "[E231]",
        "one clip in ten",
    )


@pytest.mark.parametrize("place", ["part_A", "RGB", "part_A/data/part_A_split/part_A", "."])
def test_folders_of_whole_videos(tmp_path, place):
    build(tmp_path, [("spNO.210", *ROW[1:])])
    frames(tmp_path / place / "spNO.210/a/color", range(355, 363))
    frames(tmp_path / "part_B/spNO.16/a/color", range(3))
    frames(
        (tmp_path / place).parent / "depth/spNO210/a" if place != "." else tmp_path / "depth/spNO210/a", [355], ".png"
    )
    reader = Casme3(tmp_path)
    fault = only(reader.faults())
    says(fault, "depth/spNO210/a", "lacks the frames 356-362")
    assert reader.metadata()["folder"] == place


@pytest.mark.parametrize("place", ["Part_A_ME_clip", "Part_A_ME_clip/Part_A_ME_clip"])
def test_folders_of_one_clip_each(tmp_path, place):
    build(tmp_path, [ROW, BAD[2], BAD[3]])
    for name, numbers in (
        ("spNO.1_a_355", range(355, 363)),
        ("spNO.216_d_3647", range(2647, 2695)),
        ("spNO.216_e_0", range(1, 26)),
    ):
        frames(tmp_path / place / "frame" / name, numbers)
        frames(tmp_path / place / "depth" / name, numbers, ".png")
    reader = Casme3(tmp_path)
    assert list(map(str, reader.faults())) == []
    assert list(reader.modalities()) == ["colour", "depth", "near_depth", "colour_depth"]
    assert reader.frames(reader.clips()[2], [1, 25], "colour_depth").shape == (2, 6, 8, 4)
    assert reader.metadata()["folder"] == f"{place}/frame"
    assert [remark for remark in reader.notes() if "frame" in remark.where] == []
    frames(tmp_path / place / "frame/spNO.9_a_1", [1])
    says(only([r for r in Casme3(tmp_path).notes() if "frame" in r.where]), "spNO.9_a_1", "no row of the table")


def test_no_frames_at_all(tmp_path):
    build(tmp_path)
    fault = only(Casme3(tmp_path).faults())
    says(fault, "[E209]", "part_A/spNO.1/a/color/355.jpg", "its folders are annotation")
    assert fault.clip is None
    assert Casme3(tmp_path).faults(table_only=True) == ()
    build(tmp_path, [(1, 1, 5, 7, 4, "negative")], PART_C)
    says(only(Casme3(tmp_path, part="c").faults()), "part_C/01/a/color/355.jpg")


# --- the example and mangled tables -----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("casme3")
    write_example("casme3", root)
    return root


@pytest.mark.parametrize(
    ("options", "clips"),
    [({}, 6), ({"kind": "macro"}, 1), ({"kind": "both"}, 7), ({"part": "c"}, 2), ({"depth": False}, 6)],
)
def test_the_example_is_sound(example, options: dict[str, Any], clips):
    reader = Casme3(example, **options)
    assert list(map(str, reader.faults())) == []
    assert len(reader.clips()) == clips
    assert reader.clips()[0].namespace.startswith("synthetic-")
    assert "imitates" in reader.metadata()["label version"]
    assert ("depth" in reader.modalities()) == ("part" not in options and "depth" not in options)
    mended = "part" not in options and options.get("kind") != "macro"
    assert [correction.clip for correction in reader.applied()] == (["spNO.216/e/0"] if mended else [])


def test_the_registry_finds_and_binds_it():
    assert datasets.bind("casme3", {"kind": "both"}) == {
        **{"part": "a", "kind": "both", "depth": True, "near": 300, "far": 1300},
        **{"corrections": True, "table": None},
    }
    with pytest.raises(ConfigError):
        datasets.bind("casme3", {"part": "b"})


LETTERS = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs",)), max_size=6)
CELLS = st.one_of(st.none(), st.integers(-5, 4000), st.floats(), LETTERS, st.sampled_from(ROW))


@given(rows=st.lists(st.lists(CELLS, min_size=8, max_size=8), max_size=4), header=st.permutations(HEADER))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_mangled_table_gives_messages_or_right_rows(tmp_path, rows, header):
    order = [HEADER.index(name) for name in header]
    xlsx(tmp_path / LABELS, {"label": [header, *(tuple(row[place] for place in order) for row in (ROW, *rows))]})
    reader = Casme3(tmp_path)
    faults = reader.faults(table_only=True)
    assert all(fault.problem and fault.fix for fault in faults)
    if not any(fault.clip is None for fault in faults):
        assert len(reader.clips()) + len(faults) >= 1
        for clip in reader.clips():
            assert clip.subject_id.startswith("spNO.")
            assert 0 <= clip.onset <= clip.offset
            assert clip.emotion in Casme3.emotions.values()
