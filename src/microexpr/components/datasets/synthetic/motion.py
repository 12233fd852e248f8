"""What changes over time: expression, head position, lamp and lids, all functions of the frame number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .planning import FPS, ClipPlan
from .spec import SyntheticSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Head, lamp and lids in one frame."""

    x: float
    """Shift of the head, in pixels."""
    y: float
    turn: float
    """In-plane rotation, in radians."""
    near: float
    """Relative growth of the head as it comes closer."""
    gain: float
    """Brightness, 1 = as at rest."""
    lids: float
    """0 open, 1 closed."""


def intensity(clip: ClipPlan, number: int) -> float:
    """Return the strength of the expression: 0 at the onset, 1 at the peak, the clip's residual at its last frame."""
    if number <= clip.peak:
        return _ease((number - clip.onset) / max(clip.peak - clip.onset, 1))
    return 1 - (1 - clip.residual) * _ease((number - clip.peak) / max(clip.last - clip.peak, 1))


def _ease(t: float | int) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * (3 - 2 * t)


def state(spec: SyntheticSpec, clip: ClipPlan, number: int) -> State:
    """Return head, lamp and lids in a frame; smooth in time, and random by the clip's own seed."""
    rng = np.random.default_rng([spec.seed, 5, clip.index])
    seconds = number / FPS
    # Three slow waves each, 0.15 to 0.9 Hz; sqrt(2 / 3) scales the standard deviation of their sum to 1.
    hertz, phase = rng.uniform(0.15, 0.9, (5, 3)), rng.uniform(0, 2 * np.pi, (5, 3))
    x, y, turn, near, lamp = (np.sqrt(2 / 3) * np.sin(2 * np.pi * hertz * seconds + phase)).sum(1).tolist()
    between = float(np.clip(rng.normal(), -2, 2))
    drift = spec.head_drift
    return State(
        x=drift * x,
        y=drift * y,
        turn=drift * 0.002 * turn,
        near=drift * 0.0015 * near,
        gain=(1 + spec.lighting * lamp) * (1 + 4 * spec.lighting * between),
        lids=_lids(spec, clip, number, rng),
    )


def _lids(spec: SyntheticSpec, clip: ClipPlan, number: int, rng: np.random.Generator) -> float:
    """Return the lid closure of a blink: fast closing, slower opening, 100 to 200 ms."""
    blinks, when, lasts = rng.random() < spec.blinks, rng.random(), rng.uniform(0.1, 0.2) * FPS
    t = (number - (clip.onset - lasts + when * (len(clip.numbers) + lasts))) / lasts
    if not blinks or not 0 < t < 1:
        return 0.0
    return _ease(t / 0.35) if t < 0.35 else 1 - _ease((t - 0.35) / 0.65)


def place(spec: SyntheticSpec, clip: ClipPlan, room: tuple[int, int, int, int]) -> tuple[int, int]:
    """Return the shift of head and shoulders in this clip, in whole pixels within `room` (left, right, up, down)."""
    left, right, up, down = room
    dx, dy = np.rint(spec.position_jitter * np.random.default_rng([spec.seed, 6, clip.index]).normal(size=2))
    return int(np.clip(dx, -left, right)), int(np.clip(dy, -up, down))
