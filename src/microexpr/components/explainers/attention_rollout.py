"""Attention rollout: from which patches the answer of a vision transformer comes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from microexpr.components.explainers._parts import enlarged, network, ready, trial
from microexpr.components.explainers._tracing import traced
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import Attribution, ViewSpec, explainers

if TYPE_CHECKING:
    from microexpr.core.interfaces import Predictor


@explainers.register("attention_rollout")
@dataclass(frozen=True)
class AttentionRollout:
    """Attention rollout: the attention of all layers multiplied, with the way around each layer counted as half.

    Abnar and Zuidema, "Quantifying attention flow in transformers", ACL 2020: in every layer the mean over heads A
    becomes ``(A + I) / 2``, and the product of all layers says how much of what is at each patch reaches each token.
    With a class token its row is the map; where the tokens are averaged (vit_nano), the mean of the patches' rows.
    Frames that the model looks at one by one have a map each.

    It needs attention between all patches of a picture (ViT). That of Swin stays within windows that move, and cannot
    be multiplied through. It says where information comes from, whatever class is asked for, and nothing of what the
    layers between do with it. timm's fused attention never shows its weights: it is switched off while the model is
    looked into, and on again afterwards.
    """

    label: ClassVar[str] = "attention rollout"
    scale: ClassVar[str] = "share of the answer's attention, the same for every class"
    by_class: ClassVar[bool] = False

    def check(self, model: Predictor, view: ViewSpec, name: str) -> None:
        """Raise ConfigError for models other than vision transformers, and where something else looks as well."""
        module = network(model, name, "attention to roll out")
        transformers = _transformers(module)
        if not transformers:
            raise ConfigError(
                "E104",
                f"{name} has no attention between all patches to roll out: take grad_cam where it has maps of "
                "features, or occlusion.",
            )
        inside = {part for net in transformers for part in net.modules()}
        with ready(module), traced(module) as trace:
            last, _ = trace.last(module(trial(view).requires_grad_()).logits[0, 0])
        if any(found.module not in inside for found in last):
            raise ConfigError(
                "E104",
                f"{name} looks with more than its attention, and a rollout would show that part alone: take occlusion.",
            )
        self(module, trial(view), np.zeros(1, int), view)

    def __call__(
        self, model: Predictor, x: Float[Tensor, "b t c h w"], classes: Int[np.ndarray, "b"], view: ViewSpec
    ) -> Attribution:
        module = network(model, "the model", "attention to roll out")
        transformers = _transformers(module)
        maps = []
        for row in x:  # one by one: frames of a view may be rows of a batch
            with ready(module), torch.no_grad(), _unfused(module), _watched(transformers) as seen:
                module(row[None])
            rolled = [_rolled(net, layers) for net, layers in zip(transformers, seen, strict=True)]
            maps.append(torch.stack([enlarged(found, view) for found in rolled]).mean(0))
        height, width = transformers[0].patch_embed.grid_size
        return Attribution(torch.stack(maps).float().cpu().numpy(), (height, width))


def _transformers(module: nn.Module) -> list[Any]:
    """Return the vision transformers in a model: a grid of patches, and blocks of attention between all of them."""
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
    """Let attention be computed step by step, so that its weights exist."""
    fused: list[Any] = [part for part in module.modules() if hasattr(part, "fused_attn")]
    before = [part.fused_attn for part in fused]
    try:
        for part in fused:
            part.fused_attn = False
        yield
    finally:
        for part, usual in zip(fused, before, strict=True):
            part.fused_attn = usual


@contextmanager
def _watched(transformers: Sequence[Any]) -> Iterator[list[list[Tensor]]]:
    """Note the attention of every block, after the softmax."""
    seen: list[list[Tensor]] = [[] for _ in transformers]
    with ExitStack() as hooks:
        for net, layers in zip(transformers, seen, strict=True):
            for block in net.blocks:
                watch = block.attn.attn_drop.register_forward_pre_hook(
                    lambda _, given, layers=layers: layers.append(given[0].detach())
                )
                hooks.callback(watch.remove)
        yield seen


def _rolled(net: Any, layers: Sequence[Float[Tensor, "n heads m m"]]) -> Float[Tensor, "n h w"]:
    height, width = net.patch_embed.grid_size
    if len(layers) != len(net.blocks):
        raise ConfigError(
            "E104",
            f"only {len(layers)} of {len(net.blocks)} layers of {type(net).__name__} showed their attention, so that a "
            "rollout would be empty or false: take occlusion.",
        )
    tokens = layers[0].shape[-1]
    unit = torch.eye(tokens, device=layers[0].device)
    reached = unit
    for attention in layers:
        reached = (attention.mean(1) + unit) / 2 @ reached
    before, pooled = tokens - height * width, getattr(net, "global_pool", "token")
    if pooled not in ("token", "avg", ""):
        raise ConfigError(
            "E104", f"{type(net).__name__} pools its tokens by {pooled}, which a rollout cannot tell: take occlusion."
        )
    rows = reached[:, 0, before:] if before and pooled == "token" else reached[:, before:, before:].mean(1)
    return rows.reshape(-1, height, width)
