"""A vote that learns the weights of the parts of a clip."""

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

MIN_PROBABILITY = 1e-6
"""Lower bound of probabilities: a single view that is certain of one class must not exclude all others."""


@votes.register("learnt_temporal")
@dataclass(frozen=True)
class LearntTemporal:
    """Views weighted by their position in time: beginning, middle and end of a clip, learnt in each fold.

    A logarithmic opinion pool (Genest and Zidek, Statistical Science 1986; its weights fitted by likelihood as in
    Heskes, NIPS 1997) over parts of a clip: p(class) is proportional to exp(sum over parts of w * mean log p in that
    part). The total weight is an inverse temperature (Guo et al., ICML 2017), which corrects overconfidence.

    A clip's views are ordered by their frames (the mean frame of each view) and divided into `bins` parts of equal
    size: for kfs these are onset, apex and offset, for mfs its three windows. The order is used, not the distance in
    time, by which an early apex would belong to the onset. Views of the same frame number share a part. The weights of
    parts without views are distributed over the others, in proportion.

    Fitted once per fold, to its validation views if there are any, otherwise to its training views: by L-BFGS from
    equal weights, minimising the clips' negative log-likelihood plus `penalty` / 2 times the squared logarithms of the
    weights, which pulls them towards equal weights of total 1. The likelihood is summed over clips, so that few clips
    change little. A network is right for nearly all views that it was trained on, in every part alike: weights fitted
    to these say little about new clips. Before fitting, the vote is the normalised geometric mean. Given `weights`, one
    per part, are not fitted.

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
                "E113",
                f"vote learnt_temporal: weights = {list(self.weights)} must be {self.bins} weights, one per part, "
                "with a sum above 0; leave them out to have them learnt.",
            )

    def __call__(self, views: pd.DataFrame) -> tuple[int, Float[np.ndarray, "k"]]:
        weights = np.array(self.weights or [1 / self.bins] * self.bins)
        proba = softmax(_pooled(weights, _parts(views, self.bins)[None])[0])
        return int(proba.argmax()), proba

    def fit(self, views: pd.DataFrame) -> LearntTemporal:
        """Return this vote with weights fitted to these views, which also have the columns ``clip`` and ``y_true``."""
        clips = list(views.groupby("clip", sort=True))
        if self.weights or not clips:
            return self
        parts = np.stack([_parts(group, self.bins) for _, group in clips])
        y = np.array([group["y_true"].iloc[0] for _, group in clips], int)

        def objective(logs: Float[np.ndarray, "bins"]) -> float:
            return _nll(np.exp(logs) / self.bins, parts, y) + self.penalty / 2 * float(logs @ logs)

        found = minimize(objective, np.zeros(self.bins), method="L-BFGS-B", bounds=[(-20.0, 20.0)] * self.bins)
        return replace(self, weights=tuple(float(weight) for weight in np.exp(found.x) / self.bins))


def _parts(views: pd.DataFrame, bins: int) -> Float[np.ndarray, "bins k"]:
    """Return the mean log probabilities of each part of a clip; NaN for parts without views."""
    k = sum(name.startswith("p_") for name in views.columns)
    logs = np.log(np.stack([views[f"p_{c}"].to_numpy(np.float64) for c in range(k)], 1).clip(MIN_PROBABILITY, 1.0))
    place = _places([_middle(frames) for frames in views["frames"]], bins)
    # Sorted within each class, so that rounding, which depends on the order of summation, never decides.
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
    """Return each clip's score of each class; the weights of missing parts are distributed over the others."""
    present = ~np.isnan(parts[..., 0])
    own = weights * present
    # If only parts of weight 0 are present, they have equal weights.
    own = np.where(own.sum(1, keepdims=True) > 0, own, present)
    shares = own / own.sum(1, keepdims=True) * weights.sum()
    return np.asarray((shares[..., None] * np.nan_to_num(parts)).sum(1))


def _nll(weights: Float[np.ndarray, "bins"], parts: Float[np.ndarray, "n bins k"], y: Int[np.ndarray, "n"]) -> float:
    scores = _pooled(weights, parts)
    return float((logsumexp(scores, axis=1) - scores[np.arange(len(y)), y]).sum())
