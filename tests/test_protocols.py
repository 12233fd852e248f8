"""Protocols: who is trained on and who is tested on."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microexpr.contracts import EvalProtocol, protocols
from microexpr.errors import ConfigError, SplitError
from microexpr.protocols.holdout import adams

EMOTIONS = ("others", "disgust", "happiness", "repression", "surprise", "sadness", "fear")
CASME2 = (99, 63, 32, 27, 25, 7, 2)


def clips(counts, persons=26, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    who = rng.integers(persons, size=label.size)
    return pd.DataFrame(
        {
            "key": [f"casme2/{p:02}/EP{row:03}/1-40" for row, p in enumerate(who)],
            "subject": [f"{p:02}" for p in who],
            "person": [f"casme2/{p:02}" for p in who],
            "emotion": [EMOTIONS[c] for c in label],
            "label": label,
        }
    )


def split(table, seed=0, **params):
    (fold,) = protocols.build("paper_holdout", params)(table, np.random.default_rng(seed))
    return fold


def counts(table, rows, k=7):
    return np.bincount(table["label"].to_numpy()[rows], minlength=k).tolist()


def check(table, fold):
    parts = [fold.train, fold.test] + ([] if fold.val is None else [fold.val])
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(table)))
    for rows in parts:
        assert (np.diff(rows) > 0).all()


@pytest.mark.parametrize(("name", "independent"), [("paper_holdout", False), ("loso", True)])
def test_keeps_its_contract(name, independent):
    assert name in protocols.names()
    protocol = protocols.build(name, {})
    assert isinstance(protocol, EvalProtocol)
    assert protocol.subject_independent is independent


@pytest.mark.parametrize("seed", range(5))
def test_the_papers_counts(seed):
    table = clips(CASME2, seed=seed)
    fold = split(table, seed=seed)
    assert fold.name == "holdout"
    assert counts(table, fold.test) == [10, 7, 4, 3, 3, 1, 0]
    assert counts(table, fold.val) == [10, 6, 3, 3, 3, 1, 0]
    assert counts(table, fold.train) == [79, 50, 25, 21, 19, 5, 2]
    check(table, fold)


def test_seeded_and_blind_to_the_order_of_the_table():
    table = clips(CASME2)
    drawn = [set(table["key"].iloc[split(table, seed=seed).test]) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    shuffled = table.sample(frac=1, random_state=3).reset_index(drop=True)
    assert set(shuffled["key"].iloc[split(shuffled).test]) == drawn[0]
    # Rows, not index labels, are what a fold holds.
    relabelled = table.set_index(np.arange(len(table)) + 1_000)
    np.testing.assert_array_equal(split(relabelled).test, split(table).test)


def test_every_clip_may_be_tested():
    table = clips(CASME2)
    tested = Counter(row for seed in range(200) for row in split(table, seed=seed).test.tolist())
    assert len(tested) == 253
    others = [tested[row] for row in np.flatnonzero(table["label"] == 0)]
    assert np.mean(others) == pytest.approx(200 * 10 / 99, rel=1e-9)
    assert max(others) < 45


def test_the_same_proportions_elsewhere():
    table = clips([990, 630, 320, 270, 250, 70, 20])
    fold = split(table)
    assert (fold.test.size, fold.val.size, fold.train.size) == (280, 260, 2010)
    # Within two clips: Adams' method favours small classes a little.
    for c, share in enumerate(counts(table, fold.test)):
        assert share == pytest.approx(
            table["label"].eq(c).sum() * 28 / 255, abs=2
        )  # Adams' method favours small classes a little


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=2, max_size=7), st.integers(0, 5))
def test_any_table_is_split_whole_or_refused(numbers, seed):
    table = clips(numbers, seed=seed)
    try:
        fold = split(table, seed=seed)
    except SplitError:
        assert sum(number >= 3 for number in numbers) < 2 or sum(numbers) < 40
        return
    check(table, fold)
    assert (fold.test.size, fold.val.size) == (round(sum(numbers) * 28 / 255), round(sum(numbers) * 26 / 255))
    for c, number in enumerate(numbers):
        train, test, val = (counts(table, rows)[c] for rows in (fold.train, fold.test, fold.val))
        assert train >= min(number, 1)
        assert number >= 3 or test == val == 0


def test_a_class_of_three_stands_in_every_part_where_there_is_room():
    table = clips([100, 60, 3])
    fold = split(table)
    assert [counts(table, rows, 3)[2] for rows in (fold.train, fold.val, fold.test)] == [1, 1, 1]


def test_without_validation_the_experiment_cuts_its_own():
    table = clips(CASME2)
    fold = split(table, validation=0)
    assert fold.val is None
    # Two parts: fear's two clips can stand in both, and a class of one is only trained on.
    assert counts(table, fold.test)[6] == 1
    check(table, fold)


def test_own_lists_of_clips():
    table = clips(CASME2)
    chosen = tuple(table["key"].iloc[[5, 3, 200, 41]])
    fold = split(table, test_clips=chosen)
    assert fold.test.tolist() == [3, 5, 41, 200]
    assert fold.val.size == 26
    check(table, fold)
    watched = split(table, validation_clips=chosen)
    assert watched.val.tolist() == [3, 5, 41, 200]
    assert watched.test.size == 28
    check(table, watched)
    both = split(table, test_clips=chosen, validation_clips=tuple(table["key"].iloc[[7, 8, 9]]))
    assert (both.test.size, both.val.tolist(), both.train.size) == (4, [7, 8, 9], 248)
    assert split(table, test_clips=chosen, validation=0).val is None


def test_an_own_validation_clip_leaves_its_class_for_the_test():
    table = clips([100, 60, 3])
    fold = split(table, validation_clips=tuple(table["key"][table["label"] == 2][:1]))
    assert [counts(table, rows, 3)[2] for rows in (fold.train, fold.val, fold.test)] == [1, 1, 1]


def test_own_lists_that_cannot_be():
    table = clips(CASME2)
    key = table["key"].iloc[0]
    with pytest.raises(SplitError, match=r"test_clips: no clip .* \(did you mean"):
        split(table, test_clips=(key[:-1],))
    with pytest.raises(SplitError, match=f"{key}.*validation_clips"):
        split(table, test_clips=(key,), validation_clips=(key,))
    with pytest.raises(SplitError, match="test part has fewer than two classes"):
        split(table, test_clips=(key,))
    with pytest.raises(SplitError, match="training part has fewer than two classes"):
        split(table, test_clips=tuple(table["key"]), validation=0)


def test_too_few_clips_name_the_classes_and_the_way_out():
    with pytest.raises(SplitError, match=r"happiness \(class 2\) 2, others \(class 0\) 50.*loso"):
        split(clips([50, 0, 2]))
    with pytest.raises(SplitError, match="test part is to have 1 of 9 clips"):
        split(clips([3, 3, 3]))
    with pytest.raises(SplitError, match="paper_holdout"):
        split(clips([0, 0]))


@pytest.mark.parametrize("params", [{"test": 0}, {"test": 1}, {"validation": -0.1}, {"test": 0.6, "validation": 0.4}])
def test_shares_that_leave_nothing(params):
    with pytest.raises(ConfigError, match="shares of all clips"):
        protocols.build("paper_holdout", params)


def test_adams_gives_every_class_one_before_two_and_keeps_the_sum():
    numbers = np.array([500, 4, 3, 3])
    room = np.array([498, 2, 1, 1])
    assert adams(numbers, 4, room).tolist() == [1, 1, 1, 1]
    assert adams(numbers, 2, room).tolist() == [1, 1, 0, 0]
    assert adams(numbers, 50, room).tolist() == [47, 1, 1, 1]
    assert adams(numbers, 10_000, room).tolist() == room.tolist()


def test_loso_tests_every_person_once_in_order():
    table = clips(CASME2)
    folds = list(protocols.build("loso", {})(table, np.random.default_rng(0)))
    assert [fold.name for fold in folds] == sorted(f"casme2-{p}" for p in set(table["subject"]))
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.test for fold in folds])), np.arange(255))
    for fold in folds:
        check(table, fold)
        assert fold.val is None
        tested, trained = (set(table["person"].iloc[rows]) for rows in (fold.test, fold.train))
        assert len(tested) == 1
        assert not tested & trained


def test_loso_keeps_one_human_of_two_databases_together():
    table = clips([10, 10], persons=4)
    table["dataset"] = ["a", "b"] * 10
    folds = list(protocols.build("loso", {})(table, np.random.default_rng(0)))
    assert len(folds) == table["person"].nunique()


@pytest.mark.parametrize(
    ("persons", "message"),
    [(["casme2/01"] * 4, "only 'casme2/01'"), ([], "no clip"), (["a/b-c", "a-b/c"], "same name")],
)
def test_loso_needs_two_persons_with_names_of_their_own(persons, message):
    # Told at the call, before any fold is asked for.
    with pytest.raises(SplitError, match=message):
        protocols.build("loso", {})(pd.DataFrame({"person": persons}), np.random.default_rng(0))
