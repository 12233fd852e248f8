"""What explainers share: preparing a model, a test input, and maps as large as the view."""

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
def prepared(model: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode with gradients enabled, whatever was set before; restore it afterwards."""
    mode = model.training
    model.eval()
    try:
        # cuDNN's recurrent layers give no gradients in evaluation mode.
        with torch.inference_mode(mode=False), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        model.train(mode)


def probe_view(view: ViewSpec) -> Float[Tensor, "1 t c h w"]:
    """Return a fixed view of random noise, for finding out how a model computes its output."""
    time, height, width, channels = view.shape
    noise = torch.rand(1, time, channels, height, width, generator=torch.Generator().manual_seed(0))
    return view.low + (view.high - view.low) * noise


def network(model: object, name: str, what: str) -> nn.Module:
    """Return the model if it is a network trained through gradients; raises ConfigError otherwise."""
    if not isinstance(model, nn.Module) or isinstance(model, FrozenBackbone):
        raise ConfigError(
            "E418",
            f"{name} is not a network trained end to end, so there is no {what}. Use occlusion, which needs only "
            "predictions.",
        )
    return model


def enlarged(maps: Float[Tensor, "t1 h1 w1"], view: ViewSpec) -> Float[Tensor, "t h w"]:
    """Return maps as large as the view: bilinear between positions, linear between steps if their number differs."""
    return resized(maps, view.shape[:3])


def resized(maps: Float[Tensor, "t1 h1 w1"], size: tuple[int, int, int]) -> Float[Tensor, "t h w"]:
    """Return maps of another size."""
    found: Tensor = functional.interpolate(maps[None, None], size, mode="trilinear", align_corners=False)
    return found[0, 0]
