"""Eyes, brows, lips and nostrils, painted over shaded skin. Images are float32, red, green, blue, 0 to 255."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from jaxtyping import Float

from .identity import Colour, Identity
from .relief import Grid, Plane, blob, step

Picture = Float[np.ndarray, "h w 3"]

_LASH: Final[Colour] = (32, 24, 22)
_IRIS_RADIUS: Final = 0.083


def blend(picture: Picture, colour: Colour | Float[np.ndarray, "3"] | Picture, share: Plane) -> Picture:
    """Blend a colour over an image with the given opacity, 0 to 1."""
    over = np.asarray(colour, np.float32)
    mixed: Picture = picture + share[..., None].astype(np.float32) * (over - picture)
    return mixed


def inside(distance: Plane, at: Grid, softness: float = 0.0) -> Plane:
    """Return opacity from a signed distance (positive inside), with an edge of one sample or `softness`."""
    width = max(softness, at.step)
    clipped: Plane = np.clip(distance / width + 0.5, 0, 1)
    return clipped


def paint_eye(picture: Picture, at: Grid, shade: Plane, person: Identity, side: int, closure: float) -> Picture:
    """Paint one eye; closure 0 is open and 1 shut."""
    p, width = person, person.eye_width
    x = (at.x * side - p.eye_x) / width
    y = at.y - p.eye_y + p.eye_slant * x * width
    round_ = np.clip(1 - x * x, 0, 1)
    rest = -0.62 * p.eye_height * round_**0.7 * (1 + 0.14 * x - 0.22 * x * x)
    lower = 0.4 * p.eye_height * round_**0.85 * (1 + 0.2 * x)
    upper = rest + closure * (0.9 * lower - rest)
    within = np.clip(1.0 - np.abs(x), 0, None) > 0
    opened = inside(np.minimum(y - upper, lower - y), at) * within
    out = blend(picture, _eyeball(at, shade, person, side, y - upper, x), opened)
    out = blend(
        out, (150, 84, 78), 0.5 * opened * blob(at, side * (p.eye_x - 0.94 * width), p.eye_y + 0.012, 0.02, 0.02)
    )
    ends = step(x, -1.06, -0.7) * (1 - step(x, 0.98, 1.14))
    lash = np.exp(-0.5 * ((y - upper + 0.004) / (0.0115 + 0.003 * np.clip(x, -1, 1))) ** 2) * ends
    out = blend(out, _LASH, 0.9 * lash)
    out = blend(out, _LASH, 0.38 * np.exp(-0.5 * ((y - lower - 0.005) / 0.009) ** 2) * ends * step(x, -0.8, 0.6))
    fold = rest - 0.05 * (1 - 0.45 * x * x) - 0.01
    line = np.exp(-0.5 * ((y - fold) / 0.011) ** 2) * step(x, -1.1, -0.5) * (1 - step(x, 0.8, 1.25))
    dark = (picture * 0.55).astype(np.float32)
    return blend(out, dark, 0.75 * p.lid_crease * (1 - 0.7 * closure) * line)


def _eyeball(at: Grid, shade: Plane, person: Identity, side: int, below_lid: Plane, x: Plane) -> Picture:
    """Return sclera, iris, pupil and the lamp's reflection, as if there were no lids."""
    dx, dy = at.x - side * person.eye_x, at.y - person.eye_y + 0.012
    r = np.hypot(dx, dy)
    white = np.asarray((228, 222, 216), np.float32) * np.clip(0.5 + 0.5 * shade, 0, 1.06)[..., None]
    white *= (1 - 0.3 * np.clip(np.abs(x), 0, 1) ** 2.5)[..., None]
    rays = 1 + 0.16 * np.sin(23 * np.arctan2(dy, dx) + 3 * np.sin(7 * np.arctan2(dy, dx)))
    tone = (0.75 + 0.7 * np.clip(r / _IRIS_RADIUS, 0, 1) * step(dy, -0.06, 0.08)) * rays
    ring = 1 - 0.6 * step(r, 0.78 * _IRIS_RADIUS, _IRIS_RADIUS)
    ball = blend(
        white, np.asarray(person.iris, np.float32) * (tone * ring)[..., None], inside(_IRIS_RADIUS - r, at, 0.012)
    )
    ball = blend(ball, (12, 10, 10), inside(0.036 - r, at, 0.008))
    ball *= (0.5 + 0.5 * step(below_lid, -0.01, 0.06))[..., None]
    spot = np.hypot(dx + 0.03 * np.sign(-person.light[0]), dy + 0.03)
    return blend(ball, (246, 248, 250), 0.9 * inside(0.016 - spot, at, 0.012))


def paint_brows(picture: Picture, at: Grid, person: Identity, rng: np.random.Generator) -> Picture:
    """Paint both brows: a soft base and single hairs."""
    hairs = np.zeros(at.x.shape, np.uint8)
    ground = np.zeros(at.x.shape, np.float32)
    for side in (-1, 1):
        for x, y, thick in np.transpose(_brow(person, np.linspace(0.02, 0.98, 60))):
            radius = round(16 * 0.42 * thick / at.step)
            cv2.circle(ground, _to_samples(at, person, side * x, y), radius, 1.0, -1, cv2.LINE_AA, 4)
        for _ in range(230):
            t0 = float(rng.random())
            (bx,), (by,), (size,) = _brow(person, np.array([t0]))
            start = np.array([bx, by + size * rng.uniform(-0.55, 0.55)])
            turn = -1.25 + 1.35 * t0 + rng.normal(0, 0.18)
            end = start + (0.05 + 0.03 * rng.random()) * np.array([np.cos(turn), np.sin(turn)])
            a, b = (_to_samples(at, person, side * q[0], q[1]) for q in (start, end))
            cv2.line(hairs, a, b, int(rng.integers(120, 255)), 1, cv2.LINE_AA, 4)
    ground = cv2.GaussianBlur(ground, (0, 0), 0.016 / at.step)
    share = 0.5 * ground + 0.62 * cv2.GaussianBlur(hairs, (3, 3), 0.6).astype(np.float32) / 255
    return blend(picture, person.hair, np.clip(share, 0, 0.93))


def _brow(person: Identity, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return position and thickness along a brow, t from 0 (inner end) to 1."""
    x = 0.155 + 0.53 * t
    y = person.brow_y + 0.01 - person.brow_arch * np.sin(np.pi * np.clip(t, 0, 1) ** 1.35) + 0.035 * t
    return x, y, person.brow_width * (0.75 + 0.55 * t) * (1 - 0.85 * t**2.2)


def _to_samples(at: Grid, person: Identity, x: float, y: float) -> tuple[int, int]:
    """Return a face coordinate as OpenCV's fixed-point sample position (16ths)."""
    c, s = np.cos(np.radians(person.tilt)), np.sin(np.radians(person.tilt))
    dx, dy = x - float(at.x[0, 0]), y - float(at.y[0, 0])
    return round(16 * (c * dx - s * dy) / at.step), round(16 * (c * dy + s * dx) / at.step)


def paint_mouth(picture: Picture, at: Grid, shade: Plane, person: Identity) -> Picture:
    """Paint lips, the line between them and the nostrils."""
    p = person
    x = at.x / p.mouth_width
    line = p.mouth_y + 0.009 * np.cos(2.2 * np.pi * x) * (np.abs(x) < 1) - 0.014 * x * x
    round_ = np.clip(1 - np.abs(x) ** 1.9, 0, 1)
    bow = 1 + 0.1 * np.exp(-(((np.abs(x) - 0.2) / 0.13) ** 2)) - 0.2 * np.exp(-((x / 0.1) ** 2))
    top, bottom = line - p.lip_upper * round_**0.85 * bow, line + p.lip_lower * np.clip(1 - x * x, 0, 1) ** 0.75
    lips = inside(np.minimum(at.y - top, bottom - at.y), at, 0.028) * (np.abs(x) < 1)
    tone = np.clip(shade, 0.4, 1.15) * np.where(at.y < line, 0.86, 1.03) * (1 + 0.035 * np.sin(60 * x) * round_)
    out = blend(picture, np.asarray(p.lips, np.float32) * tone[..., None], 0.82 * lips)
    out = blend(out, (255, 236, 230), 0.17 * blob(at, -0.1 * p.light[0], p.mouth_y + 0.55 * p.lip_lower, 0.12, 0.018))
    dark = np.asarray(p.lips, np.float32) * 0.34
    ends = 1 - step(np.abs(x), 0.9, 1.06)
    out = blend(out, dark, 0.85 * np.exp(-0.5 * ((at.y - line) / 0.0105) ** 2) * ends)
    out = blend(out, dark, 0.4 * blob(at, p.mouth_width, p.mouth_y - 0.006, 0.025, 0.016, mirrored=True))
    holes = blob(at, 0.42 * p.nose_width, p.nose_y - 0.012, 0.038, 0.016, mirrored=True)
    return blend(out, np.asarray(p.skin, np.float32) * 0.2, 0.85 * np.clip(1.25 * holes, 0, 1))
