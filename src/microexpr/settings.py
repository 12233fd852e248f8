"""Settings of an experiment that are no components: how a network is trained, how intervals are made, which scores.

Intervals and scores say what is made of stored predictions, so they are no part of an experiment's key.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from microexpr import contracts
from microexpr.component import Strict
from microexpr.errors import ConfigError

MEAN_OF_FOLDS = "mean_of_folds"


LATER = {
    "optimizer": "adamw",
    "schedule": "constant",
    "label_smoothing": 0.0,
    "draw": "clips",
    "average_last": 0,
    "ensemble": 1,
}
"""Settings of training that came later, and what they were before: stored results keep their keys."""


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
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """sgd has a momentum of 0.9."""
    schedule: Literal["constant", "cosine"] = "constant"
    """cosine: the learning rate falls to 0 along half a cosine over all epochs."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of every label that is spread evenly over all classes (Szegedy et al. 2016, section 7)."""
    draw: Literal["clips", "persons"] = "clips"
    """clips: every training view once an epoch. persons: as many views, drawn so that every person is as likely."""
    average_last: int = Field(0, ge=0)
    """Take the mean of the weights after each of so many last epochs (Izmailov et al. 2018); 0 = those of the last."""
    ensemble: int = Field(1, ge=1, le=64)
    """Train so many networks from different seeds and take the mean of their probabilities."""

    @model_validator(mode="after")
    def _averages_to_the_end(self) -> Training:
        if self.average_last and self.patience:
            raise ValueError(
                "average_last takes the mean of the last epochs, and patience may stop before them; set patience = 0"
            )
        if self.average_last > self.epochs:
            raise ValueError(f"average_last = {self.average_last} is more than there are epochs, {self.epochs}")
        return self

    def canonical(self) -> dict[str, Any]:
        """Return what makes a training what it is; what was added later counts only where it is used."""
        content = self.model_dump(mode="json")
        return {name: value for name, value in content.items() if name not in LATER or value != LATER[name]}


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
