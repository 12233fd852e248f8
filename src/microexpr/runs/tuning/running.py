"""Run the searches, alone or alongside other processes, then the protocol's folds with the best values."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import optuna

from microexpr.config.experiment import Experiment
from microexpr.config.scores import confusion_metric
from microexpr.core.errors import StoreError, TrainingError
from microexpr.runs import jobs
from microexpr.runs.experiment import Result
from microexpr.runs.plan import Workspace
from microexpr.runs.tuning import space as spaces
from microexpr.runs.tuning.importance import importance
from microexpr.runs.tuning.result import Found, Trial, Tuned
from microexpr.runs.tuning.searches import Search, divide, shares_subjects
from microexpr.runs.tuning.storage import open_storage, working
from microexpr.runs.tuning.studies import distributions, open_study, trial_of
from microexpr.runs.tuning.worker import Worker

FOLDER = "tuning"
"""Folder of trials, and of folds with tuned values, in the --out of an experiment."""


def run(experiment: Experiment, workspace: Workspace, trials: int, storage: str) -> Tuned:
    """Implement `microexpr.runs.tuning.tune`."""
    confusion_metric(experiment.tuning.metric, where="tuning.metric")
    plan, folder = workspace.plan(experiment), workspace.options.out / FOLDER
    space, default = spaces.space_of(plan)
    spaces.check(space, experiment, workspace)
    divide(plan)
    with _quiet_optuna():
        opened, name = open_storage(folder, storage)
        (plan,) = workspace.prepare([plan])
        searches = divide(plan)  # clips may have been left out
        with _naming_the_storage(name), working(folder) as workers:
            studies = {each.name: open_study(opened, name, plan, space, each) for each in searches}
            worker = Worker(plan, workspace, space, trials, workers, plan.views(), alone=not storage)
            tried = worker.search(searches, studies)
            untuned = jobs.run(plan, workspace)
            found = tuple(_found(worker, each, studies[each.name], untuned) for each in searches)
            pooled = importance([each.trials for each in found], distributions(studies.values()), experiment.seed)
    ended = sum(trial.state in ("finished", "failed") for each in found for trial in each.trials)
    done = {**workspace.done.summary(), "trials_tried": tried, "trials_reused": max(0, ended - tried)}
    return Tuned(plan, space, default, found, pooled, untuned, shares_subjects(plan), name, trials, done)


def _found(worker: Worker, search: Search, study: optuna.Study, untuned: Result) -> Found:
    """Return the result of a search, with its folds trained with the best values.

    Raises TrainingError if no trial has a score.
    """
    problems = study.user_attrs
    trials = tuple(trial_of(trial, problems) for trial in study.get_trials(deepcopy=False))
    finished = [trial for trial in trials if trial.score is not None]
    if not finished:
        problem = next((trial.problem for trial in trials if trial.problem), "")
        raise TrainingError(
            "E721", f"search {search.name}: no trial could be trained; the first failed with: {problem}"
        )
    best = max(finished, key=lambda trial: (trial.score, -trial.number))
    own = spaces.own(worker.space, worker.plan.experiment)
    return Found(
        search=search,
        trials=trials,
        best=best,
        own=next((trial for trial in finished if own is not None and trial.values == own), None),
        importance=importance([trials], distributions([study]), worker.plan.experiment.seed),
        result=_tested(worker, search, best, untuned),
    )


def _tested(worker: Worker, search: Search, best: Trial, untuned: Result) -> Result:
    """Run the folds of a search with the best values; those of the experiment's own values were run already."""
    names, options = {fold.name for fold in search.folds}, worker.workspace.options
    plan = worker.workspace.plan(worker.plan.experiment.with_values(spaces.taken(worker.space, best.values)))
    if plan.key == untuned.key:
        return replace(untuned, folds=tuple(fold for fold in untuned.folds if fold.name in names))
    tuned = replace(worker.workspace, options=replace(options, results=f"{FOLDER}/results"))
    return jobs.run(plan, tuned, only=names)


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Suppress Optuna's output and its warnings about experimental features."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


@contextmanager
def _naming_the_storage(name: str) -> Iterator[None]:
    """Turn a failure of the storage of trials into a StoreError."""
    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise StoreError(
            "E607", f"{name} stopped responding: {reason}. The same command continues where it stopped."
        ) from None
