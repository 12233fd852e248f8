"""What guessing scores: classes drawn by their shares in training, many times."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int

from microexpr.core.interfaces import Metric


def guesses(
    metrics: Mapping[str, Metric],
    y_true: Int[np.ndarray, "n"],
    shares: Float[np.ndarray, "n k"],
    *,
    over: Bool[np.ndarray, "k"],
    rng: np.random.Generator,
    n: int,
) -> dict[str, Float[np.ndarray, "draws"]]:
    """Return every metric of `n` draws of all clips; `shares` are each clip's class shares in its training fold."""
    limits = shares.cumsum(axis=1)[:, None, :-1]
    drawn = (rng.random((len(y_true), n, 1)) >= limits).sum(axis=2).T
    hot = np.eye(shares.shape[1])
    return {
        name: np.array([metric(y_true, y_pred, hot[y_pred], over) for y_pred in drawn])
        for name, metric in metrics.items()
    }
