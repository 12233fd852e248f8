"""Stores as such: list what is in them, verify it, join stores that were made apart, pack folds, remove what is left.

A store is the folder ``results`` of an output folder, or a copy of it. Nothing outside it is read or written, whatever
its files say, and links in it are not followed.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from microexpr.core.claims import busy, held
from microexpr.core.errors import ConfigError, SplitError, StoreError
from microexpr.core.files import make_folder, replacing
from microexpr.core.folds import FILE as FOLDS
from microexpr.core.folds import StoredFold
from microexpr.core.folds import read as read_folds
from microexpr.core.progress import Progress, Silent, track
from microexpr.runs import packs
from microexpr.runs.store import Results

KEY = re.compile(r"[0-9a-f]{16}")
FIXED = ("canonical", "fingerprint", "classes", "clips", "weights")
"""Metadata that are equal where two folders hold results of one experiment."""
TEMPORARY = (".partial", ".lapsed", ".probe")
OWN = re.compile(
    r"experiment\.json|folds\.json|\.lock|packed\.json|packed-[0-9a-f]{12}\.(json|views\.parquet|history\.parquet)"
    r"|fold-.+\.(views\.parquet|history\.parquet|run\.json|failed\.json|safetensors)|\.fold-.+\.claim"
)
"""Names of files in the folder of an experiment; further folders hold maps."""
PART = re.compile(r"fold-(.+)\.(views\.parquet|history\.parquet|run\.json|failed\.json|safetensors)")
"""Files of a fold: its name, and which part."""
Kind = Literal["damaged", "foreign", "orphaned", "left over"]


class Row(NamedTuple):
    """One experiment of a store."""

    key: str
    name: str
    """Preprocessing, sampling, model and protocol."""
    folds: int
    total: int | None
    """Folds of the experiment; None if the file with the folds is missing."""
    failed: int
    running: int
    packed: int
    megabytes: float


class Problem(NamedTuple):
    """Something in a store that should not be there, or not be so."""

    kind: Kind
    file: str
    """Within the store."""
    problem: str
    fix: str


@dataclass(frozen=True)
class Merged:
    """What joining stores did."""

    experiments: int
    """That are new in the store."""
    folds: int
    """That are new in the store."""
    packed: int
    """Folds that lie in packs now."""
    conflicts: tuple[str, ...]
    """Why results of another store were left out."""


def root_of(place: Path) -> Path:
    """Return the folder of the results of an output folder; raises StoreError if there is none."""
    for folder in (place / "results", place):
        if any(KEY.fullmatch(each.name) and each.is_dir() for each in _entries(folder)):
            return folder
    raise StoreError(
        "E615", f"{place} holds no results. Name the --out of a study or experiment, or its folder results."
    )


def rows(place: Path) -> list[Row]:
    """Return a row for each experiment of a store; raises StoreError."""
    return [_row(results) for results in experiments(root_of(place))]


def details(place: Path, key: str) -> dict[str, Any]:
    """Return the settings and the folds of one experiment, by the beginning of its key; raises StoreError."""
    found = [results for results in experiments(root_of(place)) if results.key.startswith(key)]
    if len(found) != 1:
        known = ", ".join(results.key for results in found[:5]) if found else "microexpr store ls lists them"
        raise StoreError(
            "E616", f"{len(found) or 'no'} experiments in {place} have a key that begins with {key!r}: {known}."
        )
    results = found[0]
    metadata, planned = results.metadata(), _planned(results)
    names = [fold.name for fold in planned] if planned else [fold.name for fold in results.folds()]
    missing, failures, running = set(results.missing(names)), results.failures(names), results.busy(names)
    listed = []
    for name in names:
        state = (
            "done"
            if name not in missing
            else "failed"
            if name in failures
            else "running"
            if name in running
            else "missing"
        )
        of_run = {} if name in missing else results.of_run(name)
        why = {"reason": failures[name].reason} if state == "failed" else {}
        listed.append(
            {"fold": name, "state": state, "seconds": of_run.get("seconds"), "mode": of_run.get("mode")} | why
        )
    described = {name: metadata.get(name) for name in ("canonical", "classes", "data", "fingerprint")}
    return {"key": results.key, **described, "folds": listed}


def verify(place: Path, progress: Progress | None = None) -> list[Problem]:
    """Return what is damaged, foreign or left over in a store; what differs from run to run is ignored.

    Raises StoreError if there is no store.
    """
    root, found = root_of(place), []
    folders = _entries(root)
    for folder in track(folders, len(folders), "experiments", progress or Silent()):
        if not (KEY.fullmatch(folder.name) and folder.is_dir()):
            found.append(Problem("foreign", folder.name, "it is not the folder of an experiment", "move it elsewhere"))
            continue
        found += _problems(Results(root, folder.name))
    return found


def gc(place: Path, *, dry_run: bool = False) -> list[str]:
    """Remove what ended processes left in a store: temporary files, claims, folds without predictions.

    Returns the files, within the store; with `dry_run` nothing is removed. Raises StoreError.
    """
    root, found = root_of(place), []
    for problem in verify(place):
        if problem.kind in ("orphaned", "left over"):
            found.append(problem.file)
            if not dry_run:
                (root / problem.file).unlink(missing_ok=True)
    return found


def merge(into: Path, others: Sequence[Path], *, pack: bool = True, progress: Progress | None = None) -> Merged:
    """Copy what a store lacks from other stores, and pack its folds; raises StoreError.

    Nothing of the store is changed: where another store has other results, folds or data for the same experiment, they
    are left out and named.
    """
    sources = [root_of(other) for other in others]
    root = root_of(into) if not sources or (into / "results").is_dir() else make_folder(into / "results")
    conflicts: list[str] = []
    new_experiments = folds = packed = 0
    given = [results for source in sources for results in experiments(source)]
    bar = progress or Silent()
    for results in track(given, len(given), "experiments of other stores", bar):
        mine = Results(root, results.key)
        new = not mine.metadata()
        with held(make_folder(mine.folder), wait=True):
            copied, problems = _joined(mine, results)
        conflicts += problems
        new_experiments, folds = new_experiments + (new and not problems), folds + copied
    if pack:
        own = experiments(root)
        packed = sum(_packed(results) for results in track(own, len(own), "experiments to pack", bar))
    return Merged(new_experiments, folds, packed, tuple(conflicts))


# --- the parts of a store ---------------------------------------------------------------------------------------------
def _entries(folder: Path) -> list[Path]:
    """Return what a folder contains, without links."""
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.is_symlink())
    except OSError:
        return []


def experiments(root: Path) -> list[Results]:
    """Return the experiments of a store, by key."""
    return [Results(root, each.name) for each in _entries(root) if KEY.fullmatch(each.name) and each.is_dir()]


def _planned(results: Results) -> tuple[StoredFold, ...] | None:
    try:
        return read_folds(results.folder / FOLDS).folds
    except (ConfigError, SplitError):
        return None


def _row(results: Results) -> Row:
    planned, metadata = _planned(results), results.metadata()
    canonical = metadata.get("canonical", {})
    parts = [_label(canonical.get(name)) for name in ("preprocessing", "sampling", "model", "protocol")]
    names = [fold.name for fold in planned] if planned else [fold.name for fold in results.folds()]
    missing = results.missing(names)
    size = sum(file.stat().st_size for file in _entries(results.folder) if file.is_file())
    return Row(
        key=results.key,
        name=" x ".join(parts[:3]) + f" under {parts[3]}",
        folds=len(names) - len(missing),
        total=len(names) if planned else None,
        failed=len(results.failures(missing)),
        running=len(results.busy(missing)),
        packed=len(results.pack.folds) if results.pack else 0,
        megabytes=size / 1e6,
    )


def _label(component: object) -> str:
    return str(component.get("name")) if isinstance(component, dict) else str(component)


# --- what is wrong ----------------------------------------------------------------------------------------------------
GC = "microexpr store gc"
AGAIN = "remove it, and the fold is trained again"


def _problems(results: Results) -> Iterator[Problem]:
    """Yield what is wrong in the folder of an experiment."""
    files = _entries(results.folder)
    folds = f"{results.key}/{FOLDS}"
    place = f"{results.key}/experiment.json"
    try:
        metadata = results.metadata()
    except StoreError as error:
        yield Problem("damaged", place, str(error), "remove the folder to train again")
        return
    if not metadata and any(file.suffix == ".parquet" for file in files):
        yield Problem("damaged", place, "it is missing", "run the study again: it is written anew")
    planned = _planned(results)
    if planned is None and metadata:
        yield Problem("damaged", folds, "it is missing or damaged", "remove it and run the study again")
    known = None if planned is None else {fold.name: fold for fold in planned}
    try:
        pack = results.pack
        packed = {} if pack is None else {name: pack.rows("views", name).to_pandas() for name in pack.folds}
        own = set() if pack is None else {file.name for file in pack.files}
    except StoreError as error:
        yield Problem("damaged", f"{results.key}/{packs.INDEX}", str(error), "copy it again from where it was made")
        packed, own = {}, {file.name for file in files if file.name.startswith("packed")}
    for fold, views in packed.items():
        yield from _problems_of_views(results, f"{results.key}/{packs.INDEX}", fold, views, known)
    for file in files:
        if not file.is_dir() and file.name not in own:
            yield from _problems_of_file(results, file, {each.name for each in files}, known)


def _problems_of_file(
    results: Results, file: Path, names: set[str], known: Mapping[str, StoredFold] | None
) -> Iterator[Problem]:
    place = f"{results.key}/{file.name}"
    if file.name.endswith(TEMPORARY):
        yield Problem("left over", place, "a process ended while it wrote it", GC)
    elif not OWN.fullmatch(file.name):
        yield Problem("foreign", place, "it does not belong to a store", "move it elsewhere")
    elif file.name.endswith((".claim", ".lock")):
        if busy(file) is None:
            yield Problem("left over", place, "the process that made it has ended", GC)
    elif file.name.startswith("packed-"):
        yield Problem("left over", place, "it belongs to no pack", GC)
    elif found := PART.fullmatch(file.name):
        fold, suffix = found.groups()
        if known is not None and fold not in known:
            yield Problem("foreign", place, f"the experiment has no fold {fold}", "move it elsewhere")
        elif suffix in ("history.parquet", "run.json") and f"fold-{fold}.views.parquet" not in names:
            if not results.busy([fold]):
                yield Problem("orphaned", place, "the fold has no predictions", GC)
        elif suffix == "views.parquet" and f"fold-{fold}.history.parquet" not in names:
            yield Problem("orphaned", place, "the fold has no history", GC)
        elif suffix == "views.parquet":
            try:
                views = results.read(fold).views
            except StoreError as error:
                yield Problem("damaged", place, str(error), AGAIN)
            else:
                yield from _problems_of_views(results, place, fold, views, known)


def _problems_of_views(
    results: Results, place: str, fold: str, views: pd.DataFrame, known: Mapping[str, StoredFold] | None
) -> Iterator[Problem]:
    """Yield what is wrong with the predictions of a fold."""
    if known is not None and fold not in known:
        yield Problem("foreign", place, f"the experiment has no fold {fold}", AGAIN)
    elif not {"experiment", "fold", "part", "clip", "y_true", "p_0"} <= set(views.columns):
        yield Problem("foreign", place, "it holds no predictions", AGAIN)
    elif set(views["experiment"]) != {results.key} or set(views["fold"]) != {fold}:
        other = f"{views['experiment'].iloc[0]}, fold {views['fold'].iloc[0]}"
        yield Problem("foreign", place, f"it holds predictions of experiment {other}", "move it to its folder")
    elif not np.isfinite(views.filter(regex=r"^p_\d+$").to_numpy(float)).all():
        yield Problem("damaged", place, "probabilities are missing", AGAIN)
    elif known and set(views.loc[views["part"] == "test", "clip"]) != set(known[fold].test):
        yield Problem("damaged", place, f"its test clips are not those of {FOLDS}", AGAIN)


# --- joining and packing ----------------------------------------------------------------------------------------------
def _joined(mine: Results, other: Results) -> tuple[int, list[str]]:
    """Copy what a folder lacks from another of the same experiment; return the number of folds, and conflicts."""
    theirs, own = other.metadata(), mine.metadata()
    for name in FIXED if own else ():
        if own.get(name) != theirs.get(name):
            return 0, [f"{other.folder}: its {name} differs from that of {mine.folder}"]
    if own and _content(mine) != _content(other):
        return 0, [f"{other.folder}: its folds differ from those of {mine.folder}"]
    for file in _entries(other.folder):
        if file.name in ("experiment.json", FOLDS) or file.is_dir():
            _copy(file, mine.folder / file.name)
    names = [fold.name for fold in other.folds()]
    missing = set(mine.missing(names))
    conflicts = [
        f"{other.folder}: its predictions of fold {name} differ from those of {mine.folder}"
        for name in names
        if name not in missing and _digest(mine, name) != _digest(other, name)
    ]
    for name in names:
        if (weights := other.weights(name)).is_file() and name in missing:
            _copy(weights, mine.weights(name))
    for fold in other.read_all([name for name in names if name in missing]):
        mine.write(fold)
    return len(missing), conflicts


def _content(results: Results) -> str | None:
    try:
        return read_folds(results.folder / FOLDS).content
    except (ConfigError, SplitError):
        return None


def _digest(results: Results, fold: str) -> str:
    """Return a digest of the test predictions of a fold, however they are stored."""
    views = results.read(fold).views
    tested = views[views["part"] == "test"].sort_values(["clip"], kind="stable")
    columns = ["clip", "y_true", *views.filter(regex=r"^p_\d+$").columns]
    return hashlib.sha256(tested[columns].to_csv(index=False).encode()).hexdigest()


def _copy(source: Path, target: Path) -> None:
    """Copy a file or folder that is not there yet, without links."""
    if source.is_dir():
        for each in _entries(source):
            _copy(each, make_folder(target) / each.name)
    elif not target.exists() and not source.name.endswith(TEMPORARY):
        with replacing(target) as partial:
            shutil.copyfile(source, partial)


def _packed(results: Results) -> int:
    """Put all folds of an experiment into its pack, and return how many it has."""
    with held(results.folder, wait=True):
        before, loose = results.pack, results.loose()
        if not loose:
            return len(before.folds) if before else 0
        inside = [before.fold(name) for name in before.folds if name not in loose] if before else []
        outside = [results.unpacked(name) for name in sorted(loose)]
        together = list(packs.same_columns([*inside, *outside]))
        packs.write(results.folder, together)
        for name in {fold.name for fold in together} & loose:
            for suffix in ("run.json", "history.parquet", "views.parquet"):
                (results.folder / f"fold-{name}.{suffix}").unlink(missing_ok=True)
        return len(together)
