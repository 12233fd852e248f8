"""M1 and M2 of the paper (section II.A, Table I), and every combination of their factors.

The paper's two preprocessings differ in crop, resolution and colour at once. ``crop`` has a parameter for each of
these; ``m1`` and ``m2`` are the paper's two combinations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from microexpr.core import image
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ClipFrames, Frames, preprocessors

Size = Annotated[int, Field(ge=8, le=2048)]
Margin = Annotated[int, Field(ge=0, le=1000)]
Colour = Literal["rgb", "grey"]
FaceBox = Literal["frame", "onset", "median"]
Border = Literal["clamp", "pad"]
MEDIAN_OF = 9
"""Frames, evenly spaced from onset to offset, over which ``box = "median"`` takes the median."""


@preprocessors.register("crop")
@dataclass(frozen=True)
class Crop:
    """Crop every frame, resize it to a square and choose its colours.

    `crop`: ``none`` resizes the whole frame to the square, changing its aspect ratio; ``centre`` takes the middle;
    ``face`` the detected face.
    `centre`: ``resized`` takes the largest central square (480x480 of a 640x480 frame) and resizes it to `size`;
    ``raw`` crops `size` pixels from the raw frame, which on CASME II cuts off the chin of most faces.
    `box`: the face box of every ``frame``, of the ``onset`` (one per clip), or the ``median`` over the clip.
    `margin`: pixels around the face. `border`: a box that extends beyond the frame is clipped (``clamp``) or padded
    (``pad``).
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
        if self.colour == "grey" and len(frames.channels) > 1 and frames.channels != image.RGB:
            raise ConfigError(
                "E409",
                f'preprocessing: colour = "grey" needs the channels r, g, b, but these frames have '
                f'{", ".join(frames.channels)}. Set colour = "rgb", which leaves channels unchanged.',
            )
        height, width = source.shape[1:3]
        windows = self._windows(frames, numbers, height, width)
        pixels = [
            self._coloured(image.resize(image.cut(frame, box), self.size, self.size))
            for frame, box in zip(source, windows, strict=True)
        ]
        channels = ("grey",) if self.colour == "grey" else frames.channels
        return Frames(np.stack(pixels), channels, windows)

    def _coloured(self, frame: np.ndarray) -> np.ndarray:
        return image.grey(frame) if self.colour == "grey" and frame.shape[2] == 3 else frame

    def _windows(self, frames: ClipFrames, numbers: Sequence[int], height: int, width: int) -> Float[np.ndarray, "t 4"]:
        if self.crop == "none":
            return np.tile([0.0, 0.0, width, height], (len(numbers), 1))
        if self.crop == "centre":
            side = self.size if self.centre == "raw" else None
            if side is not None and side > min(height, width):
                raise ConfigError(
                    "E415",
                    f"preprocessing: a raw centre crop of {side} pixels does not fit into frames of {width}x{height}. "
                    'Set centre = "resized" or a smaller size.',
                )
            return np.tile(image.centre_square(height, width, side), (len(numbers), 1))
        boxes = [image.expand(box, self.margin) for box in self._faces(frames, numbers)]
        return np.stack([image.clamp(box, height, width) if self.border == "clamp" else box for box in boxes])

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
    """M2, face-aware: dlib's box of every frame plus 20 pixels on each side, at 224x224 in grey."""
    return Crop(crop="face", size=size, colour=colour, box=box, margin=margin, border=border, detector=detector)
