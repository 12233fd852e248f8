"""Progress: nested bars with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

EVERY = 10.0
"""Seconds between plain lines of one bar."""


class Bars:
    """Nested bars that disappear when their work is done."""

    def __init__(self, console: Console) -> None:
        self._bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
        )
        self._open: list[TaskID] = []

    def start(self, text: str, total: int) -> None:
        """Open a bar."""
        if not self._open:
            self._bars.start()
        self._open.append(self._bars.add_task("  " * len(self._open) + text, total=total, note=""))

    def step(self, note: str = "") -> None:
        """Advance the innermost bar."""
        self._bars.update(self._open[-1], advance=1, note=note)

    def stop(self) -> None:
        """Close the innermost bar."""
        self._bars.remove_task(self._open.pop())
        if not self._open:
            self._bars.stop()


@dataclass
class _Line:
    text: str
    total: int
    begun: float
    printed: float
    done: int = 0


@runtime_checkable
class Stream(Protocol):
    """Output of plain lines."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


@dataclass
class Lines:
    """Plain lines for logs, at most one every `EVERY` seconds for each level of work."""

    stream: Stream
    _open: list[_Line] = field(default_factory=list)

    def start(self, text: str, total: int) -> None:
        """Open a level."""
        now = time.monotonic()
        self._open.append(_Line(text, total, now, now))

    def step(self, note: str = "") -> None:
        """Advance the innermost level by one, and print a line if one is due."""
        line, now = self._open[-1], time.monotonic()
        line.done += 1
        if now - line.printed >= EVERY or (line.done == line.total and len(self._open) == 1):
            line.printed = now
            left = (now - line.begun) / line.done * (line.total - line.done)
            path = " > ".join(f"{level.text} {level.done}/{level.total}" for level in self._open)
            self.stream.write(f"{path}, {left:.0f} s left {note}".rstrip() + "\n")
            self.stream.flush()

    def stop(self) -> None:
        """Close the innermost level."""
        self._open.pop()
