"""What the report tells of single cells: classes, databases and persons of some, repeats of all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from microexpr.confusion import present
from microexpr.errors import ConfigError
from microexpr.multitask import by_unit
from microexpr.predictions import by_class, by_database, by_person, confusion_metric
from microexpr.report.reading import Reading
from microexpr.statistics.influence import influence
from microexpr.study import Cell, StudyResult

DATABASE_SCORES = ("macro_f1", "uf1", "uar", "accuracy")
MEAN = "mean"
"""The row of a target that holds the mean of its units."""


def repeats(result: StudyResult) -> list[dict[str, Any]]:
    """Return macro-F1 of each cell over the divisions of the clips; nothing where they were divided once."""
    if len(result.cells[0].result.repeats) < 2:
        return []
    rows = []
    for cell in result.cells:
        scores = cell.result.scores_by_repeat()["macro_f1"]
        told = {"repeats": len(scores), "mean": float(scores.mean()), "sd": float(scores.std())}
        rows.append({**_place(cell), **told, "least": float(scores.min()), "most": float(scores.max())})
    return rows


def details(result: StudyResult, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return classes, databases and persons of the cells that the report is about, each with its role.

    These are the one experiment (role ""); of a study the best cell, and the one named beforehand.
    """
    return [{"role": role, **_detail(cell)} for role, cell in _chosen(result, summary)]


def _chosen(result: StudyResult, summary: Mapping[str, Any]) -> Iterator[tuple[str, Cell]]:
    reading = Reading(summary, {})
    champion = reading.champion
    best = next((cell for cell in result.cells if champion and cell.result.key == champion["key"]), None)
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
    persons, problem = _persons(predictions, classes)
    return {
        **_place(cell),
        "protocol": cell.experiment.protocol.label,
        "macro_f1": cell.result.scores()["macro_f1"],
        "accuracy": cell.result.scores()["accuracy"],
        "classes": _plain(by_class(predictions, classes)),
        "databases": _plain(databases) if len(databases) > 1 else [],
        "persons": persons,
        "problem": problem,
    }


def _persons(predictions: pd.DataFrame, classes: tuple[str, ...]) -> tuple[list[dict[str, Any]], str | None]:
    """Return every person's clips, and macro-F1 without each; or why there is no such score."""
    rows = _plain(by_person(predictions))
    y_true = predictions["y_true"].to_numpy(int)
    metric = confusion_metric("macro_f1")
    try:
        found = influence(
            metric,
            y_true,
            predictions["y_pred"].to_numpy(int),
            predictions["person"].to_numpy(),
            k=len(classes),
            over=present(y_true, len(classes)),
        )
    except ConfigError as error:
        return rows, str(error)
    without = {
        left.person: {"without": left.score, "change": left.change, "lost": [classes[number] for number in left.lost]}
        for left in found
    }
    return [row | without[row["person"]] for row in rows], None


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
