"""Facial regions as parts of the face box, and the share of a map in each."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import numpy as np
from jaxtyping import Bool, Float

from microexpr.core import image as ops
from microexpr.core.errors import NoFaceError
from microexpr.core.interfaces import View
from microexpr.runs.plan import Plan

Rectangle = tuple[float, float, float, float]
REGIONS: Mapping[str, tuple[Rectangle, ...]] = {
    "brows": ((0.05, 0.05, 0.95, 0.24),),
    "eyes": ((0.05, 0.24, 0.95, 0.42),),
    "nose": ((0.34, 0.42, 0.66, 0.72),),
    "cheeks": ((0.02, 0.42, 0.34, 0.72), (0.66, 0.42, 0.98, 0.72)),
    "mouth": ((0.22, 0.72, 0.78, 0.92),),
    "chin": ((0.22, 0.92, 0.78, 1.12),),
}
"""Rectangles x0, y0, x1, y1 as fractions of the detected box, left and right combined. The box ends above the chin.

In the boxes that dlib finds around twelve synthetic faces, brows are at 0.12 to 0.18 of the height, eyes at 0.25 to
0.37, the tip of the nose at 0.63, the mouth at 0.76 to 0.88 and the edge of the chin at 1.10 (means); a box is easily
0.05 off.
"""
WHOLE = np.array([0.0, 0.0, 1.0, 1.0])
"""The face box of an image that is cropped to the face."""
DETECTOR = "dlib_hog"


def masks(box: Float[np.ndarray, "4"], height: int, width: int) -> Bool[np.ndarray, "r h w"]:
    """Return which pixels (by their centres) belong to each region; `box` is in fractions of the image."""
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    down, across = (y - box[1]) / (box[3] - box[1]), (x - box[0]) / (box[2] - box[0])
    found = np.zeros((len(REGIONS), height, width), bool)
    for mask, parts in zip(found, REGIONS.values(), strict=True):
        for x0, y0, x1, y1 in parts:
            mask |= np.outer((down >= y0) & (down < y1), (across >= x0) & (across < x1))
    return found


def shares(
    maps: Float[np.ndarray, "t h w"], box: Float[np.ndarray, "4"]
) -> tuple[Float[np.ndarray, "r"], Float[np.ndarray, "r"]]:
    """Return the share of a map in each region (NaN if the map is 0 everywhere), and the share of the image area."""
    summed = maps.sum(0, dtype=float)
    inside = masks(box, *summed.shape)
    total = summed.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return (inside * summed).sum((1, 2)) / total, inside.mean((1, 2))


def face(plan: Plan, row: int, numbers: View, windows: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "4"]:
    """Return the face box of a view in fractions of its image, the mean over its first and last frame.

    The whole image if it is cropped to the face already; NaN if no face is found.
    """
    clip, frames = plan.data.clips[row], plan.data.cache.frames(plan.data.clips[row])
    if clip.onset is None or plan.data.dataset.cropped():
        return WHOLE
    if frames.channels not in (ops.RGB, ops.RGB_DEPTH, ("grey",)):
        return np.full(4, np.nan)
    detector, found = getattr(plan.preprocessor, "detector", DETECTOR), []
    for number, window in {numbers[0]: windows[0], numbers[-1]: windows[-1]}.items():
        with suppress(NoFaceError):  # a frame without a face is left out of the mean
            box = frames.boxes([number], detector)[0]
            found.append((box - np.tile(window[:2], 2)) / np.tile(window[2:] - window[:2], 2))
    return np.mean(found, axis=0) if found else np.full(4, np.nan)
