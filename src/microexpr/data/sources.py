"""What a kept model can predict: databases, manifests, folders of frames, and arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from microexpr.config.component import Component
from microexpr.core import image as ops
from microexpr.core.clip import Clip
from microexpr.core.errors import DataError, Fault, FrameError, NoFrameError, UsageError
from microexpr.core.files import entries
from microexpr.core.image_files import numbered, read_image, stack, to_rgb
from microexpr.core.interfaces import FrameSource, Modality, datasets

MANIFEST = "manifest.csv"
COLOUR: Mapping[str, Modality] = {"colour": Modality(ops.RGB)}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlistedClip(Clip):
    """Frames that no table lists: the first is the onset, the last the offset, and the subject is not known."""

    dataset: str = ""
    subject_id: str = ""
    namespace: str = ""

    @property
    def key(self) -> str:
        """The name of the folder or array."""
        return self.video

    @property
    def subject(self) -> str:
        """Empty: not known."""
        return ""


@dataclass(frozen=True)
class FrameFolders:
    """Folders of numbered images, each of which is one clip: `root` itself, or those below it."""

    root: Path

    def modalities(self) -> Mapping[str, Modality]:
        """Return colour; grey images are repeated in all three channels."""
        return COLOUR

    def clips(self) -> Sequence[Clip]:
        """Return one clip for each folder with images, from its lowest to its highest number."""
        return tuple(self._folders)

    def faults(self, *, table_only: bool = False) -> Sequence[Fault]:
        """Return nothing: images that cannot be read raise FrameError."""
        return ()

    def frames(self, clip: Clip, numbers: Sequence[int], modality: str) -> UInt8[np.ndarray, "t h w 3"]:
        """Return frames by number; raises FrameError naming the file."""
        folder = self._folders[clip]
        found = numbered(folder)
        for number in numbers:
            if number not in found:
                raise NoFrameError("E231", f"{folder} has no frame {number}; copy the folder again.")
        files = [found[number][0] for number in numbers]
        images = [read_image(file) for file in files]
        for image, file in zip(images, files, strict=True):
            if image.dtype != np.uint8:
                raise FrameError("E275", f"{file} is {image.dtype}; convert it to 8 bits per channel.")
        return stack([to_rgb(image) for image in images], files)

    @cached_property
    def _folders(self) -> Mapping[Clip, Path]:
        places = [self.root, *sorted(path for path in self.root.rglob("*") if path.is_dir())]
        listed = {place: numbered(place) for place in places}
        names = {place: place.relative_to(self.root).as_posix() for place in places} | {self.root: self.root.name}
        return {
            UnlistedClip(video=names[place], onset=min(numbers), offset=max(numbers)): place
            for place, numbers in listed.items()
            if numbers
        }


@dataclass(frozen=True)
class ArrayClips:
    """Clips in memory: name -> images of 8 bits, ``t h w 3`` (red, green, blue), or grey as ``t h w`` or ``t h w 1``.

    Frames are numbered from 0. `apex` gives the apex frame of clips, which some samplings need. Raises DataError for
    arrays of another type or shape.
    """

    arrays: Mapping[str, UInt8[np.ndarray, "t ..."]]
    apex: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, array in self.arrays.items():
            shape = np.shape(array)
            sound = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))
            if not sound or not np.prod(shape) or np.asarray(array).dtype != np.uint8:
                kind = f"{'x'.join(map(str, shape))} {np.asarray(array).dtype}"
                raise DataError(
                    "E276",
                    f"array {name!r} is {kind}; pass the frames of a clip as uint8, t h w 3 (red, green, blue; 0 to "
                    "255) or t h w (grey).",
                )
        for name, frame in self.apex.items():
            if name not in self.arrays or not 0 <= frame < len(self.arrays[name]):
                raise DataError("E276", f"apex: frame {frame} of {name!r} does not exist; frames are numbered from 0.")

    def modalities(self) -> Mapping[str, Modality]:
        """Return colour."""
        return COLOUR

    def clips(self) -> Sequence[Clip]:
        """Return one clip for each array."""
        return tuple(
            UnlistedClip(video=name, onset=0, apex=self.apex.get(name), offset=len(array) - 1)
            for name, array in self.arrays.items()
        )

    def faults(self, *, table_only: bool = False) -> Sequence[Fault]:
        """Return nothing: arrays are checked when they are passed."""
        return ()

    def frames(self, clip: Clip, numbers: Sequence[int], modality: str) -> UInt8[np.ndarray, "t h w 3"]:
        """Return frames by number."""
        found = np.asarray(self.arrays[clip.video])[list(numbers)]
        found = found.reshape(*found.shape[:3], -1)
        return found if found.shape[-1] == 3 else np.repeat(found, 3, axis=-1)


Inputs = FrameSource | Path | str | Mapping[str, np.ndarray] | np.ndarray | Sequence[object]
"""A database, manifest or folder (``NAME=DIR`` names the reader), arrays by name, an array, or several of these."""


def open_sources(what: Inputs, readers: Sequence[Component]) -> list[FrameSource]:
    """Open everything that is to be predicted; raises UsageError or DataError.

    Without a name, a folder is read by what it holds: a manifest.csv, a database of one of the `readers`, images.
    """
    if isinstance(what, Path | str):
        return [_opened(str(what), readers)]
    if isinstance(what, np.ndarray):
        return [ArrayClips({"array": what})]
    if isinstance(what, Mapping):
        return [ArrayClips(what)]
    if isinstance(what, FrameSource):
        return [what]
    arrays = {str(number): each for number, each in enumerate(what) if isinstance(each, np.ndarray)}
    others = [each for each in what if not isinstance(each, np.ndarray)]
    opened = [source for each in others for source in open_sources(each, readers)]  # type: ignore[arg-type]
    return [*opened, ArrayClips(arrays)] if arrays else opened


def _opened(text: str, readers: Sequence[Component]) -> FrameSource:
    name, sign, rest = text.partition("=")
    place = Path(text).expanduser()
    if sign and not place.exists():
        return _database(name, Path(rest).expanduser(), readers)
    if place.is_file() and place.suffix.casefold() == ".csv":
        return _database("manifest", place.parent, readers, {"file": place.name})
    if not place.exists():
        raise UsageError("E101", f"{place} does not exist.")
    if not place.is_dir():
        raise UsageError("E135", f"{place} is neither a folder nor a manifest (.csv).")
    if (place / MANIFEST).is_file():
        return _database("manifest", place, readers)
    refusals = []
    for reader in readers:
        try:
            return _database(reader.name, place, readers)
        except DataError as error:
            refusals.append(f"\n  {reader.name}: {error}")
    folders = FrameFolders(place)
    if not folders.clips():
        held = "is empty" if not entries(place) else f"has no {MANIFEST} and no folder with numbered images"
        raise DataError(
            "E135",
            f"{place} {held}, and is not the database that this model was trained on. Name the reader of another "
            f"database: NAME=DIR.{''.join(refusals)}",
        )
    return folders


def _database(
    name: str, place: Path, readers: Sequence[Component], params: Mapping[str, object] | None = None
) -> FrameSource:
    """Return an open database; raises DataError if it cannot be read at all."""
    known: Mapping[str, object] = next((reader.params for reader in readers if reader.name == name), {})
    dataset: FrameSource = datasets.get(name)(place, **datasets.bind(name, {**known, **(params or {})}))
    fatal = [fault for fault in dataset.faults(table_only=True) if fault.clip is None]
    if fatal:
        raise DataError("E467", f"{place} cannot be read by {name}:", fatal)
    return dataset
