"""Intervals and permutation tests: against slow references, against theory, and their cost."""

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import scipy.stats
from scipy.stats import binom, chi2, hypergeom, kstest, norm

from microexpr.core.confusion import present
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import metrics
from microexpr.evaluation.statistics import bootstrap as bootstrap_module
from microexpr.evaluation.statistics.bootstrap import bootstrap, bootstrap_all, resample_pair
from microexpr.evaluation.statistics.chance import chance_scores
from microexpr.evaluation.statistics.paired_tests import mcnemar
from microexpr.evaluation.statistics.permutation import permutation_null, permutation_power
from refusal import refuses

GOLDEN = (
    ("uf1", False, (0.39772594033457426, 0.5263631727646592), (0.12524511781891007, 0.33778572411959445)),
    ("uar", False, (0.39880025366036914, 0.5425687665247222), (0.14097030350303777, 0.345428653627879)),
    ("uf1", True, (0.402497714803805, 0.5271069149886609), (0.14053113113669966, 0.3332689545691619)),
    ("uar", True, (0.4006788692818213, 0.5430082004123701), (0.15191949554070477, 0.3378976952226673)),
)
"""Metric, whether by subject, interval of the score, interval of the difference."""

NAMES = ("macro_f1", "macro_f1_all", "uf1", "uar", "accuracy")


@dataclass(frozen=True)
class Slow:
    """A metric that hides its confusion matrix, so that every resample is scored from labels."""

    name: str
    title: ClassVar[str] = "the metric inside"
    absent_classes: ClassVar[str] = "those of the metric inside"
    higher_is_better: ClassVar[bool] = True

    def __call__(self, y_true, y_pred, proba, averaged_classes):
        return metrics.build(self.name, {})(y_true, y_pred, proba, averaged_classes)


def predictions(n, num_classes=7, right=0.5, seed=0):
    rng = np.random.default_rng(seed)
    share = np.array([99, 63, 32, 27, 25, 7, 2][:num_classes], dtype=float)
    y_true = rng.choice(num_classes, size=n, p=share / share.sum())
    y_pred = np.where(rng.random(n) < right, y_true, rng.choice(num_classes, size=n, p=share / share.sum()))
    return y_true, y_pred, np.array([f"casme2/{p:02}" for p in rng.integers(26, size=n)])


def arguments(y_true, num_classes=7, seed=1):
    return {
        "num_classes": num_classes,
        "averaged_classes": present(y_true, num_classes),
        "rng": np.random.default_rng(seed),
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("by_subject", [False, True])
def test_matrices_give_the_interval_of_resampled_labels(name, by_subject):
    y_true, y_pred, who = predictions(28)
    shared = {"subjects": who if by_subject else None, "n": 1_500}
    fast = bootstrap(metrics.build(name, {}), y_true, y_pred, **arguments(y_true), **shared)
    proba = np.eye(7)[y_pred]
    slow = bootstrap(Slow(name), y_true, y_pred, **arguments(y_true, seed=2), proba=proba, **shared)
    assert fast.point == slow.point
    assert fast.unit == slow.unit == ("subject" if by_subject else "clip")
    # Two independent draws of 1,500: a percentile of these scores moves by about 0.01.
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=0.05)


@pytest.mark.parametrize(("clips", "right"), [(10, 6), (200, 140)])
def test_interval_of_an_accuracy_is_the_binomial_one(clips, right):
    y_true, y_pred = np.zeros(clips, dtype=int), (np.arange(clips) >= right).astype(int)
    found = bootstrap(metrics.build("accuracy", {}), y_true, y_pred, **arguments(y_true, num_classes=2), n=20_000)
    assert found.point == right / clips
    expected = binom.ppf([0.025, 0.975], clips, right / clips) / clips
    assert (found.low, found.high) == pytest.approx(expected, abs=0.005)


def test_a_level_of_its_own_is_narrower():
    y_true, y_pred, _ = predictions(100)
    accuracy = metrics.build("accuracy", {})
    wide, narrow = (bootstrap(accuracy, y_true, y_pred, **arguments(y_true), level=level) for level in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.point < narrow.high < wide.high


def test_subjects_widen_the_interval_where_their_clips_go_together():
    who = np.repeat([f"p{number}" for number in range(20)], 10)
    y_true = np.tile([0, 1], 100)
    y_pred = np.where(np.repeat(np.arange(20) % 2 == 0, 10), y_true, 1 - y_true)
    accuracy = metrics.build("accuracy", {})
    clips = bootstrap(accuracy, y_true, y_pred, **arguments(y_true, num_classes=2))
    people = bootstrap(accuracy, y_true, y_pred, **arguments(y_true, num_classes=2), subjects=who)
    # Twenty units in place of two hundred: wider by the root of ten.
    assert (people.high - people.low) / (clips.high - clips.low) == pytest.approx(np.sqrt(10), rel=0.15)


def test_clips_as_their_own_subjects_give_the_interval_over_clips():
    y_true, y_pred, _ = predictions(60)
    metric = metrics.build("macro_f1", {})
    clips = bootstrap(metric, y_true, y_pred, **arguments(y_true))
    alone = bootstrap(metric, y_true, y_pred, **arguments(y_true, seed=3), subjects=np.arange(60))
    assert (clips.low, clips.high) == pytest.approx((alone.low, alone.high), abs=0.02)


def test_a_class_lost_in_resamples_lowers_f1_but_not_recall():
    # All right, one clip of class 1: F1 counts it 0 in the 36 % of resamples that lose it.
    y = np.array([0] * 27 + [1])
    f1 = bootstrap(metrics.build("macro_f1", {}), y, y, **arguments(y, num_classes=2))
    uar = bootstrap(metrics.build("uar", {}), y, y, **arguments(y, num_classes=2))
    assert (f1.low, f1.high) == (0.5, 1)
    assert (uar.low, uar.high) == (1, 1)


def test_small_integers_do_not_overflow():
    y_true, y_pred, who = predictions(60)
    wide, narrow = (
        [
            function(
                metrics.build("uf1", {}), a + 13, b + 13, **arguments(a + 13, num_classes=20), n=200, subjects=subjects
            )
            for function in (bootstrap, permutation_null)
            for subjects in (None, who)
        ]
        for a, b in ((y_true, y_pred), (y_true.astype(np.int8), y_pred.astype(np.int8)))
    )
    assert wide == narrow


def test_same_seed_same_interval_whatever_the_chunk(monkeypatch):
    y_true, y_pred, who = predictions(255)
    for subjects in (None, who):
        one = bootstrap(metrics.build("uf1", {}), y_true, y_pred, **arguments(y_true), subjects=subjects)
        monkeypatch.setattr(bootstrap_module, "CHUNK", 77)
        two = bootstrap(metrics.build("uf1", {}), y_true, y_pred, **arguments(y_true), subjects=subjects)
        monkeypatch.undo()
        assert one == two


def test_intervals_cover_the_truth():
    """At 95 %, about 95 % of intervals hold the accuracy that the predictions were drawn with."""
    rng, accuracy, held = np.random.default_rng(0), metrics.build("accuracy", {}), 0
    y_true = np.zeros(150, dtype=int)
    for _ in range(300):
        y_pred = (rng.random(150) > 0.6).astype(int)
        found = bootstrap(accuracy, y_true, y_pred, num_classes=2, averaged_classes=present(y_true, 2), rng=rng, n=500)
        held += found.low <= 0.6 <= found.high
    assert 0.90 < held / 300 < 0.985


def test_bootstrap_says_what_cannot_be():
    y_true, y_pred, _ = predictions(10)
    metric = metrics.build("uar", {})
    for wrong, code in (({"n": 0}, "E801"), ({"level": 1.0}, "E801"), ({"subjects": np.zeros(10)}, "E803")):
        with refuses(code, kind=ConfigError):
            bootstrap(metric, y_true, y_pred, **arguments(y_true), **wrong)
    for function in (bootstrap, permutation_null):
        with pytest.raises(ValueError, match="pass proba"):
            function(Slow("uar"), y_true, y_pred, **arguments(y_true))
        with refuses("E802", kind=ConfigError):
            function(metric, y_true[:0], y_pred[:0], **arguments(y_true))
    with refuses("E801", 0, kind=ConfigError):
        permutation_null(metric, y_true, y_pred, **arguments(y_true), n=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("by_subject", [False, True])
def test_matrices_give_the_null_of_permuted_labels(name, by_subject):
    y_true, y_pred, who = predictions(60)
    shared = {"subjects": who if by_subject else None, "n": 999}
    fast = permutation_null(metrics.build(name, {}), y_true, y_pred, **arguments(y_true), **shared)
    slow = permutation_null(Slow(name), y_true, y_pred, **arguments(y_true), proba=np.eye(7)[y_pred], **shared)
    # The same seed permutes the same labels on both paths.
    assert (fast.mean, fast.level, fast.p_value, fast.n) == pytest.approx((slow.mean, slow.level, slow.p_value, slow.n))


def test_null_of_an_accuracy_has_its_known_mean():
    y_true, y_pred, _ = predictions(255)
    null = permutation_null(metrics.build("accuracy", {}), y_true, y_pred, **arguments(y_true))
    shares = [np.bincount(y, minlength=7) / 255 for y in (y_true, y_pred)]
    assert null.mean == pytest.approx(np.dot(*shares), abs=0.002)
    assert null.mean < null.level
    assert null.p_value == 1 / 10_000


def test_level_of_the_null_is_its_95th_percentile():
    y = np.repeat([0, 1], 50)
    null = permutation_null(metrics.build("accuracy", {}), y, y, **arguments(y, num_classes=2))
    assert null.level == pytest.approx(2 * hypergeom.ppf(0.95, 100, 50, 50) / 100)


def test_p_value_of_four_clips_is_exact():
    # 6 ways to place two labels of four; one scores 1. So p is 1/6, up to the sampling of permutations.
    y = np.array([0, 0, 1, 1])
    null = permutation_null(metrics.build("macro_f1", {}), y, y, **arguments(y, num_classes=2), n=60_000)
    assert null.p_value == pytest.approx(1 / 6, abs=0.006)


def test_predictions_that_are_always_one_class_are_never_significant():
    y_true, _, who = predictions(100)
    for subjects in (None, who):
        for name in NAMES:
            metric, nothing = metrics.build(name, {}), np.zeros(100, dtype=int)
            null = permutation_null(metric, y_true, nothing, **arguments(y_true), subjects=subjects, n=199)
            assert null.p_value == 1


def habits(seed):
    """Subjects with habits, and a model that knows nothing but the subject's habit."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(20), 10)
    habit = rng.integers(3, size=20)[who]
    y_true, y_pred = (np.where(rng.random(200) < 0.6, habit, rng.integers(3, size=200)) for _ in range(2))
    return y_true, y_pred, who


def test_permuting_within_subjects_is_valid_under_subject_effects():
    metric = metrics.build("macro_f1", {})
    free, within = [], []
    for seed in range(150):
        y_true, y_pred, who = habits(seed)
        for found, subjects in ((free, None), (within, who)):
            null = permutation_null(
                metric, y_true, y_pred, **arguments(y_true, num_classes=3), subjects=subjects, n=199
            )
            found.append(null.p_value)
    # Knowing faces passes for skill when everybody's labels are mixed, and does not within subjects.
    assert np.mean(np.array(free) <= 0.05) > 0.95
    assert np.mean(np.array(within) <= 0.05) < 0.11
    assert kstest(within, "uniform").pvalue > 0.001


def test_within_subjects_each_keeps_its_labels():
    y_true = np.array([0, 0, 1, 1, 2, 2])
    who = np.array(["a", "a", "b", "b", "c", "c"])
    null = permutation_null(
        metrics.build("accuracy", {}), y_true, y_true, **arguments(y_true, num_classes=3), subjects=who, n=99
    )
    assert (null.mean, null.level, null.p_value) == (1, 1, 1)


@pytest.mark.parametrize(("subjects", "clips"), [(4, 6), (9, 3), (12, 2)])
def test_power_is_how_often_models_that_recognise_half_of_the_clips_are_found_one_by_one(subjects, clips):
    rng, metric = np.random.default_rng(0), metrics.build("macro_f1", {})
    who = np.repeat(np.arange(subjects), clips)
    y_true = rng.integers(3, size=who.size)
    given, found = arguments(y_true, num_classes=3) | {"n": 199}, []
    for _ in range(300):
        habit = y_true.copy()
        for subject in range(subjects):
            habit[who == subject] = rng.permutation(y_true[who == subject])
        y_pred = np.where(rng.random(who.size) < 0.5, y_true, habit)
        found.append(permutation_null(metric, y_true, y_pred, **given, subjects=who).p_value <= 0.05)
    made = permutation_power(metric, y_true, who, **given, sets=300)
    assert 0.15 < made.power < 0.98
    assert made.power == pytest.approx(np.mean(found), abs=0.11)  # 2.7 standard errors of the difference at most
    mixed = [len(set(y_true[who == subject])) > 1 for subject in range(subjects)]
    assert (made.subjects, made.mixed) == (subjects, sum(mixed))


def test_where_nothing_can_be_permuted_there_is_no_power():
    y_true, who = np.array([0, 0, 1, 1, 2, 2]), np.array(["a", "a", "b", "b", "c", "c"])
    found = permutation_power(metrics.build("macro_f1", {}), y_true, who, **arguments(y_true, num_classes=3))
    assert (found.power, found.subjects, found.mixed) == (0, 3, 0)
    with refuses("E802", kind=ConfigError):
        permutation_power(metrics.build("macro_f1", {}), y_true[:0], who[:0], **arguments(y_true, num_classes=3))


def test_ten_thousand_resamples_of_every_metric_in_a_second():
    y_true, y_pred, who = predictions(255)
    start = time.perf_counter()
    for name in NAMES:
        bootstrap(metrics.build(name, {}), y_true, y_pred, **arguments(y_true))
    # 0.2 s measured on one core; the bound leaves room for a busy machine.
    assert time.perf_counter() - start < 5
    start = time.perf_counter()
    for name in NAMES:
        bootstrap(metrics.build(name, {}), y_true, y_pred, **arguments(y_true), subjects=who)
    assert time.perf_counter() - start < 5


def test_ten_thousand_permutations_in_two_seconds():
    y_true, y_pred, who = predictions(442)
    for subjects in (None, who):
        start = time.perf_counter()
        permutation_null(metrics.build("macro_f1", {}), y_true, y_pred, **arguments(y_true), subjects=subjects)
        # 0.12 s measured on one core.
        assert time.perf_counter() - start < 2


def test_guessing_scores_what_its_shares_give():
    y_true, shares = np.repeat([0, 1], 50), np.tile([0.75, 0.25], (100, 1))
    accuracy = {"accuracy": metrics.build("accuracy", {})}
    drawn = chance_scores(
        accuracy, y_true, shares, averaged_classes=np.array([True, True]), rng=np.random.default_rng(0), n=4000
    )
    assert drawn["accuracy"].shape == (4000,)
    assert abs(drawn["accuracy"].mean() - 0.5) < 0.01  # 0.5 * 0.75 + 0.5 * 0.25
    sure = chance_scores(
        accuracy, y_true, np.eye(2)[y_true], averaged_classes=np.array([True, True]), rng=np.random.default_rng(0), n=3
    )
    assert (sure["accuracy"] == 1).all()


# --- two classifiers on the same clips --------------------------------------------------------------------------------
@pytest.mark.parametrize("by_subject", [False, True])
def test_a_difference_is_drawn_on_the_same_resamples(by_subject):
    y_true, y_a, who = predictions(60)
    y_b = predictions(60, right=0.3, seed=3)[1]
    metric = metrics.build("macro_f1", {})
    shared = {"subjects": who if by_subject else None, "n": 4_000}
    found = resample_pair(metric, y_true, y_a, y_b, **arguments(y_true), **shared)[1].interval()
    rng, averaged_classes = np.random.default_rng(5), present(y_true, 7)
    units = [np.flatnonzero(who == name) for name in np.unique(who)] if by_subject else [[row] for row in range(60)]
    slow = []
    for _ in range(1_500):
        rows = np.concatenate([units[u] for u in rng.integers(len(units), size=len(units))]).astype(int)
        a, b = (metric(y_true[rows], guess[rows], np.eye(7)[guess[rows]], averaged_classes) for guess in (y_a, y_b))
        slow.append(a - b)
    low, high = np.quantile(slow, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03)
    assert found.point == pytest.approx(
        np.subtract(*(metric(y_true, g, np.eye(7)[g], averaged_classes) for g in (y_a, y_b)))
    )
    apart = [bootstrap(metric, y_true, guess, **arguments(y_true), **shared) for guess in (y_a, y_b)]
    assert found.point == pytest.approx(apart[0].point - apart[1].point)


def test_a_classifier_does_not_differ_from_itself():
    y_true, y_pred, _ = predictions(40)
    found = resample_pair(metrics.build("uar", {}), y_true, y_pred, y_pred, n=50, **arguments(y_true))[1].interval()
    assert (found.low, found.point, found.high) == (0, 0, 0)
    assert mcnemar(y_true, y_pred, y_pred) == (0, 0, 1.0)


def test_mcnemar_counts_clips_that_one_alone_has_right():
    y_true = np.zeros(20, int)
    y_a, y_b = np.repeat([0, 1], [15, 5]), np.repeat([1, 0, 1], [9, 10, 1])
    assert mcnemar(y_true, y_a, y_b) == (9, 4, pytest.approx(2 * binom.cdf(4, 13, 0.5)))
    assert mcnemar(y_true, y_b, y_a).p_value == mcnemar(y_true, y_a, y_b).p_value
    many = np.arange(4000) % 2  # where there are many, the exact test and McNemar's chi-squared agree
    y_a, y_b = np.where(np.arange(4000) < 1050, 0, 1 - many), np.where(np.arange(4000) >= 2900, 0, 1 - many)
    found = mcnemar(np.zeros(4000, int), y_a, y_b)
    b, c = found.only_a, found.only_b
    assert found.p_value == pytest.approx(chi2.sf((abs(b - c) - 1) ** 2 / (b + c), 1), abs=2e-3)


# --- ways to read an interval from resamples --------------------------------------------------------------------------
@pytest.mark.parametrize(("by_subject", "stratified"), [(False, False), (False, True), (True, False)])
def test_bca_is_scipys(by_subject, stratified):
    y_true, y_pred, who = predictions(80, num_classes=3, right=0.9)
    metric, averaged_classes = metrics.build("uf1", {}), present(y_true, 3)
    groups = [np.flatnonzero(who == name) for name in np.unique(who)] if by_subject else [[row] for row in range(80)]

    def score(*drawn):
        rows = np.concatenate([groups[int(unit)] for units in drawn for unit in units])
        return metric(y_true[rows], y_pred[rows], np.eye(3)[y_pred[rows]], averaged_classes)

    samples = [np.flatnonzero(y_true == label) for label in range(3)] if stratified else [np.arange(len(groups))]
    expected = scipy.stats.bootstrap(
        samples, score, n_resamples=2_000, method="BCa", vectorized=False, rng=np.random.default_rng(3)
    ).confidence_interval
    given = {"method": "bca", "stratified": stratified, "subjects": who if by_subject else None}
    found = bootstrap(metric, y_true, y_pred, **arguments(y_true, num_classes=3), n=20_000, **given)
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.016)
    slow = bootstrap(
        Slow("uf1"),
        y_true,
        y_pred,
        **arguments(y_true, num_classes=3, seed=5),
        n=1_500,
        proba=np.eye(3)[y_pred],
        **given,
    )
    assert (found.low, found.high) == pytest.approx((slow.low, slow.high), abs=0.025)


def test_bca_of_an_accuracy_is_what_theory_gives():
    """Bias from the binomial distribution, acceleration from its skewness: (1 - 2 p) / (6 sqrt(n p (1 - p)))."""
    n, right = 400, 380
    p, y_true = right / n, np.zeros(n, dtype=int)
    y_pred = (np.arange(n) >= right).astype(int)
    bias = norm.ppf(binom.cdf(right - 1, n, p) + binom.pmf(right, n, p) / 2)
    acceleration = (1 - 2 * p) / (6 * np.sqrt(n * p * (1 - p)))
    moved = bias + norm.ppf([0.025, 0.975])
    expected = binom.ppf(norm.cdf(bias + moved / (1 - acceleration * moved)), n, p) / n
    accuracy, shared = metrics.build("accuracy", {}), {**arguments(y_true, num_classes=2), "n": 200_000}
    found = bootstrap(accuracy, y_true, y_pred, **shared, method="bca")
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)
    assert expected[0] < binom.ppf(0.025, n, p) / n  # further from 1 than the percentile


def test_strata_keep_the_classes_sizes():
    y_true, y_pred, who = predictions(60, num_classes=3)
    # Accuracy of a classifier that knows one class only: its share of the clips, which strata hold fixed.
    shared = {**arguments(y_true, num_classes=3), "n": 500}
    accuracy, first = metrics.build("accuracy", {}), np.zeros(60, dtype=int)
    found = bootstrap(accuracy, y_true, first, **shared, stratified=True)
    assert found.low == found.high == found.point
    assert found.stratified
    with refuses("E805", kind=ConfigError):
        bootstrap(accuracy, y_true, y_pred, **shared, stratified=True, subjects=who)
    sizes = np.bincount(y_true)
    recall = np.array([(y_pred[y_true == label] == label).mean() for label in range(3)])
    spread = np.sqrt((sizes * recall * (1 - recall)).sum()) / 60
    found = bootstrap(accuracy, y_true, y_pred, **{**shared, "n": 20_000}, stratified=True, level=0.6826895)
    assert (found.high - found.low) / 2 == pytest.approx(spread, rel=0.15)


def test_an_expanded_interval_over_even_subjects_is_students():
    """The mean of normal values, one a subject: percentiles moved outwards are the mean -+ t * s / sqrt(n)."""
    rng = np.random.default_rng(2)
    who, y_true = np.repeat(np.arange(12), 200), np.tile([0, 1], 1200)
    right = np.concatenate([np.arange(200) < count for count in rng.normal(100, 12, 12).round()])
    y_pred, accuracy = np.where(right, y_true, 1 - y_true), metrics.build("accuracy", {})
    shares = right.reshape(12, 200).mean(axis=1)
    found = bootstrap(
        accuracy,
        y_true,
        y_pred,
        **arguments(y_true, num_classes=2),
        subjects=who,
        n=50_000,
        method="expanded",
        level=0.9,
    )
    low, high = scipy.stats.t.interval(0.9, 11, shares.mean(), scipy.stats.sem(shares))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1 * (high - low))
    plain = bootstrap(accuracy, y_true, y_pred, **arguments(y_true, num_classes=2), subjects=who, n=50_000, level=0.9)
    assert (found.high - found.low) / (plain.high - plain.low) == pytest.approx(1.7959 / 1.6449 * 1.0445, rel=0.05)


def test_a_subject_with_most_clips_leaves_few_to_learn_from():
    y_true, y_pred, _ = predictions(300, num_classes=3)
    even, one = np.arange(300) % 12, np.maximum(np.arange(300) - 288, 0)
    widths = {}
    for name, who in (("even", even), ("one", one)):
        shared = {"subjects": who, "n": 2_000, **arguments(y_true, num_classes=3)}
        found = [
            bootstrap(
                metrics.build("uf1", {}), y_true, y_pred, **{**shared, "rng": np.random.default_rng(4)}, method=way
            )
            for way in ("percentile", "expanded")
        ]
        widths[name] = (found[1].high - found[1].low) / (found[0].high - found[0].low)
    assert widths["one"] > widths["even"] > 1.1


def test_every_way_is_refused_where_it_gives_nothing():
    one = np.array([0])
    for method in ("bca", "expanded"):
        with refuses("E802", "two clips", kind=ConfigError):
            bootstrap(metrics.build("accuracy", {}), one, one, **arguments(one, num_classes=2), method=method)
    y_true, y_pred, _ = predictions(60, num_classes=3)
    found = bootstrap(metrics.build("accuracy", {}), y_true, y_true, **arguments(y_true, num_classes=3), method="bca")
    assert (found.low, found.high) == (1, 1)  # nothing varies, nothing to correct
    with refuses("E806", "one side", kind=ConfigError):
        bootstrap(metrics.build("uf1", {}), y_true, y_pred, **arguments(y_true, num_classes=3), method="bca", n=1)


def test_all_metrics_at_once_are_each_alone():
    y_true, y_pred, who = predictions(145)
    built = {name: metrics.build(name, {}) for name in NAMES}
    for given in ({}, {"subjects": who, "method": "bca"}, {"stratified": True, "method": "expanded"}):
        together = bootstrap_all(built, y_true, y_pred, **arguments(y_true), n=500, **given)
        assert together == {
            name: bootstrap(metric, y_true, y_pred, **arguments(y_true), n=500, **given)
            for name, metric in built.items()
        }


def test_stored_intervals_stay_what_they_were():
    """Figures in reports were computed by these calls; the numbers are those of the first version."""
    y_true, y_pred, who = predictions(255)
    y_b = predictions(255, seed=9)[1]
    for name, subjects, alone, apart in GOLDEN:
        shared = {"n": 1000, "subjects": who if subjects else None}
        found = bootstrap(metrics.build(name, {}), y_true, y_pred, **arguments(y_true), **shared)
        assert (found.low, found.high) == pytest.approx(alone, abs=1e-12)
        found = resample_pair(metrics.build(name, {}), y_true, y_pred, y_b, **arguments(y_true), **shared)[1].interval()
        assert (found.low, found.high) == pytest.approx(apart, abs=1e-12)
