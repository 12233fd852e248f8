"""Graphs of exported networks in their runtimes, OpenVINO and ONNX Runtime: which are installed, opening, computing."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

from microexpr.config.settings import Precision
from microexpr.core.errors import ConfigError, StoreError

Runtime: TypeAlias = Literal["openvino", "onnx"]
Graph: TypeAlias = Callable[[Float[np.ndarray, "b t c h w"]], Sequence[Float[np.ndarray, "b _"]]]
"""A graph that is ready to compute: views -> class logits, then one array for each auxiliary target."""


class Kind(NamedTuple):
    """What belongs to a runtime."""

    title: str
    package: str
    """The package that computes."""
    exporting: tuple[str, ...]
    """The modules that exporting needs."""
    files: tuple[str, ...]
    """Files of a graph; the first is opened."""


RUNTIMES: Mapping[Runtime, Kind] = {
    "openvino": Kind("OpenVINO", "openvino", ("openvino",), ("model.xml", "model.bin")),
    "onnx": Kind("ONNX Runtime", "onnxruntime", ("onnxruntime", "onnx", "onnxscript"), ("model.onnx",)),
}
X86 = ("x86_64", "amd64", "i386", "i686", "x86")
INPUT = "views"
"""Name of a graph's input."""
EXACT = 1e-5
"""Largest change of an output, relative to the largest one if that is above 1, by a graph for one size of batches."""


def preferred() -> Runtime:
    """Return the runtime for this processor: OpenVINO on x86, ONNX Runtime on others (ARM, Apple)."""
    return "openvino" if platform.machine().lower() in X86 else "onnx"


def installed(runtime: Runtime) -> bool:
    """Whether graphs of this runtime can be computed here."""
    return importlib.util.find_spec(RUNTIMES[runtime].package) is not None


def require(runtime: Runtime, *, exporting: bool = False) -> None:
    """Raise ConfigError unless what this runtime needs is installed."""
    kind = RUNTIMES[runtime]
    needed = kind.exporting if exporting else (kind.package,)
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            "E161",
            f"{kind.title} needs {', '.join(missing)}, which is not installed: run pip install 'microexpr[export]'.",
        )


def open_graph(folder: Path, runtime: Runtime, precision: Precision, threads: int) -> Graph:
    """Return the graph of a folder, ready to compute with so many threads; raises ConfigError, StoreError."""
    require(runtime)
    file = folder / RUNTIMES[runtime].files[0]
    try:
        return _openvino(file, precision, threads) if runtime == "openvino" else _onnx(file, threads)
    except Exception as error:  # both runtimes raise classes of their own, ONNX Runtime one for each kind of damage
        reason = " ".join(str(error).split())[:300]
        raise StoreError(
            "E656", f"{file} cannot be opened by {RUNTIMES[runtime].title}: {reason}. Export the model again."
        ) from None


def _openvino(file: Path, precision: Precision, threads: int) -> Graph:
    import openvino

    # Without a hint OpenVINO chooses the precision by the processor, and computes in bf16 where that is faster.
    hints = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32", "INFERENCE_NUM_THREADS": threads}
    core = openvino.Core()
    model = core.read_model(str(file))
    of_any_size = core.compile_model(model, "CPU", hints)
    size, of_this_size = 0, None

    def found(compiled: Any, x: Float[np.ndarray, "b t c h w"]) -> list[Float[np.ndarray, "b _"]]:
        return [np.array(value) for value in compiled([x]).values()]  # copies: the next call reuses the memory

    def compute(x: Float[np.ndarray, "b t c h w"]) -> list[Float[np.ndarray, "b _"]]:
        nonlocal size, of_this_size
        # A graph for one size of batches is faster; compiling it pays where sizes repeat.
        if len(x) != size:
            size, of_this_size = len(x), None
            return found(of_any_size, x)
        if of_this_size is None:
            fixed = model.clone()
            fixed.reshape(list(x.shape))
            of_this_size = core.compile_model(fixed, "CPU", hints)
            if precision == "float32":  # of some networks it is less exact (MobileViT), and not used
                exact, fast = found(of_any_size, x), found(of_this_size, x)
                if any(np.abs(a - b).max() > EXACT * max(1, np.abs(a).max()) for a, b in zip(exact, fast, strict=True)):
                    of_this_size = of_any_size
        return found(of_this_size, x)

    return compute


def _onnx(file: Path, threads: int) -> Graph:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def compute(x: Float[np.ndarray, "b t c h w"]) -> list[Float[np.ndarray, "b _"]]:
        return [np.asarray(value) for value in session.run(None, {INPUT: x})]

    return compute
