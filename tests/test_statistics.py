"""Intervals and permutation tests: against slow references, against theory, and their cost."""

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from scipy.stats import binom, chi2, hypergeom, kstest

from microexpr.confusion import present
from microexpr.contracts import metrics
from microexpr.errors import ConfigError
from microexpr.statistics import bootstrap as bootstrap_module
from microexpr.statistics.bootstrap import bootstrap, bootstrap_difference
from microexpr.statistics.guessing import guesses
from microexpr.statistics.mcnemar import mcnemar
from microexpr.statistics.permutation import permutation_null

NAMES = ("macro_f1", "macro_f1_all", "uf1", "uar", "accuracy")


@dataclass(frozen=True)
class Slow:
    """A metric that hides its confusion matrix, so that every resample is scored from labels."""

    name: str
    absent_classes: ClassVar[str] = "those of the metric inside"
    higher_is_better: ClassVar[bool] = True

    def __call__(self, y_true, y_pred, proba, over):
        return metrics.build(self.name, {})(y_true, y_pred, proba, over)


def predictions(n, k=7, right=0.5, seed=0):
    rng = np.random.default_rng(seed)
    share = np.array([99, 63, 32, 27, 25, 7, 2][:k], dtype=float)
    y_true = rng.choice(k, size=n, p=share / share.sum())
    y_pred = np.where(rng.random(n) < right, y_true, rng.choice(k, size=n, p=share / share.sum()))
    return y_true, y_pred, np.array([f"casme2/{p:02}" for p in rng.integers(26, size=n)])


def arguments(y_true, k=7, seed=1):
    return {"k": k, "over": present(y_true, k), "rng": np.random.default_rng(seed)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("by_person", [False, True])
def test_matrices_give_the_interval_of_resampled_labels(name, by_person):
    y_true, y_pred, who = predictions(28)
    shared = {"persons": who if by_person else None, "n": 1_500}
    fast = bootstrap(metrics.build(name, {}), y_true, y_pred, **arguments(y_true), **shared)
    proba = np.eye(7)[y_pred]
    slow = bootstrap(Slow(name), y_true, y_pred, **arguments(y_true, seed=2), proba=proba, **shared)
    assert fast.point == slow.point
    assert fast.unit == slow.unit == ("person" if by_person else "clip")
    # Two independent draws of 1,500: a percentile of these scores moves by about 0.01.
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=0.05)


@pytest.mark.parametrize(("clips", "right"), [(10, 6), (200, 140)])
def test_interval_of_an_accuracy_is_the_binomial_one(clips, right):
    y_true, y_pred = np.zeros(clips, dtype=int), (np.arange(clips) >= right).astype(int)
    found = bootstrap(metrics.build("accuracy", {}), y_true, y_pred, **arguments(y_true, k=2), n=20_000)
    assert found.point == right / clips
    expected = binom.ppf([0.025, 0.975], clips, right / clips) / clips
    assert (found.low, found.high) == pytest.approx(expected, abs=0.005)


def test_a_level_of_its_own_is_narrower():
    y_true, y_pred, _ = predictions(100)
    accuracy = metrics.build("accuracy", {})
    wide, narrow = (bootstrap(accuracy, y_true, y_pred, **arguments(y_true), level=level) for level in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.point < narrow.high < wide.high


def test_persons_widen_the_interval_where_their_clips_go_together():
    who = np.repeat([f"p{number}" for number in range(20)], 10)
    y_true = np.tile([0, 1], 100)
    y_pred = np.where(np.repeat(np.arange(20) % 2 == 0, 10), y_true, 1 - y_true)
    accuracy = metrics.build("accuracy", {})
    clips = bootstrap(accuracy, y_true, y_pred, **arguments(y_true, k=2))
    people = bootstrap(accuracy, y_true, y_pred, **arguments(y_true, k=2), persons=who)
    # Twenty units in place of two hundred: wider by the root of ten.
    assert (people.high - people.low) / (clips.high - clips.low) == pytest.approx(np.sqrt(10), rel=0.15)


def test_clips_as_their_own_persons_give_the_interval_over_clips():
    y_true, y_pred, _ = predictions(60)
    metric = metrics.build("macro_f1", {})
    clips = bootstrap(metric, y_true, y_pred, **arguments(y_true))
    alone = bootstrap(metric, y_true, y_pred, **arguments(y_true, seed=3), persons=np.arange(60))
    assert (clips.low, clips.high) == pytest.approx((alone.low, alone.high), abs=0.02)


def test_a_class_lost_in_resamples_lowers_f1_but_not_recall():
    # All right, one clip of class 1: F1 counts it 0 in the 36 % of resamples that lose it.
    y = np.array([0] * 27 + [1])
    f1 = bootstrap(metrics.build("macro_f1", {}), y, y, **arguments(y, k=2))
    uar = bootstrap(metrics.build("uar", {}), y, y, **arguments(y, k=2))
    assert (f1.low, f1.high) == (0.5, 1)
    assert (uar.low, uar.high) == (1, 1)


def test_small_integers_do_not_overflow():
    y_true, y_pred, who = predictions(60)
    wide, narrow = (
        [
            function(metrics.build("uf1", {}), a + 13, b + 13, **arguments(a + 13, k=20), n=200, persons=persons)
            for function in (bootstrap, permutation_null)
            for persons in (None, who)
        ]
        for a, b in ((y_true, y_pred), (y_true.astype(np.int8), y_pred.astype(np.int8)))
    )
    assert wide == narrow


def test_same_seed_same_interval_whatever_the_chunk(monkeypatch):
    y_true, y_pred, who = predictions(255)
    for persons in (None, who):
        one = bootstrap(metrics.build("uf1", {}), y_true, y_pred, **arguments(y_true), persons=persons)
        monkeypatch.setattr(bootstrap_module, "CHUNK", 77)
        two = bootstrap(metrics.build("uf1", {}), y_true, y_pred, **arguments(y_true), persons=persons)
        monkeypatch.undo()
        assert one == two


def test_intervals_cover_the_truth():
    """At 95 %, about 95 % of intervals hold the accuracy that the predictions were drawn with."""
    rng, accuracy, held = np.random.default_rng(0), metrics.build("accuracy", {}), 0
    y_true = np.zeros(150, dtype=int)
    for _ in range(300):
        y_pred = (rng.random(150) > 0.6).astype(int)
        found = bootstrap(accuracy, y_true, y_pred, k=2, over=present(y_true, 2), rng=rng, n=500)
        held += found.low <= 0.6 <= found.high
    assert 0.90 < held / 300 < 0.985


def test_bootstrap_says_what_cannot_be():
    y_true, y_pred, _ = predictions(10)
    metric = metrics.build("uar", {})
    for wrong in ({"n": 0}, {"level": 1.0}, {"persons": np.zeros(10)}):
        with pytest.raises(ConfigError, match="at least"):
            bootstrap(metric, y_true, y_pred, **arguments(y_true), **wrong)
    for function in (bootstrap, permutation_null):
        with pytest.raises(ValueError, match="pass proba"):
            function(Slow("uar"), y_true, y_pred, **arguments(y_true))
        with pytest.raises(ConfigError, match="at least one clip"):
            function(metric, y_true[:0], y_pred[:0], **arguments(y_true))
    with pytest.raises(ConfigError, match="at least"):
        permutation_null(metric, y_true, y_pred, **arguments(y_true), n=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("by_person", [False, True])
def test_matrices_give_the_null_of_permuted_labels(name, by_person):
    y_true, y_pred, who = predictions(60)
    shared = {"persons": who if by_person else None, "n": 999}
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
    null = permutation_null(metrics.build("accuracy", {}), y, y, **arguments(y, k=2))
    assert null.level == pytest.approx(2 * hypergeom.ppf(0.95, 100, 50, 50) / 100)


def test_p_value_of_four_clips_is_exact():
    # 6 ways to place two labels of four; one scores 1. So p is 1/6, up to the sampling of permutations.
    y = np.array([0, 0, 1, 1])
    null = permutation_null(metrics.build("macro_f1", {}), y, y, **arguments(y, k=2), n=60_000)
    assert null.p_value == pytest.approx(1 / 6, abs=0.006)


def test_predictions_that_are_always_one_class_are_never_significant():
    y_true, _, who = predictions(100)
    for persons in (None, who):
        for name in NAMES:
            metric, nothing = metrics.build(name, {}), np.zeros(100, dtype=int)
            null = permutation_null(metric, y_true, nothing, **arguments(y_true), persons=persons, n=199)
            assert null.p_value == 1


def habits(seed):
    """Persons with habits, and a model that knows nothing but the person's habit."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(20), 10)
    habit = rng.integers(3, size=20)[who]
    y_true, y_pred = (np.where(rng.random(200) < 0.6, habit, rng.integers(3, size=200)) for _ in range(2))
    return y_true, y_pred, who


def test_permuting_within_persons_is_valid_under_person_effects():
    metric = metrics.build("macro_f1", {})
    free, within = [], []
    for seed in range(150):
        y_true, y_pred, who = habits(seed)
        for found, persons in ((free, None), (within, who)):
            null = permutation_null(metric, y_true, y_pred, **arguments(y_true, k=3), persons=persons, n=199)
            found.append(null.p_value)
    # Knowing faces passes for skill when everybody's labels are mixed, and does not within persons.
    assert np.mean(np.array(free) <= 0.05) > 0.95
    assert np.mean(np.array(within) <= 0.05) < 0.11
    assert kstest(within, "uniform").pvalue > 0.001


def test_within_persons_each_keeps_its_labels():
    y_true = np.array([0, 0, 1, 1, 2, 2])
    who = np.array(["a", "a", "b", "b", "c", "c"])
    null = permutation_null(metrics.build("accuracy", {}), y_true, y_true, **arguments(y_true, k=3), persons=who, n=99)
    assert (null.mean, null.level, null.p_value) == (1, 1, 1)


def test_ten_thousand_resamples_of_every_metric_in_a_second():
    y_true, y_pred, who = predictions(255)
    start = time.perf_counter()
    for name in NAMES:
        bootstrap(metrics.build(name, {}), y_true, y_pred, **arguments(y_true))
    # 0.2 s measured on one core; the bound leaves room for a busy machine.
    assert time.perf_counter() - start < 5
    start = time.perf_counter()
    for name in NAMES:
        bootstrap(metrics.build(name, {}), y_true, y_pred, **arguments(y_true), persons=who)
    assert time.perf_counter() - start < 5


def test_ten_thousand_permutations_in_two_seconds():
    y_true, y_pred, who = predictions(442)
    for persons in (None, who):
        start = time.perf_counter()
        permutation_null(metrics.build("macro_f1", {}), y_true, y_pred, **arguments(y_true), persons=persons)
        # 0.12 s measured on one core.
        assert time.perf_counter() - start < 2


def test_guessing_scores_what_its_shares_give():
    y_true, shares = np.repeat([0, 1], 50), np.tile([0.75, 0.25], (100, 1))
    accuracy = {"accuracy": metrics.build("accuracy", {})}
    drawn = guesses(accuracy, y_true, shares, over=np.array([True, True]), rng=np.random.default_rng(0), n=4000)
    assert drawn["accuracy"].shape == (4000,)
    assert abs(drawn["accuracy"].mean() - 0.5) < 0.01  # 0.5 * 0.75 + 0.5 * 0.25
    sure = guesses(accuracy, y_true, np.eye(2)[y_true], over=np.array([True, True]), rng=np.random.default_rng(0), n=3)
    assert (sure["accuracy"] == 1).all()


# --- two classifiers on the same clips --------------------------------------------------------------------------------
@pytest.mark.parametrize("by_person", [False, True])
def test_a_difference_is_drawn_on_the_same_resamples(by_person):
    y_true, y_a, who = predictions(60)
    y_b = predictions(60, right=0.3, seed=3)[1]
    metric = metrics.build("macro_f1", {})
    shared = {"persons": who if by_person else None, "n": 4_000}
    found = bootstrap_difference(metric, y_true, y_a, y_b, **arguments(y_true), **shared)
    rng, over = np.random.default_rng(5), present(y_true, 7)
    units = [np.flatnonzero(who == name) for name in np.unique(who)] if by_person else [[row] for row in range(60)]
    slow = []
    for _ in range(1_500):
        rows = np.concatenate([units[u] for u in rng.integers(len(units), size=len(units))]).astype(int)
        a, b = (metric(y_true[rows], guess[rows], np.eye(7)[guess[rows]], over) for guess in (y_a, y_b))
        slow.append(a - b)
    low, high = np.quantile(slow, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03)
    assert found.point == pytest.approx(np.subtract(*(metric(y_true, g, np.eye(7)[g], over) for g in (y_a, y_b))))
    apart = [bootstrap(metric, y_true, guess, **arguments(y_true), **shared) for guess in (y_a, y_b)]
    assert found.point == pytest.approx(apart[0].point - apart[1].point)


def test_a_classifier_does_not_differ_from_itself():
    y_true, y_pred, _ = predictions(40)
    found = bootstrap_difference(metrics.build("uar", {}), y_true, y_pred, y_pred, n=50, **arguments(y_true))
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
