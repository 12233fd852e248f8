"""Predicting one view at a time: PyTorch as it is against runtimes, and the paper's table of speeds on this machine."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from microexpr.bench.measuring import NotMeasured, Timed, alternate, compared, isolated
from microexpr.bench.plain import inference
from microexpr.bench.rows import Row, Size
from microexpr.bench.running import Job
from microexpr.config.settings import Precision
from microexpr.core.interfaces import ViewSpec, models
from microexpr.core.processor import native_bf16
from microexpr.learning.conversion import Named, to_openvino, traced
from microexpr.learning.graph import RUNTIMES, Graph, open_graph

CLASSES = 7
PAPER: dict[tuple[str, int], float] = {
    ("vit_b32", 384): 19.67,
    ("poolformer_m36", 224): 28.26,
    ("poolformer_m36", 384): 74.56,
}
"""Milliseconds that the paper measured on an NVIDIA L4 (section III.E); it does not say which PoolFormer, nor the size
of the ViT's images, so its numbers are beside m36 and beside the only size of ViT-B/32's checkpoint."""
LARGEST: dict[Precision, float] = {"float32": 1e-3, "bf16": 0.25}
"""Change of a logit that is allowed."""


class _Case(NamedTuple):
    title: str
    model: str
    side: int
    views: int
    repeats: int
    target: bool
    """Whether the row is one of those for which a ratio was set."""


CASES = {
    "full": [
        _Case("ViT-B/32 384", "vit_b32", 384, 5, 5, True),
        _Case("Swin-B 384", "swin_b", 384, 2, 5, True),
        _Case("Swin-B 224", "swin_b", 224, 3, 5, True),
        _Case("PoolFormer-m36 384", "poolformer_m36", 384, 3, 5, True),
        _Case("PoolFormer-m36 224", "poolformer_m36", 224, 5, 5, True),
        _Case("ViT-B/32 224", "vit_b32", 224, 5, 5, False),
        _Case("PoolFormer-m48 384", "poolformer_m48", 384, 2, 5, False),
        _Case("PoolFormer-m48 224", "poolformer_m48", 224, 3, 5, False),
    ],
    "small": [_Case("PoolFormer-s12 128", "poolformer_s12", 128, 4, 5, False)],
    "tiny": [_Case("PoolFormer-nano 32", "poolformer_nano", 32, 2, 1, False)],
}


def jobs(size: Size) -> list[Job]:
    """Return the jobs of this group."""
    return [
        Job(
            "infer",
            tuple(f"{case.title}, {precision}" for precision in LARGEST),
            f"{case.title}, batch 1",
            partial(_rows, case=case),
        )
        for case in CASES[size]
    ]


class Measured(NamedTuple):
    """What the process that predicts sends back."""

    seconds: dict[str, list[float]]
    differences: dict[Precision, float]
    threads: int


def _rows(folder: Path, case: _Case) -> list[Row]:
    if importlib.util.find_spec("openvino") is None:
        raise NotMeasured("OpenVINO is not installed")
    found = isolated(measure, case)
    seconds = {name: [value / case.views for value in values] for name, values in found.seconds.items()}
    rows = []
    for precision, largest in LARGEST.items():
        name = f"{case.title}, {precision}"
        what = (
            f"{case.title.rsplit(' ', 1)[0]} with random weights, one view of {case.side}x{case.side} after the other, "
            f"batch 1. Plain: eager PyTorch in float32. Ours: OpenVINO in {precision}. "
            f"Seconds a view, {found.threads} threads."
        )
        if precision not in found.differences:
            reason = "this processor has no bfloat16"
            rows.append(Row(group="infer", name=name, what=what, not_measured=reason))
            continue
        difference = found.differences[precision]
        further: dict[str, float | str] = {
            "milliseconds a view": 1000 * float(np.median(seconds[precision])),
            "frames per second": 1 / float(np.median(seconds[precision])),
            "plain, milliseconds a view": 1000 * float(np.median(seconds["plain"])),
            "plain, frames per second": 1 / float(np.median(seconds["plain"])),
        }
        if (case.model, case.side) in PAPER:
            further["the paper on an NVIDIA L4, milliseconds"] = PAPER[case.model, case.side]
        row = compared(
            "infer",
            name,
            what,
            Timed(seconds, {}),
            (f"largest change of a logit {difference:.2g}", difference, difference <= largest),
            side=precision,
            target=(1.8 if precision == "float32" else 3.0) if case.target else None,
            further=further,
        )
        rows.append(row)
    return rows


def measure(case: _Case) -> Measured:
    """Predict the same views eagerly and with the runtime."""
    torch.manual_seed(0)
    spec = ViewSpec((1, case.side, case.side, 3), ("r", "g", "b"))
    net: nn.Module = models.build(case.model, {"weights": "random"})(spec, CLASSES, {})
    model = Named(net, ()).eval()
    rng = np.random.default_rng(0)
    views = [rng.uniform(0, 255, (1, 1, 3, case.side, case.side)).astype(np.float32) for _ in range(case.views)]
    precisions: list[Precision] = ["float32", "bf16"] if native_bf16() else ["float32"]
    with TemporaryDirectory() as folder:
        to_openvino(traced(model, spec), ["logits"], Path(folder) / RUNTIMES["openvino"].files[0])
        compiled = {each: open_graph(Path(folder), "openvino", each, torch.get_num_threads()) for each in precisions}

    def ours(graph: Graph) -> np.ndarray:
        return np.concatenate([graph(view)[0] for view in views])

    sides: dict[str, Any] = {"plain": lambda: inference.predict(lambda x: model(x)[0], views)}
    sides |= {precision: partial(ours, graph) for precision, graph in compiled.items()}
    spent = alternate(sides, case.repeats)
    differences = {
        precision: float(np.abs(spent.results[precision] - spent.results["plain"]).max()) for precision in precisions
    }
    seconds = {name: list(values) for name, values in spent.seconds.items()}
    return Measured(seconds, differences, torch.get_num_threads())
