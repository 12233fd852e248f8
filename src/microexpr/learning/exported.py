"""The folder of an exported model: a graph, ``card.json`` and ``lineage.json``, written and read as a whole.

The card is that of the model, with a section `SECTION` on the graph: runtime, precision, inputs and outputs, the sha256
of its files and of the weights that it came from, and how well it agrees with the network.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from microexpr.core.errors import StoreError
from microexpr.core.files import make_folder
from microexpr.core.lineage import Lineage
from microexpr.learning.checkpoint import UNKNOWN
from microexpr.learning.graph import RUNTIMES, Runtime

FORMAT = 1
"""Of the section."""
SECTION = "exported"
CARD, LINEAGE = "card.json", "lineage.json"


def file_sha256(file: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def default_folder(place: Path, runtime: Runtime) -> Path:
    """Return where the graph of a model is expected: in its folder, or beside the weights of a fold."""
    return place / runtime if place.is_dir() else place.with_suffix(f".{runtime}")


def is_exported(folder: Path) -> bool:
    """Whether a folder is one of an exported model; a damaged one counts."""
    try:
        return SECTION in json.loads((folder / CARD).read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        return any((folder / kind.files[0]).is_file() for kind in RUNTIMES.values())


def read(folder: Path) -> dict[str, Any]:
    """Return the card of an exported model, whose files it checks; raises StoreError."""
    try:
        card = dict(json.loads((folder / CARD).read_text("utf-8")))
        section = card[SECTION]
        found = section["format"]
        if isinstance(found, int) and found > FORMAT:
            raise StoreError(
                "E602",
                f"{folder} was exported by a newer version of microexpr: its format is {found}, and this version reads "
                f"up to {FORMAT}. Update microexpr, or export the model again.",
            )
        files = {str(name): str(digest) for name, digest in section["files"].items()}
        complete = (
            found in range(1, FORMAT + 1)
            and set(files) == set(RUNTIMES[section["runtime"]].files)
            and isinstance(section["weights"], str)
            and section["precision"] in ("float32", "bf16")
            and isinstance(section["outputs"], list)
        )
    except (AttributeError, KeyError, OSError, TypeError, ValueError):
        raise StoreError(
            "E656", f"{folder / CARD} is missing or damaged: copy the folder again, or export the model again."
        ) from None
    if not complete:
        raise StoreError("E656", f"{folder / CARD} is damaged: copy the folder again, or export the model again.")
    for name, expected in files.items():
        file = folder / name
        if not file.is_file() or file_sha256(file) != expected:
            raise StoreError(
                "E656",
                f"{file} is {'damaged' if file.is_file() else 'missing'}: copy the folder again, or export the model "
                "again.",
            )
    return card


def came_from(card: Mapping[str, Any], weights: Path) -> bool:
    """Whether the model with this card was exported from exactly these weights."""
    return bool(card[SECTION]["weights"] == file_sha256(weights))


def lineage_of(folder: Path) -> Lineage:
    """Return what the exported model was trained on; incomplete if its file is missing or damaged."""
    try:
        return Lineage.from_json(json.loads((folder / LINEAGE).read_text("utf-8")))
    except (OSError, KeyError, TypeError, ValueError):
        return UNKNOWN


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder that takes the place of `folder` at the end, or is removed if the block fails.

    Raises StoreError if `folder` holds anything but an exported model, or cannot be written.
    """
    if folder.exists() and not (folder.is_dir() and (is_exported(folder) or not any(folder.iterdir()))):
        raise StoreError(
            "E657", f"{folder} holds other files than those of an exported model; choose another --out, or remove it."
        )
    parent = make_folder(folder.absolute().parent)
    new, old = (parent / f".{folder.name}.{uuid4().hex}.{word}" for word in ("partial", "old"))
    try:
        new.mkdir()
        yield new
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        raise StoreError("E601", f"{folder} cannot be written: {error.strerror}; choose another --out.") from None
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)


def write(folder: Path, card: Mapping[str, Any], lineage: Lineage) -> None:
    """Write the files beside the graph."""
    (folder / LINEAGE).write_text(json.dumps(lineage.to_json()), "utf-8")
    (folder / CARD).write_text(json.dumps(card, indent=1, default=str), "utf-8")
