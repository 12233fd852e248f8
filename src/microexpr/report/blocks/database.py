"""Figure of a database: clips by class and subject, durations and apex positions."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from microexpr.core.words import many
from microexpr.report.figure import INK, RULE, SERIES, SHADE, SOFT, WIDTH, canvas, render, styled
from microexpr.report.table import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED = 40
"""Largest number of subjects that are named on the axis; more are sorted by their number of clips."""
LIMIT = 500.0
"""Longest duration of a micro-expression in milliseconds (Yan et al., 2013)."""
KINDS = {"micro": SHADE, "macro": RULE}
COLOURS = (*SERIES, "#8fb3dd", "#e3ae83", "#85c8b7", "#cfa3ca")
"""One for each emotion of the vocabulary."""
DPI = 200
_WIDTHS = (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10000, 100000)


def render_stats(stats: Mapping[str, Any], form: str) -> bytes:
    """Return the figure of the counts of `data.dataset_stats`, as svg, pdf or png."""
    with styled():
        figure = database_figure(stats)
        figure.set_facecolor("white")
        figure.suptitle(_heading(stats), x=0.01, ha="left", fontsize=9.5, fontweight="bold")
        if form != "png":
            svg, pdf = render(figure)
            return svg.encode() if form == "svg" else pdf
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
        return stream.getvalue()


def database_figure(stats: Mapping[str, Any]) -> Figure:
    """Draw classes and subjects; below these apex positions and durations, where the clips have any."""
    timed = has_times(stats)
    figure = canvas(WIDTH, 4.9 if timed else 2.6)
    heights = [1.15, 1.0] if timed else [1.0]
    (classes, subjects), *below = figure.subplots(
        len(heights), 2, width_ratios=[1.0, 1.6], height_ratios=heights, squeeze=False
    )
    colours = {word: COLOURS[at % len(COLOURS)] for at, word in enumerate(stats["classes"])}
    _classes(classes, stats["classes"], colours)
    _subjects(subjects, stats["by_subject"], colours)
    for apexes, durations in below:
        _apexes(apexes, stats["each"])
        _durations(durations, stats["each"])
    return figure


def has_times(stats: Mapping[str, Any]) -> bool:
    """Return whether any clip has an apex or a duration."""
    return any(row[name] is not None for row in stats["each"] for name in ("apex", "milliseconds", "frames"))


def _heading(stats: Mapping[str, Any]) -> str:
    counts = f"{stats['title']}: {stats['clips']} clips of {many(stats['subjects'], 'subject')}"
    return f"SYNTHETIC FACES in the layout of {counts}" if "synthetic" in stats["metadata"] else counts


def _classes(axes: Axes, classes: Mapping[str, Mapping[str, Any]], colours: Mapping[str, str]) -> None:
    from matplotlib.ticker import MaxNLocator

    counts = [summary["clips"] for summary in classes.values()]
    axes.barh(range(len(counts)), counts, height=0.68, color=[colours[word] for word in classes])
    for at, count in enumerate(counts):
        axes.text(count + 0.015 * max(counts), at, str(count), va="center", fontsize=7.5)
    axes.set_yticks(range(len(counts)), [short(word or "no emotion", 16) for word in classes])
    axes.set_ylim(max(len(counts), 3) - 0.4, -0.6)
    axes.set_xlim(0, 1.15 * max(counts))
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlabel("clips")
    axes.set_title("Classes")


def _subjects(axes: Axes, counts: Mapping[str, Mapping[str, int]], colours: Mapping[str, str]) -> None:
    from matplotlib.ticker import MaxNLocator

    named = len(counts) <= NAMED
    names = list(counts) if named else sorted(counts, key=lambda name: -sum(counts[name].values()))
    base = [0] * len(names)
    for word, colour in colours.items():
        top = [low + counts[name][word] for low, name in zip(base, names, strict=True)]
        if named:
            heights = [counts[name][word] for name in names]
            axes.bar(range(len(names)), heights, bottom=base, width=0.8, color=colour, linewidth=0)
        else:  # one shape per class: thousands of bars take seconds to draw
            edges = [at - 0.5 for at in range(len(names) + 1)]
            axes.stairs(top, edges, baseline=base, fill=True, color=colour, linewidth=0)
        base = top
    axes.set_ylim(bottom=0)
    axes.set_xlim(-0.7, max(len(names), 6) - 0.3)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(axis="y")
    axes.set_ylabel("clips")
    axes.set_title("Subjects, by class")
    if not named:
        axes.set_xlabel("subjects, in descending order of clips")
        return
    labels = [short(name, 14) for name in _without_namespace(names)]
    too_long = max(map(len, labels)) * len(labels) > 45
    axes.set_xticks(range(len(names)), labels, rotation=90 if too_long else 0, fontsize=6.5)
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel("subject")


def _without_namespace(names: Sequence[str]) -> list[str]:
    """Return subjects without the prefix of their database, where all are of one database."""
    spaces = {name.rpartition("/")[0] for name in names}
    return [name.rpartition("/")[2] for name in names] if len(spaces) == 1 else list(names)


def _durations(axes: Axes, each: Sequence[Mapping[str, Any]]) -> None:
    unit = "milliseconds" if any(row["milliseconds"] is not None for row in each) else "frames"
    by_kind = {kind: [row[unit] for row in each if row["kind"] == kind and row[unit] is not None] for kind in KINDS}
    by_kind = {kind: values for kind, values in by_kind.items() if values}
    axes.set_title("Duration, onset to offset")
    if not by_kind:
        _no_data(axes, "no durations known")
        return
    names = [f"{kind}-expressions" for kind in by_kind]
    colours = [KINDS[kind] for kind in by_kind]
    edges = _edges(float(max(max(values) for values in by_kind.values())))
    axes.hist(list(by_kind.values()), bins=edges, stacked=True, color=colours, label=names, rwidth=0.92)
    axes.set_xlim(0.0, edges[-1])
    if unit == "milliseconds" and edges[-1] >= LIMIT:
        _line(axes, LIMIT, "500 ms")
    if len(by_kind) > 1:
        axes.legend(loc="upper right")
    lacking = sum(row[unit] is None for row in each)
    axes.set_xlabel(unit + (f" (unknown for {many(lacking, 'clip')})" if lacking else ""))
    _count_axis(axes)


def _apexes(axes: Axes, each: Sequence[Mapping[str, Any]]) -> None:
    places = [row["apex"] for row in each if row["apex"] is not None]
    axes.set_title("Apex position")
    if not places:
        _no_data(axes, "no apex coded")
        return
    middle = sorted(places)[len(places) // 2]
    axes.hist(places, bins=20, range=(0.0, 1.0), color=SHADE, rwidth=0.92)
    axes.set_xlim(0.0, 1.0)
    _line(axes, middle, f"median {middle:.2f}")
    axes.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0], ["onset", "0.25", "0.5", "0.75", "offset"])
    lacking = len(each) - len(places)
    axes.set_xlabel(f"{many(lacking, 'clip')} without a coded apex" if lacking else "")
    _count_axis(axes)


def _edges(longest: float) -> list[float]:
    """Return the edges of at most 24 bins of a round width; a value on an edge belongs to the bin before it."""
    width = next(width for width in _WIDTHS if longest / width <= 24 or width == _WIDTHS[-1])
    return [0.0, *(width * at + 1e-6 for at in range(1, max(math.ceil(longest / width), 1) + 1))]


def _line(axes: Axes, at: float, label: str) -> None:
    """Draw a vertical line with its label on the side that has room."""
    axes.axvline(at, color=INK, linewidth=0.9, dashes=(4, 2))
    left = at > 0.75 * axes.get_xlim()[1]
    place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
    axes.annotate(label, (at, 1.0), (-3 if left else 3, -7), ha="right" if left else "left", **place)


def _count_axis(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high = axes.get_ylim()
    axes.set_ylim(low, 1.12 * high)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(axis="y")
    axes.set_ylabel("clips")


def _no_data(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=SOFT, style="italic")
    axes.set_xticks([])
    axes.set_yticks([])
