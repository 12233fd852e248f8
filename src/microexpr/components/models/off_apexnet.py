"""OFF-ApexNet: one stream of convolutions for each direction of optical flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from torch import nn

from microexpr.components.models._motion import Dropout, MotionInput, check_motion
from microexpr.components.models._net import HeadedNet
from microexpr.components.models._parts import RANDOM_WEIGHTS
from microexpr.core.interfaces import ViewSpec, models

Units = Annotated[int, Field(ge=1, le=4096)]
Rate = Annotated[float, Field(ge=0, lt=1)]
STREAMS = ("u", "v")
KERNELS = (6, 16)
"""Of the first and the second convolution of each stream."""
SIDE = 7


@models.register("off_apexnet")
@dataclass(frozen=True)
class OffApexNet:
    """After OFF-ApexNet: a stream of two 5x5 convolutions each for u and v, joined by two dense layers.

    Gan, Liong, Yau, Huang and Tan, "OFF-ApexNet on micro-expression recognition system", Signal Processing: Image
    Communication 74, 2019 (arXiv 1805.08699). Each stream: 6 kernels, ReLU, 2x2 max pooling, 16 kernels, ReLU, 2x2 max
    pooling, all of the same size as their input; both streams' 7x7x16 maps are joined to 1,568 numbers, then dense
    layers of `units` with ReLU and dropout, and the classes. 28x28 pixels and three classes give 2,664,475 parameters.
    Other channels (strain) are not looked at; several steps of a view are stacked in their stream.

    The authors' code is not public. The text leaves the activation, the first weights and the places of dropout open:
    here ReLU after every layer but the last, PyTorch's weights, and dropout after both dense layers. Widespread copies
    differ: some have no activation between convolutions, others join u and v before one stream of 3x3 kernels.
    Departures: channels are standardised by the training views (`MotionInput`); pictures above 28x28 are averaged to
    the same 7x7 maps before the dense layers.

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
        seen = MotionInput(view, STREAMS)
        first, second = (len(STREAMS) * kernels for kernels in KERNELS)
        body = nn.Sequential(
            seen,
            # Groups: the kernels of a stream see the maps of their stream only.
            nn.Conv2d(seen.maps, first, 5, padding=2, groups=len(STREAMS)),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, 5, padding=2, groups=len(STREAMS)),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.AdaptiveAvgPool2d(SIDE),
            nn.Flatten(),
            *_dense(second * SIDE**2, self.units, self.dropout),
            *_dense(self.units, self.units, self.dropout),
        )
        return HeadedNet(body, nn.Linear(self.units, num_classes), self.units, aux)


def _dense(incoming: int, outgoing: int, dropout: float) -> tuple[nn.Module, ...]:
    return nn.Linear(incoming, outgoing), nn.ReLU(inplace=True), Dropout(dropout)
