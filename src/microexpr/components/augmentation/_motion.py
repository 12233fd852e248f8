"""Checks and inversion of motion channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from microexpr.core.errors import ConfigError
from microexpr.core.flow import PLANES, directions
from microexpr.core.interfaces import ViewSpec


def named(channels: Sequence[str], motions: Sequence[str]) -> str:
    """Return which of the channels are among `motions`, joined by "and"; empty if none is.

    >>> named(("u", "v", "strain"), ("u", "cos")), named(("r", "g", "b"), ("u", "v"))
    ('u', '')
    """
    return " and ".join(channel for channel in channels if channel in motions)


def check_pixels(name: str, view: ViewSpec) -> None:
    """Raise ConfigError for histograms (Bi-WOOF, LBP-TOP), whose bins would have to change with their blocks."""
    if view.channels in (PLANES, directions(len(view.channels))):
        raise ConfigError(
            "E412",
            f"augmentation {name} moves pixels, but these views are histograms of blocks (channels "
            f"{', '.join(view.channels)}). Leave {name} out, or choose another representation.",
        )


def check_opposite(name: str, view: ViewSpec, motions: Sequence[str]) -> None:
    """Raise ConfigError if the opposite of these motions is unknown."""
    found = named(view.channels, motions)
    if found and not view.scaling:
        raise ConfigError(
            "E411",
            f"augmentation {name} must invert {found}, but the scaling of these images is unknown. Set scaling of the "
            'database to "minmax" if each image was scaled by its own minimum and maximum, or to "centred" if no '
            f"motion is the middle of the range; otherwise leave {name} out.",
        )


def opposite(x: Tensor, view: ViewSpec, motions: Sequence[str], rows: Bool[Tensor, "b"]) -> Tensor:
    """Return ``b t c h w`` with these motions inverted in some rows: low + high - value."""
    turned = torch.tensor([channel in motions for channel in view.channels], device=x.device)
    chosen = rows.to(x.device)[:, None, None, None, None] & turned[:, None, None]
    return torch.where(chosen, view.low + view.high - x, x)
