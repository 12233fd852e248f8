"""Frame differences, dynamic images, and temporal interpolation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Num
from pydantic import Field

from microexpr.components.representation._frames import check_not_motion, check_time
from microexpr.core.clip import Clip
from microexpr.core.flow import interpolate
from microexpr.core.interfaces import Frames, Modality, View, representations


@representations.register("frame_difference")
@dataclass(frozen=True)
class FrameDifference:
    """The signed change from each frame of a view to the next: t - 1 images of t frames.

    Channel by channel, 32 bit floats in the frames' own units: 0 is no change. The channels are named ``r change`` and
    so on, because they are no longer colours.
    """

    cached: ClassVar[bool] = False
    min_frames: ClassVar[int] = 2
    fixed_length: ClassVar[bool] = False

    def output_spec(self, incoming: Modality) -> Modality:
        """Return the range of differences; raises ConfigError for frames that are already flow."""
        check_not_motion("frame_difference", incoming)
        most = incoming.high - incoming.low
        return Modality(tuple(f"{channel} change" for channel in incoming.channels), -most, most, "centred")

    def __call__(self, view: Frames, numbers: View, clip: Clip) -> Float[np.ndarray, "t2 h2 w2 c2"]:
        check_time("frame_difference", clip)
        return np.diff(view.pixels.astype(np.float32), axis=0)


@representations.register("dynamic_image")
@dataclass(frozen=True)
class DynamicImage:
    """A dynamic image: all frames of a view in one image, as the weighted sum that ranks them in time.

    Approximate rank pooling of Bilen et al. (CVPR 2016; PAMI 2018, eq. 3): of T frames, the t-th has the weight
    ``2 (T - t + 1) - (T + 1) (H_T - H_(t-1))`` with H_t the t-th harmonic number, which corresponds to time-averaged
    frames; with `averaged` off, ``2 t - T - 1``. Weights sum to 0, so that everything static vanishes.

    `scaling`: ``minmax`` scales each channel to 0..255 by its own minimum and maximum, as in the paper, which loses the
    magnitude of the change (a channel without change is 127.5); ``centred`` divides by half the sum of the absolute
    weights, which gives a signed mean difference of late and early frames in the frames' own units, 0 = no change.
    """

    averaged: bool = True
    scaling: Literal["minmax", "centred"] = "minmax"

    cached: ClassVar[bool] = True
    min_frames: ClassVar[int] = 2
    fixed_length: ClassVar[bool] = True

    def output_spec(self, incoming: Modality) -> Modality:
        """Return the same channels; raises ConfigError for frames that are already flow."""
        check_not_motion("dynamic_image", incoming)
        if self.scaling == "minmax":
            return Modality(incoming.channels, 0.0, 255.0, "minmax")
        most = incoming.high - incoming.low
        return Modality(tuple(f"{channel} change" for channel in incoming.channels), -most, most, "centred")

    def __call__(self, view: Frames, numbers: View, clip: Clip) -> Float[np.ndarray, "1 h2 w2 c2"]:
        check_time("dynamic_image", clip)
        weights = rank_pooling(len(view.pixels), averaged=self.averaged).astype(np.float32)
        pooled = np.tensordot(weights, view.pixels.astype(np.float32), axes=1)
        if self.scaling == "centred":
            return np.asarray(pooled[None] / (np.abs(weights).sum() / 2))
        low, high = pooled.min(axis=(0, 1)), pooled.max(axis=(0, 1))
        # Rounded weights leave small residuals where nothing changed.
        moves = high - low > 1e-3
        spread = (pooled - low) * (255 / np.where(moves, high - low, 1))
        return np.where(moves, spread.clip(0, 255), 127.5).astype(np.float32)[None]


def rank_pooling(frames: int, *, averaged: bool = True) -> Float[np.ndarray, "t"]:
    """Return the weight of each frame in a dynamic image.

    >>> rank_pooling(5).round(6).tolist(), rank_pooling(4, averaged=False).tolist()
    ([-3.7, 0.3, 1.3, 1.3, 0.8], [-3.0, -1.0, 1.0, 3.0])
    """
    t = np.arange(1, frames + 1)
    if not averaged:
        return (2 * t - frames - 1).astype(float)
    harmonic = np.concatenate([[0], np.cumsum(1 / t)])
    return np.asarray(2 * (frames - t + 1) - (frames + 1) * (harmonic[-1] - harmonic[:-1]))


@representations.register("tim")
@dataclass(frozen=True)
class TemporalInterpolation:
    """TIM: temporal interpolation of every view to `frames` frames, so that clips have the same length.

    The Temporal Interpolation Model of Zhou, Zhao and Pietikainen (CVPR 2011) as a matrix (`core.flow`). The data type
    is kept: bytes are rounded and clipped to 0..255, because interpolation can overshoot the extreme values. Longer
    clips are only sampled, not smoothed.
    """

    frames: Annotated[int, Field(ge=2, le=512)] = 10

    cached: ClassVar[bool] = True
    min_frames: ClassVar[int] = 2
    fixed_length: ClassVar[bool] = True

    def output_spec(self, incoming: Modality) -> Modality:
        """Return the same channels; raises ConfigError for frames that are already flow."""
        check_not_motion("tim", incoming)
        return incoming

    def __call__(self, view: Frames, numbers: View, clip: Clip) -> Num[np.ndarray, "t2 h2 w2 c2"]:
        check_time("tim", clip)
        return interpolate(view.pixels, self.frames)
