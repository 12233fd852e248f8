"""Statistics of a database: clips by class and subject, durations, positions of the apex; the list of databases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from microexpr.core.clip import Clip
from microexpr.core.interfaces import datasets, reader
from microexpr.data.clip_table import labelled_clips


def dataset_stats(
    name: str,
    root: Path,
    labels: str | Mapping[str, str] | None,
    *,
    table_only: bool,
    parameters: Mapping[str, Any],
) -> dict[str, Any]:
    """Return counts, durations and apex positions of the clips that a label set keeps; raises DataError for none."""
    found = labelled_clips(name, root, labels, table_only=table_only, parameters=parameters)
    return {
        "title": found.dataset.info.title,
        "metadata": dict(found.dataset.metadata()),
        "left_out": list(map(str, found.left_out)),
        "warnings": list(found.warnings),
        **clip_stats(found.clips),
    }


def list_databases() -> list[dict[str, Any]]:
    """Return the metadata of every database that can be read, and of the synthetic one."""
    from microexpr.components.datasets.synthetic import INFO

    found = {name: (reader(name).info, reader(name).emotions) for name in datasets.names()}
    found["synthetic"] = (INFO, reader("casme2").emotions)
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


def clip_stats(labelled: Iterable[tuple[Clip, str]]) -> dict[str, Any]:
    """Return the counts of clips and their classes as plain values.

    ``each`` has frames, milliseconds and the relative apex of every clip: 0 at the onset, 1 at the offset, None where
    it was not coded.
    """
    each = [_measured(clip, word) for clip, word in labelled]
    classes = _by(each, "label")
    subjects = dict(sorted(_by(each, "subject").items(), key=lambda item: _natural(item[0])))
    order = sorted(classes, key=lambda word: -len(classes[word]))
    return {
        "clips": len(each),
        "subjects": len(subjects),
        "all": _summary(each),
        "classes": {word: _summary(classes[word]) for word in order},
        "by_subject": {
            subject: {word: sum(row["label"] == word for row in rows) for word in order}
            for subject, rows in subjects.items()
        },
        "each": each,
    }


def _measured(clip: Clip, label: str) -> dict[str, Any]:
    row: dict[str, Any] = {"key": clip.key, "subject": clip.subject, "kind": clip.kind, "label": label}
    row |= {"frames": None, "milliseconds": None, "apex": None}
    if clip.onset is None or clip.offset is None:
        return row
    row["frames"] = clip.offset - clip.onset + 1
    if clip.fps is not None:
        row["milliseconds"] = round(1000 * row["frames"] / clip.fps, 3)
    if clip.apex is not None and clip.offset > clip.onset and "apex" not in clip.labels.get("estimated", ()):
        row["apex"] = round((clip.apex - clip.onset) / (clip.offset - clip.onset), 4)
    return row


def _natural(name: str) -> list[tuple[str, int]]:
    """Return a sort key that puts spNO.2 before spNO.10."""
    return [(text, int(digits or 0)) for text, digits in re.findall(r"(\D*)(\d*)", name)]


def _by(each: Iterable[dict[str, Any]], name: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in each:
        found.setdefault(row[name], []).append(row)
    return found


def _summary(each: Sequence[dict[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = {"clips": len(each), "subjects": len({row["subject"] for row in each})}
    for name in ("frames", "milliseconds", "apex"):
        known = [row[name] for row in each if row[name] is not None]
        summary[name] = {"min": min(known), "median": median(known), "max": max(known)} if known else None
    return summary | {"without_apex": sum(row["apex"] is None for row in each)}
