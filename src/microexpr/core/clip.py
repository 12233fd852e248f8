"""Clips and their action units."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class ActionUnit:
    """One facial action unit as the coder wrote it (Facial Action Coding System, Ekman & Friesen 1978).

    A `descriptor` is written as AD (AD38): an action descriptor, which is not the action unit of that number.
    """

    number: int
    side: Literal["L", "R"] | None = None
    intensity: str | None = None
    doubtful: bool = False
    descriptor: bool = False

    def __str__(self) -> str:
        kind, doubt = "AD" * self.descriptor, "?" * self.doubtful
        return f"{kind}{self.side or ''}{self.number}{self.intensity or ''}{doubt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One annotated expression; frames are numbered as the database numbers them, `offset` is inclusive.

    A precomputed image (optical flow, for instance) has no time: onset, apex and offset are None.
    """

    dataset: str
    subject_id: str
    namespace: str
    video: str
    fps: float | None = None
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    emotion: str | None = None
    action_units: tuple[ActionUnit, ...] = ()
    kind: Literal["micro", "macro"] = "micro"
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @property
    def key(self) -> str:
        """The clip's name in every result, for instance ``casme2/01/EP02_01f/46-86``."""
        time = () if self.onset is None else (f"{self.onset}-{self.offset}",)
        return "/".join((self.dataset, self.subject_id, self.video, *time))

    @property
    def subject(self) -> str:
        """The subject across databases; databases with the same people share a namespace."""
        return f"{self.namespace}/{self.subject_id}"
