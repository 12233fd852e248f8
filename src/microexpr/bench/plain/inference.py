"""Predicting one clip after the other with PyTorch as it is: float32, batch 1, all threads."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


def predict(model: nn.Module, views: list[np.ndarray]) -> np.ndarray:
    """Logits of every view; each is a float32 array 1 x time x channels x height x width."""
    model.eval()
    with torch.inference_mode():
        return np.concatenate([model(torch.from_numpy(view)).numpy() for view in views])
