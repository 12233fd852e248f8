"""What a machine offers to a study, and what it lacks: for nodes of a cluster, before a grid is started on them."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from microexpr.core import pretrained
from microexpr.core.environment import PACKAGES, processor
from microexpr.core.errors import MicroexprError, WeightsError
from microexpr.core.files import make_folder
from microexpr.core.processor import native_bf16
from microexpr.core.words import many

LITTLE = 5e9
"""Bytes of free disk under which a folder for results is noted."""
EXTRAS = {"submitit": "slurm", "ray": "ray", "optuna": "tune", "openvino": "export", "onnxruntime": "export"}
"""Optional library -> the extra of microexpr that installs it."""


class Check(NamedTuple):
    """One thing that a machine has or lacks."""

    name: str
    state: Literal["good", "note", "missing"]
    found: str
    fix: str = ""


def survey(out: Path | None = None, data: Sequence[Path] = ()) -> list[Check]:
    """Return what this machine has and lacks; `out` and `data` are the folders that a study will use."""
    return [*_software(), *_hardware(), *_launchers(), *_weights(), *_folders(out, data)]


def _software() -> Iterator[Check]:
    yield Check("python", "good", f"{platform.python_version()}, {sys.executable}")
    for name in PACKAGES:
        try:
            yield Check(name, "good", version(name))
        except PackageNotFoundError:
            yield Check(
                name,
                "missing",
                "not installed",
                "install microexpr again, or from wheels (docs/cluster.md)",
            )
    for name, extra in EXTRAS.items():
        if find_spec(name) is None:
            yield Check(name, "note", "not installed", f'pip install "microexpr[{extra}]", where it is needed')


def _hardware() -> Iterator[Check]:
    import torch

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    bf16 = "computes bf16" if native_bf16() else "no bf16"
    yield Check("processor", "good", f"{processor()}, {many(usable, 'core')} for this process, {bf16}")
    yield (
        Check("memory", "good", f"{_memory() / 2**30:.1f} GiB for this process")
        if _memory()
        else Check("memory", "note", "not known")
    )
    cards = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    if cards:
        yield Check("GPU", "good", ", ".join(cards))
    elif list(Path("/dev").glob("nvidia[0-9]*")):
        yield Check(
            "GPU", "missing", f"there is one, but torch {torch.__version__} does not see it",
            "install the torch that fits the driver (nvidia-smi), and request the GPU from the cluster",
        )  # fmt: skip
    else:
        yield Check("GPU", "note", "none")


def _memory() -> int:
    """Return the bytes of memory that this process may use; 0 where it cannot be found."""
    found = []
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(file).read_text().strip()
        except OSError:
            continue
        found += [int(text)] if text.isdecimal() else []
    with suppress(AttributeError, ValueError, OSError):  # other systems than Linux
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(found, default=0)


def _launchers() -> Iterator[Check]:
    lacking = [name for name in ("sbatch", "squeue", "sinfo", "scontrol") if shutil.which(name) is None]
    if "SLURM_JOB_ID" in os.environ:
        yield Check("SLURM", "good", f"this is a task of job {os.environ['SLURM_JOB_ID']}")
    elif lacking:
        yield Check("SLURM", "note", f"no {lacking[0]} here", "start studies with --launcher slurm on a login node")
    else:
        yield Check("SLURM", "good", "its commands are here")


def _weights() -> Iterator[Check]:
    try:
        states = pretrained.verify()
    except (WeightsError, MicroexprError) as error:
        yield Check("weights", "missing", str(error), "microexpr weights unbundle FILE.tar")
        return
    bad = [f"{tag} is {state}" for tag, state in states if state != "good"]
    where = f"{many(len(states), 'set')} in {pretrained.folder()}"
    if bad:
        yield Check("weights", "missing", f"{where}: {', '.join(bad)}", "microexpr weights unbundle FILE.tar")
    else:
        without = "" if states else "networks of the paper start from published weights: microexpr weights bundle"
        yield Check("weights", "good" if states else "note", where, without)


def _folders(out: Path | None, data: Sequence[Path]) -> Iterator[Check]:
    if out is not None:
        place = next((folder for folder in (out, *out.absolute().parents) if folder.is_dir()), Path("/"))
        free = shutil.disk_usage(place).free
        try:
            make_folder(place)
        except MicroexprError as error:
            yield Check("results", "missing", str(error), "choose a folder that this machine can write to")
        else:
            state: Literal["good", "note"] = "note" if free < LITTLE else "good"
            yield Check("results", state, f"{place} can be written, {free / 1e9:.0f} GB free")
    for folder in data:
        if folder.is_dir():
            yield Check("data", "good", f"{folder} can be read" if os.access(folder, os.R_OK) else "cannot be read")
        else:
            yield Check("data", "missing", f"there is no folder {folder} on this machine",
                        "mount it here, or copy it to a file system that all nodes share")  # fmt: skip
