"""dlib's frontal face detector: histograms of oriented gradients and a linear classifier (King 2009)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from microexpr.core.interfaces import detectors


@cache
def _detector() -> Any:  # dlib has no types
    import dlib

    return dlib.get_frontal_face_detector()


@detectors.register("dlib_hog")
@dataclass(frozen=True)
class DlibHog:
    """Detect frontal faces of at least 80 pixels, most certain first.

    dlib searches an image pyramid on a grid, so that the boxes of a face that does not move jump by several pixels.
    """

    def __call__(self, frame: UInt8[np.ndarray, "h w c"]) -> Float[np.ndarray, "n 4"]:
        image = np.ascontiguousarray(frame[..., 0] if frame.shape[2] == 1 else frame)
        found, scores, _ = _detector().run(image, 0, 0.0)
        boxes = [(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in found]
        order = np.argsort([-score for score in scores], kind="stable")
        return np.array(boxes, float).reshape(-1, 4)[order]
