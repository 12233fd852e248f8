"""``microexpr data``: make and inspect databases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from microexpr.cli import options, show
from microexpr.cli.options import JsonOption, QuietOption, RawOption

app = typer.Typer(no_args_is_help=True, help="Make and inspect databases.")

NameArgument = Annotated[str, typer.Argument(help="Database, as `microexpr data list` names it.", metavar="NAME")]
RootOption = Annotated[Path, typer.Option("--root", help="Its folder, as distributed by the owners.", metavar="DIR")]
TableOption = Annotated[bool, typer.Option("--table-only", help="Do not read images.")]
LabelsOption = Annotated[
    str | None,
    typer.Option("--labels", help='Label set, for instance megc2019_3 or {disgust="negative"}.', metavar="SET"),
]
ReaderOption = Annotated[
    list[str] | None, typer.Option("--set", help="Set a parameter of the reader: key=value.", metavar="KEY=VALUE")
]


@app.command("check")
def check(
    name: NameArgument,
    root: RootOption,
    table_only: TableOption = False,
    no_corrections: RawOption = False,
    settings: ReaderOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="List all faults and notes, not three per code.")] = False,
    json: JsonOption = False,
) -> None:
    """Check a folder: what it contains and everything wrong with it; exit code 1 with faults, 0 without."""
    from microexpr import api

    found = api.check_data(name, root, table_only=table_only, parameters=_parameters(settings, no_corrections))
    if json:
        show.as_json(found.to_json())
    else:
        show.diagnosis(found, verbose=verbose)
    if not found.sound:
        raise typer.Exit(1)


@app.command("table")
def table(
    name: NameArgument,
    root: RootOption,
    labels: LabelsOption = None,
    table_only: TableOption = False,
    out: Annotated[Path | None, typer.Option("--out", help="File to write, .csv or .parquet.", metavar="FILE")] = None,
    no_corrections: RawOption = False,
    settings: ReaderOption = None,
) -> None:
    """List clips, one per row; with --labels those that the set keeps. Clips with faults are left out and reported."""
    from microexpr import api

    parameters = _parameters(settings, no_corrections)
    found = api.data_table(name, root, labels=_set(labels), table_only=table_only, out=out, parameters=parameters)
    show.left_out(found.left_out)
    show.clips(found.rows, head=out is None)
    if found.empty:
        typer.echo(f"  no clips: {', '.join(found.empty)}")
    for warning in found.warnings:
        typer.echo(f"! {warning}")
    if out is not None:
        typer.echo(f"written: {out}")


@app.command("stats")
def stats(
    name: NameArgument,
    root: RootOption,
    labels: LabelsOption = None,
    table_only: TableOption = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Figure to write, .svg, .png or .pdf.", metavar="FILE")
    ] = None,
    no_corrections: RawOption = False,
    settings: ReaderOption = None,
    json: JsonOption = False,
) -> None:
    """Count a database's clips by class and subject, and measure durations and positions of the apex."""
    from microexpr import api

    parameters = _parameters(settings, no_corrections)
    found = api.data_stats(name, root, labels=_set(labels), table_only=table_only, out=out, parameters=parameters)
    if json:
        show.as_json(found)
        return
    show.left_out(found["left_out"])
    show.stats(found)
    for warning in found["warnings"]:
        typer.echo(f"! {warning}")
    if out is not None:
        typer.echo(f"figure: {out}")


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """List every database that can be read: its size, its licence and where to request it."""
    from microexpr import api

    found = api.list_data()
    if json:
        show.as_json(found)
    else:
        show.databases(found)


@app.command("make")
def make(
    kind: Annotated[Literal["synthetic"], typer.Argument(help="Kind of database.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the database.", metavar="DIR")],
    subjects: Annotated[int, typer.Option(help="Number of subjects.", min=1)] = 26,
    clips: Annotated[int, typer.Option(help="Number of clips.", min=1)] = 255,
    seed: Annotated[
        int, typer.Option(help="The same seed gives the same bytes on the same kind of processor.", min=0)
    ] = 0,
    expression_size: Annotated[float, typer.Option(help="Size of expressions; 1 is 1 to 4 pixels at the apex.")] = 1.0,
    colour_cue: Annotated[float, typer.Option(help="Reddening at the apex; 0 = none.")] = 0.0,
    position_jitter: Annotated[
        float, typer.Option(help="Pixels by which the position of the head varies between clips.")
    ] = 0.0,
    clutter: Annotated[float, typer.Option(help="Clutter behind the head, 0 to 1.")] = 0.0,
    folders: Annotated[Literal["raw", "cropped", "both"], typer.Option(help="CASME II folders to write.")] = "raw",
    labels: Annotated[Literal["20140508", "20190701"], typer.Option(help="CASME II table to write.")] = "20140508",
    emotions: Annotated[str | None, typer.Option(help="Only these emotions, separated by commas.")] = None,
    quiet: QuietOption = False,
) -> None:
    """Render a synthetic database in CASME II's exact layout, quirks included."""
    from microexpr import api

    api.make_synthetic(
        out,
        progress=options.progress(quiet),
        subjects=subjects,
        clips=clips,
        seed=seed,
        expression_size=expression_size,
        colour_cue=colour_cue,
        position_jitter=position_jitter,
        clutter=clutter,
        folders=folders,
        labels=labels,
        emotions=tuple(word.strip() for word in emotions.split(",")) if emotions else None,
    )
    typer.echo(f"made: {out} ({clips} clips, {subjects} subjects, {kind})")


def _parameters(settings: list[str] | None, no_corrections: bool) -> dict[str, object]:
    """Return --set and --no-corrections as the reader's parameters."""
    return options.values(settings) | ({"corrections": False} if no_corrections else {})


def _set(labels: str | None) -> str | dict[str, str] | None:
    """Return --labels as a name or, where it is written as in a study file, as a mapping."""
    if labels is None or not labels.startswith("{"):
        return labels
    from microexpr.config.loading import parse_setting
    from microexpr.core.errors import UsageError

    found = parse_setting(f"labels={labels}")[1]
    if not isinstance(found, dict):
        raise UsageError("E105", f'--labels takes a name or a mapping such as {{disgust="negative"}}, not {labels}.')
    return {str(word): str(name) for word, name in found.items()}
