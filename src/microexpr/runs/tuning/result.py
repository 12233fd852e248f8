"""Result of a tuning: the searches with their trials, and the predictions with tuned and untuned values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from microexpr.runs.experiment import Result
from microexpr.runs.plan import Plan
from microexpr.runs.tuning.searches import Search
from microexpr.runs.tuning.space import Space

State = Literal["finished", "failed", "stopped", "running", "waiting"]
"""failed: these values cannot be trained; stopped: the process ended during the trial, whose values are tried again."""


@dataclass(frozen=True)
class Trial:
    """One trial of a search; `values` are names for choices, numbers for ranges."""

    number: int
    values: Mapping[str, Any]
    state: State
    score: float | None
    """The metric on the pooled inner folds."""
    seconds: float | None
    problem: str = ""
    same_as: int | None = None
    """An earlier trial with the same values, so that nothing was trained again."""


@dataclass(frozen=True, eq=False)
class Found:
    """A finished search."""

    search: Search
    trials: tuple[Trial, ...]
    best: Trial
    """The trial with the highest inner score, the first of several."""
    own: Trial | None
    """The trial with the experiment's own values, if the space contains them."""
    importance: Mapping[str, float] | str
    """By parameter, adding up to 1; or the reason why there is none."""
    result: Result
    """The folds of this search, trained with the best values."""

    @property
    def finished(self) -> int:
        """Number of trials that have a score."""
        return sum(trial.score is not None for trial in self.trials)


@dataclass(frozen=True, eq=False)
class Tuned:
    """All results of a tuning, from which its page is made."""

    plan: Plan
    """The experiment as written in its file."""
    space: Space
    default_space: bool
    """Whether no space was given."""
    found: tuple[Found, ...]
    importance: Mapping[str, float] | str
    """Over the trials of all searches, the scores of each search centred on their mean."""
    untuned: Result
    shares_subjects: bool
    storage: str
    """Where the trials are stored, without password."""
    trials: int
    """Number of finished trials requested for each search."""
    done: Mapping[str, Any] = field(default_factory=dict)
    """How many folds (`Done.summary`) and trials this run trained and reused."""

    def predictions(self) -> pd.DataFrame:
        """Return the tuned predictions of all folds, one row per clip."""
        return pd.concat([each.result.predictions() for each in self.found], ignore_index=True)
