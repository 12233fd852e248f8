"""Checks of frames, and grey levels, for representations."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from microexpr.core import image
from microexpr.core.clip import Clip
from microexpr.core.errors import ConfigError, IncompatibleError
from microexpr.core.flow import MOTION
from microexpr.core.interfaces import Frames, Modality


def check_not_motion(name: str, incoming: Modality) -> None:
    """Raise ConfigError for channels that are already optical flow."""
    if MOTION & set(incoming.channels) or incoming.scaling:
        raise ConfigError(
            "E410",
            f"representation {name} is computed from frames, but the channels {', '.join(incoming.channels)} are "
            'already optical flow. Set representation = "pixels".',
        )


def check_brightness(name: str, incoming: Modality) -> None:
    """Raise ConfigError for channels without a single brightness."""
    check_not_motion(name, incoming)
    if len(incoming.channels) != 1 and incoming.channels != image.RGB:
        raise ConfigError(
            "E409",
            f"representation {name} takes colour (r, g, b) or one channel, such as grey or depth, but these frames "
            f"have {', '.join(incoming.channels)}. Choose another modality. If they are colour, leave `channels` out "
            "of the manifest: three channels are then read as r, g, b.",
        )


def check_time(name: str, clip: Clip) -> None:
    """Raise IncompatibleError for precomputed images, which are not a sequence in time."""
    if clip.onset is None:
        raise IncompatibleError(
            "E419",
            f"representation {name} is computed from frames, but {clip.key} is a precomputed image without time. Set "
            'representation = "pixels", with a model for images.',
        )


def greys(view: Frames) -> UInt8[np.ndarray, "t h w"]:
    """Return the brightness of every frame: BT.601 for colour, a single channel unchanged.

    Values of more than 8 bits, such as depth, are first scaled to 0..255 by the minimum and maximum of the view.
    """
    pixels = view.pixels
    if pixels.dtype != np.uint8:
        low, high = float(pixels.min()), float(pixels.max())
        pixels = ((pixels - low) * (255 / (high - low or 1))).round().astype(np.uint8)
    return np.stack([image.grey(frame)[..., 0] if frame.shape[2] == 3 else frame[..., 0] for frame in pixels])
