"""The face as a relief: heights above the image plane, and its shading.

Heights and lengths are in half face widths (see `identity`). Wrinkles and bulges of action units are added to the same
relief, so that rest and movement are shaded in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from jaxtyping import Float

from .identity import Identity

Plane = Float[np.ndarray, "h w"]
"""One value per pixel, float32."""
Number: TypeAlias = float | int
"""What static type checkers accept for a float, written out for run-time checkers."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Face coordinates of every pixel in a rectangle of the image."""

    x: Plane
    y: Plane
    step: float
    """Distance between neighbouring samples."""


def grid(person: Identity, left: int, top: int, width: int, height: int, zoom: int = 1) -> Grid:
    """Return the face coordinates of a rectangle given in pixels of the 640x480 image, `zoom` samples per pixel."""
    offset = (zoom - 1) / (2 * zoom)
    px = np.arange(width * zoom, dtype=np.float32) / zoom + left - offset - person.centre[0]
    py = np.arange(height * zoom, dtype=np.float32) / zoom + top - offset - person.centre[1]
    c, s = np.cos(np.radians(person.tilt)), np.sin(np.radians(person.tilt))
    x = (c * px[None] + s * py[:, None]) / person.half_width
    y = (c * py[:, None] - s * px[None]) / person.half_width
    return Grid(x.astype(np.float32), y.astype(np.float32), 1 / (person.half_width * zoom))


def window(at: Grid, x: tuple[float, float], y: tuple[float, float]) -> tuple[Grid, tuple[slice, slice]]:
    """Return the part of a grid that covers a range of face coordinates, and its rows and columns."""
    inside = (at.x > x[0]) & (at.x < x[1]) & (at.y > y[0]) & (at.y < y[1])
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    cut = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return Grid(at.x[cut], at.y[cut], at.step), cut


def step(x: Plane, low: Number | Plane, high: Number | Plane) -> Plane:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    t = np.clip((x - low) / (high - low), 0, 1)
    risen: Plane = t * t * (3 - 2 * t)
    return risen


def blob(at: Grid, x: Number, y: Number, sx: Number, sy: Number, *, mirrored: bool = False) -> Plane:
    """Return a Gaussian bump of height 1; `mirrored` adds its twin on the other half of the face."""
    here = np.exp(-0.5 * (((at.x - x) / sx) ** 2 + ((at.y - y) / sy) ** 2))
    return here + blob(at, -x, y, sx, sy) if mirrored else here


def crease(at: Grid, points: Sequence[tuple[Number, Number]], width: float) -> Plane:
    """Return a Gaussian profile around a rounded line: 1 on it, decreasing over `width` and towards its ends."""
    line = _rounded(_rounded(np.array(points, np.float64)))
    lengths = np.hypot(*np.diff(line, axis=0).T)
    ends = np.concatenate([[0], np.cumsum(lengths)]) / lengths.sum()
    nearest, place = np.full(at.x.shape, np.inf, np.float32), np.zeros(at.x.shape, np.float32)
    for (ax, ay), (bx, by), length, start, stop in zip(line, line[1:], lengths, ends, ends[1:], strict=False):
        t = np.clip(((at.x - ax) * (bx - ax) + (at.y - ay) * (by - ay)) / length**2, 0, 1).astype(np.float32)
        square = (at.x - ax - t * (bx - ax)) ** 2 + (at.y - ay - t * (by - ay)) ** 2
        place = np.where(square < nearest, start + t * (stop - start), place)
        nearest = np.minimum(square, nearest)
    profile: Plane = np.exp(-0.5 * nearest / width**2) * np.sin(np.pi * np.clip(0.08 + 0.84 * place, 0, 1))
    return profile.astype(np.float32)


def _rounded(line: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "m 2"]:
    """Cut the corners of a line once (Chaikin 1974); its end points are unchanged."""
    if len(line) < 3:
        return line
    a, b = line[:-1], line[1:]
    inner = np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], axis=1).reshape(-1, 2)[1:-1]
    return np.concatenate([line[:1], inner, line[-1:]])


def half_width(y: Plane, person: Identity) -> Plane:
    """Return half the width of the head at each height; -1 above the skull and below the chin."""
    cheek, crown = -0.35, -1.8
    t = np.clip((y - cheek) / (person.chin - cheek), 0, 1)
    s = np.clip((cheek - y) / (cheek - crown), 0, 1)
    width = 0.965 * np.sqrt(np.where(y > cheek, 1 - t**person.jaw, 1 - s**2.6))
    edge: Plane = np.where((t < 1) & (s < 1), width, -1.0).astype(np.float32)
    return edge


def heights(at: Grid, person: Identity) -> Plane:
    """Return the relief of the face at rest."""
    p, nose = person, person.nose_y
    r = np.clip(np.abs(at.x) / np.maximum(half_width(at.y, p), 1e-3), 0, 1)
    s = np.clip(np.abs(at.y - 0.08) / np.where(at.y < 0.08, 2.2, 1.12), 0, 1)
    z = 0.95 * np.sqrt(np.clip(1 - r**2.3, 0, 1)) * np.sqrt(np.clip(1 - s**2.7, 0, 1))
    z = cv2.GaussianBlur(z.astype(np.float32), (0, 0), 0.018 / at.step)
    ridge = (0.075 + 0.2 * step(at.y, p.eye_y, nose - 0.1)) * p.nose_height
    ridge = ridge * step(at.y, p.eye_y - 0.3, p.eye_y + 0.05) * (1 - step(at.y, nose - 0.09, nose + 0.06))
    spread = 0.075 + 0.06 * step(at.y, -0.4, nose)
    z = z + ridge * np.exp(-0.5 * (at.x / spread) ** 2)
    z += 0.05 * blob(at, 0, nose - 0.1, 0.085, 0.08)
    z += 0.1 * blob(at, p.nose_width * 0.74, nose - 0.06, 0.058, 0.06, mirrored=True)
    z -= 0.085 * blob(at, p.eye_x - 0.02, p.eye_y, 0.19, 0.14, mirrored=True)
    z -= 0.08 * blob(at, 0.19, p.eye_y + 0.01, 0.07, 0.11, mirrored=True)
    z += 0.075 * blob(at, p.eye_x, p.eye_y, 0.15, 0.095, mirrored=True)
    z += 0.03 * blob(at, 0.4, p.brow_y, 0.2, 0.1, mirrored=True)
    z += 0.06 * p.cheek * blob(at, 0.58, -0.1, 0.2, 0.18, mirrored=True)
    z += 0.07 * blob(at, 0, p.mouth_y - 0.03, 0.3, 0.22)
    z += 0.035 * blob(at, 0, p.mouth_y - 0.6 * p.lip_upper, 0.19, 0.045)
    z += 0.05 * blob(at, 0, p.mouth_y + 0.55 * p.lip_lower, 0.17, 0.05)
    z -= 0.03 * blob(at, p.mouth_width + 0.02, p.mouth_y + 0.01, 0.045, 0.05, mirrored=True)
    z -= 0.05 * blob(at, 0, p.mouth_y + p.lip_lower + 0.1, 0.2, 0.055)
    z += 0.075 * blob(at, 0, p.chin - 0.19, 0.19, 0.11)
    z -= 0.018 * blob(at, 0, (nose + p.mouth_y - p.lip_upper) / 2, 0.028, 0.07)
    for side in (-1, 1):
        z -= 0.016 * p.fold * crease(at, fold_line(p, side), 0.04)
    rest: Plane = z.astype(np.float32)
    return rest


def fold_line(person: Identity, side: int) -> tuple[tuple[float, float], ...]:
    """Return the nasolabial fold, from the wing of the nose to the corner of the mouth."""
    nose, mouth = person.nose_width + 0.02, person.mouth_width + 0.075
    points = ((nose, person.nose_y - 0.08), (nose + 0.09, person.nose_y + 0.06), (mouth, person.mouth_y - 0.12))
    return tuple((side * x, y) for x, y in (*points, (mouth + 0.005, person.mouth_y + 0.02)))


def light(z: Plane, at: Grid, person: Identity) -> tuple[Plane, Plane]:
    """Return brightness (1 = a flat area facing the camera) and gloss (0 to 1) of a relief."""
    dy, dx = np.gradient(z, at.step)
    length = np.sqrt(1 + dx * dx + dy * dy)
    lx, ly, lz = person.light
    facing = (lz - lx * dx - ly * dy) / length
    diffuse = np.clip((facing + 0.12) / 1.12, 0, None)
    shade = (person.ambient + (1 - person.ambient) * diffuse) / (
        person.ambient + (1 - person.ambient) * (lz + 0.12) / 1.12
    )
    hollow = z - cv2.GaussianBlur(z.astype(np.float32), (0, 0), 0.09 / at.step)
    half = np.array([lx, ly, lz + 1]) / np.sqrt(lx * lx + ly * ly + (lz + 1) ** 2)
    gloss = np.clip((half[2] - half[0] * dx - half[1] * dy) / length, 0, 1) ** 28
    return (shade * np.exp(np.clip(1.6 * hollow, -0.3, 0.14))).astype(np.float32), gloss.astype(np.float32)
