"""What the command does, as calls: studies, single experiments, fitted models, made-up data, looks at databases."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np

from microexpr.audit import checks
from microexpr.audit import comparison as comparing
from microexpr.audit.checks import Finding
from microexpr.audit.comparison import Compared
from microexpr.components.datasets.synthetic import SyntheticSpec, make
from microexpr.config.component import titles
from microexpr.config.study import COMPARED, Experiment, Study, load
from microexpr.core import pretrained as weights
from microexpr.core.errors import ConfigError, MicroexprError, UsageError, WeightsError
from microexpr.core.files import held, make_folder, write_atomically
from microexpr.core.interfaces import datasets, models
from microexpr.core.parallel import begin_run
from microexpr.core.progress import Progress, Silent, track
from microexpr.evaluation.statistics.comparison import Comparison, Unit
from microexpr.inspection import check_data as check_data
from microexpr.inspection import data_stats as data_stats
from microexpr.inspection import data_table as data_table
from microexpr.inspection import list_data as list_data
from microexpr.report import ReportPaths, write_comparison, write_report, write_tuning
from microexpr.report.compared import summarise_comparison
from microexpr.report.summary import summarise
from microexpr.report.tuned import summarise_tuning
from microexpr.runs import fit as fitting
from microexpr.runs import study as grids
from microexpr.runs import tuning
from microexpr.runs.plan import Options, Plan, Workspace
from microexpr.runs.study import StudyResult

Folders = Path | str | Mapping[str, Path | str]
"""One database's folder, or folders by the databases' registered names."""


class RunOptions(TypedDict, total=False):
    """How to run, as opposed to what; none of it changes a score, except clips left out, which are listed."""

    skip_invalid: bool
    """Go on without faulty clips (default: refuse them)."""
    allow_cropped: bool
    """Take frames that the owners cropped for preprocessings that want raw ones (default: refuse them)."""
    keep_weights: bool
    """Keep every fold's weights (default: no)."""
    workers: int
    """Processes that read frames and find faces (default 2)."""
    jobs: int
    """Folds trained at once, each by a process with its share of the cores (default 1)."""
    progress: Progress


@dataclass(frozen=True)
class Finished:
    """A study that is done: its summary (also ``summary.json``) and the report's files."""

    summary: dict[str, Any]
    paths: ReportPaths
    result: StudyResult
    """Cells with their stored predictions: ``result.cells[0].result.predictions()``."""

    @property
    def run(self) -> Mapping[str, Any]:
        """How many folds were ``trained`` and ``reused``, and which components cannot be recognised (``unknown``)."""
        return dict(self.summary["run"])


def run_study(
    what: Study | Path | str,
    data: Folders,
    out: Path | str,
    *,
    command: str = "",
    train_sizes: Sequence[int | None] = (),
    train_subjects: Sequence[int | None] = (),
    seeds: Sequence[int] = (),
    **options: Unpack[RunOptions],
) -> Finished:
    """Run a study (or what is missing of it) and write its report into `out`.

    With `train_sizes` (numbers of clips) or `train_subjects` every cell is trained at each of these sizes, the larger
    ones containing the smaller; None stands for all. With `seeds` it is trained once with each.

    Raises ConfigError, DataError, SplitError or WeightsError before anything is trained, StoreError where `out`
    cannot be written.
    """
    grid = _grown(_study(what), train_sizes, train_subjects, seeds)
    workspace = _workspace(grid.experiment, data, out, **options)
    with _working_in(workspace.options.out):
        result = grids.run(grid, workspace)
        summary = summarise(result, command)
        write_atomically(workspace.options.out / "summary.json", json.dumps(summary, indent=1))
        return Finished(summary, write_report(summary, workspace.options.out), result)


def dry_run(
    what: Study | Path | str,
    data: Folders,
    *,
    skip_invalid: bool = False,
    allow_cropped: bool = False,
    train_sizes: Sequence[int | None] = (),
    train_subjects: Sequence[int | None] = (),
    seeds: Sequence[int] = (),
) -> dict[str, Any]:
    """Check a study against its data; trains and writes nothing.

    Returns ``cells``, one row an experiment with its view counts, and what was found of the data: ``facts``,
    ``corrections`` and ``skipped`` clips. ``warnings`` are of clips that the label set leaves out, and of starting
    weights that were trained on test persons.
    """
    grid = _grown(_study(what), train_sizes, train_subjects, seeds)
    begin_run()
    options = Options(_folders(grid.experiment, data), skip_invalid=skip_invalid, allow_cropped=allow_cropped)
    jobs, left_out = grids.planned(grid, Workspace(options), weights=False)
    data_found = jobs[0].plan.data
    leaks = [warning for job in jobs for warning in checks.before_training(job.plan)]
    return {
        "cells": _planned(grid, jobs),
        "methods_skipped": left_out,
        "facts": dict(data_found.dataset.facts()),
        "warnings": [*(kept.text for kept in data_found.label_warnings), *dict.fromkeys(leaks)],
        "corrections": [str(correction) for correction in data_found.dataset.applied()],
        "skipped": [str(fault) for fault in data_found.skipped],
    }


def run_experiment(
    what: Experiment | Path | str,
    data: Folders,
    out: Path | str,
    *,
    command: str = "",
    seeds: Sequence[int] = (),
    **options: Unpack[RunOptions],
) -> Finished:
    """Run one experiment, a study of one cell: see ``summary["cells"][0]``. With `seeds` it has a cell for each."""
    experiment = what if isinstance(what, Experiment) else load(Experiment, Path(what))
    title = f"{experiment.model.label} on {', '.join(item.name for item in experiment.datasets)}"
    study = Study(name=experiment.name, title=title, experiment=experiment)
    return run_study(study, data, out, command=command, seeds=seeds, **options)


def fit(what: Experiment | Path | str, data: Folders, out: Path | str, **options: Unpack[RunOptions]) -> Path:
    """Train on every clip and keep the model: ``model.safetensors`` and ``card.json`` in `out`."""
    experiment = what if isinstance(what, Experiment) else load(Experiment, Path(what))
    workspace = _workspace(experiment, data, out, **options)
    with _working_in(workspace.options.out):
        return fitting.fit(experiment, workspace)


@dataclass(frozen=True)
class FinishedTuning:
    """A tuning that is done: its summary (also ``tuning.json``) and its page's files."""

    summary: dict[str, Any]
    paths: ReportPaths
    result: tuning.Tuned
    """Searches with their trials, and the predictions, tuned and untuned: ``result.predictions()``."""


def tune_experiment(
    what: Experiment | Path | str,
    data: Folders,
    out: Path | str,
    *,
    trials: int = tuning.TRIALS,
    storage: str = "",
    command: str = "",
    **options: Unpack[RunOptions],
) -> FinishedTuning:
    """Search an experiment's parameters inside the training persons, and test what was found on the others.

    Every search goes on until it has `trials` finished trials; a second call with the same `out` goes on with the
    same searches, and one beside it shares them. `storage` is the URL of a database for the trials (default: a file
    in `out`). The page ``tuning.html`` compares tuned and untuned under the same folds.

    Raises ConfigError, DataError, SplitError or WeightsError before anything is trained, StoreError where `out` or
    the storage cannot be used, or holds other searches.
    """
    experiment = what if isinstance(what, Experiment) else load(Experiment, Path(what))
    workspace = _workspace(experiment, data, out, **options)
    folder = workspace.options.out
    try:
        found = tuning.tune(experiment, workspace, trials=trials, storage=storage)
    except MicroexprError:
        _leave(folder)
        raise
    summary = summarise_tuning(found, tuning.without_password(command, storage))
    with held(folder, wait=True):
        write_atomically(folder / "tuning.json", json.dumps(summary, indent=1))
        return FinishedTuning(summary, write_tuning(summary, folder), found)


def load_model(folder: Path | str) -> tuple[Any, dict[str, Any]]:
    """Return a model that `fit` kept, ready to predict, and its card; raises StoreError."""
    return fitting.load(Path(folder))


def make_synthetic(out: Path | str, *, progress: Progress | None = None, **dials: Any) -> None:
    """Write a synthetic database in CASME II's layout; `dials` are the fields of `SyntheticSpec`."""
    bar, spec, before = progress or Silent(), SyntheticSpec(**dials), 0

    def told(done: int, total: int) -> None:
        nonlocal before
        for _ in range(done - before):
            bar.step()
        before = done

    bar.start("clips", spec.clips)
    try:
        make(Path(out), spec, progress=told)
    finally:
        bar.stop()


def fetch_weights(names: Sequence[str], progress: Progress | None = None) -> list[Path]:
    """Fetch the weights of models (``vit_b32``) or tags of timm from its hub, checked; raises WeightsError."""
    bar = progress or Silent()
    tags = weights_tags(names)
    return [_fetched(tag, bar) for tag in track(tags, len(tags), "weights", bar)]


def _fetched(tag: str, bar: Progress) -> Path:
    percent = 0

    def told(_: str, here: int, total: int) -> None:
        nonlocal percent
        while percent < 100 * here // total:
            percent += 1
            bar.step(f"of {total / 1e6:.0f} MB")

    bar.start(f"percent of {tag}", 100)
    try:
        return weights.fetch([tag], told)[0]
    finally:
        bar.stop()


def check_results(out: Path | str) -> tuple[Finding, ...]:
    """Return what a reviewer would object to in a folder of results, warnings first; raises StoreError."""
    return checks.check(Path(out))


def compare_results(
    a: Path | str,
    b: Path | str,
    *,
    metric: str = "macro_f1",
    unit: Unit = "person",
    n: int = 10_000,
    permutations: int = 9_999,
) -> Comparison:
    """Compare two experiments that were tested on the same clips, each named by its --out or its results/KEY.

    Raises StoreError where a folder holds none or several, UsageError where both are one, ConfigError where clips or
    label sets differ.
    """
    return compare_all([a, b], metric=metric, unit=unit, n=n, permutations=permutations).comparisons[0]


def compare_all(
    results: Sequence[Path | str],
    *,
    metric: str = "macro_f1",
    unit: Unit = "person",
    out: Path | str | None = None,
    command: str = "",
    n: int = 10_000,
    permutations: int = 9_999,
) -> Compared:
    """Compare the first of several experiments with each other one, and correct p-values for all of them.

    With `out`, a page is written there: ``comparison.html``, its tables and figures, and ``comparison.json`` with all
    values. Raises as `compare_results` does.
    """
    places = [Path(place) for place in results]
    found = comparing.compare_all(places, metric=metric, unit=unit, n=n, permutations=permutations)
    if out is not None:
        folder, summary = make_folder(Path(out)), summarise_comparison(found, command)
        write_atomically(folder / "comparison.json", json.dumps(summary, indent=1))
        write_comparison(summary, folder)
    return found


def verify_weights() -> list[tuple[str, str]]:
    """Return every tag of the cache and whether its file is ``good``, ``missing`` or what is wrong with it."""
    return weights.verify()


def bundle_weights(file: Path | str, names: Sequence[str]) -> Path:
    """Put the weights of models or tags, which the cache must have, into one file; raises WeightsError."""
    return weights.bundle(Path(file), weights_tags(names))


def unbundle_weights(file: Path | str) -> tuple[str, ...]:
    """Take weights out of a bundle into the cache, each checked, and return their tags; raises WeightsError."""
    return weights.unbundle(Path(file))


def weights_tags(names: Sequence[str]) -> list[str]:
    """Return timm's tags of the named models, a model having one for each size; a tag stands for itself."""
    return list(dict.fromkeys(tag for name in names for tag in ([name] if "." in name else _tags(name))))


def _tags(model: str) -> Sequence[str]:
    tags: Sequence[str] = getattr(models.build(model, {}), "tags", ())
    if not tags:
        raise WeightsError(f"there are no published weights of {model}; it is trained from scratch.")
    return tags


@contextlib.contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """Hold the folder; one in which nothing could be begun is not left behind."""
    try:
        with held(folder):
            yield
    except MicroexprError:
        _leave(folder)
        raise


def _leave(folder: Path) -> None:
    """Remove a folder in which nothing was begun."""
    if {item.name for item in folder.iterdir()} <= {".lock"}:
        shutil.rmtree(folder)


def _study(what: Study | Path | str) -> Study:
    return what if isinstance(what, Study) else load(Study, Path(what))


def _grown(grid: Study, clips: Sequence[int | None], persons: Sequence[int | None], seeds: Sequence[int] = ()) -> Study:
    """Return a study with the axes that a call adds to its grid."""
    grid = grid.sized("train_clips", clips) if clips else grid
    grid = grid.sized("train_persons", persons) if persons else grid
    return grid.seeded(seeds) if seeds else grid


def _folders(experiment: Experiment, data: Folders) -> dict[str, Path]:
    if isinstance(data, Mapping):
        wanted = {item.name for item in experiment.datasets}
        for name in sorted(set(data) - wanted):
            datasets.get(name)  # says so where there is no such database
            raise UsageError(
                f"--data {name}=... is not asked for: this experiment's datasets are {', '.join(sorted(wanted))}."
            )
        return {name: Path(folder) for name, folder in data.items()}
    if len(experiment.datasets) > 1:
        names = ", ".join(f"{item.name}=DIR" for item in experiment.datasets)
        raise UsageError(f"this experiment joins several databases; say where each is: --data {names}.")
    return {experiment.datasets[0].name: Path(data)}


def _workspace(experiment: Experiment, data: Folders, out: Path | str, **options: Unpack[RunOptions]) -> Workspace:
    chosen: dict[str, Any] = {"workers": 2, **options}
    progress = chosen.pop("progress", None) or Silent()
    for name in ("workers", "jobs"):
        if chosen.get(name, 1) < 1:
            raise ConfigError(f"{name}: at least one process is needed.")
    begin_run()
    return Workspace(Options(_folders(experiment, data), make_folder(Path(out)), **chosen), progress)


def _planned(grid: Study, jobs: Sequence[grids.Job]) -> list[dict[str, Any]]:
    """Return a row for each experiment, with its levels of the axes that its components do not tell."""
    known = {title for key, title in titles(grid.axes).items() if key.split(".")[0] in COMPARED}
    return [
        {
            "part": job.part,
            **_row(job.plan),
            "further": {axis: word for axis, word in job.factors.items() if axis not in known},
        }
        for job in jobs
    ]


def _row(plan: Plan) -> dict[str, Any]:
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
