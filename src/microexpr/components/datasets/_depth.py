"""Depth in the range of colour, by itself and as a fourth channel."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, Num

from microexpr.core import image as ops
from microexpr.core.errors import FrameError
from microexpr.core.interfaces import Modality

DEPTH: Final = Modality(("depth",), 0.0, 65535.0)
NEAR_DEPTH: Final = Modality(("depth",))
COLOUR_DEPTH: Final = Modality(ops.RGB_DEPTH)


def in_range(depth: Num[np.ndarray, "t h w c"], near: int, far: int) -> Float32[np.ndarray, "t h w 1"]:
    """Return depth in 0..255: 255 at `near` and nearer, 0 at `far` and farther, straight in between.

    The same for every frame of every clip: limits taken from each picture would move with what it shows. No
    measurement, 0 in the depth, becomes 0 too, as if it were far. Fractions are kept, because 8 bits over a metre
    would be steps of 4 mm, more than an expression moves. Raises FrameError for pictures of several channels.
    """
    if depth.shape[3] != 1:
        raise FrameError("E202", f"its depth pictures have {depth.shape[3]} channels and not one; copy them again.")
    measured = depth.astype(np.float32)
    return np.asarray(np.where(measured > 0, (far - measured) * (255 / (far - near)), 0).clip(0, 255), np.float32)


def with_depth(
    colour: Num[np.ndarray, "t h w 3"], depth: Float32[np.ndarray, "t h2 w2 1"]
) -> Float32[np.ndarray, "t h w 4"]:
    """Return colour with depth behind it.

    Depth of another size is brought to colour's by its nearest value, since between a face and what is behind it there
    is nothing to average. Raises FrameError where the proportions differ: the two would not show the same places.
    """
    (height, width), (own_height, own_width) = colour.shape[1:3], depth.shape[1:3]
    if height * own_width != width * own_height:
        raise FrameError(
            "E202",
            f"its depth pictures are {own_width}x{own_height} and its colour pictures {width}x{height}: of other "
            'proportions they do not show the same places. Take modality = "colour" or "near_depth".',
        )
    fitted = np.stack([_nearest(frame, height, width) for frame in depth[..., 0]])[..., None]
    return np.concatenate([colour.astype(np.float32), fitted], axis=3)


def _nearest(frame: Float32[np.ndarray, "h w"], height: int, width: int) -> Float32[np.ndarray, "h2 w2"]:
    if frame.shape == (height, width):
        return frame
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_NEAREST_EXACT))
