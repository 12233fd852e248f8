"""What a tuning gave: the searches with their trials, and what came of the values found, tuned against untuned."""

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
"""failed: these values cannot be trained; stopped: the process ended in its midst, and the values are tried again."""


@dataclass(frozen=True)
class Trial:
    """One trial of a search; `values` are words for choices, numbers for ranges."""

    number: int
    values: Mapping[str, Any]
    state: State
    score: float | None
    """The metric over the pooled inner folds."""
    seconds: float | None
    problem: str = ""
    same_as: int | None = None
    """The earlier trial that had the same values, so that nothing was trained again."""


@dataclass(frozen=True, eq=False)
class Found:
    """One search that is done."""

    search: Search
    trials: tuple[Trial, ...]
    best: Trial
    """The trial of highest inner score, the first of equals."""
    own: Trial | None
    """The trial of the experiment's own values, where the space has them."""
    importance: Mapping[str, float] | str
    """By parameter, adding up to 1; or why nothing can be said."""
    result: Result
    """The folds that take its values, trained with them."""

    @property
    def finished(self) -> int:
        """Trials that have a score."""
        return sum(trial.score is not None for trial in self.trials)


@dataclass(frozen=True, eq=False)
class Tuned:
    """Everything that a tuning gave; its page is made of it."""

    plan: Plan
    """The experiment as its file has it."""
    space: Space
    papers: bool
    """Whether the space is the paper's."""
    found: tuple[Found, ...]
    importance: Mapping[str, float] | str
    """Over the trials of all searches, each search's scores taken from their mean."""
    untuned: Result
    shares_subjects: bool
    storage: str
    """Where the trials lie; without a password."""
    trials: int
    """Finished trials that were asked for in each search."""
    done: Mapping[str, Any] = field(default_factory=dict)
    """What this run trained and reused: folds (`Done.summary`), and trials."""

    def predictions(self) -> pd.DataFrame:
        """Return the tuned predictions of all folds, one row a clip."""
        return pd.concat([each.result.predictions() for each in self.found], ignore_index=True)
