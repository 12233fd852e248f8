"""``microexpr check``, ``compare`` and ``report``: checks, comparisons and pages of stored results."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import typer

from microexpr.cli import options, show
from microexpr.cli.options import JsonOption

ResultsArgument = Annotated[Path, typer.Argument(help="Output folder (--out) of `run` or `study`.", metavar="RESULTS")]
ComparedArgument = Annotated[
    list[Path],
    typer.Argument(
        help="Two or more results on the same clips: output folders (--out) or results/KEY.", metavar="RESULTS..."
    ),
]


def check(out: ResultsArgument, json: JsonOption = False) -> None:
    """Check results for methodological problems and print evidence and fixes; exit code 1 if there are warnings."""
    from microexpr import api

    found = api.check_results(out)
    if json:
        show.as_json([vars(finding) for finding in found])
    else:
        show.findings(found)
    if any(finding.level == "warning" for finding in found):
        raise typer.Exit(1)


def report(
    out: Annotated[
        Path, typer.Argument(help="Output folder (--out) of `study`, `run`, `compare` or `tune`.", metavar="OUT")
    ],
) -> None:
    """Write the pages of a folder again from its summary, without training; the data are not needed."""
    from microexpr import api

    for paths in api.rebuild_report(out):
        typer.echo(f"page: {paths.html}")


def compare(
    results: ComparedArgument,
    metric: Annotated[str, typer.Option(help="uf1, uar, macro_f1, accuracy ...")] = "macro_f1",
    unit: Annotated[Literal["subject", "clip"], typer.Option(help="Unit of resampling and permutation.")] = "subject",
    out: Annotated[Path | None, typer.Option("--out", help="Folder for comparison.html.", metavar="DIR")] = None,
    json: JsonOption = False,
) -> None:
    """Compare the first of several experiments with each of the others on the same clips: difference, interval, p."""
    from microexpr import api

    found = api.compare_all(results, metric=metric, unit=unit, out=out, command=options.command())
    if json:
        caveats = [caveat._asdict() for caveat in found.caveats]
        rows = [
            dataclasses.asdict(one) | {"significant": one.significant, "caveats": caveats} for one in found.comparisons
        ]
        show.as_json(rows if len(rows) > 1 else rows[0])
        return
    if len(found.comparisons) > 1:
        show.comparisons(found)
    else:
        show.comparison(found)
    if out is not None:
        typer.echo(f"page: {out / 'comparison.html'}")
