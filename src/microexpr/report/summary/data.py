"""The clips in the summary: counts of classes and parts, faults, metadata."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from microexpr.core import interfaces
from microexpr.core.interfaces import ClipSource
from microexpr.data.composite import Composite
from microexpr.report.summary import Data, Protocol, Skipped
from microexpr.runs.plan import Plan


def data(plan: Plan) -> Data:
    """Return the clips of an experiment, and of a hold-out also those of its parts."""
    table, classes = plan.data.table, plan.data.labels.classes
    fold = plan.folds[0] if len(plan.folds) == 1 else None
    parts = {"train": fold.train, "val": fold.val, "test": fold.test} if fold else {}
    return Data(
        datasets=[component.name for component in plan.experiment.datasets],
        n_clips=len(table),
        n_subjects=int(table["subject"].nunique()),
        classes=list(classes),
        counts=_counts(table, classes),
        parts={part: _counts(table.iloc[rows], classes) for part, rows in parts.items() if rows is not None},
        metadata=dict(plan.data.dataset.metadata()),
        fingerprint=plan.data.cache.fingerprint,
        corrections=[str(correction) for correction in plan.data.dataset.applied()],
        skipped=[
            Skipped(where=fault.where, clip=fault.clip, problem=fault.problem, fix=fault.fix)
            for fault in plan.data.skipped
        ],
        synthetic=is_synthetic(plan.data.dataset),
    )


def protocol(plan: Plan) -> Protocol:
    """Return how an experiment splits its clips, and how many subjects are in both training and test of a fold."""
    chosen, subjects = plan.experiment.protocol, plan.table["subject"].to_numpy()
    built = interfaces.protocols.build(chosen.name, chosen.params)
    tested = {subject for fold in plan.folds for subject in subjects[fold.test]}
    shared = {s for fold in plan.folds for s in set(subjects[fold.test]) & set(subjects[fold.train])}
    return Protocol(
        name=chosen.name,
        title=getattr(built, "title", chosen.name),
        subject_independent=built.subject_independent,
        folds=len(plan.folds),
        shared_subjects=len(shared),
        test_subjects=len(tested),
    )


def is_synthetic(dataset: ClipSource) -> bool:
    """Return whether all databases are synthetic; a report shows no faces of real ones."""
    members = dataset.members.values() if isinstance(dataset, Composite) else [dataset]
    return all("synthetic" in member.metadata() for member in members)


def _counts(table: pd.DataFrame, classes: Sequence[str]) -> dict[str, int]:
    counted = np.bincount(table["label"].to_numpy(int), minlength=len(classes))
    return {name: int(count) for name, count in zip(classes, counted, strict=True)}
