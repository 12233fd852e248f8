"""Two experiments on the same clips: every test against enumeration or another library, and what is refused."""

import dataclasses
import itertools
import json
import time

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from microexpr.core.confusion import present
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import metrics
from microexpr.evaluation.statistics import paired_permutation as permutation_module
from microexpr.evaluation.statistics.bootstrap import bootstrap_all, resample_pair
from microexpr.evaluation.statistics.comparison import compare
from microexpr.evaluation.statistics.multiplicity import holm, with_family
from microexpr.evaluation.statistics.paired import Predictions, align
from microexpr.evaluation.statistics.paired_permutation import paired_permutation
from microexpr.evaluation.statistics.paired_tests import matched_odds_ratio, mcnemar, signed_rank
from refusal import refuses

NAMES = ("macro_f1", "macro_f1_all", "uf1", "uar", "accuracy")
CLASSES = ("negative", "positive", "surprise")


def labels(n, subjects, seed=0, right=(0.6, 0.5), num_classes=3):
    rng = np.random.default_rng(seed)
    y_true = rng.integers(num_classes, size=n)
    y_a, y_b = (np.where(rng.random(n) < share, y_true, rng.integers(num_classes, size=n)) for share in right)
    return y_true, y_a, y_b, rng.permutation(np.arange(n) % subjects)


def pair(n=145, subjects=24, seed=0, right=(0.7, 0.5)):
    y_true, y_a, y_b, who = labels(n, subjects, seed, right)
    clips = np.array([f"casme2/{number:03}" for number in range(n)])
    who = np.array([f"casme2/{number:02}" for number in who])
    return tuple(Predictions(name, CLASSES, clips, who, y_true, guess) for name, guess in (("A", y_a), ("B", y_b)))


def quick(a, b, metric="uf1", seed=0, **given):
    return compare(a, b, metric, rng=np.random.default_rng(seed), **{"n": 500, "permutations": 499, **given})


# --- permutation by subject -------------------------------------------------------------------------------------------
def enumerated(name, y_true, y_a, y_b, units):
    """Swap every subset of the units and score labels, one by one."""
    metric, num_classes = metrics.build(name, {}), 3
    averaged_classes = present(y_true, num_classes)
    groups = [np.flatnonzero(units == unit) for unit in np.unique(units)]

    def difference(first, second):
        return metric(y_true, first, np.eye(num_classes)[first], averaged_classes) - metric(
            y_true, second, np.eye(num_classes)[second], averaged_classes
        )

    differences = []
    for swapped in itertools.product((False, True), repeat=len(groups)):
        rows = np.concatenate([group for group, swap in zip(groups, swapped, strict=True) if swap] or [[]]).astype(int)
        first, second = y_a.copy(), y_b.copy()
        first[rows], second[rows] = y_b[rows], y_a[rows]
        differences.append(difference(first, second))
    return np.abs(differences), difference(y_a, y_b)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_all_swappings_are_those_of_enumeration(name, seed):
    y_true, y_a, y_b, who = labels(28, 8, seed)
    given = {"num_classes": 3, "averaged_classes": present(y_true, 3), "rng": np.random.default_rng(0)}
    found = paired_permutation(metrics.build(name, {}), y_true, y_a, y_b, **given, subjects=who)
    differences, observed = enumerated(name, y_true, y_a, y_b, who)
    assert found.difference == pytest.approx(observed)
    assert found.p_value == pytest.approx((differences >= abs(observed) - 1e-12).mean())
    assert found.exact
    assert found.n == 2 ** (found.units - 1)
    assert 5 < found.units <= 8
    values = np.unique(differences.round(12))
    rejected = [value for value in values if (differences >= value - 1e-12).mean() <= 0.05]
    below = [value for value in values if not rejected or value < rejected[0] - 1e-12]
    assert found.step == (pytest.approx(rejected[0] - below[-1]) if rejected else None)


@pytest.mark.parametrize("name", ["uf1", "accuracy"])
def test_drawn_swappings_estimate_the_exact_p(name):
    y_true, y_a, y_b, who = labels(120, 15, 1)
    given = {"num_classes": 3, "averaged_classes": present(y_true, 3), "subjects": who}
    exact = paired_permutation(
        metrics.build(name, {}), y_true, y_a, y_b, **given, rng=np.random.default_rng(0), n=20_000
    )
    drawn = paired_permutation(
        metrics.build(name, {}), y_true, y_a, y_b, **given, rng=np.random.default_rng(0), n=2_000
    )
    assert (exact.exact, drawn.exact, drawn.n) == (True, False, 2_000)
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.04)
    assert drawn.p_value * 2_001 == pytest.approx(round(drawn.p_value * 2_001))  # (1 + count) / (n + 1)


@pytest.mark.parametrize("seed", range(4))
def test_swapping_clips_by_accuracy_is_mcnemars_test(seed):
    y_true, y_a, y_b, _ = labels(14, 4, seed, right=(0.8, 0.4))
    found = paired_permutation(
        metrics.build("accuracy", {}),
        y_true,
        y_a,
        y_b,
        num_classes=3,
        averaged_classes=present(y_true, 3),
        rng=np.random.default_rng(0),
    )
    assert found.exact
    assert found.p_value == pytest.approx(mcnemar(y_true, y_a, y_b).p_value)


def test_clips_as_their_own_subjects_are_swapped_as_clips():
    y_true, y_a, y_b, _ = labels(145, 20, right=(0.6, 0.5))
    given = {"num_classes": 3, "averaged_classes": present(y_true, 3), "n": 20_000}
    alone, grouped = (
        paired_permutation(
            metrics.build("uf1", {}), y_true, y_a, y_b, **given, rng=np.random.default_rng(0), subjects=subjects
        )
        for subjects in (np.arange(145), None)
    )
    assert alone.p_value == pytest.approx(grouped.p_value, abs=0.015)
    assert alone.units == grouped.units == (y_a != y_b).sum()


def test_same_seed_same_p_whatever_the_chunk(monkeypatch):
    y_true, y_a, y_b, who = labels(145, 24)
    metric = metrics.build("uf1", {})
    for subjects in (who, None):
        given = {"num_classes": 3, "averaged_classes": present(y_true, 3), "subjects": subjects, "n": 999}
        one = paired_permutation(metric, y_true, y_a, y_b, **given, rng=np.random.default_rng(0))
        monkeypatch.setattr(permutation_module, "CHUNK", 37)
        assert paired_permutation(metric, y_true, y_a, y_b, **given, rng=np.random.default_rng(0)) == one
        monkeypatch.undo()


def test_who_does_not_differ_has_p_one_and_few_subjects_cannot_tell():
    y_true, y_a, y_b, who = labels(40, 5)
    given = {"num_classes": 3, "averaged_classes": present(y_true, 3), "rng": np.random.default_rng(0), "subjects": who}
    same = paired_permutation(metrics.build("uf1", {}), y_true, y_a, y_a, **given)
    assert (same.p_value, same.units, same.n, same.step) == (1, 0, 1, None)
    few = paired_permutation(metrics.build("accuracy", {}), y_true, y_true, (y_true + 1) % 3, **given)
    assert (few.p_value, few.step) == (2 / 32, None)  # 5 subjects, all for one of the two, and still above 0.05
    with refuses("E801", 0):
        paired_permutation(metrics.build("uf1", {}), y_true, y_a, y_b, **given, n=0)


# --- the other tests --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(5))
def test_signed_ranks_are_those_of_all_signs(seed):
    y_true, y_a, y_b, who = labels(60, 11, seed)
    differences = np.array([(y_a == y_true)[who == p].mean() - (y_b == y_true)[who == p].mean() for p in range(11)])
    kept = differences[np.abs(differences) > 1e-9]
    ranks = scipy.stats.rankdata(np.abs(kept).round(9))
    sums = np.array([ranks[list(signs)].sum() for signs in itertools.product((False, True), repeat=kept.size)])
    centre, observed = ranks.sum() / 2, ranks[kept > 0].sum()
    found = signed_rank(y_true, y_a, y_b, who)
    assert (found.subjects, found.dropped) == (kept.size, 11 - kept.size)
    assert found.statistic == pytest.approx(min(observed, ranks.sum() - observed))
    assert found.p_value == pytest.approx((np.abs(sums - centre) >= abs(observed - centre) - 1e-9).mean())


def test_nobody_to_rank_is_said():
    y_true, y_a, _, who = labels(30, 5)
    assert signed_rank(y_true, y_a, y_a, who) == (None, None, 0, 5)


@pytest.mark.parametrize(("only_a", "only_b"), [(9, 4), (15, 3), (0, 7), (6, 0), (40, 40), (13, 4), (12, 4)])
def test_odds_ratio_is_clopper_and_pearsons_and_agrees_with_mcnemar(only_a, only_b):
    n = only_a + only_b
    low = scipy.stats.beta.ppf(0.025, only_a, only_b + 1) if only_a else 0.0
    high = scipy.stats.beta.ppf(0.975, only_a + 1, only_b) if only_b else None
    found = matched_odds_ratio(only_a, only_b)
    assert found.low == pytest.approx(low / (1 - low))
    assert found.ratio == (only_a / only_b if only_b else None)
    assert found.high == (None if high is None else pytest.approx(high / (1 - high), rel=1e-6))
    y_true, y_a, y_b = np.zeros(n, int), np.repeat([0, 1], [only_a, only_b]), np.repeat([1, 0], [only_a, only_b])
    rejected = mcnemar(y_true, y_a, y_b).p_value <= 0.05
    assert rejected != (found.low <= 1 and (found.high is None or found.high >= 1))


def test_no_odds_where_nothing_differs():
    with refuses("E807"):
        matched_odds_ratio(0, 0)


def test_holm_is_the_closure_of_bonferroni():
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = rng.random(rng.integers(1, 6)).round(1) * 0.2
        families = [family for size in range(1, p.size + 1) for family in itertools.combinations(range(p.size), size)]
        # A hypothesis is rejected where Bonferroni rejects every family that it belongs to.
        expected = [
            max(min(1, len(family) * p[list(family)].min()) for family in families if at in family)
            for at in range(p.size)
        ]
        assert holm(p.tolist()) == pytest.approx(expected)
    assert holm([None, 0.02, None, 0.5]) == (None, 0.04, None, 0.5)
    assert holm([]) == ()


# --- one comparison ---------------------------------------------------------------------------------------------------
def test_a_comparison_holds_what_each_test_gives():
    a, b = pair()
    found = quick(a, b, n=2_000)
    averaged_classes, metric = present(a.y_true, 3), metrics.build("uf1", {})
    rng = np.random.default_rng(0)
    given = {"num_classes": 3, "averaged_classes": averaged_classes, "rng": rng, "subjects": a.subjects}
    resampled = resample_pair(metric, a.y_true, a.y_pred, b.y_pred, **given, n=2_000)[1]
    interval = resampled.interval(found.method)
    swapped = paired_permutation(metric, a.y_true, a.y_pred, b.y_pred, **given, n=499)
    assert (found.ci_low, found.ci_high, found.difference) == (interval.low, interval.high, interval.point)
    assert (found.p_value, found.permutations, found.p_exact) == (swapped.p_value, 499, False)
    assert found.score_a - found.score_b == pytest.approx(found.difference)
    assert (found.only_a, found.only_b, found.mcnemar_p) == mcnemar(a.y_true, a.y_pred, b.y_pred)
    assert (found.odds_ratio, found.odds_low, found.odds_high) == matched_odds_ratio(found.only_a, found.only_b)
    ranked = signed_rank(a.y_true, a.y_pred, b.y_pred, a.subjects)
    assert (found.wilcoxon_p, found.wilcoxon_subjects, found.wilcoxon_dropped) == ranked[1:]
    assert len(found.changed) == found.only_a + found.only_b
    assert (found.n_clips, found.n_subjects, found.classes) == (145, 24, CLASSES)
    assert found.significant
    assert found.verdict in str(found)
    assert str(found).endswith("the difference is significant.")
    # Clips were dealt to subjects at random: a subject's clips do not go together.
    assert 0.4 < found.design_effect < 2
    assert 0.1 < found.detectable < 0.2


def test_a_comparison_is_plain_and_turns_with_its_sides():
    a, b = pair(seed=3)
    there, back = quick(a, b), quick(b, a)
    assert json.loads(json.dumps(dataclasses.asdict(there)))["difference"] == there.difference
    assert there.difference == -back.difference
    assert (there.mcnemar_p, there.wilcoxon_p) == pytest.approx((back.mcnemar_p, back.wilcoxon_p))
    assert there.p_value == pytest.approx(back.p_value, abs=0.05)
    assert (there.ci_low, there.ci_high) == pytest.approx((-back.ci_high, -back.ci_low), abs=0.05)
    assert there.odds_low == pytest.approx(1 / back.odds_high)
    assert there.detectable == pytest.approx(back.detectable, abs=0.005)
    assert len(there.percentiles) == 101
    assert there.percentiles[0] < there.ci_low < there.ci_high < there.percentiles[-1]


def test_the_order_of_clips_does_not_matter():
    a, b = pair()
    rows = np.random.default_rng(4).permutation(145)
    moved = Predictions("B", CLASSES, b.clips[rows], b.subjects[rows], b.y_true[rows], b.y_pred[rows])
    assert quick(a, moved) == quick(a, b)
    table = pd.DataFrame({"clip": b.clips, "subject": b.subjects, "y_true": b.y_true, "y_pred": b.y_pred, "p_0": 0.5})
    assert quick(a, Predictions.of("B", table, CLASSES)) == quick(a, b)


def test_who_does_not_differ_is_told_in_words():
    a, _ = pair()
    found = quick(a, dataclasses.replace(a, name="again"))
    assert (found.difference, found.ci_low, found.ci_high, found.p_value, found.mcnemar_p) == (0, 0, 0, 1, 1)
    assert (found.odds_ratio, found.wilcoxon_p, found.detectable, found.design_effect) == (None,) * 4
    assert not found.significant
    for words in ("same class for every clip", "no odds ratio", "no Wilcoxon test"):
        assert any(words in remark for remark in found.notes), words


def test_what_cannot_be_told_with_few_subjects_is_said():
    a, b = pair(40, 5, right=(1.0, 0.0))
    found = quick(a, b)
    assert found.detectable is None
    assert not found.significant
    assert any("differ for 5 subjects only" in remark for remark in found.notes)
    assert any("no upper limit" in remark for remark in found.notes)
    assert found.odds_high is None
    assert found.odds_low > 1


def test_clips_as_units_are_warned_of():
    a, b = pair()
    found = quick(a, b, unit="clip", method="percentile")
    assert (found.unit, found.method, found.differing) == ("clip", "percentile", (a.y_pred != b.y_pred).sum())
    assert any("by clip" in remark and "independent" in remark for remark in found.notes)


def test_a_family_is_corrected_together():
    a, b = pair(right=(0.62, 0.5), seed=2)
    family = with_family([quick(a, b, name) for name in NAMES])
    assert [one.p_holm for one in family] == list(holm([one.p_value for one in family]))
    assert all(one.family == 5 for one in family)
    assert "Holm, 5 comparisons" in str(family[0])


def test_what_cannot_be_compared_is_refused_in_a_sentence():
    a, b = pair()

    def changed(**fields):
        return dataclasses.replace(b, **fields)

    fewer = {field: getattr(b, field)[:-4] for field in ("clips", "subjects", "y_true", "y_pred")}
    twice = np.where(np.arange(145) == 7, b.clips[6], b.clips)
    for other, code, named in (
        (changed(**fewer), "E815", ["4 only in A (casme2/141, ", " and 1 more)"]),
        (changed(classes=("negative", "positive", "happy")), "E814", ["A", "surprise", "B", "happy"]),
        (changed(clips=twice), "E813", ["B", "casme2/006"]),
        (changed(y_true=(b.y_true + (np.arange(145) == 3)) % 3), "E816", ["true classes for casme2/003"]),
        (changed(subjects=np.where(np.arange(145) == 3, "x", b.subjects)), "E816", ["subjects for casme2/003"]),
    ):
        with refuses(code, *named, kind=ConfigError):
            quick(a, other)
    one_subject, one_class = np.full(145, "casme2/01"), np.zeros(145, int)
    for fields, code in (
        ({"subjects": one_subject}, "E803"),
        ({"y_true": one_class}, "E804"),
        ({field: getattr(b, field)[:0] for field in fewer}, "E802"),
    ):
        for unit in ("subject", "clip"):
            with refuses(code, kind=ConfigError):
                quick(dataclasses.replace(a, **fields), changed(**fields), unit=unit)
    with refuses("E812", "B", "subject, y_pred", kind=ConfigError):
        Predictions.of("B", pd.DataFrame({"clip": [], "y_true": []}), CLASSES)


def test_three_are_aligned_to_the_first():
    a, b = pair()
    rows = np.arange(145)[::-1]
    third = Predictions("C", CLASSES, b.clips[rows], b.subjects[rows], b.y_true[rows], b.y_pred[rows])
    aligned = align(a, b, third)
    assert (aligned[2].y_pred == b.y_pred).all()
    assert (aligned[2].clips == a.clips).all()


# --- cost -------------------------------------------------------------------------------------------------------------
def test_ten_thousand_resamples_and_permutations_of_442_clips():
    y_true, y_a, y_b, who = labels(442, 68)
    given = {"num_classes": 3, "averaged_classes": present(y_true, 3), "rng": np.random.default_rng(0), "subjects": who}
    start = time.perf_counter()
    bootstrap_all({name: metrics.build(name, {}) for name in NAMES}, y_true, y_a, **given, n=10_000)
    # 0.06 s measured on one core; the bound leaves room for a busy machine.
    assert time.perf_counter() - start < 2
    start = time.perf_counter()
    paired_permutation(metrics.build("uf1", {}), y_true, y_a, y_b, **given, n=9_999)
    assert time.perf_counter() - start < 2
