"""What a stored model can predict: databases, manifests, folders of frames, and arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import UInt8

from microexpr.config.component import Component
from microexpr.core import image as ops
from microexpr.core.clip import Clip
from microexpr.core.errors import DataError, Fault, FrameError, NoFrameError, UsageError
from microexpr.core.files import digest, entries
from microexpr.core.image_files import numbered, read_image, stack, to_rgb
from microexpr.core.interfaces import FrameSource, Modality, datasets

MANIFEST = "manifest.csv"
CHANNELS = 4
"""An array whose third and last axis is no longer than this is a single image, not a series of grey ones."""
TABLES = (".csv", ".xls", ".xlsx")
MODALITIES: Mapping[str, Modality] = {"colour": Modality(ops.RGB), "grey": Modality(("grey",))}
"""How images that no database describes can be read: grey ones as colour, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlistedClip(Clip):
    """Frames that no table lists: the first is the onset, the last the offset, and the subject is not known."""

    dataset: str = ""
    subject_id: str = ""
    namespace: str = ""
    folder: str = ""

    @property
    def key(self) -> str:
        """The name of the folder or array."""
        return self.video

    @property
    def subject(self) -> str:
        """Empty: not known."""
        return ""


class _Unlisted:
    """What folders of frames and arrays have in common."""

    def modalities(self) -> Mapping[str, Modality]:
        """Return colour and grey."""
        return MODALITIES

    def faults(self, *, table_only: bool = False) -> Sequence[Fault]:
        """Return nothing: images that cannot be used raise FrameError when they are read."""
        return ()


@dataclass(frozen=True)
class FrameFolders(_Unlisted):
    """Folders of numbered images, each of which is one clip: `root` itself, or those below it."""

    root: Path
    whole_paths: bool = False
    """Whether clips are named by their whole path, not only by the part below the root."""

    def clips(self) -> Sequence[UnlistedClip]:
        """Return one clip for each folder with images, from its lowest to its highest number."""
        root = self.root.resolve()
        places = (place for place in sorted(root.rglob("*")) if place.is_dir())
        shown = (place for place in places if not any(part.startswith(".") for part in place.relative_to(root).parts))
        listed = {place: (min(found), max(found)) for place in (root, *shown) if (found := numbered(place))}
        top = root.parent if root in listed else root
        names = {place: (place if self.whole_paths else place.relative_to(top)).as_posix() for place in listed}
        return [
            UnlistedClip(video=names[place], folder=str(place), onset=first, offset=last)
            for place, (first, last) in listed.items()
        ]

    def fingerprint(self) -> str:
        """Return a digest of the names, sizes and times of all images."""
        files = (file for clip in self.clips() for file in entries(Path(clip.folder)))
        return digest([[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files if file.is_file()])

    def frames(self, clip: Clip, numbers: Sequence[int], modality: str) -> UInt8[np.ndarray, "t h w c"]:
        """Return frames by number; raises FrameError naming the file."""
        assert isinstance(clip, UnlistedClip)
        found, files = numbered(Path(clip.folder)), []
        for number in numbers:
            if number not in found:
                text = f"{clip.folder} has no frame {number}: copy the missing images, or renumber them."
                raise NoFrameError("E231", text)
            if len(found[number]) > 1:
                names = " and ".join(file.name for file in found[number])
                raise FrameError("E232", f"{clip.folder}: {names} have the same number; remove one of them.")
            files += found[number]
        images = [read_image(file) for file in files]
        for image, file in zip(images, files, strict=True):
            if image.dtype != np.uint8:
                raise FrameError("E275", f"{file} has pixels of type {image.dtype}; convert it to 8 bits per channel.")
            if modality == "grey" and image.shape[-1] > 1:
                raise FrameError("E652", f"{file} is in colour, but the model takes grey images; convert it to grey.")
        return stack(images if modality == "grey" else [to_rgb(image) for image in images], files)


@dataclass(frozen=True)
class ArrayClips(_Unlisted):
    """Clips in memory: name -> images of 8 bits, ``t h w 3`` (red, green, blue), or grey as ``t h w`` or ``t h w 1``.

    Frames are numbered from 0. `apex` gives the apex frame of clips, which some samplings need. Raises DataError for
    arrays of another type or shape.
    """

    arrays: Mapping[str, np.ndarray]
    apex: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, array in self.arrays.items():
            shape = np.shape(array)
            sound = (len(shape) == 3 and shape[2] > CHANNELS) or (len(shape) == 4 and shape[3] in (1, 3))
            if not sound or not np.prod(shape) or np.asarray(array).dtype != np.uint8:
                size, kind = "x".join(map(str, shape)), np.asarray(array).dtype
                raise DataError(
                    "E276",
                    f"array {name!r} has shape {size} and type {kind}; pass the frames of a clip as one uint8 "
                    "array, t h w 3 (red, green, blue; 0 to 255) or t h w (grey).",
                )
        for name, frame in self.apex.items():
            if name not in self.arrays or not 0 <= frame < len(self.arrays[name]):
                raise DataError("E276", f"apex: frame {frame} of {name!r} does not exist; frames are numbered from 0.")

    def clips(self) -> Sequence[Clip]:
        """Return one clip for each array."""
        return [
            UnlistedClip(video=name, onset=0, apex=self.apex.get(name), offset=len(array) - 1)
            for name, array in self.arrays.items()
        ]

    def frames(self, clip: Clip, numbers: Sequence[int], modality: str) -> UInt8[np.ndarray, "t h w c"]:
        """Return frames by number; raises FrameError for colour where grey is required."""
        found = np.asarray(self.arrays[clip.video])[list(numbers)]
        found = found.reshape(*found.shape[:3], -1)
        if modality == "grey" and found.shape[-1] > 1:
            raise FrameError("E652", f"{clip.video} is in colour, but the model takes grey images; convert it to grey.")
        return np.repeat(found, 3, axis=-1) if modality == "colour" and found.shape[-1] == 1 else found


Input: TypeAlias = FrameSource | Path | str | Mapping[str, np.ndarray] | np.ndarray
"""A database, manifest or folder (``NAME=DIR`` names the reader), arrays by name, or an array."""
Inputs: TypeAlias = Input | Iterable[Input]


def open_sources(what: object, readers: Sequence[Component]) -> list[FrameSource]:
    """Open everything that is to be predicted (`Inputs`); raises UsageError or DataError.

    Without a name, a folder is read by what it holds: a manifest.csv, a database of one of the `readers`, images.
    """
    one = isinstance(what, FrameSource | Path | str | Mapping | np.ndarray) or not isinstance(what, Iterable)
    items: Any = [what] if one else what
    found: list[FrameSource] = []
    for number, item in enumerate(items):
        if isinstance(item, np.ndarray):
            found.append(ArrayClips({"array" if item is what else str(number): item}))
        elif isinstance(item, Mapping):
            found.append(ArrayClips(item))
        elif isinstance(item, Path | str):
            found.append(_opened(str(item), readers))
        elif isinstance(item, FrameSource):
            found.append(item)
        else:
            kind = type(item).__name__
            raise UsageError("E135", f"a {kind} cannot be predicted; pass paths, numpy arrays or an open database.")
    folders = [source for source in found if isinstance(source, FrameFolders)]
    keys = Counter(clip.key for source in folders for clip in source.clips())
    if max(keys.values(), default=0) > 1:
        found = [replace(source, whole_paths=True) if isinstance(source, FrameFolders) else source for source in found]
    if not any(source.clips() or source.faults(table_only=True) for source in found):
        raise DataError("E135", "there is nothing to predict; name a database, a manifest, a folder or arrays.")
    return found


def _opened(text: str, readers: Sequence[Component]) -> FrameSource:
    name, sign, rest = text.partition("=")
    place = Path(text).expanduser()
    if sign and not place.exists() and Path(name).name == name:
        return _database(name, Path(rest).expanduser(), readers)
    if place.is_file() and place.suffix.casefold() == ".csv":
        return _database("manifest", place.parent, readers, {"file": place.name})
    if not place.exists():
        raise UsageError("E101", f"{place} does not exist.")
    if not place.is_dir():
        raise UsageError("E135", f"{place} is neither a folder nor a manifest (.csv).")
    if (place / MANIFEST).is_file():
        return _database("manifest", place, readers, {"file": MANIFEST})
    refusals: list[str] = []
    for reader in readers:
        try:
            return _database(reader.name, place, readers)
        except DataError as error:
            refusals.append(str(error))
    folders, tables = FrameFolders(place), [file.name for file in entries(place) if file.suffix.casefold() in TABLES]
    if folders.clips() and not tables:
        return folders
    # With a table, its folders are not read as mere images: without its times, other frames would be predicted.
    held = f"has the table {tables[0]}" if tables else f"has no {MANIFEST} and no folder with numbered images"
    names = " and ".join(reader.name for reader in readers)
    raise DataError(
        "E135",
        f"{place} {held if entries(place) else 'is empty'}, and {names}, with which the model's own data are read, "
        "cannot read it. Name the reader of another database, NAME=DIR, or a folder of images below it."
        + "".join(f"\n  {refusal}" for refusal in refusals),
    )


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
