"""Clips that most methods, or most cells of a grid, classify wrongly."""

from __future__ import annotations

from collections import Counter

import numpy as np

from microexpr.report.summary import HardClip
from microexpr.report.summary.factors import by_setting
from microexpr.runs.study import StudyResult

MOST = 20
"""Largest number of clips."""
LEAST = 3
"""Smallest number of methods or cells that are counted."""


def hard_clips(result: StudyResult) -> list[HardClip]:
    """Return the clips that are missed most often; empty where methods or cells were tested on different clips.

    A method counts with its first seed; averages of methods count as methods.
    """
    methods = [*(cells[0] for cells in by_setting(result)), *result.fused]
    cells = methods if result.study.methods else result.cells
    tables = [cell.result.predictions().set_index("clip").sort_index() for cell in cells]
    if len(tables) < LEAST or any(not table.index.equals(tables[0].index) for table in tables):
        return []
    classes, first = result.cells[0].plan.data.labels.classes, tables[0]
    predicted = np.stack([table["y_pred"].to_numpy(int) for table in tables], axis=1)
    found = []
    for clip, subject, truth, row in zip(first.index, first["subject"], first["y_true"], predicted, strict=True):
        wrong = Counter(row[row != truth].tolist())
        if wrong:
            most = min(wrong, key=lambda number: (-wrong[number], number))
            found.append(
                HardClip(
                    clip=str(clip),
                    subject=str(subject),
                    truth=classes[int(truth)],
                    right=len(tables) - wrong.total(),
                    of=len(tables),
                    most=classes[most],
                )
            )
    return sorted(found, key=lambda each: (each.right, each.clip))[:MOST]
