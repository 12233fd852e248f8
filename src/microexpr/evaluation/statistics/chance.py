"""Chance level: scores of predictions drawn at random by the class shares of the training clips."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int

from microexpr.core.interfaces import Metric


def chance_scores(
    metrics: Mapping[str, Metric],
    y_true: Int[np.ndarray, "n"],
    shares: Float[np.ndarray, "n k"],
    *,
    averaged_classes: Bool[np.ndarray, "k"],
    rng: np.random.Generator,
    n: int,
) -> dict[str, Float[np.ndarray, "draws"]]:
    """Return every metric for `n` random predictions of all clips.

    `shares` holds, for each clip, the class shares in the training part of its fold.
    """
    limits = shares.cumsum(axis=1)[:, None, :-1]
    drawn = (rng.random((len(y_true), n, 1)) >= limits).sum(axis=2).T
    one_hot = np.eye(shares.shape[1])
    return {
        name: np.array([metric(y_true, y_pred, one_hot[y_pred], averaged_classes) for y_pred in drawn])
        for name, metric in metrics.items()
    }
