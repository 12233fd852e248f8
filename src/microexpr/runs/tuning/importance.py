"""Share of the variation of scores that each parameter explains (fANOVA), if there are enough trials."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from microexpr.runs.tuning.result import Trial

MIN_TRIALS = 10
"""With fewer finished trials no importance is computed: Optuna samples as many at random before it begins to search."""


def importance(
    searches: Sequence[Sequence[Trial]], distributions: Mapping[str, BaseDistribution], seed: int
) -> dict[str, float] | str:
    """Return each parameter's share, or the reason why there is none.

    Functional ANOVA (Hutter, Hoos and Leyton-Brown, ICML 2014) of a random forest that predicts the score from the
    values. The scores of each search are centred on its mean: searches use different subjects, and a difference in
    level is not an effect of a parameter. Values searched on a logarithmic scale enter as logarithms: Optuna would
    average over the values themselves, and so neglect all below a tenth of the largest.
    """
    rows = [
        (trial.values, trial.score - math.fsum(_scores(trials)) / len(_scores(trials)))
        for trials in searches
        for trial in trials
        if trial.score is not None
    ]
    if len(rows) < MIN_TRIALS:
        return f"too few trials: {len(rows)} are finished, and importance needs at least {MIN_TRIALS}"
    varying = {
        key: _on_linear_scale(each)
        for key, each in distributions.items()
        if len({values[key] for values, _ in rows}) > 1
    }
    if not varying or max(score for _, score in rows) - min(score for _, score in rows) < 1e-12:
        return "all finished trials have the same score, so no parameter explains anything"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction="maximize", storage=optuna.storages.InMemoryStorage())
        for values, score in rows:
            params = {
                key: math.log(values[key]) if getattr(distributions[key], "log", False) else values[key]
                for key in varying
            }
            study.add_trial(optuna.trial.create_trial(params=params, distributions=varying, value=score))
        evaluator = FanovaImportanceEvaluator(seed=seed % 2**32)
        found = get_param_importances(study, evaluator=evaluator)
    if not all(math.isfinite(share) for share in found.values()) or not math.fsum(found.values()):
        return "the forest finds no variation that a parameter explains"
    return {key: float(found.get(key, 0.0)) for key in distributions}


def _on_linear_scale(distribution: BaseDistribution) -> BaseDistribution:
    """Return the distribution of the logarithm for values on a logarithmic scale, otherwise the distribution itself."""
    if isinstance(distribution, FloatDistribution | IntDistribution) and distribution.log:
        return FloatDistribution(math.log(distribution.low), math.log(distribution.high))
    return distribution


def _scores(trials: Sequence[Trial]) -> list[float]:
    return [trial.score for trial in trials if trial.score is not None]
