"""Scores of class predictions, each computed from a confusion matrix.

Predictions of several folds are pooled before scoring; scores of folds are never averaged. `of_confusion` scores
many matrices at once, for intervals and tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from microexpr.confusion import (
    confusion_matrix,
    f1_per_class,
    mean_over,
    present,
    recall_per_class,
)
from microexpr.contracts import ConfusionMetric, metrics

__all__ = [
    "Accuracy",
    "MacroF1",
    "MacroF1All",
    "UnweightedAverageRecall",
    "UnweightedF1",
    "confusion_matrix",
    "f1_per_class",
    "present",
    "recall_per_class",
]


def _score_labels(
    self: ConfusionMetric,
    y_true: Int[np.ndarray, "n"],
    y_pred: Int[np.ndarray, "n"],
    proba: Float[np.ndarray, "n k"],
    over: Bool[np.ndarray, "k"],
) -> float:
    return float(self.of_confusion(confusion_matrix(y_true, y_pred, over.size), over))


@metrics.register("macro_f1")
@dataclass(frozen=True)
class MacroF1:
    """Mean of the classes' F1, range 0..1 (the paper's score: "classes present in the test set", section II.C).

    A class of `over` that a resample loses keeps its place and counts 0, so every resample averages the same classes.

    >>> y_true, y_pred = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    >>> round(MacroF1()(y_true, y_pred, np.eye(3)[y_pred], present(y_true, 3)), 4)
    0.7333
    """

    absent_classes: ClassVar[str] = (
        "mean over the classes with a true clip in the test set; a class that a resample loses counts 0"
    )

    def of_confusion(
        self, confusion: Num[np.ndarray, "*batch k k"], over: Bool[np.ndarray, "k"]
    ) -> Float[np.ndarray, "*batch"]:
        """Score confusion matrices."""
        return mean_over(f1_per_class(confusion), over)

    __call__ = _score_labels


@metrics.register("macro_f1_all")
@dataclass(frozen=True)
class MacroF1All:
    """Mean F1 over every class of the label set, range 0..1; a class without a true clip counts 0.

    >>> y_true, y_pred = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    >>> round(MacroF1All()(y_true, y_pred, np.eye(3)[y_pred], present(y_true, 3)), 4)
    0.4889
    """

    absent_classes: ClassVar[str] = "mean over all classes of the label set; a class without a true clip counts 0"

    def of_confusion(
        self, confusion: Num[np.ndarray, "*batch k k"], over: Bool[np.ndarray, "k"]
    ) -> Float[np.ndarray, "*batch"]:
        """Score confusion matrices."""
        return mean_over(f1_per_class(confusion), np.ones_like(over))

    __call__ = _score_labels


@metrics.register("uf1")
@dataclass(frozen=True)
class UnweightedF1:
    """UF1, range 0..1 (See et al., MEGC 2019): mean over the classes of 2 TP / (2 TP + FP + FN), summed over all folds.

    It is `macro_f1` of the pooled predictions, under the name that the challenge gave it. C counts the classes that
    occur in the pooled truth; in the challenge that is every class.

    >>> y_true, y_pred = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 2])
    >>> round(UnweightedF1()(y_true, y_pred, np.eye(3)[y_pred], present(y_true, 3)), 4)
    0.8222
    """

    absent_classes: ClassVar[str] = (
        "mean over the classes with a true clip in all folds together; a class that a resample loses counts 0"
    )

    def of_confusion(
        self, confusion: Num[np.ndarray, "*batch k k"], over: Bool[np.ndarray, "k"]
    ) -> Float[np.ndarray, "*batch"]:
        """Score confusion matrices."""
        return mean_over(f1_per_class(confusion), over)

    __call__ = _score_labels


@metrics.register("uar")
@dataclass(frozen=True)
class UnweightedAverageRecall:
    """UAR, range 0..1 (See et al., MEGC 2019): mean of TP_c / N_c over the classes, also balanced accuracy.

    A resample that loses a class has no recall for it: the mean is taken over the others. Counting 0 would state a
    failure that nobody saw, and pull the interval down by about exp(-N_c) of that class (37 % where N_c is 1).

    >>> y_true, y_pred = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    >>> UnweightedAverageRecall()(y_true, y_pred, np.eye(3)[y_pred], present(y_true, 3))
    0.75
    """

    absent_classes: ClassVar[str] = (
        "mean over the classes with a true clip; a resample that loses a class averages over the others"
    )

    def of_confusion(
        self, confusion: Num[np.ndarray, "*batch k k"], over: Bool[np.ndarray, "k"]
    ) -> Float[np.ndarray, "*batch"]:
        """Score confusion matrices."""
        return mean_over(recall_per_class(confusion), over & (confusion.sum(-1) > 0))

    __call__ = _score_labels


@metrics.register("accuracy")
@dataclass(frozen=True)
class Accuracy:
    """Share of clips whose class is right, range 0..1; always guessing the largest class already scores its share.

    >>> y_true, y_pred = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    >>> Accuracy()(y_true, y_pred, np.eye(2)[y_pred], present(y_true, 2))
    0.75
    """

    absent_classes: ClassVar[str] = "every clip counts once; a class without a true clip plays no part"

    def of_confusion(
        self, confusion: Num[np.ndarray, "*batch k k"], over: Bool[np.ndarray, "k"]
    ) -> Float[np.ndarray, "*batch"]:
        """Score confusion matrices."""
        hits = np.trace(confusion, axis1=-2, axis2=-1)
        return np.asarray(hits / confusion.sum((-1, -2)))

    __call__ = _score_labels
