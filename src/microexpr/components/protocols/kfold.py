"""K-fold cross-validation: over subjects, or over clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Int
from pydantic import Field

from microexpr.components.protocols._splits import need_classes, need_trainable, numbered, splits
from microexpr.core.errors import SplitError
from microexpr.core.interfaces import Fold, protocols


@protocols.register("subject_kfold")
@dataclass(frozen=True)
class SubjectKFold:
    """Divide the subjects into `k` folds with similar class shares; test each fold once and train on the others.

    Subjects are kept whole, which limits how evenly classes can be distributed. The rule: subjects are sorted by their
    number of clips times a random number in 0.5..1.5, largest first, and each is put into the fold where the sum over c
    of n_fc^2 / n_c grows least; n_fc are the clips of class c in fold f, n_c those of all folds, and all clips together
    count as an additional class. The sum is smallest if every fold has 1 / k of every class. Of 100 such orders, the
    one with the smallest sum is used. (scikit-learn's StratifiedGroupKFold shuffles only subjects with the same spread
    of classes, so that its repeats are often identical.)

    With `repeats`, all subjects are divided again, each time differently, and every subject is tested once in each
    repeat. Each repeat is pooled and scored separately, and the scores are averaged: a clip never counts twice in one
    pool. Their spread shows the effect of the split alone; repeats are not independent, so it is not a standard error.
    """

    k: Annotated[int, Field(ge=2)] = 5
    repeats: Annotated[int, Field(ge=1)] = 1

    title: ClassVar[str] = "k-fold by subject"
    subject_independent: ClassVar[bool] = True

    def __call__(self, table: pd.DataFrame, rng: np.random.Generator) -> Iterator[Fold]:
        need_classes("subject_kfold", table)
        label = table["label"].to_numpy(np.int64)
        subjects, subject = np.unique(table["subject"].to_numpy(str), return_inverse=True)
        if len(subjects) < self.k:
            raise SplitError(
                "E303",
                f"subject_kfold divides subjects into k = {self.k} folds, but the table has only {len(subjects)} "
                "subjects. Use a smaller k, or add clips of other subjects.",
            )
        clips = np.zeros((len(subjects), int(label.max()) + 1), np.int64)
        np.add.at(clips, (subject, label), 1)
        folds = []
        for repeat, fold_of in enumerate(self._splits(clips, rng)):
            for number in range(self.k):
                tested = fold_of[subject] == number
                name = numbered(repeat, number, self.repeats, self.k)
                folds.append(Fold(name, np.flatnonzero(~tested), np.flatnonzero(tested), repeat=repeat + 1))
        need_trainable("subject_kfold", folds, label, "Use a larger k, or join small classes by another label set.")
        return iter(folds)

    def _splits(self, clips: Int[np.ndarray, "p k"], rng: np.random.Generator) -> Sequence[Int[np.ndarray, "p"]]:
        """Return the fold of each subject, for each repeat."""
        taken: dict[bytes, Int[np.ndarray, "p"]] = {}
        for repeat in range(self.repeats):
            for fold_of in splits(clips, self.k, rng):
                if (same := _renumbered(fold_of).tobytes()) not in taken:
                    taken[same] = fold_of
                    break
            else:
                raise SplitError(
                    "E312",
                    f"subject_kfold: for {len(clips)} subjects in k = {self.k} folds only {repeat} different splits "
                    f"were found, but repeats = {self.repeats}. Use fewer repeats, or a smaller k.",
                )
        return list(taken.values())


@protocols.register("clip_kfold")
@dataclass(frozen=True)
class ClipKFold:
    """Divide the clips, not the subjects, into `k` folds, with each class distributed as evenly as possible.

    Training and test contain the same faces, as with `paper_holdout`, and the report warns about it: scores say nothing
    about new people. It exists because published numbers use it, and to show its effect on a score. The clips of each
    class are shuffled and dealt to the folds in turn, starting where the previous class stopped, so that the numbers of
    clips per class and per fold differ by at most one. `repeats` as in `subject_kfold`.
    """

    k: Annotated[int, Field(ge=2)] = 5
    repeats: Annotated[int, Field(ge=1)] = 1

    title: ClassVar[str] = "k-fold by clip"
    subject_independent: ClassVar[bool] = False

    def __call__(self, table: pd.DataFrame, rng: np.random.Generator) -> Iterator[Fold]:
        need_classes("clip_kfold", table)
        if len(table) < self.k:
            raise SplitError(
                "E303",
                f"clip_kfold divides clips into k = {self.k} folds, but the table has only {len(table)} clips. Use a "
                "smaller k.",
            )
        label, by_key = table["label"].to_numpy(np.int64), np.argsort(table["key"].to_numpy(str), kind="stable")
        folds = []
        for repeat in range(self.repeats):
            order = rng.permutation(by_key)
            dealt = np.empty(len(table), np.int64)
            dealt[order[np.argsort(label[order], kind="stable")]] = np.arange(len(table)) % self.k
            for number in range(self.k):
                name = numbered(repeat, number, self.repeats, self.k)
                rows = (np.flatnonzero(dealt != number), np.flatnonzero(dealt == number))
                folds.append(Fold(name, *rows, repeat=repeat + 1))
        need_trainable("clip_kfold", folds, label, "Use a larger k, or join small classes by another label set.")
        return iter(folds)


def _renumbered(fold_of: Int[np.ndarray, "p"]) -> Int[np.ndarray, "p"]:
    """Number folds by their first subject, so that two splits that differ only in these numbers become equal.

    >>> _renumbered(np.array([2, 0, 2, 1]))
    array([0, 1, 0, 2])
    """
    _, first, inverse = np.unique(fold_of, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
