"""What a paired test holds fixed: how its two sides were trained, and so what a difference is a difference of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trained:
    """How often the sides of a paired test were trained.

    The test swaps or resamples subjects of the test set, never trainings. Under a hold-out one training a side predicts
    every subject: whatever is found is a property of the networks that came out, and another seed could turn it round.
    In cross-validation subjects of different folds are predicted by separate trainings.
    """

    folds: int | None = None
    """Folds of one division of the clips, 1 being a hold-out; None where it is not known."""
    seeds: int = 1
    networks: bool = True
    """Whether all sides are networks trained in epochs; else the words are about models."""

    @property
    def holdout(self) -> bool:
        """Whether one training a seed predicts all test clips."""
        return self.folds == 1

    @property
    def things(self) -> str:
        """What was trained."""
        return "networks" if self.networks else "models"

    def verdict(self, *, told: bool, sides: int = 2) -> str:
        """Return what may be said of a difference that is significant (`told`) or not, between so many trainings."""
        if not self.holdout:
            return "a difference can be told" if told else "no difference can be told"
        these = f"these {'two ' if sides * self.seeds == 2 else ''}trained {self.things}"
        return f"{these} differ" if told else f"{these} do not differ significantly"

    @property
    def caveat(self) -> str:
        """Return what a test under a hold-out does not cover; empty for another protocol."""
        if not self.holdout:
            return ""
        seeds = "one seed" if self.seeds == 1 else f"{self.seeds} seeds"
        return (
            f"Hold-out with {seeds}: every test clip is predicted by the same trained {self.things}, which the test "
            "holds fixed. It covers other subjects and says nothing about the methods that trained them: that takes "
            "cross-validation, and several seeds."
        )


UNKNOWN = Trained()
"""How it came to be is not known, so nothing is said of it."""


def together(each: Sequence[Trained]) -> Trained:
    """Return what holds for several comparisons at once: words that claim too much for none of them."""
    known = [one for one in each if one.folds is not None]
    if not known:
        return UNKNOWN
    return Trained(
        min(one.folds or 0 for one in known), max(one.seeds for one in known), all(one.networks for one in known)
    )
