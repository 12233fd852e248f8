"""MMEW's reader: its table, and clips found in either arrangement of folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from example_databases import write_example
from example_databases.files import xls, xlsx
from microexpr.components.datasets.mmew import Mmew
from microexpr.core.clip import ActionUnit
from microexpr.core.errors import DataError, Fault, FrameError
from microexpr.core.interfaces import Modality, datasets
from microexpr.core.labels import LABEL_SETS, label_set

TABLE = "MMEW_Micro_Exp.xlsx"
HEADER = (
    *("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame"),
    *("Action Units", "Estimated Emotion", "notes"),
)
COUNTS = {"happiness": 36, "surprise": 89, "disgust": 72, "others": 66, "fear": 16, "sadness": 13, "anger": 8}
ROW = (1, "S01-01-001", 1, 4, 6, "6+12", "happiness", None)
ROWS = (ROW, ("02", "S02-04-001", "1", "3.0", 5.0, "4R+12L", " Others ", "hand before the mouth"))


def build(root: Path, rows: Iterable[Sequence[object]] = ROWS, name: str = TABLE) -> Path:
    xlsx(root / name, {"Sheet1": [HEADER, *rows], "Sheet2": [], "Sheet3": []})
    return root


def frames(folder: Path, numbers: Iterable[int], size: tuple[int, int] = (9, 16)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        image = np.full((*size, 3), (30, 100, 200), np.uint8)
        (folder / f"{number}.jpg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())


def only(faults: Sequence[Fault]) -> Fault:
    assert len(faults) == 1, list(map(str, faults))
    return faults[0]


def says(fault: Fault, *words: str) -> None:
    assert all(word in str(fault) for word in words), f"{fault} does not say {words}"


# --- the table --------------------------------------------------------------------------------------------------------
def released() -> list[tuple[object, ...]]:
    words = [word for word, count in COUNTS.items() for _ in range(count)]
    return [
        (n % 30 + 1, f"S{n % 30 + 1:02d}-{list(COUNTS).index(word) + 1:02d}-{n:03d}", 1, 9, 31, "1+2", word, None)
        for n, word in enumerate(words)
    ]


def test_the_released_counts(tmp_path):
    reader = Mmew(build(tmp_path, released()))
    clips = reader.clips()
    assert reader.faults(table_only=True) == ()
    assert Counter(clip.emotion for clip in clips) == COUNTS
    assert (len(clips), len({clip.subject for clip in clips})) == (300, 30)
    assert reader.metadata()["label version"] == "the owners' (300 rows)"
    four = label_set({word: word for word in ("others", "disgust", "surprise", "happiness")}, clips)
    assert sum(four.of(clip) is not None for clip in clips) == 263
    # No organiser took it into MEGC 2019.
    assert {LABEL_SETS["megc2019_3"].of(clip) for clip in clips} == {None}


def test_cells_as_people_typed_them(tmp_path):
    first, second = Mmew(build(tmp_path)).clips()
    assert (first.key, first.apex, first.fps) == ("mmew/S01/S01-01-001/1-6", 4, 90.0)
    assert first.labels == {"action_units": ("6+12",)}
    assert (second.subject, second.emotion, second.apex, second.offset) == ("mmew/S02", "others", 3, 5)
    assert second.action_units == (ActionUnit(4, side="R"), ActionUnit(12, side="L"))
    assert second.labels == {"action_units": ("4R+12L",), "notes": ("hand before the mouth",)}
    assert Mmew.corrections == ()


@pytest.mark.parametrize("name", [TABLE, "MMEW_Micro_Exp_v2.xlsx", "MMEW_Micro_Exp (20).xlsx", "mmew_micro_exp.xls"])
def test_names_of_the_table(tmp_path, name):
    (xls(tmp_path / name, [HEADER, *ROWS]) if name.endswith(".xls") else build(tmp_path, name=name))
    (tmp_path / "MMEW_Macro_Exp.xlsx").write_bytes(b"")
    assert len(Mmew(tmp_path).clips()) == 2


def test_a_table_without_remarks_is_one_too(tmp_path):
    xlsx(tmp_path / TABLE, {"1": [HEADER[:7], ROW[:7]]})
    assert len(Mmew(tmp_path).clips()) == 1


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            (1, "S01-01-001", 1, 40, 31, *ROW[5:]),
            ("[E223]", "apex 40", "1-31"),
        ),
        (
            (1, "S01-01-001", 1, 4, 0, *ROW[5:]),
            ("[E223]", "offset 0", "onset 1"),
        ),
        ((1, "S02-01-001", *ROW[2:]), ("[E225]", "subject is 1", "S02-01-001")),
        (("Bob", *ROW[1:]), ("[E221]", "subject cell ", "'Bob'", "1 to 30")),
        ((*ROW[:6], "happyness", None), ("did you mean 'happiness'?",)),
        (
            (*ROW[:2], "one", *ROW[3:]),
            ("[E221]", "onset cell ", "'one'"),
        ),
    ],
)
def test_rows_that_are_wrong(tmp_path, row, words):
    reader = Mmew(build(tmp_path, [row, ROWS[1]]))
    says(only(reader.faults(table_only=True)), f"{TABLE}, row 2", *words)
    assert [clip.subject_id for clip in reader.clips()] == ["S02"]


def test_a_video_has_one_row(tmp_path):
    fault = only(Mmew(build(tmp_path, [ROW, (1, "S01-01-001", 1, 5, 9, *ROW[5:])])).faults(table_only=True))
    says(fault, "row 3 (S01/S01-01-001)", "in the table twice")


def test_roots_that_are_wrong(tmp_path):
    root = build(tmp_path / "data/MMEW_Final")
    frames(root / "Micro_Expression/happiness/S01-01-001", [1])
    for wrong in (root.parent, root / "Micro_Expression", root / "Micro_Expression/happiness"):
        says(only(Mmew(wrong).faults()), "[E205]", "table MMEW_Micro_Exp.xlsx", f"give {root} instead")
    (root / TABLE).write_bytes((root / TABLE).read_bytes()[:900])
    says(only(Mmew(root).faults()), TABLE, "[E207]")
    with pytest.raises(DataError, match=TABLE):
        Mmew(root).clips()


# --- folders ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Micro_Expression/happiness/S01-01-001", "Micro_Expression/repression/S02-04-001"),
        ("Micro_Expression/happiness/S01-01-001", "Micro_Expression/others/S02-04-001"),
        ("Micro_Expression/S01/happiness/S01-01-001", "Micro_Expression/S02/repression/S02-04-001"),
        ("MMEW_Final/Micro_Expression/happiness/s01-01-001", "MMEW_Final/Micro_Expression/Others/S2-4-1"),
        ("Micro_Expression/Micro_Expression/happiness/S01-01-001", "Micro_Expression/Micro_Expression/x/S02-04-001"),
        ("happiness/S01-01-001", "repression/S02-04-001"),
        ("micro expression/S01-01-001", "micro expression/S02-04-001"),
    ],
)
def test_a_clip_is_found_by_its_name(tmp_path, first, second):
    build(tmp_path)
    frames(tmp_path / first, range(1, 7))
    frames(tmp_path / second, range(1, 6))
    frames(tmp_path / "Macro_Expression/S01/anger/S01-01-001", range(1, 3))
    reader = Mmew(tmp_path)
    assert list(map(str, reader.faults())) == []
    pixels = reader.frames(reader.clips()[1], [1, 5], "colour")
    assert pixels.shape == (2, 9, 16, 3)
    assert abs(int(pixels[0, 0, 0, 0]) - 200) < 6
    assert reader.modalities() == {"colour": Modality(("r", "g", "b"))}


def test_a_clip_with_two_folders_is_told(tmp_path):
    build(tmp_path, [ROW])
    frames(tmp_path / "Micro_Expression/happiness/S01-01-001", range(1, 7))
    frames(tmp_path / "Micro_Expression/S01/happiness/S01-01-001", range(1, 7))
    fault = only(Mmew(tmp_path).faults())
    says(fault, "Micro_Expression/S01/happiness/S01-01-001", "another folder: Micro_Expression/happiness", "delete one")
    assert fault.clip == "mmew/S01/S01-01-001/1-6"


def test_folders_against_the_table(tmp_path):
    build(tmp_path)
    frames(tmp_path / "Micro_Expression/happiness/S01-01-001", [1, 2, 3, 5])
    frames(tmp_path / "Micro_Expression/happiness/S09-01-001", [1, 2])
    lacking, missing = Mmew(tmp_path).faults()
    says(lacking, "happiness/S01-01-001", "lacks the frames 4, 6 of 1-6")
    says(missing, "Micro_Expression/S02-04-001: the clip's folder is missing")
    stated = " ".join(map(str, Mmew(tmp_path).notes()))
    assert "S09-01-001: no row of the table refers to this folder" in stated
    reader = Mmew(tmp_path)
    with pytest.raises(FrameError, match="frame 4 is missing"):
        reader.frames(reader.clips()[0], [4], "colour")


@pytest.mark.parametrize(
    ("emotion", "folder", "stated"),
    [
        ("happiness", "happiness", False),
        ("happiness", "Happiness", False),
        ("happiness", "disgust", True),
        ("Others", "repression", False),
        ("Others", "others", False),
        ("Others", "happiness", True),
        ("happiness", "repression", True),
        ("happiness", "S01", False),
    ],
)
def test_a_clip_in_another_emotions_folder_is_remarked(tmp_path, emotion, folder, stated):
    frames(tmp_path / "Micro_Expression" / folder / "S01-01-001", range(1, 7))
    reader = Mmew(build(tmp_path, [(*ROW[:6], emotion, None)]))
    assert reader.faults() == ()
    found = [remark for remark in reader.notes() if remark.code == "E260"]
    assert bool(found) == stated
    for remark in found:
        says(remark, f"Micro_Expression/{folder}/S01-01-001", f"but the table calls it {emotion.casefold()}")
        assert remark.clip == "mmew/S01/S01-01-001/1-6"
    assert not [remark for remark in reader.notes(table_only=True) if remark.code == "E260"]


def test_no_frames_at_all(tmp_path):
    build(tmp_path)
    (tmp_path / "Micro_Expression").mkdir()
    fault = only(Mmew(tmp_path).faults())
    says(fault, "[E209]", "Micro_Expression/happiness/S03-01-002/1.jpg", "its folders are Micro_Expression")
    assert (fault.clip, Mmew(tmp_path).faults(table_only=True), Mmew(tmp_path).cropped()) == (None, (), False)


@pytest.mark.parametrize(("size", "cropped"), [((1080, 1920), False), ((24, 32), False), ((231, 231), True)])
def test_cropped_faces_are_told_by_their_shape(tmp_path, size, cropped):
    build(tmp_path, [ROW])
    frames(tmp_path / "Micro_Expression/happiness/S01-01-001", range(1, 7), size)
    (tmp_path / "Micro_Expression/happiness/S01-01-001/1.jpg").write_bytes(b"broken")
    assert Mmew(tmp_path).cropped() is cropped
    assert Mmew(tmp_path).metadata()["cropped"] == ("yes" if cropped else "no")


# --- the example and mangled tables -----------------------------------------------------------------------------------
def test_the_example_is_sound(tmp_path):
    write_example("mmew", tmp_path)
    reader = Mmew(tmp_path)
    assert list(map(str, reader.faults())) == []
    assert (len(reader.clips()), len({clip.subject for clip in reader.clips()})) == (5, 3)
    assert reader.clips()[0].namespace.startswith("synthetic-")
    assert "imitates" in reader.metadata()["label version"]
    assert reader.metadata()["cropped"] == "no"


def test_the_registry_finds_and_binds_it():
    assert datasets.bind("mmew", {}) == {"table": None}


LETTERS = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs",)), max_size=6)
CELLS = st.one_of(st.none(), st.integers(-5, 400), st.floats(), LETTERS, st.sampled_from(ROW))


@given(rows=st.lists(st.lists(CELLS, min_size=8, max_size=8), max_size=4), header=st.permutations(HEADER))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_mangled_table_gives_messages_or_right_rows(tmp_path, rows, header):
    order = [HEADER.index(name) for name in header]
    xlsx(tmp_path / TABLE, {"1": [header, *(tuple(row[place] for place in order) for row in (ROW, *rows))]})
    reader = Mmew(tmp_path)
    faults = reader.faults(table_only=True)
    assert all(fault.problem and fault.fix for fault in faults)
    if not any(fault.clip is None for fault in faults):
        for clip in reader.clips():
            assert clip.subject_id.startswith("S")
            assert 0 <= clip.onset <= clip.offset
            assert clip.emotion in Mmew.emotions.values()
