"""Intervals of scores as the report gives them: by an experiment's settings, or by a stated rule where they fail."""

from __future__ import annotations

from typing import Any

import pandas as pd

from microexpr.config.settings import Bootstrap
from microexpr.core import interfaces as contracts
from microexpr.core.confusion import present
from microexpr.core.errors import ConfigError
from microexpr.core.randomness import rng_for
from microexpr.evaluation.statistics.bootstrap import METHODS, BootstrapInterval, Method, bootstrap

INSTEAD: Method = "expanded"
"""What stands in where a BCa interval cannot be given: all resamples on one side of the score, or one clip decides."""


def interval(predictions: pd.DataFrame, k: int, settings: Bootstrap, seed: int) -> BootstrapInterval:
    """Return macro-F1 of voted predictions with its interval."""
    try:
        return _interval(predictions, k, settings, seed, settings.method)
    except ConfigError:
        if settings.method != "bca":
            raise
        return _interval(predictions, k, settings, seed, INSTEAD)


def _interval(predictions: pd.DataFrame, k: int, settings: Bootstrap, seed: int, method: Method) -> BootstrapInterval:
    y_true = predictions["y_true"].to_numpy(int)
    return bootstrap(
        contracts.metrics.build("macro_f1", {}),
        y_true,
        predictions["y_pred"].to_numpy(int),
        num_classes=k,
        averaged_classes=present(y_true, k),
        rng=rng_for(seed, "bootstrap"),
        n=settings.n,
        level=settings.level,
        subjects=predictions["subject"].to_numpy() if settings.unit == "subject" else None,
        method=method,
        stratified=settings.stratified,
    )


def stated(settings: Bootstrap, used: set[Method]) -> dict[str, Any]:
    """Return what an interval is, in words and numbers; `used` are the methods of those that were made."""
    return {
        **settings.model_dump(),
        "method": words(settings.method, stratified=settings.stratified),
        "instead": METHODS[INSTEAD] if used - {settings.method} else None,
    }


def words(method: Method, *, stratified: bool = False) -> str:
    """Return the name of a method.

    >>> words("bca", stratified=True)
    'stratified BCa bootstrap'
    """
    return f"stratified {METHODS[method]}" if stratified else METHODS[method]
