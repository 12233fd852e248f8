"""The summary of `microexpr compare`: plain numbers and words, which its page is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from microexpr import contracts
from microexpr.checks import Stored, findings
from microexpr.comparing import Compared, settings, surroundings, titles
from microexpr.config import rng_for
from microexpr.confusion import confusion_matrix, present
from microexpr.contracts import ConfusionMetric
from microexpr.environment import environment
from microexpr.errors import ConfigError
from microexpr.report.paired import as_row
from microexpr.statistics.bootstrap import bootstrap_all
from microexpr.statistics.influence import influence

FORMAT = 1
SCORES = ("macro_f1", "uar", "accuracy")
GRAVE = ("ME001", "ME002", "ME011")
"""Findings that stand on top of the page."""


def summarise_comparison(found: Compared, command: str = "") -> dict[str, Any]:
    """Return a comparison as plain numbers, words, lists and dictionaries."""
    first, stored = found.comparisons[0], found.stored
    # ME012 speaks of one folder; here the copies have a stamp of their own.
    checks = [asdict(finding) for finding in findings(stored, {}) if finding.code != "ME012"]
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
            "n_subjects": first.n_persons,
            "classes": list(found.predictions[0].classes),
        },
        "results": [_result(found, at) for at in range(len(stored))],
        "settings": [row._asdict() for row in settings(stored)],
        "surroundings": [row._asdict() for row in surroundings(stored)],
        "comparisons": [
            as_row(one) | {"letter": letter} for one, letter in zip(found.comparisons, found.letters[1:], strict=True)
        ],
        "changed": list(_changed(found)),
        "influence": [_influence(found, at) for at in range(1, len(stored))],
        "checks": checks,
        "stamps": [*_stamps(found), *_grave(checks)],
        "environment": software,
    }


def _result(found: Compared, at: int) -> dict[str, Any]:
    each, given, first = found.stored[at], found.predictions[at], found.comparisons[0]
    k = len(given.classes)
    intervals = bootstrap_all(
        {name: _built(name) for name in dict.fromkeys((first.metric, *SCORES))},
        given.y_true,
        given.y_pred,
        k=k,
        over=present(given.y_true, k),
        rng=rng_for(each.experiment.seed, "bootstrap"),
        n=first.resamples,
        persons=given.persons if first.unit == "person" else None,
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


def _built(metric: str) -> ConfusionMetric:
    built = contracts.metrics.build(metric, {})
    assert isinstance(built, ConfusionMetric)  # `compare` has refused others
    return built


def _changed(found: Compared) -> Iterator[dict[str, Any]]:
    """Yield clips that the first has right and another wrong, or the other way round, with what each predicts."""
    first = found.predictions[0]
    right = np.stack([given.y_pred == first.y_true for given in found.predictions])
    for at in np.flatnonzero((right != right[0]).any(axis=0)):
        yield {
            "clip": str(first.clips[at]),
            "person": str(first.persons[at]),
            "truth": first.classes[int(first.y_true[at])],
            "predicted": [first.classes[int(given.y_pred[at])] for given in found.predictions],
        }


def _influence(found: Compared, at: int) -> dict[str, Any]:
    """Return the difference without each person, or why it cannot be given."""
    first, other = found.predictions[0], found.predictions[at]
    k, facts = len(first.classes), {"letter": found.letters[at]}
    try:
        rows = influence(
            _built(found.comparisons[0].metric),
            first.y_true,
            first.y_pred,
            first.persons,
            k=k,
            over=present(first.y_true, k),
            against=other.y_pred,
        )
    except ConfigError as error:
        return facts | {"problem": str(error), "persons": []}
    named = [asdict(row) | {"lost": [first.classes[number] for number in row.lost]} for row in rows]
    return facts | {"problem": None, "persons": named}


# --- what must be read first ------------------------------------------------------------------------------------------
def _stamps(found: Compared) -> Iterator[dict[str, str]]:
    """Yield what the experiments have in common with a mistake."""
    for letter, each in zip(found.letters, found.stored, strict=True):
        yield from _of_one(letter, each)
    protocols = {each.experiment.protocol.label for each in found.stored}
    if len(protocols) > 1:
        yield _stamp(
            "warning",
            f"Trained under different protocols ({', '.join(sorted(protocols))}): a difference may come from who was "
            "trained on.",
        )
    if len({str(each.facts.get("fingerprint")) for each in found.stored}) > 1:
        yield _stamp("warning", "The results rest on different copies of the data, whose frames may not be the same.")
    keys = [each.key for each in found.stored]
    for key in dict.fromkeys(key for key in keys if keys.count(key) > 1):
        same = " and ".join(letter for letter, mine in zip(found.letters, keys, strict=True) if mine == key)
        yield _stamp("note", f"{same} are one experiment ({key}), run in different places.")
    if found.comparisons[0].unit == "clip":
        yield _stamp(
            "warning",
            "Resampled and swapped by clip: clips of one person count as independent, which they are not. "
            "Intervals are too narrow and p-values too small.",
        )
    if len(found.stored) > 2:
        yield _stamp("note", "Each is compared with the first alone; p-values are corrected for all of these (Holm).")


def _of_one(letter: str, each: Stored) -> Iterator[dict[str, str]]:
    drawn = (each.facts.get("data") or {}).get("synthetic")
    if drawn:
        yield _stamp("warning", f"{letter}: synthetic faces, no recordings of people: {drawn}")
    if each.experiment.shuffled:
        yield _stamp("warning", f"{letter} was trained on labels that were shuffled on purpose.")
    repeats = len(each.result.repeats)
    if repeats > 1:
        yield _stamp(
            "note",
            f"{letter} divided the clips into folds {repeats} times. The first division is compared, so that no clip "
            "counts twice.",
        )


def _grave(checks: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    for finding in checks:
        if finding["code"] in GRAVE:
            yield _stamp("warning", f"{finding['sentence']} {finding['evidence']}")


def _stamp(level: str, text: str) -> dict[str, str]:
    return {"level": level, "text": text}
