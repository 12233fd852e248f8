"""The size study: nested training sets, the curves made of them, and where two of them cross."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest

from conftest import recipe
from microexpr import run_study
from microexpr.config import Study, parse
from microexpr.errors import ConfigError
from microexpr.plan import Options, Workspace
from shell import microexpr


def folds(database, tmp_path, **values):
    changed: Mapping[str, object] = values
    plan = Workspace(Options({"manifest": database}, tmp_path)).plan(recipe().with_values(changed))
    return plan, plan.folds()


@pytest.mark.parametrize(("what", "numbers"), [("train_clips", (6, 12, 24, 30)), ("train_persons", (1, 2, 4, 5))])
@pytest.mark.parametrize("selects", [False, True])
def test_larger_trainings_contain_smaller_ones(database, tmp_path, what, numbers, selects):
    chosen = {"training.patience": 2, "validation": 0.15} if selects else {}
    numbers = numbers[:-1] if selects else numbers
    whole, full = folds(database, tmp_path, **chosen)
    before: list[set[int]] = [set() for _ in full]
    for number in numbers:
        plan, cut = folds(database, tmp_path, **chosen, **{what: number})
        person = plan.table["person"].to_numpy()
        for at, (fold, uncut) in enumerate(zip(cut, full, strict=True)):
            rows = set(fold.train.tolist())
            size = len(rows) if what == "train_clips" else len(set(person[fold.train]))
            assert size == number
            assert before[at] < rows <= set(uncut.train.tolist())
            if what == "train_persons":  # whole persons
                assert rows == {row for row in uncut.train.tolist() if person[row] in set(person[fold.train])}
            assert np.array_equal(fold.test, uncut.test)
            assert (fold.val is None) == (uncut.val is None) == (not selects)
            if selects:
                assert np.array_equal(fold.val, uncut.val)
            before[at] = rows
        assert plan.key != whole.key
    if not selects:
        assert before == [set(fold.train.tolist()) for fold in full]  # the largest number was all of them


def test_folds_draw_each_their_own_and_seeds_differ(database, tmp_path):
    _, first = folds(database, tmp_path, train_clips=12)
    _, again = folds(database, tmp_path, train_clips=12)
    _, other = folds(database, tmp_path, train_clips=12, seed=1)
    assert [fold.train.tolist() for fold in first] == [fold.train.tolist() for fold in again]
    assert [fold.train.tolist() for fold in first] != [fold.train.tolist() for fold in other]
    assert len({tuple(fold.train.tolist()) for fold in first}) == len(first)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"train_clips": 31}, r"train_clips = 31: fold \S+ has 30 training clips in all; ask for fewer"),
        ({"train_persons": 6}, r"train_persons = 6: fold \S+ has 5 training persons in all"),
        ({"train_persons": 5, "training.patience": 2}, r"training persons besides validation"),
        ({"train_clips": 0}, "train_clips"),
    ],
)
def test_more_than_there_is_cannot_be_trained_on(database, tmp_path, values, words):
    with pytest.raises(ConfigError, match=words):
        folds(database, tmp_path, **values)
