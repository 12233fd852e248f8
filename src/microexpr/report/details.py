"""Tables and figures of single cells: classes, databases, subjects, all metrics, seeds, repeated splits, targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from microexpr.report.paper_figures import Plot
from microexpr.report.reading import MEAN, Reading, number, short
from microexpr.report.study_tables import place, score_heading, where
from microexpr.report.style import INK, MARKERS, SERIES, SOFT, WIDTH, legend_handles
from microexpr.report.table import ABSENT, Column, Table

LONG = 12
"""Largest number of rows of a table that is not collapsed."""
MOST = 40
"""Largest number of rows in a figure of seeds, and of subjects that are named in a figure."""
INFLUENTIAL = 14
"""Number of subjects whose influence is drawn."""
SEVERAL = 6
"""Largest number of seeds with a column each."""
HEADS = {
    "macro_f1": ("F1", "macro"),
    "macro_f1_all": ("F1, all classes", "macro"),
    "macro_precision": ("precision", "macro"),
    "macro_recall": ("recall", "macro"),
    "uf1": ("UF1", ""),
    "uar": ("UAR", ""),
    "weighted_f1": ("Weighted F1", ""),
    "accuracy": ("Accuracy", ""),
    "expected_calibration_error": ("ECE", ""),
}
"""Heading and group of each metric's column; other metrics follow under their own names."""
PARTS = ("seed", "joint", "unit")
"""Components of the variance of a single reported score; units are subjects or clips."""
COLOURS = dict(zip(PARTS, (SERIES[0], SERIES[2], SERIES[5]), strict=True))


def detail_tables(reading: Reading) -> list[Table]:
    """Return those of these tables that the summary has rows for."""
    made = [by_class(reading), by_database(reading), by_subject(reading), all_scores(reading), seeds(reading)]
    return [table for table in [*made, repeats(reading), nested(reading)] if table.rows]


def detail_figures(reading: Reading) -> list[Plot | None]:
    """Return those of these figures that the summary has values for."""
    return [subjects(reading), influence(reading), over_seeds(reading)]


ROLES = {"best": "best", "named": "prespecified"}
"""What the cells of a study are described for."""


def _about(reading: Reading, detail: Mapping[str, Any]) -> str:
    """Return the role and title of the cell that a detail describes; empty for a single experiment."""
    role = str(detail.get("role") or "")
    under = f" under {str(detail.get('protocol')).upper()}" if role == "named" else ""
    return f"{ROLES[role]}: {reading.title(detail)}{under}" if role else ""


def _rows(reading: Reading, part: str) -> tuple[list[dict[str, Any]], dict[int, str], list[Column]]:
    """Return the rows of one part of every detail, the rules between cells, and the column that names the cell."""
    rows: list[dict[str, Any]] = []
    marks: dict[int, str] = {}
    for detail in reading.rows("detail"):
        about = _about(reading, detail)
        marks |= {len(rows): "rule"} if rows and detail.get(part) else {}
        rows += [{"about": "" if at else about, **row} for at, row in enumerate(detail.get(part) or [])]
    several = any(row["about"] for row in rows)
    return rows, marks, [Column("Cell", "about", missing=" ")] if several else []


def _titled(reading: Reading, title: str) -> str:
    """Return a caption that names the cells described, where there is more than one experiment."""
    cells = [f"{ROLES[str(detail['role'])]} cell" for detail in reading.rows("detail") if detail.get("role")]
    return f"{title}: {' and '.join(cells)}" if cells else title


# --- tables -----------------------------------------------------------------------------------------------------------
def by_class(reading: Reading) -> Table:
    """Return support, predictions, precision, recall and F1 of every class."""
    rows, marks, about = _rows(reading, "classes")
    rows = [{**row, "class": row["class"][:1].upper() + row["class"][1:]} for row in rows]
    columns = [
        *about,
        Column("Class", "class"),
        Column("Test clips", "support", "count"),
        Column("Predicted", "predicted", "count"),
        Column("Precision", "precision", "score", missing=ABSENT),
        Column("Recall", "recall", "score", missing=ABSENT),
        Column("F1", "f1", "score", missing=ABSENT),
    ]
    notes = [
        "Precision: share of the clips predicted as the class that belong to it. Recall: share of the clips of the "
        f"class that are predicted as it. {ABSENT}: never predicted, or no test clip."
    ]
    return Table("by_class", _titled(reading, "Results by class"), columns, rows, notes, marks)


def by_database(reading: Reading) -> Table:
    """Return the scores on each of several databases."""
    rows, marks, about = _rows(reading, "databases")
    columns = [
        *about,
        Column("Database", "database"),
        Column("Clips", "clips", "count"),
        Column("Subjects", "subjects", "count"),
        Column("Classes", "classes", "count"),
        *(Column(score_heading(name), name, "score") for name in ("macro_f1", "uf1", "uar", "accuracy")),
    ]
    notes = [
        "Each score is over the classes with a test clip in that database; the score over all clips is not their mean."
    ]
    return Table("by_database", _titled(reading, "Results by database"), columns, rows, notes, marks)


def by_subject(reading: Reading) -> Table:
    """Return the clips and accuracy of every subject, and macro-F1 without the subject."""
    rows, marks, about = _rows(reading, "subjects")
    rows = [{**row, "lost": ", ".join(row.get("lost") or [])} for row in rows]
    lost = any(row["lost"] for row in rows)
    columns = [
        *about,
        Column("Subject", "subject"),
        Column("Clips", "clips", "count"),
        Column("Classes", "classes", "count"),
        Column("Correct", "right", "count"),
        Column("Accuracy", "accuracy", "score"),
        Column("Macro-F1 without", "without", "score"),
        Column("Change", "change", "change"),
        *([Column("Classes only in this subject", "lost", missing=ABSENT)] if lost else []),
    ]
    notes = [
        "No F1 per subject: it is undefined for classes without a clip of the subject. Macro-F1 without: over the "
        "clips of all other subjects and the same classes; models are not retrained."
    ]
    notes += list(dict.fromkeys(str(d["problem"]) for d in reading.rows("detail") if d.get("problem")))
    caption = _titled(reading, "Results by subject")
    return Table("by_subject", caption, columns, rows, notes, marks, folded=len(rows) > LONG)


def all_scores(reading: Reading) -> Table:
    """Return every registered metric of every cell, and of the prespecified cell."""
    rows = [{**where(reading, cell), **(cell.get("scores") or {})} for cell in reading.cells if cell.get("scores")]
    named, marks = reading.part("named_cell"), {}
    if rows and named.get("scores"):
        marks[len(rows)] = "rule"
        model = f"{where(reading, named)['model']}, under {str(named.get('protocol')).upper()}"
        blank = {f"factor_{name}": ABSENT for name in reading.other_axes}
        rows.append({**blank, **where(reading, named), "model": model, **named["scores"]})
    given = dict.fromkeys(name for cell in reading.cells for name in cell.get("scores") or ())
    names = [*(name for name in HEADS if name in given), *(name for name in given if name not in HEADS)]
    heads = [HEADS.get(name, (score_heading(name), "")) for name in names]
    columns = [
        *(place(reading) if len(rows) > 1 else []),
        *(Column(head, name, "score", group) for name, (head, group) in zip(names, heads, strict=True)),
    ]
    notes = [
        "Over the pooled test clips; the table of scores gives the definitions. ECE: expected calibration error, 0 is "
        "best."
    ]
    notes += ["Last row: the prespecified cell."] if marks else []
    return Table("all_scores", "All metrics", columns, rows, notes, marks, folded=len(rows) > LONG)


def seeds(reading: Reading) -> Table:
    """Return the scores of every seed, their mean, and the components of the variance."""
    found = reading.rows("over_seeds")
    names = list(dict.fromkeys(str(name) for row in found for name in row["seeds"]))
    rows = []
    for row in found:
        scores = dict(zip(row["seeds"], row["scores"], strict=True))
        rows.append(
            {
                **row,
                **where(reading, row),
                **{f"seed_{name}": scores.get(name) for name in names},
                "min": min(row["scores"]),
                "max": max(row["scores"]),
            }
        )
    each = [Column(name, f"seed_{name}", "score", "seed") for name in names]
    heads = _heads(found)
    columns = [
        *(
            column
            for column in (place(reading) if len(rows) > 1 else [])
            if column.keys != f"factor_{reading.seed_axis}"
        ),
        *(each if len(names) <= SEVERAL else [Column("Min", "min", "score"), Column("Max", "max", "score")]),
        Column(f"Mean [{reading.interval_level}]", ("mean", "low", "high"), "interval"),
        Column("SD", "seed_sd", "score", missing=ABSENT),
        *(Column(heads[part], f"{part}_share", "percent", "share of the variance", ABSENT) for part in PARTS),
    ]
    unit = heads["unit"]
    notes = [
        "Macro-F1. SD: between seeds. Shares: of the variance of a single reported score, by two-way analysis of "
        f"variance of seeds and {unit} (pseudo-values); joint: interaction of seed and {unit}, including chance in "
        f"single clips. The interval covers variation over both seeds and {unit}."
    ]
    notes += list(dict.fromkeys(str(row["problem"]) for row in found if row.get("problem")))
    return Table("seeds", f"Scores over {len(names)} seeds", columns, rows, notes)


def repeats(reading: Reading) -> Table:
    """Return macro-F1 of every cell over repeated splits of the clips into folds."""
    rows = [{**row, **where(reading, row)} for row in reading.rows("repeats")]
    columns = [
        *(place(reading) if len(rows) > 1 else []),
        Column("Splits", "repeats", "count"),
        Column("Mean", "mean", "score"),
        Column("SD", "sd", "score"),
        Column("Min", "min", "score"),
        Column("Max", "max", "score"),
    ]
    notes = ["Macro-F1 of the pooled predictions of each split. All other tables are of the first split."]
    return Table("repeats", "Repeated splits into folds", columns, rows, notes, folded=len(rows) > LONG)


# --- figures ----------------------------------------------------------------------------------------------------------
def _panels(details: Sequence[Mapping[str, Any]], height: float, *, beside: bool) -> tuple[Figure, list[Axes]]:
    down, across = (1, len(details)) if beside else (len(details), 1)
    figure = Figure(figsize=(WIDTH, height * down), layout="constrained")
    return figure, list(figure.subplots(down, across, squeeze=False).flat)


def subjects(reading: Reading) -> Plot | None:
    """Draw the accuracy of every subject in ascending order; the area of a mark grows with the number of clips."""
    details = [detail for detail in reading.rows("detail") if len(detail.get("subjects") or []) > 1]
    if not details:
        return None
    figure, panels = _panels(details, 2.5, beside=False)
    for detail, axes in zip(details, panels, strict=True):
        rows = sorted(detail["subjects"], key=lambda row: (row["accuracy"], row["clips"], row["subject"]))
        databases = list(dict.fromkeys(str(row["subject"]).partition("/")[0] for row in detail["subjects"]))
        entries = {}
        for at, name in enumerate(databases):
            mine = [(x, row) for x, row in enumerate(rows) if str(row["subject"]).partition("/")[0] == name]
            how: dict[str, Any] = {"color": SERIES[at % len(SERIES)], "marker": MARKERS[at % len(MARKERS)]}
            sizes = [6 + 5 * row["clips"] for _, row in mine]
            axes.scatter([x for x, _ in mine], [row["accuracy"] for _, row in mine], s=sizes, alpha=0.65, **how)
            entries[short(name, 20)] = how | {"linestyle": "none", "markersize": 5}
        level = number(detail.get("accuracy"))
        if level is not None:
            axes.axhline(level, color=SOFT, linewidth=0.9, dashes=(4, 2), zorder=1)
            axes.annotate("all clips", (1.0, level), (3, 0), xycoords=("axes fraction", "data"), va="center",
                          textcoords="offset points", fontsize=6.5, color=SOFT)  # fmt: skip
        few = len(rows) <= MOST
        names = [short(str(row["subject"]).rpartition("/")[2], 10) for row in rows]
        axes.set_xticks(range(len(rows)) if few else [], names if few else [], rotation=90)
        axes.set_xlim(-0.8, len(rows) - 0.2)
        axes.set_ylim(-0.06, 1.08)
        axes.set_ylabel("accuracy")
        axes.set_xlabel("" if few else f"{len(rows)} subjects, in ascending order of accuracy")
        axes.grid(axis="y")
        axes.set_title(short(_about(reading, detail), 90))
        if len(databases) > 1:
            axes.legend(handles=legend_handles(entries), loc="lower right")
    notes = [
        "One mark per subject; its area grows with the number of clips. With few clips, accuracies of 0 and 1 arise by "
        "chance."
    ]
    return Plot("subjects", _titled(reading, "Accuracy by subject"), figure, notes)


def influence(reading: Reading) -> Plot | None:
    """Draw the change of macro-F1 without each of the most influential subjects."""
    details = [d for d in reading.rows("detail") if any(number(r.get("change")) for r in d.get("subjects") or [])]
    if not details:
        return None
    most = max(min(INFLUENTIAL, len(detail["subjects"])) for detail in details)
    figure, panels = _panels(details, 0.17 * most + 0.75, beside=True)
    notes = ["Score over the clips of all other subjects; models are not retrained."]
    for detail, axes in zip(details, panels, strict=True):
        rows = sorted(detail["subjects"], key=lambda row: (-abs(row["change"]), row["subject"]))
        for at, row in enumerate(rows[:INFLUENTIAL]):
            colour = SERIES[0] if row["change"] < 0 else SERIES[1]
            axes.plot([0, row["change"]], [at, at], color=colour, linewidth=1.3, solid_capstyle="butt")
            axes.plot([row["change"]], [at], color=colour, marker="o", markersize=4.5)
        labels = [f"{short(str(row['subject']), 18)} ({row['clips']})" for row in rows[:INFLUENTIAL]]
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(most - 0.4, -0.6)
        axes.axvline(0, color=SOFT, linewidth=0.8)
        axes.set_xlabel("change in macro-F1 without the subject")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        named = f"prespecified cell, {str(detail.get('protocol')).upper()}"
        axes.set_title({"best": "best cell", "named": short(named, 40)}.get(str(detail["role"]), ""))
        without = [row["without"] for row in rows]
        cell = f"{ROLES[detail['role']].capitalize()} cell: without" if detail["role"] else "Without"
        rest = f"; each of the other {len(rows) - INFLUENTIAL} changes it less" if len(rows) > INFLUENTIAL else ""
        notes.append(
            f"{cell} any one subject, macro-F1 is between {min(without):.3f} and {max(without):.3f} (all subjects: "
            f"{detail['macro_f1']:.3f}){rest}."
        )
    return Plot("influence", _titled(reading, "Influence of single subjects on the score"), figure, notes)


def over_seeds(reading: Reading) -> Plot | None:
    """Draw every seed's score, their mean with its interval, and the components of the variance."""
    found = [row for row in reading.rows("over_seeds") if len(row["scores"]) > 1]
    if not found or len(found) > MOST:
        return None
    heads = _heads(found)
    figure = Figure(figsize=(WIDTH, 0.24 * len(found) + 1.0), layout="constrained")
    scores, shares = figure.subplots(1, 2, sharey=True, width_ratios=[2.0, 1.0])
    for at, row in enumerate(found):
        low, high = number(row.get("low")), number(row.get("high"))
        if low is not None and high is not None:
            scores.plot([low, high], [at, at], color=INK, linewidth=1.2, solid_capstyle="butt", zorder=2)
        scores.plot(row["scores"], [at] * len(row["scores"]), color=SERIES[0], marker="o", markersize=4, alpha=0.6,
                    linestyle="none", zorder=3)  # fmt: skip
        scores.plot([row["mean"]], [at], color=INK, marker="|", markersize=11, markeredgewidth=1.6, zorder=4)
        _shares(shares, at, row)
    titles = [reading.title(row) for row in found] if len(found) > 1 else [""]
    scores.set_yticks(range(len(found)), [short(title, 48) for title in titles])
    scores.set_ylim(len(found) - 0.4, -0.6)
    scores.set_xlabel("macro-F1")
    scores.grid(axis="x")
    shares.set_xlim(0, 100)
    shares.set_xlabel("share of the variance, %")
    for axes in (scores, shares):
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    entries = {heads[part]: {"color": colour, "marker": "s", "linestyle": "none"} for part, colour in COLOURS.items()}
    figure.legend(handles=legend_handles(entries), loc="outside upper right", ncols=len(entries))
    notes = [
        f"Dots: seeds. Bar: their mean; line: its {reading.interval_level} interval over seeds and {heads['unit']}. "
        f"Right: shares of the variance of a single reported score due to the seed, to the {heads['unit']} tested, and "
        "to both jointly."
    ]
    return Plot("seeds", "Scores over seeds and components of their variance", figure, notes)


def _heads(found: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the names of the components of the variance."""
    unit = next((str(row["unit"]) for row in found if row.get("unit")), "subject")
    return {part: f"{unit}s" if part == "unit" else part for part in PARTS}


def _shares(axes: Axes, at: int, row: Mapping[str, Any]) -> None:
    left = 0.0
    if number(row.get("joint_share")) is None:
        axes.text(50, at, "no variance" if row.get("unit") else "not available", ha="center", va="center",
                  color=SOFT, style="italic")  # fmt: skip
        return
    for part, colour in COLOURS.items():
        axes.barh(at, 100 * row[f"{part}_share"], left=left, height=0.55, color=colour)
        left += 100 * row[f"{part}_share"]


def nested(reading: Reading) -> Table:
    """Return which cells were selected on validation, in how many folds, and the score of their pooled predictions."""
    found = reading.part("nested")
    rows: list[dict[str, Any]] = [
        {**row, **where(reading, row), "pooled": row["macro_f1"]} for row in found.get("chosen") or []
    ]
    notes = []
    if found:
        blank = dict.fromkeys(("sampling", "preprocessing", "validation"), ABSENT)
        blank |= {f"factor_{name}": ABSENT for name in reading.other_axes}
        pooled = {"times": found["folds"], "pooled": found["macro_f1"]}
        ends = {name: found[name] for name in ("ci_low", "ci_high")}
        rows.append({**blank, "model": "cells selected per fold, pooled", **pooled, **ends})
        notes.append(
            "In each fold, the cell with the highest macro-F1 on the fold's validation clips is selected, and its test "
            f"predictions are pooled: no test clip enters the selection. {reading.interval_note}."
        )
        if found["left_out"]:
            notes.append(f"{found['left_out']} cells have no validation clips and could not be selected.")
    columns = [
        *place(reading),
        Column("Folds", "times", "count"),
        Column("Mean validation macro-F1", "validation", "score", missing=ABSENT),
        Column(f"Test macro-F1 [{reading.interval_level}]", ("pooled", "ci_low", "ci_high"), "interval"),
    ]
    return Table(
        "nested", "Selection of the cell on validation clips", columns, rows, notes, {len(rows) - 1: "best rule"}
    )


# --- targets ----------------------------------------------------------------------------------------------------------
BLANK = ("clips", "coded", "predicted", "precision", "recall", "always")
"""Columns that a mean over units does not have."""


def target_tables(reading: Reading) -> list[Table]:
    """Return the table of auxiliary targets, such as facial action units, where a cell learns one."""
    rows = reading.rows("targets")
    if not rows:
        return []
    marks = {at: "rule" for at in range(1, len(rows)) if rows[at - 1]["unit"] == MEAN}
    last, shown = "", []
    for row in rows:
        about = {} if row["cell"] == last else {"about": row["cell"]}
        mean = dict.fromkeys(BLANK, ABSENT) if row["unit"] == MEAN else {}
        word = f"mean of {row['units']}" if row["unit"] == MEAN else row["unit"]
        shown.append({"about": "", **row, **mean, **about, "unit": word})
        last = row["cell"]
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
    notes = [
        "Units learnt in addition to the class, over the clips with any coded unit. A unit is predicted where its mean "
        "probability over a clip's views is at least 0.5. The mean is over units coded in some test clip "
        f"({ABSENT}: in none); precision is {ABSENT} where a unit is never predicted. Always: F1 of predicting the "
        "unit in every clip."
    ]
    if all(number(row.get("f1")) is None for row in rows):
        notes.append("No test clip has any of these units.")
    return [Table("targets", "Auxiliary targets", columns, shown, notes, marks)]
