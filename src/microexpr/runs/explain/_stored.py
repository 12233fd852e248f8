"""The maps of a fold on disk: one file, written whole or not at all."""

from __future__ import annotations

import io
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float, Int

from microexpr.core.errors import StoreError
from microexpr.core.files import write_atomically


@dataclass(frozen=True)
class FoldMaps:
    """Maps of the views that a fold tests, and what they are alike to."""

    fold: str
    clips: tuple[str, ...]
    """The key of each view's clip."""
    frames: tuple[tuple[int, ...], ...]
    maps: Float[np.ndarray, "n t h w"]
    classes: Int[np.ndarray, "n"]
    """The class that is explained: the one that was predicted for the clip."""
    boxes: Float[np.ndarray, "n 4"]
    """The face in parts of the picture: all of it where it is a face that somebody cut out, NaN where none is known."""
    places: tuple[int, int]
    to_random: Float[np.ndarray, "s n"]
    """Rank correlation with each randomised model's map."""
    among_random: Float[np.ndarray, "p n"]
    """Rank correlation of every two of theirs."""

    @property
    def empty(self) -> np.ndarray:
        """Which maps are 0 everywhere."""
        return np.asarray(self.maps.max((1, 2, 3)) == 0)


_ARRAYS = ("maps", "classes", "boxes", "to_random", "among_random")


def write(file: Path, found: FoldMaps) -> None:
    """Write the maps of a fold."""
    told = {"fold": found.fold, "clips": found.clips, "frames": found.frames, "places": found.places}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, told=json.dumps(told), **{name: getattr(found, name) for name in _ARRAYS})
    write_atomically(file, buffer.getvalue())


def read(file: Path) -> FoldMaps:
    """Return the maps of a fold; raises StoreError where the file is damaged."""
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as stored:
            told: dict[str, Any] = json.loads(str(stored["told"]))
            arrays = {name: stored[name] for name in _ARRAYS}
            return FoldMaps(
                fold=told["fold"],
                clips=tuple(told["clips"]),
                frames=tuple(tuple(numbers) for numbers in told["frames"]),
                places=(told["places"][0], told["places"][1]),
                **arrays,
            )
    except (OSError, ValueError, KeyError, EOFError, TypeError, BadZipFile, zlib.error) as error:
        raise StoreError("E601", f"{file} is damaged ({error}); remove it, and its maps are made again.") from None
