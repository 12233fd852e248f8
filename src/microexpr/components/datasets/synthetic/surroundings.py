"""Hair, ears, neck and shirt of a person; the wall behind and the objects on it."""

from __future__ import annotations

import cv2
import numpy as np

from .features import Picture, blend, inside
from .identity import Identity
from .relief import Grid, Plane, blob, crease, step

HEIGHT, WIDTH = 480, 640
"""Size of the image in pixels, as in CASME II."""


def paint_body(at: Grid, person: Identity) -> tuple[Picture, Plane]:
    """Paint what is behind the face (long hair, ears, neck, shirt); return it with its opacity."""
    p = person
    colour = np.broadcast_to(np.asarray(p.hair, np.float32) * 0.62, (*at.x.shape, 3))
    alpha = np.zeros(at.x.shape, np.float32)
    if p.hair_style == 3:
        alpha = inside(_skull(at.y, 1.13, -1.88) + 0.04 * np.sin(2.3 * at.y) - np.abs(at.x), at, 0.03)
    skin = np.asarray(p.skin, np.float32)
    neck_edge = 0.56 + 0.12 * np.clip(at.y - 1.05, 0, 1) ** 2 * 4 - np.abs(at.x)
    neck = inside(np.minimum(neck_edge, at.y - 0.4), at, 0.012)
    dark = 0.5 + 0.34 * step(at.y, p.chin - 0.08, p.chin + 0.4) - 0.22 * step(np.abs(at.x), 0.2, 0.6)
    colour, alpha = blend(colour, skin * dark[..., None], neck), np.maximum(alpha, neck)
    ear = inside(
        1 - np.hypot((np.abs(at.x) - 0.965) / 0.085, (at.y + 0.27 + 0.25 * (np.abs(at.x) - 0.96)) / 0.25), at, 0.25
    )
    tone = (
        0.74
        - 0.3 * blob(at, 0.975, -0.26, 0.022, 0.13, mirrored=True)
        + 0.12 * blob(at, 1.02, -0.36, 0.02, 0.1, mirrored=True)
    )
    colour, alpha = blend(colour, skin * tone[..., None] * (1.0, 0.95, 0.93), ear), np.maximum(alpha, ear)
    shoulder = at.y - (1.1 + 0.17 * (np.abs(at.x) - 0.55) + 0.05 * (np.abs(at.x) - 0.5) ** 2)
    shirt = inside(np.minimum(shoulder, np.abs(at.x) - 0.62 + 0.9 * np.clip(at.y - 1.15, 0, 1)), at, 0.012)
    seam = 1 - 0.35 * np.exp(-0.5 * ((np.abs(at.x) - 0.7 + 0.9 * np.clip(at.y - 1.15, 0, 1)) / 0.012) ** 2)
    cloth = (0.8 + 0.18 * step(shoulder, 0, 0.12) - 0.12 * np.sin(9 * at.x + 2 * at.y) ** 2) * seam
    return blend(colour, np.asarray(p.shirt, np.float32) * cloth[..., None], shirt), np.maximum(alpha, shirt)


def paint_hair(picture: Picture, at: Grid, person: Identity, rng: np.random.Generator) -> tuple[Picture, Plane]:
    """Paint the hair over forehead and temples; return the image and the hair's opacity."""
    p, width = person, np.abs(at.x)
    part = 0.0 if p.hair_style in (2, 3) else float(rng.choice([-0.32, 0.32]))
    turn = np.arctan2(at.x - part, at.y + 2.75)
    reach = np.hypot(at.x - part, at.y + 2.75)
    strands = _strands(turn, reach, rng)
    cap = _skull(at.y, 1.02, -1.86) - 0.5 * np.clip(at.y + 0.35, 0, 2)
    brow = np.clip(1 - (width / 0.87) ** 2.6, 0, 1) ** 0.5
    front = -0.62 + (p.hairline + 0.62) * brow + 0.4 * step(width, 0.84, 0.93)
    if p.hair_style == 1:
        front += 0.2 * step(at.x * -np.sign(part), -0.25, 0.75) - 0.07
    if p.hair_style == 2:
        front += 0.27 * (1 - step(width, 0.3, 0.8))
    if p.hair_style == 3:
        edge = 0.84 + 0.1 * step(at.y, -0.5, 0.6) + 0.02 * np.cos(4 * at.y)
        front += 2.4 * step(width, edge, edge + 0.1)
        cap = _skull(at.y, 1.11, -1.88) + 0.03 * np.sin(2 * at.y)
    front += 0.05 * (strands - 0.5)
    cap += (0.035 if p.hair_style < 2 else 0.015) * (strands - 0.5)
    over = inside(np.minimum(front - at.y, cap - width), at, 0.03)
    sheen = 0.5 * np.exp(-0.5 * ((reach - 1.15 - 0.08 * strands) / 0.13) ** 2) + 0.1
    tone = (0.5 + 0.65 * strands) * (1.05 - 0.4 * step(width, 0.35, 1.05)) + sheen * strands
    gloss = 4 + 34 * strands**2 * np.exp(-0.5 * ((reach - 1.22 - 0.1 * strands) / 0.1) ** 2)
    shadow = inside(front + 0.035 - at.y, at, 0.12) * (1 - over)
    picture = blend(picture, (picture * 0.72).astype(np.float32), shadow)
    return blend(picture, np.asarray(p.hair, np.float32) * tone[..., None] + gloss[..., None], over), over


def _skull(y: Plane, width: float, top: float) -> Plane:
    """Return half the width of the hair at each height; straight below the temples."""
    s = np.clip((-0.75 - y) / (-0.75 - top), 0, 1)
    edge: Plane = np.where(s < 1, width * np.sqrt(1 - s**2.15), -1.0).astype(np.float32)
    return edge


def _strands(turn: Plane, reach: Plane, rng: np.random.Generator) -> Plane:
    """Return strands that run away from the parting, 0 to 1."""
    total = np.zeros_like(turn)
    for count, share in ((70, 0.4), (190, 0.35), (480, 0.25)):
        values = rng.random(count).astype(np.float32)
        wave = (turn / (2 * np.pi) + 0.5 + 0.004 * np.sin(5 * reach + 9 * turn)) * count
        total += share * np.interp(wave.ravel(), np.arange(count), values, period=count).reshape(turn.shape)
    streaks: Plane = total.astype(np.float32)
    return streaks


def paint_wall(person: Identity, clutter: float, rng: np.random.Generator) -> Picture:
    """Paint the background of a clip: a softly lit wall, with objects on it."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    fall = 1 - 0.16 * ((x - 320 + 300 * person.light[0]) / 420) ** 2 - 0.1 * ((y - 150) / 400) ** 2
    wall: Picture = (np.asarray(person.wall, np.float32) * fall[..., None]).astype(np.float32)
    if clutter == 0:
        return wall
    things = wall.copy()
    for _ in range(int(rng.integers(9, 16))):
        colour = tuple(float(c) for c in rng.uniform(20, 235, 3))
        cx, cy = int(rng.integers(0, WIDTH)), int(rng.integers(0, HEIGHT))
        w, h = (int(v) for v in rng.integers(25, 150, 2))
        if rng.random() < 0.65:
            cv2.rectangle(things, (cx - w // 2, cy - h // 2), (cx + w // 2, cy + h // 2), colour, -1)
            for row in range(cy - h // 2, cy + h // 2, int(rng.integers(9, 30))):
                cv2.line(things, (cx - w // 2, row), (cx + w // 2, row), tuple(c * 0.7 for c in colour), 2)
        else:
            cv2.ellipse(things, (cx, cy), (w // 2, h // 2), float(rng.uniform(0, 180)), 0, 360, colour, -1)
    wall += np.float32(clutter) * (cv2.GaussianBlur(things, (0, 0), 1.2) - wall)
    return wall


def skin_tone(at: Grid, person: Identity, rng: np.random.Generator) -> Picture:
    """Return the colour of skin under even light: red on cheeks and nose, dark around the eyes, blotches, moles."""
    p, shape = person, at.x.shape
    colour = np.broadcast_to(np.asarray(p.skin, np.float32), (*shape, 3))
    red = 0.5 * blob(at, 0.5, 0.0, 0.2, 0.17, mirrored=True) + 0.45 * blob(at, 0, p.nose_y - 0.08, 0.13, 0.1)
    red += 0.25 * blob(at, 0, p.chin - 0.15, 0.2, 0.12)
    colour = blend(colour, (p.skin[0] * 1.0, p.skin[1] * 0.8, p.skin[2] * 0.78), np.clip(red, 0, 1) * 0.5)
    rings = blob(at, p.eye_x - 0.03, p.eye_y + 0.11, 0.15, 0.05, mirrored=True)
    rings += 0.7 * blob(at, p.eye_x, p.eye_y - 0.09, 0.2, 0.06, mirrored=True)
    colour = blend(colour, (p.skin[0] * 0.8, p.skin[1] * 0.74, p.skin[2] * 0.76), 0.32 * np.clip(rings, 0, 1))
    small = rng.normal(0, 1, (shape[0] // 12, shape[1] // 12)).astype(np.float32)
    blotches = cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)
    colour = colour * (1 + 0.012 * blotches)[..., None]
    for _ in range(int(rng.integers(0, 5))):
        x, y = rng.uniform(-0.75, 0.75), rng.uniform(-0.3, 0.85)
        colour = blend(colour, (88, 60, 48), 0.6 * blob(at, x, y, *(2 * [rng.uniform(0.006, 0.014)])))
    return colour.astype(np.float32)


def soft_shadows(at: Grid, person: Identity) -> Plane:
    """Return the darkening (1 = none) below nose and lower lip, beside the nose, and in the folds around the mouth."""
    p, away = person, -person.light[0]
    dark = 0.26 * blob(at, 0.12 * away, p.nose_y + 0.055, 0.15, 0.05)
    dark += (
        0.16
        * blob(at, np.sign(away) * (p.nose_width * 0.95 + 0.03), p.nose_y - 0.12, 0.06, 0.14)
        * min(1, 4 * abs(away))
    )
    dark += 0.12 * blob(at, 0, p.mouth_y + p.lip_lower + 0.045, 0.17, 0.03)
    wings = (
        (p.nose_width + 0.015, p.nose_y - 0.14),
        (p.nose_width + 0.03, p.nose_y - 0.05),
        (p.nose_width - 0.03, p.nose_y + 0.005),
    )
    dark += 0.22 * sum(crease(at, [(s * x, y) for x, y in wings], 0.014) for s in (-1, 1))
    return 1 - dark
