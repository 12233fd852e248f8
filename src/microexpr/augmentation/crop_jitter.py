"""Shifts and zooms: what an unsteady face box does to a picture, on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from microexpr.augmentation._motion import named
from microexpr.contracts import Batch, ViewSpec, augmentations
from microexpr.errors import ConfigError
from microexpr.motion import ACROSS, DOWN

Pixels = Annotated[int, Field(ge=0, le=512)]
Scale = Annotated[float, Field(ge=0, le=0.5)]


@augmentations.register("crop_jitter")
@dataclass(frozen=True)
class CropJitter:
    """Shift every view by up to `pixels` in both directions, and zoom it by a factor from 1 - `scale` to 1 + `scale`.

    Shifts are whole pixels of the model's input, all equally likely; the border repeats the outermost pixels. One shift
    and one zoom are drawn for each view, so that its frames move together and no motion is made up. Without zoom no
    pixel changes its value; with zoom they are interpolated (bilinear).
    """

    pixels: Pixels = 8
    scale: Scale = 0.0

    def check(self, view: ViewSpec) -> None:
        """Raise ConfigError for channels that cannot be changed so."""
        flow = named(view.channels, ACROSS + DOWN)
        if self.scale and flow:
            raise ConfigError(
                f"augmentation crop_jitter: a zoom would have to change the values of {flow} as well, which are "
                "displacements; take scale = 0 for optical flow."
            )

    def __call__(self, batch: Batch, view: ViewSpec, generator: torch.Generator) -> Batch:
        self.check(view)
        rows, device = len(batch.x), batch.x.device
        shifts = torch.randint(-self.pixels, self.pixels + 1, (rows, 2), generator=generator)
        zooms = 1 + self.scale * (2 * torch.rand(rows, generator=generator) - 1)
        flat = batch.x.flatten(1, 2)
        moved = _resampled(flat, shifts.to(device), zooms.to(flat)) if self.scale else _shifted(flat, shifts.to(device))
        return batch._replace(x=moved.reshape(batch.x.shape))


def _shifted(x: Float[Tensor, "b c h w"], shifts: Tensor) -> Float[Tensor, "b c h w"]:
    """Pick pixels by their places, which are kept inside the picture."""
    height, width = x.shape[2:]
    rows = (torch.arange(height, device=x.device) - shifts[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width, device=x.device) - shifts[:, 1:]).clamp(0, width - 1)
    first = torch.arange(len(x), device=x.device)[:, None, None]
    return x.movedim(1, 3)[first, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


def _resampled(x: Float[Tensor, "b c h w"], shifts: Tensor, zooms: Tensor) -> Float[Tensor, "b c h w"]:
    height, width = x.shape[2:]
    theta = torch.zeros(len(x), 2, 3, device=x.device, dtype=x.dtype)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / zooms
    theta[:, 0, 2] = -2 * shifts[:, 1] / (width * zooms)
    theta[:, 1, 2] = -2 * shifts[:, 0] / (height * zooms)
    grid = nn.functional.affine_grid(theta, list(x.shape), align_corners=False)
    return nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
