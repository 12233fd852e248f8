"""Whether one classifier is right more often than another on the same clips (McNemar, 1947; exact form)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from scipy.stats import binomtest

from microexpr.core.errors import ConfigError


class McNemar(NamedTuple):
    """Clips that only one of two classifiers has right, and the two-sided p-value."""

    only_a: int
    only_b: int
    p_value: float


def mcnemar(y_true: Int[np.ndarray, "n"], y_a: Int[np.ndarray, "n"], y_b: Int[np.ndarray, "n"]) -> McNemar:
    """Test predictions `y_a` against `y_b`; clips that both have right, or both wrong, tell nothing.

    Clips count as independent. Those of one subject are not, so p is too small where subjects differ much in how hard
    they are for one classifier alone.

    >>> mcnemar(np.zeros(6, int), np.array([0, 0, 0, 0, 0, 1]), np.array([1, 1, 1, 1, 1, 0])).p_value
    0.21875
    """
    right_a, right_b = y_a == y_true, y_b == y_true
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p_value = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return McNemar(only_a, only_b, p_value)


class OddsRatio(NamedTuple):
    """How many clips one alone has right for each that the other alone has right; None where there is no bound.

    `low` is 0 where `only_a` is 0, and `high` None where `only_b` is 0.
    """

    ratio: float | None
    low: float
    high: float | None


def matched_odds_ratio(only_a: int, only_b: int, level: float = 0.95) -> OddsRatio:
    """Return `only_a` / `only_b`, the matched odds ratio, and its exact interval.

    Given their sum, `only_a` is binomial, and the interval is Clopper and Pearson's (1934) of its share p, as
    p / (1 - p). It holds 1 exactly where McNemar's exact test does not reject at 1 - `level`.

    >>> OddsRatio(*(round(value, 3) for value in matched_odds_ratio(9, 4)))
    OddsRatio(ratio=2.25, low=0.628, high=9.999)
    """
    if only_a + only_b == 0:
        raise ConfigError("E104", "no clip is right for one of the two alone, so there is no odds ratio.")
    share = binomtest(only_a, only_a + only_b).proportion_ci(level, method="exact")
    ratio = only_a / only_b if only_b else None
    return OddsRatio(
        ratio, float(share.low / (1 - share.low)), float(share.high / (1 - share.high)) if only_b else None
    )
