"""What ``microexpr data`` tells of databases, as calls; light, because no model is needed for it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from microexpr.core.clip import Clip
from microexpr.core.errors import DataError, Fault, UsageError
from microexpr.core.files import make_folder, write_atomically
from microexpr.core.interfaces import Dataset, DatasetInfo, datasets, reader
from microexpr.core.labels import LabelSet, label_set
from microexpr.data import doctor
from microexpr.data.dataset_stats import census
from microexpr.data.doctor import Diagnosis

if TYPE_CHECKING:
    import pandas as pd

SYNTHETIC: Final = DatasetInfo(
    title="Drawn faces in CASME II's layout",
    doi="",
    licence="none needed: they are drawn on your machine and show no person",
    access="microexpr data make synthetic --out DIR, which is then read as casme2",
    n_clips=255,
    n_subjects=26,
    fps=200.0,
)
"""What `list_data` says of the database that can be drawn."""
COLUMNS: Final = (
    *("key", "dataset", "subject", "person", "video", "fps", "kind", "onset", "apex", "offset"),
    *("emotion", "label", "action_units"),
)
"""Columns of every table of clips; what a reader keeps besides (`Clip.labels`) follows, a column each."""
AS_WRITTEN: Final = "_as_written"
"""Ends the name of a label's column where one of ours has its name: action_units_as_written is the raw cell."""
BETWEEN: Final = "; "
"""Stands between the values of a label that has several."""


@dataclass(frozen=True, slots=True)
class ClipTable:
    """One row a clip (`rows`), and the faults of the clips that were left out."""

    rows: pd.DataFrame
    left_out: tuple[Fault, ...]
    empty: tuple[str, ...] = ()
    """Classes of the label set that no clip has."""
    unlike: tuple[str, ...] = ()
    """Databases of which the label set keeps no clip, or another number than was published of it."""


def check_data(
    name: str, root: Path | str, *, table_only: bool = False, parameters: Mapping[str, Any] | None = None
) -> Diagnosis:
    """Return everything that is wrong with a database's folder, and what it is; `table_only` looks at no picture.

    `parameters` are those of the reader, ``{"corrections": False}`` say. Raises only for one that it does not take; a
    folder that is not there is a fault like any other.
    """
    return doctor.check(name, Path(root), parameters or {}, table_only=table_only)


def data_table(
    name: str,
    root: Path | str,
    *,
    labels: str | Mapping[str, str] | None = None,
    table_only: bool = False,
    out: Path | str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> ClipTable:
    """Return the clips without faults as a table, and write it to `out`, a .csv or .parquet file.

    With a label set only the clips that it keeps are rows, and ``label`` is their class; without one every clip is a
    row and ``label`` its emotion, empty where it has none. `table_only` looks at no picture; `parameters` are those of
    the reader. Raises DataError where the table cannot be read or no clip is left.
    """
    suffix = _suffix(out, ".csv", ".parquet")
    _, labelled, left_out, chosen, unlike = _usable(name, root, labels, table_only, parameters or {})
    words = {word for _, word in labelled}
    empty = tuple(name for name in chosen.classes if name not in words) if chosen else ()
    found = ClipTable(_frame([_row(clip, word) for clip, word in labelled]), left_out, empty, unlike)
    if out is not None:
        _write(Path(out), found.rows.to_csv(index=False) if suffix == ".csv" else _parquet(found.rows))
    return found


def data_stats(
    name: str,
    root: Path | str,
    *,
    labels: str | Mapping[str, str] | None = None,
    table_only: bool = False,
    out: Path | str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return counts by class and person, durations and apex positions, and draw them to `out` (.svg, .png or .pdf).

    A position is 0 on the onset and 1 on the offset; an apex that nobody coded has none. The clips are those of
    `data_table`, and so are its parameters.
    """
    suffix = _suffix(out, ".svg", ".png", ".pdf")
    dataset, labelled, left_out, _, unlike = _usable(name, root, labels, table_only, parameters or {})
    told = {"title": dataset.info.title, "facts": dict(dataset.facts()), "left_out": list(map(str, left_out))}
    found = told | {"unlike": list(unlike)} | census(labelled)
    if out is not None:
        from microexpr.report.database import picture

        _write(Path(out), picture(found, suffix.removeprefix(".")))
    return found


def list_data() -> list[dict[str, Any]]:
    """Return what is known of every database that can be read, and of the one that can be drawn."""
    found = {name: (reader(name).info, reader(name).emotions) for name in datasets.names()}
    found["synthetic"] = (SYNTHETIC, reader("casme2").emotions)
    return [
        {
            "name": name,
            "title": info.title,
            "clips": info.n_clips,
            "subjects": info.n_subjects,
            "fps": info.fps,
            "emotions": list(dict.fromkeys(emotions.values())),
            "licence": info.licence,
            "access": info.access,
            "doi": info.doi,
        }
        for name, (info, emotions) in found.items()
    ]


def _usable(
    name: str,
    root: Path | str,
    labels: str | Mapping[str, str] | None,
    table_only: bool,
    parameters: Mapping[str, Any],
) -> tuple[Dataset, list[tuple[Clip, str]], tuple[Fault, ...], LabelSet | None, tuple[str, ...]]:
    """Return a reader, the clips that a label set keeps with their classes, the faults of the others, and the set.

    Last what is unusual about the number of clips that the set keeps.
    """
    dataset, clips, left_out = doctor.usable(name, Path(root), parameters, table_only=table_only)
    chosen = None if labels is None else label_set(labels, clips)
    labelled = list(_labelled(clips, chosen))
    if not labelled:
        unread = [rule.reads for rule in chosen.rules if rule.reads != "emotion"] if chosen else []
        cause = f" It reads the label {unread[0]!r}, which they lack." if unread else ""
        raise DataError(f"{name}: label set {labels!r} keeps none of its clips.{cause}")
    unlike = chosen.unlike(clips, synthetic="synthetic" in dataset.facts()) if chosen else []
    return dataset, labelled, left_out, chosen, tuple(kept.text for kept in unlike)


# --- the table --------------------------------------------------------------------------------------------------------
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


def _suffix(out: Path | str | None, *known: str) -> str:
    """Return the ending of a file to be written; raises UsageError, before anything is read, for an unknown one."""
    suffix = "" if out is None else Path(out).suffix.casefold()
    if out is not None and suffix not in known:
        raise UsageError(f"--out {out}: name a file that ends in {' or '.join(known)}.")
    return suffix


def _parquet(frame: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.to_parquet(stream, index=False)
    return stream.getvalue()


def _write(file: Path, content: str | bytes) -> None:
    make_folder(file.absolute().parent)
    write_atomically(file, content)
