"""Scores against scikit-learn, and the rules for absent classes."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support, recall_score
from sklearn.metrics import confusion_matrix as sklearn_confusion

from microexpr.confusion import confusion_matrix, f1_per_class, present, recall_per_class
from microexpr.contracts import ConfusionMetric, Metric, metrics

NAMES = ("macro_f1", "macro_f1_all", "uf1", "uar", "accuracy")


def cases(number, seed=0):
    """Random predictions in which classes are often missing from the truth, the predictions or both."""
    rng = np.random.default_rng(seed)
    for _ in range(number):
        k, n = int(rng.integers(2, 9)), int(rng.integers(1, 40))
        seen, guessed = rng.integers(1, k + 1, size=2)
        yield k, rng.choice(rng.permutation(k)[:seen], size=n), rng.choice(rng.permutation(k)[:guessed], size=n)


def score(name, y_true, y_pred, over):
    return metrics.build(name, {})(y_true, y_pred, np.eye(over.size)[y_pred], over)


def references(y_true, y_pred, over):
    averaged = {"labels": np.flatnonzero(over), "average": "macro"}
    f1 = f1_score(y_true, y_pred, zero_division=0, **averaged)
    everything = f1_score(y_true, y_pred, zero_division=0, labels=np.arange(over.size), average="macro")
    # scikit-learn leaves undefined recalls out of the mean where zero_division is nan.
    uar = recall_score(y_true, y_pred, zero_division=np.nan, **averaged)
    return dict(zip(NAMES, (f1, everything, f1, uar, accuracy_score(y_true, y_pred)), strict=True))


def test_registered():
    assert set(NAMES) <= set(metrics.names())


@pytest.mark.parametrize("name", NAMES)
def test_keeps_its_contract(name):
    metric = metrics.build(name, {})
    assert isinstance(metric, Metric)
    assert isinstance(metric, ConfusionMetric)
    assert len(metric.absent_classes) > 20


def test_agrees_with_scikit_learn_on_2000_cases():
    for k, y_true, y_pred in cases(2_000):
        over = present(y_true, k)
        _, uar, f1, _ = precision_recall_fscore_support(
            y_true, y_pred, labels=np.flatnonzero(over), average="macro", zero_division=0
        )
        ours = [score(name, y_true, y_pred, over) for name in ("macro_f1", "uf1", "uar", "accuracy")]
        assert ours == pytest.approx([f1, f1, uar, np.mean(y_true == y_pred)], abs=1e-12), (y_true, y_pred)


def test_agrees_with_scikit_learn_where_over_has_lost_classes():
    rng = np.random.default_rng(1)
    for k, y_true, y_pred in cases(300, seed=1):
        over = present(y_true, k) | (rng.random(k) < 0.5)
        for name, expected in references(y_true, y_pred, over).items():
            assert score(name, y_true, y_pred, over) == pytest.approx(expected, abs=1e-12), (name, y_true, y_pred)


def test_confusion_matrix_agrees_with_scikit_learn():
    for k, y_true, y_pred in cases(100, seed=2):
        expected = sklearn_confusion(y_true, y_pred, labels=np.arange(k))
        np.testing.assert_array_equal(confusion_matrix(y_true, y_pred, k), expected)


def test_confusion_matrix_of_small_integers_does_not_overflow():
    y = np.full(3, 12, dtype=np.int8)
    assert confusion_matrix(y, y, 13)[12, 12] == 3


@pytest.mark.parametrize(
    ("y_true", "y_pred"), [([0, 2], [0, 0]), ([0, 0], [0, 2]), ([0, -1], [0, 0]), ([0, 1], [-1, 1])]
)
def test_confusion_matrix_refuses_unknown_classes(y_true, y_pred):
    with pytest.raises(ValueError, match=r"0\.\.1"):
        confusion_matrix(np.array(y_true), np.array(y_pred), 2)


@pytest.mark.parametrize("name", NAMES)
def test_many_matrices_score_as_one_by_one(name):
    rng = np.random.default_rng(3)
    matrices = rng.integers(0, 4, size=(5, 6, 4, 4))
    matrices[:, :, 1] = 0
    over, metric = np.array([True, True, False, True]), metrics.build(name, {})
    together = metric.of_confusion(matrices, over)
    assert together.shape == (5, 6)
    for where in np.ndindex(5, 6):
        assert metric.of_confusion(matrices[where], over) == pytest.approx(together[where], abs=1e-15)


def test_a_lost_class_counts_0_in_f1_and_is_left_out_of_recall():
    lost = confusion_matrix(np.array([0, 0, 1]), np.array([0, 0, 1]), 3)
    over = np.array([True, True, True])
    scores = {name: float(metrics.build(name, {}).of_confusion(lost, over)) for name in NAMES}
    assert scores == pytest.approx({"macro_f1": 2 / 3, "macro_f1_all": 2 / 3, "uf1": 2 / 3, "uar": 1, "accuracy": 1})


def test_an_absent_class_outside_over_counts_only_in_macro_f1_all():
    y = np.array([0, 0, 1])
    assert [score(name, y, y, present(y, 3)) for name in NAMES] == pytest.approx([1, 2 / 3, 1, 1, 1])


def test_predictions_of_a_class_outside_over_still_cost_the_true_class():
    y_true, y_pred = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 2])
    assert score("macro_f1", y_true, y_pred, present(y_true, 3)) == pytest.approx(2 / 3)
    assert score("uar", y_true, y_pred, present(y_true, 3)) == pytest.approx(0.5)


def test_no_class_to_average_is_not_a_number():
    none = np.zeros(2, dtype=bool)
    for name in ("macro_f1", "uf1", "uar"):
        assert np.isnan(metrics.build(name, {}).of_confusion(np.eye(2), none))


def test_perfect_and_hopeless():
    y = np.array([0, 1, 2, 2])
    for name in NAMES:
        assert score(name, y, y, present(y, 3)) == 1
        assert score(name, y, (y + 1) % 3, present(y, 3)) == 0


def test_rates_of_a_class_never_seen():
    empty = np.zeros((2, 2), dtype=int)
    np.testing.assert_array_equal(f1_per_class(empty), [0, 0])
    np.testing.assert_array_equal(recall_per_class(empty), [np.nan, np.nan])
