"""The card of a stored model: what it was trained on, how, and what binds its use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from microexpr.core import interfaces
from microexpr.core.environment import environment
from microexpr.core.interfaces import Fold
from microexpr.core.lineage import Lineage
from microexpr.runs.plan import Plan

USE = "research on facial expression; not for judging whether a person lies"


def card(plan: Plan, fold: Fold) -> dict[str, Any]:
    """Return what `Pipeline.save` does not know itself: the data, their licences, the starting weights, versions."""
    data = plan.data
    return {
        "intended use": USE,
        "cropped": data.dataset.cropped(),
        "key": plan.key,
        "licence": licence(plan),
        "data": {
            "metadata": dict(data.dataset.metadata()),
            "fingerprint": data.cache.fingerprint,
            "clips": len(fold.train),
            "subjects": int(plan.table.iloc[fold.train]["subject"].nunique()),
            "validation clips": 0 if fold.val is None else len(fold.val),
        },
        "weights": dict(plan.weights),
        "environment": environment(),
    }


def licence(plan: Plan) -> Mapping[str, str]:
    """Return what binds the use of a model that was trained on these data."""
    metadata, names = plan.data.dataset.metadata(), [item.name for item in plan.experiment.datasets]
    if "synthetic" in metadata and len(names) == 1 and plan.lineage == Lineage():
        return {"caveat": "trained on synthetic faces, which need no licence"}
    return {
        "caveat": "a model trained on licensed faces may be bound by their licence: ask the owners before you share it",
        **{name: interfaces.reader(name).info.licence for name in names},
    }
