"""Paired permutation test of two classifiers: their predictions are swapped, subject by subject.

Edgington & Onghena (2007), Randomization Tests.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ConfusionMetric
from microexpr.evaluation.statistics._units import TIE, Units, units_of
from microexpr.evaluation.statistics.scope import LEVEL

CHUNK = 2_000
"""Permutations scored at once: limits the memory, never changes a result."""


@dataclass(frozen=True, slots=True)
class PairedPermutation:
    """A difference of two scores and its two-sided p-value over `n` permutations."""

    difference: float
    p_value: float
    n: int
    exact: bool
    """Whether `n` is the number of all permutations; otherwise they were drawn at random."""
    units: int
    """Clips or subjects whose two confusion matrices differ; swapping any other one changes nothing."""
    step: float | None
    """Distance from the smallest significant difference down to the next smaller value that differences take.

    None if no difference would be significant because too few units differ.
    """


def paired_permutation(
    metric: ConfusionMetric,
    y_true: Int[np.ndarray, "n"],
    y_a: Int[np.ndarray, "*s n"],
    y_b: Int[np.ndarray, "*s n"],
    *,
    num_classes: int,
    averaged_classes: Bool[np.ndarray, "k"],
    rng: np.random.Generator,
    n: int = 9_999,
    subjects: Shaped[np.ndarray, "n"] | None = None,
    level: float = LEVEL,
) -> PairedPermutation:
    """Test whether predictions `y_a` and `y_b` score differently.

    Under the null hypothesis it makes no difference which classifier a prediction came from, so the two sets of
    predictions of a subject's clips are exchangeable. All clips of a subject are swapped together, so the test remains
    valid if a classifier suits some subjects better than others. Without `subjects`, clips are swapped one by one,
    which assumes that they are independent.

    `y_a` and `y_b` may each hold several predictions, one per row (the seeds of a method). Their mean scores are
    compared, and a subject's predictions are swapped in all rows together, each with the same row of the other.

    If there are at most `n` permutations (14 subjects for 9,999, since a permutation and its mirror image give the same
    absolute difference), all are scored, and p is the share that differs at least as much as observed. Otherwise `n`
    are drawn, and p is (1 + count) / (n + 1), which is never 0 (Phipson & Smyth, 2010). `level` only affects `step`.
    """
    if y_true.size == 0:
        raise ConfigError("E802", "a permutation test needs at least one clip.")
    if n < 1:
        raise ConfigError("E801", f"a permutation test needs at least one permutation, not {n}.")
    rows_a, rows_b = np.atleast_2d(y_a), np.atleast_2d(y_b)
    units = units_of(y_true, [*rows_a, *rows_b], num_classes, subjects)
    first, second = np.split(units.total(), 2)

    def differences(change: Float[np.ndarray, "c s k k"]) -> Float[np.ndarray, "c"]:
        scores = metric.of_confusion(first + change, averaged_classes)
        scores = scores - metric.of_confusion(second - change, averaged_classes)
        return np.asarray(scores.mean(axis=1))

    observed = float(differences(np.zeros((1, len(rows_a), num_classes, num_classes)))[0])
    differing = np.not_equal(*np.split(units.matrices, 2, axis=1)).any(axis=(1, 2, 3))
    units = Units(units.matrices[differing], units.counts[differing], units.strata[differing])
    number = int(units.counts.sum())
    exact = number < 2 or 2 ** (number - 1) <= n
    changes = _all_permutations(units, number) if exact else _drawn_permutations(units, n, rng)
    scores = np.abs(np.concatenate([differences(change) for change in changes]))
    extra = 0 if exact else 1
    p_value = (extra + int((scores >= abs(observed) - TIE).sum())) / (extra + scores.size)
    return PairedPermutation(observed, p_value, scores.size, exact, number, _step(scores, extra, level))


def _step(scores: Float[np.ndarray, "s"], extra: int, level: float) -> float | None:
    values, counts = np.unique(np.round(scores, 12), return_counts=True)
    p_values = (extra + counts[::-1].cumsum()[::-1]) / (extra + scores.size)
    rejected = np.flatnonzero(p_values <= level + TIE)
    return float(values[rejected[0]] - values[rejected[0] - 1]) if rejected.size else None


def _changes(units: Units) -> tuple[Float[np.ndarray, "u skk"], tuple[int, ...]]:
    """Return what swapping one unit of each row adds to the first classifier's matrices, and their shape."""
    first, second = np.split(units.matrices, 2, axis=1)
    return np.asarray(second - first).reshape(len(units.counts), math.prod(first.shape[1:])), first.shape[1:]


def _all_permutations(units: Units, number: int) -> Iterator[Float[np.ndarray, "c s k k"]]:
    changes, shape = _changes(units)
    changes = np.repeat(changes, units.counts, axis=0)
    bits = np.arange(max(number - 1, 0))  # the last unit is never swapped: that would mirror another permutation
    for start in range(0, 2 ** len(bits), CHUNK):
        numbers = np.arange(start, min(start + CHUNK, 2 ** len(bits)))
        swapped = (numbers[:, None] >> bits) & 1
        yield (swapped @ changes[: len(bits)]).reshape(-1, *shape)


def _drawn_permutations(units: Units, n: int, rng: np.random.Generator) -> Iterator[Float[np.ndarray, "c s k k"]]:
    changes, shape = _changes(units)
    for start in range(0, n, CHUNK):
        swapped = rng.binomial(units.counts, 0.5, size=(min(CHUNK, n - start), len(units.counts)))
        yield (swapped @ changes).reshape(-1, *shape)
