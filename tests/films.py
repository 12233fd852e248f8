"""Films of one pixel."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from microexpr.core.clip import Clip

FPS = 200.0


def clip(fps=FPS, onset=3, offset=62):
    return Clip(dataset="d", subject_id="1", namespace="d", video="v", fps=fps, onset=onset, apex=9, offset=offset)


@dataclass
class Film:
    """Frames drawn by a function of the frame's number; it notes what it was asked for."""

    draw: object
    clip: Clip = field(default_factory=clip)
    channels: tuple[str, ...] = ("grey",)
    asked: list[int] = field(default_factory=list)

    def pixels(self, numbers):
        self.asked += numbers
        return np.stack([self.draw(number) for number in numbers])

    def boxes(self, numbers, detector):
        return np.array([[10 + number, 10, 60 + number, 60] for number in numbers], float)
