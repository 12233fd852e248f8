"""4DME's reader against small databases in its layout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pytest

from example_databases import write_example
from microexpr.components.datasets.fourdme import EMOTIONS, FourDme
from microexpr.core.errors import Fault
from microexpr.core.interfaces import datasets
from microexpr.core.labels import LABEL_SETS, label_set

TABLE = "4DME_Labelling_Micro_release v1.xlsx"
HEADER = (
    *("sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs", "AU1", "AU2", "fold", "eye blink"),
    *("Positive", "Negative", "Surprise", "Repression", "Others"),
)


def row(
    subject: object, video: object, emotion: object, onset: object, apex: object, offset: object, units: object, *marks
):
    return (subject, video, emotion, onset, apex, offset, units, 0, 0, 1, 0, *marks)


ROWS = (
    row("S01", "a_01", "Positive", 3, 5, 7, "6+12", 1, 0, 0, 0, 0),
    row("S01", "a_02", "Negative", "9", "10", "12", "AU4(k)+L7", 0, 1, 0, 1, 0),
    row("S13", "b_01", " others ", 3.0, 4.0, 6.0, "AUR2+12（k）+45", 0, 0, 0, 0, 1),
)


def write_table(root: Path, rows: Iterable[Sequence[object]], header: Sequence[object] = HEADER) -> None:
    book = openpyxl.Workbook()
    for cells in (header, *rows):
        book.active.append(list(cells))
    root.mkdir(parents=True, exist_ok=True)
    book.save(root / TABLE)


def build(root: Path, rows: Sequence[Sequence[object]] = ROWS, place: str = "gray_micro/{subject}/{video}") -> Path:
    write_table(root, rows)
    picture = cv2.imencode(".jpg", np.full((8, 12), 90, np.uint8))[1].tobytes()
    for subject, video, _, onset, _, offset, *_ in rows:
        folder = root / place.format(subject=subject, video=video)
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(int(float(str(onset))), int(float(str(offset))) + 1):
            (folder / f"{number:05d}.jpg").write_bytes(picture)
    return root


def only(faults: Sequence[Fault]) -> Fault:
    assert len(faults) == 1, list(map(str, faults))
    return faults[0]


def test_a_sound_copy(tmp_path):
    reader = FourDme(build(tmp_path))
    assert list(map(str, reader.faults())) == []
    first, second, third = reader.clips()
    assert (first.key, first.apex, first.fps, first.subject) == ("fourdme/01/a_01/3-7", 5, 60.0, "fourdme/01")
    assert (first.emotion, second.emotion, third.emotion) == ("positive", "negative", "others")
    assert (second.onset, second.apex, second.offset) == (9, 10, 12)
    assert (third.key, reader.applied()) == ("fourdme/13/b_01/3-6", ())
    assert reader.metadata()["folder"] == "gray_micro"
    assert first.labels["fold"] == ("1",)
    assert first.labels["eye blink"] == ("0",)


def test_grey_frames_are_repeated_into_three_channels(tmp_path):
    reader = FourDme(build(tmp_path))
    frames = reader.frames(reader.clips()[0], [7, 3], "colour")
    assert frames.shape == (2, 8, 12, 3)
    assert (frames[..., 0] == frames[..., 2]).all()


def test_units_marked_k_are_kept_and_named(tmp_path):
    _, second, third = FourDme(build(tmp_path)).clips()
    assert list(map(str, second.action_units)) == ["4", "L7"]
    assert second.labels["static action units"] == ("4",)
    assert second.labels["action_units"] == ("AU4(k)+L7",)
    assert list(map(str, third.action_units)) == ["R2", "12", "45"]
    assert third.labels["static action units"] == ("12",)


# --- several emotions -------------------------------------------------------------------------------------------------
def test_every_emotion_that_is_marked_is_a_label_and_the_one_written_is_the_clips(tmp_path):
    first, second, _ = FourDme(build(tmp_path)).clips()
    assert first.labels["emotions"] == ("positive",)
    assert (second.emotion, second.labels["emotions"]) == ("negative", ("negative", "repression"))
    assert LABEL_SETS["valence_2"].of(second) == "negative"


@pytest.mark.parametrize(
    "cell", ["Surprise+Positive", "surprise, positive", "Surprise / Positive", "Surprise and positive"]
)
def test_a_clip_with_two_written_emotions_has_no_single_one(tmp_path, cell):
    build(tmp_path, [row("S01", "a_01", cell, 3, 5, 7, "1+12", 1, 0, 1, 0, 0)])
    reader = FourDme(tmp_path)
    (clip,) = reader.clips()
    assert reader.faults() == ()
    assert (clip.emotion, clip.labels["emotions"]) == (None, ("surprise", "positive"))
    assert label_set("as_given", [clip]).of(clip) is None
    assert reader.metadata()["without one emotion"].startswith("1 clips")
    (taken,) = FourDme(tmp_path, several="first").clips()
    assert (taken.emotion, taken.labels["emotions"]) == ("surprise", ("surprise", "positive"))


@pytest.mark.parametrize("cell", ["joy", "Surprise+joy", "", None, "#N/A"])
def test_unknown_emotions_are_faults(tmp_path, cell):
    build(tmp_path, [row("S01", "a_01", cell, 3, 5, 7, "1+12", 0, 0, 0, 0, 0)])
    fault = only(FourDme(tmp_path).faults())
    assert fault.clip == "fourdme/01/a_01/3-7"
    assert "emotion" in fault.problem


def test_a_written_emotion_that_no_column_marks_is_a_remark(tmp_path):
    build(tmp_path, [row("S01", "a_01", "Positive", 3, 5, 7, "12", 0, 1, 0, 0, 0)])
    reader = FourDme(tmp_path)
    assert reader.faults() == ()
    assert "its Emotion is positive, but the columns mark negative" in str(only(reader.notes()))


# --- layouts ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("place", "cropped"),
    [
        ("gray_micro/{subject}/{video}", "no"),
        ("gray_micro/gray_micro/{subject}/{video}", "no"),
        ("Gray_Micro/{subject}/{video}", "no"),
        ("gray_micro_crop/{subject}/{video}", "yes"),
        ("gray_micro_register_final/{video}", "yes"),
    ],
)
def test_folders_as_they_are_unpacked(tmp_path, place, cropped):
    reader = FourDme(build(tmp_path, place=place))
    assert list(map(str, reader.faults())) == []
    assert reader.metadata()["cropped"] == cropped


def test_the_kind_of_frames_can_be_chosen(tmp_path):
    build(tmp_path)
    build(tmp_path, place="gray_micro_crop/{subject}/{video}")
    assert FourDme(tmp_path).cropped() is False
    assert FourDme(tmp_path, folder="cropped").cropped() is True


def test_subjects_have_one_spelling(tmp_path):
    spellings = ("S01", "s1", 1, "sub01", "S001")
    write_table(tmp_path, [row(each, f"v{n}", "Others", 1, 2, 3, "4") for n, each in enumerate(spellings)])
    assert {clip.subject_id for clip in FourDme(tmp_path).clips()} == {"01"}


@pytest.mark.parametrize(
    ("subject", "words"),
    [("S02", ("[E225]", "S01_1st_001_01", "subject 02")), ("bob", ("[E221]", "subject cell ", "'bob'"))],
)
def test_a_subject_that_the_clips_name_contradicts_is_told(tmp_path, subject, words):
    write_table(tmp_path, [row(subject, "S01_1st_001_01", "Others", 1, 2, 3, "4"), ROWS[0]])
    reader = FourDme(tmp_path)
    fault = str(only(reader.faults(table_only=True)))
    assert all(word in fault for word in words), fault
    assert [clip.video for clip in reader.clips()] == ["a_01"]


def test_no_frames_and_a_missing_column_are_told(tmp_path):
    write_table(tmp_path, ROWS)
    fault = only(FourDme(tmp_path).faults())
    assert (fault.code, "gray_micro/S01" in fault.problem) == ("E209", True)
    assert FourDme(tmp_path).faults(table_only=True) == ()
    write_table(tmp_path, [cells[:4] for cells in ROWS], HEADER[:4])
    assert "lacks Apex, Offset, AUs" in str(only(FourDme(tmp_path).faults()))


def test_the_whole_table_is_told_by_its_rows(tmp_path):
    words = [word.capitalize() for word in EMOTIONS]
    rows = [row(f"S{n % 41:02d}", f"v{n}", words[n % 5], 1, 2, 3, "4") for n in range(267)]
    write_table(tmp_path, rows)
    reader = FourDme(tmp_path)
    assert (len(reader.clips()), reader.faults(table_only=True)) == (267, ())
    assert reader.metadata()["label version"].startswith("release v1 (267 rows: positive 54, negative 54, surprise 53")
    write_table(tmp_path, rows[:-1])
    assert FourDme(tmp_path).metadata()["label version"].startswith("not release v1 (266 rows")


def test_the_example_has_the_owners_quirks(tmp_path):
    write_example("fourdme", tmp_path)
    reader = FourDme(tmp_path)
    assert "fourdme" in datasets.names()
    assert list(map(str, reader.faults())) == []
    assert any(len(clip.labels["emotions"]) > 1 for clip in reader.clips())
    assert any("static action units" in clip.labels for clip in reader.clips())
    assert (len(reader.clips()), len({clip.subject for clip in reader.clips()})) == (5, 3)
    assert "synthetic" in reader.clips()[0].namespace
