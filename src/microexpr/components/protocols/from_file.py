"""The folds of another run, or the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Int

from microexpr.core.errors import SplitError
from microexpr.core.folds import content, named, read, shared_subjects
from microexpr.core.interfaces import Fold, KeyedByContent, protocols


@protocols.register("from_file")
@dataclass(frozen=True)
class FromFile:
    """Use the folds of a `folds.json`, which every run writes with its results; `file` is that file or its folder.

    The clips must be those for which the folds were made: a clip missing from the table, or new in it, raises an error.
    So does a clip in two parts of a fold, and one that is tested twice in a repeat. Validation clips are used as listed
    in the file; if it has none, and the experiment needs them, they are taken from the training subjects. Whether the
    folds are subject-independent is read from the file, which lists the subject of each clip, and checked against the
    clip table. An experiment's key depends on the file's content, not on its path. `microexpr.core.folds` describes the
    format.
    """

    title: ClassVar[str] = "given folds"
    file: Annotated[Path, KeyedByContent(content)]

    @property
    def subject_independent(self) -> bool:
        """Whether no tested subject is used in training or validation; False if the file does not list subjects."""
        return read(self.file).subject_independent

    def __call__(self, table: pd.DataFrame, rng: np.random.Generator) -> Iterator[Fold]:
        found = read(self.file)
        row = {key: number for number, key in enumerate(table["key"])}
        if missing := sorted(found.known - set(row)):
            raise SplitError(
                "E310",
                f"{self.file}: its folds contain {len(missing)} clips that are not in the table: {named(missing)}. Use "
                "the databases and the label set with which they were made.",
            )
        if new := sorted(set(row) - found.known):
            raise SplitError(
                "E310",
                f"{self.file}: {len(new)} clips of the table are not in its folds: {named(new)}. Use the databases and "
                "the label set with which they were made, or list the clips in the file's `clips`.",
            )
        subject = dict(zip(table["key"], table["subject"], strict=True))
        if found.subject_independent:
            for fold in found.folds:
                if both := shared_subjects(fold, subject):
                    raise SplitError(
                        "E311",
                        f"{self.file} says that no subject is both in training and in test, but in this table "
                        f"{both[0]!r} is, in fold {fold.name!r}. Its subjects differ from those of the table.",
                    )

        def rows(keys: tuple[str, ...]) -> Int[np.ndarray, "n"]:
            return np.sort(np.array([row[key] for key in keys], np.int64))

        return iter(
            [
                Fold(
                    fold.name,
                    rows(fold.train),
                    rows(fold.test),
                    rows(fold.val) if fold.val else None,
                    fold.repeat,
                    fold.note,
                )
                for fold in found.folds
            ]
        )
