"""The prespecified experiment in the summary: its score under permuted labels, and its alternatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from microexpr.config.study import NamedCell as Settings
from microexpr.core import interfaces
from microexpr.core.confusion import present
from microexpr.core.errors import ConfigError
from microexpr.core.randomness import rng_for
from microexpr.evaluation.statistics.comparison import Comparison, compare
from microexpr.evaluation.statistics.multiplicity import with_family
from microexpr.evaluation.statistics.paired import Predictions
from microexpr.evaluation.statistics.permutation import QUANTILE, permutation_null
from microexpr.report.summary import Alternative, NamedCell, SkippedMethod
from microexpr.report.summary.cells import cell_interval, confusion, place, scores, words
from microexpr.report.summary.comparison import paired
from microexpr.report.summary.data import protocol
from microexpr.runs.experiment import trained
from microexpr.runs.study import Cell, StudyResult

NAME = "prespecified"
"""Name in comparisons, where the study file gives no title."""


def named_cell(result: StudyResult, metric: str) -> NamedCell | None:
    """Return the prespecified experiment; None where the study names none."""
    cell, settings = result.named, result.study.named_cell
    if cell is None or settings is None:
        return None
    experiment, predictions = cell.experiment, cell.result.predictions()
    found = cell_interval(cell, metric)
    shuffled = [other.result.scores()[metric] for other in result.shuffled]
    return NamedCell(
        **place(cell),
        **scores(cell, metric, found),
        title=settings.title,
        protocol=protocol(cell.plan),
        key=cell.result.key,
        interval=words(found.method, stratified=experiment.bootstrap.stratified),
        interval_level=experiment.bootstrap.level,
        interval_unit=experiment.bootstrap.unit,
        interval_resamples=experiment.bootstrap.n,
        confusion=confusion(cell),
        **_permuted(cell, metric, settings.permutations, "permutation"),
        shuffled=float(np.mean(shuffled)) if shuffled else None,
        n_subjects=int(predictions["subject"].nunique()),
        trained=trained([cell.result, *(other.result for other in result.alternatives.values())]),
        alternatives=_alternatives(cell, result.alternatives, settings, metric),
        skipped=[
            SkippedMethod(method=name, reason=reason)
            for name, reason in {**result.skipped_alternatives, **dict(result.failed)}.items()
            if name in settings.alternatives
        ],
    )


def _permuted(cell: Cell, metric: str, n: int, role: str) -> dict[str, Any]:
    """Return the fields of `Permutations`."""
    predictions, k = cell.result.predictions(), len(cell.plan.data.labels.classes)
    y_true = predictions["y_true"].to_numpy(int)
    null = permutation_null(
        interfaces.metrics.build(metric, {}),
        y_true,
        predictions["y_pred"].to_numpy(int),
        num_classes=k,
        averaged_classes=present(y_true, k),
        n=n,
        rng=rng_for(cell.experiment.seed, role),
        subjects=predictions["subject"].to_numpy(),
    )
    return {
        "permutation_level": null.level,
        "permutation_quantile": QUANTILE,
        "permutation_mean": null.mean,
        "p_value": null.p_value,
        "permutations": n,
    }


def _alternatives(cell: Cell, others: Mapping[str, Cell], settings: Settings, metric: str) -> list[Alternative]:
    """Compare the prespecified experiment with each alternative; p-values are corrected for all of them."""
    made = {name: _compared(cell, other, name, settings, metric) for name, other in others.items()}
    tested = {name: one for name, one in made.items() if isinstance(one, Comparison)}
    corrected = dict(zip(tested, with_family(list(tested.values())), strict=True))
    return [
        Alternative(
            **scores(other, metric, cell_interval(other, metric)),
            **_permuted(other, metric, settings.permutations, f"permutation/{name}"),
            name=name,
            key=other.result.key,
            confusion=confusion(other),
            paired=paired(corrected[name]) if name in corrected else None,
            problem=problem if isinstance(problem := made[name], str) else None,
        )
        for name, other in others.items()
    ]


def _compared(cell: Cell, other: Cell, name: str, settings: Settings, metric: str) -> Comparison | str:
    """Return the comparison of the prespecified experiment with an alternative, or why they cannot be compared."""
    experiment, classes = cell.experiment, cell.plan.data.labels.classes
    try:
        return compare(
            Predictions.of(settings.title or NAME, cell.result.predictions(), classes),
            Predictions.of(name, other.result.predictions(), classes),
            metric,
            rng=rng_for(experiment.seed, f"alternative/{name}"),
            n=experiment.bootstrap.n,
            permutations=settings.permutations,
            level=experiment.bootstrap.level,
            trained=trained([cell.result, other.result]),
        )
    except ConfigError as error:
        return str(error)
