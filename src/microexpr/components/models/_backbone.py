"""From a view to features: normalisation, timm's network, the weights it starts from, and its frozen stages."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from timm.models import adapt_input_conv
from torch import Tensor, nn

from microexpr.components.models._architectures import Architecture
from microexpr.core import image, pretrained
from microexpr.core.errors import ConfigError, WeightsError
from microexpr.core.interfaces import ViewSpec

COLOUR = frozenset({("r", "g", "b"), ("red", "green", "blue")})
GREY = frozenset({("grey",)})
COLOUR_DEPTH = frozenset({image.RGB_DEPTH})


class Backbone(nn.Module):
    """Single frames in the view's range -> features ``b f``; frozen stages stay in evaluation mode."""

    centre: Tensor
    scale: Tensor

    def __init__(self, net: nn.Module, view: ViewSpec, copies: int, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.net = net
        self.copies = copies
        # ((x - low) / (high - low) - mean) / std in one step; not part of the state, since the view determines it.
        span = view.high - view.low
        self.register_buffer("centre", (view.low + span * mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("scale", (1 / (span * std)).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b f"]:
        frame = x[:, 0].expand(-1, self.copies, -1, -1) if self.copies > 1 else x[:, 0]
        features = self.net((frame - self.centre) * self.scale)
        assert isinstance(features, Tensor)
        return features

    @property
    def num_features(self) -> int:
        """Number of features."""
        features = self.net.num_features
        assert isinstance(features, int)
        return features

    def train(self, mode: bool = True) -> Backbone:
        """Set the mode of all parts that are not frozen; frozen stages, without drop path, stay deterministic."""
        super().train(mode)
        for module in self.net.modules() if mode else ():
            own = list(module.parameters())
            if own and not any(parameter.requires_grad for parameter in own):
                module.eval()
        return self


def each_frame(backbone: Backbone, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b t f"]:
    """Return the features of every frame, all computed by the same backbone."""
    features: Tensor = backbone(x.flatten(0, 1)[:, None])
    return features.reshape(*x.shape[:2], -1)


def build_backbone(
    architecture: Architecture, view: ViewSpec, file: Path | None, drop_path: float, frozen_stages: int, grey: str
) -> Backbone:
    """Return a backbone for the view with the weights of `file`, or random ones for None."""
    copies = 3 if view.shape[3] == 1 and grey == "copy" else 1
    channels = view.shape[3] * copies
    mean, std = _normalisation(architecture, view, channels)
    net = architecture.build(view, channels, drop_path)
    if file is not None:
        _load(net, architecture, view, file)
    _freeze(net, architecture, frozen_stages)
    return Backbone(net, view, copies, mean, std)


def _published(architecture: Architecture, view: ViewSpec) -> tuple[Tensor, Tensor]:
    """Return mean and std of the three channels on which the published weights were trained, for this kind of view."""
    if view.channels in COLOUR | GREY | COLOUR_DEPTH:
        config = architecture.family.config(architecture.tag(view))
        return torch.tensor(config.mean), torch.tensor(config.std)
    return torch.full((3,), 0.5), torch.full((3,), 0.5)  # flow or depth, whose statistics are not known


def _normalisation(architecture: Architecture, view: ViewSpec, channels: int) -> tuple[Tensor, Tensor]:
    mean, std = _published(architecture, view)
    if channels == 1:
        # The grey level to which three equal first-layer weights would respond with 0, and their combined slope.
        return (mean / std).sum(0, keepdim=True) / (1 / std).sum(), 3 / (1 / std).sum(0, keepdim=True)
    if view.channels in COLOUR_DEPTH:  # depth as a colour with average statistics
        return torch.cat([mean, mean.mean(0, keepdim=True)]), torch.cat([std, std.mean(0, keepdim=True)])
    return (mean, std) if channels == 3 else (mean[:1].expand(channels), std[:1].expand(channels))


def _load(net: nn.Module, architecture: Architecture, view: ViewSpec, file: Path) -> None:
    config = architecture.family.config(architecture.tag(view))
    state = _backbone_state(pretrained.load(file), config.first_conv)
    try:
        with warnings.catch_warnings():  # two warnings of torch about timm's resizing of bias tables
            warnings.filterwarnings("ignore", "torch.searchsorted|Using a non-tuple sequence")
            state = architecture.family.checkpoint_filter(state, net)
        state = {name: value for name, value in state.items() if not name.startswith(f"{config.classifier}.")}
        _adapt_first_layer(state, net, architecture, view, config.first_conv)
        net.load_state_dict(state)
    except (AttributeError, KeyError, RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(
            "E505",
            f"{file} does not hold weights of {architecture.name} ({reason[:300]}). Give a file of this model, or set "
            'weights = "imagenet".',
        ) from None


def _backbone_state(state: dict[str, Tensor], first: str) -> dict[str, Tensor]:
    """Return the backbone's part of the state of a model saved by this package; other states unchanged.

    Such a model may contain several networks; this one's part contains the first layer called `first`.
    """
    saved = rf"(body\.(?:\w+\.)?net\.){re.escape(first)}\.weight"
    start = next((found[1] for found in map(re.compile(saved).fullmatch, state) if found), "")
    return {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}


def _adapt_first_layer(
    state: dict[str, Any], net: nn.Module, architecture: Architecture, view: ViewSpec, first: str
) -> None:
    """Adapt a first layer for three channels to a view of one channel, or of four."""
    weight, wanted = state[f"{first}.weight"], net.get_parameter(f"{first}.weight").shape[1]
    if weight.shape[1] == 3 and wanted == 1:
        _fold_grey(state, architecture, view, first)
    elif weight.shape[1] == 3 and view.channels in COLOUR_DEPTH:
        # The new channel starts with the mean over the colours, as optical flow does in Wang et al. (Temporal Segment
        # Networks, ECCV 2016). Depth at its mean contributes nothing, so that the response to colour is unchanged.
        state[f"{first}.weight"] = torch.cat([weight, weight.mean(1, keepdim=True)], 1)


def _fold_grey(state: dict[str, Any], architecture: Architecture, view: ViewSpec, first: str) -> None:
    """Convert a first layer for three channels into an equivalent one for a grey image in one channel.

    For a grey level g it computes ``b + sum_c w_c (g - m_c) / s_c``. With g normalised as ``(g - m) / s`` this is a
    layer with weight ``sum_c w_c s / s_c`` and bias ``b + sum_c w_c (m - m_c) / s_c``: exact for ViT and Swin.
    PoolFormer's stem pads with zeros after normalisation, so that the outermost ring of its first map differs slightly
    (zero padding corresponds to a different grey level in each of the three channels, and to one in a single channel).
    """
    weight, bias = state[f"{first}.weight"], f"{first}.bias"
    old_mean, old_std = (value.view(1, 3, 1, 1) for value in _published(architecture, view))
    mean, std = _normalisation(architecture, view, 1)
    if bias in state:  # MobileViT has none; its means are 0, so that nothing has to be shifted
        state[bias] = state[bias] + (weight * (mean - old_mean) / old_std).sum((1, 2, 3))
    state[f"{first}.weight"] = adapt_input_conv(1, weight * std / old_std)


def _freeze(net: nn.Module, architecture: Architecture, stages: int) -> None:
    family = architecture.family
    frozen = [*family.stem, *(f"{family.stages}.{stage}" for stage in range(stages))] if stages else []
    for name, parameter in net.named_parameters():
        if stages == -1 or any(name == part or name.startswith(f"{part}.") for part in frozen):
            parameter.requires_grad_(False)


# --- the weights to start from ----------------------------------------------------------------------------------------
def default_weights(architecture: Architecture) -> str:
    """Return the default of the parameter `weights`: ImageNet's if there are published ones, otherwise random."""
    return "imagenet" if architecture.tags else "random"


@dataclass(frozen=True)
class StartingWeights:
    """The weights of one network: ``imagenet`` (from the folder of weights), ``hub``, ``random``, or a file's path."""

    architecture: Architecture
    weights: str

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the published weights, for ``microexpr weights fetch``."""
        return tuple(self.architecture.tags.values())

    def metadata(self, view: ViewSpec) -> Mapping[str, str]:
        """Return name and sha256 of the weights; raises ConfigError or WeightsError if there are none."""
        if self.weights == "hub":  # only looked up, not downloaded, so that checks are quick
            tag = self._tag(view)
            return {"weights": tag, "sha256": pretrained.expected(tag).sha256}
        file = self.file(view)
        return {"weights": file.stem, "sha256": pretrained.sha256(file)} if file else {"weights": "random"}

    def file(self, view: ViewSpec) -> Path | None:
        """Return the file of the weights, downloaded for ``hub``; None for random ones."""
        if self.weights == "random":
            return None
        if self.weights == "hub":
            return pretrained.fetch([self._tag(view)])[0]
        return pretrained.locate(self._tag(view)) if self.weights == "imagenet" else pretrained.local(self.weights)

    def _tag(self, view: ViewSpec) -> str:
        tag = self.architecture.tag(view)
        if tag is None:
            raise ConfigError(
                "E512",
                f'there are no published weights of {self.architecture.name}: set weights = "random", or give the '
                "path of a .safetensors file.",
            )
        return tag


def joined_metadata(metadata: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
    """Return the weights' metadata of several networks as one: names and sha256 in order, without repetition."""
    values = {key: dict.fromkeys(each[key] for each in metadata if key in each) for key in ("weights", "sha256")}
    return {key: " + ".join(each) for key, each in values.items() if each}
