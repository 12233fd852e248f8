"""Calibration: whether predicted probabilities match observed frequencies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field

from microexpr.core.interfaces import metrics


@metrics.register("expected_calibration_error")
@dataclass(frozen=True)
class ExpectedCalibrationError:
    """ECE, range 0..1, 0 is best: mean over the clips of |accuracy - confidence| of their confidence bin.

    Confidence is the probability of the predicted class; it is sorted into `bins` bins of equal width, closed on the
    right, the first also on the left. The default of 15 bins follows Guo et al. (On Calibration of Modern Neural
    Networks, 2017); Naeini et al. (2015), who introduced the error, used 10. With few clips per bin it is too high even
    for well-calibrated probabilities, so compare it only between models on the same clips and bins.

    >>> proba = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.8, 0.2]])
    >>> y_true, averaged_classes = np.array([0, 0, 1, 1]), np.array([True, True])
    >>> round(ExpectedCalibrationError(bins=2)(y_true, proba.argmax(1), proba, averaged_classes), 4)
    0.075
    """

    bins: Annotated[int, Field(ge=1)] = 15

    title: ClassVar[str] = "expected calibration error"
    absent_classes: ClassVar[str] = "every clip counts once; a class without a true clip does not count"
    higher_is_better: ClassVar[bool] = False

    def __call__(
        self,
        y_true: Int[np.ndarray, "n"],
        y_pred: Int[np.ndarray, "n"],
        proba: Float[np.ndarray, "n k"],
        averaged_classes: Bool[np.ndarray, "k"],
    ) -> float:
        confidence = proba[np.arange(y_true.size), y_pred]
        hits = y_true == y_pred
        order = np.lexsort((hits, confidence))  # so that rounding does not depend on the order of the clips
        gap = (hits - confidence)[order]
        bin_ = np.searchsorted(np.linspace(0, 1, self.bins + 1)[1:-1], confidence[order])
        return float(np.abs(np.bincount(bin_, gap)).sum() / y_true.size)
