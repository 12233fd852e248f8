"""A vote that learns which part of a clip to believe."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from pydantic import Field
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from scipy.stats import rankdata

from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import votes

LEAST = 1e-6
"""Probabilities below count as this much: one view that is sure of a class must not rule out all others."""


@votes.register("learnt_temporal")
@dataclass(frozen=True)
class LearntTemporal:
    """Views weighted by their place in time: the beginning, the middle and the end of a clip, learnt from the folds.

    A logarithmic opinion pool (Genest and Zidek, Statistical Science 1986; its weights fitted by likelihood as in
    Heskes, NIPS 1997) over parts of a clip: p(class) is proportional to exp(sum over parts of w * mean log p in that
    part). Its total weight is an inverse temperature (Guo et al., ICML 2017), so that what is too sure is made less so.

    A clip's views are put in the order of their frames (of a view of several, their mean) and cut into `bins` parts of
    equally many: of kfs that is onset, apex and offset, of mfs its three windows. Order decides and not the distance in
    time, by which an early apex would count to the onset. Views of one frame number share a part. Parts that a clip
    lacks leave their weight to the others, in proportion.

    Fitted once a fold, on its validation views where it has any, else on its training views: by L-BFGS from equal
    weights, on the clips' negative log-likelihood plus `penalty` / 2 times the squared logarithms of the weights, which
    pulls to equal weights of total 1. It is summed over clips, so that few clips move little. Views that a network was
    trained on are nearly all right, in every part alike: fitted on them, the weights say little of new clips.
    Not fitted it is the normalised geometric mean. `weights` given by hand, one a part, are not fitted.

    >>> views = pd.DataFrame({"frames": [[1], [5], [9]], "p_0": [0.4, 0.9, 0.4], "p_1": [0.6, 0.1, 0.6]})
    >>> LearntTemporal(weights=(0.0, 1.0, 0.0))(views)
    (0, array([0.9, 0.1]))
    """

    bins: Annotated[int, Field(ge=1, le=16)] = 3
    penalty: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    weights: tuple[Annotated[float, Field(ge=0, le=1e6)], ...] = ()

    def __post_init__(self) -> None:
        if self.weights and (len(self.weights) != self.bins or not sum(self.weights) > 0):
            raise ConfigError(
                "E104",
                f"vote learnt_temporal: weights = {list(self.weights)} are not {self.bins} weights that sum to more "
                "than 0; give one a part (bins), or leave them out to have them learnt.",
            )

    def __call__(self, views: pd.DataFrame) -> tuple[int, Float[np.ndarray, "k"]]:
        weights = np.array(self.weights or [1 / self.bins] * self.bins)
        proba = softmax(_pooled(weights, _parts(views, self.bins)[None])[0])
        return int(proba.argmax()), proba

    def fit(self, views: pd.DataFrame) -> LearntTemporal:
        """Return this vote with weights for these views, which have the columns ``clip`` and ``y_true`` too."""
        clips = list(views.groupby("clip", sort=True))
        if self.weights or not clips:
            return self
        parts = np.stack([_parts(group, self.bins) for _, group in clips])
        y = np.array([group["y_true"].iloc[0] for _, group in clips], int)

        def lost(logs: Float[np.ndarray, "bins"]) -> float:
            return _lost(np.exp(logs) / self.bins, parts, y) + self.penalty / 2 * float(logs @ logs)

        found = minimize(lost, np.zeros(self.bins), method="L-BFGS-B", bounds=[(-20.0, 20.0)] * self.bins)
        return replace(self, weights=tuple(float(weight) for weight in np.exp(found.x) / self.bins))


def _parts(views: pd.DataFrame, bins: int) -> Float[np.ndarray, "bins k"]:
    """Return the mean log probabilities of each part of a clip, NaN for parts without a view."""
    k = sum(name.startswith("p_") for name in views.columns)
    logs = np.log(np.stack([views[f"p_{c}"].to_numpy(np.float64) for c in range(k)], 1).clip(LEAST, 1.0))
    place = _places([_middle(frames) for frames in views["frames"]], bins)
    # Sorted within each class, so that rounding, which follows the order of summing, never decides.
    means = {part: np.sort(logs[place == part], axis=0).mean(0) for part in np.unique(place).tolist()}
    return np.stack([means.get(part, np.full(k, np.nan)) for part in range(bins)])


def _places(middles: list[float], bins: int) -> Int[np.ndarray, "t"]:
    """Return the part of each view.

    >>> _places([10.0, 11.0, 20.0, 30.0, 31.0], 3)
    array([0, 0, 1, 2, 2])
    """
    before = (rankdata(middles) - 0.5) / len(middles)
    return np.asarray(np.minimum((before * bins).astype(int), bins - 1))


def _middle(frames: object) -> float:
    numbers = np.atleast_1d(np.asarray(frames, float))
    return math.fsum(numbers) / len(numbers) if len(numbers) else 0.0


def _pooled(weights: Float[np.ndarray, "bins"], parts: Float[np.ndarray, "n bins k"]) -> Float[np.ndarray, "n k"]:
    """Return each clip's score of each class; parts that are missing leave their weight to the others."""
    there = ~np.isnan(parts[..., 0])
    own = weights * there
    # Where only parts without weight are there, all of them count alike.
    own = np.where(own.sum(1, keepdims=True) > 0, own, there)
    shares = own / own.sum(1, keepdims=True) * weights.sum()
    return np.asarray((shares[..., None] * np.nan_to_num(parts)).sum(1))


def _lost(weights: Float[np.ndarray, "bins"], parts: Float[np.ndarray, "n bins k"], y: Int[np.ndarray, "n"]) -> float:
    scores = _pooled(weights, parts)
    return float((logsumexp(scores, axis=1) - scores[np.arange(len(y)), y]).sum())
