"""Running tasks in several processes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from joblib import Parallel
from joblib.externals.loky import ProcessPoolExecutor, get_reusable_executor

from microexpr.core.interfaces import REGISTRIES

CANCELLED = ".*tasks which were still being processed"
"""Warning of joblib when a task fails; the error itself is raised anyway."""


def in_processes(tasks: Iterable[Any], workers: int, *, ordered: bool = True) -> Iterator[Any]:
    """Yield the result of each task (`joblib.delayed`); with one worker, tasks run in this process."""
    kind = "generator" if ordered else "generator_unordered"
    outside = _outside()
    if workers > 1 and outside:
        tasks = ((_adopting, (outside, *task), {}) for task in tasks)
    done = Parallel(n_jobs=workers, return_as=kind)(tasks)
    while True:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", CANCELLED)
            try:
                result = next(done)
            except StopIteration:
                return
        yield result


@contextmanager
def in_new_process(function: Callable[..., Any], *args: Any) -> Iterator[Future[Any]]:
    """Run one task in a process of its own, which ends with the block; yield its future.

    The future raises concurrent.futures.BrokenExecutor if the process crashes.
    """
    executor = ProcessPoolExecutor(max_workers=1)
    try:
        yield executor.submit(_adopting, _outside(), function, args, {})
    except BaseException:
        executor.shutdown(kill_workers=True)
        raise
    executor.shutdown()


def begin_run() -> None:
    """Reread the source of components from outside the package, and end worker processes that may hold older code."""
    outside = [registry.begin_run() for registry in REGISTRIES.values()]
    if any(outside):
        get_reusable_executor().shutdown()


def _outside() -> dict[str, Any]:
    """Return the components from outside the package, which another process must adopt."""
    outside = {folder: registry.outside() for folder, registry in REGISTRIES.items()}
    return {folder: components for folder, components in outside.items() if components}


def _adopting(outside: Mapping[str, Any], function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Register the components of a script or notebook in another process, then run the task."""
    for folder, components in outside.items():
        REGISTRIES[folder].adopt(components)
    return function(*args, **kwargs)
