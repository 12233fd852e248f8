"""Options that several commands share, and the conversion of their values."""

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
    list[str],
    typer.Option("--data", help="Folder of the database; for several, repeat as NAME=DIR.", metavar="DIR"),
]
OutOption = Annotated[Path, typer.Option("--out", help="Folder for results, caches and the report.", metavar="DIR")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one value of the file; keys may be dotted.", metavar="KEY=VALUE"),
]
SkipOption = Annotated[bool, typer.Option("--skip-invalid", help="Exclude faulty clips; the report lists them.")]
RawOption = Annotated[
    bool, typer.Option("--no-corrections", help="Do not correct known errors in the database's table.")
]
CroppedOption = Annotated[
    bool, typer.Option("--allow-cropped", help="Accept frames that were cropped by the owners of the database.")
]
KeepOption = Annotated[bool, typer.Option("--keep-weights", help="Keep every fold's weights (safetensors).")]
WorkersOption = Annotated[
    int, typer.Option("--workers", help="Number of processes that read frames and detect faces.", min=1)
]
JobsOption = Annotated[
    int, typer.Option("--jobs", help="Number of folds trained in parallel; they share the cores.", min=1)
]
LauncherOption = Annotated[
    str,
    typer.Option(
        "--launcher",
        help="What starts the processes that train folds: local, slurm, ray, or a .toml file with its name and "
        "resources. --jobs is their number.",
        metavar="NAME|FILE",
    ),
]
ResourceOption = Annotated[
    list[str] | None,
    typer.Option("--resource", help="One setting of the launcher, such as partition=gpu.", metavar="KEY=VALUE"),
]
FoldMinutesOption = Annotated[
    float,
    typer.Option(
        "--fold-minutes",
        help="End a process that trains a fold for longer; the fold counts as failed. 0: never.",
        min=0,
    ),
]
RetryOption = Annotated[bool, typer.Option("--retry-failed", help="Train folds again that failed before.")]
SizesOption = Annotated[
    str | None,
    typer.Option(
        "--train-sizes", help="Repeat every cell with these numbers of training clips: 50,100,all.", metavar="N,N,.."
    ),
]
SubjectsOption = Annotated[
    str | None,
    typer.Option(
        "--train-subjects", help="Repeat every cell with these numbers of training subjects: 4,8,all.", metavar="N,N,.."
    ),
]
SeedsOption = Annotated[
    str | None, typer.Option("--seeds", help="Repeat every training run with these seeds: 0,1,2.", metavar="N,N,..")
]
FramesOption = Annotated[
    bool,
    typer.Option(
        "--with-frames",
        help="Show frames of the clips in the report. The licences of most databases forbid passing such a report on.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON only.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Do not print progress.")]
StudyArgument = Annotated[
    Path, typer.Argument(help="Study file, or the name of one that `microexpr studies` lists.", metavar="STUDY")
]
ExperimentArgument = Annotated[
    Path,
    typer.Argument(help="Experiment file, or the name of one that `microexpr studies` lists.", metavar="EXPERIMENT"),
]


def values(settings: list[str] | None) -> dict[str, Any]:
    """Return the values of --set by dotted key; raises ConfigError."""
    from microexpr.config.loading import parse_setting

    return dict(map(parse_setting, settings or []))


def sizes(option: str, text: str | None) -> list[int | None]:
    """Return comma-separated numbers; None for `all`. Raises UsageError."""
    if text is None:
        return []
    words = [word.strip() for word in text.split(",")]
    wrong = next((word for word in words if word != "all" and not (word.isdecimal() and int(word))), None)
    if wrong is not None:
        raise UsageError(
            "E192",
            f"{option}: {wrong!r} is neither a positive whole number nor 'all'; separate values by commas, for example "
            f"{option} 50,100,all.",
        )
    return [None if word == "all" else int(word) for word in words]


def launcher(name: str, resources: list[str] | None) -> dict[str, Any]:
    """Return a launcher with its resources; raises ConfigError."""
    from microexpr.config.loading import parse_setting, read_toml

    given = read_toml(Path(name))[1] if name.endswith(".toml") else {"name": name}
    return given | dict(parse_setting(each, "--resource", "partition=gpu") for each in resources or [])


def seeds(text: str | None) -> list[int]:
    """Return comma-separated seeds; raises UsageError."""
    words = [word.strip() for word in text.split(",")] if text is not None else []
    wrong = next((word for word in words if not word.isdecimal()), None)
    if wrong is not None:
        raise UsageError(
            "E192", f"--seeds: {wrong!r} is not a whole number; separate seeds by commas, for example --seeds 0,1,2."
        )
    return [int(word) for word in words]


def folders(data: list[str]) -> Path | dict[str, Path]:
    """Return --data as one folder, or as folders by database; raises UsageError."""
    named = dict(text.split("=", 1) for text in data if "=" in text and not Path(text).exists())
    if not named and len(data) == 1:
        return Path(data[0])
    if len(named) != len(data):
        raise UsageError("E193", "several databases need their names, for example --data casme2=DIR --data samm=DIR.")
    return {name: Path(folder) for name, folder in named.items()}


def progress(silent: bool) -> Progress:
    """Return progress bars on a terminal, plain lines elsewhere."""
    from rich.console import Console

    from microexpr.cli.progress import Bars, Lines
    from microexpr.core.progress import Silent

    console = Console(stderr=True)
    if silent:
        return Silent()
    return Bars(console) if console.is_terminal else Lines(sys.stderr)


def command() -> str:
    """Return the command line, for the report."""
    return shlex.join(["microexpr", *sys.argv[1:]])
