"""What a network learns beside the class: action units, their loss, what is stored and what the report says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import write_database
from microexpr import api
from microexpr.config.study import Study
from microexpr.core.clip import ActionUnit, Clip
from microexpr.core.errors import ConfigError, IncompatibleError
from microexpr.core.facs import parse_action_units
from microexpr.core.interfaces import targets
from microexpr.core.multitask import TargetValues, by_unit, target_loss
from microexpr.learning.pipeline import Pipeline
from microexpr.runs import fit as fitting
from microexpr.runs.jobs import run
from microexpr.runs.plan import Options, Workspace
from refusal import refuses

pytestmark = pytest.mark.usefixtures("no_figures")

UNITS = {"happiness": "6+12", "surprise": "1+2", "disgust": "4+L9"}


def clip(*units: int) -> Clip:
    coded = tuple(ActionUnit(unit) for unit in units)
    return Clip(dataset="d", subject_id="s", namespace="d", video="v", action_units=coded)


@pytest.fixture(scope="module")
def coded(tmp_path_factory) -> Path:
    """The small database with action units that follow the emotion; six clips are not coded."""
    root = write_database(tmp_path_factory.mktemp("coded"))
    table = pd.read_csv(root / "manifest.csv", dtype=str)
    table["action_units"] = table["emotion"].map(UNITS)
    table.loc[table["clip"] == "c0", "action_units"] = ""
    table.to_csv(root / "manifest.csv", index=False)
    return root


def multitask(experiment, **values):
    return experiment.with_values({"target": [{"name": "action_units", "units": [1, 4, 6, 12, 24]}], **values})


# --- the target -------------------------------------------------------------------------------------------------------
def test_units_are_read_from_clips_and_a_clip_without_any_is_unknown():
    found = targets.build("action_units", {"units": (4, 12)})
    values, names = found([clip(4, 7), clip(12), clip(7), clip()])
    assert names == ("AU4", "AU12")
    np.testing.assert_array_equal(values, [[1, 0], [0, 1], [0, 0], [np.nan, np.nan]])


def test_an_action_descriptor_is_never_learnt_as_the_unit_of_its_number():
    found = targets.build("action_units", {"units": (4, 38)})
    cells = ("4+AD38", "AD38", "4+38", "?")
    values, _ = found([replace(clip(), action_units=parse_action_units(cell)) for cell in cells])
    np.testing.assert_array_equal(values, [[1, 0], [0, 0], [1, 1], [np.nan, np.nan]])


def test_a_unit_listed_twice_is_refused():
    with refuses("E112", "units = (4, 4)", "listed twice"):
        targets.build("action_units", {"units": (4, 4)})


def test_with_and_without_a_unit_weigh_alike_and_what_all_have_weighs_nothing():
    values = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [np.nan, np.nan]])
    balance = TargetValues(values, ("AU1", "AU2"), 1.0).balance(np.arange(5))
    torch.testing.assert_close(balance, torch.tensor([[2.0, 0.0], [2 / 3, 0.0]]))
    assert balance[0, 0] * 1 == pytest.approx(float(balance[1, 0] * 3))


def test_the_loss_is_that_of_known_clips_alone():
    logits = torch.tensor([[0.3], [-1.0], [5.0]])
    truth = torch.tensor([[1.0], [0.0], [torch.nan]])
    balance = torch.tensor([[2.0], [0.5]])
    expected = (2 * np.log1p(np.exp(-0.3)) + 0.5 * np.log1p(np.exp(-1.0))) / 2
    assert float(target_loss(logits, truth, balance)) == pytest.approx(expected, rel=1e-6)
    nothing = target_loss(logits.requires_grad_(), torch.full((3, 1), torch.nan), balance)
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert not logits.grad.any()


def test_units_are_scored_by_clip_and_unknown_clips_do_not_count():
    views = pd.DataFrame(
        {
            "clip": ["a", "a", "b", "c", "d"],
            "coded:action_units:AU4": [1.0, 1.0, 0.0, 1.0, np.nan],
            "predicted:action_units:AU4": [0.9, 0.2, 0.8, 0.1, 0.9],  # a: 0.55
        }
    )
    row = by_unit(views).iloc[0]
    assert (row["clips"], row["coded"], row["predicted"]) == (3, 2, 2)
    assert (row["precision"], row["recall"], row["f1"]) == (0.5, 0.5, 0.5)


# --- learning ---------------------------------------------------------------------------------------------------------
def test_units_are_learnt_beside_the_class(coded, tmp_path, experiment):
    workspace = Workspace(Options({"manifest": coded}, tmp_path))
    plan = workspace.plan(multitask(experiment))
    workspace.prepare([plan])
    result = run(plan, workspace)
    views = pd.concat([fold.views for fold in result.folds])
    found = by_unit(views[views["part"] == "test"]).set_index("unit")
    assert found.loc["AU4", "clips"] == 30  # six are not coded
    assert found.loc[["AU1", "AU4", "AU6"], "f1"].min() > 0.8
    assert np.isnan(found.loc["AU24", "f1"])
    assert result.scores()["uf1"] > 0.8
    # AU6 and AU12 come together, so two heads of one body learn the same.
    assert (views["predicted:action_units:AU6"] - views["predicted:action_units:AU12"]).abs().mean() < 0.2


def test_a_target_changes_the_key_and_its_absence_none(experiment):
    assert multitask(experiment).key() != experiment.key()
    assert "target" not in experiment.canonical()
    with pytest.raises(ConfigError, match="action_units"):
        experiment.with_values({"target": ["action_units", "action_units"]})


def test_a_fitted_model_is_restored_with_its_heads(coded, tmp_path, experiment):
    recipe = multitask(experiment, **{"training.epochs": 1})
    fitting.fit_on_all_clips(recipe, Workspace(Options({"manifest": coded}, tmp_path)))
    pipeline = Pipeline.load(tmp_path)
    model, card = pipeline.learner.ready(), pipeline.card
    assert card["targets"] == {"action_units": ["AU1", "AU4", "AU6", "AU12", "AU24"]}
    assert model(torch.zeros(2, 1, 3, 32, 32)).aux["action_units"].shape == (2, 5)


def test_an_ensemble_averages_its_members_units(coded, tmp_path, experiment):
    recipe = multitask(experiment, **{"training.epochs": 1, "training.ensemble": 2})
    fitting.fit_on_all_clips(recipe, Workspace(Options({"manifest": coded}, tmp_path)))
    model = Pipeline.load(tmp_path).learner.ready()
    x = torch.rand(2, 1, 3, 32, 32) * 255
    alone = [member.eval()(x).aux["action_units"].double().sigmoid() for member in model.members]
    torch.testing.assert_close(model(x).aux["action_units"].sigmoid(), torch.stack(alone).mean(0))


# --- what is refused --------------------------------------------------------------------------------------------------
def test_units_of_a_database_without_any_are_refused_before_training(database, tmp_path, experiment):
    workspace = Workspace(Options({"manifest": database}, tmp_path))
    with pytest.raises(IncompatibleError, match="36 clips"):
        workspace.plan(multitask(experiment))


def test_what_is_fitted_once_learns_no_target(coded, tmp_path, experiment):
    workspace = Workspace(Options({"manifest": coded}, tmp_path))
    with pytest.raises(ConfigError, match=r"pca_svm.*action_units"):
        workspace.plan(multitask(experiment, model="pca_svm"))


@pytest.mark.parametrize("units", [[88, 99], [24]])
def test_units_that_no_training_clip_tells_apart_are_refused(coded, tmp_path, experiment, units):
    workspace = Workspace(Options({"manifest": coded}, tmp_path))
    with pytest.raises(IncompatibleError, match="fold"):
        workspace.plan(experiment.with_values({"target": [{"name": "action_units", "units": units}]}))


def test_baselines_of_a_study_learn_no_target(experiment):
    study = Study(name="s", title="S", experiment=multitask(experiment), baselines=["majority"])
    assert [cell.target for cell in study.baseline_cells()] == [()]
    assert study.cells()[0].target


# --- the report -------------------------------------------------------------------------------------------------------
def test_the_report_has_units_curves_and_printed_figures(coded, tmp_path, experiment):
    study = Study(
        name="units",
        title="Units",
        latency=False,
        experiment=experiment.with_values({"training.epochs": 3}),
        methods={
            "alone": {"model": "small_cnn"},
            "with_units": {"model": "small_cnn", "target": [{"name": "action_units", "units": [4, 12]}]},
            "pca": {"model": "pca_svm"},
        },
        leaderboard={
            "reference": "pca",
            "printed": {
                "alone": {
                    "value": 0.888,
                    "metric": "macro_precision",
                    "protocol": "a hold-out of faces",
                    "source": "Somebody",
                }
            },
        },
    )
    done = api.run_study(study, coded, tmp_path)
    rows = done.summary.targets
    assert [row.unit for row in rows] == ["AU4", "AU12", "mean"]
    assert {row.cell for row in rows} == {"with_units"}
    page = "".join((tmp_path / f"{stem}.html").read_text("utf-8") for stem in ("report", "details"))
    assert "Auxiliary targets" in page
    assert "Learning curves of the methods" not in page  # of 3 epochs
    assert "Published scores of the methods" in page
    assert "a hold-out of faces" in page
    printed = pd.read_csv(tmp_path / "tables" / "leaderboard_printed.csv")
    alone = next(cell for cell in done.result.cells if cell.factors["method"] == "alone")
    assert printed.loc[0, "value"] == 0.888
    assert printed.loc[0, "here"] == pytest.approx(alone.result.scores()["macro_precision"])


def test_a_printed_figure_of_no_method_is_refused(experiment):
    stated = {"value": 0.5, "metric": "uf1", "protocol": "x", "source": "y"}
    study = Study(
        name="s",
        title="S",
        experiment=experiment,
        methods={"a": {"model": "small_cnn"}},
        leaderboard={"printed": {"b": stated}},
    )
    with pytest.raises(ConfigError, match=r"leaderboard\.printed.*'b'"):
        study.check()
