"""Run searches, beside other processes or alone, and then the protocol's folds with the values that were found."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import optuna
import pandas as pd
import torch
from optuna.trial import TrialState

from microexpr import contracts
from microexpr import experiment as experiments
from microexpr.cache import Views
from microexpr.config import Experiment, rng_for
from microexpr.errors import ConfigError, SplitError, StoreError, TrainingError
from microexpr.experiment import Result, run_fold
from microexpr.files import digest, held
from microexpr.plan import Plan, Workspace, check_intervals, cut_val
from microexpr.predictions import confusion_metric, score, voted
from microexpr.progress import track
from microexpr.tuning import space as spaces
from microexpr.tuning.importance import importance
from microexpr.tuning.result import Found, State, Trial, Tuned
from microexpr.tuning.searches import Search, divide, shares_persons
from microexpr.tuning.space import Space
from microexpr.tuning.storage import Workers, open_storage, working

FOLDER = "tuning"
"""Where trials and the folds with the values found lie, in the --out of an experiment."""
STARTUP = 10
"""Trials that are drawn at random before the search begins."""
TRIES = 3
"""How often values are tried that end the process: memory that does not suffice would end it for ever."""
PAUSE = 0.5
"""Seconds between looks at what other workers do."""
UNTRAINABLE = (TrainingError, ConfigError, SplitError, torch.OutOfMemoryError)
"""What values may do to a trial without ending the search."""


def run(experiment: Experiment, workspace: Workspace, trials: int, storage: str) -> Tuned:
    """Do what `microexpr.tuning.tune` says."""
    confusion_metric(experiment.tuning.metric)
    plan = workspace.plan(experiment)
    check_intervals(plan)
    space, papers = spaces.space_of(plan)
    spaces.check(space, experiment, workspace)
    divide(plan)
    out = workspace.options.out
    with _alone(workspace):
        workspace.prepare([plan])
    searches = divide(plan)  # clips may have been left out
    with _quiet(), working(out / FOLDER) as workers:
        kept, shown = open_storage(out / FOLDER, storage)
        studies = {each.name: _study(kept, shown, plan, space, each) for each in searches}
        job = _Job(plan, workspace, space, trials, workers, plan.views(), alone=not storage)
        job.search(searches, studies)
        with _alone(workspace):
            untuned = experiments.run(plan, workspace)
            found = tuple(job.found(each, studies[each.name], untuned) for each in searches)
        joined = importance([each.trials for each in found], _distributions(studies.values()), experiment.seed)
    return Tuned(plan, space, papers, found, joined, untuned, shares_persons(plan), shown, trials)


# --- searching --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Job:
    """One worker's part in the searches of an experiment."""

    plan: Plan
    workspace: Workspace
    space: Space
    trials: int
    workers: Workers
    views: Views
    alone: bool
    """Whether all workers there can be are of this folder."""

    def search(self, searches: Sequence[Search], studies: Mapping[str, optuna.Study]) -> None:
        """Try values until every search has its trials; what other workers are at is waited for at the end."""
        bar = self.workspace.progress
        bar.start("searches", len(searches))
        try:
            open_ = list(searches)
            while open_:
                tried = sum(self._work(each, studies[each.name]) for each in open_)
                done = [each for each in open_ if self._counted(studies[each.name])[0] >= self.trials]
                for each in done:
                    open_.remove(each)
                    bar.step(each.name)
                if open_ and not tried:
                    time.sleep(PAUSE)
        finally:
            bar.stop()

    def _work(self, search: Search, study: optuna.Study) -> int:
        """Try values as long as there is something to try; return how many were."""
        bar, tried, told = self.workspace.progress, 0, self._counted(study)[0]
        bar.start(f"trials of {search.name}", max(self.trials - told, 0))
        try:
            while trial := self._ask(search, study):
                self._try(search, study, trial)
                tried += 1
                done = min(self._counted(study)[0], self.trials)
                for _ in range(told, done):  # those of other workers too
                    bar.step()
                told = max(told, done)
        finally:
            bar.stop()
        return tried

    def _counted(self, study: optuna.Study) -> tuple[int, int]:
        """Return how many trials are done, and how many a living worker of this folder is at."""
        found = study.get_trials(deepcopy=False)
        problems = study.user_attrs
        done = sum(_state(trial, problems) in ("finished", "failed") for trial in found)
        return done, sum(trial.state == TrialState.RUNNING and self._lives(trial) for trial in found)

    def _lives(self, trial: optuna.trial.FrozenTrial) -> bool:
        mine = trial.user_attrs.get("place") == self.workers.place
        return mine and self.workers.alive(trial.user_attrs["worker"])

    def _ask(self, search: Search, study: optuna.Study) -> optuna.Trial | None:
        """Take a trial with its values, where one is wanted.

        The sampler begins anew each time, seeded by the trials so far. What was stopped is not among them and is tried
        again, so a search that was killed and goes on draws what it would have drawn.
        """
        with self.workers.asking():
            self._give_up_lost(study)
            done, busy = self._counted(study)
            if done + busy >= self.trials:
                return None
            if not study.get_trials(deepcopy=False) and (own := spaces.own(self.space, self.plan.experiment)):
                study.enqueue_trial(own)
            seed = int(rng_for(self.plan.experiment.seed, f"tuning/{search.name}/{done + busy}").integers(2**31))
            study.sampler = optuna.samplers.TPESampler(
                n_startup_trials=STARTUP, multivariate=True, constant_liar=True, seed=seed
            )
            trial = study.ask()
            for name, value in (("worker", self.workers.name), ("place", self.workers.place)):
                trial.set_user_attr(name, value)
            spaces.draw(trial, self.space)
            return trial

    def _give_up_lost(self, study: optuna.Study) -> None:
        """Give back the values of trials whose worker is dead: nothing else would ever end these trials."""
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            place = trial.user_attrs.get("place")
            # Places are noted while the folder's other workers wait, so here nobody is just about to note one.
            mine = place == self.workers.place or (place is None and self.alone)
            if mine and not self._lives(trial):
                self._stop(study, trial.number, trial.params, trial.user_attrs)

    def _stop(self, study: optuna.Study, number: int, params: Mapping[str, Any], attributes: Mapping[str, Any]) -> None:
        """End a trial that nobody works at any more, and let its values be tried again, within reason."""
        tries = int(attributes.get("tries", 1))
        if tries >= TRIES:
            study.set_user_attr(f"problem/{number}", f"the process ended {tries} times while these values were tried")
        study.tell(number, state=TrialState.FAIL)
        if tries < TRIES and set(params) == set(self.space):
            study.enqueue_trial(dict(params), user_attrs={"tries": tries + 1, "retry_of": number})

    def _try(self, search: Search, study: optuna.Study, trial: optuna.Trial) -> None:
        start = time.perf_counter()
        try:
            value = self._scored(search, spaces.taken(self.space, trial.params))
        except UNTRAINABLE as error:
            study.set_user_attr(f"problem/{trial.number}", str(error).splitlines()[0])
            study.tell(trial, state=TrialState.FAIL)
        except BaseException:  # Ctrl-C is no fault of the values
            self._stop(study, trial.number, trial.params, {"tries": 0})
            raise
        else:
            trial.set_user_attr("seconds", time.perf_counter() - start)
            study.tell(trial, value)

    def _scored(self, search: Search, values: Mapping[str, Any]) -> float:
        """Return the score of values: inner folds trained one by one, their predictions pooled."""
        bar = self.workspace.progress
        plan = self.workspace.plan(self.plan.experiment.with_values(values))
        vote, k = plan.experiment.vote.build(contracts.votes), len(plan.data.labels.classes)
        chooses = plan.experiment.selects and plan.model.trains_in_epochs
        parts = []
        for fold in track(search.inner, len(search.inner), "inner folds", bar):
            cut = cut_val(fold, plan.table, plan.experiment) if chooses else fold
            views = run_fold(plan, cut, self.views, bar).views
            parts.append(voted(views[views["part"] == "test"], vote, k))
        metric = contracts.metrics.build(plan.experiment.tuning.metric, {})
        return score(metric, pd.concat(parts, ignore_index=True))

    def found(self, search: Search, study: optuna.Study, untuned: Result) -> Found:
        """Return what a search found, its folds trained with it; values that are the experiment's own were so before.

        Raises TrainingError where no trial has a score.
        """
        problems = study.user_attrs
        trials = tuple(_trial(trial, problems) for trial in study.get_trials(deepcopy=False))
        finished = [trial for trial in trials if trial.score is not None]
        if not finished:
            problem = next((trial.problem for trial in trials if trial.problem), "")
            raise TrainingError(f"search {search.name}: no trial could be trained; the first: {problem}")
        best = max(finished, key=lambda trial: (trial.score, -trial.number))
        own = spaces.own(self.space, self.plan.experiment)
        return Found(
            search=search,
            trials=trials,
            best=best,
            own=next((trial for trial in finished if own is not None and trial.values == own), None),
            importance=importance([trials], _distributions([study]), self.plan.experiment.seed),
            result=self._tested(search, best, untuned),
        )

    def _tested(self, search: Search, best: Trial, untuned: Result) -> Result:
        names, options = {fold.name for fold in search.folds}, self.workspace.options
        plan = self.workspace.plan(self.plan.experiment.with_values(spaces.taken(self.space, best.values)))
        if plan.key == untuned.key:
            return replace(untuned, folds=tuple(fold for fold in untuned.folds if fold.name in names))
        beside = Workspace(replace(options, out=options.out / FOLDER), self.workspace.progress)
        return experiments.run(plan, beside, only=names)


def _study(kept: optuna.storages.BaseStorage, shown: str, plan: Plan, space: Space, search: Search) -> optuna.Study:
    """Open a search; raises StoreError where its name is taken by another."""
    name = f"{plan.experiment.name}/{search.name}"
    study = optuna.create_study(storage=kept, study_name=name, direction="maximize", load_if_exists=True)
    mine, before = _identity(plan, space, search), study.user_attrs.get("microexpr")
    if before is None and not study.get_trials(deepcopy=False):
        study.set_user_attr("microexpr", mine)
    elif before != mine:
        other = "a search that microexpr did not begin"
        if isinstance(before, Mapping):
            differing = [key for key in mine if before.get(key) != mine[key]]
            other = f"a search with another {'space' if 'space' in differing else ' and '.join(differing)}"
        raise StoreError(
            f"{shown} holds, under the name {name!r}, {other}; trials of both cannot be told apart. Choose another "
            "--out or --storage, or give the experiment another name."
        )
    return study


def _identity(plan: Plan, space: Space, search: Search) -> dict[str, str]:
    """Return what two searches must have in common, as digests; the experiment's own tuned values do not count."""
    fixed = plan.experiment.with_values(spaces.firsts(space))
    return {
        "experiment": fixed.key(modality=plan.data.modality, weights=plan.weights.get("sha256", "")),
        "space": digest({key: values.model_dump(mode="json") for key, values in space.items()}),
        "metric": plan.experiment.tuning.metric,
        "database": digest([plan.data.cache.fingerprint, plan.data.labels.classes]),
        "division into folds": search.content(plan),
    }


# --- what was found ---------------------------------------------------------------------------------------------------
def _trial(trial: optuna.trial.FrozenTrial, problems: Mapping[str, Any]) -> Trial:
    return Trial(
        number=trial.number,
        values=trial.params,
        state=_state(trial, problems),
        score=trial.value,
        seconds=trial.user_attrs.get("seconds"),
        problem=problems.get(f"problem/{trial.number}", ""),
    )


def _state(trial: optuna.trial.FrozenTrial, problems: Mapping[str, Any]) -> State:
    if trial.state == TrialState.FAIL:
        return "failed" if f"problem/{trial.number}" in problems else "stopped"
    states: dict[TrialState, State] = {TrialState.RUNNING: "running", TrialState.WAITING: "waiting"}
    return states.get(trial.state, "finished")


def _distributions(studies: Iterable[optuna.Study]) -> dict[str, optuna.distributions.BaseDistribution]:
    """Return what parameters are drawn from, which is the same in every trial of every search."""
    trials = (trial for study in studies for trial in study.get_trials(deepcopy=False) if trial.value is not None)
    return dict(next(trials).distributions)


# --- around it --------------------------------------------------------------------------------------------------------
@contextmanager
def _alone(workspace: Workspace) -> Iterator[None]:
    """Hold the folder of results; where another run has it, say so and wait."""
    out, stack = workspace.options.out, ExitStack()
    try:
        stack.enter_context(held(out))
    except StoreError:
        workspace.progress.start(f"waiting for another run in {out}", 1)
        try:
            stack.enter_context(held(out, wait=True))
        finally:
            workspace.progress.stop()
    with stack:
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from printing, and from warning of its own experiments."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
