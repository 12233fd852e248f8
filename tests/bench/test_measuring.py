"""Measuring: alternation, medians, rows that cannot be measured, files that continue."""

from __future__ import annotations

import json
import time

import pytest

from microexpr.bench import running
from microexpr.bench.guard import against, as_committed, committed
from microexpr.bench.measuring import MORE, NotMeasured, Timed, alternate, compared, isolated
from microexpr.bench.rows import Bench, Row, begin, processor_class, read
from microexpr.bench.running import Job, measured, run
from microexpr.core.errors import StoreError
from microexpr.core.processor import native_bf16


def test_sides_run_in_turn_and_every_other_round_backwards():
    calls = []
    sides = {name: lambda name=name: calls.append(name) or name for name in ("plain", "ours", "limit")}
    timed = alternate(sides, repeats=3, warm_up=1, seconds=0)
    forth, back = ["plain", "ours", "limit"], ["limit", "ours", "plain"]
    assert calls == forth + back + forth + back
    assert timed.repeats == 3
    assert timed.results == {"plain": "plain", "ours": "ours", "limit": "limit"}


def test_short_work_is_repeated_more_often():
    assert alternate({"ours": lambda: None}, repeats=2, seconds=60).repeats == 2 * MORE
    assert alternate({"ours": lambda: time.sleep(0.02)}, repeats=2, seconds=0.03).repeats == 2
    assert 2 < alternate({"ours": lambda: time.sleep(0.02)}, repeats=2, seconds=0.2).repeats <= 2 * MORE


def test_seconds_are_those_of_the_side():
    timed = alternate(
        {"plain": lambda: time.sleep(0.04), "ours": lambda: time.sleep(0.01)}, repeats=3, warm_up=0, seconds=0
    )
    assert all(seconds >= 0.04 for seconds in timed.seconds["plain"])
    assert timed.median("plain") > timed.median("ours") >= 0.01


def test_a_row_has_the_ratio_of_medians_and_the_share_of_the_limit():
    timed = Timed({"plain": [4.0, 6.0, 100.0], "ours": [2.0, 3.0, 2.0], "limit": [1.0, 1.5, 9.0]}, {})
    row = compared("flow", "a", "what", timed, ("equal", 0.0, True), limit="the least", target=2.0, share_target=0.5)
    assert (row.plain_seconds, row.ours_seconds, row.limit_seconds) == (6.0, 2.0, 1.5)
    assert row.ratio == 3.0
    assert row.share_of_limit == 0.75
    assert row.ratio_quartiles == (2.0, 26.0)
    assert row.repeats == 3


def test_a_row_without_a_plain_side_has_no_ratio():
    row = compared("start", "a", "what", Timed({"ours": [2.0]}, {}), ("equal", 0.0, True), limit="not given")
    assert row.ratio is None
    assert row.plain_seconds is None
    assert row.share_of_limit is None
    assert row.limit == ""


def _crash() -> None:
    import os

    os._exit(3)


def test_a_process_that_crashes_is_not_measured():
    with pytest.raises(NotMeasured, match="ended"):
        isolated(_crash)


def test_what_cannot_be_measured_says_why_and_has_no_number():
    def refuse(folder):
        raise NotMeasured("no accelerator")

    rows = measured(Job("infer", ("a", "b"), "prediction", refuse))
    assert [row.name for row in rows] == ["a", "b"]
    for row in rows:
        assert row.not_measured == "no accelerator"
        numbers = row.model_dump(exclude={"group", "name", "what", "not_measured"}, exclude_defaults=True)
        assert numbers == {}


def _job(name: str, calls: list[str], ratio: float = 2.0) -> Job:
    def work(folder):
        assert folder.is_dir()
        calls.append(name)
        return [Row(group="flow", name=name, what=name, ratio=ratio)]

    return Job("flow", (name,), name, work)


def test_rows_are_written_as_they_finish_and_kept(tmp_path, monkeypatch):
    calls: list[str] = []

    def stop(folder):
        raise KeyboardInterrupt

    jobs = [_job("a", calls), Job("flow", ("b",), "b", stop)]
    monkeypatch.setattr(running, "jobs_of", lambda groups, size: jobs)
    file = tmp_path / "bench.json"
    with pytest.raises(KeyboardInterrupt):
        run(("flow",), size="tiny", out=file)
    assert [row.name for row in read(file).rows] == ["a"]
    jobs[1] = _job("b", calls)
    found = run(("flow",), size="tiny", out=file)
    assert calls == ["a", "b"]
    assert [row.name for row in found.rows] == ["a", "b"]
    assert read(file) == found


def test_rows_of_another_machine_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "jobs_of", lambda groups, size: [])
    file = tmp_path / "bench.json"
    found = run(("flow",), size="tiny", out=file)
    found.model_copy(update={"environment": {**found.environment, "processor": "abacus"}}).write(file)
    with pytest.raises(StoreError, match="abacus") as error:
        run(("flow",), size="tiny", out=file)
    assert error.value.code == "E631"
    found.write(file)
    with pytest.raises(StoreError, match="size tiny, now small") as error:
        run(("flow",), size="small", out=file)
    assert error.value.code == "E631"


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99}', '{"format": 1, "rows": 3}'])
def test_a_file_that_is_no_benchmark_is_refused(tmp_path, text):
    file = tmp_path / "bench.json"
    file.write_text(text)
    with pytest.raises(StoreError, match=r"bench\.json") as error:
        read(file)
    assert error.value.code == "E630"


def test_the_file_has_the_promised_keys(tmp_path):
    row = compared("flow", "a", "what", Timed({"plain": [2.0], "ours": [1.0]}, {}), ("equal", 0.0, True))
    begin("tiny").with_rows([row]).write(tmp_path / "bench.json")
    content = json.loads((tmp_path / "bench.json").read_text())
    assert content["format"] == 1
    assert content["size"] == "tiny"
    assert {"processor", "features", "cores", "threads", "numpy BLAS", "torch"} <= set(content["environment"])
    promised = {"name", "what", "plain_seconds", "ours_seconds", "ratio", "share_of_limit", "agreement", "repeats"}
    assert promised <= set(content["rows"][0])


def test_bf16_belongs_to_the_class_of_processors():
    found = begin("tiny").environment
    kind = processor_class(found)
    assert kind.endswith(f"{found['cores']} cores")
    assert native_bf16() == any(name in found["features"].split() for name in ("avx512_bf16", "amx"))


def _bench(**ratios: float) -> Bench:
    rows = [Row(group="flow", name=name, what="", ratio=ratio) for name, ratio in ratios.items()]
    return begin("tiny").with_rows(rows)


def test_a_ratio_under_two_thirds_of_the_committed_one_fails():
    expected = as_committed(_bench(a=3.0, b=3.0))
    assert not against(_bench(a=2.01, b=9.0), expected).fallen
    verdict = against(_bench(a=1.99, b=9.0), expected)
    assert verdict.fallen == ("flow/a",)
    assert len(verdict.lines) == 1
    assert "flow/a: 1.99" in verdict.lines[0]


def test_a_row_that_is_committed_but_not_measured_fails():
    expected = as_committed(_bench(a=3.0, b=3.0))
    crashed = _bench(a=3.0).with_rows([Row(group="flow", name="b", what="", not_measured="it crashed")])
    for found, reason in ((crashed, "it crashed"), (_bench(a=3.0), "there is no such row")):
        verdict = against(found, expected)
        assert verdict.fallen == ("flow/b",)
        assert reason in verdict.lines[0]
    other = begin("tiny").with_rows([Row(group="stats", name="c", what="", ratio=1.0)])
    assert not against(other, expected).fallen  # another group was asked for


def test_a_row_that_fell_is_measured_again_and_the_higher_ratio_kept(monkeypatch):
    found, ratios = _bench(a=1.0, b=5.0), iter([3.0, 2.0])

    def work(folder):
        return [Row(group="flow", name="a", what="", ratio=next(ratios))]

    monkeypatch.setattr(running, "jobs_of", lambda groups, size: [Job("flow", ("a",), "a", work)])
    for _ in range(2):
        found = running.again(found, ["flow/a"])
    assert {row.name: row.ratio for row in found.rows} == {"a": 3.0, "b": 5.0}


def test_a_class_without_committed_ratios_passes_and_says_so():
    verdict = against(_bench(a=0.1), {"abacus, 1 cores": {"flow/a": 3.0}})
    assert not verdict.fallen
    assert "no ratios are committed" in verdict.lines[0]


def test_committed_ratios_are_read_and_damaged_ones_refused(tmp_path):
    assert all(ratio > 0 for ratios in committed().values() for ratio in ratios.values())
    (tmp_path / "ratios.json").write_text('{"avx2, 2 cores": {"flow/a": "fast"}}')
    with pytest.raises(StoreError, match=r"ratios\.json") as error:
        committed(tmp_path / "ratios.json")
    assert error.value.code == "E630"
