"""Measuring several ways to do the same work in alternation, so that whatever else the machine does hits all alike."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from microexpr.bench.rows import Group, Row
from microexpr.core.parallel import limited_threads

P = ParamSpec("P")
T = TypeVar("T")
Side = Callable[[], Any]
"""One way to do the work; what it returns is compared with what the others return."""


SECONDS = 3.0
MORE = 8
"""Short work is measured this many times as often as asked: on a shared machine few rounds say little."""


class NotMeasured(Exception):  # noqa: N818 - not an error of the program: the machine lacks what a row needs
    """A row cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Timed:
    """Seconds of every round by side, and what each side returned in the last one."""

    seconds: Mapping[str, Sequence[float]]
    results: Mapping[str, Any]

    def median(self, side: str) -> float:
        """Return the median seconds of a side."""
        return float(np.median(self.seconds[side]))

    def quartiles(self, side: str) -> tuple[float, float]:
        """Return the quartiles of a side's seconds."""
        return _quartiles(self.seconds[side])

    def ratio_quartiles(self, first: str, second: str) -> tuple[float, float]:
        """Return the quartiles of first / second over the rounds."""
        return _quartiles(np.divide(self.seconds[first], self.seconds[second]))

    @property
    def repeats(self) -> int:
        """The number of rounds."""
        return len(next(iter(self.seconds.values())))


def alternate(sides: Mapping[str, Side], repeats: int, warm_up: int = 1, seconds: float = SECONDS) -> Timed:
    """Run all sides in turn, `repeats` times after `warm_up` rounds; every other round runs in reverse order.

    Short work is repeated up to `MORE` times as often, until the rounds took `seconds` in all.
    """
    measured: dict[str, list[float]] = {name: [] for name in sides}
    results: dict[str, Any] = {}
    total, number = 0.0, 0
    while number < warm_up + repeats or (number < warm_up + MORE * repeats and total < seconds):
        order = list(sides) if number % 2 == 0 else list(sides)[::-1]
        for name in order:
            results.pop(name, None)  # the memory of the last result is not to be paid for by the next
            start = time.perf_counter()
            results[name] = sides[name]()
            spent = time.perf_counter() - start
            if number >= warm_up:
                measured[name].append(spent)
                total += spent
        number += 1
    return Timed(measured, results)


def compared(
    group: Group,
    name: str,
    what: str,
    timed: Timed,
    agreement: tuple[str, float, bool],
    *,
    side: str = "ours",
    limit: str = "",
    target: float | None = None,
    share_target: float | None = None,
    further: Mapping[str, float | str] | None = None,
) -> Row:
    """Return the row of the sides ``plain`` (may be missing), `side` and ``limit`` (may be missing).

    `agreement`: how equal the results are, in words and as a number, and whether that is equal enough.
    """
    has_plain, has_limit = "plain" in timed.seconds, "limit" in timed.seconds
    ours = timed.median(side)
    return Row(
        group=group,
        name=name,
        what=what,
        plain_seconds=timed.median("plain") if has_plain else None,
        plain_quartiles=timed.quartiles("plain") if has_plain else None,
        ours_seconds=ours,
        ours_quartiles=timed.quartiles(side),
        ratio=timed.median("plain") / ours if has_plain else None,
        ratio_quartiles=timed.ratio_quartiles("plain", side) if has_plain else None,
        target=target,
        limit=limit if has_limit else "",
        limit_seconds=timed.median("limit") if has_limit else None,
        share_of_limit=timed.median("limit") / ours if has_limit else None,
        share_target=share_target if has_limit else None,
        agreement=agreement[0],
        difference=agreement[1],
        agrees=agreement[2],
        repeats=timed.repeats,
        further=dict(further or {}),
    )


def scaling(cores: int) -> float:
    """Return how many times as many products of matrices `cores` threads compute in a second as one thread does.

    Near `cores` where each is a core of its own; little over 1 where they are two threads of one core, or where other
    work takes their time.
    """
    matrix = np.random.default_rng(0).normal(size=(600, 600))

    def products(_: int = 0) -> None:
        for _ in range(30):
            matrix @ matrix

    with limited_threads(1), ThreadPoolExecutor(cores) as pool:
        spent = alternate({"one": products, "all": lambda: list(pool.map(products, range(cores)))}, 3)
    return cores * spent.median("one") / spent.median("all")


def peak_memory() -> float | None:
    """Return the peak memory of this process and its child processes, in MB; None without Linux's /proc.

    ``getrusage`` would count the memory of the process that started this one.
    """
    try:
        started = [(task / "children").read_text() for task in Path("/proc/self/task").iterdir()]
        states = [Path(f"/proc/{number}/status").read_text() for number in ["self", *" ".join(started).split()]]
    except OSError:
        return None
    return sum(int(kilobytes) for state in states for kilobytes in re.findall(r"VmHWM:\s*(\d+)", state)) * 1024 / 1e6


def isolated(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function of a module in a fresh process, whose memory is free afterwards.

    Raises NotMeasured if the process is killed or crashes.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(function, *args, **kwargs).result()
        except BrokenProcessPool:
            raise NotMeasured("the process that measured it was ended: too little memory, or a crash") from None


def _quartiles(values: Any) -> tuple[float, float]:
    low, high = np.quantile(values, [0.25, 0.75])
    return float(low), float(high)
