"""Optical flow, strain and LBP-TOP of many clips, with OpenCV and NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np


def dis() -> Any:
    """Dense Inverse Search with the finest scale of two halvings."""
    solver = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    solver.setFinestScale(2)
    return solver


def tvl1() -> Any:
    """Total variation and L1 norm, in OpenCV's contrib modules."""
    contrib: Any = cv2
    return contrib.optflow.DualTVL1OpticalFlow_create()


def flow_images(clips: np.ndarray, size: int, file: Path, solver: Any) -> np.ndarray:
    """Flow and strain from the first frame of every clip to its last, resized, stacked and saved as one array.

    `clips`: uint8, clips x frames x height x width. u and v in per cent of the width, strain times ten, clipped at 3.
    """
    images = []
    for frames in clips:
        flow = solver.calc(frames[0], frames[-1], None)
        u_y, u_x = np.gradient(flow[..., 0])
        v_y, v_x = np.gradient(flow[..., 1])
        strain = np.sqrt(u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2)
        image = np.dstack([flow * (100 / flow.shape[1]), strain * 10]).astype(np.float32)
        images.append(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA).clip(-3, 3))
    found = np.stack(images)
    np.save(file, found)
    return found


def lbp_top(clips: np.ndarray, file: Path, frames: int = 10, radii: tuple[int, int, int] = (1, 1, 4)) -> np.ndarray:
    """LBP-TOP histograms of every clip: 5 x 5 blocks, 16 codes, planes xy, xt and yt; saved as one array.

    `clips`: uint8, clips x frames x height x width, brought to `frames` frames by the temporal interpolation model.
    """
    weights = interpolation(clips.shape[1], frames)
    features = []
    for clip in clips:
        volume = np.tensordot(weights, clip.astype(np.float32), axes=1)
        volume = np.clip(np.round(volume), 0, 255).astype(np.uint8)
        features.append(histograms(volume, radii))
    found = np.stack(features).astype(np.float32)
    np.save(file, found)
    return found


def interpolation(given: int, wanted: int) -> np.ndarray:
    """Weights of the temporal interpolation model (Zhou, Zhao and Pietikainen, 2011) in the basis of cosines."""
    times = np.linspace(1 / given, 1, wanted) * given - 0.5
    k = np.arange(1, given)
    basis = np.cos(np.pi * np.outer(np.arange(given) + 0.5, k) / given)
    weights = 1 / given + 2 / given * np.cos(np.pi * np.outer(times, k) / given) @ basis.T
    weights[abs(weights) < 1e-12] = 0
    return weights.astype(np.float32)


def histograms(volume: np.ndarray, radii: tuple[int, int, int], blocks: int = 5) -> np.ndarray:
    """Share of every code in every block, for the three planes of one volume (frames x height x width)."""
    rx, ry, rt = radii
    t, h, w = volume.shape
    centre = volume[rt : t - rt, ry : h - ry, rx : w - rx]

    def shifted(dt: int, dy: int, dx: int) -> np.ndarray:
        return volume[rt + dt : t - rt + dt, ry + dy : h - ry + dy, rx + dx : w - rx + dx]

    planes = {
        "xy": ((0, 0, rx), (0, -ry, 0), (0, 0, -rx), (0, ry, 0)),
        "xt": ((0, 0, rx), (-rt, 0, 0), (0, 0, -rx), (rt, 0, 0)),
        "yt": ((0, ry, 0), (-rt, 0, 0), (0, -ry, 0), (rt, 0, 0)),
    }
    height, width = centre.shape[1:]
    found = np.empty((blocks * blocks, 16, 3))
    for plane, neighbours in enumerate(planes.values()):
        codes = sum((shifted(*place) >= centre).astype(np.uint8) << bit for bit, place in enumerate(neighbours))
        for row in range(blocks):
            for column in range(blocks):
                block = codes[
                    :,
                    row * height // blocks : (row + 1) * height // blocks,
                    column * width // blocks : (column + 1) * width // blocks,
                ]
                counts = np.bincount(block.ravel(), minlength=16)
                found[row * blocks + column, :, plane] = counts / counts.sum()
    return found
