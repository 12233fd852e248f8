"""What networks for optical flow share: channels found by name and standardised by the training views."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microexpr.components.models._parts import check_side
from microexpr.core.errors import ConfigError
from microexpr.core.flow import ACROSS, DOWN
from microexpr.core.interfaces import ViewSpec

SMALLEST = 28
"""The papers' pictures. Below it a last map would be smaller than the one that the first dense layer is made for."""
FLOW = ("u", "v", "strain")


def check_motion(name: str, view: ViewSpec, needed: tuple[str, ...] = ()) -> None:
    """Raise ConfigError for views that hold no motion across and down (or not the channels `needed`), or are small."""
    held = set(view.channels)
    if not held >= set(needed) or held.isdisjoint(ACROSS) or held.isdisjoint(DOWN):
        what = f"the channels {' and '.join(needed)} of optical flow" if needed else "optical flow"
        raise ConfigError(
            "E104",
            f"{name} looks at {what}, and these views hold {', '.join(view.channels)}; set representation = "
            '"flow" and sampling = "onset_apex". Of ready flow images say what their channels hold, as in '
            'datasets = [{name = "manifest", channels = {onset_apex = ["strain", "v", "u"]}}].',
        )
    check_side(name, view, SMALLEST)


class MotionInput(nn.Module):
    """Take channels by name, whatever their order, stack their steps, and standardise each map.

    Means and standard deviations are those of the training views, which `see` is handed before training; they are kept
    with the weights, and without `see` low .. high becomes -1 .. 1. Strain in pictures that were scaled by minimum and
    maximum is dark and narrow (of 255: mean 8 and deviation 14, against 130 and 56 of u and v in those of the MEGC 2019
    composite), so that it would hardly count as it is. Maps come as all steps of the first channel, all of the second
    ...: u, v, strain, then others by name.
    """

    places: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, view: ViewSpec, channels: tuple[str, ...] = ()) -> None:
        super().__init__()
        others = sorted(set(view.channels) - set(FLOW))
        chosen = channels or tuple(channel for channel in (*FLOW, *others) if channel in view.channels)
        places = torch.tensor([view.channels.index(channel) for channel in chosen])
        self.register_buffer("places", places, persistent=False)  # the view says it
        self.maps = len(chosen) * view.shape[0]
        self.middle, self.reach = (view.low + view.high) / 2, (view.high - view.low) / 2
        self.register_buffer("mean", torch.full((1, self.maps, 1, 1), self.middle))
        self.register_buffer("std", torch.full((1, self.maps, 1, 1), self.reach))

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b m h w"]:
        # Batch normalisation and pooling of few maps are twice as fast on a CPU with the maps of a place side by side.
        return ((self._stacked(x) - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def fit_statistics(self, batches: Iterable[Float[Tensor, "_ t c h w"]]) -> None:
        """Take mean and standard deviation of each map over all training views and places."""
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for batch in batches:
            # About the middle of the range: sums of squares about a value far from the mean would lose digits.
            maps = self._stacked(batch).double().movedim(1, 0).flatten(1) - self.middle
            count += maps.shape[1]
            total, squares = total + maps.sum(1), squares + maps.square().sum(1)
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt()
        std = torch.where(std > 1e-6 * self.reach, std, self.reach)
        self.mean.copy_((mean + self.middle).view_as(self.mean))
        self.std.copy_(std.view_as(self.std))

    def _stacked(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b m h w"]:
        return x.index_select(2, self.places).transpose(1, 2).flatten(1, 2)


class Dropout(nn.Module):
    """Dropout as that of torch, from uniform numbers: a CPU draws them three times as fast as torch's own coins.

    Up to a sixth of the training of these small networks goes into tossing those.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        if not self.training or not self.rate:
            return x
        return x * (torch.rand_like(x, dtype=torch.float32) >= self.rate).to(x.dtype).div_(1 - self.rate)
