"""Several seeds, and subjects left out: against slow references and known truth."""

from dataclasses import asdict

import numpy as np
import pytest

from microexpr.core.confusion import present
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import metrics
from microexpr.evaluation.statistics.influence import influence
from microexpr.evaluation.statistics.seeds import split_seeds
from microexpr.report.blocks import seeds as blocks
from microexpr.report.summary import OverSeeds
from microexpr.report.view import StudyView
from pages import make_summary, study
from refusal import refuses

NAMES = ("macro_f1", "uf1", "uar", "accuracy")


def seeds(rng, n_seeds=5, subjects=24, each=6, seed_sd=0.3, subject_sd=0.5, joint_sd=0.3):
    """Draw seeds by subjects by clips; standard deviations on the logit scale of getting a clip right."""
    who = np.repeat(np.arange(subjects), each)
    logit = seed_sd * rng.standard_normal((n_seeds, 1)) + subject_sd * rng.standard_normal(subjects)
    logit = logit + joint_sd * rng.standard_normal((n_seeds, subjects))
    y_true = rng.integers(3, size=who.size)
    right = rng.random((n_seeds, who.size)) < 1 / (1 + np.exp(-logit[:, who]))
    return y_true, np.where(right, y_true, (y_true + rng.integers(1, 3, size=right.shape)) % 3), who


def slow_score(name, y_true, y_pred, averaged_classes):
    return metrics.build(name, {})(y_true, y_pred, np.eye(3)[y_pred], averaged_classes)


# --- seeds ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("unit", ["subject", "clip"])
def test_variances_are_those_of_pseudo_values_computed_one_by_one(name, unit):
    y_true, guesses, who = seeds(np.random.default_rng(0), n_seeds=3, subjects=8, each=4)
    averaged_classes = present(y_true, 3)
    units = who if unit == "subject" else np.arange(who.size)
    u, s = np.unique(units).size, len(guesses)
    values = np.array(
        [
            [
                u * slow_score(name, y_true, guess, averaged_classes)
                - (u - 1) * slow_score(name, y_true[units != one], guess[units != one], averaged_classes)
                for guess in guesses
            ]
            for one in np.unique(units)
        ]
    )
    mean = values.mean()
    seed, one = values.mean(axis=0), values.mean(axis=1)
    of_rest = sum((values[i, j] - one[i] - seed[j] + mean) ** 2 for i in range(u) for j in range(s)) / (u - 1) / (s - 1)
    of_seeds, of_units = u * seed.var(ddof=1), s * one.var(ddof=1)
    found = split_seeds(
        metrics.build(name, {}), y_true, guesses, who, num_classes=3, averaged_classes=averaged_classes, unit=unit
    )
    assert found.mean == pytest.approx(
        np.mean([slow_score(name, y_true, guess, averaged_classes) for guess in guesses])
    )
    assert found.joint_variance == pytest.approx(of_rest / u)
    assert found.seed_variance == pytest.approx(max(of_seeds - of_rest, 0) / u)
    assert found.unit_variance == pytest.approx(max(of_units - of_rest, 0) / s / u)
    assert found.seed_sd == pytest.approx(np.std(found.scores, ddof=1))
    assert found.unit == unit
    assert found.low < found.mean < found.high


def test_variances_are_found_again():
    """Accuracy over even subjects is linear, so the parts are those that went in."""
    rng, parts = np.random.default_rng(1), []
    accuracy = metrics.build("accuracy", {})
    for _ in range(300):
        y_true, guesses, who = seeds(rng, n_seeds=6, subjects=20, each=10)
        found = split_seeds(accuracy, y_true, guesses, who, num_classes=3, averaged_classes=np.ones(3, bool))
        parts.append((found.seed_variance, found.unit_variance, found.joint_variance))
    truth = np.random.default_rng(2)
    logit = truth.standard_normal((3, 400, 1)) * np.array([[[0.3]], [[0.5]], [[0.3]]])
    a, b = logit[0][:200, 0], logit[1][:, 0]
    # Mean probability given the seed, given the subject, and what is left, by brute force over the other effects.
    other = truth.standard_normal((2, 4_000))
    given_seed = [np.mean(1 / (1 + np.exp(-(x + 0.5 * other[0] + 0.3 * other[1])))) for x in a]
    given_subject = [np.mean(1 / (1 + np.exp(-(x + 0.3 * other[0] + 0.3 * other[1])))) for x in b]
    found = np.mean(parts, axis=0)
    assert found[0] == pytest.approx(np.var(given_seed), rel=0.2)
    assert found[1] == pytest.approx(np.var(given_subject) / 20, rel=0.2)
    assert found[2] == pytest.approx(0.25 / 200, rel=0.15)  # nearly all of the rest is the clips' coin tosses


@pytest.mark.parametrize("n_seeds", [2, 5])
def test_the_mean_over_seeds_is_covered(n_seeds):
    rng, held = np.random.default_rng(3), 0
    x = rng.standard_normal(400_000) * np.sqrt(0.3**2 + 0.5**2 + 0.3**2)
    truth = np.mean(1 / (1 + np.exp(-x)))
    for _ in range(400):
        y_true, guesses, who = seeds(rng, n_seeds=n_seeds)
        found = split_seeds(
            metrics.build("accuracy", {}), y_true, guesses, who, num_classes=3, averaged_classes=np.ones(3, bool)
        )
        held += found.low <= truth <= found.high
    assert 0.91 < held / 400 < 0.995


def test_seeds_that_are_alike_have_no_share():
    y_true, guesses, who = seeds(np.random.default_rng(4))
    same = np.tile(guesses[:1], (4, 1))
    found = split_seeds(metrics.build("uf1", {}), y_true, same, who, num_classes=3, averaged_classes=np.ones(3, bool))
    assert (found.seed_sd, found.seed_variance, found.seed_share) == pytest.approx((0, 0, 0), abs=1e-12)
    assert found.freedom == pytest.approx(23)
    right = np.tile(y_true, (3, 1))
    found = split_seeds(metrics.build("uf1", {}), y_true, right, who, num_classes=3, averaged_classes=np.ones(3, bool))
    assert (found.low, found.mean, found.high) == (1, 1, 1)
    assert (found.seed_share, found.unit_share, found.joint_share) == (None, None, None)


def only_joint(leaning=0):
    """Two seeds, each right on every clip of the subjects on whom the other is wrong: seeds and subjects are alike.

    With `leaning` the second seed is right on so many more subjects, so that the seed has a part of its own.
    """
    who, y_true = np.repeat(np.arange(8), 2), np.tile([0, 1], 8)
    right = np.stack([who % 2 == 0, (who % 2 == 1) | (who < 2 * leaning)])
    return y_true, np.where(right, y_true, 1 - y_true), who


def test_what_is_peculiar_to_a_seed_on_some_subjects_is_neither_the_seeds_nor_the_subjects():
    y_true, guesses, who = only_joint()
    found = split_seeds(
        metrics.build("accuracy", {}), y_true, guesses, who, num_classes=2, averaged_classes=np.ones(2, bool)
    )
    assert found.scores == (0.5, 0.5)
    assert (found.seed_share, found.unit_share, found.joint_share) == (0, 0, 1)


@pytest.mark.parametrize("leaning", [0, 3])
def test_sentence_table_and_figure_state_the_same_shares(leaning):
    y_true, guesses, who = only_joint(leaning)
    found = split_seeds(
        metrics.build("accuracy", {}), y_true, guesses, who, num_classes=2, averaged_classes=np.ones(2, bool)
    )
    shares = {part: getattr(found, f"{part}_share") for part in ("seed", "unit", "joint")}
    assert sum(shares.values()) == pytest.approx(1)
    assert (shares["seed"] > 0) == (leaning > 0)
    where = {"preprocessing": "m1", "sampling": "af", "model": "small_cnn", "factors": {}, "problem": None}
    measured = {name: value for name, value in asdict(found).items() if name in OverSeeds.model_fields}
    row = where | {"seeds": ["0", "1"], **measured}
    view = StudyView(study(make_summary() | {"over_seeds": [row]}))
    percent = {part: f"{100 * share:.0f} %" for part, share in shares.items()}
    assert (
        f"Of the variance of a single reported score, {percent['seed']} is due to the seed, {percent['unit']} to the "
        f"subjects tested and {percent['joint']} to both jointly."
    ) in blocks.mean_over_seeds(view)
    table = blocks.seeds(view)
    heads = {column.keys: column.head for column in table.columns}
    for part, head in (("seed", "seed"), ("unit", "subjects"), ("joint", "joint")):
        assert heads[f"{part}_share"] == head
        assert table.rows[0][f"{part}_share"] == pytest.approx(shares[part])
    bars = blocks.over_seeds(view).draw().axes[1].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([100 * shares[p] for p in ("seed", "joint", "unit")])


def test_one_seed_one_subject_or_one_class_is_refused():
    y_true, guesses, who = seeds(np.random.default_rng(5))
    metric, given = metrics.build("uf1", {}), {"num_classes": 3, "averaged_classes": np.ones(3, bool)}
    for labels, predicted, subjects, code in (
        (y_true, guesses[:1], who, "E811"),
        (y_true, guesses, np.zeros_like(who), "E803"),
        (np.zeros_like(y_true), guesses, who, "E804"),
    ):
        with refuses(code, kind=ConfigError):
            split_seeds(metric, labels, predicted, subjects, **given)
    with refuses("E801", "level", 1, kind=ConfigError):
        split_seeds(metric, y_true, guesses, who, **given, level=1.0)


# --- subjects left out ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("paired", [False, True])
def test_leaving_a_subject_out_is_scoring_the_others(name, paired):
    y_true, guesses, who = seeds(np.random.default_rng(6), subjects=7, each=5)
    averaged_classes, against = present(y_true, 3), guesses[1] if paired else None

    def score(kept):
        apart = slow_score(name, y_true[kept], guesses[1][kept], averaged_classes) if paired else 0
        return slow_score(name, y_true[kept], guesses[0][kept], averaged_classes) - apart

    found = influence(
        metrics.build(name, {}),
        y_true,
        guesses[0],
        who,
        num_classes=3,
        averaged_classes=averaged_classes,
        against=against,
    )
    assert sorted(int(one.subject) for one in found) == list(range(7))
    for one in found:
        assert one.score == pytest.approx(score(who != int(one.subject)))
        assert one.change == pytest.approx(one.score - score(who >= 0))
        assert (one.clips, one.lost) == (5, ())
    changes = [abs(one.change) for one in found]
    assert changes == sorted(changes, reverse=True)


def test_a_class_that_one_subject_alone_shows_is_named():
    y_true, who = np.array([0, 1, 0, 1, 2, 2]), np.array(["a", "a", "b", "b", "c", "c"])
    found = influence(metrics.build("uf1", {}), y_true, y_true, who, num_classes=3, averaged_classes=np.ones(3, bool))
    assert [(one.subject, one.lost) for one in found] == [("c", (2,)), ("a", ()), ("b", ())]
    assert found[0].score == pytest.approx(2 / 3)  # its F1 counts 0, as UF1 says
    found = influence(metrics.build("uar", {}), y_true, y_true, who, num_classes=3, averaged_classes=np.ones(3, bool))
    assert {one.score for one in found} == {1.0}  # UAR averages over the others
    with refuses("E803", "a", kind=ConfigError):
        influence(
            metrics.build("uf1", {}), y_true, y_true, np.full(6, "a"), num_classes=3, averaged_classes=np.ones(3, bool)
        )
    alone = np.array([False, False, True])
    with refuses("E809", "subject", kind=ConfigError):
        influence(metrics.build("uar", {}), y_true, y_true, who, num_classes=3, averaged_classes=alone)
