"""The command ``microexpr``: parse, call, print. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from microexpr import __version__
from microexpr.errors import MicroexprError, UsageError

if TYPE_CHECKING:
    from microexpr.progress import Progress

app = typer.Typer(
    name="microexpr",
    help="Facial micro-expression recognition: every choice stated, every score honest. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(no_args_is_help=True, help="Make and look at databases.")
weights_app = typer.Typer(no_args_is_help=True, help="Pretrained weights: fetch, verify, carry between machines.")
app.add_typer(data_app, name="data")
app.add_typer(weights_app, name="weights")
INTERRUPTED = 130
"""What a shell reports of a program that Ctrl-C ended."""

DataOption = Annotated[
    list[str], typer.Option("--data", help="Folder of the database; NAME=DIR, repeated, for several.", metavar="DIR")
]
OutOption = Annotated[Path, typer.Option("--out", help="Folder for results, caches and the report.", metavar="DIR")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Change one value: key=value, dotted keys.", metavar="KEY=VALUE")
]
SkipOption = Annotated[bool, typer.Option("--skip-invalid", help="Go on without faulty clips; the report lists them.")]
CroppedOption = Annotated[bool, typer.Option("--allow-cropped", help="Take frames the owners have cropped.")]
KeepOption = Annotated[bool, typer.Option("--keep-weights", help="Keep every fold's weights (safetensors).")]
WorkersOption = Annotated[int, typer.Option("--workers", help="Processes that read frames and find faces.", min=1)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


@app.command("study")
def study_command(
    file: Annotated[Path, typer.Argument(help="Study file, for instance studies/paper.toml.", metavar="STUDY.toml")],
    data: DataOption,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for results and the report.", metavar="DIR")] = None,
    settings: SetOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all, list the cells, train nothing.")] = False,
    skip_invalid: SkipOption = False,
    allow_cropped: CroppedOption = False,
    keep_weights: KeepOption = False,
    workers: WorkersOption = 2,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run a grid of experiments and write its report; a second run trains only what is missing."""
    from microexpr import api
    from microexpr.config import Study, load, parse_setting

    study = load(Study, file, dict(map(parse_setting, settings or [])))
    folders = _folders(data)
    if dry_run:
        _print_plan(api.dry_run(study, folders, skip_invalid=skip_invalid, allow_cropped=allow_cropped), as_json)
        return
    if out is None:
        raise UsageError("say where the results go: --out DIR.")
    finished = api.run_study(
        study,
        folders,
        out,
        skip_invalid=skip_invalid,
        allow_cropped=allow_cropped,
        keep_weights=keep_weights,
        workers=workers,
        progress=_progress(quiet or as_json),
        command=_command(),
    )
    if as_json:
        _print_json(finished.summary)
    else:
        _print_summary(finished.summary, finished.paths.html)
    if finished.result.failed:
        raise typer.Exit(1)


@app.command("run")
def run_command(
    file: Annotated[Path, typer.Argument(help="Experiment file.", metavar="EXPERIMENT.toml")],
    data: DataOption,
    out: OutOption,
    settings: SetOption = None,
    skip_invalid: SkipOption = False,
    allow_cropped: CroppedOption = False,
    keep_weights: KeepOption = False,
    workers: WorkersOption = 2,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run one experiment and write its report; --json prints its scores."""
    from microexpr import api
    from microexpr.config import Experiment, load, parse_setting

    finished = api.run_experiment(
        load(Experiment, file, dict(map(parse_setting, settings or []))),
        _folders(data),
        out,
        skip_invalid=skip_invalid,
        allow_cropped=allow_cropped,
        keep_weights=keep_weights,
        workers=workers,
        progress=_progress(quiet or as_json),
        command=_command(),
    )
    if as_json:
        _print_json(finished.summary["cells"][0] | {"latency": finished.summary["latency"]})
    else:
        _print_summary(finished.summary, finished.paths.html)


@app.command("fit")
def fit_command(
    file: Annotated[Path, typer.Argument(help="Experiment file.", metavar="EXPERIMENT.toml")],
    data: DataOption,
    out: OutOption,
    settings: SetOption = None,
    skip_invalid: SkipOption = False,
    allow_cropped: CroppedOption = False,
    workers: WorkersOption = 2,
    quiet: QuietOption = False,
) -> None:
    """Train on all clips and keep the model with its card."""
    from microexpr import api
    from microexpr.config import Experiment, load, parse_setting

    model = api.fit(
        load(Experiment, file, dict(map(parse_setting, settings or []))),
        _folders(data),
        out,
        skip_invalid=skip_invalid,
        allow_cropped=allow_cropped,
        workers=workers,
        progress=_progress(quiet),
    )
    typer.echo(f"model: {model}\ncard:  {model.with_name('card.json')}")


@data_app.command("make")
def make_command(
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
        progress=_progress(quiet),
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


NamesArgument = Annotated[list[str], typer.Argument(help="Models (vit_b32 ...) or timm's tags.", metavar="NAME...")]
BundleArgument = Annotated[Path, typer.Argument(help="The bundle, one .tar file.", metavar="FILE.tar")]


@weights_app.command("fetch")
def fetch_command(names: NamesArgument, quiet: QuietOption = False) -> None:
    """Fetch pretrained weights from timm's hub into the cache, checked by size and sha256."""
    from microexpr import api

    for path in api.fetch_weights(names, _progress(quiet)):
        typer.echo(f"at hand: {path}")


@weights_app.command("verify")
def verify_command() -> None:
    """Check every file of the cache; exit 1 if one is not what it was."""
    from microexpr import api, weights

    states = api.verify_weights()
    for tag, state in states:
        typer.echo(f"{state:8} {tag}")
    if not states:
        typer.echo(f"no weights in {weights.folder()}")
    if any(state != "good" for _, state in states):
        raise typer.Exit(1)


@weights_app.command("bundle")
def bundle_command(file: BundleArgument, names: NamesArgument) -> None:
    """Put weights into one file, for a machine without a network."""
    from microexpr import api

    typer.echo(f"bundle: {api.bundle_weights(file, names)}")


@weights_app.command("unbundle")
def unbundle_command(file: BundleArgument) -> None:
    """Take weights out of a bundle into the cache, each checked."""
    from microexpr import api

    for tag in api.unbundle_weights(file):
        typer.echo(f"at hand: {tag}")


def main() -> None:
    """Run the command; every error that a user can mend is one message, without a traceback."""
    # Threads that spin while they wait bring a shared machine to a standstill (a hundred times slower was measured).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    try:
        app(prog_name="microexpr")
    except MicroexprError as error:
        if debug:
            raise
        sys.stderr.write(f"microexpr: {error}\n")
        sys.exit(error.exit_code)
    except OSError as error:
        if debug:
            raise
        where = f" ({error.filename})" if error.filename else ""
        sys.stderr.write(f"microexpr: {error.strerror or error}{where}: free some space, or choose another --out.\n")
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer turns a KeyboardInterrupt into this
            sys.stderr.write("\nmicroexpr: interrupted; the same command goes on where it stopped.\n")
        raise


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (anywhere on the line).")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def _folders(data: list[str]) -> Path | dict[str, Path]:
    named = dict(text.split("=", 1) for text in data if "=" in text and not Path(text).exists())
    if not named and len(data) == 1:
        return Path(data[0])
    if len(named) != len(data):
        raise UsageError("several databases need their names: --data casme2=DIR --data samm=DIR.")
    return {name: Path(folder) for name, folder in named.items()}


def _progress(silent: bool) -> Progress:
    from rich.console import Console

    from microexpr.cli.progress import Bars, Lines
    from microexpr.progress import Silent

    console = Console(stderr=True)
    if silent:
        return Silent()
    return Bars(console) if console.is_terminal else Lines(sys.stderr)


def _command() -> str:
    return shlex.join(["microexpr", *sys.argv[1:]])


def _print_json(content: object) -> None:
    typer.echo(json.dumps(content, indent=1))


def _print_plan(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _print_json(found)
        return
    for name, fact in found["facts"].items():
        typer.echo(f"{name}: {fact}")
    for word in ("corrections", "skipped"):
        for item in found[word]:
            typer.echo(f"{word}: {item}")
    rows = found["cells"]
    columns = ("part", "preprocessing", "sampling", "model", "protocol", "train", "val", "test", "size", "weights")
    _print_table([{name: "-" if row[name] is None else row[name] for name in columns} for row in rows])
    typer.echo(f"{len(rows)} experiments; nothing was trained.")


def _print_summary(summary: dict[str, Any], report: Path) -> None:
    for stamp in summary["stamps"]:
        typer.echo(f"! {stamp['text']}")
    columns = ("preprocessing", "sampling", "model", "loss", "macro_f1", "ci_low", "ci_high", "uf1", "uar", "n_test")
    _print_table([{name: _short(cell[name]) for name in columns} for cell in summary["cells"]])
    named = summary["named_cell"]
    if named:
        typer.echo(
            f"named cell {named['preprocessing']} {named['sampling']} {named['model']} under {named['protocol']}: "
            f"macro-F1 {named['macro_f1']:.3f} [{named['ci_low']:.3f}, {named['ci_high']:.3f}], "
            f"permutation level {named['permutation_level']:.3f}"
        )
    typer.echo(f"report: {report}")


def _print_table(rows: list[dict[str, Any]]) -> None:
    widths = {name: max(len(name), *(len(str(row[name])) for row in rows)) for name in rows[0]}
    typer.echo("  ".join(name.ljust(width) for name, width in widths.items()).rstrip())
    for row in rows:
        typer.echo("  ".join(str(row[name]).ljust(width) for name, width in widths.items()).rstrip())


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
