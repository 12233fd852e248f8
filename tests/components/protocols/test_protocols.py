"""Protocols: who is trained on and who is tested on."""

import hashlib
import itertools
import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microexpr.components.protocols.holdout import adams
from microexpr.config.experiment import Experiment
from microexpr.core.errors import SplitError
from microexpr.core.interfaces import EvalProtocol, protocols
from microexpr.runs.validation_split import split_validation
from refusal import refuses

EMOTIONS = ("others", "disgust", "happiness", "repression", "surprise", "sadness", "fear")
CASME2 = (99, 63, 32, 27, 25, 7, 2)


def clips(counts, subjects=26, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    who = rng.integers(subjects, size=label.size)
    return pd.DataFrame(
        {
            "key": [f"casme2/{p:02}/EP{row:03}/1-40" for row, p in enumerate(who)],
            "dataset": "casme2",
            "subject_id": [f"{p:02}" for p in who],
            "subject": [f"casme2/{p:02}" for p in who],
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


@pytest.mark.parametrize(
    ("name", "params", "independent"),
    [
        ("paper_holdout", {}, False),
        ("loso", {}, True),
        ("subject_kfold", {}, True),
        ("clip_kfold", {}, False),
        ("leave_one_database_out", {}, True),
        ("cross_database", {"train": ["a"], "test": ["b"]}, True),
    ],
)
def test_keeps_its_contract(name, params, independent):
    assert name in protocols.names()
    protocol = protocols.build(name, params)
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
    with refuses("E306", "test_clips", repr(key[:-1]), "(did you mean"):
        split(table, test_clips=(key[:-1],))
    with refuses("E307", key, "validation_clips"):
        split(table, test_clips=(key,), validation_clips=(key,))
    with refuses("E304", "test part"):
        split(table, test_clips=(key,))
    with refuses("E304", "training part"):
        split(table, test_clips=tuple(table["key"]), validation=0)


def test_too_few_clips_name_the_classes_and_the_way_out():
    with refuses("E308", "happiness (class 2) 2, others (class 0) 50", "loso"):
        split(clips([50, 0, 2]))
    with refuses("E308", "test part", "1 of 9 clips"):
        split(clips([3, 3, 3]))
    with refuses("E308", "paper_holdout"):
        split(clips([0, 0]))


@pytest.mark.parametrize("params", [{"test": 0}, {"test": 1}, {"validation": -0.1}, {"test": 0.6, "validation": 0.4}])
def test_shares_that_leave_nothing(params):
    with refuses("E113", "test = ", "validation = "):
        protocols.build("paper_holdout", params)


def test_adams_gives_every_class_one_before_two_and_keeps_the_sum():
    numbers = np.array([500, 4, 3, 3])
    room = np.array([498, 2, 1, 1])
    assert adams(numbers, 4, room).tolist() == [1, 1, 1, 1]
    assert adams(numbers, 2, room).tolist() == [1, 1, 0, 0]
    assert adams(numbers, 50, room).tolist() == [47, 1, 1, 1]
    assert adams(numbers, 10_000, room).tolist() == room.tolist()


def test_loso_tests_every_subject_once_in_order():
    table = clips(CASME2)
    folds = list(protocols.build("loso", {})(table, np.random.default_rng(0)))
    assert [fold.name for fold in folds] == sorted(f"casme2-{p}" for p in set(table["subject_id"]))
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.test for fold in folds])), np.arange(255))
    for fold in folds:
        check(table, fold)
        assert fold.val is None
        tested, trained = (set(table["subject"].iloc[rows]) for rows in (fold.test, fold.train))
        assert len(tested) == 1
        assert not tested & trained


def test_loso_keeps_one_human_of_two_databases_together():
    table = clips([10, 10], subjects=4)
    table["dataset"] = ["a", "b"] * 10
    folds = list(protocols.build("loso", {})(table, np.random.default_rng(0)))
    assert len(folds) == table["subject"].nunique()


@pytest.mark.parametrize(
    ("subjects", "code", "named"),
    [(["casme2/01"] * 4, "E303", ("'casme2/01'",)), ([], "E303", ()), (["a/b-c", "a-b/c"], "E305", ("a/b-c", "a-b/c"))],
)
def test_loso_needs_two_subjects_with_names_of_their_own(subjects, code, named):
    # Raised at the call, before the first fold.
    with refuses(code, *named):
        protocols.build("loso", {})(pd.DataFrame({"subject": subjects}), np.random.default_rng(0))


def test_loso_needs_two_classes():
    with refuses("E302", "loso", "40 clips"):
        protocols.build("loso", {})(clips([40]), np.random.default_rng(0))


# --- what all the others keep -----------------------------------------------------------------------------------------
NEW = [
    ("subject_kfold", {"k": 4}),
    ("subject_kfold", {"k": 3, "repeats": 3}),
    ("clip_kfold", {"k": 4}),
    ("clip_kfold", {"k": 10, "repeats": 2}),
    ("leave_one_database_out", {}),
    ("cross_database", {"train": ["casme2", "samm"], "test": ["smic"]}),
]


def composite(seed=0, shared=True):
    """Clips of three databases; subjects 0 and 1 of CASME II are also in SAMM."""
    rng = np.random.default_rng(seed)
    parts = []
    for name, numbers, subjects in (("casme2", (40, 30, 20), 8), ("samm", (60, 15, 9), 9), ("smic", (20, 20, 20), 7)):
        label = rng.permutation(np.repeat(np.arange(3), numbers))
        who = rng.integers(subjects, size=label.size)
        space = [("lab" if shared and name != "smic" and p < 2 else name) for p in who]
        parts.append(
            pd.DataFrame(
                {
                    "key": [f"{name}/{p}/{row}/1-9" for row, p in enumerate(who)],
                    "dataset": name,
                    "subject": [f"{s}/{p}" for s, p in zip(space, who, strict=True)],
                    "emotion": [EMOTIONS[c] for c in label],
                    "label": label,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def folds_of(name, params, table, seed=0):
    return list(protocols.build(name, params)(table, np.random.default_rng(seed)))


def as_keys(table, folds):
    key = table["key"].to_numpy()
    return {fold.name: (fold.repeat, set(key[fold.train]), set(key[fold.test])) for fold in folds}


@pytest.mark.parametrize(("name", "params"), NEW)
def test_folds_are_partitions_and_test_each_clip_at_most_once_a_repeat(name, params):
    table = composite()
    folds = folds_of(name, params, table)
    assert len({fold.name for fold in folds}) == len(folds)
    for repeat in {fold.repeat for fold in folds}:
        mine = [fold for fold in folds if fold.repeat == repeat]
        tested = Counter(row for fold in mine for row in fold.test.tolist())
        assert max(tested.values()) == 1
        if name != "cross_database":
            assert len(tested) == len(table)
    for fold in folds:
        assert fold.val is None
        assert not set(fold.train) & set(fold.test)
        for rows in (fold.train, fold.test):
            assert rows.size
            assert (np.diff(rows) > 0).all()
        if not fold.note:
            assert fold.train.size + fold.test.size == len(table)


@pytest.mark.parametrize(("name", "params"), NEW)
def test_who_is_tested_is_trained_on_only_where_it_says_so(name, params):
    table = composite()
    subject = table["subject"].to_numpy()
    both = [set(subject[fold.train]) & set(subject[fold.test]) for fold in folds_of(name, params, table)]
    if protocols.build(name, params).subject_independent:
        assert not any(both)
    else:
        assert all(both)


@pytest.mark.parametrize(("name", "params"), NEW)
def test_the_same_clips_whatever_the_order_of_the_table(name, params):
    table = composite()
    expected = as_keys(table, folds_of(name, params, table))
    for seed in range(5):
        shuffled = table.sample(frac=1, random_state=seed)  # and its index labels are not its rows
        assert as_keys(shuffled, folds_of(name, params, shuffled)) == expected


@pytest.mark.parametrize(("name", "params"), NEW)
def test_the_generator_alone_decides(name, params):
    table = composite()
    drawn = [as_keys(table, folds_of(name, params, table, seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1]
    assert (drawn[0] != drawn[2]) == name.endswith("kfold")


@pytest.mark.parametrize(("name", "params"), [*NEW, ("loso", {})])
def test_validation_is_cut_inside_the_training_subjects(name, params):
    table, recipe = composite(), Experiment(validation=0.2)
    subject = table["subject"].to_numpy()
    for fold in folds_of(name, params, table):
        cut = split_validation(fold, table, recipe)
        assert (cut.name, cut.repeat, cut.note) == (fold.name, fold.repeat, fold.note)
        np.testing.assert_array_equal(cut.test, fold.test)
        np.testing.assert_array_equal(np.sort(np.concatenate([cut.train, cut.val])), fold.train)
        train, val, test = (set(subject[rows]) for rows in (cut.train, cut.val, cut.test))
        assert train
        assert val
        assert not train & val
        if protocols.build(name, params).subject_independent:
            assert not test & (train | val)


@pytest.mark.parametrize(("name", "params"), NEW)
def test_one_class_and_no_clip_get_a_sentence(name, params):
    table = composite()
    with refuses("E302", name, "one class"):
        folds_of(name, params, table[table["label"] == 0])
    with refuses("E302", name, "no clips"):
        folds_of(name, params, table[:0])


# --- k-fold -----------------------------------------------------------------------------------------------------------
def imbalance(table, folds):
    """Return the sum of n_fc^2 / n_c over folds and classes, all clips as one class more."""
    label, k = table["label"].to_numpy(), int(table["label"].max()) + 1
    tested = np.array([[*np.bincount(label[rows], minlength=k), rows.size] for rows in folds], float)
    return (tested**2 / tested.sum(0)).sum()


def test_every_subject_is_tested_once_in_every_repeat():
    table = clips(CASME2)
    folds = folds_of("subject_kfold", {"k": 5, "repeats": 4}, table)
    assert [fold.name for fold in folds] == [f"r{r}-f{f}" for r in range(1, 5) for f in range(1, 6)]
    divisions = set()
    for repeat in range(1, 5):
        tested = [frozenset(table["subject"].iloc[fold.test]) for fold in folds if fold.repeat == repeat]
        assert sum(map(len, tested)) == table["subject"].nunique()
        divisions.add(frozenset(tested))
    assert len(divisions) == 4


def test_names_sort_in_their_order():
    names = [fold.name for fold in folds_of("clip_kfold", {"k": 10, "repeats": 2}, clips(CASME2))]
    assert names == sorted(names)
    assert names[:2] == ["r1-f01", "r1-f02"]


@pytest.mark.parametrize("seed", range(5))
def test_classes_are_shared_out_better_than_by_chance(seed):
    table = clips(CASME2, seed=seed)
    rng = np.random.default_rng(seed)
    subject = table["subject"].to_numpy()
    ours = imbalance(table, [fold.test for fold in folds_of("subject_kfold", {"k": 5}, table, seed)])
    chance = []
    for _ in range(1_000):
        fold_of = dict(
            zip(sorted(set(subject)), rng.permutation(np.arange(table["subject"].nunique()) % 5), strict=True)
        )
        number = np.array([fold_of[who] for who in subject])
        chance.append(imbalance(table, [np.flatnonzero(number == f) for f in range(5)]))
    assert ours < min(chance)


def test_few_subjects_are_divided_nearly_as_well_as_they_can_be():
    for seed in range(8):
        table = clips([30, 20, 10], subjects=8, seed=seed)
        subjects, number = np.unique(table["subject"], return_inverse=True)
        best = min(
            imbalance(table, [np.flatnonzero(np.array(way)[number] == f) for f in range(2)])
            for way in itertools.product(range(2), repeat=len(subjects))
            if len(set(way)) == 2
        )
        ours = imbalance(table, [fold.test for fold in folds_of("subject_kfold", {"k": 2}, table, seed)])
        assert best <= ours + 1e-9
        assert ours < best * 1.01


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 12), st.integers(2, 9), st.integers(0, 3))
def test_no_fold_stays_empty(subjects, k, seed):
    table = clips([25, 10, 4], subjects=subjects, seed=seed)
    if (present := table["subject"].nunique()) < k:
        with refuses("E303", f"k = {k} ", f"only {present} subjects"):
            folds_of("subject_kfold", {"k": k}, table, seed)
        return
    assert all(fold.test.size for fold in folds_of("subject_kfold", {"k": k}, table, seed))


def test_as_many_folds_as_subjects_is_loso_and_cannot_be_repeated():
    table = clips([30, 20], subjects=6)
    tested = {frozenset(fold.test.tolist()) for fold in folds_of("subject_kfold", {"k": 6}, table)}
    assert tested == {frozenset(fold.test.tolist()) for fold in folds_of("loso", {}, table)}
    with refuses("E312", "only 1 ", "repeats = 2"):
        folds_of("subject_kfold", {"k": 6, "repeats": 2}, table)


def test_clips_are_dealt_out_within_one_of_even():
    table = clips(CASME2)
    label = table["label"].to_numpy()
    for fold in folds_of("clip_kfold", {"k": 5, "repeats": 3}, table):
        assert abs(fold.test.size - 255 / 5) < 1
        assert (np.abs(np.bincount(label[fold.test], minlength=7) - np.array(CASME2) / 5) < 1).all()


def test_clips_are_dealt_out_anew_in_every_repeat():
    folds = folds_of("clip_kfold", {"k": 2, "repeats": 5}, clips(CASME2))
    assert len({frozenset(fold.test.tolist()) for fold in folds}) == 10


def test_too_little_for_k_folds():
    with refuses("E303", "subject_kfold", "k = 5 ", "only 1 subjects"):
        folds_of("subject_kfold", {}, clips([10, 10], subjects=1))
    with refuses("E303", "clip_kfold", "k = 5 ", "only 3 clips"):
        folds_of("clip_kfold", {}, clips([2, 1]))
    with refuses("E304", "clip_kfold: fold r1-f", "one class", "larger k"):
        folds_of("clip_kfold", {"k": 2}, clips([5, 1]))
    alone = pd.DataFrame({"key": list("abcd"), "subject": ["p", "p", "q", "q"], "label": [0, 0, 1, 1]})
    with refuses("E304", "subject_kfold: fold r1-f1", "one class"):
        folds_of("subject_kfold", {"k": 2}, alone)
    for name in ("subject_kfold", "clip_kfold"):
        for params in ({"k": 1}, {"repeats": 0}):
            with refuses("E112", f"{next(iter(params))} = {next(iter(params.values()))} "):
                protocols.build(name, params)


# --- across databases -------------------------------------------------------------------------------------------------
def test_each_database_is_tested_once_by_all_the_others():
    table = composite(shared=False)
    folds = folds_of("leave_one_database_out", {}, table)
    assert [fold.name for fold in folds] == ["casme2", "samm", "smic"]
    for fold in folds:
        assert set(table["dataset"].iloc[fold.test]) == {fold.name}
        assert set(table["dataset"].iloc[fold.train]) == {"casme2", "samm", "smic"} - {fold.name}
        assert not fold.note


def test_subjects_of_the_tested_database_are_kept_out_of_training_and_told():
    table = composite()
    casme2, samm, smic = folds_of("leave_one_database_out", {}, table)
    lost = ((table["dataset"] == "samm") & table["subject"].str.startswith("lab/")).sum()
    assert lost > 0
    assert casme2.train.size == (table["dataset"] != "casme2").sum() - lost
    assert f"2 of the subjects are also in samm and smic; their {lost} clips" in casme2.note
    assert "(lab/0, lab/1)" in casme2.note
    assert "are also in casme2 and smic" in samm.note
    assert not smic.note


def test_train_on_one_test_on_another():
    table = composite()
    (fold,) = folds_of("cross_database", {"train": ["samm"], "test": ["casme2"]}, table)
    assert fold.name == "samm-to-casme2"
    assert set(table["dataset"].iloc[fold.test]) == {"casme2"}
    assert set(table["dataset"].iloc[fold.train]) == {"samm"}
    assert "2 of the subjects are also in samm" in fold.note
    assert "smic: used neither" in fold.note
    (several,) = folds_of("cross_database", {"train": ["samm", "casme2"], "test": ["smic"]}, table)
    assert several.name == "samm+casme2-to-smic"
    assert not several.note


def test_databases_that_cannot_be():
    table = composite()
    one = table[table["dataset"] == "smic"]
    with refuses("E303", "two databases", "only 'smic'"):
        folds_of("leave_one_database_out", {}, one)
    with refuses("E309", "test names 'sam'", "did you mean 'samm'", "casme2"):
        folds_of("cross_database", {"train": ["casme2"], "test": ["sam"]}, table)
    with refuses("E309", "train names 'casme2'"):
        folds_of("cross_database", {"train": ["casme2"], "test": ["smic"]}, one)
    with refuses("E113", "'smic'", "train", "test"):
        protocols.build("cross_database", {"train": ["smic", "samm"], "test": ["smic"]})
    with refuses("E111", "train", "test"):
        protocols.build("cross_database", {"train": [], "test": ["smic"]})
    with refuses("E111", "'train'"):
        protocols.build("cross_database", {"test": ["smic"]})
    with refuses("E304", "fold samm", "one class"):
        folds_of("leave_one_database_out", {}, table[(table["dataset"] == "samm") | (table["label"] == 0)])
    same = table.assign(subject="lab/1")
    with refuses("E304", "fold casme2", "no clips"):
        folds_of("leave_one_database_out", {}, same)
    slashed = table.assign(dataset=np.where(table["dataset"] == "smic", "a/b", "a-b"))
    with refuses("E305", "databases", "'a-b'", "'a/b'"):
        folds_of("leave_one_database_out", {}, slashed)


# --- folds of version 0.1 ---------------------------------------------------------------------------------------------
FOLDS_OF_0_1 = {
    ("clip_kfold", ()): "5e5bc5056d97ffae",
    ("clip_kfold", (("repeats", 2),)): "55695efa9371a88f",
    ("group_pairs", ()): "48396b60f0da657a",
    ("group_pairs", (("groups", 4),)): "48c7ba570df8f832",
    ("leave_one_database_out", ()): "d43e4c829d743156",
    ("loso", ()): "a4dd04dfc529ae5d",
    ("paper_holdout", ()): "7c0fe5b4a964b828",
    ("subject_kfold", ()): "b2c8bbfb9df8cf32",
    ("subject_kfold", (("repeats", 2),)): "c9d6f77d1fa930aa",
}
"""Digests of all folds that version 0.1 made of the table below, whose column of people was called person."""


@pytest.mark.parametrize(("name", "parameters"), FOLDS_OF_0_1)
def test_folds_are_those_of_version_0_1(name, parameters):
    rng = np.random.default_rng(3)
    who = np.sort(rng.integers(1, 19, 150))
    dataset = np.where(who <= 9, "casme2", "samm")
    label = rng.integers(0, 4, who.size)
    places = list(zip(dataset, who, strict=True))
    table = pd.DataFrame(
        {
            "key": [f"{d}/{p:02}/EP{n:03}/1-40" for n, (d, p) in enumerate(places)],
            "dataset": dataset,
            "subject_id": [f"{p:02}" for p in who],
            "subject": [f"{d}/{p:02}" for d, p in places],
            "label": label,
        }
    )
    folds = protocols.build(name, dict(parameters))(table, np.random.default_rng(5))
    parts = [(fold.name, fold.repeat, fold.train, fold.val, fold.test) for fold in folds]
    rows = [[item.tolist() if isinstance(item, np.ndarray) else item for item in part] for part in parts]
    assert hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16] == FOLDS_OF_0_1[name, parameters]
