"""Single cells in the summary: scores, curves and repeats of all; classes, databases and subjects of some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from microexpr.config.scores import MAIN
from microexpr.config.settings import Bootstrap
from microexpr.core import interfaces
from microexpr.core.confusion import confusion_matrix, f1_per_class, present
from microexpr.core.errors import ConfigError
from microexpr.core.multitask import by_unit
from microexpr.core.randomness import rng_for
from microexpr.evaluation.predictions import by_class, by_database, by_subject, confusion_metric, score, score_named
from microexpr.evaluation.statistics.bootstrap import METHODS as INTERVALS
from microexpr.evaluation.statistics.bootstrap import BootstrapInterval, Method, bootstrap
from microexpr.evaluation.statistics.influence import influence
from microexpr.evaluation.statistics.permutation import QUANTILE, PermutationNull, permutation_null
from microexpr.report.summary import (
    MEAN,
    ClassRow,
    DatabaseRow,
    Detail,
    Intervals,
    LearningCurve,
    Nested,
    Repeats,
    Selected,
    StudySummary,
    SubjectRow,
    TargetRow,
)
from microexpr.report.summary import Cell as CellRow
from microexpr.report.summary.data import protocol
from microexpr.report.view import StudyView
from microexpr.runs.plan import Plan
from microexpr.runs.study import Cell, StudyResult

PERMUTATIONS = 1_999
"""Permutations of the labels, where the study does not set their number."""


def metric_of(result: StudyResult) -> str:
    """Return the score that decides in a study."""
    return result.cells[0].experiment.training.select


def cell_row(cell: Cell, metric: str) -> CellRow:
    """Return how a cell was trained, and its scores."""
    experiment, history = cell.experiment, cell.result.history()
    classes = cell.plan.data.labels.classes
    predictions = cell.result.predictions()
    truth = predictions["y_true"].to_numpy(int)
    counts, found = confusion(cell), cell_interval(cell, metric)
    per_class = np.where(present(truth, len(classes)), f1_per_class(np.array(counts)), np.nan)
    chosen = history[history["chosen"]]
    metadata = [fold.metadata for fold in cell.result.folds]
    return CellRow(
        **place(cell),
        **scores(cell, metric, found),
        key=cell.result.key,
        interval_method=found.method,
        loss="/".join(sorted({name for fact in metadata for name in str(fact["loss"]).split("/")})),
        ensemble=experiment.training.ensemble,
        loss_scores=_mean_scores([fact["loss_scores"] for fact in metadata]),
        requested_scores={name: _number(score_named(name, predictions)) for name in experiment.scores},
        per_class_f1={name: _number(value) for name, value in zip(classes, per_class, strict=True)},
        confusion=counts,
        epochs_run=int(history["epoch"].max()),
        chosen_epoch=int(np.median([fact["epoch"] for fact in metadata])),
        train_score=_mean(chosen, "train_score"),
        val_score=_mean(chosen, "val_score"),
        train_views=int(np.mean([(fold.views["part"] == "train").sum() for fold in cell.result.folds])),
        **train_size(cell),
        seconds=float(sum(fact["seconds"] for fact in metadata)),
    )


def place(cell: Cell) -> dict[str, Any]:
    """Return the fields of `Place`."""
    experiment = cell.experiment
    return {
        "preprocessing": experiment.preprocessing.label,
        "sampling": experiment.sampling.label,
        "model": experiment.model.label,
        "factors": dict(cell.factors),
    }


def train_size(cell: Cell) -> dict[str, float]:
    """Return how many clips and subjects the folds of a cell were trained on, on average."""
    trained = [fold.views.loc[fold.views["part"] == "train", ["clip", "subject"]] for fold in cell.result.folds]
    return {
        "train_clips": float(np.mean([rows["clip"].nunique() for rows in trained])),
        "train_subjects": float(np.mean([rows["subject"].nunique() for rows in trained])),
    }


def confusion(cell: Cell) -> list[list[int]]:
    """Return the confusion matrix over the test clips."""
    predictions = cell.result.predictions()
    y_true, y_pred = (predictions[name].to_numpy(int) for name in ("y_true", "y_pred"))
    counts: list[list[int]] = confusion_matrix(y_true, y_pred, len(cell.plan.data.labels.classes)).tolist()
    return counts


def scores(cell: Cell, metric: str, found: BootstrapInterval) -> dict[str, Any]:
    """Return the fields of `Scored`: all metrics over the test clips, and the interval of the study's."""
    by_name = cell.result.scores()
    return {
        "score": by_name[metric],
        "ci_low": found.low,
        "ci_high": found.high,
        "macro_f1": by_name["macro_f1"],
        "scores": {name: _number(value) for name, value in by_name.items()},
        "n_test": len(cell.result.predictions()),
    }


def permuted(plan: Plan, predictions: pd.DataFrame, metric: str, n: int, role: str) -> dict[str, Any]:
    """Return the fields of `Permutations` for these predictions; `role` names the random numbers."""
    y_true, k = predictions["y_true"].to_numpy(int), len(plan.data.labels.classes)
    null = permutation_null(
        interfaces.metrics.build(metric, {}),
        y_true,
        predictions["y_pred"].to_numpy(int),
        num_classes=k,
        averaged_classes=present(y_true, k),
        n=n,
        rng=rng_for(plan.experiment.seed, role),
        subjects=predictions["subject"].to_numpy(),
    )
    return permutations(null)


def permutations(null: PermutationNull) -> dict[str, Any]:
    """Return the fields of `Permutations`."""
    return {
        "permutation_level": null.level,
        "permutation_quantile": QUANTILE,
        "permutation_mean": null.mean,
        "p_value": null.p_value,
        "permutations": null.n,
    }


def curves(cell: Cell) -> list[LearningCurve]:
    """Return losses and scores after every epoch, by fold and loss; empty for estimators."""
    history, found = cell.result.history(), []
    if "train_loss" not in history:
        return []
    for (fold, loss), epochs in history.groupby(["fold", "loss"], sort=False):
        taken = epochs[epochs["chosen"]]
        found.append(
            LearningCurve(
                **place(cell),
                loss=str(loss),
                fold=str(fold),
                epoch=epochs["epoch"].tolist(),
                train_loss=_column(epochs, "train_loss"),
                val_loss=_column(epochs, "val_loss"),
                train_score=_column(epochs, "train_score"),
                val_score=_column(epochs, "val_score"),
                chosen_epoch=int(taken["epoch"].iloc[0]) if len(taken) else None,
                chosen=bool(len(taken)),
            )
        )
    return found


def repeats(result: StudyResult, metric: str) -> list[Repeats]:
    """Return the score of each cell over repeated splits of the clips; empty where there is one split."""
    if len(result.cells[0].result.repeats) < 2:
        return []
    rows = []
    for cell in result.cells:
        each = cell.result.scores_by_repeat()[metric]
        moments = {"mean": float(each.mean()), "sd": float(each.std())}
        rows.append(Repeats(**place(cell), repeats=len(each), **moments, min=float(each.min()), max=float(each.max())))
    return rows


# --- cells in detail --------------------------------------------------------------------------------------------------
def details(result: StudyResult, summary: StudySummary) -> list[Detail]:
    """Return classes, databases and subjects of the cells that the report describes, each with its role.

    For a single experiment its only cell (role ""); for a study the best cell and the prespecified one ("named").
    """
    return [_detail(cell, role, result, summary.metric) for role, cell in _chosen(result, summary)]


def _chosen(result: StudyResult, summary: StudySummary) -> Iterator[tuple[Literal["", "best", "named"], Cell]]:
    view = StudyView(summary)
    best_cell = view.best_cell
    best = next((cell for cell in result.cells if best_cell and cell.result.key == best_cell.key), None)
    if best is not None:
        yield "" if view.single_experiment else "best", best
    if result.named is not None and (best is None or result.named.result.key != best.result.key):
        yield "named", result.named


def _detail(cell: Cell, role: Literal["", "best", "named"], result: StudyResult, metric: str) -> Detail:
    settings = result.study.named_cell
    predictions, classes = cell.result.predictions(), cell.plan.data.labels.classes
    names = tuple(dict.fromkeys((metric, *MAIN)))
    databases = _plain(by_database(predictions, names))
    subjects, problem = _subjects(predictions, classes, metric)
    by_name = cell.result.scores()
    return Detail(
        **place(cell),
        role=role,
        title=settings.title if settings and role == "named" else "",
        protocol=protocol(cell.plan).title,
        score=by_name[metric],
        accuracy=by_name["accuracy"],
        classes=[ClassRow(**row) for row in _plain(by_class(predictions, classes).rename(columns={"class": "name"}))],
        databases=[
            DatabaseRow(**{name: row[name] for name in row if name not in names}, scores={n: row[n] for n in names})
            for row in (databases if len(databases) > 1 else [])
        ],
        subjects=subjects,
        problem=problem,
    )


def _subjects(predictions: pd.DataFrame, classes: Sequence[str], metric: str) -> tuple[list[SubjectRow], str | None]:
    """Return every subject's results, with the score without the subject or the reason why that is undefined."""
    rows = _plain(by_subject(predictions))
    y_true = predictions["y_true"].to_numpy(int)
    try:
        found = influence(
            confusion_metric(metric),
            y_true,
            predictions["y_pred"].to_numpy(int),
            predictions["subject"].to_numpy(),
            num_classes=len(classes),
            averaged_classes=present(y_true, len(classes)),
        )
    except ConfigError as error:
        return [SubjectRow(**row) for row in rows], str(error)
    without = {
        left.subject: {"without": left.score, "change": left.change, "lost": [classes[number] for number in left.lost]}
        for left in found
    }
    return [SubjectRow(**row, **without[row["subject"]]) for row in rows], None


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table; NaN becomes None."""
    rows = table.to_dict("records")
    return [{str(name): None if value != value else value for name, value in row.items()} for row in rows]


def target_rows(result: StudyResult) -> list[TargetRow]:
    """Return one row per unit of every cell with an auxiliary target, pooled over test clips, and their mean F1."""
    rows: list[TargetRow] = []
    for cell in result.cells:
        if not cell.experiment.target:
            continue
        views = pd.concat([fold.views for fold in cell.result.folds], ignore_index=True)
        found = by_unit(views[views["part"] == "test"])
        label = " · ".join(cell.factors.values()) or cell.experiment.model.label
        for target, units in found.groupby("target", sort=False):
            rows += [TargetRow(cell=label, **unit) for unit in _plain(units)]
            known = units["f1"].dropna()
            mean = float(known.mean()) if len(known) else None
            rows.append(TargetRow(cell=label, target=str(target), unit=MEAN, units=len(known), f1=mean))
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


def cell_interval(cell: Cell, metric: str) -> BootstrapInterval:
    """Return the score of a cell's test predictions with its interval."""
    return interval(
        cell.result.predictions(),
        len(cell.plan.data.labels.classes),
        cell.experiment.bootstrap,
        cell.experiment.seed,
        metric,
    )


def interval(predictions: pd.DataFrame, k: int, settings: Bootstrap, seed: int, metric: str) -> BootstrapInterval:
    """Return the score of clip predictions with its interval; where BCa is undefined, by the method `INSTEAD`."""
    try:
        return _interval(predictions, k, settings, seed, metric, settings.method)
    except ConfigError:
        if settings.method != "bca":
            raise
        return _interval(predictions, k, settings, seed, metric, INSTEAD)


def _interval(
    predictions: pd.DataFrame, k: int, settings: Bootstrap, seed: int, metric: str, method: Method
) -> BootstrapInterval:
    y_true = predictions["y_true"].to_numpy(int)
    return bootstrap(
        interfaces.metrics.build(metric, {}),
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


def stated(settings: Bootstrap, used: set[str]) -> Intervals:
    """Return the settings of the intervals with the display names of the methods; `used` are the methods applied."""
    return Intervals(
        n=settings.n,
        unit=settings.unit,
        level=settings.level,
        method=words(settings.method, stratified=settings.stratified),
        instead=INTERVALS[INSTEAD] if used - {settings.method} else None,
    )


def words(method: Method, *, stratified: bool = False) -> str:
    """Return the display name of a method.

    >>> words("bca", stratified=True)
    'stratified BCa bootstrap'
    """
    return f"stratified {INTERVALS[method]}" if stratified else INTERVALS[method]


# --- choice of a cell on validation -----------------------------------------------------------------------------------
def nested(result: StudyResult, metric: str) -> Nested | None:
    """Select a cell in each fold by its score on validation clips, and score the pooled test predictions.

    Only networks have validation clips. None where fewer than two cells have them, where cells have different ones, or
    differ in their seed only; of ties the first in the order of the grid is selected.
    """
    if len({cell.experiment.with_values({"seed": 0}).key() for cell in result.cells}) < 2:
        return None
    cells = [cell for cell in result.cells if all((fold.views["part"] == "val").any() for fold in cell.result.folds)]
    if len(cells) < 2 or len({_validation_clips(cell) for cell in cells}) > 1:
        return None
    built = interfaces.metrics.build(metric, {})
    validation = pd.DataFrame(
        {
            at: cell.result.predictions("val").groupby("fold", sort=True).apply(lambda rows: score(built, rows))
            for at, cell in enumerate(cells)
        }
    )
    chosen = validation.idxmax(axis=1)
    tested = [cell.result.predictions() for cell in cells]
    pooled = pd.concat([tested[at][tested[at]["fold"] == fold] for fold, at in chosen.items()], ignore_index=True)
    first, counts = cells[0], Counter(chosen)
    k, settings = len(first.plan.data.labels.classes), first.experiment.bootstrap
    found = interval(pooled, k, settings, first.experiment.seed, metric)
    named = {name: score(interfaces.metrics.build(name, {}), pooled) for name in (metric, *MAIN)}
    return Nested(
        folds=len(chosen),
        cells=len(cells),
        left_out=len(result.cells) - len(cells),
        score=named[metric],
        macro_f1=named["macro_f1"],
        scores=named,
        ci_low=found.low,
        ci_high=found.high,
        **permuted(first.plan, pooled, metric, PERMUTATIONS, "nested"),
        n_test=len(pooled),
        chosen=[
            Selected(
                **place(cells[at]),
                times=times,
                validation=float(validation[at].mean()),
                score=cells[at].result.scores()[metric],
            )
            for at, times in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        ],
    )


def _validation_clips(cell: Cell) -> tuple[tuple[str, frozenset[str]], ...]:
    """Return the validation clips of each fold."""
    return tuple(
        (fold.name, frozenset(fold.views.loc[fold.views["part"] == "val", "clip"])) for fold in cell.result.folds
    )
