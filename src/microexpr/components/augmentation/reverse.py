"""Motion played backwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from microexpr.components.augmentation._motion import check_opposite, named, opposite
from microexpr.core.errors import ConfigError
from microexpr.core.flow import ACROSS, DOWN
from microexpr.core.interfaces import Batch, ViewSpec, augmentations

Share = Annotated[float, Field(ge=0, le=1)]


@augmentations.register("reverse")
@dataclass(frozen=True)
class Reverse:
    """Turn optical flow into its opposite with the probability `share`: what flows from apex to onset.

    Horizontal and vertical motion become ``low + high - value``; strain and magnitude stay. It says that an expression
    that fades is told from the same lines as one that grows. On the flow images of MEGC 2019 that costs STSTNet 0.18 of
    UF1 (the study `motion_gains`): an expression and its opposite are not alike. Views without channels of motion
    are refused, and such of unknown scaling.
    """

    share: Share = 0.5

    def check(self, view: ViewSpec) -> None:
        """Raise ConfigError for views that hold no motion, or one whose opposite is not known."""
        if not named(view.channels, ACROSS + DOWN):
            raise ConfigError(
                "E104",
                f"augmentation reverse: it turns optical flow, and these views hold {', '.join(view.channels)}; "
                'leave it out, or take representation = "flow".',
            )
        check_opposite("reverse", view, ACROSS + DOWN)

    def __call__(self, batch: Batch, view: ViewSpec, generator: torch.Generator) -> Batch:
        self.check(view)
        rows = torch.rand(len(batch.x), generator=generator) < self.share
        return batch._replace(x=opposite(batch.x, view, ACROSS + DOWN, rows))
