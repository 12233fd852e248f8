"""``microexpr bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from microexpr.cli import options, show
from microexpr.cli.options import JsonOption, QuietOption


def bench(
    group: Annotated[
        Literal["all", "preprocess", "train", "loso", "infer", "flow", "stats", "start"],
        typer.Argument(help="What to measure.", metavar="GROUP"),
    ] = "all",
    small: Annotated[bool, typer.Option("--small", help="Small sizes: minutes in all, for tests.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="JSON file for the rows; the rows of this machine in it are kept.", metavar="FILE"),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            help="Fail where a ratio is under two thirds of that in this JSON file for the same class of processors; "
            "`committed` is the file of the package, for --small.",
            metavar="FILE",
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure microexpr against what a good user would otherwise write, side by side, with equal results.

    GROUP: all, preprocess, train, loso, infer, flow, stats or start.
    """
    from microexpr import api
    from microexpr.bench.rows import GROUPS
    from microexpr.cli import show_bench

    done = api.run_bench(group, small=small, out=out, against=against, progress=options.progress(quiet or json))
    if json:
        show.as_json(done.bench.model_dump(mode="json"))
    else:
        show_bench.bench(done.bench, GROUPS if group == "all" else (group,))
    for line in done.lines:
        typer.echo(line, err=True)
    if done.fallen or any(row.agrees is False for row in done.bench.rows):
        raise typer.Exit(1)
