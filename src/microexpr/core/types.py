"""What moves from room to room: plain values that never change. Who makes and takes them stands in `contracts`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int, Num
    from torch import Tensor

View: TypeAlias = tuple[int, ...]
"""Frame numbers of one model input: the apex frame gives ``[(apex,)]``, a recurrent model one view of many frames."""


@dataclass(frozen=True, slots=True)
class ByContent:
    """Mark a parameter that names a file: what is in it makes an experiment's key, not where it lies.

    ``file: Annotated[Path, ByContent(digest_of)]``; `digest` raises ConfigError where the file cannot be read.
    """

    digest: Callable[[Path], str]


@dataclass(frozen=True, slots=True)
class AddedLater:
    """Mark a parameter that was added when results were already stored: they keep their keys.

    ``reduction: Annotated[Literal["rows", "weights"], AddedLater("rows")] = "rows"``; with `before`, what the component
    did without the parameter, it is left out of an experiment's key.
    """

    before: object


# --- data -------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Who made a database, how to ask for it, and what its copies look like."""

    title: str
    doi: str
    licence: str
    access: str
    n_clips: int | None
    n_subjects: int | None
    fps: float | None = None
    """Frames a second; None where clips differ."""
    family: str = ""
    """Databases of one laboratory, in which the same people may have taken part under other numbers."""
    layout: str = ""
    """The owners' files and folders, one a line."""
    counted: tuple[tuple[str, str], ...] = ()
    """How papers count it: a number of clips, and the rule that gives it."""


@dataclass(frozen=True, slots=True)
class Correction:
    """A known defect of a released table, mended only where the values found match.

    `clip` is 'subject/video', or 'subject/video/onset' where several clips share a video; `field` a column, or several
    with commas between, and then `found` and `used` are tuples.
    """

    clip: str
    field: str
    found: object
    used: object
    source: str
    folder: bool = False
    """Whether the folder must agree: it has every frame of the times used, and none that only those found name."""

    def __str__(self) -> str:
        return f"{self.clip}: {self.field} {self.found!r} read as {self.used!r} ({self.source})"


# --- from frames to model input, and what comes out -------------------------------------------------------------------
Scaling: TypeAlias = Literal["", "centred", "minmax"]
"""How channels of motion stand in their range. `centred`: no motion is the middle of it. `minmax`: each channel of each
picture by its own minimum and maximum, so that no motion has no fixed value. In both the opposite motion of a value is
``low + high - value``. Empty: nothing is known, or nothing moves."""


class Modality(NamedTuple):
    """What pictures hold: colour in 0..255, depth in its own units (16 bit kept), optical flow in pixels."""

    channels: tuple[str, ...]
    low: float = 0.0
    high: float = 255.0
    scaling: Scaling = ""


class Frames(NamedTuple):
    """Preprocessed frames and the rectangle of the source (x0, y0, x1, y1, in source pixels) that each one shows."""

    pixels: Num[np.ndarray, "t h w c"]
    channels: tuple[str, ...]
    window: Float[np.ndarray, "t 4"]


class ViewSpec(NamedTuple):
    """What a model is built for: shape (t, h, w, c), the channels' names, the range and scaling of their values."""

    shape: tuple[int, int, int, int]
    channels: tuple[str, ...]
    low: float = 0.0
    high: float = 255.0
    scaling: Scaling = ""


class Batch(NamedTuple):
    """What a loss and an augmentation see; `y` is soft, so that mixup can be."""

    x: Float[Tensor, "b ..."]
    y: Float[Tensor, "b k"]
    aux: Mapping[str, Tensor]


class Output(NamedTuple):
    """What a model returns: class scores before the softmax, and its auxiliary outputs."""

    logits: Float[Tensor, "b k"]
    aux: Mapping[str, Tensor]


# --- evaluation, explanation, spotting --------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Fold:
    """One split: rows of the clip table. `val` is None where the experiment is to cut it from the training subjects."""

    name: str
    train: Int[np.ndarray, "n"]
    test: Int[np.ndarray, "m"]
    val: Int[np.ndarray, "v"] | None = None
    repeat: int = 1
    """Which division of the clips it belongs to; a clip is tested at most once in each, and each is scored alone."""
    note: str = ""
    """What a reader must know of it, for instance who was kept out of training."""


class Attribution(NamedTuple):
    """Maps of where a model looks, never negative and as large as the view; never brought to one scale in secret."""

    maps: Float[np.ndarray, "b t h w"]
    places: tuple[int, int]
    """How many places down and across the explainer tells apart; between them the maps are interpolated."""


class Interval(NamedTuple):
    """A spotted expression, in seconds from the first frame."""

    onset: float
    apex: float
    offset: float
    kind: Literal["micro", "macro"]
    score: float


class Spotting(NamedTuple):
    """What a spotter found, and the motion curve it decided on."""

    intervals: tuple[Interval, ...]
    seconds: Float[np.ndarray, "t"]
    motion: Float[np.ndarray, "t"]
