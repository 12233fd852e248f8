"""Grad-CAM: what the last maps of features say for a class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from microexpr.components.explainers._parts import enlarged, network, ready, resized, trial
from microexpr.components.explainers._tracing import Last, mixed_after, traced
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import Attribution, ViewSpec, explainers

if TYPE_CHECKING:
    from microexpr.core.interfaces import Predictor


@explainers.register("grad_cam")
@dataclass(frozen=True)
class GradCam:
    """Grad-CAM: the last maps of features, each weighted by the mean of its gradients, summed, and negatives left out.

    Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra, "Grad-CAM: visual explanations from deep networks via
    gradient-based localization", ICCV 2017: with maps A of the last layer that has places, and the class score y before
    the softmax, ``ReLU(sum_k mean_ij(dy / dA_k) A_k)``, enlarged bilinearly. Which maps those are is found by following
    the score back through what was computed: the nearest map of at least 2x2 places on every way, of a layer or stage
    with weights. That is the last stage of PoolFormer, the last normalisation of Swin, the last convolutions (or their
    batch normalisation, and what is done to it in place) of the small networks. A PoolFormer that ends in one place is
    looked at one stage earlier.

    Departures: maps of several streams are enlarged to the finest of them and count as channels of one. So do those of
    an ensemble's networks, whose answer is a mean of probabilities: what is followed back is the mean of their scores.
    Where a model runs its layers once a frame, every frame has a map of its own; where it stacks frames as channels,
    one map holds for all of them. Attention that goes on mixing the places after the last map makes Grad-CAM of that
    map meaningless: it is refused (ViT).

    Where no place speaks for the class a map is 0 everywhere. A number added to the scores of all classes changes no
    probability and can change that, so that a model in doubt has empty maps more often.
    """

    label: ClassVar[str] = "Grad-CAM"
    scale: ClassVar[str] = "share in the class's score before the softmax"
    by_class: ClassVar[bool] = True

    def check(self, model: Predictor, view: ViewSpec, name: str) -> None:
        """Raise ConfigError where no map of features has places that reach the classes as they are."""
        module = network(model, name, "gradient to follow")
        with ready(module), traced(module) as trace:
            maps, tokens = trace.last(_score(module, trial(view), 0))
        if not maps:
            raise ConfigError(
                "E104",
                f"{name} has no map of features with two places or more for Grad-CAM: take larger pictures, or "
                "occlusion.",
            )
        if mixed_after(maps, tokens):
            raise ConfigError(
                "E104",
                f"{name} mixes all places by attention after its last map of features, which Grad-CAM cannot follow: "
                "take attention_rollout where the model is a ViT, else occlusion.",
            )

    def __call__(
        self, model: Predictor, x: Float[Tensor, "b t c h w"], classes: Int[np.ndarray, "b"], view: ViewSpec
    ) -> Attribution:
        module = network(model, "the model", "gradient to follow")
        maps, places = [], (0, 0)
        for row, number in zip(x, classes, strict=True):  # one by one: frames of a view may be rows of a batch
            with ready(module), traced(module) as trace:
                score = _score(module, row[None].clone(), int(number))
                last, _ = trace.last(score)
                gradients = torch.autograd.grad(score, [found.tensor for found in last])
            weighted = _joined(last, gradients)
            places = weighted.shape[1], weighted.shape[2]
            maps.append(enlarged(weighted.clamp(min=0), view))
        return Attribution(torch.stack(maps).float().cpu().numpy(), places)


def _score(module: nn.Module, x: Float[Tensor, "1 t c h w"], number: int) -> Float[Tensor, ""]:
    """Return a class's score before the softmax, in an ensemble the mean of its members'."""
    members: Iterable[nn.Module] = getattr(module, "members", (module,))
    given = x.requires_grad_()
    return torch.stack([member(given).logits[0, number] for member in members]).mean()


def _joined(last: Sequence[Last], gradients: Sequence[Tensor]) -> Float[Tensor, "t h w"]:
    """Return the sum over channels and streams, at the finest of their sizes."""
    streams: dict[int, list[Tensor]] = {}
    for found, gradient in zip(last, gradients, strict=True):
        values, slopes = found.channels_first(found.tensor.detach()), found.channels_first(gradient)
        weights = slopes.mean(tuple(range(2, slopes.dim())), keepdim=True)
        shown = (weights * values).sum(1)  # n h w, or n t h w of a convolution over time
        streams.setdefault(id(found.module), []).append(shown.flatten(0, -3))
    each = [torch.cat(calls) for calls in streams.values()]
    finest = tuple(max(found.shape[axis] for found in each) for axis in range(3))
    return torch.stack([resized(found, (finest[0], finest[1], finest[2])) for found in each]).sum(0)
