"""What a grid says about its factors, from stored predictions: axes, pairs of cells, effects, curves over sizes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any

import numpy as np

from microexpr.config.component import Component, titles
from microexpr.config.experiment import SIZES
from microexpr.config.study import COMPARED, METHODS
from microexpr.core.confusion import present
from microexpr.core.errors import ConfigError
from microexpr.core.randomness import rng_for
from microexpr.evaluation.predictions import confusion_metric
from microexpr.evaluation.statistics.factors import Factorial, factorial
from microexpr.evaluation.statistics.paired import Predictions, align
from microexpr.evaluation.statistics.seeds import split_seeds
from microexpr.evaluation.statistics.sizes import Crossing, size_curves
from microexpr.report.intervals import words
from microexpr.runs.experiment import trained
from microexpr.runs.study import Cell, StudyResult

RESAMPLES, PERMUTATIONS = 2_000, 1_999
SCORE, SCORE_TITLE = "macro_f1", "macro-F1"
METHOD = words("expanded")
"""How the intervals of effects and curves are read from resamples, whatever the experiment's own are."""
OTHER_CLIPS = (
    "Each seed was tested on other clips, because the protocol draws them by the seed: what varies with seeds cannot "
    "be told from what varies with clips. Run all seeds on the folds of one: "
    'protocol = { name = "from_file", file = "OUT/results/KEY/folds.json" }.'
)


def axes(result: StudyResult) -> dict[str, dict[str, Any]]:
    """Return every axis that tells cells apart: the part of an experiment that it changes, and its levels."""
    return {
        title: {"part": key.split(".")[0], "levels": list(dict.fromkeys(cell.factors[title] for cell in result.cells))}
        for key, title in titles(result.study.axes).items()
    }


def _further(result: StudyResult) -> list[str]:
    """Return the axes that are neither preprocessing, sampling nor model, nor parts of them."""
    return [title for title, axis in axes(result).items() if axis["part"] not in COMPARED]


def preprocessing_axes(result: StudyResult) -> list[str]:
    """Return the axes that change the preprocessing."""
    return [title for title, axis in axes(result).items() if axis["part"] == "preprocessing"]


def short(result: StudyResult, cell: Cell, part: str) -> str:
    """Return a component's name for tables: its levels where a grid takes it apart, else bare where it stands alone."""
    component: Component = getattr(cell.experiment, part)
    mine = [title for title, axis in axes(result).items() if axis["part"] == part]
    if len(mine) > 1:
        told = [cell.factors[title] for title in mine]
        return " · ".join(
            word if not word.isdecimal() else f"{title} {word}" for title, word in zip(mine, told, strict=True)
        )
    others = {getattr(other.experiment, part).label: getattr(other.experiment, part) for other in result.cells}
    alone = sum(other.name == component.name for other in others.values()) == 1
    return component.name.upper() if alone else component.label


def pairs(result: StudyResult) -> Iterator[tuple[Cell, Cell]]:
    """Yield cells that differ in nothing but their preprocessing, where the grid does not take that apart."""
    if len(preprocessing_axes(result)) > 1:  # effects are tested in place of hundreds of pairs
        return
    places: dict[tuple[str, ...], list[Cell]] = {}
    for cell in result.cells:
        others = [cell.factors.get(title, "") for title in _further(result)]
        place = (cell.experiment.sampling.label, cell.experiment.model.label, *others)
        places.setdefault(place, []).append(cell)
    for there in places.values():
        yield from itertools.combinations(there, 2)


def train_size(cell: Cell) -> dict[str, float]:
    """Return how many clips and subjects its folds were trained on, on average."""
    trained = [fold.views.loc[fold.views["part"] == "train", ["clip", "subject"]] for fold in cell.result.folds]
    return {
        "train_clips": float(np.mean([rows["clip"].nunique() for rows in trained])),
        "train_subjects": float(np.mean([rows["subject"].nunique() for rows in trained])),
    }


# --- seeds ------------------------------------------------------------------------------------------------------------
def settings(result: StudyResult) -> int:
    """Return how many cells differ in something else than the seed."""
    return len(by_setting(result))


def over_seeds(result: StudyResult) -> list[dict[str, Any]]:
    """Return the scores of several seeds, for each cell of the other axes; nothing where one seed was run."""
    axis = _seed_axis(result)
    return [] if axis is None else [_seeds(cells, axis) for cells in by_setting(result) if len(cells) > 1]


def _seed_axis(result: StudyResult) -> str | None:
    return titles(result.study.axes).get("seed")


def by_setting(result: StudyResult) -> list[list[Cell]]:
    """Return the cells, those together that differ in their seed alone."""
    axis, groups = _seed_axis(result), dict[tuple[str, ...], list[Cell]]()
    for cell in result.cells:
        groups.setdefault(tuple(level for name, level in cell.factors.items() if name != axis), []).append(cell)
    return list(groups.values())


def _seeds(cells: Sequence[Cell], axis: str) -> dict[str, Any]:
    """Return the seeds' scores, their mean with its interval, and the variance in seeds and people, or why not."""
    first, scores = cells[0], [cell.result.scores()[SCORE] for cell in cells]
    settings, classes = first.experiment.bootstrap, first.plan.data.labels.classes
    metadata: dict[str, Any] = {
        "preprocessing": first.experiment.preprocessing.label,
        "sampling": first.experiment.sampling.label,
        "model": first.experiment.model.label,
        "factors": {name: level for name, level in first.factors.items() if name != axis},
        "seeds": [cell.factors[axis] for cell in cells],
        "scores": scores,
        "mean": float(np.mean(scores)),
        "problem": None,
    }
    tables = [Predictions.of(f"seed {cell.factors[axis]}", cell.result.predictions(), classes) for cell in cells]
    if len({frozenset(table.clips) for table in tables}) > 1:
        return metadata | {"problem": OTHER_CLIPS}
    try:
        aligned = align(*tables)
        found = split_seeds(
            confusion_metric(SCORE),
            aligned[0].y_true,
            np.stack([table.y_pred for table in aligned]),
            aligned[0].subjects,
            num_classes=len(classes),
            averaged_classes=present(aligned[0].y_true, len(classes)),
            unit=settings.unit,
            level=settings.level,
        )
    except ConfigError as error:
        return metadata | {"problem": str(error)}
    freedom = found.freedom if np.isfinite(found.freedom) else None
    return metadata | asdict(found) | {"scores": scores, "freedom": freedom}


# --- effects ----------------------------------------------------------------------------------------------------------
def effects(result: StudyResult) -> dict[str, Any] | None:
    """Return main effects, interactions and the verdict; None for a study without a factor."""
    if len(result.cells) < 2 or not set(axes(result)) - set(_averaged(result)):
        return None
    metadata: dict[str, Any] = {
        "score": SCORE_TITLE,
        "method": METHOD,
        "level": result.cells[0].experiment.bootstrap.level,
        "averaged": [name for name in _averaged(result) if name in axes(result)],
        "problem": None,
        "effects": [],
    }
    try:
        found = factorial(**_material(result, "factors"), permutations=PERMUTATIONS)
    except ConfigError as error:
        return metadata | {"problem": str(error), "verdict": f"The factors were not compared: {error}"}
    told = [*([] if not (joined := _joined(result)) else [joined])]
    held = trained([cell.result for cell in result.cells], max(map(len, by_setting(result))))
    said = found.verdict(SCORE_TITLE)
    if held.holdout:
        said = f"Among these trained {held.things}, {said[:1].lower()}{said[1:]}"
    return metadata | {
        "effects": _rows(found),
        "confounded": [*found.confounded, *told],
        "verdict": " ".join([said, *told, held.caveat]),
        "subjects": found.subjects,
        "n": found.n,
        "permutations": found.permutations,
    }


def _averaged(result: StudyResult) -> tuple[str, ...]:
    """Return the axes that are averaged over and not tested: seeds, and methods, which the leaderboard compares."""
    return ("seed", METHODS) if result.study.methods else ("seed",)


def _material(result: StudyResult, role: str) -> dict[str, Any]:
    """Return what both analyses take; raises ConfigError where the cells were not tested on the same clips."""
    first = result.cells[0]
    classes = first.plan.data.labels.classes
    tables = [Predictions.of(cell.experiment.name, cell.result.predictions(), classes) for cell in result.cells]
    aligned = align(*tables)
    return {
        "metric": confusion_metric(SCORE),
        "y_true": aligned[0].y_true,
        "predictions": [table.y_pred for table in aligned],
        "cells": [cell.factors for cell in result.cells],
        "num_classes": len(classes),
        "averaged_classes": present(aligned[0].y_true, len(classes)),
        "subjects": aligned[0].subjects,
        "rng": rng_for(first.experiment.seed, role),
        "n": RESAMPLES,
        "level": first.experiment.bootstrap.level,
        "averaged": _averaged(result),
    }


def _rows(found: Factorial) -> list[dict[str, Any]]:
    return [
        {
            "effect": effect.name,
            "factors": list(effect.factors),
            "blocks": effect.blocks,
            "p_value": effect.p_value,
            "p_corrected": effect.p_corrected,
            "claimed": effect.claimed,
            "contrasts": [asdict(contrast) for contrast in effect.contrasts],
        }
        for effect in found.effects
    ]


def _joined(result: StudyResult) -> str:
    """Say where levels of the preprocessing differ in several parameters at once, as the paper's M1 and M2 do."""
    whole = [title for key, title in titles(result.study.axes).items() if key == "preprocessing"]
    built = {cell.factors[title]: cell.plan.preprocessor for title in whole for cell in result.cells}
    differ: list[list[str]] = []
    for a, b in itertools.combinations(built.values(), 2):
        if type(a) is not type(b) or not is_dataclass(a) or not is_dataclass(b):
            return ""
        differ.append([field.name for field in fields(a) if getattr(a, field.name) != getattr(b, field.name)])
    if not differ or min(map(len, differ)) < 2:
        return ""
    names = list(dict.fromkeys(name for each in differ for name in each))
    return (
        f"The levels of preprocessing differ in {', '.join(names[:-1])} and {names[-1]} at once: which of these "
        "matters cannot be told from them."
    )


# --- size of training -------------------------------------------------------------------------------------------------
def sizes(result: StudyResult) -> dict[str, Any] | None:
    """Return curves of score against the size of training, and where they cross; None where one size was trained."""
    named = titles(result.study.axes)
    size = next((key for key in SIZES if key in named), None)
    if size is None:
        return None
    axis, unit = named[size], "training clips" if size == "train_clips" else "training subjects"
    metadata: dict[str, Any] = {"axis": axis, "unit": unit, "score": SCORE_TITLE, "method": METHOD, "n": RESAMPLES}
    amounts: dict[str, list[float]] = {}
    for cell in result.cells:
        amounts.setdefault(cell.factors[axis], []).append(train_size(cell)[size])
    mean = {word: float(np.mean(values)) for word, values in amounts.items()}
    try:
        curves, crossings = size_curves(axis=axis, sizes=mean, **_material(result, "sizes"))
    except ConfigError as error:
        return metadata | {"problem": str(error), "curves": [], "crossings": []}
    ends = min(mean.values()), max(mean.values())
    return metadata | {
        "problem": None,
        "curves": [asdict(curve) for curve in curves],
        "crossings": [asdict(found) | {"sentence": found.sentence(unit, *ends)} for found in _worth(crossings)],
    }


def _worth(crossings: Sequence[Crossing]) -> list[Crossing]:
    """Return crossings with those that were found first."""
    return sorted(crossings, key=lambda found: found.at is None)
