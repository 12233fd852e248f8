"""The doctor: what `microexpr data check|table|list|stats` tells of sound, spoiled and foreign folders."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from example_databases import write_example
from example_databases.files import xlsx
from microexpr import check_data, data_stats, data_table, list_data
from microexpr.components.datasets._notes import overlaps
from microexpr.components.datasets.casme2 import Casme2
from microexpr.components.datasets.synthetic import SyntheticSpec, plan
from microexpr.components.datasets.synthetic.writing import HEADER, table
from microexpr.core.errors import ConfigError, DataError, Fault, UsageError
from microexpr.core.interfaces import datasets, reader
from microexpr.core.labels import LABEL_SETS
from microexpr.data.clip_table import AS_WRITTEN, COLUMNS
from microexpr.data.doctor import grouped
from microexpr.report.blocks.database import render_stats
from refusal import refuses
from shell import microexpr
from tools.component_pages import applies

TABLE = "CASME2-coding-20140508.xlsx"
FRAMES = "CASME2_RAW_selected"
JPEG = cv2.imencode(".jpg", np.full((16, 24, 3), 90, np.uint8))[1].tobytes()
COUNTS = {"others": 99, "disgust": 63, "happiness": 32, "repression": 27, "surprise": 25, "sadness": 7, "fear": 2}


def row(subject: object, video: object, onset: object = 1, apex: object = 3, offset: object = 5, emotion="disgust"):
    return (subject, video, None, onset, apex, offset, None, "4+L10", emotion)


def write_frames(folder: Path, numbers: Iterable[int] = range(1, 6)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"img{number}.jpg").write_bytes(JPEG)


def build(root: Path, rows: Sequence[Sequence[object]] = (row("01", "EP01"), row("02", "EP01"))) -> Path:
    xlsx(root / TABLE, {"Sheet1": [HEADER, *rows]})
    for cells in rows:
        write_frames(root / FRAMES / f"sub{cells[0]}" / str(cells[1]))
    return root


# --- a folder spoiled in many ways at once ----------------------------------------------------------------------------
SPOILED = {
    "a missing folder": ("E230", "sub01/EP01", "folder is missing"),
    "a missing frame": ("E231", "sub02/EP01", "3 of 1-5 (it has 1-2, 4-5)"),
    "an image that is truncated": ("E233", "sub03/EP01", "img3.jpg is truncated"),
    "an empty file": ("E233", "sub04/EP01", "img3.jpg is empty (0 bytes)"),
    "no image at all": ("E233", "sub05/EP01", "img3.jpg is not an image"),
    "two files of one number": ("E232", "sub06/EP01", "img03.jpg and img3.jpg"),
    "a row that is there twice": ("E224", "row 9 (07/EP01)", "row 8"),
    "an apex outside": ("E223", "row 10 (08/EP01)", "apex 9 is outside its clip 1-5"),
    "an offset before the onset": ("E223", "row 11 (09/EP01)", "offset 2 is before the onset 4"),
    "an unknown emotion": ("E222", "row 12 (10/EP01)", "'joy'"),
    "text instead of a number": ("E221", "row 13 (11/EP01)", "onset cell contains 'three'"),
    "no name of a video": ("E220", "row 14 (12/?)", "video cell"),
    "no number of a subject": ("E221", "row 15 (?/EP01)", "subject cell contains 'anna'"),
    "a clip without end": ("E223", "row 16 (14/EP01)", "1-900000 would have 900000 frames"),
    "many broken images": ("E233", "sub17/EP01", "1-4: is empty (0 bytes), 5: is not an image"),
}
NOTED = {
    "a folder that no row names": ("E256", "sub15/EP99", "no row of the table"),
    "a link out of the root": ("E258", "sub16/EP01", "is a link to "),
}


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("spoiled") / "CASME2"
    whole = [row(f"{number:02d}", "EP01") for number in range(1, 7)]
    xlsx(root / TABLE, {"Sheet1": [
        HEADER,
        *whole,
        *[row("07", "EP01")] * 2,
        row("08", "EP01", apex=9),
        row("09", "EP01", onset=4, apex=3, offset=2),
        row("10", "EP01", emotion="joy"),
        row("11", "EP01", onset="three"),
        row("12", None),
        row("anna", "EP01"),
        row("14", "EP01", offset=900_000),
        row("15", "EP01"),
        row("16", "EP01"),
        row("17", "EP01"),
    ]})  # fmt: skip
    frames = root / FRAMES
    for number in (*range(2, 12), 14, 15, 17):
        write_frames(frames / f"sub{number:02d}/EP01")
    (frames / "sub02/EP01/img3.jpg").unlink()
    (frames / "sub03/EP01/img3.jpg").write_bytes(JPEG[:-30])
    (frames / "sub04/EP01/img3.jpg").write_bytes(b"")
    (frames / "sub05/EP01/img3.jpg").write_bytes(b"<html>404 Not Found</html>")
    (frames / "sub06/EP01/img03.jpg").write_bytes(JPEG)
    for number in range(1, 5):
        (frames / f"sub17/EP01/img{number}.jpg").write_bytes(b"")
    (frames / "sub17/EP01/img5.jpg").write_bytes(b"text")
    write_frames(frames / "sub15/EP99")
    write_frames(root.parent / "elsewhere/EP01")
    (frames / "sub16").mkdir()
    (frames / "sub16/EP01").symlink_to(root.parent / "elsewhere/EP01")
    return root


@pytest.mark.parametrize("way", [*SPOILED, *NOTED])
def test_every_one_of_the_spoiled_ways_is_named(spoiled, way):
    found = check_data("casme2", spoiled)
    code, where, problem = (SPOILED | NOTED)[way]
    faults = found.faults if way in SPOILED else found.notes
    (fault,) = [fault for fault in faults if where in fault.where and problem in fault.problem]
    assert fault.code == code
    assert fault.fix


def test_nothing_else_is_named_and_no_clip_twice(spoiled):
    found = check_data("casme2", spoiled)
    assert len(found.faults) == len(SPOILED) >= 12
    assert len(found.notes) == len(NOTED)
    assert not found.sound


def test_the_command_prints_faults_by_code_and_with_verbose_every_one(spoiled):
    answer = microexpr("data", "check", "casme2", "--root", spoiled, "--verbose")
    assert (answer.code, answer.err) == (1, "")
    found = check_data("casme2", spoiled)
    for fault in (*found.faults, *found.notes):
        assert f"    {fault.where}: {fault.problem}\n" in answer.out
        assert f"    -> {fault.fix}\n" in answer.out
    assert f"{len(SPOILED)} faults:" in answer.out
    assert f"{len(NOTED)} notes" in answer.out
    assert "--verbose" not in answer.out
    short = microexpr("data", "check", "casme2", "--root", spoiled)
    assert short.code == 1
    assert "  E233, 4: " in short.out
    assert "    ... and 1 more; --verbose lists all\n" in short.out
    assert len(short.out.splitlines()) == len(answer.out.splitlines())


def test_json_has_everything_and_nothing_else_is_printed(spoiled):
    answer = microexpr("data", "check", "casme2", "--root", spoiled, "--json")
    content = json.loads(answer.out)
    assert (answer.code, answer.err, content["sound"]) == (1, "", False)
    assert len(content["faults"]) == len(SPOILED)
    assert set(content["faults"][0]) == set(content["notes"][0]) == {"code", "where", "problem", "fix", "clip"}
    assert (content["dataset"], content["title"], content["root"]) == ("casme2", "CASME II", str(spoiled))
    assert content["metadata"]["label version"].startswith("neither 2014-05-08 nor 2019-07-01")
    assert re.fullmatch("[0-9a-f]{64}", content["metadata"]["fingerprint"])
    assert content == check_data("casme2", spoiled).to_json()


def test_table_only_tells_of_the_table_and_looks_at_no_picture(spoiled, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(spoiled / TABLE, alone)
    found = check_data("casme2", alone, table_only=True)
    assert {fault.problem for fault in found.faults} <= {
        fault.problem for fault in check_data("casme2", spoiled).faults
    }
    assert len(found.faults) == sum(where.startswith("row") for _, where, _ in SPOILED.values())
    assert "fingerprint" not in found.metadata
    whole = check_data("casme2", alone)
    assert len(whole.faults) == len(found.faults) + 1
    answer = microexpr("data", "check", "casme2", "--root", alone)
    assert answer.out.index("E209, 1: ") < answer.out.index("row 10"), "what concerns all comes first"


def test_clips_with_faults_are_left_out_of_the_table_and_told(spoiled, tmp_path):
    out = tmp_path / "new" / "clips.csv"
    answer = microexpr("data", "table", "casme2", "--root", spoiled, "--out", out)
    assert answer.code == 0
    assert list(pd.read_csv(out)["key"]) == ["casme2/15/EP01/1-5", "casme2/16/EP01/1-5"]
    assert answer.err.count("left out: ") == len(SPOILED)
    assert answer.out.startswith("2 clips, 2 subjects\n  class:  disgust 2\n")


# --- sound folders, and roots that are not right ----------------------------------------------------------------------
def test_a_sound_folder_ends_with_0(tmp_path):
    answer = microexpr("data", "check", "casme2", "--root", build(tmp_path))
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"CASME II in {tmp_path}\n  table: {TABLE}\n")
    assert answer.out.endswith("\n  clips: 2 of 2 subjects\n\nno faults\n")


def test_names_in_another_case_are_found(tmp_path):
    root = build(tmp_path)
    (root / TABLE).rename(root / TABLE.upper())
    (root / FRAMES).rename(root / FRAMES.lower())
    (root / FRAMES.lower() / "sub01").rename(root / FRAMES.lower() / "SUB1")
    (root / FRAMES.lower() / "sub02/EP01").rename(root / FRAMES.lower() / "sub02/ep01")
    assert check_data("casme2", root).sound


@pytest.mark.parametrize(("given", "right"), [("..", "."), (FRAMES, "."), (f"{FRAMES}/sub01", ".")])
def test_a_root_one_level_off_names_the_right_one(tmp_path, given, right):
    root = build(tmp_path / "CASME2")
    answer = microexpr("data", "check", "casme2", "--root", (root / given).resolve())
    assert answer.code == 1
    assert f"-> give {(root / right).resolve()} instead, which contains {TABLE}" in answer.out
    assert "1 fault:" in answer.out


def test_a_linked_folder_of_frames_is_told_once(tmp_path):
    root = build(tmp_path / "CASME2")
    (root / FRAMES).rename(tmp_path / "disk")
    (root / FRAMES).symlink_to(tmp_path / "disk")
    found = check_data("casme2", root)
    assert found.sound
    stated = f"is a link to {tmp_path / 'disk'}, outside {root}"
    assert [(fault.where, fault.problem) for fault in found.notes] == [(FRAMES, stated)]


def test_linked_pictures_and_a_linked_table_are_remarked(tmp_path):
    root = build(tmp_path / "CASME2")
    for path in (root / TABLE, root / FRAMES / "sub01/EP01/img1.jpg"):
        path.rename(tmp_path / path.name)
        path.symlink_to(tmp_path / path.name)
    stated = [f"{fault.code} {fault.where}: {fault.problem}" for fault in check_data("casme2", root).notes]
    assert any(f"{TABLE}: is a link to {tmp_path / TABLE}, outside" in line for line in stated)
    assert any("E258" in line and "sub01/EP01: " in line for line in stated)


def test_a_label_set_says_where_its_counts_are_not_those_published(tmp_path):
    file = tmp_path / "CASME2-coding-20190701.xlsx"
    file.write_bytes(table(plan(SyntheticSpec(labels="20190701"))))
    answer = microexpr("data", "table", "casme2", "--root", tmp_path, "--table-only", "--labels", "megc2019_3")
    assert "! label set megc2019_3 keeps 148 clips of casme2, where 145 were published" in answer.out
    assert "published" not in microexpr("data", "table", "casme2", "--root", tmp_path, "--table-only").out
    answer = microexpr("data", "stats", "casme2", "--root", tmp_path, "--table-only", "--labels", "casme2_5")
    assert "! label set casme2_5 keeps 249 clips of casme2, where 246 were published" in answer.out
    one = microexpr("data", "table", "casme2", "--root", tmp_path, "--table-only", "--labels", "smic_3").out
    assert "no clips: negative, positive" in one


def test_two_rows_do_not_read_one_folder(tmp_path):
    root = build(tmp_path, [row("01", "EP14_02f"), row("01", "EP14_2f", emotion="fear")])
    shutil.rmtree(root / FRAMES / "sub01/EP14_2f")
    found = check_data("casme2", root)
    assert {fault.clip for fault in found.faults} == {"casme2/01/EP14_02f/1-5", "casme2/01/EP14_2f/1-5"}
    assert all("uses this folder too" in fault.problem for fault in found.faults)


def test_folders_of_pictures_that_no_row_names_are_remarked_wherever_they_lie(tmp_path):
    root = build(tmp_path, [row("01", "EP01"), row("02", "EP02")])
    strangers = {f"{FRAMES}/{name}" for name in ("sub01/EP99", "sub02/EP01", "sub77/EP01")}
    for name in strangers:
        write_frames(root / name)
    assert {fault.where for fault in check_data("casme2", root).notes} == strangers


def test_the_folder_of_a_faulty_row_is_no_stranger(tmp_path):
    root = build(tmp_path, [row("01", "EP01"), row("02", "EP01")])
    xlsx(root / TABLE, {"Sheet1": [HEADER, row("01", "EP01"), row("02", "EP01", "x")]})
    found = check_data("casme2", root)
    assert len(found.faults) == 1
    assert not found.notes


def test_a_picture_of_another_size_is_a_fault(tmp_path):
    root = build(tmp_path)
    small = cv2.imencode(".jpg", np.zeros((4, 6, 3), np.uint8))[1].tobytes()
    (root / FRAMES / "sub01/EP01/img2.jpg").write_bytes(small)
    (fault,) = check_data("casme2", root).faults
    assert fault.code == "E234"
    assert "img2.jpg is 6x4, most are 24x16" in fault.problem


def test_expressions_that_share_frames_are_remarked(tmp_path):
    clip = Casme2(build(tmp_path)).clips()[0]
    (stated,) = overlaps([clip, replace(clip, onset=2), replace(clip, onset=9, offset=12)])
    assert stated.problem == f"it shares frames with {clip.key}"


@pytest.mark.parametrize("command", ["check", "table", "stats"])
@pytest.mark.parametrize("word", ["root", "name", "table_only", "labels", "out"])
def test_parameters_of_the_reader_never_meet_those_of_the_call(tmp_path, command, word):
    answer = microexpr("data", command, "casme2", "--root", build(tmp_path), "--set", f"{word}=x")
    assert answer.code == 1
    assert f"has no parameter {word!r}" in answer.err


def test_a_link_to_itself_is_a_missing_folder(tmp_path):
    root = build(tmp_path)
    shutil.rmtree(root / FRAMES / "sub01/EP01")
    (root / FRAMES / "sub01/EP01").symlink_to(root / FRAMES / "sub01/EP01")
    found = check_data("casme2", root)
    assert [fault.problem for fault in found.faults] == ["the clip's folder is missing"]
    assert ["is a link to" in fault.problem for fault in found.notes] == [True]


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (lambda root: (root / TABLE).unlink(), "E205", "coding table CASME2-coding-*.xlsx"),
        (lambda root: (root / TABLE).write_bytes(b""), "E207", "is empty (0 bytes)"),
        (lambda root: (root / TABLE).write_bytes((root / TABLE).read_bytes()[:600]), "E207", "is truncated, damaged"),
        (lambda root: xlsx(root / TABLE, {"Sheet1": []}), "E208", "'Sheet1' is empty"),
        (lambda root: shutil.copy(root / TABLE, root / "CASME2-coding-20190701.xlsx"), "E206", "2 tables"),
        (lambda root: shutil.rmtree(root), "E204", "does not exist"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_fault_and_no_traceback(tmp_path, spoil, code, words):
    root = build(tmp_path / "CASME2")
    spoil(root)
    found = check_data("casme2", root)
    (fault,) = found.faults
    assert fault.code == code
    assert words in fault.problem
    assert (dict(found.metadata), found.clips, found.notes, found.corrections) == ({}, 0, (), ())
    assert microexpr("data", "check", "casme2", "--root", root, "--table-only").code == 1
    answer = microexpr("data", "table", "casme2", "--root", root, "--table-only")
    assert answer.code == 1
    assert words in answer.err


def test_of_two_tables_one_can_be_chosen(tmp_path):
    root = build(tmp_path)
    shutil.copy(root / TABLE, root / "CASME2-coding-20190701.xlsx")
    assert f"--set table={TABLE} " in microexpr("data", "check", "casme2", "--root", root).out
    assert microexpr("data", "check", "casme2", "--root", root, "--set", f"table={TABLE}").code == 0
    assert check_data("casme2", root, parameters={"table": TABLE}).sound


def test_a_table_without_frames_says_how_it_is_read_alone(tmp_path):
    root = build(tmp_path)
    shutil.rmtree(root / FRAMES)
    answer = microexpr("data", "table", "casme2", "--root", root)
    assert answer.code == 1
    assert "--table-only" in answer.err
    assert "[E209]" in answer.err
    assert microexpr("data", "table", "casme2", "--root", root, "--table-only").code == 0


# --- corrections and parameters ---------------------------------------------------------------------------------------
def test_corrections_are_listed_and_can_be_left_out(tmp_path):
    root = build(tmp_path, [row("04", "EP12_01f", apex="/"), row("16", "EP01_08", offset=6)])
    write_frames(root / FRAMES / "sub16/EP01_08", [6])
    answer = microexpr("data", "check", "casme2", "--root", root)
    assert "1 correction applied:\n  04/EP12_01f: apex '/' read as 3 " in answer.out
    assert list(data_table("casme2", root).rows["apex"]) == [3, 3]
    raw = microexpr("data", "check", "casme2", "--root", root, "--no-corrections")
    assert (raw.code, "applied:" in raw.out) == (0, False)
    assert data_table("casme2", root, parameters={"corrections": False}).rows["apex"].isna().tolist() == [True, False]


@pytest.mark.parametrize("command", ["check", "table", "stats"])
def test_a_reader_without_corrections_says_so(database, command):
    answer = microexpr("data", command, "manifest", "--root", database, "--no-corrections")
    assert answer.code == 1
    assert answer.err.startswith("microexpr: E104: manifest has no corrections")


def test_wrong_names_and_parameters_are_told_with_the_known_ones(tmp_path):
    answer = microexpr("data", "check", "casme22", "--root", tmp_path)
    assert answer.code == 1
    assert "unknown dataset 'casme22' (did you mean 'casme2'?)" in answer.err
    with refuses("E110", "'foldr' (did you mean 'folder'?)", kind=ConfigError):
        check_data("casme2", tmp_path, parameters={"foldr": "raw"})
    with refuses("E105", "casme2", kind=UsageError):
        check_data("synthetic", tmp_path)
    answer = microexpr("data", "table", "casme2", "--root", build(tmp_path), "--labels", "megc2019")
    assert "did you mean 'megc2019_3'?" in answer.err


# --- groups ---------------------------------------------------------------------------------------------------------
def test_faults_of_one_code_are_printed_together_with_exact_names(tmp_path):
    rows = [row("01", f"EP{number:02d}") for number in range(1, 31)]
    root = build(tmp_path, [*rows, row("02", "EP01", emotion="joy")])
    for number in range(1, 21):
        shutil.rmtree(root / FRAMES / f"sub01/EP{number:02d}")
    for number in range(21, 24):
        (root / FRAMES / f"sub01/EP{number}/img{number - 19}.jpg").unlink()
    answer = microexpr("data", "check", "casme2", "--root", root)
    assert "  E230, 20: " in answer.out
    assert "  E231, 3: " in answer.out
    assert "and 17 more; --verbose lists all" in answer.out
    assert all(f"{FRAMES}/sub01/EP{number:02d}" in answer.out for number in (1, 2, 3, 21, 22, 23))
    assert f"{FRAMES}/sub01/EP04" not in answer.out
    assert "lacks the frames 3 of 1-5" in answer.out
    assert answer.out.count("copy its folder again") == 2, "one fix for each group"
    every = microexpr("data", "check", "casme2", "--root", root, "--verbose")
    assert all(f"{FRAMES}/sub01/EP{number:02d}" in every.out for number in range(1, 24))


def test_groups_have_one_code_and_one_fix():
    faults = [
        Fault("E201", "a", "x 1", "m"),
        Fault("E203", "b", "y", "m", "k"),
        Fault("E203", "c", "y", "m", "l"),
        Fault("E203", "e", "y", "n", "l"),
        Fault("E201", "d", "x 2", "m"),
    ]
    assert [[fault.where for fault in group] for group in grouped(faults)] == [["a", "d"], ["b", "c"], ["e"]]


# --- the table --------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    """A table of CASME II's size, as if its pictures were elsewhere."""
    root = tmp_path_factory.mktemp("full")
    (root / TABLE).write_bytes(table(plan(SyntheticSpec())))
    return root


def test_the_full_table_has_the_rows_subjects_and_classes_of_its_version(full, tmp_path):
    out = tmp_path / "clips.csv"
    answer = microexpr("data", "table", "casme2", "--root", full, "--table-only", "--out", out)
    assert (answer.code, answer.err) == (0, "")
    rows = pd.read_csv(out, keep_default_na=False, dtype={"subject_id": str})
    assert answer.out.startswith("255 clips, 26 subjects\n")
    assert (len(rows), rows["subject_id"].nunique(), rows["key"].nunique()) == (255, 26, 255)
    assert rows["label"].value_counts().to_dict() == rows["emotion"].value_counts().to_dict() == COUNTS
    assert list(rows.columns) == [*COLUMNS, "action_units_as_written", "estimated"]
    assert rows.loc[rows["estimated"] == "apex", "key"].str.contains("04/EP12_01f").all()
    assert "2014-05-08" in check_data("casme2", full, table_only=True).metadata["label version"]


def test_a_label_set_keeps_its_clips_alone_and_says_their_class(full):
    rows = data_table("casme2", full, labels="megc2019_3", table_only=True).rows
    assert rows["label"].value_counts().to_dict() == {"negative": 88, "positive": 32, "surprise": 25}
    assert set(rows["emotion"]) == {"disgust", "repression", "happiness", "surprise"}
    answer = microexpr(
        "data", "table", "casme2", "--root", full, "--table-only", "--labels", '{fear="bad", sadness="bad"}'
    )
    assert "\n9 clips, 9 subjects\n  class:  bad 9\n" in answer.out
    answer = microexpr("data", "table", "casme2", "--root", full, "--table-only", "--labels", "objective_7")
    assert (answer.code, answer.out) == (1, "")
    assert "keeps none of its clips" in answer.err


def test_without_a_file_the_first_rows_and_the_counts_are_shown(full):
    answer = microexpr("data", "table", "casme2", "--root", full, "--table-only")
    lines = answer.out.splitlines()
    assert lines[0].split() == ["key", "label", "apex", "action_units", "subject"]
    assert lines[11].startswith("... 245 more")
    assert "casme2/17 36" in answer.out
    assert max(map(len, lines)) <= 100


def test_csv_and_parquet_hold_the_same(full, tmp_path):
    for name in ("clips.csv", "clips.parquet"):
        data_table("casme2", full, table_only=True, out=tmp_path / name)
    coded = pd.read_parquet(tmp_path / "clips.parquet")
    plain = pd.read_csv(tmp_path / "clips.csv", keep_default_na=False, dtype={"subject_id": str})
    assert coded["onset"].dtype == "Int64"
    pd.testing.assert_frame_equal(coded.astype(plain.dtypes), plain)


@pytest.mark.parametrize(("command", "name"), [("table", "clips.xlsx"), ("stats", "clips.csv"), ("table", "clips")])
def test_another_ending_is_refused_before_anything_is_read(tmp_path, command, name):
    answer = microexpr("data", command, "casme2", "--root", tmp_path / "nowhere", "--out", tmp_path / name)
    assert answer.code == 2
    assert "E105" in answer.err


def test_ready_images_have_no_time_and_need_no_pictures_to_be_listed(tmp_path):
    (tmp_path / "manifest.csv").write_text("dataset,subject,clip,emotion,flow,age\nmine,a,1,fear,a.png,31\n", "utf-8")
    assert [fault.clip for fault in check_data("manifest", tmp_path).faults] == [None]
    assert check_data("manifest", tmp_path, table_only=True).sound
    rows = data_table("manifest", tmp_path, table_only=True).rows
    assert rows.iloc[0][["key", "label", "age"]].tolist() == ["mine/a/1", "fear", "31"]
    assert rows[["onset", "apex", "offset", "fps"]].isna().all(axis=None)
    stats = data_stats("manifest", tmp_path, table_only=True)
    assert stats["all"] == {
        **{"clips": 1, "subjects": 1, "without_apex": 1},
        **dict.fromkeys(("frames", "milliseconds", "apex")),
    }
    drawn = render_stats(stats, "svg")
    assert b"Classes" in drawn
    assert b"Duration" not in drawn, "no clip has a time"


def test_the_table_is_there_in_under_three_seconds(full, tmp_path):
    words = ["data", "table", "casme2", "--root", str(full), "--table-only", "--out", str(tmp_path / "clips.csv")]
    code = (
        f"import sys; sys.argv = ['microexpr', *{words!r}]\n"
        "import microexpr.cli as cli\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "import time; print('torch' in sys.modules, time.process_time())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    torch, seconds = done.stdout.splitlines()[-1].split()
    assert torch == "False"
    assert float(seconds) < 3


# --- counts and pictures ----------------------------------------------------------------------------------------------
def test_stats_count_and_measure(tmp_path):
    rows = [
        row("01", "EP01", 1, 3, 5),
        row("01", "EP02", 1, 1, 5),
        row("02", "EP01", 1, 5, 5, "fear"),
        row("04", "EP12_01f", apex="/", emotion="fear"),
    ]
    found = data_stats("casme2", build(tmp_path, rows))
    assert (found["clips"], found["subjects"], found["left_out"]) == (4, 3, [])
    assert found["by_subject"]["casme2/01"] == {"disgust": 2, "fear": 0}
    assert found["classes"]["disgust"]["apex"] == {"min": 0.0, "median": 0.25, "max": 0.5}
    assert found["classes"]["fear"]["apex"] == {"min": 1.0, "median": 1.0, "max": 1.0}, "an estimated apex has no place"
    assert found["classes"]["fear"]["without_apex"] == 1
    assert found["all"]["milliseconds"] == {"min": 25.0, "median": 25.0, "max": 25.0}
    assert found["all"]["frames"] == {"min": 5, "median": 5.0, "max": 5}
    assert len(found["each"]) == 4
    answer = microexpr("data", "stats", "casme2", "--root", tmp_path, "--json")
    assert json.loads(answer.out) == found


def test_stats_are_printed_and_drawn(full, tmp_path):
    answer = microexpr("data", "stats", "casme2", "--root", full, "--table-only", "--out", tmp_path / "casme2.svg")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("CASME II: 255 clips of 26 subjects\n")
    assert re.search(r"^others +99 +17 ", answer.out, re.MULTILINE)
    assert re.search(r"^casme2/17 +36 ", answer.out, re.MULTILINE)
    drawn = (tmp_path / "casme2.svg").read_text("utf-8")
    assert all(f">{word}<" in drawn for word in (*COUNTS, "500 ms", "onset", "26"))
    again = data_stats("casme2", full, table_only=True, out=tmp_path / "again.SVG")
    assert (tmp_path / "again.SVG").read_text("utf-8") == drawn
    assert render_stats(again, "pdf").startswith(b"%PDF")
    image = cv2.imdecode(np.frombuffer(render_stats(again, "png"), np.uint8), cv2.IMREAD_UNCHANGED)
    assert image.shape[1] == 1400
    assert image[0, 0, :3].tolist() == [255, 255, 255]


@pytest.mark.parametrize(("subjects", "classes", "clips"), [(1, 1, 1), (300, 12, 900), (40, 3, 100)])
def test_pictures_of_any_size(subjects, classes, clips):
    each = [
        {
            "key": str(n),
            "subject": f"x/{n % subjects}",
            "kind": ("micro", "macro")[n % 2],
            "label": f"class {n % classes}",
            "frames": n + 1,
            "milliseconds": 5.0 * n + 5,
            "apex": n / clips,
        }
        for n in range(clips)
    ]
    words = sorted({row["label"] for row in each})
    people = {f"x/{n}": dict.fromkeys(words, 1) for n in range(subjects)}
    counts = {word: {"clips": sum(row["label"] == word for row in each)} for word in words}
    stats = {"title": "x" * 30, "metadata": {"synthetic": "yes"}, "clips": clips, "subjects": subjects}
    drawn = render_stats(stats | {"classes": counts, "by_subject": people, "each": each}, "svg").decode()
    assert "SYNTHETIC FACES" in drawn
    assert ("in descending order of clips" in drawn) == (subjects > 40)
    assert ("macro-expressions" in drawn) == (clips > 1)


# --- every reader -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    written: dict[str, Path] = {}

    def example(name: str) -> Path:
        if name not in written:
            written[name] = tmp_path_factory.mktemp(name)
            write_example(name, written[name])
        return written[name]

    return example


EVERY = pytest.mark.parametrize("name", datasets.names())


@EVERY
def test_every_example_is_sound_and_listed_whole(examples, name, tmp_path):
    root = examples(name)
    found = check_data(name, root)
    assert found.sound, list(map(str, found.faults))
    assert {"fingerprint", "table"} <= set(found.metadata)
    json.dumps(found.to_json())
    clips = reader(name)(root).clips()
    listed = data_table(name, root, out=tmp_path / "clips.parquet").rows
    assert list(listed["key"]) == [clip.key for clip in clips]
    assert list(listed.columns[: len(COLUMNS)]) == list(COLUMNS)
    for clip, (_, shown) in zip(clips, listed.iterrows(), strict=True):
        for label, words in clip.labels.items():
            assert shown[label + AS_WRITTEN * (label in COLUMNS)] == "; ".join(words)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "clips.parquet"), listed)
    pd.read_csv(io.StringIO(listed.to_csv()))


@EVERY
def test_every_example_is_counted_and_drawn(examples, name, tmp_path):
    found = data_stats(name, examples(name), out=tmp_path / "clips.pdf")
    assert found["clips"] == sum(summary["clips"] for summary in found["classes"].values()) > 0
    assert found["subjects"] == len(found["by_subject"]) > 1
    assert microexpr("data", "stats", name, "--root", examples(name)).code == 0
    json.dumps(found)


@EVERY
def test_every_reader_speaks_of_the_table_alone(examples, name):
    """A database without a table says so; it has nothing to list then."""
    found = check_data(name, examples(name), table_only=True)
    if found.sound:
        assert len(data_table(name, examples(name), table_only=True).rows) == found.clips
    else:
        assert [fault for fault in found.faults if "table" in str(fault)]


@EVERY
def test_every_reader_tells_of_an_empty_folder_in_words(name, tmp_path):
    found = check_data(name, tmp_path)
    assert not found.sound
    assert all(fault.where and fault.problem and fault.fix for fault in found.faults)
    with pytest.raises(DataError):
        data_table(name, tmp_path)


@EVERY
def test_the_label_sets_that_its_page_names_keep_clips_of_it(examples, name):
    clips = reader(name)(examples(name)).clips()
    for labels in LABEL_SETS.values():
        if any(rule.reads != "emotion" for rule in labels.rules):
            listed = any(rule.reads in clip.labels for rule in labels.rules for clip in clips)
            assert applies(labels, name, reader(name)) or not listed, f"its docstring does not tell of {labels.name}"
        elif applies(labels, name, reader(name)) and name != "manifest":
            assert any(labels.of(clip) for clip in clips), f"{labels.name} keeps no clip of the example"


@pytest.mark.parametrize("command", ["check", "table", "list", "stats"])
def test_the_commands_explain_themselves(command):
    answer = microexpr("data", command, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"Usage: microexpr data {command} ")


def test_every_database_is_listed_with_whom_to_ask():
    found = {item["name"]: item for item in list_data()}
    assert set(found) == {*datasets.names(), "synthetic"}
    assert all(item["licence"] and item["access"] and item["emotions"] for item in found.values())
    casme2 = found["casme2"]
    assert (casme2["clips"], casme2["subjects"], casme2["fps"]) == (255, 26, 200.0)
    answer = microexpr("data", "list")
    assert answer.code == 0
    assert [line for line in answer.out.splitlines() if len(line) > 100 and "https://" not in line] == []
    assert all(f"\n{name}: {item['title']}" in "\n" + answer.out for name, item in found.items())
    assert json.loads(microexpr("data", "list", "--json").out) == list_data()


# --- size -------------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_seventeen_thousand_frames_are_checked_in_under_twenty_seconds(tmp_path):
    rows = [row(f"{1 + n % 26:02d}", f"EP{n:03d}", 1, 30, 67) for n in range(255)]
    xlsx(tmp_path / TABLE, {"Sheet1": [HEADER, *rows]})
    for cells in rows:
        write_frames(tmp_path / FRAMES / f"sub{cells[0]}" / str(cells[1]), range(1, 68))
    begun = time.perf_counter()
    found = check_data("casme2", tmp_path)
    assert time.perf_counter() - begun < 20
    assert (found.sound, found.clips) == (True, 255)
