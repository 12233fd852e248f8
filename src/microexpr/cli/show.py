"""What commands print."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer


def as_json(content: object) -> None:
    """Print JSON and nothing else."""
    typer.echo(json.dumps(content, indent=1))


def plan(found: Mapping[str, Any]) -> None:
    """Print what a dry run found."""
    for name, fact in found["facts"].items():
        typer.echo(f"{name}: {fact}")
    for word in ("corrections", "skipped"):
        for item in found[word]:
            typer.echo(f"{word}: {item}")
    rows = found["cells"]
    columns = ("part", "preprocessing", "sampling", "model", "protocol", "train", "val", "test", "size", "weights")
    table([{name: "-" if row[name] is None else row[name] for name in columns} for row in rows])
    typer.echo(f"{len(rows)} experiments; nothing was trained.")


def summary(summary: Mapping[str, Any], report: Path) -> None:
    """Print the scores of a study and where its report lies."""
    for stamp in summary["stamps"]:
        typer.echo(f"! {stamp['text']}")
    columns = ("preprocessing", "sampling", "model", "loss", "macro_f1", "ci_low", "ci_high", "uf1", "uar", "n_test")
    table([{name: _short(cell[name]) for name in columns} for cell in summary["cells"]])
    named = summary["named_cell"]
    if named:
        typer.echo(
            f"named cell {named['preprocessing']} {named['sampling']} {named['model']} under {named['protocol']}: "
            f"macro-F1 {named['macro_f1']:.3f} [{named['ci_low']:.3f}, {named['ci_high']:.3f}], "
            f"permutation level {named['permutation_level']:.3f}"
        )
    typer.echo(f"report: {report}")


def table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows in columns."""
    widths = {name: max(len(name), *(len(str(row[name])) for row in rows)) for name in rows[0]}
    typer.echo("  ".join(name.ljust(width) for name, width in widths.items()).rstrip())
    for row in rows:
        typer.echo("  ".join(str(row[name]).ljust(width) for name, width in widths.items()).rstrip())


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
