"""Unchanged pixels, the input of the paper's models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Num

from microexpr.core.clip import Clip
from microexpr.core.interfaces import Frames, Modality, View, representations


@representations.register("pixels")
@dataclass(frozen=True)
class Pixels:
    """The preprocessed frames, unchanged."""

    cached: ClassVar[bool] = False
    min_frames: ClassVar[int] = 1
    fixed_length: ClassVar[bool] = False
    unchanged: ClassVar[bool] = True
    """Views are the frames themselves, so that many are read at once."""

    def output_spec(self, incoming: Modality) -> Modality:
        """Return the frames' modality, unchanged."""
        return incoming

    def __call__(self, view: Frames, numbers: View, clip: Clip) -> Num[np.ndarray, "t2 h2 w2 c2"]:
        return view.pixels
