"""A small convolutional network to train from scratch: the simplest model of local structure.

Shallow networks on flow images are the usual baseline of composite micro-expression challenges (for instance Liong et
al., Shallow Triple Stream Three-dimensional CNN, FG 2019); this one is a single plain stream.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from microexpr.components.models._checks import check_side
from microexpr.components.models._layers import HeadedNet, linear_head
from microexpr.components.models._parameters import RANDOM_WEIGHTS, Rate
from microexpr.core.interfaces import ViewSpec, models

Width = Annotated[int, Field(ge=1, le=512)]
SMALLEST = 24
"""With smaller images the last map would be one pixel, on which batch normalisation cannot train with one row."""


@models.register("small_cnn")
@dataclass(frozen=True)
class SmallCnn:
    """Four strided 3x3 convolutions (batch normalisation, ReLU), global average, dropout, linear.

    The convolutions have `width`, 2, 4 and 8 times `width` channels. Frames of a view are stacked as channels.
    """

    width: Width = 16
    dropout: Rate = 0.1
    trains_in_epochs: ClassVar[bool] = True
    label: ClassVar[str] = "small CNN"
    mixing: ClassVar[str] = "convolution"

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        check_side("small_cnn", view, SMALLEST)
        return RANDOM_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        sizes = [view.shape[0] * view.shape[3], *(self.width * 2**stage for stage in range(4))]
        convolutions = [_convolution(*pair) for pair in itertools.pairwise(sizes)]
        body = nn.Sequential(_Stack(view.low, view.high), *convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return HeadedNet(body, linear_head(sizes[-1], num_classes, self.dropout), sizes[-1], aux)


class _Stack(nn.Module):
    """Stack frames as channels and scale ``low .. high`` to ``-1 .. 1``."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.centre = (low + high) / 2
        self.scale = 2 / (high - low)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b tc h w"]:
        return (x.flatten(1, 2) - self.centre) * self.scale


def _convolution(incoming: int, outgoing: int) -> nn.Sequential:
    # Batch normalisation subtracts the mean, so the convolution needs no bias.
    return nn.Sequential(
        nn.Conv2d(incoming, outgoing, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outgoing), nn.ReLU()
    )
