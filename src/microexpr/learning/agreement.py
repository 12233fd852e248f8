"""How well an exported graph must agree with its network, and on how many views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command shows these numbers, and starts without the libraries
    from microexpr.config.settings import Precision

VIEWS = 1000
"""How many views are compared unless the caller chooses, and the fewest for bf16."""
MAX_CHANGE: Mapping[Precision, float] = {"float32": 1e-4, "bf16": 0.01}
"""Largest change of any probability with which a graph is accepted."""
MIN_SAME = 0.995
"""Smallest share of views with the same most probable class."""
