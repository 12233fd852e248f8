"""Leave one person out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from microexpr.components.protocols._division import file_names, need_classes
from microexpr.core.errors import SplitError
from microexpr.core.interfaces import Fold, protocols


@protocols.register("loso")
@dataclass(frozen=True)
class LeaveOneSubjectOut:
    """Test on every person once, with all other persons for training; folds are ordered by person.

    A person is one human across databases (`Clip.person`), so combined databases that share people leak nothing.
    The folds' predictions are pooled and scored once. A class that one person alone shows is never trained on
    when that person is tested.

    Over joined databases this is the composite database evaluation (CDE) of the micro-expression challenges, for
    instance `datasets = ["casme2", "samm", "smic"]` with `labels = "megc2019_3"` (See et al., MEGC 2019).
    """

    subject_independent: ClassVar[bool] = True

    def __call__(self, table: pd.DataFrame, rng: np.random.Generator) -> Iterator[Fold]:
        person = table["person"].to_numpy()
        persons = sorted(set(person))
        if len(persons) < 2:
            found = f"only {persons[0]!r}" if persons else "no clip"
            raise SplitError(
                f"loso leaves one person out, but the table has {found}. "
                "Add clips of other persons, or use the protocol 'paper_holdout'."
            )
        names = file_names(persons, "persons", "Rename a subject or a namespace.")
        need_classes("loso", table)
        # A list, so that faults are told at the call and not at the first fold.
        return iter(
            [Fold(names[each], np.flatnonzero(person != each), np.flatnonzero(person == each)) for each in persons]
        )
