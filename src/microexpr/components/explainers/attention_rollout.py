"""Attention rollout: the contribution of each patch to the output of a vision transformer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from microexpr.components.explainers._parts import enlarged, network, prepared, probe_view
from microexpr.components.explainers._tracing import traced
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import Attribution, ViewSpec, explainers

if TYPE_CHECKING:
    from microexpr.core.interfaces import Predictor


@explainers.register("attention_rollout")
@dataclass(frozen=True)
class AttentionRollout:
    """Attention rollout: the product of all layers' attention, with residual connections counted as half.

    Abnar and Zuidema, "Quantifying attention flow in transformers", ACL 2020: in every layer, the mean over heads A
    becomes ``(A + I) / 2``, and the product over all layers gives the contribution of each patch to each token. With a
    class token, the map is its row; if tokens are averaged (vit_nano), it is the mean of the patches' rows. For models
    that process frames one by one, each frame has its own map.

    It needs attention between all patches of an image (ViT). Swin's attention is limited to shifted windows and cannot
    be multiplied in this way. A rollout shows the origin of information, whatever the class, and ignores what the
    layers in between do with it. timm's fused attention does not expose its weights: it is switched off while the model
    is explained, and on again afterwards.
    """

    label: ClassVar[str] = "attention rollout"
    scale: ClassVar[str] = "share of the answer's attention, the same for every class"
    by_class: ClassVar[bool] = False

    def check(self, model: Predictor, view: ViewSpec, name: str) -> None:
        """Raise ConfigError for models other than vision transformers, and for those with other inputs as well."""
        module = network(model, name, "attention to roll out")
        transformers = _transformers(module)
        if not transformers:
            raise ConfigError(
                "E418",
                f"{name} has no attention between all patches to roll out. Use grad_cam if it has feature maps, "
                "otherwise occlusion.",
            )
        inside = {part for net in transformers for part in net.modules()}
        with prepared(module), traced(module) as trace:
            last, _ = trace.last(module(probe_view(view).requires_grad_()).logits[0, 0])
        if any(found.module not in inside for found in last):
            raise ConfigError(
                "E418",
                f"{name} also uses the image in other ways than by attention, which a rollout would not show. Use "
                "occlusion.",
            )
        self(module, probe_view(view), np.zeros(1, int), view)

    def __call__(
        self, model: Predictor, x: Float[Tensor, "b t c h w"], classes: Int[np.ndarray, "b"], view: ViewSpec
    ) -> Attribution:
        module = network(model, "the model", "attention to roll out")
        transformers = _transformers(module)
        maps = []
        for row in x:  # one by one, because frames of a view may be rows of a batch
            with prepared(module), torch.no_grad(), _unfused(module), _recorded(transformers) as layers_of_each:
                module(row[None])
            rolled = [_rolled(net, layers) for net, layers in zip(transformers, layers_of_each, strict=True)]
            maps.append(torch.stack([enlarged(found, view) for found in rolled]).mean(0))
        height, width = transformers[0].patch_embed.grid_size
        return Attribution(torch.stack(maps).float().cpu().numpy(), (height, width))


def _transformers(module: nn.Module) -> list[Any]:
    """Return the vision transformers in a model: a patch grid, and blocks with attention between all patches."""
    nets: Iterator[Any] = module.modules()
    return [
        net
        for net in nets
        if hasattr(getattr(net, "patch_embed", None), "grid_size")
        and isinstance(getattr(net, "blocks", None), nn.Sequential | nn.ModuleList)
        and all(hasattr(getattr(block, "attn", None), "attn_drop") for block in net.blocks)
    ]


@contextmanager
def _unfused(module: nn.Module) -> Iterator[None]:
    """Disable fused attention, so that attention weights are computed."""
    fused: list[Any] = [part for part in module.modules() if hasattr(part, "fused_attn")]
    before = [part.fused_attn for part in fused]
    try:
        for part in fused:
            part.fused_attn = False
        yield
    finally:
        for part, value in zip(fused, before, strict=True):
            part.fused_attn = value


@contextmanager
def _recorded(transformers: Sequence[Any]) -> Iterator[list[list[Tensor]]]:
    """Record the attention of every block, after the softmax."""
    recorded: list[list[Tensor]] = [[] for _ in transformers]
    with ExitStack() as hooks:
        for net, layers in zip(transformers, recorded, strict=True):
            for block in net.blocks:
                hook = block.attn.attn_drop.register_forward_pre_hook(
                    lambda _, given, layers=layers: layers.append(given[0].detach())
                )
                hooks.callback(hook.remove)
        yield recorded


def _rolled(net: Any, layers: Sequence[Float[Tensor, "n heads m m"]]) -> Float[Tensor, "n h w"]:
    height, width = net.patch_embed.grid_size
    if len(layers) != len(net.blocks):
        raise ConfigError(
            "E418",
            f"only {len(layers)} of {len(net.blocks)} layers of {type(net).__name__} expose their attention, so a "
            "rollout would be empty or wrong. Use occlusion.",
        )
    tokens = layers[0].shape[-1]
    unit = torch.eye(tokens, device=layers[0].device)
    reached = unit
    for attention in layers:
        reached = (attention.mean(1) + unit) / 2 @ reached
    before, pooled = tokens - height * width, getattr(net, "global_pool", "token")
    if pooled not in ("token", "avg", ""):
        raise ConfigError(
            "E418",
            f"{type(net).__name__} pools its tokens by {pooled}, which a rollout cannot represent. Use occlusion.",
        )
    rows = reached[:, 0, before:] if before and pooled == "token" else reached[:, before:, before:].mean(1)
    return rows.reshape(-1, height, width)
