"""Tests, corrections and intervals against scikit-learn, statsmodels and scipy, on random cases.

There are 400 of each, and 2,000 among the slow tests; fewer if set. What our answers are compared with shares no code
of ours: labels are counted and scored by scikit-learn, null distributions enumerated with itertools.
"""

from __future__ import annotations

import gc
import itertools
import math

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import confusion_matrix, f1_score, recall_score
from statsmodels.stats.contingency_tables import mcnemar as library_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from microexpr.core.confusion import present
from microexpr.core.interfaces import metrics
from microexpr.evaluation.statistics.bootstrap import bootstrap
from microexpr.evaluation.statistics.multiplicity import holm
from microexpr.evaluation.statistics.paired_permutation import paired_permutation
from microexpr.evaluation.statistics.paired_tests import matched_odds_ratio, mcnemar, signed_rank
from microexpr.evaluation.statistics.permutation import permutation_null

MANY = pytest.mark.parametrize("cases", [400, pytest.param(2_000, marks=pytest.mark.slow)])
EXACT = {"rel": 1e-9, "abs": 1e-12}
NAMES = ("macro_f1", "uf1", "uar", "accuracy")


def library_scores(name, y_true, columns):
    """Score many label vectors, one a column, by scikit-learn in one call; F1 and recall as problems of yes or no.

    `y_true` is one vector, or one a column. The mean is over the classes with a true clip.
    """
    truth = np.broadcast_to(y_true[:, None] if y_true.ndim == 1 else y_true, columns.shape)
    if name == "accuracy":
        return (truth == columns).mean(axis=0)
    labels = np.unique(y_true)
    yes, said = ((each[:, :, None] == labels).reshape(len(truth), -1).astype(int) for each in (truth, columns))
    score = recall_score if name == "uar" else f1_score
    if yes.shape[1] == 1:  # one column is no problem of several labels
        return np.array([score(yes[:, 0], said[:, 0], zero_division=0)])
    return score(yes, said, average=None, zero_division=0).reshape(-1, labels.size).mean(axis=1)


def drawn_labels(rng, clips, num_classes, right):
    y_true = rng.integers(num_classes, size=clips)
    return y_true, *(
        np.where(rng.random(clips) < share, y_true, rng.integers(num_classes, size=clips)) for share in right
    )


# --- corrections ------------------------------------------------------------------------------------------------------
@MANY
def test_holm_is_that_of_statsmodels_on_random_families(monkeypatch, cases):
    """Families of 1 to 15 tests, many with ties; tests without a p-value stay out of theirs."""
    monkeypatch.setattr(gc, "collect", lambda: 0)  # statsmodels collects garbage at every call: 35 ms
    rng = np.random.default_rng(0)
    tied = 0
    for case in range(cases):
        p_values = rng.random(rng.integers(1, 16)) ** rng.choice([1, 3])
        if case % 3:
            p_values = np.round(p_values, case % 3)  # zeros and ones among them
        tied += np.unique(p_values).size < p_values.size
        rejected, adjusted, _, _ = multipletests(p_values, alpha=0.05, method="holm")
        missing = [None] * int(rng.integers(3))
        given = [*(float(p) for p in p_values), *missing]
        places = rng.permutation(len(given))
        found = holm([given[place] for place in places])
        ours = np.full(len(given), np.nan)
        ours[places] = [np.nan if p is None else p for p in found]
        assert ours[: p_values.size] == pytest.approx(adjusted, **EXACT)
        assert np.isnan(ours[p_values.size :]).all()
        clear = np.abs(adjusted - 0.05) > 1e-9  # 0.01 times 5 is 0.05 for one and more for the other
        assert ((ours[: p_values.size] <= 0.05) == rejected)[clear].all()
    assert tied > cases / 3


# --- tests of two classifiers -----------------------------------------------------------------------------------------
@MANY
def test_mcnemar_is_that_of_statsmodels_on_random_pairs(cases):
    rng = np.random.default_rng(1)
    even = 0
    for _ in range(cases):
        labels = drawn_labels(rng, int(rng.integers(1, 120)), int(rng.integers(2, 6)), rng.random(2))
        y_true, y_a, y_b = labels
        table = confusion_matrix(y_a == y_true, y_b == y_true, labels=[True, False])
        found = mcnemar(y_true, y_a, y_b)
        assert (found.only_a, found.only_b) == (table[0, 1], table[1, 0])
        assert found.p_value == pytest.approx(library_mcnemar(table, exact=True).pvalue, **EXACT)
        even += found.only_a == found.only_b
    assert even > 20  # where doubling a tail would give more than 1


@MANY
def test_matched_odds_ratio_has_the_interval_of_clopper_and_pearson_in_random_tables(cases):
    """By quantiles of F, from which the odds follow directly (Leemis & Trivedi, 1996), and by statsmodels' shares."""
    rng = np.random.default_rng(2)
    counts = rng.integers(0, rng.choice([3, 12, 60], size=(cases, 1)), size=(cases, 2))
    counts[counts.sum(axis=1) == 0] = 1
    levels = rng.choice([0.8, 0.9, 0.95, 0.99], size=cases)
    for (a, b), level in zip(counts.tolist(), levels.tolist(), strict=True):
        found, half = matched_odds_ratio(a, b, level), (1 - level) / 2
        low = a / ((b + 1) * scipy.stats.f.isf(half, 2 * (b + 1), 2 * a)) if a else 0.0
        high = (a + 1) / b * scipy.stats.f.isf(half, 2 * (a + 1), 2 * b) if b else None
        assert found.ratio == (a / b if b else None)
        assert found.low == pytest.approx(low, rel=1e-6)
        assert found.high == (None if high is None else pytest.approx(high, rel=1e-6))
        share_low, share_high = proportion_confint(a, a + b, alpha=1 - level, method="beta")
        assert found.low == pytest.approx(share_low / (1 - share_low), rel=1e-6)
        if b:
            assert found.high == pytest.approx(share_high / (1 - share_high), rel=1e-6)


def all_signs(size):
    return np.array(list(itertools.product([0, 1], repeat=size)))


SIGNS = {size: all_signs(size) for size in range(1, 14)}


@pytest.mark.numeric
@MANY
def test_signed_ranks_are_those_of_scipy_in_random_sets_of_subjects(cases):
    """Scipy is told which distribution to take, and ours must find it.

    Ties of up to 13 subjects are enumerated, as scipy has no exact distribution for them. Most such cases are small,
    since the permutations that ours has scipy make of 13 take it a second.
    """
    rng = np.random.default_rng(3)
    ways = dict.fromkeys(("exact", "enumerated", "asymptotic", "nobody"), 0)
    for case in range(cases):
        kind = case % 4
        people = int(rng.integers(*[(2, 60), (2, 7), (2, 8), (30, 70)][kind])) if case % 500 != 1 else 13
        if kind == 0:  # hardly a tie
            clips = rng.choice(np.arange(101, 102 + 8 * people, 8), size=people, replace=False)
        elif kind == 1:  # many ties
            clips = np.full(people, rng.integers(1, 6))
        else:
            clips = rng.integers(1, 13, size=people)
        who = np.repeat(np.arange(people), clips)
        y_true, y_a, y_b = drawn_labels(rng, who.size, 2, rng.uniform(0.1, 0.9, size=2))
        gained = np.bincount(who, weights=(y_a == y_true).astype(int) - (y_b == y_true))
        kept = (gained / clips)[gained != 0]  # one division, correctly rounded: equal fractions are equal
        found = signed_rank(y_true, y_a, y_b, who)
        assert (found.subjects, found.dropped) == (kept.size, people - kept.size)
        if kept.size == 0:
            assert (found.statistic, found.p_value) == (None, None)
            ways["nobody"] += 1
            continue
        tied = np.unique(np.abs(kept)).size < kept.size
        way = "asymptotic" if kept.size > (13 if tied else 50) else "enumerated" if tied else "exact"
        ways[way] += 1
        if way == "enumerated":
            ranks = scipy.stats.rankdata(np.abs(kept))
            sums, observed = SIGNS[kept.size] @ ranks, ranks[kept > 0].sum()
            statistic = min(observed, ranks.sum() - observed)
            p_value = min(1.0, 2 * min((sums <= observed).mean(), (sums >= observed).mean()))
        else:
            expected = scipy.stats.wilcoxon(kept, method=way)
            statistic, p_value = expected.statistic, expected.pvalue
        assert (found.statistic, found.p_value) == (pytest.approx(statistic), pytest.approx(p_value, **EXACT))
    assert min(ways.values()) >= cases // 100, ways


def swapped_predictions(y_a, y_b, groups):
    """Return the first classifier's predictions after every swapping of units, one a column; its mirror has b's."""
    swaps = np.array(list(itertools.product([False, True], repeat=len(groups))))
    at = np.zeros(y_a.size, np.int64)
    for number, rows in enumerate(groups):
        at[rows] = number
    return np.where(swaps.T[at], y_b[:, None], y_a[:, None])


@MANY
def test_the_exact_swap_test_is_enumeration_in_random_cases(cases):
    """Up to six subjects, or clips one by one; every swapping is made by itertools and scored by scikit-learn."""
    rng = np.random.default_rng(4)
    below = 0
    for case in range(cases):
        units, num_classes, name = int(rng.integers(2, 7)), int(rng.integers(2, 5)), NAMES[case // 2 % 4]
        by_subject = case % 2 == 0
        who = np.sort(rng.permutation(np.r_[np.arange(units), rng.integers(units, size=2 * units)]))
        who = who if by_subject else np.arange(units)
        y_true, y_a, y_b = drawn_labels(rng, who.size, num_classes, rng.choice([0.1, 0.5, 0.9], size=2))
        mixed = swapped_predictions(y_a, y_b, [np.flatnonzero(who == unit) for unit in range(units)])
        scores = library_scores(name, y_true, mixed)
        differences = scores - scores[::-1]  # the last swapping is the first one's mirror image
        found = paired_permutation(
            metrics.build(name, {}),
            y_true,
            y_a,
            y_b,
            num_classes=num_classes,
            averaged_classes=present(y_true, num_classes),
            rng=rng,
            subjects=who if by_subject else None,
        )
        expected = float((np.abs(differences) >= abs(differences[0]) - 1e-12).mean())
        assert found.exact
        assert (found.difference, found.p_value) == (pytest.approx(differences[0], abs=1e-12), pytest.approx(expected))
        below += expected < 0.1
    assert below > cases / 20


# --- one classifier against chance ------------------------------------------------------------------------------------
@MANY
def test_permutations_within_subjects_have_the_enumerated_null_in_random_cases(cases):
    """Two subjects, all permutations of their labels by itertools, scored by scikit-learn.

    Ours draws 99. Mean and p-value then lie about the enumerated ones as draws do: standardised, they are 0 on average
    with a mean square of 1, which tells the null's mean and variance.
    """
    rng = np.random.default_rng(5)
    draws, means, counts = 99, [], []
    for case in range(cases):
        num_classes, name = int(rng.integers(2, 4)), NAMES[case % 4]
        sizes = (int(rng.integers(2, 5)), int(rng.integers(1, 4)))
        who = np.repeat(["a", "b"], sizes)
        y_true, y_pred = drawn_labels(rng, who.size, num_classes, [0.5])
        columns = np.array(
            [
                [*first, *second]
                for first in itertools.permutations(y_true[: sizes[0]].tolist())
                for second in itertools.permutations(y_true[sizes[0] :].tolist())
            ]
        ).T
        guessed = np.broadcast_to(y_pred[:, None], columns.shape)
        null = library_scores(name, columns, guessed)
        found = permutation_null(
            metrics.build(name, {}),
            y_true,
            y_pred,
            num_classes=num_classes,
            averaged_classes=present(y_true, num_classes),
            rng=rng,
            n=draws,
            subjects=who,
        )
        share, spread = float((null >= null[0] - 1e-12).mean()), null.std()
        extremes = found.p_value * (draws + 1) - 1
        if spread < 1e-12:
            assert found.mean == pytest.approx(null[0])
            assert found.p_value == 1
            continue
        means.append((found.mean - null.mean()) / (spread / math.sqrt(draws)))
        assert null.min() - 1e-12 <= found.level <= null.max() + 1e-12
        if share < 1:
            counts.append((extremes - draws * share) / math.sqrt(draws * share * (1 - share)))
        else:
            assert found.p_value == 1
    for values in (np.array(means), np.array(counts)):
        assert values.size > cases / 2
        assert abs(values.mean()) < 3.5 / math.sqrt(values.size)
        assert (values**2).mean() == pytest.approx(1, abs=3.5 * (values**2).std() / math.sqrt(values.size))


# --- intervals --------------------------------------------------------------------------------------------------------
@pytest.mark.numeric
@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("by_subject", [False, True])
def test_bootstrap_of_an_accuracy_is_scipys_in_100_cases(method, by_subject):
    """Each end lies where scipy's does, but for the spread of two draws of 4,000, and on average very nearly."""
    rng = np.random.default_rng(6)
    apart = []
    for _ in range(100):
        people = int(rng.integers(12, 25))
        who = np.sort(rng.integers(people, size=int(rng.integers(60, 160))))
        y_true, y_pred = drawn_labels(rng, who.size, 3, [rng.uniform(0.3, 0.8)])
        right = (y_true == y_pred).astype(float)
        if by_subject:
            _, subject = np.unique(who, return_inverse=True)
            data, statistic = (np.bincount(subject, right), np.bincount(subject).astype(float)), share_of_subjects
        else:
            data, statistic = (right,), np.mean
        expected = scipy.stats.bootstrap(
            data, statistic, paired=by_subject, vectorized=True, axis=-1, n_resamples=4_000,
            method="BCa" if method == "bca" else "percentile", rng=rng,
        )  # fmt: skip
        found = bootstrap(
            metrics.build("accuracy", {}),
            y_true,
            y_pred,
            num_classes=3,
            averaged_classes=present(y_true, 3),
            rng=rng,
            n=4_000,
            method=method,
            subjects=who if by_subject else None,
        )
        ends, theirs = np.array([found.low, found.high]), np.array(expected.confidence_interval)
        # A quantile of 4,000 draws at 2.5 % moves by 0.066 standard errors, and two of them by 0.09; clips come in
        # steps of one.
        allowed = 0.45 * expected.standard_error + (0 if by_subject else 1 / who.size)
        assert np.abs(ends - theirs).max() <= allowed
        apart.append((ends - theirs) / expected.standard_error)
    assert np.abs(np.mean(apart, axis=0)).max() < 0.05


def share_of_subjects(right, clips, axis=-1):
    return right.sum(axis=axis) / clips.sum(axis=axis)
