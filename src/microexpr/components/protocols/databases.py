"""Training and testing on different databases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from microexpr.components.protocols._splits import file_names, need_classes, need_trainable
from microexpr.core.errors import ConfigError, SplitError, suggest
from microexpr.core.interfaces import Fold, protocols

FIX = "Add other databases, or use the protocol 'loso' over all of them."


@protocols.register("leave_one_database_out")
@dataclass(frozen=True)
class LeaveOneDatabaseOut:
    """Test on each database once and train on all others; folds are ordered by the database's name.

    With two databases this is the hold-out database evaluation (HDE) of the micro-expression challenges: train on one
    and test on the other, in both directions (Yap et al., MEGC 2018). Subjects who are both in the tested database and
    in another are excluded from training, and the report names them. The predictions of all databases are pooled; the
    table by database scores each separately.
    """

    title: ClassVar[str] = "leave one database out"
    subject_independent: ClassVar[bool] = True

    def __call__(self, table: pd.DataFrame, rng: np.random.Generator) -> Iterator[Fold]:
        need_classes("leave_one_database_out", table)
        names = sorted(set(table["dataset"]))
        if len(names) < 2:
            raise SplitError(
                "E303",
                f"leave_one_database_out needs two databases, but the table has only {names[0]!r}. Add another to "
                "datasets, or use the protocol 'loso'.",
            )
        by_name = file_names(names, "databases", "Rename one of them.")
        folds = [_fold(by_name[name], table, [each for each in names if each != name], [name]) for name in names]
        need_trainable("leave_one_database_out", folds, table["label"].to_numpy(np.int64), FIX)
        return iter(folds)


@protocols.register("cross_database")
@dataclass(frozen=True)
class CrossDatabase:
    """Train on the databases `train`, test on the databases `test`: one fold.

    Names are those in the clip table's column dataset: the names of the readers, or the one in a manifest. Subjects of
    the tested databases are excluded from training, and the report names them, as well as databases that are not used.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]

    title: ClassVar[str] = "cross-database"
    subject_independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.train or not self.test:
            raise ConfigError("E111", "cross_database needs at least one database in train and one in test.")
        if both := sorted(set(self.train) & set(self.test)):
            raise ConfigError(
                "E113",
                f"cross_database: {both[0]!r} is both in train and in test. Remove it from one of them; within one "
                "database use the protocols 'loso' or 'subject_kfold'.",
            )

    def __call__(self, table: pd.DataFrame, rng: np.random.Generator) -> Iterator[Fold]:
        need_classes("cross_database", table)
        known = sorted(set(table["dataset"]))
        for part, names in (("train", self.train), ("test", self.test)):
            for name in names:
                if name not in known:
                    raise SplitError(
                        "E309",
                        f"cross_database: {part} names {name!r}, which has no clips{suggest(name, known)}. Databases "
                        f"in the table: {', '.join(known)}.",
                    )
        name = f"{'+'.join(self.train)}-to-{'+'.join(self.test)}"
        fold = _fold(name.replace("/", "-"), table, self.train, self.test)
        need_trainable("cross_database", [fold], table["label"].to_numpy(np.int64), FIX)
        return iter([fold])


def _fold(name: str, table: pd.DataFrame, train: Sequence[str], test: Sequence[str]) -> Fold:
    """Return a fold that tests on databases and trains on others, without the tested subjects."""
    dataset, subject = table["dataset"].to_numpy(str), table["subject"].to_numpy(str)
    tested = np.isin(dataset, test)
    known = np.isin(subject, subject[tested])
    candidates = np.isin(dataset, train)
    notes = []
    if twice := sorted(set(subject[candidates & known])):
        notes.append(
            f"{' and '.join(test)} tested: {len(twice)} of the subjects are also in {' and '.join(train)}; their "
            f"{(candidates & known).sum()} clips there are excluded from training ({', '.join(twice)})."
        )
    if unused := sorted(set(dataset[~tested & ~candidates])):
        notes.append(f"{', '.join(unused)}: used neither for training nor for testing.")
    return Fold(name, np.flatnonzero(candidates & ~known), np.flatnonzero(tested), note=" ".join(notes))
