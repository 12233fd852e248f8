"""The paper's three temporal samplings (section II.A, Fig. 1), each view one frame; and the ready image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from microexpr.clip import Clip
from microexpr.contracts import View, samplers
from microexpr.errors import DataError


@samplers.register("af")
@dataclass(frozen=True)
class ApexFrame:
    """AF: the apex frame, one view a clip."""

    nominal: ClassVar[int] = 1

    def __call__(self, clip: Clip) -> Sequence[View]:
        return [(_times(clip)[1],)]


@samplers.register("kfs")
@dataclass(frozen=True)
class KeyFrameSequence:
    """KFS: onset, apex and offset, always three views a clip (apex may be onset or offset)."""

    nominal: ClassVar[int] = 3

    def __call__(self, clip: Clip) -> Sequence[View]:
        return [(number,) for number in _times(clip)]


@samplers.register("mfs")
@dataclass(frozen=True)
class MultiFrameSampling:
    """MFS: windows around the key frames, 13 frames nominally.

    With `drop` (the default) frames outside onset..offset and repeats are left out, so that short clips give
    fewer; without it every frame of the windows is taken as the paper writes them.
    """

    onset: tuple[int, ...] = (0, 1, 2, 3)
    apex: tuple[int, ...] = (-2, -1, 0, 1, 2)
    offset: tuple[int, ...] = (-3, -2, -1, 0)
    drop: bool = True

    @property
    def nominal(self) -> int:
        """Views a clip before anything is dropped."""
        return len(self.onset) + len(self.apex) + len(self.offset)

    def __call__(self, clip: Clip) -> Sequence[View]:
        first, peak, last = _times(clip)
        windows = ((first, self.onset), (peak, self.apex), (last, self.offset))
        numbers = [key + step for key, steps in windows for step in steps]
        if self.drop:
            numbers = sorted({number for number in numbers if first <= number <= last})
        return [(number,) for number in numbers]


@samplers.register("image")
@dataclass(frozen=True)
class ReadyImage:
    """The one image of a clip without time."""

    nominal: ClassVar[int] = 1

    def __call__(self, clip: Clip) -> Sequence[View]:
        if clip.onset is not None:
            raise DataError(
                f'{clip.key}: sampling "image" is for ready images; this clip has frames: take af, kfs or mfs.'
            )
        return [(0,)]


def _times(clip: Clip) -> tuple[int, int, int]:
    if clip.onset is None or clip.offset is None:
        raise DataError(f'{clip.key}: a ready image has no onset, apex and offset; take sampling = "image".')
    if clip.apex is None:
        raise DataError(
            f"{clip.key}: the clip has no apex; name one in the table, or let the reader's correction fill it."
        )
    return clip.onset, clip.apex, clip.offset
