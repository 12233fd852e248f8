"""Options that several commands share, and what becomes of them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from microexpr.core.errors import UsageError

if TYPE_CHECKING:
    from microexpr.core.progress import Progress
DataOption = Annotated[
    list[str], typer.Option("--data", help="Folder of the database; NAME=DIR, repeated, for several.", metavar="DIR")
]
OutOption = Annotated[Path, typer.Option("--out", help="Folder for results, caches and the report.", metavar="DIR")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Change one value: key=value, dotted keys.", metavar="KEY=VALUE")
]
SkipOption = Annotated[bool, typer.Option("--skip-invalid", help="Go on without faulty clips; the report lists them.")]
RawOption = Annotated[
    bool, typer.Option("--no-corrections", help="Read tables raw: leave their known defects as they are.")
]
CroppedOption = Annotated[bool, typer.Option("--allow-cropped", help="Take frames the owners have cropped.")]
KeepOption = Annotated[bool, typer.Option("--keep-weights", help="Keep every fold's weights (safetensors).")]
WorkersOption = Annotated[int, typer.Option("--workers", help="Processes that read frames and find faces.", min=1)]
JobsOption = Annotated[
    int, typer.Option("--jobs", help="Folds trained at once, each with its share of the cores.", min=1)
]
SizesOption = Annotated[
    str | None,
    typer.Option("--train-sizes", help="Train the same cells on so many clips: 50,100,200 or all.", metavar="N,N,.."),
]
PersonsOption = Annotated[
    str | None,
    typer.Option("--train-subjects", help="Train the same cells on so many subjects: 4,8,12 or all.", metavar="N,N,.."),
]
SeedsOption = Annotated[
    str | None, typer.Option("--seeds", help="Train the same once with each seed: 0,1,2.", metavar="N,N,..")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
StudyArgument = Annotated[
    Path, typer.Argument(help="Study file, or the name of one that `microexpr studies` lists.", metavar="STUDY")
]
ExperimentArgument = Annotated[
    Path,
    typer.Argument(help="Experiment file, or the name of one that `microexpr studies` lists.", metavar="EXPERIMENT"),
]


def values(settings: list[str] | None) -> dict[str, Any]:
    """Return --set as dotted keys and values; raises ConfigError."""
    from microexpr.config.loading import parse_setting

    return dict(map(parse_setting, settings or []))


def sizes(option: str, text: str | None) -> list[int | None]:
    """Return numbers with commas between; None for `all`."""
    if text is None:
        return []
    words = [word.strip() for word in text.split(",")]
    wrong = next((word for word in words if word != "all" and not (word.isdecimal() and int(word))), None)
    if wrong is not None:
        raise UsageError(
            "E105", f"{option} takes numbers with commas between, or all, not {wrong!r}: {option} 50,100,200."
        )
    return [None if word == "all" else int(word) for word in words]


def seeds(text: str | None) -> list[int]:
    """Return the seeds, numbers with commas between; raises UsageError."""
    words = [word.strip() for word in text.split(",")] if text is not None else []
    wrong = next((word for word in words if not word.isdecimal()), None)
    if wrong is not None:
        raise UsageError("E105", f"--seeds takes numbers with commas between, not {wrong!r}: --seeds 0,1,2.")
    return [int(word) for word in words]


def folders(data: list[str]) -> Path | dict[str, Path]:
    """Return --data as one folder, or as folders by database."""
    named = dict(text.split("=", 1) for text in data if "=" in text and not Path(text).exists())
    if not named and len(data) == 1:
        return Path(data[0])
    if len(named) != len(data):
        raise UsageError("E105", "several databases need their names: --data casme2=DIR --data samm=DIR.")
    return {name: Path(folder) for name, folder in named.items()}


def progress(silent: bool) -> Progress:
    """Return bars on a terminal, lines elsewhere."""
    from rich.console import Console

    from microexpr.cli.progress import Bars, Lines
    from microexpr.core.progress import Silent

    console = Console(stderr=True)
    if silent:
        return Silent()
    return Bars(console) if console.is_terminal else Lines(sys.stderr)


def command() -> str:
    """Return the line that was typed, for the report."""
    return shlex.join(["microexpr", *sys.argv[1:]])
