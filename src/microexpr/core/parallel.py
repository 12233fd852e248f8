"""Work shared by processes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from joblib import Parallel
from joblib.externals.loky import get_reusable_executor

from microexpr.core.interfaces import REGISTRIES

CANCELLED = ".*tasks which were still being processed"
"""What joblib warns of when one task fails; the error itself says what happened."""


def in_processes(tasks: Iterable[Any], workers: int, *, ordered: bool = True) -> Iterator[Any]:
    """Yield what each task (`joblib.delayed`) gives; with one worker in this process."""
    kind = "generator" if ordered else "generator_unordered"
    outside = {folder: registry.outside() for folder, registry in REGISTRIES.items()}
    outside = {folder: components for folder, components in outside.items() if components}
    if workers > 1 and outside:
        tasks = ((_apart, (outside, *task), {}) for task in tasks)
    done = Parallel(n_jobs=workers, return_as=kind)(tasks)
    while True:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", CANCELLED)
            try:
                result = next(done)
            except StopIteration:
                return
        yield result


def begin_run() -> None:
    """Compare components from outside the package with their files anew, and end processes that may hold older code."""
    outside = [registry.begin_run() for registry in REGISTRIES.values()]
    if any(outside):
        get_reusable_executor().shutdown()


def _apart(outside: Mapping[str, Any], function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Work in another process, which has not registered what a script or a notebook has."""
    for folder, components in outside.items():
        REGISTRIES[folder].adopt(components)
    return function(*args, **kwargs)
