"""Functions on image sequences: dense optical flow, optical strain, temporal interpolation."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import cv2
import numpy as np
from jaxtyping import Float, Num, UInt8

from microexpr.core.errors import ConfigError, IncompatibleError

Method: TypeAlias = Literal["dis", "farneback", "tvl1"]
"""Algorithms of dense flow."""
Preset: TypeAlias = Literal["ultrafast", "fast", "medium"]
"""OpenCV's DIS presets: patches every 4, 4 and 3 pixels, with 0, 5 and 5 steps of variational refinement."""
LEAST_SIDE: Final = 16
"""Pixels that images need on each side; DIS compares patches of 8."""
_PATCH: Final = 8
ACROSS: Final = ("u", "cos")
"""Channels whose sign is the horizontal direction of motion."""
DOWN: Final = ("v", "sin")
"""Channels whose sign is the vertical direction of motion."""
MOTION: Final = frozenset({"strain", "magnitude", *ACROSS, *DOWN})
"""Channels of images that are already optical flow."""
PLANES: Final = ("xy", "xt", "yt")
"""Channels of LBP-TOP."""
_STRIP: Final = 16_384
"""Pixels whose strain is computed together."""
_PRESETS: Final = {"ultrafast": 0, "fast": 1, "medium": 2}
_Solver = Callable[[np.ndarray, np.ndarray], np.ndarray]


class _Kept(threading.local):
    """The solvers of a thread: making one and its buffers takes as long as the flow of a small image."""

    def __init__(self) -> None:
        self.solvers: dict[tuple[Method, Preset, int], _Solver] = {}


_kept = _Kept()


def check_method(method: Method) -> None:
    """Raise ConfigError for a method that the installed OpenCV does not have."""
    if method == "tvl1" and not hasattr(getattr(cv2, "optflow", None), "DualTVL1OpticalFlow_create"):
        raise ConfigError(
            "E115",
            'method = "tvl1" needs OpenCV\'s contrib modules, which are not installed: run `pip uninstall '
            "opencv-python-headless`, then `pip install opencv-contrib-python-headless` (the two cannot be installed "
            'together); or set method = "dis" or "farneback".',
        )


def flows(
    greys: UInt8[np.ndarray, "t h w"], method: Method = "dis", preset: Preset = "medium", finest: int = 2
) -> Float[np.ndarray, "t-1 h w 2"]:
    """Return the dense flow from each frame to the next, in pixels: u to the right, v downwards, 0 = no motion.

    What is at (x, y) in one frame is at (x + u, y + v) in the next. The flow between identical frames is exactly 0.

    - ``dis``: Dense Inverse Search (Kroeger et al., ECCV 2016), OpenCV's `preset`. Flow is computed on frames halved
      `finest` times, or as often as their size allows (`finest_scale`), and upsampled; 0 is full resolution.
    - ``farneback``: Farneback (SCIA 2003), pyramid of 3 halvings, window 15, 3 iterations, neighbourhoods of 5 pixels
      with sigma 1.2, the usual values in micro-expression work. `preset` and `finest` are not used.
    - ``tvl1``: Zach, Pock and Bischof (DAGM 2007), defaults of OpenCV's contrib modules: tau 0.25, lambda 0.15, theta
      0.3, 5 scales of 0.8, 5 warps, epsilon 0.01, median of 5.
    """
    height, width = greys.shape[1:]
    if min(height, width) < LEAST_SIDE:
        raise IncompatibleError(
            "E406",
            f"optical flow needs images of at least {LEAST_SIDE}x{LEAST_SIDE} pixels, but these are {width}x{height}; "
            "set a larger size in the preprocessing.",
        )
    frames = np.ascontiguousarray(greys)
    find = _solver(method, preset, finest_scale(height, width, finest))
    found = [
        # Farneback finds a tenth of a pixel at the border between an image and itself.
        np.zeros((height, width, 2), np.float32) if np.array_equal(first, second) else find(first, second)
        for first, second in itertools.pairwise(frames)
    ]
    return found[0][None] if len(found) == 1 else np.stack(found)


def finest_scale(height: int, width: int, wanted: int) -> int:
    """Return how often DIS halves frames of this size: `wanted` times, or as often as OpenCV allows.

    The limit is 1 from 46 pixels a side, 2 from 91 and 3 from 182. Beyond its coarsest scale OpenCV silently switches
    to another algorithm (full resolution, more scales, for 3 patches of 12).

    >>> [finest_scale(side, side, 3) for side in (45, 46, 90, 91, 181, 182)]
    [0, 1, 1, 2, 2, 3]
    """
    # The coarsest scale as in DISOpticalFlow::calc, for motions up to a quarter of the longer side.
    by_motion = int(math.log2(max(height, width) / (4 * _PATCH)) + 0.5)
    by_patch = int(math.log2(min(height, width) // _PATCH))
    return min(wanted, by_motion, by_patch)


def _solver(method: Method, preset: Preset, finest: int) -> _Solver:
    settings = method, preset, finest
    if settings not in _kept.solvers:
        _kept.solvers[settings] = _new_solver(*settings)
    return _kept.solvers[settings]


def _new_solver(method: Method, preset: Preset, finest: int) -> _Solver:
    if method == "farneback":
        return lambda first, second: cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    if method == "tvl1":
        check_method(method)
        contrib: Any = cv2
        tvl1 = contrib.optflow.DualTVL1OpticalFlow_create()
        return lambda first, second: tvl1.calc(first, second, None)
    dis = cv2.DISOpticalFlow.create(_PRESETS[preset])
    dis.setFinestScale(finest)
    return lambda first, second: dis.calc(first, second, None)


def directions(bins: int) -> tuple[str, ...]:
    """Return the channel names of Bi-WOOF: the angle in degrees at which each bin begins.

    >>> directions(4)
    ('-180', '-90', '0', '90')
    """
    return tuple(f"{-180 + 360 * number / bins:g}" for number in range(bins))


def strain(flow: Float[np.ndarray, "h w 2"]) -> Float[np.ndarray, "h w"]:
    """Return the optical strain of a flow: how much the skin is stretched or sheared; rigid motion does not count.

    ``sqrt(u_x^2 + v_y^2 + (u_y + v_x)^2 / 2)``, the norm of the symmetric part of the flow's gradient (Shreve et al.,
    FG 2011; Liong et al., 2014), by central differences, in pixels per pixel.

    >>> y, x = np.mgrid[:4, :4].astype(float)
    >>> strain(np.stack([0.1 * x, 0 * x], -1))[0].round(3).tolist()
    [0.1, 0.1, 0.1, 0.1]
    """
    height, width = flow.shape[:2]
    found = np.empty((height, width), flow.dtype)
    # In strips that stay in the processor's cache, and in place: new arrays take longer than the arithmetic.
    rows = max(_STRIP // width, 1)
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        first = max(start - 1, 0)
        u, v = (np.ascontiguousarray(flow[first : stop + 1, :, channel]) for channel in (0, 1))
        inner = slice(start - first, stop - first)
        total, other = _gradient(u[inner], 1), _gradient(v, 0)[inner]
        total *= total
        other *= other
        total += other
        shear = _gradient(u, 0)[inner]
        shear += _gradient(v[inner], 1)
        shear *= shear
        shear /= 2
        total += shear
        np.sqrt(total, out=found[start:stop])
    return found


def _gradient(values: Float[np.ndarray, "h w"], axis: int) -> Float[np.ndarray, "h w"]:
    """Return what ``np.gradient`` does, in about half its time: central differences, one-sided at the borders."""
    found = np.empty_like(values)
    here, there = (values, found) if axis == 0 else (values.T, found.T)
    np.subtract(here[2:], here[:-2], out=there[1:-1])
    there[1:-1] /= 2
    np.subtract(here[1], here[0], out=there[0])
    np.subtract(here[-1], here[-2], out=there[-1])
    return found


@lru_cache(maxsize=64)
def tim_matrix(frames: int, wanted: int) -> Float[np.ndarray, "m n"]:
    """Return the weights with which the Temporal Interpolation Model makes `wanted` frames from `frames`.

    Zhou, Zhao and Pietikainen (CVPR 2011) embed the frames on a curve of sines, the eigenvectors of a path graph, and
    sample it at `wanted` evenly spaced times from the first frame to the last. If the frames are linearly independent,
    this equals interpolating every pixel in time by cosines (DCT-II), with the weights::

        B[j, i] = 1/n + 2/n sum_{k=1}^{n-1} cos(pi k (n t_j - 1/2) / n) cos(pi k (i - 1/2) / n),  i = 1..n

    with t_j evenly spaced from 1/n to 1. Rows sum to 1; the first and last frames are unchanged. Unlike the original's
    decomposition this also works with repeated frames. There is no smoothing when the number of frames is reduced.

    >>> tim_matrix(3, 2).round(3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    at = np.linspace(1 / frames, 1, wanted) * frames - 0.5
    k = np.arange(1, frames)
    there = np.cos(np.pi * np.outer(at, k) / frames)
    here = np.cos(np.pi * np.outer(np.arange(1, frames + 1) - 0.5, k) / frames)
    weights: Float[np.ndarray, "m n"] = 1 / frames + 2 / frames * there @ here.T
    # Only rounding keeps whole frames from being reproduced exactly.
    weights[np.abs(weights) < 1e-12] = 0
    weights.flags.writeable = False
    return weights


def interpolate(pixels: Num[np.ndarray, "n *rest"], wanted: int) -> Num[np.ndarray, "m *rest"]:
    """Return `wanted` frames by `tim_matrix`; integer types are rounded and clipped to their range."""
    weights = tim_matrix(len(pixels), wanted).astype(np.float32)
    made = (weights @ pixels.reshape(len(pixels), -1).astype(np.float32)).reshape(wanted, *pixels.shape[1:])
    if pixels.dtype.kind == "f":
        return made
    limits = np.iinfo(pixels.dtype)
    np.rint(made, out=made)
    return np.clip(made, limits.min, limits.max, out=made).astype(pixels.dtype)
