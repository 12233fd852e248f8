"""M1 and M2 of the paper (section II.A, Table I), and every single factor between them.

The paper's two preprocessings differ in crop, resolution and colour at once. ``crop`` has each as a parameter of
its own; ``m1`` and ``m2`` are its two corners with the paper's values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from microexpr.core import image as ops
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ClipFrames, Frames, preprocessors

Size = Annotated[int, Field(ge=8, le=2048)]
Margin = Annotated[int, Field(ge=0, le=1000)]
Colour = Literal["rgb", "grey"]
FaceBox = Literal["frame", "onset", "median"]
Border = Literal["clamp", "pad"]
MEDIAN_OF = 9
"""Frames, evenly spaced from onset to offset, whose median box ``box = "median"`` takes."""


@preprocessors.register("crop")
@dataclass(frozen=True)
class Crop:
    """Cut a part of every frame, resize it to a square and choose its colours.

    `crop`: ``none`` squeezes the whole frame into the square; ``centre`` takes the middle; ``face`` the detected face.
    `centre`: ``resized`` resizes the short side to `size` first (the middle 480x480 of a 640x480 frame); ``raw`` cuts
    `size` pixels from the raw frame, which on CASME II cuts the chin of most faces.
    `box`: the face of every ``frame``, of the ``onset`` (one a clip), or the ``median`` over the clip.
    `margin`: pixels around the face. `border`: a box that leaves the frame is cut (``clamp``) or filled (``pad``).
    """

    crop: Literal["none", "centre", "face"] = "centre"
    size: Size = 384
    colour: Colour = "rgb"
    centre: Literal["resized", "raw"] = "resized"
    box: FaceBox = "frame"
    margin: Margin = 20
    border: Border = "clamp"
    detector: str = "dlib_hog"

    requires_uncropped: ClassVar[bool] = True

    def __call__(self, frames: ClipFrames, numbers: Sequence[int]) -> Frames:
        source = frames.pixels(numbers)
        if self.colour == "grey" and len(frames.channels) > 1 and frames.channels != ops.RGB:
            raise ConfigError(
                "E104",
                f'preprocessing: colour = "grey" weighs red, green and blue, and these frames hold '
                f'{", ".join(frames.channels)}; take colour = "rgb", which leaves channels as they are.',
            )
        height, width = source.shape[1:3]
        windows = self._windows(frames, numbers, height, width)
        pixels = [
            self._coloured(ops.resize(ops.cut(frame, box), self.size, self.size))
            for frame, box in zip(source, windows, strict=True)
        ]
        channels = ("grey",) if self.colour == "grey" else frames.channels
        return Frames(np.stack(pixels), channels, windows)

    def _coloured(self, frame: np.ndarray) -> np.ndarray:
        return ops.grey(frame) if self.colour == "grey" and frame.shape[2] == 3 else frame

    def _windows(self, frames: ClipFrames, numbers: Sequence[int], height: int, width: int) -> Float[np.ndarray, "t 4"]:
        if self.crop == "none":
            return np.tile([0.0, 0.0, width, height], (len(numbers), 1))
        if self.crop == "centre":
            side = self.size if self.centre == "raw" else None
            if side is not None and side > min(height, width):
                raise ConfigError(
                    "E104",
                    f"preprocessing: a raw centre crop of {side} pixels does not fit into frames of {width}x{height}; "
                    'take centre = "resized" or a smaller size.',
                )
            return np.tile(ops.centre_square(height, width, side), (len(numbers), 1))
        boxes = [ops.expand(box, self.margin) for box in self._faces(frames, numbers)]
        return np.stack([ops.clamp(box, height, width) if self.border == "clamp" else box for box in boxes])

    def _faces(self, frames: ClipFrames, numbers: Sequence[int]) -> Float[np.ndarray, "t 4"]:
        clip = frames.clip
        if self.box == "frame" or clip.onset is None or clip.offset is None:
            return frames.boxes(numbers, self.detector)
        if self.box == "onset":
            box = frames.boxes([clip.onset], self.detector)[0]
        else:
            spaced = np.unique(np.linspace(clip.onset, clip.offset, MEDIAN_OF).round().astype(int))
            box = np.median(frames.boxes([int(number) for number in spaced], self.detector), axis=0)
        return np.tile(box, (len(numbers), 1))


@preprocessors.register("m1")
def m1(size: Size = 384, colour: Colour = "rgb", centre: Literal["resized", "raw"] = "resized") -> Crop:
    """M1, raw: the centre crop of the frame at 384x384 in colour."""
    return Crop(crop="centre", size=size, colour=colour, centre=centre)


@preprocessors.register("m2")
def m2(
    size: Size = 224,
    colour: Colour = "grey",
    box: FaceBox = "frame",
    margin: Margin = 20,
    border: Border = "clamp",
    detector: str = "dlib_hog",
) -> Crop:
    """M2, face-aware: dlib's box of every frame with 20 pixels around it, at 224x224 in grey."""
    return Crop(crop="face", size=size, colour=colour, box=box, margin=margin, border=border, detector=detector)
