"""A method chosen for every subject on the clips of others alone, by a rule fixed beforehand.

Each method is judged under folds that leave groups of subjects out together (protocol `group_pairs`). In the folds that
test a subject, all other subjects tested are predicted by models that saw neither them nor this subject's group. On
these the methods are scored, and the best is taken for him. No clip of his group has had a word in it: its labels may
be anything, and the choice is the same, because the groups are divided without labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from microexpr.core.confusion import confusion_matrix, present
from microexpr.core.errors import ConfigError, many
from microexpr.core.interfaces import ConfusionMetric
from microexpr.evaluation.statistics._units import TIE


@dataclass(frozen=True, slots=True)
class Chosen:
    """The method taken for one group of subjects, and what it was taken for."""

    subjects: tuple[str, ...]
    """The group: those whom every fold that tests one of them tests."""
    method: str
    scores: Mapping[str, float]
    """Each method's score on the clips of the others."""
    clips: int
    """Clips of the others; each stands once."""


def choose(metric: ConfusionMetric, judged: Mapping[str, pd.DataFrame], k: int) -> tuple[Chosen, ...]:
    """Choose a method for each group of subjects, the first of equals.

    `judged` holds each method's voted test predictions of all folds (columns clip, subject, fold, y_true, y_pred), a
    clip as often as folds test it. Scores are over the classes that the others' clips have. Raises ConfigError where
    the methods were not judged by the same folds, or where a subject's folds test a clip of others twice or none.
    """
    if len(judged) < 2:
        raise ConfigError("E104", f"there is nothing to choose among: {many(len(judged), 'method')} could be judged.")
    tables = dict(judged)
    first, *others = (table.sort_values(["fold", "clip"], ignore_index=True) for table in tables.values())
    same = ["fold", "clip", "subject", "y_true"]
    if any(not other[same].equals(first[same]) for other in others):
        raise ConfigError("E104", "the methods were not judged by the same folds and clips, so none can be chosen.")
    guesses = {name: table["y_pred"].to_numpy(int) for name, table in zip(tables, [first, *others], strict=True)}
    return tuple(_choose(metric, first, guesses, group, k) for group in _groups(first))


def _groups(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the subjects who are tested in the same folds."""
    folds: dict[str, frozenset[str]] = {
        str(subject): frozenset(map(str, rows)) for subject, rows in table.groupby("subject", sort=True)["fold"]
    }
    groups: dict[frozenset[str], list[str]] = {}
    for subject, where in folds.items():
        groups.setdefault(where, []).append(subject)
    return [tuple(subjects) for subjects in groups.values()]


def _choose(
    metric: ConfusionMetric, table: pd.DataFrame, guesses: Mapping[str, np.ndarray], group: tuple[str, ...], k: int
) -> Chosen:
    mine = table["subject"].isin(group)
    rows = np.flatnonzero(table["fold"].isin(table.loc[mine, "fold"].unique()) & ~mine)
    if not rows.size or table["clip"].iloc[rows].duplicated().any():
        raise ConfigError(
            "E104",
            f"the folds that test {group[0]} test clips of others {'more than once' if rows.size else 'never'}; a "
            "choice needs folds that leave every pair of groups out once (group_pairs).",
        )
    y_true = table["y_true"].to_numpy(int)[rows]
    over = present(y_true, k)
    scores = {
        name: float(metric.of_confusion(confusion_matrix(y_true, guess[rows], k), over))
        for name, guess in guesses.items()
    }
    best = next(name for name, score in scores.items() if score >= max(scores.values()) - TIE)
    return Chosen(group, best, scores, rows.size)


def chosen_rows(choices: tuple[Chosen, ...], tested: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return what the chosen methods predict, pooled: each subject's rows are those of the method chosen for him."""
    taken = {subject: each.method for each in choices for subject in each.subjects}
    parts = []
    for name, table in tested.items():
        unknown = set(table["subject"]) - set(taken)
        if unknown:
            raise ConfigError("E104", f"no method was chosen for {min(unknown)}: his clips are in no fold that judges.")
        parts.append(table[table["subject"].map(taken) == name])
    return pd.concat(parts, ignore_index=True)
