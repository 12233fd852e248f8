"""Confusion matrices (rows: true class, columns: predicted class), and scores computed from them class by class.

Everything is vectorised over leading dimensions, so ten thousand resamples take one call.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Num


def confusion_matrix(
    y_true: Int[np.ndarray, "n"], y_pred: Int[np.ndarray, "n"], num_classes: int
) -> Int[np.ndarray, "{num_classes} {num_classes}"]:
    """Count clips by true class (row) and predicted class (column).

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    for labels in (y_true, y_pred):
        # A label out of range would be counted in another class's cell.
        if labels.size and not (labels.min() >= 0 and labels.max() < num_classes):
            raise ValueError(f"class numbers must be in 0..{num_classes - 1}, found {labels.min()}..{labels.max()}")
    return np.bincount(y_true.astype(np.int64) * num_classes + y_pred, minlength=num_classes * num_classes).reshape(
        num_classes, num_classes
    )


def present(y_true: Int[np.ndarray, "n"], num_classes: int) -> Bool[np.ndarray, "{num_classes}"]:
    """Return which classes have a true clip: the usual `averaged_classes` of a metric.

    >>> present(np.array([0, 2, 2]), 4)
    array([ True, False,  True, False])
    """
    return np.bincount(y_true, minlength=num_classes) > 0


def f1_per_class(confusion: Num[np.ndarray, "*batch k k"]) -> Float[np.ndarray, "*batch k"]:
    """F1 of each class, 2 TP / (2 TP + FP + FN); 0 for a class that is neither true nor predicted.

    >>> f1_per_class(np.array([[1, 1, 0], [0, 2, 0], [0, 0, 0]])).round(3)
    array([0.667, 0.8  , 0.   ])
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    marked = confusion.sum(-1) + confusion.sum(-2)
    f1 = np.zeros(marked.shape)
    np.divide(2.0 * hits, marked, out=f1, where=marked > 0)
    return f1


def recall_per_class(confusion: Num[np.ndarray, "*batch k k"]) -> Float[np.ndarray, "*batch k"]:
    """Recall of each class, TP / (TP + FN); nan for a class without a true clip.

    >>> recall_per_class(np.array([[1, 1, 0], [0, 2, 0], [0, 0, 0]]))
    array([0.5, 1. , nan])
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    true = confusion.sum(-1)
    recall = np.full(true.shape, np.nan)
    np.divide(hits, true, out=recall, where=true > 0)
    return recall


def precision_per_class(confusion: Num[np.ndarray, "*batch k k"]) -> Float[np.ndarray, "*batch k"]:
    """Precision of each class, TP / (TP + FP); nan for a class that is never predicted.

    >>> precision_per_class(np.array([[1, 1, 0], [0, 2, 0], [0, 0, 0]])).round(3)
    array([1.   , 0.667,   nan])
    """
    return recall_per_class(np.swapaxes(confusion, -2, -1))


def kappa(confusion: Num[np.ndarray, "*batch k k"]) -> Float[np.ndarray, "*batch"]:
    """Cohen's kappa, (p_o - p_e) / (1 - p_e); nan if there is one class only, so that no disagreement is possible.

    >>> float(kappa(np.array([[20, 5], [10, 15]])).round(3))
    0.4
    """
    total = confusion.sum((-1, -2))
    agreed = np.trace(confusion, axis1=-2, axis2=-1) / total
    chance = (confusion.sum(-1) * confusion.sum(-2)).sum(-1) / total**2
    beyond = np.full(np.shape(agreed), np.nan)
    np.divide(agreed - chance, 1 - chance, out=beyond, where=chance < 1)
    return beyond


def mean_over(
    values: Float[np.ndarray, "*batch k"], averaged_classes: Bool[np.ndarray, "#*batch k"]
) -> Float[np.ndarray, "*batch"]:
    """Average over `averaged_classes`; nan if there are none."""
    total = np.where(averaged_classes, values, 0.0).sum(-1)
    classes = np.broadcast_to(averaged_classes, values.shape).sum(-1)
    mean = np.full(classes.shape, np.nan)
    np.divide(total, classes, out=mean, where=classes > 0)
    return mean
