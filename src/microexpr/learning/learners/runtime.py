"""Networks that were exported: they predict in their own runtime, and cannot be trained or stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from microexpr.core.errors import ConfigError
from microexpr.learning.checkpoint import Stored
from microexpr.learning.graph import Graph
from microexpr.learning.learners.learner import Fitted, Learner, Prediction
from microexpr.learning.training import ViewSource


@dataclass
class ExportedNetwork(Learner):
    """A `learning.graph.Graph` as `model`; batches are those of the network that it came from."""

    model: Graph
    targets: tuple[str, ...] = ()
    """Auxiliary targets, in the order of the graph's outputs."""
    normalisation: Any = ""
    """What the network's card says of its normalisation."""

    def fit(self, *args: Any, **kwargs: Any) -> Fitted:
        raise _only_predicts()

    def predict(self, views: ViewSource, indices: Int[np.ndarray, "n"]) -> Prediction:
        parts = [self._outputs(views, indices[at : at + self.batch]) for at in range(0, len(indices), self.batch)]
        logits, *others = (torch.from_numpy(np.concatenate(each)).double() for each in zip(*parts, strict=True))
        aux = {name: value.sigmoid().numpy() for name, value in zip(self.targets, others, strict=True)}
        return Prediction(logits.softmax(1).numpy(), aux)

    def ready(self) -> Graph:
        return self.model

    def state(self) -> Stored:
        raise _only_predicts()

    def restore(self, stored: Stored, file: Path) -> None:
        raise _only_predicts()

    def _outputs(self, views: ViewSource, indices: Int[np.ndarray, "b"]) -> Sequence[np.ndarray]:
        x = np.moveaxis(views.take(indices), -1, 2)
        return self.model(np.ascontiguousarray(x, dtype=np.float32))


def _only_predicts() -> ConfigError:
    return ConfigError(
        "E160", 'an exported model only predicts. Load the model that it came from, with runtime = "torch".'
    )
