"""The precision of networks: how large a network is, where bf16 is chosen, and that it is part of the key."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from conftest import recipe
from microexpr.config.settings import Training
from microexpr.core import interfaces
from microexpr.core.interfaces import Output, ViewSpec
from microexpr.learning import device, pipeline
from microexpr.learning.device import LARGE, autocast, fastest_precision, operations
from microexpr.runs import plan as plans
from microexpr.runs.jobs import run
from microexpr.runs.plan import Options, Workspace
from refusal import refuses

VIEW = ViewSpec((2, 8, 8, 3), ("r", "g", "b"), 0.0, 255.0)


class Linear(nn.Module):
    def __init__(self, ask: bool) -> None:
        super().__init__()
        self.layer, self.ask = nn.Linear(2 * 3 * 8 * 8, 5), ask

    def forward(self, x: torch.Tensor) -> Output:
        if self.ask:
            assert float(x.sum()) == 0  # no value without memory
        return Output(self.layer(x.flatten(1)), {})


@pytest.mark.parametrize("ask", [False, True])
def test_operations_are_counted_without_memory_or_with_it_where_a_network_needs_it(ask):
    state = torch.get_rng_state()
    assert operations(lambda view, num_classes, aux: Linear(ask), VIEW, 5, {}) == 2 * (2 * 3 * 8 * 8) * 5
    assert torch.equal(torch.get_rng_state(), state)


def test_an_estimator_has_no_operations():
    assert operations(interfaces.models.build("pca_svm", {}), VIEW, 5, {}) == 0


def test_bf16_is_for_large_networks_where_it_is_native(monkeypatch):
    small, large = LARGE // 2, LARGE * 2
    for native, count, expected in ((True, large, "bf16"), (True, small, "float32"), (False, large, "float32")):
        monkeypatch.setattr(device, "has_bf16", lambda native=native: native)
        monkeypatch.setattr(device, "operations", lambda *_, count=count: count)
        assert fastest_precision(lambda *_: Linear(False), VIEW, 5, {}) == expected


def test_a_network_computes_in_the_precision_of_its_training():
    x, layer = torch.ones(2, 4), nn.Linear(4, 4)
    for setting, dtype in (("auto", torch.float32), ("float32", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(Training(precision=setting)):
            assert layer(x).dtype == dtype


def test_a_plan_replaces_auto_by_bf16_in_its_key_and_its_processes_follow_it(database, tmp_path, monkeypatch):
    experiment = recipe().with_values({"training.epochs": 1, "protocol": {"name": "subject_kfold", "k": 2}})
    alone = Workspace(Options({"manifest": database}, tmp_path))
    (plain,) = alone.prepare([alone.plan(experiment)])
    monkeypatch.setattr(plans, "has_bf16", lambda: True)
    chosen: list[str] = []
    monkeypatch.setattr(plans, "fastest_precision", lambda *_: chosen.append("asked") or "bf16")
    workspace = Workspace(Options({"manifest": database}, tmp_path, jobs=2))
    plan = workspace.plan(experiment)
    assert plan.experiment.training.precision == "bf16"
    assert plan.key != plain.key
    assert workspace.plan(experiment).key == plan.key
    assert chosen == ["asked"]  # once for a network and its input
    (plan,) = workspace.prepare([plan])
    result = run(plan, workspace)
    reference = run(plain, alone)
    for ours, theirs in zip(result.folds, reference.folds, strict=True):
        assert not np.allclose(ours.views["p_0"], theirs.views["p_0"], atol=1e-6)
        assert np.allclose(ours.views["p_0"], theirs.views["p_0"], atol=0.1)
    monkeypatch.setattr(plans, "fastest_precision", lambda *_: "float32")
    assert Workspace(Options({"manifest": database}, tmp_path)).plan(experiment).key == plain.key


def test_bf16_is_refused_where_it_is_not_native(database, tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "has_bf16", lambda: False)
    with refuses("E153", "bf16", "float32"):
        Workspace(Options({"manifest": database}, tmp_path)).plan(recipe().with_values({"training.precision": "bf16"}))


def test_a_model_trained_in_bf16_predicts_in_float32_where_bf16_is_not_native(monkeypatch):
    experiment = recipe().with_values({"training.precision": "bf16"})
    for native, expected in ((True, "bf16"), (False, "float32")):
        monkeypatch.setattr(pipeline, "has_bf16", lambda native=native: native)
        learner = pipeline.untrained(experiment, VIEW._replace(shape=(1, 32, 32, 3)), 3, {})
        assert learner.training.precision == expected


def test_bf16_has_convolutions_with_channels_last_and_stores_them_as_before(tmp_path):
    x = torch.rand(4, 1, 3, 32, 32) * 255
    for setting, last in (("float32", False), ("bf16", True)):
        learner = pipeline.untrained(
            recipe().with_values({"training.precision": setting}), VIEW._replace(shape=(1, 32, 32, 3)), 3, {}
        )
        learner.training = Training(precision=setting)
        network = learner.ready()
        kernels = [part.weight for part in network.modules() if isinstance(part, nn.Conv2d)]
        assert all(each.is_contiguous(memory_format=torch.channels_last) for each in kernels) == last
        with torch.inference_mode():
            learner.save(tmp_path / f"{setting}.safetensors", {})
            before = network(x).logits
        again = pipeline.untrained(recipe(), VIEW._replace(shape=(1, 32, 32, 3)), 3, {})
        again.load(tmp_path / f"{setting}.safetensors")
        with torch.inference_mode():
            torch.testing.assert_close(again.ready()(x).logits, before, atol=1e-5, rtol=1e-5)
