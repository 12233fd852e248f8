"""Signals that end a process, as exceptions that are not lost."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

AGAIN = 0.05
"""Seconds until an exception that was dropped is raised again."""


def raise_on(number: int, error: Callable[[], BaseException]) -> None:
    """Raise an exception in the main thread whenever this signal arrives.

    Python drops what is raised while a destructor or a callback of a weak reference runs, with a message only. The
    exception is then raised again, a little later.
    """
    raised: list[BaseException] = []
    main, before = threading.main_thread(), sys.unraisablehook

    def handle(received: int, frame: object) -> None:
        raised[:] = [error()]
        raise raised[0]

    def dropped(unraisable: Any) -> None:
        if not (raised and unraisable.exc_value is raised[0]):
            before(unraisable)
            return
        assert main.ident is not None
        timer = threading.Timer(AGAIN, signal.pthread_kill, (main.ident, number))
        timer.daemon = True
        timer.start()

    sys.unraisablehook = dropped
    signal.signal(number, handle)
