"""Several tests at once: p-values corrected by Holm (1979), and what is significant after the correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """A difference that was tested, alone or as one of a family of comparisons."""

    p_value: float
    """p-value of the paired permutation test."""
    p_holm: float | None = None
    """The p-value corrected for all comparisons of the family; None for a comparison that is not part of one."""
    family: int = 1
    """Number of comparisons in the family."""
    level: float
    """Level of the interval, 0.95 for instance; a difference is significant if p is at most 1 - `level`."""

    @property
    def significant(self) -> bool:
        """Whether the difference is significant, after correction if there is a family."""
        p_value = self.p_value if self.p_holm is None else self.p_holm
        return p_value <= 1 - self.level + 1e-12


T = TypeVar("T", bound=Tested)


def with_family(found: Sequence[T]) -> tuple[T, ...]:
    """Return the comparisons with p-values corrected for all of them (Holm)."""
    corrected = holm([each.p_value for each in found])
    return tuple(replace(each, p_holm=p, family=len(found)) for each, p in zip(found, corrected, strict=True))


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return corrected p-values: the m-th smallest of n times (n - m + 1), at least that of any smaller one, at most 1.

    Rejecting where the corrected value is at most 0.05 keeps the probability of any false rejection at 0.05 or less,
    whatever the dependence between the tests. A missing p-value (None) remains None and does not count.

    >>> [round(p, 6) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    given = [at for at, p in enumerate(p_values) if p is not None]
    values = np.array([p_values[at] for at in given], float)
    order = np.argsort(values, kind="stable")
    steps = values[order] * (values.size - np.arange(values.size))
    corrected: list[float | None] = [None] * len(p_values)
    for at, value in zip(order, np.minimum(np.maximum.accumulate(steps), 1), strict=True):
        corrected[given[at]] = float(value)
    return tuple(corrected)
