"""SSSNet: one shallow stream of two convolutions on optical flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from microexpr.components.models._checks import check_motion
from microexpr.components.models._layers import Dropout, HeadedNet, MotionInput
from microexpr.components.models._parameters import RANDOM_WEIGHTS, Rate
from microexpr.core.interfaces import ViewSpec, models

KERNELS, UNITS = (32, 64), 256
LARGEST = 9
"""Side of the last maps for 64x64 pixels, for which the network was designed."""


@models.register("sssnet")
@dataclass(frozen=True)
class SingleStreamNet:
    """SSSNet: 32 kernels of 5x5 and 64 of 3x3 on u, v and strain, and a dense layer of 256.

    The network of the micro-expression benchmark MEB, github.com/tvaranka/meb (Varanka, Li, Peng and Zhao), designed
    for 64x64 pixels: convolution without padding, ReLU, 3x3 max pooling, batch normalisation, dropout of whole maps;
    the same with 3x3 kernels and 2x2 pooling; a dense layer with ReLU and dropout, and the classes. With 28x28 pixels
    the last maps are 3x3, and three channels with three classes give 169,603 parameters; with 64x64 they are 9x9, and
    there are 1,349,251 parameters.

    Departures: channels are standardised by the training views (`MotionInput`); the dense layer depends on the image
    size, and maps above 9x9 are averaged to 9x9. Several steps of a view are stacked as channels.

    The benchmark trains 200 epochs with stochastic gradient descent at 0.01, momentum 0.9 and weight decay 1e-3, in
    batches of 64 to 128.
    """

    dropout: Rate = 0.5
    trains_in_epochs: ClassVar[bool] = True
    label: ClassVar[str] = "SSSNet"
    mixing: ClassVar[str] = "convolution"

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        check_motion("sssnet", view)
        return RANDOM_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        inputs, (first, second) = MotionInput(view), KERNELS
        height, width = (min(_last_side(side), LARGEST) for side in view.shape[1:3])
        body = nn.Sequential(
            inputs,
            *_block(inputs.maps, first, 5, 3, self.dropout),
            *_block(first, second, 3, 2, self.dropout),
            nn.AdaptiveAvgPool2d((height, width)),
            nn.Flatten(),
            nn.Linear(second * height * width, UNITS),
            nn.ReLU(inplace=True),
            Dropout(self.dropout),
        )
        return HeadedNet(body, nn.Linear(UNITS, num_classes), UNITS, aux)


def _last_side(side: int) -> int:
    """Return the side of the last maps.

    >>> _last_side(28), _last_side(64)
    (3, 9)
    """
    return ((side - 4) // 3 - 2) // 2


def _block(incoming: int, outgoing: int, kernel: int, pool: int, dropout: float) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(incoming, outgoing, kernel),
        nn.MaxPool2d(pool),  # before ReLU: the same values and gradients, from fewer numbers
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(outgoing),
        nn.Dropout2d(dropout),
    )
