"""What several models need: the refusal of auxiliary outputs, and an estimator's probabilities."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from scipy.special import softmax

from microexpr.core.errors import ConfigError, TrainingError
from microexpr.core.interfaces import ViewSpec

NO_WEIGHTS: Mapping[str, str] = {"weights": "none"}
RANDOM_WEIGHTS: Mapping[str, str] = {"weights": "random"}


def check_side(name: str, view: ViewSpec, smallest: int) -> None:
    """Raise ConfigError for views with fewer pixels a side."""
    height, width = view.shape[1:3]
    if min(height, width) < smallest:
        raise ConfigError(
            "E104",
            f"{name} needs {smallest} pixels a side, and these views have {height}x{width}; take a larger size: "
            f"representation.size = {smallest} where the representation has one (flow), else preprocessing.size.",
        )


def refuse(aux: Mapping[str, int], name: str) -> None:
    """Raise ConfigError where auxiliary outputs are asked of a model that has none."""
    if aux:
        raise ConfigError("E104", f"{name} has no auxiliary outputs ({', '.join(aux)}); leave the targets out.")


def need_two(y: Int[np.ndarray, "n"], name: str) -> None:
    """Raise TrainingError for training rows of a single class."""
    if len(np.unique(y)) < 2:
        raise TrainingError("E701", f"{name} needs two classes in the training rows, and these hold one.")


def confidence(scores: Float[np.ndarray, "n *k"]) -> Float[np.ndarray, "n k"]:
    """Return the softmax of a decision function, which is not calibrated; of two classes it holds one score a row."""
    return np.asarray(softmax(np.stack([-scores, scores], 1) if scores.ndim == 1 else scores, axis=1))
