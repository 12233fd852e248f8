"""``microexpr bench`` as a user meets it; the rows themselves are tested in tests/bench."""

from __future__ import annotations

import json

import pytest

from microexpr.bench import running
from microexpr.bench.measuring import NotMeasured, Timed, compared
from microexpr.bench.running import Job
from shell import microexpr


@pytest.fixture
def two_rows(monkeypatch):
    def fast(folder):
        timed = Timed({"plain": [2.0, 2.2], "ours": [1.0, 1.0]}, {})
        return [compared("flow", "fast", "the work", timed, ("largest difference 0", 0.0, True))]

    def absent(folder):
        raise NotMeasured("there is no accelerator")

    jobs = [Job("flow", ("fast",), "the work", fast), Job("infer", ("absent",), "prediction", absent)]
    monkeypatch.setattr(running, "jobs_of", lambda groups, size: [job for job in jobs if job.group in groups])


def test_tables_have_ratios_and_reasons(two_rows):
    answer = microexpr("bench", "--small", "-q")
    assert answer.code == 0
    assert "2.10 [2.05, 2.15]" in answer.out
    assert "absent: not measured: there is no accelerator" in answer.out


def test_one_group_as_json_into_a_file(two_rows, tmp_path):
    answer = microexpr("bench", "flow", "--small", "--json", "--out", tmp_path / "bench.json")
    assert answer.code == 0
    found = json.loads(answer.out)
    assert [row["name"] for row in found["rows"]] == ["fast"]
    assert json.loads((tmp_path / "bench.json").read_text()) == found


def test_a_ratio_that_fell_ends_with_exit_code_1(two_rows, tmp_path):
    first = microexpr("bench", "flow", "--small", "--json")
    machine = json.loads(first.out)["environment"]
    kind = f"{machine['features'].split()[-1]}, {machine['cores']} cores"
    ratios = tmp_path / "ratios.json"
    ratios.write_text(json.dumps({kind: {"flow/fast": 4.0}}))
    answer = microexpr("bench", "flow", "--small", "--against", ratios, "-q")
    assert answer.code == 1
    assert "flow/fast: 2.10, under two thirds of the committed 4.00" in answer.err
    ratios.write_text(json.dumps({kind: {"flow/fast": 2.2}}))
    assert microexpr("bench", "flow", "--small", "--against", ratios, "-q").code == 0


def test_results_that_differ_end_with_exit_code_1(monkeypatch):
    def wrong(folder):
        return [compared("flow", "wrong", "the work", Timed({"ours": [1.0]}, {}), ("9 differ", 9.0, False))]

    monkeypatch.setattr(running, "jobs_of", lambda groups, size: [Job("flow", ("wrong",), "the work", wrong)])
    answer = microexpr("bench", "flow", "-q")
    assert answer.code == 1
    assert "9 differ (NOT EQUAL ENOUGH)" in answer.out


def test_bad_input_is_refused(tmp_path):
    unknown = microexpr("bench", "everything")
    assert unknown.code == 2
    missing = microexpr("bench", "flow", "--small", "--against", tmp_path / "none.json")
    assert missing.code == 1
    assert "E630" in missing.err
    other_size = microexpr("bench", "flow", "--against", "committed")
    assert other_size.code == 1
    assert "E631" in other_size.err
    assert "add --small" in other_size.err
    (tmp_path / "bench.json").write_text("{}")
    damaged = microexpr("bench", "flow", "--small", "--out", tmp_path / "bench.json")
    assert damaged.code == 1
    assert "E630" in damaged.err
