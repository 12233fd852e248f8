"""Preprocessing the frames of a grid, memory in the number of clips, and reading from the cache."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from microexpr.bench.measuring import NotMeasured, alternate, compared, isolated, peak_memory
from microexpr.bench.plain import preprocessing as plain_preprocessing
from microexpr.bench.plain.preprocessing import ClipFiles, preprocess
from microexpr.bench.rows import Row, Size
from microexpr.bench.running import Job
from microexpr.components.datasets.synthetic import SyntheticSpec, make
from microexpr.config.study import Study, load
from microexpr.core.clip import Clip
from microexpr.core.interfaces import Frames, Modality, representations
from microexpr.data.cache import FrameStore, Views
from microexpr.runs.plan import Options, Plan, Workspace, preprocessing_id
from microexpr.runs.study import planned

CROPS: tuple[dict[str, str], ...] = (
    {"crop": "none"},
    {"crop": "centre"},
    {"crop": "face", "box": "frame"},
    {"crop": "face", "box": "onset"},
    {"crop": "face", "box": "median"},
)
WORKERS = 2
BATCH = 16
"""Views that are read together."""
MOST_A_CLIP = 640 * 480 * 3 / 1e6
"""MB by which memory may grow with each clip: one frame."""


class _Case(NamedTuple):
    clips: int
    crops: int
    sizes: tuple[int, ...]
    colours: tuple[str, ...]
    repeats: int
    memory: tuple[int, int]
    """Numbers of clips at which memory is measured; none if both are 0."""
    views: int
    """Views of 224x224x3 that are read from the cache."""


CASES = {
    "full": _Case(24, 5, (224, 384), ("rgb", "grey"), 2, (8, 40), 1500),
    "small": _Case(6, 3, (48,), ("rgb", "grey"), 2, (0, 0), 200),
    "tiny": _Case(3, 5, (32,), ("grey",), 1, (2, 4), 32),
}


def jobs(size: Size) -> list[Job]:
    """Return the jobs of this group."""
    case = CASES[size]
    found = [
        Job("preprocess", ("grid",), "preprocessings of a grid", partial(_grid, case=case)),
        Job("preprocess", ("cache reads",), "views read from the cache", partial(_reads, case=case)),
    ]
    if any(case.memory):
        found.append(Job("preprocess", ("memory",), "memory of preprocessing", partial(_memory, case=case)))
    return found


def _study(case: _Case) -> Study:
    axes: dict[str, Any] = {
        "preprocessing": [{"name": "crop", **crop} for crop in CROPS[: case.crops]],
        "preprocessing.size": list(case.sizes),
        "preprocessing.colour": list(case.colours),
    }
    found = load(Study, Path("paradox_cpu"))
    return found.model_copy(update={"grid": {**found.grid, **axes}})


def prepare(case: _Case, data: Path, out: Path, workers: int = WORKERS) -> list[Plan]:
    """Preprocess every frame that the study needs, as `microexpr study` does before it trains."""
    workspace = Workspace(Options({"casme2": data}, out, workers=workers))
    cells, _, _ = planned(_study(case), workspace, weights=False)
    return workspace.prepare([cell.plan for cell in cells])


def _faces(folder: Path, clips: int) -> Path:
    make(folder, SyntheticSpec(subjects=min(clips, 4), clips=clips, emotions=("disgust", "happiness", "others")))
    return folder


def _files(data: Path, plan: Plan, needed: dict[str, set[int]]) -> list[ClipFiles]:
    found = []
    for clip in plan.data.clips:
        assert clip.onset is not None
        assert clip.offset is not None
        folder = next(data.glob(f"**/sub{clip.subject_id}/{clip.video}"))
        numbered = {int("".join(filter(str.isdigit, file.stem))): file for file in folder.glob("*.jpg")}
        name = clip.key.replace("/", "_")
        found.append(ClipFiles(name, numbered, clip.onset, clip.offset, sorted(needed[clip.key])))
    return found


def _grid(folder: Path, case: _Case) -> list[Row]:
    data = _faces(folder / "data", case.clips)
    count = itertools.count()
    plans = prepare(case, data, folder / "first", 1)
    needed: dict[str, set[int]] = {}
    for plan in plans:
        for clip in plan.data.clips:
            needed.setdefault(clip.key, set()).update(number for view in plan.sampler(clip) for number in view)
    files = _files(data, plans[0], needed)
    settings: list[dict[str, Any]] = [
        {"box": "", **crop, "size": size, "colour": colour}
        for crop, size, colour in itertools.product(CROPS[: case.crops], case.sizes, case.colours)
    ]

    def plain() -> Path:
        out = folder / f"plain{next(count)}"
        for number, setting in enumerate(settings):
            preprocess(files, out / str(number), **setting)
        return out

    def ours() -> list[Plan]:
        return prepare(case, data, folder / f"ours{next(count)}")

    spent = alternate({"plain": plain, "ours": ours}, case.repeats)
    differing, compared_frames = _differing(spent.results["plain"], spent.results["ours"], settings)
    frames = sum(map(len, needed.values()))
    row = compared(
        "preprocess",
        "grid",
        f"{len(settings)} preprocessings of {frames} frames of 640x480 pixels from {case.clips} synthetic clips. "
        f"Plain: a script for each preprocessing, one process, PNG files. Ours: `prepare` of the study, {WORKERS} "
        "workers (started before), into the cache.",
        spent,
        (f"{differing} of {compared_frames} frames differ", float(differing), differing == 0 and compared_frames > 0),
        target=7.0,
        further={"plain, seconds a clip": spent.median("plain") / case.clips},
    )
    return [row]


def _differing(written: Path, plans: list[Plan], settings: list[dict[str, Any]]) -> tuple[int, int]:
    """Compare every frame of the cache with the PNG file of the same preprocessing."""
    places = {
        (setting["crop"], setting["box"], setting["size"], setting["colour"]): str(number)
        for number, setting in enumerate(settings)
    }
    differing, total, seen = 0, 0, set()
    for plan in plans:
        name = preprocessing_id(plan.experiment.preprocessing)
        crop: Any = plan.preprocessor
        place = (crop.crop, crop.box if crop.crop == "face" else "", crop.size, crop.colour)
        if name in seen or place not in places:
            continue
        seen.add(name)
        store = plan.data.cache.store(name)
        frames = store.open()
        for (key, number), row in store.rows.items():
            file = written / places[place] / key.replace("/", "_") / f"{number}.png"
            image: Any = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            image = image[..., None] if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            differing += not np.array_equal(image, frames.pixels[row])
            total += 1
    missing = (len(settings) - len(seen)) * total  # a preprocessing that was not compared counts as different
    return differing + missing, total


def _reads(folder: Path, case: _Case) -> list[Row]:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (case.views, 224, 224, 3), dtype=np.uint8)
    clip = Clip(dataset="drawn", subject_id="1", namespace="drawn", video="1", onset=0, offset=case.views - 1)
    store = FrameStore(folder / "frames", hashed=False)
    store.add(
        [(clip.key, number) for number in range(case.views)], Frames(pixels, ("r", "g", "b"), np.zeros((case.views, 4)))
    )
    numbers = tuple((number,) for number in range(case.views))
    places = tuple(np.array([number]) for number in range(case.views))
    built = representations.build("pixels", {})
    views = Views((clip,), np.zeros(case.views, int), numbers, store.open(), places, built, Modality(("r", "g", "b")))
    batches = np.split(rng.permutation(case.views), range(BATCH, case.views, BATCH))
    for number, image in enumerate(pixels):
        flags = [cv2.IMWRITE_PNG_COMPRESSION, 1]
        cv2.imwrite(str(folder / f"{number}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)
    np.save(folder / "pixels.npy", pixels)
    array = np.load(folder / "pixels.npy", mmap_mode="r")
    room = np.empty((BATCH, 224, 224, 3), np.uint8)

    def from_png(batch: np.ndarray) -> np.ndarray:
        return np.stack([cv2.cvtColor(cv2.imread(str(folder / f"{n}.png")), cv2.COLOR_BGR2RGB) for n in batch])

    def from_cache(batch: np.ndarray) -> np.ndarray:
        return views.take(batch, room[: len(batch), None])[:, 0]

    def copied(batch: np.ndarray) -> np.ndarray:
        return np.take(pixels, batch, axis=0, out=room[: len(batch)], mode="clip")

    sides: dict[str, Any] = {
        "plain": from_png,
        "ours": from_cache,
        "limit": copied,
        "array": lambda batch: np.asarray(array[batch]),
    }
    differing = sum(not np.array_equal(side(batch), pixels[batch]) for side in sides.values() for batch in batches)

    def of_all(side: Any) -> int:
        return sum(int(side(batch)[:, 0, 0].sum()) for batch in batches)

    spent = alternate({name: partial(of_all, side) for name, side in sides.items()}, 5)
    row = compared(
        "preprocess",
        "cache reads",
        f"{case.views} images of noise, 224x224x3, in random batches of {BATCH}. Plain: PNG files. Ours: views of the "
        "cache, read into one buffer. All files are in the page cache of the system.",
        spent,
        (f"{differing} of {len(sides) * len(batches)} batches differ", float(differing), differing == 0),
        limit="copying the same images in memory into a reused buffer",
        share_target=0.7,
        further={
            "ours, GB/s": pixels.nbytes / spent.median("ours") / 1e9,
            "one array in a file, mapped into memory (np.load), seconds": spent.median("array"),
            "ratio to that array": spent.median("array") / spent.median("ours"),
        },
    )
    return [row]


def _memory(folder: Path, case: _Case) -> list[Row]:
    few, many = case.memory
    peaks = []
    for clips in case.memory:
        data = _faces(folder / f"data{clips}", clips)
        peaks.append(isolated(peak, case, data, folder / f"out{clips}"))
    growth = (peaks[1] - peaks[0]) / (many - few)
    return [
        Row(
            group="preprocess",
            name="memory",
            what=f"peak memory of a process that preprocesses the grid, with {few} and with {many} clips, one worker.",
            agreement=f"{peaks[0]:.0f} MB with {few} clips, {peaks[1]:.0f} MB with {many}: {growth:+.2f} MB a clip",
            difference=growth,
            agrees=growth <= MOST_A_CLIP,
            repeats=1,
            further={f"MB with {few} clips": peaks[0], f"MB with {many} clips": peaks[1]},
        )
    ]


def peak(case: _Case, data: Path, out: Path) -> float:
    """Return the peak memory, in MB, of a process that preprocesses a grid; raises NotMeasured."""
    plain_preprocessing.detector()
    prepare(case, data, out, 1)
    found = peak_memory()
    if found is None:
        raise NotMeasured("only Linux tells the peak memory of a process")
    return found
