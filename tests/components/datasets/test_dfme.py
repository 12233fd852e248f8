"""DFME's reader against small databases in its layout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pytest

from example_databases import write_example
from microexpr.components.datasets.dfme import Dfme
from microexpr.core.errors import ConfigError, Fault
from microexpr.core.interfaces import datasets

HEADER = ("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Emotion", "EmotionId", "Fps", "AU")
NAMES = {"train": "training_full_with_AU.xlsx", "testA": "testA_full_with_AU.xlsx", "testB": "testB_full_with_AU.xlsx"}
PLACES = {"train": "train_data/train_data", "testA": "test_data_A/test_data_A", "testB": "test_data_B/test_data_B"}
COUNTS = {"anger": 241, "contempt": 171, "disgust": 735, "fear": 365, "happiness": 311, "sadness": 359, "surprise": 447}
ROWS = {
    "train": (
        ("sub0001", "sub0001_01", 12, 14, 16, "disgust", 2, 500, "4+9"),
        ("sub0002", "sub0002_01", "3", "4", "6", "Surprise", "6", "200", "1+2"),
    ),
    "testA": ((144, "144_k_289", 5, 6, 8, "fear", 3, 300, "L14"),),
    "testB": (("216", "216_e_0", 5, 6, 8, "anger", 0, 300, 4),),
}


def write_table(file: Path, rows: Iterable[Sequence[object]], header: Sequence[object] = HEADER) -> None:
    book = openpyxl.Workbook()
    for cells in (header, *rows):
        book.active.append(list(cells))
    file.parent.mkdir(parents=True, exist_ok=True)
    book.save(file)


def build(root: Path, parts: Sequence[str] = ("train", "testA", "testB"), tables: str = "") -> Path:
    picture = cv2.imencode(".png", np.full((8, 12, 3), 90, np.uint8))[1].tobytes()
    for part in parts:
        write_table(root / tables / NAMES[part], ROWS[part])
        for _, video, onset, _, offset, *_ in ROWS[part]:
            folder = root / PLACES[part] / video
            folder.mkdir(parents=True)
            for number in range(int(onset), int(offset) + 1):
                (folder / f"{number:05d}.png").write_bytes(picture)
    return root


def only(faults: Sequence[Fault]) -> Fault:
    assert len(faults) == 1, list(map(str, faults))
    return faults[0]


# --- parts ------------------------------------------------------------------------------------------------------------
def test_the_training_part_is_read_with_each_clips_rate(tmp_path):
    reader = Dfme(build(tmp_path))
    assert list(map(str, reader.faults())) == []
    first, second = reader.clips()
    assert (first.key, first.apex, first.emotion) == ("dfme/0001/sub0001_01/12-16", 14, "disgust")
    assert [clip.fps for clip in reader.clips()] == [500.0, 200.0]
    assert (second.emotion, second.onset, second.subject) == ("surprise", 3, "dfme/0002")
    assert second.labels == {"action_units": ("1+2",), "emotion id": ("6",), "part": ("train",)}
    assert reader.frames(first, [16, 12], "colour").shape == (2, 8, 12, 3)


def test_an_action_descriptor_stays_one(tmp_path):
    write_table(tmp_path / NAMES["train"], [(*ROWS["train"][0][:8], "4+AD38"), (*ROWS["train"][1][:8], "AD 32+38")])
    reader = Dfme(tmp_path)
    assert [list(map(str, clip.action_units)) for clip in reader.clips()] == [["4", "AD38"], ["AD32", "38"]]
    assert not [remark for remark in reader.notes(table_only=True) if "action units" in remark.problem]


@pytest.mark.parametrize(("part", "key"), [("testA", "dfme/0144/144_k_289/5-8"), ("testB", "dfme/0216/216_e_0/5-8")])
def test_each_test_part_is_its_own(tmp_path, part, key):
    reader = Dfme(build(tmp_path), part=part)
    assert list(map(str, reader.faults())) == []
    assert [clip.key for clip in reader.clips()] == [key]
    assert reader.clips()[0].labels["part"] == (part,)
    assert reader.metadata()["folder"] == PLACES[part]


def test_all_parts_together(tmp_path):
    reader = Dfme(build(tmp_path), part="all")
    assert list(map(str, reader.faults())) == []
    assert [clip.labels["part"][0] for clip in reader.clips()] == ["train", "train", "testA", "testB"]
    assert reader.metadata()["part"] == "train, testA, testB"
    assert reader.metadata()["table"] == ", ".join(NAMES.values())
    assert reader.frames(reader.clips()[3], [8], "colour").shape == (1, 8, 12, 3)
    assert Dfme(tmp_path).fingerprint() != reader.fingerprint()
    with pytest.raises(ConfigError, match="choose a part"):
        Dfme(tmp_path, part="all", table="training_full_with_AU.xlsx")


def test_a_missing_table_or_folder_of_a_part_is_told_by_name(tmp_path):
    build(tmp_path, ["train", "testA"])
    assert "table testB_full_with_AU.xlsx" in only(Dfme(tmp_path, part="all").faults()).problem
    write_table(tmp_path / NAMES["testB"], ROWS["testB"])
    fault = only(Dfme(tmp_path, part="all").faults())
    assert (fault.code, "test_data_B/test_data_B" in fault.problem) == ("E209", True)
    assert "test_data_A, train_data" in fault.problem
    assert Dfme(tmp_path).faults() == ()
    assert Dfme(tmp_path, part="all").faults(table_only=True) == ()


def test_two_tables_of_a_part_are_a_question(tmp_path):
    build(tmp_path)
    write_table(tmp_path / "train_mine.xlsx", ROWS["train"][:1])
    assert "2 tables of the part train" in str(only(Dfme(tmp_path).faults()))
    assert len(Dfme(tmp_path, table="train_mine.xlsx").clips()) == 1


@pytest.mark.parametrize("tables", ["", "full_release_annotation", "full_release_annotation/full_release_annotation"])
def test_tables_where_the_archive_was_unpacked(tmp_path, tables):
    reader = Dfme(build(tmp_path, tables=tables), part="all")
    assert (len(reader.clips()), reader.faults()) == (4, ())


@pytest.mark.parametrize("place", ["train_data", "DFME_train", "DFME_train/DFME_train"])
def test_frames_where_the_archive_was_unpacked(tmp_path, place):
    build(tmp_path, ["train"])
    (tmp_path / "train_data/train_data").rename(tmp_path / "frames")
    (tmp_path / "train_data").rmdir()
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / "frames").rename(tmp_path / place)
    assert list(map(str, Dfme(tmp_path).faults())) == []


# --- subjects and roots -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("sub0002", ("[E225]", "sub0001_01", "subject 0002")),
        (2, ("[E225]", "sub0001_01", "subject 0002")),
        ("bob", ("[E221]", "subject cell ", "'bob'")),
        (None, ("[E220]", "subject cell ")),
    ],
)
def test_a_subject_that_the_clips_name_contradicts_is_told(tmp_path, subject, words):
    build(tmp_path, ["train"])
    write_table(tmp_path / NAMES["train"], [(subject, *ROWS["train"][0][1:]), ROWS["train"][1]])
    fault = str(only(Dfme(tmp_path).faults(table_only=True)))
    assert all(word in fault for word in words), fault
    assert [clip.subject_id for clip in Dfme(tmp_path).clips()] == ["0002"]


@pytest.mark.parametrize("tables", ["", "full_release_annotation", "full_release_annotation/full_release_annotation"])
@pytest.mark.parametrize("root", ["..", "train_data", "train_data/train_data", "full_release_annotation"])
def test_roots_that_are_wrong_name_the_right_one(tmp_path, tables, root):
    right = build(tmp_path / "databases/dfme", ["train"], tables=tables)
    if root == "full_release_annotation" and not tables:
        return
    fault = only(Dfme((right / root).resolve()).faults())
    assert fault.code in ("E205", "E209")
    assert fault.fix.startswith(f"give {right} instead, ")


def test_where_nothing_is_near_the_table_is_asked_for(tmp_path):
    (tmp_path / "a/b/c/d").mkdir(parents=True)
    stated = str(only(Dfme(tmp_path / "a/b/c").faults()))
    assert "contains no table training_full_with_AU.xlsx; it contains d" in stated
    assert "does not exist" in str(only(Dfme(tmp_path / "a/b/e").faults()))


# --- emotions and rates -----------------------------------------------------------------------------------------------
def test_a_test_table_may_come_without_emotions(tmp_path):
    build(tmp_path, ["testA"])
    write_table(tmp_path / NAMES["testA"], [ROWS["testA"][0][:5]], HEADER[:5])
    reader = Dfme(tmp_path, part="testA")
    (clip,) = reader.clips()
    assert (clip.emotion, clip.fps, clip.action_units, reader.faults()) == (None, None, (), ())
    assert reader.metadata()["without emotion"] == "1 clips"
    write_table(tmp_path / NAMES["testA"], [(*ROWS["testA"][0][:5], None)], HEADER[:6])
    assert Dfme(tmp_path, part="testA").clips() == (clip,)


def test_the_training_table_may_not(tmp_path):
    build(tmp_path, ["train"])
    write_table(tmp_path / NAMES["train"], [cells[:5] for cells in ROWS["train"]], HEADER[:5])
    assert "lacks Emotion" in str(only(Dfme(tmp_path).faults()))
    write_table(tmp_path / NAMES["train"], [(*ROWS["train"][0][:5], None)], HEADER[:6])
    assert "unknown emotion ''" in str(only(Dfme(tmp_path).faults()))


@pytest.mark.parametrize(
    ("rate", "words"),
    [("fast", ("[E221]", "fps cell ", "'fast'")), (0, ("[E221]", "fps cell ", " 0")), (None, ("[E220]", "fps"))],
)
def test_rates_that_are_none(tmp_path, rate, words):
    build(tmp_path, ["train"])
    cells = list(ROWS["train"][0])
    cells[7] = rate
    write_table(tmp_path / NAMES["train"], [cells])
    fault = str(only(Dfme(tmp_path).faults()))
    assert all(word in fault for word in words), fault


def test_an_unusual_rate_is_a_remark(tmp_path):
    build(tmp_path, ["train"])
    cells = list(ROWS["train"][0])
    cells[7] = 100
    write_table(tmp_path / NAMES["train"], [cells])
    assert Dfme(tmp_path).faults() == ()
    assert "frame rate is 100, not 200, 300 or 500 -> compare the table [E259]" in "\n".join(
        map(str, Dfme(tmp_path).notes())
    )


def test_the_released_tables_are_told_by_their_rows(tmp_path):
    words = [word for word, count in COUNTS.items() for _ in range(count)]
    start = 0
    for part, count in (("train", 1856), ("testA", 474), ("testB", 299)):
        rows = (
            (f"sub{n % 600:04d}", f"v{n}", 1, 2, 3, words[n], [*COUNTS].index(words[n]), (200, 300, 500)[n % 3], "4")
            for n in range(start, start + count)
        )
        write_table(tmp_path / NAMES[part], rows)
        start += count
    whole = Dfme(tmp_path, part="all")
    assert (len(whole.clips()), whole.faults(table_only=True)) == (2629, ())
    stated = ", ".join(f"{word} {count}" for word, count in COUNTS.items())
    assert whole.metadata()["label version"] == f"the release of 2,629 clips (2629 rows: {stated})"
    assert Dfme(tmp_path).metadata()["label version"].startswith("the release of 2,629 clips (1856 rows")
    assert len(Dfme(tmp_path, part="testB").clips()) == 299
    write_table(tmp_path / NAMES["testB"], [ROWS["testB"][0]])
    version = Dfme(tmp_path, part="testB").metadata()["label version"]
    assert version == "not the known release of 299 rows (1 rows: anger 1)"


@pytest.mark.parametrize(("number", "word"), [(2, "surprise"), (6, "disgust"), ("4", "Disgust")])
def test_an_emotions_number_that_contradicts_it_is_told(tmp_path, number, word):
    build(tmp_path, ["train"])
    many = [(f"sub{n:04d}", f"v{n}", 1, 2, 3, *pair, 500, "4") for n, pair in enumerate([("disgust", 2)] * 3, 5)]
    wrong = ("sub0009", "v9", 1, 2, 3, word, number, 500, "4")
    write_table(
        tmp_path / NAMES["train"],
        [
            wrong,
            *many,
            ("sub0010", "v10", 1, 2, 3, "surprise", 6, 500, "1"),
            ("sub0011", "v11", 1, 2, 3, "surprise", "6", 500, "1"),
            ("sub0012", "v12", 1, 2, 3, "fear", None, 500, "1"),
        ],
    )
    reader = Dfme(tmp_path)
    fault = only(reader.faults(table_only=True))
    assert f"its EmotionId is {number} and its Emotion {word.lower()}, but elsewhere " in str(fault)
    assert fault.clip == "dfme/0009/v9/1-3"
    assert len(reader.clips()) == 6


def test_the_example_is_read_in_every_part(tmp_path):
    assert "dfme" in datasets.names()
    write_example("dfme", tmp_path)
    reader = Dfme(tmp_path)
    assert list(map(str, reader.faults())) == []
    assert (len(reader.clips()), len({clip.subject for clip in reader.clips()})) == (4, 3)
    assert len(Dfme(tmp_path, part="all").clips()) == 6
    assert "synthetic" in reader.clips()[0].namespace
