"""How SMIC's clips, subjects and tables are called, and how many were published."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from microexpr.components.datasets._naming import is_workbook
from microexpr.components.datasets._table import RowReader, squeeze
from microexpr.core.clip import Clip

NAME: Final = re.compile(r"s0*([1-9][0-9]?)_([a-z]+)_[0-9]+", re.IGNORECASE)
"""A clip: subject, short word for the emotion, number."""
SHORT: Final = {"ne": "negative", "po": "positive", "sur": "surprise"}
PUBLISHED: Final[Mapping[str, tuple[int, int, Mapping[str, int]]]] = MappingProxyType(
    {"HS": (164, 16, {"negative": 70, "positive": 51, "surprise": 43}), "VIS": (71, 8, {}), "NIR": (71, 8, {})}
)
"""Short clips, subjects and, where they are known, clips of each emotion, by camera."""


def is_subject(name: str) -> bool:
    return name[:1] in ("s", "S") and subject_of(name) != ""


def subject_of(text: str) -> str:
    """Return 's1' of '1', 's1', 'S01'; '' of anything else."""
    match = re.fullmatch("[sS]?0*([1-9][0-9]?)", text)
    return f"s{match[1]}" if match else ""


def spelt(name: str) -> str:
    return re.sub("^s0+", "s", name.casefold())  # as on disk: 's1_ne_01' of 's01_ne_01'


def told_by(video: str) -> str | None:
    """Return the emotion that a clip's name tells."""
    match = NAME.fullmatch(video)
    return SHORT.get(match[2].casefold()) if match else None


def is_table(name: str, camera: str) -> bool:
    named = squeeze(name).startswith(f"smic{camera.lower()}") and "annotation" in name.casefold()
    return named and is_workbook(name)


def compared(camera: str, clips: Collection[Clip]) -> str:
    """Return how the clips compare with those that were published."""
    number, subjects, words = PUBLISHED[camera]
    counts, found = Counter(clip.emotion for clip in clips), len({clip.subject_id for clip in clips})
    told = [f"{word} {counts[word]}, not {n}" for word, n in words.items() if counts[word] != n]
    told += [f"{found} subjects, not {subjects}"] if found != subjects else []
    if len(clips) == number and not told:
        return "as published, "
    size = f"{len(clips)} of {number}" if len(clips) <= number else f"{len(clips)}, not {number}"
    return f"{size}: {', '.join(told)}; " if told else f"{size}; "


def check_name(cells: RowReader, subject: str, video: str) -> None:
    """Note a name that is not built as the owners build them, or that bears another subject's number."""
    match = NAME.fullmatch(video)
    if video and not match:
        cells.note(f"the cell video holds {video!r}, not subject_word_number", "write a name like s1_ne_01")
    elif match and subject and f"s{match[1]}" != subject:
        cells.note(f"{video} is not called after its subject {subject}", "correct the one or the other")
