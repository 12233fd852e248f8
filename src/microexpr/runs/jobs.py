"""Folds as jobs: plain data that any process can run. Many processes may share one folder of results.

A fold is claimed while it is trained and stored when it is done, so processes that are started for the same study
divide its folds among themselves, and a killed process leaves nothing behind but a fold that the next one trains.
Launchers start workers; what is done, and what failed, is read from the store.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import torch

from microexpr.config.experiment import Experiment
from microexpr.config.loading import parse
from microexpr.core.claims import held
from microexpr.core.errors import LauncherError, MicroexprError, StoreError, TimeIsUp, TrainingError
from microexpr.core.files import digest, make_folder
from microexpr.core.folds import stored
from microexpr.core.interfaces import REGISTRIES, Work
from microexpr.core.plugins import Plugin
from microexpr.core.progress import track
from microexpr.core.words import many
from microexpr.data.cache import Views
from microexpr.learning.pipeline import check_storable
from microexpr.runs import experiment as experiments
from microexpr.runs.experiment import Result
from microexpr.runs.plan import LOCAL, Checked, Options, Plan, Workspace
from microexpr.runs.store import Failure, Results

State = Literal["trained", "stored", "busy", "failed"]
ATTEMPTS = 3
"""Processes that may end while they train one fold."""
ROUNDS = ATTEMPTS + 2
"""How often workers are started without any result."""
STALL = 60.0
"""Seconds for which no worker of this machine trains a fold before all are replaced: one may have been stopped."""
OTHERS = "folds of other processes"
"""Text of the bar while other processes train the last folds."""
PAUSE = 0.5
"""Seconds between two looks at a fold that another process is training."""
GRACE = 10.0
"""Seconds in which workers must end when no fold is left."""
LINES = 10
"""Of a log in a message."""
SHARE = 0.1
"""Of the time, at most, goes into looking at the store while workers run."""


@dataclass(frozen=True)
class Job:
    """One fold of one experiment."""

    key: str
    """Of the experiment."""
    fold: str
    keep_weights: bool = False


@dataclass(frozen=True)
class Launch:
    """The folds that a run has to train, and all that a process must know to train them."""

    options: Options
    data: Mapping[str, Checked]
    """By name; they were checked, so that workers do not check them again."""
    experiments: Mapping[str, str]
    """Key -> the experiment as JSON."""
    jobs: tuple[Job, ...]
    plugins: tuple[Plugin, ...] = ()
    """Components from outside the package that the experiments use."""
    threads: int | None = None
    """Of each process; None: as the process was started."""
    mode: str = "fold by fold"
    """How folds are run, which is stored with their durations."""
    run: str = field(default_factory=lambda: uuid4().hex)
    """Identifies the run; a process plans each experiment once per run."""


class Runner:
    """Runs jobs in this process; every experiment is planned once."""

    def __init__(self, workspace: Workspace, launch: Launch, plans: Sequence[Plan] = (), *, ends: bool = False) -> None:
        self.workspace, self.launch = workspace, launch
        self.ends = ends
        """Whether this process may end itself: it is a worker, which a launcher can replace."""
        self._plans = {plan.key: plan for plan in plans}
        self._begun: set[str] = set()
        self._views: tuple[str, Views] | None = None
        self.trained = 0

    def run(self, job: Job) -> State:
        """Run a job unless its fold is stored, has failed, or another process is training it.

        A fold that cannot be trained is stored as a failure. Raises errors that concern more than this fold.
        """
        results = _results(self.workspace.options, job.key)
        with results.claimed(job.fold, self.launch.run) as mine:
            if not results.missing([job.fold], weights=job.keep_weights):
                return "stored"
            if mine is None:
                return "busy"
            if results.failures([job.fold]):
                return "failed"
            failure: Failure | None
            if mine.attempt > ATTEMPTS:
                ended = f"{ATTEMPTS} processes ended while they trained it, without an error: did memory run out?"
                failure = Failure("E753", ended)
            else:
                with self._limited(job, results):
                    failure = self._train(job, results)
            if failure is not None:
                results.fail(job.fold, failure)
                return "failed"
        return "trained"

    def _train(self, job: Job, results: Results) -> Failure | None:
        """Train a fold and store it; return why it cannot be trained."""
        plan = self._plan(job)
        if plan.key not in self._begun:
            _begin(plan, results)
            self._begun.add(plan.key)
        fold = next(fold for fold in plan.folds if fold.name == job.fold)
        weights = results.weights(job.fold) if job.keep_weights else None
        try:
            done = experiments.run_fold(plan, fold, self._views_of(plan), self.workspace.progress, weights)
        except TrainingError as error:
            return Failure(error.code, str(error), traceback.format_exc())
        except TimeIsUp:
            if not self.trained:  # this fold alone takes longer than a worker has
                results.fail(job.fold, Failure("E755", "its training does not end within the time limit of a worker."))
            raise
        except (MicroexprError, OSError):
            raise
        except Exception as error:  # of a component, of a library, or for lack of memory: other folds go on
            return Failure("E754", " ".join(f"{type(error).__name__}: {error}".split()), traceback.format_exc())
        of_run = {"mode": self.launch.mode, "run": self.launch.run}
        results.write(replace(done, metadata={**done.metadata, **of_run}))
        self.trained += 1
        return None

    @contextmanager
    def _limited(self, job: Job, results: Results) -> Iterator[None]:
        """End this process if the block takes longer than a fold may, and store that as the fold's failure."""
        minutes = self.workspace.options.fold_minutes
        if not (minutes and self.ends):
            yield
            return

        def end() -> None:
            results.fail(job.fold, Failure("E757", f"its training took longer than --fold-minutes {minutes:g}."))
            os._exit(1)

        timer = threading.Timer(60 * minutes, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _plan(self, job: Job) -> Plan:
        if job.key not in self._plans:
            experiment = parse(Experiment, json.loads(self.launch.experiments[job.key]), f"the job {job.fold}")
            (plan,) = self.workspace.settle([self.workspace.draft(experiment)])
            if plan.key != job.key or job.fold not in {fold.name for fold in plan.folds}:
                raise StoreError(
                    "E611",
                    f"fold {job.fold} is another experiment in this process than in the one that planned it: starting "
                    "weights, data or code differ. Give all processes the same, and start again.",
                )
            self._plans[job.key] = plan
        return self._plans[job.key]

    def _views_of(self, plan: Plan) -> Views:
        """Return the views of a plan; those of the last plan are kept, since its folds mostly follow one another."""
        if self._views is None or self._views[0] != plan.key:
            self._views = (plan.key, plan.embedded())
        return self._views[1]


# --- workers ----------------------------------------------------------------------------------------------------------
def work(launch: Launch, workers: int, number: int) -> None:
    """Run what is left of a launch as one of its workers, in a process that knows nothing of it.

    A worker begins with its own share of the folds and then helps the others, from the ends of their shares. It ends
    when no fold is left that no other process is training.
    """
    for plugin in launch.plugins:
        REGISTRIES[plugin.folder].load(plugin)
    if launch.threads is not None:
        torch.set_num_threads(launch.threads)
    if torch.cuda.device_count() > 1:
        torch.cuda.set_device(number % torch.cuda.device_count())
    runner = _runner(launch)
    for job in _in_turn(launch.jobs, workers, number):
        runner.run(job)


def _in_turn(jobs: Sequence[Job], workers: int, number: int) -> Iterator[Job]:
    """Yield the jobs in the order in which this worker looks at them."""
    bounds = [len(jobs) * each // workers for each in range(workers + 1)]
    yield from jobs[bounds[number] : bounds[number + 1]]
    for other in (*range(number + 1, workers), *range(number)):
        yield from reversed(jobs[bounds[other] : bounds[other + 1]])


_runners: dict[str, Runner] = {}
"""The runner of this process, by run; a process keeps the plans of one run only."""


def _runner(launch: Launch) -> Runner:
    if launch.run not in _runners:
        _runners.clear()
        _runners[launch.run] = Runner(Workspace(launch.options, checked=launch.data), launch, ends=True)
    return _runners[launch.run]


# --- the process that plans -------------------------------------------------------------------------------------------
def run(plan: Plan, workspace: Workspace, only: Collection[str] | None = None, keep: Collection[str] = ()) -> Result:
    """Train the missing folds of one experiment and return all of them, or only those named in `only`.

    The weights of the folds in `keep` are stored whatever the options say. Raises TrainingError or StoreError.
    """
    failed = run_all([plan], workspace, only=only, keep={plan.key: keep})
    if failed:
        raise failed[plan.key]
    return collect(plan, workspace, only)


def run_all(
    plans: Sequence[Plan],
    workspace: Workspace,
    *,
    only: Collection[str] | None = None,
    keep: Mapping[str, Collection[str]] | None = None,
) -> dict[str, TrainingError]:
    """Train the missing folds of several experiments; return the first error of each that cannot be trained, by key.

    `keep` gives, by key, folds whose weights are stored whatever the options say. Folds that other processes are
    training come last; if such a process ends without a result, they are trained here. Raises StoreError if the folder
    holds results of other data, and LauncherError if workers cannot be started or end without results.
    """
    launch = _launch(plans, workspace, only, keep or {})
    if len(launch.jobs) > (workspace.options.launcher == LOCAL) and workspace.options.in_processes:
        _run_in_workers(launch, workspace)
    elif launch.jobs:
        _run_here(launch, plans, workspace)
    failed = {}
    for plan in plans:
        names = _names(plan, only)
        if failures := workspace.results(plan).failures(names):
            first = next(iter(failures.values()))
            several = f" ({len(failures)} of {len(names)} folds)" if len(failures) < len(names) else ""
            failed[plan.key] = TrainingError(first.code, first.reason + several)
    return failed


def submit(
    plans: Sequence[Plan], workspace: Workspace, keep: Mapping[str, Collection[str]] | None = None
) -> tuple[str, int]:
    """Start workers for the missing folds without waiting; return what they can be found by, and how many folds.

    Nothing is started where no fold is missing. Raises LauncherError if such workers end with this process.
    """
    launch = _launch(plans, workspace, None, keep or {})
    if not launch.jobs:
        return "", 0
    workers = min(workspace.options.jobs, len(launch.jobs))
    return workspace.options.built_launcher.submit(_work(launch, launch.jobs, workers)), len(launch.jobs)


def _work(launch: Launch, jobs: Sequence[Job], workers: int) -> Work:
    """Return these jobs of a launch as work for so many workers."""
    given = replace(launch, options=launch.options.absolute(), jobs=tuple(jobs))
    folder = given.options.out / "launches" / launch.run
    return Work(partial(work, given, workers), workers, folder, launch.run[:8])


def _launch(
    plans: Sequence[Plan], workspace: Workspace, only: Collection[str] | None, keep: Mapping[str, Collection[str]]
) -> Launch:
    options, data = workspace.options, {plan.data.name: plan.data for plan in plans}
    jobs = [job for plan in plans for job in _missing(plan, workspace, only, keep.get(plan.key, ()))]
    found = Launch(
        options=options,
        data={name: Checked(each.cache.fingerprint, each.skipped) for name, each in data.items()},
        experiments={plan.key: json.dumps(plan.experiment.to_dict()) for plan in plans},
        jobs=tuple(dict.fromkeys(jobs)),
        plugins=_plugins(plans),
    )
    if not options.in_processes:
        return found
    cores = options.built_launcher.cores
    threads = max(1, torch.get_num_threads() // options.jobs) if cores is None else cores
    return replace(found, threads=threads, mode=f"{many(options.jobs, 'fold')} at once")


def _missing(plan: Plan, workspace: Workspace, only: Collection[str] | None, keep: Collection[str]) -> list[Job]:
    """Return a job for every fold whose results, or weights if they are to be kept, are not stored.

    Folds that failed before are left out, unless they are to be tried again.
    """
    results = workspace.results(plan)
    results.check(_metadata(plan), FIXED)
    names = _names(plan, only)
    with_weights = {name for name in names if workspace.options.keep_weights or name in keep}
    missing = {
        *results.missing([name for name in names if name not in with_weights]),
        *results.missing(sorted(with_weights), weights=True),
    }
    if with_weights:
        check_storable(plan.experiment)
    workspace.done.stored |= {(plan.key, name) for name in names if name not in missing}
    failed = results.failures([name for name in names if name in missing])
    if workspace.options.retry_failed:
        for name in failed:
            results.forget_failure(name)
        failed = {}
    return [Job(plan.key, name, name in with_weights) for name in names if name in missing and name not in failed]


def _names(plan: Plan, only: Collection[str] | None) -> list[str]:
    return [fold.name for fold in plan.folds if only is None or fold.name in only]


def _plugins(plans: Sequence[Plan]) -> tuple[Plugin, ...]:
    """Return the components from outside the package that experiments use, those of defaults included."""
    used = {
        text
        for plan in plans
        for content in (plan.experiment.to_dict(), plan.experiment.canonical())
        for text in _texts(content)
    }
    return tuple(each for registry in REGISTRIES.values() for each in registry.plugins() if each.name in used)


def _texts(content: object) -> Iterator[str]:
    """Yield every text in nested content."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping | list | tuple):
        for item in content.values() if isinstance(content, Mapping) else content:
            yield from _texts(item)


def _run_here(launch: Launch, plans: Sequence[Plan], workspace: Workspace) -> None:
    """Run the jobs in this process, and wait for those that other processes run."""
    runner = Runner(workspace, launch, plans)

    def run(job: Job) -> State:
        state = runner.run(job)
        done = {"trained": workspace.done.trained, "stored": workspace.done.stored}
        if state in done:
            done[state].add((job.key, job.fold))
        return state

    def wait(job: Job) -> None:
        while run(job) == "busy":
            time.sleep(PAUSE)

    # Folds are trained inside the bars, which an interruption then closes.
    states = track(map(run, launch.jobs), len(launch.jobs), "folds", workspace.progress)
    busy = [job for job, state in zip(launch.jobs, states, strict=True) if state == "busy"]
    if busy:
        deque(track(map(wait, busy), len(busy), OTHERS, workspace.progress), maxlen=0)


def _run_in_workers(launch: Launch, workspace: Workspace) -> None:
    """Start workers until every fold is stored or has failed, and wait for folds that other processes train."""
    options, bar = workspace.options, workspace.progress
    left, rounds = _Left(launch, workspace), 0
    bar.start("folds", len(launch.jobs))
    try:
        while left.jobs:
            before = len(left.jobs)
            work = _work(launch, left.jobs, min(options.jobs, before))
            done_since = None
            with closing(options.built_launcher.run(work)) as running:
                for _ in running:
                    left.look()
                    if not left.jobs:  # a worker that hangs does not end by itself
                        done_since = done_since or time.monotonic()
                        if time.monotonic() - done_since > GRACE:
                            break
                    elif options.launcher == LOCAL and left.stalled():
                        break
            left.look(at_once=True)
            while left.busy():
                time.sleep(PAUSE)
                left.look()
            rounds = 0 if len(left.jobs) < before else rounds + 1
            if rounds == ROUNDS:
                raise LauncherError(
                    "E752",
                    f"{many(before, 'fold')} have no result: workers were started {ROUNDS} times and ended without "
                    f"one. The end of the last log:\n{_last_lines(work.folder)}",
                )
    finally:
        bar.stop()


def _last_lines(folder: Path) -> str:
    """Return the last lines of the latest log in a folder."""
    logs = sorted((file for file in folder.rglob("*.out")), key=lambda file: file.stat().st_mtime)
    if not logs:
        return "  (there is none)"
    lines = logs[-1].read_text("utf-8", errors="replace").splitlines()[-LINES:]
    return "\n".join([f"  {logs[-1]}", *(f"  {line}" for line in lines)])


class _Left:
    """The jobs of a launch that are neither stored nor failed."""

    def __init__(self, launch: Launch, workspace: Workspace) -> None:
        self.jobs = list(launch.jobs)
        self._launch, self._workspace = launch, workspace
        self._looked, self._took = 0.0, 0.0
        self._checked, self._busy = 0.0, math.inf
        """When claims were last looked at, and when there was one; the first of a round is waited for."""

    def look(self, *, at_once: bool = False) -> None:
        """Look at the store, unless looking takes so long that it was looked at just now."""
        start = time.monotonic()
        if not at_once and SHARE * (start - self._looked) < self._took:
            return
        by_key: dict[str, list[Job]] = {}
        for job in self.jobs:
            by_key.setdefault(job.key, []).append(job)
        ended = {job for key, jobs in by_key.items() for job in self._ended(key, jobs)}
        self.jobs = [job for job in self.jobs if job not in ended]
        for _ in ended:
            self._workspace.progress.step()
        self._looked = time.monotonic()
        self._took = self._looked - start

    def stalled(self) -> bool:
        """Whether folds were trained, but none has been for a while."""
        now = time.monotonic()
        if now - self._checked > PAUSE:
            self._checked = now
            if self.busy():
                self._busy = now
        if now - self._busy <= STALL:
            return False
        self._busy = math.inf
        return True

    def busy(self) -> bool:
        """Whether a process, of this run or another, is training what is left."""
        by_key: dict[str, list[str]] = {}
        for job in self.jobs:
            by_key.setdefault(job.key, []).append(job.fold)
        return any(_results(self._launch.options, key).busy(folds) for key, folds in by_key.items())

    def _ended(self, key: str, jobs: Sequence[Job]) -> Iterator[Job]:
        results, done = _results(self._launch.options, key), self._workspace.done
        plain = [job.fold for job in jobs if not job.keep_weights]
        missing = {
            *results.missing(plain),
            *results.missing([job.fold for job in jobs if job.keep_weights], weights=True),
        }
        failed = results.failures(sorted(missing))
        for job in jobs:
            if job.fold not in missing:
                mine = results.of_run(job.fold).get("run") == self._launch.run
                (done.trained if mine else done.stored).add((key, job.fold))
                yield job
            elif job.fold in failed:
                yield job


# --- stored results ---------------------------------------------------------------------------------------------------
FIXED = ("fingerprint", "classes", "clips")
"""Metadata of stored results that must be those of the plan."""


def collect(plan: Plan, workspace: Workspace, only: Collection[str] | None = None) -> Result:
    """Return the stored folds of a plan; raises StoreError if one is missing."""
    results = workspace.results(plan)
    _begin(plan, results)
    return Result(plan.experiment, plan.key, plan.data.labels, tuple(results.read_all(_names(plan, only))))


def _results(options: Options, key: str) -> Results:
    return Results(options.out / options.results, key)


def _begin(plan: Plan, results: Results) -> None:
    """Open the folder of results; raises StoreError if it holds results of other data or folds."""
    protocol = plan.experiment.canonical()["protocol"]
    with held(make_folder(results.folder), wait=True):  # no other process begins with other data in between
        results.begin(_metadata(plan), FIXED)
        results.keep_folds(stored(plan.folds, plan.table, protocol, plan.experiment.seed))


def _metadata(plan: Plan) -> dict[str, Any]:
    return {
        "experiment": plan.experiment.to_dict(),
        "canonical": plan.experiment.canonical(),
        "weights": dict(plan.weights),
        "fingerprint": plan.data.cache.fingerprint,
        "data": dict(plan.data.dataset.metadata()),
        "classes": list(plan.data.labels.classes),
        "clips": digest([clip.key for clip in plan.data.clips]),
        "label_warnings": [kept._asdict() for kept in plan.data.label_warnings],
    }
