"""``microexpr check`` and ``compare``: what a reviewer would ask of results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from microexpr.cli import show
from microexpr.cli.options import JsonOption

ResultsArgument = Annotated[Path, typer.Argument(help="What `run --out` or `study --out` wrote.", metavar="RESULTS")]
OtherArgument = Annotated[Path, typer.Argument(help="The other one's, on the same clips.", metavar="RESULTS")]


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
    a: ResultsArgument,
    b: OtherArgument,
    metric: Annotated[str, typer.Option(help="uf1, uar, macro_f1, accuracy ...")] = "macro_f1",
    unit: Annotated[Literal["person", "clip"], typer.Option(help="What is resampled and swapped.")] = "person",
    json: JsonOption = False,
) -> None:
    """Compare two experiments on the same clips: difference, interval, tests, and what could have been detected."""
    from microexpr import api

    found = api.compare_results(a, b, metric=metric, unit=unit)
    if json:
        show.as_json({name: getattr(found, name) for name in found.__dataclass_fields__})
    else:
        show.comparison(found)
