"""``microexpr check`` and ``compare``: what a reviewer would ask of results."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import typer

from microexpr.cli import options, show
from microexpr.cli.options import JsonOption

ResultsArgument = Annotated[Path, typer.Argument(help="What `run --out` or `study --out` wrote.", metavar="RESULTS")]
ComparedArgument = Annotated[
    list[Path],
    typer.Argument(help="Two results or more, on the same clips: their --out or results/KEY.", metavar="RESULTS..."),
]


def check(out: ResultsArgument, json: JsonOption = False) -> None:
    """Tell what a reviewer would object to, with evidence and mend; exit code 1 with warnings, 0 without."""
    from microexpr import api

    found = api.check_results(out)
    if json:
        show.as_json([vars(finding) for finding in found])
    else:
        show.findings(found)
    if any(finding.level == "warning" for finding in found):
        raise typer.Exit(1)


def compare(
    results: ComparedArgument,
    metric: Annotated[str, typer.Option(help="uf1, uar, macro_f1, accuracy ...")] = "macro_f1",
    unit: Annotated[Literal["subject", "clip"], typer.Option(help="What is resampled and swapped.")] = "subject",
    out: Annotated[Path | None, typer.Option("--out", help="Write comparison.html into it.", metavar="DIR")] = None,
    json: JsonOption = False,
) -> None:
    """Compare experiments on the same clips, the first with each other one: difference, interval, tests."""
    from microexpr import api

    found = api.compare_all(results, metric=metric, unit=unit, out=out, command=options.command())
    if json:
        caveats = [caveat._asdict() for caveat in found.caveats]
        told = [dataclasses.asdict(one) | {"told": one.significant, "caveats": caveats} for one in found.comparisons]
        show.as_json(told if len(told) > 1 else told[0])
        return
    if len(found.comparisons) > 1:
        show.comparisons(found)
    else:
        show.comparison(found)
    if out is not None:
        typer.echo(f"page: {out / 'comparison.html'}")
