"""`fit` keeps a model and its card; what is loaded predicts what was trained, to the last bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import microexpr
from conftest import recipe
from microexpr.core.errors import StoreError
from microexpr.core.interfaces import ViewSpec, models
from microexpr.learning.learners import Learner
from microexpr.learning.pipeline import Pipeline
from microexpr.runs import fit as fitting
from microexpr.runs.plan import Options, Workspace
from refusal import refuses
from small_training import learner_of

pytestmark = pytest.mark.numeric

MODELS = ("small_cnn", "vit_nano", "swin_nano", "poolformer_nano", "pca_svm", "logistic", "majority", "class_frequency")

VIEW = ViewSpec((1, 64, 64, 3), ("r", "g", "b"))


def experiment(model: object, **values: object) -> microexpr.Experiment:
    return recipe().with_values(
        {"model": model, "preprocessing.size": 64, "training.epochs": 1, "training.batch": 16, **values}
    )


def kept(monkeypatch: pytest.MonkeyPatch) -> list[Pipeline]:
    """Models as they leave training."""
    found: list[Pipeline] = []
    real = fitting.fit_rows

    def fit_rows(*args):
        fitted = real(*args)
        found.append(fitted[0])
        return fitted

    monkeypatch.setattr(fitting, "fit_rows", fit_rows)
    return found


def predictions(
    learner: Learner, chosen: microexpr.Experiment, database: Path, out: Path, rows: int | None = None
) -> np.ndarray:
    """Predict the first rows, or all, in one call."""
    plan = Workspace(Options({"manifest": database}, out)).plan(chosen)
    views = plan.views()
    return learner.predict(views, np.arange(len(views))[:rows]).proba


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_restored_to_the_last_bit(name, database, tmp_path, monkeypatch):
    trained, chosen = kept(monkeypatch), experiment(name)
    file = microexpr.fit(chosen, database, tmp_path, workers=1)
    assert file == tmp_path / "model.safetensors"
    pipeline = microexpr.load(tmp_path)
    (fitted,) = trained
    before, after = (predictions(each.learner, chosen, database, tmp_path) for each in (fitted, pipeline))
    assert np.array_equal(before, after)
    assert before.shape == (36, 3)
    if pipeline.learner.in_epochs:
        assert not pipeline.learner.model.training
        assert len(np.unique(before.round(6))) > 3
    # Whoever builds the network anew has other numbers: those of the file were taken.
    assert pipeline.card["experiment"]["model"] == chosen.model.to_toml()


def test_the_card_says_what_the_model_is(database, tmp_path):
    microexpr.fit(experiment("small_cnn"), database, tmp_path, workers=1)
    card = json.loads((tmp_path / "card.json").read_text("utf-8"))
    assert card["classes"] == ["disgust", "happiness", "surprise"]
    assert (card["data"]["clips"], card["data"]["subjects"], card["data"]["validation clips"]) == (36, 6, 0)
    assert len(card["data"]["fingerprint"]) == 64
    assert card["view"] == {"shape": [1, 64, 64, 3], "channels": ["r", "g", "b"], "range": [0.0, 255.0], "scaling": ""}
    assert set(card["scores"]) == {"train_score"}
    assert "not for judging whether a person lies" in card["intended use"]
    assert card["test scores"].startswith("not measured")
    assert card["environment"]["torch"]
    with safe_open(tmp_path / "model.safetensors", "pt") as stored:
        assert json.loads(stored.metadata()["microexpr"])["card"] == card
    # The card is a recipe: what it holds can be run again.
    again = microexpr.Experiment.model_validate(card["experiment"])
    assert again.key() == experiment("small_cnn").key()


FLOW = {"sampling": "onset_apex", "representation": "flow"}


@pytest.mark.parametrize("ensemble", [1, 2])
@pytest.mark.parametrize(("name", "shown"), [("ststnet", FLOW), ("vit_nano", {}), ("small_cnn", {})])
def test_the_card_tells_what_the_model_normalises_by(name, shown, ensemble, database, tmp_path):
    chosen = experiment(name, **shown, **{"training.ensemble": ensemble})
    microexpr.fit(chosen, database, tmp_path, workers=1)
    pipeline = microexpr.load(tmp_path)
    model, card = pipeline.learner.model, pipeline.card
    parts = [part for part in model.modules() if {"std", "centre"} & set(dict(part.named_buffers(recurse=False)))]
    assert len(parts) == (0 if name == "small_cnn" else ensemble)
    if name == "small_cnn":
        assert card["normalisation"] == "within the model, from the view's range"
        return
    names = ("mean", "std") if name == "ststnet" else ("centre", "scale")
    for part in parts:  # members see the same views
        assert card["normalisation"] == {each: getattr(part, each).flatten().tolist() for each in names}
    if name == "ststnet":  # measured, not the range's middle and half
        assert len(set(card["normalisation"]["std"])) == 3


def test_validation_is_cut_from_the_subjects_where_it_chooses(database, tmp_path):
    chosen = experiment("small_cnn", loss="best_on_validation", **{"training.epochs": 3, "training.patience": 2})
    microexpr.fit(chosen, database, tmp_path, workers=1)
    card = json.loads((tmp_path / "card.json").read_text("utf-8"))
    assert card["data"]["validation clips"] == 6
    assert (card["data"]["clips"], card["data"]["subjects"]) == (30, 5)
    assert card["loss"] in ("cross_entropy", "focal")
    assert set(card["scores"]) == {"train_score", "val_score"}


def test_fitting_twice_gives_the_same_file(database, tmp_path):
    files = [microexpr.fit(experiment("small_cnn"), database, tmp_path / name, workers=1) for name in ("a", "b")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_model_with_parameters_of_its_own_is_rebuilt_with_them(database, tmp_path):
    chosen = experiment({"name": "vit_nano", "head_units": 8, "drop_path": 0.0})
    microexpr.fit(chosen, database, tmp_path, workers=1)
    model = microexpr.load(tmp_path).learner.model
    assert [layer.out_features for layer in model.head if isinstance(layer, nn.Linear)] == [8, 3]


def test_weights_that_started_it_are_not_needed_to_load_it(database, tmp_path, monkeypatch):
    first = models.build("vit_nano", {})(VIEW, 3, {})
    start = tmp_path / "start.safetensors"
    learner_of(first).save(start, {})
    chosen = experiment({"name": "vit_nano", "weights": str(start)})
    microexpr.fit(chosen, database, tmp_path / "out", workers=1)
    before = predictions(microexpr.load(tmp_path / "out").learner, chosen, database, tmp_path / "out")
    spare = start.rename(tmp_path / "moved.safetensors")
    after = microexpr.load(tmp_path / "out").learner
    spare.rename(start)
    assert np.array_equal(predictions(after, chosen, database, tmp_path / "out"), before)


def test_folds_keep_weights_that_load(database, tmp_path):
    chosen = experiment("pca_svm")
    done = microexpr.run_experiment(chosen, database, tmp_path, keep_weights=True, workers=1)
    files = sorted((tmp_path / "results" / done.summary.cells[0].key).glob("fold-*.safetensors"))
    assert len(files) == 6
    pipeline = microexpr.load(files[0])
    assert pipeline.card["fold"] == "own-s0"
    views = pd.read_parquet(next((tmp_path / "results").rglob("fold-own-s0.views.parquet")))
    tested = views[views["part"] == "test"][["p_0", "p_1", "p_2"]].to_numpy()
    assert np.array_equal(predictions(pipeline.learner, chosen, database, tmp_path, rows=6), tested)
    # A product of more rows may round differently.
    np.testing.assert_allclose(predictions(pipeline.learner, chosen, database, tmp_path)[:6], tested, atol=1e-6)


# --- files that are not what they should be ---------------------------------------------------------------------------
@pytest.fixture(scope="module")
def fitted(database, tmp_path_factory):
    out = tmp_path_factory.mktemp("fitted")
    microexpr.fit(experiment("small_cnn"), database, out, workers=1)
    microexpr.fit(experiment("pca_svm"), database, out / "svm", workers=1)
    return out


@pytest.mark.parametrize("which", [".", "svm"])
@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("card.json", None, "E606"),
        ("card.json", b"", "E605"),
        ("card.json", b"[]", "E651"),
        ("card.json", b"{}", "E651"),
        ("card.json", b"\xff\xfe", "E605"),
        ("model.safetensors", None, "E606"),
        ("model.safetensors", b"", "E650"),
        ("model.safetensors", b"no tensors here", "E650"),
    ],
)
def test_damaged_files_are_refused(fitted, tmp_path, which, name, content, code):
    folder = Path(shutil.copytree(fitted / which, tmp_path / "copy"))
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with refuses(code, name, kind=StoreError):
        microexpr.load(folder)


@pytest.mark.parametrize("which", [".", "svm"])
def test_a_cut_off_model_is_told(fitted, tmp_path, which):
    folder = Path(shutil.copytree(fitted / which, tmp_path / "copy"))
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with refuses("E650", file, kind=StoreError):
        microexpr.load(folder)


def test_the_weights_of_another_model_are_told(fitted, tmp_path):
    for which, other in ((".", "svm"), ("svm", ".")):
        folder = Path(shutil.copytree(fitted / which, tmp_path / other.strip(".") / "copy", dirs_exist_ok=True))
        shutil.copy(fitted / other / "model.safetensors", folder / "model.safetensors")
        with refuses("E651", "model.safetensors", kind=StoreError):
            microexpr.load(folder)


def test_another_model_is_never_overwritten(fitted, database):
    before = (fitted / "model.safetensors").read_bytes()
    with refuses("E603", fitted, "--out", kind=StoreError):
        microexpr.fit(experiment("majority"), database, fitted)
    assert (fitted / "model.safetensors").read_bytes() == before


def test_a_damaged_card_in_the_way_is_told(fitted, database, tmp_path):
    (tmp_path / "card.json").write_text("{")
    with refuses("E605", "card.json", kind=StoreError):
        microexpr.fit(experiment("majority"), database, tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    with refuses("E606", tmp_path / "none", "model.safetensors", kind=StoreError):
        microexpr.load(tmp_path / "none")


def test_a_file_cannot_set_what_an_estimator_is_made_of(tmp_path):
    """Attributes come from a file: only those that fitting makes may be restored."""
    model = models.build("majority", {})(VIEW, 3, {}).fit(np.zeros((4, 2)), np.array([0, 1, 1, 1]))
    file = tmp_path / "model.safetensors"
    for attributes in ({"predict_proba": "x"}, {"__class__": "x"}, {"fit/__name__": "x"}, {"strategy": "constant"}):
        save_file({"a": torch.zeros(1)}, file, {"microexpr": json.dumps({"attributes": attributes})})
        with refuses("E651", "model.safetensors", kind=StoreError):
            learner_of(model).load(file)
