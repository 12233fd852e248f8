"""Training: the losses selected, the gap between training and validation, latency, targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from microexpr.report.blocks.scores import loss_name, model_style, place, where
from microexpr.report.figure import MARKERS, WIDTH, Dot, Plot, canvas, dot_height, dotplot
from microexpr.report.page import Prose
from microexpr.report.summary import MEAN, Cell, Latency
from microexpr.report.table import ABSENT, Column, Row, Table
from microexpr.report.view import StudyView, input_shape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIRST_NETWORK = "For an ensemble, values are those of its first network."


def ensembles(cells: Sequence[Cell]) -> bool:
    """Return whether several networks were trained for one of these cells."""
    return any(cell.ensemble > 1 for cell in cells)


def losses(view: StudyView) -> Table:
    """Return the validation score of each loss, and the selected one; of a replicated study also the published one."""
    tried = [cell for cell in view.cells if len(cell.loss_scores) > 1]
    names = list(dict.fromkeys(name for cell in tried for name in cell.loss_scores))
    published = view.summary.published.loss if view.summary.published else {}
    rows: list[Row] = [
        {**where(view, cell), "chosen": loss_name(cell.loss), **cell.loss_scores}
        | {"paper": loss_name(published.get(cell.model, "")) or ABSENT}
        for cell in tried
    ]
    columns = place(view)
    columns += [Column(str(loss_name(name)).capitalize(), name, "score", f"validation {view.score}") for name in names]
    columns += [Column("Selected", "chosen")]
    compared = [row for row in rows if row["paper"] != ABSENT]
    columns += [Column("Published", "paper")] if compared else []
    agree = sum(str(row["chosen"]).partition(" (")[0] == row["paper"] for row in compared)
    notes = []
    if len(compared) > 1:
        notes.append(f"The selected loss is the published one in {agree} of {len(compared)} cells.")
    if ensembles(tried):
        notes.append("Each network of an ensemble selects its own loss; scores are means over its networks.")
    return Table("losses", "Loss selected on validation clips", columns, rows, notes)


# --- training against validation --------------------------------------------------------------------------------------
def gap(cell: Cell | None) -> float | None:
    """Return the training minus the validation score at the selected epoch."""
    if cell is None or cell.train_score is None or cell.val_score is None:
        return None
    return cell.train_score - cell.val_score


def _pairs(view: StudyView) -> Iterator[tuple[str, str, dict[str, Cell | None]]]:
    """Yield model, sampling and cells by preprocessing, where a gap is known."""
    for model in view.levels("model"):
        for sampling in view.levels("sampling"):
            cells = {name: view.find(name, sampling, model) for name in view.levels("preprocessing")}
            if any(gap(cell) is not None for cell in cells.values()):
                yield model, sampling, cells


def gaps(view: StudyView) -> Table | None:
    """Return training and validation scores of each model and their difference, by preprocessing."""
    methods = view.levels("preprocessing")
    if view.many_preprocessings:
        return None
    rows: list[Row] = []
    for model, sampling, cells in _pairs(view):
        row: dict[str, Any] = {"model": view.label("model", model), "sampling": view.label("sampling", sampling)}
        for name, cell in cells.items():
            row |= {f"{name}_train": cell and cell.train_score, f"{name}_val": cell and cell.val_score}
            row[f"{name}_gap"] = gap(cell)
        rows.append(row)
    columns = [Column("Model", "model"), Column("Sampling", "sampling")]
    for name in methods:
        label = view.label("preprocessing", name)
        if len(methods) > 2:
            columns.append(Column(label, f"{name}_gap", "change", "gap"))
            continue
        columns += [Column("Training", f"{name}_train", "score", label)]
        columns += [Column("Validation", f"{name}_val", "score", label), Column("Gap", f"{name}_gap", "change", label)]
    notes = [FIRST_NETWORK] if ensembles(view.cells) else []
    method = [f"{view.score_head} at the selected epoch. Gap: training minus validation."]
    return Table("overfitting", "Training against validation", columns, rows, notes, method)


def overfitting_sentence(view: StudyView) -> Prose | None:
    """Say under which of two preprocessings the gap between training and validation is larger."""
    methods = view.levels("preprocessing")
    if len(methods) != 2:
        return None
    pairs = []
    for _, _, cells in _pairs(view):
        first, second = (gap(cells[name]) for name in methods)
        if first is not None and second is not None:
            pairs.append((first, second))
    if not pairs:
        return None
    one, other = (view.label("preprocessing", name) for name in methods)
    larger = sum(b > a for a, b in pairs)
    means = [sum(values) / len(pairs) for values in zip(*pairs, strict=True)]
    return Prose([
        f"The gap between training and validation scores is larger under {other} than under {one} in {larger} of "
        f"{len(pairs)} pairs; on average it is {means[0]:.3f} under {one} and {means[1]:.3f} under {other}."
    ])  # fmt: skip


def overfitting(view: StudyView) -> Plot | None:
    """Draw the gap between training and validation scores under every preprocessing."""
    methods, found = view.levels("preprocessing"), list(_pairs(view))
    if not found or len(methods) < 2 or view.many_preprocessings:
        return None
    dots = []
    for model, sampling, cells in found:
        known = [(name, value) for name, cell in cells.items() if (value := gap(cell)) is not None]
        look = model_style(view, model)
        label = f"{view.short_label('model', model)} · {view.short_label('sampling', sampling)}"
        for at, (name, value) in enumerate(known):
            k = methods.index(name)
            low, high = (min(v for _, v in known), max(v for _, v in known)) if at == 0 else (None, None)
            marker = MARKERS[k % len(MARKERS)] if len(methods) > 2 else look["marker"]
            dots.append(Dot(label, value, low, high, "", look["color"], marker, k == 0, same_row=at > 0))

    def draw() -> Figure:
        figure = canvas(WIDTH, dot_height(dots) + 0.95)
        dotplot(figure.subplots(), dots, xlabel=f"training minus validation {view.score}", zero=True)
        return figure

    names = [view.short_label("preprocessing", name) for name in methods]
    notes = ["Right of zero: higher on training clips. Filled: " + names[0] + f"; open: {', '.join(names[1:])}."]
    return Plot("overfitting", "Gap between training and validation scores", draw, notes)


# --- latency ----------------------------------------------------------------------------------------------------------
def _timed(view: StudyView, row: Latency, *, brief: bool = False) -> str:
    """Return the name of a timed model, with the number of its networks where there are several."""
    name = (view.short_label if brief else view.label)("model", row.model)
    return f"{name}, {row.ensemble} networks" if row.ensemble > 1 else name


def latency(view: StudyView) -> Table:
    """Return milliseconds per sample by model and input size, as measured on the listed device."""
    rows = [
        {**row.model_dump(), "model": _timed(view, row)}
        | {"size": input_shape((row.steps, row.height, row.width, row.channels))}
        for row in view.summary.latency
    ]
    columns = [
        Column("Model", "model"),
        Column("Input", "size"),
        Column("ms per sample", "ms", "ms"),
        Column("Samples per second", "fps", "count"),
        Column("Device", "device"),
        Column("Threads", "threads", "count"),
        Column("Repeats", "repeats", "count"),
    ]
    method = ["Batch size 1, forward pass only."]
    published = view.summary.published
    if published and published.latency:
        times = [f"{row.name} {f'at {row.size} × {row.size} ' if row.size else ''}{row.ms} ms"
                 for row in published.latency.rows]  # fmt: skip
        method.append(f"Published, on one {published.latency.gpu}: {'; '.join(times)}.")
    return Table("latency", "Latency", columns, rows, [], method)


def latency_figure(view: StudyView) -> Plot | None:
    """Draw milliseconds per sample by model and input size."""
    rows = view.summary.latency
    if len(rows) < 2:
        return None

    def draw() -> Figure:
        figure = canvas(WIDTH, 0.2 * len(rows) + 0.75)
        axes = figure.subplots()
        longest = max(row.ms for row in rows)
        for at, row in enumerate(rows):
            axes.barh(at, row.ms, height=0.55, color=model_style(view, row.model)["color"], alpha=0.8)
            axes.text(row.ms + 0.008 * longest, at, f"{row.ms:.2f}", va="center", fontsize=7)
        names = [f"{_timed(view, row, brief=True)} · {input_shape((row.steps, row.height, row.width, row.channels))}"
                 for row in rows]  # fmt: skip
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0, 1.08 * longest)
        axes.set_xlabel("milliseconds per sample")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        return figure

    return Plot("latency", "Latency", draw, [f"Measured on {', '.join(sorted({row.device for row in rows}))}."])


# --- targets ----------------------------------------------------------------------------------------------------------
BLANK = ("clips", "coded", "predicted", "precision", "recall", "always")
"""Columns that a mean over units does not have."""


def targets(view: StudyView) -> Table:
    """Return the results of auxiliary targets, such as facial action units, where a cell learns one."""
    rows = view.summary.targets
    marks = {at: "rule" for at in range(1, len(rows)) if rows[at - 1].unit == MEAN}
    last, shown = "", []
    for row in rows:
        mean = dict.fromkeys(BLANK, ABSENT) if row.unit == MEAN else {}
        unit = f"mean of {row.units}" if row.unit == MEAN else row.unit
        shown.append({**row.model_dump(), **mean, "about": "" if row.cell == last else row.cell, "unit": unit})
        last = row.cell
    columns = [
        Column("Cell", "about", missing=" "),
        Column("Unit", "unit"),
        Column("Test clips", "clips", "count"),
        Column("Coded", "coded", "count"),
        Column("Predicted", "predicted", "count"),
        Column("Precision", "precision", "score", missing=ABSENT),
        Column("Recall", "recall", "score", missing=ABSENT),
        Column("F1", "f1", "score", missing=ABSENT),
        Column("F1, always", "always", "score", missing=ABSENT),
    ]
    method = [
        "Units learnt in addition to the class, over the clips with any coded unit. A unit is predicted where its mean "
        "probability over a clip's views is at least 0.5. The mean is over units coded in some test clip "
        f"({ABSENT}: in none); precision is {ABSENT} where a unit is never predicted. Always: F1 of predicting the "
        "unit in every clip."
    ]
    notes = ["No test clip has any of these units."] if rows and all(row.f1 is None for row in rows) else []
    return Table("targets", "Auxiliary targets", columns, shown, notes, method, marks, sortable=False)
