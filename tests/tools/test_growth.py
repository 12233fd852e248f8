"""How cost grows: the fit, what counts as memory, and a page that is made of measured points only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from microexpr.bench import measuring
from microexpr.bench.rows import machine
from microexpr.core.errors import StoreError
from tools import growth
from tools.growth import AXES, Point, fitted, law, main, page, peak_memory

ROOT = Path(__file__).parents[2]
TINY = {"clips": 10, "frames": 50, "views": 5, "folds": 5, "workers": 2}
ENVIRONMENT = {"processor": "abacus", "features": "beads", "cores": "1", "threads": "1"}


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_the_fit_finds_a_power_and_what_does_not_grow(exponent):
    sizes = [10, 50, 200, 1000]
    found = fitted(sizes, [3 + 0.02 * size**exponent for size in sizes])
    assert found.exponent == pytest.approx(exponent, abs=0.051)
    assert found.at(10_000) == pytest.approx(3 + 0.02 * 10_000**exponent, rel=0.1)


def test_what_does_not_grow_stays():
    assert fitted([10, 100, 1000], [5.0, 5.0, 5.0]).at(1e6) == pytest.approx(5.0, rel=0.01)


def test_a_line_that_falls_is_fitted_as_a_constant():
    falling = fitted([10, 100, 1000], [5.2, 5.0, 4.8], (1.0,))
    assert falling.factor == pytest.approx(0, abs=1e-9)
    assert falling.at(1e6) == pytest.approx(5.0, rel=0.01)


def test_workers_divide_a_part_of_the_time():
    points = [Point(size, 0.5 + 2.0 / size, 300.0 + 200.0 * size, 75.0) for size in (1, 2, 4)]
    seconds, memory = law("workers", "seconds", points), law("workers", "memory", points)
    assert (seconds.fixed, seconds.factor) == pytest.approx((0.5, 2.0))
    assert seconds.formula("workers") == "0.5 + 2 / workers"
    assert (memory.fixed, memory.factor, memory.exponent) == pytest.approx((300.0, 200.0, 1.0))


@pytest.mark.skipif(peak_memory() is None, reason="needs /proc")
def test_the_memory_of_child_processes_counts():
    before = peak_memory()
    command = [sys.executable, "-c", "room = b'x' * 300_000_000; del room; print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        child.stdout.readline()
        assert 300 < peak_memory() - before < 400
        child.communicate("\n")
    assert peak_memory() - before < 100


def test_memory_is_not_measured_without_proc(monkeypatch, tmp_path):
    monkeypatch.setattr(measuring, "Path", lambda _: tmp_path / "none")
    assert peak_memory() is None


def _points(memory=1.0):
    """Return points of every axis: 1 ms, 1 kB of memory (times `memory`) and 200 kB of disk for each size."""
    return {
        axis: [
            Point(size, 1 + size / 1e3, None if memory is None else 800 + memory * size / 1e3, 1 + size / 5)
            for size in found.sizes
        ]
        for axis, found in AXES.items()
    }


def test_the_page_says_what_breaks_first():
    points = _points()
    points["views"] = [point._replace(memory=800 + point.size) for point in points["views"]]
    text = page(points, ENVIRONMENT)
    rows = [line for line in text.splitlines() if line.startswith("| 10 frames a clip")]
    # ten million frames: 10,000 s, 10.8 GB, 2,000 GB; 1 TB is full at 500,000 clips
    assert rows[0].split(" | ")[1:] == ["2.8", "11", "2,000", "8,600,000", "1,500,000", "500,000 |"]
    assert "- 10 frames a clip of 224x224x3, preprocessed: disk\n" in text
    assert "- 10 frames a clip of 224x224x3, an estimator: memory\n" in text
    assert "shared" not in text.replace("pages that they share", "")


def test_what_was_not_measured_is_said_and_not_fitted(tmp_path):
    points = _points(memory=None)
    text = page(points, ENVIRONMENT)
    assert "| 10 | 1.01 | not measured | 3.00 |" in text
    assert "- MB of memory" not in text
    growth.figure("workers", points["workers"], tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").is_file()


def test_points_are_not_added_to_those_of_another_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "isolated", lambda *_: pytest.fail("measured"))
    monkeypatch.setattr(growth, "figure", lambda *_: None)
    source, target = tmp_path / "growth.json", tmp_path / "growth.md"
    rows = {axis: [point._asdict() for point in found] for axis, found in _points().items()}
    stored = {"environment": machine() | ENVIRONMENT, "points": rows}
    source.write_text(json.dumps(stored), "utf-8")
    main([str(source), str(target)])  # nothing is missing: only the page is made
    assert "abacus" in target.read_text("utf-8")
    rows["folds"].pop()
    source.write_text(json.dumps(stored), "utf-8")
    with pytest.raises(StoreError, match="abacus") as error:
        main([str(source), str(target)])
    assert error.value.code == "E631"


def test_a_tiny_measurement_makes_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "AXES", {axis: found._replace(sizes=(TINY[axis],)) for axis, found in AXES.items()})
    monkeypatch.setattr(growth, "REPEATS", 1)
    monkeypatch.setattr(growth, "isolated", lambda function, *args: function(*args))
    source, target = tmp_path / "growth.json", tmp_path / "growth.md"
    main([str(source), str(target)])
    stored = json.loads(source.read_text("utf-8"))
    assert {axis: row["size"] for axis, (row,) in stored["points"].items()} == TINY
    (row,) = stored["points"]["frames"]
    assert row["disk"] == pytest.approx(50 * 224 * 224 * 3 / 1e6, rel=0.01)
    assert all(target.with_name(f"growth-{axis}.svg").is_file() for axis in TINY)
    assert "## A million clips" in target.read_text("utf-8")


def test_the_page_is_up_to_date():
    stored = json.loads((ROOT / "docs/growth.json").read_text("utf-8"))
    points = {axis: [Point(**row) for row in rows] for axis, rows in stored["points"].items()}
    assert (ROOT / "docs/growth.md").read_text("utf-8") == page(points, stored["environment"])
    assert {axis: [point.size for point in found] for axis, found in points.items()} == {
        axis: list(found.sizes) for axis, found in AXES.items()
    }
    assert all(
        np.isfinite([point.seconds, point.memory, point.disk]).all() for rows in points.values() for point in rows
    )
