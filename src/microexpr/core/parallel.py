"""Running tasks in several processes."""

from __future__ import annotations

import functools
import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import cv2
from joblib import Parallel, delayed
from joblib.externals.loky import ProcessPoolExecutor, get_reusable_executor
from threadpoolctl import ThreadpoolController

from microexpr.core.interfaces import REGISTRIES

T = TypeVar("T")
R = TypeVar("R")
TOGETHER = 0.01
"""Seconds of work that a thread takes at once: passing a result on takes a tenth of a millisecond."""
TICK = 0.1
CANCELLED = ".*tasks which were still being processed"
"""Warning of joblib when a task fails; the error itself is raised anyway."""


def in_processes(tasks: Iterable[Any], workers: int, *, ordered: bool = True) -> Iterator[Any]:
    """Yield the result of each task (`joblib.delayed`); with one worker, tasks run in this process."""
    kind = "generator" if ordered else "generator_unordered"
    if workers > 1:
        outside, parent = _outside(), os.getpid()
        tasks = ((_in_worker, (parent, outside, *task), {}) for task in tasks)
    with _large_pages():  # processes inherit it when they start
        done = Parallel(n_jobs=workers, return_as=kind)(tasks)
    while True:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", CANCELLED)
            try:
                result = next(done)
            except StopIteration:
                return
        yield result


def workers(call: Callable[[int], None], number: int) -> Generator[None, None, None]:
    """Make the calls 0 .. number - 1 in a process each, and yield every `TICK` seconds until all have ended.

    Closing it ends the processes, and so does the death of one of them.
    """
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            calls = (delayed(call)(each) for each in range(number))
            # With one, joblib would make the call in this process.
            deque(in_processes(calls, max(number, 2), ordered=False), maxlen=0)
        except BaseException as error:  # raised again below
            errors.append(error)

    thread = threading.Thread(target=wait, name="workers", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            yield
            thread.join(TICK)
    except BaseException:
        get_reusable_executor(reuse=True).shutdown(kill_workers=True)
        thread.join()
        raise
    if errors and not isinstance(errors[0], BrokenExecutor):
        raise errors[0]


def limited_threads(number: int) -> AbstractContextManager[Any]:
    """Return a context in which matrix products, among others, use so many threads.

    Small products and decompositions are slower with several, by a factor of ten on a machine under load.
    """
    limited: AbstractContextManager[Any] = _libraries().limit(limits=number)
    return limited


@functools.cache
def _libraries() -> ThreadpoolController:
    """Return the libraries of this process that use threads; finding them takes milliseconds."""
    return ThreadpoolController()


@contextmanager
def _large_pages() -> Iterator[None]:
    """Let processes that are started take memory in large pages, where Linux and glibc have them.

    Steps of small networks allocate and free much memory for little work; mapping it in small pages takes part of their
    time. A value of the user's own is kept.
    """
    if "GLIBC_TUNABLES" in os.environ:
        yield
        return
    os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
    try:
        yield
    finally:
        del os.environ["GLIBC_TUNABLES"]


@contextmanager
def in_new_process(function: Callable[..., Any], *args: Any) -> Iterator[Future[Any]]:
    """Run one task in a process of its own, which ends with the block; yield its future.

    The future raises concurrent.futures.BrokenExecutor if the process crashes.
    """
    executor = ProcessPoolExecutor(max_workers=1)
    try:
        yield executor.submit(_in_worker, os.getpid(), _outside(), function, args, {})
    except BaseException:
        executor.shutdown(kill_workers=True)
        raise
    executor.shutdown()


@contextmanager
def in_threads(function: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[Iterator[R]]:
    """Yield the results for all items, in order, computed by threads of this process, each on one core.

    For functions that spend their time in OpenCV and numpy, which let other threads run: nothing is copied to another
    process, and none has to be started. Small products on several cores wait for each other far longer than they take.
    Threads take as many items at once as last `TOGETHER` seconds, judged by the first.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)

    def results(pool: Executor) -> Iterator[R]:
        if not items:
            return
        start = time.perf_counter()
        first = function(items[0])
        size = max(1, min(64, int(TOGETHER / (time.perf_counter() - start))))
        yield first
        parts = [items[at : at + size] for at in range(1, len(items), size)]
        for part in _a_few_ahead(pool, lambda part: [function(item) for item in part], parts, 2 * workers):
            yield from part

    try:
        with limited_threads(1), ThreadPoolExecutor(workers) as pool:
            yield results(pool)
    finally:
        cv2.setNumThreads(before)


def _a_few_ahead(pool: Executor, function: Callable[[T], R], items: Sequence[T], ahead: int) -> Iterator[R]:
    """Yield results in order, with no more than `ahead` of them waiting in memory."""
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def begin_run() -> None:
    """Reread the source of components from outside the package, and end worker processes that may hold older code."""
    outside = [registry.begin_run() for registry in REGISTRIES.values()]
    if any(outside):
        get_reusable_executor().shutdown()


def _outside() -> dict[str, Any]:
    """Return the components from outside the package, which another process must adopt."""
    outside = {folder: registry.outside() for folder, registry in REGISTRIES.items()}
    return {folder: components for folder, components in outside.items() if components}


def _in_worker(parent: int, outside: Mapping[str, Any], function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Register the components of a script or notebook in a process that `parent` started, then run the task."""
    _end_with(parent)
    for folder, components in outside.items():
        REGISTRIES[folder].adopt(components)
    return function(*args, **kwargs)


@functools.cache
def _end_with(parent: int) -> None:
    """End this process when the one that started it has ended: if that was killed, it cannot say so."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    if os.getppid() == parent:
        threading.Thread(target=watch, name="parent", daemon=True).start()
