"""Fitted models as files: safetensors for the numbers, JSON for the rest; no pickle is read or written."""

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
"""Name of the entry in a file's metadata."""
LINEAGE = "trained on"
"""Name within this entry of what the weights were trained on."""


def save_model(model: Any, file: Path, card: Mapping[str, Any], lineage: Lineage | None = None) -> None:
    """Write a torch module or a scikit-learn estimator; `card` and `lineage` go with it as metadata.

    Both are in the file itself, because files of weights travel without what is beside them.
    """
    if isinstance(model, nn.Module):
        tensors, plain = {key: value.contiguous() for key, value in model.state_dict().items()}, {}
    else:
        parts = dict(_attributes(model))
        tensors = {key: _tensor(value) for key, value in parts.items() if isinstance(value, np.ndarray)}
        plain = {key: value for key, value in parts.items() if not isinstance(value, np.ndarray)}
    # One entry, because safetensors writes several in an order of its own, new every time.
    trained_on = {} if lineage is None else {LINEAGE: lineage.to_json()}
    metadata = {METADATA: json.dumps({"card": card, "attributes": plain, **trained_on})}
    write_atomically(file, save(tensors, metadata))


def load_model(model: Any, file: Path) -> dict[str, Any]:
    """Fill a freshly built model from a file and return its card; raises StoreError."""
    try:
        with safe_open(file, "pt") as stored:
            metadata = json.loads((stored.metadata() or {}).get(METADATA, "{}"))
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118  (not a dict)
    except (OSError, ValueError, SafetensorError) as error:
        raise StoreError("E601", f"{file} is not a model that microexpr can read: {error}.") from None
    if isinstance(model, nn.Module):
        _load_module(model, tensors, file)
    else:
        arrays = {key: value.numpy() for key, value in tensors.items()}
        _load_estimator(model, arrays | metadata.get("attributes", {}), file)
    return dict(metadata.get("card", {}))


def lineage_of(file: Path) -> Lineage:
    """Return what the weights of a file were trained on; incomplete where the file does not say."""
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
        return UNKNOWN  # weights of others, or of an earlier version; what is no weights is refused where it is loaded


def _load_module(model: nn.Module, tensors: Mapping[str, Tensor], file: Path) -> None:
    try:
        model.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise StoreError(
            "E601", f"{file} holds the weights of another model: {str(error).splitlines()[-1].strip()}"
        ) from None


def _load_estimator(model: Any, values: Mapping[str, object], file: Path) -> None:
    """Fit it on made-up rows, which gives it all its parts, and put the file's values in their places."""
    model.fit(np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32), np.arange(6) % 2)
    if set(values) != set(dict(_attributes(model))):  # nothing else of an object is ever set from a file
        raise StoreError("E601", f"{file} holds the numbers of another model.")
    for key, value in values.items():
        _restore(model, key, value)


def _attributes(estimator: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every attribute of an estimator and of those inside it, by path; raises TypeError for an unknown kind."""
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
            raise TypeError(f"{type(estimator).__name__}.{name} cannot be kept: {type(value).__name__}")


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
