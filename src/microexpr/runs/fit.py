"""Fit one model on all clips and store it: weights in safetensors, and a model card in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from microexpr.config.experiment import Experiment
from microexpr.core.errors import StoreError
from microexpr.core.files import make_folder, write_atomically
from microexpr.core.interfaces import Fold
from microexpr.evaluation.predictions import score
from microexpr.learning.pipeline import CARD, WEIGHTS, check_storable, read_card
from microexpr.runs.card import card
from microexpr.runs.compatibility import check_targets
from microexpr.runs.experiment import fit_rows, lineage, predicted
from microexpr.runs.plan import Plan, Workspace
from microexpr.runs.validation_split import split_validation


def fit_on_all_clips(experiment: Experiment, workspace: Workspace) -> Path:
    """Train on all clips and write ``model.safetensors`` and ``card.json`` into the workspace's folder.

    If a loss or an epoch is selected on validation, the validation clips are not trained on: whole subjects, or clips
    of the only subject. The protocol is not used, as nothing is tested; `microexpr run` of the same file estimates a
    score. Raises StoreError if the folder holds the model of another experiment.
    """
    check_storable(experiment)
    plan, out = workspace.plan(experiment, tests=False), workspace.options.out
    if (out / CARD).is_file():
        _check_same(read_card(out / CARD), plan, out)
    (plan,) = workspace.prepare([plan])
    fold = Fold("all", np.arange(len(plan.table)), np.array([], int))
    by: Literal["subject", "clip"] = "subject" if plan.table["subject"].nunique() > 1 else "clip"
    if experiment.selects and plan.model.trains_in_epochs:
        fold = split_validation(fold, plan.table, experiment, by=by)
    check_targets(plan.targets, [fold])
    views = plan.embedded()
    pipeline, fitted = fit_rows(plan, views, fold.train, fold.val, fold.name, workspace.progress)
    tables = {
        part: predicted(plan, pipeline, views, rows, fold.name, part)
        for part, rows in (("train", fold.train), ("val", fold.val))
        if rows is not None
    }
    metric = experiment.selecting_metric
    further = card(plan, fold) | {
        "validation": "none" if fold.val is None else f"whole {by}s",
        "scores": {f"{part}_score": score(metric, pipeline.vote_on(table)) for part, table in tables.items()},
        "test scores": "not measured: no clip was left to test on; `microexpr run` of the same experiment measures",
        "loss": fitted.loss,
        "epoch": fitted.epoch,
    }
    file = make_folder(out) / WEIGHTS
    voting = pipeline.fit_vote(pd.concat(tables.values(), ignore_index=True))  # learnt votes learn after scoring
    written = replace(voting, lineage=lineage(plan, fold, views)).save(file, further)
    write_atomically(out / CARD, json.dumps(written, indent=1))
    return file


def _check_same(stored: Mapping[str, Any], plan: Plan, out: Path) -> None:
    data = stored.get("data")
    fingerprint = data.get("fingerprint") if isinstance(data, Mapping) else None
    if (stored.get("key"), fingerprint) != (plan.key, plan.data.cache.fingerprint):
        raise StoreError(
            "E603", f"{out} holds the model of another experiment; choose another --out, or remove the model."
        )
