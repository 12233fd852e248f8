"""Samplings with several frames per view, for flow, temporal interpolation and recurrent models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from microexpr.components.sampling._times import Missing, ends, times
from microexpr.core.clip import Clip
from microexpr.core.interfaces import View, samplers


@samplers.register("onset_apex")
@dataclass(frozen=True)
class OnsetApex:
    """Onset and apex in one view: the pair from which flow is usually computed.

    A clip whose apex is its onset shows that frame twice, and its flow is 0. `missing_apex`: what to do if no apex is
    annotated.
    """

    missing_apex: Missing = "refuse"

    nominal: ClassVar[int] = 1
    uses_annotations: ClassVar[bool] = True

    def __call__(self, clip: Clip) -> Sequence[View]:
        return [times(clip, self.missing_apex)[:2]]


@samplers.register("apex_offset")
@dataclass(frozen=True)
class ApexOffset:
    """Apex and offset in one view: the end of the expression.

    A clip whose apex is its offset shows that frame twice, and its flow is 0. `missing_apex`: what to do if no apex is
    annotated.
    """

    missing_apex: Missing = "refuse"

    nominal: ClassVar[int] = 1
    uses_annotations: ClassVar[bool] = True

    def __call__(self, clip: Clip) -> Sequence[View]:
        return [times(clip, self.missing_apex)[1:]]


@samplers.register("onset_apex_offset")
@dataclass(frozen=True)
class OnsetApexOffset:
    """Onset, apex and offset in one view; its flow is onset to apex and apex to offset.

    If the apex is the onset or the offset, that frame is shown twice, and the flow between is 0. `missing_apex`: what
    to do if no apex is annotated.
    """

    missing_apex: Missing = "refuse"

    nominal: ClassVar[int] = 1
    uses_annotations: ClassVar[bool] = True

    def __call__(self, clip: Clip) -> Sequence[View]:
        return [times(clip, self.missing_apex)]


@samplers.register("clip")
@dataclass(frozen=True)
class WholeClip:
    """All frames from onset to offset in one view; needs no apex. Not all models accept clips of different length."""

    nominal: ClassVar[int] = 1
    uses_annotations: ClassVar[bool] = True

    def __call__(self, clip: Clip) -> Sequence[View]:
        onset, offset = ends(clip)
        return [tuple(range(onset, offset + 1))]


@samplers.register("uniform")
@dataclass(frozen=True)
class Uniform:
    """`count` evenly spaced frames from onset to offset, both included, in one view; needs no apex.

    Positions between two frames use the nearer one. A clip with fewer frames repeats some of them, so that all views
    have the same length: its motion then pauses, as in a slowed-down film.
    """

    count: Annotated[int, Field(ge=2, le=512)] = 10

    nominal: ClassVar[int] = 1
    uses_annotations: ClassVar[bool] = True

    def __call__(self, clip: Clip) -> Sequence[View]:
        return [tuple(int(number) for number in np.linspace(*ends(clip), self.count).round())]
