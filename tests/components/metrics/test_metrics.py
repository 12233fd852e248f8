"""Scores against scikit-learn, and the rules for absent classes."""

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support, precision_score, recall_score
from sklearn.metrics import confusion_matrix as sklearn_confusion

from microexpr.core.confusion import confusion_matrix, f1_per_class, precision_per_class, present, recall_per_class
from microexpr.core.errors import ConfigError, UnknownComponentError
from microexpr.core.interfaces import ConfusionMetric, Metric, metrics
from microexpr.evaluation.predictions import by_class, by_database, by_subject, mean_of_folds, score_named
from microexpr.evaluation.predictions import score as score_predictions
from refusal import refuses

NAMES = ("macro_f1", "macro_f1_all", "uf1", "uar", "accuracy", "macro_precision", "macro_recall", "weighted_f1")
ECE = "expected_calibration_error"


def cases(number, seed=0):
    """Random predictions in which classes are often missing from the truth, the predictions or both."""
    rng = np.random.default_rng(seed)
    for _ in range(number):
        num_classes, n = int(rng.integers(2, 9)), int(rng.integers(1, 40))
        seen, guessed = rng.integers(1, num_classes + 1, size=2)
        yield (
            num_classes,
            rng.choice(rng.permutation(num_classes)[:seen], size=n),
            rng.choice(rng.permutation(num_classes)[:guessed], size=n),
        )


BUILT = {name: metrics.build(name, {}) for name in NAMES}


def score(name, y_true, y_pred, averaged_classes):
    return BUILT[name](y_true, y_pred, np.eye(averaged_classes.size)[y_pred], averaged_classes)


def references(y_true, y_pred, averaged_classes):
    averaged = {"labels": np.flatnonzero(averaged_classes), "average": "macro"}
    f1 = f1_score(y_true, y_pred, zero_division=0, **averaged)
    everything = f1_score(y_true, y_pred, zero_division=0, labels=np.arange(averaged_classes.size), average="macro")
    # scikit-learn leaves undefined recalls out of the mean where zero_division is nan.
    uar = recall_score(y_true, y_pred, zero_division=np.nan, **averaged)
    precision = precision_score(y_true, y_pred, zero_division=0, **averaged)
    recall = recall_score(y_true, y_pred, zero_division=0, **averaged)
    weighted = f1_score(y_true, y_pred, zero_division=0, labels=averaged["labels"], average="weighted")
    found = (f1, everything, f1, uar, accuracy_score(y_true, y_pred), precision, recall, weighted)
    return dict(zip(NAMES, found, strict=True))


def test_every_metric_is_tested_here():
    assert {*NAMES, ECE} == set(metrics.names())


@pytest.mark.parametrize("name", [*NAMES, ECE])
def test_its_formula_stands_whole_in_one_line(name):
    assert (type(metrics.build(name, {})).__doc__ or "").splitlines()[0].endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_keeps_its_contract(name):
    metric = metrics.build(name, {})
    assert isinstance(metric, Metric)
    assert isinstance(metric, ConfusionMetric)
    assert len(metric.absent_classes) > 20


def test_agrees_with_scikit_learn_on_2000_cases():
    for num_classes, y_true, y_pred in cases(2_000):
        averaged_classes = present(y_true, num_classes)
        classes = np.arange(num_classes)
        each = precision_recall_fscore_support(y_true, y_pred, labels=classes, zero_division=0)
        # Of scikit-learn's values only means are taken: over the classes present, over all, and by support.
        precision, uar, f1, _ = (np.mean(values[averaged_classes]) for values in each)
        expected = {"macro_precision": precision, "macro_recall": uar, "uar": uar, "macro_f1": f1, "uf1": f1}
        expected |= {"macro_f1_all": np.mean(each[2]), "accuracy": np.mean(y_true == y_pred)}
        expected["weighted_f1"] = np.average(each[2], weights=each[3])
        ours = {name: score(name, y_true, y_pred, averaged_classes) for name in NAMES}
        assert ours == pytest.approx(expected, abs=1e-12), (y_true, y_pred)


def test_calibration_agrees_with_scikit_learn_on_2000_cases():
    rng = np.random.default_rng(5)
    for num_classes, y_true, _ in cases(2_000, seed=5):
        proba = rng.dirichlet(np.full(num_classes, rng.choice([0.02, 0.3, 2.0])), y_true.size)
        if rng.random() < 0.3:  # on the edges of the bins
            proba = np.eye(num_classes)[rng.integers(num_classes, size=y_true.size)]
        guess = proba.argmax(1) if rng.random() < 0.7 else rng.integers(num_classes, size=y_true.size)
        bins = int(rng.choice([1, 10, 15]))
        sure, right = proba[np.arange(y_true.size), guess], y_true == guess
        accuracy, confidence = calibration_curve(right, sure, n_bins=bins)
        # scikit-learn leaves empty bins out and does not say how many clips the others hold.
        clips = [
            ((low < sure) & (sure <= high)).sum() for low, high in zip(_edges(bins), _edges(bins)[1:], strict=False)
        ]
        clips[0] += (sure == 0).sum()
        weights = np.array([number for number in clips if number])
        expected = float((weights * np.abs(accuracy - confidence)).sum() / y_true.size)
        found = metrics.build(ECE, {"bins": bins})(y_true, guess, proba, present(y_true, num_classes))
        assert found == pytest.approx(expected, abs=1e-12)


def _edges(bins):
    return np.linspace(0, 1, bins + 1)


def test_calibration_takes_a_whole_number_of_bins():
    with refuses("E112", "bins = 0", kind=ConfigError):
        metrics.build(ECE, {"bins": 0})
    y, proba = np.array([0, 1]), np.array([[0.6, 0.4], [0.3, 0.7]])
    assert metrics.build(ECE, {"bins": 1})(y, y, proba, present(y, 2)) == pytest.approx(0.35)
    assert metrics.build(ECE, {})(y, y, proba, present(y, 2)) == pytest.approx(0.35)


def test_agrees_with_scikit_learn_where_over_has_lost_classes():
    rng = np.random.default_rng(1)
    for num_classes, y_true, y_pred in cases(200, seed=1):
        averaged_classes = present(y_true, num_classes) | (rng.random(num_classes) < 0.5)
        for name, expected in references(y_true, y_pred, averaged_classes).items():
            assert score(name, y_true, y_pred, averaged_classes) == pytest.approx(expected, abs=1e-12), (
                name,
                y_true,
                y_pred,
            )


def test_confusion_matrix_agrees_with_scikit_learn():
    for num_classes, y_true, y_pred in cases(100, seed=2):
        expected = sklearn_confusion(y_true, y_pred, labels=np.arange(num_classes))
        np.testing.assert_array_equal(confusion_matrix(y_true, y_pred, num_classes), expected)


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
    averaged_classes, metric = np.array([True, True, False, True]), metrics.build(name, {})
    together = metric.of_confusion(matrices, averaged_classes)
    assert together.shape == (5, 6)
    for where in np.ndindex(5, 6):
        assert metric.of_confusion(matrices[where], averaged_classes) == pytest.approx(together[where], abs=1e-15)


def test_a_lost_class_counts_0_in_f1_and_is_left_out_of_recall():
    lost = confusion_matrix(np.array([0, 0, 1]), np.array([0, 0, 1]), 3)
    averaged_classes = np.array([True, True, True])
    scores = {name: float(metrics.build(name, {}).of_confusion(lost, averaged_classes)) for name in NAMES}
    two_thirds = ("macro_f1", "macro_f1_all", "uf1", "macro_precision", "macro_recall")
    assert scores == pytest.approx({name: 2 / 3 if name in two_thirds else 1 for name in NAMES})


def test_an_absent_class_outside_over_counts_only_in_macro_f1_all():
    y = np.array([0, 0, 1])
    found = {name: score(name, y, y, present(y, 3)) for name in NAMES}
    assert found == pytest.approx({name: 2 / 3 if name == "macro_f1_all" else 1 for name in NAMES})


def test_predictions_of_a_class_outside_over_still_cost_the_true_class():
    y_true, y_pred = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 2])
    assert score("macro_f1", y_true, y_pred, present(y_true, 3)) == pytest.approx(2 / 3)
    assert score("uar", y_true, y_pred, present(y_true, 3)) == pytest.approx(0.5)


def test_no_class_to_average_is_not_a_number():
    none = np.zeros(2, dtype=bool)
    for name in set(NAMES) - {"macro_f1_all", "accuracy"}:
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
    np.testing.assert_array_equal(precision_per_class(empty), [np.nan, np.nan])


# --- of voted predictions ---------------------------------------------------------------------------------------------
CLASSES = ("negative", "positive", "surprise")


def predicted(n=200, seed=0, subjects=9):
    """Voted clips of two databases, as `Result.predictions` gives them; a fold is a subject."""
    rng = np.random.default_rng(seed)
    who = rng.integers(subjects, size=n)
    proba = rng.dirichlet(np.ones(3), n)
    return pd.DataFrame(
        {
            "clip": [f"{'casme2' if p < 4 else 'samm'}/{p}/{row}/1-9" for row, p in enumerate(who)],
            "subject": [f"lab/{p}" for p in who],
            "fold": [f"lab-{p}" for p in who],
            "y_true": np.where(who == 0, 0, rng.integers(3, size=n)),
            "y_pred": proba.argmax(1),
            **{f"p_{c}": proba[:, c] for c in range(3)},
        }
    )


def test_by_class_agrees_with_scikit_learn():
    for seed in range(200):
        table = predicted(n=12, seed=seed)
        found = by_class(table, CLASSES)
        expected = precision_recall_fscore_support(
            table["y_true"], table["y_pred"], labels=[0, 1, 2], zero_division=np.nan
        )
        assert found["class"].tolist() == list(CLASSES)
        np.testing.assert_array_equal(found["support"], expected[3])
        for name, values in zip(("precision", "recall"), expected[:2], strict=True):
            np.testing.assert_allclose(found[name], values, equal_nan=True)
        there = found["support"] > 0
        f1 = f1_score(table["y_true"], table["y_pred"], labels=[0, 1, 2], average=None, zero_division=0)
        np.testing.assert_allclose(found["f1"][there], f1[there])
        assert found["f1"][~there].isna().all()
        assert found["predicted"].sum() == 12


def test_by_database_scores_each_alone_over_the_classes_that_it_has():
    table = predicted()
    found = by_database(table, ("uf1", "accuracy")).set_index("database")
    assert found.index.tolist() == ["casme2", "samm"]
    for name, rows in found.iterrows():
        own = table[table["clip"].str.startswith(name)]
        assert (rows["clips"], rows["subjects"], rows["classes"]) == (len(own), own["subject"].nunique(), 3)
        assert rows["uf1"] == pytest.approx(f1_score(own["y_true"], own["y_pred"], average="macro"))
        assert rows["accuracy"] == pytest.approx(accuracy_score(own["y_true"], own["y_pred"]))
    alone = by_database(table[table["y_true"] != 2], ("uf1",))
    assert alone["classes"].tolist() == [2, 2]


def test_by_subject_gives_accuracy_and_no_f1():
    table = predicted()
    found = by_subject(table)
    assert list(found.columns) == ["subject", "clips", "classes", "right", "accuracy"]
    assert found["clips"].sum() == len(table)
    assert found.loc[0, "classes"] == 1
    for row in found.itertuples():
        own = table[table["subject"] == row.subject]
        assert row.accuracy == accuracy_score(own["y_true"], own["y_pred"])


def test_the_mean_of_folds_is_another_number_and_says_why():
    table = predicted()
    found = mean_of_folds("uf1", table)
    each = [
        f1_score(own["y_true"], own["y_pred"], labels=sorted(set(own["y_true"])), average="macro")
        for _, own in table.groupby("fold")
    ]
    assert found.score == pytest.approx(np.mean(each))
    assert (found.folds, found.incomplete) == (9, 1)
    assert "means over 9 folds" in found.caveat
    assert "1 of the folds" in found.caveat
    assert "with a true clip in that fold" in found.absent_classes
    pooled = score_predictions(metrics.build("uf1", {}), table)
    assert abs(found.score - pooled) > 0.01
    # By its name only: no registered metric is one.
    assert score_named("mean_of_folds(uf1)", table) == found.score
    assert score_named("uf1", table) == pooled
    assert not [name for name in metrics.names() if "fold" in name]


def test_the_mean_of_folds_needs_folds_and_a_metric():
    with refuses("E812", "mean_of_folds", "fold", kind=ConfigError):
        mean_of_folds("uf1", predicted().drop(columns="fold"))
    with refuses("E103", "did you mean 'uf1'", kind=UnknownComponentError):
        score_named("mean_of_folds(uff1)", predicted())
    with refuses("E103", "mean_of_folds", kind=UnknownComponentError):
        score_named("mean_of_folds", predicted())
