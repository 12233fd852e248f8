"""Learning curves: scores and losses by epoch, of the cells of a grid and of methods."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from microexpr.report.blocks.scores import model_style
from microexpr.report.blocks.training import FIRST_NETWORK, ensembles
from microexpr.report.figure import INK, SERIES, SOFT, WIDTH, Plot, canvas, legend_handles
from microexpr.report.summary import LearningCurve
from microexpr.report.table import short
from microexpr.report.view import METHOD, StudyView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EPOCHS = 8
"""Smallest number of epochs that has learning curves: a shorter curve shows nothing."""
ACROSS = 4
"""Panels side by side."""
WITHIN = (10, 90)
"""Percentiles of the folds that bound the band."""
VAL, TRAIN = SERIES[0], SOFT


# --- cells ------------------------------------------------------------------------------------------------------------
def of_scores(view: StudyView) -> Plot | None:
    """Draw training and validation scores by epoch, where there are enough epochs."""
    return _learning(view, "score", view.score, lambda curve: curve.train_score, lambda curve: curve.val_score)


def of_losses(view: StudyView) -> Plot | None:
    """Draw training and validation losses by epoch, where there are enough epochs."""
    return _learning(view, "loss", "loss", lambda curve: curve.train_loss, lambda curve: curve.val_loss)


Values = Callable[[LearningCurve], Sequence[float | None]]


def _learning(view: StudyView, what: str, title: str, train: Values, val: Values) -> Plot | None:
    """Draw curves by epoch: one small panel per cell, all on one scale."""
    if view.many_preprocessings:
        return None
    curves = [
        curve
        for curve in view.summary.curves
        if curve.chosen
        and len(curve.epoch) >= EPOCHS
        and view.other_levels(curve) == view.default_levels
        and any(value is not None for value in val(curve))
    ]
    models = [name for name in view.levels("model") if any(curve.model == name for curve in curves)]
    strips = [
        (sampling, method)
        for sampling in view.levels("sampling")
        for method in view.levels("preprocessing")
        if any((curve.sampling, curve.preprocessing) == (sampling, method) for curve in curves)
    ]
    if not models or not strips:
        return None
    size = (WIDTH if len(models) > 1 else 4.0, max(0.82 * len(strips) + 0.75, 2.0))

    def draw() -> Figure:
        from matplotlib.ticker import MaxNLocator

        figure = canvas(*size, layout=None)
        low, high = 0.42 / size[1], 1 - 0.42 / size[1]
        around = {"left": 0.115, "right": 0.99, "bottom": low, "top": high, "hspace": 0.22, "wspace": 0.09}
        grid = figure.subplots(len(strips), len(models), sharex=True, sharey=True, squeeze=False, gridspec_kw=around)
        for strip, line in zip(strips, grid, strict=True):
            for model, axes in zip(models, line, strict=True):
                own = [c for c in curves if (c.sampling, c.preprocessing, c.model) == (*strip, model)]
                _panel(axes, own, train, val, model_style(view, model)["color"])
            names = [short(view.label(*pair), 16) for pair in zip(("sampling", "preprocessing"), strip, strict=True)]
            line[0].set_ylabel(
                (" · " if sum(map(len, names)) < 11 else "\n").join(names), fontsize=7.0, linespacing=1.1
            )
        for model, axes in zip(models, grid[0], strict=True):
            axes.set_title(view.short_label("model", model), pad=4)
        for axes in grid[-1]:
            axes.set_xlabel("epoch", labelpad=1.5)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if what != "loss":
            grid[0][0].set_ylim(0.0, 1.02)
        entries: dict[str, dict[str, Any]] = {
            f"validation {title}": {"color": INK, "linewidth": 1.3},
            f"training {title}": {"color": SOFT, "linewidth": 1.0, "dashes": (3, 1.5)},
            "selected epoch": {"color": INK, "marker": "o", "markersize": 3.5, "linestyle": "none"},
        }
        figure.legend(handles=legend_handles(entries), loc="upper right", ncols=3, bbox_to_anchor=(0.99, 1.0),
                      borderaxespad=0.1)  # fmt: skip
        return figure

    folds = len({curve.fold for curve in curves})
    notes = [f"One line per fold ({folds} folds)."] if folds > 1 else []
    notes += [FIRST_NETWORK] if ensembles(view.cells) else []
    notes += [view.default_cells_note] if view.default_cells_note else []
    if len(curves) < sum(curve.chosen for curve in view.summary.curves):
        notes.append(f"Cells with fewer than {EPOCHS} epochs are not drawn.")
    return Plot(f"curves_{what}", f"Learning curves: {title}", draw, notes)


def _panel(axes: Axes, curves: Sequence[LearningCurve], train: Values, val: Values, colour: str) -> None:
    axes.grid(axis="y")
    faint = 1.0 if len(curves) < 3 else 0.45
    for curve in curves:
        values = _plain(val(curve))
        if train(curve):
            axes.plot(curve.epoch, _plain(train(curve)), color=SOFT, linewidth=0.9, dashes=(3, 1.5), alpha=faint)
        axes.plot(curve.epoch, values, color=colour, linewidth=1.2, alpha=faint)
        if curve.chosen_epoch in curve.epoch:
            at = curve.epoch.index(curve.chosen_epoch)
            axes.plot(curve.epoch[at], values[at], color=colour, marker="o", markersize=3.2, alpha=faint)
    if not curves:
        place: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "center"}
        axes.text(0.5, 0.5, "not drawn", color=SOFT, fontsize=6.5, **place)


def _plain(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


# --- methods ----------------------------------------------------------------------------------------------------------
def of_methods(view: StudyView) -> Plot | None:
    """Draw the score on training and validation clips by epoch, one panel per method that trains for enough epochs."""
    methods: dict[str, list[LearningCurve]] = {}
    for curve in view.summary.curves:
        if curve.chosen:
            methods.setdefault(curve.factors.get(METHOD, curve.model), []).append(curve)
    long = {name: curves for name, curves in methods.items() if max(len(each.epoch) for each in curves) >= EPOCHS}
    if not long:
        return None
    down = math.ceil(len(long) / ACROSS)
    validated = any(value is not None for curves in long.values() for curve in curves for value in curve.val_score)

    def draw() -> Figure:
        from matplotlib.ticker import MaxNLocator

        figure = canvas(WIDTH, 1.25 * down + 0.55)
        grid = figure.subplots(down, ACROSS, sharey=True, squeeze=False).flatten()
        for axes, (method, curves) in zip(grid, long.items(), strict=False):
            axes.set_title(short(method, 26), fontsize=7.5, pad=3)
            _band(axes, curves, lambda curve: curve.train_score, TRAIN)
            _band(axes, curves, lambda curve: curve.val_score, VAL)
            axes.grid(axis="y")
            axes.set_ylim(0.0, 1.02)
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.tick_params(labelsize=6.5)
        for axes in grid[len(long) :]:
            axes.set_visible(False)
        entries: dict[str, dict[str, Any]] = {f"training {view.score}": {"color": TRAIN, "linewidth": 1.3}}
        if validated:
            entries[f"validation {view.score}"] = {"color": VAL, "linewidth": 1.3}
        figure.legend(handles=legend_handles(entries), loc="outside upper right", ncols=2)
        figure.supxlabel("epoch", fontsize=7.5, color=INK)
        return figure

    notes = [] if validated else ["No validation clips were used, so there is no validation curve."]
    how = [
        f"Lines: mean over the folds and seeds still in training; bands: {WITHIN[0]}th to {WITHIN[1]}th percentile. "
        f"Methods with fewer than {EPOCHS} epochs have no curve."
    ]
    return Plot("curves_methods", f"Learning curves of the methods: {view.score}", draw, notes, how)


def _band(
    axes: Axes, curves: Sequence[LearningCurve], of: Callable[[LearningCurve], Sequence[float | None]], colour: str
) -> None:
    values: dict[int, list[float]] = {}
    for curve in curves:
        for epoch, value in zip(curve.epoch, of(curve), strict=False):
            if value is not None:
                values.setdefault(epoch, []).append(value)
    if not values:
        return
    epochs = sorted(values)
    low, high = np.array([np.percentile(values[epoch], WITHIN) for epoch in epochs]).T
    axes.fill_between(epochs, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(epochs, [float(np.mean(values[epoch])) for epoch in epochs], color=colour, linewidth=1.3)
