"""Grad-CAM: the contribution of the last feature maps to a class score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from microexpr.components.explainers._parts import enlarged, network, prepared, probe_view, resized
from microexpr.components.explainers._tracing import Last, mixed_after, traced
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import Attribution, ViewSpec, explainers

if TYPE_CHECKING:
    from microexpr.core.interfaces import Predictor


@explainers.register("grad_cam")
@dataclass(frozen=True)
class GradCam:
    """Grad-CAM: the sum of the last feature maps, weighted by their mean gradients, without negative values.

    Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra, "Grad-CAM: visual explanations from deep networks via
    gradient-based localization", ICCV 2017: with maps A of the last layer with spatial positions, and the class score y
    before the softmax, ``ReLU(sum_k mean_ij(dy / dA_k) A_k)``, upsampled bilinearly. These maps are found by tracing
    the score back through the computation: on every path, the nearest map of at least 2x2 positions of a layer or stage
    with weights. That is the last stage of PoolFormer, the last normalisation of Swin, the last convolutions of the
    small networks (or their batch normalisation, and in-place operations on it). For a PoolFormer that ends in a single
    position it is the stage before.

    Departures: maps of several streams are upsampled to the finest of them and treated as channels of one map. So are
    those of the members of an ensemble, whose output is a mean of probabilities: the mean of their scores is traced
    back. If a model applies its layers once per frame, every frame has its own map; if it stacks frames as channels,
    they share one map. If attention mixes the positions after the last map, Grad-CAM of that map would be meaningless,
    and an error is raised (ViT).

    If no position contributes to the class, the map is 0 everywhere. A constant added to the scores of all classes does
    not change the probabilities but can change this, so that uncertain models have empty maps more often.
    """

    label: ClassVar[str] = "Grad-CAM"
    scale: ClassVar[str] = "share of the class's score before the softmax"
    by_class: ClassVar[bool] = True

    def check(self, model: Predictor, view: ViewSpec, name: str) -> None:
        """Raise ConfigError if there is no feature map whose positions reach the class scores unmixed."""
        module = network(model, name, "gradient to follow")
        with prepared(module), traced(module) as trace:
            maps, tokens = trace.last(_score(module, probe_view(view), 0))
        if not maps:
            raise ConfigError(
                "E418",
                f"{name} has no feature map with two positions or more for Grad-CAM. Use larger images, or occlusion.",
            )
        if mixed_after(maps, tokens):
            raise ConfigError(
                "E418",
                f"{name} mixes all positions by attention after its last feature map, which Grad-CAM cannot trace. Use "
                "attention_rollout if the model is a ViT, otherwise occlusion.",
            )

    def __call__(
        self, model: Predictor, x: Float[Tensor, "b t c h w"], classes: Int[np.ndarray, "b"], view: ViewSpec
    ) -> Attribution:
        module = network(model, "the model", "gradient to follow")
        maps, places = [], (0, 0)
        for row, number in zip(x, classes, strict=True):  # one by one, because frames may be rows of a batch
            with prepared(module), traced(module) as trace:
                score = _score(module, row[None].clone(), int(number))
                last, _ = trace.last(score)
                gradients = torch.autograd.grad(score, [found.tensor for found in last])
            weighted = _joined(last, gradients)
            places = weighted.shape[1], weighted.shape[2]
            maps.append(enlarged(weighted.clamp(min=0), view))
        return Attribution(torch.stack(maps).float().cpu().numpy(), places)


def _score(module: nn.Module, x: Float[Tensor, "1 t c h w"], number: int) -> Float[Tensor, ""]:
    """Return a class's score before the softmax; for an ensemble, the mean over its members."""
    members: Iterable[nn.Module] = getattr(module, "members", (module,))
    inputs = x.requires_grad_()
    return torch.stack([member(inputs).logits[0, number] for member in members]).mean()


def _joined(last: Sequence[Last], gradients: Sequence[Tensor]) -> Float[Tensor, "t h w"]:
    """Return the sum over channels and streams, at the finest of their resolutions."""
    streams: dict[int, list[Tensor]] = {}
    for found, gradient in zip(last, gradients, strict=True):
        values, slopes = found.channels_first(found.tensor.detach()), found.channels_first(gradient)
        weights = slopes.mean(tuple(range(2, slopes.dim())), keepdim=True)
        summed = (weights * values).sum(1)  # n h w, or n t h w for a convolution over time
        streams.setdefault(id(found.module), []).append(summed.flatten(0, -3))
    each = [torch.cat(calls) for calls in streams.values()]
    finest = tuple(max(found.shape[axis] for found in each) for axis in range(3))
    return torch.stack([resized(found, (finest[0], finest[1], finest[2])) for found in each]).sum(0)
