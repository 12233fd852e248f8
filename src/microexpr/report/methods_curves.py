"""Learning curves of a study of methods: one small panel a method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from microexpr.config.study import METHODS
from microexpr.report.figures import Plot
from microexpr.report.reading import Reading, number, short
from microexpr.report.style import INK, SERIES, SOFT, WIDTH, legend_handles

ACROSS = 4
"""Panels side by side."""
WITHIN = (10, 90)
"""Percentiles of the folds between which a band is drawn."""
VAL, TRAIN = SERIES[0], SOFT


def method_curves(reading: Reading) -> Plot | None:
    """Draw macro-F1 on training and validation clips by epoch; None where nothing is trained in epochs."""
    methods: dict[str, list[Mapping[str, Any]]] = {}
    for curve in reading.rows("curves"):
        if reading.board and curve.get("chosen", True) and len(curve["epoch"]) > 1:
            methods.setdefault(curve["factors"].get(METHODS, curve["model"]), []).append(curve)
    if not methods:
        return None
    lines = math.ceil(len(methods) / ACROSS)
    figure = Figure(figsize=(WIDTH, 1.25 * lines + 0.55), layout="constrained")
    grid = figure.subplots(lines, ACROSS, sharey=True, squeeze=False).flatten()
    for axes, (method, curves) in zip(grid, methods.items(), strict=False):
        axes.set_title(short(method, 26), fontsize=7.5, pad=3)
        _band(axes, curves, "train", TRAIN)
        _band(axes, curves, "val", VAL)
        axes.grid(axis="y")
        axes.set_ylim(0.0, 1.02)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.tick_params(labelsize=6.5)
    for axes in grid[len(methods) :]:
        axes.set_visible(False)
    validated = any(_known(curve, "val") for curves in methods.values() for curve in curves)
    entries: dict[str, dict[str, Any]] = {"training macro-F1": {"color": TRAIN, "linewidth": 1.3}}
    if validated:
        entries["validation macro-F1"] = {"color": VAL, "linewidth": 1.3}
    figure.legend(handles=legend_handles(entries), loc="outside upper right", ncols=2)
    figure.supxlabel("epoch", fontsize=7.5, color=INK)
    notes = [
        f"Lines: the mean over folds and seeds that trained so long; bands: their {WITHIN[0]}th to {WITHIN[1]}th "
        "percentile. Methods that are fitted once have no curve."
    ]
    if not validated:
        notes.append("Nothing was chosen on validation, so there is no validation curve.")
    return Plot("curves_methods", "Learning curves of the methods: macro-F1", figure, notes)


def _known(curve: Mapping[str, Any], part: str) -> bool:
    return any(number(value) is not None for value in curve.get(f"{part}_macro_f1") or [])


def _band(axes: Axes, curves: Sequence[Mapping[str, Any]], part: str, colour: str) -> None:
    values: dict[int, list[float]] = {}
    for curve in curves:
        for epoch, value in zip(curve["epoch"], curve.get(f"{part}_macro_f1") or [], strict=False):
            if (known := number(value)) is not None:
                values.setdefault(epoch, []).append(known)
    if not values:
        return
    epochs = sorted(values)
    low, high = np.array([np.percentile(values[epoch], WITHIN) for epoch in epochs]).T
    axes.fill_between(epochs, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(epochs, [float(np.mean(values[epoch])) for epoch in epochs], color=colour, linewidth=1.3)
