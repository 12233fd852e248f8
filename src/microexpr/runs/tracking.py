"""Stores for other tools: every experiment, fold and epoch of a store in TensorBoard or MLflow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from microexpr.config.experiment import Experiment
from microexpr.config.loading import parse
from microexpr.core.errors import ConfigError
from microexpr.core.labels import LabelSet
from microexpr.core.progress import Progress, Silent, track
from microexpr.runs.experiment import Result
from microexpr.runs.upkeep import experiments, root_of

Tool = Literal["tensorboard", "mlflow"]
LONGEST = 500
"""Characters of a parameter that MLflow accepts in all versions."""


def export(place: Path, tool: Tool, target: str, progress: Progress | None = None) -> int:
    """Write every experiment of a store for a tool, and return their number.

    `target`: a folder for TensorBoard; the tracking URI of MLflow, such as ``sqlite:///runs.db`` or that of a server.
    Raises ConfigError if the tool is not installed, StoreError if there is no store or a file is damaged.
    """
    if find_spec(tool) is None:
        raise ConfigError("E143", f'{tool} is not installed: pip install "microexpr[track]".')
    write = _to_tensorboard if tool == "tensorboard" else _to_mlflow
    found = [result for result in map(_result, experiments(root_of(place))) if result.folds]
    for result in track(found, len(found), "experiments", progress or Silent()):
        write(result, target)
    return len(found)


def _result(results: Any) -> Result:
    metadata = results.metadata()
    experiment = parse(Experiment, metadata["experiment"], str(results.folder / "experiment.json"))
    labels = LabelSet("stored", tuple(metadata["classes"]), ())
    return Result(experiment, results.key, labels, tuple(results.folds()))


def _to_tensorboard(result: Result, target: str) -> None:
    from torch.utils.tensorboard import SummaryWriter

    for fold in result.folds:
        folder = Path(target) / f"{result.experiment.model.name}-{result.key}" / fold.name
        if any(folder.glob("events.*")):
            continue  # written before
        with SummaryWriter(str(folder)) as writer:
            for epoch, values in _epochs(fold.history):
                for name, value in values.items():
                    writer.add_scalar(name, value, epoch)


def _to_mlflow(result: Result, target: str) -> None:
    import mlflow

    mlflow.set_tracking_uri(target)
    mlflow.set_experiment("microexpr")
    known = mlflow.search_runs(filter_string=f"tags.key = '{result.key}'", output_format="list")
    if any(run.info.status == "FINISHED" for run in known):
        return  # written before
    with mlflow.start_run(run_name=f"{result.experiment.model.name} {result.key}", tags={"key": result.key}):
        mlflow.log_params(dict(_flat(result.experiment.canonical())))
        mlflow.log_metrics(_finite(result.scores()))
        for fold in result.folds:
            with mlflow.start_run(run_name=fold.name, nested=True):
                mlflow.log_metrics(_finite({"seconds": fold.metadata["seconds"]}))
                for epoch, values in _epochs(fold.history):
                    mlflow.log_metrics(values, step=epoch)


def _epochs(history: pd.DataFrame) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield the numbers of every epoch; with several losses, their names are part of the numbers' names."""
    several = history["loss"].nunique() > 1
    for row in history.to_dict("records"):
        end = f"/{row['loss']}" if several else ""
        numbers = {f"{name}{end}": value for name, value in row.items() if isinstance(value, float)}
        yield int(row["epoch"]), _finite(numbers)


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}


def _flat(content: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested settings as dotted names and texts."""
    if isinstance(content, Mapping) and content:
        for name, value in content.items():
            yield from _flat(value, f"{path}.{name}" if path else str(name))
    else:
        yield path, str(content)[:LONGEST]
