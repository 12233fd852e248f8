"""Claims: a small file says which process does a piece of work, on any file system, without locks of the system.

An owner touches the files of its claims every `BEAT` seconds. The claim of a process that ended lapses: at once if it
ran on this machine, otherwise when its file has not been touched for `LAPSE` seconds of the observer's own clock, so
that clocks that differ or are set back do not matter. A process that was stopped for longer may find its claim taken:
what is done under a claim must be harmless if it is done twice.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from microexpr.core.errors import StoreError

BEAT = 10.0
LAPSE = 90.0
"""Attributes of files may be a minute old on a network's file system."""
PAUSES = (0.01, 2.0)
"""Seconds between two looks at a claim of another process: the first and the longest."""


@dataclass(frozen=True)
class Owner:
    """The process that has a claim, as its file says."""

    id: str
    """Of the claim, not of the process."""
    host: str
    machine: str
    """Digest of what process numbers are unique in: one start of a machine, one namespace."""
    pid: int
    began: str
    """When the process began, in the units of the system: numbers of processes are used again."""
    run: str = ""
    """The run for which the work is done."""
    since: float = 0.0
    """When the work began, in seconds since 1970; for people only."""
    attempt: int = 1
    """How many processes of the same run began this work; those before ended without a result."""

    @property
    def gone(self) -> bool:
        """Whether the process is known to have ended."""
        return self.machine == _machine() and _began(self.pid) != self.began


UNKNOWN = Owner("", "unknown", "", 0, "")
"""The owner of a claim that was created just now, or whose process was killed at that moment."""


@contextmanager
def claimed(file: Path, *, wait: bool, run: str = "") -> Iterator[Owner | None]:
    """Claim the work that a file stands for; yield the claim, or None if another process has it.

    `wait` for that process to end its work instead. Raises StoreError if the folder cannot be written.
    """
    pause, longest = PAUSES
    while (mine := _try(file, run)) is None and wait:
        time.sleep(pause)
        pause = min(1.5 * pause, longest)
    if mine is None:
        yield None
        return
    _heart.keep(file)
    try:
        yield mine
    finally:
        _heart.leave(file)
        with suppress(OSError):
            if _parsed(file.read_bytes()) == mine:  # otherwise it was taken
                file.unlink()


@contextmanager
def held(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Use a folder as the only process; if another uses it, `wait` for it, or raise StoreError."""
    with claimed(folder / ".lock", wait=wait) as mine:
        if mine is None:
            raise StoreError("E610", f"another run is using {folder}; wait until it ends, or choose another --out.")
        yield


def busy(file: Path) -> Owner | None:
    """Return who does the work that a file stands for; None if no process does."""
    found = _look(file)
    if found is None or _lapsed(file, *found):
        return None
    return _parsed(found[0]) or UNKNOWN


def _try(file: Path, run: str) -> Owner | None:
    """Claim the work if it is free, or if its owner is gone."""
    attempt = 1
    if found := _look(file):
        if not _lapsed(file, *found):
            return None
        before = _parsed(found[0])
        attempt = before.attempt + 1 if before and run and before.run == run else 1
        if not _remove(file, found):
            return None
    mine = Owner(uuid4().hex, platform.node(), _machine(), os.getpid(), _began(os.getpid()), run, time.time(), attempt)
    try:
        with file.open("xb", buffering=0) as stream:
            stream.write(json.dumps(asdict(mine)).encode())
    except FileExistsError:
        return None
    except OSError as error:
        raise StoreError("E601", f"{file} cannot be written: {error.strerror}; choose another --out.") from None
    return mine


def _look(file: Path) -> tuple[bytes, int] | None:
    """Return what a claim says and when it was touched; opening it makes a network's file system look again."""
    try:
        with file.open("rb") as stream:
            return stream.read(), os.fstat(stream.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError("E601", f"{file} cannot be read: {error.strerror}; choose another --out.") from None


def _parsed(content: bytes) -> Owner | None:
    try:
        return Owner(**json.loads(content))
    except (ValueError, TypeError):  # the file was just created, or its owner was killed at that moment
        return None


_seen: dict[Path, tuple[tuple[bytes, int], float]] = {}
"""What was seen of the claims of other processes, and since when."""


def _lapsed(file: Path, content: bytes, touched: int) -> bool:
    known = _parsed(content)
    if known and known.gone:
        return True
    now = time.monotonic()
    before, since = _seen.setdefault(file, ((content, touched), now))
    if before != (content, touched):
        _seen[file] = ((content, touched), now)
        return False
    return now - since > LAPSE


def _remove(file: Path, found: tuple[bytes, int]) -> bool:
    """Remove a claim that lapsed; of several processes that try, one does."""
    aside = file.with_name(f"{file.name}.{uuid4().hex}.lapsed")
    try:
        file.rename(aside)
    except OSError:
        return False  # another process was faster
    _seen.pop(file, None)
    try:
        if _look(aside) != found and not file.exists():  # a claim that another process has made since
            aside.rename(file)
            return False
    finally:
        aside.unlink(missing_ok=True)
    return True


class _Heart:
    """Touches the files of this process's claims."""

    def __init__(self) -> None:
        self._files: set[Path] = set()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def keep(self, file: Path) -> None:
        with self._guard:
            self._files.add(file)
            if self._thread is None or not self._thread.is_alive():  # a forked process has no threads
                self._thread = threading.Thread(target=self._beat, name="claims", daemon=True)
                self._thread.start()

    def leave(self, file: Path) -> None:
        with self._guard:
            self._files.discard(file)

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT)
            with self._guard:
                files = list(self._files)
                if not files:
                    self._thread = None
                    return
            for file in files:
                with suppress(OSError):
                    os.utime(file)


_heart = _Heart()


@functools.cache
def _machine() -> str:
    parts = [platform.node()]
    with suppress(OSError):
        parts = [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), str(Path("/proc/self/ns/pid").readlink())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _began(pid: int) -> str:
    """Return when a process of this machine began; "" if there is no such process, "unknown" if it cannot be found."""
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else fields[19]
    if os.name == "posix":
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
        except PermissionError:
            pass
    return "unknown"  # signals end processes of Windows
