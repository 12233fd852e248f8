"""One frame: the face at rest, deformed and shaded by its action units, moved with the head, lit, with sensor noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from .action_units import displacement, wrinkles
from .face import CLOSURES, Face
from .identity import Identity
from .motion import State, intensity, place, state
from .planning import ClipPlan
from .relief import Grid, Plane, blob, grid, heights, light, step
from .surroundings import HEIGHT, WIDTH, paint_wall

BLOOD: Final = {"happiness": 1.0, "repression": 0.7, "disgust": 0.4} | {
    "others": -0.25,
    "sadness": -0.5,
    "surprise": -0.75,
    "fear": -1.0,
}
"""Share of `colour_cue` by which the cheeks redden (or pale) in each class; invented, not measured."""

_USUAL: Final = 2.5
"""Amplitude, in pixels, at which wrinkles have the depth given in `action_units`."""
_LUMA: Final = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Everything that is the same in all frames of a clip."""

    rest: Float[np.ndarray, "480 640 3"]
    """The person in front of the wall, neutral."""
    cut: tuple[slice, slice]
    """Rows and columns of the face; the next three fields cover only these."""
    bend: Float[np.ndarray, "h w 2"]
    """Displacement at the peak, in pixels."""
    shading: Float[np.ndarray, "h w"]
    """Change of the logarithm of brightness at the peak."""
    blush: Float[np.ndarray, "h w 3"] | None
    """Change of colour at the peak, in grey levels."""
    follow: tuple[Float[np.ndarray, "480 640"], Float[np.ndarray, "480 640"], Float[np.ndarray, "480 640"]]
    """How much each pixel moves with the head, 0 (wall) to 1; the same times x, and times y, from the face's centre."""
    shift: tuple[int, int]
    """Position of the person relative to their usual one, in pixels."""


@lru_cache(maxsize=2)
def stage(face: Face, clip: ClipPlan) -> Stage:
    """Prepare a clip for rendering."""
    spec, person = face.spec, face.person
    shift = place(spec, clip, room(person))
    wall = paint_wall(person, spec.clutter, np.random.default_rng([spec.seed, 7, clip.index]))
    at, cut = face_grid(person, shift)
    corner = (cut[1].start - shift[0], cut[0].start - shift[1])
    skin = _shifted(face.skin, shift)[cut]
    colour = spec.colour_cue * BLOOD[clip.emotion]
    return Stage(
        rest=wall + _shifted(face.opacity, shift)[..., None] * (_shifted(face.picture, shift) - wall),
        cut=cut,
        bend=_bend(at, person, clip, spec.expression_size),
        shading=_shading(at, person, clip, spec.expression_size, corner) * skin,
        blush=_blush(at, skin, colour) if colour else None,
        follow=_follow(person, shift),
        shift=shift,
    )


def face_grid(person: Identity, shift: tuple[int, int]) -> tuple[Grid, tuple[slice, slice]]:
    """Return the part of the image that expressions change: its face coordinates, and its rows and columns."""
    cx, cy, size = person.centre[0] + shift[0], person.centre[1] + shift[1], person.half_width
    left, right = max(round(cx - 1.1 * size), 0), min(round(cx + 1.1 * size), WIDTH)
    top, bottom = max(round(cy - 1.5 * size), 0), min(round(cy + 1.3 * size), HEIGHT)
    at = grid(person, left - shift[0], top - shift[1], right - left, bottom - top)
    return at, (slice(top, bottom), slice(left, right))


def room(person: Identity) -> tuple[int, int, int, int]:
    """Return how far the person can move left, right, up and down with brows, chin and ears still in the image."""
    (cx, cy), size = person.centre, person.half_width
    sides = (cx - 1.05 * size, WIDTH - cx - 1.05 * size, cy - 1.15 * size, HEIGHT - cy - person.chin * size)
    left, right, up, down = (max(int(side) - 4, 0) for side in sides)
    return left, right, up, down


def _shifted(picture: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
    if shift == (0, 0):
        return picture
    move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    moved: np.ndarray = cv2.warpAffine(
        picture, move, (WIDTH, HEIGHT), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
    )
    return moved


def _bend(at: Grid, person: Identity, clip: ClipPlan, size: float) -> Float[np.ndarray, "h w 2"]:
    if size == 0:
        return np.zeros((*at.x.shape, 2), np.float32)
    return (size * clip.amplitude * displacement(at, person, clip.moved)).astype(np.float32)


def _shading(at: Grid, person: Identity, clip: ClipPlan, size: float, corner: tuple[int, int]) -> Plane:
    if size == 0:
        return np.zeros_like(at.x)
    rest, before = _at_rest(person, *corner, *at.x.shape[::-1])
    height, dark = wrinkles(at, person, clip.moved)
    scale = np.float32(clip.amplitude / _USUAL)
    after = np.maximum(light(rest + scale * height, at, person)[0], 0.05)
    change = size * np.log(after / before)
    # Soft limits, nearly linear at size 1, prevent saturation with large expressions.
    limited = np.where(change > 0, 0.2 * np.tanh(change / 0.2), 0.42 * np.tanh(change / 0.42))
    shading: Plane = (limited + 1.5 * np.tanh(size * scale * dark / 1.5)).astype(np.float32)
    return shading


@lru_cache(maxsize=2)
def _at_rest(person: Identity, left: int, top: int, width: int, height: int) -> tuple[Plane, Plane]:
    """Return relief and brightness of the neutral face, the same in all clips that show it completely."""
    at = grid(person, left, top, width, height)
    rest = heights(at, person)
    return rest, np.maximum(light(rest, at, person)[0], 0.05)


def _blush(at: Grid, skin: Plane, colour: float) -> Float[np.ndarray, "h w 3"]:
    """Redden the cheeks by `colour` grey levels and subtract as much luma from green and blue."""
    other = -colour * _LUMA[0] / (_LUMA[1] + _LUMA[2])
    cheeks = np.clip(blob(at, 0.5, 0.05, 0.19, 0.2, mirrored=True), 0, 1) * skin
    change: Float[np.ndarray, "h w 3"] = cheeks[..., None] * np.array([colour, other, other], np.float32)
    return change


def _follow(person: Identity, shift: tuple[int, int]) -> tuple[Plane, Plane, Plane]:
    at = grid(person, -shift[0], -shift[1], WIDTH, HEIGHT)
    head = 1 - step(np.hypot(at.x / 1.3, (at.y + 0.4) / 1.75), 0.95, 1.45)
    size = person.half_width
    return head.astype(np.float32), (head * at.x * size).astype(np.float32), (head * at.y * size).astype(np.float32)


def render(face: Face, clip: ClipPlan, number: int) -> UInt8[np.ndarray, "480 640 3"]:
    """Render one frame (red, green, blue). The result depends only on the arguments."""
    prepared, now = stage(face, clip), state(face.spec, clip, number)
    strength = np.float32(intensity(clip, number))
    canvas = prepared.rest * np.float32(now.gain)
    if now.lids > 0:
        _shut(canvas, face, prepared.shift, now)
    if strength > 0:
        part = canvas[prepared.cut]
        part *= cv2.merge([cv2.exp(strength * prepared.shading)] * 3)  # five times faster than broadcasting
        if prepared.blush is not None:
            part += strength * prepared.blush
    from_x, from_y = _sources(prepared, now, strength)
    picture = cv2.remap(canvas, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if face.spec.noise > 0:
        rng = np.random.default_rng([face.spec.seed, 8, clip.index, number])
        grain, (row, column) = _grain(face.spec.seed), rng.integers(0, _SPARE, 2)
        picture = cv2.scaleAdd(grain[row : row + HEIGHT, column : column + WIDTH], face.spec.noise, picture)
    rendered: UInt8[np.ndarray, "480 640 3"] = cv2.convertScaleAbs(np.maximum(picture, 0, out=picture))
    return rendered


def _shut(canvas: np.ndarray, face: Face, shift: tuple[int, int], now: State) -> None:
    """Paint the eyes, at the lid closure of the blink, over the canvas."""
    low = min(int(now.lids * (len(CLOSURES) - 1)), len(CLOSURES) - 2)
    part = now.lids * (len(CLOSURES) - 1) - low
    eyes = (1 - part) * face.eyes[low] + part * face.eyes[low + 1]
    left, top = face.eyes_at[0] + shift[0], face.eyes_at[1] + shift[1]
    canvas[top : top + eyes.shape[0], left : left + eyes.shape[1]] = eyes * np.float32(now.gain)


def _sources(prepared: Stage, now: State, strength: np.float32) -> tuple[Plane, Plane]:
    """Return the source position of each pixel of the frame; backward mapping, so displacements are subtracted."""
    head, head_x, head_y = prepared.follow
    from_x = _COLUMNS - np.float32(now.x) * head + np.float32(now.turn) * head_y - np.float32(now.near) * head_x
    from_y = _ROWS - np.float32(now.y) * head - np.float32(now.turn) * head_x - np.float32(now.near) * head_y
    if strength > 0:
        from_x[prepared.cut] -= strength * prepared.bend[..., 0]
        from_y[prepared.cut] -= strength * prepared.bend[..., 1]
    return from_x, from_y


_ROWS, _COLUMNS = (np.ascontiguousarray(a) for a in np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32))
_SPARE: Final = 193
"""Additional rows and columns of the noise tile."""


@lru_cache(maxsize=2)
def _grain(seed: int) -> Float[np.ndarray, "h w 3"]:
    """Return a tile of noise with standard deviation 1, of which every frame uses another part."""
    shape = (HEIGHT + _SPARE, WIDTH + _SPARE, 3)
    return np.random.default_rng([seed, 9]).standard_normal(shape, np.float32)
