"""Results on disk: the folds, and for each fold one Parquet file of views and one of the training history.

Every file is written completely or not at all. The rows of the views are sufficient to recompute every vote, score,
interval and test without training: experiment, fold, seed, part (train, val, test), clip, subject, true class, frame
numbers and the probabilities ``p_0 .. p_(k-1)``. Auxiliary targets have two columns for each output:
``coded:TARGET:NAME`` (NaN: not known) and ``predicted:TARGET:NAME``. Losses in the history are of the class only.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from microexpr.core.errors import ConfigError, SplitError, StoreError
from microexpr.core.files import locked, make_folder, write_atomically
from microexpr.core.folds import FILE as FOLDS
from microexpr.core.folds import StoredFolds
from microexpr.core.folds import read as read_folds

FORMAT = 2
"""Raised when keys or columns change; results of another format are refused. 1 was version 0.1."""


@dataclass(frozen=True)
class FoldResult:
    """The stored result of one fold; `metadata` holds the selected loss and epoch, durations and the environment."""

    name: str
    views: pd.DataFrame
    history: pd.DataFrame
    metadata: Mapping[str, Any]

    @property
    def repeat(self) -> int:
        """The repeat (division of the clips into folds) that it belongs to."""
        return int(self.metadata.get("repeat", 1))


@dataclass(frozen=True)
class Results:
    """The results of one experiment in the folder ``<root>/<key>``."""

    root: Path
    key: str

    @property
    def folder(self) -> Path:
        """Folder of these results."""
        return self.root / self.key

    def begin(self, metadata: Mapping[str, Any], fixed: Sequence[str] = ("fingerprint",)) -> None:
        """Open the folder; raises StoreError as `check` does."""
        make_folder(self.folder)
        self.check(metadata, fixed)
        file = self.folder / "experiment.json"
        if not file.is_file():
            write_atomically(file, json.dumps({"format": FORMAT, **metadata}, indent=1))

    def check(self, metadata: Mapping[str, Any], fixed: Sequence[str] = ("fingerprint",)) -> None:
        """Raise StoreError if the folder holds results of other data (`fixed` metadata that differ)."""
        before = self.metadata()
        for name in fixed:
            if before and before.get(name) != metadata.get(name):
                raise StoreError(
                    "E603",
                    f"{self.folder} holds results from other data (its {name} differs): the database has changed "
                    "since, or other clips were left out. Choose another --out, or remove that folder to train again.",
                )

    @contextmanager
    def claimed(self, fold: str, *, wait: bool = False) -> Iterator[bool]:
        """Lock a fold, and yield whether this process has it; `wait` if another process is training it."""
        make_folder(self.folder)
        file = self.folder / f".fold-{fold}.lock"
        with locked(file, wait=wait) as mine:
            yield mine
            if mine and not self.missing([fold]):
                with suppress(OSError):  # Windows removes no open file
                    file.unlink()  # a process that still waits for this file finds the fold stored

    def metadata(self) -> dict[str, Any]:
        """Return the metadata written when the experiment began; empty if there are none. Raises StoreError."""
        file = self.folder / "experiment.json"
        if not file.is_file():
            return {}
        try:
            content = dict(json.loads(file.read_text("utf-8")))
        except (TypeError, ValueError):
            raise StoreError("E605", f"{file} is damaged; remove its folder to train again.") from None
        if content.get("format", 1) != FORMAT:
            raise StoreError(
                "E602",
                f"{self.folder} holds results in format {content.get('format', 1)}, but this version of microexpr "
                f"reads format {FORMAT}: choose another --out to train again, or use the version that wrote them.",
            )
        return content

    def keep_folds(self, folds: StoredFolds) -> None:
        """Write the folds; raises StoreError if the folder holds results of other folds."""
        file = self.folder / FOLDS
        if not file.is_file():
            write_atomically(file, folds.to_json())
            return
        try:
            same = read_folds(file).content == folds.content
        except (ConfigError, SplitError):
            raise StoreError("E605", f"{file} is damaged; remove it, and the next run writes it again.") from None
        if not same:
            raise StoreError(
                "E604",
                f"{self.folder} holds results for folds that differ from those of this experiment: {FOLDS} was "
                "changed, or an older version divided the clips differently. Choose another --out, or remove that "
                "folder to train again.",
            )

    def missing(self, folds: Sequence[str], *, weights: bool = False) -> list[str]:
        """Return the folds without results, or without stored weights if these are needed."""

        def files(name: str) -> list[Path]:
            return [
                self._file(name, "history"),
                self._file(name, "views"),
                *([self.weights(name)] if weights else []),
            ]

        return [name for name in folds if not all(file.is_file() for file in files(name))]

    def write(self, fold: FoldResult) -> None:
        """Write a fold; its views are written last and mark it as complete."""
        metadata = {"format": str(FORMAT), "metadata": json.dumps(fold.metadata)}
        for part, table in (("history", fold.history), ("views", fold.views)):
            write_atomically(self._file(fold.name, part), _parquet(table, metadata))

    def read(self, name: str) -> FoldResult:
        """Return a fold; raises StoreError if a file is damaged."""
        views, metadata = self._read(name, "views")
        history, _ = self._read(name, "history")
        return FoldResult(name, views, history, metadata)

    def folds(self) -> Iterator[FoldResult]:
        """Yield every finished fold."""
        for file in sorted(self.folder.glob("fold-*.views.parquet")):
            yield self.read(file.name.removeprefix("fold-").removesuffix(".views.parquet"))

    def weights(self, fold: str) -> Path:
        """Return the file for a fold's weights, which exists if they were kept."""
        return self.folder / f"fold-{fold}.safetensors"

    def _file(self, name: str, part: str) -> Path:
        return self.folder / f"fold-{name}.{part}.parquet"

    def _read(self, name: str, part: str) -> tuple[pd.DataFrame, dict[str, Any]]:
        file = self._file(name, part)
        try:
            with pq.ParquetFile(file) as opened:  # half the time of `read_table`, which looks for several files
                table = opened.read(use_threads=False)
            return table.to_pandas(), json.loads(table.schema.metadata[b"metadata"])
        except (OSError, KeyError, ValueError, pa.ArrowException):
            raise StoreError("E605", f"{file} is damaged; remove it, and the fold is trained again.") from None


def _parquet(table: pd.DataFrame, metadata: Mapping[str, str]) -> bytes:
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    buffer = io.BytesIO()
    pq.write_table(arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **metadata}), buffer)
    return buffer.getvalue()
