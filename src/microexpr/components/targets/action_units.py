"""Annotated facial action units as an auxiliary target."""

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
    """Which action units are annotated for a clip, yes or no for each of `units`; sides and intensities are ignored.

    Multi-task learning with action units as in AUMEs (Shi, Wang, Wang and Liu, Neural Processing Letters 57:18, 2025);
    units are those of the Facial Action Coding System (Ekman and Friesen 1978). The list is fixed in advance and not
    derived from the clips, so that test clips have no influence on it; by default it contains units that are frequent
    in CASME II, SAMM and CAS(ME)^3. A clip without any annotated unit is unknown, not without movement: it is ignored
    here. Uncertain units count as present. Action descriptors (AD38) are not action units and never count as the unit
    of their number; a clip with annotated descriptors only is annotated, and shows none of the units. The loss is
    multiplied by `weight` and added to that of the class; the losses of the units are averaged, with equal total weight
    for a unit's clips with and without it (`multitask.target_loss`).
    """

    units: Units = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17)
    weight: Weight = 1.0

    def __call__(self, clips: Sequence[Clip]) -> tuple[Float[np.ndarray, "n m"], tuple[str, ...]]:
        values = np.full((len(clips), len(self.units)), np.nan)
        for row, clip in enumerate(clips):
            if clip.action_units:
                values[row] = np.isin(self.units, [unit.number for unit in clip.action_units if not unit.descriptor])
        return values, tuple(f"AU{unit}" for unit in self.units)
