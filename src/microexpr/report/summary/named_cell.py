"""The prespecified experiment in the summary: its score under permuted labels, and its alternatives."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from microexpr.config.study import NamedCell as Settings
from microexpr.evaluation.statistics.comparison import Comparison
from microexpr.evaluation.statistics.multiplicity import with_family
from microexpr.report.summary import Alternative, NamedCell, SkippedMethod
from microexpr.report.summary.cells import cell_interval, confusion, permuted, place, scores, words
from microexpr.report.summary.comparison import compared, paired
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
        **permuted(cell.plan, predictions, metric, settings.permutations, "permutation"),
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


def _alternatives(cell: Cell, others: Mapping[str, Cell], settings: Settings, metric: str) -> list[Alternative]:
    """Compare the prespecified experiment with each alternative; p-values are corrected for all of them."""
    mine = (settings.title or NAME, cell.result.predictions())
    sizes = {"n": cell.experiment.bootstrap.n, "permutations": settings.permutations}
    made = {
        name: compared(cell.plan, metric, [mine, (name, other.result.predictions())], [cell.result, other.result],
                       f"alternative/{name}", **sizes)
        for name, other in others.items()
    }  # fmt: skip
    tested = {name: one for name, one in made.items() if isinstance(one, Comparison)}
    corrected = dict(zip(tested, with_family(list(tested.values())), strict=True))
    return [
        Alternative(
            **scores(other, metric, cell_interval(other, metric)),
            **permuted(other.plan, other.result.predictions(), metric, settings.permutations, f"permutation/{name}"),
            name=name,
            key=other.result.key,
            confusion=confusion(other),
            paired=paired(corrected[name]) if name in corrected else None,
            problem=problem if isinstance(problem := made[name], str) else None,
        )
        for name, other in others.items()
    ]
