"""The public calls, one for each command; each imports what it needs when called, so data commands load no torch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from microexpr.core.claims import held
from microexpr.core.errors import ConfigError, MicroexprError, StoreError, UsageError, WeightsError
from microexpr.core.files import make_folder, write_atomically
from microexpr.core.progress import Progress, Silent, track
from microexpr.learning.agreement import VIEWS

if TYPE_CHECKING:
    import pandas as pd

    from microexpr.audit.checks import Finding
    from microexpr.audit.comparison import Compared
    from microexpr.bench.rows import Bench, Group
    from microexpr.config.experiment import Experiment
    from microexpr.config.settings import Precision
    from microexpr.config.study import Study
    from microexpr.core.error_codes import Explanation
    from microexpr.data.clip_table import ClipTable
    from microexpr.data.doctor import Diagnosis
    from microexpr.data.sources import Inputs
    from microexpr.evaluation.statistics.comparison import Comparison, Unit
    from microexpr.learning.export import Exported
    from microexpr.learning.pipeline import Pipeline, RuntimeName
    from microexpr.report.page import ReportPaths
    from microexpr.report.summary import Run, StudySummary, TuningSummary
    from microexpr.runs.grid import Status
    from microexpr.runs.node import Check
    from microexpr.runs.plan import Workspace
    from microexpr.runs.study import StudyResult
    from microexpr.runs.tuning import Tuned
    from microexpr.runs.upkeep import Merged, Problem, Row

Folders = Path | str | Mapping[str, Path | str]
"""One database's folder, or folders by the databases' registered names."""


class RunOptions(TypedDict, total=False):
    """How to run, as opposed to what: no option changes a score, except for clips left out, which are listed."""

    skip_invalid: bool
    """Continue without faulty clips (default: refuse them)."""
    allow_cropped: bool
    """Accept frames cropped by the database's owners where uncropped ones are required (default: refuse them)."""
    keep_weights: bool
    """Keep every fold's weights (default: no)."""
    workers: int
    """Processes that read frames and detect faces (default 2)."""
    jobs: int
    """Folds trained in parallel, each in its own process with its share of the cores (default 1)."""
    launcher: str | Mapping[str, Any]
    """What starts the processes that train folds (default ``local``): a name, or a mapping with ``name`` and what it
    needs, for example ``{"name": "slurm", "partition": "gpu"}``."""
    fold_minutes: float
    """Minutes after which the process that trains a fold is ended, and the fold counts as failed (default: never). It
    needs several jobs or a launcher."""
    retry_failed: bool
    """Train folds again that failed before (default: report them)."""
    progress: Progress


@dataclass(frozen=True)
class Finished:
    """A finished study: its summary (also in ``summary.json``) and the report's files."""

    summary: StudySummary
    """All numbers of the report: ``summary.cells[0].score``, ``summary.leaderboard.rows``."""
    paths: ReportPaths
    _collect: Callable[[], StudyResult]

    @cached_property
    def result(self) -> StudyResult:
        """Cells with their stored predictions, ``result.cells[0].result.predictions()``; read when first used."""
        return self._collect()

    @property
    def failed(self) -> bool:
        """Whether an experiment could not be trained; a caveat gives the reason."""
        return any(caveat.code == "failed" for caveat in self.summary.caveats)

    @property
    def run(self) -> Run:
        """How many folds were ``trained`` and ``reused``, and which components cannot be identified (``unknown``)."""
        return self.summary.run


# --- studies and experiments ------------------------------------------------------------------------------------------
def run_study(
    what: Study | Path | str,
    data: Folders,
    out: Path | str,
    *,
    command: str = "",
    train_sizes: Sequence[int | None] = (),
    train_subjects: Sequence[int | None] = (),
    seeds: Sequence[int] = (),
    with_frames: bool = False,
    **options: Unpack[RunOptions],
) -> Finished:
    """Run a study, or what is missing of it, and write its report into `out`.

    With `train_sizes` (numbers of clips) or `train_subjects`, every cell is trained with each of these training set
    sizes; larger samples contain smaller ones, and None stands for all. With `seeds`, it is trained once with each.
    `with_frames` shows frames of the clips in the report, also of databases whose licence forbids passing them on.

    Several processes, also of several machines with a shared folder, may make the same call at the same time: they
    divide the folds among themselves, and each returns all results.

    Raises ConfigError, DataError, SplitError or WeightsError before anything is trained, StoreError if `out` cannot be
    written.
    """
    from microexpr.runs import finished

    study, folder = _study(what, train_sizes, train_subjects, seeds), Path(out)
    _check_processes(options)
    how = {name: options.get(name, False) for name in ("skip_invalid", "allow_cropped", "keep_weights")}
    given = finished.inputs(study, {**how, "with_frames": with_frames})

    def collect() -> StudyResult:
        from microexpr.runs.study import run

        workspace = _workspace(study.experiment, data, folder, **options)
        with _no_empty_folder(folder):
            return run(study, workspace)

    if summary := _unchanged(study, data, folder, given):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        summary = summary.model_copy(update={"command": command, "created": now})
        with held(folder, wait=True):
            return Finished(summary, _write_study(summary, folder), collect)
    from microexpr.report.summary.predictions import predictions
    from microexpr.report.summary.study import summarise

    result = collect()
    read = finished.stored(folder, finished.keys(result))
    summary = summarise(result, command, with_frames=with_frames)
    with held(folder, wait=True):
        _write(folder / finished.TABLE, predictions(result).to_csv(index=False))
        paths = _write_study(summary, folder)
        finished.write(folder, given, result, read, summary.lasting)
    return Finished(summary, paths, lambda: result)


def _unchanged(study: Study, data: Folders, out: Path, given: str) -> StudySummary | None:
    """Return the summary of a study that is finished in `out`, if nothing that it was made from has changed."""
    from microexpr.report.summary import Run, StudySummary
    from microexpr.runs import finished

    record = finished.read(out)
    if record is None or not record.unchanged(out, _folders(study.experiment, data), given):
        return None
    try:
        summary = StudySummary.read(out / "summary.json")
    except StoreError:
        return None
    return summary.model_copy(update={"run": Run(reused=record.folds)}) if summary.lasting == record.summary else None


def _write_study(summary: StudySummary, folder: Path) -> ReportPaths:
    from microexpr.report import write_report

    write_atomically(folder / "summary.json", summary.model_dump_json(indent=1))
    return write_report(summary, folder)


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
    """Check a study against its data, without training or writing anything.

    Returns ``cells``, one row per experiment with its numbers of views; of the data, its ``metadata``, ``corrections``
    and ``skipped`` clips; and ``warnings`` about clips that the label set leaves out and starting weights that were
    trained on test subjects.
    """
    from microexpr.audit.checks import before_training
    from microexpr.core.parallel import begin_run
    from microexpr.runs.plan import Options, Workspace
    from microexpr.runs.study import overview, planned

    study = _study(what, train_sizes, train_subjects, seeds)
    begin_run()
    options = Options(_folders(study.experiment, data), skip_invalid=skip_invalid, allow_cropped=allow_cropped)
    jobs, methods_skipped, alternatives_skipped = planned(study, Workspace(options), weights=False)
    data_found = jobs[0].plan.data
    leaks = [warning for job in jobs for warning in before_training(job.plan)]
    return {
        "cells": overview(study, jobs),
        "methods_skipped": methods_skipped,
        "alternatives_skipped": alternatives_skipped,
        "metadata": dict(data_found.dataset.metadata()),
        "warnings": [*(kept.text for kept in data_found.label_warnings), *dict.fromkeys(leaks)],
        "corrections": [str(correction) for correction in data_found.dataset.applied()],
        "skipped": [str(fault) for fault in data_found.skipped],
    }


@dataclass(frozen=True)
class Submitted:
    """Workers that were started for a study and go on without this process."""

    found_by: str
    """What they can be found by, such as the number of a SLURM job; empty if no fold was missing."""
    folds: int
    """Folds that they have to train."""


def submit_study(
    what: Study | Path | str,
    data: Folders,
    out: Path | str,
    *,
    train_sizes: Sequence[int | None] = (),
    train_subjects: Sequence[int | None] = (),
    seeds: Sequence[int] = (),
    **options: Unpack[RunOptions],
) -> Submitted:
    """Start workers for what is missing of a study, and return at once; `study_status` and `collect_study` follow.

    Frames are prepared first, in this process. Raises the errors of `run_study`, and LauncherError for launchers whose
    workers end with this process.
    """
    from microexpr.runs.study import submit

    study, folder = _study(what, train_sizes, train_subjects, seeds), Path(out)
    workspace = _workspace(study.experiment, data, folder, **options)
    with _no_empty_folder(folder):
        return Submitted(*submit(study, workspace))


def study_status(out: Path | str) -> Status:
    """Return how far the study in a folder is, whatever trains its folds; raises StoreError."""
    from microexpr.runs import grid

    return grid.status(Path(out))


def collect_study(
    out: Path | str, *, command: str = "", with_frames: bool = False, progress: Progress | None = None
) -> Finished:
    """Write the report of a study whose folds were trained by workers that went on without a command.

    Raises StoreError if folds have no result yet; folds that failed are reported.
    """
    from microexpr.config.loading import parse
    from microexpr.config.study import Study
    from microexpr.runs import grid

    started, how = grid.read(Path(out)), grid.status(Path(out))
    if missing := how.waiting + len(how.running):
        raise StoreError(
            "E614",
            f"{missing} of {how.total} folds in {out} have no result yet ({len(how.running)} are being trained). Wait "
            f"(microexpr status {out}), or start the study again with the same --out to train what is missing.",
        )
    study = parse(Study, started.study, str(Path(out) / grid.FILE))
    return run_study(
        study,
        started.data,
        out,
        command=command,
        with_frames=with_frames,
        skip_invalid=started.skip_invalid,
        allow_cropped=started.allow_cropped,
        keep_weights=started.keep_weights,
        progress=progress or Silent(),
    )


def run_experiment(
    what: Experiment | Path | str,
    data: Folders,
    out: Path | str,
    *,
    command: str = "",
    seeds: Sequence[int] = (),
    with_frames: bool = False,
    **options: Unpack[RunOptions],
) -> Finished:
    """Run one experiment as a study with one cell, ``summary.cells[0]``; with `seeds`, one cell for each seed."""
    from microexpr.config.study import Study

    experiment = _experiment(what)
    title = f"{experiment.model.label} on {', '.join(item.name for item in experiment.datasets)}"
    study = Study(name=experiment.name, title=title, experiment=experiment)
    return run_study(study, data, out, command=command, seeds=seeds, with_frames=with_frames, **options)


def fit(what: Experiment | Path | str, data: Folders, out: Path | str, **options: Unpack[RunOptions]) -> Path:
    """Train on all clips and store the model: ``model.safetensors`` and ``card.json`` in `out`.

    The protocol is not used, since nothing is tested; one subject is enough.
    """
    from microexpr.runs.fit import fit_on_all_clips

    experiment = _experiment(what)
    workspace = _workspace(experiment, data, out, **options)
    folder = workspace.options.out
    with held(folder), _no_empty_folder(folder):
        return fit_on_all_clips(experiment, workspace)


def export(
    model: Path | str,
    *,
    to: Literal["auto", "openvino", "onnx"] = "auto",
    precision: Precision = "float32",
    out: Path | str | None = None,
    views: int = VIEWS,
    progress: Progress | None = None,
) -> Exported:
    """Write the graph of a stored network for OpenVINO or ONNX Runtime, with the whole card, into a folder.

    `to`: ``auto`` is OpenVINO on x86 and ONNX Runtime elsewhere. `out` is a folder, by default `to` in the model's.
    Graph and network are compared on `views` random views first; the result has the figures (``agreement``). Nothing
    is written if they disagree.

    Raises ConfigError for what is not possible here (a runtime that is not installed, bf16, an estimator), StoreError
    if the conversion fails or the graph disagrees.
    """
    from microexpr.learning.export import export

    return export(model, to=to, precision=precision, out=out, views=views, progress=progress)


def load(place: Path | str, *, runtime: RuntimeName = "auto") -> Pipeline:
    """Return a model stored by `fit` (a folder), kept with a fold's results (a .safetensors file) or exported.

    See `Pipeline.load` for the runtimes. Raises ConfigError, StoreError.
    """
    from microexpr.learning.pipeline import Pipeline

    return Pipeline.load(place, runtime=runtime)


def predict(
    model: Path | str,
    inputs: Inputs,
    *,
    out: Path | str | None = None,
    runtime: RuntimeName = "auto",
    workers: int = 2,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Predict every clip with a stored or exported model, and write the table to `out`, a .csv or .parquet file.

    `runtime` is what computes: ``auto`` uses a graph that was exported from these weights if there is one and torch
    has no CUDA, otherwise torch; ``openvino`` and ``onnx`` export it first where it is missing. See `Pipeline.predict`
    for the inputs and columns. Nothing is written if an error is raised; after an interruption, the same call with the
    same `out` continues where it stopped.
    """
    from microexpr.data.clip_table import file_type, to_bytes
    from microexpr.learning.pipeline import Pipeline

    suffix = file_type(out, ".csv", ".parquet")
    pipeline = Pipeline.load(model, runtime=runtime, progress=progress)
    if out is not None:
        folder = Path(out).absolute().parent
        make_folder(next(place for place in (folder, *folder.parents) if place.exists()))  # reported before the work
    journal = None if out is None else Path(out).with_name(f".{Path(out).name}.journal")
    found = pipeline.predict(inputs, workers=workers, progress=progress, journal=journal)
    if out is not None and journal is not None:
        _write(Path(out), to_bytes(found, suffix))
        journal.unlink(missing_ok=True)
    return found


@dataclass(frozen=True)
class FinishedTuning:
    """A finished tuning: its summary (also in ``tuning.json``) and its page's files."""

    summary: TuningSummary
    paths: ReportPaths
    result: Tuned
    """Searches with their trials, and tuned and untuned predictions: ``result.predictions()``."""


def tune_experiment(
    what: Experiment | Path | str,
    data: Folders,
    out: Path | str,
    *,
    trials: int = 30,
    storage: str = "",
    command: str = "",
    **options: Unpack[RunOptions],
) -> FinishedTuning:
    """Search an experiment's parameters within the training subjects, and test the best values on the other subjects.

    Every search runs until it has `trials` finished trials; a second call with the same `out` continues the searches,
    and calls at the same time share them. `storage` is the URL of a database for the trials (default: a file in `out`).
    The page ``tuning.html`` compares tuned and untuned values on the same folds.

    Raises ConfigError, DataError, SplitError or WeightsError before anything is trained, StoreError if `out` or the
    storage cannot be used or holds other searches.
    """
    from microexpr.report import write_tuning
    from microexpr.report.summary.tuning import summarise_tuning
    from microexpr.runs import tuning

    experiment = _experiment(what)
    workspace = _workspace(experiment, data, out, **options)
    folder = workspace.options.out
    with _no_empty_folder(folder):
        found = tuning.tune(experiment, workspace, trials=trials, storage=storage)
    summary = summarise_tuning(found, tuning.without_password(command, storage))
    with held(folder, wait=True):
        write_atomically(folder / "tuning.json", summary.model_dump_json(indent=1))
        return FinishedTuning(summary, write_tuning(summary, folder), found)


def list_studies() -> list[dict[str, str]]:
    """Return the studies and experiments that come with the package: name, description, command and file."""
    from microexpr.config.loading import described, shipped

    return [
        {"name": name, **dict(zip(("about", "command"), described(file), strict=True)), "file": str(file)}
        for name, file in shipped().items()
    ]


# --- speed ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Benchmarked:
    """Measured rows, and how their ratios compare with those of a file."""

    bench: Bench
    lines: tuple[str, ...] = ()
    """What the comparison found."""
    fallen: tuple[str, ...] = ()
    """Rows (group/name) whose ratio is under two thirds of that in the file."""


def run_bench(
    group: Literal["all"] | Group = "all",
    *,
    small: bool = False,
    out: Path | str | None = None,
    against: Path | str | None = None,
    progress: Progress | None = None,
) -> Benchmarked:
    """Measure this package against what a good user would otherwise write; rows are written to `out` as they finish.

    Rows of this machine that `out` already holds are kept. Ratios are compared with those of the file `against`
    (``"committed"``: the one in the package, for `small`) where it has some for this class of processors; rows whose
    ratio fell are measured up to twice more.

    Raises StoreError if `out` holds rows of another machine, version or size, a file cannot be read, or the ratios
    of the package are asked for without `small`.
    """
    from microexpr.bench import guard
    from microexpr.bench.rows import GROUPS
    from microexpr.bench.running import again, run

    committed = str(against) == "committed"
    if committed and not small:
        raise StoreError("E631", "the committed ratios are those of small sizes: add --small, or name another file.")
    ratios = None if against is None else guard.committed(guard.COMMITTED if committed else Path(against))
    groups = GROUPS if group == "all" else (group,)
    found = run(groups, size="small" if small else "full", out=None if out is None else Path(out), progress=progress)
    if ratios is None:
        return Benchmarked(found)
    for _ in range(2):
        if fallen := guard.against(found, ratios).fallen:
            found = again(found, fallen)
            if out is not None:
                found.write(Path(out))
    return Benchmarked(found, *guard.against(found, ratios))


# --- databases --------------------------------------------------------------------------------------------------------
def check_data(
    name: str, root: Path | str, *, table_only: bool = False, parameters: Mapping[str, Any] | None = None
) -> Diagnosis:
    """Return everything that is wrong with a database's folder, and its metadata; `table_only` reads no images.

    `parameters` are those of the reader, for example ``{"corrections": False}``. Raises ConfigError only for parameters
    that the reader does not have; a missing folder is reported as a fault.
    """
    from microexpr.data import doctor

    return doctor.check(name, Path(root), parameters or {}, table_only=table_only)


def data_table(
    name: str,
    root: Path | str,
    *,
    labels: str | Mapping[str, str] | None = None,
    table_only: bool = False,
    out: Path | str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> ClipTable:
    """Return the clips without faults as a table, and write it to `out`, a .csv or .parquet file.

    With a label set, rows are the clips that it keeps, and ``label`` is their class; without one, every clip is a row
    and ``label`` is its emotion, empty if it has none. `table_only` reads no images; `parameters` are those of the
    reader. Raises DataError if the table cannot be read or no clip is left.
    """
    from microexpr.data.clip_table import clip_table, file_type, to_bytes

    suffix = file_type(out, ".csv", ".parquet")
    found = clip_table(name, Path(root), labels, table_only=table_only, parameters=parameters or {})
    if out is not None:
        _write(Path(out), to_bytes(found.rows, suffix))
    return found


def data_stats(
    name: str,
    root: Path | str,
    *,
    labels: str | Mapping[str, str] | None = None,
    table_only: bool = False,
    out: Path | str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return counts by class and subject, durations and apex positions, and plot them to `out` (.svg, .png or .pdf).

    Positions are 0 at the onset and 1 at the offset; an apex that was not coded has none. Clips and parameters are the
    same as in `data_table`.
    """
    from microexpr.data.clip_table import file_type
    from microexpr.data.dataset_stats import dataset_stats

    suffix = file_type(out, ".svg", ".png", ".pdf")
    found = dataset_stats(name, Path(root), labels, table_only=table_only, parameters=parameters or {})
    if out is not None:
        from microexpr.report.blocks.database import render_stats

        _write(Path(out), render_stats(found, suffix.removeprefix(".")))
    return found


def list_data() -> list[dict[str, Any]]:
    """Return the properties of every database that can be read, and of the synthetic one."""
    from microexpr.data.dataset_stats import list_databases

    return list_databases()


def make_synthetic(out: Path | str, *, progress: Progress | None = None, **options: Any) -> None:
    """Write a synthetic database in CASME II's layout; `options` are the fields of `SyntheticSpec`."""
    from microexpr.components.datasets.synthetic import SyntheticSpec, make

    bar, spec, before = progress or Silent(), SyntheticSpec(**options), 0

    def advance(done: int, total: int) -> None:
        nonlocal before
        for _ in range(done - before):
            bar.step()
        before = done

    bar.start("clips", spec.clips)
    try:
        make(Path(out), spec, progress=advance)
    finally:
        bar.stop()


# --- stored results ---------------------------------------------------------------------------------------------------
def check_results(out: Path | str) -> tuple[Finding, ...]:
    """Return what a reviewer might object to in a folder of results, warnings first; raises StoreError."""
    from microexpr.audit.checks import check

    return check(Path(out))


def compare_results(
    a: Path | str,
    b: Path | str,
    *,
    metric: str = "macro_f1",
    unit: Unit = "subject",
    n: int = 10_000,
    permutations: int = 9_999,
) -> Comparison:
    """Compare two experiments that were tested on the same clips, each given by its --out or its results/KEY.

    Raises StoreError if a folder holds no result or several, UsageError if both are the same, ConfigError if clips or
    label sets differ.
    """
    return compare_all([a, b], metric=metric, unit=unit, n=n, permutations=permutations).comparisons[0]


def compare_all(
    results: Sequence[Path | str],
    *,
    metric: str = "macro_f1",
    unit: Unit = "subject",
    out: Path | str | None = None,
    command: str = "",
    n: int = 10_000,
    permutations: int = 9_999,
) -> Compared:
    """Compare the first of several experiments with each of the others, and correct the p-values for their number.

    With `out`, a page is written there: ``comparison.html``, its tables and figures, and ``comparison.json`` with all
    values. Raises the same errors as `compare_results`.
    """
    from microexpr.audit import comparison

    places = [Path(place) for place in results]
    found = comparison.compare_all(places, metric=metric, unit=unit, n=n, permutations=permutations)
    if out is not None:
        from microexpr.report import write_comparison
        from microexpr.report.summary.comparison import summarise_comparison

        folder, summary = make_folder(Path(out)), summarise_comparison(found, command)
        write_atomically(folder / "comparison.json", summary.model_dump_json(indent=1))
        write_comparison(summary, folder)
    return found


def rebuild_report(out: Path | str) -> list[ReportPaths]:
    """Write the pages of a folder again from its summaries (``summary.json``, ``comparison.json``, ``tuning.json``).

    Nothing is trained or computed, and no data are needed. Raises StoreError if there is no summary, or one is damaged
    or has another format.
    """
    from microexpr.report import write_comparison, write_report, write_tuning
    from microexpr.report.summary import ComparisonSummary, StudySummary, TuningSummary

    folder = Path(out)
    writers: list[Callable[[], ReportPaths]] = []  # nothing is written if one of the summaries is damaged
    if (file := folder / "summary.json").is_file():
        writers.append(partial(write_report, StudySummary.read(file), folder))
    if (file := folder / "comparison.json").is_file():
        writers.append(partial(write_comparison, ComparisonSummary.read(file), folder))
    if (file := folder / "tuning.json").is_file():
        writers.append(partial(write_tuning, TuningSummary.read(file), folder))
    if not writers:
        raise StoreError(
            "E612",
            f"{folder} holds none of summary.json, comparison.json and tuning.json; name the output folder (--out) of "
            "a study, a comparison or a tuning.",
        )
    with held(folder, wait=True):
        return [write() for write in writers]


def check_machine(out: Path | str | None = None, data: Sequence[Path | str] = ()) -> list[Check]:
    """Return what this machine offers to a study and what it lacks, with the fix; `out` and `data` are its folders."""
    from microexpr.runs import node

    return node.survey(None if out is None else Path(out), [Path(folder) for folder in data])


def list_store(out: Path | str) -> list[Row]:
    """Return a row for each experiment of a store; raises StoreError."""
    from microexpr.runs import upkeep

    return upkeep.rows(Path(out))


def show_store(out: Path | str, key: str) -> dict[str, Any]:
    """Return the settings and the folds of one experiment, by the beginning of its key; raises StoreError."""
    from microexpr.runs import upkeep

    return upkeep.details(Path(out), key)


def verify_store(out: Path | str, *, progress: Progress | None = None) -> list[Problem]:
    """Return the damaged, foreign, orphaned and left-over files of a store; raises StoreError if there is none."""
    from microexpr.runs import upkeep

    return upkeep.verify(Path(out), progress)


def merge_stores(
    out: Path | str, others: Sequence[Path | str] = (), *, pack: bool = True, progress: Progress | None = None
) -> Merged:
    """Copy what a store lacks from others and pack its folds; results that conflict are left out and named."""
    from microexpr.runs import upkeep

    return upkeep.merge(Path(out), [Path(other) for other in others], pack=pack, progress=progress)


def export_store(
    out: Path | str, to: Literal["tensorboard", "mlflow"], target: str, *, progress: Progress | None = None
) -> int:
    """Write every experiment of a store for TensorBoard (`target`: a folder) or MLflow (a tracking URI).

    Returns the number of experiments. Raises ConfigError if the tool is not installed, StoreError.
    """
    from microexpr.runs import tracking

    return tracking.export(Path(out), to, target, progress)


def clean_store(out: Path | str, *, dry_run: bool = False) -> list[str]:
    """Remove what ended processes left in a store, and return the files; raises StoreError."""
    from microexpr.runs import upkeep

    return upkeep.gc(Path(out), dry_run=dry_run)


# --- pretrained weights -----------------------------------------------------------------------------------------------
def fetch_weights(names: Sequence[str], progress: Progress | None = None) -> list[Path]:
    """Download and verify the weights of models (``vit_b32``) or of timm tags; raises WeightsError."""
    from microexpr.core import pretrained

    bar = progress or Silent()
    tags = weights_tags(names)

    def fetched(tag: str) -> Path:
        percent = 0

        def advance(_: str, here: int, total: int) -> None:
            nonlocal percent
            while percent < 100 * here // total:
                percent += 1
                bar.step(f"of {total / 1e6:.0f} MB")

        bar.start(f"percent of {tag}", 100)
        try:
            return pretrained.fetch([tag], advance)[0]
        finally:
            bar.stop()

    return [fetched(tag) for tag in track(tags, len(tags), "weights", bar)]


def verify_weights() -> list[tuple[str, str]]:
    """Return every tag in the cache with the state of its file: ``good``, ``missing`` or what is wrong with it."""
    from microexpr.core import pretrained

    return pretrained.verify()


def bundle_weights(file: Path | str, names: Sequence[str]) -> Path:
    """Pack the cached weights of models or tags into one file; raises WeightsError."""
    from microexpr.core import pretrained

    return pretrained.bundle(Path(file), weights_tags(names))


def unbundle_weights(file: Path | str) -> tuple[str, ...]:
    """Unpack a bundle of weights into the cache, verify each, and return their tags; raises WeightsError."""
    from microexpr.core import pretrained

    return pretrained.unbundle(Path(file))


def weights_tags(names: Sequence[str]) -> list[str]:
    """Return the timm tags of models, which have one for each size; tags are returned as they are."""
    from microexpr.core.interfaces import models

    found: list[str] = []
    for name in names:
        tags: Sequence[str] = [name] if "." in name else getattr(models.build(name, {}), "tags", ())
        if not tags:
            raise WeightsError("E134", f"{name} has no published weights; leave it out.")
        found += tags
    return list(dict.fromkeys(found))


# --- help -------------------------------------------------------------------------------------------------------------
def explain_code(code: str) -> Explanation:
    """Return the reason for an error with this code, and how to fix it; raises UsageError for an unknown code."""
    from microexpr.core.error_codes import CODES

    found = CODES.get(code.upper())
    if found is None and code.upper().startswith("ME"):
        raise UsageError(
            "E105", f"{code} is a check of stored results; `microexpr check` prints its finding and the fix."
        )
    if found is None:
        raise UsageError("E105", f"no error has the code {code!r}; errors print their code first, as in {min(CODES)}.")
    return found


# --- shared by several calls ------------------------------------------------------------------------------------------
@contextlib.contextmanager
def _no_empty_folder(folder: Path) -> Iterator[None]:
    """Remove the folder after an error if nothing was written into it."""
    try:
        yield
    except MicroexprError:
        _remove_if_empty(folder)
        raise


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder that holds nothing but its lock."""
    with contextlib.suppress(OSError):  # it holds something else, or another process has removed it
        if {item.name for item in folder.iterdir()} == {".lock"}:
            (folder / ".lock").unlink()
        folder.rmdir()


def _write(file: Path, content: str | bytes) -> None:
    make_folder(file.absolute().parent)
    write_atomically(file, content)


def _experiment(what: Experiment | Path | str) -> Experiment:
    from microexpr.config.experiment import Experiment
    from microexpr.config.study import load

    if not isinstance(what, Experiment):
        return load(Experiment, Path(what))
    what.check()
    return what


def _study(
    what: Study | Path | str, clips: Sequence[int | None], subjects: Sequence[int | None], seeds: Sequence[int]
) -> Study:
    """Return a study with the additional axes of a call."""
    from microexpr.config.study import Study, load

    study = what if isinstance(what, Study) else load(Study, Path(what))
    study = study.sized("train_clips", clips) if clips else study
    study = study.sized("train_subjects", subjects) if subjects else study
    return study.seeded(seeds) if seeds else study


def _folders(experiment: Experiment, data: Folders) -> dict[str, Path]:
    from microexpr.core.interfaces import datasets

    experiment.require("datasets", "labels")
    if isinstance(data, Mapping):
        wanted = {item.name for item in experiment.datasets}
        for name in sorted(set(data) - wanted):
            datasets.get(name)  # raises if there is no such database
            raise UsageError(
                "E130",
                f"--data {name}=... is not used: the databases of this experiment are {', '.join(sorted(wanted))}.",
            )
        return {name: Path(folder) for name, folder in data.items()}
    if len(experiment.datasets) > 1:
        names = ", ".join(f"{item.name}=DIR" for item in experiment.datasets)
        raise UsageError(
            "E130", f"this experiment combines several databases; name the folder of each: --data {names}."
        )
    return {experiment.datasets[0].name: Path(data)}


def _workspace(experiment: Experiment, data: Folders, out: Path | str, **options: Unpack[RunOptions]) -> Workspace:
    from microexpr.config.component import Component
    from microexpr.config.loading import parse
    from microexpr.core.parallel import begin_run
    from microexpr.runs.plan import Options, Workspace

    _check_processes(options)
    chosen: dict[str, Any] = {"workers": 2, **options}
    progress = chosen.pop("progress", None) or Silent()
    begin_run()
    if "launcher" in chosen:
        given = chosen["launcher"]
        chosen["launcher"] = parse(Component, {"name": given} if isinstance(given, str) else given, "the launcher")
    found = Options(_folders(experiment, data), make_folder(Path(out)), **chosen)
    places = [place for place in found.data.values() if isinstance(place, Path)]
    with _no_empty_folder(found.out):
        found.built_launcher.check(found.jobs, [found.out, *places])
    return Workspace(found, progress)


def _check_processes(options: RunOptions) -> None:
    for name, number in (("workers", options.get("workers", 1)), ("jobs", options.get("jobs", 1))):
        if number < 1:
            raise ConfigError("E131", f"{name} = {number}: at least one process is needed.")
