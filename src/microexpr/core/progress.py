"""Progress of long-running work: library code reports it, the command line displays it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

T = TypeVar("T")


@runtime_checkable
class Progress(Protocol):
    """Nested progress bars; the one opened last is the innermost."""

    def start(self, text: str, total: int) -> None:
        """Open a bar."""

    def step(self, note: str = "") -> None:
        """Advance the innermost bar by one."""

    def stop(self) -> None:
        """Close the innermost bar."""


class Silent:
    """Progress that is not displayed."""

    def start(self, text: str, total: int) -> None:
        """Do nothing."""

    def step(self, note: str = "") -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


def track(items: Iterable[T], total: int, text: str, progress: Progress) -> Iterator[T]:
    """Yield items and advance a bar after each."""
    progress.start(text, total)
    try:
        for item in items:
            yield item
            progress.step()
    finally:
        progress.stop()
