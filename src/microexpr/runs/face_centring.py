"""What a preprocessing shows: is the face in the middle, does its window jitter, how many values has an image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from microexpr.core import image as ops
from microexpr.data.cache import Views
from microexpr.runs.plan import Plan


class FaceCentring(NamedTuple):
    """Measured over the frames of one preprocessing; None where no face was looked for."""

    height: int
    width: int
    channels: tuple[str, ...]
    values_per_image: int
    face_centred: float | None
    box_jitter_px: float | None
    n_frames: int
    n_searched: int
    """Frames shown in which a face was looked for; `face_centred` is a share of these."""


def face_centring(plan: Plan) -> FaceCentring:
    """Measure the frames that a plan shows.

    `face_centred` is the share of frames in which the centre of the face box that the detector found lies in the
    middle third of the picture shown, in both directions; a frame without a face counts as not centred. Only frames
    in which a preprocessing of the study looked for a face are counted, `n_searched` of `n_frames`. (The paper prints
    84 % for M1 and 100 % for M2 without a definition.)

    `box_jitter_px` is the standard deviation, in source pixels, of the window's centre within a clip,
    both directions joined (`ops.spread`), averaged over the clips with two frames or more: 0 for a window that
    stays, and for a face box the head's own motion joined to the detector's unrest.
    """
    views = plan.views()
    height, width, channels = views.frames.pixels.shape[1:]
    centred = _centred(plan, views)
    shown: list[set[int]] = [set() for _ in views.clips]
    for row, frames in zip(views.clip_rows, views.places, strict=True):
        shown[row].update(frames.tolist())
    places = [np.array(sorted(rows), int) for rows in shown]
    jitter = [ops.spread(views.frames.window[rows]) for rows in places if len(rows) > 1]
    return FaceCentring(
        height=height,
        width=width,
        channels=views.frames.channels,
        values_per_image=height * width * channels,
        face_centred=float(np.mean(centred)) if centred else None,
        box_jitter_px=float(np.mean(jitter)) if jitter and plan.preprocessor.requires_uncropped else None,
        n_frames=sum(map(len, places)),
        n_searched=len(centred),
    )


def _centred(plan: Plan, views: Views) -> list[bool]:
    found = {(clip, frame): box for (_, clip, frame), box in plan.data.cache.boxes.items()}
    shown = {
        (views.clips[row].key, number): window
        for row, numbers, windows in zip(views.clip_rows, views.numbers, views.windows(), strict=True)
        for number, window in zip(numbers, windows, strict=True)
    }
    return [_in_middle(found[place], window) for place, window in shown.items() if place in found]


def _in_middle(found: tuple[float, ...] | None, window: ops.Box) -> bool:
    if found is None:
        return False
    box = np.array(found)
    centre = (box[:2] + box[2:]) / 2
    share = (centre - window[:2]) / (window[2:] - window[:2])
    return bool(((share >= 1 / 3) & (share <= 2 / 3)).all())
