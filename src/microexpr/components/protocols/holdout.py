"""The paper's split: one hold-out, stratified by class, with the same subjects in training and test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Int, Shaped

from microexpr.core.errors import ConfigError, SplitError, suggest
from microexpr.core.interfaces import Fold, protocols


def adams(clips: Int[np.ndarray, "k"], total: int, most: Int[np.ndarray, "k"]) -> Int[np.ndarray, "k"]:
    """Apportion `total` clips to classes by Adams' method: the next clip goes to the class of largest clips / given.

    Every class gets one before any gets two, none gets more than `most`, and the sum is exact. Ties go to the larger
    class, then to the lower class number. (Balinski & Young, Fair Representation, 1982.)
    >>> adams(np.array([99, 63, 32, 27, 25, 7, 2]), 28, np.array([97, 61, 30, 25, 23, 5, 0]))
    array([10,  7,  4,  3,  3,  1,  0])
    """
    given = np.zeros_like(clips)
    for _ in range(min(total, int(most.sum()))):
        open_ = given < most
        claim = np.divide(clips, given, out=np.full(clips.shape, np.inf), where=given > 0)
        first = max(np.flatnonzero(open_), key=lambda c: (claim[c], clips[c], -c))
        given[first] += 1
    return given


@protocols.register("paper_holdout")
@dataclass(frozen=True)
class PaperHoldout:
    """One fold, stratified by class: the paper's 201 training, 26 validation and 28 test clips of CASME II.

    `test` and `validation` are shares of all clips, rounded; they are apportioned to the classes by Adams' method,
    validation from the clips that are not in test. A class with fewer than three clips cannot be in all three parts and
    is only used for training. With the 2014 labels (99 others, 63 disgust, 32 happiness, 27 repression, 25 surprise, 7
    sadness, 2 fear) this gives test 10/7/4/3/3/1/0, which is the paper's Table V, and validation 10/6/3/3/3/1/0; for
    validation the paper gives only the sum. The paper does not say which clips they were: here the seed decides.

    `test_clips` and `validation_clips` are clip keys, used instead of a share. With `validation = 0` and no
    `validation_clips` the fold has no validation clips, and the experiment takes them from the training subjects.
    """

    test: float = 28 / 255
    validation: float = 26 / 255
    test_clips: tuple[str, ...] = ()
    validation_clips: tuple[str, ...] = ()

    title: ClassVar[str] = "the paper's hold-out"
    subject_independent: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not (0 < self.test < 1 and 0 <= self.validation < 1 and self.test + self.validation < 1):
            raise ConfigError(
                "E113",
                f"paper_holdout: test = {self.test:g} and validation = {self.validation:g} leave no clips for training "
                "or test. They are shares of all clips: 0 < test, 0 <= validation, test + validation < 1.",
            )

    def __call__(self, table: pd.DataFrame, rng: np.random.Generator) -> Iterator[Fold]:
        keys, label = table["key"].to_numpy(), table["label"].to_numpy(np.int64)
        test, val = _rows(keys, self.test_clips, "test_clips"), _rows(keys, self.validation_clips, "validation_clips")
        if both := sorted(keys[np.intersect1d(test, val)]):
            raise SplitError(
                "E307", f"clip {both[0]!r} is in test_clips and in validation_clips. Remove it from one of them."
            )
        # By key, so that the same clips are drawn whatever the order of the table.
        # By key, so that the same clips are drawn however the table is ordered.
        order = rng.permutation(np.argsort(keys, kind="stable"))
        parts = 3 if self.validation or self.validation_clips else 2
        if not self.test_clips:
            left = order[~np.isin(order, val)]
            test = _draw(table, left, round(self.test * len(table)), parts, "test", parts - 1 - bool(val.size))
        if self.validation and not self.validation_clips:
            left = order[~np.isin(order, test)]
            val = _draw(table, left, round(self.validation * len(table)), parts, "validation", 1)
        train = np.setdiff1d(np.arange(len(table)), np.concatenate([test, val]))
        for part, rows in (("training", train), ("test", test)):
            if np.unique(label[rows]).size < 2:
                raise SplitError(
                    "E304", f"the {part} part has fewer than two classes. Change the lists of clips or the shares."
                )
        return iter([Fold("holdout", train, np.sort(test), np.sort(val) if val.size else None)])


def _rows(keys: Shaped[np.ndarray, "n"], wanted: tuple[str, ...], parameter: str) -> Int[np.ndarray, "m"]:
    row = {key: number for number, key in enumerate(keys)}
    for key in wanted:
        if key not in row:
            raise SplitError(
                "E306",
                f"{parameter}: there is no clip {key!r} in the table{suggest(key, row)}. "
                "Remove it from the list, or choose a label set that keeps it.",
            )
    return np.unique(np.array([row[key] for key in wanted], dtype=np.int64))


def _draw(
    table: pd.DataFrame, left: Int[np.ndarray, "n"], total: int, parts: int, part: str, keep: int
) -> Int[np.ndarray, "m"]:
    """Return the first rows of `left` that fill `part`; every class keeps `keep` clips for the parts still to come."""
    label = table["label"].to_numpy(np.int64)
    clips = np.bincount(label)
    here = np.bincount(label[left], minlength=clips.size)
    most = np.where(clips >= parts, np.maximum(here - keep, 0), 0)
    if (most > 0).sum() < 2 or not 2 <= total <= most.sum():
        counts = ", ".join(
            f"{_class_name(table, c)} {clips[c]}" for c in np.argsort(clips, kind="stable").tolist() if clips[c]
        )
        raise SplitError(
            "E308",
            f"paper_holdout: the {part} part needs {total} of {len(table)} clips, of at least two classes. A class in "
            f"{parts} parts needs {parts} clips, so that {most.sum()} clips are available. Clips per class: {counts}. "
            "Change the shares, join small classes by another label set, or use the protocol 'loso'.",
        )
    wanted = adams(here, total, most)
    return np.concatenate([left[label[left] == c][: wanted[c]] for c in range(clips.size)])


def _class_name(table: pd.DataFrame, c: int) -> str:
    emotions = table.loc[table["label"] == c, "emotion"].unique()
    return f"{'+'.join(sorted(map(str, emotions)))} (class {c})"
