"""Printed output of ``microexpr bench``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from microexpr.cli.show import table, wrapped

if TYPE_CHECKING:
    from microexpr.bench.rows import Bench, Group, Row

_MACHINE = ("processor", "features", "cores", "threads", "numpy BLAS", "accelerator", "torch", "numpy")


def bench(found: Bench, groups: Sequence[Group]) -> None:
    """Print the machine, and a table for each of these groups."""
    from microexpr.bench.rows import speeds

    machine = "; ".join(f"{name} {found.environment[name]}" for name in _MACHINE if name in found.environment)
    wrapped("machine:", machine)
    for group in groups:
        rows = found.of(group)
        if not rows:
            continue
        typer.echo(f"\n{group}")
        measured = [row for row in rows if not row.not_measured]
        if measured:
            table([_cells(row) for row in measured])
        if group == "infer" and (times := speeds(rows)):
            typer.echo("\nBatch 1, medians with quartiles; the paper gives times on an NVIDIA L4:")
            table(times)
        for row in rows:
            if row.not_measured:
                typer.echo(f"{row.name}: not measured: {row.not_measured}")
    typer.echo(
        "\nratio: plain / microexpr, medians, with the quartiles of single rounds; --json adds what each row does."
    )


def _cells(row: Row) -> dict[str, str]:
    low, high = row.ratio_quartiles or (0.0, 0.0)
    return {
        "row": row.name,
        "plain": _seconds(row.plain_seconds),
        "microexpr": _seconds(row.ours_seconds),
        "ratio": "-" if row.ratio is None else f"{row.ratio:.2f} [{low:.2f}, {high:.2f}]",
        "target": "-" if row.target is None else f"{row.target:g}",
        "share of limit": "-" if row.share_of_limit is None else f"{row.share_of_limit:.2f}",
        "repeats": str(row.repeats),
        "agreement": row.agreement + (" (NOT EQUAL ENOUGH)" if row.agrees is False else ""),
    }


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s"
