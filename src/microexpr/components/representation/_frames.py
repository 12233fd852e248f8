"""What representations of motion ask of the frames they are given."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from microexpr.core import image as ops
from microexpr.core.clip import Clip
from microexpr.core.errors import ConfigError, IncompatibleError
from microexpr.core.flow import MOTION
from microexpr.core.interfaces import Frames, Modality


def check_pictures(name: str, incoming: Modality) -> None:
    """Raise ConfigError for channels that are motion already."""
    if MOTION & set(incoming.channels) or incoming.scaling:
        raise ConfigError(
            "E104",
            f"representation {name} is made of frames, and the channels {', '.join(incoming.channels)} of these "
            'pictures are optical flow already; take representation = "pixels".',
        )


def check_brightness(name: str, incoming: Modality) -> None:
    """Raise ConfigError for channels that do not give one brightness."""
    check_pictures(name, incoming)
    if len(incoming.channels) != 1 and incoming.channels != ops.RGB:
        raise ConfigError(
            "E104",
            f"representation {name} takes colour (r, g, b) or one channel, such as grey or depth, and these pictures "
            f"have {', '.join(incoming.channels)}; take another modality. If they are colour, leave `channels` of the "
            "manifest out: pictures of three channels are then read as r, g, b.",
        )


def check_time(name: str, clip: Clip) -> None:
    """Raise UnfitError for ready images: what comes one after the other there is no time."""
    if clip.onset is None:
        raise IncompatibleError(
            "E401",
            f"representation {name} is made of frames, and {clip.key} is a ready image without time; take "
            'representation = "pixels" with a model that looks at pictures.',
        )


def greys(view: Frames) -> UInt8[np.ndarray, "t h w"]:
    """Return the brightness of every frame: BT.601 of colour, one channel as it is.

    What is not of 8 bits, depth say, is first spread over 0..255 by the least and largest value of the view.
    """
    pixels = view.pixels
    if pixels.dtype != np.uint8:
        low, high = float(pixels.min()), float(pixels.max())
        pixels = ((pixels - low) * (255 / (high - low or 1))).round().astype(np.uint8)
    return np.stack([ops.grey(frame)[..., 0] if frame.shape[2] == 3 else frame[..., 0] for frame in pixels])
