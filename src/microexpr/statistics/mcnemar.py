"""Whether one classifier is right more often than another on the same clips (McNemar, 1947; exact form)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from scipy.stats import binomtest


class McNemar(NamedTuple):
    """Clips that only one of two classifiers has right, and the two-sided p-value."""

    only_a: int
    only_b: int
    p_value: float


def mcnemar(y_true: Int[np.ndarray, "n"], y_a: Int[np.ndarray, "n"], y_b: Int[np.ndarray, "n"]) -> McNemar:
    """Test predictions `y_a` against `y_b`; clips that both have right, or both wrong, tell nothing.

    Clips count as independent. Those of one person are not, so p is too small where persons differ much in how hard
    they are for one classifier alone.

    >>> mcnemar(np.zeros(6, int), np.array([0, 0, 0, 0, 0, 1]), np.array([1, 1, 1, 1, 1, 0])).p_value
    0.21875
    """
    right_a, right_b = y_a == y_true, y_b == y_true
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p_value = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return McNemar(only_a, only_b, p_value)
