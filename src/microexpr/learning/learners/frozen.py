"""Networks with a frozen backbone: the backbone runs once for all folds, and only a head is fitted."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from microexpr.core.interfaces import Augmentation, LossFn, Output
from microexpr.core.progress import Progress
from microexpr.learning.checkpoint import Stored
from microexpr.learning.device import device
from microexpr.learning.learners.learner import Fitted
from microexpr.learning.learners.network import Network
from microexpr.learning.training import Task, ViewSource, outputs, tensor


class Frozen(Network):
    """A module that is an `interfaces.FrozenBackbone`."""

    in_epochs: ClassVar[bool] = False
    embeds: ClassVar[bool] = True

    def fit(
        self,
        task: Task,
        losses: Mapping[str, LossFn],
        seed: int,
        augmentations: Sequence[Augmentation],
        progress: Progress,
    ) -> Fitted:
        stored, rows = task.views.features, task.train
        features = stored[rows] if stored is not None else self.embed(task.views, rows)
        self.model.fit_head(torch.as_tensor(features).to(device()), task.y[rows])
        return self._fitted_once(task)

    def embed(self, views: ViewSource, indices: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n f"]:
        """Return the backbone's features of these views."""
        self.ready()

        def embed(x: Float[Tensor, "b t c h w"]) -> Output:
            return Output(self.model.embed(x), {})

        found = outputs(embed, partial(tensor, views), indices, self.training)
        return np.asarray(found.logits.numpy())

    def _outputs(self, views: ViewSource, indices: Int[np.ndarray, "n"]) -> Output:
        features = views.features
        if features is None:
            return super()._outputs(views, indices)
        self.ready()
        return outputs(
            self.model.classify, lambda rows: torch.as_tensor(features[rows]).to(device()), indices, self.training
        )

    def ready(self) -> nn.Module:
        # Models of one process may share their backbone: what changes it needs its own.
        if self.model.training and (self.training.precision == "bf16" or device().type != "cpu"):
            self.model = copy.deepcopy(self.model)
        return super().ready()

    def restore(self, stored: Stored, file: Path) -> None:
        self.model = copy.deepcopy(self.model)
        super().restore(stored, file)
