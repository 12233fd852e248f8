"""Maps laid over what they are of: onset, apex, and the flow between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from microexpr.core import flow as motion
from microexpr.core import image as ops
from microexpr.core.clip import Clip
from microexpr.core.errors import DataError
from microexpr.core.interfaces import Frames
from microexpr.runs.explain._regions import REGIONS
from microexpr.runs.plan import Plan

SIDE = 168
"""Pixels of each picture's height."""
GAP = 4
STEP = 12
"""Pixels between arrows of the flow; the longest is about as long."""
PAPER = 246
INK = (34, 39, 29)
STRENGTH = 0.8
"""Opacity of the map where it is strongest; it falls to 0 with the map."""
Picture = UInt8[np.ndarray, "h w 3"]
"""Blue, green, red, as OpenCV writes them."""


@dataclass(frozen=True)
class Panel:
    """One picture of a strip: what it shows, and the map over it."""

    title: str
    ground: Picture
    shown: Float[np.ndarray, "h1 w1"]
    box: Float[np.ndarray, "4"]
    """The face in parts of the picture; NaN where none is known."""
    arrows: Float[np.ndarray, "h w 2"] | None = None


@dataclass(frozen=True)
class Mapped:
    """The maps of one clip: by view its frames, its maps and its face."""

    clip: Clip
    frames: Sequence[tuple[int, ...]]
    maps: Sequence[Float[np.ndarray, "t h w"]]
    boxes: Sequence[Float[np.ndarray, "4"]]

    def view_near(self, number: int) -> int:
        """Return which view shows a frame, or the one nearest to it."""
        return int(np.argmin([min(abs(frame - number) for frame in frames) for frames in self.frames]))

    def over(self, number: int, title: str, ground: Picture) -> Panel:
        """Return a picture under the map, of the nearest view and step, of a frame."""
        view = self.view_near(number)
        frames, maps = self.frames[view], self.maps[view]
        at = int(np.argmin([abs(frame - number) for frame in frames]))
        step = round(at * (len(maps) - 1) / max(len(frames) - 1, 1))
        return Panel(title, ground, np.asarray(maps[step]), self.boxes[view])


def panels(plan: Plan, mapped: Mapped) -> list[Panel]:
    """Return onset, apex and flow of a clip as it was preprocessed; of a ready image its channels.

    Without an apex its place is taken by the frame in the middle. Where onset or apex cannot be shown (no face is found
    in it, and the model never saw it), the frames of the view nearest to the apex are.
    """
    clip, frames = mapped.clip, plan.data.cache.frames(mapped.clip)
    if clip.onset is None or clip.offset is None:
        number = mapped.frames[0][0]
        shown = plan.preprocessor(frames, mapped.frames[0])
        pixels = _spread(shown.pixels[0])
        return [mapped.over(number, name, _grey3(pixels[..., at])) for at, name in enumerate(shown.channels[:3])]
    apex = clip.apex if clip.apex is not None else (clip.onset + clip.offset) // 2
    titles = {clip.onset: f"onset {clip.onset}", apex: f"{'apex' if clip.apex is not None else 'middle'} {apex}"}
    try:
        greys = _greys(plan.preprocessor(frames, tuple(titles)))
    except DataError:
        view = mapped.frames[mapped.view_near(apex)]
        titles = {number: f"frame {number}" for number in (view[0], view[-1])}
        greys = _greys(plan.preprocessor(frames, tuple(titles)))
    made = [
        mapped.over(number, title, _grey3(grey)) for (number, title), grey in zip(titles.items(), greys, strict=True)
    ]
    if len(greys) == 2 and min(greys.shape[1:]) >= motion.LEAST_SIDE:
        over = mapped.over(max(titles), "flow between them", _blank(*greys.shape[1:]))
        made.append(replace(over, arrows=motion.flows(greys)[0]))
    return made


def strip(shown: Sequence[Panel], limit: float) -> Picture:
    """Return panels side by side; a map of `limit` is drawn in full strength."""
    drawn = [_drawn(panel, limit) for panel in shown]
    gap = np.full((SIDE, GAP, 3), 255, np.uint8)
    joined = [part for picture in drawn for part in (picture, gap)][:-1]
    return np.concatenate(joined, axis=1)


def outlined(panel: Panel, limit: float) -> Picture:
    """Return a panel without what it is of, over the outlines of the regions where a face is known: it is not seen."""
    picture, box = _drawn(replace(panel, ground=_blank(*panel.ground.shape[:2])), limit), panel.box
    if np.isnan(box).any():
        return picture
    width, height = box[2] - box[0], box[3] - box[1]
    for parts in REGIONS.values():
        for x0, y0, x1, y1 in parts:
            corners = [(box[0] + x * width, box[1] + y * height) for x, y in ((x0, y0), (x1, y1))]
            first, second = ((round(x * picture.shape[1]), round(y * SIDE)) for x, y in corners)
            cv2.rectangle(picture, first, second, INK, 1, cv2.LINE_AA)
    return picture


def _blank(height: int, width: int) -> Picture:
    return np.full((height, width, 3), PAPER, np.uint8)


def bar() -> Picture:
    """Return the colours of a map from 0 to full strength, on grey."""
    values = np.tile(np.linspace(0, 1, 160), (12, 1))
    return _laid(np.full((12, 160, 3), 160, np.uint8), values)


def _drawn(panel: Panel, limit: float) -> Picture:
    width = _width(panel)
    picture = _heated(ops.resize(panel.ground, SIDE, width).astype(np.uint8), panel.shown, limit)
    if panel.arrows is None:
        return picture
    flow = ops.resize(panel.arrows.astype(np.float32), SIDE, width)
    longest = np.quantile(np.linalg.norm(flow, axis=2), 0.995)
    scale = STEP / longest if longest > 0 else 0.0
    for y in range(STEP // 2, SIDE, STEP):
        for x in range(STEP // 2, width, STEP):
            u, v = flow[y, x] * scale
            if np.hypot(u, v) >= 1:
                cv2.arrowedLine(picture, (x, y), (round(x + u), round(y + v)), INK, 1, cv2.LINE_AA, tipLength=0.35)
    return picture


def _width(panel: Panel) -> int:
    height, width = panel.ground.shape[:2]
    return int(max(1, round(SIDE * width / height)))


def _heated(picture: Picture, shown: Float[np.ndarray, "h1 w1"], limit: float) -> Picture:
    values = np.clip(shown.astype(np.float32) / limit, 0, 1) if limit > 0 else np.zeros(shown.shape, np.float32)
    return _laid(picture, ops.resize(values[..., None], *picture.shape[:2])[..., 0])


def _laid(picture: Picture, values: Float[np.ndarray, "h w"]) -> Picture:
    colours = cv2.applyColorMap((255 * values).round().astype(np.uint8), cv2.COLORMAP_INFERNO).astype(float)
    share = (STRENGTH * np.sqrt(values))[..., None]
    return np.asarray((picture * (1 - share) + colours * share).round().astype(np.uint8))


def _greys(frames: Frames) -> UInt8[np.ndarray, "t h w"]:
    """Return the brightness of colour (depth beside it is left out), or of the first channel."""
    if frames.channels[:3] != ops.RGB:
        return _spread(frames.pixels[..., 0])
    return np.stack([ops.grey(frame)[..., 0] for frame in _spread(frames.pixels[..., :3])])


def _spread(pixels: np.ndarray) -> UInt8[np.ndarray, "..."]:
    """Return pictures of 8 bits; what does not fit is spread over 0..255 by its least and largest value."""
    low, high = float(pixels.min()), float(pixels.max())
    if low >= 0 and 1 < high <= 255:
        return np.ascontiguousarray(pixels.astype(np.uint8))
    return ((pixels - low) * (255 / ((high - low) or 1))).round().astype(np.uint8)


def _grey3(grey: UInt8[np.ndarray, "h w"]) -> Picture:
    return np.repeat(grey[..., None], 3, axis=2)


def png(picture: Picture) -> bytes:
    """Return a picture as a file without loss."""
    return bytes(cv2.imencode(".png", np.ascontiguousarray(picture))[1].tobytes())


def jpeg(picture: Picture) -> bytes:
    """Return a picture as a file a tenth as large, for a page."""
    how = [cv2.IMWRITE_JPEG_QUALITY, 88, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return bytes(cv2.imencode(".jpg", np.ascontiguousarray(picture), how)[1].tobytes())
