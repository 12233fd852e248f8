"""Folds as jobs: plain data that any process can run. Many processes may share one folder of results.

A fold is locked while it is trained and stored when it is done, so processes that are started for the same study divide
its folds among themselves, and a killed process leaves nothing behind but a fold that the next one trains.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from uuid import uuid4

import torch
from joblib import delayed

from microexpr.config.experiment import Experiment
from microexpr.config.loading import parse
from microexpr.core.environment import environment
from microexpr.core.errors import StoreError, TrainingError
from microexpr.core.files import digest, held, make_folder
from microexpr.core.folds import stored
from microexpr.core.interfaces import REGISTRIES
from microexpr.core.parallel import in_processes
from microexpr.core.plugins import Plugin
from microexpr.core.progress import track
from microexpr.data.cache import Views
from microexpr.learning.pipeline import check_storable
from microexpr.runs import experiment as experiments
from microexpr.runs.experiment import Result
from microexpr.runs.plan import Checked, Options, Plan, Workspace
from microexpr.runs.store import Results

State = Literal["trained", "stored", "busy", "failed"]


@dataclass(frozen=True)
class Setting:
    """What the jobs of a run have in common; `data` was checked, so processes do not check it again."""

    options: Options
    data: Mapping[str, Checked]
    threads: int | None = None
    """Of each process; None: as the process was started."""
    mode: str = "fold by fold"
    """How folds are run, which is stored with their durations."""
    run: str = field(default_factory=lambda: uuid4().hex)
    """Identifies the run; a process plans each experiment once per run."""


@dataclass(frozen=True)
class FoldJob:
    """One fold of one experiment."""

    setting: Setting
    experiment: str
    """The experiment as JSON."""
    key: str
    fold: str
    keep_weights: bool = False
    plugins: tuple[Plugin, ...] = ()
    """Components from outside the package that the experiment uses."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job; a job is `busy` while another process trains the same fold."""

    job: FoldJob
    state: State
    problem: TrainingError | None = None


class Runner:
    """Runs jobs in this process; every experiment is planned once."""

    def __init__(self, workspace: Workspace, plans: Sequence[Plan] = (), mode: str = "fold by fold") -> None:
        self.workspace, self.mode = workspace, mode
        self._plans = {plan.key: plan for plan in plans}
        self._begun: set[str] = set()
        self._views: tuple[str, Views] | None = None

    def run(self, job: FoldJob, *, wait: bool = False) -> Outcome:
        """Run a job unless its fold is stored or another process is training it; `wait` for that process to end."""
        plan = self._plan(job)
        results = self.workspace.results(plan)
        with results.claimed(job.fold, wait=wait) as mine:
            if not results.missing([job.fold], weights=job.keep_weights):
                return Outcome(job, "stored")
            if not mine:
                return Outcome(job, "busy")
            if plan.key not in self._begun:
                _begin(plan, results)
                self._begun.add(plan.key)
            fold = next(fold for fold in plan.folds if fold.name == job.fold)
            weights = results.weights(job.fold) if job.keep_weights else None
            try:
                done = experiments.run_fold(plan, fold, self._views_of(plan), self.workspace.progress, weights)
            except TrainingError as error:
                return Outcome(job, "failed", error)
            results.write(replace(done, metadata={**done.metadata, "mode": self.mode}))
        return Outcome(job, "trained")

    def _plan(self, job: FoldJob) -> Plan:
        if job.key not in self._plans:
            experiment = parse(Experiment, json.loads(job.experiment), f"the job {job.fold}")
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


def run_job(job: FoldJob) -> Outcome:
    """Run a job in a process that knows nothing of it; its frames must have been prepared."""
    for plugin in job.plugins:
        REGISTRIES[plugin.folder].load(plugin)
    if job.setting.threads is not None:
        torch.set_num_threads(job.setting.threads)
    return _runner(job.setting).run(job)


_runners: dict[str, Runner] = {}
"""The runner of this process, by run; a process keeps the plans of one run only."""


def _runner(setting: Setting) -> Runner:
    if setting.run not in _runners:
        _runners.clear()
        _runners[setting.run] = Runner(Workspace(setting.options, checked=setting.data), mode=setting.mode)
    return _runners[setting.run]


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
    holds results of other data.
    """
    setting = _setting(plans, workspace)
    jobs = [job for plan in plans for job in _missing(plan, workspace, setting, only, (keep or {}).get(plan.key, ()))]
    runner, failed, busy = Runner(workspace, plans), dict[str, TrainingError](), list[FoldJob]()

    def note(outcome: Outcome) -> None:
        if outcome.state == "busy":
            busy.append(outcome.job)
        elif outcome.problem is not None:
            failed.setdefault(outcome.job.key, outcome.problem)
        else:
            done = workspace.done.trained if outcome.state == "trained" else workspace.done.stored
            done.add((outcome.job.key, outcome.job.fold))

    def outcomes() -> Iterator[Outcome]:
        if setting.options.jobs > 1 and len(jobs) > 1:
            tasks = (delayed(run_job)(job) for job in jobs if job.key not in failed)
            yield from in_processes(tasks, setting.options.jobs, ordered=False)
        else:
            yield from (runner.run(job) for job in jobs if job.key not in failed)

    if jobs:
        for outcome in track(outcomes(), len(jobs), "folds", workspace.progress):
            note(outcome)
    if busy:
        for job in track(list(busy), len(busy), "folds of other processes", workspace.progress):
            if job.key not in failed:
                note(runner.run(job, wait=True))
    return failed


def _setting(plans: Sequence[Plan], workspace: Workspace) -> Setting:
    options, data = workspace.options, {plan.data.name: plan.data for plan in plans}
    checked = {name: Checked(each.cache.fingerprint, each.skipped) for name, each in data.items()}
    if options.jobs == 1:
        return Setting(options, checked)
    threads = max(1, torch.get_num_threads() // options.jobs)
    return Setting(options, checked, threads, f"{options.jobs} folds at once")


def _missing(
    plan: Plan, workspace: Workspace, setting: Setting, only: Collection[str] | None, keep: Collection[str]
) -> list[FoldJob]:
    """Return a job for every fold whose results, or weights if they are to be kept, are not stored."""
    results = workspace.results(plan)
    results.check(_metadata(plan), FIXED)
    names = [fold.name for fold in plan.folds if only is None or fold.name in only]
    with_weights = {name for name in names if workspace.options.keep_weights or name in keep}
    missing = {
        *results.missing([name for name in names if name not in with_weights]),
        *results.missing(sorted(with_weights), weights=True),
    }
    if with_weights:
        check_storable(plan.experiment)
    workspace.done.stored |= {(plan.key, name) for name in names if name not in missing}
    experiment = plan.experiment.to_dict()
    used = {*_texts(experiment), *_texts(plan.experiment.canonical())}  # those of defaults too
    plugins = [each for registry in REGISTRIES.values() for each in registry.plugins() if each.name in used]
    return [
        FoldJob(setting, json.dumps(experiment), plan.key, name, name in with_weights, tuple(plugins))
        for name in names
        if name in missing
    ]


def _texts(content: object) -> Iterator[str]:
    """Yield every text in nested content."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping | list | tuple):
        for item in content.values() if isinstance(content, Mapping) else content:
            yield from _texts(item)


# --- stored results ---------------------------------------------------------------------------------------------------
FIXED = ("fingerprint", "classes", "clips")
"""Metadata of stored results that must be those of the plan."""


def collect(plan: Plan, workspace: Workspace, only: Collection[str] | None = None) -> Result:
    """Return the stored folds of a plan; raises StoreError if one is missing."""
    results = workspace.results(plan)
    _begin(plan, results)
    folds = tuple(results.read(fold.name) for fold in plan.folds if only is None or fold.name in only)
    return Result(plan.experiment, plan.key, plan.data.labels, folds)


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
        "environment": environment(),
    }
