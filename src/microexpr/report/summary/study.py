"""The summary of a study: all values of the report, computed from stored predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from microexpr.audit.checks import Stored, findings
from microexpr.config.component import Component
from microexpr.config.published import load_published
from microexpr.config.scores import MAIN
from microexpr.core import interfaces
from microexpr.core.clip import Clip
from microexpr.core.confusion import present
from microexpr.core.environment import environment, together
from microexpr.core.folds import stored as divided
from microexpr.core.randomness import rng_for
from microexpr.data.dataset_stats import clip_stats
from microexpr.evaluation.statistics.chance import chance_scores
from microexpr.report.summary import (
    Baseline,
    Build,
    Finding,
    Latency,
    Model,
    Preprocessing,
    Run,
    Sampling,
    StudySummary,
)
from microexpr.report.summary import cells as of_cells
from microexpr.report.summary import factors as of_factors
from microexpr.report.summary.caveats import caveats
from microexpr.report.summary.cells import metric_of
from microexpr.report.summary.data import data, is_synthetic, protocol
from microexpr.report.summary.examples import contact_sheets, examples
from microexpr.report.summary.explanations import explanations
from microexpr.report.summary.hard_clips import hard_clips
from microexpr.report.summary.methods import leaderboard
from microexpr.report.summary.metrics import defined
from microexpr.report.summary.named_cell import named_cell
from microexpr.report.summary.options import options
from microexpr.runs.plan import Plan
from microexpr.runs.study import Cell, StudyResult, input_label

GUESSES = 2000


def summarise(result: StudyResult, command: str = "", *, with_frames: bool = False) -> StudySummary:
    """Return the summary of a study; `with_frames` also shows frames of databases that are not synthetic."""
    metric = metric_of(result)
    repeats = of_cells.repeats(result, metric)
    sheets, omitted = contact_sheets(result, with_frames=with_frames)
    shown = bool(sheets) and not is_synthetic(result.cells[0].plan.data.dataset)
    published = load_published(result.study.published) if result.study.published is not None else None
    practices = published.practices if published else ()
    warnings = list(caveats(result, repeats, practices=practices, with_frames=shown))
    result = result.first_repeats()
    first = result.cells[0].plan
    metadata = environment()
    cells = [of_cells.cell_row(cell, metric) for cell in result.cells]
    summary = StudySummary(
        name=result.study.name,
        title=result.study.title,
        command=command,
        version=metadata["microexpr"],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        caveats=warnings,
        metric=metric,
        metrics=defined(),
        intervals=of_cells.stated(first.experiment.bootstrap, {cell.interval_method for cell in cells}),
        data=data(first),
        environment=together([fold.metadata["environment"] for cell in result.cells for fold in cell.result.folds]),
        run=Run(**result.done),
        published=published,
        dataset_stats=clip_stats(_labelled(first)),
        protocol=protocol(first),
        preprocessing=_preprocessing(result),
        sampling=_samplings(result),
        models=_models(result),
        cells=cells,
        axes=of_factors.axes(result),
        over_seeds=of_factors.over_seeds(result, metric),
        repeats=repeats,
        factors=of_factors.effects(result, metric),
        sizes=of_factors.sizes(result, metric),
        paired=of_factors.preprocessing_pairs(result, metric),
        baselines=dict(_baseline(cell, metric) for cell in result.baselines),
        named_cell=named_cell(result, metric),
        named_problem=_named_problem(result),
        nested=None if result.study.methods else of_cells.nested(result, metric),
        leaderboard=leaderboard(result),
        targets=of_cells.target_rows(result),
        curves=[curve for cell in result.cells for curve in of_cells.curves(cell)],
        latency=[Latency(**row) for row in result.latencies],
        choices=options(result, published),
        seeds=list(dict.fromkeys(cell.experiment.seed for cell in result.cells)),
        examples=examples(result),
        contact_sheet=sheets,
        contact_sheets_omitted=omitted,
        explanations=explanations(result),
        hard_clips=hard_clips(result),
    )
    checks = findings(_stored(result), summary.model_dump(mode="json"))
    return summary.model_copy(
        update={
            "detail": of_cells.details(result, summary),
            "checks": [Finding(**asdict(found)) for found in checks],
        }
    )


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


def _named_problem(result: StudyResult) -> str:
    """Return why the prespecified experiment is missing; empty where it is not."""
    named = result.study.named()
    return dict(result.failed).get(named.name, "") if named and result.named is None else ""


def _labelled(plan: Plan) -> Iterator[tuple[Clip, str]]:
    for clip in plan.data.clips:
        yield clip, str(plan.data.labels.of(clip))


# --- components -------------------------------------------------------------------------------------------------------
def _preprocessing(result: StudyResult) -> dict[str, Preprocessing]:
    first, described = result.cells[0].plan, {}
    for cell in result.cells:
        label, component = input_label(cell.plan, first), cell.experiment.preprocessing
        measured = result.face_centrings[label]
        described[label] = Preprocessing(
            label=label.replace(component.label, of_factors.short(result, cell, "preprocessing"), 1),
            description=describe(interfaces.preprocessors, component),
            **measured._asdict(),
        )
    return described


def _samplings(result: StudyResult) -> dict[str, Sampling]:
    first: dict[str, Cell] = {}
    for cell in result.cells:  # of several training sizes, the largest
        first.setdefault(cell.experiment.sampling.label, cell)
    return {label: _sampling(cell.plan, of_factors.short(result, cell, "sampling")) for label, cell in first.items()}


def _sampling(plan: Plan, label: str) -> Sampling:
    counts = plan.view_counts()
    parts: dict[str, int | None] = dict.fromkeys(("train", "val", "test"))
    if len(plan.folds) == 1:
        fold = plan.folds[0]
        rows = {"train": fold.train, "val": fold.val, "test": fold.test}
        parts |= {part: int(counts[picked].sum()) for part, picked in rows.items() if picked is not None}
    return Sampling(
        label=label,
        nominal=plan.sampler.nominal,
        **parts,
        total=int(counts.sum()),
        per_clip=float(counts.mean()),
    )


def _models(result: StudyResult) -> dict[str, Model]:
    timed = {_build(row): row["parameters"] for row in result.latencies}
    by_name: dict[str, list[Cell]] = {}
    for cell in result.cells:
        by_name.setdefault(cell.experiment.model.label, []).append(cell)
    shared = Counter(cells[0].plan.model.label for cells in by_name.values())
    labels = {}
    for name, cells in by_name.items():
        model, params = cells[0].plan.model, cells[0].experiment.model.listed_params
        labels[name] = f"{model.label} ({params})" if params and shared[model.label] > 1 else model.label
    same = Counter(labels.values())
    return {
        name: Model(
            label=labels[name] if same[labels[name]] == 1 else f"{labels[name]} ({name})",
            token_mixing=cells[0].plan.model.mixing,
            builds=_builds(cells, timed),
        )
        for name, cells in by_name.items()
    }


def _build(row: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the values that determine the number of parameters of a timed network."""
    return tuple(row[name] for name in ("model", "ensemble", "steps", "height", "width", "channels"))


def _builds(cells: Sequence[Cell], timed: Mapping[tuple[object, ...], int]) -> list[Build]:
    """Return the builds of one model: number of networks, parameters and initial weights, with their input shapes."""
    inputs: dict[tuple[int, int | None, str], list[tuple[int, int, int, int]]] = {}
    for cell in cells:
        ensemble, shape = cell.experiment.training.ensemble, cell.plan.spec.shape
        counted = cell.result.folds[0].metadata.get("parameters")
        if counted is None:  # folds stored before parameters were counted
            counted = timed.get((cell.experiment.model.label, ensemble, *shape))
        weights = cell.plan.weights.get("weights", "none")
        inputs.setdefault((ensemble, counted, weights), []).append(shape)
    return [
        Build(ensemble=ensemble, parameters=parameters, weights=weights, inputs=list(dict.fromkeys(shapes)))
        for (ensemble, parameters, weights), shapes in inputs.items()
    ]


def describe(registry: Any, component: Component) -> str:
    """Return all parameters of a component, including defaults, as one line."""
    params = registry.bind(component.name, component.params)
    return ", ".join(f"{key} {value}" for key, value in params.items()) or "no parameters"


# --- baselines --------------------------------------------------------------------------------------------------------
def _baseline(cell: Cell, metric: str) -> tuple[str, Baseline]:
    name = cell.experiment.model.name
    if name == "class_frequency":
        return "guessing", _guessing(cell, metric)
    return name, Baseline(**of_cells.scores(cell, metric, of_cells.cell_interval(cell, metric)))


def _guessing(cell: Cell, metric: str) -> Baseline:
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
    built = {name: interfaces.metrics.build(name, {}) for name in (metric, *MAIN, "macro_f1_all")}
    drawn = chance_scores(built, y_true, np.concatenate(proba), averaged_classes=present(y_true, k), rng=rng, n=GUESSES)
    low, high = np.quantile(drawn[metric], [0.025, 0.975])
    means = {name: float(values.mean()) for name, values in drawn.items()}
    return Baseline(
        score=means[metric],
        ci_low=float(low),
        ci_high=float(high),
        macro_f1=means["macro_f1"],
        scores=means,
        n_test=len(y_true),
        draws=GUESSES,
    )
