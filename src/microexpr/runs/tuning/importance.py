"""How much of the scores' variation each parameter explains, by fANOVA; nothing where there are too few trials."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from microexpr.runs.tuning.result import Trial

LEAST = 10
"""Finished trials below which a forest says nothing: fewer than Optuna draws at random before it begins to search."""


def importance(
    searches: Sequence[Sequence[Trial]], distributions: Mapping[str, BaseDistribution], seed: int
) -> dict[str, float] | str:
    """Return each parameter's share, or a sentence that says why none can be given.

    functional ANOVA (Hutter, Hoos and Leyton-Brown, ICML 2014) of a random forest that predicts the score from the
    values. Scores of several searches are each taken from their search's mean: they are of other subjects, and a level
    that differs is no effect of a parameter. Values that are searched by orders of magnitude count by these: Optuna
    alone would average over their plain values, and so overlook all below a tenth of the largest.
    """
    rows = [
        (trial.values, trial.score - math.fsum(_scores(trials)) / len(_scores(trials)))
        for trials in searches
        for trial in trials
        if trial.score is not None
    ]
    if len(rows) < LEAST:
        return f"too few trials: {len(rows)} are finished, and below {LEAST} no importance is given"
    varying = {key: _plain(each) for key, each in distributions.items() if len({values[key] for values, _ in rows}) > 1}
    if not varying or max(score for _, score in rows) - min(score for _, score in rows) < 1e-12:
        return "all finished trials have the same score, so no parameter explains anything"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction="maximize", storage=optuna.storages.InMemoryStorage())
        for values, score in rows:
            params = {
                key: math.log(values[key]) if _by_magnitude(distributions[key]) else values[key] for key in varying
            }
            study.add_trial(optuna.trial.create_trial(params=params, distributions=varying, value=score))
        evaluator = FanovaImportanceEvaluator(seed=seed % 2**32)
        found = get_param_importances(study, evaluator=evaluator)
    if not all(math.isfinite(share) for share in found.values()) or not math.fsum(found.values()):
        return "the forest finds no variation that a parameter explains"
    return {key: float(found.get(key, 0.0)) for key in distributions}


def _by_magnitude(distribution: BaseDistribution) -> bool:
    return bool(getattr(distribution, "log", False))


def _plain(distribution: BaseDistribution) -> BaseDistribution:
    """Return the distribution of a value's logarithm where it is drawn by orders of magnitude, else itself."""
    if isinstance(distribution, FloatDistribution | IntDistribution) and distribution.log:
        return FloatDistribution(math.log(distribution.low), math.log(distribution.high))
    return distribution


def _scores(trials: Sequence[Trial]) -> list[float]:
    return [trial.score for trial in trials if trial.score is not None]
