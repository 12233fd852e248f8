"""The coded times of a clip, as samplings take them."""

from __future__ import annotations

from typing import Literal, TypeAlias

from microexpr.core.clip import Clip
from microexpr.core.errors import DataError

Missing: TypeAlias = Literal["refuse", "middle"]
"""What to do with a clip whose apex nobody coded (all of SMIC): refuse it, or take the middle of onset and offset."""


def ends(clip: Clip) -> tuple[int, int]:
    """Return onset and offset; raises DataError for a ready image."""
    if clip.onset is None or clip.offset is None:
        raise DataError(
            "E201",
            f'{clip.key}: a ready image has no onset, apex and offset; take sampling = "image" and representation = '
            '"pixels", with a model that looks at pictures.',
        )
    return clip.onset, clip.offset


def times(clip: Clip, missing: Missing) -> tuple[int, int, int]:
    """Return onset, apex and offset; raises DataError for a ready image, and for a clip without apex if so asked."""
    onset, offset = ends(clip)
    if clip.apex is not None:
        return onset, clip.apex, offset
    if missing == "middle":
        return onset, (onset + offset) // 2, offset
    raise DataError(
        "E201",
        f"{clip.key}: the clip has no apex; name one in the table, let the reader's correction fill it, take the "
        'middle of onset and offset: missing_apex = "middle", or a sampling that needs none: clip or uniform.',
    )
