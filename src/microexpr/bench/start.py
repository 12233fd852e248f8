"""How long the command takes to begin: its help, a study that is finished already, a report that is written again."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

from microexpr.bench.inputs import flow_images, write_manifest
from microexpr.bench.measuring import alternate, compared
from microexpr.bench.rows import Row, Size
from microexpr.bench.running import Job
from microexpr.report import drawings
from microexpr.runs import finished


class _Case(NamedTuple):
    clips: int
    subjects: int
    repeats: int


CASES = {"full": _Case(442, 68, 5), "small": _Case(60, 6, 3), "tiny": _Case(24, 3, 1)}
STUDY = """\
name = "bench"
title = "A study to finish"
[experiment]
datasets = ["manifest"]
modality = "onset_apex"
labels = "as_given"
preprocessing = "as_is"
sampling = "image"
loss = "cross_entropy"
protocol = "loso"
[grid]
model = ["majority", "pca_svm"]
"""


def jobs(size: Size) -> list[Job]:
    """Return the jobs of this group."""
    found = [Job("start", ("help",), "the command's help", partial(_help, repeats=max(3, CASES[size].repeats)))]
    if size != "small":  # training the study would take most of the time
        names = ("second run", "report")
        found.append(Job("start", names, "a finished study", partial(_finished, case=CASES[size])))
    return found


def _run(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    return done.stdout


def _help(folder: Path, repeats: int) -> list[Row]:
    sides = {"plain": lambda: _run("-c", "pass"), "ours": lambda: _run("-m", "microexpr", "--help")}
    spent = alternate(sides, repeats)
    shown = "Usage: microexpr" in spent.results["ours"]
    agreement = "the help is printed" if shown else "no help is printed"
    what = "`microexpr --help` against `python -c pass`; the ratio is the share that Python itself takes."
    return [compared("start", "help", what, spent, (agreement, float(not shown), shown))]


def _finished(folder: Path, case: _Case) -> list[Row]:
    """Measure a second run and a report of a finished study, with and without the records of what was done."""
    data, out = write_manifest(folder / "data", flow_images(case.clips, case.subjects)), folder / "out"
    study = folder / "bench.toml"
    study.write_text(STUDY, "utf-8")
    command = ("-m", "microexpr", "study", str(study), "--data", str(data), "--out", str(out), "--quiet")
    _run(*command)
    first, trained = _scores(out), _results(out)

    def again(*words: str, recorded: bool) -> str:
        if not recorded:
            (out / finished.FILE).unlink(missing_ok=True)
            (out / "figures" / drawings.INDEX).unlink(missing_ok=True)
        (out / "report.html").unlink()
        return _run(*words)

    report = ("-m", "microexpr", "report", str(out))
    ways = {"plain": False, "ours": True}
    second = alternate({name: partial(again, *command, recorded=way) for name, way in ways.items()}, case.repeats)
    pages = alternate({name: partial(again, *report, recorded=way) for name, way in ways.items()}, case.repeats)
    same = _scores(out) == first and _results(out) == trained and (out / "report.html").is_file()
    agreement = ("scores and results are the same" if same else "scores or results differ", float(not same), same)
    shape = f"two models, {case.subjects} folds, {case.clips} clips, in a new process. Plain: without the records of"
    return [
        compared(
            "start",
            "second run",
            f"`microexpr study` where every fold is stored: {shape} what the summary and the figures were made from.",
            second,
            agreement,
            target=5.0,
        ),
        compared(
            "start",
            "report",
            f"`microexpr report`, the pages from the stored summary: {shape} what the figures were drawn from.",
            pages,
            agreement,
            target=3.0,
        ),
    ]


def _scores(out: Path) -> object:
    return [cell["score"] for cell in json.loads((out / "summary.json").read_bytes())["cells"]]


def _results(out: Path) -> dict[Path, int]:
    """Return when every file of the results was written."""
    return {file: file.stat().st_mtime_ns for file in (out / "results").rglob("*") if file.is_file()}
