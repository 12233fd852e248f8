"""``microexpr weights``: fetch, verify and transfer pretrained weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microexpr.cli import options
from microexpr.cli.options import QuietOption

app = typer.Typer(no_args_is_help=True, help="Pretrained weights: fetch, verify, transfer between machines.")
NamesArgument = Annotated[list[str], typer.Argument(help="Models (vit_b32 ...) or timm's tags.", metavar="NAME...")]
BundleArgument = Annotated[Path, typer.Argument(help="Bundle of weights, a .tar file.", metavar="FILE.tar")]


@app.command("fetch")
def fetch(names: NamesArgument, quiet: QuietOption = False) -> None:
    """Download pretrained weights from timm's hub into the cache; size and sha256 are verified."""
    from microexpr import api

    for path in api.fetch_weights(names, options.progress(quiet)):
        typer.echo(f"available: {path}")


@app.command("verify")
def verify() -> None:
    """Verify every file of the cache; exit code 1 if one is damaged."""
    from microexpr import api
    from microexpr.core import pretrained

    states = api.verify_weights()
    for tag, state in states:
        typer.echo(f"{state:8} {tag}")
    if not states:
        typer.echo(f"no weights in {pretrained.folder()}")
    if any(state != "good" for _, state in states):
        raise typer.Exit(1)


@app.command("bundle")
def bundle(file: BundleArgument, names: NamesArgument) -> None:
    """Pack weights into one file, for machines without internet access."""
    from microexpr import api

    typer.echo(f"bundle: {api.bundle_weights(file, names)}")


@app.command("unbundle")
def unbundle(file: BundleArgument) -> None:
    """Unpack a bundle of weights into the cache; every file is verified."""
    from microexpr import api

    for tag in api.unbundle_weights(file):
        typer.echo(f"available: {tag}")
