"""Measures of agreement: Cohen's kappa, intraclass correlations, overlap of intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy.optimize import linear_sum_assignment
from scipy.stats import f as fisher
from sklearn.metrics import cohen_kappa_score

from microexpr.core.confusion import kappa


def overlap(
    first: Float[np.ndarray, "n 2"], second: Float[np.ndarray, "m 2"], *, frames: bool
) -> Float[np.ndarray, "n m"]:
    """Return intersection over union of intervals; in frames both ends belong to an interval.

    >>> overlap(np.array([[1.0, 10.0]]), np.array([[6.0, 15.0]]), frames=True).round(3)
    array([[0.333]])
    """
    end = 1.0 if frames else 0.0
    shared = np.minimum(first[:, None, 1], second[None, :, 1]) - np.maximum(first[:, None, 0], second[None, :, 0]) + end
    lengths = first[:, None, 1] - first[:, None, 0] + second[None, :, 1] - second[None, :, 0] + 2 * end
    shared = np.clip(shared, 0, None)
    union = lengths - shared
    return np.asarray(np.divide(shared, union, out=np.zeros(shared.shape), where=union > 0))


def matched(iou: Float[np.ndarray, "n m"], threshold: float) -> list[tuple[int, int]]:
    """Return pairs that overlap by `threshold` or more: as many as possible, then those with the best overlap.

    >>> matched(np.array([[0.6, 0.9], [0.0, 0.7]]), 0.5)
    [(0, 0), (1, 1)]
    """
    enough = iou >= threshold - 1e-12
    # One more pair outweighs any gain in overlap.
    rows, places = linear_sum_assignment(np.where(enough, 1 + iou / (1 + min(iou.shape)), 0), maximize=True)
    return [(int(r), int(p)) for r, p in zip(rows, places, strict=True) if enough[r, p]]


def spotting_scores(tp: int, fp: int, fn: int) -> dict[str, float | None]:
    """Return precision, recall and F1 = 2 TP / (2 TP + FP + FN) of counts summed over all videos (MEGC 2019).

    >>> round(spotting_scores(18, 327, 39)["f1"], 4)
    0.0896
    """
    return {
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn) if tp + fn else None,
        "f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
    }


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa, (p_o - p_e) / (1 - p_e), range -1..1 (Cohen, 1960), of confusion matrices.

    A matrix with a single class has no kappa; in resamples it counts 0, no agreement beyond chance.

    >>> round(float(Kappa().of_confusion(np.array([[20, 5], [10, 15]]), np.array([True, True]))), 3)
    0.4
    """

    title: ClassVar[str] = "Cohen's kappa"
    absent_classes: ClassVar[str] = "a class that neither coder uses does not count; a single class counts 0"
    higher_is_better: ClassVar[bool] = True

    def of_confusion(
        self, confusion: Num[np.ndarray, "*batch k k"], averaged_classes: Bool[np.ndarray, "k"]
    ) -> Float[np.ndarray, "*batch"]:
        """Score confusion matrices."""
        return np.asarray(np.nan_to_num(kappa(confusion)))

    def __call__(
        self,
        y_true: Int[np.ndarray, "n"],
        y_pred: Int[np.ndarray, "n"],
        proba: Float[np.ndarray, "n k"],
        averaged_classes: Bool[np.ndarray, "k"],
    ) -> float:
        """Score labels."""
        return float(cohen_kappa_score(y_true, y_pred))


@dataclass(frozen=True, slots=True)
class IntraclassCorrelation:
    """An intraclass correlation with its 95 % interval."""

    value: float
    low: float
    high: float


def intraclass(
    ratings: Float[np.ndarray, "n k"], level: float = 0.95
) -> tuple[IntraclassCorrelation, IntraclassCorrelation] | None:
    """Return ICC(2,1), absolute agreement, and ICC(3,1), consistency, of n targets rated by the same k raters.

    Shrout & Fleiss (1979); with MSR, MSC and MSE the mean squares of targets, raters and residuals,
    ICC(2,1) = (MSR - MSE) / (MSR + (k - 1) MSE + k (MSC - MSE) / n) and ICC(3,1) = (MSR - MSE) / (MSR + (k - 1) MSE);
    intervals of McGraw & Wong (1996), which assume that targets are independent. None if the targets do not
    differ, or there are fewer than two.

    >>> ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    >>> [round(icc.value, 2) for icc in intraclass(np.array(ratings, dtype=float))]
    [0.29, 0.71]
    """
    n, k = ratings.shape
    if n < 2 or k < 2 or np.ptp(ratings) == 0:
        return None
    mean = ratings.mean()
    rows, raters = ratings.mean(1), ratings.mean(0)
    msr = k * ((rows - mean) ** 2).sum() / (n - 1)
    msc = n * ((raters - mean) ** 2).sum() / (k - 1)
    rest = ratings - rows[:, None] - raters + mean
    mse = (rest**2).sum() / ((n - 1) * (k - 1))
    if mse <= 1e-12 * max(msr, msc):  # raters who differ by a constant, or not at all
        mse = 0.0
    scale = 1e-12 * (msr + msc + mse)
    if msr + mse <= scale or msr + (k - 1) * mse + k * (msc - mse) / n <= scale:
        return None
    return _absolute(msr, msc, mse, n, k, level), _consistent(msr, mse, n, k, level)


def _absolute(msr: float, msc: float, mse: float, n: int, k: int, level: float) -> IntraclassCorrelation:
    value = (msr - mse) / (msr + (k - 1) * mse + k * (msc - mse) / n)
    if mse == 0 and msc == 0:
        return IntraclassCorrelation(1.0, 1.0, 1.0)
    a, b = k * value / (n * (1 - value)), 1 + k * value * (n - 1) / (n * (1 - value))
    below = (a * msc) ** 2 / (k - 1) + (b * mse) ** 2 / ((n - 1) * (k - 1))
    v = max((a * msc + b * mse) ** 2 / below, 1e-9) if below > 0 else 1e-9
    half = (1 + level) / 2
    up, down = fisher.ppf(half, n - 1, v), fisher.ppf(half, v, n - 1)
    spread = k * msc + (k * n - k - n) * mse
    low = n * (msr - up * mse) / (up * spread + n * msr) if np.isfinite(up) else float("nan")
    high = n * (down * msr - mse) / (spread + n * down * msr) if np.isfinite(down) else 1.0
    return IntraclassCorrelation(float(value), float(low), float(high))


def _consistent(msr: float, mse: float, n: int, k: int, level: float) -> IntraclassCorrelation:
    if mse == 0:
        return IntraclassCorrelation(1.0, 1.0, 1.0)
    value = (msr - mse) / (msr + (k - 1) * mse)
    half, ratio = (1 + level) / 2, msr / mse
    low = ratio / fisher.ppf(half, n - 1, (n - 1) * (k - 1))
    high = ratio * fisher.ppf(half, (n - 1) * (k - 1), n - 1)
    return IntraclassCorrelation(float(value), float((low - 1) / (low + k - 1)), float((high - 1) / (high + k - 1)))
