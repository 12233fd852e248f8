"""Fitted models as files: tensors as safetensors, everything else as JSON; nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from microexpr.core.errors import StoreError
from microexpr.core.files import write_atomically
from microexpr.core.lineage import Lineage

UNKNOWN = Lineage(complete=False)
METADATA = "microexpr"
"""Key of our entry in a file's metadata."""
LINEAGE = "trained on"
"""Key, within this entry, of what the weights were trained on."""


class Stored(NamedTuple):
    """The content of a file: tensors, other attributes, and the card that describes the model."""

    tensors: Mapping[str, Tensor]
    attributes: Mapping[str, Any] = {}
    card: Mapping[str, Any] = {}


def write(file: Path, content: Stored, lineage: Lineage | None = None) -> None:
    """Write a model; the card and `lineage` are inside, because weights are often copied without the files beside."""
    # A single entry, because safetensors writes several in a different order each time.
    trained_on = {} if lineage is None else {LINEAGE: lineage.to_json()}
    metadata = {METADATA: json.dumps({"card": content.card, "attributes": content.attributes, **trained_on})}
    write_atomically(file, save(dict(content.tensors), metadata))


def read(file: Path) -> Stored:
    """Return the content of a file; raises StoreError if it cannot be read."""
    try:
        with safe_open(file, "pt") as stored:
            metadata = json.loads((stored.metadata() or {}).get(METADATA, "{}"))
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118  (not a dict)
            return Stored(tensors, dict(metadata.get("attributes", {})), dict(metadata.get("card", {})))
    except (AttributeError, OSError, TypeError, ValueError, SafetensorError) as error:
        raise StoreError("E650", f"{file} cannot be read as a checkpoint: {error}. Train the model again.") from None


def other_model(file: Path, what: str, detail: str = "") -> StoreError:
    """Return the error for a file that holds `what` (weights, attributes) of another model."""
    return StoreError(
        "E651",
        f"{file} holds the {what} of another model{detail and f': {detail}'}. Load it with the model and parameters "
        "that it was trained with.",
    )


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
