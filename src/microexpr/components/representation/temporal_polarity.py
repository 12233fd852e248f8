"""Events as in an event camera: where and when the skin becomes brighter or darker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int, UInt8
from pydantic import Field

from microexpr.components.representation._frames import check_brightness, check_time, greys
from microexpr.core import image
from microexpr.core.clip import Clip
from microexpr.core.interfaces import Frames, Modality, View, representations

Side = Annotated[int, Field(ge=8, le=2048)]
CHANNELS = ("positive", "negative", "recency")
ROUNDING = 1e-6
"""Tolerance as a share of the threshold, so that rounding does not decide whether a whole multiple is an event."""


@representations.register("temporal_polarity")
@dataclass(frozen=True)
class TemporalPolarity:
    """Events of increasing and decreasing brightness, counted separately, and their times: one image per time step.

    After Lin, Guo and Wu, "Temporal-polar dynamics: elevating event-based micro-expression recognition", IEEE Access
    12, 2024, who imitate an event camera and give their network the time and the polarity of events. The steps, in this
    order:

    1. Crop, alignment and size of the frames are those of the preprocessing. Grey as in `flow` (BT.601 for colour), 8
       bits; more bits (depth) are scaled to 0..255 by the view's own minimum and maximum.
    2. ``log(grey + offset)``. The offset limits the steps of 8 bits in dark areas: one grey level is at most
       log(1 + 1 / offset), with 20 less than 0.049, so that a single level never causes an event.
    3. Each pixel has a reference level, initially that of the first frame. At every frame it fires as many events as
       the number of whole `threshold`s by which it is above (positive) or below (negative), and the level moves by as
       many thresholds, as in a sensor: slow changes add up, remainders are kept, and flicker below the threshold has no
       effect.
    4. Brightness is assumed to change linearly between two frames, so that each event has a time: 0 at the view's first
       frame and 1 at its last, by frame numbers. Each of `bins` equal time steps gives an image, whatever the number of
       frames.
    5. Resized to `size` x `size` by area (None = as large as the frames).
    6. ``positive`` and ``negative``: number of events in the step divided by `most`, clipped at 1. ``recency``: the
       mean time of the step's events of both polarities, 0 without events (no event has time 0).

    Channels are 32 bit floats from 0 to 1. They have no direction, so that mirroring an image is correct for them.

    Only the abstract of the paper is public: it names two features of events, their local normalisation, a module that
    combines time and polarity pixel by pixel, and a network that adds optical flow. Only the features are implemented
    here, normalised by a fixed number of events, for the models of this toolkit. Threshold, offset, `bins` and `most`
    are ours; the thresholds of real sensors, from about 0.1, would miss most of a micro-expression. A sensor's noise,
    its refractory period and the variation of its thresholds are not simulated.
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
        """Return both polarities and the time; raises ConfigError for frames that are already flow."""
        check_brightness("temporal_polarity", incoming)
        return Modality(CHANNELS, 0.0, 1.0)

    def __call__(self, view: Frames, numbers: View, clip: Clip) -> Float[np.ndarray, "t2 h2 w2 3"]:
        check_time("temporal_polarity", clip)
        positive, negative, times = self.counted(greys(view), elapsed(numbers))
        return np.stack([self._scaled(np.stack(each, -1)) for each in zip(positive, negative, times, strict=True)])

    def counted(
        self, frames: UInt8[np.ndarray, "t h w"], when: Float[np.ndarray, "t"]
    ) -> Float[np.ndarray, "3 bins h w"]:
        """Return the number of positive and of negative events in each time step, and the sum of their times."""
        pixels, shape = frames[0].size, (self.bins, *frames.shape[1:])
        where, sign, time = events(np.log(frames.reshape(len(frames), -1) + self.offset), when, self.threshold)
        place = np.minimum((time * self.bins).astype(int), self.bins - 1) * pixels + where
        weights = (sign > 0, sign < 0, time)
        # Without any events numpy counts in integers.
        sums = [np.bincount(place, weight, pixels * self.bins).astype(float) for weight in weights]
        return np.stack(sums).reshape(len(weights), *shape)

    def _scaled(self, counts: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h2 w2 3"]:
        # Counts and times are resized before the division: pixels without events have no time.
        small = counts if self.size is None else image.resize(counts, self.size, self.size)
        fired = small[..., :2].sum(axis=2)
        recency = np.where(fired > 0, small[..., 2] / np.where(fired > 0, fired, 1), 0)
        return np.dstack([small[..., :2] / self.most, recency]).clip(0, 1).astype(np.float32)


def elapsed(numbers: View) -> Float[np.ndarray, "t"]:
    """Return the time of each frame of a view, from 0 to 1, by the differences of frame numbers.

    >>> elapsed((10, 11, 14)).tolist()
    [0.0, 0.25, 1.0]
    """
    passed = np.concatenate([[0], np.cumsum(np.abs(np.diff(numbers)))])
    return np.asarray(passed / (passed[-1] or 1))


def events(
    levels: Float[np.ndarray, "t p"], when: Float[np.ndarray, "t"], threshold: float
) -> tuple[Int[np.ndarray, "n"], Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Return pixel, sign and time of every event caused by these brightness levels, frame by frame.

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
