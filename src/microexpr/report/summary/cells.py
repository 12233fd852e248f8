"""Single cells in the summary: scores, curves and repeats of all; classes, databases and subjects of some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from microexpr.config.settings import Bootstrap
from microexpr.config.study import COMPARED
from microexpr.core import interfaces
from microexpr.core.confusion import confusion_matrix, f1_per_class, present
from microexpr.core.errors import ConfigError
from microexpr.core.multitask import by_unit
from microexpr.core.randomness import rng_for
from microexpr.evaluation.predictions import by_class, by_database, by_subject, confusion_metric, score, score_named
from microexpr.evaluation.statistics.bootstrap import METHODS, BootstrapInterval, Method, bootstrap
from microexpr.evaluation.statistics.influence import influence
from microexpr.report.reading import MEAN, Reading
from microexpr.runs.study import Cell, StudyResult

SCORES = ("uf1", "uar", "accuracy", "macro_f1_all")
MAIN_SCORES = ("macro_f1", "uf1", "uar", "accuracy")


def row(cell: Cell) -> dict[str, Any]:
    """Return how a cell was trained, and its scores."""
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
        "requested_scores": {name: score_named(name, predictions) for name in experiment.scores},
        "per_class_f1": {name: _number(value) for name, value in zip(classes, per_class, strict=True)},
        "confusion": confusion.tolist(),
        "epochs_run": int(history["epoch"].max()),
        "chosen_epoch": int(np.median([fact["epoch"] for fact in metadata])),
        "train_macro_f1": _mean(chosen, "train_score"),
        "val_macro_f1": _mean(chosen, "val_score"),
        "train_views": int(np.mean([(fold.views["part"] == "train").sum() for fold in cell.result.folds])),
        **train_size(cell),
        "seconds": float(sum(fact["seconds"] for fact in metadata)),
    }


def train_size(cell: Cell) -> dict[str, float]:
    """Return how many clips and subjects the folds of a cell were trained on, on average."""
    trained = [fold.views.loc[fold.views["part"] == "train", ["clip", "subject"]] for fold in cell.result.folds]
    return {
        "train_clips": float(np.mean([rows["clip"].nunique() for rows in trained])),
        "train_subjects": float(np.mean([rows["subject"].nunique() for rows in trained])),
    }


def scores(cell: Cell) -> dict[str, Any]:
    """Return all metrics over the test clips, with the interval of macro-F1."""
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
    """Return losses and scores after every epoch, by fold and loss; empty for estimators."""
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
    """Return macro-F1 of each cell over repeated splits of the clips; empty where there is one split."""
    if len(result.cells[0].result.repeats) < 2:
        return []
    rows = []
    for cell in result.cells:
        each = cell.result.scores_by_repeat()["macro_f1"]
        moments = {"repeats": len(each), "mean": float(each.mean()), "sd": float(each.std())}
        rows.append({**_place(cell), **moments, "min": float(each.min()), "max": float(each.max())})
    return rows


def details(result: StudyResult, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return classes, databases and subjects of the cells that the report describes, each with its role.

    For a single experiment its only cell (role ""); for a study the best cell and the prespecified one ("named").
    """
    return [{"role": role, **_detail(cell)} for role, cell in _chosen(result, summary)]


def _chosen(result: StudyResult, summary: Mapping[str, Any]) -> Iterator[tuple[str, Cell]]:
    reading = Reading(summary, {})
    best_cell = reading.best_cell
    best = next((cell for cell in result.cells if best_cell and cell.result.key == best_cell["key"]), None)
    if best is not None:
        yield "" if reading.single_experiment else "best", best
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
    databases = by_database(predictions, MAIN_SCORES)
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
    """Return every subject's results, with macro-F1 without the subject or the reason why that is undefined."""
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
    """Return the rows of a table; NaN becomes None."""
    rows = table.to_dict("records")
    return [{str(name): None if value != value else value for name, value in row.items()} for row in rows]


def target_rows(result: StudyResult) -> list[dict[str, Any]]:
    """Return one row per unit of every cell with an auxiliary target, pooled over test clips, and their mean F1."""
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


# --- intervals --------------------------------------------------------------------------------------------------------
INSTEAD: Method = "expanded"
"""Method used where a BCa interval is undefined: all resamples on one side of the score, or one clip decides."""


def interval(predictions: pd.DataFrame, k: int, settings: Bootstrap, seed: int) -> BootstrapInterval:
    """Return macro-F1 of clip predictions with its interval; where BCa is undefined, by the method `INSTEAD`."""
    try:
        return _interval(predictions, k, settings, seed, settings.method)
    except ConfigError:
        if settings.method != "bca":
            raise
        return _interval(predictions, k, settings, seed, INSTEAD)


def _interval(predictions: pd.DataFrame, k: int, settings: Bootstrap, seed: int, method: Method) -> BootstrapInterval:
    y_true = predictions["y_true"].to_numpy(int)
    return bootstrap(
        interfaces.metrics.build("macro_f1", {}),
        y_true,
        predictions["y_pred"].to_numpy(int),
        num_classes=k,
        averaged_classes=present(y_true, k),
        rng=rng_for(seed, "bootstrap"),
        n=settings.n,
        level=settings.level,
        subjects=predictions["subject"].to_numpy() if settings.unit == "subject" else None,
        method=method,
        stratified=settings.stratified,
    )


def stated(settings: Bootstrap, used: set[Method]) -> dict[str, Any]:
    """Return the settings of the intervals with the display names of the methods; `used` are the methods applied."""
    return {
        **settings.model_dump(),
        "method": words(settings.method, stratified=settings.stratified),
        "instead": METHODS[INSTEAD] if used - {settings.method} else None,
    }


def words(method: Method, *, stratified: bool = False) -> str:
    """Return the display name of a method.

    >>> words("bca", stratified=True)
    'stratified BCa bootstrap'
    """
    return f"stratified {METHODS[method]}" if stratified else METHODS[method]


# --- choice of a cell on validation -----------------------------------------------------------------------------------


def nested(result: StudyResult) -> dict[str, Any] | None:
    """Select a cell in each fold by macro-F1 on validation clips, and score the pooled test predictions.

    Only networks have validation clips. None where fewer than two cells have them, or where cells have different ones;
    of ties the first in the order of the grid is selected.
    """
    cells = [cell for cell in result.cells if all((fold.views["part"] == "val").any() for fold in cell.result.folds)]
    if len(cells) < 2 or len({_validation_clips(cell) for cell in cells}) > 1:
        return None
    metric = interfaces.metrics.build("macro_f1", {})
    validation = pd.DataFrame(
        {
            at: cell.result.predictions("val").groupby("fold", sort=True).apply(lambda rows: score(metric, rows))
            for at, cell in enumerate(cells)
        }
    )
    chosen = validation.idxmax(axis=1)
    tested = [cell.result.predictions() for cell in cells]
    pooled = pd.concat([tested[at][tested[at]["fold"] == fold] for fold, at in chosen.items()], ignore_index=True)
    first, counts = cells[0], Counter(chosen)
    found = interval(pooled, len(first.plan.data.labels.classes), first.experiment.bootstrap, first.experiment.seed)
    return {
        "folds": len(chosen),
        "cells": len(cells),
        "left_out": len(result.cells) - len(cells),
        **{name: score(interfaces.metrics.build(name, {}), pooled) for name in MAIN_SCORES},
        "ci_low": found.low,
        "ci_high": found.high,
        "n_test": len(pooled),
        "chosen": [
            {
                **{part: getattr(cells[at].experiment, part).label for part in COMPARED},
                "factors": dict(cells[at].factors),
                "times": times,
                "validation": float(validation[at].mean()),
                "macro_f1": cells[at].result.scores()["macro_f1"],
            }
            for at, times in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        ],
    }


def _validation_clips(cell: Cell) -> tuple[tuple[str, frozenset[str]], ...]:
    """Return the validation clips of each fold."""
    return tuple(
        (fold.name, frozenset(fold.views.loc[fold.views["part"] == "val", "clip"])) for fold in cell.result.folds
    )
