"""The measures and colours of a person, drawn at random from the seed.

Lengths are in half face widths (ear to ear is 2), relative to the middle of the face: x to the right of the image, y
downwards. The eyes are near y = -0.5, the mouth near 0.5, the chin near 1.05. Colours are red, green, blue, 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[float | int, float | int, float | int]

_SKINS = ((232, 192, 164), (222, 178, 148), (238, 203, 181), (206, 160, 128), (176, 128, 98), (140, 98, 74))
_HAIRS = ((28, 24, 24), (40, 30, 27), (20, 18, 20), (66, 46, 34), (104, 74, 48))
_IRISES = ((70, 46, 30), (54, 36, 26), (92, 66, 40), (86, 100, 88), (84, 106, 128))
_WALLS = ((176, 180, 184), (190, 184, 172), (150, 162, 172), (168, 172, 160), (132, 140, 150))
_SHIRTS = ((58, 66, 84), (120, 42, 46), (214, 214, 210), (44, 46, 48), (70, 96, 74), (92, 78, 112))


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One person."""

    half_width: float
    """Half the distance from ear to ear, in pixels: 118 to 148."""
    centre: tuple[float, float]
    """Position of the middle of the face in the image, in pixels."""
    tilt: float
    """In-plane rotation of the head, in degrees."""
    jaw: float
    """1.8 = narrow, 2.6 = square."""
    chin: float
    eye_x: float
    eye_y: float
    eye_width: float
    eye_height: float
    eye_slant: float
    """Height of the outer corner above the inner one, as a slope."""
    lid_crease: float
    brow_y: float
    brow_width: float
    brow_arch: float
    nose_y: float
    nose_width: float
    nose_height: float
    mouth_y: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    cheek: float
    fold: float
    """Depth of the nasolabial folds at rest, 0 to 1."""
    hairline: float
    hair_style: int
    """0 short, 1 side parting, 2 fringe, 3 long."""
    skin: Colour
    lips: Colour
    hair: Colour
    iris: Colour
    wall: Colour
    shirt: Colour
    light: tuple[float, float, float]
    """Direction of the lamp, positive towards the camera."""
    ambient: float


def identity(seed: int, subject: int) -> Identity:
    """Return person number `subject`, drawn at random."""
    rng = np.random.default_rng([seed, 3, subject])

    def about(mean: float, spread: float) -> float:
        return mean + spread * float(np.clip(rng.normal(), -1.9, 1.9))

    def tinted(palette: tuple[tuple[int, int, int], ...], weights: tuple[float | int, ...], spread: float) -> Colour:
        base = palette[rng.choice(len(palette), p=np.array(weights) / sum(weights))]
        warm = rng.normal(0, spread)
        r, g, b = (float(np.clip(c + warm + rng.normal(0, spread / 3), 8, 250)) for c in base)
        return r, g, b

    skin = tinted(_SKINS, (3, 4, 2, 3, 1.4, 0.8), 6.0)
    lamp = np.array([about(0.0, 0.3), about(-0.42, 0.1), 1.0])
    lamp /= np.linalg.norm(lamp)
    redder = about(1.0, 0.05)
    return Identity(
        half_width=about(133.0, 7.0),
        centre=(about(320.0, 11.0), about(311.0, 5.0)),
        tilt=about(0.0, 1.3),
        jaw=about(2.2, 0.2),
        chin=about(1.05, 0.035),
        eye_x=about(0.435, 0.014),
        eye_y=about(-0.475, 0.018),
        eye_width=about(0.205, 0.011),
        eye_height=about(0.132, 0.016),
        eye_slant=about(0.05, 0.05),
        lid_crease=float(rng.uniform(0.15, 1.0)),
        brow_y=about(-0.765, 0.022),
        brow_width=about(0.062, 0.013),
        brow_arch=about(0.06, 0.02),
        nose_y=about(0.125, 0.03),
        nose_width=about(0.205, 0.018),
        nose_height=about(1.0, 0.14),
        mouth_y=about(0.475, 0.022),
        mouth_width=about(0.335, 0.025),
        lip_upper=about(0.072, 0.014),
        lip_lower=about(0.1, 0.015),
        cheek=about(1.0, 0.3),
        fold=float(rng.uniform(0.15, 1.0)),
        hairline=about(-1.3, 0.06),
        hair_style=int(rng.integers(4)),
        skin=skin,
        lips=(skin[0] * 0.86 * redder, skin[1] * 0.63, skin[2] * 0.66),
        hair=tinted(_HAIRS, (4, 3, 3, 2, 1), 4.0),
        iris=tinted(_IRISES, (4, 4, 2, 1, 1), 4.0),
        wall=tinted(_WALLS, (1, 1, 1, 1, 1), 8.0),
        shirt=tinted(_SHIRTS, (1, 1, 1, 1, 1, 1), 8.0),
        light=(float(lamp[0]), float(lamp[1]), float(lamp[2])),
        ambient=about(0.42, 0.05),
    )
