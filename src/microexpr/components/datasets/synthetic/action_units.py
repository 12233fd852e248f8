"""The effect of each action unit on a face: where skin moves, bulges, folds and darkens.

The units are those of FACS (Ekman, Friesen & Hager 2002); their parameters were tuned by eye.

Positions are in half face widths (see `identity`), for the half of the face at positive x: the right of the image,
which is the person's left. 'L12' moves only that half.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .identity import Identity
from .relief import Grid, Number, Plane, blob, crease, fold_line

Points = tuple[tuple[Number, Number], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """One action unit of one half of the face."""

    pulls: tuple[tuple[Number, Number, Number, Number, Number, Number], ...]
    """Gaussian displacements: x, y, direction x, direction y, spread x, spread y."""
    bulges: tuple[tuple[float, float, float, float, float], ...] = ()
    """Gaussian changes of height: x, y, spread x, spread y, height."""
    creases: tuple[tuple[Points, float, float], ...] = ()
    """Furrows along lines: points, width, depth."""
    gaps: tuple[tuple[Points, float, float], ...] = ()
    """Dark openings along lines: points, width, decrease of the logarithm of brightness."""


def movements(person: Identity) -> dict[int, Movement]:
    """Return the movements of all action units on this person's face."""
    return {**_upper_face(person), **_nose_and_cheek(person), **_mouth(person)}


def _upper_face(p: Identity) -> dict[int, Movement]:
    ex, ey, by = p.eye_x, p.eye_y, p.brow_y
    return {
        1: Movement(
            pulls=((0.19, by - 0.03, 0.05, -1, 0.17, 0.17),),
            bulges=((0.17, by - 0.13, 0.11, 0.05, 0.022),),
            creases=(
                (((-0.02, by - 0.23), (0.18, by - 0.27), (0.36, by - 0.22)), 0.022, 0.03),
                (((-0.02, by - 0.36), (0.16, by - 0.39), (0.32, by - 0.36)), 0.022, 0.024),
            ),
        ),
        2: Movement(
            pulls=((0.54, by - 0.02, 0.06, -1, 0.19, 0.17),),
            bulges=((0.55, by - 0.11, 0.12, 0.045, 0.02),),
            creases=(
                (((0.36, by - 0.22), (0.53, by - 0.26), (0.68, by - 0.17)), 0.022, 0.03),
                (((0.4, by - 0.34), (0.54, by - 0.36), (0.66, by - 0.29)), 0.02, 0.02),
            ),
        ),
        4: Movement(
            pulls=((0.2, by, -0.5, 0.87, 0.2, 0.17),),
            bulges=((0.17, by + 0.02, 0.06, 0.06, 0.026), (0.0, by + 0.01, 0.04, 0.08, 0.01)),
            creases=(
                (((0.075, by - 0.12), (0.065, by), (0.085, by + 0.12)), 0.018, 0.036),
                (((0.0, ey + 0.03), (0.07, ey + 0.02)), 0.018, 0.02),
            ),
        ),
        5: Movement(
            pulls=((ex, ey - 0.085, 0, -1, 0.19, 0.13),),
            bulges=((ex, ey - 0.13, 0.15, 0.03, 0.016),),
            creases=((((ex - 0.18, ey - 0.12), (ex, ey - 0.17), (ex + 0.2, ey - 0.12)), 0.016, 0.03),),
        ),
        7: Movement(
            pulls=((ex, ey + 0.1, 0, -1, 0.19, 0.13), (ex, ey - 0.14, 0, 0.45, 0.19, 0.13)),
            bulges=((ex, ey + 0.085, 0.15, 0.025, 0.02),),
            creases=((((ex - 0.18, ey + 0.1), (ex, ey + 0.135), (ex + 0.18, ey + 0.1)), 0.016, 0.034),),
        ),
    }


def _nose_and_cheek(p: Identity) -> dict[int, Movement]:
    ex, ey, nw, ny = p.eye_x, p.eye_y, p.nose_width, p.nose_y
    return {
        6: Movement(
            pulls=((0.5, -0.14, -0.08, -1, 0.25, 0.19),),
            bulges=((0.48, -0.19, 0.17, 0.09, 0.04),),
            creases=(
                (((ex + 0.26, ey + 0.01), (ex + 0.4, ey - 0.05)), 0.014, 0.024),
                (((ex + 0.26, ey + 0.05), (ex + 0.4, ey + 0.08)), 0.014, 0.024),
                (((ex - 0.2, ey + 0.13), (ex + 0.02, ey + 0.19), (ex + 0.24, ey + 0.13)), 0.02, 0.036),
            ),
        ),
        9: Movement(
            pulls=((0.14, ey + 0.27, -0.1, -1, 0.15, 0.2), (nw * 0.85, ny - 0.06, 0.05, -0.8, 0.14, 0.14)),
            bulges=((0.16, ey + 0.2, 0.05, 0.08, 0.022),),
            creases=(
                (((0.02, ey + 0.1), (0.13, ey + 0.03)), 0.016, 0.034),
                (((0.03, ey + 0.2), (0.15, ey + 0.13)), 0.016, 0.034),
                (((0.05, ey + 0.3), (0.17, ey + 0.22)), 0.016, 0.026),
                (fold_line(p, 1)[:3], 0.028, 0.026),
            ),
        ),
        10: Movement(
            pulls=((0.17, p.mouth_y - 0.1, 0.08, -1, 0.19, 0.15), (nw + 0.02, ny - 0.02, 0.1, -0.6, 0.15, 0.14)),
            bulges=((nw + 0.14, ny + 0.02, 0.1, 0.09, 0.032),),
            creases=((fold_line(p, 1)[:3], 0.026, 0.05),),
        ),
    }


def _mouth(p: Identity) -> dict[int, Movement]:
    mw, my, low = p.mouth_width, p.mouth_y, p.mouth_y + p.lip_lower
    return {
        12: Movement(
            pulls=((mw, my, 0.6, -0.8, 0.22, 0.2), (0.52, 0.14, 0.1, -0.5, 0.25, 0.22)),
            bulges=((0.52, 0.08, 0.17, 0.14, 0.045),),
            creases=((fold_line(p, 1), 0.03, 0.045), (((mw + 0.03, my - 0.06), (mw + 0.06, my + 0.05)), 0.018, 0.03)),
        ),
        14: Movement(
            pulls=((mw - 0.02, my, 1, -0.04, 0.18, 0.17), (mw + 0.28, my, -0.45, 0, 0.16, 0.17)),
            bulges=((mw + 0.17, my + 0.02, 0.055, 0.1, 0.034),),
            creases=((((mw + 0.075, my - 0.1), (mw + 0.1, my), (mw + 0.07, my + 0.1)), 0.024, 0.055),),
        ),
        15: Movement(
            pulls=((mw, my + 0.03, 0.12, 1, 0.2, 0.18),),
            bulges=((mw + 0.12, my + 0.2, 0.07, 0.09, 0.03),),
            creases=((((mw + 0.03, my + 0.02), (mw + 0.075, my + 0.14), (mw + 0.04, my + 0.26)), 0.022, 0.045),),
        ),
        17: Movement(
            pulls=((0.07, p.chin - 0.24, -0.02, -1, 0.24, 0.2),),
            bulges=(
                (0.08, p.chin - 0.22, 0.11, 0.08, 0.03),
                *(
                    (x, p.chin + y, 0.03, 0.026, -0.008)
                    for x, y in ((0.03, -0.17), (0.11, -0.2), (0.08, -0.27), (0.17, -0.25))
                ),
            ),
            creases=((((-0.03, low + 0.075), (0.12, low + 0.09), (0.24, low + 0.15)), 0.024, 0.045),),
        ),
        20: Movement(
            pulls=((mw, my + 0.03, 1, 0.22, 0.24, 0.19),),
            bulges=((mw + 0.16, my + 0.06, 0.06, 0.12, 0.024),),
            creases=((((mw + 0.09, my - 0.06), (mw + 0.12, my + 0.08), (mw + 0.09, my + 0.2)), 0.026, 0.036),),
        ),
        25: Movement(
            pulls=((0.07, low + 0.07, 0, 1, 0.21, 0.2), (0.07, my - 0.14, 0, -0.6, 0.21, 0.17)),
            gaps=((((-0.02, my + 0.012), (0.5 * mw, my + 0.012), (0.86 * mw, my)), 0.02, 1.0),),
        ),
    }


def parse(code: str) -> tuple[int, tuple[int, ...]]:
    """Return number and halves of the face (1 = right of the image) of '4', 'L10' or 'R12'."""
    found = re.fullmatch(r"([LR]?)(\d+)", code)
    if not found:
        raise ValueError(f"{code!r} is not an action unit")
    return int(found[2]), {"": (1, -1), "L": (1,), "R": (-1,)}[found[1]]


def displacement(at: Grid, person: Identity, codes: tuple[str, ...]) -> Float[np.ndarray, "h w 2"]:
    """Return the combined displacement of the skin by some action units, scaled so that the largest is 1."""
    field = np.zeros((*at.x.shape, 2), np.float32)
    for code in codes:
        own = np.zeros_like(field)
        number, halves = parse(code)
        for side in halves:
            for x, y, dx, dy, sx, sy in movements(person)[number].pulls:
                own += blob(at, side * x, y, sx, sy)[..., None] * np.array([side * dx, dy], np.float32)
        field += own / np.hypot(own[..., 0], own[..., 1]).max()
    c, s = np.cos(np.radians(person.tilt)), np.sin(np.radians(person.tilt))
    field = field @ np.array([[c, s], [-s, c]], np.float32)
    unit: Float[np.ndarray, "h w 2"] = (field / np.hypot(field[..., 0], field[..., 1]).max()).astype(np.float32)
    return unit


def wrinkles(at: Grid, person: Identity, codes: tuple[str, ...]) -> tuple[Plane, Plane]:
    """Return what some action units add to the relief, and to the logarithm of brightness by opening the lips."""
    height, dark = np.zeros_like(at.x), np.zeros_like(at.x)
    for number, halves in map(parse, codes):
        movement = movements(person)[number]
        for side in halves:
            for x, y, sx, sy, high in movement.bulges:
                height += high * blob(at, side * x, y, sx, sy)
            for points, width, depth in movement.creases:
                height -= 0.75 * depth * crease(at, [(side * x, y) for x, y in points], width)
            for points, width, depth in movement.gaps:
                dark -= depth * crease(at, [(side * x, y) for x, y in points], width)
    return height, dark
