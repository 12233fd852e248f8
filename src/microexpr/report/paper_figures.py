"""The paper's Figures 2 to 4 with the published values as light markers, and what all figures share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from microexpr.report.paper_tables import BASELINES
from microexpr.report.reading import Cell, Reading, number, short
from microexpr.report.style import INK, MARKERS, RULE, SERIES, SHADE, SOFT, WIDTH, legend_handles


@dataclass(frozen=True)
class Plot:
    """One figure of the report; `name` is the stem of its files."""

    name: str
    caption: str
    figure: Figure
    notes: Sequence[str] = ()
    label: str = ""
    """'Figure 2' for a figure of the paper, 'Figure S1' for an added one; set when the page is assembled."""


def paper_figures(reading: Reading) -> list[Plot]:
    """Return those of Figures 2, 3 and 4 that the summary has values for."""
    side_by_side = () if reading.many_preprocessings or reading.leaderboard else (quality_and_performance, phases)
    made = [with_cells_note(reading, draw(reading)) for draw in side_by_side]
    return [plot for plot in [*made, confusion(reading)] if plot is not None]


def with_cells_note(reading: Reading, plot: Plot | None) -> Plot | None:
    """Add the note that a figure shows the default cells only, where there are others."""
    note = reading.default_cells_note
    return replace(plot, notes=[*plot.notes, note]) if plot and note else plot


def model_style(reading: Reading, model: str) -> dict[str, Any]:
    """Return the colour and marker of a model, the same in every figure."""
    at = [*dict.fromkeys([*reading.part("models"), *reading.levels("model")]), model].index(model)
    return {"color": SERIES[at % len(SERIES)], "marker": MARKERS[at % len(MARKERS)]}


def cell_style(reading: Reading, model: str, preprocessing: str) -> dict[str, Any]:
    """Return the style of a cell where preprocessings are compared: the first is filled, the others are open.

    More than two preprocessings also differ in their markers; the colour identifies the model.
    """
    methods = reading.levels("preprocessing")
    at = methods.index(preprocessing)
    own = {"marker": MARKERS[at % len(MARKERS)]} if len(methods) > 2 else {}
    return {**model_style(reading, model), **own, "filled": at == 0}


def preprocessing_legend(reading: Reading) -> dict[str, dict[str, Any]]:
    """Return the legend entries of `cell_style`."""
    methods = reading.levels("preprocessing")
    markers = MARKERS if len(methods) > 2 else ("o", "o")
    return {
        reading.short_label("preprocessing", name): _entry(INK, markers[at % len(markers)], filled=at == 0)
        for at, name in enumerate(methods)
    }


def draw_score(
    axes: Axes, at: float, cell: Mapping[str, Any], *, upright: bool = True, filled: bool = True, **style: Any
) -> None:
    """Draw a score with its interval, where one was computed."""
    score, low, high = (number(cell.get(key)) for key in ("macro_f1", "ci_low", "ci_high"))
    if score is None:
        return
    defaults: dict[str, Any] = {"markersize": 5.0, "linewidth": 1.3, "marker": "o", "color": INK}
    style = defaults | style
    colour, width = style["color"], style.pop("linewidth")
    if low is not None and high is not None:
        spans = ([at, at], [low, high]) if upright else ([low, high], [at, at])
        axes.plot(*spans, color=colour, linewidth=width, solid_capstyle="butt", zorder=2)
    style |= {"markeredgecolor": colour, "markerfacecolor": colour if filled else "white", "linestyle": "none"}
    axes.plot(*(([at], [score]) if upright else ([score], [at])), zorder=3, **style)


def draw_baselines(axes: Axes, reading: Reading, *, upright: bool = False, named: bool = True) -> None:
    """Draw the scores of the baselines that use no image."""
    levels = {name: reading.score(reading.part("baselines").get(name)) for name in ("guessing", "majority")}
    known = {name: level for name, level in levels.items() if level is not None}
    for name, level in known.items():
        draw = axes.axvline if upright else axes.axhline
        draw(level, color=SOFT, linewidth=0.9, dashes=(4, 2) if name == "guessing" else (1, 2), zorder=1)
        upper = level == max(known.values())
        style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 6.5, "color": SOFT}
        if upright:
            style |= {"ha": "left" if upper else "right", "va": "bottom"}
            axes.annotate(
                BASELINES[name].lower(),
                (level, 1.0),
                (3 if upper else -3, 1),
                xycoords=("data", "axes fraction"),
                **style,
            )
        elif named:
            style |= {"va": "bottom" if upper else "top"}
            axes.annotate(BASELINES[name].lower(), (1.0, level), (3, 0), xycoords=("axes fraction", "data"), **style)


def score_axis(axes: Axes, top: float) -> None:
    """Set a vertical axis for macro-F1."""
    axes.set_ylim(0.0, top)
    axes.set_ylabel("macro-F1")
    axes.grid(axis="y")


def score_limit(reading: Reading, cells: Sequence[Mapping[str, Any]]) -> float:
    """Return an axis limit above every interval and published value."""
    highest = [number(cell.get(key)) or 0.0 for cell in cells for key in ("macro_f1", "ci_high")]
    highest += [float(row["m1_ci"][1]) for row in reading.published("table3") if row.get("m1_ci")]
    return min(1.0, max([0.3, *highest]) + 0.05)


def quality_and_performance(reading: Reading) -> Plot | None:
    """Draw Figure 2: quality of the preprocessing against the score of the best model of each phase."""
    methods = reading.levels("preprocessing")
    if len(methods) < 2 or not reading.best_by_sampling:
        return None
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    quality, performance = figure.subplots(1, 2, width_ratios=[1.0, 2.1])
    _quality(quality, reading, methods)
    gap = min(0.2, 0.7 / len(methods))
    for at, (sampling, winner) in enumerate(reading.best_by_sampling.items()):
        for k, name in enumerate(methods):
            cell = reading.find(name, sampling, winner["model"])
            x = at + gap * (k - (len(methods) - 1) / 2)
            if cell is not None:
                draw_score(performance, x, cell, **cell_style(reading, winner["model"], name))
            _published(performance, x + 0.07, reading, sampling, name)
    performance.set_xticks(
        range(len(reading.best_by_sampling)),
        [
            f"{reading.short_label('sampling', s)}\n{reading.short_label('model', c['model'])}"
            for s, c in reading.best_by_sampling.items()
        ],
    )
    performance.set_xlim(-0.5, len(reading.best_by_sampling) - 0.5)
    performance.set_title("Performance")
    score_axis(performance, score_limit(reading, list(reading.best_by_sampling.values())))
    draw_baselines(performance, reading)
    entries = preprocessing_legend(reading)
    if any(map(reading.paper_preprocessing, methods)) and any(map(reading.paper_main_row, reading.best_by_sampling)):
        entries["published (other models, other data)"] = _entry(SOFT, "D", filled=False) | {"markersize": 4.0}
    _legend(figure, entries)
    notes = [f"{reading.test_clips}; {reading.interval_note}. Colours identify models."]
    return Plot("figure2_quality_performance", "Quality of preprocessing against performance", figure, notes)


def _entry(colour: str, marker: str, *, filled: bool) -> dict[str, Any]:
    face = colour if filled else "white"
    return {"color": colour, "marker": marker, "markerfacecolor": face, "markersize": 5.0, "linewidth": 1.3}


def _legend(figure: Figure, entries: Mapping[str, Mapping[str, Any]]) -> None:
    handles = legend_handles({f" {name}" if name.startswith("_") else name: how for name, how in entries.items()})
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))


def _quality(axes: Axes, reading: Reading, methods: Sequence[str]) -> None:
    shares = [number((reading.part("preprocessing").get(name) or {}).get("face_centred")) for name in methods]
    for at, share in enumerate(shares):
        if share is None:
            axes.text(50, at, "not measured", ha="center", va="center", color=SOFT, style="italic")
        else:
            axes.barh(at, 100 * share, height=0.42, color=SHADE, alpha=0.75)
            inside = share > 0.3
            place: dict[str, Any] = {"ha": "right" if inside else "left", "color": "white" if inside else INK}
            axes.text(100 * share + (-2 if inside else 2), at, f"{100 * share:.0f} %", va="center", **place)
        paper = (reading.paper.get("table1") or {}).get(reading.paper_preprocessing(methods[at]) or "")
        if paper is not None:
            axes.plot(
                [100 * paper["face_centred"]],
                [at + 0.32],
                marker="D",
                markersize=4,
                color=SOFT,
                markerfacecolor="white",
                clip_on=False,
            )
    axes.set_yticks(range(len(methods)), [reading.short_label("preprocessing", name) for name in methods])
    axes.set_ylim(len(methods) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("frames with a centred face, %")
    axes.set_title("Quality")


def _published(axes: Axes, at: float, reading: Reading, sampling: str, preprocessing: str) -> None:
    row, method = reading.paper_main_row(sampling), reading.paper_preprocessing(preprocessing)
    if row is None or method is None:
        return
    low, high = row.get(f"{method}_ci") or (None, None)
    values = {"macro_f1": row.get(method), "ci_low": low, "ci_high": high}
    draw_score(axes, at, values, filled=False, color=SOFT, marker="D", markersize=3.5, linewidth=0.7)


def phases(reading: Reading) -> Plot | None:
    """Draw Figure 3: every model in each phase, one panel per preprocessing."""
    names, methods, models = (reading.levels(axis) for axis in ("sampling", "preprocessing", "model"))
    if len(names) < 2:
        return None
    across = min(len(methods), 3)
    down = -(-len(methods) // across)
    figure = Figure(figsize=(WIDTH if across > 1 else 4.2, 2.6 * down + 0.3), layout="constrained")
    panels = figure.subplots(down, across, sharey=True, squeeze=False).flat
    for method, axes in zip(methods, panels, strict=False):
        for k, model in enumerate(models):
            cells = [reading.find(method, name, model) for name in names]
            shift = 0.11 * (k - (len(models) - 1) / 2)
            known = [(at + shift, cell) for at, cell in enumerate(cells) if reading.score(cell) is not None]
            how = model_style(reading, model)
            axes.plot([x for x, _ in known], [c["macro_f1"] for _, c in known if c], color=how["color"], linewidth=1.0)
            for x, cell in known:
                draw_score(axes, x, cell or {}, **how, linewidth=0.9)
        axes.set_xticks(range(len(names)), [reading.short_label("sampling", name) for name in names])
        axes.set_xlim(-0.45, len(names) - 0.55)
        axes.set_title(reading.short_label("preprocessing", method))
        score_axis(axes, score_limit(reading, reading.cells))
        axes.label_outer()
        draw_baselines(axes, reading, named=method == methods[-1])
    for axes in panels:
        axes.set_visible(False)
    _legend(figure, {reading.short_label("model", m): model_style(reading, m) | {"markersize": 5.0} for m in models})
    notes = [
        f"{reading.test_clips}; {reading.interval_note}. Models are offset horizontally to keep intervals distinct."
    ]
    return Plot("figure3_phases", "Models by phase", figure, notes)


def confusion(reading: Reading) -> Plot | None:
    """Draw Figure 4: the confusion matrices of the best cell and of its counterpart under another preprocessing."""
    best = reading.best_cell
    if best is None or not reading.classes:
        return None
    others = [name for name in reading.levels("preprocessing") if name != best["preprocessing"]]
    counterparts = (
        []
        if reading.many_preprocessings
        else [reading.find(name, best["sampling"], best["model"], best) for name in others]
    )
    cells = [cell for cell in [best, *counterparts] if cell is not None and reading.test_counts(cell)][:2]
    if not cells:
        return None
    figure = Figure(figsize=(WIDTH if len(cells) > 1 else 4.2, 4.0), layout="constrained")
    for at, (cell, axes) in enumerate(zip(cells, figure.subplots(1, len(cells), squeeze=False).flat, strict=True)):
        _matrix(axes, reading, cell, first=at == 0)
    right = ", ".join(
        f"{reading.short_label('preprocessing', c['preprocessing'])} {reading.correct_count(c)}" for c in cells
    )
    notes = [
        f"Rows: true class; columns: predicted class. Counts and row percentages. Correct clips: {right} of "
        f"{sum(reading.test_counts(cells[0]) or [])}. {reading.short_title(cells[0], 'sampling', 'model')}."
    ]
    plural = "matrices" if len(cells) > 1 else "matrix"
    title = f"Confusion {plural}" if reading.single_experiment else f"Confusion {plural} of the best cell"
    title += " and of the same cell under another preprocessing" if len(cells) > 1 else ""
    return Plot("figure4_confusion", title, figure, notes)


def _matrix(axes: Axes, reading: Reading, cell: Cell, *, first: bool) -> None:
    matrix, size = cell["confusion"], len(reading.classes)
    small = 7.0 if size <= 8 else 5.0
    near = min(1.0, size / 7)  # keeps count and percentage together in the larger squares of few classes
    for at, row in enumerate(matrix):
        total = sum(row)
        for k, count in enumerate(row):
            share = count / total if total else 0.0
            if count:
                axes.add_patch(Rectangle((k - 0.5, at - 0.5), 1, 1, facecolor=SHADE, alpha=0.62 * share, linewidth=0))
            if not total:
                axes.text(k, at, "—", ha="center", va="center", fontsize=small, color=SOFT)
            elif count:
                axes.text(k, at - 0.12 * near, str(count), ha="center", va="center", fontsize=small + 0.5)
                axes.text(k, at + 0.27 * near, f"{100 * share:.0f} %", ha="center", va="center", fontsize=small - 2)
    for edge in range(size + 1):
        axes.plot([edge - 0.5, edge - 0.5], [-0.5, size - 0.5], color=RULE, linewidth=0.5, zorder=1)
        axes.plot([-0.5, size - 0.5], [edge - 0.5, edge - 0.5], color=RULE, linewidth=0.5, zorder=1)
    tested = reading.test_counts(cell) or [0] * size
    names = [short(name, 16) for name in reading.classes]
    axes.set_xticks(range(size), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(size), [f"{name} ({n})" for name, n in zip(names, tested, strict=True)])
    if not first:
        axes.set_yticks(range(size), [""] * size)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.set_title(reading.short_title(cell))
    axes.set_xlabel("predicted")
    if first:
        axes.set_ylabel("true (test clips)")
