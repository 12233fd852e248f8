"""How long the command takes to begin: its help, a study that is finished already, a report that is written again."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

from microexpr.bench.inputs import flow_images, write_manifest
from microexpr.bench.measuring import alternate, compared
from microexpr.bench.rows import Row, Size
from microexpr.bench.running import Job


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
    """Measure a second run and a report of a finished study; the limit is importing the libraries that they use."""
    data, out = write_manifest(folder / "data", flow_images(case.clips, case.subjects)), folder / "out"
    study = folder / "bench.toml"
    study.write_text(STUDY, "utf-8")
    command = ("-m", "microexpr", "study", str(study), "--data", str(data), "--out", str(out), "--quiet")
    _run(*command)
    first = (out / "summary.json").read_bytes()
    sides = {
        "ours": lambda: _run(*command),
        "report": lambda: _run("-m", "microexpr", "report", str(out)),
        "limit": lambda: _run("-c", "import torch, pandas, sklearn.svm"),
        "pages": lambda: _run("-c", "import matplotlib.pyplot, jinja2, pandas"),
    }
    spent = alternate(sides, case.repeats)
    same = _scores(first) == _scores((out / "summary.json").read_bytes())
    agreement = ("the summary's cells are the same" if same else "the summary's cells differ", float(not same), same)
    shape = f"two models, {case.subjects} folds, {case.clips} clips"
    second = compared(
        "start",
        "second run",
        f"`microexpr study` where every fold is stored: {shape}, in a new process.",
        spent,
        agreement,
        limit="a process that imports torch, pandas and scikit-learn",
    )
    page = (out / "report.html").is_file()
    pages = spent.seconds["pages"]
    report = compared(
        "start",
        "report",
        f"`microexpr report`: the pages from the stored summary, {shape}, in a new process.",
        type(spent)({**spent.seconds, "limit": pages}, spent.results),
        ("the page is written" if page else "there is no page", float(not page), page),
        side="report",
        limit="a process that imports matplotlib, jinja2 and pandas",
    )
    return [second, report]


def _scores(summary: bytes) -> object:
    import json

    return [cell["score"] for cell in json.loads(summary)["cells"]]
