from __future__ import annotations

import os
import time
import warnings

import cv2
import pytest
from joblib import delayed
from joblib.externals.loky import get_reusable_executor

from microexpr.core.errors import DataError
from microexpr.core.parallel import in_processes, in_threads


def _halve(number):
    if number == 2:
        raise DataError("E201", "two is odd today")
    return number / 2


def test_results_come_in_order():
    assert list(in_processes((delayed(_halve)(number) for number in (4, 6, 8)), 1)) == [2, 3, 4]


@pytest.mark.parametrize("seconds", [0, 0.004, 0.02])
@pytest.mark.parametrize("count", [0, 1, 2, 150])
def test_threads_return_results_in_order_whatever_they_take_at_once(count, seconds):
    def slow(number):
        time.sleep(seconds * (count < 10 or number % 50 == 0))
        return cv2.getNumThreads(), number

    before = cv2.getNumThreads()
    with in_threads(slow, range(count), 2) as run:
        assert list(run) == [(1, number) for number in range(count)]
    assert cv2.getNumThreads() == before


def test_one_failure_is_told_without_a_word_on_the_others():
    tasks = (delayed(_halve)(number) for number in (2, *range(4, 40)))
    with warnings.catch_warnings(record=True) as stated:
        warnings.simplefilter("always")
        with pytest.raises(DataError, match="two is odd today"):
            list(in_processes(tasks, 2))
    assert [str(each.message) for each in stated if "processed" in str(each.message)] == []


def test_processes_take_memory_in_large_pages_and_this_one_is_left_as_it_was(monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    get_reusable_executor().shutdown()
    found = list(in_processes((delayed(os.getenv)("GLIBC_TUNABLES") for _ in range(2)), 2))
    assert found == ["glibc.malloc.hugetlb=1"] * 2
    assert "GLIBC_TUNABLES" not in os.environ
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=7")
    get_reusable_executor().shutdown()
    assert (
        list(in_processes((delayed(os.getenv)("GLIBC_TUNABLES") for _ in range(2)), 2))
        == ["glibc.malloc.tcache_count=7"] * 2
    )
