"""Attribution maps drawn over the frames that they explain: onset, apex, and the flow between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from microexpr.core import flow
from microexpr.core import image as ops
from microexpr.core.clip import Clip
from microexpr.core.errors import DataError
from microexpr.core.interfaces import Frames
from microexpr.runs.explain._regions import REGIONS
from microexpr.runs.plan import Plan

SIDE = 168
"""Height of every image in pixels."""
GAP = 4
STEP = 12
"""Pixels between arrows of the flow; the longest arrow has about this length."""
PAPER = 246
INK = (34, 39, 29)
STRENGTH = 0.8
"""Opacity where the map is strongest; it decreases to 0 with the map."""
Image = UInt8[np.ndarray, "h w 3"]
"""Blue, green, red, as OpenCV writes them."""


@dataclass(frozen=True)
class Panel:
    """One image of a strip, and the map over it."""

    title: str
    image: Image
    attribution: Float[np.ndarray, "h1 w1"]
    box: Float[np.ndarray, "4"]
    """Face box in fractions of the image; NaN if no face is known."""
    arrows: Float[np.ndarray, "h w 2"] | None = None


@dataclass(frozen=True)
class Mapped:
    """The maps of one clip: frames, maps and face box of every view."""

    clip: Clip
    frames: Sequence[tuple[int, ...]]
    maps: Sequence[Float[np.ndarray, "t h w"]]
    boxes: Sequence[Float[np.ndarray, "4"]]

    def view_near(self, number: int) -> int:
        """Return the index of the view that contains a frame, or of the view nearest to it."""
        return int(np.argmin([min(abs(frame - number) for frame in frames) for frames in self.frames]))

    def over(self, number: int, title: str, image: Image) -> Panel:
        """Return a panel of an image with the map for a frame, taken from the nearest view and step."""
        view = self.view_near(number)
        frames, maps = self.frames[view], self.maps[view]
        at = int(np.argmin([abs(frame - number) for frame in frames]))
        step = round(at * (len(maps) - 1) / max(len(frames) - 1, 1))
        return Panel(title, image, np.asarray(maps[step]), self.boxes[view])


def panels(plan: Plan, mapped: Mapped) -> list[Panel]:
    """Return onset, apex and flow of a clip after preprocessing; of a precomputed image, its channels.

    Without a coded apex, the middle frame is used. If onset or apex cannot be preprocessed (no face is found in a frame
    that the model did not use), the frames of the view nearest to the apex are used instead.
    """
    clip, frames = mapped.clip, plan.data.cache.frames(mapped.clip)
    if clip.onset is None or clip.offset is None:
        number = mapped.frames[0][0]
        preprocessed = plan.preprocessor(frames, mapped.frames[0])
        pixels = _to_bytes(preprocessed.pixels[0])
        return [mapped.over(number, name, _grey3(pixels[..., at])) for at, name in enumerate(preprocessed.channels[:3])]
    apex = clip.apex if clip.apex is not None else (clip.onset + clip.offset) // 2
    titles = {clip.onset: f"onset {clip.onset}", apex: f"{'apex' if clip.apex is not None else 'middle'} {apex}"}
    try:
        greys = _greys(plan.preprocessor(frames, tuple(titles)))
    except DataError:
        view = mapped.frames[mapped.view_near(apex)]
        titles = {number: f"frame {number}" for number in (view[0], view[-1])}
        greys = _greys(plan.preprocessor(frames, tuple(titles)))
    found = [
        mapped.over(number, title, _grey3(grey)) for (number, title), grey in zip(titles.items(), greys, strict=True)
    ]
    if len(greys) == 2 and min(greys.shape[1:]) >= flow.LEAST_SIDE:
        over = mapped.over(max(titles), "flow between them", _blank(*greys.shape[1:]))
        found.append(replace(over, arrows=flow.flows(greys)[0]))
    return found


def strip(panels: Sequence[Panel], limit: float) -> Image:
    """Return panels side by side; a map value of `limit` is drawn at full strength."""
    gap = np.full((SIDE, GAP, 3), 255, np.uint8)
    parts = [part for panel in panels for part in (_rendered(panel, limit), gap)][:-1]
    return np.concatenate(parts, axis=1)


def outlined(panel: Panel, limit: float) -> Image:
    """Return a panel without its image, over the outlines of facial regions if a face is known: no face is visible."""
    image, box = _rendered(replace(panel, image=_blank(*panel.image.shape[:2])), limit), panel.box
    if np.isnan(box).any():
        return image
    width, height = box[2] - box[0], box[3] - box[1]
    for parts in REGIONS.values():
        for x0, y0, x1, y1 in parts:
            corners = [(box[0] + x * width, box[1] + y * height) for x, y in ((x0, y0), (x1, y1))]
            first, second = ((round(x * image.shape[1]), round(y * SIDE)) for x, y in corners)
            cv2.rectangle(image, first, second, INK, 1, cv2.LINE_AA)
    return image


def _blank(height: int, width: int) -> Image:
    return np.full((height, width, 3), PAPER, np.uint8)


def bar() -> Image:
    """Return the colour scale of a map from 0 to full strength, on grey."""
    values = np.tile(np.linspace(0, 1, 160), (12, 1))
    return _blended(np.full((12, 160, 3), 160, np.uint8), values)


def _rendered(panel: Panel, limit: float) -> Image:
    """Return the panel's image at display size, with its map and arrows."""
    height, width = panel.image.shape[:2]
    width = int(max(1, round(SIDE * width / height)))
    values = np.asarray(panel.attribution, np.float32)
    values = np.clip(values / limit, 0, 1) if limit > 0 else np.zeros_like(values)
    image = _blended(
        ops.resize(panel.image, SIDE, width).astype(np.uint8), ops.resize(values[..., None], SIDE, width)[..., 0]
    )
    if panel.arrows is None:
        return image
    arrows = ops.resize(panel.arrows.astype(np.float32), SIDE, width)
    longest = np.quantile(np.linalg.norm(arrows, axis=2), 0.995)
    scale = STEP / longest if longest > 0 else 0.0
    for y in range(STEP // 2, SIDE, STEP):
        for x in range(STEP // 2, width, STEP):
            u, v = arrows[y, x] * scale
            if np.hypot(u, v) >= 1:
                cv2.arrowedLine(image, (x, y), (round(x + u), round(y + v)), INK, 1, cv2.LINE_AA, tipLength=0.35)
    return image


def _blended(image: Image, values: Float[np.ndarray, "h w"]) -> Image:
    """Return the image with the colours of a map over it, more opaque where the map is stronger."""
    colours = cv2.applyColorMap((255 * values).round().astype(np.uint8), cv2.COLORMAP_INFERNO).astype(float)
    share = (STRENGTH * np.sqrt(values))[..., None]
    return np.asarray((image * (1 - share) + colours * share).round().astype(np.uint8))


def _greys(frames: Frames) -> UInt8[np.ndarray, "t h w"]:
    """Return the brightness of colour images (without a depth channel), or the first channel."""
    if frames.channels[:3] != ops.RGB:
        return _to_bytes(frames.pixels[..., 0])
    return np.stack([ops.grey(frame)[..., 0] for frame in _to_bytes(frames.pixels[..., :3])])


def _to_bytes(pixels: np.ndarray) -> UInt8[np.ndarray, "..."]:
    """Return images of 8 bits; values of another range are rescaled from minimum and maximum to 0..255."""
    low, high = float(pixels.min()), float(pixels.max())
    if low >= 0 and 1 < high <= 255:
        return np.ascontiguousarray(pixels.astype(np.uint8))
    return ((pixels - low) * (255 / ((high - low) or 1))).round().astype(np.uint8)


def _grey3(grey: UInt8[np.ndarray, "h w"]) -> Image:
    return np.repeat(grey[..., None], 3, axis=2)


def png(image: Image) -> bytes:
    """Return an image as the content of a lossless file."""
    return bytes(cv2.imencode(".png", np.ascontiguousarray(image))[1].tobytes())


def jpeg(image: Image) -> bytes:
    """Return an image as the content of a JPEG file, about a tenth as large, for a page."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, 88, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return bytes(cv2.imencode(".jpg", np.ascontiguousarray(image), settings)[1].tobytes())
