"""Example of a manifest: twelve clips of four subjects, in which a disc moves."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np

from microexpr.components.datasets.manifest import REQUIRED, TIMES

UNITS: Final = {"happiness": "6+12", "surprise": "1+2", "disgust": "4+L9"}


def write(root: Path) -> None:
    lines = [",".join((*REQUIRED, "emotion", "frames", *TIMES, "fps", "action_units"))]
    for subject in ("01", "02", "03", "04"):
        for clip, (emotion, units) in enumerate(UNITS.items(), start=1):
            folder = f"frames/{subject}_{clip}"
            _draw(root / folder, int(subject), clip)
            lines.append(f"example,{subject},clip{clip},{emotion},{folder},1,5,9,100,{units}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")


def _draw(folder: Path, subject: int, clip: int) -> None:
    """Write nine frames: a disc, placed by subject, moves in the clip's direction and comes back."""
    folder.mkdir(parents=True)
    for number in range(1, 10):
        move = 4 - abs(number - 5)
        centre = (24 + 4 * subject + move * (clip % 2), 32 + move * (clip // 2))
        image = cv2.circle(np.full((64, 64, 3), (90, 110, 130), np.uint8), centre, 12, (150, 170, 210), -1)
        (folder / f"img{number}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
