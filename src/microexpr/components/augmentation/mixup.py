"""Mixtures of the images and labels of two clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from microexpr.core.interfaces import Batch, ViewSpec, augmentations

Alpha = Annotated[float, Field(gt=0, le=10)]


@augmentations.register("mixup")
@dataclass(frozen=True)
class Mixup:
    """``x = l x_i + (1 - l) x_j`` and the same for the labels, with l drawn from Beta(alpha, alpha) for every row.

    j is another row of the batch, by a random permutation. Zhang, Cisse, Dauphin, Lopez-Paz: mixup: Beyond Empirical
    Risk Minimization, ICLR 2018, section 2; they use alpha from 0.1 to 0.4 for ImageNet. All losses accept such labels.
    """

    alpha: Alpha = 0.2

    def check(self, view: ViewSpec) -> None:
        """Do nothing: any channels can be mixed."""

    def __call__(self, batch: Batch, view: ViewSpec, generator: torch.Generator) -> Batch:
        partner = torch.randperm(len(batch.x), generator=generator).to(batch.x.device)
        # torch draws from Beta only by its global state, so its generator seeds one of numpy.
        seed = int(torch.randint(2**62, (), generator=generator))
        drawn = torch.as_tensor(np.random.default_rng(seed).beta(self.alpha, self.alpha, len(batch.x)))

        def mixed(values: torch.Tensor) -> torch.Tensor:
            share = drawn.to(values).reshape(-1, *[1] * (values.ndim - 1))
            return share * values + (1 - share) * values[partner]

        return Batch(mixed(batch.x), mixed(batch.y), {name: mixed(value) for name, value in batch.aux.items()})
