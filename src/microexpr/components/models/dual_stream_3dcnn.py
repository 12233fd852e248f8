"""Two streams of 3-D convolutions, one for appearance and one for motion, with action units, after AUMEs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from microexpr.components.models._checks import check_frames, check_side
from microexpr.components.models._layers import Grid, HeadedNet, Scaled
from microexpr.components.models._parameters import RANDOM_WEIGHTS, Rate, Units
from microexpr.core.interfaces import ViewSpec, models

Width = Annotated[int, Field(ge=1, le=128)]
MIN_FRAMES = 8
"""Two of the three convolutions halve time: 8 frames become 2 steps, which still have an order."""
SMALLEST = 32
SIDE = 4
"""Final cells per side, so that forehead, eyes, nose and mouth stay separate, as action units require."""


@models.register("dual_stream_3dcnn")
@dataclass(frozen=True)
class DualStream3dCnn:
    """Two streams of three 3-D convolutions, one on the frames and one on their difference from the first frame.

    After the idea of Shi, Wang, Wang and Liu, "AUMEs: AU detection-based dual-stream multi-task 3DCNN for
    micro-expression recognition", Neural Processing Letters 57(1):18, 2025. Each stream: 3x3x3 convolutions of `width`,
    2 and 4 times `width` kernels, each with batch normalisation and ReLU; all halve height and width, the second and
    third halve time. The last maps are averaged over time and to 4x4 cells; those of both streams are concatenated and
    followed by a dense layer of `units` with ReLU and dropout, which both tasks share: one linear layer gives the
    classes, and one for each target (``target = "action_units"``) the action units. Training adds their losses, each
    with the target's weight. Without targets it is an ordinary dual-stream network.

    A view has one representation, so the second stream's input is computed inside: every frame from the second on,
    minus the first. For flow, that is how the flow changes.

    Departures: there is no public code, and only the paper's title and a row of a table that cites it were available
    (two 3-D CNNs and action units, multi-task, focal loss, five classes). The input of each stream (the authors' second
    may be optical flow), layers, sizes, fusion and loss weights are therefore ours. Focal loss is a choice of the
    experiment, ``loss = "focal"``, as in the study `table6`. Strided convolutions replace 3-D pooling, whose gradient
    is not deterministic on a GPU.
    """

    width: Width = 16
    units: Units = 128
    dropout: Rate = 0.5
    trains_in_epochs: ClassVar[bool] = True
    label: ClassVar[str] = "dual-stream 3-D CNN, after AUMEs"
    mixing: ClassVar[str] = "3-D convolution"

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        check_frames("dual_stream_3dcnn", view, MIN_FRAMES)
        check_side("dual_stream_3dcnn", view, SMALLEST)
        return RANDOM_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        body = nn.Sequential(
            DualStream(view, self.width),
            nn.Linear(2 * 4 * self.width * SIDE**2, self.units),
            nn.ReLU(),
            nn.Dropout(self.dropout),
        )
        return HeadedNet(body, nn.Linear(self.units, num_classes), self.units, aux)


class DualStream(nn.Module):
    """The cells of both streams, appearance first."""

    def __init__(self, view: ViewSpec, width: int) -> None:
        super().__init__()
        _, height, across, channels = view.shape
        self.scaled = Scaled(view)
        self.appearance = _stream(channels, width)
        self.motion = _stream(channels, width)
        self.cells = Grid(-(-height // 8), -(-across // 8), SIDE)  # halved three times, rounded up

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b f"]:
        frames = self.scaled(x).transpose(1, 2)
        change = frames[:, :, 1:] - frames[:, :, :1]
        maps = (self.appearance(frames), self.motion(change))
        return torch.cat([self.cells(each.mean(2)) for each in maps], 1)


def _stream(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        *_convolution(channels, width, (1, 2, 2)),
        *_convolution(width, 2 * width, (2, 2, 2)),
        *_convolution(2 * width, 4 * width, (2, 2, 2)),
    )


def _convolution(incoming: int, outgoing: int, stride: tuple[int, int, int]) -> tuple[nn.Module, ...]:
    # Batch normalisation subtracts the mean, so the convolution needs no bias.
    return (
        nn.Conv3d(incoming, outgoing, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm3d(outgoing),
        nn.ReLU(),
    )
