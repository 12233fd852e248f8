"""A finding of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LEVEL = 0.05


@dataclass(frozen=True)
class Finding:
    """Something that a reviewer would object to (`warning`) or should know (`note`)."""

    code: str
    level: Literal["warning", "note"]
    sentence: str
    evidence: str
    fix: str

    def __str__(self) -> str:
        return f"{self.code} {self.sentence} {self.evidence}\n      -> {self.fix}"
