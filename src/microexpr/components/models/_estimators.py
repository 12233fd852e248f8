"""What scikit-learn classifiers share: the check of training rows, probabilities from scores, predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import softmax

from microexpr.core.errors import TrainingError


def need_two_classes(y: Int[np.ndarray, "n"], name: str) -> None:
    """Raise TrainingError if the training rows are all of one class."""
    if len(np.unique(y)) < 2:
        raise TrainingError(
            "E702",
            f"{name} needs two classes in the training rows, but these have one. Choose another protocol or label set.",
        )


def confidence(scores: Float[np.ndarray, "n *k"]) -> Float[np.ndarray, "n k"]:
    """Return the softmax of a decision function (uncalibrated); two classes may have a single score per row."""
    return np.asarray(softmax(np.stack([-scores, scores], 1) if scores.ndim == 1 else scores, axis=1))


def most_probable_class(self: Any, X: Float[np.ndarray, "n d"]) -> Int[np.ndarray, "n"]:
    """Return the class of largest `predict_proba` for each row: the method ``predict`` of our classifiers."""
    return np.asarray(self.classes_[self.predict_proba(X).argmax(1)])
