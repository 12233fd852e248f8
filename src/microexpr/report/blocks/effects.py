"""Factors of a grid: their effects, the scores by level, and the scores by size of the training set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from microexpr.report.figure import (
    INK,
    MARKERS,
    RULE,
    SERIES,
    WIDTH,
    Dot,
    Plot,
    canvas,
    dot_height,
    dotplot,
    legend_handles,
)
from microexpr.report.figure import SOFT as GREY
from microexpr.report.page import Prose
from microexpr.report.summary import Curve, Factors, Sizes
from microexpr.report.table import ABSENT, Column, Row, Table, short
from microexpr.report.view import StudyView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IN_ONE_LINE, ACROSS = 4, 3
"""Largest number of panels in a single row, and panels per row where there are more."""


# --- effects ----------------------------------------------------------------------------------------------------------
def verdict(view: StudyView) -> Prose | None:
    """Say which factors have a significant effect, or that none has."""
    return Prose([view.summary.factors.verdict]) if view.summary.factors else None


def _method(view: StudyView, factors: Factors) -> list[str]:
    """Return how the differences, intervals and p-values of effects were made."""
    averaged = f" Averaged over {' and '.join(factors.averaged)}." if factors.averaged else ""
    resamples = "" if factors.n is None else f", {factors.n:,} resamples"
    drawn = "" if factors.permutations is None else f", {factors.permutations:,} permutations"
    return [
        f"Differences in mean {view.score}; {100 * factors.level:.3g} % intervals: {factors.method} by subject"
        f"{resamples}, not corrected.{averaged}",
        f"p: permutation of levels within subjects{drawn}, corrected by Holm over all effects. Settings: combinations "
        "of the other factors' levels that were averaged over. Of interactions, the largest contrast; summary.json has "
        "all.",
    ]


def effects(view: StudyView) -> Table | None:
    """Return main effects with all pairs of levels, and interactions with their largest contrast."""
    factors = view.summary.factors
    if factors is None:
        return None
    rows: list[Row] = []
    marks: dict[int, str] = {}
    for effect in factors.effects:
        main = len(effect.factors) == 1
        parts = sorted(effect.contrasts, key=lambda part: -abs(part.value))
        bold = " best" if effect.claimed else ""
        marks[len(rows)] = f"rule{bold}" if main or (rows and "×" not in rows[-1]["effect"]) else bold.strip()
        for at, part in enumerate(parts if main else parts[:1]):
            row = {"effect": effect.name, "contrast": part.words, **part.model_dump()}
            tested = {"p_value": effect.p_value, "p_corrected": effect.p_corrected, "blocks": effect.blocks}
            rows.append(row | (tested if at == 0 else dict.fromkeys(tested, "")))
    columns = [
        Column("Factor", "effect"),
        Column("Contrast", "contrast"),
        Column(f"Difference [{view.interval_level}]", ("value", "low", "high"), "change"),
        Column("p", "p_value", "p", missing=" "),
        Column("p (Holm)", "p_corrected", "p", missing=" "),
        Column("Settings", "blocks", "count", missing=" "),
    ]
    notes = ["Bold: significant after correction."] if any(effect.claimed for effect in factors.effects) else []
    caption = "Main effects and two-way interactions of the factors"
    return Table("effects", caption, columns, rows, notes, _method(view, factors), marks, sortable=False)


def contrasts(view: StudyView) -> Plot | None:
    """Draw the main effects: the difference of every two levels with its interval."""
    factors = view.summary.factors
    main = [effect for effect in factors.effects if len(effect.factors) == 1] if factors else []
    dots = [
        Dot(
            f"{effect.name}: {short(part.words, 40)}", part.value, part.low, part.high,
            colour=SERIES[number % len(SERIES)], filled=effect.claimed, gap=0.6 if number and not at else 0.0,
        )
        for number, effect in enumerate(main)
        for at, part in enumerate(effect.contrasts)
    ]  # fmt: skip
    if not dots or factors is None:
        return None

    def draw() -> Figure:
        figure = canvas(WIDTH, dot_height(dots) + 0.75)
        dotplot(figure.subplots(), dots, xlabel=f"difference in mean {view.score}", zero=True)
        return figure

    notes = ["Filled: significant after correction (Holm)."]
    return Plot("effects", "Main effects of the factors", draw, notes, _method(view, factors)[:1])


def levels(view: StudyView) -> Plot | None:
    """Draw all cells by their level of each factor, and the means of the levels."""
    summary = view.summary
    axes_of = {name: axis.levels for name, axis in summary.axes.items()}
    if len(axes_of) < 2 or len(view.cells) < 4 or (summary.leaderboard and not summary.factors):
        return None
    across = len(axes_of) if len(axes_of) <= IN_ONE_LINE else ACROSS
    down = -(-len(axes_of) // across)

    def draw() -> Figure:
        figure = canvas(WIDTH, 2.3 * down + 0.1)
        ratios = [max(2, len(words)) for words in axes_of.values()] if down == 1 else None
        panels = figure.subplots(down, across, sharey=True, squeeze=False, width_ratios=ratios).flat
        for (name, words), axes in zip(axes_of.items(), panels, strict=False):
            means = []
            for at, word in enumerate(words):
                scores = [cell.score for cell in view.cells if cell.factors.get(name) == word]
                spread = [at + 0.24 * ((k + 0.5) / len(scores) - 0.5) for k in range(len(scores))]
                axes.plot(spread, scores, color=SERIES[0], marker="o", markersize=2.2, alpha=0.35, linestyle="none")
                means.append(sum(scores) / len(scores) if scores else float("nan"))
            axes.plot(
                range(len(words)), means, color=INK, marker="_", markersize=13, markeredgewidth=1.6, linewidth=0.8
            )
            long = sum(map(len, words)) > 22
            turn: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if long else {}
            axes.set_xticks(range(len(words)), [short(word, 18) for word in words], **turn)
            axes.set_xlim(-0.5, len(words) - 0.5)
            axes.set_title(name)
            axes.grid(axis="y")
        for axes in panels:
            axes.set_visible(False)
        for axes in figure.axes[::across]:
            axes.set_ylabel(view.score)
        return figure

    notes = ["Dots: cells. Bars joined by a line: means of the levels."]
    return Plot("levels", "Scores of the cells by factor level", draw, notes)


# --- sizes of the training set ----------------------------------------------------------------------------------------
def sizes_problem(view: StudyView) -> Prose | None:
    """Say why there are no curves by training size, where there are none."""
    sizes = view.summary.sizes
    return Prose([f"Curves are not available: {sizes.problem}"]) if sizes and sizes.problem else None


def _sizes_method(view: StudyView, sizes: Sizes) -> str:
    return f"{view.interval_level} intervals: {sizes.method} by subject, {sizes.n:,} resamples."


def curves(view: StudyView) -> Plot | None:
    """Draw scores by size of the training set: one panel per factor, one line per level, and crossings of two lines."""
    sizes = view.summary.sizes
    factors = list(dict.fromkeys(curve.factor for curve in sizes.curves)) if sizes else []
    if not factors or sizes is None:
        return None
    across = min(ACROSS - 1, len(factors))
    down = -(-len(factors) // across)

    def draw() -> Figure:
        figure = canvas(WIDTH if across > 1 else 4.6, 2.7 * down)
        panels = figure.subplots(down, across, sharey=True, squeeze=False).flat
        for factor, axes in zip(factors, panels, strict=False):
            mine = [curve for curve in sizes.curves if curve.factor == factor]
            _lines(axes, mine, sizes.unit)
            if len(mine) == 2:
                for row in sizes.crossings:
                    if row.factor == factor and row.at is not None:
                        axes.axvline(row.at, color=GREY, linewidth=0.9, dashes=(3, 2), zorder=1)
            axes.set_title(factor if factor else "all cells")
        for axes in panels:
            axes.set_visible(False)
        for axes in figure.axes[::across]:
            axes.set_ylabel(view.score)
        return figure

    notes = ["Larger training sets contain the smaller ones."]
    notes += ["Dashed lines: crossings of two curves."] if sizes.crossings else []
    return Plot("sizes", "Scores by size of the training set", draw, notes, [_sizes_method(view, sizes)])


def _lines(axes: Axes, mine: Sequence[Curve], unit: str) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    sizes = mine[0].sizes
    entries = {}
    for at, curve in enumerate(mine):
        # Offset horizontally to keep intervals distinct.
        x = [size * 1.012 ** (at - (len(mine) - 1) / 2) for size in sizes]
        look: dict[str, Any] = {"color": SERIES[at % len(SERIES)], "marker": MARKERS[at % len(MARKERS)]}
        axes.vlines(x, curve.low, curve.high, color=look["color"], linewidth=1.0, zorder=2)
        axes.plot(x, curve.scores, **look, markersize=4.0, linewidth=1.2, zorder=3)
        entries[short(curve.level, 18)] = look | {"markersize": 4.0}
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:.0f}" for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(unit)
    axes.grid(axis="y", color=RULE)
    axes.legend(handles=legend_handles(entries), loc="upper left", fontsize=7.0)


def crossing_sentences(view: StudyView) -> Prose | None:
    """Say where curves cross, and how many crossings are not bounded."""
    rows = [row for row in view.summary.sizes.crossings if row.at is not None] if view.summary.sizes else []
    known = [row.sentence for row in rows if row.low is not None or row.high is not None]
    unbounded = len(rows) - len(known)
    if unbounded:
        known.append(
            f"{unbounded} pair{'s' * (unbounded != 1)} of curves cross{'es' * (unbounded == 1)}, but the interval of "
            "the crossing extends beyond both ends of the range of training sizes."
        )
    return Prose(known)


def crossings(view: StudyView) -> Table | None:
    """Return the training size at which the curves of two levels cross."""
    sizes = view.summary.sizes
    if sizes is None:
        return None
    ends = [size for curve in sizes.curves for size in curve.sizes]
    rows: list[Row] = []
    for row in sizes.crossings:
        low = f"below {min(ends):.0f}" if row.low is None else f"{row.low:.0f}"
        high = f"above {max(ends):.0f}" if row.high is None else f"{row.high:.0f}"
        bounds = {"at": "do not cross", "interval": ABSENT} if row.at is None else {"interval": f"{low} to {high}"}
        rows.append({**row.model_dump(), "pair": f"{row.a}, {row.b}", **bounds})
    columns = [
        Column("Factor", "factor"),
        Column("Levels", "pair"),
        Column("Crossing", "at", "size"),
        Column(f"[{view.interval_level}]", "interval"),
        Column("small sizes", "small", group="higher at", missing=ABSENT),
        Column("large sizes", "large", group="higher at", missing=ABSENT),
        Column("Resamples", "share", "percent"),
    ]
    method = [
        f"In {sizes.unit}; the last crossing, interpolated on the logarithm of the size. A resample whose curves do "
        "not cross counts as a crossing beyond the nearer end. Resamples: share in which they cross. "
        f"{_sizes_method(view, sizes)}"
    ]
    return Table("crossings", "Crossings of the curves", columns, rows, [], method)
