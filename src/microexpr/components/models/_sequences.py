"""What networks of several frames share: enough frames, the range of values, fused scores, grids, and a ConvLSTM."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ViewSpec


def check_frames(name: str, view: ViewSpec, least: int) -> None:
    """Raise ConfigError for views of fewer frames."""
    frames = view.shape[0]
    if frames < least:
        raise ConfigError(
            "E104",
            f"{name} looks at {least} frames at least, and these views have {frames}. Take sampling = {{name = "
            f'"uniform", count = {least}}} (more where the representation makes one picture of several frames, as flow '
            f'and frame_difference do), or sampling = "clip" with representation = {{name = "tim", frames = {least}}}.',
        )


def one_frame(view: ViewSpec) -> ViewSpec:
    """Return what a network that sees the frames one by one is built for."""
    return view._replace(shape=(1, *view.shape[1:]))


def fused(logits: Sequence[Float[Tensor, "b k"]]) -> Float[Tensor, "b k"]:
    """Return the logarithm of the mean of the members' probabilities, finite for any finite scores."""
    each = torch.stack([scores.float().log_softmax(1) for scores in logits])
    return each.logsumexp(0) - math.log(len(logits))


class Scaled(nn.Module):
    """Bring ``low .. high`` to ``-1 .. 1``."""

    def __init__(self, view: ViewSpec) -> None:
        super().__init__()
        self.centre, self.reach = (view.low + view.high) / 2, (view.high - view.low) / 2

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return (x - self.centre) / self.reach


class Grid(nn.Module):
    """Average maps of one size to `side` x `side` cells and flatten them: where on the face something is, roughly.

    The cells are those of torch's adaptive average, but as two small matrices, whose gradient is the same every time
    on a GPU too.
    """

    down: Tensor
    across: Tensor

    def __init__(self, height: int, width: int, side: int) -> None:
        super().__init__()
        # Fixed by the size of the maps, so no part of the state.
        self.register_buffer("down", _averages(height, side), persistent=False)
        self.register_buffer("across", _averages(width, side), persistent=False)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f"]:
        cells: Tensor = self.down @ maps @ self.across.T
        return cells.flatten(1)


def _averages(length: int, cells: int) -> Float[Tensor, "cells length"]:
    columns: Tensor = functional.adaptive_avg_pool1d(torch.eye(length)[None], cells)
    return columns[0].T.contiguous()


class ConvLstm(nn.Module):
    """ConvLSTM over maps of several frames: the hidden maps after the last one.

    Shi, Chen, Wang, Yeung, Wong and Woo, "Convolutional LSTM network: a machine learning approach for precipitation
    nowcasting", NeurIPS 2015, equation 3, with square kernels. Their gates also look at the cell through weights for
    every place ("peepholes"); as in most implementations there are none here, so that any size of maps fits. The bias
    of the gate that forgets starts at 1 (Jozefowicz, Zaremba and Sutskever, ICML 2015).
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
