"""Frames in a report: strips of what samplings take, and contact sheets of what models saw.

Licences of real databases permit the publication of few faces: their frames enter a report only on request, and then
only the contact sheets.
"""

from __future__ import annotations

import base64
from contextlib import suppress

import cv2
import numpy as np
from jaxtyping import Float, Num, UInt8

from microexpr.core import image as ops
from microexpr.core.clip import Clip
from microexpr.core.errors import MicroexprError
from microexpr.core.flow import ACROSS, DOWN
from microexpr.core.interfaces import Frames
from microexpr.report.summary import ContactSheet, Example
from microexpr.report.summary.data import is_synthetic
from microexpr.report.summary.factors import short
from microexpr.runs.plan import Plan
from microexpr.runs.study import Cell, StudyResult, input_label

SIDE = 96
"""Size of each frame in pixels."""
GAP = 4
MANY = 6
"""Largest number of preprocessings of which every sampling is shown, and of contact sheets."""
HIGH = 255.0
"""Maximum value of images; depth and motion are not shown."""
MOST = 13
"""Largest number of frames of a strip; longer clips are sampled evenly."""
STRONG = 0.995
"""Quantile of the magnitude of a flow that is drawn at full brightness."""


def examples(result: StudyResult) -> list[Example]:
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
    named = [strip.model_copy(update={"caption": short(result, cell, "preprocessing")}) for cell, strip in kept[1:]]
    return [kept[0][1], *named] if kept else []


def _has_images(cell: Cell) -> bool:
    return cell.plan.data.dataset.modalities()[cell.plan.data.modality].high == HIGH


def _strip(result: StudyResult, cell: Cell) -> Example:
    """Return the preprocessed frames of the first clip, before any representation."""
    views = cell.plan.views()
    first = views.of(np.array([0]))
    frames = [frame for at in first for frame in zip(views.numbers[at], views.places[at], strict=True)]
    kept = [frames[at] for at in np.unique(np.linspace(0, len(frames) - 1, MOST).round().astype(int))]
    clip, experiment = views.clips[0], cell.experiment
    numbers = [str(number) for number, _ in kept]
    named = f"frame{'s' * (len(numbers) > 1)} {', '.join(numbers)}"
    return Example(
        caption=(
            f"{short(result, cell, 'preprocessing')}, {experiment.sampling.name.upper()}: {named} of "
            f"{clip.key} (onset {clip.onset}, apex {clip.apex}, offset {clip.offset})"
        ),
        png_base64=_png(np.concatenate([_tile(views.frames.pixels[row]) for _, row in kept], axis=1)),
    )


def _tile(pixels: Num[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "side side c2"]:
    """Return a frame at display size, blue first; of colour with depth only the colours."""
    tile = ops.resize(pixels, SIDE, SIDE)
    return np.asarray(tile[..., 2::-1] if tile.shape[2] > 2 else tile[..., :1], np.uint8)


def _png(image: UInt8[np.ndarray, "h w c"]) -> str:
    return base64.b64encode(cv2.imencode(".png", np.ascontiguousarray(image))[1].tobytes()).decode()


# --- contact sheets ---------------------------------------------------------------------------------------------------
def contact_sheets(result: StudyResult, *, with_frames: bool = False) -> tuple[list[ContactSheet], int]:
    """Return, for each preprocessing with its representation, what models saw of one clip of every class.

    The number is that of the preprocessings beyond the first `MANY`, which are not shown.

    First those of the prespecified experiment and its alternatives. Of synthetic data, and of others only
    `with_frames`. Clips without frames in time and those in which no face is found are left out.
    """
    named = {result.study.named_cell.title: result.named} if result.study.named_cell and result.named else {}
    titled = [*(named | dict(result.alternatives)).items(), *(("", cell) for cell in result.cells)]
    first: dict[tuple[str, str], tuple[str, Cell]] = {}
    for title, cell in titled:
        if (with_frames or is_synthetic(cell.plan.data.dataset)) and _has_images(cell):
            part = input_label(cell.plan, result.cells[0].plan), cell.experiment.representation.label
            first.setdefault(part, (title, cell))
    sheets = [
        _sheet(cell.plan, title or f"{short(result, cell, 'preprocessing')}, {cell.experiment.representation.name}")
        for title, cell in list(first.values())[:MANY]
    ]
    return [sheet for sheet in sheets if sheet.clips], max(0, len(first) - MANY)


def _sheet(plan: Plan, title: str) -> ContactSheet:
    """Return onset, apex and flow of the first clip of every class that can be shown."""
    shown: dict[str, Example] = {}
    flow = _flow_channels(plan)
    for clip in plan.data.clips:
        label = str(plan.data.labels.of(clip))
        if label in shown or clip.onset is None or clip.offset is None:
            continue
        with suppress(MicroexprError):  # no face in a frame that no model used, for instance
            shown[label] = _onset_and_apex(plan, clip, clip.onset, clip.offset, label, flow)
    return ContactSheet(title=title, clips=list(shown.values()), has_flow=flow is not None)


def _onset_and_apex(
    plan: Plan, clip: Clip, onset: int, offset: int, label: str, flow: tuple[str, str] | None
) -> Example:
    apex = (onset + offset) // 2 if clip.apex is None else clip.apex
    named = f"{'middle' if clip.apex is None else 'apex'} {apex}"
    frames = plan.preprocessor(plan.data.cache.frames(clip), (onset, apex))
    tiles = [
        cv2.cvtColor(tile, cv2.COLOR_GRAY2BGR) if tile.shape[2] == 1 else tile for tile in map(_tile, frames.pixels)
    ]
    tiles += [_coloured(_flow(plan, frames, (onset, apex), clip, *flow))] if flow else []
    gap = np.full((SIDE, GAP, 3), 255, np.uint8)
    row = [image for tile in tiles for image in (tile, gap)][:-1]
    shown = ", flow from onset to apex" if flow else ""
    return Example(
        caption=f"{label}: {clip.key}, onset {onset}, {named}{shown}", png_base64=_png(np.concatenate(row, axis=1))
    )


def _flow_channels(plan: Plan) -> tuple[str, str] | None:
    """Return the channels of horizontal and vertical motion of the representation; None if it is not a flow."""
    channels = plan.spec.channels
    across, down = (next((name for name in kind if name in channels), None) for kind in (ACROSS, DOWN))
    return (across, down) if across and down else None


def _flow(
    plan: Plan, frames: Frames, numbers: tuple[int, int], clip: Clip, across: str, down: str
) -> Float[np.ndarray, "h w 2"]:
    """Return the horizontal and vertical motion that the representation passes on."""
    channels = np.moveaxis(plan.representation(frames, numbers, clip)[0], -1, 0)
    image = dict(zip(plan.spec.channels, channels, strict=True))
    motion = np.stack([image[across], image[down]], axis=-1).astype(np.float32)
    if "magnitude" in image:
        return np.asarray(motion * image["magnitude"][..., None])
    # Of channels scaled to 0..255 by their own minimum and maximum, the median stands for no motion.
    return np.asarray(motion - np.median(motion, axis=(0, 1)) if plan.spec.scaling == "minmax" else motion)


def _coloured(flow: Float[np.ndarray, "h w 2"]) -> UInt8[np.ndarray, "side side 3"]:
    """Return a flow as colours: hue for its direction, brightness for its magnitude."""
    u, v = np.moveaxis(ops.resize(flow, SIDE, SIDE), -1, 0)
    magnitude = np.hypot(u, v)
    strongest = float(np.quantile(magnitude, STRONG))
    hue = np.degrees(np.arctan2(v, u)) % 360 / 2  # OpenCV's hues are 0..180
    value = (magnitude / strongest).clip(0, 1) * 255 if strongest > 0 else np.zeros_like(magnitude)
    hsv = np.stack([hue, np.full_like(hue, 255), value], axis=-1).astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.uint8)
