"""Factors of a grid, from stored predictions: axes, seeds, effects, curves over training sizes, paired comparisons."""

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
from microexpr.evaluation.statistics.bootstrap import METHODS as INTERVALS
from microexpr.evaluation.statistics.comparison import Comparison
from microexpr.evaluation.statistics.factors import factorial
from microexpr.evaluation.statistics.multiplicity import with_family
from microexpr.evaluation.statistics.paired import Predictions, align
from microexpr.evaluation.statistics.seeds import split_seeds
from microexpr.evaluation.statistics.sizes import Crossing, size_curves
from microexpr.report.summary import Axis, Effect, Factors, OverSeeds, Pair, Sizes
from microexpr.report.summary import Crossing as CrossingRow
from microexpr.report.summary import Curve as CurveRow
from microexpr.report.summary.cells import PERMUTATIONS, place, train_size
from microexpr.report.summary.comparison import compared, paired
from microexpr.report.summary.metrics import defined
from microexpr.runs.experiment import trained
from microexpr.runs.study import Cell, StudyResult

RESAMPLES = 2_000
METHOD = INTERVALS["expanded"]
"""Method of the intervals of effects and curves, whatever the experiment's own method."""
OTHER_CLIPS = (
    "Each seed was tested on other clips, because the protocol samples them by the seed: variation over seeds cannot "
    "be separated from variation over clips. Run all seeds on the folds of one seed: "
    'protocol = { name = "from_file", file = "OUT/results/KEY/folds.json" }.'
)


def axes(result: StudyResult) -> dict[str, Axis]:
    """Return every axis of the grid: the part of an experiment that it changes, and its levels."""
    return {
        title: Axis(part=key.split(".")[0], levels=list(dict.fromkeys(cell.factors[title] for cell in result.cells)))
        for key, title in titles(result.study.axes).items()
    }


def _further(result: StudyResult) -> list[str]:
    """Return the axes that change none of preprocessing, sampling and model."""
    return [title for title, axis in axes(result).items() if axis.part not in COMPARED]


def preprocessing_axes(result: StudyResult) -> list[str]:
    """Return the axes that change the preprocessing."""
    return [title for title, axis in axes(result).items() if axis.part == "preprocessing"]


def short(result: StudyResult, cell: Cell, part: str) -> str:
    """Return a component's name for tables: its levels where several axes change it, parameters only where needed."""
    component: Component = getattr(cell.experiment, part)
    mine = [title for title, axis in axes(result).items() if axis.part == part]
    if len(mine) > 1:
        levels = [(title, cell.factors[title]) for title in mine]
        return " · ".join(f"{title} {level}" if level.isdecimal() else level for title, level in levels)
    others = {getattr(other.experiment, part).label: getattr(other.experiment, part) for other in result.cells}
    unique = sum(other.name == component.name for other in others.values()) == 1
    return component.name.upper() if unique else component.label


def pairs(result: StudyResult) -> Iterator[tuple[Cell, Cell]]:
    """Yield cells that differ in their preprocessing only; none where several axes change the preprocessing."""
    if len(preprocessing_axes(result)) > 1:  # effects are tested instead of hundreds of pairs
        return
    places: dict[tuple[str, ...], list[Cell]] = {}
    for cell in result.cells:
        others = [cell.factors.get(title, "") for title in _further(result)]
        place = (cell.experiment.sampling.label, cell.experiment.model.label, *others)
        places.setdefault(place, []).append(cell)
    for there in places.values():
        yield from itertools.combinations(there, 2)


# --- seeds ------------------------------------------------------------------------------------------------------------
def settings(result: StudyResult) -> int:
    """Return how many cells differ in something other than the seed."""
    return len(by_setting(result))


def over_seeds(result: StudyResult, metric: str) -> list[OverSeeds]:
    """Return the scores of several seeds for each cell of the other axes; empty where one seed was run."""
    axis = _seed_axis(result)
    return [] if axis is None else [_seeds(cells, axis, metric) for cells in by_setting(result) if len(cells) > 1]


def _seed_axis(result: StudyResult) -> str | None:
    return titles(result.study.axes).get("seed")


def by_setting(result: StudyResult) -> list[list[Cell]]:
    """Return the cells, grouped so that the cells of a group differ in their seed only."""
    axis, groups = _seed_axis(result), dict[tuple[str, ...], list[Cell]]()
    for cell in result.cells:
        groups.setdefault(tuple(level for name, level in cell.factors.items() if name != axis), []).append(cell)
    return list(groups.values())


def _seeds(cells: Sequence[Cell], axis: str, metric: str) -> OverSeeds:
    """Return the seeds' scores, their mean with its interval and the components of variance, or why there are none."""
    first, scores = cells[0], [cell.result.scores()[metric] for cell in cells]
    settings, classes = first.experiment.bootstrap, first.plan.data.labels.classes
    known: dict[str, Any] = {
        **place(first),
        "factors": {name: level for name, level in first.factors.items() if name != axis},
        "seeds": [cell.factors[axis] for cell in cells],
        "scores": scores,
    }
    mean = float(np.mean(scores))
    tables = [Predictions.of(f"seed {cell.factors[axis]}", cell.result.predictions(), classes) for cell in cells]
    if len({frozenset(table.clips) for table in tables}) > 1:
        return OverSeeds(**known, mean=mean, problem=OTHER_CLIPS)
    try:
        aligned = align(*tables)
        found = split_seeds(
            confusion_metric(metric),
            aligned[0].y_true,
            np.stack([table.y_pred for table in aligned]),
            aligned[0].subjects,
            num_classes=len(classes),
            averaged_classes=present(aligned[0].y_true, len(classes)),
            unit=settings.unit,
            level=settings.level,
        )
    except ConfigError as error:
        return OverSeeds(**known, mean=mean, problem=str(error))
    return OverSeeds(
        **known,
        mean=found.mean,
        low=found.low,
        high=found.high,
        seed_sd=found.seed_sd,
        seed_share=found.seed_share,
        unit_share=found.unit_share,
        joint_share=found.joint_share,
        unit=found.unit,
    )


# --- effects ----------------------------------------------------------------------------------------------------------
def effects(result: StudyResult, metric: str) -> Factors | None:
    """Return main effects, interactions and the verdict; None for a study without a factor."""
    if len(result.cells) < 2 or not set(axes(result)) - set(_averaged(result)):
        return None
    known: dict[str, Any] = {
        "method": METHOD,
        "level": result.cells[0].experiment.bootstrap.level,
        "averaged": [name for name in _averaged(result) if name in axes(result)],
    }
    try:
        found = factorial(**_material(result, metric, "factors"), permutations=PERMUTATIONS)
    except ConfigError as error:
        return Factors(**known, problem=str(error), verdict=f"The factors were not compared: {error}")
    joint = list(filter(None, [_joint_parameters(result)]))
    held = trained([cell.result for cell in result.cells], max(map(len, by_setting(result))))
    said = found.verdict(defined(metric)[metric].title)
    if held.holdout:
        said = f"Among these trained {held.things}, {said[:1].lower()}{said[1:]}"
    return Factors(
        **known,
        effects=[Effect.model_validate(effect, from_attributes=True) for effect in found.effects],
        confounded=[*found.confounded, *joint],
        verdict=" ".join(filter(None, [said, *joint, held.caveat])),
        subjects=found.subjects,
        n=found.n,
        permutations=found.permutations,
    )


def _averaged(result: StudyResult) -> tuple[str, ...]:
    """Return the axes that are averaged over and not tested: seeds, and methods, which the leaderboard compares."""
    return ("seed", METHODS) if result.study.methods else ("seed",)


def _material(result: StudyResult, metric: str, role: str) -> dict[str, Any]:
    """Return the input of both analyses; raises ConfigError where the cells were not tested on the same clips."""
    first = result.cells[0]
    classes = first.plan.data.labels.classes
    tables = [Predictions.of(cell.experiment.name, cell.result.predictions(), classes) for cell in result.cells]
    aligned = align(*tables)
    return {
        "metric": confusion_metric(metric),
        "y_true": aligned[0].y_true,
        "predictions": [table.y_pred for table in aligned],
        "cells": _displayed(result),
        "num_classes": len(classes),
        "averaged_classes": present(aligned[0].y_true, len(classes)),
        "subjects": aligned[0].subjects,
        "rng": rng_for(first.experiment.seed, role),
        "n": RESAMPLES,
        "level": first.experiment.bootstrap.level,
        "averaged": _averaged(result),
    }


def _displayed(result: StudyResult) -> list[dict[str, str]]:
    """Return the level of each factor, by cell; preprocessings, samplings and models by their display names."""
    rows = [dict(cell.factors) for cell in result.cells]
    for key, title in titles(result.study.axes).items():
        if key in COMPARED:
            shown = [cell.plan.model.label if key == "model" else short(result, cell, key) for cell in result.cells]
            if len(set(shown)) == len({row[title] for row in rows}):
                for row, label in zip(rows, shown, strict=True):
                    row[title] = label
    return rows


def _joint_parameters(result: StudyResult) -> str:
    """Return a warning where preprocessings differ in several parameters at once, as the paper's M1 and M2 do."""
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
        f"The levels of preprocessing differ in {', '.join(names[:-1])} and {names[-1]} at once, so their effects "
        "cannot be separated."
    )


# --- size of training -------------------------------------------------------------------------------------------------
def sizes(result: StudyResult, metric: str) -> Sizes | None:
    """Return curves of score by training size, and their crossings; None where there is one size."""
    named = titles(result.study.axes)
    size = next((key for key in SIZES if key in named), None)
    if size is None:
        return None
    axis, unit = named[size], "training clips" if size == "train_clips" else "training subjects"
    amounts: dict[str, list[float]] = {}
    for cell in result.cells:
        amounts.setdefault(cell.factors[axis], []).append(train_size(cell)[size])
    mean = {word: float(np.mean(values)) for word, values in amounts.items()}
    known: dict[str, Any] = {"axis": axis, "unit": unit, "method": METHOD, "n": RESAMPLES}
    try:
        curves, crossings = size_curves(axis=axis, sizes=mean, **_material(result, metric, "sizes"))
    except ConfigError as error:
        return Sizes(**known, problem=str(error))
    ends = min(mean.values()), max(mean.values())
    return Sizes(
        **known,
        curves=[CurveRow.model_validate(curve, from_attributes=True) for curve in curves],
        crossings=[CrossingRow(**asdict(found), sentence=found.sentence(unit, *ends)) for found in _worth(crossings)],
    )


def _worth(crossings: Sequence[Crossing]) -> list[Crossing]:
    """Return crossings, those that were found first."""
    return sorted(crossings, key=lambda found: found.at is None)


# --- preprocessings in pairs ------------------------------------------------------------------------------------------
def preprocessing_pairs(result: StudyResult, metric: str) -> list[Pair]:
    """Compare preprocessings cell by cell; p-values are corrected for all these comparisons."""
    cells = list(pairs(result))
    found = [
        compared(
            first.plan,
            metric,
            [(cell.experiment.preprocessing.label, cell.result.predictions()) for cell in (first, second)],
            [first.result, second.result],
            "paired",
            n=RESAMPLES,
            permutations=PERMUTATIONS,
        )
        for first, second in cells
    ]
    made = iter(with_family([one for one in found if isinstance(one, Comparison)]))
    return [
        Pair(
            sampling=first.experiment.sampling.label,
            model=first.experiment.model.label,
            factors=dict(first.factors),
            a=first.experiment.preprocessing.label,
            b=second.experiment.preprocessing.label,
            paired=paired(next(made)) if isinstance(one, Comparison) else None,
            problem=None if isinstance(one, Comparison) else one,
        )
        for (first, second), one in zip(cells, found, strict=True)
    ]
