"""``microexpr store``: list, verify, join, pack and clean stores of results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from microexpr.cli import options, show
from microexpr.cli.options import JsonOption, QuietOption
from microexpr.cli.show_grid import duration
from microexpr.core.words import many

app = typer.Typer(no_args_is_help=True, help="Stores of results: list, verify, join, pack, clean.")
StoreArgument = Annotated[
    Path, typer.Argument(help="The --out of a study or experiment, or its folder results.", metavar="OUT")
]


@app.command("ls")
def ls(out: StoreArgument, json: JsonOption = False) -> None:
    """List the experiments of a store: folds done, failed and running, size."""
    from microexpr import api

    found = api.list_store(out)
    if json:
        show.as_json([row._asdict() for row in found])
        return
    columns = {"failed": "failed", "running": "running", "packed": "packed"}
    shown = [name for name in columns if any(getattr(row, name) for row in found)]
    show.table(
        [
            {
                "key": row.key,
                "folds": f"{row.folds}/{'?' if row.total is None else row.total}",
                **{name: getattr(row, name) for name in shown},
                "MB": f"{row.megabytes:.1f}",
                "experiment": row.name,
            }
            for row in found
        ]
    )
    typer.echo(f"{many(len(found), 'experiment')}, {many(sum(row.folds for row in found), 'fold')}")


@app.command("show")
def show_one(
    out: StoreArgument,
    key: Annotated[str, typer.Argument(help="The beginning of an experiment's key.", metavar="KEY")],
    json: JsonOption = False,
) -> None:
    """Show the settings and the folds of one experiment."""
    from microexpr import api

    found = api.show_store(out, key)
    if json:
        show.as_json(found)
        return
    typer.echo(f"key: {found['key']}")
    for name, value in (found["canonical"] or {}).items():
        typer.echo(f"{name}: {value}")
    rows = [
        {
            "fold": fold["fold"],
            "state": fold["state"],
            "trained in": "-" if fold["seconds"] is None else duration(fold["seconds"]),
            "how": fold.get("reason") or fold["mode"] or "-",
        }
        for fold in found["folds"]
    ]
    show.table(rows)


@app.command("verify")
def verify(out: StoreArgument, json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Find damaged, foreign and orphaned files of a store; exit code 1 if there are any."""
    from microexpr import api

    found = api.verify_store(out, progress=options.progress(quiet or json))
    if json:
        show.as_json([problem._asdict() for problem in found])
    else:
        for problem in found:
            typer.echo(f"{problem.kind}: {problem.file}: {problem.problem} -> {problem.fix}")
        bad = sum(problem.kind != "left over" for problem in found)
        left = len(found) - bad
        typer.echo(
            f"{many(bad, 'problem')}"
            + (f"; {many(left, 'file')} of ended processes (microexpr store gc)" if left else "")
        )
    if any(problem.kind != "left over" for problem in found):
        raise typer.Exit(1)


@app.command("merge")
def merge(
    out: StoreArgument,
    others: Annotated[
        list[Path] | None, typer.Argument(help="Stores that were made elsewhere.", metavar="OTHER...")
    ] = None,
    pack: Annotated[
        bool, typer.Option("--pack/--no-pack", help="Put the folds of each experiment into a few files.")
    ] = True,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Copy what a store lacks from other stores, and pack its many small files; exit code 1 if something conflicts."""
    from microexpr import api

    found = api.merge_stores(out, others or [], pack=pack, progress=options.progress(quiet or json))
    if json:
        show.as_json(vars(found) | {"conflicts": list(found.conflicts)})
    else:
        for conflict in found.conflicts:
            typer.echo(f"left out: {conflict}")
        packed = f"; {many(found.packed, 'fold')} packed" if pack else ""
        typer.echo(f"new: {many(found.experiments, 'experiment')}, {many(found.folds, 'fold')}{packed}")
    if found.conflicts:
        raise typer.Exit(1)


@app.command("export")
def export(
    out: StoreArgument,
    to: Annotated[Literal["tensorboard", "mlflow"], typer.Option("--to", help="The tool.")],
    target: Annotated[
        str,
        typer.Option(
            "--target",
            help="Folder for TensorBoard; tracking URI of MLflow, such as sqlite:///runs.db.",
            metavar="PLACE",
        ),
    ],
    quiet: QuietOption = False,
) -> None:
    """Write experiments, folds and epochs of a store for TensorBoard or MLflow."""
    from microexpr import api

    number = api.export_store(out, to, target, progress=options.progress(quiet))
    typer.echo(f"{many(number, 'experiment')} in {target}")


@app.command("gc")
def gc(
    out: StoreArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files and remove nothing.")] = False,
) -> None:
    """Remove what ended processes left in a store: temporary files, claims, parts of folds."""
    from microexpr import api

    found = api.clean_store(out, dry_run=dry_run)
    for file in found:
        typer.echo(file)
    typer.echo(f"{many(len(found), 'file')} {'would be ' if dry_run else ''}removed")


def doctor(
    out: Annotated[Path | None, typer.Option("--out", help="Folder that a study will write.", metavar="DIR")] = None,
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="Folder of a database that it will read.", metavar="DIR")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show what this machine offers to a study and what it lacks; exit code 1 if something is missing."""
    from microexpr import api

    found = api.check_machine(out, data or [])
    if json:
        show.as_json([check._asdict() for check in found])
    else:
        for check in found:
            show.wrapped(
                f"{check.state:8}{check.name}", check.found + (f" -> {check.fix}" if check.fix else ""), indent=34
            )
    if any(check.state == "missing" for check in found):
        raise typer.Exit(1)
