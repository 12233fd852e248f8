"""One preprocessing of a database: read, find the face in the full frame, crop, resize, write PNG; one process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import dlib
import numpy as np

MARGIN = 20


class ClipFiles(NamedTuple):
    """The frame files of one clip by number, its first and last frame, and the frames that are needed."""

    name: str
    files: Mapping[int, Path]
    onset: int
    offset: int
    needed: Iterable[int]


@cache
def detector() -> Any:
    """dlib's frontal face detector."""
    return dlib.get_frontal_face_detector()


def preprocess(clips: Iterable[ClipFiles], out: Path, crop: str, box: str, size: int, colour: str) -> None:
    """Write the needed frames of all clips: `crop` none, centre or face; `box` of every frame, the onset or median."""
    for clip in clips:
        folder = out / clip.name
        folder.mkdir(parents=True)
        fixed = None
        if crop == "face" and box == "onset":
            fixed = face(read(clip.files[clip.onset]))
        elif crop == "face" and box == "median":
            numbers = np.unique(np.linspace(clip.onset, clip.offset, 9).round().astype(int))
            fixed = np.median([face(read(clip.files[int(number)])) for number in numbers], axis=0)
        for number in clip.needed:
            frame = read(clip.files[number])
            height, width = frame.shape[:2]
            if crop == "none":
                x0, y0, x1, y1 = 0, 0, width, height
            elif crop == "centre":
                side = min(height, width)
                x0, y0 = (width - side) // 2, (height - side) // 2
                x1, y1 = x0 + side, y0 + side
            else:
                x0, y0, x1, y1 = face(frame) if fixed is None else fixed
                x0, y0, x1, y1 = x0 - MARGIN, y0 - MARGIN, x1 + MARGIN, y1 + MARGIN
                corners = np.clip([x0, y0, x1, y1], 0, [width, height, width, height])
                x0, y0, x1, y1 = (round(float(corner)) for corner in corners)
            part = frame[y0:y1, x0:x1]
            shrinks = part.shape[0] * part.shape[1] > size * size
            image = cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
            if colour == "grey":
                image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            else:
                image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(folder / f"{number}.png"), image)


def read(file: Path) -> np.ndarray:
    """An image as RGB."""
    return cv2.cvtColor(cv2.imread(str(file), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def face(frame: np.ndarray) -> np.ndarray:
    """The most certain face of a full frame: x0, y0, x1, y1."""
    found, scores, _ = detector().run(frame, 0, 0.0)
    best = found[int(np.argmax(scores))]
    return np.array([best.left(), best.top(), best.right() + 1, best.bottom() + 1], float)
