"""How much a score depends on single subjects: it is computed once without each (exact, from confusion matrices)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Shaped

from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ConfusionMetric
from microexpr.evaluation.statistics._units import check_labels, units_of


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The score, or difference of scores, without one subject."""

    subject: str
    clips: int
    score: float
    change: float
    """The score without this subject minus the score of all."""
    lost: tuple[int, ...]
    """Numbers of classes that no other subject has; each metric's rule for absent classes says how they count."""


def influence(
    metric: ConfusionMetric,
    y_true: Int[np.ndarray, "n"],
    y_pred: Int[np.ndarray, "n"],
    subjects: Shaped[np.ndarray, "n"],
    *,
    num_classes: int,
    averaged_classes: Bool[np.ndarray, "k"],
    against: Int[np.ndarray, "n"] | None = None,
) -> tuple[LeftOut, ...]:
    """Return the score without each subject, the most influential subject first.

    With `against`, predictions of another experiment, the score is that of `y_pred` minus that of `against`: if the
    sign changes without one subject, the difference is due to that subject. `averaged_classes` stays the same, as in
    resamples.

    >>> from microexpr.core.interfaces import metrics
    >>> y_true, y_pred, who = np.array([0, 1, 0, 1]), np.array([0, 1, 1, 1]), np.array(["a", "a", "b", "b"])
    >>> both = {"num_classes": 2, "averaged_classes": np.ones(2, bool)}
    >>> found = influence(metrics.build("accuracy", {}), y_true, y_pred, who, **both)
    >>> [(one.subject, one.score, one.change) for one in found]
    [('a', 0.5, -0.25), ('b', 1.0, 0.25)]
    """
    predictions = [y_pred] if against is None else [y_pred, against]
    check_labels(y_true, predictions, num_classes, subjects)
    units = units_of(y_true, predictions, num_classes, subjects)
    total = units.total()
    left = total - units.matrices
    scores, whole = metric.of_confusion(left, averaged_classes), metric.of_confusion(total, averaged_classes)
    if against is not None:
        scores, whole = scores[:, :1] - scores[:, 1:], whole[:1] - whole[1:]
    if not np.isfinite(scores).all():
        raise ConfigError(
            "E809", "if one subject is left out, no class remains to be scored. Provide clips from more subjects."
        )
    lost = (left[:, 0].sum(axis=-1) == 0) & (total[0].sum(axis=-1) > 0)
    clips = units.matrices[:, 0].sum(axis=(-2, -1)).astype(int)
    rows = [
        LeftOut(
            str(name),
            int(clips[at]),
            float(scores[at, 0]),
            float(scores[at, 0] - whole[0]),
            tuple(np.flatnonzero(lost[at]).tolist()),
        )
        for at, name in enumerate(np.unique(subjects))
    ]
    return tuple(sorted(rows, key=lambda row: (-abs(row.change), row.subject)))
