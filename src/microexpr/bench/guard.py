"""Comparing ratios with those that were committed for the same class of processors; seconds are never compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from microexpr.bench.rows import Bench, processor_class
from microexpr.core.errors import StoreError

LEAST = 2 / 3
"""Share of the committed ratio that must be reached."""
COMMITTED = Path(__file__).with_name("committed.json")
"""Ratios at the small size: class of processors -> "group/name" -> ratio."""
_RATIOS = TypeAdapter(dict[str, dict[str, float]])


class Verdict(NamedTuple):
    """What the comparison found: lines for people, and the rows whose ratio fell (group/name)."""

    lines: tuple[str, ...]
    fallen: tuple[str, ...] = ()


def committed(file: Path = COMMITTED) -> Mapping[str, Mapping[str, float]]:
    """Return the committed ratios; raises StoreError."""
    try:
        return _RATIOS.validate_python(json.loads(file.read_text("utf-8")))
    except OSError as error:
        raise StoreError("E630", f"{file} cannot be read: {error.strerror}; correct the path.") from None
    except (ValueError, ValidationError):
        raise StoreError(
            "E630", f'{file} does not hold ratios: {{"class of processors": {{"group/name": ratio}}}}.'
        ) from None


def against(found: Bench, ratios: Mapping[str, Mapping[str, float]]) -> Verdict:
    """Compare the ratios of rows with those of their class of processors.

    Of the groups that were measured, a row without a ratio counts as fallen.
    """
    kind = processor_class(found.environment)
    if kind not in ratios:
        return Verdict((f"no ratios are committed for {kind}, so none is compared",))
    measured = {f"{row.group}/{row.name}": row for row in found.rows}
    groups = {row.group for row in found.rows}
    lines: dict[str, str] = {}
    for name, expected in ratios[kind].items():
        if name.split("/")[0] not in groups:
            continue
        row = measured.get(name)
        if row is None or row.ratio is None:
            reason = row.not_measured if row is not None else "there is no such row"
            lines[name] = f"{name}: no ratio ({reason}), but {expected:.2f} is committed"
        elif row.ratio < LEAST * expected:
            lines[name] = f"{name}: {row.ratio:.2f}, under two thirds of the committed {expected:.2f}"
    if lines:
        return Verdict(tuple(lines.values()), tuple(lines))
    return Verdict((f"no ratio is under two thirds of the one committed for {kind}",))


def as_committed(found: Bench) -> dict[str, dict[str, float]]:
    """Return the ratios of a benchmark in the form of the committed file."""
    ratios = {f"{row.group}/{row.name}": round(row.ratio, 2) for row in found.rows if row.ratio is not None}
    return {processor_class(found.environment): ratios}
