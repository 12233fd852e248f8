"""K-fold cross-validation: over subjects, or over clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Int
from pydantic import Field

from microexpr.components.protocols._division import divided, need_classes, need_trainable, numbered
from microexpr.core.errors import SplitError
from microexpr.core.interfaces import Fold, protocols


@protocols.register("subject_kfold")
@dataclass(frozen=True)
class SubjectKFold:
    """Divide the subjects into `k` folds of like classes; test each fold once, with all other subjects for training.

    Subjects stay whole, so classes are shared out only as well as that allows. The rule: subjects are put in order by
    their clips times a random number in 0.5..1.5, most first, and each goes to the fold where the sum over c of
    n_fc^2 / n_c grows least; n_fc are the clips of class c in fold f, n_c those of all folds, and all clips together
    count as one class more. The sum is least where every fold has 1 / k of every class. Of 100 such orders the one
    with the least sum is taken. (scikit-learn's StratifiedGroupKFold shuffles only subjects whose classes are spread
    alike, so that repeats of it are often the same.)

    With `repeats` all subjects are divided anew, never twice alike, and every subject is tested once in each repeat.
    Each repeat is pooled and scored by itself, and the scores are averaged: a clip never counts twice in one pool.
    Their spread tells what the division alone does; repeats are not independent, so it is no standard error.
    """

    k: Annotated[int, Field(ge=2)] = 5
    repeats: Annotated[int, Field(ge=1)] = 1

    subject_independent: ClassVar[bool] = True

    def __call__(self, table: pd.DataFrame, rng: np.random.Generator) -> Iterator[Fold]:
        need_classes("subject_kfold", table)
        label = table["label"].to_numpy(np.int64)
        subjects, subject = np.unique(table["subject"].to_numpy(str), return_inverse=True)
        if len(subjects) < self.k:
            raise SplitError(
                "E301",
                f"subject_kfold divides subjects into k = {self.k} folds, but the table has {len(subjects)}. Take a "
                "smaller k, or add clips of other subjects.",
            )
        clips = np.zeros((len(subjects), int(label.max()) + 1), np.int64)
        np.add.at(clips, (subject, label), 1)
        folds = []
        for repeat, fold_of in enumerate(self._divisions(clips, rng)):
            for number in range(self.k):
                tested = fold_of[subject] == number
                name = numbered(repeat, number, self.repeats, self.k)
                folds.append(Fold(name, np.flatnonzero(~tested), np.flatnonzero(tested), repeat=repeat + 1))
        need_trainable("subject_kfold", folds, label, "Take a larger k, or join small classes by another label set.")
        return iter(folds)

    def _divisions(self, clips: Int[np.ndarray, "p k"], rng: np.random.Generator) -> Sequence[Int[np.ndarray, "p"]]:
        """Return the fold of each subject, once a repeat."""
        taken: dict[bytes, Int[np.ndarray, "p"]] = {}
        for repeat in range(self.repeats):
            for fold_of in divided(clips, self.k, rng):
                if (alike := _renumbered(fold_of).tobytes()) not in taken:
                    taken[alike] = fold_of
                    break
            else:
                raise SplitError(
                    "E301",
                    f"subject_kfold: {len(clips)} subjects in k = {self.k} folds give no more than {repeat} divisions "
                    f"worth having, but repeats = {self.repeats}. Ask for fewer repeats, or for a smaller k.",
                )
        return list(taken.values())


@protocols.register("clip_kfold")
@dataclass(frozen=True)
class ClipKFold:
    """Divide the clips, not the subjects, into `k` folds; each class is shared out as evenly as its clips allow.

    The same faces are in training and test, as under `paper_holdout`, and the report stamps it: scores say nothing
    about new people. It is here because published numbers use it, and to show what it adds to a score. The clips of
    each class are shuffled and dealt to the folds in turn, the next class going on where the last one stopped, so
    that neither a class nor a fold is ever off by more than one clip. `repeats` as in `subject_kfold`.
    """

    k: Annotated[int, Field(ge=2)] = 5
    repeats: Annotated[int, Field(ge=1)] = 1

    subject_independent: ClassVar[bool] = False

    def __call__(self, table: pd.DataFrame, rng: np.random.Generator) -> Iterator[Fold]:
        need_classes("clip_kfold", table)
        if len(table) < self.k:
            raise SplitError(
                "E301",
                f"clip_kfold divides clips into k = {self.k} folds, but the table has {len(table)}. Take a smaller k.",
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
        need_trainable("clip_kfold", folds, label, "Take a larger k, or join small classes by another label set.")
        return iter(folds)


def _renumbered(fold_of: Int[np.ndarray, "p"]) -> Int[np.ndarray, "p"]:
    """Number folds by their first subject: two divisions that differ in nothing but the numbers become one.

    >>> _renumbered(np.array([2, 0, 2, 1]))
    array([0, 1, 0, 2])
    """
    _, first, inverse = np.unique(fold_of, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
