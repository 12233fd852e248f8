"""Example frames of each preprocessing and sampling, from synthetic databases only.

Licences of real databases permit the publication of few faces, so frames of real clips never enter a report.
"""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np

from microexpr.core import image as ops
from microexpr.core.interfaces import ClipSource
from microexpr.data.composite import Composite
from microexpr.report.summary.factors import short
from microexpr.runs.study import Cell, StudyResult, input_label

SIDE = 96
"""Size of each frame in pixels."""
MANY = 6
"""Largest number of preprocessings of which every sampling is shown."""
HIGH = 255.0
"""Maximum value of images; depth and motion are not shown."""
MOST = 13
"""Largest number of frames of a strip; longer clips are sampled evenly."""


def examples(result: StudyResult) -> list[dict[str, Any]]:
    """Return one strip of frames for each preprocessing and sampling of a study on synthetic data."""
    drawn: dict[tuple[str, str], Cell] = {}
    for cell in result.cells:
        if is_synthetic(cell.plan.data.dataset) and _has_images(cell):
            drawn.setdefault((input_label(cell.plan, result.cells[0].plan), cell.experiment.sampling.label), cell)
    strips = [_strip(result, cell) for cell in drawn.values()]
    if len({what for what, _ in drawn}) <= MANY:
        return strips
    # Other samplings show the same frames again, and one full caption is enough.
    sampling = result.cells[0].experiment.sampling.label
    kept = [(cell, strip) for (place, cell), strip in zip(drawn.items(), strips, strict=True) if place[1] == sampling]
    named = [{**strip, "caption": short(result, cell, "preprocessing")} for cell, strip in kept[1:]]
    return [kept[0][1], *named] if kept else []


def is_synthetic(dataset: ClipSource) -> bool:
    """Return whether all databases are synthetic; a report shows no faces of real ones."""
    members = dataset.members.values() if isinstance(dataset, Composite) else [dataset]
    return all("synthetic" in member.metadata() for member in members)


def _has_images(cell: Cell) -> bool:
    return cell.plan.data.dataset.modalities()[cell.plan.data.modality].high == HIGH


def _strip(result: StudyResult, cell: Cell) -> dict[str, Any]:
    """Return the preprocessed frames of the first clip, before any representation."""
    views = cell.plan.views()
    first = views.of(np.array([0]))
    frames = [frame for at in first for frame in zip(views.numbers[at], views.places[at], strict=True)]
    kept = [frames[at] for at in np.unique(np.linspace(0, len(frames) - 1, MOST).round().astype(int))]
    strip = np.concatenate([ops.resize(views.frames.pixels[row], SIDE, SIDE) for _, row in kept], axis=1)
    colour = strip[..., 2::-1] if strip.shape[2] > 2 else strip  # colour with depth: the colour channels
    clip, experiment = views.clips[0], cell.experiment
    numbers = [str(number) for number, _ in kept]
    named = f"frame{'s' * (len(numbers) > 1)} {', '.join(numbers)}"
    return {
        "caption": (
            f"{short(result, cell, 'preprocessing')}, {experiment.sampling.name.upper()}: {named} of "
            f"{clip.key} (onset {clip.onset}, apex {clip.apex}, offset {clip.offset})"
        ),
        "png_base64": base64.b64encode(
            cv2.imencode(".png", np.ascontiguousarray(colour, np.uint8))[1].tobytes()
        ).decode(),
    }
