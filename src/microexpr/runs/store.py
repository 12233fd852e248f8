"""Results on disk: the folds, and for each fold one Parquet file of views and one of the training history.

Every file is written completely or not at all, and many processes, also of several machines, may write to one folder.
The rows of the views are sufficient to recompute every vote, score, interval and test without training: experiment,
fold, seed, part (train, val, test), clip, subject, true class, frame numbers and the probabilities ``p_0 .. p_(k-1)``.
Auxiliary targets have two columns for each output: ``coded:TARGET:NAME`` (NaN: not known) and
``predicted:TARGET:NAME``. Losses in the history are of the class only.

A fold's two Parquet files have the same bytes wherever and however often it is trained, as long as kernels, threads and
precision are the same. What differs from run to run is in ``fold-NAME.run.json``.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from microexpr.core.claims import Owner, busy, claimed
from microexpr.core.errors import ConfigError, SplitError, StoreError
from microexpr.core.files import make_folder, write_atomically
from microexpr.core.folds import FILE as FOLDS
from microexpr.core.folds import StoredFolds
from microexpr.core.folds import read as read_folds
from microexpr.runs import packs
from microexpr.runs.packs import Pack, Packed

FORMAT: Final = 3
"""Raised when keys or columns change; results of other formats are refused. 1 was version 0.1."""
READABLE = (2, FORMAT)
"""2 has what differs from run to run in the metadata of the views."""
OF_RUN: Mapping[str, Any] = {
    "seconds": math.nan,
    "ms_a_clip": None,
    "ms_threads": None,
    "device": "not known",
    "environment": {},
    "mode": "not known",
    "run": "",
}
"""Metadata of a fold that differ from run to run, and their values where their file is lost."""


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


class PackedFold(FoldResult):
    """A fold of a pack, whose tables are made when they are first used."""

    def __init__(self, name: str, pack: Pack) -> None:
        metadata = {**OF_RUN, **pack.metadata(name), **pack.of_run(name)}
        for key, value in (("name", name), ("pack", pack), ("metadata", metadata)):
            object.__setattr__(self, key, value)

    pack: Pack

    @cached_property
    def views(self) -> pd.DataFrame:
        """The views of this fold."""
        found: pd.DataFrame = self.pack.rows("views", self.name).to_pandas()
        return found

    @cached_property
    def history(self) -> pd.DataFrame:
        """The history of this fold."""
        found: pd.DataFrame = self.pack.rows("history", self.name).to_pandas()
        return found


def views_of_part(folds: Sequence[FoldResult], part: str) -> pd.DataFrame:
    """Return the views of folds in one part (train, val, test), in the order of the folds."""
    pack = folds[0].pack if folds and isinstance(folds[0], PackedFold) else None
    names = tuple(fold.name for fold in folds)
    if pack is not None and names == pack.folds and all(getattr(fold, "pack", None) is pack for fold in folds):
        return pack.rows_of_part(part)  # much faster than fold by fold
    parts = [fold.views[fold.views["part"] == part] for fold in folds]
    return pd.concat(parts, ignore_index=True).assign(fold=np.repeat(names, [len(own) for own in parts]))


@dataclass(frozen=True)
class Failure:
    """Why a fold could not be trained; it is stored, and tried again only on request."""

    code: str
    reason: str
    log: str = ""
    """The traceback."""


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

    def claimed(self, fold: str, run: str = "") -> AbstractContextManager[Owner | None]:
        """Claim a fold for this process; None if another process is training it."""
        make_folder(self.folder)
        return claimed(self._claim(fold), wait=False, run=run)

    def busy(self, folds: Sequence[str]) -> dict[str, Owner]:
        """Return the processes that are training these folds, by fold."""
        there = self._files()
        claims = {name: self._claim(name) for name in folds}
        owners = {name: busy(claim) for name, claim in claims.items() if claim.name in there}
        return {name: owner for name, owner in owners.items() if owner is not None}

    def metadata(self) -> dict[str, Any]:
        """Return the metadata written when the experiment began; empty if there are none. Raises StoreError."""
        file = self.folder / "experiment.json"
        if not file.is_file():
            return {}
        try:
            content = dict(json.loads(file.read_text("utf-8")))
        except (TypeError, ValueError):
            raise StoreError("E605", f"{file} is damaged; remove its folder to train again.") from None
        if content.get("format", 1) not in READABLE:
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
        there = self._files()
        stored = self._stored(there)
        return [name for name in folds if name not in stored or (weights and f"fold-{name}.safetensors" not in there)]

    def finished(self, folds: Sequence[str]) -> dict[str, float]:
        """Return when each fold with results was stored, in seconds since 1970."""
        there = self._files()
        stored, index = self._stored(there), self.folder / packs.INDEX
        loose = {name: file for name in folds if (file := self._file(name, "views.parquet")).name in there}
        return {name: loose.get(name, index).stat().st_mtime for name in folds if name in stored}

    def write(self, fold: FoldResult) -> None:
        """Write a fold; its views are written last and mark it as complete."""
        of_run = {name: value for name, value in fold.metadata.items() if name in OF_RUN}
        lasting = {name: value for name, value in fold.metadata.items() if name not in OF_RUN}
        write_atomically(self._file(fold.name, "run.json"), json.dumps(of_run))
        metadata = {"format": str(FORMAT), "metadata": json.dumps(lasting)}
        for part, table in (("history", fold.history), ("views", fold.views)):
            write_atomically(self._file(fold.name, f"{part}.parquet"), _parquet(table, metadata))
        self.forget_failure(fold.name)

    def read(self, name: str) -> FoldResult:
        """Return a fold; raises StoreError if a file is damaged."""
        return next(self.read_all([name]))

    def folds(self) -> Iterator[FoldResult]:
        """Yield every finished fold."""
        return self.read_all(sorted(self._stored(self._files())))

    def read_all(self, names: Sequence[str]) -> Iterator[FoldResult]:
        """Yield these folds; raises StoreError if a file is damaged."""
        there = self._files()
        pack = self.pack if packs.INDEX in there else None
        packed = set() if pack is None else set(pack.folds)
        for name in names:
            if pack is not None and name in packed and f"fold-{name}.views.parquet" not in there:
                yield PackedFold(name, pack)
            else:
                views, metadata = self._read(name, "views")
                history, _ = self._read(name, "history")
                yield FoldResult(name, views, history, {**OF_RUN, **metadata, **self.of_run(name)})

    def loose(self) -> set[str]:
        """Return the folds that have files of their own."""
        return self._loose(self._files())

    def unpacked(self, name: str) -> Packed:
        """Return a fold that has files of its own, for a pack; raises StoreError if one is damaged."""
        tables = {part: self._table(name, part) for part in packs.PARTS}
        metadata = json.loads(tables["views"].schema.metadata[b"metadata"])
        columns = {part: table.replace_schema_metadata(None) for part, table in tables.items()}
        return Packed(name, **columns, metadata=metadata, of_run=self.of_run(name))

    @property
    def pack(self) -> Pack | None:
        """The folds that lie together in a few files."""
        return packs.read(self.folder)

    def of_run(self, name: str) -> dict[str, Any]:
        """Return what differs from run to run of a fold: durations, environment; empty if the file is lost."""
        try:
            return dict(json.loads(self._file(name, "run.json").read_text("utf-8")))
        except (ValueError, TypeError):
            return {}
        except OSError:
            pack = self.pack
            return pack.of_run(name) if pack is not None and name in pack.folds else {}

    def fail(self, name: str, failure: Failure) -> None:
        """Store why a fold could not be trained."""
        write_atomically(self._file(name, "failed.json"), json.dumps(asdict(failure), indent=1))

    def failures(self, folds: Sequence[str]) -> dict[str, Failure]:
        """Return why folds could not be trained, by name; raises StoreError if a file is damaged."""
        there, found = self._files(), {}
        for name in folds:
            if f"fold-{name}.failed.json" in there:
                file = self._file(name, "failed.json")
                try:
                    found[name] = Failure(**json.loads(file.read_text("utf-8")))
                except FileNotFoundError:  # trained again meanwhile
                    continue
                except (ValueError, TypeError):
                    raise StoreError("E605", f"{file} is damaged; remove it, and the fold is trained again.") from None
        return found

    def forget_failure(self, name: str) -> None:
        """Remove what was stored of a fold that could not be trained."""
        self._file(name, "failed.json").unlink(missing_ok=True)

    def weights(self, fold: str) -> Path:
        """Return the file for a fold's weights, which exists if they were kept."""
        return self._file(fold, "safetensors")

    def _stored(self, there: set[str]) -> set[str]:
        """Return the folds with results, given the names of all files."""
        pack = self.pack if packs.INDEX in there else None
        return self._loose(there) if pack is None else self._loose(there).union(pack.folds)

    def _loose(self, there: set[str]) -> set[str]:
        end = ".views.parquet"
        found = (name.removeprefix("fold-").removesuffix(end) for name in there if name.endswith(end))
        return {name for name in found if {f"fold-{name}{end}", f"fold-{name}.history.parquet"} <= there}

    def _files(self) -> set[str]:
        """Return the names of all files; one look at a folder is faster than one at each of its files."""
        try:
            with os.scandir(self.folder) as found:
                return {entry.name for entry in found}
        except FileNotFoundError:
            return set()

    def _claim(self, fold: str) -> Path:
        return self.folder / f".fold-{fold}.claim"

    def _file(self, name: str, suffix: str) -> Path:
        return self.folder / f"fold-{name}.{suffix}"

    def _read(self, name: str, part: str) -> tuple[pd.DataFrame, dict[str, Any]]:
        table = self._table(name, part)
        return table.to_pandas(), json.loads(table.schema.metadata[b"metadata"])

    def _table(self, name: str, part: str) -> pa.Table:
        file = self._file(name, f"{part}.parquet")
        try:
            with pq.ParquetFile(file) as opened:  # half the time of `read_table`, which looks for several files
                table = opened.read(use_threads=False)
            json.loads(table.schema.metadata[b"metadata"])
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException):
            raise StoreError("E605", f"{file} is damaged; remove it, and the fold is trained again.") from None
        return table


def _parquet(table: pd.DataFrame, metadata: Mapping[str, str]) -> bytes:
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    buffer = io.BytesIO()
    pq.write_table(arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **metadata}), buffer)
    return buffer.getvalue()
