"""A synthetic person's expression as single frames, for examples in the layout of other databases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from .face import face
from .planning import ClipPlan
from .rendering import render
from .spec import SyntheticSpec


def film(
    subject: int, numbers: Sequence[int], apex: int, *, emotion: str = "happiness", units: Sequence[str] = ("6", "12")
) -> Iterator[UInt8[np.ndarray, "480 640 3"]]:
    """Yield the frames of one expression (red, green, blue) that starts at the first number and peaks at `apex`."""
    spec = SyntheticSpec(expression_size=3.0, blinks=0.0)
    clip = ClipPlan(
        subject=f"{subject:02d}",
        filename="",
        onset=numbers[0],
        apex=apex,
        offset=numbers[-1],
        action_units="+".join(units),
        emotion=emotion,
        index=subject,
        moved=tuple(units),
        peak=apex,
        last=numbers[-1],
        amplitude=2.5,
        residual=0.05,
    )
    return (render(face(spec, clip.subject), clip, number) for number in numbers)
