"""Running the groups of a benchmark; rows are kept as soon as they are measured."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from microexpr.bench.measuring import NotMeasured, scaling
from microexpr.bench.rows import GROUPS, Bench, Group, Row, Size, begin, cores, read
from microexpr.core.errors import StoreError
from microexpr.core.progress import Progress, Silent, track


@dataclass(frozen=True)
class Job:
    """What measures one or several rows: a function of a folder, which is removed afterwards."""

    group: Group
    names: tuple[str, ...]
    what: str
    """Of rows that cannot be measured."""
    run: Callable[[Path], Sequence[Row]]


def jobs_of(groups: Sequence[Group], size: Size) -> list[Job]:
    """Return the jobs of some groups, each defined in the module of its group."""
    return [job for group in groups for job in import_module(f"microexpr.bench.{group}").jobs(size)]


def run(
    groups: Sequence[Group] = GROUPS,
    *,
    size: Size = "full",
    out: Path | None = None,
    progress: Progress | None = None,
) -> Bench:
    """Measure the rows of these groups; those of this machine and size that `out` holds are kept.

    Raises StoreError if `out` holds rows of another machine, version or size.
    """
    found = begin(size)
    if out is not None and out.is_file():
        stored = read(out)
        check_conditions({"size": stored.size, **stored.environment}, {"size": size, **found.environment}, out)
        found = stored
    elif out is not None:
        found.write(out)  # a file that cannot be written is reported before the work
    if found.scaling is None and size != "tiny":
        found = found.model_copy(update={"scaling": scaling(cores())})
    done = {(row.group, row.name) for row in found.rows if not row.not_measured}
    missing = [job for job in jobs_of(groups, size) if any((job.group, name) not in done for name in job.names)]
    for job in track(missing, len(missing), "rows", progress or Silent()):
        found = found.with_rows(measured(job))
        if out is not None:
            found.write(out)
    return found


def again(found: Bench, names: Collection[str]) -> Bench:
    """Measure some rows (group/name) once more and keep the higher of two ratios: other work can lower one of them."""
    for job in jobs_of([group for group in GROUPS if found.of(group)], found.size):
        if any(f"{job.group}/{name}" in names for name in job.names):
            before = {row.name: row.ratio or 0.0 for row in found.of(job.group)}
            found = found.with_rows([row for row in measured(job) if (row.ratio or 0.0) > before.get(row.name, 0.0)])
    return found


def measured(job: Job) -> Sequence[Row]:
    """Run a job; rows that this machine cannot measure say why."""
    with TemporaryDirectory(prefix="microexpr-bench-", ignore_cleanup_errors=True) as folder:
        try:
            return job.run(Path(folder))
        except NotMeasured as reason:
            return [Row(group=job.group, name=name, what=job.what, not_measured=str(reason)) for name in job.names]


def check_conditions(stored: Mapping[str, str], now: Mapping[str, str], file: Path) -> None:
    """Raise StoreError if the rows of a file were measured under other conditions than those of new ones."""
    differing = [
        f"{name} {stored.get(name, 'none')}, now {now.get(name, 'none')}"
        for name in sorted({*stored, *now})
        if stored.get(name) != now.get(name)
    ]
    if differing:
        raise StoreError(
            "E631",
            f"{file} holds rows measured under other conditions ({'; '.join(differing)}), which cannot be compared "
            "with new ones. Choose another file, or remove this one.",
        )
