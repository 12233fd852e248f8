"""Every voted prediction of a study as one table, for R, SPSS and pandas: a row for each clip, fold and method."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from microexpr.config.study import METHODS
from microexpr.runs.study import Cell, StudyResult

FILE = "predictions.csv"


def predictions(result: StudyResult) -> pd.DataFrame:
    """Return the predictions of test clips, of all repeats.

    Columns: part (cell, average, prespecified, alternative or baseline), method, preprocessing, sampling, model, one
    column for each further axis of the study, experiment (its key), seed, repeat, fold, clip, subject, truth, label and
    the probabilities ``p_CLASS``.
    """
    parts = [
        *(("cell", cell, "") for cell in result.cells),
        *(("average", cell, "") for cell in result.fused),
        *(("prespecified", cell, "") for cell in ([result.named] if result.named else [])),
        *(("alternative", cell, name) for name, cell in result.alternatives.items()),
        *(("baseline", cell, "") for cell in result.baselines),
    ]
    return pd.concat([table for each in parts for table in _of_cell(*each)], ignore_index=True)


def _of_cell(part: str, cell: Cell, alternative: str) -> Iterator[pd.DataFrame]:
    """Yield the predictions of each repeat; `alternative` is its name, if it is one."""
    experiment, classes = cell.experiment, cell.plan.data.labels.classes
    components = {name: getattr(experiment, name).label for name in ("preprocessing", "sampling", "model")}
    axes = {axis: level for axis, level in cell.factors.items() if axis not in (METHODS, *components)}
    for repeat in cell.result.repeats:
        voted = cell.result.of_repeat(repeat).predictions()
        labels = dict(enumerate(classes))
        rows = pd.DataFrame({"fold": voted["fold"], "clip": voted["clip"], "subject": voted["subject"]})
        rows["truth"], rows["label"] = voted["y_true"].map(labels), voted["y_pred"].map(labels)
        for number, name in labels.items():
            rows[f"p_{name}"] = voted[f"p_{number}"]
        described = {
            "part": part,
            "method": alternative or cell.factors.get(METHODS, experiment.model.label),
            **components,
            **axes,
            "experiment": cell.result.key,
            "seed": experiment.seed,
            "repeat": repeat,
        }
        for at, (name, value) in enumerate(described.items()):
            rows.insert(at, name, value)
        yield rows
