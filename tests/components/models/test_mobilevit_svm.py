"""MobileViT features with a machine on them: sizes, one body for all folds, and what it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from microexpr.components.models.mobilevit_svm import _backbone
from microexpr.config.settings import Training
from microexpr.core.errors import IncompatibleError
from microexpr.core.interfaces import FrozenBackbone, ViewSpec, models
from microexpr.learning import learners
from microexpr.learning.pipeline import Pipeline
from microexpr.runs import fit as fitting
from microexpr.runs.jobs import run
from microexpr.runs.plan import Options, Workspace
from refusal import refuses

VIEW = ViewSpec((1, 64, 64, 3), ("r", "g", "b"))
RANDOM = {"name": "mobilevit_svm", "size": "xxs", "weights": "random"}


def net(view: ViewSpec = VIEW, classes: int = 3, **params: object) -> nn.Module:
    return models.build("mobilevit_svm", {"size": "xxs", "weights": "random", **params})(view, classes, {})


def striped(rows: int = 30) -> tuple[torch.Tensor, np.ndarray]:
    y = np.arange(rows) % 3
    x = torch.rand(rows, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 80
    for row, label in enumerate(y):
        if label:
            x[row, :, :, :: 8 * label] += 120
    return x, y


# Mehta and Rastegari print 1.3, 2.3 and 5.6 million with the classifier of 1,000 classes, which is left out here.
@pytest.mark.parametrize(("size", "features", "millions"), [("xxs", 320, 1.3), ("xs", 384, 2.3), ("s", 640, 5.6)])
def test_sizes_are_the_literature_s(size, features, millions):
    model = net(size=size)
    assert model.embed(torch.zeros(1, 1, 3, 64, 64)).shape == (1, features)
    with_classifier = sum(each.numel() for each in model.parameters()) + 1001 * features
    assert round(with_classifier / 1e6, 1) == millions
    assert isinstance(model, FrozenBackbone)


def test_the_body_is_frozen_and_the_same_whatever_the_seed():
    torch.manual_seed(1)
    first = net()
    before = torch.rand(1)
    _backbone.cache_clear()
    torch.manual_seed(1)
    second = net()
    assert torch.equal(torch.rand(1), before)  # and it leaves the stream of random numbers alone
    _backbone.cache_clear()
    torch.manual_seed(2)
    third = net()
    for one, two, three in zip(first.parameters(), second.parameters(), third.parameters(), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)
        assert not one.requires_grad


@pytest.mark.parametrize("change", ["bf16", "restored"])
def test_models_of_one_process_share_their_backbone_until_one_changes_it(change, tmp_path):
    """A placed bf16 network has its channels last, which changes the bits of float32 features."""
    x, y = striped(6)
    first, second = (
        learners.make(net, 3, Training(precision=precision), seed=0)
        for precision in ("float32", "bf16" if change == "bf16" else "float32")
    )
    assert first.model.body is second.model.body
    first.model.fit_head(first.ready().embed(x), y)
    before = first.model.embed(x)
    if change == "bf16":
        second.ready()
    else:
        stored = first.state()
        tensors = {name: value + 1 if value.is_floating_point() else value for name, value in stored.tensors.items()}
        second.restore(stored._replace(tensors=tensors), tmp_path / "other.safetensors")
        assert not torch.equal(second.ready().embed(x), before)
    assert second.model.body is not first.model.body
    assert torch.equal(first.model.embed(x), before)


def test_the_machine_tells_textures_apart_and_never_names_a_class_it_did_not_see():
    x, y = striped(60)
    model = net(classes=4, C=1.0).eval()
    features = model.embed(x)
    model.fit_head(features[:42], y[:42])
    proba = model(x).logits.softmax(1)
    assert (proba[42:].argmax(1).numpy() == y[42:]).mean() > 0.8
    assert float(proba[:, 3].max()) == 0
    torch.testing.assert_close(model.classify(features).logits, model(x).logits)


def test_of_two_classes_the_larger_score_is_the_predicted_one():
    x, y = striped()
    two = y < 2
    model = net(classes=2, C=1.0).eval()
    model.fit_head(model.embed(x)[two], y[two])
    assert (model(x).logits.argmax(1).numpy()[two] == y[two]).mean() > 0.9
    with refuses("E702", "mobilevit_svm"):
        model.fit_head(model.embed(x)[:2], np.array([1, 1]))


def test_the_body_runs_once_for_all_folds(database, tmp_path, experiment, monkeypatch):
    taken: list[int] = []
    embed = learners.Frozen.embed

    def counted(learner, views, indices):
        taken.extend(indices)
        return embed(learner, views, indices)

    monkeypatch.setattr(learners.Frozen, "embed", counted)
    recipe = experiment.with_values({"model": RANDOM, "preprocessing.size": 64})
    workspace = Workspace(Options({"manifest": database}, tmp_path))
    plan = workspace.plan(recipe)
    workspace.prepare([plan])
    result = run(plan, workspace)
    assert sorted(taken) == list(range(36))
    assert len(result.folds) == 6
    assert result.scores()["uf1"] > 0.8
    assert {fold.metadata["parameters"] for fold in result.folds} == {951024}


@pytest.mark.slow
def test_the_body_runs_once_for_all_heads_seeds_and_settings_of_training(database, tmp_path, experiment, monkeypatch):
    """Only what changes the features makes it run again: its own parameters, its input, the precision, the batch."""
    calls: list[int] = []
    embed = learners.Frozen.embed
    monkeypatch.setattr(
        learners.Frozen, "embed", lambda self, views, rows: calls.append(len(rows)) or embed(self, views, rows)
    )

    def features(**values):
        workspace = Workspace(Options({"manifest": database}, tmp_path))
        recipe = experiment.with_values({"model": RANDOM, "preprocessing.size": 64, **values})
        return workspace.prepare([workspace.plan(recipe)])[0].embedded().features

    first = features()
    for values in ({"model": {**RANDOM, "C": 0.5}}, {"seed": 3}, {"training.epochs": 2, "training.learning_rate": 0.5}):
        assert features(**values).tobytes() == first.tobytes()
    assert len(calls) == 1
    features(**{"preprocessing.size": 96})
    features(**{"training.batch": 64})
    assert len(calls) == 3


def test_several_folds_at_once_give_the_same(database, tmp_path, experiment):
    recipe = experiment.with_values({"model": RANDOM, "preprocessing.size": 64})
    tables = []
    for jobs in (1, 2):
        workspace = Workspace(Options({"manifest": database}, tmp_path / str(jobs), jobs=jobs))
        plan = workspace.plan(recipe)
        workspace.prepare([plan])
        tables.append(run(plan, workspace).predictions().sort_values("clip").filter(regex="p_").to_numpy())
    np.testing.assert_allclose(tables[0], tables[1], atol=1e-5)


def test_a_kept_model_predicts_the_same(database, tmp_path, experiment):
    recipe = experiment.with_values({"model": RANDOM, "preprocessing.size": 64})
    workspace = Workspace(Options({"manifest": database}, tmp_path))
    fitting.fit_on_all_clips(recipe, workspace)
    pipeline = Pipeline.load(tmp_path)
    model, card = pipeline.learner.ready(), pipeline.card
    x, _ = striped(3)
    assert card["weights"] == {"weights": "random"}
    assert model.weight.abs().sum() > 0
    assert model(x).logits.isfinite().all()


def test_weights_of_a_file_are_those_that_count(tmp_path):
    kept = net()
    file = Path(tmp_path) / "mine.safetensors"
    state = {
        name: value + 0.01 if value.is_floating_point() else value for name, value in kept.body.net.state_dict().items()
    }
    save_file(state, file)
    loaded = net(weights=str(file))
    for name, value in loaded.body.net.state_dict().items():
        torch.testing.assert_close(value, state[name])
    grey = net(ViewSpec((1, 64, 64, 1), ("grey",)), weights=str(file)).eval()
    picture = torch.rand(2, 1, 1, 64, 64) * 255
    torch.testing.assert_close(grey.embed(picture), loaded.eval().embed(picture.expand(2, 1, 3, 64, 64)))


def test_what_it_refuses(database, tmp_path, experiment):
    model = models.build("mobilevit_svm", {"weights": "random"})
    with refuses("E408", "mobilevit_xs", "have 3 frames"):
        model.check(VIEW._replace(shape=(3, 64, 64, 3)))
    with refuses("E407", "mobilevit_xs", "at least 32 pixels", "24x24"):
        model.check(VIEW._replace(shape=(1, 24, 24, 3)))
    with refuses("E413", "mobilevit_svm", "action_units"):
        model(VIEW, 3, {"action_units": 3})
    workspace = Workspace(Options({"manifest": database}, tmp_path))
    with pytest.raises(IncompatibleError, match="is fitted once"):
        workspace.plan(experiment.with_values({"model": RANDOM, "preprocessing.size": 64, "augmentation": ["flip"]}))
