"""Subjects: their results, and how much each of them influences the score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from microexpr.report.blocks.scores import about, detail_rows, titled
from microexpr.report.figure import MARKERS, SERIES, SOFT, WIDTH, Dot, Plot, canvas, dot_height, dotplot, legend_handles
from microexpr.report.table import ABSENT, Column, Table, short
from microexpr.report.view import StudyView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 40
"""Largest number of subjects that are named in a figure."""
INFLUENTIAL = 14
"""Number of subjects whose influence is drawn."""


def by_subject(view: StudyView) -> Table:
    """Return the clips and accuracy of every subject, and the score without the subject."""
    rows, marks, cell = detail_rows(view, "subjects")
    rows = [{**row, "lost": ", ".join(row["lost"])} for row in rows]
    columns = [
        *cell,
        Column("Subject", "subject"),
        Column("Clips", "clips", "count"),
        Column("Classes", "classes", "count"),
        Column("Correct", "right", "count"),
        Column("Accuracy", "accuracy", "score"),
        Column(f"{view.score} without", "without", "score"),
        Column("Change", "change", "change"),
        *([Column("Classes only in this subject", "lost", missing=ABSENT)] if any(row["lost"] for row in rows) else []),
    ]
    method = [
        "No F1 by subject: it is undefined for classes of which the subject has no clip. Without: over the clips of "
        "all other subjects and the same classes; models are not retrained."
    ]
    notes = list(dict.fromkeys(detail.problem for detail in view.summary.detail if detail.problem))
    caption = titled(view, "Results by subject")
    return Table("by_subject", caption, columns, rows, notes, method, marks, sortable=not cell)


def accuracy_by_subject(view: StudyView) -> Plot | None:
    """Draw the accuracy of every subject in ascending order; the area of a mark grows with the number of clips."""
    details = [detail for detail in view.summary.detail if len(detail.subjects) > 1]
    if not details:
        return None

    def draw() -> Figure:
        figure = canvas(WIDTH, 2.5 * len(details))
        for detail, axes in zip(details, figure.subplots(len(details), 1, squeeze=False).flat, strict=True):
            rows = sorted(detail.subjects, key=lambda row: (row.accuracy, row.clips, row.subject))
            databases = list(dict.fromkeys(row.subject.partition("/")[0] for row in detail.subjects))
            entries = {}
            for at, name in enumerate(databases):
                mine = [(x, row) for x, row in enumerate(rows) if row.subject.partition("/")[0] == name]
                look: dict[str, Any] = {"color": SERIES[at % len(SERIES)], "marker": MARKERS[at % len(MARKERS)]}
                sizes = [6 + 5 * row.clips for _, row in mine]
                axes.scatter([x for x, _ in mine], [row.accuracy for _, row in mine], s=sizes, alpha=0.65, **look)
                entries[short(name, 20)] = look | {"linestyle": "none", "markersize": 5}
            axes.axhline(detail.accuracy, color=SOFT, linewidth=0.9, dashes=(4, 2), zorder=1)
            axes.annotate("all clips", (1.0, detail.accuracy), (3, 0), xycoords=("axes fraction", "data"), va="center",
                          textcoords="offset points", fontsize=6.5, color=SOFT)  # fmt: skip
            few = len(rows) <= MOST
            names = [short(row.subject.rpartition("/")[2], 10) for row in rows]
            axes.set_xticks(range(len(rows)) if few else [], names if few else [], rotation=90)
            axes.set_xlim(-0.8, len(rows) - 0.2)
            axes.set_ylim(-0.06, 1.08)
            axes.set_ylabel("accuracy")
            axes.set_xlabel("" if few else f"{len(rows)} subjects, in ascending order of accuracy")
            axes.grid(axis="y")
            axes.set_title(short(about(view, detail), 90))
            if len(databases) > 1:
                axes.legend(handles=legend_handles(entries), loc="lower right")
        return figure

    notes = ["The area of a mark grows with the subject's number of clips; with few clips, 0 and 1 arise by chance."]
    return Plot("subjects", titled(view, "Accuracy by subject"), draw, notes)


def influence(view: StudyView) -> Plot | None:
    """Draw the change of the score without each of the most influential subjects."""
    details = [detail for detail in view.summary.detail if any(row.change for row in detail.subjects)]
    if not details:
        return None
    drawn = []
    notes = []
    for detail in details:
        known = [row for row in detail.subjects if row.change is not None and row.without is not None]
        known.sort(key=lambda row: (-abs(row.change or 0.0), row.subject))
        dots = []
        for row in known[:INFLUENTIAL]:
            low, high = sorted((0.0, row.change or 0.0))
            colour = SERIES[0] if (row.change or 0.0) < 0 else SERIES[1]
            dots.append(Dot(f"{short(row.subject, 18)} ({row.clips})", row.change, low, high, colour=colour))
        drawn.append(dots)
        without = [row.without for row in known if row.without is not None]
        cell = {"best": "Best cell", "named": "Prespecified cell"}.get(detail.role, "The score")
        notes.append(
            f"{cell}: without any one subject, {view.score} is between {min(without):.3f} and {max(without):.3f} "
            f"(all subjects: {detail.score:.3f})."
        )

    def draw() -> Figure:
        figure = canvas(WIDTH, max(map(dot_height, drawn)) + 0.8)
        for detail, dots, axes in zip(
            details, drawn, figure.subplots(1, len(details), squeeze=False).flat, strict=True
        ):
            dotplot(axes, dots, xlabel=f"change in {view.score} without the subject", zero=True)
            named = f"prespecified cell, {detail.protocol}"
            axes.set_title({"best": "best cell", "named": short(named, 40)}.get(detail.role, ""))
        return figure

    method = ["Score over the clips of all other subjects; models are not retrained."]
    return Plot("influence", titled(view, "Influence of single subjects on the score"), draw, notes, method)
