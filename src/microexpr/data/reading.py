"""Frames of clips as model input, without a cache: read, preprocessed, sampled and represented, clip by clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import Int, Num
from joblib import delayed

from microexpr.core import interfaces
from microexpr.core.clip import Clip
from microexpr.core.errors import ConfigError, DataError, of_clip
from microexpr.core.interfaces import FrameSource, Preprocessor, Representation, Sampler, View, ViewSpec
from microexpr.core.lineage import image_hash
from microexpr.core.parallel import in_processes
from microexpr.core.words import many
from microexpr.data.cache import DatasetFrames

AHEAD = 8
"""Clips for each process whose frames are read ahead of prediction; more would fill memory."""


@dataclass(frozen=True)
class Stack:
    """Views in memory (`training.ViewSource`)."""

    inputs: Num[np.ndarray, "n t h w c"]
    spec: ViewSpec
    features: None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def take(
        self, indices: Int[np.ndarray, "b"], out: Num[np.ndarray, "b t h w c"] | None = None
    ) -> Num[np.ndarray, "b t h w c"]:
        """Return these views, in `out` if given."""
        return np.asarray(np.take(self.inputs, indices, axis=0, out=out, mode="clip"))


@dataclass(frozen=True)
class ReadClip:
    """A clip as model input: one array per view; or `problem`, why there is none."""

    clip: Clip
    numbers: Sequence[View] = ()
    inputs: Sequence[Num[np.ndarray, "t h w c"]] = ()
    hashes: frozenset[str] = frozenset()
    """Of its preprocessed frames (`lineage.image_hash`)."""
    problem: str = ""


@dataclass(frozen=True)
class Reading:
    """Everything between a source and the model."""

    source: FrameSource
    modality: str
    preprocessor: Preprocessor
    sampler: Sampler
    representation: Representation
    spec: ViewSpec

    def read(self, clips: Sequence[Clip], workers: int) -> Iterator[ReadClip]:
        """Yield clips in their order, as model input."""
        rest, several = iter(clips), len(clips) > 2 * workers  # starting processes takes about two seconds
        # In portions, because finished clips would otherwise wait in memory for the model.
        while portion := list(islice(rest, AHEAD * workers)):
            # One task for each process, since every task carries the source with its tables.
            parts = [portion[at::workers] for at in range(min(workers, len(portion)))] if several else [portion]
            done = in_processes([delayed(_read_all)(self, part) for part in parts], len(parts))
            found = {each.clip.key: each for part in done for each in part}
            yield from (found[clip.key] for clip in portion)

    def one(self, clip: Clip) -> ReadClip:
        """Read one clip; raises DataError or ConfigError if it cannot be used."""
        views = list(self.sampler(clip))
        numbers = sorted({number for view in views for number in view})
        frames = self.preprocessor(DatasetFrames(self.source, clip, self.modality), numbers)
        kind = self.source.modalities()[self.modality]._replace(channels=frames.channels)
        self._check_channels(self.representation.output_spec(kind))
        inputs = []
        for view in views:
            if len(view) < self.representation.min_frames:
                raise DataError(
                    "E452",
                    f"it has {many(len(view), 'frame')}, but the representation needs {self.representation.min_frames}",
                )
            rows = [numbers.index(number) for number in view]
            own = interfaces.Frames(frames.pixels[rows], frames.channels, frames.window[rows])
            made = np.asarray(self.representation(own, view, clip))
            if made.shape != self.spec.shape:
                raise DataError(
                    "E652", f"the model takes {_size(self.spec.shape)}; here the input is {_size(made.shape)}"
                )
            inputs.append(made)
        return ReadClip(clip, views, inputs, frozenset(image_hash(each) for each in frames.pixels))

    def _check_channels(self, output: interfaces.Modality) -> None:
        """Raise DataError for channels or a range of values that the model was not trained on."""
        if tuple(output) != (self.spec.channels, self.spec.low, self.spec.high, self.spec.scaling):
            found, wanted = (
                f"{', '.join(each.channels)} from {each.low:g} to {each.high:g} {each.scaling}".rstrip()
                for each in (output, self.spec)
            )
            raise DataError("E652", f"the model takes the channels {wanted}; its frames give {found}")


def _read_all(reading: Reading, clips: Sequence[Clip]) -> list[ReadClip]:
    return [_read(reading, clip) for clip in clips]


def _read(reading: Reading, clip: Clip) -> ReadClip:
    try:
        return reading.one(clip)
    except (DataError, ConfigError) as error:
        return ReadClip(clip, problem=_problem(error, clip))


def _problem(error: DataError | ConfigError, clip: Clip) -> str:
    """Return an error as a note on one clip, without advice that concerns the study of the model."""
    if isinstance(error, DataError) and error.faults:
        first = error.faults[0]
        return f"{first.where}: {first.problem} [{first.code}]"
    text = of_clip(error, clip.key) if isinstance(error, DataError) else str(error)
    if error.code.startswith("E4"):
        text = text.split(". ")[0]
    return f"{text.removesuffix('.')} [{error.code}]"


def _size(shape: Sequence[int]) -> str:
    """Return a view's shape as text: 3 frames of 48x64, 3 channels."""
    time, height, width, channels = shape
    return f"{many(time, 'frame')} of {width}x{height}, {many(channels, 'channel')}"
