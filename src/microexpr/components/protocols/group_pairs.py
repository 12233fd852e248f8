"""Leave two groups of subjects out, for choosing among methods inside the training subjects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from microexpr.components.protocols._splits import need_classes, need_trainable, splits
from microexpr.core.errors import SplitError
from microexpr.core.interfaces import Fold, protocols


@protocols.register("group_pairs")
@dataclass(frozen=True)
class GroupPairs:
    """Divide the subjects into `groups` of similar size and test every pair of groups together once.

    The subjects of one group are thus predicted by models that saw neither them nor one other group. On these other
    groups the best method can be chosen for the group, without any influence of the group's own clips. This takes
    g (g - 1) / 2 trainings instead of g - 1 for each group. Pairs are arranged in g - 1 rounds (repeats), each of which
    tests every clip once, as in a tournament. Groups are formed by the rule of `subject_kfold`, but without using the
    classes: only numbers of clips are balanced, so that the labels of test clips decide nothing.
    """

    groups: Annotated[int, Field(ge=4, le=64, multiple_of=2)] = 8

    title: ClassVar[str] = "pairs of groups"
    subject_independent: ClassVar[bool] = True

    def __call__(self, table: pd.DataFrame, rng: np.random.Generator) -> Iterator[Fold]:
        need_classes("group_pairs", table)
        label = table["label"].to_numpy(np.int64)
        subjects, subject = np.unique(table["subject"].to_numpy(str), return_inverse=True)
        if len(subjects) < self.groups:
            raise SplitError(
                "E303",
                f"group_pairs divides subjects into groups = {self.groups}, but the table has only {len(subjects)} "
                "subjects. Use fewer groups, or add clips of other subjects.",
            )
        clips = np.bincount(subject)[:, None]
        group = next(splits(clips, self.groups, rng))[subject]
        folds = []
        for number, pairs in enumerate(_rounds(self.groups), start=1):
            for a, b in pairs:
                tested = (group == a) | (group == b)
                name = f"g{a + 1:02}-g{b + 1:02}"
                folds.append(Fold(name, np.flatnonzero(~tested), np.flatnonzero(tested), repeat=number))
        need_trainable("group_pairs", folds, label, "Use more groups, or join small classes by another label set.")
        return iter(folds)


def _rounds(groups: int) -> list[list[tuple[int, int]]]:
    """Return every pair once, in rounds that contain each group once (the circle method of tournaments).

    >>> _rounds(4)
    [[(0, 3), (1, 2)], [(1, 3), (0, 2)], [(2, 3), (0, 1)]]
    """
    turning, rounds = groups - 1, []
    for first in range(turning):
        pairs = [(first, turning)]
        for step in range(1, groups // 2):
            a, b = sorted(((first + step) % turning, (first - step) % turning))
            pairs.append((a, b))
        rounds.append(pairs)
    return rounds
