"""How cost grows: the fit, and a page that is made of measured points only."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tools.growth import AXES, Point, fitted, page

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_the_fit_finds_a_power_and_what_does_not_grow(exponent):
    sizes = [10, 50, 200, 1000]
    law = fitted(sizes, [3 + 0.02 * size**exponent for size in sizes])
    assert law.exponent == pytest.approx(exponent, abs=0.051)
    assert law.at(10_000) == pytest.approx(3 + 0.02 * 10_000**exponent, rel=0.1)


def test_what_does_not_grow_stays():
    assert fitted([10, 100, 1000], [5.0, 5.0, 5.0]).at(1e6) == pytest.approx(5.0, rel=0.01)


def test_the_page_is_up_to_date():
    stored = json.loads((ROOT / "docs/growth.json").read_text("utf-8"))
    points = {axis: [Point(**row) for row in rows] for axis, rows in stored["points"].items()}
    assert (ROOT / "docs/growth.md").read_text("utf-8") == page(points, stored["environment"])
    assert {axis: [point.size for point in found] for axis, found in points.items()} == {
        axis: list(sizes) for axis, (_, sizes) in AXES.items()
    }
    assert all(np.isfinite([point.seconds, point.megabytes]).all() for found in points.values() for point in found)
