"""Folds as jobs: several processes share a folder, a process may be killed, and a fresh one needs only the job."""

from __future__ import annotations

import io
import itertools
import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import recipe, write_database
from microexpr import run_study
from microexpr.config.loading import parse
from microexpr.config.study import Study
from microexpr.core.errors import DataError, Fault
from microexpr.core.interfaces import REGISTRIES
from microexpr.core.progress import Silent
from microexpr.data.cache import FrameStore
from microexpr.runs import experiment as experiments
from microexpr.runs import jobs, study
from microexpr.runs.plan import Options, Workspace
from refusal import refuses

pytestmark = [pytest.mark.numeric, pytest.mark.usefixtures("one_thread", "no_figures")]

LIMIT = 240
"""Seconds after which a process is killed."""
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def start(folder: Path, code: str, *words: object) -> subprocess.Popen[str]:
    """Start a process that runs `code` with these arguments."""
    file = folder / "process.py"
    file.write_text(code)
    command = [sys.executable, str(file), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ONE_THREAD)


def ended(*processes: subprocess.Popen[str]) -> list[str]:
    """Wait for processes, all of which must succeed, and return what they print."""
    until, found = time.monotonic() + LIMIT, []
    try:
        for process in processes:
            out, err = process.communicate(timeout=max(1, until - time.monotonic()))
            assert process.returncode == 0, err
            found.append(out)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return found


def tables(out: Path) -> dict[str, pd.DataFrame]:
    """Return the stored views of every fold, by experiment and fold."""
    files = sorted(out.glob("results/*/fold-*.views.parquet"))
    return {f"{file.parent.name}/{file.name}": pd.read_parquet(file) for file in files}


def same_bits(one: pd.DataFrame, two: pd.DataFrame) -> bool:
    """Whether two tables have the same rows, and the same bits as probabilities."""
    proba = [table.filter(regex=r"^p_\d+$").to_numpy() for table in (one, two)]
    assert proba[0].shape[1] == 3
    return one.equals(two) and proba[0].dtype == proba[1].dtype and proba[0].tobytes() == proba[1].tobytes()


def leftovers(out: Path) -> list[str]:
    """Return files of a run that should be gone when it ends; locks of whole folders stay."""
    kinds = (".fold-*", ".*partial", ".*probe")
    return sorted(path.name for kind in kinds for path in out.rglob(kind))


def jobs_of(plans, workspace):
    """Return the jobs that `run_all` would run."""
    setting = jobs._setting(plans, workspace)
    return [job for plan in plans for job in jobs._missing(plan, workspace, setting, None, ())]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_database(tmp_path_factory.mktemp("few"), subjects=4, clips=3)


def quick(**values):
    return recipe().with_values({"model": "pca_svm", "training.epochs": 1, **values})


# --- several processes in one folder ----------------------------------------------------------------------------------
SEVERAL = """
import json
import pickle
import sys
import time
from pathlib import Path

from microexpr import run_study
from microexpr.config.loading import parse
from microexpr.config.study import Study
from microexpr.data.cache import Cache
from microexpr.report import style
from microexpr.runs import experiment

number, several = map(int, sys.argv[1:3])
meeting, data, out = map(Path, sys.argv[3:])


def meet(place):
    (meeting / f"{place}.{number}").touch()
    until = time.monotonic() + 120
    while len(list(meeting.glob(f"{place}.*"))) < several:
        assert time.monotonic() < until, f"no other process came to {place}"
        time.sleep(0.01)


def after_meeting(function, *places):
    left = list(places)

    def called(*words):
        if left:
            meet(left.pop(0))
        return function(*words)

    return called


# All of them see that the cache lacks frames, and then views, before one adds any; and each trains a fold while the
# others are training one.
Cache._appending = after_meeting(Cache._appending, "frames", "views")
experiment.run_fold = after_meeting(experiment.run_fold, "fold")
style.render = lambda figure: ("<svg/>", b"%PDF")
study = parse(Study, json.loads((meeting / "study.json").read_text()), "the study")
meet("start")
finished = run_study(study, data, out, workers=1)
cells = (*finished.result.cells, *finished.result.baselines)
found = {
    "run": dict(finished.run),
    "predictions": [cell.result.predictions() for cell in cells],
    "report": finished.paths.html.is_file(),
    "summary": finished.summary,
}
(meeting / f"found.{number}").write_bytes(pickle.dumps(found))
"""
FOLDS = 4 * 4 + 4
"""Four cells and a baseline with four folds each."""


def together(folder: Path, data: Path, several: int):
    """Run one study with several processes at once; return the folder and what each process found."""
    content = {
        "name": "shared",
        "title": "A study of several processes",
        "experiment": recipe().with_values({"representation": "flow", "training.epochs": 1}).to_dict(),
        "grid": {"sampling": ["onset_apex", "apex_offset"], "model": ["pca_svm", "small_cnn"]},
        "baselines": ["majority"],
    }
    content["experiment"]["sampling"] = "onset_apex"
    (folder / "study.json").write_text(json.dumps(content))
    out = folder / "out"
    ended(*(start(folder, SEVERAL, number, several, folder, data, out) for number in range(several)))
    return out, [pickle.loads((folder / f"found.{number}").read_bytes()) for number in range(several)]


@pytest.fixture(scope="module")
def single(data, tmp_path_factory):
    """The study, run by one process."""
    out, (found,) = together(tmp_path_factory.mktemp("single"), data, 1)
    assert found["run"] == {"trained": FOLDS, "reused": 0, "unknown": []}
    return out, found


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def shared(request, data, tmp_path_factory):
    """The study, run by several processes in one folder at the same time."""
    return together(tmp_path_factory.mktemp("shared"), data, request.param)


def test_processes_that_share_a_study_train_no_fold_twice(shared):
    _, found = shared
    assert sum(each["run"]["trained"] for each in found) == FOLDS
    assert all(each["run"]["trained"] >= 1 for each in found)
    assert all(each["run"]["trained"] + each["run"]["reused"] == FOLDS for each in found)


def test_processes_that_share_a_study_store_the_bits_of_a_single_one(shared, single):
    one, several = tables(single[0]), tables(shared[0])
    assert one.keys() == several.keys()
    assert len(one) == FOLDS
    assert [name for name in one if not same_bits(one[name], several[name])] == []


def test_each_process_that_shares_a_study_returns_and_reports_all_of_it(shared, single):
    varying = ("created", "run", "latency")
    expected = {name: value for name, value in single[1]["summary"].items() if name not in varying}
    seconds = {"seconds": 0, "train_seconds": 0}
    for found in shared[1]:
        assert found["report"]
        pairs = zip(found["predictions"], single[1]["predictions"], strict=True)
        assert all(same_bits(mine, alone) for mine, alone in pairs)
        assert [cell["key"] for cell in found["summary"]["cells"]] == [cell["key"] for cell in expected["cells"]]
        for mine, alone in zip(found["summary"]["cells"], expected["cells"], strict=True):
            assert mine | seconds == alone | seconds


def test_processes_that_share_a_study_leave_nothing_behind(shared):
    assert leftovers(shared[0]) == []
