"""All confusion margins (right and predicted clips of each class) that printed figures could have come from.

A class with s true clips, tp of them right, that is predicted q times has F1 = 2 tp / (s + q), precision tp / q and
recall tp / s. The q sum to the number of clips. Rows and columns of the matrix lack s - tp and q - tp outside the
diagonal; numbers with these sums exist exactly where no class needs more than the others have room for:
(s - tp) + (q - tp) <= clips that are wrong (Hall's condition for a table whose diagonal is empty).

Classes are joined one after the other; what can no longer reach the sum of the q, or the printed means, is dropped.

Of a class without a true clip F1, precision and recall are 0 in every margin, so that the averages in use differ only
in how many classes they divide by: those with a true clip, all, or those true or predicted (scikit-learn).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

LIMIT: Final = 300_000
"""Partial tables kept one by one; beyond, those of the same clips right and predicted are joined."""
WORK: Final = 2_500_000_000
"""Steps of joining, beyond which predicted clips are not kept apart either: about three seconds."""
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


Over = Literal["present", "either", "all"]
"""Which classes are averaged: those with a true clip, those true or predicted, or every class."""


Of = Literal["f1", "precision", "recall", "f1_of_means"]
"""What is averaged; ``f1_of_means`` is 2 P R / (P + R) of mean precision P and mean recall R."""


class Mean(NamedTuple):
    """A printed average over classes."""

    of: Of
    averaged_classes: Over
    printed: Range

    def value(
        self, sums: Mapping[str, Float[np.ndarray, "*n"]], supports: Sequence[int], extra: Float[np.ndarray, "*n"]
    ) -> Float[np.ndarray, "*n"]:
        """Return the average of sums over classes; `extra` are classes predicted without a true clip."""
        there = sum(support > 0 for support in supports)
        classes = (
            len(supports)
            if self.averaged_classes == "all"
            else there + (extra if self.averaged_classes == "either" else 0)
        )
        if self.of != "f1_of_means":
            return np.asarray(sums[self.of] / classes)
        both = sums["precision"] + sums["recall"]
        product = 2 * sums["precision"] * sums["recall"]
        return np.asarray(np.divide(product, both, out=np.zeros(np.shape(both)), where=both > 0) / classes)

    @property
    def columns(self) -> tuple[str, ...]:
        """Return which sums it needs."""
        of = ("precision", "recall") if self.of == "f1_of_means" else (self.of,)
        return (*of, "extra") if self.averaged_classes == "either" else of


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
    """What a class can be: right clips, predicted clips, and what it adds to each sum."""

    tp: Int[np.ndarray, "m"]
    adds: Mapping[str, Float[np.ndarray, "m"]]
    """Sum -> what is added: predicted clips, the printed means' parts."""
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
    figures: Sequence[ClassFigures],
    clips: int,
    means: Sequence[Mean] = (),
    accuracy: Range = ANY,
    limit: int = LIMIT,
    work: int = WORK,
) -> Margins:
    """Return all margins of `clips` clips that fit every printed figure at once."""
    means = tuple(mean for mean in means if mean.printed != ANY)
    columns = tuple(dict.fromkeys(name for mean in means for name in mean.columns))
    every = [_choices(item, clips, columns) for item in figures]
    right = Range(max(accuracy.low * clips, 0), min(accuracy.high * clips, clips))
    wanted = _Wanted(clips, means, tuple(item.support for item in figures), right)
    if any(not len(item.tp) for item in every):
        return _none(len(figures))
    # The classes with the fewest choices first: what follows is tested against them.
    order = sorted(range(len(every)), key=lambda at: len(every[at].tp))
    ordered = [every[at] for at in order]
    found = _one_by_one(ordered, order, wanted, limit)
    if found is None:
        found = _joined(ordered, wanted) if _work(ordered, clips) <= work else _by_right(ordered, wanted)
    return found


class _Wanted(NamedTuple):
    clips: int
    means: tuple[Mean, ...]
    supports: tuple[int, ...]
    right: Range

    def alive(
        self,
        tp: Int[np.ndarray, "*n"],
        low: Mapping[str, Float[np.ndarray, "*n"]],
        high: Mapping[str, Float[np.ndarray, "*n"]],
        apart: Int[np.ndarray, "*n"] | int,
        left: Mapping[str, Range],
    ) -> Bool[np.ndarray, "*n"]:
        """Return which partial tables, their sums between `low` and `high`, can still become whole ones."""
        least = {name: low[name] + left[name].low for name in low}
        most = {name: high[name] + left[name].high for name in high}
        found = (least["predicted"] <= self.clips) & (most["predicted"] >= self.clips)
        found &= (tp + left["tp"].low <= self.right.high + _EPS) & (tp + left["tp"].high >= self.right.low - _EPS)
        found &= apart <= self.clips - tp - left["tp"].low
        none = np.zeros(np.shape(tp))
        for mean in self.means:
            found &= mean.value(least, self.supports, most.get("extra", none)) <= mean.printed.high + _EPS
            found &= mean.value(most, self.supports, least.get("extra", none)) >= mean.printed.low - _EPS
        return np.asarray(found)


def _choices(figures: ClassFigures, clips: int, columns: Sequence[str]) -> _Choices:
    found = choices(figures, clips)
    tp, q = found[:, 0], found[:, 1]
    below = {"f1": figures.support + q, "precision": q, "recall": np.full_like(q, figures.support)}
    adds = {"predicted": q.astype(float), "extra": ((q > 0) & (figures.support == 0)).astype(float)}
    for name, under in below.items():
        adds[name] = np.divide(tp * (1 + (name == "f1")), under, out=np.zeros(len(tp)), where=under > 0)
    return _Choices(tp, {name: adds[name] for name in ("predicted", *columns)}, figures.support + q - 2 * tp)


def _none(num_classes: int) -> Margins:
    empty = np.zeros((0, num_classes), dtype=np.int64)
    return Margins((), empty, empty)


def _left(rest: Sequence[_Choices], names: Iterable[str]) -> dict[str, Range]:
    """Return the least and the most that the classes still to come can add."""

    def span(values: Sequence[np.ndarray]) -> Range:
        return Range(float(sum(value.min() for value in values)), float(sum(value.max() for value in values)))

    return {
        "tp": span([item.tp for item in rest]),
        **{name: span([item.adds[name] for item in rest]) for name in names},
    }


def _one_by_one(every: Sequence[_Choices], order: Sequence[int], wanted: _Wanted, limit: int) -> Margins | None:
    """Keep every partial table by itself; None where there are too many."""
    names = list(every[0].adds)
    picked = np.zeros((1, 0), dtype=np.int32)
    tp, apart = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    sums = {name: np.zeros(1) for name in names}
    tried = 0
    for at, item in enumerate(every):
        left, kept = _left(every[at + 1 :], names), []
        for before, choice in _that_reach(sums["predicted"], item.adds["predicted"], left["predicted"], wanted.clips):
            tried += len(before)
            grown = {name: sums[name][before] + item.adds[name][choice] for name in names}
            right, worst = tp[before] + item.tp[choice], np.maximum(apart[before], item.apart[choice])
            rows = np.flatnonzero(wanted.alive(right, grown, grown, worst, left))
            chosen = np.column_stack([picked[before[rows]], choice[rows].astype(np.int32)])
            kept.append((chosen, right[rows], worst[rows], *(grown[name][rows] for name in names)))
            if sum(len(part[0]) for part in kept) > limit or tried > GROWN:
                return None
        if not any(len(part[0]) for part in kept):
            return _none(len(every))
        picked, tp, apart, *added = (np.concatenate(part) for part in zip(*kept, strict=True))
        sums = dict(zip(names, added, strict=True))
    place = np.argsort(order)
    columns = [[item.tp for item in every], [item.adds["predicted"].astype(np.int64) for item in every]]
    found = [np.stack([one[picked[:, n]] for n, one in enumerate(column)], axis=1)[:, place] for column in columns]
    ranked = np.lexsort([*found[1].T[::-1], *found[0].T[::-1], tp])
    return Margins(tuple(int(n) for n in np.unique(tp)), found[0][ranked], found[1][ranked])


def _that_reach(
    predicted: Float[np.ndarray, "n"], more: Float[np.ndarray, "m"], left: Range, clips: int
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
    """Keep of all partial tables with the same right and predicted clips the smallest and the largest of each sum.

    No number of right clips that is possible is lost; one that is not may stay at either end, because what lies
    between smallest and largest is taken for possible and Hall's condition is left out.
    """
    n, names = wanted.clips, [name for name in every[0].adds if name != "predicted"]
    tp_sum, q_sum = np.indices((n + 1, n + 1))
    there = np.zeros((n + 1, n + 1), dtype=bool)
    there[0, 0] = True
    low, high = ({name: np.where(there, 0.0, empty) for name in names} for empty in (np.inf, -np.inf))
    for at, item in enumerate(every):
        left = _left(every[at + 1 :], item.adds)
        (t0, t1), (q0, q1) = ((int(where.min()), int(where.max()) + 1) for where in np.nonzero(there))
        before = {name: (low[name][t0:t1, q0:q1], high[name][t0:t1, q0:q1]) for name in names}
        known, new = there[t0:t1, q0:q1], np.zeros_like(there)
        new_low, new_high = ({name: np.full(there.shape, empty) for name in names} for empty in (np.inf, -np.inf))
        adds = [item.adds[name].tolist() for name in names]
        for tp, q, *parts in zip(item.tp.tolist(), item.adds["predicted"].astype(int).tolist(), *adds, strict=True):
            wide, tall = min(t1 + tp, n + 1) - t0 - tp, min(q1 + q, n + 1) - q0 - q
            if wide <= 0 or tall <= 0:
                continue
            place = (slice(t0 + tp, t0 + tp + wide), slice(q0 + q, q0 + q + tall))
            new[place] |= known[:wide, :tall]
            for name, part in zip(names, parts, strict=True):
                np.minimum(new_low[name][place], before[name][0][:wide, :tall] + part, out=new_low[name][place])
                np.maximum(new_high[name][place], before[name][1][:wide, :tall] + part, out=new_high[name][place])
        with np.errstate(invalid="ignore"):  # places that no table reaches
            reach = {"predicted": q_sum.astype(float)}
            there = new & wanted.alive(tp_sum, reach | new_low, reach | new_high, 0, left)
        if not there.any():
            return _none(len(every))
        low = {name: np.where(there, new_low[name], np.inf) for name in names}
        high = {name: np.where(there, new_high[name], -np.inf) for name in names}
    return Margins(tuple(int(tp) for tp in np.flatnonzero(there.any(1))), None, None)


def _by_right(every: Sequence[_Choices], wanted: _Wanted) -> Margins:
    """Keep of all partial tables with the same right clips the smallest and the largest of each sum: wider yet."""
    n, names = wanted.clips, list(every[0].adds)
    low, high = ({name: np.full(n + 1, empty) for name in names} for empty in (np.inf, -np.inf))
    for name in names:
        low[name][0] = high[name][0] = 0.0
    for at, item in enumerate(every):
        left = _left(every[at + 1 :], names)
        new_low, new_high = ({name: np.full(n + 1, empty) for name in names} for empty in (np.inf, -np.inf))
        for tp in np.unique(item.tp).tolist():
            rows = item.tp == tp
            for name in names:
                added = item.adds[name][rows]
                np.minimum(new_low[name][tp:], low[name][: n + 1 - tp] + added.min(), out=new_low[name][tp:])
                np.maximum(new_high[name][tp:], high[name][: n + 1 - tp] + added.max(), out=new_high[name][tp:])
        there = np.isfinite(new_low["predicted"])
        with np.errstate(invalid="ignore"):
            there &= wanted.alive(np.arange(n + 1), new_low, new_high, 0, left)
        if not there.any():
            return _none(len(every))
        low = {name: np.where(there, new_low[name], np.inf) for name in names}
        high = {name: np.where(there, new_high[name], -np.inf) for name in names}
    return Margins(tuple(int(tp) for tp in np.flatnonzero(there)), None, None)


def _work(every: Sequence[_Choices], clips: int) -> int:
    """Return at most how many steps joining takes, before it is tried."""
    steps = 0
    for at, item in enumerate(every):
        before, left = (_left(part, ["predicted"]) for part in (every[:at], every[at:]))
        (t0, t1), (q0, q1) = before["tp"], before["predicted"]
        rows = min(t1, clips) - t0 + 1
        places = min(q1, clips - left["predicted"].low) - max(q0, clips - left["predicted"].high) + 1
        steps += int(len(item.tp) * max(rows, 0) * max(places, 0) * max(1, len(item.adds) - 1))
    return steps
