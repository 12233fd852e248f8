"""Percentile intervals of a score by resampling clips or persons (Efron & Tibshirani, 1993, chapter 13).

Scores that follow from a confusion matrix are resampled as matrices: drawing N clips with replacement draws the
matrix's cells from a multinomial distribution, and drawing persons adds up their matrices. Both are exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from microexpr.confusion import confusion_matrix
from microexpr.contracts import ConfusionMetric, Metric
from microexpr.errors import ConfigError

CHUNK = 1_000
"""Resamples scored at once: bounds the memory, never changes a result."""


@dataclass(frozen=True, slots=True)
class BootstrapInterval:
    """A score and its percentile interval over `n` resamples of `unit`."""

    low: float
    high: float
    point: float
    n: int
    unit: Literal["clip", "person"]


def bootstrap(
    metric: Metric,
    y_true: Int[np.ndarray, "n"],
    y_pred: Int[np.ndarray, "n"],
    *,
    k: int,
    over: Bool[np.ndarray, "k"],
    rng: np.random.Generator,
    n: int = 10_000,
    persons: Shaped[np.ndarray, "n"] | None = None,
    level: float = 0.95,
    proba: Float[np.ndarray, "n k"] | None = None,
) -> BootstrapInterval:
    """Return the score and its interval; clips are resampled, or whole persons where `persons` names each clip's.

    Clips of one person resemble each other, so an interval over clips is too narrow for the question how the model
    does on new people; over persons it answers that. The interval holds the trained model fixed: it knows nothing
    of other seeds or splits. `over` stays the point estimate's, so a resample never changes which classes count.
    A metric without `of_confusion` is called once a resample, and needs `proba`.
    """
    _check(y_true, persons, n, level)
    if isinstance(metric, ConfusionMetric):
        point = float(metric.of_confusion(confusion_matrix(y_true, y_pred, k), over))
        drawn = _matrices(y_true, [y_pred], k, persons, n, rng)
        scores = np.concatenate([metric.of_confusion(matrices[:, 0], over) for matrices in drawn])
    else:
        if proba is None:
            raise ValueError("this metric does not follow from a confusion matrix: pass proba")
        point = metric(y_true, y_pred, proba, over)
        scores = np.array([metric(y_true[r], y_pred[r], proba[r], over) for r in _rows(y_true.size, persons, n, rng)])
    return _interval(scores, point, persons, level)


def bootstrap_difference(
    metric: ConfusionMetric,
    y_true: Int[np.ndarray, "n"],
    y_a: Int[np.ndarray, "n"],
    y_b: Int[np.ndarray, "n"],
    *,
    k: int,
    over: Bool[np.ndarray, "k"],
    rng: np.random.Generator,
    n: int = 10_000,
    persons: Shaped[np.ndarray, "n"] | None = None,
    level: float = 0.95,
) -> BootstrapInterval:
    """Return the score of predictions `y_a` minus that of `y_b` on the same clips, and its interval.

    Both are scored on the same resamples, so what makes a clip hard for both cancels out.
    """
    _check(y_true, persons, n, level)
    point = np.subtract(*(metric.of_confusion(confusion_matrix(y_true, guess, k), over) for guess in (y_a, y_b)))
    drawn = _matrices(y_true, [y_a, y_b], k, persons, n, rng)
    scores = np.concatenate([metric.of_confusion(matrices, over) for matrices in drawn])
    return _interval(scores[:, 0] - scores[:, 1], float(point), persons, level)


def _check(y_true: Int[np.ndarray, "n"], persons: Shaped[np.ndarray, "n"] | None, n: int, level: float) -> None:
    if y_true.size == 0 or n < 1 or not 0 < level < 1:
        raise ConfigError("an interval needs at least one clip, one resample and a level between 0 and 1.")
    if persons is not None and np.unique(persons).size < 2:
        raise ConfigError("an interval over persons needs at least two persons. Resample clips instead.")


def _interval(
    scores: Float[np.ndarray, "n"], point: float, persons: Shaped[np.ndarray, "_"] | None, level: float
) -> BootstrapInterval:
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return BootstrapInterval(float(low), float(high), point, scores.size, "clip" if persons is None else "person")


def _matrices(
    y_true: Int[np.ndarray, "n"],
    guesses: Sequence[Int[np.ndarray, "n"]],
    k: int,
    persons: Shaped[np.ndarray, "n"] | None,
    n: int,
    rng: np.random.Generator,
) -> Iterator[Float[np.ndarray, "chunk m k k"]]:
    """Draw units with replacement and add up their confusion matrices, one for each of m predictions."""
    codes = np.stack([y_true.astype(np.int64) * k + guess for guess in guesses], axis=1)
    if persons is None:
        # Clips with the same codes are one and the same to the matrices, so codes are drawn, by their share.
        codes, counts = np.unique(codes, axis=0, return_counts=True)
        number, share, draws = np.arange(len(codes)), counts / y_true.size, y_true.size
    else:
        names, number = np.unique(persons, return_inverse=True)
        share, draws = np.full(names.size, 1 / names.size), names.size
    units = np.zeros((len(share), len(guesses), k * k))
    for at in range(len(guesses)):
        np.add.at(units[:, at], (number, codes[:, at]), 1)
    for start in range(0, n, CHUNK):
        size = min(CHUNK, n - start)
        drawn = rng.multinomial(draws, share, size=size) @ units.reshape(len(share), -1)
        yield drawn.reshape(size, len(guesses), k, k)


def _rows(
    clips: int, persons: Shaped[np.ndarray, "n"] | None, n: int, rng: np.random.Generator
) -> Iterator[Int[np.ndarray, "m"]]:
    """Draw units with replacement and return the rows of their clips."""
    if persons is None:
        yield from (rng.integers(clips, size=clips) for _ in range(n))
        return
    units = [np.flatnonzero(persons == name) for name in np.unique(persons)]
    for _ in range(n):
        yield np.concatenate([units[u] for u in rng.integers(len(units), size=len(units))])
