"""The record of a finished study: what its summary was made from, so that running it again can find nothing to do.

To find that out from the results alone, every experiment is planned, and every prediction is read and evaluated, with
all libraries loaded for it: most of the time of a second run. The record holds digests of everything that a summary
depends on. If all of them still hold, and the databases are as they were, the summary is used again; otherwise the
study runs as if there were no record.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from microexpr.config.component import Component
from microexpr.config.study import Study
from microexpr.core import pretrained
from microexpr.core.environment import PACKAGES, package_digest, processor, versions
from microexpr.core.errors import MicroexprError
from microexpr.core.files import entries, write_atomically
from microexpr.core.interfaces import REGISTRIES, ClipSource, datasets
from microexpr.data.composite import Composite

if TYPE_CHECKING:
    from microexpr.runs.study import StudyResult

FILE = ".finished.json"
TABLE = "tables/predictions.csv"
LIBRARIES = (*PACKAGES, "joblib", "pandas", "pyarrow", "pydantic", "scipy", "threadpoolctl")
SETTINGS = ("ATEN_", "CUDA", "DNNL_", "GOTO_", "MICROEXPR_", "MKL_", "NPY_", "OMP_", "ONEDNN_", "OPENBLAS_", "TORCH_")
"""Beginnings of the names of environment variables that choose kernels, threads, accelerators and folders."""


class Database(BaseModel):
    """A database, or several as one, as the study read it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    readers: tuple[Component, ...]
    fingerprint: str

    def unchanged(self, folders: Mapping[str, Path]) -> bool:
        """Whether the database in these folders has this fingerprint and no faults; raises MicroexprError."""
        members: dict[str, ClipSource] = {
            reader.label: datasets.get(reader.name)(folders[reader.name], **datasets.bind(reader.name, reader.params))
            for reader in self.readers
        }
        source: ClipSource = Composite(members) if len(members) > 1 else next(iter(members.values()))
        return source.fingerprint() == self.fingerprint and not source.faults()


class Record(BaseModel):
    """What the summary of a study was made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    inputs: str
    """Digest of the study, the code and the machine (`inputs`)."""
    databases: tuple[Database, ...]
    files: dict[str, str]
    """File of the output folder -> digest (`stored`)."""
    summary: str
    """Digest of the summary, without what differs between two runs."""
    folds: int
    threads: int
    """Of torch, with which latencies were measured."""

    def unchanged(self, out: Path, folders: Mapping[str, Path], given: str) -> bool:
        """Whether `out` and the databases are as they were, and `given` are the inputs."""
        torch = sys.modules.get("torch")  # where it is not loaded, it would have as many threads as the inputs say
        if given != self.inputs or outside_components() or (torch and torch.get_num_threads() != self.threads):
            return False
        experiments = {name.split("/")[1] for name in self.files if name.startswith("results/")}
        try:
            same = stored(out, experiments, TABLE) == self.files
            return same and all(each.unchanged(folders) for each in self.databases)
        except (MicroexprError, OSError, KeyError):  # the study finds and reports what is wrong
            return False


def read(out: Path) -> Record | None:
    """Return the record of a folder; None where there is none, or it is damaged or of another version."""
    try:
        return Record.model_validate_json((out / FILE).read_bytes())
    except (OSError, ValueError):  # pydantic's errors are ValueErrors
        return None


def write(out: Path, given: str, result: StudyResult, results: Mapping[str, str], summary: str) -> None:
    """Record a finished study, unless experiments failed, which the next run may try again.

    Nor is one recorded whose database has faults, which every run looks at again, or with components from outside the
    package, whose code is not part of the inputs. `results` are the digests of the results when they were read.
    """
    import torch

    plans = {plan.data.name: plan for plan in (cell.plan for cell in _cells(result))}
    datas = [plan.data for plan in plans.values()]
    # Clips are also skipped for what their frames show, such as no face, which is no fault of the database.
    if result.failed or outside_components() or any(data.skipped and data.dataset.faults() for data in datas):
        (out / FILE).unlink(missing_ok=True)
        return
    record = Record(
        inputs=given,
        databases=tuple(
            Database(readers=plan.experiment.datasets, fingerprint=plan.data.cache.fingerprint)
            for plan in plans.values()
        ),
        files={**results, **stored(out, (), TABLE)},
        summary=summary,
        folds=result.done["trained"] + result.done["reused"],
        threads=torch.get_num_threads(),
    )
    write_atomically(out / FILE, record.model_dump_json(indent=1))


def outside_components() -> bool:
    """Whether components from outside the package are in use."""
    return any(registry.outside() for registry in REGISTRIES.values())


def inputs(study: Study, options: Mapping[str, Any]) -> str:
    """Return a digest of what a summary depends on beside databases and results.

    That is the study and the files that it names, how it is run, this package, libraries, components of other packages,
    published weights, and the machine, for which latencies are measured.
    """
    content = study.model_dump(mode="json")
    weights = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in entries(pretrained.folder())]
    settings = {name: value for name, value in sorted(os.environ.items()) if name.startswith(SETTINGS)}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = [platform.python_version(), platform.platform(), processor(), cores, settings]
    accelerators = sorted(device.name for device in Path("/dev").glob("nvidia*"))
    points = sorted(str(point) for registry in REGISTRIES.values() for point in entry_points(group=registry.group))
    everything = [
        content, dict(_files(content)), dict(options), package_digest(), versions(LIBRARIES), weights, machine,
        accelerators, points,
    ]  # fmt: skip
    # In the order of the file: methods and levels in another order are another summary.
    return _sha256(json.dumps(everything).encode())


def keys(result: StudyResult) -> set[str]:
    """Return the keys of all experiments of a study, whose results it was made from."""
    return {cell.plan.key for cell in _cells(result)}


def stored(out: Path, experiments: Iterable[str], *others: str) -> dict[str, str]:
    """Return a digest of every file of `experiments` (their keys), of measured latencies, and of the `others` in `out`.

    Of weights, which are large and in no summary, it is their size. Raises OSError.
    """
    folders = [*(out / "results" / key for key in sorted(experiments)), out / "latency"]
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    files = [*(file for file in files if not file.name.startswith(".")), *(out / name for name in others)]
    return {
        file.relative_to(out).as_posix(): str(file.stat().st_size)
        if file.suffix == ".safetensors"
        else _sha256(file.read_bytes())
        for file in files
    }


def _cells(result: StudyResult) -> Iterator[Any]:
    """Yield every cell that was run."""
    yield from (*result.cells, *result.judging, *result.baselines, *result.alternatives.values(), *result.shuffled)
    if result.named is not None:
        yield result.named


def _files(content: object) -> Iterator[tuple[str, str]]:
    """Yield the files that nested content names, such as weights or folds, with their digests."""
    if isinstance(content, Mapping | list):
        for item in content.values() if isinstance(content, Mapping) else content:
            yield from _files(item)
    elif isinstance(content, str):
        try:
            yield content, _sha256(Path(content).expanduser().read_bytes())
        except (OSError, ValueError, RuntimeError):
            return  # not a file


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
