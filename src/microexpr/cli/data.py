"""``microexpr data``: make and look at databases."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from microexpr.cli import options
from microexpr.cli.options import OutOption, QuietOption

app = typer.Typer(no_args_is_help=True, help="Make and look at databases.")


@app.command("make")
def make(
    kind: Annotated[Literal["synthetic"], typer.Argument(help="What to make.")],
    out: OutOption,
    subjects: Annotated[int, typer.Option(help="Persons.", min=1)] = 26,
    clips: Annotated[int, typer.Option(help="Clips.", min=1)] = 255,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.", min=0)] = 0,
    expression_size: Annotated[float, typer.Option(help="1 = 1 to 4 pixels at the apex.")] = 1.0,
    colour_cue: Annotated[float, typer.Option(help="Reddening at the apex; 0 = none.")] = 0.0,
    position_jitter: Annotated[float, typer.Option(help="Pixels by which heads stand elsewhere in each clip.")] = 0.0,
    clutter: Annotated[float, typer.Option(help="Clutter behind the head, 0 to 1.")] = 0.0,
    folders: Annotated[Literal["raw", "cropped", "both"], typer.Option(help="Which folders of CASME II.")] = "raw",
    labels: Annotated[Literal["20140508", "20190701"], typer.Option(help="Which table of CASME II.")] = "20140508",
    emotions: Annotated[str | None, typer.Option(help="Only these, with commas between.")] = None,
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
    typer.echo(f"made: {out} ({clips} clips, {subjects} persons, {kind})")
