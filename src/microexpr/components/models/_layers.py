"""Parts that several networks share: heads, input scaling, pooling to cells, score fusion, ConvLSTM, dropout."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from microexpr.core.interfaces import Output, ViewSpec

FLOW = ("u", "v", "strain")
"""Order of the usual channels of optical flow in the input of networks."""


class HeadedNet(nn.Module):
    """``head(body(x))``; `features`: length of the body's output, `aux`: auxiliary target -> number of its outputs."""

    def __init__(self, body: nn.Module, head: nn.Module, features: int, aux: Mapping[str, int]) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.heads = target_heads(features, aux)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Output:
        features = self.body(x)
        return Output(self.head(features), {name: head(features) for name, head in self.heads.items()})


def target_heads(features: int, aux: Mapping[str, int]) -> nn.ModuleDict:
    """Return a linear layer for each auxiliary target; made last, so that the rest of the network starts as without."""
    return nn.ModuleDict({name: nn.Linear(features, outputs) for name, outputs in aux.items()})


def linear_head(features: int, num_classes: int, dropout: float) -> nn.Sequential:
    """Return dropout and a linear layer."""
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(features, num_classes))


class MotionInput(nn.Module):
    """Select channels by name, whatever their order, stack the time steps, and standardise each map.

    Means and standard deviations are those of the training views, measured by `fit_statistics` before training and
    stored with the weights; before that, low .. high becomes -1 .. 1. Strain in images scaled by minimum and maximum is
    dark and has little contrast (of 255: mean 8 and deviation 14, against 130 and 56 for u and v in those of the MEGC
    2019 composite), so that without standardisation it would hardly contribute. Maps are ordered as all steps of the
    first channel, all of the second ...: u, v, strain, then other channels by name.
    """

    places: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, view: ViewSpec, channels: tuple[str, ...] = ()) -> None:
        super().__init__()
        others = sorted(set(view.channels) - set(FLOW))
        chosen = channels or tuple(channel for channel in (*FLOW, *others) if channel in view.channels)
        places = torch.tensor([view.channels.index(channel) for channel in chosen])
        self.register_buffer("places", places, persistent=False)  # determined by the view
        self.maps = len(chosen) * view.shape[0]
        self.middle, self.reach = (view.low + view.high) / 2, (view.high - view.low) / 2
        self.register_buffer("mean", torch.full((1, self.maps, 1, 1), self.middle))
        self.register_buffer("std", torch.full((1, self.maps, 1, 1), self.reach))

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b m h w"]:
        # Batch normalisation and pooling of few maps are twice as fast on a CPU with channels last.
        return ((self._stacked(x) - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def fit_statistics(self, batches: Iterable[Float[Tensor, "_ t c h w"]]) -> None:
        """Measure mean and standard deviation of each map over all training views and pixels."""
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for batch in batches:
            # Relative to the middle of the range: sums of squares about a value far from the mean would lose digits.
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


class Scaled(nn.Module):
    """Bring ``low .. high`` to ``-1 .. 1``."""

    def __init__(self, view: ViewSpec) -> None:
        super().__init__()
        self.centre, self.reach = (view.low + view.high) / 2, (view.high - view.low) / 2

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return (x - self.centre) / self.reach


class Dropout(nn.Module):
    """Dropout like torch's, but from uniform random numbers, which a CPU draws three times as fast as Bernoulli ones.

    Drawing the latter takes up to a sixth of the training time of these small networks.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        if not self.training or not self.rate:
            return x
        return x * (torch.rand_like(x, dtype=torch.float32) >= self.rate).to(x.dtype).div_(1 - self.rate)


def fused(logits: Sequence[Float[Tensor, "b k"]]) -> Float[Tensor, "b k"]:
    """Return the logarithm of the mean of the members' class probabilities, finite for any finite scores."""
    each = torch.stack([scores.float().log_softmax(1) for scores in logits])
    return each.logsumexp(0) - math.log(len(logits))


class Grid(nn.Module):
    """Average maps of a fixed size to `side` x `side` cells and flatten them, which keeps rough positions.

    Equal to torch's adaptive average pooling, but computed with two small matrices, whose gradient is deterministic on
    a GPU too.
    """

    down: Tensor
    across: Tensor

    def __init__(self, height: int, width: int, side: int) -> None:
        super().__init__()
        # Determined by the size of the maps, so not part of the state.
        self.register_buffer("down", _averages(height, side), persistent=False)
        self.register_buffer("across", _averages(width, side), persistent=False)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f"]:
        cells: Tensor = self.down @ maps @ self.across.T
        return cells.flatten(1)


def _averages(length: int, cells: int) -> Float[Tensor, "cells length"]:
    columns: Tensor = functional.adaptive_avg_pool1d(torch.eye(length)[None], cells)
    return columns[0].T.contiguous()


class ConvLstm(nn.Module):
    """ConvLSTM over the maps of several frames; returns the hidden maps after the last one.

    Shi, Chen, Wang, Yeung, Wong and Woo, "Convolutional LSTM network: a machine learning approach for precipitation
    nowcasting", NeurIPS 2015, equation 3, with square kernels. Their gates also depend on the cell through weights for
    every position ("peepholes"); as in most implementations these are left out, so that any map size fits. The bias of
    the forget gate starts at 1 (Jozefowicz, Zaremba and Sutskever, ICML 2015).
    """

    def __init__(self, incoming: int, hidden: int, kernel: int = 3) -> None:
        super().__init__()
        self.hidden = hidden
        self.from_input = nn.Conv2d(incoming, 4 * hidden, kernel, padding=kernel // 2)
        self.from_state = nn.Conv2d(hidden, 4 * hidden, kernel, padding=kernel // 2, bias=False)
        assert self.from_input.bias is not None
        nn.init.zeros_(self.from_input.bias)
        nn.init.ones_(self.from_input.bias[hidden : 2 * hidden])

    def forward(self, maps: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b f h w"]:
        rows, frames, _, height, width = maps.shape
        seen: Tensor = self.from_input(maps.flatten(0, 1))
        state = cell = seen.new_zeros(rows, self.hidden, height, width)
        for frame in seen.view(rows, frames, -1, height, width).unbind(1):
            enter, forget, change, leave = (frame + self.from_state(state)).chunk(4, 1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * change.tanh()
            state = leave.sigmoid() * cell.tanh()
        return state
