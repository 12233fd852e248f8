"""The folds of another run, or of one's own making."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from jaxtyping import Int

from microexpr.core.errors import SplitError
from microexpr.core.folds import content, named, read, shared_subjects
from microexpr.core.interfaces import ByContent, Fold, protocols


@protocols.register("from_file")
@dataclass(frozen=True)
class FromFile:
    """Take the folds of a `folds.json`, which every run writes beside its results; `file` is that file or its folder.

    The clips must be those that the folds were made for: one that is missing from the table, or new in it, is refused.
    So is a clip in two parts of a fold, and one that a repeat tests twice. Validation clips are taken as they stand
    in the file; where it has none, and the experiment chooses, they are cut from the training subjects. Whether the
    folds are subject-independent is read from the file, which says whose each clip is, and held to the clip table.
    What is in the file makes the experiment's key, not where it lies. `microexpr.core.folds` tells the format.
    """

    file: Annotated[Path, ByContent(content)]

    @property
    def subject_independent(self) -> bool:
        """Whether nobody tested is trained or chosen on; False where the file says nothing of subjects."""
        return read(self.file).subject_independent

    def __call__(self, table: pd.DataFrame, rng: np.random.Generator) -> Iterator[Fold]:
        found = read(self.file)
        row = {key: number for number, key in enumerate(table["key"])}
        if missing := sorted(found.known - set(row)):
            raise SplitError(
                "E301",
                f"{self.file}: its folds were made for {len(missing)} clips that are not in the table: "
                f"{named(missing)}. Take the databases and the label set that they were made with.",
            )
        if new := sorted(set(row) - found.known):
            raise SplitError(
                "E301",
                f"{self.file}: its folds know nothing of {len(new)} clips of the table: {named(new)}. Take the "
                "databases and the label set that they were made with, or list the clips in the file's `clips`.",
            )
        subject = dict(zip(table["key"], table["subject"], strict=True))
        if found.subject_independent:
            for fold in found.folds:
                if both := shared_subjects(fold, subject):
                    raise SplitError(
                        "E301",
                        f"{self.file}: it says that nobody is both trained on and tested, but in this table "
                        f"{both[0]!r} is, in fold {fold.name!r}. Its subjects are not those of the table.",
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
