"""A difference of two scores on the same clips: its interval, its p-value, and the smallest detectable difference.

Used by `comparison` (two experiments) and by `methods` (methods with several seeds, groups of methods).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Shaped

from microexpr.core.interfaces import ConfusionMetric
from microexpr.evaluation.statistics.bootstrap import BootstrapInterval, Method, Resamples, resample_sums
from microexpr.evaluation.statistics.paired_permutation import PairedPermutation, paired_permutation
from microexpr.evaluation.statistics.power import POWER, Precision, detectable, precision


class PairedDifference(NamedTuple):
    """The mean score of one side minus that of the other, as resampled and as tested."""

    resamples: Resamples
    interval: BootstrapInterval
    """Its `point` is the difference."""
    test: PairedPermutation
    precision: Precision
    detectable: float | None
    """The smallest difference that such a test set detects with the requested power; None if it cannot be stated."""


def paired_difference(
    metric: ConfusionMetric,
    y_true: Int[np.ndarray, "n"],
    first: Sequence[Int[np.ndarray, "n"]],
    second: Sequence[Int[np.ndarray, "n"]],
    *,
    num_classes: int,
    averaged_classes: Bool[np.ndarray, "k"],
    subjects: Shaped[np.ndarray, "n"] | None,
    rng: np.random.Generator,
    n: int = 10_000,
    permutations: int = 9_999,
    pairs: Sequence[tuple[int, int]] = ((0, 0),),
    method: Method = "expanded",
    level: float = 0.95,
    power: float = POWER,
) -> PairedDifference:
    """Return the mean score of the predictions in `first` minus that of those in `second`.

    `pairs` says which predictions of the two sides are swapped for each other in the test, by their places. Subjects
    are resampled and swapped, or clips without `subjects`; all predictions of a side together.
    """
    scored: dict[str, Any] = {
        "num_classes": num_classes,
        "averaged_classes": averaged_classes,
        "subjects": subjects,
    }
    weights = np.repeat([1 / len(first), -1 / len(second)], [len(first), len(second)])[None]
    (resamples,) = resample_sums(metric, y_true, [*first, *second], weights, rng=rng, n=n, **scored)
    y_a, y_b = np.stack([first[a] for a, _ in pairs]), np.stack([second[b] for _, b in pairs])
    interval = resamples.interval(method, level)
    test = paired_permutation(metric, y_true, y_a, y_b, rng=rng, n=permutations, **scored)
    found = precision(metric, y_true, y_a, y_b, **scored)
    smallest = None if test.step is None else detectable(found, step=test.step, power=power)
    return PairedDifference(resamples, interval, test, found, smallest)
