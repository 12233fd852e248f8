"""The paper's three temporal samplings (section II.A, Fig. 1), with one frame per view; and precomputed images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from microexpr.components.sampling._times import Missing, times
from microexpr.core.clip import Clip
from microexpr.core.errors import ConfigError, DataError
from microexpr.core.interfaces import View, samplers


@samplers.register("af")
@dataclass(frozen=True)
class ApexFrame:
    """AF: the apex frame, one view per clip. `missing_apex`: what to do if no apex is annotated."""

    missing_apex: Missing = "refuse"

    nominal: ClassVar[int] = 1
    uses_annotations: ClassVar[bool] = True

    def __call__(self, clip: Clip) -> Sequence[View]:
        return [(times(clip, self.missing_apex)[1],)]


@samplers.register("kfs")
@dataclass(frozen=True)
class KeyFrameSequence:
    """KFS: onset, apex and offset, always three views per clip (the apex may equal onset or offset).

    `missing_apex`: what to do if no apex is annotated.
    """

    missing_apex: Missing = "refuse"

    nominal: ClassVar[int] = 3
    uses_annotations: ClassVar[bool] = True

    def __call__(self, clip: Clip) -> Sequence[View]:
        return [(number,) for number in times(clip, self.missing_apex)]


@samplers.register("mfs")
@dataclass(frozen=True)
class MultiFrameSampling:
    """MFS: windows around the key frames, nominally 13 frames.

    With `drop` (the default), frames outside onset..offset and repeated frames are left out, so that short clips have
    fewer; without it, every frame of the windows is used, as described in the paper. `missing_apex`: what to do if no
    apex is annotated.
    """

    onset: tuple[int, ...] = (0, 1, 2, 3)
    apex: tuple[int, ...] = (-2, -1, 0, 1, 2)
    offset: tuple[int, ...] = (-3, -2, -1, 0)
    drop: bool = True
    missing_apex: Missing = "refuse"

    uses_annotations: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.nominal:
            raise ConfigError(
                "E113",
                "sampling mfs: all three windows are empty, so no clip has a view. Set steps for at least one of "
                "onset, apex and offset, such as apex = [0].",
            )

    @property
    def nominal(self) -> int:
        """Number of views of a clip before any are dropped."""
        return len(self.onset) + len(self.apex) + len(self.offset)

    def __call__(self, clip: Clip) -> Sequence[View]:
        first, peak, last = times(clip, self.missing_apex)
        windows = ((first, self.onset), (peak, self.apex), (last, self.offset))
        numbers = [key + step for key, steps in windows for step in steps]
        if self.drop:
            numbers = sorted({number for number in numbers if first <= number <= last})
        if not numbers:
            raise DataError(
                "E404",
                f"{clip.key}: no frame of the windows of mfs is between onset and offset ({first} to {last}). Use "
                "steps closer to the key frames.",
            )
        return [(number,) for number in numbers]


@samplers.register("image")
@dataclass(frozen=True)
class ReadyImage:
    """The image of a clip without time; of a series of images the first `count`, in one view."""

    count: Annotated[int, Field(ge=1, le=64)] = 1

    nominal: ClassVar[int] = 1
    uses_annotations: ClassVar[bool] = False

    def __call__(self, clip: Clip) -> Sequence[View]:
        if clip.onset is not None:
            raise DataError(
                "E403",
                f'{clip.key}: sampling "image" is for precomputed images, but this clip has frames. Use af, kfs or '
                "mfs for single frames, or onset_apex, clip or uniform for several in one view.",
            )
        return [tuple(range(self.count))]
