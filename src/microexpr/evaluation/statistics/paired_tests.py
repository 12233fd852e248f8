"""Tests of accuracy for two classifiers on the same clips: McNemar (1947) by clip, Wilcoxon (1945) by subject."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.stats import binomtest, wilcoxon

from microexpr.core.errors import ConfigError


class McNemar(NamedTuple):
    """Number of clips that only one of two classifiers has right, and the two-sided p-value."""

    only_a: int
    only_b: int
    p_value: float


class OddsRatio(NamedTuple):
    """Matched odds ratio: clips that only the first has right per clip that only the second has right.

    `ratio` and `high` are None if `only_b` is 0; `low` is 0 if `only_a` is 0.
    """

    ratio: float | None
    low: float
    high: float | None


class SignedRank(NamedTuple):
    """Smaller sum of ranks, two-sided p-value, number of subjects ranked, and number dropped as they do not differ.

    Statistic and p-value are None if no subject is left.
    """

    statistic: float | None
    p_value: float | None
    subjects: int
    dropped: int


def mcnemar(y_true: Int[np.ndarray, "n"], y_a: Int[np.ndarray, "n"], y_b: Int[np.ndarray, "n"]) -> McNemar:
    """Run McNemar's exact test of `y_a` against `y_b`; clips that both have right, or both wrong, do not count.

    Clips are assumed to be independent. Those of one subject are not, so p is too small if subjects differ much in how
    difficult they are for one classifier only.

    >>> mcnemar(np.zeros(6, int), np.array([0, 0, 0, 0, 0, 1]), np.array([1, 1, 1, 1, 1, 0])).p_value
    0.21875
    """
    right_a, right_b = y_a == y_true, y_b == y_true
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p_value = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return McNemar(only_a, only_b, p_value)


def matched_odds_ratio(only_a: int, only_b: int, level: float = 0.95) -> OddsRatio:
    """Return `only_a` / `only_b`, the matched odds ratio, and its exact interval.

    Given their sum, `only_a` is binomial. The interval is that of Clopper and Pearson (1934) for its share p, as
    p / (1 - p). It contains 1 exactly if McNemar's exact test does not reject at 1 - `level`.

    >>> OddsRatio(*(round(value, 3) for value in matched_odds_ratio(9, 4)))
    OddsRatio(ratio=2.25, low=0.628, high=9.999)
    """
    if only_a + only_b == 0:
        raise ConfigError("E807", "no clip is predicted correctly by only one of the two, so there is no odds ratio.")
    share = binomtest(only_a, only_a + only_b).proportion_ci(level, method="exact")
    ratio = only_a / only_b if only_b else None
    return OddsRatio(
        ratio, float(share.low / (1 - share.low)), float(share.high / (1 - share.high)) if only_b else None
    )


def accuracy_by_subject(
    y_true: Int[np.ndarray, "n"], y_pred: Int[np.ndarray, "n"], subjects: Shaped[np.ndarray, "n"]
) -> Float[np.ndarray, "p"]:
    """Return the accuracy of each subject, in the order of their sorted names."""
    _, number = np.unique(subjects, return_inverse=True)
    return np.bincount(number, weights=y_pred == y_true) / np.bincount(number)


def signed_rank(
    y_true: Int[np.ndarray, "n"],
    y_a: Int[np.ndarray, "n"],
    y_b: Int[np.ndarray, "n"],
    subjects: Shaped[np.ndarray, "n"],
) -> SignedRank:
    """Run Wilcoxon's signed-rank test on the subjects' accuracies of `y_a` and `y_b`.

    Every subject counts once, whether with one clip or with thirty. Accuracy is compared because F1 over classes is not
    defined for a subject who lacks some classes. Subjects without a difference are dropped. The p-value is exact for up
    to 50 subjects (13 if differences are tied) and approximate above that.

    >>> y_true, subjects = np.zeros(8, int), np.repeat(list("abcd"), 2)
    >>> signed_rank(y_true, y_true, np.array([0, 0, 0, 1, 0, 1, 1, 1]), subjects)
    SignedRank(statistic=0.0, p_value=0.25, subjects=3, dropped=1)
    """
    first, second = (accuracy_by_subject(y_true, predictions, subjects) for predictions in (y_a, y_b))
    # Rounded so that 2/3 - 1/3 and 1/3 - 0 tie, as they should.
    differences = np.round(first - second, 12)
    kept = differences[differences != 0]
    dropped = int(differences.size - kept.size)
    if kept.size == 0:
        return SignedRank(None, None, 0, dropped)
    found = wilcoxon(kept)
    return SignedRank(float(found.statistic), float(found.pvalue), int(kept.size), dropped)
