"""Late fusion: average the class probabilities of several experiments into one result, without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from microexpr.core import interfaces
from microexpr.core.errors import ConfigError
from microexpr.core.files import digest
from microexpr.evaluation.predictions import fitted, voted
from microexpr.runs.experiment import Result
from microexpr.runs.store import FoldResult


def fuse(members: Sequence[Result]) -> Result:
    """Return a result with the mean of the members' class probabilities for every test clip.

    Everything else is taken from the first member. Raises ConfigError if they were not tested in the same folds.
    """
    first, key = members[0], digest(["fused", *(member.key for member in members)])
    if len({tuple(fold.name for fold in member.folds) for member in members}) > 1:
        raise ConfigError("E133", "these results have different folds, so their probabilities cannot be averaged.")
    by_fold = zip(*(member.folds for member in members), strict=True)
    return replace(first, key=key, folds=tuple(_fold(members, folds, key) for folds in by_fold))


def _fold(members: Sequence[Result], folds: Sequence[FoldResult], key: str) -> FoldResult:
    num_classes = len(members[0].labels.classes)
    tables = [_tested(member, fold, num_classes) for member, fold in zip(members, folds, strict=True)]
    same, names = ["clip", "subject", "y_true"], [f"p_{number}" for number in range(num_classes)]
    if any(not table[same].equals(tables[0][same]) for table in tables):
        raise ConfigError("E133", "these results have different test clips, so their probabilities cannot be averaged.")
    views = tables[0][same].assign(experiment=key, fold=folds[0].name, seed=members[0].experiment.seed, part="test")
    views[names] = np.mean([table[names].to_numpy() for table in tables], axis=0)
    views["frames"] = [[] for _ in range(len(views))]
    return FoldResult(folds[0].name, views, pd.DataFrame(), {**folds[0].metadata, **_costs(folds)})


def _tested(member: Result, fold: FoldResult, num_classes: int) -> pd.DataFrame:
    vote = fitted(member.experiment.vote.build(interfaces.votes), fold.views)
    return voted(fold.views[fold.views["part"] == "test"], vote, num_classes).sort_values("clip", ignore_index=True)


def _costs(folds: Sequence[FoldResult]) -> dict[str, float | int | str | None]:
    """Return the total cost of all members; None where it is not known for one of them."""

    def total(name: str) -> float | int | None:
        values = [fold.metadata.get(name) for fold in folds]
        return None if None in values else sum(value for value in values if value is not None)

    threads = [fold.metadata.get("ms_threads") for fold in folds]
    return {
        **{name: total(name) for name in ("seconds", "ms_a_clip", "parameters")},
        "ms_threads": None if None in threads else " / ".join(dict.fromkeys(map(str, threads))),
    }
