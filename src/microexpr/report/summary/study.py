"""The summary of a study: all values of the report as one plain dictionary, computed from stored predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from microexpr.audit.checks import Stored, findings
from microexpr.config.component import Component
from microexpr.core import interfaces
from microexpr.core.clip import Clip
from microexpr.core.confusion import present
from microexpr.core.environment import environment, together
from microexpr.core.folds import stored as divided
from microexpr.core.randomness import rng_for
from microexpr.data.dataset_stats import clip_stats
from microexpr.evaluation.statistics.chance import chance_scores
from microexpr.evaluation.statistics.permutation import QUANTILE, permutation_null
from microexpr.report.summary import cells as summary_cells
from microexpr.report.summary import factors as summary_factors
from microexpr.report.summary.caveats import caveats, choices, shared_subjects
from microexpr.report.summary.examples import examples
from microexpr.report.explanations import explanations
from microexpr.report.reading import FORMAT
from microexpr.report.summary.cells import nested, stated, words
from microexpr.report.summary.factors import paired
from microexpr.report.summary.methods import leaderboard
from microexpr.runs.plan import Plan
from microexpr.runs.study import Cell, StudyResult, input_label

GUESSES = 2000


def summarise(result: StudyResult, command: str = "") -> dict[str, Any]:
    """Return the summary of a study as plain data: numbers, strings, lists and dictionaries."""
    repeats = summary_cells.repeats(result)
    warnings = caveats(result, repeats)
    result = result.first_repeats()
    first = result.cells[0].plan
    metadata = environment()
    cells = [summary_cells.row(cell) for cell in result.cells]
    summary: dict[str, Any] = {
        "format": FORMAT,
        "name": result.study.name,
        "title": result.study.title,
        "command": command,
        "version": metadata["microexpr"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "caveats": warnings,
        "data": _data(first),
        "dataset_stats": clip_stats(_labelled(first)),
        "protocol": _protocol(first),
        "preprocessing": _preprocessing(result),
        "sampling": _samplings(result),
        "models": _models(result),
        "cells": cells,
        "axes": summary_factors.axes(result),
        "over_seeds": summary_factors.over_seeds(result),
        "repeats": repeats,
        "factors": summary_factors.effects(result),
        "sizes": summary_factors.sizes(result),
        "paired": paired(result),
        "baselines": dict(_baseline(cell) for cell in result.baselines),
        "named_cell": _named(result),
        "nested": None if result.study.methods else nested(result),
        "leaderboard": leaderboard(result),
        "intervals": stated(first.experiment.bootstrap, {cell["interval_method"] for cell in cells}),
        "metrics": _metrics(),
        "targets": summary_cells.target_rows(result),
        "curves": [curve for cell in result.cells for curve in summary_cells.curves(cell)],
        "latency": list(result.latencies),
        "choices": choices(result),
        "environment": _environment(result),
        "seeds": {"seed": _seeds(result)},
        "run": dict(result.done),
        "examples": examples(result),
        "explanations": explanations(result),
    }
    summary["detail"] = summary_cells.details(result, summary)
    return summary | {"checks": [asdict(found) for found in findings(_stored(result), summary)]}


def _seeds(result: StudyResult) -> int | list[int]:
    seeds = list(dict.fromkeys(cell.experiment.seed for cell in result.cells))
    return seeds if len(seeds) > 1 else seeds[0]


def _stored(result: StudyResult) -> list[Stored]:
    """Return the cells and the prespecified one as `microexpr check` reads them from disk."""
    judged = [*result.cells, *([result.named] if result.named else [])]
    return [
        Stored(
            cell.result,
            {
                "classes": cell.plan.data.labels.classes,
                "fingerprint": cell.plan.data.cache.fingerprint,
                "data": cell.plan.data.dataset.metadata(),
            },
            divided(cell.plan.folds, cell.plan.table, {}, cell.experiment.seed),
        )
        for cell in judged
    ]


def _data(plan: Plan) -> dict[str, Any]:
    table, classes = plan.data.table, plan.data.labels.classes
    fold = plan.folds[0] if len(plan.folds) == 1 else None
    parts = {"train": fold.train, "val": fold.val, "test": fold.test} if fold else {}
    return {
        "datasets": [component.name for component in plan.experiment.datasets],
        "n_clips": len(table),
        "n_subjects": int(table["subject"].nunique()),
        "classes": list(classes),
        "counts": _counts(table, classes),
        "parts": {part: _counts(table.iloc[rows], classes) for part, rows in parts.items() if rows is not None} or None,
        "metadata": dict(plan.data.dataset.metadata()),
        "fingerprint": plan.data.cache.fingerprint,
        "corrections": [str(correction) for correction in plan.data.dataset.applied()],
        "skipped": [
            {"where": fault.where, "clip": fault.clip, "problem": fault.problem, "fix": fault.fix}
            for fault in plan.data.skipped
        ],
    }


def _labelled(plan: Plan) -> Iterator[tuple[Clip, str]]:
    for clip in plan.data.clips:
        yield clip, str(plan.data.labels.of(clip))


def _counts(table: pd.DataFrame, classes: Sequence[str]) -> dict[str, int]:
    counted = np.bincount(table["label"].to_numpy(int), minlength=len(classes))
    return {name: int(count) for name, count in zip(classes, counted, strict=True)}


def _protocol(plan: Plan) -> dict[str, Any]:
    shared, tested = shared_subjects(plan)
    name = plan.experiment.protocol.name
    return {
        "name": name,
        "subject_independent": interfaces.protocols.build(name, plan.experiment.protocol.params).subject_independent,
        "folds": len(plan.folds),
        "shared_subjects": shared,
        "test_subjects": tested,
    }


def _preprocessing(result: StudyResult) -> dict[str, Any]:
    first, described = result.cells[0].plan, {}
    for cell in result.cells:
        label, component = input_label(cell.plan, first), cell.experiment.preprocessing
        measured = result.face_centrings[label]
        described[label] = {
            "label": label.replace(component.label, summary_factors.short(result, cell, "preprocessing"), 1),
            "description": describe(interfaces.preprocessors, component),
            **measured._asdict(),
            "channels": list(measured.channels),
        }
    return described


def _samplings(result: StudyResult) -> dict[str, Any]:
    first: dict[str, Cell] = {}
    for cell in result.cells:  # of several training sizes, the largest
        first.setdefault(cell.experiment.sampling.label, cell)
    return {
        label: {"label": summary_factors.short(result, cell, "sampling"), **_sampling(cell.plan)}
        for label, cell in first.items()
    }


def _sampling(plan: Plan) -> dict[str, Any]:
    counts = plan.view_counts()
    parts: dict[str, int | None] = dict.fromkeys(("train", "val", "test"))
    if len(plan.folds) == 1:
        fold = plan.folds[0]
        rows = {"train": fold.train, "val": fold.val, "test": fold.test}
        parts |= {part: int(counts[picked].sum()) for part, picked in rows.items() if picked is not None}
    return {
        "nominal": plan.sampler.nominal,
        **parts,
        "total": int(counts.sum()),
        "per_clip": float(counts.mean()),
    }


def _models(result: StudyResult) -> dict[str, Any]:
    timed = {_build(row): row["parameters"] for row in result.latencies}
    models: dict[str, Any] = {}
    for cell in result.cells:
        name = cell.experiment.model.label
        models.setdefault(
            name,
            {
                "label": cell.plan.model.label,
                "token_mixing": cell.plan.model.mixing,
                "builds": _builds([each for each in result.cells if each.experiment.model.label == name], timed),
            },
        )
    return models


def _build(row: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the values that determine the number of parameters of a timed network."""
    return tuple(row[name] for name in ("model", "ensemble", "steps", "height", "width", "channels"))


def _builds(cells: Sequence[Cell], timed: Mapping[tuple[object, ...], int]) -> list[dict[str, Any]]:
    """Return the builds of one model: number of networks, parameters and initial weights, with their input shapes."""
    inputs: dict[tuple[int, int | None, str], list[list[int]]] = {}
    for cell in cells:
        ensemble, shape = cell.experiment.training.ensemble, list(cell.plan.spec.shape)
        counted = cell.result.folds[0].metadata.get("parameters")
        if counted is None:  # folds stored before parameters were counted
            counted = timed.get((cell.experiment.model.label, ensemble, *shape))
        weights = cell.plan.weights.get("weights", "none")
        inputs.setdefault((ensemble, counted, weights), []).append(shape)
    return [
        {
            "ensemble": ensemble,
            "parameters": parameters,
            "weights": weights,
            "inputs": [shape for at, shape in enumerate(shapes) if shape not in shapes[:at]],
        }
        for (ensemble, parameters, weights), shapes in inputs.items()
    ]


def _named(result: StudyResult) -> dict[str, Any] | None:
    cell, settings = result.named, result.study.named_cell
    if cell is None or settings is None:
        return None
    experiment, k = cell.experiment, len(cell.plan.data.labels.classes)
    predictions = cell.result.predictions()
    y_true = predictions["y_true"].to_numpy(int)
    null = permutation_null(
        interfaces.metrics.build("macro_f1", {}),
        y_true,
        predictions["y_pred"].to_numpy(int),
        num_classes=k,
        averaged_classes=present(y_true, k),
        n=settings.permutations,
        rng=rng_for(experiment.seed, "permutation"),
        subjects=predictions["subject"].to_numpy(),
    )
    scores = summary_cells.scores(cell)
    shuffled = [other.result.scores()["macro_f1"] for other in result.shuffled]
    return {
        "preprocessing": experiment.preprocessing.label,
        "sampling": experiment.sampling.label,
        "model": experiment.model.label,
        "protocol": experiment.protocol.label,
        "key": cell.result.key,
        **scores,
        "interval": words(scores["interval_method"], stratified=experiment.bootstrap.stratified),
        "interval_unit": experiment.bootstrap.unit,
        "interval_resamples": experiment.bootstrap.n,
        "permutation_level": null.level,
        "permutation_quantile": QUANTILE,
        "permutation_mean": null.mean,
        "p_value": null.p_value,
        "permutations": settings.permutations,
        "shuffled_macro_f1": float(np.mean(shuffled)) if shuffled else None,
        "n_subjects": int(predictions["subject"].nunique()),
    }


def _environment(result: StudyResult) -> dict[str, str]:
    """Return the environment of the trainings; values that differ between folds are listed side by side."""
    everything = [fold.metadata["environment"] for cell in result.cells for fold in cell.result.folds]
    return together(everything)


def _metrics() -> dict[str, dict[str, str]]:
    built = {name: interfaces.metrics.build(name, {}) for name in interfaces.metrics.names()}
    return {
        name: {"formula": (type(metric).__doc__ or "").splitlines()[0], "absent_classes": metric.absent_classes}
        for name, metric in built.items()
    }


def describe(registry: Any, component: Component) -> str:
    """Return all parameters of a component, including defaults, as one line."""
    params = registry.bind(component.name, component.params)
    return ", ".join(f"{key} {value}" for key, value in params.items()) or "no parameters"


def _baseline(cell: Cell) -> tuple[str, dict[str, Any]]:
    name = cell.experiment.model.name
    return ("guessing", _guessing(cell)) if name == "class_frequency" else (name, summary_cells.scores(cell))


def _guessing(cell: Cell) -> dict[str, Any]:
    """Score many random predictions drawn from the class shares of the training clips, and return the means."""
    k = len(cell.plan.data.labels.classes)
    truth, proba = [], []
    for fold in cell.result.folds:
        clips = fold.views.drop_duplicates("clip")
        labels = {part: clips.loc[clips["part"] == part, "y_true"].to_numpy(int) for part in ("train", "test")}
        shares = np.bincount(labels["train"], minlength=k) / len(labels["train"])
        truth.append(labels["test"])
        proba.append(np.tile(shares, (len(labels["test"]), 1)))
    y_true, rng = np.concatenate(truth), rng_for(cell.experiment.seed, "guessing")
    built = {name: interfaces.metrics.build(name, {}) for name in ("macro_f1", *summary_cells.SCORES)}
    drawn = chance_scores(built, y_true, np.concatenate(proba), averaged_classes=present(y_true, k), rng=rng, n=GUESSES)
    low, high = np.quantile(drawn["macro_f1"], [0.025, 0.975])
    means = {name: float(values.mean()) for name, values in drawn.items()}
    return {**means, "ci_low": float(low), "ci_high": float(high), "n_test": len(y_true), "draws": GUESSES}
