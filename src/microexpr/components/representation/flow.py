"""Optical flow between the frames of a view, as images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from microexpr.components.representation._frames import check_brightness, check_time, greys
from microexpr.core import image
from microexpr.core.clip import Clip
from microexpr.core.flow import Method, Preset, check_method, flows, strain
from microexpr.core.interfaces import Frames, Modality, View, representations

Finest = Annotated[int, Field(ge=0, le=3)]
Side = Annotated[int, Field(ge=8, le=2048)]
Percent = Annotated[float, Field(gt=0, le=100)]
STRAIN = 10.0
"""Factor of strain in centred flow."""


@representations.register("flow", revision=2)
@dataclass(frozen=True)
class Flow:
    """Optical flow from each frame of a view to the next, in the channels u, v and optical strain.

    A view of two frames (sampling ``onset_apex``) gives one image, of three (``onset_apex_offset``) two, of t frames
    t - 1. The steps, in this order:

    1. Crop, alignment and size of the frames are those of the preprocessing; nothing is cropped or aligned here. Use
       one box for the whole clip (``box = "onset"`` or ``"median"``): if the box is detected anew in every frame, its
       jitter appears as flow.
    2. Grey: 0.299 R + 0.587 G + 0.114 B (BT.601) for colour, a single channel unchanged.
    3. Flow at the frames' resolution by `method`: ``dis`` (`preset`; computed on images halved `finest` times and
       upsampled, 0 = at full resolution; twice needs 91 pixels a side, once 46, and smaller frames are halved as often
       as they allow, which the report states), ``farneback``, or ``tvl1`` if OpenCV's contrib modules are installed
       (`core.flow.flows` lists their settings). u > 0 is to the right of the image, which is the subject's left;
       v > 0 is down; what is at (x, y) in the first frame is at (x + u, y + v) in the second.
    4. Strain at the same resolution: ``sqrt(u_x^2 + v_y^2 + (u_y + v_x)^2 / 2)`` by central differences.
    5. `scaling`:

       - ``centred``: u and v in per cent of the image's width; strain times 10, so that 1 means a change of length by a
         tenth and its values are about as large as those of u and v. No motion is 0, and values can be compared between
         clips and between image sizes.
       - ``minmax``: each channel of each image by its own minimum and maximum to 0..255, like the precomputed images of
         the Micro-Expression Grand Challenge. The magnitude of the motion is lost, and a still face shows its noise at
         full contrast. A constant channel is 127.5 (strain: 0).
    6. Resized to `size` x `size` by area, after scaling; None = as large as the frames. Finally, ``centred`` is clipped
       to -`limit` .. `limit`.

    Half and quarter size (finest = 1 and 2) average out the sensor's noise; full resolution follows fine textures
    better: on synthetic faces with noise the error is 0.35 of 0.66 pixels with finest = 2 and 0.45 with finest = 0, on
    a fine texture without noise 0.18 and 0.05 of 0.36 (``tests/components/representation/test_speed_motion.py``).
    It was not measured which of the two is closer to real skin.

    Images are 32 bit floats. Strain is never negative, so that it uses the upper half of the range of ``centred``.
    """

    method: Method = "dis"
    preset: Preset = "medium"
    finest: Finest = 2
    size: Side | None = None
    scaling: Literal["centred", "minmax"] = "centred"
    limit: Percent = 3.0

    cached: ClassVar[bool] = True
    min_frames: ClassVar[int] = 2
    fixed_length: ClassVar[bool] = False

    def output_spec(self, incoming: Modality) -> Modality:
        """Return u, v and strain; raises ConfigError for frames that are already flow."""
        check_brightness("flow", incoming)
        check_method(self.method)
        return Modality(("u", "v", "strain"), *self._range, self.scaling)

    def __call__(self, view: Frames, numbers: View, clip: Clip) -> Float[np.ndarray, "t2 h2 w2 3"]:
        check_time("flow", clip)
        found = flows(greys(view), self.method, self.preset, self.finest)
        images = np.stack([_resized(self._scaled(flow), self.size) for flow in found])
        # Resizing rounds, so that extreme values could leave the range given by `output_spec`.
        return images.clip(*self._range)

    @property
    def _range(self) -> tuple[float, float]:
        return (0.0, 255.0) if self.scaling == "minmax" else (-self.limit, self.limit)

    def _scaled(self, flow: Float[np.ndarray, "h w 2"]) -> Float[np.ndarray, "h w 3"]:
        stretch = strain(flow)
        if self.scaling == "minmax":
            return np.concatenate([_spread(flow, 127.5), _spread(stretch[..., None], 0.0)], axis=2)
        scaled = np.empty((*stretch.shape, 3), np.float32)
        factors = (100 / flow.shape[1], 100 / flow.shape[1], STRAIN)
        for channel, values in enumerate((flow[..., 0], flow[..., 1], stretch)):
            np.multiply(values, factors[channel], out=scaled[..., channel])
        return scaled


@representations.register("flow_polar", revision=2)
@dataclass(frozen=True)
class FlowPolar:
    """Optical flow in polar form: magnitude, cosine and sine of the direction.

    Flow as in `flow` (steps 1 to 3: crop and size by the preprocessing; grey; `method`, `preset`, `finest`), resized
    to `size` x `size` by area (None = as large as the frames). `magnitude` is the displacement in per cent of the
    image's width, clipped at `limit` and divided by it: 0..1. The angle itself would jump from pi to -pi, so the
    direction is given as its cosine (1 = to the right of the image) and sine (1 = down), both -1..1. Where the
    displacement is below `still` per cent of the width its direction is noise: cosine and sine are 0 there.
    """

    method: Method = "dis"
    preset: Preset = "medium"
    finest: Finest = 2
    size: Side | None = None
    limit: Percent = 3.0
    still: Annotated[float, Field(ge=0, le=100)] = 0.05

    cached: ClassVar[bool] = True
    min_frames: ClassVar[int] = 2
    fixed_length: ClassVar[bool] = False

    def output_spec(self, incoming: Modality) -> Modality:
        """Return magnitude, cosine and sine; raises ConfigError for frames that are already flow."""
        check_brightness("flow_polar", incoming)
        check_method(self.method)
        return Modality(("magnitude", "cos", "sin"), -1.0, 1.0, "centred")

    def __call__(self, view: Frames, numbers: View, clip: Clip) -> Float[np.ndarray, "t2 h2 w2 3"]:
        check_time("flow_polar", clip)
        found = flows(greys(view), self.method, self.preset, self.finest)
        percent = [flow * np.float32(100 / flow.shape[1]) for flow in found]
        return np.stack([self._polar(_resized(flow, self.size)) for flow in percent])

    def _polar(self, flow: Float[np.ndarray, "h w 2"]) -> Float[np.ndarray, "h w 3"]:
        size = np.linalg.norm(flow, axis=2, keepdims=True)
        moves = size > self.still
        direction = np.where(moves, flow / np.where(moves, size, 1), 0)
        polar = np.concatenate([(size / self.limit).clip(0, 1), direction.clip(-1, 1)], axis=2)
        return polar.astype(np.float32)


def _resized(frame: Float[np.ndarray, "h w c"], size: int | None) -> Float[np.ndarray, "h2 w2 c"]:
    return frame if size is None else image.resize(frame, size, size)


def _spread(channels: Float[np.ndarray, "h w c"], still: float) -> Float[np.ndarray, "h w c"]:
    """Scale each channel to 0..255 by its own minimum and maximum; a constant channel becomes `still`."""
    low, high = channels.min(axis=(0, 1)), channels.max(axis=(0, 1))
    moves = high > low
    spread = (channels - low) * (255 / np.where(moves, high - low, 1))
    return np.where(moves, spread, still).astype(np.float32)
