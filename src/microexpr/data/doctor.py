"""The check of a database's folder: what it contains and everything wrong with it; nothing is changed."""

from __future__ import annotations

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
    """What is in a folder, everything wrong with it (`faults`) and everything unusual that is not wrong (`notes`)."""

    dataset: str
    title: str
    root: Path
    table_only: bool
    """Whether only the table was checked, no image."""
    metadata: Mapping[str, str]
    """Label version, folder, fingerprint ...; empty where the table cannot be read."""
    clips: int
    """Clips without a fault: those that `data table` lists, and that are left with --skip-invalid."""
    subjects: int
    faulty: int
    """Clips with faults, which both leave out."""
    faults: tuple[Fault, ...]
    notes: tuple[Fault, ...]
    corrections: tuple[Correction, ...]
    """Known defects of the table that were corrected in reading."""

    @property
    def sound(self) -> bool:
        """Whether there is no fault; notes do not count."""
        return not self.faults

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        plain = {
            name: getattr(self, name)
            for name in ("dataset", "title", "table_only", "clips", "subjects", "faulty", "sound")
        }
        return {
            **plain,
            "root": str(self.root),
            "metadata": dict(self.metadata),
            "faults": [asdict(fault) for fault in self.faults],
            "notes": [asdict(note) for note in self.notes],
            "corrections": [asdict(correction) for correction in self.corrections],
        }


def open_dataset(name: str, root: Path, parameters: Mapping[str, Any]) -> Dataset:
    """Return the reader `name` of a folder; raises ConfigError for a parameter that it does not take."""
    if name == "synthetic":
        raise UsageError("E105", "a synthetic database has CASME II's layout: use the name casme2.")
    if "corrections" in parameters and "corrections" not in datasets.parameters(name):
        raise ConfigError("E104", f"{name} has no corrections, so --no-corrections does nothing; leave it out.")
    return datasets.get(name)(root, **datasets.bind(name, parameters))


def check(name: str, root: Path, parameters: Mapping[str, Any], *, table_only: bool = False) -> Diagnosis:
    """Return everything about a folder at once; raises only for a parameter that `name` does not take."""
    dataset = open_dataset(name, root, parameters)
    faults = list(dataset.faults(table_only=table_only))

    def read(ask: Callable[[], T], empty: T) -> T:
        """Return the answer, or `empty` where the table cannot be read, which is then among the faults."""
        try:
            return ask()
        except DataError as error:
            faults.extend(fault for fault in error.faults if fault not in faults)
            return empty

    def with_fingerprint() -> Mapping[str, str]:
        # A fingerprint covers the images' names and sizes, so the table alone has none.
        return {**dataset.metadata(), **({} if table_only else {"fingerprint": dataset.fingerprint()})}

    nothing: tuple[Any, ...] = ()
    clips: Sequence[Clip] = read(dataset.clips, nothing)
    metadata: Mapping[str, str] = read(with_fingerprint, {})
    notes: Sequence[Fault] = read(lambda: dataset.notes(table_only=table_only), nothing)
    applied: Sequence[Correction] = read(dataset.applied, nothing)
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
        only_frames = not table_only and not any(fault.clip is None for fault in dataset.faults(table_only=True))
        hint = " The table alone can be read with --table-only." if only_frames else ""
        raise DataError("E201", f"{root} cannot be read as {name}.{hint}", faults)
    clips = [clip for clip in dataset.clips() if clip.key not in bad]
    if not clips:
        raise DataError("E273", f"{root}: every clip has a fault.", faults)
    return dataset, clips, faults


def grouped(faults: Iterable[Fault]) -> list[list[Fault]]:
    """Return faults grouped by code and fix: those of the whole database first, then the largest group."""
    groups: dict[tuple[str, str], list[Fault]] = {}
    for fault in faults:
        groups.setdefault((fault.code, fault.fix), []).append(fault)
    return sorted(groups.values(), key=lambda group: (group[0].clip is not None, -len(group)))
