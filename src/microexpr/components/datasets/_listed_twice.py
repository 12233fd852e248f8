"""Frames that a table lists for two clips: one image under two subjects puts the same pixels into training and test."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from microexpr.core.clip import Clip
from microexpr.core.errors import Fault

FIX: Final = "correct the path, or delete the wrong row: frames that are in training and test raise every score"


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of a table: its number, its clip, and what it names, precomputed images or a frame folder."""

    row: int
    clip: Clip
    places: Mapping[str, Path]
    """Name as it is written -> where it is."""


def images_twice(table: Path, listed: Sequence[Listed]) -> Iterator[Fault]:
    """Yield a fault for each row whose precomputed image another row lists too."""
    for each, others in _sharing(listed):
        names = ", ".join(dict.fromkeys(name for _, name in others))
        yield _fault(table, each, f"{names} is also listed in {_rows(other for other, _ in others)}")


def folders_twice(table: Path, listed: Sequence[Listed]) -> Iterator[Fault]:
    """Yield a fault for each row whose frame folder another subject has too, or whose frames another clip has too."""
    for each, others in _sharing(listed):
        clip, name = each.clip, others[0][1]
        strangers = [other for other, _ in others if other.clip.subject != clip.subject]
        overlapping = [other for other, _ in others if _overlap(clip, other.clip)]
        if strangers:
            yield _fault(table, each, f"the folder {name} is listed for another subject in {_rows(strangers)}")
        elif overlapping:
            frames = f"the frames {clip.onset}-{clip.offset} of {name}"
            yield _fault(table, each, f"{frames} overlap those of {_rows(overlapping)}")


def _sharing(listed: Sequence[Listed]) -> Iterator[tuple[Listed, list[tuple[Listed, str]]]]:
    """Yield each row that shares a place with others: these, each with the place's name in this row."""
    by_place: dict[str, list[Listed]] = {}
    # Resolved, because `a/../b`, a link and an absolute path may all lead to one file.
    resolved = [{os.path.realpath(path): name for name, path in each.places.items()} for each in listed]
    for each, own in zip(listed, resolved, strict=True):
        for place in own:
            by_place.setdefault(place, []).append(each)
    for each, own in zip(listed, resolved, strict=True):
        others = [(other, name) for place, name in own.items() for other in by_place[place] if other is not each]
        if others:
            yield each, others


def _overlap(a: Clip, b: Clip) -> bool:
    """Whether two clips share a frame; offsets are inclusive."""
    if a.onset is None or a.offset is None or b.onset is None or b.offset is None:
        return False
    return a.onset <= b.offset and b.onset <= a.offset


def _fault(table: Path, each: Listed, problem: str) -> Fault:
    clip = each.clip
    return Fault("E201", f"{table.name}, row {each.row} ({clip.subject_id}/{clip.video})", problem, FIX, clip.key)


def _rows(listed: Iterable[Listed]) -> str:
    numbers = sorted({each.row for each in listed})
    return f"row{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
