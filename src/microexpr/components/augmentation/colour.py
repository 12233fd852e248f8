"""Changes of lighting: brightness, contrast and saturation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import Batch, ViewSpec, augmentations

Amount = Annotated[float, Field(ge=0, le=1)]
LUMA = {"r": 0.299, "g": 0.587, "b": 0.114}
"""ITU-R BT.601, as in the grey levels of the preprocessings."""
HIGH = 255.0


@augmentations.register("colour")
@dataclass(frozen=True)
class Colour:
    """Multiply brightness, contrast and saturation by random factors from 1 - amount to 1 + amount, in this order.

    Brightness scales the values; contrast scales their distance from the view's mean luma, saturation their distance
    from each pixel's luma. One factor of each is drawn per view, so that all its frames have the same lighting. Values
    are clipped to 0..255. Saturation does not apply to grey images. Channels other than colour raise an error.
    """

    brightness: Amount = 0.2
    contrast: Amount = 0.2
    saturation: Amount = 0.2

    def check(self, view: ViewSpec) -> None:
        """Raise ConfigError for channels other than colour or grey."""
        if view.channels != ("grey",) and set(view.channels) != set(LUMA):
            raise ConfigError(
                "E409",
                f"augmentation colour changes the lighting of r, g, b or grey, but these images have the channels "
                f"{', '.join(view.channels)}. Leave it out.",
            )

    def __call__(self, batch: Batch, view: ViewSpec, generator: torch.Generator) -> Batch:
        self.check(view)
        amounts = torch.tensor([self.brightness, self.contrast, self.saturation])
        factors = 1 + amounts * (2 * torch.rand(len(batch.x), 3, generator=generator) - 1)
        light, contrast, saturation = factors.to(batch.x).reshape(-1, 3, 1, 1, 1, 1).unbind(1)
        x = (batch.x * light).clamp(0, HIGH)
        mean = _luma(x, view.channels).mean(dim=(1, 2, 3, 4), keepdim=True)
        x = (mean + (x - mean) * contrast).clamp(0, HIGH)
        if view.channels != ("grey",):
            own = _luma(x, view.channels)
            x = (own + (x - own) * saturation).clamp(0, HIGH)
        return batch._replace(x=x)


def _luma(x: Float[Tensor, "b t c h w"], channels: tuple[str, ...]) -> Float[Tensor, "b t 1 h w"]:
    weights = torch.tensor([LUMA.get(channel, 1.0) for channel in channels])
    return (x * weights.to(x).reshape(-1, 1, 1)).sum(2, keepdim=True)
