"""Training and testing on different databases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from microexpr.components.protocols._division import file_names, need_classes, need_trainable
from microexpr.core.errors import ConfigError, SplitError, suggest
from microexpr.core.interfaces import Fold, protocols

WAY_OUT = "Join other databases, or use the protocol 'loso' over all of them."


@protocols.register("leave_one_database_out")
@dataclass(frozen=True)
class LeaveOneDatabaseOut:
    """Test on each database once, with all others for training; folds are ordered by the database's name.

    With two databases this is the hold-out database evaluation (HDE) of the micro-expression challenges: train on one,
    test on the other, and the other way round (Yap et al., MEGC 2018). Subjects who are in the tested database and in
    another are kept out of training, and the report says who. The predictions of all databases are pooled; the table
    by database scores each alone.
    """

    subject_independent: ClassVar[bool] = True

    def __call__(self, table: pd.DataFrame, rng: np.random.Generator) -> Iterator[Fold]:
        need_classes("leave_one_database_out", table)
        names = sorted(set(table["dataset"]))
        if len(names) < 2:
            raise SplitError(
                "E301",
                f"leave_one_database_out needs two databases, but the table has only {names[0]!r}. List another in "
                "datasets, or use the protocol 'loso'.",
            )
        called = file_names(names, "databases", "Rename one.")
        folds = [_fold(called[name], table, [each for each in names if each != name], [name]) for name in names]
        need_trainable("leave_one_database_out", folds, table["label"].to_numpy(np.int64), WAY_OUT)
        return iter(folds)


@protocols.register("cross_database")
@dataclass(frozen=True)
class CrossDatabase:
    """Train on the databases `train`, test on the databases `test`: one fold.

    Names are those of the clip table's column dataset, which are those of the readers, or a manifest's own. Subjects of
    the tested databases are kept out of training, and the report says who; so it does of databases that have no part.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]

    subject_independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.train or not self.test:
            raise ConfigError("E104", "cross_database needs a database in train and one in test.")
        if both := sorted(set(self.train) & set(self.test)):
            raise ConfigError(
                "E104",
                f"cross_database: {both[0]!r} stands in train and in test. Take it out of one; within one database the "
                "protocols are 'loso' and 'subject_kfold'.",
            )

    def __call__(self, table: pd.DataFrame, rng: np.random.Generator) -> Iterator[Fold]:
        need_classes("cross_database", table)
        known = sorted(set(table["dataset"]))
        for part, names in (("train", self.train), ("test", self.test)):
            for name in names:
                if name not in known:
                    raise SplitError(
                        "E301",
                        f"cross_database: {part} names {name!r}, of which there is no clip{suggest(name, known)}. "
                        f"Databases in the table: {', '.join(known)}.",
                    )
        name = f"{'+'.join(self.train)}-to-{'+'.join(self.test)}"
        fold = _fold(name.replace("/", "-"), table, self.train, self.test)
        need_trainable("cross_database", [fold], table["label"].to_numpy(np.int64), WAY_OUT)
        return iter([fold])


def _fold(name: str, table: pd.DataFrame, train: Sequence[str], test: Sequence[str]) -> Fold:
    """Return a fold that tests on databases, without the tested subjects in training."""
    dataset, subject = table["dataset"].to_numpy(str), table["subject"].to_numpy(str)
    tested = np.isin(dataset, test)
    known = np.isin(subject, subject[tested])
    offered = np.isin(dataset, train)
    notes = []
    if twice := sorted(set(subject[offered & known])):
        notes.append(
            f"{' and '.join(test)} tested: {len(twice)} of the subjects are also in {' and '.join(train)}, where their "
            f"{(offered & known).sum()} clips are kept out of training ({', '.join(twice)})."
        )
    if unused := sorted(set(dataset[~tested & ~offered])):
        notes.append(f"{', '.join(unused)}: neither trained on nor tested.")
    return Fold(name, np.flatnonzero(offered & ~known), np.flatnonzero(tested), note=" ".join(notes))
