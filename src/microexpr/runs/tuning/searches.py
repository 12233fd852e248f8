"""Division of a tuning into searches: groups of folds, each with the clips of subjects that its folds do not test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from jaxtyping import Int

from microexpr.core import interfaces
from microexpr.core.errors import ConfigError, SplitError
from microexpr.core.files import digest
from microexpr.core.interfaces import Fold
from microexpr.core.randomness import rng_for
from microexpr.runs.plan import Plan


@dataclass(frozen=True, eq=False)
class Search:
    """One search: the folds that use its best values, and the inner folds on which its trials are scored."""

    name: str
    folds: tuple[Fold, ...]
    rows: Int[np.ndarray, "n"]
    """The clips that it uses, as rows of the clip table."""
    inner: tuple[Fold, ...]

    @property
    def tested(self) -> Int[np.ndarray, "m"]:
        """The clips that its folds test; it uses none of them."""
        return np.concatenate([fold.test for fold in self.folds])

    def content(self, plan: Plan) -> str:
        """Return a digest of its folds and of the training and test clips of its inner folds."""
        keys = plan.table["key"].to_numpy()
        parts = [[sorted(keys[fold.train]), sorted(keys[fold.test])] for fold in self.inner]
        return digest([sorted(fold.name for fold in self.folds), parts])


def shares_subjects(plan: Plan) -> bool:
    """Whether the protocol does not separate subjects, so that test subjects may be trained and searched on."""
    return not plan.experiment.protocol.build(interfaces.protocols).subject_independent


def divide(plan: Plan) -> tuple[Search, ...]:
    """Return the searches of an experiment; raises ConfigError or SplitError if no unbiased search is possible."""
    folds, groups = plan.folds, plan.experiment.tuning.groups
    if len({fold.repeat for fold in folds}) > 1:
        raise ConfigError(
            "E145",
            f"protocol {plan.experiment.protocol.label} tests every clip several times, but tuned and untuned values "
            "are compared on clips tested once; remove its repeats.",
        )
    if groups == "folds" or len(folds) <= groups:
        return tuple(_search(plan, fold.name, [fold]) for fold in folds)
    # Assigned at random and without labels, so that no property of test clips decides which search they belong to.
    order = rng_for(plan.experiment.seed, "tuning/groups").permutation(len(folds))
    assigned = [sorted(order[at::groups]) for at in range(groups)]
    return tuple(_search(plan, f"group-{at}", [folds[i] for i in each]) for at, each in enumerate(assigned, start=1))


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
    """Divide the clips of a search by subject, using `subject_kfold`."""
    experiment = plan.experiment
    protocol = interfaces.protocols.build("subject_kfold", {"k": experiment.tuning.inner})
    table = plan.table.iloc[rows].reset_index(drop=True)
    try:
        inner = list(protocol(table, rng_for(experiment.seed, f"tuning/{name}/inner")))
    except SplitError as error:
        raise SplitError(
            "E723",
            f"search {name}, with {len(rows)} clips of {table['subject'].nunique()} subjects, cannot be divided into "
            f"{experiment.tuning.inner} inner folds: {error} Alternatively, set tuning.inner lower, or tuning.groups "
            'higher or to "folds", so that each search has more subjects.',
        ) from None
    return tuple(Fold(f"{name}-inner-{at}", rows[fold.train], rows[fold.test]) for at, fold in enumerate(inner, 1))
