"""Several seeds of one experiment on the same clips: variance between seeds, and variance between subjects.

Seeds and subjects are crossed: every seed predicts every subject. The score is turned into pseudo-values, one for each
seed and subject (u times the score minus u - 1 times the score without the subject), and these are decomposed by a
two-way analysis of variance with both factors random. Dorfman, Berbaum and Metz (1992) introduced this for readers and
cases in radiology, where it has been the standard since; here seeds take the place of readers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.stats import t

from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ConfusionMetric
from microexpr.evaluation.statistics._units import check_labels, units_of


@dataclass(frozen=True, slots=True)
class SeedSplit:
    """The mean score over seeds with its interval, and its variance components.

    Variances are of the score of one seed on one test set like this one: `seed_variance` between seeds, `unit_variance`
    between draws of clips or subjects, `joint_variance` of their interaction, including chance in single clips. Their
    sum is the variance of a single published score, and the shares are parts of it; shares are None if nothing varies.
    """

    scores: tuple[float, ...]
    mean: float
    low: float
    high: float
    seed_sd: float
    """Standard deviation of the seeds' observed scores, which includes the joint part."""
    seed_variance: float
    unit_variance: float
    joint_variance: float
    seed_share: float | None
    unit_share: float | None
    joint_share: float | None
    freedom: float
    """Degrees of freedom of the interval (Satterthwaite); infinite if nothing varies."""
    unit: Literal["clip", "subject"]
    level: float


def split_seeds(
    metric: ConfusionMetric,
    y_true: Int[np.ndarray, "n"],
    predictions: Int[np.ndarray, "s n"],
    subjects: Shaped[np.ndarray, "n"],
    *,
    num_classes: int,
    averaged_classes: Bool[np.ndarray, "k"],
    unit: Literal["clip", "subject"] = "subject",
    level: float = 0.95,
) -> SeedSplit:
    """Return the mean over seeds (one row of `predictions` each), an interval, and the variance components.

    With S seeds and u units the variance of the mean is (MS_seed + max(MS_unit - MS_joint, 0)) / (S u), with
    Satterthwaite's degrees of freedom (Hillis, 2007). The interval refers to other seeds and other subjects. It is cut
    off at 0 and 1, the range of every score computed from confusion matrices here.
    """
    if len(predictions) < 2:
        raise ConfigError(
            "E811", "one seed says nothing about others. Run the experiment with at least two (seed = 0, 1 ...)."
        )
    if not 0 < level < 1:
        raise ConfigError("E801", f"an interval needs a level between 0 and 1, not {level:g}.")
    check_labels(y_true, list(predictions), num_classes, subjects)
    names = subjects if unit == "subject" else np.arange(y_true.size)
    units = units_of(y_true, list(predictions), num_classes, names)
    total = units.total()
    scores = metric.of_confusion(total, averaged_classes)
    without = metric.of_confusion(total - units.matrices, averaged_classes)
    if not np.isfinite(without).all():
        raise ConfigError("E809", f"if one {unit} is left out, no class remains to be scored. Provide more clips.")
    size = len(without)
    mean_squares = _mean_squares(size * scores - (size - 1) * without)
    return _split(scores, mean_squares, size, unit, level)


def _mean_squares(values: Float[np.ndarray, "u s"]) -> Float[np.ndarray, "3"]:
    """Return the mean squares of seeds, units and the rest of a two-way table."""
    units, seeds = values.shape
    by_seed, by_unit, mean = values.mean(axis=0), values.mean(axis=1), values.mean()
    rest = values - by_seed - by_unit[:, None] + mean
    return np.array(
        [
            units * ((by_seed - mean) ** 2).sum() / (seeds - 1),
            seeds * ((by_unit - mean) ** 2).sum() / (units - 1),
            (rest**2).sum() / ((seeds - 1) * (units - 1)),
        ]
    )


def _split(
    scores: Float[np.ndarray, "s"],
    mean_squares: Float[np.ndarray, "3"],
    units: int,
    unit: Literal["clip", "subject"],
    level: float,
) -> SeedSplit:
    seeds, (of_seeds, of_units, of_rest) = scores.size, mean_squares
    beyond = max(of_units - of_rest, 0.0)
    variance = (of_seeds + beyond) / (seeds * units)
    freedom = _freedom(mean_squares, seeds, units)
    half = float(t.ppf((1 + level) / 2, freedom)) * np.sqrt(variance) if variance > 0 else 0.0
    parts = max(of_seeds - of_rest, 0.0) / units, beyond / seeds / units, of_rest / units
    mean, whole = float(scores.mean()), sum(parts)
    shares = [float(part / whole) if whole > 0 else None for part in parts]
    return SeedSplit(
        scores=tuple(float(score) for score in scores),
        mean=mean,
        low=float(max(mean - half, 0)),
        high=float(min(mean + half, 1)),
        seed_sd=float(scores.std(ddof=1)),
        seed_variance=float(parts[0]),
        unit_variance=float(parts[1]),
        joint_variance=float(parts[2]),
        seed_share=shares[0],
        unit_share=shares[1],
        joint_share=shares[2],
        freedom=freedom,
        unit=unit,
        level=level,
    )


def _freedom(mean_squares: Float[np.ndarray, "3"], seeds: int, units: int) -> float:
    of_seeds, of_units, of_rest = mean_squares
    spread = of_seeds**2 / (seeds - 1)
    whole = of_seeds
    if of_units > of_rest:
        whole = of_seeds + of_units - of_rest
        spread += of_units**2 / (units - 1) + of_rest**2 / ((seeds - 1) * (units - 1))
    return float(whole**2 / spread) if spread > 0 else float("inf")
