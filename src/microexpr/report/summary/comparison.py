"""The summary of `microexpr compare`, which its page is made from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from microexpr.audit.comparison import Compared, settings, surroundings, titles
from microexpr.core.confusion import confusion_matrix, present
from microexpr.core.environment import environment
from microexpr.core.errors import ConfigError
from microexpr.core.randomness import rng_for
from microexpr.core.words import many
from microexpr.evaluation.predictions import confusion_metric
from microexpr.evaluation.statistics.bootstrap import METHODS, bootstrap_all
from microexpr.evaluation.statistics.comparison import Comparison, compare
from microexpr.evaluation.statistics.influence import influence
from microexpr.evaluation.statistics.paired import Predictions
from microexpr.report.summary import (
    Caveat,
    ChangedClip,
    ComparedPair,
    ComparedResult,
    ComparisonSummary,
    Data,
    Finding,
    Influence,
    Intervals,
    LeftOut,
    Paired,
    Setting,
)
from microexpr.report.summary.metrics import defined
from microexpr.runs.experiment import Result, trained
from microexpr.runs.plan import Plan

SCORES = ("macro_f1", "uar", "accuracy")


def summarise_comparison(found: Compared, command: str = "") -> ComparisonSummary:
    """Return the summary of a comparison."""
    first, stored = found.comparisons[0], found.stored
    software = environment()
    return ComparisonSummary(
        name="comparison",
        title=f"Comparison of {many(len(stored), 'result')}",
        command=command,
        version=software["microexpr"],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        caveats=[
            Caveat.of(each.code, each.level, each.line, each.text.removeprefix(each.line).strip())
            for each in found.caveats
        ],
        metric=first.metric,
        metrics=defined(first.metric, *SCORES),
        intervals=Intervals(method=METHODS[first.method], unit=first.unit, n=first.resamples, level=first.level),
        data=Data(
            datasets=list(dict.fromkeys(item.name for item in stored[0].experiment.datasets)),
            n_clips=first.n_clips,
            n_subjects=first.n_subjects,
            classes=list(found.predictions[0].classes),
            synthetic=all("synthetic" in (each.metadata.get("data") or {}) for each in stored),
        ),
        checks=[Finding(**asdict(finding)) for finding in found.checks],
        environment=software,
        unit=first.unit,
        results=[_result(found, at) for at in range(len(stored))],
        settings=[Setting(name=row.name, values=list(row.values)) for row in settings(stored)],
        surroundings=[Setting(name=row.name, values=list(row.values)) for row in surroundings(stored)],
        comparisons=[
            ComparedPair(letter=letter, paired=paired(one))
            for one, letter in zip(found.comparisons, found.letters[1:], strict=True)
        ],
        changed=list(_changed(found)),
        influence=[_influence(found, at) for at in range(1, len(stored))],
    )


def compared(
    plan: Plan,
    metric: str,
    sides: Sequence[tuple[str, pd.DataFrame]],
    results: Sequence[Result],
    role: str,
    **sizes: Any,
) -> Comparison | str:
    """Compare the named predictions of two sides, or return why they cannot be compared.

    `results` are those trained for either side, `role` names the random numbers, `sizes` are those of `compare`.
    """
    a, b = (Predictions.of(name, table, plan.data.labels.classes) for name, table in sides)
    try:
        return compare(
            a,
            b,
            metric,
            rng=rng_for(plan.experiment.seed, role),
            level=plan.experiment.bootstrap.level,
            trained=trained(results),
            **sizes,
        )
    except ConfigError as error:
        return str(error)


def paired(found: Comparison) -> Paired:
    """Return a comparison with how its interval and p-value were made."""
    same = {name: getattr(found, name) for name in Paired.model_fields if hasattr(found, name)}
    made = {
        "interval": f"{100 * found.level:.3g} % intervals: {METHODS[found.method]} by {found.unit}, "
        f"{found.resamples:,} resamples",
        "test": f"p: paired permutation test by {found.unit}",
    }
    return Paired.model_validate(same | made, from_attributes=True)


def _result(found: Compared, at: int) -> ComparedResult:
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
    return ComparedResult(
        letter=found.letters[at],
        title=titles(found.stored)[at],
        folder=found.folders[at],
        key=each.key,
        preprocessing=each.experiment.preprocessing.label,
        sampling=each.experiment.sampling.label,
        model=each.experiment.model.label,
        protocol=each.experiment.protocol.label,
        scores={name: one.point for name, one in intervals.items()},
        bounds={name: (one.low, one.high) for name, one in intervals.items()},
        confusion=confusion_matrix(given.y_true, given.y_pred, k).tolist(),
    )


def _changed(found: Compared) -> Iterator[ChangedClip]:
    """Yield clips that are correct in the first and wrong in another result or vice versa, with all predictions."""
    first = found.predictions[0]
    right = np.stack([given.y_pred == first.y_true for given in found.predictions])
    for at in np.flatnonzero((right != right[0]).any(axis=0)):
        yield ChangedClip(
            clip=str(first.clips[at]),
            subject=str(first.subjects[at]),
            truth=first.classes[int(first.y_true[at])],
            predicted=[first.classes[int(given.y_pred[at])] for given in found.predictions],
        )


def _influence(found: Compared, at: int) -> Influence:
    """Return the difference without each subject, or why it is undefined."""
    first, other = found.predictions[0], found.predictions[at]
    k, letter = len(first.classes), found.letters[at]
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
        return Influence(letter=letter, problem=str(error), subjects=[])
    named = [asdict(row) | {"lost": [first.classes[number] for number in row.lost]} for row in rows]
    return Influence(letter=letter, problem=None, subjects=[LeftOut(**row) for row in named])
