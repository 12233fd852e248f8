"""Motion played backwards, by inverting optical flow."""

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
    """Invert optical flow with the probability `share`: the flow from apex to onset.

    Horizontal and vertical motion become ``low + high - value``; strain and magnitude are unchanged. It assumes that an
    expression that fades has the same class as one that grows. On the flow images of MEGC 2019 it reduces the UF1 of
    STSTNet by 0.18 (the study `motion_gains`): an expression and its inverse differ. Views without motion channels, or
    with unknown scaling, raise an error.
    """

    share: Share = 0.5

    def check(self, view: ViewSpec) -> None:
        """Raise ConfigError for views without motion, or with motion of unknown scaling."""
        if not named(view.channels, ACROSS + DOWN):
            raise ConfigError(
                "E409",
                f"augmentation reverse inverts optical flow, but these views have the channels "
                f'{", ".join(view.channels)}. Leave it out, or set representation = "flow".',
            )
        check_opposite("reverse", view, ACROSS + DOWN)

    def __call__(self, batch: Batch, view: ViewSpec, generator: torch.Generator) -> Batch:
        self.check(view)
        rows = torch.rand(len(batch.x), generator=generator) < self.share
        return batch._replace(x=opposite(batch.x, view, ACROSS + DOWN, rows))
