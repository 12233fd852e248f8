"""Nested choice: a method chosen for every subject on the clips of other subjects only, by a rule fixed beforehand.

Each method is evaluated under folds that leave out pairs of groups of subjects (protocol `group_pairs`). In the folds
that test a subject, all other tested subjects are predicted by models trained without them and without this subject's
group. The methods are scored on these predictions, and the best one is chosen for the subject. No clip of the subject's
group influences the choice: whatever its labels, the choice is the same, because the groups are formed without labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from microexpr.core.confusion import confusion_matrix, present
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ConfusionMetric
from microexpr.core.words import many
from microexpr.evaluation.statistics._units import TIE


@dataclass(frozen=True, slots=True)
class Chosen:
    """The method chosen for one group of subjects, and the scores that decided."""

    subjects: tuple[str, ...]
    """The group: subjects who are tested in the same folds."""
    method: str
    scores: Mapping[str, float]
    """Each method's score on the clips of the other subjects."""
    clips: int
    """Number of clips of the other subjects, each counted once."""


def choose(metric: ConfusionMetric, judged: Mapping[str, pd.DataFrame], num_classes: int) -> tuple[Chosen, ...]:
    """Choose a method for each group of subjects; of equal scores the first.

    `judged` holds each method's voted test predictions of all folds (columns clip, subject, fold, y_true, y_pred), a
    clip once for each fold that tests it. Scores are over the classes of the other subjects' clips. Raises ConfigError
    if the methods were not evaluated on the same folds, or if a subject's folds test a clip of other subjects twice or
    never.
    """
    if len(judged) < 2:
        raise ConfigError(
            "E817",
            f"there is nothing to choose from: {many(len(judged), 'method')} could be evaluated, and it takes two.",
        )
    tables = dict(judged)
    first, *others = (table.sort_values(["fold", "clip"], ignore_index=True) for table in tables.values())
    same = ["fold", "clip", "subject", "y_true"]
    for name, other in zip(list(tables)[1:], others, strict=True):
        if not other[same].equals(first[same]):
            raise ConfigError(
                "E817",
                f"{name} and {next(iter(tables))} were not evaluated on the same folds and clips, so no method can be "
                "chosen. Run them on the same folds.",
            )
    predictions = {name: table["y_pred"].to_numpy(int) for name, table in zip(tables, [first, *others], strict=True)}
    return tuple(_choose(metric, first, predictions, group, num_classes) for group in _groups(first))


def _groups(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the groups of subjects who are tested in the same folds."""
    folds: dict[str, frozenset[str]] = {
        str(subject): frozenset(map(str, rows)) for subject, rows in table.groupby("subject", sort=True)["fold"]
    }
    groups: dict[frozenset[str], list[str]] = {}
    for subject, where in folds.items():
        groups.setdefault(where, []).append(subject)
    return [tuple(subjects) for subjects in groups.values()]


def _choose(
    metric: ConfusionMetric,
    table: pd.DataFrame,
    predictions: Mapping[str, np.ndarray],
    group: tuple[str, ...],
    num_classes: int,
) -> Chosen:
    own = table["subject"].isin(group)
    rows = np.flatnonzero(table["fold"].isin(table.loc[own, "fold"].unique()) & ~own)
    if not rows.size or table["clip"].iloc[rows].duplicated().any():
        raise ConfigError(
            "E817",
            f"the folds that test {group[0]} test clips of other subjects {'more than once' if rows.size else 'never'}."
            " Choosing a method needs folds that leave out every pair of groups once (protocol group_pairs).",
        )
    y_true = table["y_true"].to_numpy(int)[rows]
    averaged_classes = present(y_true, num_classes)
    scores = {
        name: float(metric.of_confusion(confusion_matrix(y_true, y_pred[rows], num_classes), averaged_classes))
        for name, y_pred in predictions.items()
    }
    best = next(name for name, score in scores.items() if score >= max(scores.values()) - TIE)
    return Chosen(group, best, scores, rows.size)


def chosen_rows(choices: tuple[Chosen, ...], tested: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the pooled predictions of the chosen methods: each subject's rows come from the subject's method."""
    method_of = {subject: each.method for each in choices for subject in each.subjects}
    parts = []
    for name, table in tested.items():
        unknown = set(table["subject"]) - set(method_of)
        if unknown:
            raise ConfigError(
                "E817", f"no method was chosen for subject {min(unknown)}, whose clips are in no fold of the choice."
            )
        parts.append(table[table["subject"].map(method_of) == name])
    return pd.concat(parts, ignore_index=True)
