"""Figures that a folder already has: never drawn twice, and never out of date."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from microexpr.report import drawings, write_report
from microexpr.report.drawings import INDEX
from microexpr.report.page import ReportPaths
from microexpr.report.table import ABSENT, Column, Table
from pages import make_summary, study

AGAIN = {
    "command": "microexpr study other --data elsewhere",
    "created": "2031-01-01T00:00:00+00:00",
    "run": {"trained": 0, "reused": 77},
}
"""What differs if a study is run again."""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    return write_report(study(make_summary()), tmp_path_factory.mktemp("first"))


@pytest.fixture
def folder(first: ReportPaths, tmp_path: Path) -> Path:
    """A copy of the folder of a report."""
    (tmp_path / "figures").mkdir()
    for file in (first.html.parent / "figures").iterdir():
        (tmp_path / "figures" / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[object]]:
    """The figures that are made, by kind of file."""
    made: dict[str, list[object]] = {"svg": [], "pdf": []}
    for kind in made:
        real = getattr(drawings, f"as_{kind}")
        monkeypatch.setattr(
            drawings, f"as_{kind}", lambda figure, real=real, kind=kind: made[kind].append(figure) or real(figure)
        )
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (folder / "figures").iterdir() if file.name != INDEX}


def test_a_second_run_draws_nothing(folder: Path, drawn: dict[str, list[object]]) -> None:
    before = contents(folder)
    paths = write_report(study(make_summary() | AGAIN), folder)
    assert drawn == {"svg": [], "pdf": []}
    assert contents(folder) == before
    assert "77" in (paths.details or paths.html).read_text("utf-8")


def test_what_differs_between_runs_is_in_no_figure(first: ReportPaths, tmp_path: Path) -> None:
    write_report(study(make_summary() | AGAIN), tmp_path)  # drawn anew: this folder has nothing
    assert contents(tmp_path) == contents(first.html.parent)


def test_a_changed_number_changes_its_figure(folder: Path, tmp_path: Path, drawn: dict[str, list[object]]) -> None:
    summary: dict[str, Any] = copy.deepcopy(make_summary())
    summary["latency"][0]["ms"] *= 3
    write_report(study(summary), folder)
    made = {kind: len(figures) for kind, figures in drawn.items()}
    write_report(study(summary), tmp_path / "fresh")
    assert contents(folder) == contents(tmp_path / "fresh")
    assert made["svg"] > 1
    assert made["pdf"] == 1  # the others turned out to be the same figures


def test_other_code_or_libraries_draw_everything_again(
    folder: Path, drawn: dict[str, list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(contents(folder)) // 2
    monkeypatch.setattr(drawings, "package_digest", lambda: "other code")
    write_report(study(make_summary()), folder)
    assert (len(drawn["svg"]), len(drawn["pdf"])) == (count, count)
    monkeypatch.setattr(drawings, "versions", lambda names: {"matplotlib": "other"})
    write_report(study(make_summary()), folder)
    assert len(drawn["pdf"]) == 2 * count


@pytest.mark.parametrize("ending", ["svg", "pdf"])
@pytest.mark.parametrize("damage", ["removed", "cut", "exchanged"])
def test_a_damaged_figure_is_made_again(ending: str, damage: str, folder: Path, drawn: dict[str, list[object]]) -> None:
    before = contents(folder)
    file = folder / "figures" / f"cells.{ending}"
    if damage == "removed":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    else:
        file.write_bytes(before[f"latency.{ending}"])
    write_report(study(make_summary()), folder)
    assert contents(folder) == before
    assert len(drawn["svg"]) == 1


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"cells": ["a", "b"]}', '{"cells": null}'])
def test_a_damaged_index_is_written_again(content: str, folder: Path, drawn: dict[str, list[object]]) -> None:
    before, index = contents(folder), (folder / "figures" / INDEX).read_text("utf-8")
    (folder / "figures" / INDEX).write_text(content, "utf-8")
    write_report(study(make_summary()), folder)
    assert contents(folder) == before
    assert len(drawn["svg"]) == len(before) // 2
    assert (folder / "figures" / INDEX).read_text("utf-8") == index


def test_figures_of_another_page_stay_known(folder: Path) -> None:
    figures = folder / "figures"
    other = drawings.Drawn("summary", "code", "svg", "pdf")
    known = drawings._Index.model_validate_json((figures / INDEX).read_text("utf-8")).root
    (figures / INDEX).write_text(drawings._Index(known | {"tuning": other, "gone": other}).model_dump_json(), "utf-8")
    (figures / "tuning.svg").write_text("<svg/>")
    write_report(study(make_summary()), folder)
    assert drawings._Index.model_validate_json((figures / INDEX).read_text("utf-8")).root == known | {"tuning": other}


def test_tables_are_the_csv_that_pandas_writes() -> None:
    rows: list[dict[str, Any]] = [
        {"a": 'with "quotes", commas', "b": 0.1 + 0.2, "c": None},
        {"a": "line\nbreak", "b": float("nan"), "c": True},
        {"a": "", "b": 1e-300, "c": [1, 2]},
        {"a": ABSENT, "b": 12345678901234567890, "c": -0.0},
        {"b": float("inf"), "c": "é"},
    ]
    table = Table("t", "t", [Column("A", "a"), Column("B", ("b", "c", "b"))], rows)
    values = [[None if row.get(name) == ABSENT else row.get(name) for name in "abc"] for row in rows]
    expected = pd.DataFrame(values, columns=list("abc"), dtype=object).to_csv(index=False, lineterminator="\n")
    assert table.csv == expected
    one = Table("t", "t", [Column("A", "a")], [{"a": None}, {"a": np.float64(0.1)}, {"a": "x"}])
    frame = pd.DataFrame([[None], [np.float64(0.1)], ["x"]], columns=["a"], dtype=object)
    assert one.csv == frame.to_csv(index=False, lineterminator="\n")
    assert list(pd.read_csv(io.StringIO(one.csv), skip_blank_lines=False)["a"].dropna()) == ["0.1", "x"]
