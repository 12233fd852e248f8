"""A worker: one process that runs trials, alone or alongside others."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import pandas as pd
import torch
from optuna.trial import TrialState

from microexpr.core import interfaces
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
from microexpr.runs.validation_split import split_validation

TRIES = 3
"""How often values are tried that end the process, for example because memory does not suffice."""
PAUSE = 0.5
"""Seconds between checks of what other workers are doing."""
UNTRAINABLE = (TrainingError, ConfigError, SplitError, torch.OutOfMemoryError)
"""Errors that end a trial but not the search."""


@dataclass(frozen=True)
class Worker:
    """One process that searches: it runs trials that no other worker runs, and stores their scores."""

    plan: Plan
    workspace: Workspace
    space: Space
    trials: int
    workers: Workers
    views: Views
    alone: bool
    """Whether all possible workers use this folder."""

    def search(self, searches: Sequence[Search], studies: Mapping[str, optuna.Study]) -> int:
        """Run trials until every search has enough, and return how many this worker ran.

        At the end it waits for trials that other workers are running.
        """
        bar, total = self.workspace.progress, 0
        bar.start("searches", len(searches))
        try:
            unfinished = list(searches)
            while unfinished:
                tried = sum(self._work(each, studies[each.name]) for each in unfinished)
                total += tried
                done = [each for each in unfinished if self._counted(studies[each.name])[0] >= self.trials]
                for each in done:
                    unfinished.remove(each)
                    bar.step(each.name)
                if unfinished and not tried:
                    time.sleep(PAUSE)
        finally:
            bar.stop()
        return total

    def _work(self, search: Search, study: optuna.Study) -> int:
        """Run trials as long as the search needs more; return how many were run."""
        bar, tried, counted = self.workspace.progress, 0, self._counted(study)[0]
        bar.start(f"trials of {search.name}", max(self.trials - counted, 0))
        try:
            while trial := self._ask(search, study):
                self._try(search, study, trial)
                tried += 1
                done = min(self._counted(study)[0], self.trials)
                for _ in range(counted, done):  # including those of other workers
                    bar.step()
                counted = max(counted, done)
        finally:
            bar.stop()
        return tried

    def _counted(self, study: optuna.Study) -> tuple[int, int]:
        """Return how many trials are done, and how many a live worker of this folder is running."""
        found = study.get_trials(deepcopy=False)
        problems = study.user_attrs
        done = sum(state_of(trial, problems) in ("finished", "failed") for trial in found)
        return done, sum(trial.state == TrialState.RUNNING and self._has_live_worker(trial) for trial in found)

    def _has_live_worker(self, trial: optuna.trial.FrozenTrial) -> bool:
        same_place = trial.user_attrs.get("place") == self.workers.place
        return same_place and self.workers.alive(trial.user_attrs["worker"])

    def _ask(self, search: Search, study: optuna.Study) -> optuna.Trial | None:
        """Start a trial and sample its values, if the search needs another.

        The sampler is created anew each time, seeded by the number of trials so far. Stopped trials do not count and
        are tried again, so a search that was killed and continues samples the same values as one that was not.
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
        """End trials whose worker is dead, and return their values to the queue."""
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            place = trial.user_attrs.get("place")
            # Workers record their place while others wait, so a trial without a place has no live worker.
            same_place = place == self.workers.place or (place is None and self.alone)
            if same_place and not self._has_live_worker(trial):
                self._stop(study, trial.number, trial.params, trial.user_attrs)

    def _stop(self, study: optuna.Study, number: int, params: Mapping[str, Any], attributes: Mapping[str, Any]) -> None:
        """End a trial that no worker runs any more, and queue its values again, at most `TRIES` times in all."""
        tries = int(attributes.get("tries", 1))
        if tries >= TRIES:
            study.set_user_attr(f"problem/{number}", f"the process ended {tries} times while these values were tried")
        study.tell(number, state=TrialState.FAIL)
        if tries < TRIES and set(params) == set(self.space):
            study.enqueue_trial(dict(params), user_attrs={"tries": tries + 1, "retry_of": number})

    def _try(self, search: Search, study: optuna.Study, trial: optuna.Trial) -> None:
        """Compute the score of a trial; values that were tried before have the same score and are not trained again."""
        start = time.perf_counter()
        try:
            same = self._before(study, trial)
            if same is not None:
                trial.set_user_attr("same_as", same.number)
            value = self._scored(search, spaces.taken(self.space, trial.params)) if same is None else same.value
            if value is None:
                raise TrainingError("E722", f"the same values as in trial {trial.user_attrs['same_as']}, which failed")
        except UNTRAINABLE as error:
            study.set_user_attr(f"problem/{trial.number}", " ".join(str(error).split())[:300])
            study.tell(trial, state=TrialState.FAIL)
        except BaseException:  # such as Ctrl-C: the values are not to blame
            self._stop(study, trial.number, trial.params, {"tries": 0})
            raise
        else:
            trial.set_user_attr("seconds", time.perf_counter() - start)
            study.tell(trial, value)

    def _before(self, study: optuna.Study, trial: optuna.Trial) -> optuna.trial.FrozenTrial | None:
        """Return the first finished or failed trial with the same values."""
        problems = study.user_attrs
        ended = (one for one in study.get_trials(deepcopy=False) if state_of(one, problems) in ("finished", "failed"))
        return next((one for one in ended if one.params == trial.params), None)

    def _scored(self, search: Search, values: Mapping[str, Any]) -> float:
        """Return the score of values on the pooled predictions of all inner folds."""
        bar = self.workspace.progress
        plan = self.workspace.plan(self.plan.experiment.with_values(values))
        chooses = plan.experiment.selects and plan.model.trains_in_epochs
        parts = []
        for fold in track(search.inner, len(search.inner), "inner folds", bar):
            split = split_validation(fold, plan.table, plan.experiment) if chooses else fold
            parts.append(tested(plan, split, self.views, bar))
        metric = interfaces.metrics.build(plan.experiment.tuning.metric, {})
        return score(metric, pd.concat(parts, ignore_index=True))
