"""Tuning: nobody tested takes part, a kill costs one trial, several processes share, and what is wrong is refused."""

from __future__ import annotations

import csv
import inspect
import json
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import optuna
import pytest
from sklearn.metrics import f1_score

from conftest import TESTS, recipe
from microexpr import tune_experiment
from microexpr.cli import tuning as command
from microexpr.components.models.classical import PcaSvmClassifier
from microexpr.config.experiment import Experiment
from microexpr.core.errors import ConfigError, MicroexprError, StoreError, TrainingError
from microexpr.core.interfaces import models, protocols
from microexpr.core.progress import Silent
from microexpr.report.pages.tuning import agreement, importance
from microexpr.report.summary import Importance
from microexpr.runs import experiment as running
from microexpr.runs.plan import Options, Workspace
from microexpr.runs.tuning import TRIALS as USUAL
from microexpr.runs.tuning import Tuned, tune, worker
from microexpr.runs.tuning.result import Trial
from microexpr.runs.tuning.searches import divide, shares_subjects
from microexpr.runs.tuning.space import own, space_of
from microexpr.runs.tuning.storage import JournalLock, without_password
from refusal import refuses
from shell import microexpr

pytestmark = pytest.mark.usefixtures("no_figures")

EMOTIONS = ("negative", "positive", "surprise")
SUBJECTS, CLIPS, SIDE, TRIALS = 6, 6, 12, 5
SPACE = {"model.C": {"low": 0.01, "high": 100.0, "log": True}, "model.components": {"low": 1, "high": 12}}
BASE = {
    "name": "tuned",
    "datasets": "manifest",
    "labels": "as_given",
    "preprocessing": "as_is",
    "sampling": "image",
    "model": {"name": "pca_svm", "components": 3},
    "loss": "cross_entropy",
    "protocol": "loso",
    "tuning.space": SPACE,
    "tuning.groups": 2,
    "tuning.inner": 2,
}


def settings(**changed: object) -> Experiment:
    return Experiment().with_values(BASE | {name.replace("__", "."): value for name, value in changed.items()})


def write(root: Path, scrambled: frozenset[str] = frozenset()) -> Path:
    """Ready images with a weak sign of their class; of scrambled subjects neither pictures nor labels stay."""
    rng, noise = np.random.default_rng(3), np.random.default_rng(4)
    pattern = rng.normal(0, 22, (3, SIDE, SIDE))
    (root / "flow").mkdir(parents=True)
    rows = []
    for subject in range(SUBJECTS):
        for number in range(CLIPS):
            label, name = int(rng.integers(3)), f"s{subject}_{number}"
            picture = 128 + pattern[label] + rng.normal(0, 45, (SIDE, SIDE))
            if f"s{subject}" in scrambled:
                label, picture = (label + 1 + int(noise.integers(2))) % 3, noise.uniform(0, 255, (SIDE, SIDE))
            cv2.imwrite(str(root / f"flow/{name}.png"), picture.clip(0, 255).astype(np.uint8))
            rows.append(["own", f"s{subject}", name, EMOTIONS[label], f"flow/{name}.png"])
    with (root / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["dataset", "subject", "clip", "emotion", "flow"], *rows])
    return root


def stated(trials: tuple[Trial, ...]) -> list[tuple[object, ...]]:
    return [(tuple(trial.values.items()), trial.score) for trial in trials if trial.score is not None]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def done(images, tmp_path_factory):
    return tune_experiment(settings(), images, tmp_path_factory.mktemp("out"), trials=TRIALS, workers=1)


def searched(experiment: Experiment, images: Path, out: Path, trials: int = TRIALS, storage: str = "") -> Tuned:
    """Tune without writing the page."""
    out.mkdir(parents=True, exist_ok=True)
    return tune(experiment, Workspace(Options({"manifest": images}, out)), trials=trials, storage=storage)


def tuned_scores(found: Tuned) -> list[tuple[str, int]]:
    return list(found.predictions()[["clip", "y_pred"]].itertuples(index=False, name=None))


def planned(experiment: Experiment, root: Path, out: Path):
    return Workspace(Options({"manifest": root}, out)).plan(experiment, weights=False)


# --- nobody tested takes part -----------------------------------------------------------------------------------------
def test_a_search_gives_the_same_whatever_the_subjects_are_like_whom_it_is_tested_on(done, tmp_path):
    first, second = done.result.found
    subject = done.result.plan.table["subject"].to_numpy()
    tested = frozenset(name.removeprefix("own/") for name in subject[first.search.tested])
    again = searched(settings(), write(tmp_path / "data", tested), tmp_path / "out")
    assert stated(again.found[0].trials) == stated(first.trials)
    assert stated(again.found[1].trials) != stated(second.trials)  # it learns from them


@pytest.mark.parametrize(
    ("protocol", "groups", "count"),
    [("loso", 3, 3), ("loso", "folds", SUBJECTS), ({"name": "subject_kfold", "k": 3}, 5, 3), ("loso", 20, SUBJECTS)],
)
def test_searches_see_no_subject_that_their_folds_test(images, tmp_path, protocol, groups, count):
    plan = planned(settings(protocol=protocol, tuning__groups=groups), images, tmp_path)
    searches, subject = divide(plan), plan.table["subject"].to_numpy()
    assert len(searches) == count
    assert Counter(fold.name for each in searches for fold in each.folds) == Counter(fold.name for fold in plan.folds)
    for each in searches:
        assert not set(subject[each.rows]) & set(subject[each.tested])
        assert set(subject[each.rows]) | set(subject[each.tested]) == set(subject)
        tested = np.concatenate([fold.test for fold in each.inner])
        assert sorted(tested) == sorted(each.rows)
        for fold in each.inner:
            assert not set(subject[fold.train]) & set(subject[fold.test])
            assert set(fold.train) <= set(each.rows)


@pytest.mark.parametrize("protocol", ["paper_holdout", {"name": "clip_kfold", "k": 3}])
def test_under_a_protocol_that_shares_subjects_clips_are_kept_apart(images, tmp_path, protocol):
    plan = planned(settings(protocol=protocol), images, tmp_path)
    subject = plan.table["subject"].to_numpy()
    assert shares_subjects(plan)
    for each in divide(plan):
        assert not set(each.rows) & set(each.tested)
        assert all(not set(subject[fold.train]) & set(subject[fold.test]) for fold in each.inner)


def test_the_page_of_a_protocol_that_shares_subjects_says_so(images, tmp_path):
    made = tune_experiment(settings(protocol="paper_holdout"), images, tmp_path, trials=1, workers=1)
    page = made.paths.html.read_text("utf-8")
    assert "The protocol does not separate subjects" in page
    assert "In 1 search of at least 1 trial, " in page
    assert "No search used a clip that its result is tested on" in page


# --- scores are what they are said to be ------------------------------------------------------------------------------
def pixels(root: Path, keys: list[str]) -> np.ndarray:
    files = [root / "flow" / f"{key.split('/')[2]}.png" for key in keys]
    return np.stack([cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files]).reshape(len(files), -1)


def test_an_inner_score_is_the_pooled_score_of_inner_folds(done, images):
    plan, found = done.result.plan, done.result.found[0]
    X, y = pixels(images, list(plan.table["key"])).astype(np.float32), plan.y
    guess = np.full(len(y), -1)
    for fold in found.search.inner:
        values = {key.removeprefix("model."): value for key, value in found.best.values.items()}
        guess[fold.test] = PcaSvmClassifier(**values).fit(X[fold.train], y[fold.train]).predict(X[fold.test])
    rows = found.search.rows
    assert found.best.score == pytest.approx(f1_score(y[rows], guess[rows], average="macro"))
    assert found.best.score == max(trial.score for trial in found.trials)


@pytest.mark.parametrize("tuned", [True, False])
def test_every_fold_is_trained_on_all_its_clips_with_the_values_of_its_search(done, images, tuned):
    plan = done.result.plan
    X, y, key = pixels(images, list(plan.table["key"])).astype(np.float32), plan.y, plan.table["key"].to_numpy()
    guess = {}
    for found in done.result.found:
        values = found.best.values if tuned else {"components": 3}
        model = PcaSvmClassifier(**{name.removeprefix("model."): value for name, value in values.items()})
        for fold in found.search.folds:
            guess |= dict(
                zip(key[fold.test], model.fit(X[fold.train], y[fold.train]).predict(X[fold.test]), strict=True)
            )
    predictions = done.result.predictions() if tuned else done.result.untuned.predictions()
    assert dict(zip(predictions["clip"], predictions["y_pred"], strict=True)) == guess
    scores = (done.summary.tuned if tuned else done.summary.untuned).scores
    right = f1_score(predictions["y_true"], predictions["y_pred"], average="macro")
    assert scores["macro_f1"] == pytest.approx(right)


def test_the_first_trial_has_the_files_own_values_where_the_space_has_them(done):
    for found in done.result.found:
        assert found.trials[0].values == {"model.C": 3.0, "model.components": 3}
        assert found.own == found.trials[0]
    outside = settings(model={"name": "pca_svm", "components": 60})
    assert own(outside.tuning.space, outside) is None
    choices = {"model": {"choices": ["majority", {"name": "pca_svm", "components": 3, "C": 3.0}]}}
    either = settings(tuning__space=choices)
    assert own(either.tuning.space, either) == {"model": "pca_svm"}


def test_a_trial_predicts_what_its_inner_folds_test_and_times_nothing(images, tmp_path, monkeypatch):
    asked, real = [], running.predicted
    monkeypatch.setattr(running, "_milliseconds", lambda *_: pytest.fail("it timed a clip"))
    monkeypatch.setattr(running, "predicted", lambda *words: asked.append(words[-1]) or real(*words))
    workspace = Workspace(Options({"manifest": images}, tmp_path))
    plan = workspace.plan(settings())
    workspace.prepare([plan])
    fold = divide(plan)[0].inner[0]
    found = running.tested(plan, fold, plan.views(), Silent())
    assert asked == ["test"]
    assert set(found["clip"]) == set(plan.table["key"].iloc[fold.test])


def test_what_is_tuned_is_no_part_of_the_key():
    assert settings().key() == settings(tuning__inner=4, tuning__space={}).key()


# --- stopped and gone on with -----------------------------------------------------------------------------------------
class Killed(BaseException):
    """What ends a process in these tests."""


def stopping(monkeypatch, after: int, error: type[BaseException]) -> None:
    """Let the trial of inner folds stop at the given fold."""
    calls, tested = iter(range(10_000)), worker.tested

    def stop(*words: object) -> object:
        if next(calls) == after:
            raise error
        return tested(*words)

    monkeypatch.setattr(worker, "tested", stop)


def test_ctrl_c_costs_one_trial_and_the_same_command_goes_on(done, images, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopping(patch, 7, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            searched(settings(), images, tmp_path)
    again = searched(settings(), images, tmp_path)
    for found, whole in zip(again.found, done.result.found, strict=True):
        assert stated(found.trials) == stated(whole.trials)
    states = Counter(trial.state for found in again.found for trial in found.trials)
    assert states == {"finished": 2 * TRIALS, "stopped": 1}
    assert tuned_scores(again) == tuned_scores(done.result)


def test_a_kill_in_the_midst_of_a_trial_costs_that_trial(done, images, tmp_path):
    killed = subprocess.run([sys.executable, "-c", _script(images, tmp_path / "out", kill=9)], capture_output=True)
    assert killed.returncode == -9, killed.stderr.decode()
    again = searched(settings(), images, tmp_path / "out")
    for found, whole in zip(again.found, done.result.found, strict=True):
        assert stated(found.trials) == stated(whole.trials)
    assert Counter(trial.state for found in again.found for trial in found.trials)["stopped"] == 1
    assert not list((tmp_path / "out/tuning").glob("worker-*"))


def test_values_that_end_the_process_again_and_again_are_given_up(images, tmp_path, monkeypatch):
    give_up, stop = worker.Worker._give_up_lost, worker.Worker._stop

    def at_the_next_start(job, study):
        with monkeypatch.context() as patch:
            patch.setattr(worker.Worker, "_stop", stop)
            give_up(job, study)

    for _ in range(worker.TRIES):
        with monkeypatch.context() as patch:
            patch.setattr(worker.Worker, "_stop", lambda *_: None)  # a kill leaves no time for it
            patch.setattr(worker.Worker, "_give_up_lost", at_the_next_start)
            stopping(patch, 0, Killed)
            with pytest.raises(Killed):
                searched(settings(), images, tmp_path, 2)
    first = searched(settings(), images, tmp_path, 2).found[0].trials
    assert [trial.state for trial in first] == ["stopped", "stopped", "failed", "finished"]
    assert "the process ended 3 times" in first[2].problem
    assert first[0].values == first[2].values


def test_more_trials_go_on_from_those_there_are(done, images, tmp_path):
    searched(settings(), images, tmp_path, 2)
    more = searched(settings(), images, tmp_path)
    assert [stated(found.trials) for found in more.found] == [stated(found.trials) for found in done.result.found]
    less = searched(settings(), images, tmp_path, 1)
    assert tuned_scores(less) == tuned_scores(more)


def _script(images: Path, out: Path, *, kill: int | None = None, together: bool = False) -> str:
    """A process that tunes; it ends itself in the midst of an inner fold, or waits for a second one to begin."""
    return textwrap.dedent(f"""
        import os, sys, time
        sys.path[:0] = [{str(TESTS)!r}, {str(Path(__file__).parent)!r}]
        from pathlib import Path
        from test_tuning import TRIALS, settings
        from microexpr import tune_experiment
        from microexpr.runs.tuning import worker
        kill, together, out = {kill!r}, {together!r}, Path({str(out)!r})
        tested, calls, search = worker.tested, iter(range(10_000)), worker.Worker.search

        def one(*words):
            if next(calls) == kill:
                os.kill(os.getpid(), 9)
            time.sleep(0.03 * together)
            return tested(*words)

        def both(*words):
            until = time.monotonic() + 60
            while len(list((out / "tuning").glob("worker-*"))) < 2 and time.monotonic() < until:
                time.sleep(0.01)
            return search(*words)

        worker.tested = one
        worker.Worker.search = both if together else search
        tune_experiment(settings(), {str(images)!r}, out, trials=TRIALS, workers=1)
    """)


def workers(out: Path) -> Counter[str]:
    """Return how many trials each worker tried, and that none was tried twice."""
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(out / "tuning/journal.log"))
    )
    studies = [optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)]
    for study in studies:
        drawn = [tuple(trial.params.values()) for trial in study.trials]
        assert len(set(drawn)) == len(drawn) == TRIALS
    return Counter(trial.user_attrs["worker"] for study in studies for trial in study.trials)


def test_two_workers_share_the_searches(images, tmp_path, monkeypatch):
    gate, search = threading.Barrier(2, timeout=60), worker.Worker.search

    def both(*words):
        gate.wait()
        return search(*words)

    monkeypatch.setattr(worker.Worker, "search", both)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(searched, settings(), images, tmp_path) for _ in range(2)]
        first, second = [job.result() for job in jobs]
    assert [found.finished for found in first.found] == [TRIALS, TRIALS]
    assert [stated(found.trials) for found in first.found] == [stated(found.trials) for found in second.found]
    assert tuned_scores(first) == tuned_scores(second)
    assert len(workers(tmp_path)) == 2
    assert sum(one.done["trials_tried"] for one in (first, second)) == 2 * TRIALS
    assert all(one.done["trials_tried"] + one.done["trials_reused"] == 2 * TRIALS for one in (first, second))
    # Every fold is trained once, by whichever is there first; the other finds it stored.
    folds = [(one.done["trained"], one.done["reused"]) for one in (first, second)]
    assert sum(trained for trained, _ in folds) == sum(folds[0]) == sum(folds[1]) > 0


@pytest.mark.torture
def test_two_processes_share_the_searches(images, tmp_path):
    code = _script(images, tmp_path, together=True)
    both = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(2)]
    assert [(process.communicate()[1].decode(), process.returncode) for process in both] == [("", 0)] * 2
    summary = json.loads((tmp_path / "tuning.json").read_text("utf-8"))
    assert [row["finished"] for row in summary["searches"]] == [TRIALS, TRIALS]
    assert len(workers(tmp_path)) == 2


def test_while_another_run_has_the_folder_one_waits(images, tmp_path, monkeypatch):
    waited = []

    class Bar:
        def start(self, text: str, total: int) -> None:
            if text.startswith("waiting"):
                waited.append(text)
                other.terminate()

        def step(self, note: str = "") -> None: ...

        def stop(self) -> None: ...

    code = f"""if True:
        import time
        from pathlib import Path
        from microexpr.core.claims import held
        with held(Path({str(tmp_path / "cache")!r})):
            print("held", flush=True)
            time.sleep(60)"""
    (tmp_path / "cache").mkdir()
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    tune(settings(), Workspace(Options({"manifest": images}, tmp_path), Bar()), trials=1)
    other.communicate()
    assert waited == ["waiting for another process that prepares frames"]


# --- storage ----------------------------------------------------------------------------------------------------------
def test_what_a_kill_left_of_a_line_is_cut_off_and_kept(done, images, tmp_path):
    searched(settings(), images, tmp_path, 3)
    journal = tmp_path / "tuning/journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"worker_id":"x","stu')
    again = searched(settings(), images, tmp_path)
    assert [stated(found.trials) for found in again.found] == [stated(found.trials) for found in done.result.found]
    assert journal.with_name("journal.log.truncated").read_bytes().startswith(whole)
    assert all(json.loads(line) for line in journal.read_text("utf-8").splitlines())


def test_a_journal_is_mended_before_every_line_not_only_at_opening(tmp_path):
    journal = tmp_path / "journal.log"
    backend = optuna.storages.journal.JournalFileBackend(str(journal), JournalLock(journal))
    backend.append_logs([{"one": 1}])
    with journal.open("ab") as stream:
        stream.write(b'{"tw')  # another worker died in the midst of it
    backend.append_logs([{"three": 3}])
    assert list(backend.read_logs(0)) == [{"one": 1}, {"three": 3}]


def test_a_journal_with_a_broken_line_inside_is_an_error_with_a_way_out(images, tmp_path):
    searched(settings(), images, tmp_path, 1)
    journal = tmp_path / "tuning/journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + lines[1][:9] + b"\n" + b"".join(lines[2:]))
    with refuses("E605", "journal.log", kind=StoreError):
        searched(settings(), images, tmp_path, 2)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"tuning__space": {"model.C": SPACE["model.C"]}}, "another space"),
        ({"tuning__metric": "uar"}, "another metric"),
        ({"tuning__inner": 3}, "another division into folds"),
        ({"model": {"name": "pca_svm", "components": 3, "gamma": 0.01}}, "another experiment"),
    ],
)
def test_trials_of_another_search_are_never_gone_on_with(images, tmp_path_factory, changed, what):
    out = tmp_path_factory.getbasetemp() / "searched"
    searched(settings(), images, out, 1)
    with refuses("E608", out, "'tuned/group-1'", what, kind=StoreError):
        searched(settings(**changed), images, out, 1)


def test_the_tuned_values_of_the_file_may_change(images, tmp_path):
    first = searched(settings(), images, tmp_path, 1)
    second = searched(settings(model={"name": "pca_svm", "components": 5}), images, tmp_path, 2)
    assert stated(second.found[0].trials)[0] == stated(first.found[0].trials)[0]


def test_a_database_keeps_the_trials_and_its_password_is_told_nobody(done, images, tmp_path):
    url = f"sqlite:///{tmp_path}/trials.db"
    searched(settings(), images, tmp_path / "a", 2, url)
    again = searched(settings(), images, tmp_path / "b", TRIALS, url)
    assert [stated(found.trials) for found in again.found] == [stated(found.trials) for found in done.result.found]
    secret = "postgresql://me:secret@host/trials"
    assert without_password(f"tune --storage {secret}", secret) == "tune --storage postgresql://me:***@host/trials"


def test_a_storage_that_cannot_be_used(images, tmp_path):
    with refuses("E144", "--storage trials.db", "sqlite:///trials.db", kind=ConfigError):
        tune_experiment(settings(), images, tmp_path / "a", storage="trials.db", workers=1)
    (tmp_path / "text.db").write_text("no database, but a text that is long enough to be read as one" * 30)
    with refuses("E607", "text.db", "file is not a database", kind=StoreError):
        tune_experiment(settings(), images, tmp_path / "b", storage=f"sqlite:///{tmp_path}/text.db", workers=1)
    with refuses("E143", "oracle://me:***@host/x", "pip", kind=ConfigError):
        tune_experiment(settings(), images, tmp_path / "c", storage="oracle://me:secret@host/x", workers=1)


# --- spaces -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("space", "code", "named"),
    [
        ({"model.C": {"low": 2.0, "high": 1.0}}, "E102", ["tuning.space.model.C", "low = 2.0", "high = 1.0"]),
        (
            {"model.C": {"low": 0.0, "high": 1.0, "log": True}},
            "E102",
            ["tuning.space.model.C", "log = true", "above 0"],
        ),
        ({"model.C": {"lo": 0.0, "high": 1.0}}, "E102", ["model.C", "'lo' (did you mean 'low'?)", "{ low"]),
        ({"model.C": 3}, "E102", ["model.C = 3", "{ low"]),
        ({"model.C": {"choices": [1.0]}}, "E102", ["tuning.space.model.C", "one choice"]),
        ({"model.C": {"choices": [1.0, 1.0]}}, "E102", ["tuning.space.model.C", "twice"]),
        ({"model.C": {"choices": [1.0, 2.0], "low": 1.0}}, "E102", ["tuning.space.model.C", "choices"]),
        ({"model.C": {"low": 1.0}}, "E102", ["tuning.space.model.C", "{ low"]),
        ({"model.C": {"low": 1.0, "high": 2.0, "step": 0.3}}, "E102", ["step = 0.3", "1.0", "2.0"]),
        ({"model.components": {"low": 1, "high": 3, "step": 0.5}}, "E102", ["step = 0.5", "integer"]),
        ({"model.depth": {"low": 1, "high": 3}}, "E110", ["model.depth = 1", "model 'pca_svm'", "'depth'"]),
        ({"model.components": {"low": 0, "high": 3}}, "E112", ["components = 0"]),
        ({"model.components": {"low": 1.0, "high": 4.0}}, "E112", ["components = 1.95", "integer"]),
        ({"model": {"choices": ["pca_svm", "pca_swm"]}}, "E103", ["did you mean 'pca_svm'"]),
        (
            {"preprocessing.size": {"choices": [32, 64]}},
            "E140",
            ["'preprocessing.size'", "model, training, loss, augmentation, vote"],
        ),
        ({"modle.C": {"low": 1.0, "high": 2.0}}, "E140", ["'modle.C'", "(did you mean 'model'?)"]),
        (SPACE | {"model": {"choices": ["majority", "pca_svm"]}}, "E140", ["'model.C'", "'model'"]),
        ({"training.epochs": {"low": 0, "high": 3}}, "E140", ["'training.epochs'", "model pca_svm"]),
        ({"training.ensemble": {"low": 1, "high": 3}}, "E140", ["'training.ensemble'"]),
        ({"loss": {"choices": ["cross_entropy", "focal"]}}, "E140", ["'loss'"]),
    ],
)
def test_wrong_spaces_are_refused_before_anything_runs(images, tmp_path, space, code, named):
    with refuses(code, *named, kind=ConfigError):
        tune_experiment(settings(tuning__space=space), images, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changed", "code", "named"),
    [
        ({"tuning__metric": "macro_f2"}, "E103", ["metric 'macro_f2'"]),
        ({"tuning__inner": 7}, "E723", ["search group-1", "18 clips of 3 subjects", "7 inner folds"]),
        ({"protocol": {"name": "subject_kfold", "k": 2, "repeats": 2}}, "E145", ["protocol subject_kfold"]),
        ({"tuning__space": {}}, "E141", ["'pca_svm'", "components, C, gamma", '"model.C" =']),
        ({"tuning__space": {}, "model": "majority"}, "E141", ["'majority'", "no parameters"]),
        (
            {
                "tuning__space": {"training.epochs": {"low": 0, "high": 3}},
                "model": "small_cnn",
                "preprocessing": {"name": "m1", "size": 24},
            },
            "E102",
            ["training.epochs = 0", "greater than or equal to 1"],
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_runs(images, tmp_path, changed, code, named):
    with refuses(code, *named):
        tune_experiment(settings(**changed), images, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_a_metric_that_is_not_of_confusion_matrices_cannot_be_tuned(images, tmp_path):
    with pytest.raises(MicroexprError, match="expected_calibration_error"):
        tune_experiment(settings(tuning__metric="expected_calibration_error"), images, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_spaces_may_be_nested_as_toml_nests_them():
    nested = {"model": {"C": SPACE["model.C"], "components": SPACE["model.components"]}}
    assert settings(tuning__space=nested) == settings()
    assert Experiment.model_validate(settings().to_dict()) == settings()


@pytest.mark.parametrize(
    ("model", "stages"),
    [("vit_b32", 12), ("poolformer_m36", 4), ({"name": "swin_b", "weights": "random"}, None), ("vit_nano", None)],
)
def test_the_papers_spaces_are_the_defaults(database, tmp_path, model, stages):
    given = recipe().with_values({"model": model, "preprocessing": {"name": "m1", "size": 224}})
    space, papers = space_of(planned(given, database, tmp_path))
    assert papers
    assert (space["model.drop_path"].low, space["model.drop_path"].high) == (0.05, 0.3)
    assert (space["model.dropout"].low, space["model.dropout"].high) == (0.0, 0.2)
    assert 0 in space["model.head_units"].choices
    assert len(space["model.head_units"].choices) > 1
    assert ("model.frozen_stages" in space) == (stages is not None)
    if stages:
        assert (space["model.frozen_stages"].low, space["model.frozen_stages"].high) == (0, stages)
    only = space_of(planned(given.with_values({"model": "small_cnn"}), database, tmp_path))[0]
    assert list(only) == ["model.dropout"]


def test_a_network_is_tuned_and_values_that_cannot_be_trained_are_no_end(database, tmp_path):
    space = {"training.learning_rate": {"choices": [3e-3, 1e30]}, "model.dropout": {"low": 0.0, "high": 0.2}}
    given = recipe().with_values(
        {"training.epochs": 1, "tuning.space": space, "protocol": {"name": "subject_kfold", "k": 2}, "tuning.inner": 2}
    )
    made = tune_experiment(given, database, tmp_path, trials=5, workers=1)
    trials = [trial for found in made.result.found for trial in found.trials]
    failed = [trial for trial in trials if trial.state == "failed"]
    assert failed
    assert all(trial.values["training.learning_rate"] == "1e+30" for trial in failed)
    assert all("the loss is not finite" in trial.problem for trial in failed)
    assert all(len(found.trials) == 5 for found in made.result.found)
    page = made.paths.html.read_text("utf-8")
    assert "The loss is not finite" in page
    assert "Some trials failed" in page


def test_the_same_values_are_not_trained_twice(images, tmp_path, monkeypatch):
    counted, tested = [], worker.tested
    monkeypatch.setattr(worker, "tested", lambda *words: counted.append(words[1].name) or tested(*words))
    found = searched(settings(tuning__space={"model.components": {"choices": [2, 3]}}), images, tmp_path)
    for each in found.found:
        assert each.finished == TRIALS
        scores = {str(trial.values): trial.score for trial in each.trials if trial.same_as is None}
        assert all(trial.score == scores[str(trial.values)] for trial in each.trials)
        assert sum(name.startswith(each.search.name) for name in counted) == len(each.search.inner) * len(scores)


def test_where_nothing_can_be_trained_the_reason_is_told(database, tmp_path):
    space = {"training.learning_rate": {"choices": [1e29, 1e30]}}
    given = recipe().with_values({"training.epochs": 1, "tuning.space": space, "tuning.groups": 2, "tuning.inner": 2})
    with refuses("E721", "search group-1", "loss is not", kind=TrainingError):
        tune(given, Workspace(Options({"manifest": database}, tmp_path)), trials=2)


# --- the page and the command -----------------------------------------------------------------------------------------
def test_the_page_says_what_was_done_and_what_follows(done):
    page, summary = done.paths.html.read_text("utf-8"), done.summary
    assert json.loads((done.paths.html.parent / "tuning.json").read_text("utf-8")) == summary.model_dump(mode="json")
    for sentence in (
        "No search used a clip that its result is tested on",
        "The 6 folds were divided at random into 2 groups",
        "optimistically biased, as it is the best of 5 or more",
        "Of the variance explained by the parameters",
        "too few trials: 5 are finished, and importance needs at least 10",
        "Untuned: the values of the experiment file",
        f"<p>Trials: tried {2 * TRIALS}, reused 0; folds: trained {summary.run.trained}, reused 0</p>",
    ):
        assert sentence in page, sentence
    names = {file.stem for file in (*done.paths.tables, *done.paths.figures)}
    assert {"tuning_results", "tuning_searches", "tuning_trials", "tuning_values", "tuning_history"} <= names
    assert "http" not in page.replace("http://www.w3.org", "")


def test_the_difference_is_that_of_the_scores_and_paired_by_subject(done):
    row = done.summary.comparison
    scores = [found.scores["macro_f1"] for found in (done.summary.tuned, done.summary.untuned)]
    assert row.difference == pytest.approx(scores[0] - scores[1])
    assert (row.unit, row.n_subjects, row.n_clips) == ("subject", SUBJECTS, SUBJECTS * CLIPS)


def test_words_of_values_and_importance(done):
    rows = [
        row.model_copy(update={"values": {"model.C": 0.5, "model.components": at}})
        for at, row in enumerate(done.summary.searches)
    ]
    said = agreement(done.summary.model_copy(update={"searches": rows})).paragraphs[0]
    assert "C 0.5 in all of them; components from 0 to 1" in said
    shares = Importance(shares={"model.C": 0.7, "model.components": 0.3}, problem="")
    said = importance(done.summary.model_copy(update={"importance": shares}))
    assert said.paragraphs[0].startswith("Of the variance explained by the parameters, 70.0 % is due to C.")


def test_importance_finds_the_parameter_that_matters_and_is_not_deceived_by_levels_of_searches():
    from microexpr.runs.tuning.importance import importance as found

    rng = np.random.default_rng(0)

    def trials(level: float, count: int) -> list[Trial]:
        values = [{"a": float(a), "b": float(b)} for a, b in rng.uniform(size=(count, 2))]
        return [Trial(at, one, "finished", level + one["a"], 1.0) for at, one in enumerate(values)]

    drawn = dict.fromkeys("ab", optuna.distributions.FloatDistribution(0, 1))
    shares = found([trials(0.1, 20), trials(5.0, 20)], drawn, 0)
    assert not isinstance(shares, str)
    assert shares["a"] > 0.9
    assert sum(shares.values()) == pytest.approx(1)
    # What matters below a tenth of the largest value: as much as elsewhere, where it is drawn by orders of magnitude.
    low = [
        Trial(at, {"a": 10.0**a, "b": b}, "finished", min(a, 0.0) + 0.3 * b, 1.0)
        for at, (a, b) in enumerate(np.column_stack([rng.uniform(-2, 2, 60), rng.uniform(size=60)]).tolist())
    ]
    by_magnitude = found([low], drawn | {"a": optuna.distributions.FloatDistribution(0.01, 100, log=True)}, 0)
    assert not isinstance(by_magnitude, str)
    assert by_magnitude["a"] > 0.8
    assert "too few trials: 9 are" in found([trials(0, 9)], drawn, 0)
    same = [Trial(at, {"a": at / 20, "b": 0.5}, "finished", 0.4, 1.0) for at in range(20)]
    assert "same score" in found([same], drawn, 0)


def _file(folder: Path, **changed: object) -> Path:
    file = folder / "tuned.toml"
    file.write_text(settings(**changed).to_toml(), "utf-8")
    return file


def test_the_command_tells_what_was_found_and_where_the_page_lies(done, images, tmp_path):
    out = done.paths.html.parent  # where nothing is left to be trained
    words = ("tune", _file(tmp_path), "--data", images, "--out", out, "--trials", TRIALS)
    answer = microexpr(*words, "-q")
    assert answer.code == 0, answer.err
    assert "group-2" in answer.out
    assert "optimistic" in answer.out
    assert f"page: {out / 'tuning.html'}" in answer.out
    again = microexpr(*words, "--json")
    assert json.loads(again.out)["tuned"] == done.summary.tuned.model_dump(mode="json")
    assert again.err == ""


def test_errors_of_the_command_are_sentences(images, tmp_path, monkeypatch):
    file, out = _file(tmp_path, tuning__space={}), tmp_path / "out"
    answer = microexpr("tune", file, "--data", images, "--out", out)
    assert answer.code == 1
    assert answer.err.startswith("microexpr: E141: model 'pca_svm'")
    assert "[tuning.space]" in answer.err
    assert "Traceback" not in answer.err
    monkeypatch.setitem(sys.modules, "optuna", None)
    without = microexpr("tune", _file(tmp_path), "--data", images, "--out", out)
    assert (without.code, "pip install 'microexpr[tune]'" in without.err) == (1, True)
    assert microexpr("tune", file, "--data", images, "--out", out, "--trials", 0).code == 2


def test_command_and_call_try_as_often():
    offered = {inspect.signature(call).parameters["trials"].default for call in (tune, tune_experiment, command.tune)}
    assert offered == {USUAL}


def test_every_part_that_may_be_searched_is_a_part_of_experiments_and_the_papers_names_exist():
    from microexpr.runs.tuning.space import DEFAULT, PARTS

    assert set(PARTS) <= set(Experiment.model_fields)
    offered = {name for model in models.names() for name in models.parameters(model)}
    assert {*DEFAULT, "frozen_stages"} <= offered
    assert "subject_kfold" in protocols.names()
