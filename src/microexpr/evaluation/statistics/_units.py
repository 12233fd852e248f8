"""What is resampled, swapped or left out: clips or subjects, as confusion matrices that add up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.stats import norm, t

from microexpr.core.confusion import confusion_matrix
from microexpr.core.errors import ConfigError

TIE = 1e-12
"""Scores this near are equal: the same rational number can come out of two matrices with different rounding."""


class Units(NamedTuple):
    """Units and the confusion matrices of m predictions; units that are alike to the matrices share one row."""

    matrices: Float[np.ndarray, "u m k k"]
    """Matrices of one unit of each row."""
    counts: Int[np.ndarray, "u"]
    """How many units each row stands for; always 1 for subjects."""
    strata: Int[np.ndarray, "u"]
    """The true class of each row where clips are stratified, else 0."""

    def total(self) -> Float[np.ndarray, "m k k"]:
        """Add up all units."""
        return np.asarray(np.tensordot(self.counts, self.matrices, axes=1), float)

    def sizes(self) -> Float[np.ndarray, "u"]:
        """Count the clips of one unit of each row."""
        return np.asarray(self.matrices[:, 0].sum(axis=(-2, -1)))


def freedom_of(sizes: Float[np.ndarray, "u"], counts: Int[np.ndarray, "u"]) -> float:
    """Return the degrees of freedom of a variance between units: their effective number less one, at least 1.

    The effective number (Kish, 1965) is (sum n)^2 / sum n^2 of the units' clips: where three subjects have most of the
    clips, it is about three, however many others there are.

    >>> freedom_of(np.array([5.0, 5.0, 5.0, 5.0]), np.ones(4, int)), freedom_of(np.array([1.0]), np.array([28]))
    (3.0, 27.0)
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
        raise ConfigError("E104", "an expanded interval needs at least two clips. Use percentiles.")
    half = (1 + level) / 2
    return float(t.ppf(half, freedom_of(sizes, counts)) / norm.ppf(half) * np.sqrt(number / (number - 1)))


def expanded_shares(sizes: Float[np.ndarray, "u"], counts: Int[np.ndarray, "u"], level: float) -> list[float]:
    """Return the shares of resamples that lie below the ends of an expanded interval (Hesterberg, 2015).

    Percentiles over few units are too narrow. These count the effective number of units, of which each brings `sizes`
    clips; `docs/validation.md` has what they cover.

    >>> [round(share, 4) for share in expanded_shares(np.full(6, 5.0), np.ones(6, int), 0.95)]
    [0.0024, 0.9976]
    """
    normal = norm.ppf([(1 - level) / 2, (1 + level) / 2])
    return [float(share) for share in norm.cdf(normal * expansion(sizes, counts, level))]


def units_of(
    y_true: Int[np.ndarray, "n"],
    guesses: Sequence[Int[np.ndarray, "n"]],
    k: int,
    subjects: Shaped[np.ndarray, "n"] | None = None,
    *,
    stratified: bool = False,
) -> Units:
    """Return clips, or subjects where `subjects` names each clip's, in the order of their codes or names."""
    codes = np.stack([y_true.astype(np.int64) * k + guess for guess in guesses], axis=1)
    if subjects is None:
        codes, counts = np.unique(codes, axis=0, return_counts=True)
        number, rows = np.arange(len(codes)), len(codes)
        strata = codes[:, 0] // k if stratified else np.zeros(rows, np.int64)
    else:
        names, number = np.unique(subjects, return_inverse=True)
        rows = names.size
        counts, strata = np.ones(rows, np.int64), np.zeros(rows, np.int64)
    matrices = np.zeros((rows, len(guesses), k * k))
    for at in range(len(guesses)):
        np.add.at(matrices[:, at], (number, codes[:, at]), 1)
    return Units(matrices.reshape(rows, len(guesses), k, k), counts, strata)


def check_labels(
    y_true: Int[np.ndarray, "n"], guesses: Sequence[Int[np.ndarray, "n"]], k: int, subjects: Shaped[np.ndarray, "_"]
) -> None:
    """Raise ConfigError where nothing can be told of subjects or classes."""
    if y_true.size == 0:
        raise ConfigError("E104", "there is no clip to compare. Give predictions of at least two subjects' clips.")
    for guess in guesses:
        confusion_matrix(y_true, guess, k)  # raises on class numbers outside 0..k-1
    if np.unique(subjects).size < 2:
        raise ConfigError(
            "E104",
            "all clips are of one subject, and nothing follows from one subject for others. Give clips of several.",
        )
    if np.unique(y_true).size < 2:
        raise ConfigError(
            "E104",
            "all clips are of one class, so no score over classes tells anything. Give clips of two classes or more.",
        )
