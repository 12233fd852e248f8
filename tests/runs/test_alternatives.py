"""Alternatives to the named cell: trained on its folds, compared with it, skipped where the data do not allow them."""

from __future__ import annotations

import dataclasses
import json

import pytest

from conftest import recipe, write_database
from microexpr import dry_run, run_study
from microexpr.config.loading import parse
from microexpr.config.study import Study
from microexpr.core.errors import DataError, Fault, IncompatibleError, TrainingError
from microexpr.core.randomness import rng_for
from microexpr.evaluation.statistics.comparison import compare
from microexpr.evaluation.statistics.multiplicity import with_family
from microexpr.evaluation.statistics.paired import Predictions
from microexpr.runs import experiment as experiments
from microexpr.runs import study
from microexpr.runs.experiment import trained
from microexpr.runs.plan import Options, Workspace
from refusal import refuses

pytestmark = pytest.mark.usefixtures("no_figures")

HOLDOUT = {"name": "paper_holdout", "validation": 0.0}
ALTERNATIVES = {
    "few components": {"model": {"name": "pca_svm", "components": 2}},
    "smaller and grey": {"preprocessing.size": 24, "preprocessing.colour": "grey", "model": "logistic"},
    "ready images": {"sampling": "image"},
}


def compared(alternatives=ALTERNATIVES, **content) -> Study:
    named = {
        "title": "PCA + SVM",
        "set": {"model": "pca_svm", "protocol": "loso"},
        "alternatives": alternatives,
        "permutations": 99,
        "shuffled_runs": 0,
    }
    base = {
        "name": "compared",
        "title": "Compared",
        "latency": False,
        "experiment": recipe().with_values({"model": "majority", "protocol": HOLDOUT, "bootstrap.n": 200}).to_dict(),
        "named_cell": named,
    }
    return parse(Study, base | content, "compared")


@pytest.fixture(scope="module")
def done(database, tmp_path_factory):
    return run_study(compared(), database, tmp_path_factory.mktemp("compared"), workers=1)


def test_alternatives_are_trained_on_the_folds_of_the_named_cell(done):
    result = done.result
    assert list(result.alternatives) == ["few components", "smaller and grey"]
    assert result.named.experiment.name == "PCA + SVM"
    assert [name for name, cell in result.alternatives.items() if cell.experiment.name != name] == []
    named = [(fold.name, *sorted(fold.views["clip"])) for fold in result.named.result.folds]
    for cell in result.alternatives.values():
        assert [(fold.name, *sorted(fold.views["clip"])) for fold in cell.result.folds] == named
    assert result.alternatives["smaller and grey"].plan.spec.shape == (1, 24, 24, 1)
    assert done.run.trained == 1 + 3 * 6


def test_what_the_data_do_not_allow_is_skipped_with_the_reason(done, database):
    assert list(done.result.skipped_alternatives) == ["ready images"]
    assert "sampling image" in done.result.skipped_alternatives["ready images"]
    assert done.result.skipped == {}
    found = dry_run(compared(), database)
    assert list(found["alternatives_skipped"]) == ["ready images"]
    assert [row["part"] for row in found["cells"]] == ["cells", "named", "alternatives", "alternatives"]
    needed = compared(named_cell={"set": {"sampling": "image", "protocol": "loso"}})
    with refuses("E450", "sampling image", kind=IncompatibleError):
        dry_run(needed, database)


def test_each_alternative_can_be_compared_with_the_named_cell(done):
    result = done.result

    def predictions(name, cell):
        return Predictions.of(name, cell.result.predictions(), cell.plan.data.labels.classes)

    first = predictions("PCA + SVM", result.named)
    found = with_family(
        [
            compare(
                predictions(name, cell), first, "macro_f1", rng=rng_for(0, "alternatives"), n=200, permutations=99,
                trained=trained([cell.result, result.named.result]),
            )
            for name, cell in result.alternatives.items()
        ]
    )  # fmt: skip
    for one, cell in zip(found, result.alternatives.values(), strict=True):
        difference = cell.result.scores()["macro_f1"] - result.named.result.scores()["macro_f1"]
        assert one.difference == pytest.approx(difference)
        assert (one.n_clips, one.n_subjects, one.family, one.trained.folds) == (36, 6, 2, 6)


def test_a_second_run_trains_no_alternative_again(done, database, monkeypatch):
    monkeypatch.setattr(experiments, "run_fold", lambda *_: pytest.fail("it trained"))
    out = done.paths.html.parent
    again = run_study(compared(), database, out, workers=1)
    assert again.run.trained == 0
    for name, cell in again.result.alternatives.items():
        assert cell.result.predictions().equals(done.result.alternatives[name].result.predictions())
    key = done.result.alternatives["few components"].plan.key
    stored = json.loads((out / "results" / key / "experiment.json").read_text("utf-8"))
    assert stored["experiment"]["name"] == "few components"


def test_one_alternative_that_cannot_be_trained_does_not_stop_the_others(done, database, tmp_path, monkeypatch):
    real = experiments.run_fold

    def failing(plan, *rest):
        if plan.experiment.name == "few components":
            raise TrainingError("E720", "it learns nothing")
        return real(plan, *rest)

    monkeypatch.setattr(experiments, "run_fold", failing)
    result = run_study(compared(), database, tmp_path, workers=1).result
    assert result.failed == (("few components", "it learns nothing"),)
    assert list(result.alternatives) == ["smaller and grey"]


def test_alternatives_of_repeated_folds_keep_the_first_repeat(database, tmp_path):
    repeated = {"name": "subject_kfold", "k": 2, "repeats": 2}
    named = {"set": {"model": "pca_svm", "protocol": repeated}, "permutations": 99, "shuffled_runs": 0}
    few = {name: ALTERNATIVES[name] for name in ("few components",)}
    result = run_study(compared(named_cell=named | {"alternatives": few}), database, tmp_path, workers=1).result
    assert result.alternatives["few components"].result.repeats == (1, 2)
    assert result.first_repeats().alternatives["few components"].result.repeats == (1,)


def test_an_alternative_that_would_test_other_clips_is_skipped(database):
    """Another modality may lack clips that the named cell has."""
    found = study.planned(compared(), Workspace(Options({"manifest": database})))
    assert study._on_the_same_clips(found.cells) == (found.cells, {})
    last = found.cells[-1]
    fewer = last.plan.data.without([Fault("E451", "here", "is broken", "fix it", last.plan.data.clips[0].key)])
    cells = [*found.cells[:-1], dataclasses.replace(last, plan=dataclasses.replace(last.plan, data=fewer))]
    kept, skipped = study._on_the_same_clips(cells)
    assert (kept, list(skipped)) == (found.cells[:-1], ["smaller and grey"])


def test_clips_that_an_alternative_cannot_use_are_refused_or_left_out_for_all(tmp_path):
    """So that all are tested on the same clips."""
    file = write_database(tmp_path / "data") / "manifest.csv"
    file.write_text(file.read_text("utf-8").replace("s0/c0,1,4,7", "s0/c0,1,,7"), "utf-8")
    given = compared(
        experiment=compared().experiment.with_values({"sampling": "clip"}).to_dict(),
        alternatives={"apex": {"sampling": "af"}},
    )
    with refuses("E468", "own/s0/c0", kind=DataError):
        dry_run(given, file.parent)
