"""Converting a network to a graph, and comparing the two; runs in a process of its own (`learning.export`).

A converter that crashes ends only that process, and several conversions in one process crash.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from microexpr.config.settings import Precision
from microexpr.core.interfaces import ViewSpec
from microexpr.learning.graph import INPUT, RUNTIMES, Graph, Runtime, open_graph

OPSET = 18
"""Of ONNX operators; ONNX Runtime 1.14 and later have it."""
SEED = 0
"""Of the views on which graph and network are compared."""
BATCHES = (1, 1, 2, 2, 7, 7)
"""Sizes of the first batches that are compared; the others are as large as in prediction.

Each comes twice: OpenVINO computes the second batch of a size by another graph (`learning.graph`).
"""
CELLS = (2, 4, 8, 16)
"""Coarseness of views that are drawn: cells a side, between which values are interpolated."""
EXAMPLE_ROWS = 3
"""Views with which a network is traced; the graph takes any number."""


class Task(NamedTuple):
    """What is converted, and where to; plain data, for another process."""

    model: Path
    """A stored model, or weights of a fold."""
    folder: Path
    """Where the graph is written."""
    runtime: Runtime
    precision: Precision
    views: int
    """How many views are compared."""
    log: Path
    """Gets what the converters print."""
    compared: Path
    """Grows by one byte with every view that was compared."""


class Agreement(NamedTuple):
    """How far a graph is from its network, over all views: the largest changes, and the share of equal classes."""

    views: int
    logit: float
    probability: float
    same_class: float


class Converted(NamedTuple):
    """What became of a task."""

    agreement: Agreement
    versions: Mapping[str, str]
    """Of the packages that converted."""


class Named(nn.Module):
    """A network that returns a tuple: class logits, then the auxiliary outputs in the order of `targets`."""

    def __init__(self, network: nn.Module, targets: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.targets = network, targets

    def forward(self, x: Float[Tensor, "b t c h w"]) -> tuple[Tensor, ...]:
        output = self.network(x)
        return tuple(each.float() for each in (output.logits, *(output.aux[name] for name in self.targets)))


def convert(task: Task) -> Converted:
    """Write the graph of a stored network into a folder and compare the two; raises what the converters raise."""
    from microexpr.learning.pipeline import Pipeline

    _print_into(task.log)
    pipeline = Pipeline.load(task.model, runtime="torch")
    network = Named(pipeline.learner.model.cpu(), tuple(pipeline.targets)).eval()
    names = output_names(network.targets)
    program = traced(network, pipeline.spec)
    file = task.folder / RUNTIMES[task.runtime].files[0]
    (to_openvino if task.runtime == "openvino" else to_onnx)(program, names, file)
    graph = open_graph(task.folder, task.runtime, task.precision, torch.get_num_threads())
    agreement = compare(network, graph, pipeline.spec, task, pipeline.learner.batch)
    versions = {name: str(sys.modules[name].__version__) for name in ("torch", *RUNTIMES[task.runtime].exporting)}
    return Converted(agreement, versions)


def output_names(targets: tuple[str, ...]) -> list[str]:
    """Return the names of a graph's outputs: the logits of the classes, and those of each auxiliary target."""
    return ["logits", *(f"aux_{name}" for name in targets)]


def compare(network: Named, graph: Graph, spec: ViewSpec, task: Task, batch: int) -> Agreement:
    """Compare graph and network on views that are drawn from a fixed seed; the network computes in float32."""
    logit = probability = 0.0
    same = 0
    with task.compared.open("ab", buffering=0) as done:
        for x in drawn_views(spec, task.views, batch):
            with torch.inference_mode():
                expected = [each.double() for each in network(x)]
            found = [torch.from_numpy(np.asarray(each)).double() for each in graph(x.numpy())]
            for number, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
                # Logits may be infinitely small on both sides, where a probability is 0; such pairs are equal.
                change = torch.where(ours == theirs, 0.0, (ours - theirs).abs())
                logit = max(logit, _largest(change))
                ours, theirs = (each.softmax(1) if number == 0 else each.sigmoid() for each in (ours, theirs))
                probability = max(probability, _largest((ours - theirs).abs()))
            same += int((found[0].argmax(1) == expected[0].argmax(1)).sum())
            done.write(bytes(len(x)))
    return Agreement(task.views, logit, probability, same / task.views)


def drawn_views(spec: ViewSpec, count: int, batch: int) -> Iterator[Float[Tensor, "b t c h w"]]:
    """Yield `count` smooth random views in batches: of sizes `BATCHES` first, then of `batch`.

    Views differ in coarseness, brightness and contrast, and have flat areas at both ends of their range. Values are
    whole numbers where the range is that of 8-bit images, as in frames.
    """
    generator = torch.Generator().manual_seed(SEED)
    frames, height, width, channels = spec.shape
    sizes, done = iter(BATCHES), 0
    while done < count:
        rows: list[Tensor] = []
        for _ in range(min(next(sizes, batch), count - done)):
            cells = CELLS[(done + len(rows)) % len(CELLS)]
            coarse = torch.rand(1, channels, min(frames, 2), cells, cells, generator=generator)
            smooth = functional.interpolate(coarse, (frames, height, width), mode="trilinear", align_corners=True)[0]
            centre, gain = torch.rand(2, generator=generator)
            rows.append(((smooth - 0.5) * (0.5 + 2 * gain) + centre).clamp(0, 1).movedim(1, 0))
        x = spec.low + (spec.high - spec.low) * torch.stack(rows)
        yield x.round() if (spec.low, spec.high) == (0, 255) else x
        done += len(rows)


def _largest(values: Tensor) -> float:
    """Return the largest value, infinity if any is not a number."""
    return float("inf") if values.isnan().any() else float(values.max())


def _print_into(file: Path) -> None:
    """Send everything that this process prints, libraries in C++ included, to a file."""
    stream = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(stream, number)


def traced(network: Named, spec: ViewSpec) -> Any:
    """Return the network as a program that torch exports, for any number of views."""
    frames, height, width, channels = spec.shape
    x = torch.zeros(EXAMPLE_ROWS, frames, channels, height, width).fill_((spec.low + spec.high) / 2)
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad():
        return torch.export.export(network, (x,), dynamic_shapes=({0: batch},), strict=False)


def to_openvino(program: Any, names: list[str], file: Path) -> None:
    """Write a program as a graph of OpenVINO."""
    # Converting would report its use to the makers of OpenVINO over the network.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    model = openvino.convert_model(program)
    model.input(0).get_tensor().set_names({INPUT})
    for output, name in zip(model.outputs, names, strict=True):
        output.get_tensor().set_names({name})
    openvino.save_model(model, file, compress_to_fp16=False)


def to_onnx(program: Any, names: list[str], file: Path) -> None:
    """Write a program as an ONNX graph."""
    import onnxscript

    op: Any = getattr(onnxscript, f"opset{OPSET}")

    def stable_sort(self: Any, stable: Any = None, dim: int = -1, descending: bool = False) -> Any:
        """Translate torch's stable sort, which its exporter lacks: of equal values, TopK takes the first first."""
        length = op.Gather(op.Shape(self), op.Constant(value_ints=[dim]))
        return op.TopK(self, length, axis=dim, largest=int(descending))

    torch.onnx.export(
        program,
        (),
        file,
        input_names=[INPUT],
        output_names=names,
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
        custom_translation_table={torch.ops.aten.sort.stable: stable_sort},
    )
