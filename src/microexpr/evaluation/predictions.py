"""From the predictions of views to those of clips, and their scores: pooled, by class, by database, by subject.

Predictions of all folds are pooled and scored once. The mean of the folds' scores is a different quantity; it is
computed only if requested by its name, `mean_of_folds`, and comes with a caveat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from microexpr.config.scores import MAIN, metric_of
from microexpr.config.scores import confusion_metric as confusion_metric
from microexpr.core import interfaces
from microexpr.core.confusion import confusion_matrix, f1_per_class, precision_per_class, present, recall_per_class
from microexpr.core.errors import ConfigError
from microexpr.core.words import capitalised, many


def one_view_each(clips: pd.Series | Int[np.ndarray, "n"], vote: interfaces.Vote) -> bool:
    """Return whether a view's prediction is its clip's: no clip has two views, and the vote learns nothing."""
    return pd.Index(clips).is_unique and not isinstance(vote, interfaces.TrainableVote)


def voted(views: pd.DataFrame, vote: interfaces.Vote, num_classes: int) -> pd.DataFrame:
    """Combine the views of each clip by the vote: one row per clip (clip, subject, y_true, y_pred, p_0 .. p_(k-1))."""
    columns = [f"p_{number}" for number in range(num_classes)]
    if one_view_each(views["clip"], vote):
        table = views[["clip", "subject", "y_true", *columns]].reset_index(drop=True)
        table.insert(3, "y_pred", table[columns].to_numpy().argmax(axis=1))
        return table
    rows = []
    for clip, group in views.groupby("clip", sort=False):
        label, proba = vote(group[["frames", *columns]])
        first = group.iloc[0]
        rows.append((clip, first["subject"], int(first["y_true"]), label, *proba))
    return pd.DataFrame(rows, columns=["clip", "subject", "y_true", "y_pred", *columns])


def fitted(vote: interfaces.Vote, views: pd.DataFrame) -> interfaces.Vote:
    """Return the vote for the test views of a fold, fitted to its other views if the vote has something to learn."""
    if not isinstance(vote, interfaces.TrainableVote):
        return vote
    val = views[views["part"] == "val"]
    return vote.fit(val if len(val) else views[views["part"] == "train"])


def score(
    metric: interfaces.Metric, predictions: pd.DataFrame, averaged_classes: Bool[np.ndarray, "k"] | None = None
) -> float:
    """Score voted predictions over the classes that have a true clip (or over `averaged_classes`)."""
    proba = predictions.filter(regex=r"^p_\d+$").to_numpy(float)
    y_true, y_pred = (predictions[name].to_numpy(int) for name in ("y_true", "y_pred"))
    return score_arrays(metric, y_true, y_pred, proba, averaged_classes)


def score_arrays(
    metric: interfaces.Metric,
    y_true: Int[np.ndarray, "n"],
    y_pred: Int[np.ndarray, "n"],
    proba: Float[np.ndarray, "n k"],
    averaged_classes: Bool[np.ndarray, "k"] | None = None,
) -> float:
    """Score arrays of clips as `score` does."""
    averaged_classes = np.isin(np.arange(proba.shape[1]), y_true) if averaged_classes is None else averaged_classes
    return metric(y_true, y_pred, proba, averaged_classes)


def score_named(name: str, predictions: pd.DataFrame) -> float:
    """Score by a metric's name, ``uf1``, or by the mean of its folds' scores, ``mean_of_folds(uf1)``."""
    metric, averaged = metric_of(name)
    if averaged:
        return mean_of_folds(metric, predictions).score
    return score(interfaces.metrics.build(metric, {}), predictions)


class FoldMean(NamedTuple):
    """A mean of the folds' scores; `absent_classes` says how it treats absent classes and is printed with it."""

    score: float
    folds: int
    incomplete: int
    """Number of folds without a clip of some class that other folds test."""
    absent_classes: str

    @property
    def caveat(self) -> str:
        """Return the caveat for the top of a report that contains this score."""
        lacking = (
            f" {self.incomplete} of the folds have no clip of some class that others test." if self.incomplete else ""
        )
        return (
            f"Scores are means over {many(self.folds, 'fold')}, not scores of the pooled predictions.{lacking} "
            f"{capitalised(self.absent_classes)}. They cannot be compared with pooled scores."
        )


def mean_of_folds(metric: str, predictions: pd.DataFrame) -> FoldMean:
    """Score each fold separately and return the unweighted mean; needs the column `fold`.

    A fold of one subject has few classes, so its score averages few F1 values, often one; a fold with two clips counts
    as much as one with forty. Published scores use it without saying so; it is here so that they can be recognised.
    """
    if "fold" not in predictions:
        raise ConfigError("E812", "mean_of_folds needs the column fold, which these predictions lack.")
    built = interfaces.metrics.build(metric, {})
    scores = [score(built, fold) for _, fold in predictions.groupby("fold", sort=True)]
    classes = predictions.groupby("fold")["y_true"].nunique()
    return FoldMean(
        float(np.mean(scores)),
        len(scores),
        int((classes < predictions["y_true"].nunique()).sum()),
        "each fold's score is a mean over the classes with a true clip in that fold, and small folds count as much as "
        "large ones",
    )


def by_class(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return one row per class: support (true clips), predicted clips, precision, recall and F1.

    Precision is nan for a class that is never predicted; recall and F1 are nan for a class without a true clip.
    """
    num_classes = len(classes)
    y_true = predictions["y_true"].to_numpy(int)
    confusion = confusion_matrix(y_true, predictions["y_pred"].to_numpy(int), num_classes)
    return pd.DataFrame(
        {
            "class": list(classes),
            "support": confusion.sum(1),
            "predicted": confusion.sum(0),
            "precision": precision_per_class(confusion),
            "recall": recall_per_class(confusion),
            "f1": np.where(present(y_true, num_classes), f1_per_class(confusion), np.nan),
        }
    )


def by_database(predictions: pd.DataFrame, metrics: Sequence[str] = MAIN) -> pd.DataFrame:
    """Return one row per database: clips, subjects, classes with a true clip in it, and scores over those classes.

    A clip's database is the first part of its key. Databases may lack classes, so their scores may average different
    classes.
    """
    database = predictions["clip"].str.split("/", n=1).str[0].rename("database")
    built = {name: interfaces.metrics.build(name, {}) for name in metrics}
    return pd.DataFrame(
        {
            "database": name,
            "clips": len(rows),
            "subjects": rows["subject"].nunique(),
            "classes": rows["y_true"].nunique(),
            **{metric: score(each, rows) for metric, each in built.items()},
        }
        for name, rows in predictions.groupby(database)
    )


def by_subject(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return one row per subject: clips, classes with a true clip, correct clips, accuracy.

    There is no F1: it is undefined for classes that a subject lacks, and hardly any subject has all classes.
    """
    right = predictions["y_true"] == predictions["y_pred"]
    groups = predictions.assign(right=right).groupby("subject", sort=True)
    table = groups.agg(clips=("clip", "size"), classes=("y_true", "nunique"), right=("right", "sum")).reset_index()
    return table.assign(accuracy=table["right"] / table["clips"])
