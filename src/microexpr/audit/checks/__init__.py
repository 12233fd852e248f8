"""Checks of method: what a reviewer would object to in a folder of results, with evidence and a fix for each.

All checks use stored results: folds, predictions, experiments and the summary, if there is one.
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
from microexpr.audit.checks._stored import WITHOUT_IMAGES, Stored, read
from microexpr.audit.checks._together import of_all, of_summary
from microexpr.core.errors import StoreError

__all__ = ["WITHOUT_IMAGES", "Finding", "Stored", "before_training", "check", "copies", "findings", "read"]


def check(out: Path) -> tuple[Finding, ...]:
    """Return all findings about a folder of results, warnings first; raises StoreError."""
    return findings(read(out), _summary(out))


def findings(stored: Sequence[Stored], summary: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return all findings about some experiments and the summary of their study, warnings first."""
    found = [*of_each(stored), *of_all(stored), *of_summary(summary, stored), *of_changed(stored)]
    return tuple(sorted(found, key=lambda finding: (finding.level == "note", finding.code)))


def _summary(out: Path) -> Mapping[str, Any]:
    file = out / "summary.json"
    try:
        return dict(json.loads(file.read_text("utf-8"))) if file.is_file() else {}
    except json.JSONDecodeError:
        raise StoreError(
            "E601", f"{file} is damaged. Run the study again; stored folds are not trained again."
        ) from None
