"""Channels of motion: displacements of optical flow, and histograms of blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from microexpr.core.errors import ConfigError
from microexpr.core.flow import PLANES, directions
from microexpr.core.interfaces import ViewSpec


def named(channels: Sequence[str], motions: Sequence[str]) -> str:
    """Return the channels that hold one of these motions, as words; empty where none does.

    >>> named(("u", "v", "strain"), ("u", "cos")), named(("r", "g", "b"), ("u", "v"))
    ('u', '')
    """
    return " and ".join(channel for channel in channels if channel in motions)


def check_pixels(name: str, view: ViewSpec) -> None:
    """Raise ConfigError for histograms (Bi-WOOF, LBP-TOP), whose bins would have to change with their blocks."""
    if view.channels in (PLANES, directions(len(view.channels))):
        raise ConfigError(
            "E104",
            f"augmentation {name}: it moves pixels, and these views hold histograms of blocks (channels "
            f"{', '.join(view.channels)}), whose bins it would leave as they are; leave {name} out, or take another "
            "representation.",
        )


def check_opposite(name: str, view: ViewSpec, motions: Sequence[str]) -> None:
    """Raise ConfigError where the opposite of these motions is not known."""
    found = named(view.channels, motions)
    if found and not view.scaling:
        raise ConfigError(
            "E104",
            f"augmentation {name}: {found} must become the opposite motion, and how these pictures were scaled is not "
            'known. If each was scaled by its own minimum and maximum say scaling = "minmax" of the database, if no '
            f'motion is the middle of the range "centred"; otherwise leave {name} out.',
        )


def opposite(x: Tensor, view: ViewSpec, motions: Sequence[str], rows: Bool[Tensor, "b"]) -> Tensor:
    """Return ``[b, t, c, h, w]`` with these motions turned into their opposite in some rows: low + high - value."""
    turned = torch.tensor([channel in motions for channel in view.channels], device=x.device)
    chosen = rows.to(x.device)[:, None, None, None, None] & turned[:, None, None]
    return torch.where(chosen, view.low + view.high - x, x)
