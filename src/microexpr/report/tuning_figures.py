"""Figures of `microexpr tune`'s page: the difference, the course of the searches, what parameters do."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from microexpr.report.differences import Pair, distributions
from microexpr.report.figures import Plot
from microexpr.report.reading import Reading, short
from microexpr.report.style import INK, MARKERS, SERIES, SOFT, WIDTH, legend_handles
from microexpr.report.tuning import brief, parameters, title

MOST = 8
"""Searches that a figure can tell apart."""
ACROSS = 3
WORDS = 24
"""Letters that the choices of one parameter can have side by side."""


def tuning_figures(reading: Reading) -> list[Plot]:
    """Return the figures of a tuning."""
    made = [gain(reading), history(reading), shares(reading), slices(reading)]
    return [plot for plot in made if plot is not None]


def gain(reading: Reading) -> Plot | None:
    """Draw how the difference of tuned and untuned is distributed."""
    row = reading.part("comparison")
    if not row or row.get("problem"):
        return None
    return distributions([Pair("tuned − untuned", row)], ("untuned", "tuned"), title(reading), "tuning_difference")


def history(reading: Reading) -> Plot | None:
    """Draw every finished trial, and the best inner score so far."""
    found = _finished(reading)
    if not found:
        return None
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    axes = figure.subplots()
    for (name, rows), look in zip(found.items(), _looks(found), strict=True):
        scores = [row["score"] for row in rows]
        at = range(1, len(scores) + 1)
        axes.plot(at, scores, linestyle="none", markersize=3.0, alpha=0.45, markeredgewidth=0, **look)
        best = list(itertools.accumulate(scores, max))
        axes.step(at, best, where="post", color=look["color"], linewidth=1.4, label=name)
    axes.set_xlabel("finished trial")
    axes.set_ylabel(f"inner {title(reading)}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")
    _legend(figure, found)
    notes = ["Line: the best so far; point: a trial. Levels of different searches are of different subjects."]
    return Plot("tuning_history", "The course of the searches", figure, notes)


def shares(reading: Reading) -> Plot | None:
    """Draw the share of each parameter: a bar of all searches together, a point of each."""
    found, names = reading.part("importance"), parameters(reading)
    joined = (found.get("joined") or {}).get("shares")
    if not joined or len(names) < 2:
        return None
    order = sorted(names, key=lambda key: float(joined[key]))
    each = [one["shares"] for one in found["searches"] if one["shares"]]
    figure = Figure(figsize=(WIDTH, 0.3 * len(order) + 0.75), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(order)), [100 * joined[key] for key in order], height=0.55, color=SERIES[0], alpha=0.75)
    if len(found["searches"]) > 1:
        for at, key in enumerate(order):
            axes.plot([100 * one[key] for one in each], [at] * len(each), "o", color=INK, markersize=3.5, alpha=0.7)
    axes.set_yticks(range(len(order)), [short(brief(key)) for key in order])
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 102)
    axes.set_xlabel("share of what the values explain, %")
    axes.grid(axis="x")
    notes = ["Bar: all searches together; point: one search. Points far apart: the order is not to be relied on."]
    return Plot("tuning_importance", "Importance of the parameters", figure, notes if len(each) > 1 else [])


def slices(reading: Reading) -> Plot | None:
    """Draw the inner score over each parameter's values."""
    found, names = _finished(reading), parameters(reading)
    if not found:
        return None
    across = min(ACROSS, len(names))
    down = -(-len(names) // across)
    figure = Figure(figsize=(WIDTH, 2.2 * down + 0.35), layout="constrained")
    panels = list(figure.subplots(down, across, squeeze=False, sharey=True).flat)
    logs = {row["parameter"]: "logarithmic" in str(row["values"]) for row in reading.rows("space")}
    words = {row["parameter"]: str(row["values"]).split(", ") for row in reading.rows("space")}
    for axes, key in zip(panels, names, strict=False):
        for rows, look in zip(found.values(), _looks(found), strict=True):
            _slice(axes, [(row["values"][key], row["score"]) for row in rows], words[key], look)
        axes.set_title(short(brief(key)))
        if logs[key]:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(axis="y")
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    for row in range(down):
        panels[row * across].set_ylabel(f"inner {title(reading)}")
    _legend(figure, found)
    return Plot("tuning_parameters", "Inner score over the values tried", figure, ["One point a finished trial."])


def _slice(axes: Axes, points: Sequence[tuple[Any, float]], words: Sequence[str], look: Mapping[str, Any]) -> None:
    style: dict[str, Any] = {"linestyle": "none", "markersize": 3.5, "alpha": 0.6, "markeredgewidth": 0, **look}
    if all(isinstance(value, int | float) for value, _ in points):
        axes.plot([value for value, _ in points], [score for _, score in points], **style)
        return
    places = np.array([words.index(str(value)) for value, _ in points])
    spread = 0.2 * np.linspace(-1, 1, len(points))  # else equal choices hide each other
    axes.plot(places + spread, [score for _, score in points], **style)
    crowded = sum(map(len, words)) > WORDS
    axes.set_xticks(range(len(words)), [short(word, 20) for word in words], rotation=25 if crowded else 0)
    if crowded:
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")


def _finished(reading: Reading) -> dict[str, list[Mapping[str, Any]]]:
    """Return the trials with a score, by search."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in reading.rows("trials"):
        if row["score"] is not None:
            found.setdefault(str(row["search"]), []).append(row)
    return found


def _looks(found: Mapping[str, object]) -> list[dict[str, Any]]:
    if len(found) > MOST:
        return [{"color": SOFT, "marker": "o"} for _ in found]
    return [{"color": SERIES[at % len(SERIES)], "marker": MARKERS[at % len(MARKERS)]} for at in range(len(found))]


def _legend(figure: Figure, found: Mapping[str, object]) -> None:
    if 1 < len(found) <= MOST:
        entries = {
            name: {**look, "markersize": 4, "linestyle": "-"} for name, look in zip(found, _looks(found), strict=True)
        }
        figure.legend(handles=legend_handles(entries), loc="outside upper left", ncols=len(found))
