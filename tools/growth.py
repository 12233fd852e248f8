"""``make growth``: measure how time and memory grow, fit power laws, and write docs/growth.md with its figures.

It runs ``python -m tools.growth docs/growth.json docs/growth.md``. Every point is measured in a process of its own, so
that its peak memory is its own; points that the JSON file holds are kept.
"""

from __future__ import annotations

import csv
import json
import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import cv2
import numpy as np
from joblib.externals.loky import get_reusable_executor

from microexpr.bench.inputs import flow_images, write_manifest
from microexpr.bench.measuring import isolated
from microexpr.bench.rows import machine
from microexpr.config.experiment import Experiment
from microexpr.core.files import write_atomically
from microexpr.runs.jobs import run
from microexpr.runs.plan import Options, Workspace

MILLION = 1_000_000
DECADE = 10
"""From this ratio of the largest value to the smallest an axis is logarithmic."""
ROOM, DAY = 16_000, 86_400
"""Megabytes of a small workstation; seconds."""
REPEATS = 3


class Point(NamedTuple):
    """One measurement: median seconds of the work, and the peak memory of its process."""

    size: int
    seconds: float
    megabytes: float


class Law(NamedTuple):
    """value = fixed + factor * size ** exponent; `fixed` is the value that does not grow."""

    fixed: float
    factor: float
    exponent: float

    def at(self, size: float) -> float:
        """Return the value at a size."""
        return float(self.fixed + self.factor * size**self.exponent)

    def reaching(self, value: float) -> float:
        """Return the size at which the value is reached; infinite if it never is."""
        if not self.factor or value <= self.fixed:
            return math.inf
        return float(((value - self.fixed) / self.factor) ** (1 / self.exponent))


def fitted(sizes: Sequence[float], values: Sequence[float]) -> Law:
    """Fit a power law with a constant part by least squares of relative errors; exponents from 0 to 3.

    >>> law = fitted([10, 100, 1000, 10000], [2 + 0.01 * size for size in (10, 100, 1000, 10000)])
    >>> round(law.exponent, 2), round(law.fixed, 1)
    (1.0, 2.0)
    """
    x, y = np.asarray(sizes, float), np.asarray(values, float)
    best, least = Law(float(y.mean()), 0.0, 0.0), math.inf
    for exponent in np.arange(0.05, 3.0001, 0.05):
        columns = np.stack([np.ones_like(x), x**exponent], 1) / y[:, None]
        solved = np.linalg.lstsq(columns, np.ones_like(x), rcond=None)[0].clip(min=0)
        error = float(np.square(columns @ solved - 1).sum())
        if error < least - 1e-12:
            best, least = Law(float(solved[0]), float(solved[1]), float(exponent)), error
    return best


# --- what is measured -------------------------------------------------------------------------------------------------
def _images(**values: object) -> Experiment:
    flow = {"name": "manifest", "channels": {"onset_apex": ["strain", "v", "u"]}}
    content = {
        "datasets": [flow],
        "modality": "onset_apex",
        "labels": "as_given",
        "preprocessing": "as_is",
        "sampling": "image",
        "model": "majority",
        "protocol": "subject_kfold",
        **values,
    }
    return Experiment.model_validate(content)


def clips(size: int, folder: Path) -> Callable[[], object]:
    """Five folds of the majority class on this many images of 28x28: everything but the model."""
    data = write_manifest(folder / "data", flow_images(size, max(10, size // 7)))
    return _running(data, folder, _images())


def folds(size: int, folder: Path) -> Callable[[], object]:
    """Leave one subject out with this many subjects and 420 images."""
    data = write_manifest(folder / "data", flow_images(420, size))
    return _running(data, folder, _images(protocol="loso"))


def _running(data: Path, folder: Path, experiment: Experiment) -> Callable[[], object]:
    numbers = iter(range(100))

    def work() -> object:
        workspace = Workspace(Options({"manifest": data}, folder / f"out{next(numbers)}"))
        (plan,) = workspace.prepare([workspace.plan(experiment)])
        return run(plan, workspace).predictions()

    return work


def frames(size: int, folder: Path) -> Callable[[], object]:
    """Preprocess all of this many frames of each of 20 clips, 160x120 to 96x96 pixels."""
    return _preparing(folder, 20, size, 1)


def workers(size: int, folder: Path) -> Callable[[], object]:
    """Preprocess 24 clips of 12 frames with this many processes, which are started before."""
    return _preparing(folder, 24, 12, size)


def _preparing(folder: Path, count: int, length: int, processes: int) -> Callable[[], object]:
    data = folder / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    with (data / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["dataset", "subject", "clip", "emotion", "frames", "onset", "apex", "offset"])
        for number in range(count):
            place = data / f"c{number}"
            place.mkdir()
            for at in range(1, length + 1):
                cv2.imwrite(str(place / f"{at}.png"), rng.integers(90, 160, (120, 160, 3), dtype=np.uint8))
            emotion = ("negative", "positive")[number % 2]
            writer.writerow(["drawn", f"s{number % 5}", place.name, emotion, place.name, 1, length // 2 + 1, length])
    content = {
        "datasets": ["manifest"],
        "labels": "as_given",
        "preprocessing": {"name": "crop", "crop": "centre", "size": 96},
        "sampling": "clip",
        "model": "majority",
    }
    experiment = Experiment.model_validate(content)
    numbers = iter(range(100))

    def work() -> object:
        options = Options({"manifest": data}, folder / f"out{next(numbers)}", workers=processes)
        workspace = Workspace(options)
        return workspace.prepare([workspace.plan(experiment)])

    return work


AXES: dict[str, tuple[Callable[[int, Path], Callable[[], object]], tuple[int, ...]]] = {
    "clips": (clips, (10, 100, 1000, 10_000)),
    "frames": (frames, (4, 16, 64)),
    "folds": (folds, (10, 30, 100)),
    "workers": (workers, (1, 2, 4)),
}


def measure(axis: str, size: int) -> Point:
    """Measure one point."""
    make, _ = AXES[axis]
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        work = make(size, Path(folder))
        work()
        spent = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            work()
            spent.append(time.perf_counter() - start)
    if axis == "workers":
        get_reusable_executor().shutdown()  # its threads would keep this process from ending
    unit = 1 if sys.platform == "darwin" else 1024
    return Point(size, float(np.median(spent)), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


# --- the page ---------------------------------------------------------------------------------------------------------
HEAD = """\
# How cost grows

Generated by `make growth` from `docs/growth.json`; do not edit. Time and peak memory of this package alone (the model
predicts the majority class), the median of {repeats} runs after one that does not count, each point in a process of its
own. Lines are fitted: a constant, which is mostly the libraries, plus a power of the size.

Measured on {machine}. The machine was shared, so times are rough; exponents matter more.
"""


MANY = """
Extended on paper to a million clips (not measured): {hours:.1f} hours and {gigabytes:.0f} GB in one process. What
breaks first is {first}: by these lines, {room:.0f} GB are full at {held:,.0f} clips, and a process takes a day at
{day:,.0f}.

What serves then: several processes or machines on one output folder divide the folds, and with them the time of
training, but each reads the whole table. `microexpr predict` reads clips one after the other, so that its memory does
not grow with their number: train on the clips that are needed, and predict the rest with the kept model, in parts if
one process takes too long.
"""


def page(points: dict[str, list[Point]], environment: dict[str, str]) -> str:
    """Return the page."""
    named = ", ".join(f"{name} {environment[name]}" for name in ("processor", "features", "cores", "threads"))
    parts = [HEAD.format(repeats=REPEATS, machine=named)]
    for axis, found in points.items():
        make, _ = AXES[axis]
        sizes = [point.size for point in found]
        spent, memory = fitted(sizes, [p.seconds for p in found]), fitted(sizes, [p.megabytes for p in found])
        parts.append(f"\n## {axis.capitalize()}\n\n{make.__doc__}\n\n![{axis}](growth-{axis}.svg)\n\n")
        parts.append(f"| {axis} | seconds | MB |\n|---|---|---|\n")
        parts += [f"| {point.size:,} | {point.seconds:.2f} | {point.megabytes:.0f} |\n" for point in found]
        if axis != "workers":
            parts.append(f"\nTime grows as size^{spent.exponent:.2f}, memory as size^{memory.exponent:.2f}.\n")
        if axis == "clips":
            parts.append(
                MANY.format(
                    hours=spent.at(MILLION) / 3600,
                    gigabytes=memory.at(MILLION) / 1000,
                    room=ROOM / 1000,
                    held=_rounded(memory.reaching(ROOM)),
                    day=_rounded(spent.reaching(DAY)),
                    first="memory" if memory.reaching(ROOM) < spent.reaching(DAY) else "time",
                )
            )
    return "".join(parts)


def _rounded(value: float) -> float:
    """Return a value with the two digits that an extension on paper can have."""
    return float(f"{value:.2g}")


def figure(axis: str, found: Sequence[Point], file: Path) -> None:
    """Write the figure of one axis: time and memory on logarithmic scales."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    mpl.rcParams["svg.hashsalt"] = "growth"  # the same file for the same points
    canvas = Figure(figsize=(7, 2.8), layout="constrained")
    sizes = np.array([point.size for point in found], float)
    smooth = np.geomspace(sizes[0], sizes[-1], 60)
    kinds = (("seconds", [p.seconds for p in found]), ("MB, peak", [p.megabytes for p in found]))
    for number, (title, values) in enumerate(kinds):
        axes = canvas.add_subplot(1, 2, number + 1)
        if axis != "workers":
            axes.plot(smooth, [fitted(sizes.tolist(), values).at(size) for size in smooth], color="#7f8c8d")
        axes.plot(sizes, values, "o", color="#1b4f72")
        axes.set(xlabel=axis, ylabel=title, xscale="log")
        axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
        axes.minorticks_off()
        if max(values) > DECADE * min(values):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            axes.set_ylim(0, 1.1 * max(values))
        axes.grid(which="major", alpha=0.3)
    canvas.savefig(file, metadata={"Date": None})


def main(arguments: Sequence[str]) -> None:
    """Measure what is missing, and write the points, the figures and the page."""
    source, target = map(Path, arguments)
    stored: dict[str, Any] = (
        json.loads(source.read_text("utf-8")) if source.is_file() else {"environment": machine(), "points": {}}
    )
    for axis, (_, sizes) in AXES.items():
        known = {row["size"]: row for row in stored["points"].setdefault(axis, [])}
        for size in sizes:
            if size not in known:
                known[size] = isolated(measure, axis, size)._asdict()
                sys.stderr.write(f"{axis} {size}: {known[size]['seconds']:.2f} s\n")
            stored["points"][axis] = [known[number] for number in sorted(known)]
            write_atomically(source, json.dumps(stored, indent=1) + "\n")
    points = {axis: [Point(**row) for row in rows] for axis, rows in stored["points"].items()}
    for axis, found in points.items():
        figure(axis, found, target.with_name(f"growth-{axis}.svg"))
    write_atomically(target, page(points, stored["environment"]))


if __name__ == "__main__":
    main(sys.argv[1:])
