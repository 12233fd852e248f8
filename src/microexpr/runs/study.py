"""Run a study: plan its cells, run what is missing, and collect the results."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch

from microexpr.config.component import Component, titles
from microexpr.config.experiment import Experiment
from microexpr.config.study import COMPARED, METHODS, Study
from microexpr.core import interfaces
from microexpr.core.claims import held
from microexpr.core.environment import environment
from microexpr.core.errors import ConfigError, IncompatibleError, TrainingError
from microexpr.core.files import digest, make_folder, write_atomically
from microexpr.core.progress import track
from microexpr.learning import learners
from microexpr.runs import explain as explanations
from microexpr.runs import jobs
from microexpr.runs.experiment import Result
from microexpr.runs.explain import Explained
from microexpr.runs.face_centring import FaceCentring, face_centring
from microexpr.runs.grid import Grid
from microexpr.runs.grid import Planned as PlannedExperiment
from microexpr.runs.late_fusion import fuse
from microexpr.runs.plan import Plan, Workspace, check_folds


@dataclass(frozen=True)
class Cell:
    """One experiment of a study with its plan and result."""

    plan: Plan
    result: Result
    factors: Mapping[str, str] = field(default_factory=dict)
    """Axis of the grid -> name of the level: how it differs from other cells."""

    @property
    def experiment(self) -> Experiment:
        """The experiment that was run."""
        return self.plan.experiment


@dataclass(frozen=True)
class StudyResult:
    """All results of a study, from which the report is made."""

    study: Study
    cells: tuple[Cell, ...]
    baselines: tuple[Cell, ...]
    named: Cell | None
    shuffled: tuple[Cell, ...]
    face_centrings: dict[str, FaceCentring]
    """By model input (`input_label`): the preprocessing, and the modality and representation if they differ."""
    latencies: tuple[dict[str, Any], ...]
    failed: tuple[tuple[str, str], ...] = ()
    """Experiments that could not be trained, with the reason."""
    judging: tuple[Cell, ...] = ()
    """Experiments on which the choice among methods is based, one cell per method; their repeats are rounds."""
    fused: tuple[Cell, ...] = ()
    """Averages of methods' probabilities (late fusion); not cells of the grid."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Methods that do not fit the data, with the reason."""
    alternatives: Mapping[str, Cell] = field(default_factory=dict)
    """Alternatives to the named cell, tested on the same folds, by name."""
    skipped_alternatives: Mapping[str, str] = field(default_factory=dict)
    """Alternatives that do not fit the data, with the reason."""
    explained: tuple[Explained, ...] = ()
    """Attribution maps of the models that the study names."""
    done: Mapping[str, Any] = field(default_factory=dict)
    """How many folds this run trained and reused (`Done.summary`)."""

    def first_repeats(self) -> StudyResult:
        """Return this result with only the first repeat, which tests each clip once; caveats state the others."""

        def first(cell: Cell) -> Cell:
            return replace(cell, result=cell.result.of_repeat(cell.result.repeats[0]))

        return replace(
            self,
            cells=tuple(map(first, self.cells)),
            baselines=tuple(map(first, self.baselines)),
            fused=tuple(map(first, self.fused)),
            named=self.named and first(self.named),
            alternatives={name: first(cell) for name, cell in self.alternatives.items()},
            shuffled=tuple(map(first, self.shuffled)),
        )


Part = Literal["cells", "judging", "baselines", "named", "alternatives", "shuffled"]


@dataclass(frozen=True)
class PlannedCell:
    """One checked experiment of a study: the part of the study that it belongs to, and its levels."""

    part: Part
    plan: Plan
    factors: Mapping[str, str] = field(default_factory=dict)
    explained: Mapping[str, Component] = field(default_factory=dict)
    """Name in the study's `explanations.of` -> explainer."""


class Planned(NamedTuple):
    """The checked experiments of a study, and what does not fit the data, with the reason."""

    cells: list[PlannedCell]
    skipped: dict[str, str]
    """Methods."""
    skipped_alternatives: dict[str, str]


def planned(study: Study, workspace: Workspace, *, weights: bool = True) -> Planned:
    """Check every experiment of a study against its data; raises IncompatibleError if no method is left."""
    study.check()
    skipped: dict[str, str] = {}
    skipped_alternatives: dict[str, str] = {}
    found: list[PlannedCell] = []
    for experiment, factors, place in zip(study.cells(), study.factors(), study.places(), strict=True):
        with _skipping(place.get(METHODS, ""), skipped) as wanted:
            if wanted:
                found.append(PlannedCell("cells", workspace.draft(experiment, weights=weights), factors))
    named = study.named()
    shuffles = range(1, study.named_cell.shuffled_runs + 1) if study.named_cell else ()
    judged = {method: cell for method, cell in study.judging().items() if method not in skipped}
    if len(study.leaderboard.choosable(skipped)) < 2:  # nothing is left to choose from
        judged = {}
    further: list[tuple[Any, Experiment, Mapping[str, str]]] = [
        *(("judging", cell, {METHODS: method}) for method, cell in judged.items()),
        *(("baselines", cell, {}) for cell in study.baseline_cells()),
        *(("named", cell, {}) for cell in filter(None, [named])),
        *(("shuffled", named.with_values({"shuffled": number}), {}) for number in shuffles if named),
    ]
    found += [PlannedCell(part, workspace.draft(cell, weights=weights), factors) for part, cell, factors in further]
    for name, cell in study.alternatives().items():
        with _skipping(name, skipped_alternatives):
            found.append(PlannedCell("alternatives", workspace.draft(cell, weights=weights)))
    settled = workspace.settle([cell.plan for cell in found])
    kept = []
    for each, plan in zip(found, settled, strict=True):
        if each.part == "alternatives":
            skipping = _skipping(plan.experiment.name, skipped_alternatives)
        else:
            skipping = _skipping(each.factors.get(METHODS, "") if each.part in ("cells", "judging") else "", skipped)
        with skipping as wanted:
            if wanted:
                check_folds(plan)
                kept.append(replace(each, plan=plan))
    if not any(cell.part == "cells" for cell in kept):
        listed = "".join(f"\n  {method}: {reason}" for method, reason in skipped.items())
        raise IncompatibleError("E462", f"none of the study's methods fits these data:{listed}")
    kept, others = _on_the_same_clips(kept)
    return Planned(_with_explainers(study, kept), skipped, skipped_alternatives | others)


@contextmanager
def _skipping(name: str, skipped: dict[str, str]) -> Iterator[bool]:
    """Note what does not fit the data in `skipped`, with the reason; yield False if it is there already.

    What has no name must fit.
    """
    try:
        yield name not in skipped
    except IncompatibleError as error:
        if not name:
            raise
        skipped[name] = str(error)


def _on_the_same_clips(cells: Sequence[PlannedCell]) -> tuple[list[PlannedCell], dict[str, str]]:
    """Return the cells without alternatives whose folds test other clips than the named cell, and these with a reason.

    Another modality may lack clips.
    """
    tested = next((_tested(cell.plan) for cell in cells if cell.part == "named"), None)
    others = {
        cell.plan.experiment.name: "its folds would test other clips than those of the named cell"
        for cell in cells
        if cell.part == "alternatives" and _tested(cell.plan) != tested
    }
    kept = [cell for cell in cells if cell.part != "alternatives" or cell.plan.experiment.name not in others]
    return kept, others


def _tested(plan: Plan) -> list[tuple[str, list[str]]]:
    """Return the test clips of every fold."""
    keys = plan.table["key"]
    return [(fold.name, keys.iloc[fold.test].tolist()) for fold in plan.folds]


def _with_explainers(study: Study, cells: list[PlannedCell]) -> list[PlannedCell]:
    """Find the first cell of every name to be explained, and its explainer; raises ConfigError if it has none."""
    found: dict[str, PlannedCell] = {}
    for cell in cells:
        if cell.part == "cells":
            name = cell.factors.get(METHODS) or next(iter(study.methods), cell.plan.experiment.model.name)
            found.setdefault(name, cell)
    explainers: dict[int, dict[str, Component]] = {}
    for name in study.explanations.of:
        if name in found:  # otherwise it was skipped
            component = explanations.select_explainer(found[name].plan, study.explanations, name)
            explainers.setdefault(id(found[name]), {})[name] = component
    return [replace(cell, explained=explainers.get(id(cell), {})) for cell in cells]


def run(study: Study, workspace: Workspace) -> StudyResult:
    """Run what is missing of a study; a second run trains nothing. Raises TrainingError if no cell can be trained.

    Several processes may run the same study in the same folder: they divide its folds among themselves.
    """
    begun, skipped, skipped_alternatives = _begin(study, workspace)
    failed = jobs.run_all([cell.plan for cell in begun], workspace, keep=_weights_for_maps(begun, study, workspace))
    cells: dict[str, list[Cell]] = {part: [] for part in get_args(Part)}
    explained: dict[str, Explained] = {}
    for each in begun:
        if each.plan.key in failed:  # the others go on
            continue
        result = jobs.collect(each.plan, workspace)
        cells[each.part].append(Cell(each.plan, result, each.factors))
        for name, component in each.explained.items():
            explained[name] = explanations.explain(name, each.plan, result, study.explanations, component, workspace)
    averages, missing = _fused(study, cells["cells"])
    judging, _ = _fused(study, cells["judging"])
    if not cells["cells"]:
        raise TrainingError(
            "E720",
            f"no cell could be trained; the first failed with: {str(next(iter(failed.values()))).rstrip('.')}. The "
            "same command with --retry-failed tries again.",
        )
    return StudyResult(
        study=study,
        cells=tuple(cells["cells"]),
        baselines=tuple(cells["baselines"]),
        named=cells["named"][0] if cells["named"] else None,
        alternatives={cell.experiment.name: cell for cell in cells["alternatives"]},
        skipped_alternatives=skipped_alternatives,
        shuffled=tuple(cells["shuffled"]),
        face_centrings=_face_centrings([cell.plan for cell in cells["cells"]]),
        failed=tuple(
            (each.plan.experiment.name, str(failed[each.plan.key])) for each in begun if each.plan.key in failed
        ),
        judging=(*cells["judging"], *judging),
        fused=tuple(averages),
        skipped=skipped | missing,
        explained=tuple(explained[name] for name in study.explanations.of if name in explained),
        latencies=_latencies([each.plan for each in begun if each.part == "cells"], workspace) if study.latency else (),
        done=workspace.done.summary(),
    )


def submit(study: Study, workspace: Workspace) -> tuple[str, int]:
    """Start workers that this process need not outlive; return what they can be found by, and the number of folds."""
    begun, _, _ = _begin(study, workspace)
    started, folds = jobs.submit(
        [cell.plan for cell in begun], workspace, keep=_weights_for_maps(begun, study, workspace)
    )
    if folds:
        _grid(study, begun, workspace).model_copy(update={"submitted": started}).write(workspace.options.out)
    return started, folds


def _begin(study: Study, workspace: Workspace) -> Planned:
    """Plan a study and prepare its frames; the file `grid.FILE` says what is to be done."""
    begun, skipped, skipped_alternatives = planned(study, workspace)
    plans = workspace.prepare([cell.plan for cell in begun])
    fewer = any(plan.data is not cell.plan.data for plan, cell in zip(plans, begun, strict=True))
    begun = [replace(cell, plan=plan) for cell, plan in zip(begun, plans, strict=True)]
    if fewer:  # clips were left out, so their folds are others
        for plan in plans:
            check_folds(plan)
        begun, others = _on_the_same_clips(begun)
        skipped_alternatives |= others
    _grid(study, begun, workspace).write(workspace.options.out)
    return Planned(begun, skipped, skipped_alternatives)


def _grid(study: Study, cells: Sequence[PlannedCell], workspace: Workspace) -> Grid:
    options = workspace.options
    return Grid(
        study=study.model_dump(mode="json"),
        data={name: str(place.absolute()) for name, place in options.data.items() if isinstance(place, Path)},
        skip_invalid=options.skip_invalid,
        allow_cropped=options.allow_cropped,
        keep_weights=options.keep_weights,
        began=time.time(),
        launcher=options.launcher.label,
        experiments=tuple(
            PlannedExperiment(
                key=cell.plan.key,
                name=cell.plan.experiment.name,
                folds=tuple(fold.name for fold in cell.plan.folds),
            )
            for cell in cells
        ),
    )


def _weights_for_maps(cells: Sequence[PlannedCell], study: Study, workspace: Workspace) -> dict[str, set[str]]:
    """Return, by experiment key, the folds whose weights are needed for maps that are still to be made."""
    needed: dict[str, set[str]] = {}
    for cell in cells:
        for component in cell.explained.values():
            names = explanations.folds_without_maps(cell.plan, study.explanations, component, workspace.options.out)
            needed.setdefault(cell.plan.key, set()).update(names)
    return needed


def _fused(study: Study, cells: Sequence[Cell]) -> tuple[list[Cell], dict[str, str]]:
    """Return averages of methods as the leaderboard defines them, and those that lack a member, with the reason."""
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
            made.append(Cell(mine[0].plan, fuse([cell.result for cell in mine]), levels))
        except ConfigError as error:  # the methods themselves can still be reported
            missing[name] = f"it averages {', '.join(members)}, and {error}"
    return made, missing


def input_label(plan: Plan, first: Plan) -> str:
    """Return a label of a plan's model input: its preprocessing, and modality and representation if not the first's."""
    own, usual = (
        (each.experiment.preprocessing.label, each.data.modality, each.experiment.representation.label)
        for each in (plan, first)
    )
    return ", ".join([own[0], *(part for part, before in zip(own[1:], usual[1:], strict=True) if part != before)])


def _face_centrings(plans: Sequence[Plan]) -> dict[str, FaceCentring]:
    """Measure face centring for every model input, with the sampling that uses most frames."""
    groups: dict[str, list[Plan]] = {}
    for plan in plans:
        groups.setdefault(input_label(plan, plans[0]), []).append(plan)
    most = {label: max(mine, key=lambda plan: int(plan.view_counts().sum())) for label, mine in groups.items()}
    return {label: face_centring(plan) for label, plan in most.items()}


def _latencies(plans: Sequence[Plan], workspace: Workspace) -> tuple[dict[str, Any], ...]:
    """Measure each network or ensemble once for each model input; earlier measurements on this machine are reused."""
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
        "revision": interfaces.models.revision(model.name),
    }
    steps, height, width, channels = plan.spec.shape
    row: dict[str, Any] = {"model": model.label, "height": height, "width": width, "channels": channels}
    row |= {"steps": steps, "ensemble": training.ensemble}
    folder, several = workspace.options.out / "latency", [training.ensemble] if training.ensemble > 1 else []
    file = folder / f"{model.name}-{height}-{digest([model.label, plan.spec, machine, *several])}.json"
    with held(make_folder(folder), wait=True):
        if file.is_file():
            return dict(json.loads(file.read_text("utf-8"))) | row
        torch.manual_seed(0)
        network = learners.make(
            lambda: plan.model(plan.spec, len(plan.data.labels.classes), {}), len(plan.data.labels.classes), training
        )
        ms = learners.latency(network, plan.spec)
        row |= {
            "parameters": network.parameters,
            "ms": ms,
            "fps": 1000 / ms,
            "device": metadata["accelerator"] if metadata["accelerator"] != "none" else metadata["processor"],
            "threads": int(metadata["threads"]),
            "repeats": learners.LATENCY_REPEATS,
        }
        write_atomically(file, json.dumps(row))
    return row


def overview(study: Study, cells: Sequence[PlannedCell]) -> list[dict[str, Any]]:
    """Return a row for each planned experiment, with its levels of axes that are not components of the row."""
    known = {title for key, title in titles(study.axes).items() if key.split(".")[0] in COMPARED}
    return [
        {
            "part": cell.part,
            **_overview_row(cell.plan),
            "further": {axis: level for axis, level in cell.factors.items() if axis not in known},
        }
        for cell in cells
    ]


def _overview_row(plan: Plan) -> dict[str, Any]:
    counts, folds = plan.view_counts(), plan.folds
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
