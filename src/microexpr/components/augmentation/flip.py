"""Horizontal mirroring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from microexpr.components.augmentation._motion import check_opposite, check_pixels, opposite
from microexpr.core.flow import ACROSS
from microexpr.core.interfaces import Batch, ViewSpec, augmentations

Share = Annotated[float, Field(ge=0, le=1)]


@augmentations.register("flip")
@dataclass(frozen=True)
class Flip:
    """Mirror a view left to right with the probability `share`; all its frames together.

    An expression on one side of the face moves to the other. Horizontal motion is inverted as well,
    ``low + high - u``: exact for signed flow, and for images scaled by their own minimum and maximum, because the
    minimum of -u is minus the maximum of u. Motion of unknown scaling raises an error, and so do histograms of blocks
    (``bi_woof``, ``lbp_top``), whose bins would have to be exchanged too.
    """

    share: Share = 0.5

    def check(self, view: ViewSpec) -> None:
        """Raise ConfigError for histograms, and for motion of unknown scaling."""
        check_pixels("flip", view)
        check_opposite("flip", view, ACROSS)

    def __call__(self, batch: Batch, view: ViewSpec, generator: torch.Generator) -> Batch:
        self.check(view)
        mirrored = torch.rand(len(batch.x), generator=generator) < self.share
        rows = mirrored.to(batch.x.device).reshape(-1, *[1] * (batch.x.ndim - 1))
        flipped = torch.where(rows, batch.x.flip(-1), batch.x)
        return batch._replace(x=opposite(flipped, view, ACROSS, mirrored))
