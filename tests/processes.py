"""Processes that tests start, wait for and end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIMIT = 240
"""Seconds until a process that has not ended fails its test."""
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def start(folder: Path, code: str, *words: object) -> subprocess.Popen[str]:
    """Start a process that runs `code` with these arguments."""
    file = folder / "process.py"
    if not file.exists():  # another process may be reading it
        file.write_text(code)
    command = [sys.executable, str(file), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ONE_THREAD)


@contextmanager
def killed_at_last(*processes: subprocess.Popen[str]) -> Iterator[None]:
    """End the processes, whatever happens."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def ended(*processes: subprocess.Popen[str]) -> list[str]:
    """Wait for processes, all of which must succeed, and return what they print."""
    until, found = time.monotonic() + LIMIT, []
    with killed_at_last(*processes):
        for process in processes:
            out, err = process.communicate(timeout=max(1, until - time.monotonic()))
            assert process.returncode == 0, err
            found.append(out)
    return found
