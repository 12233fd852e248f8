"""All confusion tables, as correct and predicted clips of each class, that give the printed figures.

A class with s true clips, of which tp are predicted correctly, and q predicted clips has F1 = 2 tp / (s + q), precision
tp / q and recall tp / s. The q add up to the number of clips. Outside the diagonal, row and column totals are s - tp
and q - tp; a table with these totals exists if and only if no class needs more than the others have room for:
(s - tp) + (q - tp) <= number of wrong clips (Hall's condition for a table with an empty diagonal).

Classes are added one after the other; partial tables that can no longer reach the sum of the q or the printed averages
are dropped.

For a class without a true clip F1, precision and recall are 0 in every table, so the averages in use differ only in the
number of classes that they divide by: those with a true clip, all, or those true or predicted (scikit-learn).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

LIMIT: Final = 300_000
"""Partial tables that are enumerated; if there are more, those with equal totals are merged."""
WORK: Final = 2_500_000_000
"""Steps of merging, above which tables with the same number of correct clips are merged: about three seconds."""
GROWN: Final = 40_000_000
"""Partial tables tried by enumeration, above which they are merged: about three seconds as well."""
_BLOCK: Final = 2_000_000
_EPS: Final = 1e-9


class Range(NamedTuple):
    """Smallest and largest number that is printed in this way, ends included."""

    low: float
    high: float


ANY: Final = Range(-np.inf, np.inf)


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """What is printed for one class."""

    support: int
    f1: Range = ANY
    precision: Range = ANY
    recall: Range = ANY


AveragedClasses = Literal["present", "either", "all"]
"""Which classes are averaged: those with a true clip, those true or predicted, or every class."""


Of = Literal["f1", "precision", "recall", "f1_of_means"]
"""What is averaged; ``f1_of_means`` is 2 P R / (P + R) of mean precision P and mean recall R."""


class Mean(NamedTuple):
    """A printed average over classes."""

    of: Of
    averaged_classes: AveragedClasses
    printed: Range

    def value(
        self, sums: Mapping[str, Float[np.ndarray, "*n"]], supports: Sequence[int], extra: Float[np.ndarray, "*n"]
    ) -> Float[np.ndarray, "*n"]:
        """Return the average from sums over classes; `extra` counts classes predicted without a true clip."""
        present = sum(support > 0 for support in supports)
        if self.averaged_classes == "all":
            classes: int | Float[np.ndarray, "*n"] = len(supports)
        else:
            classes = present + (extra if self.averaged_classes == "either" else 0)
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
class Solutions:
    """Every solution, one per row, classes in their order; if there are too many, only the numbers of correct clips.

    In that case no possible number is missing from `right`, but the first and the last need not be possible.
    """

    right: tuple[int, ...]
    """Possible numbers of correct clips in total, ascending; empty if nothing fits."""
    tp: Int[np.ndarray, "n k"] | None
    predicted: Int[np.ndarray, "n k"] | None

    @property
    def count(self) -> int | None:
        """Number of solutions; None if they were merged."""
        return None if self.tp is None else len(self.tp)


class _Choices(NamedTuple):
    """What a class can be: correct clips, predicted clips, and what it adds to each sum."""

    tp: Int[np.ndarray, "m"]
    adds: Mapping[str, Float[np.ndarray, "m"]]
    """Sum -> what is added: predicted clips, terms of the printed averages."""
    wrong: Int[np.ndarray, "m"]
    """Wrong clips in the row and the column of the class together."""


def choices(figures: ClassFigures, clips: int) -> Int[np.ndarray, "m 2"]:
    """Return every (correct, predicted) that gives the printed figures of one class.

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


def solve(
    figures: Sequence[ClassFigures],
    clips: int,
    means: Sequence[Mean] = (),
    accuracy: Range = ANY,
    limit: int = LIMIT,
    work: int = WORK,
) -> Solutions:
    """Return all solutions for `clips` clips that fit every printed figure at once.

    Tables are enumerated if possible. If there are too many, partial tables with the same numbers of correct and
    predicted clips are merged, and if that takes too long as well, those with the same number of correct clips.
    """
    means = tuple(mean for mean in means if mean.printed != ANY)
    columns = tuple(dict.fromkeys(name for mean in means for name in mean.columns))
    every = [_choices(item, clips, columns) for item in figures]
    right = Range(max(accuracy.low * clips, 0), min(accuracy.high * clips, clips))
    wanted = _Wanted(clips, means, tuple(item.support for item in figures), right)
    if any(not len(item.tp) for item in every):
        return _none(len(figures))
    # The classes with the fewest choices first: later classes are tested against them.
    order = sorted(range(len(every)), key=lambda at: len(every[at].tp))
    ordered = [every[at] for at in order]
    found = _enumerate(ordered, order, wanted, limit)
    return _merge(ordered, wanted, by_predicted=_work(ordered, clips) <= work) if found is None else found


class _Wanted(NamedTuple):
    clips: int
    means: tuple[Mean, ...]
    supports: tuple[int, ...]
    right: Range

    def possible(
        self,
        tp: Int[np.ndarray, "*n"],
        low: Mapping[str, Float[np.ndarray, "*n"]],
        high: Mapping[str, Float[np.ndarray, "*n"]],
        wrong: Int[np.ndarray, "*n"] | int,
        rest: Mapping[str, Range],
    ) -> Bool[np.ndarray, "*n"]:
        """Return which partial tables, with sums between `low` and `high`, can still be completed."""
        smallest = {name: low[name] + rest[name].low for name in low}
        largest = {name: high[name] + rest[name].high for name in high}
        found = (smallest["predicted"] <= self.clips) & (largest["predicted"] >= self.clips)
        found &= (tp + rest["tp"].low <= self.right.high + _EPS) & (tp + rest["tp"].high >= self.right.low - _EPS)
        found &= wrong <= self.clips - tp - rest["tp"].low
        none = np.zeros(np.shape(tp))
        for mean in self.means:
            found &= mean.value(smallest, self.supports, largest.get("extra", none)) <= mean.printed.high + _EPS
            found &= mean.value(largest, self.supports, smallest.get("extra", none)) >= mean.printed.low - _EPS
        return np.asarray(found)


def _choices(figures: ClassFigures, clips: int, columns: Sequence[str]) -> _Choices:
    found = choices(figures, clips)
    tp, q = found[:, 0], found[:, 1]
    below = {"f1": figures.support + q, "precision": q, "recall": np.full_like(q, figures.support)}
    adds = {"predicted": q.astype(float), "extra": ((q > 0) & (figures.support == 0)).astype(float)}
    for name, under in below.items():
        adds[name] = np.divide(tp * (1 + (name == "f1")), under, out=np.zeros(len(tp)), where=under > 0)
    return _Choices(tp, {name: adds[name] for name in ("predicted", *columns)}, figures.support + q - 2 * tp)


def _none(num_classes: int) -> Solutions:
    empty = np.zeros((0, num_classes), dtype=np.int64)
    return Solutions((), empty, empty)


def _range_of(rest: Sequence[_Choices], names: Iterable[str]) -> dict[str, Range]:
    """Return the smallest and the largest contribution of the remaining classes to each sum."""

    def span(values: Sequence[np.ndarray]) -> Range:
        return Range(float(sum(value.min() for value in values)), float(sum(value.max() for value in values)))

    return {
        "tp": span([item.tp for item in rest]),
        **{name: span([item.adds[name] for item in rest]) for name in names},
    }


def _enumerate(every: Sequence[_Choices], order: Sequence[int], wanted: _Wanted, limit: int) -> Solutions | None:
    """Keep every partial table separately; None if there are too many."""
    names = list(every[0].adds)
    picked = np.zeros((1, 0), dtype=np.int32)
    tp, wrong = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    sums = {name: np.zeros(1) for name in names}
    tried = 0
    for at, item in enumerate(every):
        rest, kept = _range_of(every[at + 1 :], names), []
        for before, choice in _extensions(sums["predicted"], item.adds["predicted"], rest["predicted"], wanted.clips):
            tried += len(before)
            grown = {name: sums[name][before] + item.adds[name][choice] for name in names}
            right, most_wrong = tp[before] + item.tp[choice], np.maximum(wrong[before], item.wrong[choice])
            rows = np.flatnonzero(wanted.possible(right, grown, grown, most_wrong, rest))
            chosen = np.column_stack([picked[before[rows]], choice[rows].astype(np.int32)])
            kept.append((chosen, right[rows], most_wrong[rows], *(grown[name][rows] for name in names)))
            if sum(len(part[0]) for part in kept) > limit or tried > GROWN:
                return None
        if not any(len(part[0]) for part in kept):
            return _none(len(every))
        picked, tp, wrong, *added = (np.concatenate(part) for part in zip(*kept, strict=True))
        sums = dict(zip(names, added, strict=True))
    place = np.argsort(order)
    columns = [[item.tp for item in every], [item.adds["predicted"].astype(np.int64) for item in every]]
    found = [np.stack([one[picked[:, n]] for n, one in enumerate(column)], axis=1)[:, place] for column in columns]
    ranked = np.lexsort([*found[1].T[::-1], *found[0].T[::-1], tp])
    return Solutions(tuple(int(n) for n in np.unique(tp)), found[0][ranked], found[1][ranked])


def _extensions(
    predicted: Float[np.ndarray, "n"], more: Float[np.ndarray, "m"], rest: Range, clips: int
) -> Iterator[tuple[Int[np.ndarray, "b"], Int[np.ndarray, "b"]]]:
    """Yield, in blocks, each partial table with each choice of the next class that can still reach all clips."""
    order = np.argsort(more, kind="stable")
    first = np.searchsorted(more[order], clips - predicted - rest.high, "left")
    last = np.searchsorted(more[order], clips - predicted - rest.low, "right")
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


def _merge(every: Sequence[_Choices], wanted: _Wanted, *, by_predicted: bool) -> Solutions:
    """Merge partial tables with the same number of correct clips, keeping the smallest and largest value of each sum.

    With `by_predicted` only those that also have the same number of predicted clips are merged, which is slower and
    more exact. No possible number of correct clips is lost; an impossible one may remain at either end, because any
    value between smallest and largest counts as possible and Hall's condition is not checked.
    """
    n = wanted.clips
    axes = ("tp", "predicted") if by_predicted else ("tp",)
    names = [name for name in every[0].adds if name not in axes]
    places = np.indices((n + 1,) * len(axes))
    reached = np.zeros(places.shape[1:], dtype=bool)
    reached[(0,) * len(axes)] = True
    low, high = ({name: np.where(reached, 0.0, empty) for name in names} for empty in (np.inf, -np.inf))
    for at, item in enumerate(every):
        rest = _range_of(every[at + 1 :], item.adds)
        shifts = np.stack([item.tp, item.adds["predicted"].astype(np.int64)][: len(axes)], axis=1)
        shifts, group = np.unique(shifts, axis=0, return_inverse=True)
        ends = [(int(where.min()), int(where.max()) + 1) for where in np.nonzero(reached)]
        window = tuple(slice(*end) for end in ends)
        known, new = reached[window], np.zeros_like(reached)
        new_low, new_high = ({name: np.full(reached.shape, empty) for name in names} for empty in (np.inf, -np.inf))
        adds = {name: _ends_of(item.adds[name], group.ravel(), len(shifts)) for name in names}
        for number, shift in enumerate(shifts.tolist()):
            sizes = [min(stop + by, n + 1) - start - by for (start, stop), by in zip(ends, shift, strict=True)]
            if min(sizes) <= 0:
                continue
            source = tuple(slice(size) for size in sizes)
            target = tuple(
                slice(start + by, start + by + size) for (start, _), by, size in zip(ends, shift, sizes, strict=True)
            )
            new[target] |= known[source]
            for name, (smallest, largest) in adds.items():
                lower, upper = new_low[name][target], new_high[name][target]
                np.minimum(lower, low[name][window][source] + smallest[number], out=lower)
                np.maximum(upper, high[name][window][source] + largest[number], out=upper)
        fixed = {"predicted": places[1].astype(float)} if by_predicted else {}
        with np.errstate(invalid="ignore"):  # places that no table reaches
            reached = new & wanted.possible(places[0], fixed | new_low, fixed | new_high, 0, rest)
        if not reached.any():
            return _none(len(every))
        low = {name: np.where(reached, new_low[name], np.inf) for name in names}
        high = {name: np.where(reached, new_high[name], -np.inf) for name in names}
    right = reached.any(1) if by_predicted else reached
    return Solutions(tuple(int(tp) for tp in np.flatnonzero(right)), None, None)


def _ends_of(
    values: Float[np.ndarray, "m"], group: Int[np.ndarray, "m"], groups: int
) -> tuple[list[float], list[float]]:
    """Return the smallest and the largest value of each group."""
    low, high = np.full(groups, np.inf), np.full(groups, -np.inf)
    np.minimum.at(low, group, values)
    np.maximum.at(high, group, values)
    return low.tolist(), high.tolist()


def _work(every: Sequence[_Choices], clips: int) -> int:
    """Return an upper limit of the steps that merging by predicted clips takes."""
    steps = 0
    for at, item in enumerate(every):
        before, rest = (_range_of(part, ["predicted"]) for part in (every[:at], every[at:]))
        (t0, t1), (q0, q1) = before["tp"], before["predicted"]
        rows = min(t1, clips) - t0 + 1
        places = min(q1, clips - rest["predicted"].low) - max(q0, clips - rest["predicted"].high) + 1
        steps += int(len(item.tp) * max(rows, 0) * max(places, 0) * max(1, len(item.adds) - 1))
    return steps
