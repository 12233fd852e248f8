"""The vote that learns which part of a clip to believe."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from microexpr.components.voting.temporal import LearntTemporal, _places
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import Vote, votes

pytestmark = pytest.mark.numeric

K = 3


def views(rows: object, frames: list[list[int]] | None = None) -> pd.DataFrame:
    rows = np.asarray(rows, float)
    numbers = frames or [[10 * number] for number in range(len(rows))]
    return pd.DataFrame({"frames": numbers, **{f"p_{c}": rows[:, c] for c in range(rows.shape[1])}})


def clips(count: int, right: tuple[float, float, float], seed: int = 0, each: int = 1) -> pd.DataFrame:
    """Clips of three parts of `each` views; `right`: how far the true class stands out of noise in each part."""
    rng = np.random.default_rng(seed)
    tables = []
    for number in range(count):
        y = int(rng.integers(K))
        noise = 1.5 * rng.normal(size=(3 * each, K))
        noise[:, y] += np.repeat(right, each)
        table = views(softmax(noise, axis=1))
        tables.append(table.assign(clip=f"c{number:03d}", y_true=y))
    return pd.concat(tables, ignore_index=True)


def accuracy(vote: Vote, table: pd.DataFrame) -> float:
    groups = [group for _, group in table.groupby("clip")]
    return float(np.mean([vote(group)[0] == group["y_true"].iloc[0] for group in groups]))


def nll(vote: Vote, table: pd.DataFrame) -> float:
    groups = [group for _, group in table.groupby("clip")]
    return float(-np.mean([np.log(vote(group)[1][group["y_true"].iloc[0]]) for group in groups]))


# --- what it computes -------------------------------------------------------------------------------------------------
def test_it_keeps_its_contract() -> None:
    vote = votes.build("learnt_temporal", {})
    assert isinstance(vote, Vote)
    label, proba = vote(views([[0.2, 0.7, 0.1], [0.4, 0.5, 0.1], [0.1, 0.8, 0.1]]))
    assert (type(label), label, proba.shape) == (int, 1, (3,))
    assert proba.sum() == pytest.approx(1)


def test_not_fitted_it_is_the_normalised_geometric_mean_of_the_parts() -> None:
    rows = np.array([[0.2, 0.7, 0.1], [0.4, 0.5, 0.1], [0.1, 0.8, 0.1]])
    mean = np.exp(np.log(rows).mean(0))
    np.testing.assert_allclose(LearntTemporal()(views(rows))[1], mean / mean.sum())


def test_a_single_view_keeps_its_probabilities() -> None:
    np.testing.assert_allclose(LearntTemporal()(views([[0.2, 0.7, 0.1]]))[1], [0.2, 0.7, 0.1])


def test_weights_choose_the_part_and_a_lacking_part_leaves_its_weight_to_the_others() -> None:
    rows = [[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]]
    np.testing.assert_allclose(LearntTemporal(weights=(0.0, 1.0, 0.0))(views(rows))[1], rows[1])
    np.testing.assert_allclose(LearntTemporal(weights=(0.0, 0.0, 1.0))(views(rows))[1], rows[2])
    # Two views have a beginning and an end: 1 and 3 of 8 become 2 and 6 of 8.
    vote, pair = LearntTemporal(weights=(0.125, 0.5, 0.375)), np.log([rows[0], rows[2]])
    np.testing.assert_allclose(vote(views([rows[0], rows[2]]))[1], softmax(0.25 * pair[0] + 0.75 * pair[1]))
    # One view is the middle; parts without weight count alike where no other is there.
    np.testing.assert_allclose(LearntTemporal(weights=(1.0, 0.0, 1.0))(views(rows[:1]))[1], softmax(2 * pair[0]))


def test_the_total_weight_is_an_inverse_temperature() -> None:
    rows = [[0.8, 0.2]] * 3
    flat, plain = (LearntTemporal(weights=(w, w, w))(views(rows))[1][0] for w in (0.1, 1 / 3))
    assert 0.5 < flat < plain == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("middles", "bins", "parts"),
    [
        ([20, 33, 96], 3, [0, 1, 2]),  # kfs: the apex is the middle, however early it comes
        ([9, 1, 5], 3, [2, 0, 1]),
        ([*range(4), *range(20, 25), *range(60, 64)], 3, [0] * 4 + [1] * 5 + [2] * 4),  # mfs's windows
        ([7], 3, [1]),
        ([3, 8], 3, [0, 2]),
        ([5, 5, 5], 3, [1, 1, 1]),
        ([3, 3, 20], 3, [1, 1, 2]),  # the apex is the onset
        ([1, 2, 3, 4], 2, [0, 0, 1, 1]),
        ([1, 2, 3], 1, [0, 0, 0]),
    ],
)
def test_views_stand_in_parts_by_their_order(middles: list[int], bins: int, parts: list[int]) -> None:
    assert _places([float(number) for number in middles], bins).tolist() == parts


def test_frames_may_be_lists_arrays_or_words_and_views_of_several_stand_at_their_mean() -> None:
    rows = [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]
    vote = LearntTemporal(weights=(0.0, 1.0, 0.0))
    for frames in ([[1, 9], [2, 4], [7, 9]], [np.array([5]), np.array([1]), np.array([9])], ["5", "1", "10"]):
        np.testing.assert_allclose(vote(views(rows, frames))[1], rows[0])
    np.testing.assert_allclose(vote(views(rows, [[], [], []]))[1].sum(), 1)


def test_a_probability_of_nothing_rules_nothing_out() -> None:
    label, proba = LearntTemporal()(views([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]))
    assert label == 0
    assert np.isfinite(proba).all()
    assert 0 < proba[1] < proba[0]


def test_the_order_of_rows_changes_no_bit() -> None:
    table = clips(1, (1.0, 1.0, 1.0), each=4).drop(columns=["clip", "y_true"])
    vote = LearntTemporal(weights=(0.2, 0.9, 0.4))
    label, proba = vote(table)
    for seed in range(10):
        other, again = vote(table.sample(frac=1, random_state=seed))
        assert label == other
        assert np.array_equal(proba, again)


# --- what it learns ---------------------------------------------------------------------------------------------------
def test_it_finds_the_part_that_tells_and_beats_majority_on_other_clips() -> None:
    vote = LearntTemporal().fit(clips(120, (0.0, 3.0, 0.0), each=3))
    shares = np.array(vote.weights) / sum(vote.weights)
    assert shares[1] > 0.7
    assert shares[[0, 2]].max() < 0.2
    new = clips(400, (0.0, 3.0, 0.0), seed=1, each=3)
    assert accuracy(vote, new) > accuracy(votes.build("majority", {}), new) + 0.1
    assert nll(vote, new) < nll(LearntTemporal(), new) - 0.1


def test_it_stays_near_equal_weights_where_all_parts_are_alike() -> None:
    vote = LearntTemporal().fit(clips(120, (1.5, 1.5, 1.5), each=3))
    shares = np.array(vote.weights) / sum(vote.weights)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.1)
    new = clips(300, (1.5, 1.5, 1.5), seed=1, each=3)
    assert accuracy(vote, new) == pytest.approx(accuracy(LearntTemporal(), new), abs=0.03)


def test_few_clips_and_a_strong_penalty_move_little() -> None:
    few, many = (LearntTemporal().fit(clips(count, (0.0, 3.0, 0.0))).weights for count in (4, 200))
    held = LearntTemporal(penalty=1e5).fit(clips(200, (0.0, 3.0, 0.0))).weights
    assert max(few) / min(few) < max(many) / min(many)
    np.testing.assert_allclose(held, 1 / 3, rtol=0.01)


def test_noise_makes_all_less_sure() -> None:
    vote = LearntTemporal().fit(clips(200, (0.0, 0.0, 0.0)))
    assert sum(vote.weights) < 0.4
    np.testing.assert_allclose(vote(views([[0.9, 0.05, 0.05]] * 3))[1], 1 / 3, atol=0.25)


def test_fitting_repeats_whatever_the_order_and_returns_a_new_vote() -> None:
    table, vote = clips(40, (0.5, 2.0, 0.0)), LearntTemporal()
    fitted = vote.fit(table)
    assert vote.weights == ()
    assert (fitted.bins, fitted.penalty, len(fitted.weights)) == (3, 1.0, 3)
    assert fitted == vote.fit(table) == vote.fit(table.sample(frac=1, random_state=3))
    assert LearntTemporal(weights=(1.0, 1.0, 1.0)).fit(table).weights == (1.0, 1.0, 1.0)
    assert vote.fit(table.iloc[:0]) == vote


def test_the_weights_are_the_best_that_a_search_finds() -> None:
    """Against a coarse search over all weights: nothing it finds is better than what was fitted."""
    table = clips(30, (0.3, 2.0, 0.8))
    fitted = LearntTemporal().fit(table)
    groups = [(group[["frames", "p_0", "p_1", "p_2"]], group["y_true"].iloc[0]) for _, group in table.groupby("clip")]

    def total(weights: np.ndarray) -> float:
        vote = LearntTemporal(weights=tuple(map(float, weights)))
        lost = -sum(np.log(vote(group)[1][y]) for group, y in groups)
        return lost + 0.5 * float((np.log(3 * weights) ** 2).sum())

    best = total(np.array(fitted.weights))
    grid = np.exp(np.linspace(-3, 2, 4)) / 3
    assert min(total(np.array([a, b, c])) for a in grid for b in grid for c in grid) > best - 1e-6
    for part in range(3):
        for factor in (0.95, 1.05):
            assert total(np.array(fitted.weights) * np.where(np.arange(3) == part, factor, 1)) > best


def test_clips_that_lack_parts_are_fitted_too() -> None:
    table = clips(60, (0.0, 3.0, 0.0))
    table = table[~((table["clip"] < "c030") & (table.index % 3 == 0))]
    vote = LearntTemporal().fit(table)
    assert np.isfinite(vote.weights).all()
    assert vote.weights[1] > max(vote.weights[0], vote.weights[2])


def test_a_fit_and_a_vote_are_quick() -> None:
    table = clips(250, (0.5, 2.0, 0.0), each=4)
    start = time.perf_counter()
    vote = LearntTemporal().fit(table)
    for _, group in list(table.groupby("clip"))[:100]:
        vote(group)
    # About half a second; the bound leaves room for a busy machine.
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.0, 0.0, 0.0), (1.0, -1.0, 1.0)])
def test_weights_by_hand_are_checked(weights: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="weights"):
        votes.build("learnt_temporal", {"weights": weights})
