"""Percentile intervals of a score by resampling clips or persons (Efron & Tibshirani, 1993, chapter 13).

Scores that follow from a confusion matrix are resampled as matrices: drawing N clips with replacement draws the
matrix's cells from a multinomial distribution, and drawing persons adds up their matrices. Both are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    if y_true.size == 0 or n < 1 or not 0 < level < 1:
        raise ConfigError("an interval needs at least one clip, one resample and a level between 0 and 1.")
    if persons is not None and np.unique(persons).size < 2:
        raise ConfigError("an interval over persons needs at least two persons. Resample clips instead.")
    if isinstance(metric, ConfusionMetric):
        point = float(metric.of_confusion(confusion_matrix(y_true, y_pred, k), over))
        scores = np.concatenate(
            [metric.of_confusion(drawn, over) for drawn in _matrices(y_true, y_pred, k, persons, n, rng)]
        )
    else:
        if proba is None:
            raise ValueError("this metric does not follow from a confusion matrix: pass proba")
        point = metric(y_true, y_pred, proba, over)
        scores = np.array([metric(y_true[r], y_pred[r], proba[r], over) for r in _rows(y_true.size, persons, n, rng)])
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return BootstrapInterval(float(low), float(high), point, n, "clip" if persons is None else "person")


def _matrices(
    y_true: Int[np.ndarray, "n"],
    y_pred: Int[np.ndarray, "n"],
    k: int,
    persons: Shaped[np.ndarray, "n"] | None,
    n: int,
    rng: np.random.Generator,
) -> Iterator[Float[np.ndarray, "chunk k k"]]:
    """Draw units with replacement and add up their confusion matrices."""
    if persons is None:
        # Clips in the same cell are one and the same to a confusion matrix, so cells are drawn, by their share.
        cells = confusion_matrix(y_true, y_pred, k).ravel()
        found = np.flatnonzero(cells)
        units, share, draws = np.eye(k * k)[found], cells[found] / y_true.size, y_true.size
    else:
        names, number = np.unique(persons, return_inverse=True)
        units = np.zeros((names.size, k * k))
        np.add.at(units, (number, y_true.astype(np.int64) * k + y_pred), 1)
        share, draws = np.full(names.size, 1 / names.size), names.size
    for start in range(0, n, CHUNK):
        size = min(CHUNK, n - start)
        yield (rng.multinomial(draws, share, size=size) @ units).reshape(size, k, k)


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
