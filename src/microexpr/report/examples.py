"""What each preprocessing and sampling shows of one clip, as pictures: only of synthetic people.

The owners of real databases allow few of their faces in print, so pictures of real clips never enter a report.
"""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np

from microexpr import ops
from microexpr.study import Cell, StudyResult

SIDE = 96
"""Pixels of each small picture."""


def examples(result: StudyResult) -> list[dict[str, Any]]:
    """Return one strip of pictures for each preprocessing and sampling of a study on synthetic data."""
    shown = {(cell.experiment.preprocessing.label, cell.experiment.sampling.label): cell for cell in result.cells}
    return [_strip(cell) for cell in shown.values() if "synthetic" in cell.plan.data.dataset.facts()]


def _strip(cell: Cell) -> dict[str, Any]:
    views = cell.plan.views()
    first = views.of(np.array([0]))
    pictures = [ops.resize(view[0], SIDE, SIDE) for view in views.take(first)]
    strip = np.concatenate(pictures, axis=1)
    colour = strip[..., ::-1] if strip.shape[2] == 3 else strip
    clip, experiment = views.clips[0], cell.experiment
    numbers = [str(number) for index in first for number in views.numbers[index]]
    shown = f"frame{'s' * (len(numbers) > 1)} {', '.join(numbers)}"
    return {
        "caption": (
            f"{experiment.preprocessing.name.upper()}, {experiment.sampling.name.upper()}: {shown} of "
            f"{clip.key} (onset {clip.onset}, apex {clip.apex}, offset {clip.offset})"
        ),
        "png_base64": base64.b64encode(cv2.imencode(".png", np.ascontiguousarray(colour))[1].tobytes()).decode(),
    }
