"""Stores as such: listed, verified, joined, packed and cleaned, without a change of what is in them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from microexpr import api, run_study
from microexpr.core.errors import StoreError
from microexpr.runs import upkeep
from microexpr.runs.store import FoldResult, Results
from refusal import refuses
from study_files import SUBJECTS, write_study

pytestmark = pytest.mark.usefixtures("one_thread", "no_figures")
FOLDS = 4 * SUBJECTS


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("given"), epochs=1)


@pytest.fixture(scope="module")
def original(given, tmp_path_factory, one_thread, no_figures):
    out = tmp_path_factory.mktemp("original") / "out"
    study, data = given
    run_study(study, data, out, workers=1)
    return out


@pytest.fixture
def out(original, tmp_path):
    shutil.copytree(original, tmp_path / "out")
    return tmp_path / "out"


def first(out: Path) -> Path:
    return min(out.glob("results/*/"))


def folds_of(out: Path) -> dict[str, FoldResult]:
    root = out / "results"
    return {
        f"{folder.name}/{fold.name}": fold
        for folder in sorted(root.iterdir())
        for fold in Results(root, folder.name).folds()
    }


def same(one: Path, two: Path) -> bool:
    """Whether two stores hold the same tables and metadata."""
    mine, theirs = folds_of(one), folds_of(two)
    if mine.keys() != theirs.keys():
        return False
    for name, fold in mine.items():
        other = theirs[name]
        for part in ("views", "history"):
            pd.testing.assert_frame_equal(getattr(fold, part), getattr(other, part), check_exact=True)
        assert fold.metadata == other.metadata
    return True


# --- list -------------------------------------------------------------------------------------------------------------
def test_a_store_is_listed(out):
    found = api.list_store(out)
    assert len(found) == 4
    assert all((row.folds, row.total, row.failed, row.running, row.packed) == (4, 4, 0, 0, 0) for row in found)
    assert "x small_cnn under loso" in " ".join(row.name for row in found)
    assert api.list_store(out / "results") == found


def test_one_experiment_is_shown_by_the_beginning_of_its_key(out):
    key = first(out).name
    found = api.show_store(out, key[:6])
    assert found["key"] == key
    assert [fold["state"] for fold in found["folds"]] == ["done"] * 4
    with refuses("E616", "zz", kind=StoreError):
        api.show_store(out, "zz")
    with refuses("E616", "4 experiments", kind=StoreError):
        api.show_store(out, "")


def test_a_folder_without_results_is_told(tmp_path):
    with refuses("E615", tmp_path, kind=StoreError):
        api.list_store(tmp_path)


# --- verify and clean -------------------------------------------------------------------------------------------------
def test_a_sound_store_has_no_problems(out):
    assert api.verify_store(out) == []
    api.merge_stores(out)
    assert api.verify_store(out) == []


def _views(folder: Path) -> Path:
    return min(folder.glob("fold-*.views.parquet"))


SPOILED = {
    "cut off": (lambda folder: _views(folder).write_bytes(_views(folder).read_bytes()[:200]), "damaged"),
    "no history": (lambda folder: min(folder.glob("fold-*.history.parquet")).unlink(), "orphaned"),
    "no predictions": (lambda folder: _views(folder).unlink(), "orphaned"),
    "no experiment": (lambda folder: (folder / "experiment.json").unlink(), "damaged"),
    "no folds": (lambda folder: (folder / "folds.json").write_text("{"), "damaged"),
    "another file": (lambda folder: (folder / "notes.txt").touch(), "foreign"),
    "another fold": (lambda folder: shutil.copy(_views(folder), folder / "fold-x.views.parquet"), "foreign"),
    "temporary": (lambda folder: (folder / ".fold-a.views.parquet.0.partial").touch(), "left over"),
    "a dead claim": (lambda folder: (folder / ".fold-a.claim").write_text("{}"), None),
}


@pytest.mark.parametrize(("spoil", "kind"), SPOILED.values(), ids=SPOILED)
def test_what_is_wrong_is_found(out, spoil, kind):
    spoil(first(out))
    kinds = {problem.kind for problem in api.verify_store(out)}
    assert kinds == ({kind} if kind else set())


def test_predictions_of_another_experiment_are_foreign(out):
    one, two = sorted(out.glob("results/*/"))[:2]
    shutil.copy(_views(one), two / _views(two).name)
    (problem,) = api.verify_store(out)
    assert problem.kind == "foreign"
    assert one.name in problem.problem


def test_a_folder_that_is_no_experiment_is_foreign(out):
    (out / "results" / "notes").mkdir()
    assert [(each.kind, each.file) for each in api.verify_store(out)] == [("foreign", "notes")]


def test_durations_and_environment_are_not_verified(out):
    for file in out.rglob("*.run.json"):
        file.write_text(json.dumps({"seconds": 1}))
    assert api.verify_store(out) == []
    min(out.rglob("*.run.json")).unlink()
    assert api.verify_store(out) == []


def test_cleaning_removes_what_ended_processes_left_and_nothing_else(out, original):
    folder = first(out)
    left = [".fold-a.views.parquet.0.partial", ".fold-b.claim.0.lapsed", ".0.probe"]
    for name in left:
        (folder / name).touch()
    listed = [f"{folder.name}/{name}" for name in sorted(left)]
    assert sorted(api.clean_store(out, dry_run=True)) == listed
    assert len(list(folder.glob(".*"))) == 3
    assert sorted(api.clean_store(out)) == listed
    assert not list(folder.glob(".*"))
    assert same(out, original)


# --- pack and join ----------------------------------------------------------------------------------------------------
def test_a_packed_store_holds_the_same_in_fewer_files(out, original):
    found = api.merge_stores(out)
    assert (found.experiments, found.folds, found.packed, found.conflicts) == (0, 0, FOLDS, ())
    assert not list(out.rglob("fold-*"))
    assert same(out, original)
    assert [row.folds for row in api.list_store(out)] == [4] * 4
    api.merge_stores(out)
    assert same(out, original)


def test_a_study_on_a_packed_store_trains_nothing_and_adds_to_it(given, out, original):
    study, data = given
    api.merge_stores(out)
    (out / ".finished.json").unlink()
    assert run_study(study, data, out, workers=1).run.trained == 0
    folder = first(out)
    (folder / "packed.json").unlink()
    done = run_study(study, data, out, workers=1)
    assert (done.run.trained, done.run.reused) == (SUBJECTS, FOLDS - SUBJECTS)
    api.merge_stores(out)
    assert folds_of(out).keys() == folds_of(original).keys()
    assert {each.kind for each in api.verify_store(out)} == {"left over"}  # the pack whose index was removed


def test_stores_that_were_made_apart_are_joined(out, original, tmp_path):
    """One lacks an experiment, the other the folds of another; a packed one is joined like any."""
    other = tmp_path / "other"
    shutil.copytree(original, other)
    folders = sorted(out.glob("results/*/"))
    shutil.rmtree(folders[0])
    for file in folders[1].glob("fold-*"):
        file.unlink()
    for file in (other / "results" / folders[2].name).glob("fold-*"):
        file.unlink()
    api.merge_stores(other)
    found = api.merge_stores(out, [other], pack=False)
    assert (found.experiments, found.folds, found.conflicts) == (1, 2 * SUBJECTS, ())
    assert same(out, original)
    assert api.verify_store(out) == []


def test_other_predictions_of_the_same_fold_are_left_out_and_named(out, original, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(original, other)
    results = Results(other / "results", first(other).name)
    fold = next(results.folds())
    views = fold.views.assign(p_0=fold.views["p_0"] * 0.5)
    results.write(FoldResult(fold.name, views, fold.history, fold.metadata))
    found = api.merge_stores(out, [other])
    (conflict,) = found.conflicts
    assert f"fold {fold.name}" in conflict
    assert same(out, original)


def test_results_of_other_data_are_left_out(out, original, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(original, other)
    file = first(other) / "experiment.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"fingerprint": "another"}))
    (conflict,) = api.merge_stores(out, [other]).conflicts
    assert "fingerprint" in conflict


def test_links_are_not_followed(out, original, tmp_path):
    """A store from elsewhere may not reach files outside it."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    other = tmp_path / "other"
    shutil.copytree(original, other)
    maps = first(other) / "maps"
    maps.mkdir()
    (maps / "a").symlink_to(secret)
    (other / "results" / ("0" * 16)).symlink_to(tmp_path)
    api.merge_stores(out, [other])
    assert not list(out.rglob("a"))
    assert not (out / "results" / ("0" * 16)).exists()


@pytest.mark.parametrize("name", ["packed.json", "packed-*.views.parquet", "packed-*.json"])
def test_a_damaged_pack_is_told(out, name):
    api.merge_stores(out)
    file = min(first(out).glob(name))
    file.write_bytes(file.read_bytes()[:20])
    assert {problem.kind for problem in api.verify_store(out)} == {"damaged"}
    with refuses("E605", file.name, kind=StoreError):
        assert [len(fold.views) for fold in Results(file.parents[1], file.parent.name).folds()]


def test_a_pack_that_was_interrupted_changes_nothing(out, original, monkeypatch):
    def dying(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(upkeep.packs, "write_atomically", dying)
    with pytest.raises(KeyboardInterrupt):
        api.merge_stores(out)
    monkeypatch.undo()
    assert same(out, original)
    assert {problem.kind for problem in api.verify_store(out)} <= {"left over"}
    api.clean_store(out)
    assert api.verify_store(out) == []
