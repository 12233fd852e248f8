"""Tables that the paper does not have: all cells, losses, overfitting, latency, checks, choices and environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from microexpr.config.settings import metric_of
from microexpr.report.paper_tables import BASELINES, NAMES, sibling
from microexpr.report.reading import Cell, Reading, input_shape, number, score_title
from microexpr.report.table import ABSENT, Column, Table

_WHERE = (Column("Model", "model"), Column("Sampling", "sampling"), Column("Preprocessing", "preprocessing"))
SHOWN = ("macro_f1", "uf1", "uar", "accuracy")
"""Scores that the table of cells always has."""
FOLDED = 12
"""Largest number of cells of a study of methods that is not collapsed: the leaderboard has their scores."""
LOSSES = {"cross_entropy": "cross-entropy", "weighted_cross_entropy": "cross-entropy", "focal": "focal"}


def record_tables(reading: Reading) -> list[Table]:
    """Return those of these tables that the summary has rows for."""
    makers = [
        all_cells,
        losses,
        gaps,
        latency,
        counts,
        checked,
        choices,
        formulas,
        corrections,
        skipped,
        disagreements,
        environment,
    ]
    if reading.many_preprocessings or reading.leaderboard:
        makers.remove(gaps)
    return [table for maker in makers if (table := maker(reading)).rows]


def score_heading(name: str) -> str:
    """Return a score as a column heading: 'UF1', 'Mean of folds: UF1'."""
    metric, averaged = metric_of(name)
    title = score_title(metric)
    return f"Mean of folds: {title}" if averaged else title[:1].upper() + title[1:]


def loss_name(loss: object) -> str | None:
    """Return the display name of the loss; different choices of the folds are joined by a slash.

    >>> loss_name("cross_entropy/focal")
    'cross-entropy / focal'
    >>> loss_name("cross_entropy(reduction=weights)")
    'cross-entropy (reduction=weights)'
    """
    parts = [each.partition("(") for each in str(loss).split("/")]
    named = [f"{LOSSES.get(name, name)}{' (' * bool(params)}{params}" for name, _, params in parts]
    return " / ".join(named) if loss else None


def where(reading: Reading, cell: Cell) -> dict[str, Any]:
    """Return the values of `place` for a cell."""
    return {axis: reading.label(axis, cell[axis]) for axis in ("preprocessing", "sampling", "model")} | {
        f"factor_{name}": level for name, level in reading.other_levels(cell).items()
    }


def place(reading: Reading) -> list[Column]:
    """Return the columns that identify a cell."""
    further = [Column(name.capitalize(), f"factor_{name}") for name in reading.other_axes]
    return [*further, *_WHERE] if reading.leaderboard else [*_WHERE, *further]


def all_cells(reading: Reading) -> Table:
    """Return every cell with every score, then the baselines."""
    best_cell = reading.best_cell
    rows: list[dict[str, Any]] = []
    marks: dict[int, str] = {}
    for cell in reading.cells:
        row = {**cell, **where(reading, cell), "loss": loss_name(cell.get("loss"))}
        row |= {f"requested_{name}": value for name, value in (cell.get("requested_scores") or {}).items()}
        if rows and rows[-1]["model"] != row["model"]:
            marks[len(rows)] = "rule"
        if cell is best_cell and not reading.single_experiment and not reading.leaderboard:
            marks[len(rows)] = f"{marks.get(len(rows), '')} best".strip()
        rows.append(row)
    for at, (name, baseline) in enumerate(reading.part("baselines").items()):
        marks[len(rows)] = "reference" if at else "reference rule"
        blank = dict.fromkeys(("sampling", "preprocessing", "loss", "epochs_run"), ABSENT)
        blank |= {f"factor_{name}": ABSENT for name in reading.other_axes}
        rows.append({**blank, "model": BASELINES.get(name, name), **baseline})
    networks = any(cell.get("loss") for cell in reading.cells)
    requested = dict.fromkeys(name for cell in reading.cells for name in cell.get("requested_scores") or ())
    further = [name for name in requested if name not in SHOWN]
    columns = [
        *place(reading),
        *([Column("Loss", "loss", missing=ABSENT)] if networks else []),
        Column(f"Macro-F1 [{reading.interval_level}]", ("macro_f1", "ci_low", "ci_high"), "interval"),
        Column("UF1", "uf1", "score"),
        Column("UAR", "uar", "score"),
        Column("Accuracy", "accuracy", "score"),
        Column("n", "n_test", "count"),
        *([Column("Epochs", "epochs_run", "count")] if networks else []),
        *(Column(score_heading(name), f"requested_{name}", "score", missing=ABSENT) for name in further),
    ]
    notes = [f"{reading.test_clips}; {reading.interval_note}.", *filter(None, [reading.rare_classes_note])]
    if any(metric_of(name)[1] for name in further):
        notes.append("A mean of folds is not a score of the pooled predictions: see the warning above.")
    if not reading.single_experiment and not reading.leaderboard:
        notes.append(
            f"Bold: the highest macro-F1 of {len(reading.cells)} cells, selected on the test set. Intervals are per "
            "cell, not corrected for the number of cells."
        )
    title = "Scores" if reading.single_experiment else "All cells"
    return Table(
        "all_cells", title, columns, rows, notes, marks, folded=bool(reading.leaderboard) and len(rows) > FOLDED
    )


FIRST_NETWORK = "For an ensemble, values are those of its first network."


def ensembles(cells: Sequence[Cell]) -> bool:
    """Return whether several networks were trained for one of these cells."""
    return any(cell.get("ensemble", 1) > 1 for cell in cells)


def losses(reading: Reading) -> Table:
    """Return the validation score of each loss, the selected loss, and that of the paper's model of that family."""
    tried = [cell for cell in reading.cells if len(cell.get("loss_scores") or {}) > 1]
    names = list(dict.fromkeys(name for cell in tried for name in cell["loss_scores"]))
    preferred = (reading.paper.get("training") or {}).get("loss", {})
    rows = []
    for cell in tried:
        paper = sibling(cell["model"]) if reading.follows_paper else None
        row = {**where(reading, cell), "chosen": loss_name(cell.get("loss")), **cell["loss_scores"]}
        row["paper_model"] = ABSENT if paper is None else NAMES[paper]
        row["paper"] = ABSENT if paper is None else LOSSES.get(preferred.get(paper), ABSENT)
        rows.append(row)
    columns = place(reading)
    columns += [Column(str(loss_name(name)).capitalize(), name, "score", "validation macro-F1") for name in names]
    columns += [Column("Selected", "chosen", group="here")]
    if any(row["paper_model"] != ABSENT for row in rows):
        columns += [Column("Model", "paper_model", group="paper"), Column("Selected", "paper", group="paper")]
    agree = sum(str(row["chosen"]).partition(" (")[0] == row["paper"] for row in rows)
    compared = sum(row["paper"] != ABSENT for row in rows)
    agreement = f"The selected loss is the paper's in {agree} of {compared} cells; chance agreement is one half."
    notes = [agreement] if compared > 1 else []
    if ensembles(tried):
        notes.append("Each network of an ensemble selects its own loss; scores are means over its networks.")
    return Table("losses", "Loss selected on validation", columns, rows, notes, _rules(rows))


def _rules(rows: list[dict[str, Any]]) -> dict[int, str]:
    return {at: "rule" for at in range(1, len(rows)) if rows[at]["model"] != rows[at - 1]["model"]}


def gap(cell: Cell | None) -> float | None:
    """Return training minus validation macro-F1 at the chosen epoch."""
    if cell is None:
        return None
    train, val = number(cell.get("train_macro_f1")), number(cell.get("val_macro_f1"))
    return None if train is None or val is None else train - val


def gaps(reading: Reading) -> Table:
    """Return training and validation scores of each model and their difference, per preprocessing."""
    methods = reading.levels("preprocessing")
    rows: list[dict[str, Any]] = []
    for model in reading.levels("model"):
        for sampling in reading.levels("sampling"):
            cells = {name: reading.find(name, sampling, model) for name in methods}
            if not any(gap(cell) is not None for cell in cells.values()):
                continue
            row: dict[str, Any] = {
                "model": reading.label("model", model),
                "sampling": reading.label("sampling", sampling),
            }
            for name, cell in cells.items():
                row[f"{name}_train"] = None if cell is None else cell.get("train_macro_f1")
                row[f"{name}_val"] = None if cell is None else cell.get("val_macro_f1")
                row[f"{name}_gap"] = gap(cell)
            rows.append(row)
    columns = [Column("Model", "model"), Column("Sampling", "sampling")]
    for name in methods:
        label = reading.label("preprocessing", name)
        if len(methods) > 2:
            columns.append(Column(label, f"{name}_gap", "change", "gap"))
            continue
        columns += [Column("Training", f"{name}_train", "score", label)]
        columns += [Column("Validation", f"{name}_val", "score", label), Column("Gap", f"{name}_gap", "change", label)]
    notes = ["Macro-F1 at the selected epoch. Gap: training minus validation."]
    notes += [FIRST_NETWORK] if ensembles(reading.cells) else []
    return Table("overfitting", "Training against validation", columns, rows, notes, _rules(rows))


def latency(reading: Reading) -> Table:
    """Return milliseconds per sample by model and input size, as measured on the listed device."""
    rows = [
        {**row, "model": timed(reading.label("model", row["model"]), row), "size": input_size(row)}
        for row in reading.rows("latency")
    ]
    columns = [
        Column("Model", "model"),
        Column("Input", "size"),
        Column("ms per sample", "ms", "ms"),
        Column("Samples per second", "fps", "count"),
        Column("Device", "device", missing="not stated"),
        Column("Threads", "threads", "count", missing="not stated"),
        Column("Repeats", "repeats", "count", missing="not stated"),
    ]
    notes = ["Batch size 1, forward pass only."]
    paper = reading.paper.get("latency") or {}
    times = [f"{NAMES.get(r['model'], r['model'])} {_at(r)}{r['ms']} ms" for r in paper.get("rows", [])]
    if times and reading.follows_paper:
        notes.append(f"Paper, on one {paper['gpu']}: {'; '.join(times)}.")
    return Table("latency", "Latency", columns, rows, notes)


def _at(row: Mapping[str, Any]) -> str:
    return f"at {row['size']} × {row['size']} " if "size" in row else ""


def input_size(row: Mapping[str, Any]) -> str:
    """Return the input size of a timed model: width, height and channels, preceded by the time steps if several."""
    return input_shape([row.get("steps", 1), *(row.get(name, "?") for name in ("height", "width", "channels"))])


def timed(name: str, row: Mapping[str, Any]) -> str:
    """Return the name of a timed model, with the number of its networks where there are several."""
    return f"{name}, {row['ensemble']} networks" if row.get("ensemble", 1) > 1 else name


def counts(reading: Reading) -> Table:
    """Return the clips of each class in each part."""
    data = reading.part("data")
    total, parts = data.get("counts") or {}, data.get("parts") or {}
    parts = {name: values for name, values in parts.items() if values}
    rows: list[dict[str, Any]] = [
        {"class": name[:1].upper() + name[1:], "all": total.get(name), **{p: v.get(name, 0) for p, v in parts.items()}}
        for name in (reading.classes if total else ())
    ]
    sums = {key: sum(row[key] or 0 for row in rows) for key in ("all", *parts)}
    if rows:
        rows.append({"class": "All", **sums})
    stats = reading.part("dataset_stats")
    measured = {**(stats.get("classes") or {}), "all": stats.get("all") or {}}
    for row, name in zip(rows, [*reading.classes, "all"], strict=True) if rows and stats else ():
        row |= _times(measured.get(name) or {})
    titles = {"train": "Training", "val": "Validation", "test": "Test"}
    columns = [Column("Class", "class"), *(Column(titles.get(p, p), p, "count") for p in parts)]
    columns.append(Column("All", "all", "count"))
    if stats:
        columns += [
            Column("Subjects", "subjects", "count", missing=ABSENT),
            Column("Duration (ms)", "milliseconds", missing=ABSENT),
            Column("Apex position", "apex", missing=ABSENT),
        ]
    missing = sums["all"] - sum(sums[part] for part in parts) if parts else 0
    notes = [f"{missing} clips are in no part of the split."] if missing else []
    notes += [] if parts else ["Training and test clips differ between folds, so only totals are listed."]
    notes += ["Duration and apex position (0 onset, 1 offset): minimum, median, maximum."] if stats else []
    return Table("classes", "Clips of each class", columns, rows, notes, {len(rows) - 1: "rule"})


def _times(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the subjects, durations and apex positions of one class, formatted for the table of classes."""

    def spread(name: str, form: str) -> str | None:
        found = summary.get(name)
        return " / ".join(format(found[key], form) for key in ("min", "median", "max")) if found else None

    return {
        "subjects": summary.get("subjects"),
        "milliseconds": spread("milliseconds", ".0f"),
        "apex": spread("apex", ".2f"),
    }


def checked(reading: Reading) -> Table:
    """Return the findings of the checks, with evidence and fix."""
    columns = [
        Column("Code", "code"),
        Column("Level", "level"),
        Column("Finding", "sentence"),
        Column("Evidence", "evidence"),
        Column("Fix", "fix"),
    ]
    notes = ["From the stored folds and predictions, as reported by microexpr check."]
    return Table("checks", "Methodological checks", columns, list(reading.rows("checks")), notes)


def choices(reading: Reading) -> Table:
    """Return every choice that the paper's text leaves open, with the value used here."""
    words = {True: "yes", False: "no", None: ABSENT}
    rows = [{**row, "default": words[row.get("default")]} for row in reading.rows("choices")]
    columns = [
        Column("Setting", "choice"),
        Column("Here", "value", missing="not stated"),
        Column("The paper's text", "paper", missing=ABSENT),
        Column("Default", "default"),
    ]
    return Table("choices", "Settings that the paper leaves open", columns, rows)


def formulas(reading: Reading) -> Table:
    """Return the formula of each score and its treatment of classes without test clips."""
    rows = [{"score": score_heading(name), **metadata} for name, metadata in reading.part("metrics").items()]
    columns = [
        Column("Score", "score"),
        Column("Formula", "formula", missing="not stated"),
        Column("Classes without test clips", "absent_classes", missing="not stated"),
    ]
    return Table("scores", "Definitions of the scores", columns, rows)


def corrections(reading: Reading) -> Table:
    """Return the corrections applied to the database's table."""
    rows = [{"correction": text} for text in reading.part("data").get("corrections") or []]
    return Table("corrections", "Corrections of the database's table", [Column("Correction", "correction")], rows)


def skipped(reading: Reading) -> Table:
    """Return the excluded clips with the reason."""
    columns = [
        Column("Where", "where", missing=ABSENT),
        Column("Clip", "clip", missing=ABSENT),
        Column("Problem", "problem", missing=ABSENT),
        Column("Fix", "fix", missing=ABSENT),
    ]
    return Table("skipped", "Excluded clips", columns, list(reading.part("data").get("skipped") or []))


def disagreements(reading: Reading) -> Table:
    """Return the inconsistencies in the paper's own numbers."""
    rows = list(reading.published("disagreements")) if reading.follows_paper else []
    columns = [Column("No.", "number"), Column("Where", "place", missing=ABSENT), Column("Inconsistency", "text")]
    return Table("disagreements", "Inconsistencies in the paper", columns, rows)


def environment(reading: Reading) -> Table:
    """Return the machine, library versions and seeds."""
    metadata = {name.replace("_", " "): value for name, value in reading.part("environment").items()}
    rows = [{"what": name, "value": _plain(value)} for name, value in {**metadata, **reading.part("seeds")}.items()]
    return Table("environment", "Environment and seeds", [Column("Item", "what"), Column("Value", "value")], rows)


def _plain(value: object) -> str | None:
    if value is None:
        return None
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
