"""Clips that most experiments classify wrongly."""

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
    """Return the clips that more than half of the experiments miss; empty where they were tested on different clips.

    Counted are the prespecified experiment and its alternatives, if there are enough; in a study of methods the methods
    with their first seed, and averages of methods; otherwise the cells.
    """
    named = [*([result.named] if result.named else []), *result.alternatives.values()]
    methods = [*(cells[0] for cells in by_setting(result)), *result.fused]
    cells, among = list(result.cells), "cells"
    if len(named) >= LEAST:
        cells, among = named, "experiments named beforehand"
    elif result.study.methods:
        cells, among = methods, "methods (first seeds)"
    tables = [cell.result.predictions().set_index("clip").sort_index() for cell in cells]
    if len(tables) < LEAST or any(not table.index.equals(tables[0].index) for table in tables):
        return []
    classes, first = result.cells[0].plan.data.labels.classes, tables[0]
    predicted = np.stack([table["y_pred"].to_numpy(int) for table in tables], axis=1)
    found = []
    for clip, subject, truth, row in zip(first.index, first["subject"], first["y_true"], predicted, strict=True):
        wrong = Counter(row[row != truth].tolist())
        if 2 * wrong.total() > len(tables):
            most = min(wrong, key=lambda number: (-wrong[number], number))
            found.append(
                HardClip(
                    clip=str(clip),
                    subject=str(subject),
                    truth=classes[int(truth)],
                    right=len(tables) - wrong.total(),
                    of=len(tables),
                    among=among,
                    most=classes[most],
                )
            )
    return sorted(found, key=lambda each: (each.right, each.clip))[:MOST]
