"""Depth images in the value range of colour, alone and as a fourth channel."""

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
    """Return depth in 0..255: 255 at `near` and nearer, 0 at `far` and farther, linear in between.

    The limits are the same for every frame of every clip: limits taken from each image would change with its content.
    A missing measurement, 0 in the depth, becomes 0 too, as if it were far. Fractions are kept, because 8 bits over a
    metre would be steps of 4 mm, more than an expression moves. Raises FrameError for images of several channels.
    """
    if depth.shape[3] != 1:
        raise FrameError("E235", f"its depth images have {depth.shape[3]} channels instead of one; copy them again.")
    measured = depth.astype(np.float32)
    return np.asarray(np.where(measured > 0, (far - measured) * (255 / (far - near)), 0).clip(0, 255), np.float32)


def with_depth(
    colour: Num[np.ndarray, "t h w 3"], depth: Float32[np.ndarray, "t h2 w2 1"]
) -> Float32[np.ndarray, "t h w 4"]:
    """Return colour with depth as the fourth channel.

    Depth of another size is resized to colour's by nearest value, since averages between a face and its background are
    meaningless. Raises FrameError where the proportions differ, because then pixels do not correspond.
    """
    (height, width), (own_height, own_width) = colour.shape[1:3], depth.shape[1:3]
    if height * own_width != width * own_height:
        raise FrameError(
            "E235",
            f"its depth images are {own_width}x{own_height} and its colour images {width}x{height}: with different "
            'proportions their pixels do not correspond. Use modality = "colour" or "near_depth".',
        )
    fitted = np.stack([_nearest(frame, height, width) for frame in depth[..., 0]])[..., None]
    return np.concatenate([colour.astype(np.float32), fitted], axis=3)


def _nearest(frame: Float32[np.ndarray, "h w"], height: int, width: int) -> Float32[np.ndarray, "h2 w2"]:
    if frame.shape == (height, width):
        return frame
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_NEAREST_EXACT))
