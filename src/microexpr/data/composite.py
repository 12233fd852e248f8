"""Several databases as one; each clip is read by the reader of its own database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import TypeVar

import numpy as np
from jaxtyping import Num

from microexpr.core.clip import Clip
from microexpr.core.errors import DataError, Fault
from microexpr.core.interfaces import ClipSource, Correction, Modality
from microexpr.core.words import many

T = TypeVar("T")


@dataclass(frozen=True)
class Composite:
    """Recordings of several databases, by their names in the experiment."""

    members: Mapping[str, ClipSource]

    def modalities(self) -> Mapping[str, Modality]:
        """Return the modalities that all of them have, with the same name, channels and range."""
        first, *others = (member.modalities() for member in self.members.values())
        return {name: kind for name, kind in first.items() if all(other.get(name) == kind for other in others)}

    def clips(self) -> Sequence[Clip]:
        """Return the clips of all, database by database; raises DataError where two have one key."""
        found = self._each(lambda member: member.clips())
        twice = [key for key, count in Counter(clip.key for clip in found).items() if count > 1]
        if twice:
            raise DataError(
                "E270",
                f"the databases {', '.join(self.members)} have {many(len(twice), 'clip')} in common, for instance "
                f"{twice[0]}: list each database once.",
            )
        return found

    def faults(self, *, table_only: bool = False) -> Sequence[Fault]:
        """Return the faults of all; each names its database."""
        return self._named(lambda member: member.faults(table_only=table_only))

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        """Return the notes of all; each names its database."""
        return self._named(lambda member: member.notes(table_only=table_only))

    def applied(self) -> Sequence[Correction]:
        """Return the corrections of all."""
        return self._each(lambda member: member.applied())

    def cropped(self) -> bool:
        """Whether any of them has faces that its owners cropped."""
        return any(member.cropped() for member in self.members.values())

    def metadata(self) -> Mapping[str, str]:
        """Return the metadata of each under its name; `synthetic` also for all, where any is."""
        metadata = {name: member.metadata() for name, member in self.members.items()}
        synthetic = [f"{name}: {own['synthetic']}" for name, own in metadata.items() if "synthetic" in own]
        named = {f"{name}, {key}": value for name, own in metadata.items() for key, value in own.items()}
        return named | ({"synthetic": "; ".join(synthetic)} if synthetic else {})

    def frames(self, clip: Clip, numbers: Sequence[int], modality: str) -> Num[np.ndarray, "t h w c"]:
        """Return frames by number, read by the reader of the clip's database."""
        return self._owners[clip.key].frames(clip, numbers, modality)

    def fingerprint(self) -> str:
        """Return a sha256 of the names and fingerprints."""
        parts = (f"{name} {member.fingerprint()}\n" for name, member in sorted(self.members.items()))
        return sha256("".join(parts).encode()).hexdigest()

    @cached_property
    def _owners(self) -> Mapping[str, ClipSource]:
        return {clip.key: member for member in self.members.values() for clip in member.clips()}

    def _named(self, ask: Callable[[ClipSource], Sequence[Fault]]) -> tuple[Fault, ...]:
        found = ((name, fault) for name, member in self.members.items() for fault in ask(member))
        return tuple(replace(fault, where=f"{name}: {fault.where}") for name, fault in found)

    def _each(self, ask: Callable[[ClipSource], Sequence[T]]) -> tuple[T, ...]:
        return tuple(item for member in self.members.values() for item in ask(member))
