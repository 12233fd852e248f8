"""OFF-ApexNet: one stream of convolutions for each direction of optical flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from microexpr.components.models._checks import check_motion
from microexpr.components.models._layers import Dropout, HeadedNet, MotionInput
from microexpr.components.models._parameters import RANDOM_WEIGHTS, Rate, Units
from microexpr.core.interfaces import ViewSpec, models

STREAMS = ("u", "v")
KERNELS = (6, 16)
"""Number of kernels of the first and the second convolution of each stream."""
SIDE = 7


@models.register("off_apexnet")
@dataclass(frozen=True)
class OffApexNet:
    """After OFF-ApexNet: two 5x5 convolutions in a separate stream for each of u and v, then two dense layers.

    Gan, Liong, Yau, Huang and Tan, "OFF-ApexNet on micro-expression recognition system", Signal Processing: Image
    Communication 74, 2019 (arXiv 1805.08699). Each stream: 6 kernels, ReLU, 2x2 max pooling, 16 kernels, ReLU, 2x2 max
    pooling, with padding to the size of the input; both streams' 7x7x16 maps are concatenated to 1,568 numbers, then
    dense layers of `units` with ReLU and dropout, and the classes. 28x28 pixels and three classes give 2,664,475
    parameters. Other channels (strain) are ignored; several steps of a view are stacked in their stream.

    The authors' code is not public. The text does not specify activation, initial weights and positions of dropout:
    here ReLU after every layer but the last, PyTorch's initialisation, and dropout after both dense layers. Common
    reimplementations differ: some have no activation between convolutions, others feed u and v to one stream of 3x3
    kernels. Departures: channels are standardised by the training views (`MotionInput`); for images above 28x28 the
    maps are averaged to the same 7x7 before the dense layers.

    Reproductions train 3,000 epochs with Adam at 1e-4.
    """

    units: Units = 1024
    dropout: Rate = 0.5
    trains_in_epochs: ClassVar[bool] = True
    label: ClassVar[str] = "after OFF-ApexNet"
    mixing: ClassVar[str] = "convolution"

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        check_motion("off_apexnet", view, STREAMS)
        return RANDOM_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        inputs = MotionInput(view, STREAMS)
        first, second = (len(STREAMS) * kernels for kernels in KERNELS)
        body = nn.Sequential(
            inputs,
            # Groups, so that the kernels of a stream see only its own maps.
            nn.Conv2d(inputs.maps, first, 5, padding=2, groups=len(STREAMS)),
            nn.MaxPool2d(2),  # before ReLU: the same values and gradients, from fewer numbers
            nn.ReLU(inplace=True),
            nn.Conv2d(first, second, 5, padding=2, groups=len(STREAMS)),
            nn.MaxPool2d(2),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(SIDE),
            nn.Flatten(),
            *_dense(second * SIDE**2, self.units, self.dropout),
            *_dense(self.units, self.units, self.dropout),
        )
        return HeadedNet(body, nn.Linear(self.units, num_classes), self.units, aux)


def _dense(incoming: int, outgoing: int, dropout: float) -> tuple[nn.Module, ...]:
    return nn.Linear(incoming, outgoing), nn.ReLU(inplace=True), Dropout(dropout)
