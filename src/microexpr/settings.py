"""Settings of an experiment that are no components: how a network is trained, how intervals are made, which scores.

Intervals and scores say what is made of stored predictions, so they are no part of an experiment's key.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from microexpr import contracts
from microexpr.component import Strict
from microexpr.errors import ConfigError

MEAN_OF_FOLDS = "mean_of_folds"


class Training(Strict):
    """How a network is trained (paper, section II.C); what the paper leaves open has the default named first."""

    epochs: int = Field(50, ge=1)
    learning_rate: float = Field(5e-5, gt=0)
    weight_decay: float = Field(1e-3, ge=0)
    batch: int = Field(16, ge=1)
    patience: int = Field(5, ge=0)
    """Epochs without a better validation score before a training stops; 0 = all epochs, the last one kept."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """auto = bf16 where the accelerator has it."""


class Bootstrap(Strict):
    """Intervals of scores by resampling persons, expanded: on made-up test sets of known truth they cover best.

    The paper's are ``unit = "clip"`` and ``method = "percentile"``. `statistics.bootstrap` says what each method does.
    """

    n: int = Field(1000, ge=100, le=1_000_000)
    unit: Literal["clip", "person"] = "person"
    method: Literal["percentile", "bca", "expanded"] = "expanded"
    stratified: bool = False
    """Draw clips within their true class, so that every resample has the classes' sizes."""
    level: float = Field(0.95, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _strata_of_clips(self) -> Bootstrap:
        if self.stratified and self.unit == "person":
            raise ValueError(
                "persons show several classes, so resampling them cannot keep the classes' sizes; "
                'set unit = "clip" as well, or leave stratified out'
            )
        return self


def metric_of(score: str) -> tuple[str, bool]:
    """Return the metric that a score names, and whether it is the mean of the folds' scores.

    >>> metric_of("uf1"), metric_of("mean_of_folds(uf1)")
    (('uf1', False), ('uf1', True))
    """
    inner = score.removeprefix(f"{MEAN_OF_FOLDS}(").removesuffix(")")
    return (inner, True) if score == f"{MEAN_OF_FOLDS}({inner})" else (score, False)


def check_score(score: str) -> None:
    """Raise ConfigError where a score is neither a metric nor the mean of one over folds."""
    metric, _ = metric_of(score)
    if "(" in metric or ")" in metric:
        raise ConfigError(f"unknown score {score!r}; write a metric, uf1, or its mean of folds, {MEAN_OF_FOLDS}(uf1).")
    contracts.metrics.build(metric, {})
