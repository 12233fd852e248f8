"""What a folder holds of a database, and everything that is wrong with it; nothing is changed or mended."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from microexpr.core.clip import Clip
from microexpr.core.errors import ConfigError, DataError, Fault, UsageError
from microexpr.core.interfaces import Correction, Dataset, datasets

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What is in a folder, all that is wrong with it (`faults`), and all that is unusual and no fault (`remarks`)."""

    dataset: str
    title: str
    root: Path
    table_only: bool
    """Whether no picture was looked at."""
    metadata: Mapping[str, str]
    """Label version, folder, fingerprint ...; empty where the table cannot be read."""
    clips: int
    """Clips without a fault: those of `data table`, and of a run with --skip-invalid."""
    subjects: int
    faulty: int
    """Clips with faults, which those leave out."""
    faults: tuple[Fault, ...]
    notes: tuple[Fault, ...]
    corrections: tuple[Correction, ...]
    """Known defects of the table that were mended in reading."""

    @property
    def sound(self) -> bool:
        """Whether there is no fault; remarks do not count."""
        return not self.faults

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values; `kind` is a fault's problem without its numbers and names."""
        plain = {
            name: getattr(self, name)
            for name in ("dataset", "title", "table_only", "clips", "subjects", "faulty", "sound")
        }
        return {
            **plain,
            "root": str(self.root),
            "metadata": dict(self.metadata),
            "faults": [{**asdict(fault), "kind": kind(fault.problem)} for fault in self.faults],
            "notes": [{**asdict(fault), "kind": kind(fault.problem)} for fault in self.notes],
            "corrections": [asdict(correction) for correction in self.corrections],
        }


def open_dataset(name: str, root: Path, parameters: Mapping[str, Any]) -> Dataset:
    """Return the reader `name` of a folder; raises ConfigError for a parameter that it does not take."""
    if name == "synthetic":
        raise UsageError("E105", "drawn faces lie in CASME II's layout: say casme2 instead of synthetic.")
    if "corrections" in parameters and "corrections" not in datasets.parameters(name):
        raise ConfigError("E104", f"{name} has no corrections to leave out.")
    return datasets.get(name)(root, **datasets.bind(name, parameters))


def check(name: str, root: Path, parameters: Mapping[str, Any], *, table_only: bool = False) -> Diagnosis:
    """Return everything that can be said of a folder at once; raises only for a parameter that `name` does not take."""
    dataset = open_dataset(name, root, parameters)
    faults = list(dataset.faults(table_only=table_only))
    # A table that cannot be read has told so in its faults; what cannot be asked for because of that stays empty.
    clips: Sequence[Clip] = _or(dataset.clips, [], faults)
    metadata: Mapping[str, str] = _or(lambda: _facts(dataset, table_only), {}, faults)
    notes: Sequence[Fault] = _or(lambda: dataset.notes(table_only=table_only), [], faults)
    applied: Sequence[Correction] = _or(dataset.applied, [], faults)
    bad = {fault.clip for fault in faults if fault.clip}
    sound = [clip for clip in clips if clip.key not in bad]
    return Diagnosis(
        dataset=name,
        title=dataset.info.title,
        root=root,
        table_only=table_only,
        metadata=metadata,
        clips=len(sound),
        subjects=len({clip.subject for clip in sound}),
        faulty=len(bad),
        faults=tuple(faults),
        notes=tuple(notes),
        corrections=tuple(applied),
    )


def usable(
    name: str, root: Path, parameters: Mapping[str, Any], *, table_only: bool = False
) -> tuple[Dataset, list[Clip], tuple[Fault, ...]]:
    """Return a reader, its clips without faults, and the faults of the others; raises DataError where none is left."""
    dataset = open_dataset(name, root, parameters)
    faults = tuple(dataset.faults(table_only=table_only))
    bad = {fault.clip for fault in faults}
    if None in bad:
        hint = "" if table_only else " For the table alone, without a look at the pictures, say --table-only."
        raise DataError("E201", f"{root} cannot be read as {dataset.info.title}.{hint}", faults)
    clips = [clip for clip in dataset.clips() if clip.key not in bad]
    if not clips:
        raise DataError("E201", f"{root}: no clip is without a fault.", faults)
    return dataset, clips, faults


def kind(problem: str) -> str:
    """Return a problem without its numbers, quoted words and paths, so that those that are alike are one kind.

    >>> kind("lacks the frames 97-99, 103 of 73-110 (it has 73-96)")
    'lacks the frames … of … (it has …)'
    """
    unquoted = re.sub(r"(?<!\w)'.*?'(?!\w)|(?<!\S)/\S+", "…", problem)
    return re.sub(r"-?\d+(?:\.\d+)?(?:-\d+)?(?:, \d+(?:-\d+)?)*", "…", unquoted)


def alike(faults: Iterable[Fault]) -> list[list[Fault]]:
    """Return faults by kind and mend: those of the whole database first, then the commonest kind."""
    groups: dict[tuple[str, str], list[Fault]] = {}
    for fault in faults:
        groups.setdefault((kind(fault.problem), kind(fault.fix)), []).append(fault)
    return sorted(groups.values(), key=lambda group: (group[0].clip is not None, -len(group)))


def _or(ask: Callable[[], T], empty: T, faults: list[Fault]) -> T:
    """Return what is asked for, or `empty` where it cannot be read, which is then among the faults."""
    try:
        return ask()
    except DataError as error:
        faults += [fault for fault in error.faults if fault not in faults]
        return empty


def _facts(dataset: Dataset, table_only: bool) -> dict[str, str]:
    # A fingerprint covers the pictures' names and sizes: without a look at them there is none.
    return {**dataset.metadata(), **({} if table_only else {"fingerprint": dataset.fingerprint()})}
