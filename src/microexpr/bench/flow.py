"""Optical flow and LBP-TOP of many clips: the representations as a study computes them, against a plain loop."""

from __future__ import annotations

import csv
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from microexpr.bench.inputs import moving_faces
from microexpr.bench.measuring import NotMeasured, Timed, alternate, compared
from microexpr.bench.plain import optical_flow
from microexpr.bench.rows import Row, Size
from microexpr.bench.running import Job
from microexpr.config.component import Component
from microexpr.config.experiment import Experiment
from microexpr.core.progress import Silent
from microexpr.runs.plan import Options, Plan, Workspace

WORKERS = 2


class _Case(NamedTuple):
    clips: int
    frames: int
    side: int
    repeats: int


CASES = {
    "full": {
        "dis": [_Case(200, 2, 128, 5), _Case(100, 2, 384, 5)],
        "tvl1": [_Case(24, 2, 128, 3)],
        "lbp_top": [_Case(400, 24, 128, 5)],
    },
    "small": {"dis": [_Case(100, 2, 128, 3)], "tvl1": [_Case(10, 2, 128, 2)], "lbp_top": [_Case(60, 24, 128, 3)]},
    "tiny": {"dis": [_Case(18, 2, 96, 1)], "tvl1": [_Case(2, 2, 48, 1)], "lbp_top": [_Case(18, 12, 64, 1)]},
}
TITLES = {"dis": "DIS flow", "tvl1": "TV-L1 flow", "lbp_top": "LBP-TOP"}
SIDE = 28
"""Of the flow images."""


def jobs(size: Size) -> list[Job]:
    """Return the jobs of this group."""
    found = []
    for kind, cases in CASES[size].items():
        for case in cases:
            what = f"{TITLES[kind]} of {case.clips} clips of {case.side} pixels"
            name = f"{TITLES[kind]} {case.side}"
            found.append(Job("flow", (name,), what, partial(_row, name=name, kind=kind, case=case)))
    return found


def _row(folder: Path, name: str, kind: str, case: _Case) -> list[Row]:
    if kind == "tvl1" and not hasattr(cv2, "optflow"):
        raise NotMeasured("the installed OpenCV lacks its contrib modules")
    clips = moving_faces(case.clips, case.frames, case.side)
    plan = _plan(_write(folder / "data", clips), folder / "out", kind, case.side)
    spent = _measure(folder, plan, clips, kind, case.repeats)
    given, ours = spent.results["plain"], spent.results["ours"]
    difference = float(np.abs(given - ours.reshape(given.shape)).max())
    work, loop = "5x5 blocks, 10 frames", "one process, a loop over arrays in memory"
    if kind != "lbp_top":
        work, loop = "from onset to apex with strain, 28x28", f"{loop}, OpenCV with all threads"
    row = compared(
        "flow",
        name,
        f"{TITLES[kind]}, {work}: {case.clips} clips of {case.frames} grey frames of {case.side}x{case.side} pixels. "
        f"Plain: {loop}, one file. Ours: views of a study, from cached frames to cached views, {WORKERS} threads.",
        spent,
        (f"largest difference of a value {difference:.2g}", difference, difference <= 1e-6),
        limit=f"the solver alone on the same frames, {WORKERS} threads",
        target=2.0,
    )
    return [row]


def _measure(folder: Path, plan: Plan, clips: np.ndarray, kind: str, repeats: int) -> Timed:
    solver = optical_flow.tvl1 if kind == "tvl1" else optical_flow.dis

    def plain() -> np.ndarray:
        file = folder / "plain.npy"
        if kind == "lbp_top":
            return optical_flow.lbp_top(clips, file)
        return optical_flow.flow_images(clips, SIDE, file, solver())

    def bare(start: int) -> None:
        """Compute the flow of every `WORKERS`-th clip."""
        alone = solver()
        for frames in clips[start::WORKERS]:
            alone.calc(frames[0], frames[-1], None)

    def ours() -> np.ndarray:
        for stored in (folder / "out/cache").glob("views-*"):
            shutil.rmtree(stored)
        plan.represent(WORKERS, Silent())
        views = plan.views()
        return views.take(np.arange(len(views)))

    def limit() -> None:
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            with ThreadPoolExecutor(WORKERS) as pool:
                list(pool.map(bare, range(WORKERS)))
        finally:
            cv2.setNumThreads(before)

    sides: dict[str, Any] = {"plain": plain, "ours": ours}
    return alternate(sides if kind == "lbp_top" else sides | {"limit": limit}, repeats)


def _write(folder: Path, clips: np.ndarray) -> Path:
    folder.mkdir()
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["dataset", "subject", "clip", "emotion", "frames", "onset", "apex", "offset"])
        for number, frames in enumerate(clips):
            place = folder / f"c{number:04}"
            place.mkdir()
            for at, frame in enumerate(frames, start=1):
                cv2.imwrite(str(place / f"{at}.png"), frame)
            emotion = ("negative", "positive")[number % 2]
            subject = f"s{number % 8}"
            writer.writerow(["drawn", subject, place.name, emotion, place.name, 1, len(frames), len(frames)])
    return folder


def _plan(data: Path, out: Path, kind: str, side: int) -> Plan:
    """Return a plan whose frames are prepared, and whose views are not."""
    sampling, model = ("onset_apex", "pca_svm") if kind != "lbp_top" else ("clip", "lbp_top_svm")
    flow: dict[str, Any] = {"name": "flow", "method": kind, "size": SIDE}
    representation = {"name": "lbp_top"} if kind == "lbp_top" else flow
    experiment = Experiment(
        name=kind,
        datasets=("manifest",),
        labels="as_given",
        preprocessing={"name": "crop", "crop": "none", "size": side, "colour": "grey"},
        sampling=sampling,
        representation=Component.model_validate(representation),
        model=model,
        loss="cross_entropy",
        protocol="loso",
    )
    workspace = Workspace(Options({"manifest": data}, out))
    (plan,) = workspace.prepare([workspace.plan(experiment)])
    return plan
