"""Results on disk: the folds, and per fold one Parquet of views and one of training history, each written whole or not.

A view's row is enough to make every vote, score, interval and test again without training: experiment, fold, seed,
part (train, val, test), clip, subject, true class, frame numbers and the probabilities ``p_0 .. p_(k-1)``. What is
learnt beside the class has two columns for each output: ``coded:TARGET:NAME`` (NaN: not known) and
``predicted:TARGET:NAME``. Losses in the history are those of the class alone.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from microexpr.core.errors import ConfigError, SplitError, StoreError
from microexpr.core.files import make_folder, write_atomically
from microexpr.core.folds import FILE as FOLDS
from microexpr.core.folds import StoredFolds
from microexpr.core.folds import read as read_folds

FORMAT = "1"


@dataclass(frozen=True)
class FoldResult:
    """What one fold left behind; `facts` says what was chosen, how long it took and on what."""

    name: str
    views: pd.DataFrame
    history: pd.DataFrame
    metadata: Mapping[str, Any]

    @property
    def repeat(self) -> int:
        """Which division of the clips it belongs to."""
        return int(self.metadata.get("repeat", 1))


@dataclass(frozen=True)
class Results:
    """The results of one experiment in the folder ``<root>/<key>``."""

    root: Path
    key: str

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.root / self.key

    def begin(self, metadata: Mapping[str, Any], fixed: Sequence[str] = ("fingerprint",)) -> None:
        """Open the folder; raises StoreError if it holds results of other data (`fixed` facts that differ)."""
        make_folder(self.folder)
        file = self.folder / "experiment.json"
        before = self.metadata()
        for name in fixed:
            if before and before.get(name) != metadata.get(name):
                raise StoreError(
                    "E601",
                    f"{self.folder} holds results of other data (its {name} differs): the database has changed "
                    "since, or other clips were left out. Choose another --out, or remove that folder to train anew.",
                )
        if not before:
            write_atomically(file, json.dumps(metadata, indent=1))

    def metadata(self) -> dict[str, Any]:
        """Return what was written when the experiment began, or nothing."""
        file = self.folder / "experiment.json"
        if not file.is_file():
            return {}
        try:
            return dict(json.loads(file.read_text("utf-8")))
        except json.JSONDecodeError:
            raise StoreError("E601", f"{file} is damaged; remove its folder to train anew.") from None

    def keep_folds(self, folds: StoredFolds) -> None:
        """Write who is trained, chosen and tested on; raises StoreError if results of other folds lie here."""
        file = self.folder / FOLDS
        if not file.is_file():
            write_atomically(file, folds.to_json())
            return
        try:
            same = read_folds(file).content == folds.content
        except (ConfigError, SplitError):
            raise StoreError("E601", f"{file} is damaged; remove it, and the next run writes it again.") from None
        if not same:
            raise StoreError(
                "E601",
                f"{self.folder} holds results of other folds than this experiment gives now: {FOLDS} was changed, or "
                "an older version divided otherwise. Choose another --out, or remove that folder to train anew.",
            )

    def missing(self, folds: Sequence[str], *, weights: bool = False) -> list[str]:
        """Return the folds without results, or without the weights that are to be kept."""

        def files(name: str) -> list[Path]:
            kept = [self.weights(name)] if weights else []
            return [self._file(name, "history"), self._file(name, "views"), *kept]

        return [name for name in folds if not all(file.is_file() for file in files(name))]

    def write(self, fold: FoldResult) -> None:
        """Write a fold; its views come last and make it count."""
        metadata = {"format": FORMAT, "metadata": json.dumps(fold.metadata)}
        for part, table in (("history", fold.history), ("views", fold.views)):
            write_atomically(self._file(fold.name, part), _parquet(table, metadata))

    def read(self, name: str) -> FoldResult:
        """Return a fold; raises StoreError where a file is damaged."""
        views, metadata = self._read(name, "views")
        history, _ = self._read(name, "history")
        return FoldResult(name, views, history, metadata)

    def folds(self) -> Iterator[FoldResult]:
        """Yield every finished fold."""
        for file in sorted(self.folder.glob("fold-*.views.parquet")):
            yield self.read(file.name.removeprefix("fold-").removesuffix(".views.parquet"))

    def weights(self, fold: str) -> Path:
        """Return where a fold's weights lie when they are kept."""
        return self.folder / f"fold-{fold}.safetensors"

    def _file(self, name: str, part: str) -> Path:
        return self.folder / f"fold-{name}.{part}.parquet"

    def _read(self, name: str, part: str) -> tuple[pd.DataFrame, dict[str, Any]]:
        file = self._file(name, part)
        try:
            table = pq.read_table(file)
            return table.to_pandas(), json.loads(table.schema.metadata[b"metadata"])
        except (OSError, KeyError, ValueError, pa.ArrowException):
            raise StoreError("E601", f"{file} is damaged; remove it and the fold is trained again.") from None


def _parquet(table: pd.DataFrame, metadata: Mapping[str, str]) -> bytes:
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    buffer = io.BytesIO()
    pq.write_table(arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **metadata}), buffer)
    return buffer.getvalue()
