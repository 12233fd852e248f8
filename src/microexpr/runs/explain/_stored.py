"""The maps of a fold on disk: one file, written completely or not at all."""

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
    """Maps of the views that a fold tests, and their correlations with maps of randomised models."""

    fold: str
    clips: tuple[str, ...]
    """The key of each view's clip."""
    frames: tuple[tuple[int, ...], ...]
    maps: Float[np.ndarray, "n t h w"]
    classes: Int[np.ndarray, "n"]
    """The class that is explained: the predicted class of the clip."""
    boxes: Float[np.ndarray, "n 4"]
    """Face box in fractions of the image: the whole image if it is cropped to the face, NaN if no face is known."""
    places: tuple[int, int]
    to_random: Float[np.ndarray, "s n"]
    """Rank correlation with each randomised model's map."""
    among_random: Float[np.ndarray, "p n"]
    """Rank correlation between the maps of every two randomised models."""

    @property
    def empty(self) -> np.ndarray:
        """Which maps are 0 everywhere."""
        return np.asarray(self.maps.max((1, 2, 3)) == 0)


_ARRAYS = ("maps", "classes", "boxes", "to_random", "among_random")


def write(file: Path, found: FoldMaps) -> None:
    """Write the maps of a fold."""
    metadata = {"fold": found.fold, "clips": found.clips, "frames": found.frames, "places": found.places}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, metadata=json.dumps(metadata), **{name: getattr(found, name) for name in _ARRAYS})
    write_atomically(file, buffer.getvalue())


def read(file: Path) -> FoldMaps:
    """Return the maps of a fold; raises StoreError if the file is damaged."""
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as stored:
            metadata: dict[str, Any] = json.loads(str(stored["metadata"]))
            arrays = {name: stored[name] for name in _ARRAYS}
            return FoldMaps(
                fold=metadata["fold"],
                clips=tuple(metadata["clips"]),
                frames=tuple(tuple(numbers) for numbers in metadata["frames"]),
                places=(metadata["places"][0], metadata["places"][1]),
                **arrays,
            )
    except (OSError, ValueError, KeyError, EOFError, TypeError, BadZipFile, zlib.error) as error:
        raise StoreError("E605", f"{file} is damaged ({error}); remove it, and its maps are computed again.") from None
