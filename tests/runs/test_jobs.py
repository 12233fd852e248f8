"""Folds as jobs: several processes share a folder, a process may be killed, and a fresh one needs only the job."""

from __future__ import annotations

import io
import itertools
import json
import os
import pickle
import shutil
import signal
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from conftest import DRAWING, recipe, write_database
from microexpr import run_experiment, run_study
from microexpr.config.loading import parse
from microexpr.config.study import Study
from microexpr.core.errors import ConfigError, DataError, Fault
from microexpr.core.files import json_lines
from microexpr.core.interfaces import REGISTRIES
from microexpr.core.progress import Silent
from microexpr.data.cache import FrameStore
from microexpr.runs import jobs, study
from microexpr.runs.plan import Options, Workspace
from processes import LIMIT, ended, killed_at_last, start
from refusal import refuses

pytestmark = [pytest.mark.numeric, pytest.mark.usefixtures("one_thread", "one_thread_of_kernels", "no_figures")]

CLIPS = 9
FOLDS = 3


@pytest.fixture(scope="module")
def one_thread_of_kernels():
    """This process rounds as the others do."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_database(tmp_path_factory.mktemp("few"), subjects=FOLDS, clips=CLIPS // FOLDS)


def quick(**values):
    """An experiment with three folds that are trained in a moment."""
    return recipe().with_values({"model": "pca_svm", "training.epochs": 1, **values})


def open_folder(data: Path, out: Path, **options) -> Workspace:
    return Workspace(Options({"manifest": data}, out, **options))


def prepared(experiment, workspace):
    (plan,) = workspace.prepare([workspace.plan(experiment)])
    return plan


def launch_of(plans, workspace):
    """Return what `run_all` would run."""
    return jobs._launch(plans, workspace, None, {})


def elsewhere(launch):
    """Return a runner that knows no more than another process would."""
    return jobs.Runner(Workspace(launch.options, checked=launch.data), launch)


def without_apex(data: Path, root: Path, clip: str) -> Path:
    """A copy of the database in which a clip has no apex."""
    shutil.copytree(data, root)
    edit(root, f"{clip},1,4,7", f"{clip},1,/,7")
    return root


def edit(root: Path, old: str, new: str) -> None:
    table = (root / "manifest.csv").read_text()
    assert table.count(old) == 1
    (root / "manifest.csv").write_text(table.replace(old, new))


# --- results ----------------------------------------------------------------------------------------------------------
def tables(out: Path) -> dict[str, pd.DataFrame]:
    """Return the stored views of every fold, by experiment and fold."""
    files = sorted(out.glob("results/*/fold-*.views.parquet"))
    return {f"{file.parent.name}/{file.name}": pd.read_parquet(file) for file in files}


def same_bits(one: pd.DataFrame, two: pd.DataFrame) -> bool:
    """Whether two tables have the same rows, and the same bits as probabilities."""
    proba = [table.filter(regex=r"^p_\d+$").to_numpy() for table in (one, two)]
    assert proba[0].shape[1] == 3
    return one.equals(two) and proba[0].dtype == proba[1].dtype and proba[0].tobytes() == proba[1].tobytes()


def differing(one: Path, two: Path) -> list[str]:
    """Return the folds whose stored views differ between two folders, which must have the same folds."""
    first, second = tables(one), tables(two)
    assert first.keys() == second.keys()
    return [name for name in first if not same_bits(first[name], second[name])]


def leftovers(out: Path) -> list[str]:
    """Return files of a run that should be gone when it ends; locks of whole folders stay."""
    kinds = (".fold-*", ".*partial", ".*probe")
    return sorted(path.name for kind in kinds for path in out.rglob(kind))


def cached(out: Path, kind: str) -> dict[tuple[str, str, object], tuple[bytes, tuple[float, ...], str | None]]:
    """Return pixels, window and hash of every frame or view in the cache, each of which must be there once."""
    found = {}
    for folder in out.glob(f"cache/{kind}-*"):
        store = FrameStore(folder, hashed=kind == "frames")
        frames, lines = store.open(), list(json_lines(folder / "index.jsonl"))
        assert len(lines) == len(store.rows) == len(frames.pixels)
        for place, row in store.rows.items():
            pixels = frames.pixels[row].tobytes()
            found[folder.name, *place] = pixels, tuple(frames.window[row]), store.hashes.get(place)
    return found


# --- several processes in one folder ----------------------------------------------------------------------------------
SEVERAL = """
import json
import pickle
import sys
import time
from pathlib import Path

from microexpr import api
from microexpr.config.loading import parse
from microexpr.config.study import Study
from microexpr.data.cache import Cache
from microexpr.report import drawings
from microexpr.runs import experiment

number, several = map(int, sys.argv[1:3])
meeting, data, out = map(Path, sys.argv[3:6])


def meet(place):
    (meeting / f"{place}.{number}").touch()
    until = time.monotonic() + 120
    while len(list(meeting.glob(f"{place}.*"))) < several:
        assert time.monotonic() < until, f"no other process came to {place}"
        time.sleep(0.01)


def after_meeting(function, *places):
    left = list(places)

    def called(*words, **named):
        if left:
            meet(left.pop(0))
        return function(*words, **named)

    return called


# All of them see that the cache lacks frames, and then views, before one adds any; each trains a fold while the others
# are training one, and has a report to write when the others have.
Cache._appending = after_meeting(Cache._appending, "frames", "views")
experiment.run_fold = after_meeting(experiment.run_fold, "fold")
api.held = after_meeting(api.held, "report")
drawings.as_svg, drawings.as_pdf = lambda figure: sys.argv[6], lambda figure: b"%PDF"
study = parse(Study, json.loads((meeting / "study.json").read_text()), "shared")
meet("start")
finished = api.run_study(study, data, out, workers=1)
cells = (*finished.result.cells, *finished.result.baselines)
found = {
    "run": finished.run.model_dump(exclude_none=True),
    "predictions": [cell.result.predictions() for cell in cells],
    "report": finished.paths.html.is_file(),
    "summary": finished.summary.model_dump(),
}
(meeting / f"found.{number}").write_bytes(pickle.dumps(found))
"""
ALL = 5 * FOLDS
"""Folds of four cells and a baseline."""


def content() -> dict[str, object]:
    first = quick(sampling="onset_apex", representation="flow")
    return {
        "name": "shared",
        "title": "A study of several processes",
        "experiment": first.to_dict(),
        "grid": {"sampling": ["onset_apex", "apex_offset"], "model": ["pca_svm", "small_cnn"]},
        "baselines": ["majority"],
    }


def together(folder: Path, data: Path, several: int):
    """Run the study with several processes at once; return the folder and what each process found."""
    (folder / "study.json").write_text(json.dumps(content()))
    out = folder / "out"
    words = (several, folder, data, out, DRAWING)
    ended(*(start(folder, SEVERAL, number, *words) for number in range(several)))
    assert {place: len(list(folder.glob(f"{place}.*"))) for place in MEETINGS} == dict.fromkeys(MEETINGS, several)
    return out, [pickle.loads((folder / f"found.{number}").read_bytes()) for number in range(several)]


MEETINGS = ("start", "frames", "views", "fold", "report")


@pytest.fixture(scope="module")
def single(data, tmp_path_factory, one_thread, one_thread_of_kernels, no_figures):
    """The study, run by one process."""
    out = tmp_path_factory.mktemp("single")
    done = run_study(parse(Study, content(), "shared"), data, out, workers=1)
    assert (done.run.trained, done.run.reused, done.run.unknown) == (ALL, 0, [])
    cells = (*done.result.cells, *done.result.baselines)
    return out, {"summary": done.summary.model_dump(), "predictions": [cell.result.predictions() for cell in cells]}


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def shared(request, data, tmp_path_factory):
    """The study, run by several processes in one folder at the same time."""
    return together(tmp_path_factory.mktemp("shared"), data, request.param)


def test_processes_that_share_a_study_train_no_fold_twice(shared):
    _, found = shared
    assert sum(each["run"]["trained"] for each in found) == ALL
    assert all(each["run"]["trained"] >= 1 for each in found)
    assert all(each["run"]["trained"] + each["run"]["reused"] == ALL for each in found)


def test_processes_that_share_a_study_store_the_bits_of_a_single_one(shared, single):
    assert len(tables(single[0])) == ALL
    assert differing(shared[0], single[0]) == []


def test_each_process_that_shares_a_study_returns_and_reports_all_of_it(shared, single):
    apart = {"seconds": 0, "train_seconds": 0, "ms_a_clip": 0}
    for found in shared[1]:
        assert found["report"]
        pairs = zip(found["predictions"], single[1]["predictions"], strict=True)
        assert all(same_bits(mine, alone) for mine, alone in pairs)
        for mine, alone in zip(found["summary"]["cells"], single[1]["summary"]["cells"], strict=True):
            assert mine | apart == alone | apart


def test_processes_that_share_a_study_leave_nothing_behind(shared):
    assert leftovers(shared[0]) == []


def test_processes_that_prepare_at_the_same_time_cache_every_frame_and_view_once(shared, single):
    """Rows are in another order, but each row of an index has the pixels of its clip and frame."""
    for kind, count in (("frames", 3 * CLIPS), ("views", 2 * CLIPS)):
        alone = cached(single[0], kind)
        assert len(alone) == count
        assert cached(shared[0], kind) == alone


# --- a process that is killed -----------------------------------------------------------------------------------------
SLOW = """
import json
import sys
import time
from pathlib import Path

from microexpr.config.experiment import Experiment
from microexpr.config.loading import parse
from microexpr.runs import experiment, jobs
from microexpr.runs.plan import Options, Workspace

given, data, out, mark = map(Path, sys.argv[1:])


def train_for_ever(plan, fold, *rest):
    mark.write_text(fold.name)
    time.sleep(280)
    raise SystemExit("this process was not killed")


experiment.run_fold = train_for_ever
workspace = Workspace(Options({"manifest": data}, out))
plans = workspace.prepare([workspace.plan(parse(Experiment, json.loads(given.read_text()), "it"))])
jobs.run(*plans, workspace)
"""


class When(Silent):
    """Do something once, when a bar with this text opens."""

    def __init__(self, text, action):
        self.text, self.action, self.done = text, action, 0

    def start(self, text: str, total: int) -> None:
        if text == self.text:
            self.done += 1
            self.action()


WAITING = "folds of other processes"


def test_a_fold_of_a_killed_process_is_trained_by_the_one_that_waits_for_it(data, tmp_path):
    given, mark, out = tmp_path / "experiment.json", tmp_path / "training", tmp_path / "out"
    given.write_text(json.dumps(quick().to_dict()))
    process = start(tmp_path, SLOW, given, data, out, mark)
    with killed_at_last(process):
        until = time.monotonic() + LIMIT
        while not mark.exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.05)
        kill = threading.Timer(0.5, process.kill)
        workspace = open_folder(data, out)
        workspace.progress = When(WAITING, kill.start)
        plan = prepared(quick(), workspace)
        result = jobs.run(plan, workspace)
        assert workspace.progress.done == 1
        assert process.wait(10) == -signal.SIGKILL
    assert mark.read_text() in {fold.name for fold in result.folds}
    assert workspace.done.trained == {(plan.key, fold.name) for fold in plan.folds}
    assert leftovers(out) == []
    alone = open_folder(data, tmp_path / "alone")
    jobs.run(prepared(quick(), alone), alone)
    assert differing(out, tmp_path / "alone") == []


def test_a_fold_that_another_process_finishes_is_not_trained_again(data, tmp_path):
    """The other process is this one, which holds the lock of a fold until the run waits for it."""
    first, second = open_folder(data, tmp_path / "first"), open_folder(data, tmp_path / "second")
    jobs.run(prepared(quick(), first), first)
    plan = prepared(quick(), second)
    results, name = second.results(plan), plan.folds[1].name
    elsewhere = first.results(plan).folder
    with ExitStack() as other:
        assert other.enter_context(results.claimed(name))

        def finish() -> None:
            for file in elsewhere.glob(f"fold-{name}.*"):
                shutil.copy(file, results.folder)
            other.close()

        second.progress = When(WAITING, finish)
        jobs.run(plan, second)
        assert second.progress.done == 1
    assert second.done.trained == {(plan.key, fold.name) for fold in plan.folds if fold.name != name}
    assert (plan.key, name) in second.done.stored
    assert second.done.summary() == {"trained": FOLDS - 1, "reused": 1, "unknown": []}
    assert differing(tmp_path / "first", tmp_path / "second") == []
    assert leftovers(tmp_path) == []


# --- jobs are data ----------------------------------------------------------------------------------------------------
FRESH = """
import json
import pickle
import sys
from pathlib import Path

from microexpr.components.datasets.manifest import Manifest
from microexpr.config.experiment import Experiment
from microexpr.config.loading import parse
from microexpr.runs import jobs
from microexpr.runs.plan import Workspace

calls = {"draft": 0, "faults": 0, "fingerprint": 0}


def count(kind, name):
    real = getattr(kind, name)

    def counting(self, *words, **named):
        calls[name] += 1
        return real(self, *words, **named)

    setattr(kind, name, counting)


count(Workspace, "draft")
count(Manifest, "faults")
count(Manifest, "fingerprint")
launch = pickle.loads(Path(sys.argv[1]).read_bytes())
runner = jobs.Runner(Workspace(launch.options, checked=launch.data), launch)
states = [runner.run(job) for job in (*launch.jobs, launch.jobs[0])]
own = dict(calls)
Workspace(launch.options).plan(parse(Experiment, json.loads(launch.experiments[launch.jobs[0].key]), "it"))
print(json.dumps({"states": states, "own": own, "with a plan": calls}))
"""


def test_a_fresh_process_needs_only_the_jobs_and_stores_the_same_bits(data, tmp_path):
    """It plans once for all folds of an experiment, and checks no data; a fold that is locked elsewhere is left out."""
    experiment = quick(model="small_cnn", **{"training.epochs": 2})
    here, there = open_folder(data, tmp_path / "here"), open_folder(data, tmp_path / "there")
    jobs.run(prepared(experiment, here), here)
    plan = prepared(experiment, there)
    launch = launch_of([plan], there)
    assert [job.fold for job in launch.jobs] == [fold.name for fold in plan.folds]
    (tmp_path / "jobs").write_bytes(pickle.dumps(launch))
    with there.results(plan).claimed(launch.jobs[2].fold):
        (printed,) = ended(start(tmp_path, FRESH, tmp_path / "jobs"))
    found = json.loads(printed)
    assert found["states"] == ["trained", "trained", "busy", "stored"]
    assert found["own"] == {"draft": 1, "faults": 0, "fingerprint": 0}
    assert found["with a plan"] == {"draft": 2, "faults": 1, "fingerprint": 1}
    jobs.run(plan, there)
    assert there.done.trained == {(plan.key, launch.jobs[2].fold)}
    assert differing(tmp_path / "here", tmp_path / "there") == []


def test_jobs_are_plain_data(data, tmp_path):
    """The names in a pickle are those of its classes: none of a plan, a reader, a cache, torch or numpy."""
    workspace, named = open_folder(data, tmp_path, skip_invalid=True), set()

    class Names(pickle.Unpickler):
        def find_class(self, module, name):
            named.add(f"{module}.{name}")
            return super().find_class(module, name)

    plan = prepared(quick(), workspace)
    broken = Fault("E201", "here", "it is broken", "fix it", plan.data.clips[0].key)
    workspace._unfit[plan.data.name] = [broken]
    plans = workspace.settle([plan])
    launch = launch_of(plans, workspace)
    again = Names(io.BytesIO(pickle.dumps(launch))).load()
    assert again == launch
    assert again.data[plan.data.name].skipped == (broken,)
    kinds = {
        "config.component.Component", "core.errors.Fault", "runs.jobs.Job", "runs.jobs.Launch", "runs.plan.Checked",
        "runs.plan.Options",
    }  # fmt: skip
    assert {name for name in named if not name.startswith("pathlib.")} == {f"microexpr.{kind}" for kind in kinds}
    assert len(pickle.dumps(launch)) < 10_000


def test_a_job_keeps_the_key_of_an_experiment_that_was_written_in_python(data, tmp_path):
    """Tuples and paths become lists and texts in JSON."""
    workspace = open_folder(data, tmp_path)
    labels = {"happiness": "one", "surprise": "two", "disgust": "three"}
    sampling = {"name": "mfs", "onset": (), "apex": (-1, 0), "offset": ()}
    plan = prepared(quick(labels=labels, sampling=sampling), workspace)
    launch = launch_of([plan], workspace)
    assert elsewhere(launch).run(launch.jobs[0]) == "trained"
    assert list(tables(tmp_path)) == [f"{plan.key}/fold-{plan.folds[0].name}.views.parquet"]


@pytest.mark.parametrize("channels", [["r", "g", "b"], ("r", "g", "b")])
def test_a_job_leaves_out_the_clips_that_another_experiment_of_its_run_cannot_use(data, tmp_path, channels):
    """A dataset may have parameters that are tuples, if the experiment was written in Python."""
    root = without_apex(data, tmp_path / "data", "s0/c1")
    workspace = open_folder(root, tmp_path / "out", skip_invalid=True)
    named = {"datasets": {"name": "manifest", "channels": {"colour": channels}}}
    middle = {"sampling": {"name": "af", "missing_apex": "middle"}}
    plans = workspace.prepare(workspace.settle([workspace.draft(quick(**named, **more)) for more in (middle, {})]))
    launch = launch_of(plans, workspace)
    assert elsewhere(launch).run(launch.jobs[0]) == "trained"
    (table,) = tables(tmp_path / "out").values()
    assert len(set(table["clip"])) == CLIPS - 1


# --- several folds at once --------------------------------------------------------------------------------------------
OWN = """
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator

from microexpr.components.preprocessing.crop import Crop
from microexpr.core.errors import TrainingError
from microexpr.core.interfaces import detectors, models, preprocessors, samplers


@samplers.register("noted")
@dataclass(frozen=True)
class Noted:
    folder: str
    parent: int
    step: int = 0

    nominal = 1
    uses_annotations = True

    def __call__(self, clip):
        if os.getpid() != self.parent:  # until two processes are at work
            Path(self.folder, str(os.getpid())).touch()
            until = time.monotonic() + 120
            while len(list(Path(self.folder).iterdir())) < 2:
                assert time.monotonic() < until, "one process does everything"
                time.sleep(0.01)
        return [(clip.apex + self.step,)]


class Unfit(BaseEstimator):
    def fit(self, X, y):
        raise TrainingError("E702", "it learns nothing")


@models.register("broken")
@dataclass(frozen=True)
class Broken:
    trains_in_epochs = False
    label = mixing = "broken"

    def check(self, view):
        return {"weights": "none"}

    def __call__(self, view, num_classes, aux):
        return Unfit()


@detectors.register("whole")
class Whole:
    def __call__(self, frame):
        return np.array([[2.0, 2.0, 42.0, 42.0]])


@preprocessors.register("cut")
@dataclass(frozen=True)
class Cut:
    detector: str = "whole"

    requires_uncropped = False

    def __call__(self, frames, numbers):
        return Crop(crop="face", size=32, detector=self.detector)(frames, numbers)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module that registers components, which are gone after the test."""
    before = {folder: set(registry.names()) for folder, registry in REGISTRIES.items()}
    (tmp_path / "own_components.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    __import__("own_components")
    yield
    del sys.modules["own_components"]
    for folder, registry in REGISTRIES.items():
        for name in set(registry.names()) - before[folder]:
            for known in (registry._factories, registry._revisions, registry._sources, registry._outside):
                known.pop(name, None)


def test_a_job_of_another_experiment_is_refused(data, tmp_path):
    """Such as that of a machine with other weights or code."""
    workspace = open_folder(data, tmp_path)
    plan = workspace.plan(recipe().with_values({"model": "majority"}))
    job = jobs.Job("another key", plan.folds[0].name)
    launch = jobs.Launch(workspace.options, {}, {job.key: json.dumps(plan.experiment.to_dict())}, (job,))
    with refuses("E611", plan.folds[0].name):
        elsewhere(launch).run(job)


@pytest.mark.usefixtures("own")
def test_with_two_jobs_two_processes_train_the_cells_of_a_study(data, tmp_path):
    """Every cell has one fold. What cannot be trained is reported once, and the others are trained."""
    at_work = tmp_path / "at work"
    at_work.mkdir()
    noted = {"name": "noted", "folder": str(at_work), "parent": os.getpid()}
    holdout = {
        "name": "paper_holdout",
        "validation": 0.0,
        "test_clips": [f"own/s{n}/c{n}/1-7" for n in range(3)],
    }
    content = {
        "name": "two",
        "title": "Two folds at once",
        "experiment": quick(sampling=noted, protocol=holdout).to_dict(),
        "grid": {"sampling": [noted, noted | {"step": 1}], "model": ["pca_svm", "broken"]},
        "named_cell": {"set": {"protocol": "loso", "model": "broken"}, "shuffled_runs": 0},
        "latency": False,
    }
    done = run_study(parse(Study, content, "two"), data, tmp_path / "two", workers=1, jobs=2)
    assert len(list(at_work.iterdir())) == 2
    assert done.run.trained == 2
    assert [len(cell.result.folds) for cell in done.result.cells] == [1, 1]
    assert {cell.result.folds[0].metadata["mode"] for cell in done.result.cells} == {"2 folds at once"}
    names, reasons = zip(*done.result.failed, strict=True)
    assert len(set(names)) == len(names) == 3
    assert set(reasons) == {"it learns nothing"}
    assert done.result.named is None
    plan = done.result.cells[0].plan
    alone = open_folder(data, tmp_path / "alone")
    jobs.run(prepared(plan.experiment, alone), alone)
    name = f"{plan.key}/fold-{plan.folds[0].name}.views.parquet"
    assert same_bits(tables(tmp_path / "two")[name], tables(tmp_path / "alone")[name])


@pytest.mark.usefixtures("own")
def test_a_job_names_the_components_from_outside_that_defaults_use(data, tmp_path):
    workspace = open_folder(data, tmp_path)
    plan = prepared(quick(preprocessing="cut"), workspace)
    assert plan.experiment.preprocessing.params == {}
    assert {plugin.name for plugin in launch_of([plan], workspace).plugins} == {"cut", "whole"}


# --- plans do not change ----------------------------------------------------------------------------------------------
def test_leaving_clips_out_makes_new_data(data, tmp_path):
    before = open_folder(data, tmp_path).plan(quick()).data
    clips, table = before.clips, before.table.copy()
    fault = Fault("E201", "here", "it is broken", "fix it", clips[2].key)
    after = before.without([fault])
    assert (before.clips, before.skipped) == (clips, ())
    assert before.table.equals(table)
    assert after.clips == (*clips[:2], *clips[3:])
    assert after.skipped == (fault,)
    assert list(after.table["key"]) == [clip.key for clip in after.clips]
    assert after.without([fault]).clips == after.clips


WINDOWS = [
    {"name": "af"},  # not the clip without an apex
    {"name": "mfs", "onset": [], "apex": [3], "offset": [], "missing_apex": "middle"},  # not the clip that ends early
    {"name": "uniform", "count": 2},
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_plans_of_one_run_have_the_same_clips_in_whatever_order_they_are_made(data, tmp_path, order):
    root = without_apex(data, tmp_path / "data", "s0/c1")
    edit(root, "s2/c0,1,4,7", "s2/c0,1,4,6")
    workspace = open_folder(root, tmp_path / "out", skip_invalid=True)
    drafts = [workspace.draft(quick(sampling=WINDOWS[number])) for number in order]
    plans = workspace.settle(drafts)
    left_out = {"own/s0/c1/1-7", "own/s2/c0/1-6"}
    keys = [[clip.key for clip in plan.data.clips] for plan in plans]
    assert keys[0] == keys[1] == keys[2] == [clip.key for clip in drafts[0].data.clips if clip.key not in left_out]
    assert len(keys[0]) == CLIPS - 2
    assert {fault.clip for fault in plans[0].data.skipped} == left_out
    assert all(plan.data is plans[0].data for plan in plans)
    for plan, draft in zip(plans, drafts, strict=True):
        assert (len(draft.data.clips), draft.data.skipped) == (CLIPS, ())
        assert plan.experiment == draft.experiment
        assert sorted(row for fold in plan.folds for row in fold.test) == list(range(CLIPS - 2))
    with refuses("E468", "2 faults", *left_out, kind=DataError):
        strict = open_folder(root, tmp_path / "strict")
        strict.settle([strict.draft(quick(sampling=WINDOWS[number])) for number in order])


def test_a_plan_that_is_refused_has_no_effect_on_the_next(data, tmp_path):
    workspace = open_folder(without_apex(data, tmp_path / "data", "s0/c1"), tmp_path / "out")
    with refuses("E468", "own/s0/c1", kind=DataError):
        workspace.plan(quick())
    middle = {"name": "af", "missing_apex": "middle"}
    assert len(workspace.plan(quick(sampling=middle)).data.clips) == CLIPS


def test_clips_whose_frames_turn_out_to_be_broken_are_in_no_plan_that_goes_on(data, tmp_path):
    """A frame is lost after the plans were made. All plans lose its clip, whether they need the frame or not."""
    root = Path(shutil.copytree(data, tmp_path / "data"))
    workspaces = [open_folder(root, tmp_path / str(skip), skip_invalid=skip) for skip in (True, False)]
    samplings = [WINDOWS[0], {"name": "mfs", "onset": [0], "apex": [], "offset": []}]
    begun = [[each.draft(quick(sampling=sampling)) for sampling in samplings] for each in workspaces]
    planned = [workspace.settle(drafts) for workspace, drafts in zip(workspaces, begun, strict=True)]
    (root / "s1" / "c2" / "4.png").unlink()
    ready = workspaces[0].prepare(planned[0])
    assert [len(plan.data.clips) for plan in planned[0]] == [CLIPS, CLIPS]
    for plan in ready:
        assert [fault.clip for fault in plan.data.skipped] == ["own/s1/c2/1-7"]
        assert [clip.key for clip in plan.data.clips] == [
            clip.key for clip in planned[0][0].data.clips if clip.key != "own/s1/c2/1-7"
        ]
        assert len(jobs.run(plan, workspaces[0]).predictions()) == CLIPS - 1
    with refuses("E468", "own/s1/c2", kind=DataError):
        workspaces[1].prepare(planned[1])


# --- the folder of a refused run --------------------------------------------------------------------------------------
def test_a_run_is_refused_with_its_reason_though_another_process_removed_the_folder(data, tmp_path, monkeypatch):
    """Two processes that are refused for the same reason both remove the empty folder."""
    out = tmp_path / "out"

    def refused(*_):
        shutil.rmtree(out)
        raise ConfigError("E123", "the reason")

    monkeypatch.setattr(study, "run", refused)
    with refuses("E123", "the reason"):
        run_experiment(quick(), data, out)
