"""What explainers share: a model made ready to be looked into, a view to try it on, maps made as large as the view."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import FrozenBackbone, ViewSpec


@contextmanager
def ready(model: nn.Module) -> Iterator[None]:
    """Hold a module in evaluation mode with gradients on, whatever was set around it."""
    mode = model.training
    model.eval()
    try:
        # cuDNN's recurrent layers give no gradients in evaluation mode.
        with torch.inference_mode(mode=False), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        model.train(mode)


def trial(view: ViewSpec) -> Float[Tensor, "1 t c h w"]:
    """Return a view of noise, the same every time: enough to see which way a model computes."""
    time, height, width, channels = view.shape
    noise = torch.rand(1, time, channels, height, width, generator=torch.Generator().manual_seed(0))
    return view.low + (view.high - view.low) * noise


def network(model: object, name: str, what: str) -> nn.Module:
    """Return the model where it is learnt through gradients; raises ConfigError."""
    if not isinstance(model, nn.Module) or isinstance(model, FrozenBackbone):
        raise ConfigError(
            "E104",
            f"{name} is no network that is trained from end to end, so that there is no {what}: take occlusion, "
            "which needs nothing but predictions.",
        )
    return model


def enlarged(maps: Float[Tensor, "t1 h1 w1"], view: ViewSpec) -> Float[Tensor, "t h w"]:
    """Return maps as large as the view: bilinear between places, linear between steps where there are others."""
    return resized(maps, view.shape[:3])


def resized(maps: Float[Tensor, "t1 h1 w1"], size: tuple[int, int, int]) -> Float[Tensor, "t h w"]:
    """Return maps of another size."""
    found: Tensor = functional.interpolate(maps[None, None], size, mode="trilinear", align_corners=False)
    return found[0, 0]
