"""Shifts and zooms, like the jitter of a face box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from microexpr.components.augmentation._motion import check_pixels, named
from microexpr.core.errors import ConfigError
from microexpr.core.flow import ACROSS, DOWN
from microexpr.core.interfaces import Batch, ViewSpec, augmentations

Percent = Annotated[float, Field(ge=0, le=50)]
Scale = Annotated[float, Field(ge=0, le=0.5)]


@augmentations.register("crop_jitter", revision=2)
@dataclass(frozen=True)
class CropJitter:
    """Shift every view by up to `percent` of its sides, and zoom it by a factor from 1 - `scale` to 1 + `scale`.

    A percentage moves the face equally far at every image size: 3.5 % are 8 pixels of 224 and 13 of 384. Shifts are
    whole pixels of the model input, vertically relative to its height, horizontally to its width, all equally likely;
    borders repeat the outermost pixels. One shift and one zoom are drawn per view, so that its frames move together and
    no motion is introduced. Without zoom no pixel value changes; with zoom they are interpolated (bilinear).
    """

    percent: Percent = 3.5
    scale: Scale = 0.0

    def check(self, view: ViewSpec) -> None:
        """Raise ConfigError for views that it cannot change, and for shifts of less than half a pixel."""
        check_pixels("crop_jitter", view)
        flow = named(view.channels, ACROSS + DOWN)
        if self.scale and flow:
            raise ConfigError(
                "E417",
                f"augmentation crop_jitter: a zoom would also have to change the values of {flow}, which are "
                "displacements. Set scale = 0 for optical flow.",
            )
        if self.percent and not all(self._most(*view.shape[1:3])):
            height, width = view.shape[1:3]
            raise ConfigError(
                "E417",
                f"augmentation crop_jitter: {self.percent:g} % of {height}x{width} is less than half a pixel. Set a "
                "larger percent, or percent = 0 for no shifts.",
            )

    def __call__(self, batch: Batch, view: ViewSpec, generator: torch.Generator) -> Batch:
        self.check(view)
        rows, device = len(batch.x), batch.x.device
        most = self._most(*batch.x.shape[3:])
        shifts = torch.stack([torch.randint(-m, m + 1, (rows,), generator=generator) for m in most], 1)
        zooms = 1 + self.scale * (2 * torch.rand(rows, generator=generator) - 1)
        flat = batch.x.flatten(1, 2)
        moved = _resampled(flat, shifts.to(device), zooms.to(flat)) if self.scale else _shifted(flat, shifts.to(device))
        return batch._replace(x=moved.reshape(batch.x.shape))

    def _most(self, height: int, width: int) -> tuple[int, int]:
        """Return the largest vertical and horizontal shifts, in pixels."""
        return round(self.percent / 100 * height), round(self.percent / 100 * width)


def _shifted(x: Float[Tensor, "b c h w"], shifts: Tensor) -> Float[Tensor, "b c h w"]:
    """Index pixels by shifted positions, clamped to the image."""
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
