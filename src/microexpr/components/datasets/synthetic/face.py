"""A person's face at rest, rendered once for all clips of that person."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float

from .features import Picture, blend, inside, paint_brows, paint_eye, paint_mouth
from .identity import Identity, identity
from .relief import Plane, grid, half_width, heights, light, window
from .spec import SyntheticSpec
from .surroundings import HEIGHT, WIDTH, paint_body, paint_hair, skin_tone, soft_shadows

_ZOOM = 2
"""Samples per pixel and direction while rendering."""
CLOSURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Degrees of lid closure between which a blink is interpolated."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Face:
    """Everything about a person that is the same in all clips."""

    spec: SyntheticSpec
    subject: str
    person: Identity
    picture: Float[np.ndarray, "480 640 3"]
    """Head and shoulders at rest, eyes open; 0 to 255."""
    opacity: Float[np.ndarray, "480 640"]
    """1 on the person, 0 on the wall."""
    skin: Float[np.ndarray, "480 640"]
    """1 on the skin of the face, 0 on hair and wall: where shading and blood flow change with an expression."""
    eyes: Float[np.ndarray, "k h w 3"]
    """The image strip with the eyes, for each of CLOSURES."""
    eyes_at: tuple[int, int]
    """Left and top of that strip, in pixels."""


@lru_cache(maxsize=4)
def face(spec: SyntheticSpec, subject: str) -> Face:
    """Return a person, whose appearance depends only on the seed and their number."""
    return replace(_drawn(spec.seed, int(subject)), spec=spec)


@lru_cache(maxsize=16)
def _drawn(seed: int, subject: int) -> Face:
    person = identity(seed, subject)
    rng = np.random.default_rng([seed, 4, subject])
    coarse, fine = grid(person, 0, 0, WIDTH, HEIGHT), grid(person, 0, 0, WIDTH, HEIGHT, _ZOOM)
    brightness, gloss = light(heights(coarse, person), coarse, person)
    size = (WIDTH * _ZOOM, HEIGHT * _ZOOM)
    shade: Plane = cv2.resize(brightness * soft_shadows(coarse, person), size, interpolation=cv2.INTER_CUBIC)
    shine = cv2.resize(gloss, size, interpolation=cv2.INTER_CUBIC)
    tone = cv2.resize(skin_tone(coarse, person, rng), size, interpolation=cv2.INTER_LINEAR)
    pores = 1 + 0.028 * cv2.GaussianBlur(rng.standard_normal(shade.shape, np.float32), (0, 0), 1.1)
    picture = 0.95 * tone * (shade * pores)[..., None] + 26 * shine[..., None]
    here, cut = window(fine, (-0.95, 0.95), (person.brow_y - 0.25, person.brow_y + 0.2))
    picture[cut] = paint_brows(picture[cut], here, person, rng)
    here, cut = window(fine, (-0.6, 0.6), (person.nose_y - 0.1, person.mouth_y + 0.3))
    picture[cut] = paint_mouth(picture[cut], here, shade[cut], person)
    body, alpha = paint_body(fine, person)
    skin = inside(half_width(fine.y, person) - np.abs(fine.x), fine, 0.012)
    picture, alpha = blend(body, picture, skin), np.maximum(alpha, skin)
    picture, hair = paint_hair(picture, fine, person, rng)
    eyes, place = _eyes(picture, person, shade)
    whole = _shrink(np.dstack([picture, np.maximum(alpha, hair), skin * (1 - hair)]).astype(np.float32))
    whole[place[1] : place[1] + eyes.shape[1], place[0] : place[0] + eyes.shape[2], :3] = eyes[0]
    return Face(
        spec=SyntheticSpec(seed=seed),
        subject=f"{subject:02d}",
        person=person,
        picture=np.ascontiguousarray(whole[..., :3]),
        opacity=np.ascontiguousarray(whole[..., 3]),
        skin=np.ascontiguousarray(whole[..., 4]),
        eyes=eyes,
        eyes_at=place,
    )


def _eyes(picture: Picture, person: Identity, shade: Plane) -> tuple[Float[np.ndarray, "k h2 w2 3"], tuple[int, int]]:
    """Paint the strip with both eyes at every closure; return it at the image's resolution, and its left and top."""
    size, (cx, cy) = person.half_width, person.centre
    left, top = round(cx - 0.85 * size), round(cy + (person.eye_y - 0.24) * size)
    width, height = round(1.7 * size), round(0.44 * size)
    here = grid(person, left, top, width, height, _ZOOM)
    cut = np.s_[top * _ZOOM : (top + height) * _ZOOM, left * _ZOOM : (left + width) * _ZOOM]
    stages = []
    for closure in CLOSURES:
        painted = picture[cut]
        for side in (-1, 1):
            painted = paint_eye(painted, here, shade[cut], person, side, closure)
        stages.append(_shrink(painted))
    return np.stack(stages), (left, top)


def _shrink(picture: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h2 w2 c"]:
    height, width = picture.shape[0] // _ZOOM, picture.shape[1] // _ZOOM
    return np.dstack([cv2.resize(c, (width, height), interpolation=cv2.INTER_AREA) for c in np.moveaxis(picture, 2, 0)])
