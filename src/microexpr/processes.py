"""Work shared by processes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from joblib import Parallel

CANCELLED = ".*tasks which were still being processed"
"""What joblib warns of when one task fails; the error itself says what happened."""


def in_processes(tasks: Iterable[Any], workers: int, *, ordered: bool = True) -> Iterator[Any]:
    """Yield what each task (`joblib.delayed`) gives; with one worker in this process."""
    kind = "generator" if ordered else "generator_unordered"
    done = Parallel(n_jobs=workers, return_as=kind)(tasks)
    while True:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", CANCELLED)
            try:
                result = next(done)
            except StopIteration:
                return
        yield result
