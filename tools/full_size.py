"""``make models``: train every network of a study at its real size for two epochs, predict, and write docs/models.md.

It runs ``python -m tools.full_size table6 out/models docs/models.md``. Each network runs in its own process, on
synthetic faces and from random weights, through the same code as any experiment; measurements are stored in the folder,
so that an interrupted run can continue. Rows of other devices stay in the page's data, ``docs/models.json``, until they
are measured again.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from microexpr.cli.progress import Lines
from microexpr.components.datasets.synthetic import SyntheticSpec, make
from microexpr.config.experiment import Experiment
from microexpr.config.study import METHODS, Study, load
from microexpr.core import interfaces
from microexpr.core.environment import environment
from microexpr.core.errors import IncompatibleError, MicroexprError, UsageError
from microexpr.core.files import digest, make_folder, write_atomically
from microexpr.core.progress import track
from microexpr.learning import learners
from microexpr.report.table import ABSENT, Column, Table
from microexpr.runs.experiment import run
from microexpr.runs.plan import Options, Workspace

EPOCHS = 2
FACES = SyntheticSpec(subjects=4, clips=12, emotions=("others", "disgust", "happiness"), seed=0)
"""A small database: half of the subjects are used for training, the others for prediction."""
LITERATURE: Mapping[str, dict[str, Any]] = {
    "vit_b32": {"printed": 88.2, "source": "Steiner et al. 2022"},
    "vit_s32": {"printed": 22.9, "source": "Steiner et al. 2022"},
    "swin_b": {"printed": 88, "source": "Liu et al. 2021"},
    "swin_t": {"printed": 29, "source": "Liu et al. 2021"},
    "poolformer_s12": {"printed": 12, "source": "Yu et al. 2022"},
    "poolformer_m36": {"printed": 56, "source": "Yu et al. 2022"},
    "poolformer_m48": {"printed": 73, "source": "Yu et al. 2022"},
    "mobilevit_svm": {"printed": 5.6, "source": "Mehta and Rastegari 2022, MobileViT-S"},
}
"""Millions of parameters printed in papers, which include a classifier of 1,000 classes that these networks lack."""
HEAD = """\
# Full-size models in practice

Made by `make models`; do not edit. Every network of the study `table6` at full size: {epochs} epochs of training on
half of 12 synthetic clips and prediction of the others, from random weights, by the same code as any experiment. This
page shows that they run; on synthetic faces and after {epochs} epochs no score has a meaning, and none is printed.

Training: frames per second over both epochs, including the prediction of the training clips after each. Prediction:
representation and prediction of one clip, the median of several runs. Memory: the peak of the process, including Python
and torch; on an accelerator, torch's peak there. Absolute times are those of one machine.
"""


def main(arguments: Sequence[str]) -> None:
    """Measure what has not been measured yet, and write the page."""
    if len(arguments) != 3:
        raise UsageError("E105", "name study, folder and page: python -m tools.full_size STUDY OUT PAGE")
    file, out, page = map(Path, arguments)
    rows = measured(load(Study, file), make_folder(out))
    data = page.with_suffix(".json")
    before = json.loads(data.read_text("utf-8")) if data.is_file() else []
    mine = {row["device"] for row in rows}
    rows = [row for row in before if row["device"] not in mine] + rows
    write_atomically(data, json.dumps(rows, indent=1) + "\n")
    write_atomically(page, written(rows))


def measured(study: Study, out: Path) -> list[dict[str, Any]]:
    """Return one row per network of the study, measured in its own process or read from the folder."""
    faces = out / "faces"
    if not faces.is_dir():
        make(faces, FACES)
    cells = {place[METHODS]: cell for place, cell in zip(study.places(), study.cells(), strict=True)}
    jobs: dict[str, Experiment] = {}
    names: dict[str, list[str]] = {}
    for method, cell in cells.items():
        if has_body(cell):
            small = full_size(cell)
            key = digest([small.canonical(), environment()])
            jobs[key] = small
            names.setdefault(key, []).append(method)  # methods with the same network are measured once
    rows = []
    for key, experiment in track(jobs.items(), len(jobs), "models", Lines(sys.stderr)):
        file, method = out / f"{key}.json", ", ".join(names[key])
        if not file.is_file():
            # A separate process, so that its peak memory is that of this network.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                found = pool.submit(measure, experiment, faces, out / key).result()
            write_atomically(file, json.dumps(found))
        found = json.loads(file.read_text("utf-8"))
        if found:
            rows.append({"method": method, **found})
    return rows


def has_body(experiment: Experiment) -> bool:
    """Whether a model is a network: it trains in epochs, or has starting weights."""
    offered = interfaces.models.parameters(experiment.model.name)
    return experiment.model.build(interfaces.models).trains_in_epochs or "weights" in offered


def full_size(experiment: Experiment) -> Experiment:
    """Return the experiment for a few synthetic clips: two epochs, random weights, two folds of subjects.

    Networks that use several key frames one by one only use the apex here.
    """
    model = experiment.model.to_toml()
    chosen: dict[str, Any] = {"name": model} if isinstance(model, str) else dict(model)
    if "weights" in interfaces.models.parameters(experiment.model.name):
        chosen["weights"] = "random"
    return experiment.with_values(
        {
            "model": chosen,
            "labels": "as_given",
            "protocol": {"name": "subject_kfold", "k": 2},
            "training.epochs": EPOCHS,
            "training.batch": 2,
            "vote": "majority",
            "sampling": "af" if experiment.sampling.name in ("kfs", "mfs") else experiment.sampling.to_toml(),
        }
    )


def measure(experiment: Experiment, faces: Path, out: Path) -> dict[str, Any]:
    """Run one fold and return its measurements; empty if the model does not fit the synthetic faces."""
    workspace = Workspace(Options({"casme2": faces}, out))
    try:
        plan = workspace.plan(experiment)
    except IncompatibleError:
        return {}
    workspace.prepare([plan])
    fold = plan.folds()[0]
    done = run(plan, workspace, only=[fold.name]).folds[0]
    steps, height, width, _ = plan.spec.shape
    trained = EPOCHS if plan.model.trains_in_epochs else 1
    frames = steps * len(plan.views().of(fold.train)) * trained
    metadata, where = environment(), learners.device().type
    peak = (
        torch.cuda.max_memory_allocated()
        if where == "cuda"
        else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    )
    return {
        "model": experiment.model.name,
        "label": plan.model.label,
        "input": f"{height}x{width}",
        "steps": steps,
        "parameters": done.metadata["parameters"],
        "frames_a_second": frames / done.metadata["seconds"],
        "ms_a_clip": done.metadata["ms_a_clip"],
        "memory_mb": peak / 2**20,
        "device": metadata["accelerator"] if where == "cuda" else metadata["processor"],
        "accelerator": where == "cuda",
        "threads": int(metadata["threads"]),
    }


def written(rows: Sequence[dict[str, Any]]) -> str:
    """Return the page, a table for each device."""
    parts = [HEAD.format(epochs=EPOCHS)]
    for device in dict.fromkeys(row["device"] for row in rows):
        mine = [row for row in rows if row["device"] == device]
        threads = f"{mine[0]['threads']} threads"
        parts.append(f"## {device}, {threads}\n\n{_table(mine).markdown}\n")
    if not any(row["accelerator"] for row in rows):
        parts.append("On an accelerator: not measured, as none was available.\n")
    return "\n".join(parts)


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    printed = [row | LITERATURE.get(row["model"], {}) for row in rows]
    columns = [
        Column("Method", "method"),
        Column("Model", "label"),
        Column("Input", "input"),
        Column("Frames", "steps", "count"),
        Column("Parameters", "parameters", "count"),
        Column("Printed, million, with 1,000 classes", "printed", "count", missing=ABSENT),
        Column("Source", "source", missing=ABSENT),
        Column("Training, frames/s", "frames_a_second", "ms"),
        Column("Prediction, ms per clip", "ms_a_clip", "size"),
        Column("Memory, MB", "memory_mb", "size"),
    ]
    return Table("models", "", columns, printed)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MicroexprError as error:
        sys.exit(f"microexpr: {error}")
