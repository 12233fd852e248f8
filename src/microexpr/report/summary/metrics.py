"""Titles, order and definitions of scores."""

from __future__ import annotations

from microexpr.config.scores import in_order, title
from microexpr.core import interfaces
from microexpr.report.summary import Metric


def defined(*names: str) -> dict[str, Metric]:
    """Return the definitions of scores (default: of all that are registered), in the order in which they are shown."""
    return {name: _definition(name) for name in in_order(names or interfaces.metrics.names())}


def _definition(name: str) -> Metric:
    built = interfaces.metrics.build(name, {})
    formula = next(iter((type(built).__doc__ or "").splitlines()), "")
    return Metric(title=title(name), formula=formula, absent_classes=built.absent_classes)
