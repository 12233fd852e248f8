"""``make growth``: measure how time, memory and disk grow, fit lines, and write docs/growth.md with its figures.

It runs ``python -m tools.growth docs/growth.json docs/growth.md``. Every point is measured in a process of its own, so
that its peak memory is its own; points that the JSON file holds are kept, and new ones are only added on the machine
that measured them.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import cv2
import numpy as np
from joblib.externals.loky import get_reusable_executor
from scipy.optimize import nnls

from microexpr.bench.inputs import flow_images, write_manifest
from microexpr.bench.measuring import isolated, peak_memory
from microexpr.bench.rows import machine
from microexpr.bench.running import check_conditions
from microexpr.config.experiment import Experiment
from microexpr.core.errors import MicroexprError
from microexpr.core.files import write_atomically
from microexpr.runs.jobs import run
from microexpr.runs.plan import Options, Workspace

ABSENT = "not measured"
MILLION = 1_000_000
POWER_LAW = 3
"""Numbers of a line of time: a constant, a factor and a power."""
DECADE = 10
"""From this ratio of the largest value to the smallest an axis is logarithmic."""
REPEATS = 3
LENGTH = 10
"""Frames of a clip."""
QUANTITIES = {"seconds": "seconds", "memory": "MB of memory, peak", "disk": "MB on disk"}
LIMITS = {
    "seconds": (86_400, 3600, "hours", "clips in a day"),
    "memory": (16_000, 1000, "GB of memory", "clips in 16 GB"),
    "disk": (1_000_000, 1000, "GB on disk", "clips in 1 TB"),
}
"""What a small workstation has, the unit of the page, and two headings."""
KINDS = {
    "clips": (1, "flow images of 28x28x3, an estimator"),
    "frames": (LENGTH, f"{LENGTH} frames a clip of 224x224x3, preprocessed"),
    "views": (1, f"{LENGTH} frames a clip of 224x224x3, an estimator"),
}
"""Axes that are extended: how many of its sizes make a clip, and what is done."""


class Point(NamedTuple):
    """One measurement: median seconds, peak memory in MB (None: not measured), and what was written, in MB."""

    size: int
    seconds: float
    memory: float | None
    disk: float


class Law(NamedTuple):
    """value = fixed + factor * size ** exponent."""

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

    def formula(self, size: str) -> str:
        """Return the law in words of the page; `size` is the name of the size."""
        power = {1.0: f"· {size}", -1.0: f"/ {size}"}.get(self.exponent, f"· {size}^{self.exponent:.2f}")
        return f"{self.fixed:.3g} + {_rounded(self.factor)} {power}"


POWERS = tuple(step / 20 for step in range(1, 61))


def fitted(sizes: Sequence[float], values: Sequence[float], exponents: Sequence[float] = POWERS) -> Law:
    """Fit a constant plus a power by least squares of relative errors; neither part is negative.

    >>> law = fitted([10, 100, 1000, 10000], [2 + 0.01 * size for size in (10, 100, 1000, 10000)])
    >>> round(law.exponent, 2), round(law.fixed, 1)
    (1.0, 2.0)
    """
    x, y = np.asarray(sizes, float), np.asarray(values, float)
    best, least = Law(float(y.mean()), 0.0, exponents[0]), math.inf
    for exponent in exponents:
        columns = np.stack([np.ones_like(x), x**exponent], 1) / y[:, None]
        solved, _ = nnls(columns, np.ones_like(x))
        error = float(np.square(columns @ solved - 1).sum())
        if error < least - 1e-12:
            best, least = Law(float(solved[0]), float(solved[1]), float(exponent)), error
    return best


def law(axis: str, quantity: str, found: Sequence[Point]) -> Law | None:
    """Fit a quantity: time to any power, with workers in inverse proportion; memory and disk in proportion.

    None if it was not measured.
    """
    values = [getattr(point, quantity) for point in found]
    if None in values:
        return None
    time_powers = (-1.0,) if axis == "workers" else POWERS
    return fitted([point.size for point in found], values, time_powers if quantity == "seconds" else (1.0,))


# --- what is measured -------------------------------------------------------------------------------------------------
class Axis(NamedTuple):
    """What grows: which data are drawn for a size, and what is done with them."""

    what: str
    sizes: tuple[int, ...]
    draw: Callable[[int, Path], object]
    experiment: Mapping[str, object]
    trains: bool = True
    """Otherwise frames are only preprocessed."""


def _frames(folder: Path, clips: int) -> None:
    """Write clips of drawn frames of 320x240 pixels, and list them."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["dataset", "subject", "clip", "emotion", "frames", "onset", "apex", "offset"])
        for number in range(clips):
            place = folder / f"c{number}"
            place.mkdir()
            for at in range(1, LENGTH + 1):
                cv2.imwrite(str(place / f"{at}.png"), rng.integers(90, 160, (240, 320, 3), dtype=np.uint8))
            emotion = ("negative", "positive")[number % 2]
            writer.writerow(["drawn", f"s{number % 5}", place.name, emotion, place.name, 1, LENGTH // 2, LENGTH])


COMMON = {"labels": "as_given", "model": "majority", "protocol": "subject_kfold"}
IMAGES = {
    **COMMON,
    "datasets": [{"name": "manifest", "channels": {"onset_apex": ["strain", "v", "u"]}}],
    "modality": "onset_apex",
    "preprocessing": "as_is",
    "sampling": "image",
}
CROPS = {
    **COMMON,
    "datasets": ["manifest"],
    "preprocessing": {"name": "crop", "crop": "centre", "size": 224},
    "sampling": "clip",
}
AXES = {
    "clips": Axis(
        "Five folds of an estimator on this many flow images of 28x28x3, one a clip.",
        (10, 100, 1000, 10_000),
        lambda size, folder: write_manifest(folder, flow_images(size, max(10, size // 7))),
        IMAGES,
    ),
    "frames": Axis(
        f"Preprocess this many frames, in clips of {LENGTH}, from 320x240x3 to 224x224x3.",
        (100, 500, 1500, 5000),
        lambda size, folder: _frames(folder, size // LENGTH),
        CROPS,
        trains=False,
    ),
    "views": Axis(
        f"Five folds of an estimator on this many clips of {LENGTH} frames as above, one view a clip.",
        (10, 30, 100, 200),
        lambda size, folder: _frames(folder, size),
        CROPS,
    ),
    "folds": Axis(
        "Leave one subject out with this many subjects and 420 flow images.",
        (10, 30, 100),
        lambda size, folder: write_manifest(folder, flow_images(420, size)),
        {**IMAGES, "protocol": "loso"},
    ),
    "workers": Axis(
        "Preprocess 500 frames as above with this many processes, which are started before.",
        (1, 2, 4),
        lambda _, folder: _frames(folder, 500 // LENGTH),
        CROPS,
        trains=False,
    ),
}


def draw(axis: str, size: int, folder: Path) -> None:
    """Write the data of one point; in a process of its own, as it takes much memory."""
    AXES[axis].draw(size, folder)


def measure(axis: str, size: int, data: Path, out: Path) -> Point:
    """Measure one point on its data."""
    spent, experiment = [], Experiment.model_validate(AXES[axis].experiment)
    for _ in range(REPEATS + 1):
        shutil.rmtree(out, ignore_errors=True)
        start = time.perf_counter()
        workspace = Workspace(Options({"manifest": data}, out, workers=size if axis == "workers" else 1))
        (plan,) = workspace.prepare([workspace.plan(experiment)])
        if AXES[axis].trains:
            run(plan, workspace).predictions()
        spent.append(time.perf_counter() - start)
    memory = peak_memory()
    if axis == "workers":
        get_reusable_executor().shutdown()  # its threads would keep this process from ending
    written = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    return Point(size, float(np.median(spent[1:])), memory, written / 1e6)


# --- the page ---------------------------------------------------------------------------------------------------------
HEAD = """\
# How cost grows

Generated by `make growth` from `docs/growth.json`; do not edit. Cost of this package alone (the estimator predicts the
majority class, but takes the images as any other does): time is the median of {repeats} runs after one that does not
count; memory is the peak of the process, plus those of the processes that it started (pages that they share count in
each); disk is what one run writes, `cache` and `results`, without the data.

Lines are fitted to relative errors: a constant, which in memory is mostly the libraries, plus, for time, a power of the
size or, with workers, a part that they divide among themselves; for memory and disk, a part in proportion to the size.

Measured on {machine}.
"""
MANY = """
## A million clips

On paper, by the lines above; nothing here was measured. The last columns are numbers of clips.

{table}
Which of a day, 16 GB of memory and 1 TB of disk runs out first:

{first}
What serves then:

- Memory: an estimator takes all training views at once, as 32-bit numbers. A network keeps views in memory up to 1 GB
  and reads batches from the cache beyond. `microexpr predict` reads clips one after the other and keeps no frames:
  train on the clips that are needed, and predict the rest with the kept model.
- Disk: the cache holds frames as raw bytes, only those that the sampling takes. Fewer frames a clip or smaller ones
  shrink it in proportion, and grey ones to a third. Scores and the report do not need it: it may be removed when all
  folds are trained.
- Time: `--workers` divide the preprocessing; several processes or machines on one output folder divide the folds, but
  each reads the whole table.
"""


def page(points: Mapping[str, Sequence[Point]], environment: Mapping[str, str]) -> str:
    """Return the page."""
    named = ", ".join(f"{name} {environment[name]}" for name in ("processor", "features", "cores", "threads"))
    parts = [HEAD.format(repeats=REPEATS, machine=named)]
    for axis, found in points.items():
        parts.append(f"\n## {axis.capitalize()}\n\n{AXES[axis].what}\n\n![{axis}](growth-{axis}.svg)\n\n")
        parts.append(f"| {axis} | {' | '.join(QUANTITIES.values())} |\n|---|---|---|---|\n")
        for point in found:
            cells = [f"{point.size:,}", *(_cell(getattr(point, quantity)) for quantity in QUANTITIES)]
            parts.append(f"| {' | '.join(cells)} |\n")
        parts.append("\n")
        for quantity, title in QUANTITIES.items():
            line = law(axis, quantity, found)
            if line is not None:
                off = max(abs(line.at(point.size) / getattr(point, quantity) - 1) for point in found)
                exact = quantity == "seconds" and axis != "workers" and len(found) == POWER_LAW
                fit = (
                    "through all points, as it has one number for each"
                    if exact
                    else f"at most {off:.1%} off the points"
                )
                parts.append(f"- {title}: {line.formula(axis)}; {fit}\n")
    return "".join([*parts, _many(points)])


def _many(points: Mapping[str, Sequence[Point]]) -> str:
    """Return the extension to a million clips."""
    titles, reached = zip(*(limit[2:] for limit in LIMITS.values()), strict=True)
    rows, first = [["a million clips", *titles, *reached], ["---"] * (1 + 2 * len(LIMITS))], []
    for axis, (sizes, what) in KINDS.items():
        there, held = [], {}
        for quantity, (limit, unit, *_) in LIMITS.items():
            line = law(axis, quantity, points[axis])
            there.append(line and line.at(MILLION * sizes) / unit)
            held[quantity] = line and line.reaching(limit) / sizes
        rows.append([what, *map(_rounded, there), *map(_rounded, held.values())])
        _, least = min((clips, quantity) for quantity, clips in held.items() if clips is not None)
        first.append(f"- {what}: {'time' if least == 'seconds' else least}\n")
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    return MANY.format(table=table, first="".join(first))


def _cell(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.2f}" if value < DECADE else f"{value:,.0f}"


def _rounded(value: float | None) -> str:
    """Return a value with the two digits that an extension on paper can have."""
    if value is None:
        return ABSENT
    if math.isinf(value):
        return "never"
    rounded = float(f"{value:.2g}")
    return f"{rounded:g}" if rounded < DECADE else f"{rounded:,.0f}"


def figure(axis: str, found: Sequence[Point], file: Path) -> None:
    """Write the figure of one axis, without what was not measured."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    mpl.rcParams["svg.hashsalt"] = "growth"  # the same file for the same points
    canvas = Figure(figsize=(10, 2.8), layout="constrained")
    sizes = [point.size for point in found]
    smooth = np.geomspace(sizes[0], sizes[-1], 60)
    for number, (quantity, title) in enumerate(QUANTITIES.items()):
        line = law(axis, quantity, found)
        if line is None:
            continue
        values = [getattr(point, quantity) for point in found]
        axes = canvas.add_subplot(1, len(QUANTITIES), number + 1)
        axes.plot(smooth, [line.at(size) for size in smooth], color="#7f8c8d")
        axes.plot(sizes, values, "o", color="#1b4f72")
        axes.set(xlabel=axis, ylabel=title, xscale="log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
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
    """Measure what is missing, and write the points, the figures and the page; raises StoreError."""
    source, target = map(Path, arguments)
    now = machine()
    stored: dict[str, Any] = {"environment": now, "points": {axis: [] for axis in AXES}}
    if source.is_file():
        stored = json.loads(source.read_text("utf-8"))
    for axis, size in [(name, size) for name, found in AXES.items() for size in found.sizes]:
        rows = stored["points"][axis]
        if size in {row["size"] for row in rows}:
            continue
        check_conditions(stored["environment"], now, source)
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            data, out = Path(folder, "data"), Path(folder, "out")
            isolated(draw, axis, size, data)
            rows.append(isolated(measure, axis, size, data, out)._asdict())
        sys.stderr.write(f"{axis} {size}: {rows[-1]['seconds']:.2f} s\n")
        write_atomically(source, json.dumps(stored, indent=1) + "\n")
    points = {axis: [Point(**row) for row in rows] for axis, rows in stored["points"].items()}
    for axis, found in points.items():
        figure(axis, found, target.with_name(f"growth-{axis}.svg"))
    write_atomically(target, page(points, stored["environment"]))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MicroexprError as error:
        sys.exit(f"microexpr: {error}")
