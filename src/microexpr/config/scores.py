"""Scores by name: a metric, ``uf1``, or the mean of its folds' scores, ``mean_of_folds(uf1)``; titles and order.

Titles are the metrics' own; the order in which tables list scores, and which scores are the main ones, is set here.
"""

from __future__ import annotations

from collections.abc import Iterable

from microexpr.core import interfaces
from microexpr.core.errors import ConfigError

MEAN_OF_FOLDS = "mean_of_folds"
MAIN = ("macro_f1", "uf1", "uar", "accuracy")
"""Scores that every table of results has, in this order. All are computed from confusion matrices."""
CHALLENGE = ("uf1", "uar")
"""The scores of MEGC 2019, by which the literature compares methods."""
USE_MAIN = f"Use {', '.join(MAIN[:-1])} or {MAIN[-1]}."
SELECT = "training.select"
ORDER = (*MAIN, "macro_f1_all", "weighted_f1", "macro_precision", "macro_recall", "expected_calibration_error")
"""The metrics of this package, in the order in which they are listed."""


def metric_of(score: str) -> tuple[str, bool]:
    """Return the metric of a score, and whether the score is the mean over folds.

    >>> metric_of("uf1"), metric_of("mean_of_folds(uf1)")
    (('uf1', False), ('uf1', True))
    """
    inner = score.removeprefix(f"{MEAN_OF_FOLDS}(").removesuffix(")")
    return (inner, True) if score == f"{MEAN_OF_FOLDS}({inner})" else (score, False)


def check_score(score: str) -> None:
    """Raise ConfigError if a score is neither a metric nor the mean of one over folds."""
    metric, _ = metric_of(score)
    if "(" in metric or ")" in metric:
        raise ConfigError(
            "E109",
            f"unknown score {score!r}; write a metric, such as uf1, or its mean over folds, {MEAN_OF_FOLDS}(uf1).",
        )
    interfaces.metrics.build(metric, {})


def title(score: str) -> str:
    """Return a score's name in a sentence; a metric without a title, or that is not installed, is titled by its name.

    >>> title("macro_f1"), title("mean_of_folds(uf1)"), title("top_two_f1")
    ('macro-F1', 'mean of folds: UF1', 'top two F1')
    """
    name, averaged = metric_of(score)
    built = interfaces.metrics.build(name, {}) if name in interfaces.metrics.names() else None
    found = str(getattr(built, "title", "") or name.replace("_f1", " F1").replace("_", " "))
    return f"mean of folds: {found}" if averaged else found


def in_order(scores: Iterable[str]) -> list[str]:
    """Return each score once, the main ones first, those of other packages last and by name.

    >>> in_order(["top_two", "weighted_f1", "mean_of_folds(uf1)", "accuracy", "uf1"])
    ['uf1', 'mean_of_folds(uf1)', 'accuracy', 'weighted_f1', 'top_two']
    """

    def place(score: str) -> tuple[int, str, bool]:
        metric, averaged = metric_of(score)
        return ORDER.index(metric) if metric in ORDER else len(ORDER), metric, averaged

    return sorted(dict.fromkeys(scores), key=place)


def all_metrics() -> dict[str, interfaces.Metric]:
    """Return every registered metric by name, in order."""
    return {name: interfaces.metrics.build(name, {}) for name in in_order(interfaces.metrics.names())}


def selecting_metric(name: str) -> interfaces.Metric:
    """Return the metric that selects on validation clips, `training.select`; raises ConfigError if it cannot."""
    confusion_metric(name, "E129", SELECT)
    built = interfaces.metrics.build(name, {})
    if not built.higher_is_better:
        raise ConfigError(
            "E129",
            f"{SELECT}: {name} is lower for better predictions, but the highest score is selected. {USE_MAIN}",
        )
    return built


def confusion_metric(name: str, code: str = "E818", where: str = "") -> interfaces.ConfusionMetric:
    """Return a registered metric that can be computed from confusion matrices; raises ConfigError otherwise.

    The error has this code, and begins with the setting that names the metric.
    """
    built = interfaces.metrics.build(name, {})
    if not isinstance(built, interfaces.ConfusionMetric):
        raise ConfigError(
            code,
            f"{f'{where}: ' if where else ''}{name} cannot be computed from confusion matrices, which is required "
            f"here. {USE_MAIN}",
        )
    return built
