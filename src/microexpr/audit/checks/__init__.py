"""Checks of method: what in a folder of results a reviewer would object to, each with its evidence and its mend.

Everything is told from what is stored: folds, predictions, experiments and, where there is one, the summary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from microexpr.audit.checks._changed import of_changed
from microexpr.audit.checks._copies import before_training, copies
from microexpr.audit.checks._finding import Finding
from microexpr.audit.checks._single import of_each
from microexpr.audit.checks._stored import BLIND, Stored, read
from microexpr.audit.checks._together import of_all, of_summary
from microexpr.core.errors import StoreError

__all__ = ["BLIND", "Finding", "Stored", "before_training", "check", "copies", "findings", "read"]


def check(out: Path) -> tuple[Finding, ...]:
    """Return everything to object to in a folder of results, warnings first; raises StoreError."""
    return findings(read(out), _summary(out))


def findings(stored: Sequence[Stored], summary: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return everything to object to in some experiments and the summary of their study, warnings first."""
    found = [*of_each(stored), *of_all(stored), *of_summary(summary, stored), *of_changed(stored)]
    return tuple(sorted(found, key=lambda finding: (finding.level == "note", finding.code)))


def _summary(out: Path) -> Mapping[str, Any]:
    file = out / "summary.json"
    try:
        return dict(json.loads(file.read_text("utf-8"))) if file.is_file() else {}
    except json.JSONDecodeError:
        raise StoreError("E601", f"{file} is damaged; run the study again, which trains nothing anew.") from None
