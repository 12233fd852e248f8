"""Predicting one clip after the other with PyTorch as it is: float32, batch 1, all threads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def predict(model: Callable[[Tensor], Tensor], views: list[np.ndarray]) -> np.ndarray:
    """Logits of every view (float32, 1 x time x channels x height x width), by a network in evaluation mode."""
    with torch.inference_mode():
        return np.concatenate([model(torch.from_numpy(view)).numpy() for view in views])
