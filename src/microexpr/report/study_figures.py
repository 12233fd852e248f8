"""Figures that the paper does not have: all cells, learning curves, overfitting, latency, the database."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from microexpr.report.database import database_figure
from microexpr.report.factors import factor_figures
from microexpr.report.pairs import pair_figures
from microexpr.report.paper_figures import (
    Plot,
    cell_style,
    draw_baselines,
    draw_score,
    model_style,
    preprocessing_legend,
    with_cells_note,
)
from microexpr.report.reading import Reading, number, short
from microexpr.report.study_tables import FIRST_NETWORK, ensembles, gap, input_size, timed
from microexpr.report.style import INK, SOFT, WIDTH, legend_handles

MOST = 60
"""Largest number of cells in one figure."""


def record_figures(reading: Reading) -> list[Plot]:
    """Return those of these figures that the summary has values for."""
    made = [latency(reading), database(reading), *factor_figures(reading), *pair_figures(reading)]
    made += [] if reading.leaderboard else [forest(reading)]
    if not reading.many_preprocessings and not reading.leaderboard:
        about = [learning(reading, "macro_f1", "macro-F1"), learning(reading, "loss", "loss"), overfitting(reading)]
        made += [with_cells_note(reading, plot) for plot in about]
    return [plot for plot in made if plot is not None]


def database(reading: Reading) -> Plot | None:
    """Draw the classes, subjects, durations and apex positions of the clips."""
    stats = reading.part("dataset_stats")
    if not stats.get("each"):
        return None
    return Plot("database", "Clips by class and subject, apex positions and durations", database_figure(stats))


def forest(reading: Reading) -> Plot | None:
    """Draw all cells with their intervals on one scale, with the baselines and the prespecified cell."""
    cells = [cell for cell in reading.cells if reading.score(cell) is not None]
    named = reading.part("named_cell")
    if len(cells) + bool(named) < 2 or len(cells) > MOST:
        return None
    methods = reading.levels("preprocessing")
    rows: list[tuple[float, str]] = []
    figure = Figure(figsize=(WIDTH, 0.165 * (len(cells) + 2 * bool(named)) + 0.95), layout="constrained")
    axes = figure.subplots()
    at, previous = 0.0, None
    for cell in cells:
        at += 0.6 if previous not in (None, cell["model"]) else 0.0
        filled = methods.index(cell["preprocessing"]) == 0
        how = model_style(reading, cell["model"]) | {"markersize": 4.5, "linewidth": 1.1}
        draw_score(axes, at, cell, upright=False, filled=filled, **how)
        title = reading.title if reading.many_preprocessings else reading.short_title
        rows.append((at, short(title(cell, "model", "sampling", "preprocessing"), 60)))
        at, previous = at + 1, cell["model"]
    if named:
        at += 0.6
        draw_score(axes, at, named, upright=False, marker="o", markersize=5)
        level = number(named.get("permutation_level"))
        if level is not None:
            axes.plot([level, level], [at - 0.5, at + 0.5], color=INK, linewidth=1.6, zorder=2)
            axes.annotate(
                "permuted labels", (level, at + 0.5), (2, -1), textcoords="offset points", fontsize=6.5, va="top"
            )
        label = reading.short_title(named, "model", "sampling", "preprocessing")
        rows.append((at, f"{named.get('protocol', '').upper()}: {label}"))
        at += 2.0
    axes.set_yticks([y for y, _ in rows], [label for _, label in rows])
    axes.set_ylim(at - 0.4, -0.8)
    _score_scale(axes, [*cells, named])
    draw_baselines(axes, reading, upright=True)
    notes = [
        f"{reading.test_clips}; {reading.interval_note}, per cell, not corrected for the number of cells. "
        "Filled markers: first preprocessing; open markers: the others.",
        *filter(None, [reading.rare_classes_note]),
    ]
    if named:
        notes.append(
            "Last row: the prespecified cell under its own protocol; the vertical bar marks the 95th percentile of its "
            "score under permuted labels."
        )
    return Plot("cells", "Scores and intervals of all cells", figure, notes)


def _score_scale(axes: Axes, cells: Sequence[Mapping[str, Any]]) -> None:
    highest = max(number(cell.get(key)) or 0.0 for cell in cells for key in ("macro_f1", "ci_high"))
    axes.set_xlim(0.0, min(1.0, max(0.3, highest + 0.03)))
    axes.set_xlabel("macro-F1")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def learning(reading: Reading, what: str, title: str) -> Plot | None:
    """Draw training and validation curves by epoch: one small panel per cell, all on one scale."""
    curves = [
        curve
        for curve in reading.rows("curves")
        if curve.get("chosen", True)
        and reading.other_levels(curve) == reading.default_levels
        and any(number(value) is not None for value in curve.get(f"val_{what}") or [])
    ]
    if not curves:
        return None
    models = [m for m in reading.levels("model") if any(curve["model"] == m for curve in curves)]
    strips = [
        (sampling, method)
        for sampling in reading.levels("sampling")
        for method in reading.levels("preprocessing")
        if any((curve["sampling"], curve["preprocessing"]) == (sampling, method) for curve in curves)
    ]
    if not models or not strips:
        return None
    height = 0.82 * len(strips) + 0.75
    figure = Figure(figsize=(WIDTH if len(models) > 1 else 4.0, max(height, 2.0)))
    low, high = 0.42 / figure.get_figheight(), 1 - 0.42 / figure.get_figheight()
    grid = figure.subplots(
        len(strips),
        len(models),
        sharex=True,
        sharey=True,
        squeeze=False,
        gridspec_kw={"left": 0.115, "right": 0.99, "bottom": low, "top": high, "hspace": 0.22, "wspace": 0.09},
    )
    for strip, line in zip(strips, grid, strict=True):
        for model, axes in zip(models, line, strict=True):
            own = [c for c in curves if (c["sampling"], c["preprocessing"], c["model"]) == (*strip, model)]
            _panel(axes, own, what, model_style(reading, model)["color"])
        names = [short(reading.label(*pair), 16) for pair in zip(("sampling", "preprocessing"), strip, strict=True)]
        line[0].set_ylabel((" · " if sum(map(len, names)) < 11 else "\n").join(names), fontsize=7.0, linespacing=1.1)
    for model, axes in zip(models, grid[0], strict=True):
        axes.set_title(reading.short_label("model", model), pad=4)
    for axes in grid[-1]:
        axes.set_xlabel("epoch", labelpad=1.5)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if what != "loss":
        grid[0][0].set_ylim(0.0, 1.02)
    handles = legend_handles(
        {
            f"validation {title}": {"color": INK, "linewidth": 1.3},
            f"training {title}": {"color": SOFT, "linewidth": 1.0, "dashes": (3, 1.5)},
            "selected epoch": {"color": INK, "marker": "o", "markersize": 3.5, "linestyle": "none"},
        }
    )
    figure.legend(handles=handles, loc="upper right", ncols=3, bbox_to_anchor=(0.99, 1.0), borderaxespad=0.1)
    folds = len({curve.get("fold") for curve in curves})
    notes = ["Only the loss selected on validation." if any("loss" in curve for curve in curves) else ""]
    notes += [f"One line per fold ({folds} folds)."] if folds > 1 else []
    notes += [FIRST_NETWORK] if ensembles(reading.cells) else []
    return Plot(f"curves_{what}", f"Learning curves: {title}", figure, [note for note in notes if note])


def _panel(axes: Axes, curves: Sequence[Mapping[str, Any]], what: str, colour: str) -> None:
    axes.grid(axis="y")
    faint = 1.0 if len(curves) < 3 else 0.45
    for curve in curves:
        epochs, values = curve["epoch"], _plain(curve[f"val_{what}"])
        if curve.get(f"train_{what}"):
            axes.plot(epochs, _plain(curve[f"train_{what}"]), color=SOFT, linewidth=0.9, dashes=(3, 1.5), alpha=faint)
        axes.plot(epochs, values, color=colour, linewidth=1.2, alpha=faint)
        if curve.get("chosen_epoch") in epochs:
            at = epochs.index(curve["chosen_epoch"])
            axes.plot(epochs[at], values[at], color=colour, marker="o", markersize=3.2, alpha=faint)
    if not curves:
        axes.text(
            0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", va="center", color=SOFT, fontsize=6.5
        )


def _plain(values: Sequence[object]) -> list[float]:
    return [math.nan if (known := number(value)) is None else known for value in values]


def overfitting(reading: Reading) -> Plot | None:
    """Draw the gap between training and validation scores under every preprocessing."""
    methods = reading.levels("preprocessing")
    pairs = [(model, sampling) for model in reading.levels("model") for sampling in reading.levels("sampling")]
    pairs = [pair for pair in pairs if any(gap(reading.find(name, pair[1], pair[0])) is not None for name in methods)]
    if not pairs or len(methods) < 2:
        return None
    figure = Figure(figsize=(WIDTH, 0.19 * len(pairs) + 0.95), layout="constrained")
    axes = figure.subplots()
    for at, (model, sampling) in enumerate(pairs):
        found = [gap(reading.find(name, sampling, model)) for name in methods]
        known = [value for value in found if value is not None]
        colour = model_style(reading, model)["color"]
        axes.plot([min(known), max(known)], [at, at], color=colour, linewidth=1.0, alpha=0.6, zorder=1)
        for k, value in enumerate(found):
            if value is not None:
                style = cell_style(reading, model, methods[k])
                face = style["color"] if style.pop("filled") else "white"
                axes.plot(value, at, **style, markerfacecolor=face, markersize=5, linestyle="none", zorder=3)
    labels = [
        f"{reading.short_label('model', model)} · {reading.short_label('sampling', sampling)}"
        for model, sampling in pairs
    ]
    axes.set_yticks(range(len(pairs)), labels)
    axes.set_ylim(len(pairs) - 0.4, -0.6)
    axes.axvline(0, color=SOFT, linewidth=0.8)
    axes.set_xlabel("training minus validation macro-F1 at the selected epoch")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    entries = {name: how | {"linestyle": "none"} for name, how in preprocessing_legend(reading).items()}
    figure.legend(handles=legend_handles(entries), loc="outside upper right", ncols=min(5, len(entries)))
    return Plot(
        "overfitting",
        "Gap between training and validation scores",
        figure,
        ["Right of zero: higher on training clips."],
    )


def latency(reading: Reading) -> Plot | None:
    """Draw milliseconds per sample by model and input size."""
    rows = [row for row in reading.rows("latency") if number(row.get("ms")) is not None]
    if len(rows) < 2:
        return None
    figure = Figure(figsize=(WIDTH, 0.2 * len(rows) + 0.75), layout="constrained")
    axes = figure.subplots()
    longest = max(row["ms"] for row in rows)
    for at, row in enumerate(rows):
        axes.barh(at, row["ms"], height=0.55, color=model_style(reading, row["model"])["color"], alpha=0.8)
        axes.text(row["ms"] + 0.008 * longest, at, f"{row['ms']:.2f}", va="center", fontsize=7)
    names = [f"{timed(reading.short_label('model', row['model']), row)} · {input_size(row)}" for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.08 * longest)
    axes.set_xlabel("milliseconds per sample")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    devices = sorted({str(row["device"]) for row in rows if row.get("device")})
    return Plot("latency", "Latency", figure, [f"Measured on {', '.join(devices) or 'an unspecified device'}."])
