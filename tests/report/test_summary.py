"""What a summary holds besides scores: hard clips, frames, settings left open, and the limits of the first screen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest

from conftest import recipe
from microexpr import rebuild_report, run_study
from microexpr.config.loading import parse
from microexpr.config.published import OptionName, load_published
from microexpr.config.study import Study
from microexpr.core.errors import StoreError
from microexpr.report.summary import Caveat, StudySummary
from microexpr.report.summary.options import SETTINGS
from refusal import refuses

pytestmark = pytest.mark.usefixtures("no_figures")


def methods(**parts: object) -> Study:
    """Three methods without training in epochs, two of which do not look at the clips."""
    content = {
        "name": "three",
        "title": "Three methods",
        "latency": False,
        "experiment": recipe().with_values({"model": "majority", "bootstrap.n": 200}).to_dict(),
        "methods": {
            "most": {"model": "majority"},
            "guess": {"model": "class_frequency"},
            "line": {"model": "logistic"},
        },
    }
    return parse(Study, content | parts, "three")


@pytest.fixture(scope="module")
def out(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    run_study(methods(), database, folder, workers=1)
    return folder


def test_hard_clips_are_those_that_most_methods_miss(out: Path) -> None:
    table = pd.read_csv(out / "tables" / "predictions.csv", dtype={"subject": str, "clip": str})
    cells = table[table["part"] == "cell"]
    right = (cells["truth"] == cells["label"]).groupby(cells["clip"]).sum()
    found = StudySummary.read(out / "summary.json").hard_clips
    assert found
    missed = right[right < 3].sort_index().sort_values(kind="stable")
    assert [(each.clip, each.right) for each in found] == list(missed.items())[: len(found)]
    assert {each.of for each in found} == {3}
    for each in found:
        labels = cells.loc[(cells["clip"] == each.clip) & (cells["label"] != each.truth), "label"]
        assert Counter(labels)[each.most] == max(Counter(labels).values())


def test_frames_of_recordings_are_shown_only_on_request_and_with_a_caveat(database: Path, out: Path) -> None:
    without = StudySummary.read(out / "summary.json")
    assert not without.contact_sheet
    assert "data:image/png" not in (out / "report.html").read_text("utf-8")
    shown = run_study(methods(), database, out.parent / "shown", workers=1, with_frames=True).summary
    (sheet,) = shown.contact_sheet
    assert len(sheet.clips) == 3, "one of every class"
    assert [each.code for each in shown.caveats].count("frames_shown") == 1
    assert (out.parent / "shown" / "report.html").read_text("utf-8").count("data:image/png") == 3


def test_pages_are_the_same_when_written_again(out: Path) -> None:
    pages = [out / "report.html", out / "details.html", *(out / "tables").iterdir()]
    before = {page: page.read_bytes() for page in pages}
    for page in pages[:3]:
        page.unlink()
    rebuild_report(out)
    assert {page: page.read_bytes() for page in pages} == before


def test_a_folder_without_a_summary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    with refuses("E612", str(tmp_path), "summary.json", kind=StoreError):
        rebuild_report(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["results"]


def test_every_setting_that_a_publication_may_leave_open_can_be_read() -> None:
    assert set(SETTINGS) == set(get_args(OptionName))
    assert set(load_published("paper").options) <= set(SETTINGS)


def test_limits_of_the_grid_say_that_they_are_its_own(database: Path, tmp_path: Path) -> None:
    named = {"set": {"protocol": "loso", "model": "pca_svm"}, "permutations": 99, "shuffled_runs": 0}
    content = methods().model_dump(mode="json", exclude={"methods", "named_cell"})
    content["experiment"] |= {"protocol": {"name": "paper_holdout", "validation": 0.0}, "name": "experiment"}
    grid = content | {"grid": {"model": ["majority", "logistic"]}}
    lines = {}
    for name, study in (("alone", grid), ("named", grid | {"named_cell": named})):
        done = run_study(parse(Study, study, name), database, tmp_path / name, workers=1)
        lines[name] = {each.code: each.line for each in done.summary.caveats}
    shared = lines["alone"]["shared_subjects"]
    assert shared.endswith("are also in the training set.")
    assert lines["named"]["shared_subjects"] == f"In the grid, {shared[:1].lower()}{shared[1:]}"
    assert lines["named"]["best_of_cells"].startswith("In the grid, the best of 2 cells")


def test_a_limit_is_one_line() -> None:
    long = Caveat.of("code", "note", "word " * 60)
    assert len(long.line) <= 110
    assert long.line.endswith("…")
    assert long.text.startswith("word word")
