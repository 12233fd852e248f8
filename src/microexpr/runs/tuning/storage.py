"""Storage of trials: a journal file that survives killed processes, or a database; and which workers are alive."""

from __future__ import annotations

import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from microexpr.core.claims import busy, claimed
from microexpr.core.errors import ConfigError, StoreError
from microexpr.core.files import make_folder

JOURNAL = "journal.log"


class JournalLock:
    """Claim a journal while a line is written.

    Optuna's own locks are files that a killed process leaves behind for 30 seconds. An incomplete last line, left by a
    killed writer, is removed before the next line is written; otherwise both would form one unreadable line. A copy of
    the journal with the incomplete line is kept next to it.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._file = journal.with_name(f"{journal.name}.lock")
        self._claim = ExitStack()

    def acquire(self) -> bool:
        """Wait for the claim, and remove an incomplete last line."""
        with ExitStack() as stack:
            stack.enter_context(claimed(self._file, wait=True))
            self._truncate()
            self._claim = stack.pop_all()
        return True

    def release(self) -> None:
        """Give the claim back."""
        self._claim.close()

    def _truncate(self) -> None:
        if not self._journal.is_file():
            return
        with self._journal.open("r+b") as stream:
            end = stream.seek(0, 2)
            stream.seek(max(end - 1, 0))
            if not end or stream.read(1) == b"\n":
                return
            stream.seek(0)
            whole = stream.read().rfind(b"\n") + 1
            shutil.copyfile(self._journal, self._journal.with_name(f"{self._journal.name}.truncated"))
            stream.truncate(whole)


def open_storage(folder: Path, url: str) -> tuple[BaseStorage, str]:
    """Return the storage of trials, and its name without password; raises ConfigError or StoreError."""
    return _database(url) if url else _journal(make_folder(folder) / JOURNAL)


def _journal(file: Path) -> tuple[BaseStorage, str]:
    lock = JournalLock(file)
    try:
        lock.acquire()
        lock.release()
        # JournalLock has the interface of Optuna's locks, but importing their base class is not worth it.
        return JournalStorage(JournalFileBackend(str(file), cast(Any, lock))), str(file)
    except OSError as error:
        raise StoreError("E607", f"{file} cannot be used: {error.strerror}; choose another --out.") from None
    except (ValueError, KeyError, AssertionError):  # JSONDecodeError is a ValueError
        raise StoreError(
            "E605",
            f"{file} is damaged, and its trials cannot be read. Restore a copy, or remove it to search again; finished "
            "folds are not lost.",
        ) from None


def _database(url: str) -> tuple[BaseStorage, str]:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        name = make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        raise ConfigError(
            "E144",
            f"--storage {url} is not the URL of a database; write for example sqlite:///trials.db or "
            "postgresql://user:password@host/name, or leave it out to use a file in --out.",
        ) from None
    wait = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    try:
        return optuna.storages.RDBStorage(url, engine_kwargs=wait), name
    except ImportError as error:
        raise ConfigError(
            "E143", f"--storage {name}: its driver is not installed ({error}); install it with pip."
        ) from None
    except (SQLAlchemyError, RuntimeError, ValueError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())[:300]
        raise StoreError("E607", f"--storage {name} cannot be used: {reason}.") from None


def without_password(text: str, url: str) -> str:
    """Return a text, such as a command line, without the password of a storage."""
    from sqlalchemy.engine import make_url

    return text.replace(url, make_url(url).render_as_string(hide_password=True))


@dataclass(frozen=True)
class Workers:
    """The processes that search in one folder: each has a claim while it runs."""

    folder: Path
    name: str

    @property
    def place(self) -> str:
        """Machine and folder: it can only be checked for workers of the same place whether they are alive."""
        return f"{socket.gethostname()}:{self.folder.resolve()}"

    def alive(self, name: str) -> bool:
        """Whether a worker of this place is still running."""
        if busy(self.file(name)):
            return True
        self.file(name).unlink(missing_ok=True)  # names are never reused
        return False

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Be the only worker of the folder that reads the trials and starts one."""
        with claimed(self.folder / "asking.lock", wait=True):
            yield

    def file(self, name: str) -> Path:
        """Return the file of a worker's claim."""
        return self.folder / f"worker-{name}.lock"


@contextmanager
def working(folder: Path) -> Iterator[Workers]:
    """Be one of a folder's workers; one that ends normally leaves no file behind."""
    workers = Workers(make_folder(folder), uuid.uuid4().hex[:12])
    with claimed(workers.file(workers.name), wait=False):
        yield workers
