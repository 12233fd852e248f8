"""Events as an event camera would fire them: where and when the skin grows brighter or darker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int, UInt8
from pydantic import Field

from microexpr.components.representation._frames import check_brightness, check_time, greys
from microexpr.core import image as ops
from microexpr.core.clip import Clip
from microexpr.core.interfaces import Frames, Modality, View, representations

Side = Annotated[int, Field(ge=8, le=2048)]
CHANNELS = ("positive", "negative", "recency")
ROUNDING = 1e-6
"""Share of a threshold that a change may lack, so that rounding does not decide whether a whole multiple fires."""


@representations.register("temporal_polarity")
@dataclass(frozen=True)
class TemporalPolarity:
    """Events of growing and of falling brightness, counted apart, and when they fired: a picture for each time step.

    After Lin, Guo and Wu, "Temporal-polar dynamics: elevating event-based micro-expression recognition", IEEE Access
    12, 2024, who follow the way an event camera works and give their network the time and the polarity of events. The
    recipe, in its order:

    1. Crop, alignment and size of the frames are those of the preprocessing. Grey as in `flow` (BT.601 of colour), 8
       bits; what has more (depth) is spread over 0..255 by the view's own least and largest value.
    2. ``log(grey + offset)``. The offset keeps the steps of 8 bits small where it is dark: one grey level is at most
       log(1 + 1 / offset), with 20 less than 0.049, so that a step of one level never fires an event by itself.
    3. Each pixel remembers a level, at first that of the first frame. At every frame it fires as many events as the
       whole number of `threshold`s by which it is above (positive) or below (negative), and the level moves by as many
       thresholds towards it, as in a sensor: slow changes add up, what is left counts on, and flicker below the
       threshold fires nothing.
    4. Between two frames brightness is taken to change evenly, so that each event has its time, 0 at the view's first
       frame and 1 at its last by frame numbers. Each of `bins` equal steps of time gives a picture, whatever the number
       of frames.
    5. Resized to `size` x `size` by area (None = as large as the frames).
    6. ``positive`` and ``negative``: events of the step over `most`, cut at 1. ``recency``: the mean time of the step's
       events of both polarities, 0 where none fired (no event has the time 0).

    Channels are 32 bit floats from 0 to 1. They have no direction, so that mirroring a picture mirrors them.

    Only the abstract of the paper is public in words: it names two features of events, their local normalisation, a
    module that joins time and polarity pixel by pixel, and a network that adds optical flow. Here are the features
    alone, normalised by a fixed number of events, for the models of this toolkit. Threshold, offset, `bins` and `most`
    are ours; the thresholds of real sensors, from about 0.1, would miss most of what a micro-expression changes. A
    sensor's noise, its refractory time and the spread of its thresholds are not drawn.
    """

    threshold: Annotated[float, Field(gt=0, le=2)] = 0.05
    offset: Annotated[float, Field(gt=0, le=255)] = 20.0
    bins: Annotated[int, Field(ge=1, le=64)] = 4
    most: Annotated[int, Field(ge=1, le=1000)] = 8
    size: Side | None = None

    cached: ClassVar[bool] = True
    min_frames: ClassVar[int] = 2
    fixed_length: ClassVar[bool] = True

    def output_spec(self, incoming: Modality) -> Modality:
        """Return the counts of both polarities and the time; raises ConfigError for pictures that are flow already."""
        check_brightness("temporal_polarity", incoming)
        return Modality(CHANNELS, 0.0, 1.0)

    def __call__(self, view: Frames, numbers: View, clip: Clip) -> Float[np.ndarray, "t2 h2 w2 3"]:
        check_time("temporal_polarity", clip)
        positive, negative, times = self.counted(greys(view), elapsed(numbers))
        return np.stack([self._picture(np.stack(each, -1)) for each in zip(positive, negative, times, strict=True)])

    def counted(
        self, frames: UInt8[np.ndarray, "t h w"], when: Float[np.ndarray, "t"]
    ) -> Float[np.ndarray, "3 bins h w"]:
        """Return how many positive and negative events fire in each step of time, and the sum of their times."""
        pixels, shape = frames[0].size, (self.bins, *frames.shape[1:])
        where, sign, time = events(np.log(frames.reshape(len(frames), -1) + self.offset), when, self.threshold)
        place = np.minimum((time * self.bins).astype(int), self.bins - 1) * pixels + where
        weights = (sign > 0, sign < 0, time)
        # Without a single event numpy counts in whole numbers.
        sums = [np.bincount(place, weight, pixels * self.bins).astype(float) for weight in weights]
        return np.stack(sums).reshape(len(weights), *shape)

    def _picture(self, counts: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h2 w2 3"]:
        # Counts and times are resized before they are divided: where nothing fired says nothing of when.
        small = counts if self.size is None else ops.resize(counts, self.size, self.size)
        fired = small[..., :2].sum(axis=2)
        recency = np.where(fired > 0, small[..., 2] / np.where(fired > 0, fired, 1), 0)
        return np.dstack([small[..., :2] / self.most, recency]).clip(0, 1).astype(np.float32)


def elapsed(numbers: View) -> Float[np.ndarray, "t"]:
    """Return the time of each frame of a view, from 0 to 1, by how far its number is from the one before.

    >>> elapsed((10, 11, 14)).tolist()
    [0.0, 0.25, 1.0]
    """
    passed = np.concatenate([[0], np.cumsum(np.abs(np.diff(numbers)))])
    return np.asarray(passed / (passed[-1] or 1))


def events(
    levels: Float[np.ndarray, "t p"], when: Float[np.ndarray, "t"], threshold: float
) -> tuple[Int[np.ndarray, "n"], Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Return pixel, sign and time of every event that pixels of these levels fire, from frame to frame.

    >>> pixel, sign, time = events(np.array([[0.0, 0.0], [1.0, 0.2], [1.0, -0.5]]), np.array([0, 0.5, 1]), 0.5)
    >>> pixel.tolist(), sign.tolist(), time.round(3).tolist()
    ([0, 0, 1], [1.0, 1.0, -1.0], [0.25, 0.5, 1.0])
    """
    level = levels[0].copy()
    fired = [(np.empty(0, int), np.empty(0), np.empty(0))]
    for first in range(len(levels) - 1):
        before, after = levels[first], levels[first + 1]
        sign, whole = np.sign(after - level), np.floor(np.abs(after - level) / threshold + ROUNDING)
        for count in range(1, int(whole.max()) + 1):
            where = np.flatnonzero(whole >= count)
            crossed = level[where] + count * threshold * sign[where]
            share = ((crossed - before[where]) / (after[where] - before[where])).clip(0, 1)
            fired.append((where, sign[where], when[first] + share * (when[first + 1] - when[first])))
        level += sign * whole * threshold
    pixel, signs, time = (np.concatenate(part) for part in zip(*fired, strict=True))
    return pixel, signs, time
