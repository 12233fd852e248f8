"""The smallest difference that a test set can detect."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Shaped
from scipy.stats import norm, t

from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ConfusionMetric
from microexpr.evaluation.statistics._units import TIE, effective_freedom, units_of
from microexpr.evaluation.statistics.scope import LEVEL

POWER = 0.8


class Precision(NamedTuple):
    """The standard error of a difference and its degrees of freedom."""

    error: float
    freedom: float


def precision(
    metric: ConfusionMetric,
    y_true: Int[np.ndarray, "n"],
    y_a: Int[np.ndarray, "*s n"],
    y_b: Int[np.ndarray, "*s n"],
    *,
    num_classes: int,
    averaged_classes: Bool[np.ndarray, "k"],
    subjects: Shaped[np.ndarray, "n"] | None = None,
) -> Precision:
    """Return the jackknife standard error of score `y_a` minus score `y_b`, by subject or otherwise by clip.

    The spread of bootstrap resamples is too small if a class has few clips, because resamples that lose it score it 0
    for both: by a sixth on seven classes of 255 clips, two of them with 7 and 2. The jackknife is biased upwards (Efron
    & Stein, 1981), but little. Degrees of freedom use the effective number of subjects: a subject with many clips
    counts more. `y_a` and `y_b` may each hold several predictions, one per row, whose mean scores are compared.
    """
    units = units_of(y_true, [*np.atleast_2d(y_a), *np.atleast_2d(y_b)], num_classes, subjects)
    number = int(units.counts.sum())
    if number < 2:
        raise ConfigError(
            "E802" if subjects is None else "E803", "a standard error needs at least two clips or subjects."
        )
    scores = metric.of_confusion(units.total() - units.matrices, averaged_classes)
    without = np.subtract(*np.split(scores, 2, axis=1)).mean(axis=1)
    spread = np.average((without - np.average(without, weights=units.counts)) ** 2, weights=units.counts)
    error = math.sqrt((number - 1) * float(spread))
    return Precision(error if error > TIE else 0.0, effective_freedom(units.sizes(), units.counts))


def detectable(found: Precision, *, step: float = 0.0, power: float = POWER, level: float = LEVEL) -> float | None:
    """Return the true difference that a two-sided test at `level` detects with probability `power`.

    It is c * error + step / 2. With f degrees of freedom a standard error varies by about 1 / sqrt(2 f) of itself, both
    in the test set that states the difference and in the one that is to detect it, where the test compares with t. So
    c - t = z * sqrt(1 + (c^2 + t^2) / (2 f)), with z the normal quantile of `power`, is solved for c. Many subjects
    need 2.80 errors, 24 even ones 3.03, 12 need 3.30. `step` is the distance between the values at which the test can
    reject (`PairedPermutation.step`); half of it is lost.

    None if the two never differ. The result is a property of the test set and of how much the two disagree, not of the
    observed difference.

    >>> round(detectable(Precision(0.04, 23)), 4)
    0.121
    """
    if not (0.5 <= power < 1 and 0 < level < 0.5):
        raise ConfigError(
            "E801",
            f"a detectable difference needs a power from 0.5 to 1 and a level between 0 and 0.5, not {power:g} and "
            f"{level:g}.",
        )
    if found.error == 0:
        return None
    z, critical = float(norm.ppf(power)), float(t.ppf(1 - level / 2, found.freedom))
    rest = 1 - z**2 / (2 * found.freedom)
    if rest <= 0:
        raise ConfigError(
            "E808", f"with so few subjects, no difference can be detected with power {power:g}. Set a lower power."
        )
    errors = (critical + math.sqrt(critical**2 * (1 - rest**2) + rest * z**2)) / rest
    return errors * found.error + step / 2
