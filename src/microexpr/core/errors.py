"""Errors that users can meet. Each message says what is wrong, where, and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a database, or unusual about it: where it is, what it is, how to fix it."""

    code: str
    """Kind of fault, a key of `error_codes.CODES`."""
    where: str
    problem: str
    fix: str
    clip: str | None = None
    """Key of the clip that cannot be used; None where the whole database cannot."""

    def __str__(self) -> str:
        return f"{self.where}: {self.problem} -> {self.fix} [{self.code}]"


class MicroexprError(Exception):
    """An error that a user can fix; the command prints its message and code, never a traceback.

    `code` is a key of `error_codes.CODES` and stays the same when the message is reworded.
    """

    exit_code = 1

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), str(self), self.__dict__)


class OldNameWarning(FutureWarning):
    """A study file uses a name of an earlier version, which is still accepted."""


class UsageError(MicroexprError):
    """The command line was used wrongly."""

    exit_code = 2


class ConfigError(MicroexprError):
    """A study or experiment file, or a parameter in it, is wrong."""


class UnknownComponentError(ConfigError):
    """A name that is not in its registry."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        super().__init__("E103", f"unknown {kind} {name!r}{suggest(name, known)}. Known: {', '.join(known) or 'none'}.")


class IncompatibleError(ConfigError):
    """A method that does not fit the data: it needs frames, channels, times or a size that they do not have."""


class DataError(MicroexprError):
    """A database cannot be used as it is."""

    def __init__(self, code: str, message: str, faults: Sequence[Fault] = ()) -> None:
        self.faults = tuple(faults)
        listed = "".join(f"\n  {number:>3}. {fault}" for number, fault in enumerate(self.faults, start=1))
        super().__init__(code, message + listed)


class FrameError(DataError):
    """A frame cannot be read, or is not what its table says."""


class NoFrameError(FrameError):
    """A requested frame number is not part of the clip."""


class NoFaceError(DataError):
    """The detector finds no face in a frame."""


class SplitError(MicroexprError):
    """The clips cannot be divided as the protocol requires."""


class WeightsError(MicroexprError):
    """Pretrained weights are missing, damaged or of another model."""


class NoWeightsError(WeightsError):
    """Published weights that have not been downloaded yet."""


class StoreError(MicroexprError):
    """Results cannot be written or read."""


class LauncherError(MicroexprError):
    """Workers cannot be started, or they ended without results."""


class TimeIsUp(BaseException):
    """The time of this worker is nearly over: it drops what it is doing. Never caught as an error."""


class TrainingError(MicroexprError):
    """Training cannot continue, for example after a loss that is not finite."""


def _rebuilt(kind: type[MicroexprError], message: str, content: dict[str, Any]) -> MicroexprError:
    """Return an error raised in another process, with its original message."""
    error = kind.__new__(kind, message)
    error.__dict__.update(content)
    return error


def of_clip(error: DataError, key: str) -> str:
    """Return the message of an error without the clip's key in front, for places that name the clip already."""
    return str(error).removeprefix(f"{key}: ")


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ' (did you mean ...?)' with the most similar known word, or '' if none is similar."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
