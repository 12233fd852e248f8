"""Samplings that show motion: one view of several frames, for flow, interpolation in time and recurrent models."""

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
    """Onset and apex in one view: the pair between which most work computes flow.

    A clip whose apex is its onset shows that frame twice, and its flow is 0. `missing_apex` says what stands in for
    an apex that nobody coded.
    """

    missing_apex: Missing = "refuse"

    nominal: ClassVar[int] = 1
    uses_annotations: ClassVar[bool] = True

    def __call__(self, clip: Clip) -> Sequence[View]:
        return [times(clip, self.missing_apex)[:2]]


@samplers.register("apex_offset")
@dataclass(frozen=True)
class ApexOffset:
    """Apex and offset in one view: the way back.

    A clip whose apex is its offset shows that frame twice, and its flow is 0. `missing_apex` says what stands in for
    an apex that nobody coded.
    """

    missing_apex: Missing = "refuse"

    nominal: ClassVar[int] = 1
    uses_annotations: ClassVar[bool] = True

    def __call__(self, clip: Clip) -> Sequence[View]:
        return [times(clip, self.missing_apex)[1:]]


@samplers.register("onset_apex_offset")
@dataclass(frozen=True)
class OnsetApexOffset:
    """Onset, apex and offset in one view; flow of it is both directions, onset to apex and apex to offset.

    Where the apex is the onset or the offset that frame is shown twice, and the flow between is 0. `missing_apex`
    says what stands in for an apex that nobody coded.
    """

    missing_apex: Missing = "refuse"

    nominal: ClassVar[int] = 1
    uses_annotations: ClassVar[bool] = True

    def __call__(self, clip: Clip) -> Sequence[View]:
        return [times(clip, self.missing_apex)]


@samplers.register("clip")
@dataclass(frozen=True)
class WholeClip:
    """Every frame from onset to offset in one view; needs no apex. Clips differ in length, which not all can take."""

    nominal: ClassVar[int] = 1
    uses_annotations: ClassVar[bool] = True

    def __call__(self, clip: Clip) -> Sequence[View]:
        onset, offset = ends(clip)
        return [tuple(range(onset, offset + 1))]


@samplers.register("uniform")
@dataclass(frozen=True)
class Uniform:
    """`count` frames evenly from onset to offset, both of them shown, in one view; needs no apex.

    Times between two frames take the nearer one. A clip of fewer frames shows some of them more than once, so that
    all views are alike: as a film shown slower, its motion stands still in between.
    """

    count: Annotated[int, Field(ge=2, le=512)] = 10

    nominal: ClassVar[int] = 1
    uses_annotations: ClassVar[bool] = True

    def __call__(self, clip: Clip) -> Sequence[View]:
        return [tuple(int(number) for number in np.linspace(*ends(clip), self.count).round())]
