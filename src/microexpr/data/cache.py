"""Preprocessed frames on disk: each frame is read, searched for faces and preprocessed only once.

The cache is keyed by content: the database's fingerprint, the modality, and the preprocessing with its revision. Files
only grow, and a line of an index counts only when its data are complete, so a killed run loses nothing.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float, Int, Num
from joblib import delayed

from microexpr.core import image as ops
from microexpr.core.claims import claimed
from microexpr.core.clip import Clip
from microexpr.core.errors import (
    DataError,
    Fault,
    FrameError,
    LauncherError,
    NoFaceError,
    NoFrameError,
    StoreError,
    of_clip,
)
from microexpr.core.files import append_json_lines, digest, json_lines, make_folder, write_atomically
from microexpr.core.interfaces import (
    ClipSource,
    Frames,
    FrameSource,
    Modality,
    Preprocessor,
    Representation,
    Sampler,
    View,
    ViewSpec,
    detectors,
)
from microexpr.core.lineage import image_hash
from microexpr.core.parallel import in_processes, in_threads
from microexpr.core.progress import Progress, Silent, track

HELD_BYTES = 1 << 28
"""Size up to which views that are cheap to compute are kept in memory once most of them have been taken."""
ATTEMPTS = 3
"""How often processes that read frames may end without an error."""
BLOCK = 0.2
"""Seconds after which computed views are written."""
Boxes = dict[tuple[str, str, int], tuple[float, ...] | None]
"""(detector, clip key, frame) -> the best face box, or None where no face was found."""


@dataclass
class DatasetFrames:
    """The frames of one clip for a preprocessor (`interfaces.ClipFrames`), with shared detections."""

    dataset: FrameSource
    clip: Clip
    modality: str
    known: Boxes = field(default_factory=dict)
    _read: dict[int, Num[np.ndarray, "h w c"]] = field(default_factory=dict)

    @property
    def channels(self) -> tuple[str, ...]:
        """The modality's channels."""
        return self.dataset.modalities()[self.modality].channels

    def pixels(self, numbers: Sequence[int]) -> Num[np.ndarray, "t h w c"]:
        """Return source frames; each is read once."""
        new = [number for number in dict.fromkeys(numbers) if number not in self._read]
        if new:
            self._read.update(zip(new, self.dataset.frames(self.clip, new, self.modality), strict=True))
        return np.stack([self._read[number] for number in numbers])

    def boxes(self, numbers: Sequence[int], detector: str) -> Float[np.ndarray, "t 4"]:
        """Return the best face box of each frame; raises NoFaceError naming the first frame without a face."""
        return np.array([self._box(number, detector) for number in numbers], float)

    def _box(self, number: int, detector: str) -> tuple[float, ...]:
        place = (f"{detector}/{detectors.revision(detector)}", self.clip.key, number)
        if place not in self.known:
            found = detectors.build(detector, {})(self._seen(number))
            self.known[place] = tuple(map(float, found[0])) if len(found) else None
        box = self.known[place]
        if box is None:
            raise NoFaceError("E203", f"{detector} finds no face in frame {number}")
        return box

    def _seen(self, number: int) -> Num[np.ndarray, "h w c"]:
        """Return the detector's input: of colour with depth only the colours, in 8 bits."""
        frame = self.pixels([number])[0]
        return np.asarray(frame[..., :3], np.uint8) if self.channels == ops.RGB_DEPTH else frame


class FrameStore:
    """The frames of one preprocessing, or the views of one representation: raw bytes, an index and their metadata."""

    def __init__(self, folder: Path, *, hashed: bool = True) -> None:
        self.folder = folder
        self.hashed = hashed
        self.hashes: dict[tuple[str, int | View], str] = {}
        self.rows: dict[tuple[str, int | View], int] = {}
        self.windows: dict[tuple[str, int | View], tuple[float, ...]] = {}
        self.meta: dict[str, Any] = {}
        if (folder / "meta.json").is_file():
            self.meta = json.loads((folder / "meta.json").read_text("utf-8"))
            self._load()

    def _load(self) -> None:
        stored = (self.folder / "data.bin").stat().st_size // self._frame_bytes
        self._know(line for line in json_lines(self.folder / "index.jsonl") if line["row"] < stored)

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and channels of every frame; for views, preceded by the number of steps."""
        return tuple(self.meta["shape"])

    @property
    def _frame_bytes(self) -> int:
        return math.prod(self.shape) * int(np.dtype(self.meta["dtype"]).itemsize)

    def add(self, places: Sequence[tuple[str, int | View]], frames: Frames) -> None:
        """Append frames or views, given the key of the clip and the number of each.

        Raises DataError where their size differs from those before.
        """
        self._check_size(places[0][0], frames)
        content = memoryview(np.ascontiguousarray(frames.pixels).tobytes())
        with (self.folder / "data.bin").open("ab", buffering=0) as data:
            data.truncate(data.tell() // self._frame_bytes * self._frame_bytes)
            rest = content
            while rest:
                rest = rest[data.write(rest) :]
            # From the end: a process that was taken for dead may have appended meanwhile.
            row = (data.tell() - len(content)) // self._frame_bytes
        lines: list[dict[str, Any]] = [
            {"clip": clip, "frame": number, "row": row + step, "window": window}
            for step, ((clip, number), window) in enumerate(zip(places, frames.window.tolist(), strict=True))
        ]
        if self.hashed:
            for line, pixels in zip(lines, frames.pixels, strict=True):
                line["hash"] = image_hash(pixels)
        append_json_lines(self.folder / "index.jsonl", lines)
        self._know(lines)

    def _know(self, lines: Iterable[Mapping[str, Any]]) -> None:
        for line in lines:
            number = line["frame"]
            place = (line["clip"], tuple(number) if isinstance(number, list) else number)
            self.rows[place], self.windows[place] = line["row"], tuple(line["window"])
            if "hash" in line:
                self.hashes[place] = line["hash"]

    def _check_size(self, clip: str, frames: Frames) -> None:
        mine = {
            "shape": list(frames.pixels.shape[1:]),
            "dtype": frames.pixels.dtype.name,
            "channels": list(frames.channels),
        }
        if not self.meta:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "data.bin").touch()
            write_atomically(self.folder / "meta.json", json.dumps(mine))
            self.meta = mine
        elif mine != self.meta:
            size = "x".join(map(str, mine["shape"]))
            before = "x".join(map(str, self.meta["shape"]))
            raise DataError(
                "E272",
                f"{clip}: its images are {size} {mine['dtype']}, the others {before}; resize them to one size.",
            )

    def hash_of(self, clip: str, number: int, frames: Frames) -> str:
        """Return the hash of a frame (`lineage.image_hash`); `frames` are all of them.

        A cache of an earlier version has no hashes: its frames are hashed now.
        """
        place = (clip, number)
        if place not in self.hashes:
            self.hashes[place] = image_hash(np.asarray(frames.pixels[self.rows[place]]))
        return self.hashes[place]

    def open(self) -> Frames:
        """Return all frames, mapped into memory."""
        data = self.folder / "data.bin"
        count = data.stat().st_size // self._frame_bytes
        windows = np.zeros((count, 4))
        for place, row in self.rows.items():
            windows[row] = self.windows[place]
        pixels = np.memmap(data, self.meta["dtype"], "r", shape=(count, *self.shape))
        # A plain view of the same memory: numpy's subclass takes longer for each small read.
        return Frames(np.asarray(pixels), tuple(self.meta["channels"]), windows)


@dataclass(frozen=True)
class Views:
    """The views of one experiment, read from the cache on demand; view i belongs to clip `clip_rows[i]`."""

    clips: tuple[Clip, ...]
    clip_rows: Int[np.ndarray, "n"]
    numbers: tuple[View, ...]
    """Frame numbers of each view."""
    frames: Frames
    """Every frame of the cache, mapped into memory."""
    places: tuple[Int[np.ndarray, "_"], ...]
    """Rows of `frames` in each view."""
    representation: Representation
    modality: Modality
    """Channels and range of the frames."""
    computed: Num[np.ndarray, "_ t h w c"] | None = None
    """The model's input, where it was precomputed: every view of the cache, mapped into memory."""
    computed_rows: Int[np.ndarray, "_"] = field(default_factory=lambda: np.array([], int))
    """Row of `computed` of each view."""
    features: Float[np.ndarray, "n f"] | None = None
    """The output of a frozen backbone for every view, where it was precomputed."""
    hashes: tuple[tuple[str, ...], ...] = ()
    """Hashes of the frames of each view (`lineage.image_hash`), taken before the representation."""
    seconds: float = 0.0
    """Seconds that `features` took per view, which count in every training that uses it."""

    def __len__(self) -> int:
        return len(self.numbers)

    @cached_property
    def spec(self) -> ViewSpec:
        """The input of a model for these views."""
        _, time, height, width, channels = self.take(np.arange(1)).shape
        return ViewSpec((time, height, width, channels), *self.representation.output_spec(self.modality))

    def take(
        self, indices: Int[np.ndarray, "b"], out: Num[np.ndarray, "b t h w c"] | None = None
    ) -> Num[np.ndarray, "b t h w c"]:
        """Return the model's input of these views, in `out` if given: a buffer that is used again saves much time."""
        if self.computed is not None:
            return np.asarray(np.take(self.computed, self.computed_rows[indices], axis=0, out=out, mode="clip"))
        if "_held" in self.__dict__ or (2 * len(indices) > len(self) and self._size <= HELD_BYTES):
            return np.asarray(np.take(self._held, indices, axis=0, out=out, mode="clip"))
        pixels = self.frames.pixels
        if getattr(self.representation, "unchanged", False) and (out is None or out.dtype == pixels.dtype):
            rows = np.array([self.places[index] for index in indices])
            return np.asarray(np.take(pixels, rows, axis=0, out=out, mode="clip"))
        if out is None:
            return np.array([self.compute(int(index)) for index in indices])
        for index, place in zip(indices, out, strict=True):
            made = self.representation(*self.inputs(int(index), place))
            if made is not place:
                place[...] = made
        return out

    @property
    def _size(self) -> int:
        """Bytes of all views."""
        return len(self) * self.compute(0).nbytes

    @cached_property
    def _held(self) -> Num[np.ndarray, "n t h w c"]:
        """All views; they are few, and most of them are taken for every fold."""
        return np.array([self.compute(index) for index in range(len(self))])

    def of(self, clip_rows: Int[np.ndarray, "m"]) -> Int[np.ndarray, "n"]:
        """Return the views of these clips."""
        return np.flatnonzero(np.isin(self.clip_rows, clip_rows))

    def windows(self) -> list[Float[np.ndarray, "_ 4"]]:
        """Return the source rectangle of each view's frames."""
        return [np.asarray(self.frames.window[rows]) for rows in self.places]

    def compute(self, index: int) -> Num[np.ndarray, "t h w c"]:
        """Return one view from its frames."""
        return self.representation(*self.inputs(index))

    def inputs(self, index: int, out: Num[np.ndarray, "t h w c"] | None = None) -> tuple[Frames, View, Clip]:
        """Return the arguments of the representation for one view; its frames are in `out` if they fit there."""
        rows, pixels = self.places[index], self.frames.pixels
        if out is not None and (out.shape, out.dtype) != ((len(rows), *pixels.shape[1:]), pixels.dtype):
            out = None
        read = np.asarray(np.take(pixels, rows, axis=0, out=out, mode="clip"))
        view = Frames(read, self.frames.channels, self.frames.window[rows])
        return view, self.numbers[index], self.clips[self.clip_rows[index]]


@dataclass
class Cache:
    """The cache of one dataset and modality under `folder`."""

    dataset: ClipSource
    modality: str
    folder: Path
    fingerprint: str
    boxes: dict[str, Boxes] = field(default_factory=dict)
    """Those of the folder's file, by the key of the clip."""
    seen: dict[str, Boxes] = field(default_factory=dict)
    """Those found in planning, which the file gets when frames are prepared."""
    readers: tuple[str, ...] = ()
    """Revisions of readers from other packages, whose output may change while the files stay the same."""

    def __post_init__(self) -> None:
        self._read_boxes()

    def _read_boxes(self) -> None:
        for line in json_lines(self._boxes_file):
            box = tuple(line["box"]) if line["box"] else None
            self.boxes.setdefault(line["clip"], {})[line["detector"], line["clip"], line["frame"]] = box

    @contextmanager
    def _appending(self, progress: Progress) -> Iterator[None]:
        """Let one process at a time append to this folder; others wait, and then read what was appended."""
        file = make_folder(self.folder) / ".lock"
        with claimed(file, wait=False) as mine:
            if mine:
                self._read_boxes()
                yield
                return
        progress.start("waiting for another process that prepares frames", 1)
        with ExitStack() as stack:
            try:
                stack.enter_context(claimed(file, wait=True))
            finally:
                progress.stop()
            self._read_boxes()
            yield

    @property
    def _boxes_file(self) -> Path:
        read = f"{self.fingerprint[:16]}-{digest(self.readers)}" if self.readers else self.fingerprint[:16]
        return self.folder / f"faces-{read}-{self.modality}.jsonl"

    def frames(self, clip: Clip) -> DatasetFrames:
        """Return a clip's frames for a preprocessor."""
        known = self.seen.get(clip.key, {}) | self.boxes.get(clip.key, {})
        return DatasetFrames(self.dataset, clip, self.modality, known)

    def store(self, name: str, kind: Literal["frames", "views"] = "frames") -> FrameStore:
        """Return the store of one preprocessing or representation; `name` is its canonical form."""
        folder = self.folder / f"{kind}-{digest([self.fingerprint, self.modality, name, *self.readers])}"
        return FrameStore(folder, hashed=kind == "frames")

    def prepare(
        self,
        wanted: Sequence[tuple[str, Preprocessor, Mapping[int, Sequence[int]]]],
        clips: Sequence[Clip],
        workers: int,
        progress: Progress | None = None,
    ) -> list[Fault]:
        """Preprocess missing frames (`wanted`: frame numbers by row of `clips`); return faults of clips that fail."""
        if not any(self._missing(wanted, clips)[1]):
            return []
        progress = progress or Silent()
        with self._appending(progress):
            for _ in range(ATTEMPTS):
                with suppress(BrokenExecutor):
                    return self._prepare(wanted, clips, workers, progress)
        raise LauncherError(
            "E756",
            f"processes that read frames ended {ATTEMPTS} times without an error: did memory run out? Use --workers 1; "
            "the same command continues where it stopped.",
        )

    def _prepare(
        self,
        wanted: Sequence[tuple[str, Preprocessor, Mapping[int, Sequence[int]]]],
        clips: Sequence[Clip],
        workers: int,
        progress: Progress,
    ) -> list[Fault]:
        stores, jobs = self._missing(wanted, clips)  # another process may have prepared some
        faults = []
        for clip, done, boxes, fault in track(self._run(jobs, workers), len(jobs), "frames", progress):
            self._remember(clip, boxes)
            if fault:
                faults.append(fault)
                continue
            for store, (numbers, frames) in zip(stores, done, strict=True):
                if frames is not None:
                    store.add([(clip.key, number) for number in numbers], frames)
        return faults

    def _missing(
        self, wanted: Sequence[tuple[str, Preprocessor, Mapping[int, Sequence[int]]]], clips: Sequence[Clip]
    ) -> tuple[list[FrameStore], list[tuple[Clip, list[tuple[Preprocessor, list[int]]]]]]:
        """Return the stores of all preprocessings, and each clip with the frames that they lack."""
        stores = [self.store(name) for name, _, _ in wanted]
        jobs = []
        for row, clip in enumerate(clips):
            missing = [
                [number for number in numbers.get(row, ()) if (clip.key, number) not in store.rows]
                for (_, _, numbers), store in zip(wanted, stores, strict=True)
            ]
            if any(missing):
                jobs.append((clip, [(item[1], numbers) for item, numbers in zip(wanted, missing, strict=True)]))
        return stores, jobs

    def _run(self, jobs: Sequence[Any], workers: int) -> Iterator[Any]:
        tasks = (delayed(_preprocess)(self.frames(clip), parts) for clip, parts in jobs)
        # Starting processes takes about two seconds; a few clips are read faster without.
        yield from in_processes(tasks, workers if len(jobs) > 2 * workers else 1)

    def _remember(self, clip: Clip, boxes: Boxes) -> None:
        known = self.boxes.get(clip.key, {})
        new = {place: box for place, box in boxes.items() if place not in known}
        lines = [
            {"detector": detector, "clip": clip, "frame": frame, "box": box}
            for (detector, clip, frame), box in new.items()
        ]
        if lines:
            self.boxes[clip.key] = known | new
            append_json_lines(self._boxes_file, lines)

    def views(
        self,
        preprocessing: str,
        clips: Sequence[Clip],
        sampler: Sampler,
        representation: Representation,
        represented: str = "",
    ) -> Views:
        """Return the views of all `clips`, which `prepare` must have preprocessed; views of `represent` are used.

        `preprocessing` and `represented` are the names under which frames and computed views are stored.
        """
        sampled = [(row, clip.key, view) for row, clip in enumerate(clips) for view in sampler(clip)]
        store = self.store(preprocessing)
        frames = store.open()
        modality: Modality = self.dataset.modalities()[self.modality]
        return Views(
            clips=tuple(clips),
            clip_rows=np.array([row for row, _, _ in sampled]),
            numbers=tuple(view for _, _, view in sampled),
            frames=frames,
            places=tuple(np.array([store.rows[clip, number] for number in view]) for _, clip, view in sampled),
            representation=representation,
            modality=modality._replace(channels=frames.channels),
            **self._computed(represented, [(clip, view) for _, clip, view in sampled]),
            hashes=tuple(tuple(store.hash_of(clip, number, frames) for number in view) for _, clip, view in sampled),
        )

    def represent(self, views: Views, represented: str, workers: int, progress: Progress | None = None) -> None:
        """Compute the views that are not stored yet."""
        clips = [views.clips[row].key for row in views.clip_rows]
        places: dict[tuple[str, View], int] = {
            place: at for at, place in enumerate(zip(clips, views.numbers, strict=True))
        }
        progress = progress or Silent()
        if self.store(represented, "views").rows.keys() >= places.keys():
            return
        with self._appending(progress):
            store = self.store(represented, "views")
            missing = {place: at for place, at in places.items() if place not in store.rows}
            channels = views.representation.output_spec(views.modality).channels
            block: dict[tuple[str, View], np.ndarray] = {}

            def write() -> None:
                """Append what was made since the last call: writing each view takes as long as making a small one."""
                made = dict(block)
                block.clear()
                if made:
                    store.add([*made], Frames(np.stack([*made.values()]), channels, np.zeros((len(made), 4))))

            try:
                with in_threads(views.compute, [*missing.values()], workers) as run:
                    written = time.monotonic()
                    for place, made in zip(missing, track(run, len(missing), "views", progress), strict=True):
                        other_shape = block and made.shape != next(iter(block.values())).shape  # which `add` refuses
                        if other_shape or time.monotonic() - written > BLOCK:
                            write()
                            written = time.monotonic()
                        block[place] = made
            finally:
                write()

    def embedded(self, views: Views, name: object, embed: Callable[[], Float[np.ndarray, "n f"]]) -> Views:
        """Return views with the features that `embed` returns, which one process computes and stores for all.

        `name` identifies the backbone and its input.
        """
        content = [self.fingerprint, self.modality, name, *self.readers, views.numbers, list(map(list, views.hashes))]
        file = make_folder(self.folder / "features") / f"{digest(content)}.npz"
        if not file.is_file():
            with claimed(file.with_suffix(".lock"), wait=True):
                if not file.is_file():  # otherwise another process has computed them
                    start = time.perf_counter()
                    found = embed()
                    seconds = (time.perf_counter() - start) / len(views)
                    stream = io.BytesIO()
                    np.savez(stream, features=found, seconds=seconds)
                    write_atomically(file, stream.getvalue())
        try:
            with np.load(file) as stored:
                return replace(views, features=stored["features"], seconds=float(stored["seconds"]))
        except (OSError, KeyError, ValueError, BadZipFile):
            raise StoreError("E605", f"{file} is damaged; remove it, and it is computed again.") from None

    def _computed(self, represented: str, places: Sequence[tuple[str, View]]) -> dict[str, Any]:
        store = self.store(represented, "views") if represented else None
        if store is None or not all(place in store.rows for place in places):
            return {}
        return {
            "computed": store.open().pixels,
            "computed_rows": np.array([store.rows[place] for place in places], int),
        }


def _preprocess(
    frames: DatasetFrames, parts: Sequence[tuple[Preprocessor, Sequence[int]]]
) -> tuple[Clip, list[tuple[Sequence[int], Frames | None]], Boxes, Fault | None]:
    clip = frames.clip
    try:
        done = [(numbers, preprocessor(frames, numbers) if numbers else None) for preprocessor, numbers in parts]
    except DataError as error:
        return clip, [], frames.known, Fault(error.code, clip.key, of_clip(error, clip.key), _fix(error), clip.key)
    return clip, done, frames.known, None


def _fix(error: DataError) -> str:
    if isinstance(error, NoFrameError) or not isinstance(error, FrameError | NoFaceError):
        return "fix it as described"
    if isinstance(error, NoFaceError):
        return 'set box = "onset", which needs a face only in the onset frame'
    return "copy the file again from the owners' archive"
