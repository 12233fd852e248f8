"""A database's clips as a table, and what a label set keeps of them; imports no model."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from microexpr.core.clip import Clip
from microexpr.core.errors import DataError, Fault, UsageError
from microexpr.core.interfaces import Dataset
from microexpr.core.labels import LabelSet, label_set
from microexpr.data import doctor

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Final = (
    *("key", "dataset", "subject_id", "subject", "video", "fps", "kind", "onset", "apex", "offset"),
    *("emotion", "label", "action_units"),
)
"""Columns of every table of clips; further entries of `Clip.labels` follow, one column each."""
AS_WRITTEN: Final = "_as_written"
"""Suffix of a label's column whose name is taken: action_units_as_written is the raw cell."""
BETWEEN: Final = "; "
"""Separator of the values of a label that has several."""


@dataclass(frozen=True, slots=True)
class ClipTable:
    """One row per clip (`rows`), and the faults of the clips that were left out."""

    rows: pd.DataFrame
    left_out: tuple[Fault, ...]
    empty: tuple[str, ...] = ()
    """Classes of the label set that no clip has."""
    warnings: tuple[str, ...] = ()
    """The label set keeps no clip of a database, or another number than was published."""


def clip_table(
    name: str,
    root: Path,
    labels: str | Mapping[str, str] | None,
    *,
    table_only: bool,
    parameters: Mapping[str, Any],
) -> ClipTable:
    """Return the clips without faults that a label set keeps, without one all of them, as a table; raises DataError."""
    found = labelled_clips(name, root, labels, table_only=table_only, parameters=parameters)
    words = {word for _, word in found.clips}
    empty = tuple(each for each in found.labels.classes if each not in words) if found.labels else ()
    return ClipTable(_frame([_row(clip, word) for clip, word in found.clips]), found.left_out, empty, found.warnings)


@dataclass(frozen=True, slots=True)
class LabelledClips:
    """The clips of a database that a label set keeps, with their classes."""

    dataset: Dataset
    clips: Sequence[tuple[Clip, str]]
    left_out: tuple[Fault, ...]
    """Faults of the clips that were left out."""
    labels: LabelSet | None
    warnings: tuple[str, ...]
    """Warnings about the number of clips that the set keeps."""


def labelled_clips(
    name: str,
    root: Path,
    labels: str | Mapping[str, str] | None,
    *,
    table_only: bool,
    parameters: Mapping[str, Any],
) -> LabelledClips:
    """Return the clips without faults that a label set keeps, without one all of them; raises DataError for none."""
    dataset, clips, left_out = doctor.usable(name, root, parameters, table_only=table_only)
    chosen = None if labels is None else label_set(labels, clips)
    labelled = list(_labelled(clips, chosen))
    if not labelled:
        unread = [rule.reads for rule in chosen.rules if rule.reads != "emotion"] if chosen else []
        cause = f" It reads the label {unread[0]!r}, which they lack." if unread else ""
        raise DataError("E261", f"{name}: label set {labels!r} keeps none of its clips.{cause}")
    warnings = chosen.count_warnings(clips, synthetic="synthetic" in dataset.metadata()) if chosen else []
    return LabelledClips(dataset, labelled, left_out, chosen, tuple(kept.text for kept in warnings))


def file_type(out: Path | str | None, *known: str) -> str:
    """Return the suffix of a file to be written; raises UsageError for an unknown one, before anything is read."""
    suffix = "" if out is None else Path(out).suffix.casefold()
    if out is not None and suffix not in known:
        raise UsageError("E105", f"--out {out}: the file name must end in {' or '.join(known)}.")
    return suffix


def to_bytes(rows: pd.DataFrame, suffix: str) -> bytes:
    """Return the content of a .csv or .parquet file."""
    if suffix == ".csv":
        return rows.to_csv(index=False).encode("utf-8")
    stream = io.BytesIO()
    rows.to_parquet(stream, index=False)
    return stream.getvalue()


def _labelled(clips: Iterable[Clip], labels: LabelSet | None) -> Iterator[tuple[Clip, str]]:
    for clip in clips:
        word = (clip.emotion or "") if labels is None else labels.of(clip)
        if word is not None:
            yield clip, word


def _row(clip: Clip, label: str) -> dict[str, object]:
    known = {name: getattr(clip, name) for name in COLUMNS if name not in ("label", "action_units")}
    known |= {"emotion": clip.emotion or "", "label": label, "action_units": "+".join(map(str, clip.action_units))}
    own = {name + AS_WRITTEN * (name in COLUMNS): BETWEEN.join(words) for name, words in clip.labels.items()}
    return {**known, **own}


def _frame(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    import pandas as pd

    own = dict.fromkeys((name for row in rows for name in row if name not in COLUMNS), "")
    frame = pd.DataFrame([{**own, **row} for row in rows], columns=[*COLUMNS, *own])
    return frame.astype({"onset": "Int64", "apex": "Int64", "offset": "Int64", "fps": "float64"})
