"""Learning curves: scores against the number of training clips by factor level, and where two curves cross.

A point is the mean score of the cells of one level and size, over the settings of the other factors for which all
levels and sizes were run. Between sizes a curve is interpolated linearly over the logarithm of the size.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ConfusionMetric
from microexpr.evaluation.statistics._units import TIE, check_labels, expanded_shares, units_of
from microexpr.evaluation.statistics.bootstrap import resampled
from microexpr.evaluation.statistics.factors import Cell, level_means


@dataclass(frozen=True, slots=True)
class Curve:
    """The score of one level of a factor at increasing sizes, with expanded percentile intervals over subjects."""

    factor: str
    level: str
    sizes: tuple[float, ...]
    scores: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the curves of two levels cross for the last time; None if they do not."""

    factor: str
    a: str
    b: str
    at: float | None
    low: float | None
    """None: the interval extends below the smallest size."""
    high: float | None
    """None: the interval extends beyond the largest size."""
    share: float
    """Share of the resamples in which the curves cross anywhere."""
    small: str
    """The level that scores higher at the smallest size."""
    large: str
    """The level that scores higher at the largest size."""

    def sentence(self, unit: str, smallest: float, largest: float) -> str:
        """Say where the curves cross, or that they do not."""
        pair, share = f"{self.factor}: {self.a} and {self.b}", f"{100 * self.share:.0f} % of the resamples"
        if self.at is None:
            same = self.small == self.large == ""
            relation = "have the same score" if same else f"do not cross: {self.large} scores higher"
            return f"{pair} {relation} from {smallest:.0f} to {largest:.0f} {unit} (they cross in {share})."
        low = f"below {smallest:.0f}" if self.low is None else f"{self.low:.0f}"
        high = f"above {largest:.0f}" if self.high is None else f"{self.high:.0f}"
        return (
            f"{pair} cross at {self.at:.0f} {unit} [{low}, {high}]: {self.small} scores higher with less training data "
            f"and {self.large} with more (they cross in {share})."
        )


def size_curves(
    metric: ConfusionMetric,
    y_true: Int[np.ndarray, "n"],
    predictions: Sequence[Int[np.ndarray, "n"]],
    cells: Sequence[Cell],
    axis: str,
    sizes: Mapping[str, float],
    *,
    num_classes: int,
    averaged_classes: Bool[np.ndarray, "k"],
    subjects: Shaped[np.ndarray, "n"],
    rng: np.random.Generator,
    n: int = 2_000,
    level: float = 0.95,
    averaged: Sequence[str] = (),
) -> tuple[list[Curve], list[Crossing]]:
    """Return the curves of every level of every factor, and the crossings of every two levels of a factor.

    `axis` is the factor of `cells` that sets the amount of training data, and `sizes` gives the amount for each of its
    levels. If there is no other factor, there is one curve. Intervals draw subjects with replacement, the same for all
    cells, and are percentiles moved outwards for the effective number of subjects ("expanded", see `bootstrap`).

    The interval of a crossing uses the same shares, for which the order of the crossings is enough: a resample whose
    curves do not cross counts as a crossing beyond the nearer end, and one whose curves cross in the opposite direction
    counts at both ends.
    """
    check_labels(y_true, predictions, num_classes, subjects)
    if len(sizes) < 2:
        raise ConfigError("E810", f"a learning curve needs at least two training sizes, not {len(sizes)}.")
    units = units_of(y_true, predictions, num_classes, subjects)
    factors = [name for name in cells[0] if len({cell[name] for cell in cells}) > 1]
    order = sorted(sizes, key=lambda word: sizes[word])
    x = np.array([sizes[word] for word in order])
    point = metric.of_confusion(units.matrices.sum(axis=0), averaged_classes)
    drawn = np.concatenate([metric.of_confusion(matrices, averaged_classes) for matrices in resampled(units, n, rng)])
    ends = expanded_shares(units.sizes(), units.counts, level)
    curves: list[Curve] = []
    crossings: list[Crossing] = []
    for name in [name for name in factors if name != axis and name not in averaged] or [""]:
        lines = _lines(name, axis, order, cells, factors)
        for word, weights in lines.items():
            low, high = np.quantile(drawn @ weights.T, ends, axis=0)
            curves.append(Curve(name, word, *map(_floats, (x, weights @ point, low, high))))
        for a, b in itertools.combinations(lines, 2):
            gap = lines[a] - lines[b]
            crossings.append(_crossing(name, a, b, x, gap @ point, drawn @ gap.T, ends))
    return curves, crossings


def _lines(
    name: str, axis: str, order: Sequence[str], cells: Sequence[Cell], factors: Sequence[str]
) -> dict[str, Float[np.ndarray, "sizes cells"]]:
    """Return, for each level, the cell weights that give its curve; empty if no setting has all of its sizes."""
    means = level_means([name, axis] if name else [axis], cells, factors)
    if not means:
        return {}
    levels = dict.fromkeys(cell[name] for cell in cells) if name else ["all cells"]
    return {level: np.array([means[(level, size) if name else (size,)] for size in order]) for level in levels}


def last_crossing(
    x: Float[np.ndarray, "m"], gap: Float[np.ndarray, "n m"]
) -> tuple[Float[np.ndarray, "n"], Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """Return where each difference last changes its sign (nan: nowhere), and its signs before and after.

    A difference of zero takes the sign of the size before it, or of the next if it is the first.

    >>> at, before, after = last_crossing(np.array([10.0, 1000.0]), np.array([[0.1, -0.1], [0.2, 0.1]]))
    >>> at.round(6), before, after
    (array([100.,  nan]), array([1, 1]), array([-1,  1]))
    """
    signs = np.where(np.abs(gap) <= TIE, 0, np.sign(gap)).astype(np.int64)
    for at in range(1, signs.shape[1]):
        signs[:, at] = np.where(signs[:, at] == 0, signs[:, at - 1], signs[:, at])
    for at in range(signs.shape[1] - 2, -1, -1):
        signs[:, at] = np.where(signs[:, at] == 0, signs[:, at + 1], signs[:, at])
    turns = signs[:, 1:] != signs[:, :-1]
    rows, last = np.arange(len(gap)), turns.shape[1] - 1 - turns[:, ::-1].argmax(axis=1)
    before, after = gap[rows, last], gap[rows, last + 1]
    step = np.where(turns.any(axis=1), before - after, 1.0)
    logs = np.log(x)
    place = np.exp(logs[last] + before / step * (logs[last + 1] - logs[last]))
    return np.where(turns.any(axis=1), place, np.nan), signs[rows, last], signs[:, -1]


def _crossing(
    name: str,
    a: str,
    b: str,
    x: Float[np.ndarray, "m"],
    gap: Float[np.ndarray, "m"],
    drawn: Float[np.ndarray, "n m"],
    ends: Sequence[float],
) -> Crossing:
    (at,), (before,), (after,) = last_crossing(x, gap[None])
    found, _, last = last_crossing(x, drawn)
    crossed = ~np.isnan(found)
    ahead = {1: a, -1: b, 0: ""}
    if np.isnan(at):
        winner = ahead[int(after)]
        return Crossing(name, a, b, None, None, None, float(crossed.mean()), winner, winner)
    # A sign as at small sizes throughout: the curves would cross later; as at large sizes: they crossed before.
    beyond = np.where(last == before, np.inf, -np.inf)
    same_direction = crossed & (last == after)
    opposite = int((crossed & (last != after)).sum())
    values = np.concatenate([found[same_direction], beyond[~crossed], np.repeat([-np.inf, np.inf], opposite)])
    low, high = (float(value) for value in np.quantile(values, ends, method="inverted_cdf"))
    return Crossing(
        name, a, b, float(at),
        None if np.isinf(low) else low,
        None if np.isinf(high) else high,
        float(crossed.mean()), ahead[int(before)], ahead[int(after)],
    )  # fmt: skip


def _floats(values: Float[np.ndarray, "m"]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
