"""Bootstrap intervals of a score over clips or subjects (Efron & Tibshirani, 1993, chapters 13 and 14).

Scores that can be computed from a confusion matrix are resampled as matrices: drawing N clips with replacement draws
the cells of the matrix from a multinomial distribution, and drawing subjects adds up their matrices. Both are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.stats import norm

from microexpr.core.confusion import confusion_matrix
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ConfusionMetric, Metric
from microexpr.evaluation.statistics._units import TIE, Units, expanded_shares, units_of

CHUNK = 1_000
"""Resamples scored at once: limits the memory, never changes a result."""

Method: TypeAlias = Literal["percentile", "bca", "expanded"]
"""How an interval is computed from resamples; see `bootstrap`."""
METHODS: Mapping[Method, str] = {
    "percentile": "percentile bootstrap",
    "bca": "BCa bootstrap",
    "expanded": "expanded percentile bootstrap",
}
"""Names in texts."""


@dataclass(frozen=True, slots=True)
class BootstrapInterval:
    """A score and its interval over `n` resamples of `unit`."""

    low: float
    high: float
    point: float
    n: int
    unit: Literal["clip", "subject"]
    method: Method = "percentile"
    stratified: bool = False


def bootstrap(
    metric: Metric,
    y_true: Int[np.ndarray, "n"],
    y_pred: Int[np.ndarray, "n"],
    *,
    num_classes: int,
    averaged_classes: Bool[np.ndarray, "k"],
    rng: np.random.Generator,
    n: int = 10_000,
    subjects: Shaped[np.ndarray, "n"] | None = None,
    level: float = 0.95,
    proba: Float[np.ndarray, "n k"] | None = None,
    method: Method = "percentile",
    stratified: bool = False,
) -> BootstrapInterval:
    """Return the score and its interval; clips are resampled, or whole subjects if `subjects` names each clip's.

    Clips of one subject resemble each other, so an interval over clips is too narrow for the question how the model
    performs on new subjects; an interval over subjects answers that question. The trained model is treated as fixed:
    the interval does not cover other seeds or splits. `averaged_classes` stays that of the point estimate, so a
    resample never changes which classes count. A metric without `of_confusion` is called once per resample, and needs
    `proba`.

    `stratified` draws clips within their true class, so every resample keeps the class sizes; the interval then treats
    these sizes as fixed.

    `method` says how the interval is computed from the resamples. "percentile" takes the percentiles of `level`, as the
    paper does. "bca" corrects them for bias and for a spread that changes with the score (Efron, 1987), by leaving out
    each clip or subject once. "expanded" moves them outwards as Student's t does compared with the normal distribution
    (Hesterberg, 2015), because percentiles over few subjects are too narrow; it uses the effective number of subjects.
    """
    if isinstance(metric, ConfusionMetric):
        return bootstrap_all(
            {"": metric},
            y_true,
            y_pred,
            num_classes=num_classes,
            averaged_classes=averaged_classes,
            rng=rng,
            n=n,
            subjects=subjects,
            level=level,
            method=method,
            stratified=stratified,
        )[""]
    _check(y_true, subjects, n, level, stratified, method)
    if proba is None:
        raise ValueError("this metric cannot be computed from a confusion matrix: pass proba")
    groups, strata = _groups(y_true, subjects, stratified)

    def of_rows(rows: Int[np.ndarray, "m"]) -> float:
        return metric(y_true[rows], y_pred[rows], proba[rows], averaged_classes)

    point = metric(y_true, y_pred, proba, averaged_classes)
    scores = np.array([of_rows(rows) for rows in _rows(groups, strata, n, rng)])
    sample = _Sample(
        lambda: np.array([of_rows(_without(groups, at)) for at in range(len(groups))]),
        np.ones(len(groups), np.int64),
        strata,
        np.array([group.size for group in groups], float),
    )
    return Resamples(scores, point, _unit(subjects), stratified, sample).interval(method, level)


def bootstrap_all(
    metrics: Mapping[str, ConfusionMetric],
    y_true: Int[np.ndarray, "n"],
    y_pred: Int[np.ndarray, "n"],
    *,
    num_classes: int,
    averaged_classes: Bool[np.ndarray, "k"],
    rng: np.random.Generator,
    n: int = 10_000,
    subjects: Shaped[np.ndarray, "n"] | None = None,
    level: float = 0.95,
    method: Method = "percentile",
    stratified: bool = False,
) -> dict[str, BootstrapInterval]:
    """Return the interval of every metric over the same resamples, equal to that of `bootstrap`."""
    _check(y_true, subjects, n, level, stratified, method)
    units = units_of(y_true, [y_pred], num_classes, subjects, stratified=stratified)
    confusion = confusion_matrix(y_true, y_pred, num_classes)
    drawn: dict[str, list[Float[np.ndarray, "_"]]] = {name: [] for name in metrics}
    for matrices in resampled(units, n, rng):
        for name, metric in metrics.items():
            drawn[name].append(metric.of_confusion(matrices[:, 0], averaged_classes))

    def interval(name: str, metric: ConfusionMetric) -> BootstrapInterval:
        sample = _Sample.of(units, lambda matrices: metric.of_confusion(matrices[:, 0], averaged_classes))
        point, scores = float(metric.of_confusion(confusion, averaged_classes)), np.concatenate(drawn[name])
        return Resamples(scores, point, _unit(subjects), stratified, sample).interval(method, level)

    return {name: interval(name, metric) for name, metric in metrics.items()}


def resample_pair(
    metric: ConfusionMetric,
    y_true: Int[np.ndarray, "n"],
    y_a: Int[np.ndarray, "n"],
    y_b: Int[np.ndarray, "n"],
    *,
    num_classes: int,
    averaged_classes: Bool[np.ndarray, "k"],
    rng: np.random.Generator,
    n: int = 10_000,
    subjects: Shaped[np.ndarray, "n"] | None = None,
    stratified: bool = False,
) -> tuple[Resamples, Resamples]:
    """Return the resampled scores of `y_a`, and of `y_a` minus `y_b`, on the same resamples."""
    weights = np.array([[1.0, 0.0], [1.0, -1.0]])
    given: dict[str, Any] = {
        "num_classes": num_classes,
        "averaged_classes": averaged_classes,
        "rng": rng,
        "n": n,
        "subjects": subjects,
        "stratified": stratified,
    }
    score, difference = resample_sums(metric, y_true, [y_a, y_b], weights, **given)
    return score, difference


def resample_sums(
    metric: ConfusionMetric,
    y_true: Int[np.ndarray, "n"],
    predictions: Sequence[Int[np.ndarray, "n"]],
    weights: Float[np.ndarray, "sums m"],
    *,
    num_classes: int,
    averaged_classes: Bool[np.ndarray, "k"],
    rng: np.random.Generator,
    n: int = 10_000,
    subjects: Shaped[np.ndarray, "n"] | None = None,
    stratified: bool = False,
) -> tuple[Resamples, ...]:
    """Return weighted sums of the scores of m predictions, one per row of `weights`, all on the same resamples.

    Weights of 1/3 give the mean score of three seeds, weights of 1 and -1 a difference.
    """
    _check(y_true, subjects, n, 0.5, stratified, "percentile")
    units = units_of(y_true, predictions, num_classes, subjects, stratified=stratified)
    points = weights @ metric.of_confusion(units.total(), averaged_classes)
    scores = (
        np.concatenate([metric.of_confusion(matrices, averaged_classes) for matrices in resampled(units, n, rng)])
        @ weights.T
    )

    def sample(row: Float[np.ndarray, "m"]) -> _Sample:
        return _Sample.of(units, lambda matrices: metric.of_confusion(matrices, averaged_classes) @ row)

    return tuple(
        Resamples(scores[:, at], float(points[at]), _unit(subjects), stratified, sample(row))
        for at, row in enumerate(weights)
    )


def resampled(units: Units, n: int, rng: np.random.Generator) -> Iterator[Float[np.ndarray, "chunk m k k"]]:
    """Draw units with replacement, in each stratum as many as it has, and add up their confusion matrices."""
    strata = [np.flatnonzero(units.strata == stratum) for stratum in np.unique(units.strata)]
    shape, flat = units.matrices.shape[1:], units.matrices.reshape(len(units.counts), -1)
    sizes = np.array([units.counts[rows].sum() for rows in strata])
    # Smaller strata are padded in front: the last category of a multinomial gets the remainder.
    share = np.zeros((len(strata), max(map(len, strata))))
    row = np.zeros(share.shape, np.int64)
    for at, rows in enumerate(strata):
        share[at, -len(rows) :] = units.counts[rows] / sizes[at]
        row[at, -len(rows) :] = rows
    used = share.ravel() > 0
    for start in range(0, n, CHUNK):
        size = min(CHUNK, n - start)
        drawn = rng.multinomial(sizes, share, size=(size, len(strata))).reshape(size, -1)
        yield (drawn[:, used] @ flat[row.ravel()[used]]).reshape(size, *shape)


@dataclass(frozen=True, slots=True)
class _Sample:
    """The original units: the score without one of each row, and each row's number of units, stratum and clips."""

    without: Callable[[], Float[np.ndarray, "u"]]
    counts: Int[np.ndarray, "u"]
    strata: Int[np.ndarray, "u"]
    sizes: Float[np.ndarray, "u"]

    @classmethod
    def of(cls, units: Units, score: Callable[[Float[np.ndarray, "u m k k"]], Float[np.ndarray, "u"]]) -> _Sample:
        return cls(lambda: score(units.total() - units.matrices), units.counts, units.strata, units.sizes())

    def acceleration(self) -> float:
        """Return a sixth of the skewness of the units' influence (Davison & Hinkley, 1997, eq. 5.24, by jackknife)."""
        scores, counts = self.without(), self.counts.astype(float)
        second = third = 0.0
        for stratum in np.unique(self.strata):
            rows = self.strata == stratum
            weight, size = counts[rows], counts[rows].sum()
            if size < 2:  # in every resample, so it does not vary
                continue
            influence = (size - 1) * (np.average(scores[rows], weights=weight) - scores[rows])
            second += float((weight * influence**2).sum()) / size**2
            third += float((weight * influence**3).sum()) / size**3
        return third / (6 * second**1.5) if second > TIE**2 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """Scores, or differences of scores, of many resamples, from which intervals are computed."""

    scores: Float[np.ndarray, "draws"]
    point: float
    unit: Literal["clip", "subject"]
    stratified: bool
    sample: _Sample

    def interval(self, method: Method = "percentile", level: float = 0.95) -> BootstrapInterval:
        """Compute an interval; see `bootstrap` for the methods."""
        shares = [(1 - level) / 2, (1 + level) / 2]
        if method == "bca":
            shares = _corrected(self.scores, self.point, shares, self.sample)
        elif method == "expanded":
            shares = expanded_shares(self.sample.sizes, self.sample.counts, level)
        low, high = np.quantile(self.scores, shares)
        return BootstrapInterval(
            float(low), float(high), self.point, self.scores.size, self.unit, method, self.stratified
        )


def _check(
    y_true: Int[np.ndarray, "n"],
    subjects: Shaped[np.ndarray, "n"] | None,
    n: int,
    level: float,
    stratified: bool,
    method: Method,
) -> None:
    if y_true.size == 0:
        raise ConfigError("E802", "an interval needs at least one clip.")
    if n < 1 or not 0 < level < 1:
        raise ConfigError(
            "E801", f"an interval needs at least one resample and a level between 0 and 1, not {n} and {level:g}."
        )
    if subjects is not None and np.unique(subjects).size < 2:
        raise ConfigError("E803", "an interval over subjects needs at least two subjects. Resample clips instead.")
    if subjects is not None and stratified:
        raise ConfigError(
            "E805",
            "resampling subjects cannot keep the class sizes, because subjects have clips of several classes. "
            "Stratify clips, or resample subjects without strata.",
        )
    if method == "bca" and y_true.size < 2:
        raise ConfigError("E802", "a BCa interval needs at least two clips. Use percentiles.")


def _unit(subjects: Shaped[np.ndarray, "_"] | None) -> Literal["clip", "subject"]:
    return "clip" if subjects is None else "subject"


def _corrected(scores: Float[np.ndarray, "n"], point: float, shares: Sequence[float], sample: _Sample) -> list[float]:
    """Move the percentiles by bias and acceleration (Efron & Tibshirani, 1993, equations 14.10 to 14.15)."""
    below, same = (scores < point - TIE).mean(), (np.abs(scores - point) <= TIE).mean()
    bias = norm.ppf(below + same / 2)  # ties count half: a score takes few values
    if not np.isfinite(bias):
        raise ConfigError(
            "E806", "there is no BCa interval, because all resamples are on one side of the score. Use percentiles."
        )
    acceleration = sample.acceleration()
    moved = bias + norm.ppf(shares)
    if (acceleration * moved >= 1).any():
        raise ConfigError(
            "E806", "there is no BCa interval, because one clip or subject determines the score. Use percentiles."
        )
    return [float(share) for share in norm.cdf(bias + moved / (1 - acceleration * moved))]


def _groups(
    y_true: Int[np.ndarray, "n"], subjects: Shaped[np.ndarray, "n"] | None, stratified: bool
) -> tuple[list[Int[np.ndarray, "_"]], Int[np.ndarray, "u"]]:
    """Return the rows of each unit, and each unit's stratum."""
    if subjects is not None:
        groups = [np.flatnonzero(subjects == name) for name in np.unique(subjects)]
        return groups, np.zeros(len(groups), np.int64)
    groups = list(np.arange(y_true.size)[:, None])
    return groups, y_true.astype(np.int64) if stratified else np.zeros(y_true.size, np.int64)


def _rows(
    groups: Sequence[Int[np.ndarray, "_"]], strata: Int[np.ndarray, "u"], n: int, rng: np.random.Generator
) -> Iterator[Int[np.ndarray, "m"]]:
    """Draw units with replacement and return the rows of their clips."""
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    for _ in range(n):
        drawn = [units[rng.integers(len(units), size=len(units))] for units in members]
        yield np.concatenate([groups[unit] for unit in np.concatenate(drawn)])


def _without(groups: Sequence[Int[np.ndarray, "_"]], left: int) -> Int[np.ndarray, "m"]:
    return np.concatenate([group for at, group in enumerate(groups) if at != left])
