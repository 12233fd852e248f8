"""The annotated times of a clip, for samplings."""

from __future__ import annotations

from typing import Literal, TypeAlias

from microexpr.core.clip import Clip
from microexpr.core.errors import DataError

Missing: TypeAlias = Literal["refuse", "middle"]
"""What to do without an annotated apex (all of SMIC): raise an error, or use the middle of onset and offset."""


def ends(clip: Clip) -> tuple[int, int]:
    """Return onset and offset; raises DataError for a precomputed image."""
    if clip.onset is None or clip.offset is None:
        raise DataError(
            "E419",
            f'{clip.key}: a precomputed image has no onset, apex and offset. Set sampling = "image" and representation '
            '= "pixels", with a model for images.',
        )
    return clip.onset, clip.offset


def times(clip: Clip, missing: Missing) -> tuple[int, int, int]:
    """Return onset, apex and offset; raises DataError for a precomputed image, and for a missing apex if requested."""
    onset, offset = ends(clip)
    if clip.apex is not None:
        return onset, clip.apex, offset
    if missing == "middle":
        return onset, (onset + offset) // 2, offset
    raise DataError(
        "E402",
        f"{clip.key}: the clip has no apex. Add it to the table, use the middle of onset and offset "
        '(missing_apex = "middle"), or choose a sampling that needs no apex (clip or uniform).',
    )
