"""Eulerian video magnification of a clip, around another preprocessing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import cv2
import numpy as np
from jaxtyping import Float, Num
from pydantic import AfterValidator, Field

from microexpr.core import image
from microexpr.core.clip import Clip
from microexpr.core.errors import ConfigError, DataError
from microexpr.core.interfaces import ClipFrames, Frames, Preprocessor, preprocessors

Hertz = Annotated[float, Field(gt=0, le=1000)]
Rate = Annotated[float, Field(gt=0, le=10000)]
Pyramid: TypeAlias = list[np.ndarray]
INSIDE = "crop"
"""The preprocessing that is magnified by default."""
FILTER = 5
"""Taps of the pyramid's filter: an image with fewer pixels is not halved again."""


def _named(of: str | dict[str, Any]) -> str | dict[str, Any]:
    """Return the preprocessing inside with its name; raises ConfigError if it cannot be built."""
    of = {"name": INSIDE, **of} if isinstance(of, dict) else of
    _inside(of)
    return of


def _inside(of: str | dict[str, Any]) -> Preprocessor:
    params = {"name": of} if isinstance(of, str) else {"name": INSIDE, **of}
    name = params.pop("name")
    if not isinstance(name, str):
        raise ConfigError(
            "E112", f'preprocessing evm: of.name = {name!r} is not a name; write of = {{ name = "{INSIDE}" }}.'
        )
    return preprocessors.build(name, params)


@preprocessors.register("evm")
@dataclass(frozen=True)
class EulerianMagnification:
    """Eulerian video magnification of small motion (Wu et al., SIGGRAPH 2012), with a recursive filter.

    `of` is the preprocessing that is magnified, written as in study files: ``of = { name = "m2", box = "onset" }``; by
    default `crop`. It must show the same window throughout a clip: a box that moves from frame to frame raises an
    error, because its jitter would be magnified. All frames from the onset to the latest requested one are read,
    because the filter has a memory; the onset itself is unchanged. The steps, in the order of the authors' code for
    motion:

    1. A Laplacian pyramid of each frame, `levels` deep (None = until a side is below 5 pixels).
    2. In every pixel, the difference of two recursive low-pass filters, ``y += r (x - y)``, which start at the onset: a
       band from `low` to `high` Hz. r = 1 - exp(-2 pi f / fps): papers give r itself, .4 and .05, which at 200 frames
       per second are 16.3 and 1.6 Hz and at other rates another band. A frame rate below twice `high` only widens the
       band.
    3. The difference times the amplification of its level, added to the frame: `alpha`, or less for structures
       shorter than `wavelength` pixels: ``2 (lambda (1 + alpha) / wavelength - 1)``, with lambda a third of the image's
       diagonal at the coarsest level and half as much at each finer one. The coarsest and the finest level are
       unchanged.
    4. For colour, only the share `chroma` of the change that is not brightness. Rounded and clipped to the range of the
       pixels' type.

    Clips without a frame rate use `fps`; without either, an error is raised.
    """

    of: Annotated[str | dict[str, Any], AfterValidator(_named)] = INSIDE
    alpha: Annotated[float, Field(ge=0, le=500)] = 10.0
    low: Hertz = 1.6
    high: Hertz = 16.0
    wavelength: Annotated[float, Field(gt=0, le=10000)] = 16.0
    levels: Annotated[int, Field(ge=3, le=12)] | None = None
    chroma: Annotated[float, Field(ge=0, le=1)] = 0.1
    fps: Rate | None = None

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ConfigError(
                "E113",
                f"preprocessing evm: the band from low = {self.low:g} to high = {self.high:g} Hz is empty. Set low "
                "below high.",
            )
        _inside(self.of)

    @property
    def _inner(self) -> Preprocessor:
        return _inside(self.of)

    @property
    def requires_uncropped(self) -> bool:
        """As for the preprocessing that is magnified."""
        return self._inner.requires_uncropped

    def __call__(self, frames: ClipFrames, numbers: Sequence[int]) -> Frames:
        onset, rate = self._starts(frames.clip, numbers)
        inner = self._inner(frames, range(onset, max(numbers) + 1))
        if (inner.window != inner.window[0]).any():
            raise ConfigError(
                "E416",
                "preprocessing evm: the window of the preprocessing inside moves from frame to frame, and its jitter "
                'would be magnified. Use one window for the whole clip: box = "onset" or "median".',
            )
        wanted = set(numbers)
        magnified = {
            number: _as(pixels, inner.pixels.dtype)
            for number, pixels in enumerate(self._magnified(inner, rate), start=onset)
            if number in wanted
        }
        rows = [number - onset for number in numbers]
        return Frames(np.stack([magnified[number] for number in numbers]), inner.channels, inner.window[rows])

    def _starts(self, clip: Clip, numbers: Sequence[int]) -> tuple[int, float]:
        if clip.onset is None or clip.offset is None:
            raise DataError(
                "E419",
                f"{clip.key}: evm magnifies motion, but this is a precomputed image without time. Leave evm out.",
            )
        if not all(clip.onset <= number <= clip.offset for number in numbers):
            raise DataError(
                "E404",
                f"{clip.key}: evm magnifies frames from onset to offset ({clip.onset} to {clip.offset}), but the "
                "sampling requests frames outside. With mfs, set drop = true.",
            )
        rate = clip.fps or self.fps
        if rate is None:
            raise DataError(
                "E405",
                f"{clip.key}: evm filters in Hz, but the frame rate of this clip is unknown. Add it to the table (the "
                "column fps of a manifest), or set it, as in preprocessing.fps = 200.",
            )
        return clip.onset, rate

    def _magnified(self, frames: Frames, rate: float) -> Iterator[Float[np.ndarray, "h w c"]]:
        """Yield every frame, magnified."""
        fast, slow = (1 - np.exp(-2 * np.pi * hertz / rate) for hertz in (self.high, self.low))
        height, width = frames.pixels.shape[1:3]
        full = _depth(height, width)
        gains = self._gains(height, width, full, min(self.levels or full, full))
        quick: Pyramid = []
        lazy: Pyramid = []
        for frame in frames.pixels.astype(np.float32):
            levels = _pyramid(frame, len(gains))
            quick = [old + fast * (new - old) for old, new in zip(quick or levels, levels, strict=True)]
            lazy = [old + slow * (new - old) for old, new in zip(lazy or levels, levels, strict=True)]
            band = [gain * (a - b) for gain, a, b in zip(gains, quick, lazy, strict=True)]
            yield frame + self._coloured(_collapsed(band), frames.channels)

    def _gains(self, height: int, width: int, full: int, levels: int) -> list[float]:
        """Return the amplification of each level, the finest first."""
        coarsest = np.hypot(height, width) / 3
        lengths = [coarsest / 2 ** (full - 1 - level) for level in range(levels)]
        reach = [2 * (length * (1 + self.alpha) / self.wavelength - 1) for length in lengths]
        gains = [float(np.clip(value, 0, self.alpha)) for value in reach]
        return [0.0, *gains[1:-1], 0.0]

    def _coloured(self, change: Float[np.ndarray, "h w c"], channels: tuple[str, ...]) -> Float[np.ndarray, "h w c"]:
        if channels[:3] != image.RGB:
            return change
        colours = change[..., :3].astype(np.float32)
        luma = image.grey(colours)
        return np.concatenate([luma + self.chroma * (colours - luma), change[..., 3:]], axis=2)


def _depth(height: int, width: int) -> int:
    """Return the number of levels until a side has fewer pixels than the filter, at least 3."""
    return max(3, 2 + int(np.log2(max(min(height, width) / FILTER, 1))))


def _pyramid(frame: Float[np.ndarray, "h w c"], levels: int) -> Pyramid:
    """Return a Laplacian pyramid, the finest level first; the last level is the low-pass residual."""
    found = []
    for _ in range(levels - 1):
        smaller = _with_channels(cv2.pyrDown(frame))
        found.append(frame - _grown(smaller, frame.shape))
        frame = smaller
    return [*found, frame]


def _collapsed(pyramid: Pyramid) -> Float[np.ndarray, "h w c"]:
    result = pyramid[-1]
    for level in pyramid[-2::-1]:
        result = level + _grown(result, level.shape)
    return result


def _grown(level: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return _with_channels(cv2.pyrUp(level, dstsize=(shape[1], shape[0])))


def _with_channels(level: np.ndarray) -> np.ndarray:
    return level if level.ndim == 3 else level[..., None]


def _as(pixels: Float[np.ndarray, "h w c"], kind: np.dtype[Any]) -> Num[np.ndarray, "h w c"]:
    if kind.kind == "f":
        return pixels.astype(kind)
    limits = np.iinfo(kind)
    return pixels.round().clip(limits.min, limits.max).astype(kind)
