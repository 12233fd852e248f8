"""Several databases as one: each clip is still read by the reader of its own database."""

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

T = TypeVar("T")


@dataclass(frozen=True)
class Joined:
    """Recordings of several databases, by the names under which an experiment lists them."""

    members: Mapping[str, ClipSource]

    def modalities(self) -> Mapping[str, Modality]:
        """Return what all of them record alike: same name, same channels, same range."""
        first, *others = (member.modalities() for member in self.members.values())
        return {name: kind for name, kind in first.items() if all(other.get(name) == kind for other in others)}

    def clips(self) -> Sequence[Clip]:
        """Return the clips of all, database by database; raises DataError where two bear one key."""
        found = self._each(lambda member: member.clips())
        twice = [key for key, count in Counter(clip.key for clip in found).items() if count > 1]
        if twice:
            raise DataError(
                "E201",
                f"{len(twice)} clips are in two of the databases {', '.join(self.members)}, for instance {twice[0]}: "
                "list each database once.",
            )
        return found

    def faults(self, *, table_only: bool = False) -> Sequence[Fault]:
        """Return what is wrong with any of them; each says of which."""
        return self._told(lambda member: member.faults(table_only=table_only))

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        """Return what is unusual about any of them; each says of which."""
        return self._told(lambda member: member.notes(table_only=table_only))

    def applied(self) -> Sequence[Correction]:
        """Return the corrections that any copy needed."""
        return self._each(lambda member: member.applied())

    def cropped(self) -> bool:
        """Whether any of them holds faces that its owners have cut out."""
        return any(member.cropped() for member in self.members.values())

    def metadata(self) -> Mapping[str, str]:
        """Return the facts of each under its name; `synthetic` also for all, where any is."""
        metadata = {name: member.metadata() for name, member in self.members.items()}
        made = [f"{name}: {own['synthetic']}" for name, own in metadata.items() if "synthetic" in own]
        told = {f"{name}, {fact}": value for name, own in metadata.items() for fact, value in own.items()}
        return told | ({"synthetic": "; ".join(made)} if made else {})

    def frames(self, clip: Clip, numbers: Sequence[int], modality: str) -> Num[np.ndarray, "t h w c"]:
        """Return frames by number, read by the clip's own database."""
        return self._owners[clip.key].frames(clip, numbers, modality)

    def fingerprint(self) -> str:
        """Return a sha256 of the names and fingerprints."""
        parts = (f"{name} {member.fingerprint()}\n" for name, member in sorted(self.members.items()))
        return sha256("".join(parts).encode()).hexdigest()

    @cached_property
    def _owners(self) -> Mapping[str, ClipSource]:
        return {clip.key: member for member in self.members.values() for clip in member.clips()}

    def _told(self, ask: Callable[[ClipSource], Sequence[Fault]]) -> tuple[Fault, ...]:
        found = ((name, fault) for name, member in self.members.items() for fault in ask(member))
        return tuple(replace(fault, where=f"{name}: {fault.where}") for name, fault in found)

    def _each(self, ask: Callable[[ClipSource], Sequence[T]]) -> tuple[T, ...]:
        return tuple(item for member in self.members.values() for item in ask(member))
