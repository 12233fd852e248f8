"""Scores: of all cells and by every metric; by class and database; confusion matrices; the clips that are hard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from microexpr.config.scores import MAIN, metric_of
from microexpr.core.words import capitalised, many
from microexpr.report.figure import (
    INK,
    MARKERS,
    RULE,
    SERIES,
    SHADE,
    SOFT,
    WIDTH,
    Dot,
    Plot,
    canvas,
    dot_height,
    dotplot,
)
from microexpr.report.page import Matrices, Matrix, Prose, slug
from microexpr.report.summary import Cell, Detail, NamedCell, Place, Scored
from microexpr.report.table import ABSENT, Column, Row, Table, short
from microexpr.report.view import BASELINES, StudyView, correct_count, scored, test_counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 60
"""Largest number of cells in one figure."""
ROLES = {"best": "best on test", "named": "prespecified"}
"""What the cells of a study are described for."""
LOSSES = {"cross_entropy": "cross-entropy", "weighted_cross_entropy": "cross-entropy", "focal": "focal"}
_WHERE = (Column("Model", "model"), Column("Sampling", "sampling"), Column("Preprocessing", "preprocessing"))


# --- where ------------------------------------------------------------------------------------------------------------
def place(view: StudyView) -> list[Column]:
    """Return the columns that identify a cell."""
    further = [Column(name.capitalize(), f"factor_{name}") for name in view.other_axes]
    return [*further, *_WHERE] if view.summary.leaderboard else [*_WHERE, *further]


def where(view: StudyView, cell: Place) -> dict[str, Any]:
    """Return the values of `place` for a cell."""
    return {axis: view.label(axis, getattr(cell, axis)) for axis in ("preprocessing", "sampling", "model")} | {
        f"factor_{name}": level for name, level in view.other_levels(cell).items()
    }


def loss_name(loss: str) -> str | None:
    """Return the display name of the loss; different choices of the folds are joined by a slash.

    >>> loss_name("cross_entropy/focal"), loss_name("cross_entropy(reduction=weights)")
    ('cross-entropy / focal', 'cross-entropy (reduction=weights)')
    """
    parts = [each.partition("(") for each in loss.split("/")]
    named = [f"{LOSSES.get(name, name)}{' (' * bool(params)}{params}" for name, _, params in parts]
    return " / ".join(named) if loss else None


def anchor(title: str) -> str:
    """Return the anchor of a confusion matrix."""
    return f"confusion-{slug(title)}"


def matrix_of(view: StudyView, place: Place) -> str:
    """Return the address of a cell's confusion matrix."""
    return f"details.html#{anchor(view.title(place))}"


# --- all cells --------------------------------------------------------------------------------------------------------
def all_cells(view: StudyView) -> Table:
    """Return every cell with every main score, then the baselines."""
    summary, best, chosen = view.summary, view.best_cell, not (view.single_experiment or view.summary.leaderboard)
    rows: list[Row] = []
    marks: dict[int, str] = {}
    for cell in view.cells:
        if rows and rows[-1]["model"] != view.label("model", cell.model):
            marks[len(rows)] = "rule"
        if cell is best and chosen:
            marks[len(rows)] = f"{marks.get(len(rows), '')} best".strip()
        requested = {f"requested_{name}": value for name, value in cell.requested_scores.items()}
        trained = {"loss": loss_name(cell.loss), "epochs_run": cell.epochs_run}
        rows.append(score_row(cell) | where(view, cell) | trained | requested)
    for at, (name, baseline) in enumerate(summary.baselines.items()):
        marks[len(rows)] = "reference" if at else "reference rule"
        blank = dict.fromkeys(("sampling", "preprocessing", "loss", "epochs_run"), ABSENT)
        blank |= {f"factor_{axis}": ABSENT for axis in view.other_axes}
        rows.append({**blank, "model": BASELINES.get(name, name), **score_row(baseline)})
    networks = any(cell.loss for cell in view.cells)
    main = [name for name in MAIN if name != summary.metric]
    further = dict.fromkeys(name for cell in view.cells for name in cell.requested_scores if name not in main)
    columns = [
        *place(view),
        *([Column("Loss", "loss", missing=ABSENT)] if networks else []),
        Column(f"{view.summary.heading(summary.metric)} [{view.interval_level}]", ("score", "ci_low", "ci_high"),
               "interval"),
        *(Column(view.summary.heading(name), name, "score") for name in main),
        Column("n", "n_test", "count"),
        *([Column("Epochs", "epochs_run", "count")] if networks else []),
        *(Column(view.summary.heading(name), f"requested_{name}", "score", missing=ABSENT) for name in further
          if name != summary.metric),
    ]  # fmt: skip
    notes = [f"n: test clips. Bold: the highest of {len(view.cells)}, selected on the test set."] if chosen else []
    notes += view.rare_classes_notes
    each = "" if view.single_experiment else ", per cell, not corrected for the number of cells"
    method = [f"{view.test_clips}; {view.interval_note}{each}."]
    if any(metric_of(name)[1] for name in further):
        notes.append("A mean of folds is not a score of the pooled predictions (see the limits).")
    if "guessing" in summary.baselines:
        draws = summary.baselines["guessing"].draws
        method.append(
            f"Random guessing: mean and central 95 % of {draws or 0:,} draws from the class shares of the training "
            "clips. Baselines use no image."
        )
    matrices = [] if view.summary.leaderboard else view.cells  # of methods, the leaderboard links to them
    links = {at: matrix_of(view, cell) for at, cell in enumerate(matrices)}
    title = "Scores" if view.single_experiment else "All cells"
    return Table("all_cells", title, columns, rows, notes, method, marks, links)


def score_row(cell: Scored) -> dict[str, Any]:
    """Return the scores of a row by the keys of columns."""
    return {**cell.scores, "score": cell.score, "ci_low": cell.ci_low, "ci_high": cell.ci_high, "n_test": cell.n_test}


def best_on_test(view: StudyView) -> Prose | None:
    """Say which cell scores highest on the test clips, and that its score is optimistically biased."""
    best = view.best_cell
    if best is None or view.single_experiment or view.summary.leaderboard:
        return None
    text = [
        f"The highest {view.score} of the {len(view.cells)} cells is {scored(best.score, best.ci_low, best.ci_high)} "
        f"({view.title(best)}). It was selected on the test clips, so it is optimistically biased."
    ]
    return Prose([*text, above_guessing(view)])


def above_guessing(view: StudyView) -> str:
    """Say in how many cells the whole interval is above the score of random guessing."""
    level, lows = view.guessing, [cell.ci_low for cell in view.cells if cell.ci_low is not None]
    if level is None or not lows:
        return ""
    above = sum(low > level.score for low in lows)
    if len(lows) == 1:
        return f"Its interval is {'entirely' if above else 'not entirely'} above random guessing ({level.score:.3f})."
    share = {0: "none of the", len(lows): "all"}.get(above, f"{above} of the")
    return f"The whole interval lies above random guessing ({level.score:.3f}) in {share} {len(lows)} cells."


# --- the forest of cells ----------------------------------------------------------------------------------------------
def model_style(view: StudyView, model: str) -> dict[str, Any]:
    """Return the colour and marker of a model, the same in every figure."""
    at = [*dict.fromkeys([*view.summary.models, *view.levels("model")]), model].index(model)
    return {"color": SERIES[at % len(SERIES)], "marker": MARKERS[at % len(MARKERS)]}


def forest(view: StudyView) -> Plot | None:
    """Draw all cells with their intervals on one scale, with the baselines."""
    cells = view.cells
    if len(cells) < 2 or len(cells) > MOST or view.summary.leaderboard:
        return None
    methods, title = view.levels("preprocessing"), view.title if view.many_preprocessings else view.short_title
    dots = []
    for at, cell in enumerate(cells):
        look = model_style(view, cell.model)
        dots.append(
            Dot(
                short(title(cell, "model", "sampling", "preprocessing"), 60), cell.score, cell.ci_low, cell.ci_high,
                colour=look["color"], marker=look["marker"], filled=cell.preprocessing == methods[0],
                gap=0.5 if at and cells[at - 1].model != cell.model else 0.0,
            )
        )  # fmt: skip

    def draw() -> Figure:
        figure = canvas(WIDTH, dot_height(dots) + 0.85)
        axes = figure.subplots()
        dotplot(axes, dots, xlabel=view.score, lines=baseline_lines(view))
        highest = max(value for dot in dots for value in (dot.value or 0.0, dot.high or 0.0))
        axes.set_xlim(0.0, min(1.0, max(0.3, highest + 0.03)))
        return figure

    notes = ["Filled: first preprocessing; open: the others."] if len(methods) > 1 else []
    method = [f"{view.test_clips}; {view.interval_note}, per cell, not corrected for the number of cells."]
    return Plot(
        "cells", f"{view.summary.heading(view.summary.metric)} of all cells, with intervals", draw, notes, method
    )


def baseline_lines(view: StudyView) -> dict[str, float]:
    """Return the scores of the baselines that use no image, by name."""
    found = view.summary.baselines
    return {title.lower(): found[name].score for name, title in BASELINES.items() if name in found}


# --- every metric, repeated splits, selection on validation -----------------------------------------------------------
def all_metrics(view: StudyView) -> Table | None:
    """Return every registered metric of every cell, and of the prespecified one."""
    summary = view.summary
    rows: list[Row] = [{**where(view, cell), **cell.scores} for cell in view.cells if cell.scores]
    named, marks = summary.named_cell, {}
    if rows and named and named.scores:
        marks[len(rows)] = "rule best"
        blank = {f"factor_{name}": ABSENT for name in view.other_axes}
        rows.append({**blank, **where(view, named), "model": f"{named.title or view.label('model', named.model)}, "
                     f"under {named.protocol.title}", **named.scores})  # fmt: skip
    given = {name for cell in view.cells for name in cell.scores}
    names = [*(name for name in summary.metrics if name in given), *sorted(given - set(summary.metrics))]
    columns = [
        *(place(view) if len(rows) > 1 else []),
        *(Column(view.summary.heading(name), name, "score") for name in names),
    ]
    notes = ["Over the pooled test clips. Of the expected calibration error, 0 is best."]
    notes += ["Last row: the prespecified cell."] if marks else []
    return Table("all_scores", "All metrics", columns, rows, notes, marks=marks)


def repeats(view: StudyView) -> Table:
    """Return the score of every cell over repeated splits of the clips into folds."""
    rows = [{**row.model_dump(), **where(view, row)} for row in view.summary.repeats]
    columns = [
        *(place(view) if len(rows) > 1 else []),
        Column("Splits", "repeats", "count"),
        Column("Mean", "mean", "score"),
        Column("SD", "sd", "score"),
        Column("Min", "min", "score"),
        Column("Max", "max", "score"),
    ]
    notes = [f"{view.summary.heading(view.summary.metric)} of each split; all other tables are of the first."]
    return Table("repeats", "Repeated splits into folds", columns, rows, notes)


def nested(view: StudyView) -> Table | None:
    """Return which cells were selected on validation clips, and the score of their pooled test predictions."""
    found = view.summary.nested
    if found is None:
        return None
    rows: list[dict[str, Any]] = [
        {**where(view, row), "times": row.times, "validation": row.validation, "pooled": row.score}
        for row in found.chosen
    ]
    blank = dict.fromkeys(("sampling", "preprocessing", "validation"), ABSENT)
    blank |= {f"factor_{name}": ABSENT for name in view.other_axes}
    rows.append({**blank, "model": "selected cells, pooled", "times": found.folds, "pooled": found.score,
                 "ci_low": found.ci_low, "ci_high": found.ci_high})  # fmt: skip
    columns = [
        *place(view),
        Column("Folds", "times", "count"),
        Column(f"Mean validation {view.score}", "validation", "score", missing=ABSENT),
        Column(f"Test {view.score} [{view.interval_level}]", ("pooled", "ci_low", "ci_high"), "interval"),
    ]
    method = [
        f"In each fold, the cell with the highest {view.score} on the fold's validation clips is selected, and its "
        f"test predictions are pooled: no test clip enters the selection. {view.interval_note}."
    ]
    if found.left_out:
        method.append(f"{found.left_out} cells have no validation clips and could not be selected.")
    return Table("nested", "Selection of the cell on validation clips", columns, rows, [], method,
                 {len(rows) - 1: "best rule"}, {at: matrix_of(view, row) for at, row in enumerate(found.chosen)},
                 sortable=False)  # fmt: skip


# --- by class and database --------------------------------------------------------------------------------------------
def about(view: StudyView, detail: Detail) -> str:
    """Return the role and title of the cell that a detail describes; empty where there is only one."""
    if len(view.summary.detail) == 1 and not detail.role:
        return ""
    title = detail.title or view.title(detail)
    return f"{ROLES[detail.role]}: {title} under {detail.protocol}" if detail.role else title


def titled(view: StudyView, title: str) -> str:
    """Return a caption that names the cells described, where there is more than one experiment."""
    roles = [ROLES[detail.role] for detail in view.summary.detail if detail.role]
    return f"{title} ({' and '.join(roles)})" if roles and len(roles) == len(view.summary.detail) else title


def detail_rows(view: StudyView, part: str) -> tuple[list[dict[str, Any]], dict[int, str], list[Column]]:
    """Return the rows of one part of every detail, the rules between cells, and the column that names the cell."""
    rows: list[dict[str, Any]] = []
    marks: dict[int, str] = {}
    for detail in view.summary.detail:
        mine = getattr(detail, part)
        marks |= {len(rows): "rule"} if rows and mine else {}
        rows += [{"about": "" if at else about(view, detail), **row.model_dump()} for at, row in enumerate(mine)]
    several = any(row["about"] for row in rows)
    return rows, marks, [Column("Cell", "about", missing=" ")] if several else []


def by_class(view: StudyView) -> Table:
    """Return support, predictions, precision, recall and F1 of every class."""
    rows, marks, cell = detail_rows(view, "classes")
    rows = [{**row, "class": capitalised(row["name"])} for row in rows]
    columns = [
        *cell,
        Column("Class", "class"),
        Column("Test clips", "support", "count"),
        Column("Predicted", "predicted", "count"),
        Column("Precision", "precision", "score", missing=ABSENT),
        Column("Recall", "recall", "score", missing=ABSENT),
        Column("F1", "f1", "score", missing=ABSENT),
    ]
    method = [
        "Precision: share of the clips predicted as the class that belong to it. Recall: share of the clips of the "
        f"class that are predicted as it. {ABSENT}: never predicted, or no test clip."
    ]
    return Table("by_class", titled(view, "Results by class"), columns, rows, [], method, marks, sortable=not cell)


def by_database(view: StudyView) -> Table:
    """Return the scores on each of several databases."""
    rows, marks, cell = detail_rows(view, "databases")
    rows = [{**row, **row["scores"]} for row in rows]
    columns = [
        *cell,
        Column("Database", "database"),
        Column("Clips", "clips", "count"),
        Column("Subjects", "subjects", "count"),
        Column("Classes", "classes", "count"),
        *(Column(view.summary.heading(name), name, "score") for name in MAIN),
    ]
    notes = ["Each score is over the classes in that database; the score over all clips is not their mean."]
    return Table("by_database", titled(view, "Results by database"), columns, rows, notes, [], marks, sortable=not cell)


# --- confusion matrices -----------------------------------------------------------------------------------------------
def confusion(view: StudyView) -> Plot | None:
    """Draw the confusion matrix of the score that counts, and of the best cell where that is another."""
    named, best = view.summary.named_cell, view.best_cell
    shown: list[tuple[str, Cell | NamedCell]] = []
    if named:
        shown.append((named.title or f"Prespecified: {view.short_title(named)}", named))
    if best and not view.summary.leaderboard:
        shown.append((f"{'' if view.single_experiment else 'Best on test: '}{view.short_title(best)}", best))
    if not shown or not view.summary.data.classes:
        return None

    def draw() -> Figure:
        figure = canvas(WIDTH if len(shown) > 1 else 4.2, 4.0)
        panels = figure.subplots(1, len(shown), squeeze=False).flat
        for at, ((title, cell), axes) in enumerate(zip(shown, panels, strict=True)):
            _matrix(axes, view.summary.data.classes, cell.confusion, short(title, 44), first=at == 0)
        return figure

    right = "; ".join(f"{correct_count(cell.confusion)} of {cell.n_test}" for _, cell in shown)
    notes = [f"Clips and row percentages. Correct clips: {right}."]
    plural = "matrices" if len(shown) > 1 else "matrix"
    return Plot("confusion", f"Confusion {plural}", draw, notes)


def _matrix(axes: Axes, classes: Sequence[str], matrix: Sequence[Sequence[int]], title: str, *, first: bool) -> None:
    from matplotlib.patches import Rectangle

    size = len(classes)
    small = 7.0 if size <= 8 else 5.0
    near = min(1.0, size / 7)  # keeps count and percentage together in the larger squares of few classes
    for at, row in enumerate(matrix):
        total = sum(row)
        for k, count in enumerate(row):
            share = count / total if total else 0.0
            if count:
                axes.add_patch(Rectangle((k - 0.5, at - 0.5), 1, 1, facecolor=SHADE, alpha=0.62 * share, linewidth=0))
                axes.text(k, at - 0.12 * near, str(count), ha="center", va="center", fontsize=small + 0.5)
                axes.text(k, at + 0.27 * near, f"{100 * share:.0f} %", ha="center", va="center", fontsize=small - 2)
            elif not total:
                axes.text(k, at, ABSENT, ha="center", va="center", fontsize=small, color=SOFT)
    for edge in range(size + 1):
        axes.plot([edge - 0.5, edge - 0.5], [-0.5, size - 0.5], color=RULE, linewidth=0.5, zorder=1)
        axes.plot([-0.5, size - 0.5], [edge - 0.5, edge - 0.5], color=RULE, linewidth=0.5, zorder=1)
    names = [short(name, 16) for name in classes]
    axes.set_xticks(range(size), names, rotation=45, ha="right", rotation_mode="anchor")
    tested = [f"{name} ({n})" for name, n in zip(names, test_counts(matrix), strict=True)]
    axes.set_yticks(range(size), tested if first else [""] * size)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.set_title(title)
    axes.set_xlabel("predicted")
    if first:
        axes.set_ylabel("true (test clips)", color=INK)


def matrices(view: StudyView) -> Matrices | None:
    """Return the confusion matrices of all methods, or of all cells."""
    each = list(_matrices(view))
    if not each:
        return None
    classes = view.summary.data.classes
    rows = [
        {"method": one.title, "truth": truth, "predicted": predicted, "clips": count}
        for one in each
        for truth, row in zip(classes, one.counts, strict=True)
        for predicted, count in zip(classes, row, strict=True)
    ]
    columns = [Column(name, name) for name in ("method", "truth", "predicted", "clips")]
    return Matrices(classes, each, Table("confusion", "Confusion matrices", columns, rows))


def _matrices(view: StudyView) -> Iterator[Matrix]:
    summary = view.summary
    if named := summary.named_cell:
        title = named.title or view.title(named)
        yield Matrix(anchor(f"prespecified {title}"), f"{title} (prespecified)", named.confusion)
        for other in named.alternatives:
            yield Matrix(anchor(f"prespecified {other.name}"), f"{other.name} (prespecified)", other.confusion)
    if summary.leaderboard:
        for row in summary.leaderboard.rows:
            yield Matrix(anchor(row.label), row.label, row.confusion)
    else:
        for cell in view.cells:
            yield Matrix(anchor(view.title(cell)), view.title(cell), cell.confusion)


def hard_clips(view: StudyView) -> Table:
    """Return the clips that most experiments miss."""
    rows = [row.model_dump() | {"share": f"{row.right} of {row.of}"} for row in view.summary.hard_clips]
    columns = [
        Column("Clip", "clip"),
        Column("Subject", "subject"),
        Column("True class", "truth"),
        Column("Correct", "share"),
        Column("Most frequent error", "most"),
    ]
    none = sum(row.right == 0 for row in view.summary.hard_clips)
    every = f"; {many(none, 'clip')} by all of them" if none else ""
    notes = [f"Clips that more than half of the {rows[0]['of']} {rows[0]['among']} miss{every}." if rows else ""]
    return Table("hard_clips", "Hard clips", columns, rows, notes)
