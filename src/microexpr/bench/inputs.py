"""Drawn inputs of the benchmarks: arrays with something to learn, and the files that a user would have."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

EMOTIONS = ("negative", "positive", "surprise")
CLIPS, SUBJECTS, SIDE = 442, 68, 28
"""Size of the composite database of MEGC 2019 and of its flow images."""


class FlowImages(NamedTuple):
    """Images of motion with their classes and subjects."""

    images: UInt8[np.ndarray, "n h w 3"]
    labels: Int[np.ndarray, "n"]
    subjects: Int[np.ndarray, "n"]


def flow_images(clips: int = CLIPS, subjects: int = SUBJECTS, side: int = SIDE, seed: int = 0) -> FlowImages:
    """Draw images whose class is a smooth pattern of motion, weak against that of the subject and of the clip."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(len(EMOTIONS), size=clips, p=[0.57, 0.25, 0.18])
    people = np.concatenate([np.arange(subjects), rng.choice(subjects, clips - subjects)])

    def smooth(count: int) -> Float[np.ndarray, "n h w 3"]:
        rough = rng.normal(size=(count, 7, 7, 3)).astype(np.float32)
        return np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC) for image in rough])

    motion = 0.5 * smooth(len(EMOTIONS))[labels] + 0.5 * smooth(subjects)[people] + smooth(clips)
    return FlowImages((128 + 30 * motion).clip(0, 255).round().astype(np.uint8), labels, people)


def write_manifest(folder: Path, drawn: FlowImages) -> Path:
    """Write the images as PNG files and list them in manifest.csv, as precomputed images of the modality onset_apex."""
    folder.mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["dataset", "subject", "clip", "emotion", "onset_apex"])
        for number, (image, label, subject) in enumerate(zip(*drawn, strict=True)):
            name = f"{number:05}.png"
            cv2.imwrite(str(folder / name), image)
            writer.writerow(["drawn", f"s{subject:03}", f"c{number:05}", EMOTIONS[label], name])
    return folder


def moving_faces(clips: int, frames: int, side: int, seed: int = 0) -> UInt8[np.ndarray, "n t h w"]:
    """Draw grey textures that shift and stretch a little from frame to frame."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    found = np.empty((clips, frames, side, side), np.uint8)
    for clip in found:
        texture = cv2.GaussianBlur(rng.uniform(0, 255, (side, side)).astype(np.float32), (0, 0), 2.5)
        texture = cv2.normalize(texture, None, 20, 235, cv2.NORM_MINMAX)
        wave = rng.uniform(0.5, 2.0) * np.sin(y / side * np.pi * rng.integers(1, 4) + rng.uniform(0, np.pi))
        for number in range(frames):
            at = (x + wave * (number / frames)).astype(np.float32)
            moved = cv2.remap(texture, at, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            clip[number] = (moved + rng.normal(0, 2, moved.shape)).clip(0, 255)
    return found
