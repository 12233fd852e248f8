"""Learners: how each kind of model is trained, predicts and is stored. A new kind is a file here and a line in `make`.

Test rows are never used here. Validation rows, if any, choose the loss and the epoch; without them nothing is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from microexpr.config.settings import Training
from microexpr.core.interfaces import FrozenBackbone
from microexpr.learning.device import device as device
from microexpr.learning.learners.estimator import Estimator
from microexpr.learning.learners.frozen import Frozen as Frozen
from microexpr.learning.learners.learner import Fitted as Fitted
from microexpr.learning.learners.learner import Learner as Learner
from microexpr.learning.learners.learner import Prediction as Prediction
from microexpr.learning.learners.network import LATENCY_REPEATS as LATENCY_REPEATS
from microexpr.learning.learners.network import Ensemble, Network
from microexpr.learning.learners.network import latency as latency
from microexpr.learning.learners.runtime import ExportedNetwork as ExportedNetwork
from microexpr.learning.training import Task as Task


def make(build: Callable[[], Any], num_classes: int, training: Training, seed: int | None = None) -> Learner:
    """Return the learner for what `build` returns: a network, a frozen backbone with a head, or an estimator.

    With a seed, random weights are those of this seed (of an ensemble's members: of this seed and the following ones);
    without, those of torch's present random state.
    """

    def built(number: int) -> Any:
        if seed is not None:
            torch.manual_seed(seed + number)
        return build()

    first = built(0)
    if isinstance(first, FrozenBackbone):
        return Frozen(first, num_classes, training)
    if not isinstance(first, nn.Module):
        return Estimator(first, num_classes, training)
    members = [first, *(built(number) for number in range(1, training.ensemble))]
    return Network(first if len(members) == 1 else Ensemble(members), num_classes, training)
