"""Predicting one view at a time: PyTorch as it is against runtimes, and the paper's table of speeds on this machine."""

from __future__ import annotations

import copy
import importlib.util
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.special import softmax
from torch import nn

from microexpr.bench.measuring import NotMeasured, Side, Timed, alternate, compared, isolated
from microexpr.bench.plain import inference
from microexpr.bench.rows import L4, Row, Size
from microexpr.bench.running import Job
from microexpr.bench.train import check_place, finished
from microexpr.config.settings import Precision, Training
from microexpr.core.interfaces import ViewSpec, models
from microexpr.core.processor import native_bf16
from microexpr.learning.conversion import Named, to_openvino, traced
from microexpr.learning.device import autocast, device, fastest_precision, operations, placed
from microexpr.learning.graph import RUNTIMES, Graph, open_graph

CLASSES = 7
PAPER: dict[tuple[str, int], float] = {
    ("vit_b32", 384): 19.67,
    ("poolformer_m36", 224): 28.26,
    ("poolformer_m36", 384): 74.56,
}
"""Milliseconds that the paper measured on an NVIDIA L4 (section III.E); it does not say which PoolFormer, nor the size
of the ViT's images, so its numbers are beside m36 and beside the only size of ViT-B/32's checkpoint."""
PRECISIONS: tuple[Precision, ...] = ("float32", "bf16")
LARGEST = 0.01
"""Change of a probability that is allowed, as in the export's check."""
SIDE = 1536
"""Rows and columns of the matrices whose product gives the rate of this machine."""
ACTIVE = 0.2
"""Seconds after which no thread waits actively any more."""


_RANDOM = {"weights": "random"}


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
    found = [
        Job(
            "infer",
            tuple(f"{case.title}, {precision}" for precision in PRECISIONS),
            f"{case.title}, batch 1",
            partial(_rows, case=case),
        )
        for case in CASES[size]
    ]
    if size == "full":
        found += [
            Job("infer", (f"{case.title}, GPU",), f"{case.title}, batch 1", partial(_on_gpu, case=case))
            for case in CASES[size]
        ]
    return found


class Measured(NamedTuple):
    """What the process that predicts sends back."""

    seconds: dict[str, list[float]]
    """Of every way to predict a view, and of as many operations in products of matrices."""
    differences: dict[Precision, tuple[float, float]]
    """Largest change of a logit and of a probability."""
    threads: int


def _rows(folder: Path, case: _Case) -> list[Row]:
    if importlib.util.find_spec("openvino") is None:
        raise NotMeasured("OpenVINO is not installed")
    found = isolated(measure, case)
    rows = []
    for precision in PRECISIONS:
        name = f"{case.title}, {precision}"
        what = (
            f"{case.title.rsplit(' ', 1)[0]} with random weights, one view of {case.side}x{case.side} after the other, "
            f"batch 1. Plain: eager PyTorch in float32. Ours: the exported network in OpenVINO, {precision}; export "
            f"and compilation are not counted. Seconds a view, {found.threads} threads."
        )
        if precision not in found.differences:
            reason = "this processor has no bfloat16"
            rows.append(Row(group="infer", name=name, what=what, not_measured=reason))
            continue
        logit, probability = found.differences[precision]
        further: dict[str, float | str] = {}
        if (case.model, case.side) in PAPER:
            further[L4] = PAPER[case.model, case.side]
        row = compared(
            "infer",
            name,
            what,
            Timed(found.seconds | {"limit": found.seconds[_products(precision)]}, {}),
            (
                f"largest change of a logit {logit:.2g}, of a probability {probability:.2g}",
                probability,
                probability <= LARGEST,
            ),
            side=precision,
            limit=_limit(precision),
            target=(1.8 if precision == "float32" else 3.0) if case.target else None,
            further=further,
        )
        rows.append(row)
    return rows


def _on_gpu(folder: Path, case: _Case) -> list[Row]:
    check_place(", GPU")
    return [on_device(case)]


def on_device(case: _Case) -> Row:
    """Predict the same views with PyTorch in float32, and as a trained model predicts on this machine's accelerator."""
    model, spec, views = _drawn(case)
    precision = fastest_precision(models.build(case.model, _RANDOM), spec, CLASSES, {})
    settings = Training(precision=precision)
    there = device()
    plain, ours = copy.deepcopy(model).to(there), placed(model, settings)

    def predicted() -> np.ndarray:
        with torch.inference_mode(), autocast(settings):
            return np.concatenate([ours(torch.from_numpy(view).to(there))[0].float().cpu().numpy() for view in views])

    products = {"limit": _seconds_of_products(precision, case.repeats)}
    sides = {"plain": lambda: inference.predict(lambda x: plain(x.to(there))[0].cpu(), views), "ours": predicted}
    spent = alternate(sides, case.repeats)
    logit, probability = _differences(spent.results["ours"], spent.results["plain"])
    return compared(
        "infer",
        f"{case.title}, GPU",
        f"{case.title.rsplit(' ', 1)[0]} with random weights, one view of {case.side}x{case.side} after the other, "
        f"from memory to logits. Plain: eager PyTorch in float32. Ours: {precision}. Seconds a view.",
        Timed(_a_view(spent, products, case, spec), {}),
        (
            f"largest change of a logit {logit:.2g}, of a probability {probability:.2g}",
            probability,
            probability <= LARGEST,
        ),
        limit=_limit(precision),
        further={L4: PAPER[case.model, case.side]} if (case.model, case.side) in PAPER else None,
    )


def _drawn(case: _Case) -> tuple[Named, ViewSpec, list[np.ndarray]]:
    """Return a network with random weights and views for it."""
    torch.manual_seed(0)
    spec = ViewSpec((1, case.side, case.side, 3), ("r", "g", "b"))
    net: nn.Module = models.build(case.model, _RANDOM)(spec, CLASSES, {})
    rng = np.random.default_rng(0)
    views = [rng.uniform(0, 255, (1, 1, 3, case.side, case.side)).astype(np.float32) for _ in range(case.views)]
    return Named(net, ()).eval(), spec, views


def measure(case: _Case) -> Measured:
    """Predict the same views eagerly and with the runtime."""
    model, spec, views = _drawn(case)
    precisions: list[Precision] = ["float32", "bf16"] if native_bf16() else ["float32"]
    with TemporaryDirectory() as folder:
        to_openvino(traced(model, spec), ["logits"], Path(folder) / RUNTIMES["openvino"].files[0])
        compiled = {each: open_graph(Path(folder), "openvino", each, torch.get_num_threads()) for each in precisions}

    def ours(graph: Graph) -> np.ndarray:
        return np.concatenate([graph(view)[0] for view in views])

    sides: dict[str, Any] = {"plain": lambda: inference.predict(lambda x: model(x)[0], views)}
    sides |= {precision: partial(ours, graph) for precision, graph in compiled.items()}
    products = {_products(each): _seconds_of_products(each, case.repeats) for each in precisions}
    spent = alternate(sides, case.repeats)
    eager = spent.results["plain"]
    differences = {each: _differences(spent.results[each], eager) for each in precisions}
    return Measured(_a_view(spent, products, case, spec), differences, torch.get_num_threads())


def _products(precision: Precision) -> str:
    return f"products in {precision}"


def _seconds_of_products(precision: Precision, repeats: int) -> Sequence[float]:
    """Return the seconds of the fastest product of two matrices on this device: torch, or in float32 also NumPy.

    Measured on its own: NumPy's threads wait actively for a while after each product, which would slow down others.
    """
    matrix = torch.rand(SIDE, SIDE, device=device(), dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    sides: list[Side] = [partial(finished, partial(torch.mm, matrix, matrix))]
    if precision == "float32" and matrix.device.type == "cpu":
        sides.append(partial(np.matmul, matrix.numpy(), matrix.numpy()))
    measured = []
    for side in sides:
        measured.append(alternate({"product": side}, repeats).seconds["product"])
        time.sleep(ACTIVE)
    return min(measured, key=lambda seconds: float(np.median(seconds)))


def _a_view(spent: Timed, products: dict[str, Sequence[float]], case: _Case, spec: ViewSpec) -> dict[str, list[float]]:
    """Return seconds a view: of every side, and of as many products as have the operations that a view takes."""
    needed = operations(models.build(case.model, _RANDOM), spec, CLASSES, {}) / (2 * SIDE**3)
    sides = {name: [value / case.views for value in values] for name, values in spent.seconds.items()}
    return sides | {name: [value * needed for value in values] for name, values in products.items()}


def _limit(precision: Precision) -> str:
    product = f"the fastest product of {SIDE}x{SIDE} matrices in {precision}"
    return f"as many operations as the network has, at the rate of {product}"


def _differences(found: np.ndarray, eager: np.ndarray) -> tuple[float, float]:
    probabilities = np.abs(softmax(found, axis=1) - softmax(eager, axis=1)).max()
    return float(np.abs(found - eager).max()), float(probabilities)
