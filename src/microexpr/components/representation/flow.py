"""Optical flow between the frames of a view, as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from microexpr.components.representation._frames import check_brightness, check_time, greys
from microexpr.core import flow as motion
from microexpr.core import image as ops
from microexpr.core.clip import Clip
from microexpr.core.flow import Method, Preset
from microexpr.core.interfaces import Frames, Modality, View, representations

Finest = Annotated[int, Field(ge=0, le=3)]
Side = Annotated[int, Field(ge=8, le=2048)]
Percent = Annotated[float, Field(gt=0, le=100)]
STRAIN = 10.0
"""What strain is multiplied by in centred flow."""


@representations.register("flow", revision=2)
@dataclass(frozen=True)
class Flow:
    """Optical flow from each frame of a view to the next, in the channels u, v and optical strain.

    A view of two frames (sampling ``onset_apex``) gives one picture, of three (``onset_apex_offset``) two, of t frames
    t - 1. The recipe, in its order:

    1. Crop, alignment and size of the frames are those of the preprocessing; nothing is cut or aligned here. Take one
       box for the whole clip (``box = "onset"`` or ``"median"``): with a box found anew in every frame the box's own
       jumps are flow.
    2. Grey: 0.299 R + 0.587 G + 0.114 B (BT.601) of colour, one channel as it is.
    3. Flow at the frames' resolution by `method`: ``dis`` (`preset`; computed on pictures halved `finest` times and
       enlarged, 0 = at full resolution; twice needs 91 pixels a side, once 46, and smaller frames are halved as often
       as they allow, which the report states), ``farneback``, or ``tvl1`` where OpenCV's contrib modules are installed
       (`core.flow.flows` has their settings). u > 0 is to the right of the picture, which is the subject's left;
       v > 0 is down; what is at (x, y) in the first frame is at (x + u, y + v) in the second.
    4. Strain at the same resolution: ``sqrt(u_x^2 + v_y^2 + (u_y + v_x)^2 / 2)`` by central differences.
    5. `scaling`:

       - ``centred``: u and v in per cent of the picture's width; strain times 10, so that 1 is a length changed by a
         tenth and its values are about as large as theirs. No motion is 0, and values can be compared between clips
         and between sizes of pictures.
       - ``minmax``: each channel of each picture by its own minimum and maximum to 0..255, as the ready images of the
         Micro-Expression Grand Challenge sets are. How large the motion was is lost, and a face that stands still
         shows its noise at full contrast. A channel of one value is 127.5 (strain: 0).
    6. Resized to `size` x `size` by area, after scaling; None = as large as the frames. At last ``centred`` is clipped
       to -`limit` .. `limit`.

    Half and quarter size (finest = 1 and 2) even out the sensor's noise, full resolution follows fine textures better:
    on drawn faces with noise finest = 2 errs by 0.35 of 0.66 pixels and finest = 0 by 0.45, on a fine texture without
    noise by 0.18 and 0.05 of 0.36 (``tests/components/representation/test_speed_motion.py``).
    Which real skin is nearer to was not measured.

    Pictures are 32 bit floats. Strain is never negative, so of the range of ``centred`` it uses the upper half.
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
        """Return u, v and strain; raises ConfigError for pictures that are flow already."""
        check_brightness("flow", incoming)
        motion.check_method(self.method)
        return Modality(("u", "v", "strain"), *self._range, self.scaling)

    def __call__(self, view: Frames, numbers: View, clip: Clip) -> Float[np.ndarray, "t2 h2 w2 3"]:
        check_time("flow", clip)
        found = motion.flows(greys(view), self.method, self.preset, self.finest)
        made = np.stack([_resized(self._picture(flow), self.size) for flow in found])
        # Resizing rounds, so that values at the ends could leave the range that `gives` promises.
        return made.clip(*self._range)

    @property
    def _range(self) -> tuple[float, float]:
        return (0.0, 255.0) if self.scaling == "minmax" else (-self.limit, self.limit)

    def _picture(self, flow: Float[np.ndarray, "h w 2"]) -> Float[np.ndarray, "h w 3"]:
        strain = motion.strain(flow)[..., None]
        if self.scaling == "minmax":
            return np.concatenate([_spread(flow, 127.5), _spread(strain, 0.0)], axis=2)
        return np.concatenate([flow * (100 / flow.shape[1]), strain * STRAIN], axis=2).astype(np.float32)


@representations.register("flow_polar", revision=2)
@dataclass(frozen=True)
class FlowPolar:
    """Optical flow as how far and where to: magnitude, cosine and sine of the direction.

    Flow as in `flow` (steps 1 to 3: crop and size are the preprocessing's; grey; `method`, `preset`, `finest`), resized
    to `size` x `size` by area (None = as large as the frames). `magnitude` is the way in per cent of the picture's
    width, cut at `limit` and divided by it: 0..1. The direction's angle itself would jump from pi to -pi, so it is
    given as its cosine (1 = to the right of the picture) and sine (1 = down), both -1..1. Where the way is
    below `still` per cent of the width the direction is noise: cosine and sine are 0 there, and so at no motion.
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
        """Return magnitude, cosine and sine; raises ConfigError for pictures that are flow already."""
        check_brightness("flow_polar", incoming)
        motion.check_method(self.method)
        return Modality(("magnitude", "cos", "sin"), -1.0, 1.0, "centred")

    def __call__(self, view: Frames, numbers: View, clip: Clip) -> Float[np.ndarray, "t2 h2 w2 3"]:
        check_time("flow_polar", clip)
        found = motion.flows(greys(view), self.method, self.preset, self.finest)
        percent = [flow * np.float32(100 / flow.shape[1]) for flow in found]
        return np.stack([self._polar(_resized(flow, self.size)) for flow in percent])

    def _polar(self, flow: Float[np.ndarray, "h w 2"]) -> Float[np.ndarray, "h w 3"]:
        way = np.linalg.norm(flow, axis=2, keepdims=True)
        moves = way > self.still
        direction = np.where(moves, flow / np.where(moves, way, 1), 0)
        polar = np.concatenate([(way / self.limit).clip(0, 1), direction.clip(-1, 1)], axis=2)
        return polar.astype(np.float32)


def _resized(picture: Float[np.ndarray, "h w c"], size: int | None) -> Float[np.ndarray, "h2 w2 c"]:
    return picture if size is None else ops.resize(picture, size, size)


def _spread(channels: Float[np.ndarray, "h w c"], still: float) -> Float[np.ndarray, "h w c"]:
    """Bring each channel to 0..255 by its own minimum and maximum; one of a single value becomes `still`."""
    low, high = channels.min(axis=(0, 1)), channels.max(axis=(0, 1))
    moves = high > low
    spread = (channels - low) * (255 / np.where(moves, high - low, 1))
    return np.where(moves, spread, still).astype(np.float32)
