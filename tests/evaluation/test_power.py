"""What a test set can detect, and tests and intervals counted on made-up test sets with known truth."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from joblib import parallel_config

from microexpr.core.confusion import confusion_matrix, present
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import metrics
from microexpr.evaluation.statistics.bootstrap import resample_pair
from microexpr.evaluation.statistics.power import Precision, detectable, precision
from refusal import refuses
from tools.validation import error_rates
from tools.validation.error_rates import Settings, find_detectable, measure
from tools.validation.simulation import SCENARIOS, draw, gap_for, population, true_score

QUICK = Settings(simulations=150, resamples=200, permutations=199)
STRONG = replace(SCENARIOS[145], suit_sd=1.5)


def row(table, quantity, way):
    return table[(table["quantity"] == quantity) & (table["way"] == way)].iloc[0]


# --- the detectable difference ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["uf1", "uar", "accuracy"])
@pytest.mark.parametrize("by_subject", [True, False])
def test_standard_error_is_the_jackknifes(name, by_subject):
    sets = draw(SCENARIOS[145], np.random.default_rng(0))
    averaged_classes, metric = present(sets.y_true, 3), metrics.build(name, {})
    units = sets.subjects if by_subject else np.arange(145)

    def score(kept):
        return np.subtract(
            *(
                metric(sets.y_true[kept], guess[kept], np.eye(3)[guess[kept]], averaged_classes)
                for guess in (sets.y_a, sets.y_b)
            )
        )

    without = np.array([score(units != unit) for unit in np.unique(units)])
    given = {"num_classes": 3, "averaged_classes": averaged_classes, "subjects": sets.subjects if by_subject else None}
    found = precision(metric, sets.y_true, sets.y_a, sets.y_b, **given)
    assert found.error == pytest.approx(np.sqrt((without.size - 1) * without.var()))
    sizes = np.unique(units, return_counts=True)[1]
    assert found.freedom == pytest.approx(145**2 / (sizes**2).sum() - 1)
    _, drawn = resample_pair(metric, sets.y_true, sets.y_a, sets.y_b, **given, rng=np.random.default_rng(0), n=4_000)
    assert found.error == pytest.approx(drawn.scores.std(), rel=0.12)


def test_detectable_solves_its_equation():
    for freedom in (3.0, 14.2, 40.0, 1e6):
        for power in (0.5, 0.8, 0.95):
            c, t = detectable(Precision(1.0, freedom), power=power), scipy.stats.t.ppf(0.975, freedom)
            spread = np.sqrt(1 + (c**2 + t**2) / (2 * freedom))
            assert c - t == pytest.approx(scipy.stats.norm.ppf(power) * spread, abs=1e-9)
    assert detectable(Precision(0.1, 1e9), step=0.02) == pytest.approx(0.1 * (1.959964 + 0.841621) + 0.01, abs=1e-6)
    assert detectable(Precision(0.0, 20.0)) is None
    for wrong in ({"power": 0.3}, {"power": 1.0}, {"level": 0.7}):
        with refuses("E801", *(f"{value:g}" for value in wrong.values()), kind=ConfigError):
            detectable(Precision(0.1, 20.0), **wrong)
    with refuses("E808", 0.97, kind=ConfigError):
        detectable(Precision(0.1, 1.0), power=0.97)
    one = np.array([0])
    with refuses("E802", kind=ConfigError):
        precision(metrics.build("uf1", {}), one, one, one, num_classes=2, averaged_classes=np.ones(2, bool))


def test_what_is_called_detectable_is_found_in_eighty_of_a_hundred():
    found = find_detectable(SCENARIOS[145], replace(QUICK, simulations=300))
    # 300 runs: two and a half standard errors are 0.058. The slow test below has 2,000.
    assert 0.74 < found["share"] < 0.86
    assert found["beyond"] == 0
    assert 0.15 < found["stated"] < 0.27


# --- made-up test sets ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("clips", SCENARIOS)
def test_many_sets_have_the_populations_matrix(clips):
    scenario, gap = SCENARIOS[clips], 0.8
    rng, num_classes = np.random.default_rng(0), len(scenario.shares)
    total = np.zeros((2, num_classes, num_classes))
    for _ in range(20_000 // clips):
        sets = draw(scenario, rng, gap)
        assert sets.y_true.size == clips
        for at, guess in enumerate((sets.y_a, sets.y_b)):
            total[at] += confusion_matrix(sets.y_true, guess, num_classes)
    matrices = population(scenario, gap)
    assert matrices.sum(axis=(1, 2)) == pytest.approx([1, 1], abs=0.01)
    assert np.abs(total / total[0].sum() - matrices).max() < 0.02
    shares = np.array(scenario.shares) / sum(scenario.shares)
    assert np.abs(matrices[0].sum(axis=1) - shares).max() < 0.01


@pytest.mark.parametrize("metric", ["uf1", "accuracy", "uar"])
def test_a_planted_difference_has_its_size(metric):
    scenario = SCENARIOS[442]
    first, second = population(scenario, gap_for(scenario, metric, 0.1))
    everything = np.arange(3)
    assert true_score(first, metric, everything) - true_score(second, metric, everything) == pytest.approx(
        0.1, abs=1e-3
    )
    assert gap_for(scenario, metric, 0.0) == 0
    same = population(scenario)
    assert (same[0] == same[1]).all()
    built = metrics.build(metric, {})
    assert true_score(first, metric, everything) == pytest.approx(float(built.of_confusion(first, np.ones(3, bool))))
    # A test set without the third class is scored over the two that it has, by the population's values for these.
    two = true_score(first, "uar", np.array([0, 1]))
    assert two == pytest.approx(np.mean([first[at, at] / first[at].sum() for at in range(2)]))


def test_without_subject_effects_subjects_are_alike():
    scenario = SCENARIOS[442].without_subject_effects()
    rng = np.random.default_rng(1)
    ratios = []
    for _ in range(60):
        sets = draw(scenario, rng)
        right = sets.y_a == sets.y_true
        sizes = np.bincount(sets.subjects, minlength=scenario.subjects)
        kept = sizes > 1
        mean = np.bincount(sets.subjects, weights=right, minlength=scenario.subjects)[kept] / sizes[kept]
        ratios.append((sizes[kept] * (mean - right.mean()) ** 2).mean() / (right.mean() * (1 - right.mean())))
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)  # between subjects no more than chance


# --- size, coverage, power --------------------------------------------------------------------------------------------
def test_sizes_under_subject_effects():
    table = measure(STRONG, QUICK)
    # 150 sets at 5 %: three standard errors are 0.053.
    assert row(table, "rejects", "permutation by subject")["share"] < 0.11
    assert row(table, "rejects", "Wilcoxon")["share"] < 0.11
    # Clips count as independent, and are not.
    for way in ("McNemar", "permutation by clip", "percentile by clip"):
        assert row(table, "rejects", way)["low"] > 0.10, way
    by_subject, by_clip = (
        row(table, "holds the score", f"expanded by {unit}")["share"] for unit in ("subject", "clip")
    )
    assert by_subject > 0.88 > by_clip
    for way in ("percentile", "bca", "expanded"):
        held = row(table, "holds the difference", f"{way} by subject")["share"]
        assert held == pytest.approx(1 - row(table, "rejects", f"{way} by subject")["share"])
    assert set(table["n"]) == {150}
    assert set(table["planted"]) == {0.0}


def test_without_subject_effects_clip_tests_are_valid():
    table = measure(SCENARIOS[255].without_subject_effects(), replace(QUICK, metric="accuracy"))
    for way in ("permutation by subject", "permutation by clip", "McNemar", "Wilcoxon"):
        assert row(table, "rejects", way)["share"] < 0.11, way


def test_a_large_difference_is_found():
    table = measure(SCENARIOS[442], replace(QUICK, simulations=60), difference=0.25)
    assert row(table, "rejects", "permutation by subject")["share"] > 0.95
    assert row(table, "rejects", "Wilcoxon")["share"] > 0.9
    assert row(table, "holds the difference", "expanded by subject")["share"] > 0.85


def test_the_table_does_not_depend_on_who_computes_it(monkeypatch):
    monkeypatch.setattr(error_rates, "BLOCK", 5)
    settings = Settings(simulations=12, resamples=20, permutations=19)
    with parallel_config(backend="threading"):  # processes take the blocks in the same way, and seconds to start
        tables = [measure(SCENARIOS[28], replace(settings, jobs=jobs)) for jobs in (1, 2)]
    assert tables[0].equals(tables[1])
    assert set(tables[0]["subject_sd"]) == {0.6}
    assert set(tables[0]["n"]) <= set(range(13))


@pytest.mark.slow
@pytest.mark.parametrize("clips", [145, 255, 442])
def test_sizes_at_two_thousand_sets(clips):
    table = measure(SCENARIOS[clips], Settings(simulations=2_000, resamples=200, permutations=999, jobs=2))
    for way in ("permutation by subject", "Wilcoxon"):
        assert row(table, "rejects", way)["share"] < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2_000), way


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["uf1", "accuracy"])
@pytest.mark.parametrize("clips", [145, 255, 442])
def test_detectable_at_two_thousand_sets(clips, metric):
    found = find_detectable(SCENARIOS[clips], Settings(simulations=2_000, metric=metric, jobs=2))
    assert 0.77 <= found["share"] <= 0.83
