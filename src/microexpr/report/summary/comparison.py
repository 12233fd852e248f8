"""The summary of `microexpr compare` as plain data, which its page is made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from microexpr.audit.comparison import Compared, settings, surroundings, titles
from microexpr.core.confusion import confusion_matrix, present
from microexpr.core.environment import environment
from microexpr.core.errors import ConfigError
from microexpr.core.randomness import rng_for
from microexpr.evaluation.predictions import confusion_metric
from microexpr.evaluation.statistics.bootstrap import METHODS, bootstrap_all
from microexpr.evaluation.statistics.comparison import Comparison
from microexpr.evaluation.statistics.influence import influence
from microexpr.report.reading import FORMAT

SCORES = ("macro_f1", "uar", "accuracy")


def summarise_comparison(found: Compared, command: str = "") -> dict[str, Any]:
    """Return a comparison as plain data: numbers, strings, lists and dictionaries."""
    first, stored = found.comparisons[0], found.stored
    software = environment()
    return {
        "format": FORMAT,
        "command": command,
        "version": software["microexpr"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "metric": first.metric,
        "unit": first.unit,
        "intervals": {"method": first.method, "unit": first.unit, "n": first.resamples, "level": first.level},
        "data": {
            "datasets": list(dict.fromkeys(item.name for item in stored[0].experiment.datasets)),
            "n_clips": first.n_clips,
            "n_subjects": first.n_subjects,
            "classes": list(found.predictions[0].classes),
        },
        "results": [_result(found, at) for at in range(len(stored))],
        "settings": [row._asdict() for row in settings(stored)],
        "surroundings": [row._asdict() for row in surroundings(stored)],
        "comparisons": [
            comparison_row(one) | {"letter": letter}
            for one, letter in zip(found.comparisons, found.letters[1:], strict=True)
        ],
        "changed": list(_changed(found)),
        "influence": [_influence(found, at) for at in range(1, len(stored))],
        "checks": [asdict(finding) for finding in found.checks],
        "caveats": [caveat._asdict() for caveat in found.caveats],
        "environment": software,
    }


def comparison_row(found: Comparison) -> dict[str, Any]:
    """Return one comparison as plain numbers and words, with how its interval and p-value were made."""
    return asdict(found) | {
        "significant": found.significant,
        "verdict": found.verdict,
        "interval": f"{100 * found.level:.3g} % intervals: {METHODS[found.method]} by {found.unit}, "
        f"{found.resamples:,} resamples",
        "test": f"p: paired permutation test by {found.unit}",
        "notes": list(found.notes),
    }


def _result(found: Compared, at: int) -> dict[str, Any]:
    each, given, first = found.stored[at], found.predictions[at], found.comparisons[0]
    k = len(given.classes)
    intervals = bootstrap_all(
        {name: confusion_metric(name) for name in dict.fromkeys((first.metric, *SCORES))},
        given.y_true,
        given.y_pred,
        num_classes=k,
        averaged_classes=present(given.y_true, k),
        rng=rng_for(each.experiment.seed, "bootstrap"),
        n=first.resamples,
        subjects=given.subjects if first.unit == "subject" else None,
        level=first.level,
        method=first.method,
    )
    return {
        "letter": found.letters[at],
        "title": titles(found.stored)[at],
        "folder": found.folders[at],
        "key": each.key,
        "preprocessing": each.experiment.preprocessing.label,
        "sampling": each.experiment.sampling.label,
        "model": each.experiment.model.label,
        "protocol": each.experiment.protocol.label,
        "scores": {name: one.point for name, one in intervals.items()},
        "intervals": {name: [one.low, one.high] for name, one in intervals.items()},
        "confusion": confusion_matrix(given.y_true, given.y_pred, k).tolist(),
    }


def _changed(found: Compared) -> Iterator[dict[str, Any]]:
    """Yield clips that are correct in the first and wrong in another result or vice versa, with all predictions."""
    first = found.predictions[0]
    right = np.stack([given.y_pred == first.y_true for given in found.predictions])
    for at in np.flatnonzero((right != right[0]).any(axis=0)):
        yield {
            "clip": str(first.clips[at]),
            "subject": str(first.subjects[at]),
            "truth": first.classes[int(first.y_true[at])],
            "predicted": [first.classes[int(given.y_pred[at])] for given in found.predictions],
        }


def _influence(found: Compared, at: int) -> dict[str, Any]:
    """Return the difference without each subject, or why it is undefined."""
    first, other = found.predictions[0], found.predictions[at]
    k, metadata = len(first.classes), {"letter": found.letters[at]}
    try:
        rows = influence(
            confusion_metric(found.comparisons[0].metric),
            first.y_true,
            first.y_pred,
            first.subjects,
            num_classes=k,
            averaged_classes=present(first.y_true, k),
            against=other.y_pred,
        )
    except ConfigError as error:
        return metadata | {"problem": str(error), "subjects": []}
    named = [asdict(row) | {"lost": [first.classes[number] for number in row.lost]} for row in rows]
    return metadata | {"problem": None, "subjects": named}
