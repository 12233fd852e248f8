"""A study is killed at random moments, driver or worker, and resumed: in the end it is as if nothing had happened.

The short version kills a few times; ``make torture`` kills a hundred times and prints at which stages.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from processes import LIMIT, ONE_THREAD, killed_at_last
from study_files import SUBJECTS, lasting, write_study

pytestmark = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
FOLDS = 4 * SUBJECTS
STAGES = ("starting", "caching", "training", "reporting")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("given"))


def begin(given, out: Path, jobs: int) -> subprocess.Popen[str]:
    words = ["study", given[0], "--data", given[1], "--out", out, "--jobs", jobs, "--workers", 2, "--quiet"]
    return subprocess.Popen(
        [sys.executable, "-m", "microexpr", *map(str, words)],
        env=ONE_THREAD,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(given, out: Path, jobs: int = 1) -> None:
    process = begin(given, out, jobs)
    with killed_at_last(process):
        _, errors = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, errors


def stored(out: Path) -> dict[str, tuple[int, int]]:
    """Return what changes if a fold is stored a second time."""
    found = {}
    for file in (out / "results").rglob("*.views.parquet"):
        known = file.stat()
        found[str(file.relative_to(out))] = known.st_ino, known.st_mtime_ns
    return found


def stage(out: Path) -> str:
    """Return what a study that was killed was doing."""
    if not (out / "cache").is_dir():
        return "starting"
    if not (out / "study.json").is_file():
        return "caching"
    return "training" if len(stored(out)) < FOLDS else "reporting"


def children(pid: int) -> list[int]:
    """Return the processes that a process started, and those that they started."""
    parents = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int(Path(entry.path, "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, new = [], [pid]
    while new:
        new = [child for child, parent in parents.items() if parent in new]
        found += new
    return found


def kill(process: subprocess.Popen[str], rng: random.Random) -> str:
    """Kill the driver, one of its workers, or all of them."""
    workers = children(process.pid)
    victim = rng.choice(["driver", "worker", "all"]) if workers else "driver"
    if victim == "all":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        os.kill(process.pid if victim == "driver" else rng.choice(workers), signal.SIGKILL)
    return victim


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "kills", [pytest.param(3, marks=pytest.mark.cluster), pytest.param(100, marks=pytest.mark.torture)]
)
def test_a_study_that_is_killed_again_and_again_ends_as_if_it_had_not_been(given, tmp_path, kills, capsys):
    rng, counted = random.Random(kills), Counter[str]()
    start = time.monotonic()
    finished(given, tmp_path / "alone")
    takes = time.monotonic() - start
    expected = lasting(tmp_path / "alone")
    assert len(expected) == 2 * FOLDS + 2 * 4
    number = 0
    while counted.total() < kills:
        out = tmp_path / f"out{number}"
        number += 1
        known: dict[str, tuple[int, int]] = {}
        ended = False
        while not ended:
            jobs = rng.choice([1, 2])
            process = begin(given, out, jobs)
            with killed_at_last(process):
                try:
                    process.wait(rng.uniform(0, takes) if counted.total() < kills else LIMIT)
                except subprocess.TimeoutExpired:
                    place = stage(out)
                    victim = kill(process, rng)
                    counted[place] += 1
                    if victim == "worker":  # the driver starts another
                        _, errors = process.communicate(timeout=LIMIT)
                        assert process.returncode == 0, errors
                else:
                    assert process.returncode == 0, process.communicate()[1]
                ended = process.poll() == 0
            now = stored(out)
            assert {name: now.get(name) for name in known} == known  # nothing is lost, nothing is stored twice
            known = now
        assert lasting(out) == expected
        assert not [file for file in out.rglob("*") if file.name.endswith(".claim")]
        assert (out / "report.html").is_file()
    with capsys.disabled():
        print("\nkilled:", ", ".join(f"{counted[name]} {name}" for name in STAGES))
    if kills >= 100:
        assert all(counted[name] for name in STAGES)
