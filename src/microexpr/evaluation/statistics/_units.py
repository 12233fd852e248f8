"""Units of resampling and permutation: clips or subjects, as confusion matrices that add up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.stats import norm, t

from microexpr.core.confusion import confusion_matrix
from microexpr.core.errors import ConfigError

TIE = 1e-12
"""Scores this close are equal: the same rational number can come out of two matrices with different rounding."""


class Units(NamedTuple):
    """Units and the confusion matrices of m predictions; units with equal matrices share one row."""

    matrices: Float[np.ndarray, "u m k k"]
    """Matrices of one unit of each row."""
    counts: Int[np.ndarray, "u"]
    """Number of units per row; always 1 for subjects."""
    strata: Int[np.ndarray, "u"]
    """True class of each row if clips are stratified, otherwise 0."""

    def total(self) -> Float[np.ndarray, "m k k"]:
        """Add up all units."""
        return np.asarray(np.tensordot(self.counts, self.matrices, axes=1), float)

    def sizes(self) -> Float[np.ndarray, "u"]:
        """Count the clips of one unit of each row."""
        return np.asarray(self.matrices[:, 0].sum(axis=(-2, -1)))


def effective_freedom(sizes: Float[np.ndarray, "u"], counts: Int[np.ndarray, "u"]) -> float:
    """Return the degrees of freedom of a variance between units: their effective number minus one, at least 1.

    The effective number (Kish, 1965) is (sum n)^2 / sum n^2 of the units' clips: if three subjects have most of the
    clips, it is about three, however many other subjects there are.

    >>> effective_freedom(np.array([5.0, 5.0, 5.0, 5.0]), np.ones(4, int))
    3.0
    >>> effective_freedom(np.array([1.0]), np.array([28]))
    27.0
    """
    effective = (counts * sizes).sum() ** 2 / (counts * sizes**2).sum()
    return max(float(effective) - 1, 1.0)


def expansion(sizes: Float[np.ndarray, "u"], counts: Int[np.ndarray, "u"], level: float) -> float:
    """Return by how much percentiles move outwards: t over normal quantile, and n over n - 1 of the variance.

    >>> round(expansion(np.full(6, 5.0), np.ones(6, int), 0.95), 3)
    1.437
    """
    number = float(counts.sum())
    if number < 2:
        raise ConfigError("E802", "an expanded interval needs at least two clips. Use percentiles.")
    half = (1 + level) / 2
    return float(t.ppf(half, effective_freedom(sizes, counts)) / norm.ppf(half) * np.sqrt(number / (number - 1)))


def expanded_shares(sizes: Float[np.ndarray, "u"], counts: Int[np.ndarray, "u"], level: float) -> list[float]:
    """Return the shares of resamples below the ends of an expanded interval (Hesterberg, 2015).

    Percentiles over few units are too narrow. These use the effective number of units, each with `sizes` clips;
    `docs/validation.md` reports their coverage.

    >>> [round(share, 4) for share in expanded_shares(np.full(6, 5.0), np.ones(6, int), 0.95)]
    [0.0024, 0.9976]
    """
    normal = norm.ppf([(1 - level) / 2, (1 + level) / 2])
    return [float(share) for share in norm.cdf(normal * expansion(sizes, counts, level))]


def units_of(
    y_true: Int[np.ndarray, "n"],
    predictions: Sequence[Int[np.ndarray, "n"]],
    num_classes: int,
    subjects: Shaped[np.ndarray, "n"] | None = None,
    *,
    stratified: bool = False,
) -> Units:
    """Return clips, or subjects if `subjects` names each clip's, in the order of their codes or names."""
    codes = np.stack([y_true.astype(np.int64) * num_classes + y_pred for y_pred in predictions], axis=1)
    if subjects is None:
        codes, counts = np.unique(codes, axis=0, return_counts=True)
        number, rows = np.arange(len(codes)), len(codes)
        strata = codes[:, 0] // num_classes if stratified else np.zeros(rows, np.int64)
    else:
        names, number = np.unique(subjects, return_inverse=True)
        rows = names.size
        counts, strata = np.ones(rows, np.int64), np.zeros(rows, np.int64)
    matrices = np.zeros((rows, len(predictions), num_classes * num_classes))
    for at in range(len(predictions)):
        np.add.at(matrices[:, at], (number, codes[:, at]), 1)
    return Units(matrices.reshape(rows, len(predictions), num_classes, num_classes), counts, strata)


def check_labels(
    y_true: Int[np.ndarray, "n"],
    predictions: Sequence[Int[np.ndarray, "n"]],
    num_classes: int,
    subjects: Shaped[np.ndarray, "_"],
) -> None:
    """Raise ConfigError unless there are clips of at least two subjects and two classes."""
    if y_true.size == 0:
        raise ConfigError("E802", "there are no clips. Provide predictions for clips from at least two subjects.")
    for y_pred in predictions:
        confusion_matrix(y_true, y_pred, num_classes)  # raises for class numbers out of range
    if np.unique(subjects).size < 2:
        raise ConfigError(
            "E803",
            f"all clips are of one subject ({subjects[0]}), which says nothing about other subjects. Use clips of "
            "several subjects.",
        )
    if np.unique(y_true).size < 2:
        raise ConfigError(
            "E804", f"all clips belong to one class (number {y_true[0]}). Provide clips of at least two classes."
        )
