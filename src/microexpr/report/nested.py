"""What comes of choosing the cell in every fold by its validation score: the honest counterpart of the best cell."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from microexpr.config.study import COMPARED
from microexpr.core import interfaces as contracts
from microexpr.evaluation.predictions import score
from microexpr.report.intervals import interval
from microexpr.runs.study import Cell, StudyResult

SCORES = ("macro_f1", "uf1", "uar", "accuracy")


def nested(result: StudyResult) -> dict[str, Any] | None:
    """Choose a cell in each fold by macro-F1 on validation and score what the chosen ones predict, pooled.

    Only networks have validation clips. None where fewer than two cells do, or where they were not judged by the same
    ones; of equal scores the first in the grid's order is taken.
    """
    cells = [cell for cell in result.cells if all(_has_val(fold.views) for fold in cell.result.folds)]
    if len(cells) < 2 or len({_judged_by(cell) for cell in cells}) > 1:
        return None
    metric = contracts.metrics.build("macro_f1", {})
    validation = pd.DataFrame(
        {
            at: cell.result.predictions("val").groupby("fold", sort=True).apply(lambda rows: score(metric, rows))
            for at, cell in enumerate(cells)
        }
    )
    chosen = validation.idxmax(axis=1)
    tested = [cell.result.predictions() for cell in cells]
    pooled = pd.concat([tested[at][tested[at]["fold"] == fold] for fold, at in chosen.items()], ignore_index=True)
    first, counts = cells[0], Counter(chosen)
    found = interval(pooled, len(first.plan.data.labels.classes), first.experiment.bootstrap, first.experiment.seed)
    return {
        "folds": len(chosen),
        "cells": len(cells),
        "left_out": len(result.cells) - len(cells),
        **{name: score(contracts.metrics.build(name, {}), pooled) for name in SCORES},
        "ci_low": found.low,
        "ci_high": found.high,
        "n_test": len(pooled),
        "chosen": [
            {
                **{part: getattr(cells[at].experiment, part).label for part in COMPARED},
                "factors": dict(cells[at].factors),
                "times": times,
                "validation": float(validation[at].mean()),
                "macro_f1": cells[at].result.scores()["macro_f1"],
            }
            for at, times in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        ],
    }


def _has_val(views: pd.DataFrame) -> bool:
    return bool((views["part"] == "val").any())


def _judged_by(cell: Cell) -> tuple[tuple[str, frozenset[str]], ...]:
    """Return each fold's name and the clips that judge in it."""
    return tuple(
        (fold.name, frozenset(fold.views.loc[fold.views["part"] == "val", "clip"])) for fold in cell.result.folds
    )
