"""No preprocessing, for precomputed images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from microexpr.core.interfaces import ClipFrames, Frames, preprocessors


@preprocessors.register("as_is")
@dataclass(frozen=True)
class AsIs:
    """Leave every frame unchanged; all frames of a database must have the same size."""

    requires_uncropped: ClassVar[bool] = False

    def __call__(self, frames: ClipFrames, numbers: Sequence[int]) -> Frames:
        pixels = frames.pixels(numbers)
        height, width = pixels.shape[1:3]
        return Frames(pixels, frames.channels, np.tile([0.0, 0.0, width, height], (len(numbers), 1)))
