"""Reports of stored predictions: intervals, requested scores, several seeds, single cells."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tomli_w

from conftest import recipe, write_database
from microexpr import check_results, run_experiment, run_study
from microexpr.config.experiment import Experiment
from microexpr.config.loading import SHIPPED as STUDIES
from microexpr.config.loading import parse
from microexpr.config.settings import Bootstrap
from microexpr.config.study import Study, load
from microexpr.core.confusion import present
from microexpr.core.errors import ConfigError, UnknownComponentError
from microexpr.core.interfaces import metrics
from microexpr.evaluation.predictions import by_class, by_database, by_subject, mean_of_folds, score_named
from microexpr.evaluation.statistics.bootstrap import bootstrap
from microexpr.evaluation.statistics.influence import influence
from microexpr.evaluation.statistics.seeds import split_seeds
from microexpr.report import write_report
from microexpr.report.page import ReportPaths
from microexpr.report.summary import Repeats
from microexpr.report.summary import cells as summary_cells
from microexpr.report.summary.caveats import _spread
from microexpr.report.summary.cells import interval
from microexpr.runs import experiment as experiments
from pages import few_cells, make_summary, read, study
from shell import microexpr

FAST = {"model": "pca_svm", "loss": "cross_entropy"}


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """The small database as three of two subjects each, written as three names in one manifest."""
    root = write_database(tmp_path_factory.mktemp("joined"))
    with (root / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["dataset"] = ("first", "second", "third")[int(row["subject"][1]) // 2]
    with (root / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


@pytest.fixture(scope="module")
def one(joined, tmp_path_factory):
    """One experiment that asks for a mean of folds."""
    out = tmp_path_factory.mktemp("one")
    asked = {**FAST, "scores": ["weighted_f1", "mean_of_folds(uf1)", "uf1"], "shuffled": 1}
    return run_experiment(recipe().with_values(asked), joined, out, workers=1), out


@pytest.fixture(scope="module")
def seeded(database, tmp_path_factory):
    """One experiment with three seeds, by the command."""
    folder = tmp_path_factory.mktemp("seeded")
    quick = recipe().with_values({"training.epochs": 3, "protocol": {"name": "subject_kfold", "k": 2}})
    (folder / "e.toml").write_text(quick.to_toml(), "utf-8")
    words = ("run", folder / "e.toml", "--data", database, "--out", folder / "out", "--seeds", "0, 2,1,2", "-q")
    return microexpr(*words), folder / "out", json.loads((folder / "out" / "summary.json").read_text("utf-8"))


def table_of(out: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of one of the report's tables."""
    with (out / "tables" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def page(out: Path) -> str:
    """Return the text of both pages."""
    return read(ReportPaths(out / "report.html", (), (), out / "details.html")).text


# --- intervals --------------------------------------------------------------------------------------------------------
def test_the_default_interval_is_the_one_that_covers_best():
    settings = Experiment().bootstrap
    assert (settings.unit, settings.method, settings.stratified) == ("subject", "expanded", False)
    papers = load(Study, STUDIES / "paper.toml").experiment.bootstrap
    assert (papers.n, papers.unit, papers.method) == (1000, "clip", "percentile")


def test_intervals_and_scores_make_no_other_experiment():
    key = recipe().key()
    changes = {"bootstrap": {"unit": "clip", "method": "bca", "stratified": True}, "scores": ["mean_of_folds(uar)"]}
    assert recipe().with_values(changes).key() == key


def test_strata_of_subjects_are_refused_where_they_are_written(tmp_path):
    (tmp_path / "e.toml").write_text("[bootstrap]\nstratified = true\n", "utf-8")
    answer = microexpr("run", tmp_path / "e.toml", "--data", tmp_path, "--out", tmp_path / "out")
    assert answer.code == 1
    assert all(word in answer.err for word in ("bootstrap: ", "stratified", 'unit = "clip"')), answer.err
    assert not (tmp_path / "out").exists()


def predictions(n: int = 60, subjects: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    y_true = rng.integers(3, size=n)
    y_pred = np.where(rng.random(n) < 0.6, y_true, rng.integers(3, size=n))
    who = [f"p{number % subjects:02}" for number in range(n)]
    return pd.DataFrame({"clip": [f"c{k}" for k in range(n)], "subject": who, "y_true": y_true, "y_pred": y_pred})


@pytest.mark.parametrize("method", ["percentile", "bca", "expanded"])
@pytest.mark.parametrize(("unit", "stratified"), [("clip", False), ("clip", True), ("subject", False)])
def test_every_setting_reaches_the_interval(method, unit, stratified):
    from microexpr.core.randomness import rng_for

    table, settings = predictions(), Bootstrap(n=300, unit=unit, method=method, stratified=stratified, level=0.9)
    y_true, y_pred = (table[name].to_numpy(int) for name in ("y_true", "y_pred"))
    expected = bootstrap(
        metrics.build("macro_f1", {}),
        y_true,
        y_pred,
        num_classes=3,
        averaged_classes=present(y_true, 3),
        rng=rng_for(7, "bootstrap"),
        n=300,
        subjects=table["subject"].to_numpy() if unit == "subject" else None,
        level=0.9,
        method=method,
        stratified=stratified,
    )
    assert interval(table, 3, settings, 7, "macro_f1") == expected


def test_a_bca_interval_that_cannot_be_is_expanded(monkeypatch):
    real, table = summary_cells.bootstrap, predictions()

    def refusing(*given, **settings):
        if settings["method"] == "bca":
            raise ConfigError("E104", "a BCa interval cannot be given: all resamples lie on one side of the score.")
        return real(*given, **settings)

    monkeypatch.setattr(summary_cells, "bootstrap", refusing)
    found = interval(table, 3, Bootstrap(method="bca"), 0, "macro_f1")
    assert found == interval(table, 3, Bootstrap(method="expanded"), 0, "macro_f1")
    assert summary_cells.stated(Bootstrap(method="bca"), {found.method}).instead == "expanded percentile bootstrap"
    assert summary_cells.stated(Bootstrap(method="bca"), {"bca"}).instead is None


@pytest.mark.usefixtures("undrawn")
def test_the_report_states_the_method_and_what_stands_in_for_it(tmp_path):
    summary = few_cells()
    summary["intervals"] = {"method": "stratified BCa bootstrap", "unit": "clip", "n": 500, "level": 0.9}
    assert "90 % intervals: stratified BCa bootstrap by clip, 500" in read(write_report(study(summary), tmp_path)).text
    summary["intervals"]["instead"] = "expanded percentile bootstrap"
    assert "; where undefined, expanded percentile" in read(write_report(study(summary), tmp_path)).text


def test_one_tested_subject_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    database = write_database(tmp_path / "data", subjects=1, clips=12)
    monkeypatch.setattr(experiments, "run_fold", lambda *_: pytest.fail("it trained"))
    split = recipe().with_values({**FAST, "protocol": {"name": "clip_kfold", "k": 2}})
    with pytest.raises(ConfigError, match=r'12 test clips.* own/s0.*bootstrap.unit = "clip"'):
        run_experiment(split, database, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    done = run_experiment(split.with_values({"bootstrap.unit": "clip"}), database, tmp_path / "out", workers=1)
    assert done.summary.cells[0].n_test == 12
    (detail,) = done.summary.detail
    assert detail.problem in page(tmp_path / "out")  # influence is undefined, and the page says why


@pytest.mark.usefixtures("undrawn")
def test_small_classes_are_told_beside_intervals(tmp_path):
    text = read(write_report(study(few_cells()), tmp_path)).text
    assert "fewer than 8 test clips in a class (others 5, disgust 4, happiness 2, repression 2, surprise 1," in text
    latex = (tmp_path / "tables" / "main_results.tex").read_text("utf-8")
    assert "fewer than 8 test clips" in latex
    summary = few_cells()
    for cell in summary["cells"]:
        cell["confusion"] = (np.eye(7, dtype=int) * 8).tolist()
    assert "test clips in a class" not in read(write_report(study(summary), tmp_path)).text


# --- single cells -----------------------------------------------------------------------------------------------------
def test_classes_databases_and_subjects_are_those_of_the_predictions(one):
    done = one[0]
    (detail,) = done.summary.detail
    table = done.result.cells[0].result.predictions()
    classes = done.summary.data.classes

    def same(rows: list[dict], expected: pd.DataFrame) -> None:
        given = pd.DataFrame(rows)[list(expected)]
        pd.testing.assert_frame_equal(given, expected.reset_index(drop=True), check_dtype=False)

    same([row.model_dump() for row in detail.classes], by_class(table, classes).rename(columns={"class": "name"}))
    databases = [row.model_dump() | row.scores for row in detail.databases]
    same(databases, by_database(table, ("macro_f1", "uf1", "uar", "accuracy")))
    same([row.model_dump() for row in detail.subjects], by_subject(table))
    assert [row.database for row in detail.databases] == ["first", "second", "third"]
    y_true = table["y_true"].to_numpy(int)
    left = influence(
        metrics.build("macro_f1", {}),
        y_true,
        table["y_pred"].to_numpy(int),
        table["subject"].to_numpy(),
        num_classes=3,
        averaged_classes=present(y_true, 3),
    )
    assert {row.subject: row.without for row in detail.subjects} == {each.subject: each.score for each in left}
    assert (detail.role, detail.problem) == ("", None)


def test_the_report_shows_single_cells(one):
    out = one[1]
    assert {"by_class.csv", "by_database.csv", "by_subject.tex"} <= {file.name for file in (out / "tables").iterdir()}
    assert {"subjects.svg", "influence.svg"} <= {file.name for file in (out / "figures").iterdir()}
    rows = table_of(out, "by_subject")
    assert [row["subject"] for row in rows] == [
        f"{name}/s{k}" for k, name in enumerate(["first"] * 2 + ["second"] * 2 + ["third"] * 2)
    ]
    text = page(out)
    assert "Accuracy by subject." in text
    assert "without any one subject, macro-F1 (mean F1 of the classes) is between" in text


def test_every_metric_of_every_cell_is_there(one):
    done, out = one
    scores = done.result.cells[0].result.scores()
    assert done.summary.cells[0].scores == scores
    (row,) = table_of(out, "all_scores")
    assert {name: float(value) for name, value in row.items()} == pytest.approx(scores)
    assert "Expected calibration error" in page(out)


@pytest.mark.usefixtures("undrawn")
def test_of_a_study_the_best_and_the_named_cell_are_told(database, tmp_path):
    quick = recipe().with_values({**FAST, "protocol": "paper_holdout"})
    named = {"set": {"protocol": "loso", "sampling": "af"}, "permutations": 99, "shuffled_runs": 0}
    study = Study(
        name="s", title="t", experiment=quick, grid={"sampling": ["af", "kfs"]}, named_cell=named, latency=False,
    )  # fmt: skip
    done = run_study(study, database, tmp_path, workers=1)
    best, other = done.summary.detail
    assert (best.role, other.role) == ("best", "named")
    assert best.score == max(cell.macro_f1 for cell in done.summary.cells)
    assert sum(row.clips for row in other.subjects) == 36
    text = page(tmp_path)
    assert "Results by class (best on test and prespecified)" in text
    assert "prespecified: M1 · AF · PCA + SVM under LOSO" in text


# --- requested scores -------------------------------------------------------------------------------------------------
def test_a_mean_of_folds_is_given_by_its_name_alone_and_with_a_caveat(one):
    done, out = one
    table = done.result.cells[0].result.predictions()
    requested = done.summary.cells[0].requested_scores
    assert requested == {name: score_named(name, table) for name in ("weighted_f1", "mean_of_folds(uf1)", "uf1")}
    (caveat,) = [each for each in done.summary.caveats if each.code == "mean_of_folds"]
    assert caveat.level == "warning"
    assert mean_of_folds("uf1", table).caveat in caveat.text
    text = page(out)
    assert text.index(caveat.line) < text.index("Mean of folds: UF1")
    assert caveat.text in text
    assert "mean_of_folds" not in json.dumps(done.summary.cells[0].scores)


def test_a_mean_of_folds_is_objected_to_from_what_is_stored(one, joined, tmp_path, monkeypatch):
    done, out = one[0], Path(shutil.copytree(one[1], tmp_path / "out"))
    (said,) = [finding for finding in check_results(out) if finding.code == "ME009"]
    found = mean_of_folds("uf1", done.result.cells[0].result.predictions())
    assert f"mean_of_folds(uf1) {found.score:.3f}, pooled" in said.evidence
    assert (f"{found.incomplete} of 6 folds lack" in said.evidence) == bool(found.incomplete)
    assert "ME009" in {finding.code for finding in done.summary.checks}
    (out / "summary.json").unlink()  # results alone
    assert "ME009" in {finding.code for finding in check_results(out)}
    monkeypatch.setattr(experiments, "run_fold", lambda *_: pytest.fail("it trained"))
    again = run_experiment(recipe().with_values({**FAST, "shuffled": 1}), joined, out, workers=1)
    assert again.summary.cells[0].requested_scores == {}
    assert "ME009" not in {finding.code for finding in check_results(out)}  # the report shows it no more


def test_a_score_that_there_is_not_is_named():
    for wrong, name in (("uff1", "uff1"), ("mean_of_folds(uff1)", "uff1"), ("mean_of_folds", "mean_of_folds")):
        with pytest.raises(UnknownComponentError, match=f"unknown metric {name!r}"):
            recipe().with_values({"scores": [wrong]}).check()
    with pytest.raises(ConfigError, match="scores"):
        parse(Experiment, {"scores": "uf1"}, "e.toml")


# --- seeds ------------------------------------------------------------------------------------------------------------
def test_seeds_are_cells_and_their_variance_is_split(seeded):
    answer, out, summary = seeded
    assert (answer.code, answer.err) == (0, "")
    assert [cell["factors"] for cell in summary["cells"]] == [{"seed": "0"}, {"seed": "2"}, {"seed": "1"}]
    (row,) = summary["over_seeds"]
    assert row["scores"] == [cell["macro_f1"] for cell in summary["cells"]]
    stored = [
        pd.concat(pd.read_parquet(f) for f in (out / "results" / c["key"]).glob("*.views.parquet"))
        for c in summary["cells"]
    ]
    tested = [views[views["part"] == "test"].sort_values("clip") for views in stored]
    guesses = np.stack([views.filter(regex="^p_").to_numpy().argmax(1) for views in tested])
    y_true = tested[0]["y_true"].to_numpy(int)
    found = split_seeds(
        metrics.build("macro_f1", {}),
        y_true,
        guesses,
        tested[0]["subject"].to_numpy(str),
        num_classes=3,
        averaged_classes=present(y_true, 3),
    )
    for name in ("mean", "low", "high", "seed_sd", "seed_share", "unit_share", "joint_share"):
        assert row[name] == pytest.approx(getattr(found, name)), name
    shares = [f"{100 * share:.0f} %" for share in (found.seed_share, found.unit_share, found.joint_share)]
    printed = " ".join(answer.out.split())
    assert f"{shares[0]} is due to the seed, {shares[1]} to the subjects tested and {shares[2]}" in printed


def test_seeds_of_one_experiment_are_not_chosen_among(seeded):
    _, out, summary = seeded
    codes = {caveat["code"] for caveat in summary["caveats"]}
    assert not codes & {"one_seed", "best_of_cells"}
    assert not {finding.code for finding in check_results(out)} & {"ME003", "ME006"}
    assert summary["factors"] is None
    assert summary["seeds"] == [0, 2, 1]
    text = page(out)
    assert "Macro-F1, mean of 3 seeds" in text
    assert "Over 3 seeds (0, 2, 1), the mean is" in text
    assert "selected on the test set" not in text
    assert (out / "figures" / "seeds.svg").is_file()
    (row,) = table_of(out, "seeds")
    assert float(row["seed_2"]) == summary["cells"][1]["macro_f1"]
    assert sum(float(row[f"{part}_share"]) for part in ("seed", "joint", "unit")) == pytest.approx(1)


@pytest.mark.usefixtures("undrawn")
def test_seeds_of_several_cells_stand_side_by_side(database, tmp_path):
    quick = recipe().with_values({**FAST, "protocol": {"name": "subject_kfold", "k": 2}})
    study = Study(name="s", title="t", experiment=quick, grid={"sampling": ["af", "kfs"]}, latency=False)
    done = run_study(study, database, tmp_path, workers=1, seeds=[3, 4])
    assert [row.sampling for row in done.summary.over_seeds] == ["af", "kfs"]
    assert all(row.seeds == ["3", "4"] for row in done.summary.over_seeds)
    (caveat,) = [each.line for each in done.summary.caveats if each.code == "best_of_cells"]
    assert "best of 2 settings with 2 seeds" in caveat
    assert {effect.name for effect in done.summary.factors.effects} == {"sampling"}
    assert "The highest mean over 2 seeds (3, 4) is" in page(tmp_path)
    assert [row["sampling"] for row in table_of(tmp_path, "seeds")] == ["AF", "KFS"]


@pytest.mark.usefixtures("undrawn")
def test_seeds_that_test_other_clips_are_not_split(database, tmp_path):
    quick = recipe().with_values({**FAST, "protocol": "paper_holdout"})
    done = run_experiment(quick, database, tmp_path, workers=1, seeds=[0, 1])
    (row,) = done.summary.over_seeds
    assert "Each seed was tested on other clips" in row.problem
    assert row.mean == pytest.approx(np.mean(row.scores))
    assert row.low is None
    assert "Each seed was tested on other clips" in page(tmp_path)


def test_a_dry_run_lists_the_seeds(database, tmp_path):
    study = Study(name="s", title="t", experiment=recipe().with_values(FAST), grid={"sampling": ["af", "kfs"]})
    (tmp_path / "s.toml").write_text(tomli_w.dumps(study.model_dump(mode="json", exclude_none=True)), "utf-8")
    words = ("study", tmp_path / "s.toml", "--data", database, "--dry-run", "--json", "--seeds", "7,8")
    rows = json.loads(microexpr(*words).out)["cells"]
    assert [row["further"] for row in rows] == [{"seed": "7"}, {"seed": "8"}] * 2
    assert len({row["key"] for row in rows}) == 4
    assert {cell.seed for cell in study.seeded([7, 8]).cells()} == {7, 8}


@pytest.mark.parametrize("text", ["", "0,-1", "0,x", "1.5"])
def test_seeds_that_cannot_be(database, tmp_path, text):
    (tmp_path / "e.toml").write_text(recipe().to_toml(), "utf-8")
    answer = microexpr("run", tmp_path / "e.toml", "--data", database, "--out", tmp_path / "out", "--seeds", text)
    assert answer.code == 2
    assert answer.err.startswith("microexpr: E192: --seeds: ")


# --- repeated splits --------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("undrawn")
def test_repeated_splits_of_many_cells_are_summarised_as_a_range(tmp_path):
    where = {"sampling": "af", "model": "m", "factors": {}}
    rows = [
        {"preprocessing": f"p{k}", **where, "repeats": 3, "mean": 0.5, "sd": 0.01}
        | {"min": 0.5 - k / 100, "max": 0.5 + k / 100}
        for k in range(1, 6)
    ]  # fmt: skip
    typed = [Repeats.model_validate(row) for row in rows]
    result = SimpleNamespace(cells=[SimpleNamespace(experiment=recipe())])
    assert "p1 · af · m 0.500 (0.490 to 0.510), p2" in _spread(result, typed[:2])
    many = _spread(result, typed)
    assert "varies by 0.020 to 0.100" in many
    assert "p1" not in many
    text = read(write_report(study({**make_summary(), "repeats": rows}), tmp_path)).text
    assert "Repeated splits into folds" in text
    assert len(table_of(tmp_path, "repeats")) == 5
