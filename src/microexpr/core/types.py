"""The values that components exchange, all immutable. `core.interfaces` says which component makes and takes them."""

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
"""Frame numbers of one model input: the apex frame alone is ``(apex,)``; a recurrent model gets many frames."""


@dataclass(frozen=True, slots=True)
class KeyedByContent:
    """Mark a parameter that names a file: an experiment's key depends on the file's content, not on its path.

    ``file: Annotated[Path, KeyedByContent(digest_of)]``; `digest` raises ConfigError if the file cannot be read.
    """

    digest: Callable[[Path], str]


@dataclass(frozen=True, slots=True)
class AddedLater:
    """Mark a parameter that was added after results had been stored, so that these keep their keys.

    ``reduction: Annotated[Literal["rows", "weights"], AddedLater("rows")] = "rows"``: `before` is what the component
    did without the parameter. With this value the parameter is left out of an experiment's key.
    """

    before: object


# --- data -------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Who made a database, how to obtain it, and how its files are laid out."""

    title: str
    doi: str
    licence: str
    access: str
    n_clips: int | None
    n_subjects: int | None
    fps: float | None = None
    """Frames per second; None where clips differ."""
    family: str = ""
    """Databases of one laboratory, in which the same people may have taken part under different numbers."""
    layout: str = ""
    """The owners' files and folders, one per line."""
    counted: tuple[tuple[str, str], ...] = ()
    """How papers count it: a number of clips, and the rule that gives this number."""


@dataclass(frozen=True, slots=True)
class Correction:
    """A known defect of a published table; it is corrected only where the table holds the value `found`.

    `clip` is 'subject/video', or 'subject/video/onset' where several clips share a video. `field` is a column, or
    several columns separated by commas; then `found` and `used` are tuples.
    """

    clip: str
    field: str
    found: object
    used: object
    source: str
    folder: bool = False
    """Whether the folder must confirm it: it has all frames of the times used, and none that only `found` implies."""

    def __str__(self) -> str:
        return f"{self.clip}: {self.field} {self.found!r} read as {self.used!r} ({self.source})"


# --- from frames to model input and output ----------------------------------------------------------------------------
Scaling: TypeAlias = Literal["", "centred", "minmax"]
"""How motion channels are scaled. `centred`: no motion is the middle of the range. `minmax`: each channel of each image
by its own minimum and maximum, so that no motion has no fixed value. In both, the opposite of a motion is
``low + high - value``. Empty: the scaling is unknown, or there are no motion channels."""


class Modality(NamedTuple):
    """What frames contain: colour in 0..255, depth in its own units (16 bit), optical flow in pixels."""

    channels: tuple[str, ...]
    low: float = 0.0
    high: float = 255.0
    scaling: Scaling = ""


class Frames(NamedTuple):
    """Preprocessed frames, and for each its rectangle (x0, y0, x1, y1) in the source, in source pixels."""

    pixels: Num[np.ndarray, "t h w c"]
    channels: tuple[str, ...]
    window: Float[np.ndarray, "t 4"]


class ViewSpec(NamedTuple):
    """What a model is built for: shape (t, h, w, c), channel names, value range and scaling."""

    shape: tuple[int, int, int, int]
    channels: tuple[str, ...]
    low: float = 0.0
    high: float = 255.0
    scaling: Scaling = ""


class Batch(NamedTuple):
    """Input of losses and augmentations; `y` holds class probabilities, so that labels can be mixed or smoothed."""

    x: Float[Tensor, "b ..."]
    y: Float[Tensor, "b k"]
    aux: Mapping[str, Tensor]


class Output(NamedTuple):
    """What a model returns: class logits (before the softmax) and auxiliary outputs."""

    logits: Float[Tensor, "b k"]
    aux: Mapping[str, Tensor]


# --- evaluation and explanation ---------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Fold:
    """One split, as rows of the clip table. If `val` is None, validation may be taken from the training subjects."""

    name: str
    train: Int[np.ndarray, "n"]
    test: Int[np.ndarray, "m"]
    val: Int[np.ndarray, "v"] | None = None
    repeat: int = 1
    """Which repeat it belongs to. Within a repeat a clip is tested at most once; each repeat is scored separately."""
    note: str = ""
    """What readers of the results must know about it, such as clips that were kept out of training."""


class Work(NamedTuple):
    """What a launcher carries to processes. What has been done of it is read from the store, never from them."""

    call: Callable[[int], None]
    """Does, as the worker of this number, what is left of the work and no other process is doing; can be pickled."""
    workers: int
    folder: Path
    """For logs and for files of the engine; every worker must be able to read it."""
    name: str
    """Name of the study, for lists of jobs."""


class Attribution(NamedTuple):
    """Attribution maps, never negative and as large as the view; each on its own scale, never normalised silently."""

    maps: Float[np.ndarray, "b t h w"]
    places: tuple[int, int]
    """Rows and columns that the explainer distinguishes; between them the maps are interpolated."""
