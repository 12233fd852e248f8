"""Whether one classifier does better than another on most people (Wilcoxon, 1945)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.stats import wilcoxon


class SignedRank(NamedTuple):
    """The smaller sum of ranks, the two-sided p-value, subjects ranked, and subjects dropped as they differ by nothing.

    Statistic and p-value are None where nobody is left.
    """

    statistic: float | None
    p_value: float | None
    subjects: int
    dropped: int


def accuracy_by_subject(
    y_true: Int[np.ndarray, "n"], y_pred: Int[np.ndarray, "n"], subjects: Shaped[np.ndarray, "n"]
) -> Float[np.ndarray, "p"]:
    """Return the share of right clips of each subject, in the order of their sorted names."""
    _, number = np.unique(subjects, return_inverse=True)
    return np.bincount(number, weights=y_pred == y_true) / np.bincount(number)


def signed_rank(
    y_true: Int[np.ndarray, "n"],
    y_a: Int[np.ndarray, "n"],
    y_b: Int[np.ndarray, "n"],
    subjects: Shaped[np.ndarray, "n"],
) -> SignedRank:
    """Rank the subjects by how much the accuracies of `y_a` and `y_b` differ, and test the signs of the ranks.

    Every subject counts once, whoever showed one clip as whoever showed thirty. Accuracy is compared, since F1 over
    classes is not defined for a subject who lacks some. Subjects without a difference are dropped. The p-value is exact
    up to 50 subjects, or 13 where differences are tied, and approximate above.

    >>> y_true, subjects = np.zeros(8, int), np.repeat(list("abcd"), 2)
    >>> signed_rank(y_true, y_true, np.array([0, 0, 0, 1, 0, 1, 1, 1]), subjects)
    SignedRank(statistic=0.0, p_value=0.25, subjects=3, dropped=1)
    """
    first, second = (accuracy_by_subject(y_true, guess, subjects) for guess in (y_a, y_b))
    # Rounded, so that 2/3 - 1/3 and 1/3 - 0 are the tie that they are.
    differences = np.round(first - second, 12)
    kept = differences[differences != 0]
    dropped = int(differences.size - kept.size)
    if kept.size == 0:
        return SignedRank(None, None, 0, dropped)
    found = wilcoxon(kept)
    return SignedRank(float(found.statistic), float(found.pvalue), int(kept.size), dropped)
