"""Export a stored network as a graph that a runtime computes, after comparing the two on views that are drawn."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from concurrent.futures import BrokenExecutor, Future, wait
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from microexpr.config.settings import Precision
from microexpr.core import interfaces
from microexpr.core.errors import ConfigError, IncompatibleError, MicroexprError, StoreError
from microexpr.core.parallel import in_new_process
from microexpr.core.processor import native_bf16
from microexpr.core.progress import Progress, Silent
from microexpr.learning import conversion, exported
from microexpr.learning.agreement import MAX_CHANGE, MIN_SAME, VIEWS
from microexpr.learning.conversion import Agreement, Converted
from microexpr.learning.graph import INPUT, RUNTIMES, Runtime, preferred, require
from microexpr.learning.learners.network import Network
from microexpr.learning.pipeline import Pipeline, is_graph, weights_file

PATIENCE = 0.5
"""Seconds between two looks at what the other process has done."""


class Exported(NamedTuple):
    """An exported model: its folder, and how far its graph is from the network."""

    folder: Path
    runtime: Runtime
    precision: Precision
    agreement: Agreement


def export(
    model: Path | str,
    *,
    to: Literal["auto", "openvino", "onnx"] = "auto",
    precision: Precision = "float32",
    out: Path | str | None = None,
    views: int = VIEWS,
    progress: Progress | None = None,
) -> Exported:
    """Write the graph of a stored network with the whole card of its pipeline into a folder.

    Graph and network are compared on `views` random views; a graph that disagrees is not written. Everything that can
    be known before the conversion is checked before it.

    Raises ConfigError for a runtime, precision or number of views that is not possible here, IncompatibleError for a
    model that is no network or is exported already, StoreError if the conversion fails or the graph disagrees.
    """
    runtime, place = preferred() if to == "auto" else to, Path(model).expanduser()
    _check(runtime, precision, views)
    if is_graph(place):
        raise IncompatibleError(
            "E160",
            f"{place} is exported already; name the model that it came from: the folder that `microexpr fit` wrote, "
            "or the kept weights of a fold.",
        )
    pipeline = Pipeline.load(place, runtime="torch")
    if not isinstance(pipeline.learner, Network):
        raise IncompatibleError(
            "E160",
            f"{place} holds {pipeline.experiment.model.label}, a classifier of scikit-learn: it has no network whose "
            "graph could be exported. Use `microexpr predict`, which predicts with it as it is.",
        )
    name = pipeline.experiment.model.name
    reasons: Mapping[str, str] = getattr(interfaces.models.get(name), "not_exported_to", {})
    if runtime in reasons:
        raise IncompatibleError(
            "E160",
            f"{name} is not exported for {RUNTIMES[runtime].title}: {reasons[runtime]}. Export it for the other "
            "runtime, or predict with `--runtime torch`.",
        )
    folder = exported.default_folder(place, runtime) if out is None else Path(out).expanduser()
    with exported.replacing_folder(folder) as new, tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        task = conversion.Task(place.absolute(), new, runtime, precision, views, log, Path(scratch) / "compared")
        done = _converted(task, progress or Silent())
        _check_agreement(pipeline, task, done.agreement)
        exported.write(new, _card(pipeline, task, done), pipeline.lineage)
    return Exported(folder, runtime, precision, done.agreement)


def _check(runtime: Runtime, precision: Precision, views: int) -> None:
    for name, value, known in (("to", runtime, tuple(RUNTIMES)), ("precision", precision, tuple(MAX_CHANGE))):
        if value not in known:
            raise ConfigError("E112", f"{name} = {value!r} is not possible; write one of {', '.join(known)}.")
    require(runtime, exporting=True)
    if precision == "bf16" and runtime != "openvino":
        raise ConfigError(
            "E162",
            f"{RUNTIMES[runtime].title} does not compute in bf16 on a CPU; export in float32, or to openvino.",
        )
    if precision == "bf16" and not native_bf16():
        raise ConfigError(
            "E162",
            "this processor does not compute in bf16 itself (it has neither AVX512-BF16 nor AMX), so bf16 would be "
            "slower than float32: export in float32.",
        )
    if views < (least := VIEWS if precision == "bf16" else sum(conversion.BATCHES)):
        raise ConfigError("E162", f"views = {views}: at least {least} are needed to compare in {precision}.")


def _converted(task: conversion.Task, progress: Progress) -> Converted:
    """Convert in another process; raises StoreError if it fails or crashes."""
    progress.start("views compared", task.views)
    try:
        with in_new_process(conversion.convert, task) as future:
            return _awaited(future, task, progress)
    except MicroexprError:
        raise
    except (Exception, SystemExit) as error:
        # The last line that the converters printed names the reason where they crash.
        printed = task.log.read_text("utf-8", "replace").split("\n") if task.log.is_file() else []
        last = next((line.strip() for line in reversed(printed) if line.strip()), "")
        crashed = isinstance(error, BrokenExecutor)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = f"the converter crashed {last}" if crashed else " ".join(lines or [type(error).__name__])
        raise StoreError(
            "E655",
            f"{task.model} cannot be converted for {RUNTIMES[task.runtime].title}: {reason.strip()[:500]}. Nothing was "
            "written; try the other runtime, or predict with `--runtime torch`.",
        ) from None
    finally:
        progress.stop()


def _awaited(future: Future[Converted], task: conversion.Task, progress: Progress) -> Converted:
    shown, done = 0, False
    while not done:
        done = bool(wait([future], PATIENCE).done)  # the task may itself raise a TimeoutError
        compared = task.compared.stat().st_size if task.compared.is_file() else 0
        for _ in range(compared - shown):
            progress.step()
        shown = compared
    return future.result()


def _check_agreement(pipeline: Pipeline, task: conversion.Task, found: Agreement) -> None:
    largest, least = MAX_CHANGE[task.precision], MIN_SAME
    if found.probability <= largest and found.same_class >= least:
        return
    other = (
        "Export in float32."
        if task.precision == "bf16"
        else "Nothing was written; try the other runtime, or predict with `--runtime torch`."
    )
    raise StoreError(
        "E654",
        f"the graph of {pipeline.experiment.model.label} in {task.precision} does not agree with the network: of "
        f"{found.views} views {found.same_class:.2%} have the same class (at least {least:.1%} must), and a "
        f"probability changes by {found.probability:.2g} (at most {largest:g} may). {other}",
    )


def _card(pipeline: Pipeline, task: conversion.Task, done: Converted) -> Mapping[str, Any]:
    time, height, width, channels = pipeline.spec.shape
    kind, found = RUNTIMES[task.runtime], done.agreement
    section = {
        "format": exported.FORMAT,
        "runtime": task.runtime,
        "precision": task.precision,
        "made with": {"microexpr": version("microexpr"), **done.versions},
        "opset": conversion.OPSET if task.runtime == "onnx" else None,
        "weights": exported.file_sha256(weights_file(task.model)),
        "files": {name: exported.file_sha256(task.folder / name) for name in kind.files},
        "steps": {
            # With every parameter, since a reader without microexpr does not know the defaults.
            name: {"name": part.name, **registry.bind(part.name, part.params)}
            for name, part, registry in (
                ("preprocessing", pipeline.experiment.preprocessing, interfaces.preprocessors),
                ("sampling", pipeline.experiment.sampling, interfaces.samplers),
                ("representation", pipeline.experiment.representation, interfaces.representations),
            )
        },
        "input": {
            "name": INPUT,
            "dtype": "float32",
            "shape": ["batch", time, channels, height, width],
            "axes": ["view", "time", "channel", "row", "column"],
            "values": "those of `view`: the graph normalises them itself",
        },
        "outputs": conversion.output_names(tuple(pipeline.targets)),
        "agreement": {
            "views": found.views,
            "largest change of a logit": found.logit if math.isfinite(found.logit) else None,
            "largest change of a probability": found.probability,
            "same class": found.same_class,
        },
    }
    return {**pipeline.card, exported.SECTION: section}
