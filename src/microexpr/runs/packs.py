"""Packs: many folds of one experiment in a few files, as thousands of small files are slow on clusters.

``packed.json`` names the pack and its folds; rows of ``packed-ID.views.parquet`` and ``packed-ID.history.parquet`` are
those of the folds, in this order; ``packed-ID.json`` has their numbers of rows and their metadata. The index is written
last, so a pack is there with all its files or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from microexpr.core.errors import StoreError
from microexpr.core.files import replacing, write_atomically

INDEX = "packed.json"
PARTS = ("views", "history")


@dataclass(frozen=True)
class Pack:
    """The pack in a folder of results."""

    folder: Path
    id: str
    folds: tuple[str, ...]

    def rows(self, part: str, fold: str) -> pa.Table:
        """Return the rows of one fold as they were stored; raises StoreError if a file is damaged."""
        start, count = self._places[part][fold]
        return (self._views if part == "views" else self._history).slice(start, count)

    def rows_of_part(self, part: str) -> pd.DataFrame:
        """Return the views of all folds in one part (train, val, test), in the order of the folds."""
        found: pd.DataFrame = self._views.filter(pc.equal(self._views["part"], part)).to_pandas()
        return found

    def metadata(self, fold: str) -> dict[str, Any]:
        """Return the metadata of a fold, without what differs from run to run."""
        return dict(self._described["metadata"][self._numbers[fold]])

    def of_run(self, fold: str) -> dict[str, Any]:
        """Return what differs from run to run of a fold."""
        return dict(self._described["of_run"][self._numbers[fold]])

    def fold(self, name: str) -> Packed:
        """Return one fold; raises StoreError if a file is damaged."""
        return Packed(
            name, self.rows("views", name), self.rows("history", name), self.metadata(name), self.of_run(name)
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the pack, the index last."""
        return (*(self._file(f"{part}.parquet") for part in PARTS), self._file("json"), self.folder / INDEX)

    def _file(self, suffix: str) -> Path:
        return self.folder / f"packed-{self.id}.{suffix}"

    @cached_property
    def _described(self) -> Mapping[str, Any]:
        try:
            found = dict(json.loads(self._file("json").read_text("utf-8")))
            if {len(found[name]) for name in (*PARTS, "metadata", "of_run")} != {len(self.folds)}:
                raise ValueError("another number of folds")
        except (OSError, ValueError, KeyError, TypeError):
            raise _damaged(self._file("json")) from None
        return found

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {name: number for number, name in enumerate(self.folds)}

    @cached_property
    def _places(self) -> Mapping[str, Mapping[str, tuple[int, int]]]:
        """First row and number of rows of every fold, in both tables."""
        counts = {part: self._described[part] for part in PARTS}
        starts = {part: [0, *accumulate(rows)] for part, rows in counts.items()}
        return {
            part: {name: (starts[part][number], counts[part][number]) for name, number in self._numbers.items()}
            for part in PARTS
        }

    @cached_property
    def _views(self) -> pa.Table:
        return self._table("views")

    @cached_property
    def _history(self) -> pa.Table:
        return self._table("history")

    def _table(self, part: str) -> pa.Table:
        file = self._file(f"{part}.parquet")
        try:
            with pq.ParquetFile(file) as opened:
                table = opened.read(use_threads=False)
        except (OSError, pa.ArrowException):
            raise _damaged(file) from None
        if len(table) != sum(self._described[part]):
            raise _damaged(file)
        return table


def read(folder: Path) -> Pack | None:
    """Return the pack of a folder; None if there is none. Raises StoreError if its index is damaged."""
    try:
        content = json.loads((folder / INDEX).read_text("utf-8"))
        return Pack(folder, str(content["id"]), tuple(map(str, content["folds"])))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise _damaged(folder / INDEX) from None


@dataclass(frozen=True)
class Packed:
    """A fold as it is put into a pack."""

    name: str
    views: pa.Table
    history: pa.Table
    metadata: Mapping[str, Any]
    of_run: Mapping[str, Any]


def write(folder: Path, folds: Sequence[Packed]) -> Pack:
    """Write a pack of these folds, which replaces the one before; raises StoreError."""
    before, pack = read(folder), Pack(folder, uuid4().hex[:12], tuple(fold.name for fold in folds))
    try:
        for part in PARTS:
            tables = [getattr(fold, part) for fold in folds]
            with replacing(pack._file(f"{part}.parquet")) as partial:
                pq.write_table(pa.concat_tables(tables), partial)
    except OSError as error:
        raise StoreError("E601", f"{folder} cannot be written: {error.strerror}; choose another folder.") from None
    described: dict[str, Any] = {part: [len(getattr(fold, part)) for fold in folds] for part in PARTS}
    described |= {name: [dict(getattr(fold, name)) for fold in folds] for name in ("metadata", "of_run")}
    write_atomically(pack._file("json"), json.dumps(described))
    write_atomically(folder / INDEX, json.dumps({"id": pack.id, "folds": list(pack.folds)}))
    for file in before.files[:-1] if before else ():
        file.unlink(missing_ok=True)
    return pack


def same_columns(folds: Sequence[Packed]) -> Iterator[Packed]:
    """Yield the folds whose tables have the columns of the first: others cannot be in one table with it."""
    for fold in folds:
        if all(getattr(fold, part).schema.equals(getattr(folds[0], part).schema) for part in PARTS):
            yield fold


def _damaged(file: Path) -> StoreError:
    return StoreError(
        "E605",
        f"{file} is damaged; copy it again from where it was made, or remove {INDEX}, and its folds are trained again.",
    )
