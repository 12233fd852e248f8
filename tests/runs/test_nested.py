"""The cell chosen on validation in each fold: no test clip may take part."""

from __future__ import annotations

import pytest

from conftest import recipe
from microexpr import run_study
from microexpr.config.study import Study
from microexpr.core.confusion import confusion_matrix, f1_per_class

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture(scope="module")
def done(database, tmp_path_factory):
    experiment = recipe().with_values({"training.epochs": 4, "training.patience": 2})
    grid = {"training.learning_rate": [1e-9, 1e-3, 3e-3]}
    study = Study(name="s", title="s", experiment=experiment, grid=grid, latency=False)
    return run_study(study, database, tmp_path_factory.mktemp("nested"), workers=1)


def test_each_fold_takes_the_cell_that_is_best_on_its_validation_clips(done):
    found, cells = done.summary.nested, done.result.cells
    right = total = 0
    taken = []
    for fold in cells[0].result.folds:
        scores = []
        for cell in cells:
            rows = cell.result.predictions("val")
            rows = rows[rows["fold"] == fold.name]
            matrix = confusion_matrix(rows["y_true"].to_numpy(int), rows["y_pred"].to_numpy(int), 3)
            scores.append(f1_per_class(matrix)[matrix.sum(1) > 0].mean())
        best = scores.index(max(scores))
        taken.append(best)
        rows = cells[best].result.predictions()
        rows = rows[rows["fold"] == fold.name]
        right, total = right + int((rows["y_true"] == rows["y_pred"]).sum()), total + len(rows)
    assert found.scores["accuracy"] == pytest.approx(right / total)
    assert (found.permutations, found.permutation_quantile) == (1999, 0.95)
    assert found.above_chance == (found.score > found.permutation_level), "the 95th percentile is p = 0.05"
    assert found.n_test == total == len(cells[0].result.predictions())
    assert sorted(row.times for row in found.chosen) == sorted(taken.count(at) for at in set(taken))
    assert found.folds == len(taken)


def test_the_report_tells_it_beside_the_best_cell(done):
    page = done.paths.html.read_text("utf-8")
    assert "Selection of the cell on validation clips" in page
    assert "No test clip takes part in this selection" in page
    assert any(file.name == "nested.csv" for file in done.paths.tables)


def test_estimators_have_no_validation_clips_and_nothing_is_chosen(database, tmp_path):
    grid = {"model": ["pca_svm", {"name": "pca_svm", "components": 3}]}
    study = Study(name="s", title="s", experiment=recipe(), grid=grid, latency=False)
    finished = run_study(study, database, tmp_path, workers=1)
    assert finished.summary.nested is None
    assert "takes part in this selection" not in finished.paths.html.read_text("utf-8")


def test_seeds_cut_other_validation_clips_and_are_not_chosen_among(database, tmp_path):
    experiment = recipe().with_values({"training.epochs": 1, "training.patience": 1})
    study = Study(name="s", title="s", experiment=experiment, grid={"seed": [0, 1]}, latency=False)
    assert run_study(study, database, tmp_path, workers=1).summary.nested is None
