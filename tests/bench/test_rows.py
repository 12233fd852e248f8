"""Every row at a tiny size: both sides give equal results."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from microexpr.bench.rows import GROUPS
from microexpr.bench.running import Job, jobs_of, measured

JOBS = {f"{job.group}/{job.names[0]}": job for job in jobs_of(GROUPS, "tiny")}
PROCESSES = ("start/second run", "preprocess/memory", "loso/frozen backbone, two heads", "loso/STSTNet, jobs 2")
"""Rows that start several processes or take longer: with `make slow`."""
PLAIN = Path(__file__).parents[2] / "src/microexpr/bench/plain"


@pytest.mark.numeric
@pytest.mark.parametrize(
    "job",
    [pytest.param(job, id=name, marks=[pytest.mark.slow] * (name in PROCESSES)) for name, job in JOBS.items()],
)
def test_both_sides_agree(job: Job):
    rows = measured(job)
    assert tuple(row.name for row in rows) == job.names
    for row in rows:
        if row.not_measured:
            without = {"openvino", "contrib", "bfloat16"}
            assert any(word in row.not_measured.lower() for word in without), row.not_measured
            continue
        assert row.agrees, f"{row.name}: {row.agreement}"
        assert row.difference is not None


def test_openvino_rows_are_measured_where_it_is_installed():
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("OpenVINO is not installed")
    assert not measured(JOBS["infer/PoolFormer-nano 32, float32"])[0].not_measured


def test_names_are_unique_at_every_size():
    for size in ("full", "small", "tiny"):
        names = [(job.group, name) for job in jobs_of(GROUPS, size) for name in job.names]
        assert len(names) == len(set(names))


def test_the_plain_side_uses_nothing_of_this_package():
    for file in PLAIN.glob("*.py"):
        assert "microexpr" not in file.read_text("utf-8"), file.name
