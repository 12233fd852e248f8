"""Leave one subject out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from microexpr.components.protocols._splits import file_names, need_classes
from microexpr.core.errors import SplitError
from microexpr.core.interfaces import Fold, protocols


@protocols.register("loso")
@dataclass(frozen=True)
class LeaveOneSubjectOut:
    """Test on every subject once and train on all other subjects; folds are ordered by subject.

    A subject is one human across databases (`Clip.subject`), so that combined databases with common subjects have no
    leakage. The predictions of all folds are pooled and scored once. A class that occurs in one subject only cannot be
    learnt when that subject is tested.

    Over combined databases this is the composite database evaluation (CDE) of the micro-expression challenges, for
    instance `datasets = ["casme2", "samm", "smic"]` with `labels = "megc2019_3"` (See et al., MEGC 2019).
    """

    title: ClassVar[str] = "LOSO"
    subject_independent: ClassVar[bool] = True

    def __call__(self, table: pd.DataFrame, rng: np.random.Generator) -> Iterator[Fold]:
        subject = table["subject"].to_numpy()
        subjects = sorted(set(subject))
        if len(subjects) < 2:
            found = f"only {subjects[0]!r}" if subjects else "no clip"
            raise SplitError(
                "E303",
                f"loso leaves one subject out, but the table has {found}. Add clips of other subjects, or use the "
                "protocol 'paper_holdout'.",
            )
        names = file_names(subjects, "subjects", "Rename a subject or set a namespace.")
        need_classes("loso", table)
        # A list, so that errors are raised at the call and not at the first fold.
        return iter(
            [Fold(names[each], np.flatnonzero(subject != each), np.flatnonzero(subject == each)) for each in subjects]
        )
