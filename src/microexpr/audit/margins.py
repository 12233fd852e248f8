"""All confusion margins (right and predicted clips of each class) that printed figures could have come from.

A class with s true clips, tp of them right, that is predicted q times has F1 = 2 tp / (s + q), precision tp / q and
recall tp / s. The q sum to the number of clips. Rows and columns of the matrix lack s - tp and q - tp outside the
diagonal; numbers with these sums exist exactly where no class needs more than the others have room for:
(s - tp) + (q - tp) <= clips that are wrong (Hall's condition for a table whose diagonal is empty).

Classes are joined one after the other; what can no longer reach the sum of the q, or the printed mean, is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from microexpr.errors import ConfigError

LIMIT: Final = 300_000
"""Partial tables kept one by one; beyond, those of the same clips right and predicted are joined."""
WORK: Final = 2_500_000_000
"""Steps of joining, beyond which nothing is told: about three seconds."""
GROWN: Final = 40_000_000
"""Partial tables tried one by one; beyond, they are joined. About three seconds as well."""
_BLOCK: Final = 2_000_000
_EPS: Final = 1e-9


class Range(NamedTuple):
    """Smallest and largest number that is printed so, ends included."""

    low: float
    high: float


ANY: Final = Range(-np.inf, np.inf)


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """What is printed of one class."""

    support: int
    f1: Range = ANY
    precision: Range = ANY
    recall: Range = ANY
    averaged: bool = True
    """Whether the macro score averages it."""


@dataclass(frozen=True, slots=True)
class Margins:
    """Every margin that fits, one a row, classes in their order; of too many, only how many clips can be right.

    Then no possible number is missing from `right`, but the first and the last need not be possible.
    """

    right: tuple[int, ...]
    """Numbers of clips that can be right altogether, ascending; empty where nothing fits."""
    tp: Int[np.ndarray, "n k"] | None
    predicted: Int[np.ndarray, "n k"] | None

    @property
    def count(self) -> int | None:
        """How many margins fit, None where they were not told apart."""
        return None if self.tp is None else len(self.tp)


class _Choices(NamedTuple):
    """What a class can be: right clips, predicted clips, F1 (0 where it is not averaged)."""

    tp: Int[np.ndarray, "m"]
    predicted: Int[np.ndarray, "m"]
    f1: Float[np.ndarray, "m"]
    apart: Int[np.ndarray, "m"]
    """Clips that the class lacks in its row and its column together."""


def choices(figures: ClassFigures, clips: int) -> Int[np.ndarray, "m 2"]:
    """Return every (right, predicted) that gives one class's printed figures.

    >>> choices(ClassFigures(4, Range(0.2855, 0.2865)), 28)
    array([[ 1,  3],
           [ 2, 10],
           [ 3, 17],
           [ 4, 24]])
    """
    s = figures.support
    tp, q = np.meshgrid(np.arange(s + 1), np.arange(clips + 1), indexing="ij")
    possible = (tp <= q) & (q - tp <= clips - s)
    for (low, high), above, below in (
        (figures.f1, 2 * tp, s + q),
        (figures.precision, tp, q),
        (figures.recall, tp, np.full_like(tp, s)),
    ):
        value = np.divide(above, below, out=np.zeros(tp.shape), where=below > 0)
        possible &= (value >= low - _EPS) & (value <= high + _EPS)
    return np.stack([tp[possible], q[possible]], axis=1)


def margins(
    figures: Sequence[ClassFigures], clips: int, macro: Range = ANY, accuracy: Range = ANY, limit: int = LIMIT
) -> Margins:
    """Return all margins of `clips` clips that fit every printed figure at once."""
    every = [_choices(item, clips) for item in figures]
    averaged = sum(item.averaged for item in figures)
    right = Range(max(accuracy.low * clips, 0), min(accuracy.high * clips, clips))
    wanted = _Wanted(clips, Range(macro.low * averaged, macro.high * averaged), right)
    if any(not len(item.tp) for item in every):
        return _none(len(figures))
    # The classes with the fewest choices first: what follows is tested against them.
    order = sorted(range(len(every)), key=lambda at: len(every[at].tp))
    ordered = [every[at] for at in order]
    return _one_by_one(ordered, order, wanted, limit) or _joined(ordered, wanted)


class _Wanted(NamedTuple):
    clips: int
    f1: Range
    right: Range


class _Left(NamedTuple):
    """The least and the most that the classes still to come can add."""

    tp: Range
    predicted: Range
    f1: Range


def _choices(figures: ClassFigures, clips: int) -> _Choices:
    found = choices(figures, clips)
    tp, q = found[:, 0], found[:, 1]
    below = figures.support + q
    f1 = np.divide(2 * tp, below, out=np.zeros(len(tp)), where=below > 0)
    return _Choices(tp, q, f1 * figures.averaged, figures.support + q - 2 * tp)


def _none(k: int) -> Margins:
    empty = np.zeros((0, k), dtype=np.int64)
    return Margins((), empty, empty)


def _left(rest: Sequence[_Choices]) -> _Left:
    def span(name: str) -> Range:
        values = [getattr(item, name) for item in rest]
        return Range(float(sum(value.min() for value in values)), float(sum(value.max() for value in values)))

    return _Left(span("tp"), span("predicted"), span("f1"))


def _alive(
    tp: Int[np.ndarray, "*n"],
    predicted: Int[np.ndarray, "*n"],
    low: Float[np.ndarray, "*n"],
    high: Float[np.ndarray, "*n"],
    apart: Int[np.ndarray, "*n"],
    wanted: _Wanted,
    left: _Left,
) -> Bool[np.ndarray, "*n"]:
    """Return which partial tables can still become whole ones."""
    return np.asarray(
        (predicted + left.predicted.low <= wanted.clips)
        & (predicted + left.predicted.high >= wanted.clips)
        & (low + left.f1.low <= wanted.f1.high + _EPS)
        & (high + left.f1.high >= wanted.f1.low - _EPS)
        & (tp + left.tp.low <= wanted.right.high + _EPS)
        & (tp + left.tp.high >= wanted.right.low - _EPS)
        & (apart <= wanted.clips - tp - left.tp.low)
    )


def _one_by_one(every: Sequence[_Choices], order: Sequence[int], wanted: _Wanted, limit: int) -> Margins | None:
    """Keep every partial table by itself; None where there are too many."""
    picked = np.zeros((1, 0), dtype=np.int32)
    tp, predicted, apart, f1 = (np.zeros(1, dtype=kind) for kind in (np.int64, np.int64, np.int64, float))
    tried = 0
    for at, item in enumerate(every):
        left, kept = _left(every[at + 1 :]), []
        for before, choice in _that_reach(predicted, item.predicted, left.predicted, wanted.clips):
            tried += len(before)
            sums = [
                old[before] + new[choice] for old, new in ((tp, item.tp), (predicted, item.predicted), (f1, item.f1))
            ]
            worst = np.maximum(apart[before], item.apart[choice])
            rows = np.flatnonzero(_alive(sums[0], sums[1], sums[2], sums[2], worst, wanted, left))
            grown = np.column_stack([picked[before[rows]], choice[rows].astype(np.int32)])
            kept.append((grown, sums[0][rows], sums[1][rows], worst[rows], sums[2][rows]))
            if sum(len(part[0]) for part in kept) > limit or tried > GROWN:
                return None
        if not any(len(part[0]) for part in kept):
            return _none(len(every))
        picked, tp, predicted, apart, f1 = (np.concatenate(part) for part in zip(*kept, strict=True))
    place = np.argsort(order)
    found = [np.stack([item[at][picked[:, n]] for n, item in enumerate(every)], axis=1)[:, place] for at in (0, 1)]
    ranked = np.lexsort([*found[1].T[::-1], *found[0].T[::-1], tp])
    return Margins(tuple(int(n) for n in np.unique(tp)), found[0][ranked], found[1][ranked])


def _that_reach(
    predicted: Int[np.ndarray, "n"], more: Int[np.ndarray, "m"], left: Range, clips: int
) -> Iterator[tuple[Int[np.ndarray, "b"], Int[np.ndarray, "b"]]]:
    """Yield, in blocks, each partial table with each choice of the next class after which the clips can be reached."""
    order = np.argsort(more, kind="stable")
    first = np.searchsorted(more[order], clips - predicted - left.high, "left")
    last = np.searchsorted(more[order], clips - predicted - left.low, "right")
    ends = np.cumsum(last - first)
    start = 0
    while start < len(predicted):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _BLOCK, "right")))
        sizes = (last - first)[start:stop]
        before = np.repeat(np.arange(start, stop), sizes)
        within = np.arange(len(before)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        yield before, order[first[before] + within]
        start = stop


def _joined(every: Sequence[_Choices], wanted: _Wanted) -> Margins:
    """Keep of all partial tables with the same right and predicted clips the smallest and the largest sum of F1.

    No number of right clips that is possible is lost; one that is not may stay at either end, because what lies
    between smallest and largest is taken for possible and Hall's condition is left out.
    """
    n = wanted.clips
    if _work(every, n) > WORK:
        raise ConfigError(
            f"figures printed this coarsely fit too many tables of {n} clips to be told apart: they are too coarse to "
            "audit. Accuracy, or the classes' recall or precision, narrow it where they are printed."
        )
    low, high = np.full((n + 1, n + 1), np.inf), np.full((n + 1, n + 1), -np.inf)
    low[0, 0] = high[0, 0] = 0.0
    for at, item in enumerate(every):
        left = _left(every[at + 1 :])
        (t0, t1), (q0, q1) = ((int(where.min()), int(where.max()) + 1) for where in np.nonzero(np.isfinite(low)))
        before = low[t0:t1, q0:q1], high[t0:t1, q0:q1]
        new_low, new_high = np.full_like(low, np.inf), np.full_like(high, -np.inf)
        for tp, q, f1 in zip(item.tp.tolist(), item.predicted.tolist(), item.f1.tolist(), strict=True):
            wide, tall = min(t1 + tp, n + 1) - t0 - tp, min(q1 + q, n + 1) - q0 - q
            if wide <= 0 or tall <= 0:
                continue
            there = (slice(t0 + tp, t0 + tp + wide), slice(q0 + q, q0 + q + tall))
            np.minimum(new_low[there], before[0][:wide, :tall] + f1, out=new_low[there])
            np.maximum(new_high[there], before[1][:wide, :tall] + f1, out=new_high[there])
        tp_sum, q_sum = np.indices(low.shape)
        dead = ~np.isfinite(new_low)
        dead |= ~_alive(tp_sum, q_sum, new_low, new_high, np.zeros_like(tp_sum), wanted, left)
        low, high = np.where(dead, np.inf, new_low), np.where(dead, -np.inf, new_high)
        if dead.all():
            return _none(len(every))
    return Margins(tuple(int(tp) for tp in np.flatnonzero(np.isfinite(low).any(1))), None, None)


def _work(every: Sequence[_Choices], clips: int) -> int:
    """Return at most how many steps joining takes, before it is tried."""
    steps = 0
    for at, item in enumerate(every):
        (t0, t1), (q0, q1), _ = _left(every[:at])
        left = _left(every[at:]).predicted
        rows = min(t1, clips) - t0 + 1
        places = min(q1, clips - left.low) - max(q0, clips - left.high) + 1
        steps += int(len(item.tp) * max(rows, 0) * max(places, 0))
    return steps
