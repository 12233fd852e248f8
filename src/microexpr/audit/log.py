"""A prediction log scored again: every metric, in total and by database, with intervals; and claims checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool

from microexpr.audit.claims import check_claims
from microexpr.audit.matching import ClipPredictions, match
from microexpr.audit.quantities import (
    ALL,
    Quantity,
    databases,
    one_class,
    quantities,
    rows_of,
)
from microexpr.audit.reading import read_log, read_truth
from microexpr.config.scores import all_metrics
from microexpr.core import interfaces
from microexpr.core.confusion import confusion_matrix, f1_per_class, precision_per_class, present, recall_per_class
from microexpr.core.errors import ConfigError, DataError, Fault, UsageError
from microexpr.core.randomness import rng_for
from microexpr.evaluation.statistics.bootstrap import METHODS, Method, bootstrap, bootstrap_all

RESAMPLES = 10_000
METHOD: Final[Method] = "expanded"
"""The interval with the best coverage for 145 to 442 clips of few subjects (docs/validation.md)."""
CLIP = "clip"
"""``subjects="clip"``: intervals over clips, which ignore subjects."""


def audit_log(
    file: Path | str,
    *,
    truth: Path | str | None = None,
    claims: str | None = None,
    subjects: str | None = None,
    classes: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    skip_invalid: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Score published predictions per clip again, and say which claims about them hold.

    `truth` is a CSV of dataset, subject, clip and label: with it the order of the log's columns and its clips are
    checked. `claims` are written ``uf1=0.71,casme2.uar=0.70``. `subjects` says what is resampled: a column of the log,
    a pattern with one group for the names of clips (``"^(\\\\d+)_"``), or ``clip`` for clips; without it the subject.
    `classes` names the classes in the order of their numbers, including classes without a true clip; `columns` names
    those of a table without a header. A label of the log that differs from the truth file is reported and the clip
    scored with the label of the truth file; `skip_invalid` leaves such clips out, and unknown and repeated clips.
    Raises DataError with every fault of the log.
    """
    file = Path(file)
    pattern = subjects is not None and "(" in subjects
    column = None if subjects == CLIP or pattern else subjects
    log = read_log(file, columns, column)
    if column is not None and (log.form != "table" or columns is not None):
        raise UsageError(
            "E902", f"--subjects {column}: this log has no named columns. Give a pattern for the names of its clips."
        )
    if truth is not None and log.form == "lists":
        raise UsageError(
            "E902", f"{file} names no clips, so it cannot be compared with --truth {truth}. Leave out --truth."
        )
    found = match(
        log,
        None if truth is None else read_truth(Path(truth)),
        file,
        classes=classes,
        subjects=subjects if pattern else None,
        skip_invalid=skip_invalid,
    )
    same = one_class(found, ALL)
    if same is not None:
        fault = Fault("E909", file.name, _one_class(same), "give a log with clips of several classes")
        raise DataError("E910", f"{file} cannot be scored.", [fault])
    by_clip = subjects == CLIP
    scored = {scope: _scope(found, scope, by_clip, resamples, seed) for scope in (ALL, *databases(found))}
    return {
        "file": str(file),
        "truth": None if truth is None else str(truth),
        "form": log.form,
        "swapped": found.swapped,
        "classes": list(found.classes),
        "notes": list(found.notes),
        "wrong_labels": [line.number for line in found.wrong_labels],
        "scopes": scored,
        "rules": _rules(),
        "claims": _verdicts(claims, found, scored) if claims else [],
        "intervals": {"method": METHODS[METHOD], "level": 0.95, "resamples": resamples, "seed": seed},
    }


def _scope(found: ClipPredictions, scope: str, by_clip: bool, resamples: int, seed: int) -> dict[str, Any]:
    rows, num_classes = rows_of(found, scope), len(found.classes)
    y_true, y_pred = found.y_true[rows], found.y_pred[rows]
    confusion = confusion_matrix(y_true, y_pred, num_classes)
    subjects = [name for name in np.unique(found.subject[rows]) if name]
    per_class = zip(
        precision_per_class(confusion).tolist(),
        recall_per_class(confusion).tolist(),
        f1_per_class(confusion).tolist(),
        confusion.sum(1).tolist(),
        confusion.sum(0).tolist(),
        strict=True,
    )
    same = one_class(found, scope)
    unit, why = _unit(found, rows, subjects, by_clip)
    row: dict[str, Any] = {
        "clips": int(rows.sum()),
        "subjects": len(subjects) or None,
        "right": int(np.trace(confusion)),
        "confusion": confusion.tolist(),
        "per_class": {
            name: {
                "precision": precision if predicted else None,
                "recall": recall if true else None,
                "f1": f1 if true or predicted else None,
                "clips": true,
                "predicted": predicted,
            }
            for name, (precision, recall, f1, true, predicted) in zip(found.classes, per_class, strict=True)
        },
        "averaged_classes": [name for name, true in zip(found.classes, confusion.sum(1).tolist(), strict=True) if true],
        "unit": unit,
        "note": why,
    }
    if same is not None:
        return row | {"metrics": {}, "note": _one_class(same)}
    return row | {"metrics": _metrics(found, rows, unit, resamples, seed)}


def _one_class(name: str) -> str:
    return f"every clip is of class {name}, so scores over classes are not meaningful"


def _unit(
    found: ClipPredictions, rows: Bool[np.ndarray, "n"], subjects: Sequence[str], by_clip: bool
) -> tuple[str | None, str | None]:
    """Return what is resampled (None if nothing can be) and a note that says why."""
    if by_clip:
        return "clip", None
    if any(not name for name in found.subject[rows]):
        return None, "no intervals: the log does not name subjects (see --subjects; --subjects clip resamples clips)"
    if len(subjects) < 2:
        return None, f"no intervals: all clips are of one subject, {subjects[0]}"
    return "subject", None


def _metrics(
    found: ClipPredictions, rows: Bool[np.ndarray, "n"], unit: str | None, resamples: int, seed: int
) -> dict[str, Any]:
    y_true, y_pred, num_classes = found.y_true[rows], found.y_pred[rows], len(found.classes)
    averaged_classes = present(y_true, num_classes)
    built = all_metrics()
    of_confusion = {name: metric for name, metric in built.items() if isinstance(metric, interfaces.ConfusionMetric)}
    scores: dict[str, Any] = {}
    for name, metric in built.items():
        scores[name] = {"value": None, "low": None, "high": None, "note": None}
        if name in of_confusion:
            scores[name]["value"] = float(
                of_confusion[name].of_confusion(confusion_matrix(y_true, y_pred, num_classes), averaged_classes)
            )
        elif found.proba is None:
            scores[name]["note"] = "needs the probabilities of every class, which the log does not have"
        else:
            scores[name]["value"] = float(metric(y_true, y_pred, found.proba[rows], averaged_classes))
    if unit is None:
        return scores
    if resamples < 100:
        raise ConfigError("E801", f"an interval needs at least 100 resamples, not {resamples}.")
    options: dict[str, Any] = {
        "num_classes": num_classes,
        "averaged_classes": averaged_classes,
        "n": resamples,
        "subjects": found.subject[rows] if unit == "subject" else None,
        "method": METHOD,
    }
    intervals = bootstrap_all(of_confusion, y_true, y_pred, rng=rng_for(seed, "bootstrap"), **options)
    if found.proba is not None:
        intervals |= {
            name: bootstrap(metric, y_true, y_pred, proba=found.proba[rows], rng=rng_for(seed, "bootstrap"), **options)
            for name, metric in built.items()
            if name not in of_confusion
        }
    for name, interval in intervals.items():
        scores[name] |= {"low": interval.low, "high": interval.high}
    return scores


def _rules() -> dict[str, dict[str, str]]:
    """Return every metric's formula and its rule for classes without a true clip."""
    return {
        name: {"formula": (type(metric).__doc__ or "").splitlines()[0], "absent_classes": metric.absent_classes}
        for name, metric in all_metrics().items()
    }


def _verdicts(claims: str, found: ClipPredictions, scored: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Check claims against all quantities and registered metrics, under all of their names."""
    known = quantities(found)
    have = {(item.scope, item.name) for item in known}
    others = [
        Quantity(scope, name, score["value"], f"{name}, all clips pooled")
        for scope, row in scored.items()
        for name, score in row["metrics"].items()
        if score["value"] is not None and (scope, name) not in have
    ]
    again = [item for item in others if _again(known, item)]
    if found.as_logged is not None:
        logged = dataclasses.replace(found, y_true=found.as_logged, as_logged=None)
        known += [
            dataclasses.replace(
                item, name=f"as_logged.{item.name}", description=f"{item.description}, with the log's own labels"
            )
            for item in quantities(logged)
            if "." not in item.name and not _again(known, item)
        ]
    new = [item for item in others if item not in again]
    without = {name: score["note"] for name, score in scored[ALL]["metrics"].items() if score["note"]}
    return check_claims(claims, known + new, again=again, without=without)


def _again(known: Sequence[Quantity], other: Quantity) -> bool:
    """Return whether a number is already known under another name (macro_f1 is uf1)."""
    return any(item.scope == other.scope and abs(item.value - other.value) < 1e-12 for item in known)
