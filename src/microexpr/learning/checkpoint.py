"""Fitted models as files: tensors as safetensors, everything else as JSON; nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from microexpr.core.errors import StoreError
from microexpr.core.files import write_atomically
from microexpr.core.lineage import Lineage

UNKNOWN = Lineage(complete=False)
METADATA = "microexpr"
"""Key of our entry in a file's metadata."""
LINEAGE = "trained on"
"""Key, within this entry, of what the weights were trained on."""


def save_model(model: Any, file: Path, card: Mapping[str, Any], lineage: Lineage | None = None) -> None:
    """Write a torch module or a scikit-learn estimator, with `card` and `lineage` as metadata.

    Both are stored inside the file, because weights are often copied without the files beside them.
    """
    if isinstance(model, nn.Module):
        tensors, plain = {key: value.contiguous() for key, value in model.state_dict().items()}, {}
    else:
        parts = dict(_attributes(model))
        tensors = {key: _tensor(value) for key, value in parts.items() if isinstance(value, np.ndarray)}
        plain = {key: value for key, value in parts.items() if not isinstance(value, np.ndarray)}
    # A single entry, because safetensors writes several in a different order each time.
    trained_on = {} if lineage is None else {LINEAGE: lineage.to_json()}
    metadata = {METADATA: json.dumps({"card": card, "attributes": plain, **trained_on})}
    write_atomically(file, save(tensors, metadata))


def load_model(model: Any, file: Path) -> dict[str, Any]:
    """Load a file into a freshly built model and return its card; raises StoreError."""
    try:
        with safe_open(file, "pt") as stored:
            metadata = json.loads((stored.metadata() or {}).get(METADATA, "{}"))
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118  (not a dict)
    except (OSError, ValueError, SafetensorError) as error:
        raise StoreError("E650", f"{file} cannot be read as a checkpoint: {error}. Train the model again.") from None
    if isinstance(model, nn.Module):
        _load_module(model, tensors, file)
    else:
        arrays = {key: value.numpy() for key, value in tensors.items()}
        _load_estimator(model, arrays | metadata.get("attributes", {}), file)
    return dict(metadata.get("card", {}))


def lineage_of(file: Path) -> Lineage:
    """Return what the weights of a file were trained on; incomplete if the file does not say."""
    try:
        changed = file.stat().st_mtime_ns
    except OSError:
        return UNKNOWN
    return _lineage_of(file, changed)


@lru_cache(maxsize=16)
def _lineage_of(file: Path, changed: int) -> Lineage:
    try:
        with safe_open(file, "pt") as stored:
            return Lineage.from_json(json.loads((stored.metadata() or {})[METADATA])[LINEAGE])
    except (OSError, KeyError, TypeError, ValueError, SafetensorError):
        return UNKNOWN  # weights from elsewhere or of an earlier version; anything else is refused when it is loaded


def _load_module(model: nn.Module, tensors: Mapping[str, Tensor], file: Path) -> None:
    try:
        model.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise StoreError(
            "E651",
            f"{file} holds the weights of another model: {str(error).splitlines()[-1].strip()} Load it with the model "
            "and parameters that it was trained with.",
        ) from None


def _load_estimator(model: Any, values: Mapping[str, object], file: Path) -> None:
    """Fit it to synthetic rows, so that all its attributes exist, and replace them by the values of the file."""
    model.fit(np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32), np.arange(6) % 2)
    if set(values) != set(dict(_attributes(model))):  # a file can set no other attribute of an object
        raise StoreError(
            "E651",
            f"{file} holds the attributes of another model. Load it with the model and parameters that it was trained "
            "with.",
        )
    for key, value in values.items():
        _restore(model, key, value)


def _attributes(estimator: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every attribute of an estimator and of nested ones, by path; raises TypeError for an unknown type."""
    for name, value in vars(estimator).items():
        if name == "steps":
            for step, inner in value:
                yield from _attributes(inner, f"{prefix}{step}/")
        elif hasattr(value, "get_params"):
            yield from _attributes(value, f"{prefix}{name}/")
        elif isinstance(value, np.generic):
            yield prefix + name, value.item()
        elif _is_plain(value):
            yield prefix + name, value
        else:
            raise TypeError(f"{type(estimator).__name__}.{name} cannot be stored: {type(value).__name__}")


def _is_plain(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiub"
    if isinstance(value, tuple):
        return all(isinstance(item, int) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def _restore(estimator: Any, path: str, value: object) -> None:
    *parts, name = path.split("/")
    for part in parts:
        estimator = estimator.named_steps[part] if hasattr(estimator, "named_steps") else getattr(estimator, part)
    setattr(estimator, name, tuple(value) if isinstance(value, list) else value)


def _tensor(value: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(value)).clone()
