"""Figures of paired comparisons: differences with their intervals, and their distributions over resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from microexpr.evaluation.statistics.power import LEVEL, POWER
from microexpr.evaluation.statistics.scope import Trained, together
from microexpr.report.paper_figures import Plot
from microexpr.report.reading import number, short
from microexpr.report.style import INK, SERIES, SOFT, WIDTH
from microexpr.report.table import format_interval, format_value

MOST = 36
"""Largest number of comparisons in one figure."""
BINS = 60
_GAP = 5 * "\u00a0"
"""Space that browsers do not collapse."""


@dataclass(frozen=True)
class Pair:
    """A comparison as it is drawn."""

    label: str
    row: Mapping[str, Any]
    colour: str = SERIES[0]

    @property
    def significant(self) -> bool:
        """Whether the difference is significant, corrected for several comparisons; older summaries have p only."""
        significant, p = self.row.get("significant"), corrected(self.row)
        return bool(significant) if significant is not None else p is not None and p <= LEVEL

    @property
    def trained(self) -> Trained:
        """How the two sides were trained; unknown in older summaries."""
        return Trained(**self.row.get("trained") or {})

    @property
    def percentiles(self) -> Float[np.ndarray, "q"]:
        """The percentiles of the resampled differences; empty in older summaries."""
        return np.array(self.row.get("percentiles") or [], float)


def corrected(row: Mapping[str, Any]) -> float | None:
    """Return the p-value to report: Holm's where there are several comparisons."""
    adjusted = number(row.get("p_holm"))
    return number(row.get("p_value")) if adjusted is None else adjusted


def difference(row: Mapping[str, Any]) -> str:
    """Return '+0.062 [−0.021, 0.144]'."""
    return format_value(row["difference"], "change") + format_interval(row, digits=3)


def power(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the power of the stated detectable differences, as '80 %'."""
    return f"{100 * next((known for row in rows if (known := number(row.get('power'))) is not None), POWER):.0f} %"


def how(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how intervals and p-values were computed, as clauses; each once."""
    made = [str(row[key]) for key in ("interval", "test") for row in rows if row.get(key)]
    drawn = {int(row["permutations"]) for row in rows if number(row.get("permutations")) and not row.get("p_exact")}
    exact = any(row.get("p_exact") for row in rows)
    ways = [f"{max(drawn):,} random permutations"] if drawn else []
    ways += [f"all permutations{' where there are fewer' if drawn else ''}"] if exact else []
    return [*dict.fromkeys(made), *([", ".join(ways)] if ways else [])]


def chosen(pairs: Sequence[Pair]) -> tuple[list[Pair], list[str]]:
    """Return the pairs that fit in a figure, and a note where these are not all."""
    if len(pairs) <= MOST:
        return list(pairs), []
    smallest = sorted(pairs, key=lambda pair: (corrected(pair.row) or 0.0, number(pair.row.get("p_value")) or 0.0))
    kept = {id(pair) for pair in smallest[:MOST]}
    return [pair for pair in pairs if id(pair) in kept], [
        f"The {MOST} of {len(pairs)} pairs with the smallest p; the table lists all."
    ]


def forest(pairs: Sequence[Pair], ahead: tuple[str, str], score: str, name: str) -> Plot | None:
    """Draw every difference with its interval; `ahead` names the sides with the higher score left and right of 0."""
    drawn, notes = chosen(pairs)
    if not drawn:
        return None
    figure = Figure(figsize=(WIDTH, 0.24 * len(drawn) + 0.85), layout="constrained")
    axes = figure.subplots()
    for at, pair in enumerate(reversed(drawn)):
        least = number(pair.row.get("detectable"))
        if least is not None:
            axes.plot([-least, least], [at, at], color=SOFT, marker="|", markersize=8, linestyle="none", alpha=0.7)
        _point(axes, at, pair)
        p = corrected(pair.row)
        _beside(axes, at, difference(pair.row) + ("" if p is None else f" · p {format_value(p, 'p')}"))
    _rows(axes, drawn, ahead, score)
    filled = together([pair.trained for pair in drawn]).verdict(significant=True)
    notes += [f"Filled markers: {filled}{' (p corrected by Holm)' if _several(drawn) else ''}."]
    if any(number(pair.row.get("detectable")) is not None for pair in drawn):
        share = power([pair.row for pair in drawn])
        notes.append(f"Grey ticks: smallest difference, of either sign, detectable with {share} power.")
    return Plot(name, f"Differences in {score} with their intervals", figure, notes)


def distributions(pairs: Sequence[Pair], ahead: tuple[str, str], score: str, name: str) -> Plot | None:
    """Draw the distribution of each difference over resamples, all on one scale."""
    drawn, notes = chosen([pair for pair in pairs if pair.percentiles.size > 1])
    if not drawn:
        return None
    edges = _edges(drawn)
    mass = [np.diff(np.interp(edges, p, np.linspace(0, 1, p.size))) for p in (pair.percentiles for pair in drawn)]
    spread = [row.max() for row, pair in zip(mass, drawn, strict=True) if np.ptp(pair.percentiles) > 0]
    tall = 0.46 if len(drawn) <= 12 else 0.3
    figure = Figure(figsize=(WIDTH, tall * len(drawn) + (1.3 if len(drawn) == 1 else 0.85)), layout="constrained")
    axes = figure.subplots()
    for at, (pair, row) in enumerate(zip(reversed(drawn), reversed(mass), strict=True)):
        _ridge(axes, at, pair, edges, 0.82 * row / max([*spread, 1e-9]))
        _beside(axes, at + 0.3, f"{_share_ahead(pair):.0f} %")
    _rows(axes, drawn, ahead, score)
    axes.set_ylim(-0.35, len(drawn) - 0.05)
    style: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 7, "color": SOFT}
    axes.annotate(f"{short(ahead[1], 18)} higher", (1, 1), (6, 2), **style)
    resamples = {int(n) for pair in drawn if (n := number(pair.row.get("resamples"))) is not None}
    of = f" of {max(resamples):,} resamples" if resamples else ""
    notes += [
        f"Heights: shares{of}, on a common scale. Dark: resamples in which the score of {ahead[1]} is higher; their "
        "share, which is not a p-value, is given on the right. Below each distribution: the "
        "difference and its interval."
    ]
    return Plot(name, f"Bootstrap distributions of the differences in {score}", figure, notes)


def _several(drawn: Sequence[Pair]) -> bool:
    return any(number(pair.row.get("p_holm")) is not None and pair.row.get("family") != 1 for pair in drawn)


def _point(axes: Axes, at: float | int, pair: Pair) -> None:
    low, high = number(pair.row.get("ci_low")), number(pair.row.get("ci_high"))
    if low is not None and high is not None:
        axes.plot([low, high], [at, at], color=pair.colour, linewidth=1.4, solid_capstyle="butt", zorder=2)
    face = pair.colour if pair.significant else "white"
    look: dict[str, Any] = {"marker": "o", "markersize": 5.0, "color": pair.colour, "markerfacecolor": face}
    axes.plot([pair.row["difference"]], [at], **look, linestyle="none", zorder=3)


def _beside(axes: Axes, at: float | int, text: str) -> None:
    where: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    axes.annotate(text, (1.0, at), (6, 0), **where, fontsize=7, va="center", color=INK)


def _rows(axes: Axes, drawn: Sequence[Pair], ahead: tuple[str, str], score: str) -> None:
    axes.axvline(0, color=SOFT, linewidth=0.8, zorder=1)
    axes.set_yticks(range(len(drawn)), [short(pair.label, 44) for pair in reversed(drawn)])
    axes.set_ylim(-0.6, len(drawn) - 0.4)
    left, right = (short(name, 22) for name in ahead)
    axes.set_xlabel(f"← {left} higher{_GAP}difference in {score}{_GAP}{right} higher →")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _edges(drawn: Sequence[Pair]) -> Float[np.ndarray, "e"]:
    """Return bin edges of one width for all pairs, with zero in the middle of a bin."""
    low = min(float(pair.percentiles[0]) for pair in drawn)
    high = max(float(pair.percentiles[-1]) for pair in drawn)
    width = (high - low) / BINS or 0.01
    return (np.arange(np.floor(low / width - 0.5), np.ceil(high / width + 0.5) + 1) + 0.5) * width


def _ridge(axes: Axes, at: int, pair: Pair, edges: Float[np.ndarray, "e"], heights: Float[np.ndarray, "b"]) -> None:
    axes.axhline(at, color=SOFT, linewidth=0.4, zorder=1)
    if np.ptp(pair.percentiles) == 0:  # all resamples are equal: a line, since a bin would be misleading
        axes.plot([pair.percentiles[0]] * 2, [at, at + 0.82], color=pair.colour, linewidth=1.2)
    else:
        centres = (edges[:-1] + edges[1:]) / 2
        ahead = centres > (edges[1] - edges[0]) / 4
        for side, alpha in ((ahead, 0.75), (~ahead, 0.3)):
            if side.any():
                own = np.append(edges[:-1][side], edges[1:][side][-1])
                axes.stairs(at + heights[side], own, baseline=at, fill=True, color=pair.colour, alpha=alpha, zorder=2)
    _point(axes, at - 0.12, pair)


def _share_ahead(pair: Pair) -> float:
    """Return the percentage of resamples in which the first side has the higher score."""
    return float(100 * (pair.percentiles > 1e-12).mean())
