"""Several tests at once: p-values that hold the chance of a single false claim (Holm, 1979)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return adjusted p-values: the m-th smallest of n times (n - m + 1), never below a smaller one's, at most 1.

    Claiming what stays at most 0.05 makes any false claim with probability at most 0.05, however the tests depend on
    each other. A test without a p-value stays without one, and does not count.

    >>> [round(p, 6) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    given = [at for at, p in enumerate(p_values) if p is not None]
    values = np.array([p_values[at] for at in given], float)
    order = np.argsort(values, kind="stable")
    steps = values[order] * (values.size - np.arange(values.size))
    adjusted: list[float | None] = [None] * len(p_values)
    for at, value in zip(order, np.minimum(np.maximum.accumulate(steps), 1), strict=True):
        adjusted[given[at]] = float(value)
    return tuple(adjusted)
