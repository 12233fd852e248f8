"""Who is searched on: the folds in groups, and for each group the clips of everybody whom it does not test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from jaxtyping import Int

from microexpr.core import interfaces as contracts
from microexpr.core.errors import ConfigError, SplitError
from microexpr.core.files import digest
from microexpr.core.interfaces import Fold
from microexpr.core.randomness import rng_for
from microexpr.runs.plan import Plan


@dataclass(frozen=True, eq=False)
class Search:
    """One search: the folds that take the values it finds, and the inner folds that its trials are scored on."""

    name: str
    folds: tuple[Fold, ...]
    rows: Int[np.ndarray, "n"]
    """The clips it sees, as rows of the clip table."""
    inner: tuple[Fold, ...]

    @property
    def tested(self) -> Int[np.ndarray, "m"]:
        """The clips that its folds test, none of which it sees."""
        return np.concatenate([fold.test for fold in self.folds])

    def content(self, plan: Plan) -> str:
        """Return a digest of who trains and who scores in it."""
        keys = plan.table["key"].to_numpy()
        parts = [[sorted(keys[fold.train]), sorted(keys[fold.test])] for fold in self.inner]
        return digest([sorted(fold.name for fold in self.folds), parts])


def shares_subjects(plan: Plan) -> bool:
    """Whether the protocol promises nothing of subjects: those tested may be trained on, and searched on."""
    return not plan.experiment.protocol.build(contracts.protocols).subject_independent


def divide(plan: Plan) -> tuple[Search, ...]:
    """Return the searches of an experiment; raises ConfigError or SplitError where it cannot be searched honestly."""
    folds, groups = plan.folds(), plan.experiment.tuning.groups
    if len({fold.repeat for fold in folds}) > 1:
        raise ConfigError(
            "E104",
            f"protocol {plan.experiment.protocol.label} tests every clip several times, and tuned and untuned are "
            "compared on clips tested once; leave its repeats out.",
        )
    if groups == "folds" or len(folds) <= groups:
        return tuple(_search(plan, fold.name, [fold]) for fold in folds)
    # Dealt without a look at labels: nothing of the clips tested decides which search they belong to.
    order = rng_for(plan.experiment.seed, "tuning/groups").permutation(len(folds))
    dealt = [sorted(order[at::groups]) for at in range(groups)]
    return tuple(_search(plan, f"group-{at}", [folds[i] for i in mine]) for at, mine in enumerate(dealt, start=1))


def _search(plan: Plan, name: str, folds: Sequence[Fold]) -> Search:
    table = plan.table
    learnt = [np.union1d(fold.train, fold.train if fold.val is None else fold.val) for fold in folds]
    tested = np.concatenate([fold.test for fold in folds])
    rows = np.setdiff1d(reduce(np.intersect1d, learnt), tested)
    subject = table["subject"].to_numpy()
    if not shares_subjects(plan):
        rows = rows[~np.isin(subject[rows], subject[tested])]
    return Search(name, tuple(folds), rows, _inner(plan, name, rows))


def _inner(plan: Plan, name: str, rows: Int[np.ndarray, "n"]) -> tuple[Fold, ...]:
    """Divide the clips of a search by subjects, as `subject_kfold` does."""
    experiment = plan.experiment
    protocol = contracts.protocols.build("subject_kfold", {"k": experiment.tuning.inner})
    table = plan.table.iloc[rows].reset_index(drop=True)
    try:
        inner = list(protocol(table, rng_for(experiment.seed, f"tuning/{name}/inner")))
    except SplitError as error:
        raise SplitError(
            "E301",
            f"search {name}, which sees {len(rows)} clips of {table['subject'].nunique()} subjects, cannot be divided "
            f"into {experiment.tuning.inner} inner folds: {error} Or set tuning.inner lower, or tuning.groups higher "
            'or to "folds", so that each search sees more subjects.',
        ) from None
    return tuple(Fold(f"{name}-inner-{at}", rows[fold.train], rows[fold.test]) for at, fold in enumerate(inner, 1))
