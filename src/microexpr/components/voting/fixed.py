"""Votes without parameters to learn: from the views of one clip to its class and probabilities.

Both return the mean probabilities over the views, so a majority may disagree with its probabilities: many uncertain
views outvote a certain one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from microexpr.core.interfaces import votes


def _probabilities(views: pd.DataFrame) -> Float[np.ndarray, "t k"]:
    k = sum(name.startswith("p_") for name in views.columns)
    # Column by column: ten times faster than selecting a sub-table, and a vote is called once per clip.
    return np.stack([views[f"p_{c}"].to_numpy(np.float64) for c in range(k)], axis=1)


def _mean(probabilities: Float[np.ndarray, "t k"]) -> Float[np.ndarray, "k"]:
    # Sorted within each class, so that rounding, which depends on the order of summation, never decides a tie.
    return np.asarray(np.sort(probabilities, axis=0).mean(axis=0))


@votes.register("majority")
@dataclass(frozen=True)
class Majority:
    """The class predicted for most views (the paper's vote, section II.A).

    Ties go to the class with the largest mean probability, then to the lowest class number.

    >>> Majority()(pd.DataFrame({"frames": ["1", "2", "3"], "p_0": [0.4, 0.4, 1.0], "p_1": [0.6, 0.6, 0.0]}))
    (1, array([0.6, 0.4]))
    """

    def __call__(self, views: pd.DataFrame) -> tuple[int, Float[np.ndarray, "k"]]:
        probabilities = _probabilities(views)
        mean = _mean(probabilities)
        chosen = np.bincount(probabilities.argmax(axis=1), minlength=mean.size)
        return int(np.where(chosen == chosen.max(), mean, -1.0).argmax()), mean


@votes.register("mean_probability")
@dataclass(frozen=True)
class MeanProbability:
    """The class with the largest mean probability over the views; ties go to the lowest class number.

    >>> MeanProbability()(pd.DataFrame({"frames": ["1", "2", "3"], "p_0": [0.4, 0.4, 1.0], "p_1": [0.6, 0.6, 0.0]}))
    (0, array([0.6, 0.4]))
    """

    def __call__(self, views: pd.DataFrame) -> tuple[int, Float[np.ndarray, "k"]]:
        mean = _mean(_probabilities(views))
        return int(mean.argmax()), mean
