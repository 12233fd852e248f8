"""What several models need: the refusal of auxiliary outputs, and an estimator's probabilities."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from scipy.special import softmax

from microexpr.errors import ConfigError, TrainingError

NO_WEIGHTS: Mapping[str, str] = {"weights": "none"}
RANDOM_WEIGHTS: Mapping[str, str] = {"weights": "random"}


def refuse(aux: Mapping[str, int], name: str) -> None:
    """Raise ConfigError where auxiliary outputs are asked of a model that has none."""
    if aux:
        raise ConfigError(f"{name} has no auxiliary outputs ({', '.join(aux)}); leave the targets out.")


def need_two(y: Int[np.ndarray, "n"], name: str) -> None:
    """Raise TrainingError for training rows of a single class."""
    if len(np.unique(y)) < 2:
        raise TrainingError(f"{name} needs two classes in the training rows, and these hold one.")


def confidence(scores: Float[np.ndarray, "n *k"]) -> Float[np.ndarray, "n k"]:
    """Return the softmax of a decision function, which is not calibrated; of two classes it holds one score a row."""
    return np.asarray(softmax(np.stack([-scores, scores], 1) if scores.ndim == 1 else scores, axis=1))
