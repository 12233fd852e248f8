"""``make scaling``: measure what a grid of many folds costs beside training; writes docs/scaling.md and its figures.

It runs ``python -m tools.scaling docs/scaling.json docs/scaling.md``. Every part is measured in a process of its own;
parts that the JSON file holds are kept, and new ones are only added on the machine that measured them. The part on
SLURM starts a cluster of two nodes on this machine, which needs root and slurm-wlm; it is "not measured" elsewhere.
"""

from __future__ import annotations

import heapq
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from microexpr.bench.inputs import flow_images, write_manifest
from microexpr.bench.measuring import isolated
from microexpr.bench.rows import machine
from microexpr.bench.running import check_conditions
from microexpr.config.component import Component
from microexpr.config.experiment import Experiment
from microexpr.core.errors import MicroexprError
from microexpr.core.files import write_atomically
from microexpr.runs import grid, jobs, upkeep
from microexpr.runs.experiment import Result
from microexpr.runs.plan import Options, Plan, Workspace
from microexpr.runs.store import Results
from tools import slurm_cluster

ABSENT = "not measured"
SUBJECTS = 100
TRIVIAL = 10_000
STORED = 100_000
IMAGES = {
    "datasets": [{"name": "manifest", "channels": {"onset_apex": ["strain", "v", "u"]}}],
    "modality": "onset_apex",
    "preprocessing": "as_is",
    "sampling": "image",
    "labels": "as_given",
    "protocol": "loso",
}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


# --- trivial folds: what everything but training costs ----------------------------------------------------------------
def trivial(folder: Path, launcher: dict[str, Any], workers: int, folds: int) -> dict[str, float]:
    """Run so many folds of an estimator that predicts the majority class; 100 folds an experiment, seeds differ."""
    data = write_manifest(folder / "data", flow_images(2 * SUBJECTS, SUBJECTS))
    options = Options({"manifest": data}, folder / "out", jobs=workers, launcher=Component.model_validate(launcher))
    workspace = Workspace(options)
    experiment = Experiment.model_validate({**IMAGES, "model": "majority"})
    drafts = [workspace.draft(experiment.with_values({"seed": seed})) for seed in range(folds // SUBJECTS)]
    plans = workspace.prepare(workspace.settle(drafts))
    start = time.perf_counter()
    jobs.run_all(plans, workspace)
    seconds = time.perf_counter() - start
    assert len(workspace.done.trained) == folds
    return {
        "folds": folds,
        "workers": workers,
        "seconds": seconds,
        "ms_a_fold": 1000 * seconds * workers / folds,
        "driver_mb": _peak_memory(),
    }


def _peak_memory() -> float:
    """Return the peak memory of this process alone, in MB."""
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6


# --- two workers on work that is bound by the processor ---------------------------------------------------------------
def speed_up(folder: Path, workers: int) -> dict[str, float]:
    """Train the folds of small networks, one thread each; starting the processes is counted."""
    data = write_manifest(folder / "data", flow_images(240, 24))
    workspace = Workspace(Options({"manifest": data}, folder / "out", jobs=workers))
    values = {"model": "ststnet", "loss": "cross_entropy", "training.epochs": 60, "training.batch": 64,
              "training.patience": 0}  # fmt: skip
    experiment = Experiment.model_validate(IMAGES).with_values(values)
    (plan,) = workspace.prepare([workspace.plan(experiment)])
    start = time.perf_counter()
    jobs.run_all([plan], workspace)
    return {"folds": len(plan.folds), "workers": workers, "seconds": time.perf_counter() - start}


# --- a large store ----------------------------------------------------------------------------------------------------
def large_store(folder: Path, folds: int) -> dict[str, float]:
    """List what is missing of so many stored folds, look at their status, pack them, and read all predictions."""
    data = write_manifest(folder / "data", flow_images(2 * SUBJECTS, SUBJECTS))
    workspace = Workspace(Options({"manifest": data}, folder / "out"))
    experiment = Experiment.model_validate({**IMAGES, "model": "majority"})
    (plan,) = workspace.prepare([workspace.plan(experiment)])
    jobs.run(plan, workspace)
    root = folder / "out" / "results"
    keys = _copies(Results(root, plan.key), folds // SUBJECTS)
    names = [fold.name for fold in plan.folds]
    planned = [grid.Planned(key=key, name="drawn", folds=tuple(names)) for key in keys]
    grid.Grid(study={"title": "large"}, data={}, began=0.0, launcher="local", experiments=tuple(planned)).write(
        folder / "out"
    )
    for key in keys[::10]:  # something is missing
        (root / key / f"fold-{names[0]}.views.parquet").unlink()

    def listed() -> int:
        return sum(len(Results(root, key).missing(names)) for key in keys)

    found: dict[str, float] = {"folds": folds, "experiments": len(keys)}
    missing, found["missing_seconds"] = _timed(listed)
    assert missing == len(keys[::10])
    status, found["status_seconds"] = _timed(lambda: grid.status(folder / "out"))
    assert status.waiting == missing
    _, found["merge_seconds"] = _timed(lambda: upkeep.merge(folder / "out", []))
    found["files"] = sum(1 for _ in root.rglob("*") if _.is_file())
    _, found["missing_packed_seconds"] = _timed(listed)
    rows, found["collect_seconds"] = _timed(lambda: sum(len(_collected(plan, root, key)) for key in keys))
    assert rows == len(keys) * len(plan.table) - missing * len(plan.folds[0].test)
    return found


def _copies(results: Results, number: int) -> list[str]:
    """Return the keys of so many copies of an experiment: links, as copying 300,000 files takes long."""
    keys = []
    for copy in range(number):
        key = f"{copy:016x}"
        (results.root / key).mkdir()
        for file in results.folder.iterdir():
            os.link(file, results.root / key / file.name)
        keys.append(key)
    return keys


def _collected(plan: Plan, root: Path, key: str) -> pd.DataFrame:
    result = Result(plan.experiment, key, plan.data.labels, tuple(Results(root, key).folds()))
    return result.predictions()


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return function(), time.perf_counter() - start


# --- many workers -----------------------------------------------------------------------------------------------------
MEDIAN, SPREAD, STRAGGLERS, SLOWER, LIFE, RESTART, LAPSE = 60.0, 0.5, 0.01, 10.0, 24 * 3600.0, 120.0, 90.0
"""Synthetic folds: median seconds, sigma of their logarithm, share of stragglers and how much slower they are; mean
seconds until a worker dies, until it is started again, and until its claim lapses."""


def simulated(folder: Path, workers: int, folds: int) -> dict[str, float]:
    """Let so many workers train synthetic folds in simulated time, in the order in which real ones look at them.

    The store is real: a fold that ends writes its files, and the driver's look at the store is timed at ten moments.
    """
    rng = np.random.default_rng(0)
    durations = rng.lognormal(np.log(MEDIAN), SPREAD, folds) * np.where(rng.random(folds) < STRAGGLERS, SLOWER, 1)
    todo = [jobs.Job(f"{number // SUBJECTS:016x}", f"f{number % SUBJECTS:03}") for number in range(folds)]
    place = {job: number for number, job in enumerate(todo)}
    out = folder / "out"
    for key in {job.key for job in todo}:
        (out / "results" / key).mkdir(parents=True)
    launch = jobs.Launch(Options({}, out), {}, {}, tuple(todo))
    left = jobs._Left(launch, Workspace(launch.options))
    ends = dict[jobs.Job, float]()
    claims = dict[jobs.Job, float]()
    """Until when a claim holds."""
    orders = [iter(jobs._in_turn(todo, workers, number)) for number in range(workers)]
    events: list[tuple[float, int]] = [(0.0, number) for number in range(workers)]
    looks, busy, wasted, deaths, every = list[tuple[float, float]](), 0.0, 0.0, 0, folds // 10
    while events:
        now, number = heapq.heappop(events)
        job = next((each for each in orders[number] if each not in ends and claims.get(each, 0.0) <= now), None)
        if job is None:
            if any(each not in ends for each in claims if claims[each] > now) and len(ends) < folds:
                orders[number] = iter(jobs._in_turn(todo, workers, number))  # as workers that are started again
                unfinished = [claims[each] for each in claims if each not in ends]
                if unfinished:
                    heapq.heappush(events, (max(now + 1.0, min(unfinished)), number))
            continue
        takes = float(durations[place[job]])
        dies = float(rng.exponential(LIFE))
        if dies < takes:
            claims[job] = now + dies + LAPSE
            wasted, deaths = wasted + dies, deaths + 1
            orders[number] = iter(jobs._in_turn(todo, workers, number))
            heapq.heappush(events, (now + dies + RESTART, number))
            continue
        claims[job] = ends[job] = now + takes
        busy += takes
        for part in ("history", "views"):
            (out / "results" / job.key / f"fold-{job.fold}.{part}.parquet").touch()
        (out / "results" / job.key / f"fold-{job.fold}.run.json").write_text("{}")
        if len(ends) % every == 0:
            looks.append((len(ends) / folds, _timed(lambda: left.look(at_once=True))[1]))
        heapq.heappush(events, (now + takes, number))
    makespan = max(ends.values())
    return {
        "folds": folds,
        "workers": workers,
        "hours": makespan / 3600,
        "ideal_hours": float(durations.sum()) / workers / 3600,
        "deaths": deaths,
        "wasted_share": wasted / (busy + wasted),
        "look_seconds": max(seconds for _, seconds in looks),
        "first_look_seconds": looks[0][1],
        "driver_mb": _peak_memory(),
    }


# --- all parts, each in a process of its own --------------------------------------------------------------------------
LAUNCHERS: dict[str, tuple[dict[str, Any], int, int]] = {
    "local": ({"name": "local"}, 2, TRIVIAL),
    "ray": ({"name": "ray"}, 2, TRIVIAL),
    "slurm, 20 tasks of 500": ({"name": "slurm", "minutes": 30}, 20, TRIVIAL),
    "slurm, 100 tasks of one": ({"name": "slurm", "minutes": 30}, 100, 100),
}
"""Name of a part -> launcher, workers, folds."""


def measured(part: str) -> dict[str, float] | str:
    """Return what a part measures, or why it cannot be measured here."""
    work: tuple[Callable[..., dict[str, float]], tuple[Any, ...]]
    found: dict[str, float]
    if part in LAUNCHERS:
        work = trivial, LAUNCHERS[part]
    elif part == "store":
        work = large_store, (STORED,)
    else:
        work = (simulated, (1000, STORED)) if part == "simulated" else (speed_up, (int(part.split()[0]),))
    with TemporaryDirectory(prefix="microexpr-scaling-", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        if not part.startswith("slurm"):
            found = isolated(work[0], place, *work[1])
            return found
        if not slurm_cluster.AVAILABLE:
            return slurm_cluster.WITHOUT
        (place / "cluster").mkdir()
        with slurm_cluster.cluster(place / "cluster") as env:
            os.environ.update(env)
            found = isolated(work[0], place, *work[1])
            return found


PARTS = (*LAUNCHERS, "1 worker", "2 workers", "store", "simulated")


# --- the page ---------------------------------------------------------------------------------------------------------
PAGE = """\
# How grids scale

Generated by `make scaling` from `docs/scaling.json`; do not edit. What a grid costs beside training, measured on
{machine}. SLURM and Ray run on this one machine: two nodes of SLURM with two CPUs each, a cluster of Ray with two
CPUs; with networks and file systems between machines, times are longer. Times of one machine are not those of another;
compare the rows.

## Many trivial folds

Each fold is that of an estimator that predicts the majority class, 100 folds an experiment: reading views, claims,
scores and four files a fold are all there is to do. Milliseconds a fold are of one worker, starting the workers
included.

![Milliseconds a fold](scaling-folds.svg)

{folds}
## Two workers

{workers}
## A large store

{store}
## A thousand workers, simulated

{simulated}
## A million folds

On paper, by the rows above; nothing here was measured.

{million}"""
SERVES = """\
What breaks first, and what serves then:

- Looking at the store: {look:.0f} s for each look at a million folds' files; the driver spends at most a tenth of its
  time with it, so that progress is shown every {every:.0f} s. On a file system with slow metadata it is longer. Split
  the grid into studies by database, each with its own `--out`; `microexpr store merge` joins them.
- Files: {files:,.0f} before packing. Quotas of clusters are often a million files: run `microexpr store merge OUT` now
  and then, which leaves six files an experiment.
- Planning: every worker plans each experiment that it meets. With 100 folds an experiment and workers that take their
  own share first, a worker of a thousand meets ten experiments.
- The job array: SLURM accepts 1,001 tasks by default (MaxArraySize); workers are tasks, not folds, so a million folds
  need no more tasks than can run at once.
- The report: {collect:.0f} s to read a million folds after packing, and all predictions in memory. Reports are made for
  studies, not for stores of a million folds.
"""


def page(parts: dict[str, Any], environment: dict[str, str]) -> str:
    """Return the page."""
    named = ", ".join(f"{name} {environment[name]}" for name in ("processor", "features", "cores"))
    one, two, store, many = (parts[name] for name in PARTS[len(LAUNCHERS) :])
    ratio = one["seconds"] / two["seconds"]
    scale = 10 * STORED / store["folds"]
    look = many["look_seconds"] * 10 * STORED / many["folds"]
    return PAGE.format(
        machine=named,
        folds=_table(
            ["launcher", "folds", "workers", "ms a fold", "memory of the driver, MB"],
            [
                [name, *(_number(parts[name], key) for key in ("folds", "workers", "ms_a_fold", "driver_mb"))]
                for name in LAUNCHERS
            ],
        ),
        workers=(
            f"{one['folds']} folds of STSTNet, one thread each: two workers take {two['seconds']:.0f} s, one "
            f"{one['seconds']:.0f} s, starting the processes included: {ratio:.2f} times as fast.\n"
        ),
        store=_table(
            ["work", "seconds"],
            [
                [
                    f"list what is missing among {store['folds']:,} folds ({3 * store['folds']:,} files)",
                    f"{store['missing_seconds']:.2f}",
                ],
                ["`microexpr status`", f"{store['status_seconds']:.2f}"],
                ["`microexpr store merge`: pack them", f"{store['merge_seconds']:.0f}"],
                [f"list what is missing, packed ({store['files']:,} files)", f"{store['missing_packed_seconds']:.2f}"],
                ["read and vote all test predictions, packed", f"{store['collect_seconds']:.1f}"],
            ],
        ),
        simulated=(
            f"{many['folds']:,} synthetic folds of {MEDIAN:.0f} s (median; {STRAGGLERS:.0%} take {SLOWER:.0f} times as "
            f"long) on {many['workers']:,} workers, each of which dies once a day on average and is back after "
            f"{RESTART:.0f} s; {many['deaths']:.0f} died. Time is simulated, the order of folds and the store are "
            f"real. The grid takes {many['hours']:.2f} h, {many['ideal_hours']:.2f} h if no worker ever waited or "
            f"died; {many['wasted_share']:.1%} of the work was lost with workers. A look of the driver at the store "
            f"takes at most {many['look_seconds']:.2f} s; its memory is {many['driver_mb']:.0f} MB.\n"
        ),
        million=SERVES.format(look=look, every=10 * look, files=30 * STORED, collect=store["collect_seconds"] * scale),
    )


def _number(part: Any, key: str) -> str:
    return ABSENT if isinstance(part, str) else f"{part[key]:,.1f}" if key == "ms_a_fold" else f"{part[key]:,.0f}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def figure(parts: dict[str, Any], file: Path) -> None:
    """Write the figure of the launchers, without what was not measured."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "scaling"  # the same file for the same measurements
    names = [name for name in LAUNCHERS if not isinstance(parts[name], str)]
    canvas = Figure(figsize=(8, 0.5 * len(names) + 0.8), layout="constrained")
    axes = canvas.subplots()
    values = [parts[name]["ms_a_fold"] for name in names]
    bars = axes.barh(names[::-1], values[::-1], color="#1b4f72")
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.set(xlabel="milliseconds a fold", xlim=(0, 1.15 * max(values)))
    axes.spines[["top", "right"]].set_visible(False)
    canvas.savefig(file, metadata={"Date": None})


def main(arguments: Sequence[str]) -> None:
    """Measure what is missing, and write the measurements, the figure and the page; raises StoreError."""
    source, target = map(Path, arguments)
    os.environ.update(ONE_THREAD)
    now = machine()
    stored: dict[str, Any] = {"environment": now, "parts": {}}
    if source.is_file():
        stored = json.loads(source.read_text("utf-8"))
    for part in PARTS:
        if part not in stored["parts"]:
            check_conditions(stored["environment"], now, source)
            sys.stderr.write(f"measuring {part}\n")
            stored["parts"][part] = measured(part)
            write_atomically(source, json.dumps(stored, indent=1) + "\n")
    figure(stored["parts"], target.with_name("scaling-folds.svg"))
    write_atomically(target, page(stored["parts"], stored["environment"]))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MicroexprError as error:
        sys.exit(f"microexpr: {error}")
