"""Try values: one process of a search, beside others or alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import pandas as pd
import torch
from optuna.trial import TrialState

from microexpr.core import interfaces as contracts
from microexpr.core.errors import ConfigError, SplitError, TrainingError
from microexpr.core.progress import track
from microexpr.core.randomness import rng_for
from microexpr.data.cache import Views
from microexpr.evaluation.predictions import score
from microexpr.runs.experiment import tested
from microexpr.runs.plan import Plan, Workspace
from microexpr.runs.tuning import STARTUP
from microexpr.runs.tuning import space as spaces
from microexpr.runs.tuning.searches import Search
from microexpr.runs.tuning.space import Space
from microexpr.runs.tuning.storage import Workers
from microexpr.runs.tuning.studies import state_of
from microexpr.runs.validation_split import cut_val

TRIES = 3
"""How often values are tried that end the process: memory that does not suffice would end it for ever."""
PAUSE = 0.5
"""Seconds between looks at what other workers do."""
UNTRAINABLE = (TrainingError, ConfigError, SplitError, torch.OutOfMemoryError)
"""What values may do to a trial without ending the search."""


@dataclass(frozen=True)
class Worker:
    """One process that searches: it takes trials that nobody else is at, and tells their scores."""

    plan: Plan
    workspace: Workspace
    space: Space
    trials: int
    workers: Workers
    views: Views
    alone: bool
    """Whether all workers there can be are of this folder."""

    def search(self, searches: Sequence[Search], studies: Mapping[str, optuna.Study]) -> int:
        """Try values until every search has its trials, and return how many were tried here.

        What other workers are at is waited for at the end.
        """
        bar, here = self.workspace.progress, 0
        bar.start("searches", len(searches))
        try:
            open_ = list(searches)
            while open_:
                tried = sum(self._work(each, studies[each.name]) for each in open_)
                here += tried
                done = [each for each in open_ if self._counted(studies[each.name])[0] >= self.trials]
                for each in done:
                    open_.remove(each)
                    bar.step(each.name)
                if open_ and not tried:
                    time.sleep(PAUSE)
        finally:
            bar.stop()
        return here

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
        done = sum(state_of(trial, problems) in ("finished", "failed") for trial in found)
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
        """Find out what a trial's values give; the same values give the same again and are not trained twice."""
        start = time.perf_counter()
        try:
            same = self._before(study, trial)
            if same is not None:
                trial.set_user_attr("same_as", same.number)
            value = self._scored(search, spaces.taken(self.space, trial.params)) if same is None else same.value
            if value is None:
                raise TrainingError(
                    "E701", f"the same values as those of trial {trial.user_attrs['same_as']}, which failed"
                )
        except UNTRAINABLE as error:
            study.set_user_attr(f"problem/{trial.number}", " ".join(str(error).split())[:300])
            study.tell(trial, state=TrialState.FAIL)
        except BaseException:  # Ctrl-C is no fault of the values
            self._stop(study, trial.number, trial.params, {"tries": 0})
            raise
        else:
            trial.set_user_attr("seconds", time.perf_counter() - start)
            study.tell(trial, value)

    def _before(self, study: optuna.Study, trial: optuna.Trial) -> optuna.trial.FrozenTrial | None:
        """Return the first trial that ended with the same values."""
        problems = study.user_attrs
        ended = (one for one in study.get_trials(deepcopy=False) if state_of(one, problems) in ("finished", "failed"))
        return next((one for one in ended if one.params == trial.params), None)

    def _scored(self, search: Search, values: Mapping[str, Any]) -> float:
        """Return the score of values: inner folds trained one by one, their predictions pooled."""
        bar = self.workspace.progress
        plan = self.workspace.plan(self.plan.experiment.with_values(values))
        chooses = plan.experiment.selects and plan.model.trains_in_epochs
        parts = []
        for fold in track(search.inner, len(search.inner), "inner folds", bar):
            cut = cut_val(fold, plan.table, plan.experiment) if chooses else fold
            parts.append(tested(plan, cut, self.views, bar))
        metric = contracts.metrics.build(plan.experiment.tuning.metric, {})
        return score(metric, pd.concat(parts, ignore_index=True))
