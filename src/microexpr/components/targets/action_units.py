"""Facial action units as coders wrote them, learnt beside the class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Float
from pydantic import AfterValidator, Field

from microexpr.core.clip import Clip
from microexpr.core.interfaces import targets


def _once(units: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(units)) < len(units):
        raise ValueError("a unit is listed twice")
    return units


Units = Annotated[tuple[Annotated[int, Field(ge=1, le=99)], ...], Field(min_length=1), AfterValidator(_once)]
Weight = Annotated[float, Field(gt=0)]


@targets.register("action_units", revision=2)
@dataclass(frozen=True)
class ActionUnits:
    """Which action units a coder saw in a clip, one yes or no for each of `units`; sides and intensities do not count.

    Multi-task learning with action units as in AUMEs (Shi, Wang, Wang and Liu, Neural Processing Letters 57:18, 2025);
    units are those of the Facial Action Coding System (Ekman and Friesen 1978). The list is fixed beforehand and not
    read from the clips, so that nobody tested has a word in it; its default are units that CASME II, SAMM and CAS(ME)^3
    code often. A clip for which no unit at all was written down is unknown, not without movement: it teaches nothing
    here. Doubtful units count as seen. Action descriptors (AD38) are no action units and never count as the unit of
    their number; a clip for which they alone were written down was coded, and shows none of the units. `weight` times
    their loss is added to that of the class; the losses of the units are averaged, and a unit's clips with and without
    it weigh alike (`multitask.target_loss`).
    """

    units: Units = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17)
    weight: Weight = 1.0

    def __call__(self, clips: Sequence[Clip]) -> tuple[Float[np.ndarray, "n m"], tuple[str, ...]]:
        values = np.full((len(clips), len(self.units)), np.nan)
        for row, clip in enumerate(clips):
            if clip.action_units:
                values[row] = np.isin(self.units, [unit.number for unit in clip.action_units if not unit.descriptor])
        return values, tuple(f"AU{unit}" for unit in self.units)
