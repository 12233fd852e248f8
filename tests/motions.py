"""Pictures whose motion is known, for the tests of motion."""

from __future__ import annotations

import cv2
import numpy as np


def texture(side: int = 128, seed: int = 0, grain: float = 3.0) -> np.ndarray:
    """A random picture whose details are about `grain` pixels wide, 0..255."""
    noise = np.random.default_rng(seed).uniform(0, 1, (side, side)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), grain)
    return (blurred - blurred.min()) / (blurred.max() - blurred.min()) * np.float32(255)


def moved(picture: np.ndarray, u: object, v: object) -> np.ndarray:
    """The picture with what is at (x, y) gone to (x + u, y + v), for fields u and v that hardly change with place."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    back_x, back_y = (x - u).astype(np.float32), (y - v).astype(np.float32)
    return cv2.remap(picture, back_x, back_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT).clip(0, 255)


def pair(u: object, v: object, side: int = 128, seed: int = 0, noise: float = 0.0, grain: float = 3.0) -> np.ndarray:
    """Two grey frames [2, side, side] of bytes with this motion between them."""
    first = texture(side, seed, grain)
    frames = np.stack([first, moved(first, u, v)])
    frames += np.random.default_rng(seed + 1).normal(0, noise, frames.shape) if noise else 0
    return frames.round().clip(0, 255).astype(np.uint8)
