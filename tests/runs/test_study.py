"""A whole study: its summary, what a second run does, and the paper's own grid counted."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from casme2_files import jpeg
from conftest import EMOTIONS, recipe
from microexpr import fit, run_study
from microexpr.components.datasets.synthetic import SyntheticSpec, plan
from microexpr.components.datasets.synthetic.writing import table
from microexpr.components.detection.dlib_hog import DlibHog
from microexpr.components.models.classical import PcaSvm
from microexpr.components.models.shallow import SmallCnn
from microexpr.config.loading import SHIPPED as STUDIES
from microexpr.config.loading import parse
from microexpr.config.published import load_published
from microexpr.config.study import Study, load
from microexpr.core.claims import held
from microexpr.core.environment import KERNELS
from microexpr.core.errors import ConfigError, StoreError, TrainingError
from microexpr.core.randomness import rng_for
from microexpr.evaluation.statistics.comparison import compare
from microexpr.evaluation.statistics.multiplicity import with_family
from microexpr.evaluation.statistics.paired import Predictions
from microexpr.evaluation.statistics.scope import Trained
from microexpr.report import write_report
from microexpr.report.summary import Run, StudySummary
from microexpr.report.summary.comparison import paired as in_summary
from microexpr.report.summary.factors import pairs as cell_pairs
from microexpr.report.summary.factors import preprocessing_pairs
from microexpr.report.summary.options import options
from microexpr.runs import experiment as experiments
from microexpr.runs import study
from microexpr.runs.plan import Options, Workspace
from pages import read
from refusal import refuses
from shell import microexpr

pytestmark = pytest.mark.usefixtures("no_figures")

SIZES = [{"name": "m1", "size": 32}, {"name": "m1", "size": 40}]


def small_study(**changes: object) -> Study:
    experiment = recipe().with_values(
        {"protocol": "paper_holdout", "training.epochs": 4, "training.patience": 2, "loss": "best_on_validation"}
    )
    content = {
        "name": "small",
        "title": "A small study",
        "reduced": "everything",
        "experiment": experiment.to_dict(),
        "grid": {"preprocessing": SIZES, "sampling": ["af", "kfs"], "model": ["small_cnn", "pca_svm"]},
        "baselines": ["majority", "class_frequency"],
        "named_cell": {
            "set": {
                "preprocessing": SIZES[0],
                "model": "small_cnn",
                "loss": "cross_entropy",
                "protocol": "loso",
                "training.epochs": 8,
                "training.patience": 0,
                "bootstrap.unit": "subject",
            },
            "permutations": 199,
        },
    }
    return parse(Study, content | changes, "small")


@pytest.fixture(scope="module")
def finished(database, tmp_path_factory):
    """The study, killed after three trainings and finished by the same call."""
    out = tmp_path_factory.mktemp("study")
    real, done = experiments.run_fold, []

    def dying(plan_, fold, *rest):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append((plan_.key, fold.name))
        return real(plan_, fold, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "run_fold", dying)
        with pytest.raises(KeyboardInterrupt):
            run_study(small_study(), database, out, workers=1)
        trained: list[tuple[str, str]] = []
        patch.setattr(experiments, "run_fold", lambda p, f, *rest: trained.append((p.key, f.name)) or real(p, f, *rest))
        result = run_study(small_study(), database, out, workers=1)
    return result, out, done, trained


@pytest.fixture(scope="module")
def summary(finished):
    return finished[0].summary


@pytest.fixture(scope="module")
def both(finished):
    """The page, with that of its details."""
    return read(finished[0].paths)


# --- predictions and pages --------------------------------------------------------------------------------------------
def test_the_table_of_predictions_holds_every_tested_clip_of_every_method(finished):
    result, out = finished[0], finished[1]
    table = pd.read_csv(out / "tables" / "predictions.csv")
    assert {"part", "method", "seed", "repeat", "fold", "clip", "subject", "truth", "label"} <= set(table)
    classes = result.summary.data.classes
    assert np.allclose(table[[f"p_{name}" for name in classes]].sum(axis=1), 1)
    for cell in result.summary.cells:
        rows = table[(table["experiment"] == cell.key) & (table["part"] == "cell")]
        assert len(rows) == cell.n_test
        assert (rows["truth"] == rows["label"]).mean() == pytest.approx(cell.scores["accuracy"])
    assert set(table["part"]) == {"cell", "prespecified", "baseline"}
    assert not table.duplicated(["part", "experiment", "repeat", "clip"]).any()


def test_pages_are_rebuilt_from_the_summary_alone(finished, tmp_path):
    out = finished[1]
    for name in ("summary.json", "tables/predictions.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(out / name, tmp_path / name)
    answer = microexpr("report", tmp_path)
    assert (answer.code, answer.out) == (0, f"page: {tmp_path / 'report.html'}\n")
    for file in (
        "report.html",
        "details.html",
        "tables/predictions.csv",
        *(f"tables/{path.name}" for path in out.glob("tables/*.tex")),
    ):
        assert (tmp_path / file).read_bytes() == (out / file).read_bytes()


@pytest.mark.parametrize(
    ("content", "code"), [(None, "E612"), ("{", "E605"), ("[1]", "E605"), ('{"format": 99}', "E851")]
)
def test_pages_of_what_is_no_summary_are_refused(tmp_path, content, code):
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    answer = microexpr("report", tmp_path)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith(f"microexpr: {code}: ")
    assert not (tmp_path / "report.html").exists()


# --- killed, gone on, run again ---------------------------------------------------------------------------------------
@pytest.mark.numeric
def test_a_study_that_was_killed_trains_the_rest_and_nothing_twice(finished):
    _, out, before, after = finished
    assert not set(before) & set(after)
    # Eight cells, two baselines; the named cell and its shuffled twin under six folds each.
    assert len(set(before) | set(after)) == 8 + 2 + 6 + 6
    assert not list(out.rglob("*partial*"))


def test_a_second_run_trains_nothing_and_says_the_same(finished, database, tmp_path, monkeypatch):
    result, out = finished[0], Path(shutil.copytree(finished[1], tmp_path / "out"))
    monkeypatch.setattr(experiments, "run_fold", lambda *_: pytest.fail("it trained"))
    monkeypatch.setattr(study.learners, "latency", lambda *_: pytest.fail("it measured"))
    report, details = ((out / name).read_text("utf-8") for name in ("report.html", "details.html"))
    again = run_study(small_study(), database, out)
    folds = len(finished[2]) + len(finished[3])
    assert result.run == Run(trained=len(finished[3]), reused=folds - len(finished[3]))
    assert again.run == Run(trained=0, reused=folds)
    varying = {"created": "", "command": "", "run": Run()}
    assert again.summary.model_copy(update=varying) == result.summary.model_copy(update=varying)
    assert StudySummary.read(out / "summary.json") == again.summary
    made = re.compile(r"<time>.*?</time>")
    assert made.sub("", (out / "report.html").read_text("utf-8")) == made.sub("", report)
    stripped = [
        made.sub("", text).replace(
            f"<p>Folds: trained {each.run.trained}, reused {each.run.reused}.</p>", "<p>folds</p>"
        )
        for text, each in ((details, result), ((out / "details.html").read_text("utf-8"), again))
    ]
    assert "<p>folds</p>" in stripped[0]
    assert stripped[0] == stripped[1]


@pytest.mark.numeric
def test_preprocessings_are_compared_on_the_same_clips(summary, finished):
    assert len(summary.paired) == 4  # 2 samplings x 2 models
    cells = {(c.preprocessing, c.sampling, c.model): c for c in summary.cells}
    for row in summary.paired:
        a, b = (cells[side, row.sampling, row.model] for side in (row.a, row.b))
        found = row.paired
        assert found.difference == pytest.approx(a.macro_f1 - b.macro_f1)
        assert found.ci_low <= found.difference <= found.ci_high
        right = [sum(c.confusion[i][i] for i in range(len(c.confusion))) for c in (a, b)]
        assert found.only_a - found.only_b == right[0] - right[1]
        assert found.p_value <= found.p_holm <= 1
    assert "No pair of preprocessings could be compared" not in (finished[1] / "report.html").read_text("utf-8")


@pytest.mark.numeric
def test_pairs_are_what_the_statistics_give(finished):
    result, rows = finished[0].result, finished[0].summary.paired
    pairs = list(cell_pairs(result))
    direct = []
    for a, b in pairs:
        given = [
            Predictions.of(cell.experiment.preprocessing.label, cell.result.predictions(), sorted(EMOTIONS))
            for cell in (a, b)
        ]
        trained = Trained(1, networks=a.experiment.model.name != "pca_svm")
        how = {"rng": rng_for(0, "paired"), "n": 2_000, "permutations": 1_999, "trained": trained}
        direct.append(compare(*given, "macro_f1", **how))
    for row, one in zip(rows, with_family(direct), strict=True):
        assert row.paired == in_summary(one)
        assert (row.paired.unit, one.method) == ("subject", "expanded")
        assert "expanded percentile bootstrap" in row.paired.interval
        assert len(row.paired.changed) == row.paired.only_a + row.paired.only_b
        stated = row.paired.model_dump()
        plain = {name: value for name, value in dataclasses.asdict(one).items() if isinstance(value, int | float | str)}
        known = {name: value for name, value in plain.items() if name in stated}
        assert {"difference", "ci_low", "ci_high", "p_value", "p_holm", "mcnemar_p"} <= set(known)
        assert {name: stated[name] for name in known} == known


@pytest.mark.numeric
def test_the_report_compares(summary, both):
    page = both
    assert "Models trained on two preprocessings were compared in 4 pairs on the same test clips." in page.text
    assert summary.factors.verdict.startswith("Among these trained models, ")
    assert "Hold-out with one seed" in summary.factors.verdict
    assert "figure-differences" in {attrs.get("id") for _, attrs in page.tags}
    # How many clips change depends on the processor's kernels.
    changed = {clip.clip for row in summary.paired for clip in row.paired.changed}
    counted = f"{len(changed)} of {summary.paired[0].paired.n_clips} test clips {'is' if len(changed) == 1 else 'are'}"
    assert f"{counted} correct under only one of the two preprocessings" in page.text


def test_test_clips_of_one_subject_are_not_compared_and_it_is_said(finished, tmp_path):
    result = finished[0].result

    def alone(cell):
        folds = tuple(dataclasses.replace(f, views=f.views.assign(subject="own/s0")) for f in cell.result.folds)
        return dataclasses.replace(cell, result=dataclasses.replace(cell.result, folds=folds))

    rows = preprocessing_pairs(dataclasses.replace(result, cells=tuple(map(alone, result.cells))), "macro_f1")
    assert len(rows) == 4
    assert all("all clips are of one subject" in row.problem and row.paired is None for row in rows)
    text = read(write_report(finished[0].summary.model_copy(update={"paired": rows}), tmp_path)).text
    assert "No pair of preprocessings could be compared: all clips are of one subject" in text
    assert not (tmp_path / "figures" / "differences.svg").exists()


@pytest.mark.numeric
def test_the_report_says_what_a_reviewer_would_object_to(summary, both):
    found = {finding.code: finding for finding in summary.checks}
    assert {"ME001", "ME003", "ME010"} <= set(found)  # the paper's split shares subjects, and its best cell is picked
    assert found["ME001"].evidence
    assert "Methodological checks" in both.text


@pytest.mark.numeric
def test_a_cell_run_alone_gets_the_numbers_of_the_study(finished, database, tmp_path):
    """On one processor with as many threads nothing but seeds decides."""
    cell = small_study().cells()[0]
    from microexpr import run_experiment

    alone = run_experiment(cell, database, tmp_path, workers=1).summary.cells[0]
    own = {"seconds": 0, "factors": {}}
    assert alone.model_copy(update=own) == finished[0].summary.cells[0].model_copy(update=own)


def test_a_wider_grid_trains_only_what_is_new(finished, database, tmp_path, monkeypatch):
    out = Path(shutil.copytree(finished[1], tmp_path / "out"))
    real, trained = experiments.run_fold, []
    monkeypatch.setattr(
        experiments, "run_fold", lambda p, f, *rest: trained.append(p.experiment.sampling.name) or real(p, f, *rest)
    )
    grid = {"preprocessing": SIZES[:1], "sampling": ["af", "mfs"], "model": ["pca_svm"]}
    run_study(small_study(grid=grid, named_cell=None, latency=False), database, out)
    assert trained == ["mfs"]


# --- the summary ------------------------------------------------------------------------------------------------------
@pytest.mark.numeric
def test_every_cell_of_the_grid_is_there_in_order(summary):
    cells = [(cell.preprocessing, cell.sampling, cell.model) for cell in summary.cells]
    sizes = ("m1(size=32)", "m1(size=40)")
    assert cells == [(p, s, m) for p in sizes for s in ("af", "kfs") for m in ("small_cnn", "pca_svm")]


@pytest.mark.numeric
def test_cells_have_what_the_report_and_others_read(summary):
    parts = summary.data.parts
    for cell in summary.cells:
        assert cell.n_test == sum(parts["test"].values()) == 4
        assert 0 <= cell.ci_low <= cell.macro_f1 == cell.score <= cell.ci_high <= 1
        assert all(0 <= cell.scores[name] <= 1 for name in ("uf1", "uar", "accuracy"))
        assert np.sum(cell.confusion) == 4
        assert cell.train_views == sum(parts["train"].values()) * (3 if cell.sampling == "kfs" else 1)


def test_baselines(summary):
    assert set(summary.baselines) == {"majority", "guessing"}
    for row in summary.baselines.values():
        assert 0 <= row.ci_low <= row.macro_f1 == row.score <= row.ci_high <= 1
        assert all(0 <= row.scores[name] <= 1 for name in ("uf1", "uar", "accuracy"))
        assert row.n_test == 4


@pytest.mark.numeric
def test_the_named_cell_is_judged_on_new_people(summary):
    named = summary.named_cell
    assert (named.protocol.name, named.n_test, named.n_subjects) == ("loso", 36, 6)
    assert 0 <= named.ci_low <= named.macro_f1 == named.score <= named.ci_high <= 1
    assert named.interval_unit == "subject"
    assert 0.2 < named.permutation_level < 0.7
    assert named.shuffled < named.score
    assert named.permutations == 199


@pytest.mark.numeric
def test_environment_and_provenance(summary):
    assert {"python", "torch", "timm", "processor", *KERNELS, "accelerator", "threads"} <= set(summary.environment)
    assert len(summary.data.fingerprint) == 64
    assert summary.seeds == [0]
    codes = [caveat.code for caveat in summary.caveats]
    assert {"reduced", "shared_subjects", "best_of_cells"} <= set(codes)
    assert codes[0] == "reduced"


def test_the_summary_is_plain_json(finished):
    def finite(value: object) -> bool:
        if isinstance(value, dict):
            return all(map(finite, value.values()))
        if isinstance(value, list):
            return all(map(finite, value))
        return not isinstance(value, float) or math.isfinite(value)

    text = (finished[1] / "summary.json").read_text("utf-8")
    assert finite(json.loads(text))
    assert finished[0].summary.model_dump(mode="json") == json.loads(text)
    assert str(finished[1]) not in text


@pytest.mark.numeric
def test_best_on_validation_records_both_scores_and_the_choice(summary, finished):
    for cell in summary.cells:
        if cell.model == "small_cnn":
            scores = cell.loss_scores
            assert set(scores) == {"cross_entropy", "focal"}
            assert scores[cell.loss] == max(scores.values()) == cell.val_score
            curves = [
                curve
                for curve in summary.curves
                if all(getattr(curve, key) == getattr(cell, key) for key in ("preprocessing", "sampling", "model"))
            ]
            assert {curve.loss: curve.chosen for curve in curves} == {loss: loss == cell.loss for loss in scores}
        else:
            assert (cell.loss, cell.loss_scores) == ("", {})
    key = summary.cells[0].key
    history = pd.read_parquet(next((finished[1] / "results" / key).glob("*.history.parquet")))
    assert set(history["loss"]) == {"cross_entropy", "focal"}
    assert history["chosen"].sum() == 1


def test_latency_of_each_network_at_each_size(summary):
    rows = [(row.model, row.height, row.width, row.channels) for row in summary.latency]
    assert rows == [("small_cnn", 32, 32, 3), ("small_cnn", 40, 40, 3)]
    assert all(row.ms > 0 and math.isclose(row.fps, 1000 / row.ms) for row in summary.latency)


def test_the_table_of_models_names_the_weights_of_every_size(database, tmp_path, monkeypatch):
    """Published weights may differ with the size of the views; a network that has none stands in."""
    monkeypatch.setattr(SmallCnn, "check", lambda self, view: {"weights": f"trained_at_{view.shape[1]}"})
    run_study(
        small_study(grid={"preprocessing": SIZES, "training.epochs": [1]}, named_cell=None, baselines=[]),
        database, tmp_path, workers=1,
    )  # fmt: skip
    table = pd.read_csv(tmp_path / "tables" / "models.csv")
    assert list(table["weights"]) == ["trained_at_32", "trained_at_40"]
    assert ["32" in shown for shown in table["input"]] == [True, False]


def test_models_of_the_same_display_name_are_told_apart_by_their_names(database, tmp_path, monkeypatch):
    """Two packages may give their networks the same name."""
    monkeypatch.setattr(SmallCnn, "label", PcaSvm.label)
    done = run_study(
        small_study(grid={"model": ["small_cnn", "pca_svm"], "training.epochs": [1]}, named_cell=None, baselines=[]),
        database, tmp_path, workers=1,
    )  # fmt: skip
    assert {name: model.label for name, model in done.summary.models.items()} == {
        "small_cnn": f"{PcaSvm.label} (small_cnn)",
        "pca_svm": f"{PcaSvm.label} (pca_svm)",
    }


def test_an_ensemble_is_timed_and_counted_as_what_it_is(database, tmp_path):
    grid = {"training.ensemble": [1, 3], "preprocessing": SIZES, "training.epochs": [1]}
    done = run_study(
        small_study(grid=grid, named_cell=None, baselines=[]).model_copy(
            update={"experiment": small_study().experiment.with_values({"loss": "cross_entropy", "model": "ststnet",
                    "sampling": "onset_apex", "representation": "flow", "training.patience": 0})}
        ),
        database, tmp_path, workers=1,
    )  # fmt: skip
    builds = done.summary.models["ststnet"].builds
    assert [each.ensemble for each in builds] == [1, 3]
    assert all([shape[1] for shape in each.inputs] == [32, 40] for each in builds)
    assert builds[1].parameters == 3 * builds[0].parameters
    timed = {(row.ensemble, row.height): row for row in done.summary.latency}
    assert {key: row.parameters for key, row in timed.items()} == {
        (each.ensemble, side): each.parameters for each in builds for side in (32, 40)
    }
    table = pd.read_csv(tmp_path / "tables" / "models.csv")
    assert list(table["networks"]) == [1, 3]
    assert list(table["parameters"]) == [each.parameters for each in builds]
    assert any("3 networks" in name for name in pd.read_csv(tmp_path / "tables" / "latency.csv")["model"])


# --- the grid ---------------------------------------------------------------------------------------------------------
def test_axes_multiply_and_names_tell_them_apart():
    cells = small_study().cells()
    assert len({cell.key() for cell in cells}) == len(cells) == 8
    assert small_study(grid={}).cells()[0].key() == small_study().experiment.key()


def test_a_grid_may_vary_single_factors():
    grid = {"preprocessing": ["m2"], "preprocessing.box": ["frame", "onset"], "training.batch": [4, 8]}
    cells = small_study(grid=grid).cells()
    assert [(cell.preprocessing.params["box"], cell.training.batch) for cell in cells] == [
        *(("frame", 4), ("frame", 8)),
        *(("onset", 4), ("onset", 8)),
    ]
    first = small_study(grid=grid).baseline_cells()[0]
    assert (first.model.name, first.preprocessing.params) == ("majority", {"box": "frame"})


def test_everything_is_checked_before_anything_runs(database, tmp_path):
    wrong = small_study(grid={"sampling": ["af", "image"]})
    with refuses("E450", "sampling image"):
        run_study(wrong, database, tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))
    with refuses("E103", "model 'majorty'", "'majority'", kind=ConfigError):
        study.planned(small_study(baselines=["majorty"]), Workspace(Options({"manifest": database})))


# --- the paper's ------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def casme2(tmp_path_factory):
    """All 255 clips as the synthetic database plans them, with small pictures; drawing is another test's work."""
    root = tmp_path_factory.mktemp("full")
    clips = plan(SyntheticSpec())
    (root / "CASME2-coding-20140508.xlsx").write_bytes(table(clips))
    (root / "picture").write_bytes(jpeg())
    for clip in clips:
        folder = root / "CASME2_RAW_selected" / clip.folder
        folder.mkdir(parents=True)
        for number in clip.numbers:
            os.link(root / "picture", folder / f"img{number}.jpg")
    return root


@pytest.fixture
def rows(casme2, monkeypatch, tmp_path):
    monkeypatch.setenv("MICROEXPR_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(DlibHog, "__call__", lambda self, frame: np.array([[4.0, 2, 20, 14]]))
    answer = microexpr("study", STUDIES / "paper.toml", "--data", casme2, "--dry-run", "--json")
    assert (answer.code, answer.err) == (0, "")
    return json.loads(answer.out)["cells"]


def frames_of_mfs(clip) -> int:
    """Count what PAPER.md defines: 4 frames from the onset, 5 around the apex, 4 to the offset, in the clip, once."""
    apex = (clip.onset + clip.offset) // 2 if clip.apex is None else clip.apex
    last = clip.last  # one clip's folder ends before its offset
    shown = {*range(clip.onset, clip.onset + 4), *range(apex - 2, apex + 3), *range(last - 3, last + 1)}
    return sum(clip.onset <= number <= last for number in shown)


def test_the_papers_study_is_counted_without_training(rows):
    cells = [row for row in rows if row["part"] == "cells"]
    models = ("vit_b32", "swin_b", "poolformer_m36", "poolformer_m48")
    assert [(row["preprocessing"], row["sampling"], row["model"]) for row in cells] == [
        (preprocessing, sampling, model)
        for preprocessing in ("m1", "m2")
        for sampling in ("af", "kfs", "mfs")
        for model in models
    ]
    trained = {(row["sampling"], row["train"]) for row in cells}
    assert {("af", 201), ("kfs", 603)} < trained
    assert {(row["val"], row["test"]) for row in cells if row["sampling"] == "af"} == {(26, 28)}
    assert {row["size"] for row in cells if row["preprocessing"] == "m1"} == {"384x384x3"}
    assert {row["size"] for row in cells if row["preprocessing"] == "m2"} == {"224x224x1"}
    assert {row["weights"] for row in cells} == {"not available"}
    assert len({row["key"] for row in cells}) == 24


def test_departures_from_the_papers_text_are_among_the_choices(casme2):
    papers, workspace, cells = load(Study, STUDIES / "paper.toml"), Workspace(Options({"casme2": casme2})), []
    for experiment in papers.cells():
        if experiment.name.startswith("m1-af"):
            planned = workspace.plan(experiment, weights=False)
            planned = dataclasses.replace(planned, weights={"weights": planned.model.architecture.tag(planned.spec)})
            cells.append(study.Cell(planned, experiments.Result(experiment, "", planned.data.labels, ())))
    found = options(study.StudyResult(papers, tuple(cells), (), None, (), {}, ()), load_published("paper"))
    stated = {row.choice: row for row in found}
    assert stated["weighted cross-entropy normalised by"].value == "weights"
    assert stated["weighted cross-entropy normalised by"].default is False
    assert stated["precision"].value in ("float32", "bf16")
    assert stated["precision"].default is True
    weights = stated["initial weights"]
    twice = "pre-trained on ImageNet-21k, fine-tuned on ImageNet-1k"
    assert weights.default is True
    assert f"imagenet (ViT-B/32: {twice})" in weights.value
    assert f"imagenet (Swin-B: {twice})" in weights.value
    assert weights.value.endswith("imagenet (PoolFormer-m48: trained on ImageNet-1k)")


def test_the_frames_of_mfs_are_counted_clip_by_clip(rows, casme2):
    mfs = next(row for row in rows if row["sampling"] == "mfs")
    counts = {f"{clip.subject}/{clip.filename}": frames_of_mfs(clip) for clip in plan(SyntheticSpec())}
    assert mfs["views"] == mfs["train"] + mfs["val"] + mfs["test"] == sum(counts.values())
    grid = load(Study, STUDIES / "paper.toml")
    cell = next(cell for cell in grid.cells() if cell.sampling.name == "mfs")
    planned = Workspace(Options({"casme2": casme2})).plan(cell, weights=False)
    (fold,) = planned.folds
    trained = [planned.data.clips[row] for row in fold.train]
    assert mfs["train"] == sum(counts[f"{clip.subject_id}/{clip.video}"] for clip in trained)
    assert 201 * 11 < mfs["train"] < 201 * 13


def test_a_cell_that_cannot_be_trained_leaves_the_others(database, tmp_path, monkeypatch, experiment):
    real = experiments.run_fold

    def failing(plan, fold, *rest):
        if plan.experiment.sampling.name == "kfs":
            raise TrainingError("E701", "the loss is not finite")
        return real(plan, fold, *rest)

    monkeypatch.setattr(experiments, "run_fold", failing)
    study = Study(
        name="s",
        title="t",
        experiment=experiment.with_values({"model": "majority"}),
        grid={"sampling": ["af", "kfs"]},
        latency=False,
    )
    finished = run_study(study, {"manifest": database}, tmp_path)
    assert [cell.sampling for cell in finished.summary.cells] == ["af"]
    assert finished.result.failed == (("kfs", "the loss is not finite"),)
    assert "kfs could not be trained" in (tmp_path / "report.html").read_text("utf-8")
    monkeypatch.setattr(experiments, "run_fold", real)
    again = run_study(study, {"manifest": database}, tmp_path)
    assert again.result.failed == finished.result.failed
    again = run_study(study, {"manifest": database}, tmp_path, retry_failed=True)
    assert [cell.sampling for cell in again.summary.cells] == ["af", "kfs"]


def test_a_model_is_not_fitted_into_a_folder_that_another_process_uses(database, tmp_path, experiment):
    with held(tmp_path), refuses("E610", tmp_path, kind=StoreError):
        fit(experiment.with_values({"model": "majority"}), {"manifest": database}, tmp_path)
