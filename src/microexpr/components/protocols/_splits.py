"""What protocols share: stratified splits of subjects, names of folds, checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int

from microexpr.core.errors import SplitError
from microexpr.core.interfaces import Fold

ORDERS = 100
"""Random orders of the subjects that are tried for each split."""
SCALE = 1_000_000
"""Weights are integers, so that rounding never decides between two splits."""


def file_names(names: Sequence[str], what: str, fix: str) -> dict[str, str]:
    """Return names that can be used for files, since results are stored by fold; raises SplitError if two are equal.

    >>> file_names(["casme2/01"], "subjects", "")
    {'casme2/01': 'casme2-01'}
    """
    by_name = {each: each.replace("/", "-") for each in names}
    if len(set(by_name.values())) < len(by_name):
        twice = sorted(each for each in names if list(by_name.values()).count(by_name[each]) > 1)
        raise SplitError(
            "E305", f"the {what} {' and '.join(map(repr, twice))} have the same name once '/' is replaced by '-'. {fix}"
        )
    return by_name


def numbered(repeat: int, fold: int, repeats: int, k: int) -> str:
    """Return the name of a fold, counted from 0: ``r2-f3``, padded with zeros so that names sort.

    >>> numbered(0, 2, 1, 5), numbered(1, 2, 10, 10)
    ('r1-f3', 'r02-f03')
    """
    return f"r{repeat + 1:0{len(str(repeats))}}-f{fold + 1:0{len(str(k))}}"


def need_classes(protocol: str, table: pd.DataFrame) -> None:
    """Raise SplitError if there are fewer than two classes."""
    if table["label"].nunique() < 2:
        found = f"one class only ({len(table)} clips)" if len(table) else "no clips"
        raise SplitError(
            "E302",
            f"{protocol}: the table has {found}, but scores need at least two classes. Choose another label set.",
        )


def need_trainable(protocol: str, folds: Sequence[Fold], label: Int[np.ndarray, "n"], fix: str) -> None:
    """Raise SplitError if a fold has fewer than two classes to train on."""
    for fold in folds:
        classes = np.unique(label[fold.train]).size
        if classes < 2:
            found = "clips of one class only" if classes else "no clips"
            raise SplitError("E304", f"{protocol}: fold {fold.name} has {found} to train on. {fix}")


def splits(clips: Int[np.ndarray, "p k"], folds: int, rng: np.random.Generator) -> Iterator[Int[np.ndarray, "p"]]:
    """Yield the fold of each subject by the rule of `SubjectKFold`, for each of the random orders, the best first."""
    clips = np.column_stack([clips, clips.sum(1)])
    total = clips.sum(0)
    weight = np.where(total > 0, SCALE // np.maximum(total, 1), 0)
    # Subjects with few clips come last and balance what those with many have left unbalanced.
    orders = np.argsort(-clips[:, -1] * rng.uniform(0.5, 1.5, (ORDERS, len(clips))), axis=1, kind="stable")
    each = np.arange(ORDERS)
    filled = np.zeros((ORDERS, folds, clips.shape[1]), np.int64)
    fold_of = np.empty((ORDERS, len(clips)), np.int64)
    for subject in orders.T:
        # (n + g)^2 - n^2 = 2 n g + g^2, and the last term is the same for every fold.
        growth = np.einsum("ofc,oc->of", filled, clips[subject] * weight)
        # All clips together count as a class, so the sum grows least in an empty fold: none stays empty.
        fold = growth.argmin(1)
        filled[each, fold] += clips[subject]
        fold_of[each, subject] = fold
    for best in np.argsort((filled**2 * weight).sum((1, 2)), kind="stable"):
        yield fold_of[best]
