"""What a paired test treats as fixed: how its two sides were trained, and so what a difference refers to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.05
"""Level of significance of all tests."""


@dataclass(frozen=True, slots=True)
class Trained:
    """How often the sides of a paired test were trained.

    The test swaps or resamples subjects of the test set, never trainings. In a hold-out, one training per side predicts
    every subject: a difference is a property of the resulting networks, and another seed could reverse it. In
    cross-validation, subjects of different folds are predicted by separate trainings.
    """

    folds: int | None = None
    """Folds of one split of the clips, 1 for a hold-out; None if not known."""
    seeds: int = 1
    networks: bool = True
    """Whether all sides are networks trained in epochs; otherwise texts say "models"."""

    @property
    def holdout(self) -> bool:
        """Whether one training per seed predicts all test clips."""
        return self.folds == 1

    @property
    def things(self) -> str:
        """What was trained, in the plural."""
        return "networks" if self.networks else "models"

    def verdict(self, *, significant: bool, sides: int = 2) -> str:
        """Return what may be said of a difference, depending on its significance and on the number of trainings."""
        if not self.holdout:
            return f"the difference is {'' if significant else 'not '}significant"
        these = f"these {'two ' if sides * self.seeds == 2 else ''}trained {self.things}"
        return f"{these} differ significantly" if significant else f"{these} do not differ significantly"

    @property
    def caveat(self) -> str:
        """Return what a test in a hold-out does not cover; empty for other protocols."""
        if not self.holdout:
            return ""
        seeds = "one seed" if self.seeds == 1 else f"{self.seeds} seeds"
        return (
            f"Hold-out with {seeds}: every test clip is predicted by the same trained {self.things}, which the test "
            "treats as fixed. The result applies to other subjects; it says nothing about the methods that trained "
            "them. Comparing methods takes cross-validation and several seeds."
        )


UNKNOWN = Trained()
"""How it was trained is not known, so nothing is said about it."""


def together(each: Sequence[Trained]) -> Trained:
    """Return what holds for several comparisons at once, so that the wording is right for all of them."""
    known = [one for one in each if one.folds is not None]
    if not known:
        return UNKNOWN
    return Trained(
        min(one.folds or 0 for one in known), max(one.seeds for one in known), all(one.networks for one in known)
    )
