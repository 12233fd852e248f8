"""The rows of a benchmark, its file, and the processor that it was measured on."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from microexpr.core.environment import environment, package_digest
from microexpr.core.errors import StoreError
from microexpr.core.files import write_atomically

FORMAT = 1
Group: TypeAlias = Literal["preprocess", "train", "loso", "infer", "flow", "stats", "start"]
GROUPS: tuple[Group, ...] = ("preprocess", "train", "loso", "infer", "flow", "stats", "start")
Size: TypeAlias = Literal["full", "small", "tiny"]
"""full: sizes of real studies; small: everything in minutes, for CI; tiny: for the tests."""


L4 = "the paper on an NVIDIA L4, milliseconds"
"""Name of a further value of rows of prediction."""


class Row(BaseModel):
    """One comparison; a value that was not measured is None, and `not_measured` says why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: Group
    name: str
    what: str
    """What both sides do, and with which data, in a sentence."""
    plain_seconds: float | None = None
    plain_quartiles: tuple[float, float] | None = None
    ours_seconds: float | None = None
    """Median, like `plain_seconds`."""
    ours_quartiles: tuple[float, float] | None = None
    ratio: float | None = None
    """Plain median / our median."""
    ratio_quartiles: tuple[float, float] | None = None
    """Of the ratios of the single rounds."""
    target: float | None = None
    """The ratio that is to be reached."""
    limit: str = ""
    """What the machine could do at best: the same work without anything around it."""
    limit_seconds: float | None = None
    share_of_limit: float | None = None
    """Median of the limit / our median."""
    share_target: float | None = None
    agreement: str = ""
    """How equal the two results are."""
    difference: float | None = None
    """The number in `agreement`."""
    agrees: bool | None = None
    repeats: int = 0
    further: dict[str, float | str] = {}
    """Other values of this row by name: seconds of further variants, bytes, published values."""
    not_measured: str = ""


class Bench(BaseModel):
    """All rows of one size on one machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    size: Size
    date: str
    environment: dict[str, str]
    scaling: float | None = None
    """How much more all cores do together than one alone (`measuring.scaling`); cores may share their units."""
    rows: tuple[Row, ...] = ()

    def of(self, group: Group) -> list[Row]:
        """Return the rows of one group."""
        return [row for row in self.rows if row.group == group]

    def with_rows(self, rows: Sequence[Row]) -> Bench:
        """Return this benchmark with further rows; rows of the same group and name are replaced, in the same place."""
        found = {(row.group, row.name): row for row in (*self.rows, *rows)}
        order = sorted(found.values(), key=lambda row: GROUPS.index(row.group))
        return self.model_copy(update={"rows": tuple(order)})

    def write(self, file: Path) -> None:
        """Write as JSON."""
        write_atomically(file, json.dumps(self.model_dump(mode="json"), indent=1) + "\n")


def begin(size: Size) -> Bench:
    """Return a benchmark of this machine without rows."""
    return Bench(size=size, date=datetime.datetime.now(datetime.UTC).date().isoformat(), environment=machine())


def read(file: Path) -> Bench:
    """Read a benchmark; raises StoreError."""
    try:
        content = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise StoreError("E630", f"{file} cannot be read: {error.strerror}; correct the path.") from None
    except ValueError:
        raise StoreError("E630", f"{file} is damaged; remove it, and measure again.") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        given = content.get("format", "none") if isinstance(content, dict) else "none"
        raise StoreError(
            "E630",
            f"{file} is no benchmark that this version reads (format {given}, not {FORMAT}); choose another file, or "
            "measure again.",
        )
    try:
        return Bench.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError("E630", f"{file}: {where}: {first['msg']}; remove the file, and measure again.") from None


def machine() -> dict[str, str]:
    """Return the environment, the processor's features for matrices, its number of cores and a digest of this code."""
    code = package_digest()[:16]
    return environment() | {"features": " ".join(features()) or "none", "cores": str(cores()), "code": code}


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def features() -> list[str]:
    """Return which of avx2, avx512, avx512_bf16 and amx the processor has."""
    import torch

    asked: dict[str, str] = {
        "avx2": "_is_avx2_supported",
        "avx512": "_is_avx512_supported",
        "avx512_bf16": "_is_avx512_bf16_supported",
        "amx": "_is_amx_tile_supported",
    }
    cpu: Any = torch.cpu
    return [name for name, function in asked.items() if hasattr(cpu, function) and getattr(cpu, function)()]


def processor_class(environment: dict[str, str]) -> str:
    """Return the class of processors whose ratios can be compared: the last feature and the number of cores."""
    found = environment["features"].split()
    return f"{found[-1] if found else 'none'}, {environment['cores']} cores"


def speeds(rows: Sequence[Row]) -> list[dict[str, str]]:
    """Return the paper's table of speeds, remade: milliseconds and views a second of each row of prediction."""
    found = []
    for row in rows:
        if row.plain_seconds is None or row.ours_seconds is None:
            continue
        published = row.further.get(L4)
        found.append(
            {
                "network, precision": row.name,
                "PyTorch, ms": _milliseconds(row.plain_seconds, row.plain_quartiles),
                "PyTorch, views a second": f"{1 / row.plain_seconds:.1f}",
                "microexpr, ms": _milliseconds(row.ours_seconds, row.ours_quartiles),
                "views a second": f"{1 / row.ours_seconds:.1f}",
                "L4, ms": f"{published:g}" if isinstance(published, float) else "",
            }
        )
    return found


def _milliseconds(seconds: float, quartiles: tuple[float, float] | None) -> str:
    low, high = (1000 * value for value in quartiles or (seconds, seconds))
    return f"{1000 * seconds:.1f} ({low:.1f} to {high:.1f})"
