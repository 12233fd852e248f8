"""Networks of the tests: built alike, shown drawn pixels, counted, and asked what no gradient reaches."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from microexpr.core.interfaces import ViewSpec, models

GREY, RGB = ("grey",), ("r", "g", "b")
FLOW = ("u", "v", "strain")


def built(
    name: str, spec: ViewSpec, classes: int = 3, action_units: int = 0, *, seed: int = 0, **params: object
) -> nn.Module:
    """A network from its seed, with a head of so many action units where there are any."""
    torch.manual_seed(seed)
    model = models.build(name, params)(spec, classes, {"action_units": action_units} if action_units else {})
    assert isinstance(model, nn.Module)
    return model


def pixels(spec: ViewSpec, rows: int = 2) -> Tensor:
    """Noise over the whole range of the view: [rows, t, c, h, w]."""
    t, h, w, c = spec.shape
    noise = torch.rand(rows, t, c, h, w, generator=torch.Generator().manual_seed(1))
    return spec.low + (spec.high - spec.low) * noise


def count(module: nn.Module) -> int:
    """Its parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def still(module: nn.Module) -> list[str]:
    """The parameters that no gradient reaches, frozen ones among them."""
    return [name for name, value in module.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0]


def saved(module: nn.Module, path: Path) -> str:
    """The file that holds its weights."""
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, path)
    return str(path)
