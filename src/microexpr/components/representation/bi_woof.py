"""Bi-weighted oriented optical flow: the usual baseline of flow histograms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float
from pydantic import Field

from microexpr.components.representation._frames import check_brightness, check_time, greys
from microexpr.core import image
from microexpr.core.clip import Clip
from microexpr.core.errors import IncompatibleError
from microexpr.core.flow import Method, Preset, check_method, directions, flows, strain
from microexpr.core.interfaces import Frames, Modality, View, representations


@representations.register("bi_woof", revision=2)
@dataclass(frozen=True)
class BiWoof:
    """Bi-WOOF: histograms of flow direction per block, weighted by flow magnitude and by the strain of the block.

    Liong, See, Wong and Phan, "Less is more" (Signal Processing: Image Communication 2018). From each frame of a view
    to the next (onset and apex in the paper: sampling ``onset_apex``), in this order:

    1. Flow and strain as in `flow` (steps 1 to 4: crop and size by the preprocessing; grey; `method`, `preset`,
       `finest`; strain at the same resolution), in pixels; the unit cancels in step 4. The paper's flow is TV-L1.
    2. In each of `blocks` x `blocks` blocks, a histogram of the flow's direction with `bins` bins from -180 degrees
       (0 = to the right of the image, 90 = down), each pixel weighted by the magnitude of its flow (local weight), and
       divided by its sum; a block without flow is 0.
    3. Each block's histogram is multiplied by its mean strain (global weight).
    4. All blocks of an image together are divided by their Euclidean norm; without motion they stay 0.

    Block i of n begins at row i * height // n, so that every pixel is in exactly one block; in the authors' code
    neighbouring blocks share a pixel, the remainder of the division is dropped, and strain is summed instead of
    averaged.

    A view of t frames gives t - 1 images of `blocks` x `blocks` pixels with `bins` channels, named by the degrees at
    which their bin begins; values 0..1. Flattened, 5 * 5 * 8 = 200 features for a pair.
    """

    method: Method = "dis"
    preset: Preset = "medium"
    finest: Annotated[int, Field(ge=0, le=3)] = 2
    blocks: Annotated[int, Field(ge=1, le=32)] = 5
    bins: Annotated[int, Field(ge=2, le=72)] = 8

    cached: ClassVar[bool] = True
    min_frames: ClassVar[int] = 2
    fixed_length: ClassVar[bool] = False

    def output_spec(self, incoming: Modality) -> Modality:
        """Return one channel per bin; raises ConfigError for frames that are already flow."""
        check_brightness("bi_woof", incoming)
        check_method(self.method)
        return Modality(directions(self.bins), 0.0, 1.0)

    def __call__(self, view: Frames, numbers: View, clip: Clip) -> Float[np.ndarray, "t2 h2 w2 c2"]:
        check_time("bi_woof", clip)
        height, width = view.pixels.shape[1:3]
        if min(height, width) < self.blocks:
            raise IncompatibleError(
                "E406",
                f"representation bi_woof: images of {width}x{height} pixels are too small for {self.blocks}x"
                f"{self.blocks} blocks. Set a larger size in the preprocessing, or fewer blocks.",
            )
        found = flows(greys(view), self.method, self.preset, self.finest)
        return np.stack([self.histograms(flow) for flow in found])

    def histograms(self, flow: Float[np.ndarray, "h w 2"]) -> Float[np.ndarray, "blocks blocks bins"]:
        """Return the weighted histograms of one flow, steps 2 to 4."""
        block = image.block_map(flow.shape[0], flow.shape[1], self.blocks).ravel()
        size, count = np.linalg.norm(flow, axis=2).ravel().astype(float), self.blocks**2
        turn = (np.arctan2(flow[..., 1], flow[..., 0]).ravel() + np.pi) / (2 * np.pi)
        # An angle of 180 degrees equals -180.
        bins = (turn * self.bins).astype(int) % self.bins
        table = np.bincount(block * self.bins + bins, size, count * self.bins).reshape(count, self.bins)
        sums = table.sum(axis=1, keepdims=True)
        local = np.where(sums > 0, table / np.where(sums > 0, sums, 1), 0)
        mean_strain = np.bincount(block, strain(flow).ravel(), count) / np.bincount(block, minlength=count)
        weighted = local * mean_strain[:, None]
        length = np.linalg.norm(weighted)
        return (weighted / (length or 1)).reshape(self.blocks, self.blocks, self.bins).astype(np.float32)
