from __future__ import annotations

import dataclasses
import json
import time

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from microexpr.config.scores import title
from microexpr.core.errors import ConfigError, DataError, Fault, StoreError
from microexpr.core.interfaces import Fold, Output, protocols
from microexpr.core.progress import Silent
from microexpr.learning import training
from microexpr.runs import experiment as running
from microexpr.runs.jobs import run
from microexpr.runs.plan import Options, Workspace
from microexpr.runs.validation_split import split_validation
from refusal import refuses

pytestmark = pytest.mark.numeric


def workspace(database, out, **options):
    return Workspace(Options({"manifest": database}, out, **options))


def go(experiment, database, out, **options):
    space = workspace(database, out, **options)
    plan = space.plan(experiment)
    space.prepare([plan])
    return run(plan, space)


@pytest.fixture(scope="session")
def finished(database, tmp_path_factory):
    """The recipe of conftest, run once."""
    from conftest import recipe

    out = tmp_path_factory.mktemp("finished")
    return go(recipe(), database, out), out


class Notes(Silent):
    """What trainings say of their epochs."""

    def __init__(self):
        self.said = []

    def step(self, note=""):
        self.said.append(note)


@pytest.mark.parametrize(("select", "epoch", "loss"), [("macro_f1", 2, "focal"), ("accuracy", 1, "cross_entropy")])
def test_training_select_decides_which_epoch_and_loss_are_kept(
    experiment, database, tmp_path, monkeypatch, select, epoch, loss
):
    """Twice as many clips are of class 0: all in it is the most accurate, one in it and all others right the fairest.

    The first loss predicts class 0 only, then is always wrong; the second is always wrong, then the fairest.
    """
    values = {"labels": {"happiness": "many", "surprise": "many", "disgust": "few"}, "loss": ["cross_entropy", "focal"]}
    values |= {"training.select": select, "training.patience": 2, "training.epochs": 2}
    space = workspace(database, tmp_path)
    plan = space.plan(experiment.with_values(values))
    space.prepare([plan])
    views, fold = plan.views(), plan.folds[0]
    few = plan.data.labels.classes.index("few")
    validation = views.of(fold.val)
    scored = []

    def planted(model, take, indices, training):
        y = plan.y[views.clip_rows[indices]]
        wrong, fairest = np.where(y == few, 1 - few, few), np.full(len(y), few)
        fairest[np.flatnonzero(y != few)[0]] = 1 - few
        predicted = (np.full(len(y), 1 - few), wrong, wrong, fairest)[len(scored)]
        if np.array_equal(indices, validation):
            scored.append(predicted)
        return Output(torch.nn.functional.one_hot(torch.as_tensor(predicted), 2).double() * 4, {})

    monkeypatch.setattr(training, "outputs", planted)
    notes = Notes()
    _, fitted = running.fit_rows(plan, views, fold.train, fold.val, fold.name, notes)
    assert len(scored) == 4
    assert (fitted.epoch, fitted.loss) == (epoch, loss)
    kept = fitted.history[fitted.history["chosen"]]
    assert kept[["epoch", "loss"]].to_numpy().tolist() == [[epoch, loss]]
    assert len(notes.said) == 4
    assert all(note.startswith(f"{title(select)}: train ") for note in notes.said)
    assert f"validation {fitted.loss_scores[loss]:.3f}" in notes.said[0 if loss == "cross_entropy" else 3]


def test_it_learns(finished):
    result, _ = finished
    assert result.scores()["macro_f1"] > 0.8


def test_every_clip_is_tested_once_by_a_model_that_never_saw_its_subject(finished):
    result, _ = finished
    assert sorted(result.predictions()["clip"]) == sorted(set(result.predictions()["clip"]))
    assert len(result.predictions()) == 36
    for fold in result.folds:
        tested = set(fold.views.loc[fold.views["part"] == "test", "subject"])
        trained = set(fold.views.loc[fold.views["part"] == "train", "subject"])
        assert len(tested) == 1
        assert not tested & trained


def test_stored_rows_are_enough_to_score_again(finished):
    result, out = finished
    views = pd.read_parquet(sorted((out / "results" / result.key).glob("*.views.parquet"))[0])
    columns = [
        "experiment",
        "fold",
        "seed",
        "part",
        "clip",
        "subject",
        "y_true",
        "frames",
        "hashes",
        "p_0",
        "p_1",
        "p_2",
    ]
    assert list(views.columns) == columns
    assert np.allclose(views[["p_0", "p_1", "p_2"]].sum(axis=1), 1)
    history = pd.read_parquet(sorted((out / "results" / result.key).glob("*.history.parquet"))[0])
    assert history["epoch"].tolist() == list(range(1, 13))


def test_a_second_run_trains_nothing_and_a_lost_fold_is_trained_again_alike(finished, database, monkeypatch):
    result, out = finished
    calls = []
    real = running.run_fold
    monkeypatch.setattr(
        running, "run_fold", lambda plan, fold, *rest: calls.append(fold.name) or real(plan, fold, *rest)
    )
    again = go(result.experiment, database, out)
    assert calls == []
    assert again.predictions().equals(result.predictions())
    lost = out / "results" / result.key / f"fold-{result.folds[2].name}.views.parquet"
    before = lost.read_bytes()
    lost.unlink()
    go(result.experiment, database, out)
    assert calls == [result.folds[2].name]
    first, second = pd.read_parquet(lost), pd.read_parquet(pd.io.common.BytesIO(before))
    assert first.equals(second)


def test_interrupted_between_folds_nothing_is_lost(experiment, database, tmp_path, monkeypatch):
    real, seen = running.run_fold, []

    def dying(plan, fold, *rest):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(fold.name)
        return real(plan, fold, *rest)

    monkeypatch.setattr(running, "run_fold", dying)
    short = experiment.with_values({"training.epochs": 1})
    with pytest.raises(KeyboardInterrupt):
        go(short, database, tmp_path)
    monkeypatch.setattr(running, "run_fold", real)
    result = go(short, database, tmp_path)
    assert len(result.folds) == 6
    assert not list(tmp_path.rglob("*.partial"))


def test_shuffled_labels_teach_nothing(experiment, database, tmp_path):
    scores = [
        go(experiment.with_values({"shuffled": number}), database, tmp_path).scores()["macro_f1"] for number in (1, 2)
    ]
    assert np.mean(scores) < 0.55  # 0.33 is guessing, 36 clips


def test_a_changed_database_is_noticed(experiment, tmp_path):
    from conftest import write_database

    root = write_database(tmp_path / "data", subjects=3, clips=3)
    short = experiment.with_values({"training.epochs": 1})
    go(short, root, tmp_path / "out")
    picture = root / "s0" / "c0" / "1.png"
    picture.write_bytes((root / "s1" / "c1" / "4.png").read_bytes())
    with refuses("E603", tmp_path / "out", "fingerprint", kind=StoreError):
        go(short, root, tmp_path / "out")


def test_a_damaged_result_is_told(experiment, database, tmp_path):
    short = experiment.with_values({"training.epochs": 1})
    result = go(short, database, tmp_path)
    file = tmp_path / "results" / result.key / f"fold-{result.folds[0].name}.views.parquet"
    file.write_bytes(b"PAR1 no more")
    with refuses("E605", ".parquet", kind=StoreError):
        go(short, database, tmp_path)


def test_faulty_clips_stop_the_run_or_are_left_out(experiment, tmp_path):
    from conftest import write_database

    root = write_database(tmp_path / "data", subjects=3, clips=3)
    (root / "s0" / "c0" / "4.png").write_bytes(b"")
    (root / "s1" / "c2" / "4.png").unlink()
    short = experiment.with_values({"training.epochs": 1})
    with refuses("E468", "2 faults", "--skip-invalid", kind=DataError) as error:
        go(short, root, tmp_path / "out")
    assert len(error.value.faults) == 2
    assert not (tmp_path / "out").exists()
    space = workspace(root, tmp_path / "out", skip_invalid=True)
    plan = space.plan(short)
    space.prepare([plan])
    assert len(run(plan, space).predictions()) == 7
    assert len(plan.data.skipped) == 2


def test_validation_is_cut_from_subjects(experiment, database, tmp_path):
    plan = workspace(database, tmp_path).plan(experiment.with_values({"training.patience": 3, "validation": 0.2}))
    subjects = plan.table["subject"].to_numpy()
    for fold in plan.folds:
        parts = [set(subjects[rows]) for rows in (fold.train, fold.val, fold.test)]
        assert all(parts)
        assert len(set.union(*parts)) == sum(map(len, parts))
        assert len(fold.train) + len(fold.val) + len(fold.test) == 36


def test_nothing_is_cut_where_nothing_selects(experiment, database, tmp_path):
    space = workspace(database, tmp_path)
    assert all(fold.val is None for fold in space.plan(experiment).folds)
    forest = experiment.with_values({"model": "pca_svm", "training.patience": 5})
    assert all(fold.val is None for fold in space.plan(forest).folds)


def test_too_few_subjects_to_cut_from(experiment):
    table = pd.DataFrame({"subject": ["a"] * 4 + ["b"] * 4, "label": [0, 1] * 4})
    fold = Fold("b", np.arange(4), np.arange(4, 8))
    with refuses("E463", "fold b", "training.patience = 0", kind=ConfigError):
        split_validation(fold, table, experiment)


def test_everything_wrong_is_found_before_the_first_fold(experiment, database, tmp_path):
    space = workspace(database, tmp_path / "out")
    wrong = [
        ({"datasets": "casme2"}, "E130", ["casme2", "--data casme2=DIR"]),
        ({"modality": "depth"}, "E460", ["'depth'", "manifest", "it has colour"]),
        ({"labels": {"contempt": "x"}}, "E465", ["manifest"]),
        ({"sampling": "image"}, "E450", ["sampling image"]),
        ({"preprocessing": "m2"}, "E454", ["preprocessing m2", "s5/c5"]),
        ({"datasets": ["manifest", "casme2"]}, "E130", ["casme2"]),
        ({"datasets": ["manifest", "manifest"]}, "E127", ["manifest + manifest"]),
    ]
    for values, code, named in wrong:
        with refuses(code, *named):
            space.plan(experiment.with_values(values))
    assert not (tmp_path / "out").exists()


def test_cropped_frames_are_refused_unless_allowed(experiment, database, tmp_path, monkeypatch):
    from microexpr.components.datasets.manifest import Manifest

    monkeypatch.setattr(Manifest, "cropped", lambda self: True)
    with refuses("E461", "preprocessing m1", "--allow-cropped", kind=DataError):
        workspace(database, tmp_path).plan(experiment)
    workspace(database, tmp_path, allow_cropped=True).plan(experiment)
    workspace(database, tmp_path).plan(experiment.with_values({"preprocessing": "as_is"}))


def test_facts_of_a_run_are_kept(finished):
    result, out = finished
    metadata = json.loads((out / "results" / result.key / "experiment.json").read_text())
    assert (len(metadata["clips"]), metadata["classes"]) == (16, ["disgust", "happiness", "surprise"])
    assert len(metadata["fingerprint"]) == 64
    assert result.folds[0].metadata["mode"] == "fold by fold"
    environment = result.folds[0].metadata["environment"]
    assert {"torch", "threads", "accelerator"} <= set(environment)
    assert "/" not in json.dumps(environment).replace("+", "")


def test_protocols_say_whether_they_share_subjects():
    assert protocols.build("loso", {}).subject_independent
    assert not protocols.build("paper_holdout", {}).subject_independent


def test_weights_can_be_kept_afterwards(experiment, database, tmp_path):
    short = experiment.with_values({"training.epochs": 1})
    key = go(short, database, tmp_path).key
    assert not list((tmp_path / "results" / key).glob("*.safetensors"))
    go(short, database, tmp_path, keep_weights=True)
    assert len(list((tmp_path / "results" / key).glob("*.safetensors"))) == 6


def test_other_clips_under_the_same_key_are_refused(experiment, database, tmp_path):
    short = experiment.with_values({"training.epochs": 1})
    go(short, database, tmp_path)
    space = workspace(database, tmp_path, skip_invalid=True)
    plan = space.plan(short)
    less = plan.data.without([Fault("E201", "x", "y", "z", plan.data.clips[0].key)])
    (plan,) = space.prepare([plan])
    plan = dataclasses.replace(plan, data=less)
    with refuses("E603", "clips", kind=StoreError):
        run(plan, space)


def test_the_modality_may_be_named_or_not(experiment, database, tmp_path):
    space = workspace(database, tmp_path)
    assert space.plan(experiment).key == space.plan(experiment.with_values({"modality": "colour"})).key


def test_folds_trained_at_once_are_those_trained_one_by_one(database, tmp_path):
    from conftest import recipe

    apart = recipe().with_values({"protocol": "loso", "model": "pca_svm", "loss": "cross_entropy"})
    several = go(apart, database, tmp_path / "several", jobs=2)
    single = go(apart, database, tmp_path / "single")
    # With several folds at once each has fewer threads, which may round differently.
    pd.testing.assert_frame_equal(several.predictions(), single.predictions(), rtol=0, atol=1e-6)
    assert {fold.metadata["mode"] for fold in several.folds} == {"2 folds at once"}
    assert {fold.metadata["mode"] for fold in single.folds} == {"fold by fold"}
    assert all(fold.metadata["ms_a_clip"] > 0 for fold in several.folds)
    assert {fold.metadata["ms_threads"] for fold in several.folds} == {1}


@pytest.mark.parametrize(("model", "threads"), [("pca_svm", 1), ("small_cnn", 2)])
def test_a_prediction_is_timed_after_a_warm_up_and_an_estimator_on_one_thread(
    database, tmp_path, monkeypatch, model, threads
):
    """The first prediction is slow, and every one of an estimator on several threads, as waiting for pools can be."""
    from conftest import recipe

    space = workspace(database, tmp_path)
    plan = space.plan(recipe().with_values({"model": model, "training.epochs": 1}))
    space.prepare([plan])
    fold, views, calls = plan.folds[0], plan.views(), []
    learner = running.fit_rows(plan, views, fold.train, None, "role", Silent())[0].learner
    before = cv2.getNumThreads(), torch.get_num_threads()

    def predict(*_):
        pools = {pool["num_threads"] for pool in threadpool_info()} | {cv2.getNumThreads()}
        slow = not calls or (model == "pca_svm" and pools != {1})
        calls.append(pools)
        time.sleep(0.2 if slow else 0.001)

    monkeypatch.setattr(learner, "predict", predict)
    try:
        torch.set_num_threads(2)
        cv2.setNumThreads(2)
        with threadpool_limits(2):
            found = running._milliseconds(learner, views, fold.test[:1])
            assert cv2.getNumThreads() == 2, "it was set back"
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])
    assert len(calls) >= 2, "a warm-up, which takes all the time that there is, and a timing"
    assert 1 <= found["ms_a_clip"] < 100
    assert found["ms_threads"] == threads
    assert model != "pca_svm" or all(pools == {1} for pools in calls)


def test_the_seconds_of_a_fold_are_those_of_its_training(database, experiment, tmp_path, monkeypatch):
    real, slow = running.predicted, 0.6

    def predicted(*words):
        time.sleep(slow)
        return real(*words)

    monkeypatch.setattr(running, "predicted", predicted)
    space = workspace(database, tmp_path)
    plan = space.plan(experiment.with_values({"model": "majority"}))
    space.prepare([plan])
    fold = running.run_fold(plan, plan.folds[0], plan.views(), Silent())
    assert 0 < fold.metadata["seconds"] < slow
