"""From a view to features: normalisation, timm's network, its pretrained weights and what of it is frozen."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from timm.models import adapt_input_conv
from torch import Tensor, nn

from microexpr.components.models._architectures import Architecture
from microexpr.core import image as ops
from microexpr.core import pretrained as at_hand
from microexpr.core.errors import WeightsError
from microexpr.core.interfaces import ViewSpec

COLOUR = frozenset({("r", "g", "b"), ("red", "green", "blue")})
GREY = frozenset({("grey",)})
DEEP = frozenset({ops.RGB_DEPTH})


class Body(nn.Module):
    """Single frames in the view's range -> features ``b f``; frozen parts stay in evaluation mode."""

    centre: Tensor
    scale: Tensor

    def __init__(self, net: nn.Module, view: ViewSpec, copies: int, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.net = net
        self.copies = copies
        # ((x - low) / (high - low) - mean) / std in one step; not part of the state, as the view says it.
        span = view.high - view.low
        self.register_buffer("centre", (view.low + span * mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("scale", (1 / (span * std)).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b f"]:
        frame = x[:, 0].expand(-1, self.copies, -1, -1) if self.copies > 1 else x[:, 0]
        features = self.net((frame - self.centre) * self.scale)
        assert isinstance(features, Tensor)
        return features

    def train(self, mode: bool = True) -> Body:
        """Set the mode of whatever is not frozen: a frozen stage without its drop path gives the same every time."""
        super().train(mode)
        for module in self.net.modules():
            own = list(module.parameters())
            if own and not any(parameter.requires_grad for parameter in own):
                module.eval()
        return self


def each_frame(body: Body, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b t f"]:
    """Return the features of every frame: all of them pass through one body."""
    features: Tensor = body(x.flatten(0, 1)[:, None])
    return features.reshape(*x.shape[:2], -1)


def build_body(
    architecture: Architecture, view: ViewSpec, file: Path | None, drop_path: float, frozen_stages: int, grey: str
) -> Body:
    """Return a body for the view with the weights of `file` (random ones for None)."""
    copies = 3 if view.shape[3] == 1 and grey == "copy" else 1
    channels = view.shape[3] * copies
    mean, std = _normalisation(architecture, view, channels)
    net = architecture.build(view, channels, drop_path)
    if file is not None:
        _load(net, architecture, view, file)
    _freeze(net, architecture, frozen_stages)
    return Body(net, view, copies, mean, std)


def _published(architecture: Architecture, view: ViewSpec) -> tuple[Tensor, Tensor]:
    """Return mean and std of the three channels that the published weights were trained on, for this kind of view."""
    if view.channels in COLOUR | GREY | DEEP:
        config = architecture.family.config(architecture.tag(view))
        return torch.tensor(config.mean), torch.tensor(config.std)
    return torch.full((3,), 0.5), torch.full((3,), 0.5)  # flow or depth: nothing is known of their statistics


def _normalisation(architecture: Architecture, view: ViewSpec, channels: int) -> tuple[Tensor, Tensor]:
    mean, std = _published(architecture, view)
    if channels == 1:
        # The grey level at which three equal first-layer weights would answer 0, and their joint slope.
        return (mean / std).sum(0, keepdim=True) / (1 / std).sum(), 3 / (1 / std).sum(0, keepdim=True)
    if view.channels in DEEP:  # depth as if it were a colour of middling statistics
        return torch.cat([mean, mean.mean(0, keepdim=True)]), torch.cat([std, std.mean(0, keepdim=True)])
    return (mean, std) if channels == 3 else (mean[:1].expand(channels), std[:1].expand(channels))


def _load(net: nn.Module, architecture: Architecture, view: ViewSpec, file: Path) -> None:
    config = architecture.family.config(architecture.tag(view))
    state = _body_of(at_hand.load(file), config.first_conv)
    try:
        with warnings.catch_warnings():  # timm's resizing of bias tables meets two complaints of torch
            warnings.filterwarnings("ignore", "torch.searchsorted|Using a non-tuple sequence")
            state = architecture.family.checkpoint_filter(state, net)
        state = {name: value for name, value in state.items() if not name.startswith(f"{config.classifier}.")}
        _fit_first(state, net, architecture, view, config.first_conv)
        net.load_state_dict(state)
    except (AttributeError, KeyError, RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(
            "E501",
            f"{file} holds no weights of {architecture.name} ({reason[:300]}). Take the file of this model, or "
            'weights = "imagenet".',
        ) from None


def _body_of(state: dict[str, Tensor], first: str) -> dict[str, Tensor]:
    """Return the network's part of a whole model that this package saved, other states unchanged.

    Such a model may hold several networks; this one's has the first layer called `first`.
    """
    saved = rf"(body\.(?:\w+\.)?net\.){re.escape(first)}\.weight"
    start = next((found[1] for found in map(re.compile(saved).fullmatch, state) if found), "")
    return {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}


def _fit_first(state: dict[str, Any], net: nn.Module, architecture: Architecture, view: ViewSpec, first: str) -> None:
    """Turn a first layer for three channels into one for the view's one, or its four."""
    weight, wanted = state[f"{first}.weight"], net.get_parameter(f"{first}.weight").shape[1]
    if weight.shape[1] == 3 and wanted == 1:
        _fold_grey(state, architecture, view, first)
    elif weight.shape[1] == 3 and view.channels in DEEP:
        # The mean over the colours for a channel that the weights never saw, as Wang et al. (Temporal Segment Networks,
        # ECCV 2016) begin with optical flow. Where depth is at its mean it adds nothing: colour is answered as before.
        state[f"{first}.weight"] = torch.cat([weight, weight.mean(1, keepdim=True)], 1)


def _fold_grey(state: dict[str, Any], architecture: Architecture, view: ViewSpec, first: str) -> None:
    """Turn a first layer for three channels into one that gives the same for a grey picture in one channel.

    On grey level g it computes ``b + sum_c w_c (g - m_c) / s_c``. With g normalised as ``(g - m) / s`` that is a layer
    of weight ``sum_c w_c s / s_c`` and bias ``b + sum_c w_c (m - m_c) / s_c``: exact in ViT and Swin. PoolFormer's stem
    pads with zeros after normalisation, so the outermost ring of its first map differs a little (the paddings of
    the three channels stand for three grey levels, and one channel has one).
    """
    weight, bias = state[f"{first}.weight"], f"{first}.bias"
    old_mean, old_std = (value.view(1, 3, 1, 1) for value in _published(architecture, view))
    mean, std = _normalisation(architecture, view, 1)
    if bias in state:  # MobileViT has none; its means are 0, so that nothing is shifted
        state[bias] = state[bias] + (weight * (mean - old_mean) / old_std).sum((1, 2, 3))
    state[f"{first}.weight"] = adapt_input_conv(1, weight * std / old_std)


def _freeze(net: nn.Module, architecture: Architecture, stages: int) -> None:
    family = architecture.family
    frozen = [*family.stem, *(f"{family.stages}.{stage}" for stage in range(stages))] if stages else []
    for name, parameter in net.named_parameters():
        if stages == -1 or any(name == part or name.startswith(f"{part}.") for part in frozen):
            parameter.requires_grad_(False)
