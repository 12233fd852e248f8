"""Scores by name: their titles, their order, and metrics of other packages among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from microexpr.config import scores
from microexpr.config.experiment import Experiment
from microexpr.core.errors import ConfigError, UnknownComponentError
from microexpr.core.interfaces import ConfusionMetric, metrics
from refusal import refuses

BASE = Experiment().with_values({"datasets": "manifest", "labels": "as_given", "model": "small_cnn"})


@pytest.fixture
def other():
    """Register a metric, as another package does; forget it afterwards."""
    before = {name: dict(getattr(metrics, name)) for name in vars(metrics) if isinstance(getattr(metrics, name), dict)}
    yield lambda name, metric: metrics.register(name)(metric)
    for name, known in before.items():
        getattr(metrics, name).clear()
        getattr(metrics, name).update(known)


@dataclass(frozen=True)
class TopTwo:
    """Share of clips whose class is among the two most probable."""

    absent_classes: ClassVar[str] = "every clip counts once"
    higher_is_better: ClassVar[bool] = True

    def __call__(self, y_true, y_pred, proba, averaged_classes):
        return float(np.mean((np.argsort(proba)[:, -2:] == y_true[:, None]).any(axis=1)))


@dataclass(frozen=True)
class Titled(TopTwo):
    title: ClassVar[str] = "top-2 accuracy"


def test_every_metric_of_the_package_has_its_own_title_and_place():
    names = [name for name in metrics.names() if type(metrics.build(name, {})).__module__.startswith("microexpr.")]
    assert set(scores.ORDER) == set(names)
    assert len({scores.title(name) for name in names}) == len(names)
    assert all(metrics.build(name, {}).title == scores.title(name) for name in names)
    assert set(scores.CHALLENGE) <= set(scores.MAIN) == set(scores.ORDER[: len(scores.MAIN)])
    assert all(isinstance(metrics.build(name, {}), ConfusionMetric) for name in scores.MAIN)


def test_titles():
    assert [scores.title(name) for name in scores.MAIN] == ["macro-F1", "UF1", "UAR", "accuracy"]
    assert scores.title("macro_f1_all") == "macro-F1 over all classes"
    assert scores.title("mean_of_folds(macro_f1)") == "mean of folds: macro-F1"


def test_a_metric_of_another_package_has_its_title_or_is_titled_by_its_name(other):
    assert scores.title("top_two") == "top two"  # in stored results, where the package is missing
    other("top_two", TopTwo)
    other("top_2", Titled)
    assert scores.title("top_two") == "top two"
    assert scores.title("top_2") == "top-2 accuracy"
    assert scores.title("mean_of_folds(top_2)") == "mean of folds: top-2 accuracy"


def test_scores_are_listed_main_ones_first_and_others_last(other):
    other("aa_two", TopTwo)
    assert list(scores.all_metrics()) == [*scores.ORDER, "aa_two"]
    given = ["aa_two", "mean_of_folds(uar)", "accuracy", "uar", "macro_f1", "uar", "mean_of_folds(aa_two)"]
    assert scores.in_order(given) == [
        "macro_f1", "uar", "mean_of_folds(uar)", "accuracy", "aa_two", "mean_of_folds(aa_two)"
    ]  # fmt: skip


class Errors(Titled):
    """Share of clips predicted wrongly."""

    higher_is_better: ClassVar[bool] = False

    def of_confusion(self, confusion, averaged_classes):
        return 1 - np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum((-1, -2))


@pytest.mark.parametrize(
    ("name", "code", "named"),
    [
        ("macro_f2", "E103", ["'macro_f2'", "did you mean 'macro_f1'"]),
        ("mean_of_folds(uf1)", "E103", ["mean_of_folds(uf1)"]),
        ("expected_calibration_error", "E129", ["training.select: expected_calibration_error", *scores.MAIN]),
        ("errors", "E129", ["training.select: errors", "lower", *scores.MAIN]),
    ],
)
def test_metrics_that_cannot_select_are_refused(other, name, code, named):
    other("errors", Errors)
    experiment = BASE.with_values({"training.select": name})
    with refuses(code, *named, kind=ConfigError):
        experiment.check()
    with refuses(code, *named, kind=ConfigError):
        _ = experiment.selecting_metric


def test_the_selecting_metric_is_macro_f1_unless_the_file_names_another():
    assert BASE.selecting_metric == metrics.build("macro_f1", {})
    assert BASE.with_values({"training.select": "uar"}).selecting_metric == metrics.build("uar", {})


def test_the_revision_of_the_selecting_metric_is_part_of_the_key(monkeypatch):
    plain, other = (BASE.with_values({"training.select": name}) for name in ("macro_f1", "uf1"))
    before = plain.key(), other.key()
    for name in ("macro_f1", "uf1"):
        monkeypatch.setitem(metrics._revisions, name, 2)
    assert plain.key() == before[0]  # as in results stored before a metric could be named
    assert other.key() != before[1]


def test_metrics_for_confusion_matrices():
    assert scores.confusion_metric("uar") == metrics.build("uar", {})
    with refuses("E124", "leaderboard.metric", "expected_calibration_error", *scores.MAIN, kind=ConfigError):
        scores.confusion_metric("expected_calibration_error", "E124", "leaderboard.metric")
    with refuses("E103", "uar2", kind=UnknownComponentError):
        scores.confusion_metric("uar2")
