"""A grid of experiments: its cells, what is missing, and what they gave together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from microexpr.config.component import Component, titles
from microexpr.config.experiment import Experiment
from microexpr.config.study import COMPARED, METHODS, Study
from microexpr.core import interfaces as contracts
from microexpr.core.environment import environment
from microexpr.core.errors import ConfigError, IncompatibleError, TrainingError
from microexpr.core.files import digest, write_atomically
from microexpr.core.progress import track
from microexpr.learning import learners as engine
from microexpr.runs import experiment as experiments
from microexpr.runs import explain as explaining
from microexpr.runs.experiment import Result
from microexpr.runs.explain import Explained
from microexpr.runs.face_centring import FaceCentring, face_centring
from microexpr.runs.late_fusion import fused
from microexpr.runs.plan import Plan, Workspace, check_intervals


@dataclass(frozen=True)
class Cell:
    """One experiment of a study, planned and run."""

    plan: Plan
    result: Result
    factors: Mapping[str, str] = field(default_factory=dict)
    """Axis of the grid -> level, as words: what tells it from the other cells."""

    @property
    def experiment(self) -> Experiment:
        """What was run."""
        return self.plan.experiment


@dataclass(frozen=True)
class StudyResult:
    """Everything a study gave; the report is made of it."""

    study: Study
    cells: tuple[Cell, ...]
    baselines: tuple[Cell, ...]
    named: Cell | None
    shuffled: tuple[Cell, ...]
    face_centrings: dict[str, FaceCentring]
    """By what is shown: the label of the preprocessing, and whatever else decides it (`shown`)."""
    latencies: tuple[dict[str, Any], ...]
    failed: tuple[tuple[str, str], ...] = ()
    """Experiments that could not be trained, and why."""
    judging: tuple[Cell, ...] = ()
    """What the choice among methods rests on, one cell a method; their repeats are rounds."""
    fused: tuple[Cell, ...] = ()
    """Methods whose probabilities were averaged; no cells of the grid."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Methods that the data do not allow, and why."""
    explained: tuple[Explained, ...] = ()
    """What the models that were asked for look at."""
    done: Mapping[str, Any] = field(default_factory=dict)
    """How many folds this run trained and reused (`Done.summary`)."""

    def first_repeats(self) -> StudyResult:
        """Return this with the first division of the clips alone, which tests each once; stamps tell of the others."""

        def first(cell: Cell) -> Cell:
            return replace(cell, result=cell.result.of_repeat(cell.result.repeats[0]))

        return replace(
            self,
            cells=tuple(map(first, self.cells)),
            baselines=tuple(map(first, self.baselines)),
            fused=tuple(map(first, self.fused)),
            named=self.named and first(self.named),
            shuffled=tuple(map(first, self.shuffled)),
        )


@dataclass(frozen=True)
class Job:
    """One experiment of a study, checked: which part of it, and its levels of the axes."""

    part: Literal["cells", "judging", "baselines", "named", "shuffled"]
    plan: Plan
    factors: Mapping[str, str] = field(default_factory=dict)
    explained: Mapping[str, Component] = field(default_factory=dict)
    """Name that the study asks an explanation for -> explainer."""


def planned(study: Study, workspace: Workspace, *, weights: bool = True) -> tuple[list[Job], dict[str, str]]:
    """Check every experiment of a study; return them, and the methods that the data do not allow, with the reason.

    Raises UnfitError where no method is left.
    """
    study.check()
    skipped: dict[str, str] = {}
    jobs = []
    for experiment, factors, place in zip(study.cells(), study.factors(), study.places(), strict=True):
        method = place.get(METHODS, "")
        if method in skipped:
            continue
        try:
            jobs.append(Job("cells", workspace.plan(experiment, weights=weights), factors))
        except IncompatibleError as error:
            if not study.methods:
                raise
            skipped[method] = str(error)
    if not jobs:
        listed = "".join(f"\n  {method}: {reason}" for method, reason in skipped.items())
        raise IncompatibleError("E401", f"these data allow none of the study's methods:{listed}")
    named = study.named()
    shuffles = range(1, study.named_cell.shuffled_runs + 1) if study.named_cell else ()
    judged = {method: cell for method, cell in study.judging().items() if method not in skipped}
    if len(study.leaderboard.choosable(skipped)) < 2:  # nothing could be chosen among
        judged = {}
    further: list[tuple[Any, Experiment, Mapping[str, str]]] = [
        *(("judging", cell, {METHODS: method}) for method, cell in judged.items()),
        *(("baselines", cell, {}) for cell in study.baseline_cells()),
        *(("named", cell, {}) for cell in filter(None, [named])),
        *(("shuffled", named.with_values({"shuffled": number}), {}) for number in shuffles if named),
    ]
    jobs += [Job(part, workspace.plan(cell, weights=weights), factors) for part, cell, factors in further]
    for job in jobs:
        check_intervals(job.plan)
    return _with_explainers(study, jobs), skipped


def _with_explainers(study: Study, jobs: list[Job]) -> list[Job]:
    """Find the first cell of whatever is to be explained, and its explainer; raises ConfigError where it has none."""
    found: dict[str, Job] = {}
    for job in jobs:
        if job.part == "cells":
            name = job.factors.get(METHODS) or next(iter(study.methods), job.plan.experiment.model.name)
            found.setdefault(name, job)
    asked: dict[int, dict[str, Component]] = {}
    for name in study.explanations.of:
        if name in found:  # else the data do not allow it
            component = explaining.chosen(found[name].plan, study.explanations, name)
            asked.setdefault(id(found[name]), {})[name] = component
    return [replace(job, explained=asked.get(id(job), {})) for job in jobs]


def run(study: Study, workspace: Workspace) -> StudyResult:
    """Run what is missing of a study; a second run trains nothing."""
    jobs, skipped = planned(study, workspace)
    workspace.prepare([job.plan for job in jobs])
    for job in jobs:  # clips may have been left out
        check_intervals(job.plan)
    cells: dict[str, list[Cell]] = {"cells": [], "judging": [], "baselines": [], "named": [], "shuffled": []}
    failed: list[tuple[str, str]] = []
    explained: dict[str, Explained] = {}
    for job in track(jobs, len(jobs), "experiments", workspace.progress):
        try:
            cells[job.part].append(Cell(job.plan, _run(job, study, workspace), job.factors))
        except TrainingError as error:  # the others go on
            failed.append((job.plan.experiment.name, str(error)))
            continue
        for name, component in job.explained.items():
            result = cells[job.part][-1].result
            explained[name] = explaining.explain(name, job.plan, result, study.explanations, component, workspace)
    joined, missing = _fused(study, cells["cells"])
    judging, _ = _fused(study, cells["judging"])
    if not cells["cells"]:
        raise TrainingError("E701", f"no cell could be trained; the first: {failed[0][1]}")
    return StudyResult(
        study=study,
        cells=tuple(cells["cells"]),
        baselines=tuple(cells["baselines"]),
        named=cells["named"][0] if cells["named"] else None,
        shuffled=tuple(cells["shuffled"]),
        face_centrings=_framings([cell.plan for cell in cells["cells"]]),
        failed=tuple(failed),
        judging=(*cells["judging"], *judging),
        fused=tuple(joined),
        skipped=skipped | missing,
        explained=tuple(explained[name] for name in study.explanations.of if name in explained),
        latencies=_latencies([job.plan for job in jobs if job.part == "cells"], workspace) if study.latency else (),
        done=workspace.done.summary(),
    )


def _run(job: Job, study: Study, workspace: Workspace) -> Result:
    """Run one experiment; the weights are kept of folds that are to be looked into."""
    out, asked = workspace.options.out, job.explained.values()
    needed = (explaining.needed(job.plan, study.explanations, component, out) for component in asked)
    return experiments.run(job.plan, workspace, keep=frozenset().union(*needed))


def _fused(study: Study, cells: Sequence[Cell]) -> tuple[list[Cell], dict[str, str]]:
    """Average methods' probabilities as the leaderboard asks for; return what lacks a member, with the reason."""
    first: dict[str, Cell] = {}
    for cell in cells:
        first.setdefault(cell.factors.get(METHODS, ""), cell)
    made, missing = [], {}
    for name, members in study.leaderboard.fused.items():
        lacking = [member for member in members if member not in first]
        if lacking:
            missing[name] = f"it averages {lacking[0]}, which was not run"
            continue
        mine = [first[member] for member in members]
        levels = {**mine[0].factors, METHODS: name}
        try:
            made.append(Cell(mine[0].plan, fused([cell.result for cell in mine]), levels))
        except ConfigError as error:  # the methods themselves can be reported
            missing[name] = f"it averages {', '.join(members)}, and {error}"
    return made, missing


def shown(plan: Plan, first: Plan) -> str:
    """Return what a plan shows: its preprocessing, and its modality and representation where the first's are others."""
    mine, usual = (
        (each.experiment.preprocessing.label, each.data.modality, each.experiment.representation.label)
        for each in (plan, first)
    )
    return ", ".join([mine[0], *(word for word, before in zip(mine[1:], usual[1:], strict=True) if word != before)])


def _framings(plans: Sequence[Plan]) -> dict[str, FaceCentring]:
    """Measure whatever is shown, by the sampling that shows most of its frames."""
    groups: dict[str, list[Plan]] = {}
    for plan in plans:
        groups.setdefault(shown(plan, plans[0]), []).append(plan)
    most = {label: max(mine, key=lambda plan: int(plan.view_counts().sum())) for label, mine in groups.items()}
    return {label: face_centring(plan) for label, plan in most.items()}


def _latencies(plans: Sequence[Plan], workspace: Workspace) -> tuple[dict[str, Any], ...]:
    """Measure each network, or ensemble, once at each input; what was measured on this machine before is kept."""
    unique = {
        (plan.experiment.model.label, plan.experiment.training.ensemble, plan.spec): plan
        for plan in plans
        if plan.model.trains_in_epochs
    }
    rows = [_latency(plan, workspace) for plan in track(unique.values(), len(unique), "latency", workspace.progress)]
    return tuple(rows)


def _latency(plan: Plan, workspace: Workspace) -> dict[str, Any]:
    metadata, training, model = environment(), plan.experiment.training, plan.experiment.model
    machine = {name: metadata[name] for name in ("processor", "accelerator", "threads", "torch", "timm")} | {
        "precision": training.precision,
        "revision": contracts.models.revision(model.name),
    }
    steps, height, width, channels = plan.spec.shape
    row: dict[str, Any] = {"model": model.label, "height": height, "width": width, "channels": channels}
    row |= {"steps": steps, "ensemble": training.ensemble}
    folder, several = workspace.options.out / "latency", [training.ensemble] if training.ensemble > 1 else []
    file = folder / f"{model.name}-{height}-{digest([model.label, plan.spec, machine, *several])}.json"
    if file.is_file():
        return dict(json.loads(file.read_text("utf-8"))) | row
    torch.manual_seed(0)
    network = engine.assemble(lambda: plan.model(plan.spec, len(plan.data.labels.classes), {}), training)
    assert isinstance(network, nn.Module)
    ms = engine.latency(network, plan.spec, training)
    row |= {
        "parameters": engine.parameters(network),
        "ms": ms,
        "fps": 1000 / ms,
        "device": metadata["accelerator"] if metadata["accelerator"] != "none" else metadata["processor"],
        "threads": int(metadata["threads"]),
        "repeats": engine.LATENCY_REPEATS,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(row))
    return row


def overview(study: Study, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Return a row for each planned experiment, with its levels of the axes that its components do not name."""
    known = {title for key, title in titles(study.axes).items() if key.split(".")[0] in COMPARED}
    return [
        {
            "part": job.part,
            **_overview_row(job.plan),
            "further": {axis: word for axis, word in job.factors.items() if axis not in known},
        }
        for job in jobs
    ]


def _overview_row(plan: Plan) -> dict[str, Any]:
    counts, folds = plan.view_counts(), plan.folds()
    fold = folds[0]
    parts = {"train": fold.train, "val": fold.val, "test": fold.test}
    held = len(folds) == 1
    return {
        "preprocessing": plan.experiment.preprocessing.label,
        "sampling": plan.experiment.sampling.label,
        "model": plan.experiment.model.label,
        "protocol": plan.experiment.protocol.label,
        "folds": len(folds),
        "views": int(counts.sum()),
        **{part: int(np.sum(counts[rows])) if held and rows is not None else None for part, rows in parts.items()},
        "target": ", ".join(item.label for item in plan.experiment.target) or None,
        "vote": plan.experiment.vote.label if plan.view_counts().max() > 1 else None,
        "size": "x".join(map(str, plan.spec.shape[plan.spec.shape[0] == 1 :])),
        "dis_finest": f"{plan.finest[0]} (set to {plan.finest[1]})"
        if plan.finest and len(set(plan.finest)) > 1
        else None,
        "weights": plan.weights.get("weights", "none"),
        "key": plan.key,
    }
