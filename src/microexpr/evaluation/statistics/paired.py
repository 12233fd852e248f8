"""Predictions of several experiments, aligned clip by clip; an error if they cannot be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int, Shaped

from microexpr.core.errors import ConfigError
from microexpr.evaluation.statistics._units import check_labels


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """The predictions of one experiment: one row per clip, all folds together.

    If a protocol tests a clip several times, combine these predictions first, or include the repeat in `clips`.
    """

    name: str
    classes: tuple[str, ...]
    clips: Shaped[np.ndarray, "n"]
    subjects: Shaped[np.ndarray, "n"]
    y_true: Int[np.ndarray, "n"]
    y_pred: Int[np.ndarray, "n"]

    @classmethod
    def of(cls, name: str, table: pd.DataFrame, classes: Sequence[str]) -> Predictions:
        """Take the columns clip, subject, y_true and y_pred of stored and voted predictions."""
        missing = {"clip", "subject", "y_true", "y_pred"} - set(table.columns)
        if missing:
            raise ConfigError("E812", f"{name}: the predictions lack the columns {', '.join(sorted(missing))}.")
        clips, subjects = (table[column].to_numpy(dtype=str) for column in ("clip", "subject"))
        y_true, y_pred = (table[column].to_numpy(int) for column in ("y_true", "y_pred"))
        return cls(name, tuple(classes), clips, subjects, y_true, y_pred)


def align(first: Predictions, *others: Predictions) -> tuple[Predictions, ...]:
    """Return all predictions in the first's order of clips; raises ConfigError if they are not of the same clips."""
    _check_alone(first)
    return (first, *(_aligned(first, other) for other in others))


def _check_alone(given: Predictions) -> None:
    names, counts = np.unique(given.clips, return_counts=True)
    if (counts > 1).any():
        raise ConfigError(
            "E813",
            f"{given.name}: several predictions of {_some(names[counts > 1])}. Combine those of a clip first.",
        )
    check_labels(given.y_true, [given.y_pred], len(given.classes), given.subjects)


def _aligned(first: Predictions, other: Predictions) -> Predictions:
    if first.classes != other.classes:
        raise ConfigError(
            "E814",
            f"{first.name} has the classes {', '.join(first.classes)} and {other.name} has {', '.join(other.classes)}. "
            "Scores over different label sets cannot be compared; run both with the same `labels`.",
        )
    _check_alone(other)
    only = [np.setdiff1d(a.clips, b.clips) for a, b in ((first, other), (other, first))]
    if only[0].size or only[1].size:
        listed = [
            f"{names.size} only in {of.name} ({_some(names)})"
            for names, of in zip(only, (first, other), strict=True)
            if names.size
        ]
        raise ConfigError(
            "E815",
            f"{first.name} and {other.name} were not tested on the same clips: {'; '.join(listed)}. "
            "Run both on the same database, label set and folds.",
        )
    rows = np.argsort(other.clips, kind="stable")[np.argsort(np.argsort(first.clips, kind="stable"), kind="stable")]
    moved = Predictions(
        other.name, other.classes, other.clips[rows], other.subjects[rows], other.y_true[rows], other.y_pred[rows]
    )
    for what, a, b in (("true classes", first.y_true, moved.y_true), ("subjects", first.subjects, moved.subjects)):
        if (a != b).any():
            raise ConfigError(
                "E816",
                f"{first.name} and {other.name} give different {what} for {_some(first.clips[a != b])}: they used "
                "different versions of the annotations. Run both on the same version.",
            )
    return moved


def _some(names: Shaped[np.ndarray, "_"], most: int = 3) -> str:
    listed = ", ".join(str(name) for name in names[:most])
    return f"{listed} and {names.size - most} more" if names.size > most else listed
