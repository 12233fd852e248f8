"""Printed output of ``status`` and ``--detach``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from microexpr.core.words import many

if TYPE_CHECKING:
    from rich.console import Group

    from microexpr.api import Submitted
    from microexpr.runs.grid import Status

BAR = 60
"""Characters of the bar."""
SHOWN = 8
"""Running and failed folds that are listed."""
EVERY = 2.0
"""Seconds after which ``--watch`` looks again."""


def submitted(found: Submitted, out: Path) -> None:
    """Print what the workers of a study can be found by."""
    if not found.folds:
        typer.echo(f"Every fold has a result or has failed: microexpr collect {out}")
        return
    typer.echo(f"{found.found_by} trains {many(found.folds, 'fold')}. It goes on when this terminal is closed.")
    typer.echo(f"How far it is:  microexpr status {out}\nThe report:     microexpr collect {out}")


def as_dict(found: Status) -> dict[str, Any]:
    """Return a status for JSON."""
    listed = {name: [each._asdict() for each in getattr(found, name)] for name in ("running", "failed")}
    slowest = found.slowest and found.slowest._asdict()
    return found._asdict() | listed | {"waiting": found.waiting, "slowest": slowest}


def status(found: Status) -> None:
    """Print how far a study is."""
    from rich.console import Console

    Console(highlight=False, soft_wrap=True).print(_page(found))


def watch(look: Callable[[], Status]) -> None:
    """Show how far a study is until no fold is left."""
    from rich.live import Live

    found = look()
    with Live(_page(found), auto_refresh=False) as live:
        while found.waiting or found.running:
            time.sleep(EVERY)
            found = look()
            live.update(_page(found), refresh=True)


def _page(found: Status) -> Group:
    from rich.console import Group
    from rich.text import Text

    counts = [f"{found.done} of {many(found.total, 'fold')} done"]
    counts += [f"{len(found.failed)} failed"] if found.failed else []
    counts += [f"{len(found.running)} running", f"{found.waiting} waiting"] if found.running or found.waiting else []
    filled = BAR * (found.done + len(found.failed)) // max(found.total, 1)
    lines: list[Any] = [
        Text(found.title, style="bold"),
        Text("━" * filled, style="green") + Text("─" * (BAR - filled), style="dim"),
        Text(", ".join(counts) + "."),
    ]
    where = [f"Launcher: {found.launcher}", *([found.submitted] if found.submitted else [])]
    speed = [f"{found.a_minute:.1f} folds a minute"] if found.a_minute else []
    if found.seconds_left and (found.waiting or found.running):
        speed.append(f"about {duration(found.seconds_left)} left")
    lines.append(Text(". ".join([", ".join(where), *([", ".join(speed)] if speed else [])]) + "."))
    if found.slowest:
        slow = found.slowest
        lines.append(Text(f"Slowest so far: fold {slow.fold} of {slow.experiment}, {duration(slow.seconds)}."))
    lines += [
        Text(f"  running  {each.fold} of {each.experiment}, {duration(each.seconds)}, {each.host} {each.pid}")
        for each in found.running[:SHOWN]
    ]
    for failed in found.failed[:SHOWN]:
        lines.append(
            Text(f"  failed   {failed.fold} of {failed.experiment}: {failed.reason} [{failed.code}]", style="red")
        )
        lines += [Text(f"             {line}", style="dim") for line in failed.last_lines]
    if found.failed:
        lines.append(Text("The same command with --retry-failed trains failed folds again."))
    return Group(*lines)


def duration(seconds: float) -> str:
    """Return a duration for people.

    >>> duration(5.2), duration(200), duration(9000)
    ('5 s', '3 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
