"""A study while it runs and when parts of it fail: its status, failed folds, processes that die or hang, collection."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from conftest import recipe, write_database
from microexpr import api, run_study
from microexpr.config.loading import parse
from microexpr.config.study import Study
from microexpr.core import claims
from microexpr.core.claims import claimed
from microexpr.core.errors import LauncherError, StoreError, TrainingError
from microexpr.core.parallel import begin_run
from microexpr.runs import experiment as experiments
from microexpr.runs import jobs
from microexpr.runs.plan import Options, Workspace
from microexpr.runs.store import Results
from refusal import refuses

pytestmark = pytest.mark.usefixtures("one_thread", "no_figures")
FOLDS = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_database(tmp_path_factory.mktemp("few"), subjects=FOLDS, clips=3)


def study(**values) -> Study:
    content = {
        "name": "grid",
        "title": "A grid",
        "experiment": recipe().with_values({"model": "pca_svm", **values}).to_dict(),
        "grid": {"sampling": ["af", "onset_apex"]},
        "latency": False,
    }
    return parse(Study, content, "grid")


def broken(monkeypatch, error: BaseException, fold: str = "own-s1") -> None:
    """Let one fold of every experiment fail."""
    real = experiments.run_fold

    def failing(plan, fold_, *rest):
        if fold_.name == fold:
            raise error
        return real(plan, fold_, *rest)

    monkeypatch.setattr(experiments, "run_fold", failing)


# --- failed folds -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (TrainingError("E703", "the loss is not finite"), "E703", "the loss is not finite"),
        (ValueError("a component\nis wrong"), "E754", "ValueError: a component is wrong"),
        (MemoryError(), "E754", "MemoryError: "),
    ],
)
def test_a_failed_fold_stops_nothing_and_is_tried_again_on_request(data, tmp_path, monkeypatch, error, code, reason):
    with monkeypatch.context() as patch:
        broken(patch, error)
        with refuses("E720", reason.strip(), "--retry-failed", kind=TrainingError):
            run_study(study(), data, tmp_path / "out", workers=1)
    found = api.study_status(tmp_path / "out")
    assert (found.total, found.done, found.waiting, found.running) == (2 * FOLDS, 2 * (FOLDS - 1), 0, ())
    assert {(each.fold, each.code) for each in found.failed} == {("own-s1", code)}
    assert all(each.last_lines for each in found.failed)
    with refuses("E720", kind=TrainingError):  # and trains nothing
        run_study(study(), data, tmp_path / "out", workers=1)
    done = run_study(study(), data, tmp_path / "out", workers=1, retry_failed=True)
    assert (done.run.trained, done.run.reused) == (2, 4)
    assert api.study_status(tmp_path / "out").failed == ()


def test_a_full_disk_is_no_failure_of_a_fold(data, tmp_path, monkeypatch):
    broken(monkeypatch, OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        run_study(study(), data, tmp_path / "out", workers=1)
    assert api.study_status(tmp_path / "out").failed == ()


# --- status and collection --------------------------------------------------------------------------------------------
def test_the_status_of_a_finished_study(data, tmp_path):
    run_study(study(), data, tmp_path / "out", workers=1)
    found = api.study_status(tmp_path / "out")
    assert (found.title, found.launcher, found.total, found.done, found.waiting) == ("A grid", "local", 6, 6, 0)
    assert found.a_minute > 0
    assert found.seconds_left == 0
    assert found.slowest.seconds > 0


def test_the_status_names_the_folds_that_are_being_trained(data, tmp_path):
    run_study(study(), data, tmp_path / "out", workers=1)
    key = api.list_store(tmp_path / "out")[0].key
    results = Results(tmp_path / "out" / "results", key)
    for file in results.folder.glob("fold-own-s2.*"):
        file.unlink()
    with results.claimed("own-s2"):
        found = api.study_status(tmp_path / "out")
        assert (found.done, found.waiting) == (5, 0)
        (running,) = found.running
        assert (running.fold, running.pid) == ("own-s2", os.getpid())
        with refuses("E614", "1 of 6", kind=StoreError):
            api.collect_study(tmp_path / "out")
    assert api.study_status(tmp_path / "out").waiting == 1


def test_collecting_writes_the_report_from_the_folder_alone(data, tmp_path):
    out = tmp_path / "out"
    done = run_study(study(), data, out, workers=1)
    for file in ("report.html", "summary.json", ".finished.json"):
        (out / file).unlink()
    found = api.collect_study(out)
    assert found.run.trained == 0
    assert found.summary.cells == done.summary.cells
    assert (out / "report.html").is_file()


def test_a_folder_without_study_is_told(tmp_path):
    with refuses("E613", tmp_path, kind=StoreError):
        api.study_status(tmp_path)


def test_processes_of_this_machine_cannot_be_left_alone(data, tmp_path):
    with refuses("E751", "--detach", "slurm", kind=LauncherError):
        api.submit_study(study(), data, tmp_path / "out", workers=1, jobs=2)


# --- workers that die or hang -----------------------------------------------------------------------------------------
OWN = """
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from sklearn.dummy import DummyClassifier

from microexpr.core import claims
from microexpr.core.interfaces import models

claims.LAPSE, claims.BEAT = 2.0, 0.2


class Moody(DummyClassifier):
    def fit(self, X, y):
        if os.getpid() != {parent}:
            self.act()
        return super().fit(X, y)


class Dying(Moody):
    def act(self):
        os.kill(os.getpid(), signal.SIGKILL)


class Stopped(Moody):
    def act(self):
        try:
            Path({once!r}).touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGSTOP)


class Hanging(Moody):
    def act(self):
        time.sleep(600)


@models.register("moody")
@dataclass(frozen=True)
class MoodyModel:
    kind: str = "Dying"

    trains_in_epochs = False
    label = mixing = "moody"

    def check(self, view):
        return {{"weights": "none"}}

    def __call__(self, view, num_classes, aux):
        return globals()[self.kind](strategy="prior")
"""


@pytest.fixture
def moody(tmp_path, monkeypatch):
    """A model whose training kills, stops or blocks a worker."""
    import sys

    from microexpr.core.interfaces import models

    (tmp_path / "moody_models.py").write_text(OWN.format(parent=os.getpid(), once=str(tmp_path / "once")))
    monkeypatch.syspath_prepend(tmp_path)
    __import__("moody_models")
    begin_run()  # ends processes that know another version
    yield
    del sys.modules["moody_models"]
    for known in (models._factories, models._revisions, models._sources, models._outside, models._registering):
        known.pop("moody", None)


def run_moody(data: Path, out: Path, kind: str, **options):
    workspace = Workspace(Options({"manifest": data}, out, jobs=2, **options))
    (plan,) = workspace.prepare([workspace.plan(recipe().with_values({"model": {"name": "moody", "kind": kind}}))])
    return plan, workspace, jobs.run_all([plan], workspace)


@pytest.mark.cluster
@pytest.mark.usefixtures("moody")
def test_a_fold_that_kills_every_worker_is_given_up_after_three(data, tmp_path):
    _, _, failed = run_moody(data, tmp_path / "out", "Dying")
    (error,) = failed.values()
    assert error.code == "E753"
    assert re.search("3 processes ended", str(error))


@pytest.mark.cluster
@pytest.mark.usefixtures("moody")
def test_a_worker_that_is_stopped_is_replaced(data, tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "LAPSE", 2.0)
    monkeypatch.setattr(jobs, "STALL", 2.0)
    plan, workspace, failed = run_moody(data, tmp_path / "out", "Stopped")
    assert failed == {}
    assert len(workspace.done.trained) == len(plan.folds)


@pytest.mark.cluster
@pytest.mark.usefixtures("moody")
def test_a_fold_that_takes_too_long_is_given_up(data, tmp_path):
    start = time.monotonic()
    plan, workspace, failed = run_moody(data, tmp_path / "out", "Hanging", fold_minutes=0.05)
    (error,) = failed.values()
    assert error.code == "E757"
    assert "--fold-minutes 0.05" in str(error)
    assert time.monotonic() - start < 120
    assert len(workspace.results(plan).failures([fold.name for fold in plan.folds])) == FOLDS


def test_a_hanging_process_of_another_run_is_waited_for(data, tmp_path):
    """It may be slow; its claim says that it lives."""
    out = tmp_path / "out"
    workspace = Workspace(Options({"manifest": data}, out))
    (plan,) = workspace.prepare([workspace.plan(recipe().with_values({"model": "majority"}))])
    results = workspace.results(plan)
    results.folder.mkdir(parents=True)
    with claimed(results.folder / ".fold-own-s0.claim", wait=False):
        launch = jobs._launch([plan], workspace, None, {})
        assert [jobs.Runner(workspace, launch, [plan]).run(job) for job in launch.jobs] == [
            "busy",
            "trained",
            "trained",
        ]


def test_what_is_planned_is_plain_json(data, tmp_path):
    run_study(study(), data, tmp_path / "out", workers=1)
    content = json.loads((tmp_path / "out" / "study.json").read_text())
    assert content["data"] == {"manifest": str(data)}
    assert [len(each["folds"]) for each in content["experiments"]] == [FOLDS, FOLDS]
