"""Seeds: scores over several seeds, and the components of their variance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from microexpr.report.blocks.scores import place, where
from microexpr.report.figure import INK, SERIES, SOFT, WIDTH, Dot, Plot, canvas, dot_height, dotplot, legend_handles
from microexpr.report.page import Prose
from microexpr.report.summary import OverSeeds
from microexpr.report.table import ABSENT, Column, Row, Table, short
from microexpr.report.view import StudyView, scored

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 40
"""Largest number of rows in the figure."""
SEVERAL = 6
"""Largest number of seeds with a column each, or named in a sentence."""
PARTS = ("seed", "joint", "unit")
"""Components of the variance of a single reported score; units are subjects or clips."""
COLOURS = dict(zip(PARTS, (SERIES[0], SERIES[2], SERIES[5]), strict=True))


def sentence(view: StudyView) -> Prose | None:
    """Return the mean score over seeds, and what its variance is due to."""
    return Prose([text]) if (text := mean_over_seeds(view)) else None


def mean_over_seeds(view: StudyView) -> str:
    """Return the (highest) mean score over seeds and the shares of its variance, in words; empty for one seed."""
    rows = view.summary.over_seeds
    if not rows:
        return ""
    best = max(rows, key=lambda row: row.mean)
    count = len(best.seeds)
    several = f"{count} seeds ({', '.join(best.seeds[:SEVERAL])}{' ...' if count > SEVERAL else ''})"
    mean = f"Over {several}, the mean is" if len(rows) == 1 else f"The highest mean over {several} is"
    of = "" if len(rows) == 1 else f" ({view.title(best)})"
    said = "" if view.summary.leaderboard else (
        f"{mean} {scored(best.mean, best.low, best.high)}{of}; single seeds range from {min(best.scores):.3f} to "
        f"{max(best.scores):.3f}."
    )  # fmt: skip
    varying = [share for row in rows for share in (row.seed_share, row.joint_share)]
    if all(min(row.scores) == max(row.scores) for row in rows) and not any(varying):
        said += " The seed has no effect here: all seeds give the same score."
    else:
        said += f" {variance(rows)}"
    problems = list(dict.fromkeys(row.problem for row in rows if row.problem))
    return " ".join([said.strip(), *problems]).strip()


def variance(rows: Sequence[OverSeeds]) -> str:
    """Return the shares of a score's variance due to seeds, subjects and both; empty where they are not known."""
    known = [row for row in rows if row.joint_share is not None]
    if not known:
        return ""

    def share(part: str) -> str:
        values = [100 * getattr(row, f"{part}_share") for row in known]
        low, high = f"{min(values):.0f} %", f"{max(values):.0f} %"
        return low if low == high else f"{low} to {high}"

    unit = f"the {known[0].unit}s" if known[0].unit else "the units"
    return (
        f"Of the variance of a single reported score, {share('seed')} is due to the seed, {share('unit')} to {unit} "
        f"tested and {share('joint')} to both jointly."
    )


def seeds(view: StudyView) -> Table:
    """Return the scores of every seed, their mean, and the components of the variance."""
    found = view.summary.over_seeds
    names = list(dict.fromkeys(name for row in found for name in row.seeds))
    rows: list[Row] = [
        {
            **row.model_dump(exclude={"factors"}),
            **where(view, row),
            **{f"seed_{name}": score for name, score in zip(row.seeds, row.scores, strict=True)},
            "min": min(row.scores),
            "max": max(row.scores),
        }
        for row in found
    ]
    each = [Column(name, f"seed_{name}", "score", "seed") for name in names]
    heads = _heads(found)
    columns = [
        *(c for c in (place(view) if len(rows) > 1 else []) if c.keys != f"factor_{view.seed_axis}"),
        *(each if len(names) <= SEVERAL else [Column("Min", "min", "score"), Column("Max", "max", "score")]),
        Column(f"Mean [{view.interval_level}]", ("mean", "low", "high"), "interval"),
        Column("SD", "seed_sd", "score", missing=ABSENT),
        *(Column(heads[part], f"{part}_share", "percent", "share of the variance", ABSENT) for part in PARTS),
    ]
    method = [
        f"{view.score_head}; SD between seeds. Shares of the variance of a single reported score, by two-way analysis "
        f"of variance of seeds and {heads['unit']} (pseudo-values); joint: interaction of seed and {heads['unit']}, "
        f"including chance in single clips. The interval covers variation over both seeds and {heads['unit']}."
    ]
    notes = list(dict.fromkeys(row.problem for row in found if row.problem))
    return Table("seeds", f"Scores over {len(names)} seeds", columns, rows, notes, method)


def over_seeds(view: StudyView) -> Plot | None:
    """Draw every seed's score, their mean with its interval, and the components of the variance."""
    found = [row for row in view.summary.over_seeds if len(row.scores) > 1]
    if not found or len(found) > MOST:
        return None
    heads = _heads(found)
    titles = [view.title(row) for row in found] if len(found) > 1 else [""]
    dots = [
        Dot(short(title, 48), row.mean, row.low, row.high, marker="|", small=row.scores)
        for title, row in zip(titles, found, strict=True)
    ]

    def draw() -> Figure:
        figure = canvas(WIDTH, dot_height(dots) + 1.0)
        scores, shares = figure.subplots(1, 2, sharey=True, width_ratios=[2.0, 1.0])
        for at, row in enumerate(found):
            _shares(shares, at, row)
        dotplot(scores, dots, xlabel=view.score)
        shares.set_xlim(0, 100)
        shares.set_xlabel("share of the variance, %")
        shares.tick_params(axis="y", length=0)
        shares.spines["left"].set_visible(False)
        entries = {
            heads[part]: {"color": colour, "marker": "s", "linestyle": "none"} for part, colour in COLOURS.items()
        }
        figure.legend(handles=legend_handles(entries), loc="outside upper right", ncols=len(entries))
        return figure

    notes = [f"Dots: seeds. Bar and line: their mean and its interval over seeds and {heads['unit']}."]
    return Plot("seeds", "Scores over seeds and components of their variance", draw, notes)


def _heads(found: Sequence[OverSeeds]) -> dict[str, str]:
    """Return the names of the components of the variance."""
    unit = next((row.unit for row in found if row.unit), "subject")
    return {part: f"{unit}s" if part == "unit" else part for part in PARTS}


def _shares(axes: Axes, at: int, row: OverSeeds) -> None:
    left = 0.0
    if row.joint_share is None:
        axes.text(50, at, "no variance" if row.unit else "not available", ha="center", va="center",
                  color=SOFT, style="italic")  # fmt: skip
        return
    for part, colour in COLOURS.items():
        share = 100 * getattr(row, f"{part}_share")
        axes.barh(at, share, left=left, height=0.55, color=colour, edgecolor=INK, linewidth=0)
        left += share
