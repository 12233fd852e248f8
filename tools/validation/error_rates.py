"""How often tests reject and intervals contain the truth, counted on simulated test sets (`simulation`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from joblib import Parallel, delayed
from scipy.stats import binomtest

from microexpr.config.scores import confusion_metric
from microexpr.core.confusion import present
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ConfusionMetric
from microexpr.evaluation.statistics.bootstrap import BootstrapInterval, Method, Resamples, resample_pair
from microexpr.evaluation.statistics.paired_permutation import PairedPermutation, paired_permutation
from microexpr.evaluation.statistics.paired_tests import mcnemar, signed_rank
from microexpr.evaluation.statistics.power import POWER, Precision, detectable, precision
from microexpr.evaluation.statistics.scope import LEVEL
from tools.validation.simulation import Drawn, Scenario, draw, gap_for, population, true_score

BLOCK = 50
"""Test sets drawn from one random stream: processes take whole blocks, so their number does not change results."""

METHODS: tuple[Method, ...] = ("percentile", "bca", "expanded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a scenario is measured; `jobs` are processes."""

    metric: str = "uf1"
    simulations: int = 2_000
    resamples: int = 1_000
    permutations: int = 999
    seed: int = 0
    jobs: int = 1


DEFAULT = Settings()


def measure(scenario: Scenario, settings: Settings = DEFAULT, difference: float = 0.0) -> pd.DataFrame:
    """Return one row for each test and interval of one scenario, with `difference` planted in units of the metric.

    `quantity` is "rejects" (a test, or an interval of the difference without 0), "holds the difference" or "holds the
    score"; `share` is how often, with its exact 95 % interval `low`, `high`; `n` is the number of sets for which `way`
    gave a result.
    """
    gap = gap_for(scenario, settings.metric, difference)
    one = partial(_one, scenario=scenario, settings=settings, gap=gap, truth=population(scenario, gap))
    outcomes = pd.DataFrame(_repeat(one, settings))
    described = {
        "clips": scenario.clips,
        "subjects": scenario.subjects,
        "subject_sd": scenario.subject_sd,
        "suit_sd": scenario.suit_sd,
        "metric": settings.metric,
        "planted": difference,
    }
    return pd.DataFrame(
        [
            {**described, "quantity": column[0], "way": column[1], **_share(outcomes[column])}
            for column in outcomes.columns
        ]
    )


def find_detectable(scenario: Scenario, settings: Settings = DEFAULT, power: float = POWER) -> dict[str, Any]:
    """Return how often the permutation test by subject finds a difference that a test set states as just detectable.

    Each simulation draws a test set without a difference, computes its smallest detectable difference, plants one of
    that size and draws another test set, as in a study that is planned with one and tested with the other.
    """
    grid, everything = np.linspace(0, 6, 25), np.arange(len(scenario.shares))
    scores = [[true_score(one, settings.metric, everything) for one in population(scenario, float(g))] for g in grid]
    planted = np.subtract(*np.array(scores).T)
    one = partial(_detect, scenario=scenario, settings=settings, power=power, curve=np.stack([planted, grid]))
    outcomes = pd.DataFrame(_repeat(one, settings))
    return {
        "clips": scenario.clips,
        "metric": settings.metric,
        "stated": float(outcomes["stated"].median()),
        "beyond": int(outcomes["found"].isna().sum()),
        **_share(outcomes["found"]),
    }


def _repeat(one: Callable[[np.random.Generator], dict[Any, float]], settings: Settings) -> list[dict[Any, float]]:
    starts = range(0, settings.simulations, BLOCK)
    blocks = (
        delayed(_block)(one, np.random.default_rng([settings.seed, start]), min(BLOCK, settings.simulations - start))
        for start in starts
    )
    return [row for rows in Parallel(n_jobs=settings.jobs)(blocks) for row in rows]


def _block(
    one: Callable[[np.random.Generator], dict[Any, float]], rng: np.random.Generator, size: int
) -> list[dict[Any, float]]:
    return [one(rng) for _ in range(size)]


def _one(
    rng: np.random.Generator, scenario: Scenario, settings: Settings, gap: float, truth: Float[np.ndarray, "2 k k"]
) -> dict[Any, float]:
    """Draw one test set and return the outcome of every test and interval on it; nan if it has no result."""
    sets, metric, num_classes = draw(scenario, rng, gap), confusion_metric(settings.metric), len(scenario.shares)
    averaged_classes = present(sets.y_true, num_classes)
    scores = [true_score(matrix, settings.metric, sets.y_true) for matrix in truth]
    outcomes = {
        ("rejects", name): _rejects(p) for name, p in _p_values(sets, metric, averaged_classes, settings, rng).items()
    }
    for (unit, stratified), (score_resamples, difference_resamples) in _resampled(
        sets, metric, averaged_classes, settings, rng
    ).items():
        for method in METHODS:
            way = _way(method, unit, stratified)
            score, difference = _interval(score_resamples, method), _interval(difference_resamples, method)
            outcomes["holds the score", way] = _holds(score, scores[0])
            outcomes["holds the difference", way] = _holds(difference, scores[0] - scores[1])
            outcomes["rejects", way] = 1 - _holds(difference, 0.0)
    return outcomes


def _resampled(
    sets: Drawn,
    metric: ConfusionMetric,
    averaged_classes: Bool[np.ndarray, "k"],
    settings: Settings,
    rng: np.random.Generator,
) -> dict[tuple[str, bool], tuple[Resamples, Resamples]]:
    """Return the first classifier's score and the difference, resampled by clip, by clip in strata, and by subject."""
    given: dict[str, Any] = {
        "num_classes": averaged_classes.size,
        "averaged_classes": averaged_classes,
        "rng": rng,
        "n": settings.resamples,
    }
    labels = (metric, sets.y_true, sets.y_a, sets.y_b)
    return {
        ("clip", False): resample_pair(*labels, **given),
        ("clip", True): resample_pair(*labels, **given, stratified=True),
        ("subject", False): resample_pair(*labels, **given, subjects=sets.subjects),
    }


def _way(method: Method, unit: str, stratified: bool) -> str:
    return f"{method} by {unit}" + (", stratified" if stratified else "")


def _p_values(
    sets: Drawn,
    metric: ConfusionMetric,
    averaged_classes: Bool[np.ndarray, "k"],
    settings: Settings,
    rng: np.random.Generator,
) -> dict[str, float | None]:
    labels = (sets.y_true, sets.y_a, sets.y_b)
    given: dict[str, Any] = {
        "num_classes": averaged_classes.size,
        "averaged_classes": averaged_classes,
        "rng": rng,
        "n": settings.permutations,
    }
    return {
        "permutation by subject": paired_permutation(metric, *labels, subjects=sets.subjects, **given).p_value,
        "permutation by clip": paired_permutation(metric, *labels, **given).p_value,
        "McNemar": mcnemar(*labels).p_value,
        "Wilcoxon": signed_rank(*labels, sets.subjects).p_value,
    }


def _detect(
    rng: np.random.Generator,
    scenario: Scenario,
    settings: Settings,
    power: float,
    curve: Float[np.ndarray, "2 g"],
) -> dict[Any, float]:
    """Compute what one test set can detect, plant it, and test for it in another; nan if nothing can be stated."""
    metric = confusion_metric(settings.metric)

    def test(sets: Drawn) -> tuple[PairedPermutation, Precision]:
        given: dict[str, Any] = {"num_classes": len(scenario.shares), "subjects": sets.subjects}
        given["averaged_classes"] = present(sets.y_true, given["num_classes"])
        labels = (metric, sets.y_true, sets.y_a, sets.y_b)
        return paired_permutation(*labels, rng=rng, n=settings.permutations, **given), precision(*labels, **given)

    swapped, precise = test(draw(scenario, rng))
    stated = None if swapped.step is None else detectable(precise, step=swapped.step, power=power)
    if stated is None or stated > curve[0, -1]:  # larger than any difference that the scenario can have
        return {"stated": np.nan if stated is None else stated, "found": np.nan}
    after, _ = test(draw(scenario, rng, float(np.interp(stated, *curve))))
    return {"stated": stated, "found": _rejects(after.p_value)}


def _rejects(p_value: float | None) -> float:
    """Return whether a test rejects; a test without a p-value does not."""
    return float(p_value is not None and p_value <= LEVEL + 1e-12)


def _interval(drawn: Resamples, method: Method) -> BootstrapInterval | None:
    """Return the interval, or None if there is none."""
    try:
        return drawn.interval(method)
    except ConfigError:
        return None


def _holds(interval: BootstrapInterval | None, value: float) -> float:
    if interval is None:
        return float("nan")
    return float(interval.low - 1e-12 <= value <= interval.high + 1e-12)


def _share(outcomes: pd.Series[float]) -> dict[str, Any]:
    given = outcomes.dropna()
    if given.empty:
        return {"share": None, "low": None, "high": None, "n": 0}
    count = binomtest(int(given.sum()), len(given))
    interval = count.proportion_ci(0.95, method="exact")
    return {"share": float(given.mean()), "low": float(interval.low), "high": float(interval.high), "n": len(given)}
