"""Functions on images that several components need: boxes, resizing, grey levels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float, Int, Num

RGB = ("r", "g", "b")
"""Colour channels, in the order in which images hold them."""
RGB_DEPTH = (*RGB, "depth")
"""Colour channels and depth, scaled to the range of colour, as a fourth one."""
Box = Float[np.ndarray, "4"]
"""A rectangle (x0, y0, x1, y1) in source pixels, x1 and y1 exclusive."""


def centre_square(height: int, width: int, side: int | None = None) -> Box:
    """Return the square of `side` pixels (the short side by default) in the middle of a frame.

    >>> centre_square(480, 640)
    array([ 80.,   0., 560., 480.])
    """
    side = min(height, width) if side is None else side
    x, y = (width - side) // 2, (height - side) // 2
    return np.array([x, y, x + side, y + side], float)


def expand(box: Box, margin: int) -> Box:
    """Return the box with `margin` pixels more on every side."""
    return np.asarray(box + np.array([-margin, -margin, margin, margin]))


def clamp(box: Box, height: int, width: int) -> Box:
    """Return the part of the box that is inside the frame."""
    return np.asarray(np.clip(box, 0, [width, height, width, height]))


def cut(frame: Num[np.ndarray, "h w c"], box: Box) -> Num[np.ndarray, "h2 w2 c"]:
    """Return the pixels in the box; black outside the frame."""
    height, width = frame.shape[:2]
    x0, y0, x1, y1 = (round(float(side)) for side in box)
    inside = frame[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    margins = ((max(-y0, 0), max(y1 - height, 0)), (max(-x0, 0), max(x1 - width, 0)), (0, 0))
    return np.pad(inside, margins) if any(map(any, margins)) else inside


def resize(frame: Num[np.ndarray, "h w c"], height: int, width: int) -> Num[np.ndarray, "h2 w2 c"]:
    """Return the frame resized, by area averaging when it shrinks and bilinearly when it grows."""
    if frame.shape[:2] == (height, width):
        return frame
    shrinks = frame.shape[0] * frame.shape[1] > height * width
    resized = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized).reshape(height, width, -1)


@lru_cache(maxsize=16)
def block_map(height: int, width: int, blocks: int) -> Int[np.ndarray, "h w"]:
    """Return the block number of every pixel, row by row; block i of n begins at row i * height // n.

    >>> block_map(2, 3, 2)
    array([[0, 1, 1],
           [2, 3, 3]])
    """
    rows, columns = (
        np.repeat(np.arange(blocks), np.diff(np.arange(blocks + 1) * side // blocks)) for side in (height, width)
    )
    found = np.asarray(rows[:, None] * blocks + columns)
    found.flags.writeable = False
    return found


def grey(frame: Num[np.ndarray, "h w 3"]) -> Num[np.ndarray, "h w 1"]:
    """Return luma with the weights of ITU-R BT.601 (0.299 R + 0.587 G + 0.114 B)."""
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)).reshape(*frame.shape[:2], 1)


def spread(boxes: Sequence[Box] | Float[np.ndarray, "n 4"]) -> float:
    """Return how much boxes move, in pixels: the standard deviation of their centres, x and y combined.

    >>> spread(np.array([[0, 0, 10, 10], [6, 8, 16, 18]], float))
    5.0
    """
    boxes = np.asarray(boxes, float)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return float(np.sqrt(centres.var(axis=0).sum()))
