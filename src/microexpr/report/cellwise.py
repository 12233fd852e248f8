"""What the report tells of single cells: scores, curves and repeats of all; classes, databases and subjects of some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from microexpr.core.confusion import confusion_matrix, f1_per_class, present
from microexpr.core.errors import ConfigError
from microexpr.core.multitask import by_unit
from microexpr.evaluation.predictions import by_class, by_database, by_subject, confusion_metric, score_named
from microexpr.evaluation.statistics.influence import influence
from microexpr.report import factorial
from microexpr.report.intervals import interval
from microexpr.report.reading import Reading
from microexpr.runs.study import Cell, StudyResult

SCORES = ("uf1", "uar", "accuracy", "macro_f1_all")
DATABASE_SCORES = ("macro_f1", "uf1", "uar", "accuracy")
MEAN = "mean"
"""The row of a target that holds the mean of its units."""


def row(cell: Cell) -> dict[str, Any]:
    """Return how a cell was trained and what it scores."""
    experiment, history = cell.experiment, cell.result.history()
    classes = cell.plan.data.labels.classes
    predictions = cell.result.predictions()
    truth, guess = predictions["y_true"].to_numpy(int), predictions["y_pred"].to_numpy(int)
    confusion = confusion_matrix(truth, guess, len(classes))
    per_class = np.where(present(truth, len(classes)), f1_per_class(confusion), np.nan)
    chosen = history[history["chosen"]]
    metadata = [fold.metadata for fold in cell.result.folds]
    return {
        **_place(cell),
        "key": cell.result.key,
        "loss": "/".join(sorted({name for fact in metadata for name in str(fact["loss"]).split("/")})),
        "ensemble": experiment.training.ensemble,
        "loss_scores": _mean_scores([fact["loss_scores"] for fact in metadata]),
        **scores(cell),
        "asked": {name: score_named(name, predictions) for name in experiment.scores},
        "per_class_f1": {name: _number(value) for name, value in zip(classes, per_class, strict=True)},
        "confusion": confusion.tolist(),
        "epochs_run": int(history["epoch"].max()),
        "chosen_epoch": int(np.median([fact["epoch"] for fact in metadata])),
        "train_macro_f1": _mean(chosen, "train_score"),
        "val_macro_f1": _mean(chosen, "val_score"),
        "train_views": int(np.mean([(fold.views["part"] == "train").sum() for fold in cell.result.folds])),
        **factorial.train_size(cell),
        "seconds": float(sum(fact["seconds"] for fact in metadata)),
    }


def scores(cell: Cell) -> dict[str, Any]:
    """Return every metric over the test clips, with the interval of macro-F1."""
    predictions = cell.result.predictions()
    by_name = cell.result.scores()
    found = interval(predictions, len(cell.plan.data.labels.classes), cell.experiment.bootstrap, cell.experiment.seed)
    return {
        "macro_f1": by_name["macro_f1"],
        "ci_low": found.low,
        "ci_high": found.high,
        "interval_method": found.method,
        **{name: by_name[name] for name in SCORES},
        "scores": by_name,
        "n_test": len(predictions),
    }


def curves(cell: Cell) -> list[dict[str, Any]]:
    """Return what was measured after every epoch, by fold and loss; nothing of estimators."""
    history, found = cell.result.history(), []
    if "train_loss" not in history:
        return []
    for (fold, loss), epochs in history.groupby(["fold", "loss"], sort=False):
        taken = epochs[epochs["chosen"]]
        found.append(
            {
                **_place(cell),
                "loss": loss,
                "fold": fold,
                "epoch": epochs["epoch"].tolist(),
                **{
                    f"{part}_{name}": _column(epochs, f"{part}_{column}")
                    for part in ("train", "val")
                    for name, column in (("loss", "loss"), ("macro_f1", "score"))
                },
                "chosen_epoch": int(taken["epoch"].iloc[0]) if len(taken) else None,
                "chosen": bool(len(taken)),
            }
        )
    return found


def repeats(result: StudyResult) -> list[dict[str, Any]]:
    """Return macro-F1 of each cell over the divisions of the clips; nothing where they were divided once."""
    if len(result.cells[0].result.repeats) < 2:
        return []
    rows = []
    for cell in result.cells:
        each = cell.result.scores_by_repeat()["macro_f1"]
        told = {"repeats": len(each), "mean": float(each.mean()), "sd": float(each.std())}
        rows.append({**_place(cell), **told, "least": float(each.min()), "most": float(each.max())})
    return rows


def details(result: StudyResult, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return classes, databases and subjects of the cells that the report is about, each with its role.

    These are the one experiment (role ""); of a study the best cell, and the one named beforehand.
    """
    return [{"role": role, **_detail(cell)} for role, cell in _chosen(result, summary)]


def _chosen(result: StudyResult, summary: Mapping[str, Any]) -> Iterator[tuple[str, Cell]]:
    reading = Reading(summary, {})
    best_cell = reading.best_cell
    best = next((cell for cell in result.cells if best_cell and cell.result.key == best_cell["key"]), None)
    if best is not None:
        yield "" if reading.alone else "best", best
    if result.named is not None and (best is None or result.named.result.key != best.result.key):
        yield "named", result.named


def _place(cell: Cell) -> dict[str, Any]:
    experiment = cell.experiment
    return {
        "preprocessing": experiment.preprocessing.label,
        "sampling": experiment.sampling.label,
        "model": experiment.model.label,
        "factors": dict(cell.factors),
    }


def _detail(cell: Cell) -> dict[str, Any]:
    predictions, classes = cell.result.predictions(), cell.plan.data.labels.classes
    databases = by_database(predictions, DATABASE_SCORES)
    subjects, problem = _subjects(predictions, classes)
    return {
        **_place(cell),
        "protocol": cell.experiment.protocol.label,
        "macro_f1": cell.result.scores()["macro_f1"],
        "accuracy": cell.result.scores()["accuracy"],
        "classes": _plain(by_class(predictions, classes)),
        "databases": _plain(databases) if len(databases) > 1 else [],
        "subjects": subjects,
        "problem": problem,
    }


def _subjects(predictions: pd.DataFrame, classes: tuple[str, ...]) -> tuple[list[dict[str, Any]], str | None]:
    """Return every subject's clips, and macro-F1 without each; or why there is no such score."""
    rows = _plain(by_subject(predictions))
    y_true = predictions["y_true"].to_numpy(int)
    metric = confusion_metric("macro_f1")
    try:
        found = influence(
            metric,
            y_true,
            predictions["y_pred"].to_numpy(int),
            predictions["subject"].to_numpy(),
            num_classes=len(classes),
            averaged_classes=present(y_true, len(classes)),
        )
    except ConfigError as error:
        return rows, str(error)
    without = {
        left.subject: {"without": left.score, "change": left.change, "lost": [classes[number] for number in left.lost]}
        for left in found
    }
    return [row | without[row["subject"]] for row in rows], None


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table; what is not a number is None."""
    rows = table.to_dict("records")
    return [{str(name): None if value != value else value for name, value in row.items()} for row in rows]


def target_rows(result: StudyResult) -> list[dict[str, Any]]:
    """Return one row a unit of every cell that learns a target, pooled over its test clips, and the mean F1 of each."""
    rows: list[dict[str, Any]] = []
    for cell in result.cells:
        if not cell.experiment.target:
            continue
        views = pd.concat([fold.views for fold in cell.result.folds], ignore_index=True)
        found = by_unit(views[views["part"] == "test"])
        label = " · ".join(cell.factors.values()) or cell.experiment.model.label
        for target, units in found.groupby("target", sort=False):
            about = {"cell": label, "target": str(target)}
            rows += [about | unit for unit in _plain(units)]
            known = units["f1"].dropna()
            mean = float(known.mean()) if len(known) else None
            rows.append(about | {"unit": MEAN, "units": len(known), "f1": mean})
    return rows


def _mean_scores(folds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([fold[name] for fold in folds])) for name in (folds[0] if folds else {})}


def _mean(table: pd.DataFrame, column: str) -> float | None:
    return _number(table[column].mean()) if column in table and len(table) else None


def _column(table: pd.DataFrame, column: str) -> list[float | None]:
    return [_number(value) for value in table[column]] if column in table else []


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
