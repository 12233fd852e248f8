"""``microexpr audit``: checks of published results, and the agreement of two codings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microexpr.cli import show, show_audit
from microexpr.cli.options import JsonOption

app = typer.Typer(no_args_is_help=True, help="Check published results; measure the agreement of two codings.")

ResamplesOption = Annotated[int, typer.Option("--resamples", help="Resamples for intervals.", min=100)]
SeedOption = Annotated[int, typer.Option("--seed", help="The same seed gives the same intervals.", min=0)]


@app.command("log")
def log(
    file: Annotated[
        Path,
        typer.Argument(help="Per-clip predictions: MEGC's blocks, CSV, or lists (Predicted: [0, 1]).", metavar="FILE"),
    ],
    truth: Annotated[
        Path | None, typer.Option("--truth", help="CSV with columns dataset, subject, clip, label.", metavar="FILE.csv")
    ] = None,
    claims: Annotated[
        str | None, typer.Option("--claims", help="Published scores: uf1=0.71,casme2.uar=0.70.", metavar="CLAIMS")
    ] = None,
    subjects: Annotated[
        str | None,
        typer.Option(
            "--subjects", help="Column of the subjects, a pattern such as '^(\\d+)_', or clip.", metavar="WHO"
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option("--classes", help="Names of classes 0, 1, 2 ..., including absent ones: negative,positive."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Columns of a CSV without a header: subject,clip,truth,prediction.")
    ] = None,
    skip_invalid: Annotated[
        bool,
        typer.Option(
            "--skip-invalid",
            help="Leave out clips that are unknown, repeated, or labelled differently from the truth file.",
        ),
    ] = False,
    resamples: ResamplesOption = 10_000,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Score a log of predictions again and check published scores; exit code 1 if one does not hold."""
    from microexpr.audit import audit_log

    found = audit_log(
        file,
        truth=truth,
        claims=claims,
        subjects=subjects,
        classes=_words(classes),
        columns=_words(columns),
        skip_invalid=skip_invalid,
        resamples=resamples,
        seed=seed,
    )
    (show.as_json if json else show_audit.log)(found)
    if not all(claim["holds"] for claim in found["claims"]):
        raise typer.Exit(1)


@app.command("table")
def table(
    file: Annotated[
        Path,
        typer.Argument(help="A published table: a file, or paper_table_v (Table V of the paper).", metavar="TABLE"),
    ],
    json: JsonOption = False,
) -> None:
    """Check whether a confusion matrix can give the printed figures; exit code 1 if a column is impossible.

    \b
    The file, each figure with its printed decimals ("-" if there is none):
      classes, supports      names, and number of true clips of each
      title, source          text for the output
      macro_over             "present" (classes with a true clip), "either" (true or predicted, as
                             scikit-learn) or "all"; without it all are tried
      rounding, percent      "nearest" (default) or "cut"; true for percentages
      [[columns]]            one per model: a name, and any of the figures below
        name
        f1, precision, recall      one figure per class
        macro_f1, macro_precision  averages over classes
        uar                        mean recall; macro_recall is the same
        accuracy
      [[claims]]             a difference claimed between two columns
        first, second, text        their names, and text for the output
        relative, difference       of their macro_f1

    Without figures per class, only the range of correct clips can be found.
    """
    from microexpr.audit import audit_table

    found = audit_table(file)
    (show.as_json if json else show_audit.table)(found)
    if not all(column["fits"] for column in found["columns"]):
        raise typer.Exit(1)


@app.command("agreement")
def agreement(
    first: Annotated[Path, typer.Argument(help="One coding; the reference, if one is needed.", metavar="A.csv")],
    second: Annotated[Path, typer.Argument(help="The other coding.", metavar="B.csv")],
    iou: Annotated[float, typer.Option("--iou", help="Minimum overlap for two intervals to count as the same.")] = 0.5,
    all_videos: Annotated[
        bool,
        typer.Option(
            "--all-videos", help="If only one file has a video, count the other as having found nothing in it."
        ),
    ] = False,
    resamples: ResamplesOption = 10_000,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Compare two codings of the same videos: labels, times, intervals, action units.

    Each CSV has one row per expression, with the columns video, onset, apex, offset, label, action_units, subject,
    as far as available. Exit code 1 if no expression could be paired.
    """
    from microexpr.audit.agreement import audit_agreement

    found = audit_agreement(first, second, iou=iou, all_videos=all_videos, resamples=resamples, seed=seed)
    (show.as_json if json else show_audit.agreement)(found)
    if not found["paired"]:
        raise typer.Exit(1)


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",")]
