"""Channels of optical flow, whose values are displacements in pixels and not brightness."""

from __future__ import annotations

from collections.abc import Sequence

ACROSS, DOWN = "u", "v"


def named(channels: Sequence[str], *motions: str) -> str:
    """Return the channels that hold one of these motions, as words; empty where none does.

    >>> named(("u", "v", "strain"), ACROSS), named(("r", "g", "b"), ACROSS, DOWN)
    ('u', '')
    """
    return " and ".join(channel for channel in channels if channel in motions)
