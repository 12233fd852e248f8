"""Mirrored pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from microexpr.augmentation._motion import ACROSS, named
from microexpr.contracts import Batch, augmentations
from microexpr.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]


@augmentations.register("flip")
@dataclass(frozen=True)
class Flip:
    """Mirror a view left to right with the probability `share`; all its frames together.

    An expression on one side of the face becomes one on the other. Horizontal optical flow would have to change its
    sign as well, and is refused: which value stands for no motion is not known of stored flow images.
    """

    share: Share = 0.5

    def check(self, channels: tuple[str, ...]) -> None:
        """Raise ConfigError for channels that cannot be changed so."""
        flow = named(channels, ACROSS)
        if flow:
            raise ConfigError(
                f"augmentation flip: the channel {flow} is horizontal motion, whose sign would have to be turned with "
                "the picture; leave flip out for optical flow."
            )

    def __call__(self, batch: Batch, channels: tuple[str, ...], generator: torch.Generator) -> Batch:
        self.check(channels)
        turned = torch.rand(len(batch.x), generator=generator) < self.share
        turned = turned.to(batch.x.device).reshape(-1, *[1] * (batch.x.ndim - 1))
        return batch._replace(x=torch.where(turned, batch.x.flip(-1), batch.x))
