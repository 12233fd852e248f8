"""Folds as files: written with results, read back, refused where they do not fit; repeats scored one by one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import recipe as small_recipe
from microexpr.api import run_experiment
from microexpr.config.component import Component
from microexpr.config.study import Study
from microexpr.core.errors import ConfigError, SplitError, StoreError
from microexpr.core.folds import FILE, read, stored
from microexpr.core.interfaces import EvalProtocol, Fold, metrics, protocols
from microexpr.evaluation.predictions import mean_of_folds, score
from microexpr.report.summary import Caveat
from microexpr.report.summary.caveats import caveats
from microexpr.runs import study as grids
from microexpr.runs.jobs import run
from microexpr.runs.plan import Options, Workspace
from refusal import refuses

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture
def table():
    """Twelve clips of four subjects."""
    who = [f"own/p{row % 4}" for row in range(12)]
    return pd.DataFrame(
        {
            "key": [f"own/p{row % 4}/c{row}" for row in range(12)],
            "dataset": "own",
            "subject": who,
            "label": [row // 2 % 3 for row in range(12)],
        }
    )


@pytest.fixture
def content(table):
    """What a run writes, as JSON holds it."""
    folds = protocols.build("loso", {})(table, np.random.default_rng(0))
    return json.loads(stored(list(folds), table, {"name": "loso"}, 0).to_json())


def write(folder: Path, content: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text(json.dumps(content), "utf-8")
    return folder


def from_file(place: Path, table: pd.DataFrame) -> list[Fold]:
    return list(protocols.build("from_file", {"file": str(place)})(table, np.random.default_rng(0)))


def alike(folds, others):
    def rows(fold):
        return (fold.name, fold.repeat, fold.note, *(None if r is None else r.tolist() for r in _parts(fold)))

    return [rows(fold) for fold in folds] == [rows(fold) for fold in others]


def _parts(fold):
    return fold.train, fold.val, fold.test


# --- read back --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "params", "independent"),
    [
        ("loso", {}, True),
        ("subject_kfold", {"k": 2, "repeats": 2}, True),
        ("clip_kfold", {"k": 3, "repeats": 2}, False),
        ("paper_holdout", {"test": 0.25, "validation": 0.25}, False),
    ],
)
def test_folds_are_read_as_they_were_written(name, params, independent, table, tmp_path):
    folds = list(protocols.build(name, params)(table, np.random.default_rng(3)))
    place = write(tmp_path / "a", json.loads(stored(folds, table, {"name": name, **params}, 3).to_json()))
    assert alike(from_file(place, table), folds)
    assert alike(from_file(place / FILE, table), folds)
    protocol = protocols.build("from_file", {"file": str(place)})
    assert isinstance(protocol, EvalProtocol)
    assert protocol.subject_independent is independent
    assert read(place).protocol == {"name": name, **params}
    # Rows follow the clips wherever they stand in the table.
    turned = table[::-1].reset_index(drop=True)
    keys = [set(turned["key"].iloc[fold.test]) for fold in from_file(place, turned)]
    assert keys == [set(table["key"].iloc[fold.test]) for fold in folds]


def test_a_file_of_ones_own_needs_names_train_and_test_alone(table, tmp_path):
    first, second = table["key"][:6].tolist(), table["key"][6:].tolist()
    folds = [{"name": "a", "train": first, "test": second}, {"name": "b", "train": second, "test": first}]
    place = write(tmp_path, {"folds": folds})
    assert [fold.test.tolist() for fold in from_file(place, table)] == [[*range(6, 12)], [*range(6)]]
    # Nothing is known of subjects, so nothing is promised.
    assert protocols.build("from_file", {"file": str(place)}).subject_independent is False


def test_a_clip_that_no_fold_uses_is_known_by_the_list_of_clips(table, content, tmp_path):
    content["folds"] = content["folds"][:1]
    content["folds"][0]["train"] = content["folds"][0]["train"][:-1]
    (fold,) = from_file(write(tmp_path, content), table)
    assert fold.train.size + fold.test.size == 11


# --- refused ----------------------------------------------------------------------------------------------------------
def test_missing_and_new_clips_are_named(table, content, tmp_path):
    place = write(tmp_path, content)
    with pytest.raises(SplitError, match=r" 2 clips .*'own/p2/c10', 'own/p3/c11'"):
        from_file(place, table[:10])
    more = pd.concat([table, table.assign(key=[f"own/new/{row}" for row in range(12)])])
    with pytest.raises(SplitError, match=r" 12 clips .*'own/new/0', .* and 7 more"):
        from_file(place, more)


def spoil(change):
    def spoiled(content):
        change(content["folds"])
        return content

    return spoiled


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda f: f[0]["train"].append(f[0]["test"][0]), ["'own-p0'", "clip 'own/p0/c0'", "in train and in test"]),
        (lambda f: f[0].update(val=f[0]["train"][:1]), ["'own-p0'", "in train and in val"]),
        (lambda f: f[1]["test"].append(f[1]["test"][0]), ["'own-p1'", "twice in test"]),
        (lambda f: f[1].update(name=f[0]["name"]), ["2 folds", "'own-p0'"]),
        (lambda f: f[1].update(name="../x"), ["fold '../x'", "'/'"]),
        (lambda f: f.append({**f[0], "name": "again"}), ["2 folds of repeat 1", "count 2 times"]),
    ],
)
def test_folds_that_cannot_be_are_refused(change, named, table, content, tmp_path):
    place = write(tmp_path, spoil(change)(content))
    with refuses("E152", place, *named, kind=SplitError):
        from_file(place, table)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda f: f[0].update(test=[]), ["folds.0.test: ", "at least 1"]),
        (lambda f: f[0].pop("train"), ["folds.0.train: Field required"]),
        (lambda f: f[0].update(tset=[]), ["folds.0.tset: Extra"]),
        (lambda f: f.clear(), [": folds: ", "at least 1"]),
    ],
)
def test_files_that_hold_no_folds_are_refused(change, named, table, content, tmp_path):
    place = write(tmp_path, spoil(change)(content))
    with refuses("E151", place, *named, kind=ConfigError):
        from_file(place, table)


def test_no_file_and_no_json(table, tmp_path):
    with refuses("E150", tmp_path / "nowhere", "folds.json", "results/KEY", kind=ConfigError):
        from_file(tmp_path / "nowhere", table)
    (tmp_path / FILE).write_bytes(b"\xff{")
    with refuses("E151", tmp_path / FILE, "the whole file", kind=ConfigError):
        from_file(tmp_path, table)
    (tmp_path / FILE).write_text('{"format": 2, "folds": []}')
    with refuses("E151", tmp_path / FILE, ": format: ", kind=ConfigError):
        from_file(tmp_path, table)


def test_a_promise_that_the_table_does_not_keep_is_refused(table, content, tmp_path):
    place = write(tmp_path, content)
    with pytest.raises(SplitError, match=r"'own/p1' .*fold 'own-p0'"):
        from_file(place, table.assign(subject=table["subject"].replace("own/p0", "own/p1")))


def test_validation_on_tested_subjects_is_no_independence(table, content, tmp_path):
    shared = content["folds"][0]
    shared["val"] = [shared["test"].pop()]
    place = write(tmp_path, content)
    assert protocols.build("from_file", {"file": str(place)}).subject_independent is False
    assert from_file(place, table)[0].val.size == 1


# --- the key ----------------------------------------------------------------------------------------------------------
def split_by(place):
    return small_recipe().with_values({"protocol": Component(name="from_file", params={"file": place})})


def key(place):
    return split_by(place).key()


def test_what_is_in_the_file_makes_the_key_not_where_it_lies(content, tmp_path):
    here, there = write(tmp_path / "a", content), write(tmp_path / "b", content)
    assert key(here) == key(here / FILE) == key(str(there))
    # Neither does how it is laid out, nor what it says of its origin.
    (there / FILE).write_text(json.dumps({**content, "seed": 9, "folds": content["folds"][::-1]}, indent=3))
    assert key(here) == key(there)
    assert str(tmp_path) not in json.dumps(split_by(here).canonical())


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f[0]["train"].pop(),
        lambda f: f[0].update(val=[f[0]["train"].pop()]),
        lambda f: f[0].update(name="x"),
        lambda f: f[0].update(repeat=2),
        lambda f: f[0]["train"].append(f[0]["test"].pop()),
    ],
)
def test_other_folds_are_another_experiment(change, content, tmp_path):
    before = key(write(tmp_path, content))
    assert key(write(tmp_path, spoil(change)(content))) != before


def test_a_file_that_is_gone_is_refused_when_the_key_is_made(tmp_path):
    with refuses("E150", tmp_path / "gone", kind=ConfigError):
        key(tmp_path / "gone")


# --- with results -----------------------------------------------------------------------------------------------------
def quick(experiment, **values):
    """A recipe without epochs, so that a run takes a second."""
    return experiment.with_values({"model": "pca_svm", **values})


def go(experiment, database, out):
    space = Workspace(Options({"manifest": database}, out))
    plan = space.plan(experiment)
    space.prepare([plan])
    return plan, run(plan, space)


def test_a_run_writes_its_folds_and_another_recipe_runs_on_them(experiment, database, tmp_path):
    chosen = {
        "training.epochs": 2,
        "training.patience": 1,
        "validation": 0.3,
        "protocol": {"name": "clip_kfold", "k": 2},
    }
    plan, result = go(experiment.with_values(chosen), database, tmp_path)
    folder = tmp_path / "results" / result.key
    written = read(folder)
    assert written.protocol == {"name": "clip_kfold", "revision": 1, "params": {"k": 2, "repeats": 1}}
    assert written.clips == dict(zip(plan.table["key"], plan.table["subject"], strict=True))
    for fold, ours in zip(written.folds, result.folds, strict=True):
        for part, keys in fold.parts.items():
            assert keys
            assert set(keys) == set(ours.views.loc[ours.views["part"] == part, "clip"])
    other, again = go(quick(experiment, protocol={"name": "from_file", "file": str(folder)}), database, tmp_path)
    assert alike(other.folds, plan.folds)
    assert set(again.predictions()["clip"]) == set(result.predictions()["clip"])
    assert read(tmp_path / "results" / again.key).content == written.content


def test_folds_written_by_from_file_give_the_same_key(experiment, database, tmp_path):
    _, result = go(quick(experiment, protocol={"name": "subject_kfold", "k": 3}), database, tmp_path)
    first = quick(experiment, protocol={"name": "from_file", "file": str(tmp_path / "results" / result.key)})
    _, second = go(first, database, tmp_path)
    third = quick(experiment, protocol={"name": "from_file", "file": str(tmp_path / "results" / second.key)})
    assert Workspace(Options({"manifest": database}, tmp_path)).plan(third).key == second.key != result.key
    assert second.predictions().equals(result.predictions())


def test_a_second_run_leaves_the_file_and_other_folds_are_refused(experiment, database, tmp_path):
    recipe = quick(experiment)
    _, result = go(recipe, database, tmp_path)
    file = tmp_path / "results" / result.key / FILE
    before = file.read_bytes()
    go(recipe, database, tmp_path)
    assert file.read_bytes() == before
    content = json.loads(before)
    content["folds"][0]["train"].pop()
    file.write_text(json.dumps(content))
    with refuses("E604", file.parent, kind=StoreError):
        go(recipe, database, tmp_path)
    file.write_text("{")
    with refuses("E605", file, kind=StoreError):
        go(recipe, database, tmp_path)
    file.unlink()
    go(recipe, database, tmp_path)
    assert file.read_bytes() == before


# --- repeats ----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def repeated(database, tmp_path_factory):
    from conftest import recipe

    protocol = {"name": "clip_kfold", "k": 2, "repeats": 3}
    # Shuffled labels, so that scores are bad and differ.
    return go(quick(recipe(), protocol=protocol, shuffled=1), database, tmp_path_factory.mktemp("repeated"))[1]


def test_each_repeat_is_pooled_by_itself_and_scores_are_averaged(repeated):
    assert repeated.repeats == (1, 2, 3)
    by_repeat = repeated.scores_by_repeat()
    assert by_repeat.index.tolist() == [1, 2, 3]
    for repeat in repeated.repeats:
        pooled = repeated.of_repeat(repeat).predictions()
        assert sorted(pooled["clip"]) == sorted(set(pooled["clip"]))
        assert len(pooled) == 36
        assert set(pooled["fold"]) == {f"r{repeat}-f1", f"r{repeat}-f2"}
        assert by_repeat.loc[repeat, "uf1"] == score(metrics.build("uf1", {}), pooled)
    assert by_repeat["uf1"].nunique() > 1
    assert repeated.scores()["uf1"] == pytest.approx(by_repeat["uf1"].mean())
    assert set(repeated.scores()) == set(metrics.names())


def test_repeats_are_never_pooled_silently(repeated):
    with refuses("E132", "3 repeats", "3 times", kind=ConfigError):
        repeated.predictions()
    with refuses("E132", "repeat 4", "1, 2, 3", kind=ConfigError):
        repeated.of_repeat(4)


def test_two_folds_that_test_one_clip_are_refused(repeated):
    from dataclasses import replace

    first = repeated.of_repeat(1)
    twice = replace(first, folds=(*first.folds, first.folds[0]))
    clip = first.folds[0].views.query("part == 'test'")["clip"].iloc[0]
    with refuses("E609", repr(clip), kind=StoreError):
        twice.predictions()


def test_one_repeat_scores_as_before(repeated):
    alone = repeated.of_repeat(2)
    pooled = alone.predictions()
    assert list(pooled.columns) == ["clip", "subject", "fold", "y_true", "y_pred", "p_0", "p_1", "p_2"]
    assert alone.scores() == {name: score(metrics.build(name, {}), pooled) for name in metrics.names()}
    assert mean_of_folds("uf1", pooled).folds == 2


def test_the_report_of_repeats_counts_no_clip_twice(experiment, database, tmp_path):
    recipe = quick(experiment, protocol={"name": "subject_kfold", "k": 2, "repeats": 3}, shuffled=1)
    done = run_experiment(recipe, {"manifest": database}, tmp_path)
    (cell,) = done.summary.cells
    assert cell.n_test == sum(map(sum, cell.confusion)) == 36
    first = done.result.cells[0].result.of_repeat(1)
    assert cell.macro_f1 == first.scores()["macro_f1"] != done.result.cells[0].result.scores()["macro_f1"]
    (caveat,) = [caveat for caveat in done.summary.caveats if caveat.code == "repeats"]
    assert "split into folds 3 times" in caveat.line
    assert f"{done.result.cells[0].result.scores()['macro_f1']:.3f}" in caveat.text
    report, details = (
        (tmp_path / name).read_text("utf-8").replace("&#39;", "'").replace(" (mean F1 of the classes)", "")
        for name in ("report.html", "details.html")
    )
    assert caveat.line in report
    assert caveat.text in details


def test_shared_faces_are_stamped_for_clips_and_not_for_subjects(experiment, database, tmp_path):
    codes = {}
    for name in ("clip_kfold", "subject_kfold"):
        recipe = quick(experiment, protocol={"name": name, "k": 2})
        study = Study(name="s", title="s", experiment=recipe, latency=False)
        done = grids.run(study, Workspace(Options({"manifest": database}, tmp_path)))
        codes[name] = {caveat.code for caveat in caveats(done)}
    assert "shared_subjects" in codes["clip_kfold"]
    assert not codes["subject_kfold"] & {"shared_subjects", "repeats"}


def test_what_a_fold_leaves_out_is_stamped_and_stored(experiment, tmp_path):
    from conftest import write_database

    root = write_database(tmp_path / "data", subjects=4, clips=3)
    manifest = (root / "manifest.csv").read_text()
    (root / "manifest.csv").write_text(manifest.replace("own,s2", "other,s2").replace("own,s3", "third,s3"))
    across = {"name": "cross_database", "train": ["own"], "test": ["other"]}
    recipe = quick(experiment, protocol=across).with_values({"bootstrap.unit": "clip"})  # one subject is tested
    study = Study(name="s", title="s", experiment=recipe, latency=False)
    done = grids.run(study, Workspace(Options({"manifest": root}, tmp_path)))
    stated = "third: used neither for training nor for testing."
    assert Caveat(code="left_out", level="note", line=stated) in caveats(done)
    result = done.cells[0].result
    assert result.folds[0].metadata["note"] == stated
    assert len(result.predictions()) == 3
    # Its clips are known to the file, so that others can run on it.
    place = str(tmp_path / "results" / result.key)
    read = quick(experiment, protocol={"name": "from_file", "file": place}).with_values({"bootstrap.unit": "clip"})
    _, again = go(read, root, tmp_path)
    assert [fold.name for fold in again.folds] == ["own-to-other"]
