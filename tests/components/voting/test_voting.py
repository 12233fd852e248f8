"""Votes: ties, order of views, and their cost."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microexpr.core.interfaces import Vote, votes


def views(rows):
    rows = np.asarray(rows, dtype=float)
    frames = [str(number) for number in range(len(rows))]
    return pd.DataFrame({"frames": frames, **{f"p_{c}": rows[:, c] for c in range(rows.shape[1])}})


def vote(name, rows):
    return votes.build(name, {})(views(rows))


@pytest.mark.parametrize("name", ["majority", "mean_probability"])
def test_keeps_its_contract(name):
    assert name in votes.names()
    assert isinstance(votes.build(name, {}), Vote)
    label, probabilities = vote(name, [[0.2, 0.7, 0.1], [0.4, 0.5, 0.1]])
    assert type(label) is int
    assert label == 1
    np.testing.assert_allclose(probabilities, [0.3, 0.6, 0.1])


def test_majority_and_mean_differ_where_one_view_is_certain():
    rows = [[0.45, 0.55, 0], [0.45, 0.55, 0], [1, 0, 0]]
    assert vote("majority", rows)[0] == 1
    assert vote("mean_probability", rows)[0] == 0


def test_tie_goes_to_the_larger_mean_among_the_tied():
    assert vote("majority", [[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]])[0] == 1
    # Class 2 has the largest mean of all, but no view chose it.
    rows = [[0.51, 0.0, 0.49], [0.0, 0.51, 0.49]]
    assert vote("majority", rows)[0] == 0
    assert vote("mean_probability", rows)[0] == 2


def test_still_tied_goes_to_the_lowest_class():
    rows = [[0.1, 0.2, 0.7], [0.1, 0.7, 0.2], [0.7, 0.2, 0.1], [0.7, 0.1, 0.2], [0.2, 0.7, 0.1], [0.2, 0.1, 0.7]]
    assert vote("majority", rows)[0] == 0
    assert vote("mean_probability", rows)[0] == 0
    assert vote("majority", [[0.5, 0.5]])[0] == 0


def test_eleven_classes_keep_their_numbers():
    rows = np.full((2, 12), 0.01)
    rows[:, 10] = 0.89
    table = views(rows)
    for name in ("majority", "mean_probability"):
        assert votes.build(name, {})(table[sorted(table.columns)])[0] == 10


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_order_of_views_changes_nothing(data):
    k = data.draw(st.integers(2, 5))
    tenths = st.lists(st.integers(0, 10).map(lambda tenth: tenth / 10), min_size=k, max_size=k)
    rows = data.draw(st.lists(tenths, min_size=1, max_size=7))
    shuffled = data.draw(st.permutations(rows))
    for name in ("majority", "mean_probability"):
        label, probabilities = vote(name, rows)
        again, same = vote(name, shuffled)
        assert label == again
        np.testing.assert_array_equal(probabilities, same)


def test_single_precision_is_read():
    label, probabilities = votes.build("majority", {})(views([[0.25, 0.75]]).astype({"p_0": "f4", "p_1": "f4"}))
    assert (label, probabilities.tolist()) == (1, [0.25, 0.75])


@pytest.mark.parametrize("name", ["majority", "mean_probability"])
def test_a_vote_is_cheap(name):
    table, chosen = views(np.random.default_rng(0).random((13, 7))), votes.build(name, {})
    start = time.perf_counter()
    for _ in range(500):
        chosen(table)
    # About 110 microseconds measured; the bound leaves room for a busy machine.
    assert (time.perf_counter() - start) / 500 < 2e-3
