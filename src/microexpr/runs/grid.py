"""What an output folder is to hold, and how far it is: the experiments of its study with their folds.

The file is written when a study starts, so that other processes can see how far it is and, when its folds are done,
make the report. How far it is, is read from the store alone, whatever trains the folds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from microexpr.core.errors import StoreError
from microexpr.core.files import write_atomically
from microexpr.runs.store import Failure, Results

FILE = "study.json"
READ = 2000
"""Of so many folds, the latest, durations are read: each is a file."""
LAST = 5
"""Lines of the log of a failed fold that are shown."""


class Planned(BaseModel):
    """One experiment of a study."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    name: str
    folds: tuple[str, ...]


class Grid(BaseModel):
    """A study that was started in a folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    study: dict[str, Any]
    data: dict[str, str]
    """Folder of each database."""
    skip_invalid: bool = False
    allow_cropped: bool = False
    keep_weights: bool = False
    began: float
    """Seconds since 1970."""
    launcher: str
    submitted: str = ""
    """What the workers can be found by, if they do not end with the process that started them."""
    experiments: tuple[Planned, ...]

    def write(self, out: Path) -> None:
        """Write the file; raises StoreError."""
        write_atomically(out / FILE, self.model_dump_json(indent=1))


def read(out: Path) -> Grid:
    """Return the study that was started in a folder; raises StoreError."""
    try:
        return Grid.model_validate_json((out / FILE).read_bytes())
    except OSError:
        raise StoreError(
            "E613", f"no study was started in {out}: there is no {FILE}. Name the --out of a study."
        ) from None
    except ValidationError:
        raise StoreError(
            "E605", f"{out / FILE} is damaged, or of another version; start the study again to write it anew."
        ) from None


class Running(NamedTuple):
    """A fold that is being trained."""

    experiment: str
    fold: str
    host: str
    pid: int
    seconds: float


class Failed(NamedTuple):
    """A fold that could not be trained."""

    experiment: str
    fold: str
    code: str
    reason: str
    last_lines: tuple[str, ...]


class Slowest(NamedTuple):
    """The fold whose training took longest."""

    experiment: str
    fold: str
    seconds: float


class Status(NamedTuple):
    """How far a study is."""

    title: str
    launcher: str
    submitted: str
    total: int
    done: int
    running: tuple[Running, ...]
    failed: tuple[Failed, ...]
    a_minute: float | None
    """Folds that were finished per minute since the start; None before the second."""
    seconds_left: float | None
    slowest: Slowest | None

    @property
    def waiting(self) -> int:
        """Folds that are neither stored nor failed nor being trained."""
        return self.total - self.done - len(self.running) - len(self.failed)


def status(out: Path) -> Status:
    """Return how far the study in a folder is; raises StoreError."""
    grid, now = read(out), time.time()
    finished: list[tuple[float, Planned, str]] = []
    running: list[Running] = []
    failed: list[Failed] = []
    for each in _unique(grid.experiments):
        results = Results(out / "results", each.key)
        stored = results.finished(each.folds)
        finished += [(when, each, fold) for fold, when in stored.items()]
        rest = [fold for fold in each.folds if fold not in stored]
        problems = results.failures(rest)
        failed += [_failed(each, fold, failure) for fold, failure in problems.items()]
        running += [
            Running(each.name, fold, owner.host, owner.pid, max(0.0, now - owner.since))
            for fold, owner in results.busy(rest).items()
        ]
    finished.sort(key=lambda row: row[0])
    total = sum(len(each.folds) for each in _unique(grid.experiments))
    rate = _rate([when for when, _, _ in finished if when >= grid.began])
    left = total - len(finished) - len(failed)
    durations = [
        Slowest(each.name, fold, float(seconds))
        for _, each, fold in finished[-READ:]
        if (seconds := Results(out / "results", each.key).of_run(fold).get("seconds")) is not None
    ]
    return Status(
        title=str(grid.study.get("title") or grid.study.get("name", "")),
        launcher=grid.launcher,
        submitted=grid.submitted,
        total=total,
        done=len(finished),
        running=tuple(sorted(running, key=lambda each: -each.seconds)),
        failed=tuple(failed),
        a_minute=rate and 60 * rate,
        seconds_left=left / rate if rate else None,
        slowest=max(durations, key=lambda each: each.seconds, default=None),
    )


def _unique(experiments: Sequence[Planned]) -> list[Planned]:
    """Return each experiment once: two cells of a study may be the same one."""
    return list({each.key: each for each in experiments}.values())


def _failed(experiment: Planned, fold: str, failure: Failure) -> Failed:
    lines = failure.log.strip().splitlines()[-LAST:]
    return Failed(experiment.name, fold, failure.code, failure.reason, tuple(lines))


def _rate(times: Sequence[float]) -> float | None:
    """Return finished folds per second; None where too few were finished to say."""
    if len(times) < 2 or times[-1] <= times[0]:
        return None
    return (len(times) - 1) / (times[-1] - times[0])
