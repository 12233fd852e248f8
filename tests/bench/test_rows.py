"""Every row at a tiny size: both sides give equal results."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import cv2
import pytest
import torch

from microexpr.bench import infer
from microexpr.bench.rows import GROUPS
from microexpr.bench.running import Job, jobs_of, measured
from microexpr.core.processor import native_bf16

JOBS = {f"{job.group}/{job.names[0]}": job for job in jobs_of(GROUPS, "tiny")}
PROCESSES = ("start/second run", "preprocess/memory", "loso/frozen backbone, two heads", "loso/STSTNet, jobs 2")
"""Rows that start several processes or take longer: with `make slow`."""
ABSENT = ["the installed OpenCV lacks its contrib modules"] * (not hasattr(cv2, "optflow"))
ABSENT += ["OpenVINO is not installed"] * (importlib.util.find_spec("openvino") is None)
ABSENT += ["this processor has no bfloat16"] * (not native_bf16())
"""Reasons that hold here."""
PLAIN = Path(__file__).parents[2] / "src/microexpr/bench/plain"


@pytest.mark.numeric
@pytest.mark.parametrize(
    "job",
    [pytest.param(job, id=name, marks=[pytest.mark.slow] * (name in PROCESSES)) for name, job in JOBS.items()],
)
def test_both_sides_agree(job: Job):
    if job.group == "infer" and "ONEDNN_MAX_CPU_ISA" in os.environ:
        pytest.skip("OpenVINO obeys ONEDNN_MAX_CPU_ISA as well, and then lacks kernels that it has chosen")
    rows = measured(job)
    assert tuple(row.name for row in rows) == job.names
    for row in rows:
        if row.not_measured:
            assert row.not_measured in ABSENT, row.not_measured
            continue
        assert row.agrees, f"{row.name}: {row.agreement}"
        assert row.difference is not None


def test_the_gpu_s_row_of_prediction_is_measured_on_whatever_computes_networks():
    row = infer.on_device(infer.CASES["tiny"][0])
    assert row.agrees
    assert row.ratio > 0


def test_rows_of_another_place_are_not_measured():
    (row,) = measured(next(job for job in jobs_of(["train"], "full") if job.names[0].endswith(", GPU")))
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert row.not_measured == "this machine has no GPU"


def test_names_are_unique_at_every_size():
    for size in ("full", "small", "tiny"):
        names = [(job.group, name) for job in jobs_of(GROUPS, size) for name in job.names]
        assert len(names) == len(set(names))


def test_the_plain_side_uses_nothing_of_this_package():
    for file in PLAIN.glob("*.py"):
        assert "microexpr" not in file.read_text("utf-8"), file.name
