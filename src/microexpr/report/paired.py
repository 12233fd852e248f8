"""Comparisons as a summary holds them; of a study, its preprocessings in pairs on the clips that both predict."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from microexpr.core.errors import ConfigError
from microexpr.core.randomness import rng_for
from microexpr.evaluation.statistics.bootstrap import METHODS
from microexpr.evaluation.statistics.comparison import Comparison, compare
from microexpr.evaluation.statistics.multiplicity import with_family
from microexpr.evaluation.statistics.paired import Predictions
from microexpr.report import factorial
from microexpr.runs.experiment import trained
from microexpr.runs.study import Cell, StudyResult


def paired(result: StudyResult) -> list[dict[str, Any]]:
    """Compare preprocessings cell by cell; p-values are corrected for all of these comparisons."""
    pairs = list(factorial.pairs(result))
    found = [_compared(first, second) for first, second in pairs]
    made = iter(with_family([one for one in found if isinstance(one, Comparison)]))
    told = [as_row(next(made)) if isinstance(one, Comparison) else {"problem": one} for one in found]
    return [_place(*pair) | row for pair, row in zip(pairs, told, strict=True)]


def as_row(found: Comparison) -> dict[str, Any]:
    """Return a comparison in plain words and numbers, with how it was made."""
    return asdict(found) | {
        "told": found.significant,
        "verdict": found.verdict,
        "interval": f"{100 * found.level:.3g} % intervals: {METHODS[found.method]} by {found.unit}, "
        f"{found.resamples:,} resamples",
        "test": f"p: permutation test that swaps the two {found.unit} by {found.unit}",
        "notes": list(found.notes),
    }


def _place(first: Cell, second: Cell) -> dict[str, Any]:
    return {
        "sampling": first.experiment.sampling.label,
        "model": first.experiment.model.label,
        "factors": dict(first.factors),
        "a": first.experiment.preprocessing.label,
        "b": second.experiment.preprocessing.label,
    }


def _compared(first: Cell, second: Cell) -> Comparison | str:
    """Compare two cells, or say why nothing follows from their clips."""
    classes, settings = first.plan.data.labels.classes, first.experiment
    a, b = (
        Predictions.of(cell.experiment.preprocessing.label, cell.result.predictions(), classes)
        for cell in (first, second)
    )
    try:
        return compare(
            a,
            b,
            factorial.SCORE,
            rng=rng_for(settings.seed, "paired"),
            n=factorial.RESAMPLES,
            permutations=factorial.PERMUTATIONS,
            level=settings.bootstrap.level,
            trained=trained([first.result, second.result]),
        )
    except ConfigError as error:
        return str(error)
