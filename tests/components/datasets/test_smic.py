"""SMIC's reader against folders in its layout, whole and spoiled, and against tables of its long recordings."""

from __future__ import annotations

import shutil
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
from full_tables import picture, smic_clips, smic_folder, smic_folders
from microexpr.components.datasets.smic import MISSING, Smic
from microexpr.core.errors import Fault
from microexpr.core.interfaces import datasets
from microexpr.core.labels import LABEL_SETS
from microexpr.data.doctor import check, usable
from refusal import refuses

LONG = "SMIC-E_raw image/HS_long"
HEADER = (
    *("Subject", "Filename", None, "OnsetF", "OffsetF", "Onset2F", "Offset2F", "Onset3F", "Offset3F", None),
    *("FirstF", "LastF", "TotalMF1", "TotalMF2", "TotalMF3", "TotalVL", "Emotion"),
)


def row(subject: object, name: object, *ends: object, emotion: object = "negative", first: object = 100) -> list[Any]:
    own = [*ends, *[None] * (6 - len(ends))]
    return [subject, name, None, *own, None, first, 130, 4, None, None, 31, emotion]


ROWS = (
    row(1, "s1_ne_01", 103, 106),
    row("s01", "s1_sur_02", 103, 106.0, "110", 113, 120, 121, emotion="Surprise"),
    row(12, "s12_po_01", 101, 104, emotion="positive"),
)
TEXT = ([], [None, "TotalMF: frames of the expression"], ["Note: the clips are numbered by their emotion", "see below"])


def build(root: Path, camera: str = "HS") -> Path:
    """Write four short clips of two subjects."""
    top = root / camera
    smic_folder(top, 1, "negative", "s1_ne_01", range(559740, 559745))
    smic_folder(top, 1, "positive", "s1_po_01", range(701843, 701846))
    smic_folder(top, 12, "surprise", "s12_sur_01")
    smic_folder(top, 12, "negative", "s12_ne_03", (17581039, 17581040))
    return root


def write_long(root: Path, rows: Iterable[Sequence[Any]] = ROWS, camera: str = "HS", sheet: str = "HS") -> Path:
    file = root / f"SMIC-E_raw image/{camera}_long/SMIC-{camera}-E_annotation.xlsx"
    xlsx(file, {"Notes": [("about SMIC",)], sheet: [HEADER, *rows]})
    return root


def build_long(root: Path, rows: Sequence[Sequence[Any]] = ROWS, place: str = f"{LONG}/SMIC-HS-E") -> Path:
    for cells in rows:
        folder = root / place / f"s{int(str(cells[0]).removeprefix('s')):02d}" / str(cells[1])
        folder.mkdir(parents=True)
        for number in range(100, 131):
            (folder / f"image{number:06d}.jpg").write_bytes(picture(".jpg"))
    return write_long(root, [*rows, *TEXT])


def only(faults: Sequence[Fault]) -> Fault:
    assert len(faults) == 1, list(map(str, faults))
    return faults[0]


def says(fault: Fault, *words: str) -> None:
    assert all(word in str(fault) for word in words), f"{fault} does not say {words}"


# --- the short clips --------------------------------------------------------------------------------------------------
def test_all_164_clips(tmp_path):
    reader = Smic(smic_folders(tmp_path))
    clips = reader.clips()
    assert list(map(str, reader.faults())) == []
    assert (len(clips), len({clip.subject for clip in clips})) == (164, 16)
    assert Counter(clip.emotion for clip in clips) == {"negative": 70, "positive": 51, "surprise": 43}
    assert sum(clip.subject_id == "s3" for clip in clips) == 39
    for name in ("megc2019_3", "smic_3"):
        assert sum(LABEL_SETS[name].of(clip) is not None for clip in clips) == 164
    assert {clip.labels["challenge name"] for clip in clips if clip.subject_id == "s1"} == {
        (name.replace("s1_", "s01_"),) for subject, _, name in smic_clips() if subject == 1
    }
    assert reader.metadata()["label version"] == "HS, short clips: as published, negative 70, positive 51, surprise 43"
    assert "no clip has a coded apex" in str(only(reader.notes()))
    # The organisers of MEGC 2019 list it so.
    assert [clip.emotion for clip in clips if clip.video == "s18_sur_03"] == ["surprise"]
    assert reader.metadata()["table"] == "none"


def test_a_clip_is_its_folder_from_its_first_frame_to_its_last(tmp_path):
    reader = Smic(build(tmp_path))
    first, second, third, _ = reader.clips()
    assert (first.key, first.subject) == ("smic/s1/s1_ne_01/559740-559744", "smic/s1")
    assert (first.apex, first.fps, first.emotion) == (None, 100.0, "negative")
    assert first.labels == {"challenge name": ("s01_ne_01",)}
    assert (second.video, second.emotion, third.subject_id) == ("s1_po_01", "positive", "s12")
    assert third.labels == {"challenge name": ("s12_ne_03",)}
    assert np.array_equal(reader.frames(first, [559744], "colour"), np.full((1, 2, 3, 3), 90, np.uint8))
    assert len(reader.fingerprint()) == 64


@pytest.mark.parametrize(("camera", "fps"), [("HS", 100.0), ("VIS", 25.0), ("NIR", 25.0)])
def test_three_cameras_of_the_same_subjects(tmp_path, camera, fps):
    for each in ("HS", "VIS", "NIR"):
        build(tmp_path, each)
    reader = Smic(tmp_path, camera=camera)
    assert reader.faults() == ()
    clip = reader.clips()[0]
    assert (clip.fps, clip.subject) == (fps, "smic/s1")
    assert clip.dataset == {"HS": "smic", "VIS": "smic_vis", "NIR": "smic_nir"}[camera]
    kept = [LABEL_SETS["megc2019_3"].of(each) for each in reader.clips()]
    assert all(kept) if camera == "HS" else not any(kept)


def test_what_the_owners_ship_that_is_odd_is_remarked_and_no_fault(tmp_path):
    build(tmp_path)
    smic_folder(tmp_path / "HS", 18, "negative", "s18_sur_03")
    (tmp_path / "HS/readme").mkdir()
    non_micro = tmp_path / "HS/s1/non_micro/s1_n1"
    non_micro.mkdir(parents=True)
    (non_micro / "image000001.bmp").write_bytes(picture())
    reader = Smic(tmp_path)
    assert reader.faults() == ()
    assert reader.clips()[-1].emotion == "negative"
    stated = list(map(str, reader.notes()))
    assert [text for text in stated if "[E260]" in text and "surprise, its folder negative" in text]
    assert [text for text in stated if text.startswith("HS/readme: ") and "[E256]" in text]
    assert sum("apex" in text for text in stated) == 1
    assert len(stated) == 3


@pytest.mark.parametrize(
    ("place", "folder", "cropped"),
    [
        ("HS", "HS", "no"),
        ("HS/HS", "HS/HS", "no"),
        ("SMIC_all_raw/HS", "SMIC_all_raw/HS", "no"),
        ("SMIC_all_cropped/hs", "SMIC_all_cropped/hs", "yes"),
    ],
)
def test_frame_folders_as_they_are_unpacked(tmp_path, place, folder, cropped):
    build(tmp_path / "made")
    (tmp_path / "root" / place).parent.mkdir(parents=True)
    shutil.move(tmp_path / "made/HS", tmp_path / "root" / place)
    reader = Smic(tmp_path / "root")
    assert reader.faults() == ()
    assert (reader.metadata()["folder"], reader.metadata()["cropped"], len(reader.clips())) == (folder, cropped, 4)


def test_raw_frames_are_preferred_and_the_camera_may_be_the_root(tmp_path):
    build(tmp_path / "A_cropped")
    build(tmp_path / "B_raw")
    assert Smic(tmp_path).metadata()["folder"] == "B_raw/HS"
    assert (Smic(tmp_path / "A_cropped/HS").faults(), Smic(tmp_path / "A_cropped/HS").cropped()) == ((), True)


def test_names_and_folders_that_were_spelt_otherwise(tmp_path):
    top = tmp_path / "HS"
    smic_folder(top, 1, "Negative", "s1_ne_01")
    (top / "s1").rename(top / "S01")
    (top / "s2/surprise/s2_sur_01").mkdir(parents=True)
    (top / "s2/surprise/s2_sur_01/reg_image000007.jpg").write_bytes(picture(".jpg"))
    reader = Smic(tmp_path)
    assert reader.faults() == ()
    assert [clip.key for clip in reader.clips()] == ["smic/s1/s1_ne_01/559740-559742", "smic/s2/s2_sur_01/7-7"]
    assert reader.frames(reader.clips()[1], [7], "colour").shape == (1, 2, 3, 3)


@pytest.mark.parametrize(
    ("spoil", "words", "left"),
    [
        (lambda top: (top / "s1/micro/negative/s1_ne_01/image559742.bmp").unlink(), ("lacks the frames 559742",), 4),
        (lambda top: (top / "s1/micro/positive/s1_po_02").mkdir(), ("[E231]", "s1_po_02"), 4),
        (lambda top: smic_folder(top, 1, "angry", "s1_an_01"), ("s1_an_01", "[E222]", "'angry'", "rename"), 4),
        (
            lambda top: smic_folder(top, 1, "positive", "s1_ne_01"),
            ("negative/s1_ne_01", "other folders: HS/s1/micro/positive/s1_ne_01", "keep one"),
            3,
        ),
        (lambda top: smic_folder(top, 1, "negative", "s01_ne_01"), ("other folders: ", "negative/s1_ne_01"), 3),
        (
            lambda top: smic_folder(top, 1, "negative", "s2_ne_09"),
            ("[E225]", "s2_ne_09", "subject s1"),
            4,
        ),
        (lambda top: (top / "s1/micro/negative/s1_ne_01/image559742.bmp").write_bytes(b""), ("is empty (0 bytes)",), 4),
        (
            lambda top: (top / "s1/micro/negative/s1_ne_01/image559742.jpg").write_bytes(picture(".jpg")),
            (
                "[E232]",
                "image559742.bmp and image559742.jpg",
            ),
            4,
        ),
        (lambda top: smic_folder(top, 2, "negative", "s2_ne_01", (1, 900_000)), ("would have 900000 frames",), 4),
    ],
)
def test_spoiled_folders(tmp_path, spoil, words, left):
    spoil(build(tmp_path) / "HS")
    reader = Smic(tmp_path)
    fault = only(reader.faults())
    says(fault, "HS/s", *words)
    assert fault.clip
    assert len(reader.clips()) == left
    assert len(usable("smic", tmp_path, {})[1]) in (left, left - 1)


@pytest.mark.parametrize("name", ["s1_ne_01 (1)", "s1_ne_01 - Copy", "s1_ne", "clip"])
def test_a_folder_that_is_not_called_like_a_clip_is_a_fault_and_no_clip(tmp_path, name):
    top = build(tmp_path) / "HS"
    shutil.copytree(top / "s1/micro/negative/s1_ne_01", top / "s1/micro/negative" / name)
    reader = Smic(tmp_path)
    says(
        only(reader.faults()),
        f"HS/s1/micro/negative/{name}",
        "[E221]",
        "video cell ",
        f"{name!r}",
        "write a name like s1_ne_01",
    )
    assert len(reader.clips()) == 4


def test_two_folders_with_the_same_frames_are_told_whatever_they_are_called(tmp_path):
    top = build(tmp_path) / "HS"
    shutil.copytree(top / "s1/micro/negative/s1_ne_01", top / "s1/micro/positive/s1_po_02")
    reader = Smic(tmp_path)
    first, second = reader.faults()
    says(first, "[E237]", "negative/s1_ne_01: ", "HS/s1/micro/positive/s1_po_02")
    says(second, "[E237]", "positive/s1_po_02: ", "HS/s1/micro/negative/s1_ne_01")
    # Nobody can tell which one is right.
    assert [clip.video for clip in reader.clips()] == ["s1_po_01", "s12_ne_03", "s12_sur_01"]
    # Another subject may have the same numbers, and frames may be counted from 1 in each clip.
    shutil.rmtree(top / "s1/micro/positive/s1_po_02")
    smic_folder(top, 2, "negative", "s2_ne_01", range(559740, 559745))
    for name, shade in (("s3_ne_01", 10), ("s3_ne_02", 20)):
        folder = smic_folder(top, 3, "negative", name, range(1, 4))
        (folder / "image000001.bmp").write_bytes(picture(shade=shade))
    assert Smic(tmp_path).faults() == ()
    (top / "s3/micro/negative/s3_ne_02/image000001.bmp").write_bytes(picture(shade=10))
    assert len(Smic(tmp_path).faults()) == 2


@pytest.mark.parametrize(
    ("lost", "version", "gaps"),
    [
        (("negative",), "163 of 164: negative 69, not 70; negative 69, positive 51, surprise 43", 1),
        (("positive", "positive"), "162 of 164: positive 49, not 51; negative 70, positive 49, surprise 43", 2),
        ((), "as published, negative 70, positive 51, surprise 43", 0),
    ],
)
def test_clips_are_counted_against_those_published(tmp_path, lost, version, gaps):
    top = smic_folders(tmp_path) / "HS"
    # Of s3, whose numbers go on after the one that is lost.
    inner = {word: sorted((top / "s3/micro" / word).iterdir())[1:] for word in lost}
    for index, word in enumerate(lost):
        shutil.rmtree(inner[word][2 * index])
    reader = Smic(tmp_path)
    assert reader.metadata()["label version"] == f"HS, short clips: {version}"
    # The made-up names of all 164 count over all subjects.
    stated = [str(remark) for remark in reader.notes() if remark.code == "E257"]
    assert bool(stated) == bool(gaps)
    for index, word in enumerate(lost):
        assert any(inner[word][2 * index].name in text for text in stated)


def test_numbers_that_no_clip_has_are_told_where_clips_are_too_few(tmp_path):
    top = build(tmp_path) / "HS"
    smic_folder(top, 1, "negative", "s1_ne_04")
    reader = Smic(tmp_path)
    (stated,) = [remark for remark in reader.notes() if remark.code == "E257"]
    assert str(stated).startswith("s1_ne_01 ... s1_ne_04: s1_ne_02, s1_ne_03 are missing")
    assert reader.metadata()["label version"].startswith(
        "HS, short clips: 5 of 164: negative 3, not 70, positive 1, not 51"
    )
    assert "2 subjects, not 16" in reader.metadata()["label version"]


@pytest.mark.parametrize("camera", ["VIS", "NIR"])
def test_clips_of_the_slow_cameras_are_counted_too(tmp_path, camera):
    for index in range(71):
        smic_folder(tmp_path / camera, index % 8 + 1, "negative", f"s{index % 8 + 1}_ne_{index:02d}", [100 + index])
    stated = f"{camera}, short clips: as published, negative 71, positive 0, surprise 0"
    assert Smic(tmp_path, camera=camera).metadata()["label version"] == stated
    smic_folder(tmp_path / camera, 9, "negative", "s9_ne_01")
    stated = Smic(tmp_path, camera=camera).metadata()["label version"]
    assert stated.startswith(f"{camera}, short clips: 72, not 71: 9 subjects, not 8; ")


def test_all_faults_are_told_at_once(tmp_path):
    top = build(tmp_path) / "HS"
    (top / "s1/micro/positive/s1_po_02").mkdir()
    smic_folder(top, 3, "joy", "s3_jo_01")
    (top / "s12/micro/negative/s12_ne_03/image17581039.bmp").write_bytes(b"BM")
    (top / "s1/micro/negative/s1_ne_01/image559741.bmp").write_text("<html>")
    stated = "\n".join(map(str, Smic(tmp_path).faults()))
    for words in ("s1_po_02", "'joy'", "image559741.bmp is not an image"):
        assert words in stated


def test_short_clips_have_no_table(tmp_path):
    reader = Smic(build(tmp_path))
    fault = only(reader.faults(table_only=True))
    says(fault, "the short clips of SMIC have no table", "[E205]", "--set part=long")
    assert fault.clip is None
    assert reader.notes(table_only=True) == ()
    with refuses("E201", "[E205]", tmp_path):
        usable("smic", tmp_path, {}, table_only=True)


def test_roots_that_are_wrong(tmp_path):
    root = build(tmp_path / "data/smic")
    for inside in ("HS/s1", "HS/s1/micro", "HS/s1/micro/negative"):
        says(only(Smic(root / inside).faults()), "[E209]", "HS/s1/micro", f"give {root} instead")
    says(only(Smic(root, camera="VIS").faults()), "[E209]", "VIS/s1/micro", "its folders are HS", "--set camera=HS ")
    says(only(Smic(root.parent / "smik").faults()), "does not exist (did you mean 'smic'?)")
    (tmp_path / "empty").mkdir()
    with refuses("E209"):
        Smic(tmp_path / "empty").clips()


# --- the long recordings ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("place", [f"{LONG}/SMIC-HS-E", f"{LONG}/SMIC-HS-E/HS", f"{LONG}/SMIC_HS_E", LONG])
def test_a_recording_holds_up_to_three_expressions(tmp_path, place):
    reader = Smic(build_long(tmp_path, place=place), part="long")
    assert list(map(str, reader.faults())) == []
    assert [clip.key for clip in reader.clips()] == [
        "smic_long/s1/s1_ne_01/103-106",
        "smic_long/s1/s1_sur_02/103-106",
        "smic_long/s1/s1_sur_02/110-113",
        "smic_long/s1/s1_sur_02/120-121",
        "smic_long/s12/s12_po_01/101-104",
    ]
    second = reader.clips()[2]
    assert (second.emotion, second.apex, second.fps, second.subject) == ("surprise", None, 100.0, "smic/s1")
    assert second.labels == {
        "first frame": ("100",),
        "last frame": ("130",),
        "recording length": ("31",),
        "expression": ("2",),
    }
    assert reader.frames(second, [110, 113], "colour").shape == (2, 2, 3, 3)
    assert reader.metadata()["table"] == "SMIC-HS-E_annotation.xlsx"


@pytest.mark.parametrize("root", ["", "SMIC-E_raw image", LONG])
def test_the_table_is_found_from_three_roots(tmp_path, root):
    build_long(tmp_path)
    assert len(Smic(tmp_path / root, part="long").clips()) == 5
    assert Smic(tmp_path / root, part="long").faults() == ()


def test_rows_of_words_are_told_and_no_clips(tmp_path):
    reader = Smic(write_long(tmp_path, [*ROWS, *TEXT]), part="long")
    assert (len(reader.clips()), reader.faults(table_only=True)) == (5, ())
    stated = [str(remark) for remark in reader.notes(table_only=True) if "contains text" in str(remark)]
    assert stated[0].startswith("SMIC-HS-E_annotation.xlsx, row 6: contains text, not a clip: 'TotalMF")
    assert len(stated) == 2


def test_recordings_that_the_owners_do_not_ship(tmp_path):
    lost = [row(int(name[1]), name, 103, 106, first="missing") for name in MISSING]
    build_long(tmp_path)
    reader = Smic(write_long(tmp_path, [*ROWS, *lost]), part="long")
    assert (len(reader.clips()), reader.faults()) == (5, ())
    assert sum("not in the owners' download" in str(remark) for remark in reader.notes()) == 5
    # Whoever has one reads it.
    shutil.copytree(tmp_path / LONG / "SMIC-HS-E/s01/s1_ne_01", tmp_path / LONG / "SMIC-HS-E/s03/s3_ne_03")
    reader = Smic(tmp_path, part="long")
    assert [clip.video for clip in reader.clips()][-1] == "s3_ne_03"
    assert reader.faults() == ()


def test_the_sheet_of_the_camera_is_read(tmp_path):
    write_long(tmp_path, ROWS, "VIS", "HS")
    file = write_long(tmp_path, ROWS[:1], "NIR", "HS") / "SMIC-E_raw image/NIR_long/SMIC-NIR-E_annotation.xlsx"
    xlsx(file, {"HS": [HEADER, *ROWS], "NIR": [HEADER, ROWS[0]]})
    assert {clip.dataset for clip in Smic(tmp_path, camera="VIS", part="long").clips()} == {"smic_vis_long"}
    (clip,) = Smic(tmp_path, camera="NIR", part="long").clips()
    assert (clip.dataset, clip.fps, clip.namespace) == ("smic_nir_long", 25.0, "smic")


def test_a_table_without_emotions_tells_them_in_its_names(tmp_path):
    rows = [HEADER[:-1], *(cells[:-1] for cells in ROWS), row(2, "s2_joy_01", 103, 106)[:-1]]
    xlsx(tmp_path / "SMIC_VIS_E_annotation.xlsx", {"Sheet1": rows})
    reader = Smic(tmp_path, camera="VIS", part="long")
    assert [clip.emotion for clip in reader.clips()] == ["negative", *["surprise"] * 3, "positive"]
    says(only(reader.faults(table_only=True)), "[E222]", "'s2_joy_01'")


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (
            row("Bob", "s2_ne_01", 103, 106),
            ("[E221]", "subject cell ", "'Bob'"),
        ),
        (row(None, "s2_ne_01", 103, 106), ("subject cell is empty",)),
        (
            row(3, "s2_ne_01", 103, 106),
            ("[E225]", "s2_ne_01", "subject s3"),
        ),
        (
            row(2, "first", 103, 106),
            ("[E221]", "video cell ", "'first'"),
        ),
        (
            row(2, "s2_ne_01", "x", 106),
            ("[E221]", "onset cell ", "'x'"),
        ),
        (
            row(2, "s2_ne_01", 106, 103),
            ("[E223]", "offset 103", "onset 106"),
        ),
        (row(2, "s2_ne_01", 103, 106, emotion="joy"), ("unknown emotion 'joy'",)),
        (row(1, "s1_ne_01", 103, 106), ("in the table twice",)),
    ],
)
def test_rows_of_the_long_table_that_are_wrong(tmp_path, cells, words):
    reader = Smic(write_long(tmp_path, [*ROWS, cells, *TEXT]), part="long")
    says(only(reader.faults(table_only=True)), "SMIC-HS-E_annotation.xlsx, row 5", *words)
    assert len(reader.clips()) == 5


def test_a_row_of_a_subject_with_words_for_numbers_is_no_line_of_text(tmp_path):
    reader = Smic(write_long(tmp_path, [*ROWS, row(2, "about", "see", "below", emotion=None)]), part="long")
    stated = "\n".join(map(str, reader.faults(table_only=True)))
    assert stated.count("row 5 (s2/about)") == 4
    for words in (
        "[E221]",
        "video cell ",
        "'about'",
        "[E221]",
        "onset cell ",
        "'see'",
        "[E221]",
        "offset cell ",
        "'below'",
        "unknown emotion ''",
    ):
        assert words in stated
    assert len(reader.clips()) == 5


def test_what_a_row_tells_twice_and_differently_is_remarked(tmp_path):
    rows = [
        row(1, "s1_ne_01", 103, 106, emotion="positive"),
        row(2, "s2_ne_01", 103, 109),
        # Frames counted without the first.
        row(2, "s2_ne_02", 103, 107),
        [*row(3, "s3_ne_01", 103, 106, 110, 115)[:13], 9, None, 31, "negative"],
    ]
    reader = Smic(write_long(tmp_path, rows), part="long")
    assert reader.faults(table_only=True) == ()
    stated = [str(remark) for remark in reader.notes(table_only=True) if "apex" not in remark.problem]
    assert [text.partition(" -> ")[0] for text in stated] == [
        "smic_long/s1/s1_ne_01/103-106: its name says negative, its row positive, which takes precedence",
        "smic_long/s2/s2_ne_01/103-109: its TotalMF1 is 4, but 103-109 are 7 frames",
        "smic_long/s3/s3_ne_01/110-115: its TotalMF2 is 9, but 110-115 are 6 frames",
    ]


def test_an_expression_that_begins_before_its_recording_is_a_fault(tmp_path):
    # As third expressions of s18_ne_01 and s18_sur_03 do in a public copy, for 366 s and 882 s.
    rows = [row(18, "s18_ne_01", 36_700, 36_720, 36_740, 36_760, 100, 36_769, first=36_700), *ROWS]
    reader = Smic(write_long(tmp_path, rows), part="long")
    fault = only(reader.faults(table_only=True))
    says(fault, "row 2 (s18/s18_ne_01)", "[E223]", "onset 100", "first frame 36700 (column FirstF)")
    assert [clip.onset for clip in reader.clips() if clip.subject_id == "s18"] == [36_700, 36_740]
    # Without that column the length alone tells it.
    plain = [[*cells[:10], None, *cells[11:]] for cells in rows]
    stated = [str(remark) for remark in Smic(write_long(tmp_path, plain), part="long").notes(table_only=True)]
    assert [
        text for text in stated if "100-36769: it lasts 367 s" in text and "compare the row with its frames" in text
    ]
    assert not [text for text in stated if "lasts" in text and "as the owners coded it" in text]


def test_an_expression_that_ends_after_its_recording_is_remarked(tmp_path):
    reader = Smic(write_long(tmp_path, [row(1, "s1_ne_01", 120, 131)]), part="long")
    assert reader.faults(table_only=True) == ()
    assert [each for each in reader.notes(table_only=True) if "120-131 ends after the recording's last" in str(each)]


def test_a_repeat_inside_a_row_is_one_clip_for_check_and_table(tmp_path):
    rows = [*ROWS, row(2, "s2_ne_01", 103, 106, 110, 113, "110", 113.0)]
    reader = Smic(write_long(tmp_path, rows), part="long")
    assert reader.faults(table_only=True) == ()
    (stated,) = [str(remark) for remark in reader.notes(table_only=True) if "repeats" in str(remark)]
    assert stated.startswith(
        "SMIC-HS-E_annotation.xlsx, row 5 (s2_ne_01): its expression 3 repeats its expression 2, 110-113"
    )
    assert stated.endswith("[E256]")
    found = check("smic", tmp_path, {"part": "long"}, table_only=True)
    assert (found.clips, found.faulty) == (7, 0)
    assert len(usable("smic", tmp_path, {"part": "long"}, table_only=True)[1]) == 7


def test_check_and_table_count_the_same_clips_where_rows_are_faulty(tmp_path):
    write_long(tmp_path, [*ROWS, ROWS[0], row(3, "s3_ne_01", 50, 106)])
    found = check("smic", tmp_path, {"part": "long"}, table_only=True)
    _, clips, _ = usable("smic", tmp_path, {"part": "long"}, table_only=True)
    # Of the clip that two rows list neither row is read.
    assert (len(clips), found.clips, found.faulty) == (4, 4, 2)
    assert found.to_json()["faulty"] == 2


def test_the_table_of_another_camera_is_named(tmp_path):
    write_long(tmp_path)
    fault = only(Smic(tmp_path, part="long", camera="VIS").faults())
    says(fault, "[E205]", "annotation table of VIS", f"{LONG}/SMIC-HS-E_annotation.xlsx", "--set camera=HS ")
    write_long(tmp_path, ROWS, "VIS", "VIS")
    assert len(Smic(tmp_path, part="long", camera="VIS").clips()) == 5


def test_a_second_expression_without_its_end(tmp_path):
    reader = Smic(write_long(tmp_path, [row(1, "s1_ne_01", 103, 106, 110)]), part="long")
    says(only(reader.faults(table_only=True)), "row 2", "offset cell is empty (column Offset2F)")
    assert [clip.onset for clip in reader.clips()] == [103]


def test_recordings_whose_folder_is_wrong(tmp_path):
    build_long(tmp_path)
    shutil.rmtree(tmp_path / LONG / "SMIC-HS-E/s12")
    (tmp_path / LONG / "SMIC-HS-E/s01/s1_ne_01/image000104.jpg").unlink()
    lacking, missing = Smic(tmp_path, part="long").faults()
    says(lacking, "s01/s1_ne_01", "lacks the frames 104 of 103-106")
    says(missing, "s12_po_01", "the clip's folder is missing")
    shutil.rmtree(tmp_path / LONG / "SMIC-HS-E")
    says(Smic(tmp_path, part="long").faults()[0], "[E209]", "HS_long/SMIC-HS-E/s01/s1_ne_01")


def test_two_annotation_tables_are_a_question(tmp_path):
    write_long(tmp_path)
    xlsx(tmp_path / LONG / "SMIC-HS-E_annotation_orig.xlsx", {"HS": [HEADER, ROWS[0]]})
    says(only(Smic(tmp_path, part="long").faults()), "2 tables", "[E206]", "--set table=SMIC-HS-E_annotation.xlsx ")
    assert len(Smic(tmp_path, part="long", table="SMIC-HS-E_annotation_orig.xlsx").clips()) == 1
    says(only(Smic(tmp_path, part="long", camera="NIR").faults()), "[E205]", "annotation table of NIR")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.integers(0, len(HEADER) - 1),
    cell=st.none() | st.integers(-5, 10**9) | st.floats(allow_nan=False) | st.text("0123456789_/-,sne?é ", max_size=8),
)
def test_a_spoiled_cell_gives_a_message_or_a_right_row(tmp_path, place, cell):
    wrong = [*ROWS[0][:place], cell, *ROWS[0][place + 1 :]]
    reader = Smic(write_long(tmp_path, [wrong, *ROWS[1:]]), part="long")
    kept = [clip for clip in reader.clips() if clip.video not in ("s1_sur_02", "s12_po_01")]
    assert len(reader.clips()) - len(kept) == 4
    assert kept or reader.faults(table_only=True)
    assert all(clip.subject_id == "s1" and clip.onset <= clip.offset for clip in kept)
    assert all(clip.emotion == "negative" for clip in kept)


# --- the example ------------------------------------------------------------------------------------------------------
def test_the_registry_finds_and_binds_it():
    given_ = {"camera": "NIR", "part": "long"}
    assert datasets.bind("smic", given_) == {**given_, "table": None}


def test_the_example_is_sound(tmp_path):
    write_example("smic", tmp_path)
    for reader in (Smic(tmp_path), Smic(tmp_path, part="long")):
        assert list(map(str, reader.faults())) == []
        assert len({clip.subject for clip in reader.clips()}) > 1
        clip = reader.clips()[0]
        assert reader.frames(clip, [clip.onset], "colour").shape == (1, 240, 320, 3)
        assert clip.namespace == "synthetic-0"
