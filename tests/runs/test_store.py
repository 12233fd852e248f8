"""Results on disk: whole or not there, read back as they were, never of other data."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from microexpr.core import files
from microexpr.core.errors import StoreError
from microexpr.core.files import append_json_lines, digest, json_lines, make_folder, write_atomically
from microexpr.runs.store import OF_RUN, FoldResult, Results
from refusal import refuses


def fold(name: str = "a", **metadata: object) -> FoldResult:
    views = pd.DataFrame(
        {
            "fold": [name] * 3,
            "part": ["train", "val", "test"],
            "clip": ["x", "y", "z"],
            "y_true": [0, 1, 1],
            "frames": [[1, 2], [3, 4], [5, 6]],
            "p_0": [0.1, 1 / 3, 1e-12],
            "p_1": [0.9, 2 / 3, 1.0],
        }
    )
    history = pd.DataFrame({"loss": ["focal"], "epoch": [1], "train_loss": [0.25], "chosen": [True]})
    return FoldResult(name, views, history, {"loss": "focal", "seconds": 1.5, **metadata})


@pytest.fixture
def results(tmp_path):
    results = Results(tmp_path / "results", "key")
    results.begin({"fingerprint": "f", "clips": 3, "text": "Übung"}, fixed=("fingerprint", "clips"))
    return results


# --- folds ------------------------------------------------------------------------------------------------------------
def test_a_fold_is_read_as_it_was_written(results):
    written = fold()
    results.write(written)
    read = results.read("a")
    pd.testing.assert_frame_equal(read.history, written.history, check_exact=True)
    frames = [list(numbers) for numbers in read.views.pop("frames")]
    assert frames == written.views.pop("frames").tolist()
    pd.testing.assert_frame_equal(read.views, written.views, check_exact=True)
    assert (read.name, read.metadata) == ("a", {**OF_RUN, **written.metadata})


def test_same_results_same_bytes(results):
    results.write(fold())
    before = {path.name: path.read_bytes() for path in results.folder.iterdir()}
    results.write(fold())
    assert {path.name: path.read_bytes() for path in results.folder.iterdir()} == before


def test_what_is_missing_is_what_was_asked_for_and_is_not_there(results):
    assert results.missing(["a", "b"]) == ["a", "b"]
    results.write(fold("b"))
    assert results.missing(["a", "b", "c"]) == ["a", "c"]
    results.write(fold("a"))
    assert [item.name for item in results.folds()] == ["a", "b"]


def test_a_fold_killed_between_its_two_files_is_missing(results, monkeypatch):
    real = files.Path.replace

    def dying(self, target):
        if target.name.endswith("views.parquet"):
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(files.Path, "replace", dying)
    with pytest.raises(KeyboardInterrupt):
        results.write(fold())
    assert results.missing(["a"]) == ["a"]


@pytest.mark.parametrize("part", ["views", "history"])
@pytest.mark.parametrize("spoil", [lambda whole: b"", lambda whole: whole[:100], lambda whole: whole[:-9], bytes.upper])
def test_a_damaged_file_is_told_with_the_way_out(results, part, spoil):
    results.write(fold())
    file = results.folder / f"fold-a.{part}.parquet"
    file.write_bytes(spoil(file.read_bytes()))
    with refuses("E605", f"fold-a.{part}.parquet", kind=StoreError):
        results.read("a")


def test_a_table_of_something_else_is_told(results):
    results.write(fold())
    pd.DataFrame({"a": [1]}).to_parquet(results.folder / "fold-a.views.parquet")
    with refuses("E605", "fold-a.", ".parquet", kind=StoreError):
        results.read("a")


def test_removing_the_damaged_file_is_indeed_the_way_out(results):
    results.write(fold())
    (results.folder / "fold-a.history.parquet").unlink()
    assert results.missing(["a"]) == ["a"]


# --- the folder -------------------------------------------------------------------------------------------------------
def test_results_of_other_data_are_refused(results):
    again = {"fingerprint": "f", "clips": 3, "text": "other"}
    results.begin(again, fixed=("fingerprint", "clips"))
    assert results.metadata()["text"] == "Übung"
    for changed in ({"fingerprint": "g"}, {"clips": 2}):
        with refuses("E603", results.folder, f"its {next(iter(changed))} differs", "--out", kind=StoreError):
            results.begin(again | changed, fixed=("fingerprint", "clips"))


def test_results_of_version_0_1_are_refused(results):
    file = results.folder / "experiment.json"
    content = json.loads(file.read_text())
    assert content.pop("format") == 3
    file.write_text(json.dumps(content))
    with refuses("E602", results.folder, "format 1", "format 3", "--out"):
        results.metadata()
    with refuses("E602"):
        results.begin({"fingerprint": "f", "clips": 3})


def test_damaged_facts_are_told(results):
    (results.folder / "experiment.json").write_text('{"fingerprint": ')
    with refuses("E605", "experiment.json", kind=StoreError):
        results.begin({"fingerprint": "f"})


def test_a_place_that_cannot_be_written_is_told_before_anything_is_run(tmp_path):
    (tmp_path / "file").write_text("")
    with refuses("E601", tmp_path / "file", "--out", kind=StoreError):
        Results(tmp_path / "file" / "results", "key").begin({})


# --- files ------------------------------------------------------------------------------------------------------------
def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "summary.json"
    write_atomically(file, "before")

    def full(self, data):
        with self.open("wb") as stream:
            stream.write(data[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.Path, "write_bytes", full)
    with refuses("E601", "summary.json", "No space left on device", kind=StoreError):
        write_atomically(file, "after")
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    assert file.read_text() == "before"


def test_a_folder_is_tried_and_left_as_it_was(tmp_path):
    folder = make_folder(tmp_path / "a" / "b")
    assert list(folder.iterdir()) == []
    assert make_folder(folder) == folder


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_lines_outlive_a_kill(tmp_path, cut):
    file = tmp_path / "index.jsonl"
    append_json_lines(file, [{"n": 1}, {"n": 2}])
    append_json_lines(file, [{"n": 3, "word": "long"}])
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - cut)
    whole = list(json_lines(file))
    # Only the last line may be lost: either by its last bytes, or not at all where just the newline is gone.
    assert whole[:2] == [{"n": 1}, {"n": 2}]
    append_json_lines(file, [{"n": 4}])
    assert list(json_lines(file)) == [{"n": 1}, {"n": 2}, {"n": 4}]
    assert all(json.loads(line) for line in file.read_text().splitlines())


def test_lines_of_a_file_that_is_not_there(tmp_path):
    assert list(json_lines(tmp_path / "none")) == []


def test_digests_follow_content_not_order():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert len(digest(None)) == 16


def test_two_processes_do_not_share_a_partial_file(tmp_path, monkeypatch):
    seen: list[Path] = []
    real = files.Path.write_bytes
    monkeypatch.setattr(files.Path, "write_bytes", lambda self, data: seen.append(self) or real(self, data))
    write_atomically(tmp_path / "x", b"1")
    monkeypatch.setattr(os, "getpid", lambda: 1)
    write_atomically(tmp_path / "x", b"2")
    assert len(set(seen)) == 2
