"""Properties of preprocessed frames: whether the face is centred, how much its window jitters, the size of an image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from microexpr.core import image as ops
from microexpr.data.cache import Views
from microexpr.runs.plan import Plan


class FaceCentring(NamedTuple):
    """Measurements over the frames of one preprocessing; None if no face was searched for."""

    height: int
    width: int
    channels: tuple[str, ...]
    values_per_image: int
    face_centred: float | None
    box_jitter_px: float | None
    n_frames: int
    n_searched: int
    """Frames in which a face was searched for; `face_centred` is a share of these."""


def face_centring(plan: Plan) -> FaceCentring:
    """Measure the frames that a plan's model input is made of.

    `face_centred` is the share of frames in which the centre of the detected face box is in the middle third of the
    preprocessed image, in both directions; a frame without a detected face counts as not centred. Only frames in which
    a preprocessing of the study searched for a face are counted, `n_searched` of `n_frames`. (The paper prints 84 % for
    M1 and 100 % for M2 without a definition.)

    `box_jitter_px` is the standard deviation, in source pixels, of the window's centre within a clip, both directions
    combined (`ops.spread`), averaged over the clips with two frames or more: 0 for a fixed window; for a face box, the
    motion of the head combined with the noise of the detector.
    """
    views = plan.views()
    height, width, channels = views.frames.pixels.shape[1:]
    centred = _centred(plan, views)
    used: list[set[int]] = [set() for _ in views.clips]
    for row, frames in zip(views.clip_rows, views.places, strict=True):
        used[row].update(frames.tolist())
    places = [np.array(sorted(rows), int) for rows in used]
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
    """Return, for every frame in which a face was searched for, whether it is centred."""
    boxes = {(clip, frame): box for of in plan.data.cache.boxes.values() for (_, clip, frame), box in of.items()}
    windows_of = {
        (views.clips[row].key, number): window
        for row, numbers, windows in zip(views.clip_rows, views.numbers, views.windows(), strict=True)
        for number, window in zip(numbers, windows, strict=True)
    }
    return [_in_middle(boxes[place], window) for place, window in windows_of.items() if place in boxes]


def _in_middle(box: tuple[float, ...] | None, window: ops.Box) -> bool:
    if box is None:
        return False
    corners = np.array(box)
    centre = (corners[:2] + corners[2:]) / 2
    share = (centre - window[:2]) / (window[2:] - window[:2])
    return bool(((share >= 1 / 3) & (share <= 2 / 3)).all())
