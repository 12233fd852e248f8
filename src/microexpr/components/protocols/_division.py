"""What protocols share: subjects divided into folds of like classes, names of folds, refusals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int

from microexpr.core.errors import SplitError
from microexpr.core.interfaces import Fold

ORDERS = 100
"""Orders of the subjects that are tried for each division."""
SCALE = 1_000_000
"""Weights are whole numbers, so that no rounding decides between two divisions."""


def file_names(names: Sequence[str], what: str, way_out: str) -> dict[str, str]:
    """Return names that files can have, since results are stored under the fold's; raises SplitError where two meet.

    >>> file_names(["casme2/01"], "subjects", "")
    {'casme2/01': 'casme2-01'}
    """
    called = {each: each.replace("/", "-") for each in names}
    if len(set(called.values())) < len(called):
        raise SplitError("E301", f"two {what} have the same name once '/' is written '-'. {way_out}")
    return called


def numbered(repeat: int, fold: int, repeats: int, k: int) -> str:
    """Return the name of a fold, counted from 0: ``r2-f3``, with zeros before so that names sort.

    >>> numbered(0, 2, 1, 5), numbered(1, 2, 10, 10)
    ('r1-f3', 'r02-f03')
    """
    return f"r{repeat + 1:0{len(str(repeats))}}-f{fold + 1:0{len(str(k))}}"


def need_classes(protocol: str, table: pd.DataFrame) -> None:
    """Raise SplitError where there is nothing to tell apart."""
    if table["label"].nunique() < 2:
        found = f"one class only ({len(table)} clips)" if len(table) else "no clip"
        raise SplitError(
            "E301", f"{protocol}: the table has {found}; a score needs two classes at least. Take another label set."
        )


def need_trainable(protocol: str, folds: Sequence[Fold], label: Int[np.ndarray, "n"], way_out: str) -> None:
    """Raise SplitError where a fold has clips of fewer than two classes to train on."""
    for fold in folds:
        classes = np.unique(label[fold.train]).size
        if classes < 2:
            found = "no clip" if not classes else "clips of one class only"
            raise SplitError("E301", f"{protocol}: fold {fold.name} has {found} to train on. {way_out}")


def divided(clips: Int[np.ndarray, "p k"], folds: int, rng: np.random.Generator) -> Iterator[Int[np.ndarray, "p"]]:
    """Yield the fold of each subject by the rule of `SubjectKFold`, the best of the random orders first."""
    clips = np.column_stack([clips, clips.sum(1)])
    total = clips.sum(0)
    weight = np.where(total > 0, SCALE // np.maximum(total, 1), 0)
    # Subjects with few clips come late and even out what those with many have left uneven.
    orders = np.argsort(-clips[:, -1] * rng.uniform(0.5, 1.5, (ORDERS, len(clips))), axis=1, kind="stable")
    each = np.arange(ORDERS)
    filled = np.zeros((ORDERS, folds, clips.shape[1]), np.int64)
    fold_of = np.empty((ORDERS, len(clips)), np.int64)
    for subject in orders.T:
        # (n + g)^2 - n^2 = 2 n g + g^2, and the last term is the same in every fold.
        growth = np.einsum("ofc,oc->of", filled, clips[subject] * weight)
        # All clips count as a class, so an empty fold grows least: none stays empty.
        fold = growth.argmin(1)
        filled[each, fold] += clips[subject]
        fold_of[each, subject] = fold
    for best in np.argsort((filled**2 * weight).sum((1, 2)), kind="stable"):
        yield fold_of[best]
