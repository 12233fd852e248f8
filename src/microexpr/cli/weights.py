"""``microexpr weights``: pretrained weights, fetched, verified, carried between machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microexpr.cli import options
from microexpr.cli.options import QuietOption

app = typer.Typer(no_args_is_help=True, help="Pretrained weights: fetch, verify, carry between machines.")
NamesArgument = Annotated[list[str], typer.Argument(help="Models (vit_b32 ...) or timm's tags.", metavar="NAME...")]
BundleArgument = Annotated[Path, typer.Argument(help="The bundle, one .tar file.", metavar="FILE.tar")]


@app.command("fetch")
def fetch(names: NamesArgument, quiet: QuietOption = False) -> None:
    """Fetch pretrained weights from timm's hub into the cache, checked by size and sha256."""
    from microexpr import api

    for path in api.fetch_weights(names, options.progress(quiet)):
        typer.echo(f"at hand: {path}")


@app.command("verify")
def verify() -> None:
    """Check every file of the cache; exit 1 if one is not what it was."""
    from microexpr import api
    from microexpr.core import pretrained as weights

    states = api.verify_weights()
    for tag, state in states:
        typer.echo(f"{state:8} {tag}")
    if not states:
        typer.echo(f"no weights in {weights.folder()}")
    if any(state != "good" for _, state in states):
        raise typer.Exit(1)


@app.command("bundle")
def bundle(file: BundleArgument, names: NamesArgument) -> None:
    """Put weights into one file, for a machine without a network."""
    from microexpr import api

    typer.echo(f"bundle: {api.bundle_weights(file, names)}")


@app.command("unbundle")
def unbundle(file: BundleArgument) -> None:
    """Take weights out of a bundle into the cache, each checked."""
    from microexpr import api

    for tag in api.unbundle_weights(file):
        typer.echo(f"at hand: {tag}")
