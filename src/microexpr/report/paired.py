"""Preprocessings compared in pairs, on the clips that both have predicted."""

from __future__ import annotations

from typing import Any

from microexpr import contracts
from microexpr.config import rng_for
from microexpr.confusion import present
from microexpr.report import factorial
from microexpr.statistics.bootstrap import bootstrap_difference
from microexpr.statistics.mcnemar import mcnemar
from microexpr.statistics.multiplicity import holm
from microexpr.statistics.swapping import swap_test
from microexpr.study import Cell, StudyResult

SWAPPINGS = 1999


def paired(result: StudyResult) -> list[dict[str, Any]]:
    """Compare preprocessings cell by cell; p-values are corrected for all of these comparisons."""
    rows = [_compare(first, second) for first, second in factorial.pairs(result)]
    adjusted = holm([row["p_value"] for row in rows]) if rows else ()
    return [{**row, "p_holm": p} for row, p in zip(rows, adjusted, strict=True)]


def _compare(first: Cell, second: Cell) -> dict[str, Any]:
    """Compare two cells on the clips that both have predicted."""
    k, settings = len(first.plan.data.labels.classes), first.experiment.bootstrap
    a, b = (cell.result.predictions().set_index("clip") for cell in (first, second))
    b = b.loc[a.index]
    y_true, y_a, y_b = (column.to_numpy(int) for column in (a["y_true"], a["y_pred"], b["y_pred"]))
    metric = contracts.metrics.build("macro_f1", {})
    assert isinstance(metric, contracts.ConfusionMetric)
    persons, seed = a["person"].to_numpy(), first.experiment.seed
    several = persons if len(set(persons)) > 1 else None
    same: tuple[Any, ...] = (metric, y_true, y_a, y_b)
    over = present(y_true, k)
    found = bootstrap_difference(
        *same,
        k=k,
        over=over,
        rng=rng_for(seed, "bootstrap"),
        n=settings.n,
        level=settings.level,
        persons=several if settings.unit == "person" else None,
    )
    swapped = swap_test(*same, k=k, over=over, rng=rng_for(seed, "swapping"), n=SWAPPINGS, persons=several)
    counted = mcnemar(y_true, y_a, y_b)
    return {
        "sampling": first.experiment.sampling.label,
        "model": first.experiment.model.label,
        "factors": dict(first.factors),
        "a": first.experiment.preprocessing.label,
        "b": second.experiment.preprocessing.label,
        "test": f"p: permutation test that swaps the two {'clip by clip' if several is None else 'person by person'}",
        "difference": found.point,
        "ci_low": found.low,
        "ci_high": found.high,
        "only_a": counted.only_a,
        "only_b": counted.only_b,
        "mcnemar_p": counted.p_value,
        "p_value": swapped.p_value,
    }
