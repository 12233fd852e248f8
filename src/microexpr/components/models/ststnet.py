"""STSTNet: three shallow streams of convolutions on optical flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from microexpr.components.models._checks import check_motion
from microexpr.components.models._layers import Dropout, HeadedNet, MotionInput
from microexpr.components.models._parameters import RANDOM_WEIGHTS, Rate
from microexpr.core.interfaces import ViewSpec, models

STREAMS = (3, 5, 8)
"""Number of kernels of each stream."""
SIDE = 5


@models.register("ststnet")
@dataclass(frozen=True)
class ShallowTripleStreamNet:
    """STSTNet: three parallel 3x3 convolutions of 3, 5 and 8 kernels on u, v and strain, one dense layer.

    Liong, Gan, See, Khor and Huang, "Shallow Triple Stream Three-dimensional CNN (STSTNet) for micro-expression
    recognition", FG 2019; layers as in the authors' PyTorch code, github.com/christy1206/STSTNet. Each stream takes all
    channels: convolution with a padding of 2, ReLU, batch normalisation, 3x3 max pooling with a stride of 3 and a
    padding of 1, dropout; the streams' 16 maps are concatenated, averaged 2x2 and flattened to 400 numbers. 28x28
    pixels, three channels and three classes give 1,683 parameters. "Three-dimensional" refers to the three channels;
    the convolutions are 2-D. The streams are independent before the dense layer, so they are computed as one
    convolution of 16 kernels.

    Departures: channels are standardised by the training views (`MotionInput`), where the authors use 0..255; for
    images above 28x28 the maps are averaged to the same 5x5, so that a kernel covers a smaller part of the face.
    Several steps of a view are stacked as channels.

    The authors train 800 epochs (500 in their MATLAB code) with Adam at 5e-5, batches of 256 that are never shuffled,
    no weight decay, and keep the last epoch. 100 epochs at these settings learn little: use smaller batches and a
    higher learning rate.
    """

    dropout: Rate = 0.5
    trains_in_epochs: ClassVar[bool] = True
    label: ClassVar[str] = "STSTNet"
    mixing: ClassVar[str] = "convolution"

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        check_motion("ststnet", view)
        return RANDOM_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        inputs, kernels = MotionInput(view), sum(STREAMS)
        body = nn.Sequential(
            inputs,
            nn.Conv2d(inputs.maps, kernels, 3, padding=2),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(kernels),
            nn.MaxPool2d(3, stride=3, padding=1),
            Dropout(self.dropout),
            nn.AdaptiveAvgPool2d(SIDE),
            nn.Flatten(),
        )
        return HeadedNet(body, nn.Linear(kernels * SIDE**2, num_classes), kernels * SIDE**2, aux)
