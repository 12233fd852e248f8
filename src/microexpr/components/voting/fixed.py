"""Votes with nothing to learn: the views of one clip become its label and probabilities.

The probabilities are the mean over the views in both, so a majority may disagree with its own probabilities: many
hesitant views beat one certain view.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from microexpr.core.interfaces import votes


def _probabilities(views: pd.DataFrame) -> Float[np.ndarray, "t k"]:
    k = sum(name.startswith("p_") for name in views.columns)
    # Column by column: ten times faster than selecting a sub-table, and a vote is called once a clip.
    return np.stack([views[f"p_{c}"].to_numpy(np.float64) for c in range(k)], axis=1)


def _mean(probabilities: Float[np.ndarray, "t k"]) -> Float[np.ndarray, "k"]:
    # Sorted within each class, so that rounding, which follows the order of summing, never decides a tie.
    return np.asarray(np.sort(probabilities, axis=0).mean(axis=0))


@votes.register("majority")
@dataclass(frozen=True)
class Majority:
    """The class that most views choose (the paper's vote, section II.A).

    A tie goes to the class with the largest mean probability; still tied, to the lowest class number.

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
    """The class with the largest mean probability over the views; tied, the lowest class number.

    >>> MeanProbability()(pd.DataFrame({"frames": ["1", "2", "3"], "p_0": [0.4, 0.4, 1.0], "p_1": [0.6, 0.6, 0.0]}))
    (0, array([0.6, 0.4]))
    """

    def __call__(self, views: pd.DataFrame) -> tuple[int, Float[np.ndarray, "k"]]:
        mean = _mean(_probabilities(views))
        return int(mean.argmax()), mean
