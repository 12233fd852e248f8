"""Whether two classifiers differ at all: their predictions swapped, subject by subject (Edgington & Onghena, 2007)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ConfusionMetric
from microexpr.evaluation.statistics._units import TIE, Units, units_of
from microexpr.evaluation.statistics.power import LEVEL

CHUNK = 2_000
"""Swappings scored at once: bounds the memory, never changes a result."""


@dataclass(frozen=True, slots=True)
class SwapTest:
    """A difference of two scores and its two-sided p-value over `n` swappings."""

    difference: float
    p_value: float
    n: int
    exact: bool
    """Whether `n` are all swappings there are; else they were drawn at random."""
    units: int
    """Clips or subjects whose two confusion matrices differ: all others are the same however they are swapped."""
    step: float | None
    """How far the smallest difference that this test would call one lies above the next value that differences take.

    None where no difference would be called one, because too few units differ.
    """


def swap_test(
    metric: ConfusionMetric,
    y_true: Int[np.ndarray, "n"],
    y_a: Int[np.ndarray, "*s n"],
    y_b: Int[np.ndarray, "*s n"],
    *,
    k: int,
    over: Bool[np.ndarray, "k"],
    rng: np.random.Generator,
    n: int = 9_999,
    subjects: Shaped[np.ndarray, "n"] | None = None,
    level: float = LEVEL,
) -> SwapTest:
    """Test whether predictions `y_a` and `y_b` score differently, by swapping them.

    If it made no difference which classifier a prediction came from, the two predictions of a subject's clips, taken
    together, could as well stand the other way round. All clips of a subject are swapped at once, so that the test
    holds whatever makes one classifier do well on one subject. Without `subjects` clips are swapped one by one, which
    takes them for independent.

    Each of the two may be several predictions, one a row: the seeds of a method. Their mean scores are compared, and
    a subject's predictions of all rows are swapped at once, each with that in the same row of the other.

    Where there are no more than `n` swappings (14 subjects for 9,999, since a swapping and its mirror image differ by
    the same amount), all are scored and p is their share that differ at least as much. Otherwise `n` are drawn and
    p is (1 + count) / (n + 1), never 0 (Phipson & Smyth, 2010). `level` only tells the `step`.
    """
    if y_true.size == 0 or n < 1:
        raise ConfigError("E104", "a permutation test needs at least one clip and one permutation.")
    rows_a, rows_b = np.atleast_2d(y_a), np.atleast_2d(y_b)
    units = units_of(y_true, [*rows_a, *rows_b], k, subjects)
    as_they_are, other = np.split(units.total(), 2)

    def differ(swapped: Float[np.ndarray, "c s k k"]) -> Float[np.ndarray, "c"]:
        scores = metric.of_confusion(as_they_are + swapped, over) - metric.of_confusion(other - swapped, over)
        return np.asarray(scores.mean(axis=1))

    observed = float(differ(np.zeros((1, len(rows_a), k, k)))[0])
    units = _discordant(units)
    number = int(units.counts.sum())
    exact = number < 2 or 2 ** (number - 1) <= n
    swappings = _all_swappings(units, number) if exact else _drawn_swappings(units, n, rng)
    scores = np.abs(np.concatenate([differ(swapped) for swapped in swappings]))
    extra = 0 if exact else 1
    p_value = (extra + int((scores >= abs(observed) - TIE).sum())) / (extra + scores.size)
    return SwapTest(observed, p_value, scores.size, exact, number, _step(scores, extra, level))


def _step(scores: Float[np.ndarray, "s"], extra: int, level: float) -> float | None:
    values, counts = np.unique(np.round(scores, 12), return_counts=True)
    p_values = (extra + counts[::-1].cumsum()[::-1]) / (extra + scores.size)
    rejected = np.flatnonzero(p_values <= level + TIE)
    return float(values[rejected[0]] - values[rejected[0] - 1]) if rejected.size else None


def _discordant(units: Units) -> Units:
    """Keep units whose swapping changes a matrix."""
    kept = np.not_equal(*np.split(units.matrices, 2, axis=1)).any(axis=(1, 2, 3))
    return Units(units.matrices[kept], units.counts[kept], units.strata[kept])


def _changes(units: Units) -> tuple[Float[np.ndarray, "u skk"], tuple[int, ...]]:
    """Return what swapping one unit of each row adds to the first classifier's matrices, and the shape of these."""
    first, second = np.split(units.matrices, 2, axis=1)
    return np.asarray(second - first).reshape(len(units.counts), math.prod(first.shape[1:])), first.shape[1:]


def _all_swappings(units: Units, number: int) -> Iterator[Float[np.ndarray, "c s k k"]]:
    changes, shape = _changes(units)
    changes = np.repeat(changes, units.counts, axis=0)
    bits = np.arange(max(number - 1, 0))  # the last unit stays: its swappings mirror the others
    for start in range(0, 2 ** len(bits), CHUNK):
        numbers = np.arange(start, min(start + CHUNK, 2 ** len(bits)))
        swapped = (numbers[:, None] >> bits) & 1
        yield (swapped @ changes[: len(bits)]).reshape(-1, *shape)


def _drawn_swappings(units: Units, n: int, rng: np.random.Generator) -> Iterator[Float[np.ndarray, "c s k k"]]:
    changes, shape = _changes(units)
    for start in range(0, n, CHUNK):
        swapped = rng.binomial(units.counts, 0.5, size=(min(CHUNK, n - start), len(units.counts)))
        yield (swapped @ changes).reshape(-1, *shape)
