"""Local binary patterns on three orthogonal planes, the earliest baseline of the field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int, UInt8
from pydantic import Field

from microexpr.components.representation._frames import check_brightness, check_time, greys
from microexpr.core import image
from microexpr.core.clip import Clip
from microexpr.core.errors import ConfigError, IncompatibleError
from microexpr.core.flow import PLANES, interpolate
from microexpr.core.interfaces import Frames, Modality, View, representations

Radius = Annotated[int, Field(ge=1, le=16)]
CODES = 16
_NEIGHBOURS = ((2, 1), (2, -1), (1, 1), (1, -1), (0, 1), (0, -1))
"""Axis, in a volume of time, height and width, and direction of every neighbour of a pixel."""
_BITS = ((0, 3, 1, 2), (0, 5, 1, 4), (2, 5, 3, 4))
"""The neighbours of each plane (xy, xt, yt), from the lowest bit of its codes."""
_CODES = np.array(
    [[sum((joint >> at & 1) << bit for bit, at in enumerate(bits)) for joint in range(1 << 6)] for bits in _BITS]
)
"""The code in each plane that belongs to each joint code of all six neighbours."""
_TO_PLANES = (_CODES[:, None] == np.arange(CODES)[:, None]).astype(float).transpose(2, 1, 0).reshape(1 << 6, -1)
"""Adds numbers of joint codes up to numbers of codes of each plane."""


@representations.register("lbp_top")
@dataclass(frozen=True)
class LbpTop:
    """LBP-TOP: histograms of local patterns of brightness in space and time, block by block.

    Local Binary Patterns on Three Orthogonal Planes (Zhao and Pietikainen, PAMI 2007), with the parameters of the usual
    micro-expression baseline: R = 1, 1, 4 and P = 4 (LBP-TOP_4,4,4,1,1,4), 5 x 5 blocks, after temporal interpolation
    to 10 frames. The steps, in this order:

    1. Grey (BT.601) for colour, a single channel unchanged; crop and size by the preprocessing.
    2. TIM to `frames` frames, rounded to bytes; 0 keeps the clip's length.
    3. Codes: each pixel is compared with 4 neighbours in the planes xy, xt and yt, at a distance of `radii` (x, y, t)
       pixels and frames; a bit is set if the neighbour is at least as bright. With P = 4, neighbours are whole pixels,
       and nothing is interpolated. Only pixels that have all neighbours in all three planes are coded, which excludes
       `radii` pixels and frames at each end. **Of 10 frames, a radius of 4 leaves 2 frames**, as in the usual baseline;
       frames = 0 keeps all but 8.
    4. Histograms of the 16 codes in `blocks` x `blocks` blocks over all coded frames, each divided by its sum. Block i
       of n begins at row i * height // n of the coded area, so that every pixel is in a block.

    `uniform` merges the two codes with four bit changes (0101 and 1010), which leaves 15 bins.

    The output is one image: rows are the blocks, row by row, columns the codes, channels the planes xy, xt and yt;
    values are shares, 0..1. Flattened that is 25 * 16 * 3 = 1200 features.
    """

    frames: Annotated[int, Field(ge=0, le=512)] = 10
    radii: tuple[Radius, Radius, Radius] = (1, 1, 4)
    blocks: Annotated[int, Field(ge=1, le=32)] = 5
    uniform: bool = False

    cached: ClassVar[bool] = True
    fixed_length: ClassVar[bool] = True

    def __post_init__(self) -> None:
        needed = 2 * self.radii[2] + 1
        if 0 < self.frames < needed:
            raise ConfigError(
                "E113",
                f"representation lbp_top: of frames = {self.frames}, no frame has neighbours {self.radii[2]} frames "
                f"before and after it. Set frames = {needed} or more, 0 to keep the clip's length, or a "
                "smaller radius.",
            )

    @property
    def min_frames(self) -> int:
        """Two frames to interpolate between, or one frame with neighbours in time."""
        return 2 if self.frames else 2 * self.radii[2] + 1

    def output_spec(self, incoming: Modality) -> Modality:
        """Return the three planes; raises ConfigError for frames that are already flow."""
        check_brightness("lbp_top", incoming)
        return Modality(PLANES, 0.0, 1.0)

    def __call__(self, view: Frames, numbers: View, clip: Clip) -> Float[np.ndarray, "1 blocks codes 3"]:
        check_time("lbp_top", clip)
        volume = greys(view)
        volume = interpolate(volume, self.frames) if self.frames else volume
        _check_size(volume.shape[1:], self.radii, self.blocks)
        blocks = image.block_map(volume.shape[1] - 2 * self.radii[1], volume.shape[2] - 2 * self.radii[0], self.blocks)
        counts = _counts(joint_codes(volume, self.radii), blocks, self.blocks**2)
        shares = np.asarray(counts / counts.sum(axis=1, keepdims=True), np.float32)
        if self.uniform:
            shares[:, 5] += shares[:, 10]
            shares = np.delete(shares, 10, axis=1)
        return shares[None]


def joint_codes(volume: UInt8[np.ndarray, "t h w"], radii: tuple[int, int, int]) -> UInt8[np.ndarray, "t2 h2 w2"]:
    """Return, for each pixel, one bit for each neighbour that is at least as bright; `radii` are those of x, y and t.

    The planes share their neighbours, so that these six bits hold the four of each plane.
    """
    reach = radii[::-1]  # in the order of the volume's axes
    centre = volume[tuple(slice(r, -r) for r in reach)]
    found = np.zeros(centre.shape, np.uint8)
    for bit, (axis, sign) in enumerate(_NEIGHBOURS):
        starts = [r + sign * r * (at == axis) for at, r in enumerate(reach)]
        place = tuple(slice(start, start + size) for start, size in zip(starts, centre.shape, strict=True))
        found |= (volume[place] >= centre).view(np.uint8) << np.uint8(bit)
    return found


def _counts(
    joint: UInt8[np.ndarray, "t h w"], blocks: Int[np.ndarray, "h w"], count: int
) -> Float[np.ndarray, "blocks 16 3"]:
    """Return how often each code occurs in each block and plane."""
    offsets = blocks * len(_TO_PLANES)
    found = sum(np.bincount((offsets + frame).ravel(), minlength=count * len(_TO_PLANES)) for frame in joint)
    return np.asarray(np.reshape(found, (count, -1)) @ _TO_PLANES).reshape(count, CODES, -1)


def _check_size(shape: tuple[int, ...], radii: tuple[int, int, int], blocks: int) -> None:
    height, width = shape
    if min(height - 2 * radii[1], width - 2 * radii[0]) < blocks:
        raise IncompatibleError(
            "E406",
            f"representation lbp_top: images of {width}x{height} pixels are too small for {blocks}x{blocks} blocks. "
            "Set a larger size in the preprocessing, or fewer blocks.",
        )
