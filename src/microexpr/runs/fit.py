"""Fit one model on all clips and store it: weights in safetensors, and a model card in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from microexpr.config.experiment import Experiment
from microexpr.config.loading import parse
from microexpr.core.environment import environment
from microexpr.core.errors import StoreError
from microexpr.core.files import make_folder, write_atomically
from microexpr.core.interfaces import Fold, ViewSpec
from microexpr.learning.checkpoint import load_model, save_model
from microexpr.runs.experiment import embedded, fit_rows, lineage, untrained
from microexpr.runs.plan import Plan, Workspace
from microexpr.runs.validation_split import split_validation


def fit_on_all_clips(experiment: Experiment, workspace: Workspace) -> Path:
    """Train on all clips and write ``model.safetensors`` and ``card.json`` into the workspace's folder.

    If a loss or an epoch is selected on validation, the validation subjects are not trained on. The card contains no
    test score, as no clips are left for testing; `microexpr run` of the same file estimates one. Raises StoreError if
    the folder holds the model of another experiment.
    """
    plan, file = workspace.plan(experiment), workspace.options.out / "card.json"
    if file.is_file():
        card = _read(file)
        if (card.get("key"), card.get("data", {}).get("fingerprint")) != (plan.key, plan.data.cache.fingerprint):
            raise StoreError(
                "E603",
                f"{workspace.options.out} holds the model of another experiment; choose another --out, or remove the "
                "model.",
            )
    workspace.prepare([plan])
    fold = Fold("all", np.arange(len(plan.table)), np.array([], int))
    if experiment.selects and plan.model.trains_in_epochs:
        fold = split_validation(fold, plan.table, experiment)
    views = embedded(plan)
    fitted = fit_rows(plan, views, fold.train, fold.val, fold.name, workspace.progress)
    out = make_folder(workspace.options.out)
    chosen = fitted.history[fitted.history["chosen"]].iloc[0]
    card = _card(plan, fold, views.spec) | {
        "normalisation": _normalisation(fitted.model),
        "scores": {name: float(chosen[name]) for name in ("train_score", "val_score") if name in chosen},
        "loss": fitted.loss,
        "epoch": fitted.epoch,
    }
    save_model(fitted.model, out / "model.safetensors", card, lineage(plan, fold, views))
    write_atomically(out / "card.json", json.dumps(card, indent=1))
    return out / "model.safetensors"


def load_fitted(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return a fitted model, ready to predict, and its card; raises StoreError."""
    file = folder / "card.json"
    if not file.is_file():
        raise StoreError("E606", f"{folder} holds no model: card.json is missing. `microexpr fit` creates one.")
    card = _read(file)
    try:
        experiment, view = parse(Experiment, card["experiment"], str(file)), card["view"]
        low, high = view["range"]
        spec = ViewSpec(tuple(view["shape"]), tuple(view["channels"]), low, high, view.get("scaling", ""))
        num_classes = len(card["classes"])
        aux = {name: len(units) for name, units in card.get("targets", {}).items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _damaged(file) from None
    model = untrained(experiment, spec, num_classes, aux)
    load_model(model, folder / "model.safetensors")
    return (model.eval() if isinstance(model, nn.Module) else model), card


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        raise _damaged(file) from None


def _damaged(file: Path) -> StoreError:
    return StoreError("E605", f"{file} is damaged; copy the model again, or remove it and fit it again.")


NORMALISING = ({"centre", "scale"}, {"mean", "std"})
"""Names of the buffers of modules that normalise: backbones for images multiply by a scale, those for flow divide by
standard deviations measured on the training views."""


def _normalisation(model: Any) -> dict[str, Any] | list[dict[str, Any]] | str:
    """Return what a network subtracts and scales by, in the units of the model input; a list if its parts differ.

    Values are listed by channel, or by map in the order of the module that uses them.
    """
    if not isinstance(model, nn.Module):
        return "within the fitted estimator"
    found = [dict(module.named_buffers(recurse=False)) for module in model.modules()]
    listed = [
        {name: buffers[name].flatten().tolist() for name in sorted(names)}
        for buffers in found
        for names in NORMALISING
        if names <= set(buffers)
    ]
    unique = [each for at, each in enumerate(listed) if each not in listed[:at]]
    if not unique:
        return "within the model, from the view's range"
    return unique[0] if len(unique) == 1 else unique


def _card(plan: Plan, fold: Fold, spec: ViewSpec) -> dict[str, Any]:
    data = plan.data
    return {
        "format": 2,
        "intended use": "research on facial expression; not for judging whether a person lies",
        "experiment": plan.experiment.to_dict(),
        "key": plan.key,
        "classes": list(data.labels.classes),
        "targets": {name: list(target.names) for name, target in plan.targets().items()},
        "data": {
            "metadata": dict(data.dataset.metadata()),
            "fingerprint": data.cache.fingerprint,
            "clips": len(fold.train),
            "subjects": int(plan.table.iloc[fold.train]["subject"].nunique()),
            "validation clips": 0 if fold.val is None else len(fold.val),
        },
        "view": {
            "shape": list(spec.shape),
            "channels": list(spec.channels),
            "range": [spec.low, spec.high],
            "scaling": spec.scaling,
        },
        "weights": dict(plan.weights),
        "test scores": "not measured: every clip was trained on; `microexpr run` of the same experiment measures",
        "environment": environment(),
    }
