"""Checks of method and comparisons of results on disk: what a reviewer would object to is told, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from conftest import recipe
from microexpr import check_results, compare_results, run_experiment, run_study
from microexpr.config import Study
from microexpr.errors import ConfigError, StoreError
from shell import microexpr

FAST = {"model": "pca_svm", "sampling": "image"}


@pytest.fixture(scope="module")
def clean(database, tmp_path_factory):
    """An experiment that learns its data, under LOSO, on frames that no coder chose by the apex."""
    out = tmp_path_factory.mktemp("clean")
    run_experiment(recipe(), database, out, workers=1)
    return out


def codes(out: Path) -> set[str]:
    return {finding.code for finding in check_results(out)}


def test_an_honest_result_has_no_warning(clean):
    assert [f for f in check_results(clean) if f.level == "warning"] == []
    answer = microexpr("check", clean)
    assert (answer.code, answer.err) == (0, "")
    assert "0 warnings" in answer.out


def test_frames_chosen_by_the_apex_are_a_note(clean):
    (note,) = check_results(clean)
    assert (note.code, note.level) == ("ME010", "note")
    assert "unlabelled video" in note.mend


def test_shared_persons_are_told(database, tmp_path):
    run_experiment(
        recipe().with_values({"protocol": "clip_kfold", "training.epochs": 1}), database, tmp_path, workers=1
    )
    (leak,) = [f for f in check_results(tmp_path) if f.code == "ME001"]
    assert "6 persons, for instance own/s0" in leak.evidence
    answer = microexpr("check", tmp_path)
    assert answer.code == 1
    assert "ME001" in answer.out


def test_selection_on_test_is_told_from_the_stored_views(clean, tmp_path):
    out = Path(shutil.copytree(clean, tmp_path / "out"))
    file = next(out.rglob("fold-*.views.parquet"))
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    views = table.to_pandas()
    tested = views[views["part"] == "test"].assign(part="val")
    import pyarrow as pa

    changed = pa.Table.from_pandas(pd.concat([views, tested]), preserve_index=False)
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), file)
    assert {"ME001", "ME002"} <= codes(out)


def test_a_score_that_is_luck_says_so(database, tmp_path):
    run_experiment(recipe().with_values({"training.epochs": 1, "training.learning_rate": 1e-9}), database, tmp_path)
    assert "ME005" in codes(tmp_path)


def test_small_classes_are_told(database, tmp_path):
    run_experiment(recipe().with_values({"protocol": "paper_holdout", "training.epochs": 1}), database, tmp_path)
    (few,) = [f for f in check_results(tmp_path) if f.code == "ME004"]
    assert "fewer than 5 test clips" in few.sentence


def test_a_study_of_several_cells(database, tmp_path):
    grid = {
        "preprocessing": [{"name": "crop", "size": 32, "colour": "rgb"}, {"name": "crop", "size": 40, "colour": "grey"}]
    }
    study = Study(name="s", title="s", experiment=recipe().with_values({"model": "pca_svm"}), grid=grid, latency=False)
    run_study(study, database, tmp_path, workers=1)
    found = {finding.code: finding for finding in check_results(tmp_path)}
    assert {"ME003", "ME008"} <= set(found)
    assert "colour, size never vary apart" in found["ME008"].evidence
    summary = json.loads((tmp_path / "summary.json").read_text())
    (tmp_path / "summary.json").write_text(json.dumps(summary | {"paired": []}))
    assert "ME006" in codes(tmp_path)
    assert "ME007" not in found
    raw = [{"p_value": 0.01}, {"p_value": 0.5}]  # as reports before the correction held them
    (tmp_path / "summary.json").write_text(json.dumps(summary | {"paired": raw}))
    assert "ME007" in codes(tmp_path)
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(StoreError, match="is damaged"):
        check_results(tmp_path)


def test_results_on_different_copies_are_told(clean, tmp_path):
    out = Path(shutil.copytree(clean, tmp_path / "out"))
    (first,) = (out / "results").iterdir()
    other = Path(shutil.copytree(first, first.with_name("other")))
    facts = json.loads((other / "experiment.json").read_text())
    for folder, version in ((first, "2014"), (other, "2019")):
        own = {"fingerprint": version * 16, "data": {"label version": version}}
        (folder / "experiment.json").write_text(json.dumps(facts | own))
    assert {"ME011", "ME012"} <= codes(out)


def test_a_damaged_experiment_is_an_error(clean, tmp_path):
    out = Path(shutil.copytree(clean, tmp_path / "out"))
    (file,) = out.rglob("experiment.json")
    file.write_text("{}")
    answer = microexpr("check", out)
    assert (answer.code, answer.out) == (1, "")
    assert f"{file} is damaged" in answer.err


def test_a_folder_without_results_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="holds no results"):
        check_results(tmp_path)
    assert microexpr("check", tmp_path / "nowhere").code == 1


# --- two results ------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def weak(database, tmp_path_factory):
    out = tmp_path_factory.mktemp("weak")
    run_experiment(recipe().with_values({"training.epochs": 1, "training.learning_rate": 1e-9}), database, out)
    return out


def test_a_model_that_learns_differs_from_one_that_does_not(clean, weak):
    found = compare_results(clean, weak, n=500, permutations=999)
    assert found.told
    assert found.difference == pytest.approx(found.score_a - found.score_b)
    assert (found.n_clips, found.n_persons) == (36, 6)
    answer = microexpr("compare", clean, weak)
    assert answer.code == 0
    assert "a difference can be told" in answer.out
    told = json.loads(microexpr("compare", clean, weak, "--json").out)
    assert told["difference"] == pytest.approx(found.difference)


def test_a_result_does_not_differ_from_its_copy(clean, tmp_path):
    copy = shutil.copytree(clean, tmp_path / "copy")
    found = compare_results(clean, copy, n=200, permutations=199)
    assert (found.difference, found.told) == (0, False)
    assert "no difference can be told" in microexpr("compare", clean, copy).out


def test_what_cannot_be_compared_is_an_error(clean, weak, database, tmp_path):
    both = Path(shutil.copytree(clean, tmp_path / "both"))
    for folder in (weak / "results").iterdir():
        shutil.copytree(folder, both / "results" / folder.name)
    with pytest.raises(StoreError, match="holds 2 experiments; name one of them"):
        compare_results(both, weak)
    (key,) = (weak / "results").iterdir()
    assert compare_results(both / "results" / key.name, weak, n=100, permutations=99).difference == 0
    fewer = tmp_path / "fewer"
    labels = {"happiness": "a", "surprise": "b"}
    run_experiment(recipe().with_values({"labels": labels, "training.epochs": 1}), database, fewer, workers=1)
    with pytest.raises(ConfigError, match="label sets"):
        compare_results(clean, fewer)
