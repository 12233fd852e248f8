"""RCN: a shallow recurrent convolutional network on optical flow, with or without attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from microexpr.components.models._checks import check_motion
from microexpr.components.models._layers import Dropout, MotionInput, target_heads
from microexpr.components.models._parameters import RANDOM_WEIGHTS, Rate
from microexpr.core.interfaces import Output, ViewSpec, models

Width = Annotated[int, Field(ge=1, le=512)]
Variant = Literal["plain", "attention"]
SIDE = 5


@models.register("rcn")
@dataclass(frozen=True)
class RecurrentConvolutionalNet:
    """RCN: a 5x5 convolution, a convolution that is applied repeatedly with the same weights, and one dense layer.

    Xia, Peng, Khor, Feng and Zhao, "Revealing the invisible with model and data shrinking for composite-database
    micro-expression recognition", IEEE Transactions on Image Processing 29, 2020 (arXiv 2006.09674); layers as in the
    authors' code, github.com/xiazhaoqiang/ParameterFreeRCNs-MicroExpressionRec. With F = `width` maps and every
    convolution followed by batch normalisation and ReLU: x = 5x5 convolution without padding, 2x2 max pooling,
    dropout; y = 1x1 convolution of x; twice y = 3x3 convolution of x + y, with the same weights; 2x2 max pooling,
    dropout, averaged to 5x5, and the classes. 28x28 pixels, three channels, F = 32 and three classes give 15,235
    parameters (the authors': 96 more).

    `variant` ``"attention"`` is their RCN-A, which has no additional parameters. For each class its weights in the
    dense layer are multiplied by the maps x, averaged to 5x5; the mean over maps is scaled to 0..1 in each image. The
    mean of this over the classes multiplies the 5x5 maps before the dense layer.

    Departures: channels are standardised by the training views (`MotionInput`), where the authors scale to 0..1;
    convolutions have no bias, since batch normalisation cancels it; a constant attention map is 0 (0/0 in their code).
    The number of parameters does not depend on the image size. Several steps of a view are stacked as channels.

    The authors' code trains with stochastic gradient descent at 5e-4, momentum 0.9, halved every 10 epochs, for 20
    epochs (F = 32) or 100 (F = 64), in batches of 64, and keeps the last epoch. Other authors use 60x60 pixels.
    """

    variant: Variant = "plain"
    width: Width = 32
    dropout: Rate = 0.5
    trains_in_epochs: ClassVar[bool] = True
    mixing: ClassVar[str] = "recurrent convolution"

    @property
    def label(self) -> str:
        """Name used in papers."""
        return "RCN-A" if self.variant == "attention" else "RCN"

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        check_motion("rcn", view)
        return RANDOM_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        return RecurrentNet(view, num_classes, aux, self.width, self.dropout, self.variant == "attention")


class RecurrentNet(nn.Module):
    """`RecurrentConvolutionalNet`'s network."""

    def __init__(
        self,
        view: ViewSpec,
        num_classes: int,
        aux: Mapping[str, int],
        width: int,
        dropout: float,
        attentive: bool,
    ) -> None:
        super().__init__()
        inputs = MotionInput(view)
        self.attentive = attentive
        self.stem = nn.Sequential(inputs, *_convolution(inputs.maps, width, 5), nn.MaxPool2d(2), Dropout(dropout))
        self.forward_step = nn.Sequential(*_convolution(width, width, 1))
        self.recurrent_step = nn.Sequential(*_convolution(width, width, 3, padding=1))
        self.pool = nn.Sequential(nn.MaxPool2d(2), Dropout(dropout), nn.AdaptiveAvgPool2d(SIDE))
        self.average = nn.AdaptiveAvgPool2d(SIDE)
        self.head = nn.Linear(width * SIDE**2, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.head.weight, 0, 0.01)
        nn.init.zeros_(self.head.bias)
        self.heads = target_heads(width * SIDE**2, aux)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Output:
        maps = self.stem(x)
        state = self.forward_step(maps)
        for _ in range(2):
            state = self.recurrent_step(maps + state)
        features = self.pool(state)
        if self.attentive:
            features = features * self._attention(self.average(maps))
        features = features.flatten(1)
        return Output(self.head(features), {name: head(features) for name, head in self.heads.items()})

    def _attention(self, maps: Float[Tensor, "b f 5 5"]) -> Float[Tensor, "b 1 5 5"]:
        weights = self.head.weight.view(-1, *maps.shape[1:])
        evidence = torch.einsum("kfhw,bfhw->bkhw", weights, maps) / maps.shape[1]
        evidence = evidence - evidence.amin((2, 3), keepdim=True)
        largest = evidence.amax((2, 3), keepdim=True)
        return (evidence / torch.where(largest > 0, largest, 1.0)).mean(1, keepdim=True)


def _convolution(incoming: int, outgoing: int, kernel: int, padding: int = 0) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(incoming, outgoing, kernel, padding=padding, bias=False),
        nn.BatchNorm2d(outgoing),
        nn.ReLU(inplace=True),
    )
