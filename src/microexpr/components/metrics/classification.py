"""Classification scores, each computed from a confusion matrix (rows: true class).

Predictions of several folds are pooled before scoring; only `predictions.mean_of_folds` averages the scores of folds.
`of_confusion` scores many matrices at once, for intervals and tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from microexpr.core.confusion import (
    confusion_matrix,
    f1_per_class,
    mean_over,
    precision_per_class,
    present,
    recall_per_class,
)
from microexpr.core.interfaces import metrics

__all__ = [
    "Accuracy",
    "MacroF1",
    "MacroF1All",
    "MacroPrecision",
    "MacroRecall",
    "UnweightedAverageRecall",
    "UnweightedF1",
    "WeightedF1",
    "confusion_matrix",
    "f1_per_class",
    "present",
    "recall_per_class",
]


def _from(rule: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the methods `of_confusion` and `__call__` of a score.

    `rule` takes confusion matrices and the averaged classes.
    """

    def of_confusion(
        self: object, confusion: Num[np.ndarray, "*batch k k"], averaged_classes: Bool[np.ndarray, "k"]
    ) -> Float[np.ndarray, "*batch"]:
        """Score confusion matrices (rows: true class)."""
        return np.asarray(rule(confusion, averaged_classes))

    def call(
        self: object,
        y_true: Int[np.ndarray, "n"],
        y_pred: Int[np.ndarray, "n"],
        proba: Float[np.ndarray, "n k"],
        averaged_classes: Bool[np.ndarray, "k"],
    ) -> float:
        """Score class numbers; `proba` is not used."""
        return float(rule(confusion_matrix(y_true, y_pred, averaged_classes.size), averaged_classes))

    return of_confusion, call


def _macro_f1(confusion: np.ndarray, averaged_classes: np.ndarray) -> np.ndarray:
    return mean_over(f1_per_class(confusion), averaged_classes)


def _macro_f1_all(confusion: np.ndarray, averaged_classes: np.ndarray) -> np.ndarray:
    return mean_over(f1_per_class(confusion), np.ones_like(averaged_classes))


def _weighted_f1(confusion: np.ndarray, averaged_classes: np.ndarray) -> np.ndarray:
    support = np.where(averaged_classes, confusion.sum(-1), 0)
    clips = support.sum(-1)
    mean = np.full(clips.shape, np.nan)
    np.divide((support * f1_per_class(confusion)).sum(-1), clips, out=mean, where=clips > 0)
    return mean


def _macro_precision(confusion: np.ndarray, averaged_classes: np.ndarray) -> np.ndarray:
    return mean_over(np.nan_to_num(precision_per_class(confusion)), averaged_classes)


def _macro_recall(confusion: np.ndarray, averaged_classes: np.ndarray) -> np.ndarray:
    return mean_over(np.nan_to_num(recall_per_class(confusion)), averaged_classes)


def _average_recall(confusion: np.ndarray, averaged_classes: np.ndarray) -> np.ndarray:
    return mean_over(recall_per_class(confusion), averaged_classes & (confusion.sum(-1) > 0))


def _accuracy(confusion: np.ndarray, averaged_classes: np.ndarray) -> np.ndarray:
    return np.asarray(np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum((-1, -2)))


@metrics.register("macro_f1")
@dataclass(frozen=True)
class MacroF1:
    """Mean of the F1 of the classes in the test set, range 0..1.

    The paper's score ("classes present in the test set", section II.C). A class of `averaged_classes` that a resample
    loses counts 0, so every resample averages the same classes.

    >>> y_true, y_pred = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    >>> round(MacroF1()(y_true, y_pred, np.eye(3)[y_pred], present(y_true, 3)), 4)
    0.7333
    """

    title: ClassVar[str] = "macro-F1"
    absent_classes: ClassVar[str] = (
        "mean over the classes with a true clip in the test set; a class that a resample loses counts 0"
    )
    higher_is_better: ClassVar[bool] = True
    of_confusion, __call__ = _from(_macro_f1)


@metrics.register("macro_f1_all")
@dataclass(frozen=True)
class MacroF1All:
    """Mean F1 over every class of the label set, range 0..1; a class without a true clip counts 0.

    >>> y_true, y_pred = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    >>> round(MacroF1All()(y_true, y_pred, np.eye(3)[y_pred], present(y_true, 3)), 4)
    0.4889
    """

    title: ClassVar[str] = "macro-F1 over all classes"
    absent_classes: ClassVar[str] = "mean over all classes of the label set; a class without a true clip counts 0"
    higher_is_better: ClassVar[bool] = True
    of_confusion, __call__ = _from(_macro_f1_all)


@metrics.register("uf1")
@dataclass(frozen=True)
class UnweightedF1:
    """UF1, range 0..1 (See et al., MEGC 2019): mean over the classes of 2 TP / (2 TP + FP + FN), summed over all folds.

    It is `macro_f1` of the pooled predictions, under the name used by the challenge. The mean is over the classes that
    occur among the pooled true labels; in the challenge these are all classes.

    >>> y_true, y_pred = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 2])
    >>> round(UnweightedF1()(y_true, y_pred, np.eye(3)[y_pred], present(y_true, 3)), 4)
    0.8222
    """

    title: ClassVar[str] = "UF1"
    absent_classes: ClassVar[str] = (
        "mean over the classes with a true clip in all folds together; a class that a resample loses counts 0"
    )
    higher_is_better: ClassVar[bool] = True
    of_confusion, __call__ = _from(_macro_f1)


@metrics.register("weighted_f1")
@dataclass(frozen=True)
class WeightedF1:
    """Weighted F1, range 0..1: sum over the classes of N_c F1_c / N, so each class is weighted by its true clips.

    The largest class dominates it: on CASME II, "others" alone has 39 % of the weight.

    >>> y_true, y_pred = np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])
    >>> round(WeightedF1()(y_true, y_pred, np.eye(2)[y_pred], present(y_true, 2)), 4)
    0.6429
    """

    title: ClassVar[str] = "weighted F1"
    absent_classes: ClassVar[str] = (
        "a class without a true clip has no weight, and neither has a class that a resample loses"
    )
    higher_is_better: ClassVar[bool] = True
    of_confusion, __call__ = _from(_weighted_f1)


@metrics.register("macro_precision")
@dataclass(frozen=True)
class MacroPrecision:
    """Mean over the classes of TP / (TP + FP), range 0..1; a class that is never predicted counts 0.

    >>> y_true, y_pred = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    >>> round(MacroPrecision()(y_true, y_pred, np.eye(3)[y_pred], present(y_true, 3)), 4)
    0.8333
    """

    title: ClassVar[str] = "macro precision"
    absent_classes: ClassVar[str] = (
        "mean over the classes with a true clip; one that is never predicted, or that a resample loses, counts 0"
    )
    higher_is_better: ClassVar[bool] = True
    of_confusion, __call__ = _from(_macro_precision)


@metrics.register("macro_recall")
@dataclass(frozen=True)
class MacroRecall:
    """Mean over the classes of TP / (TP + FN), range 0..1: UAR, but a class that a resample loses counts 0.

    It treats lost classes in the same way as `macro_f1` and `macro_precision`, so the three are comparable.

    >>> y_true, y_pred = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    >>> MacroRecall()(y_true, y_pred, np.eye(3)[y_pred], present(y_true, 3))
    0.75
    """

    title: ClassVar[str] = "macro recall"
    absent_classes: ClassVar[str] = "mean over the classes with a true clip; a class that a resample loses counts 0"
    higher_is_better: ClassVar[bool] = True
    of_confusion, __call__ = _from(_macro_recall)


@metrics.register("uar")
@dataclass(frozen=True)
class UnweightedAverageRecall:
    """UAR, range 0..1 (See et al., MEGC 2019): mean of TP_c / N_c over the classes, also balanced accuracy.

    A resample that loses a class has no recall for it, so the mean is over the others. Counting 0 would report a
    failure that was not observed, and lower the interval by about exp(-N_c) of that class (37 % if N_c is 1).

    >>> y_true, y_pred = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    >>> UnweightedAverageRecall()(y_true, y_pred, np.eye(3)[y_pred], present(y_true, 3))
    0.75
    """

    title: ClassVar[str] = "UAR"
    absent_classes: ClassVar[str] = (
        "mean over the classes with a true clip; a resample that loses a class averages over the others"
    )
    higher_is_better: ClassVar[bool] = True
    of_confusion, __call__ = _from(_average_recall)


@metrics.register("accuracy")
@dataclass(frozen=True)
class Accuracy:
    """Share of clips predicted correctly, range 0..1; always predicting the largest class already scores its share.

    >>> y_true, y_pred = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    >>> Accuracy()(y_true, y_pred, np.eye(2)[y_pred], present(y_true, 2))
    0.75
    """

    title: ClassVar[str] = "accuracy"
    absent_classes: ClassVar[str] = "every clip counts once; a class without a true clip does not count"
    higher_is_better: ClassVar[bool] = True
    of_confusion, __call__ = _from(_accuracy)
