"""What the parameters and labels of several models have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

Rate = Annotated[float, Field(ge=0, lt=1)]
"""A share of units or blocks that is dropped in training."""
Units = Annotated[int, Field(ge=1, le=4096)]
"""Units of a layer."""
FrozenStages = Annotated[int, Field(ge=-1)]
"""Stages whose weights are not trained; -1 freezes the whole body."""
Penalty = Annotated[float, Field(gt=0)]
"""The parameter `C` of a support vector machine or a regression."""
Grey = Literal["sum", "copy"]
"""How a network for colour takes one channel: first-layer weights summed, or the channel copied."""
Size = Literal["nano", "base"]
"""A version for CPUs, and the one of the original's size."""

NO_WEIGHTS: Mapping[str, str] = {"weights": "none"}
RANDOM_WEIGHTS: Mapping[str, str] = {"weights": "random"}


def label_of_size(label: str, size: Size) -> str:
    """Return a model's label, with its size unless it is the original's.

    >>> label_of_size("after Micron-BERT", "nano")
    'after Micron-BERT (nano)'
    """
    return label if size == "base" else f"{label} ({size})"
