"""Workers on this machine."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from microexpr.core.errors import LauncherError
from microexpr.core.interfaces import Work, launchers
from microexpr.core.parallel import workers


@launchers.register("local")
@dataclass(frozen=True)
class Local:
    """Processes of this machine, which share its cores and its GPUs."""

    @property
    def cores(self) -> int | None:
        """Those of the machine are shared."""
        return None

    def check(self, workers: int, folders: Sequence[Path]) -> None:
        """Do nothing: processes of this machine reach what this process reaches."""

    def run(self, work: Work) -> Generator[None, None, None]:
        """Start the processes and wait for them; if one is killed, all end."""
        return workers(work.call, work.workers)

    def submit(self, work: Work) -> str:
        """Raise LauncherError: the processes end with the one that started them."""
        raise LauncherError(
            "E751",
            "--detach: processes of this machine end with the command that started them. Leave it out and start the "
            "command in tmux or with nohup, or choose --launcher slurm.",
        )
