"""What a training may do otherwise: smoothed labels, drawn subjects, averaged weights, ensembles; off by default."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from microexpr.config.experiment import Experiment
from microexpr.config.settings import Training
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import Batch, losses
from microexpr.learning import training
from small_training import PIXELS, SPEC, Stack, Y, fit, learner_of, task

pytestmark = pytest.mark.numeric

NONE = np.array([], int)


def run(settings, **changes):
    a_task = replace(task(train=np.arange(60), val=NONE), **changes)
    torch.manual_seed(0)
    return training.TrainingRun(_linear(), a_task, losses.build("cross_entropy", {}), settings, 0, ())


def _linear():
    from microexpr.core.interfaces import models

    return models.build("small_cnn", {})(SPEC, 3, {})


def settings(**values):
    return Training(**{"epochs": 4, "learning_rate": 3e-3, "batch": 16, "patience": 0, **values})


def test_what_came_later_changes_no_key_unless_it_is_used():
    plain = Experiment().with_values({"datasets": "manifest", "labels": "as_given", "model": "small_cnn"})
    assert set(plain.canonical()["training"]) == {
        "epochs", "learning_rate", "weight_decay", "batch", "patience", "precision"
    }  # fmt: skip
    keys = {plain.key()}
    used = {"label_smoothing": 0.1, "draw": "subjects", "ensemble": 2, "schedule": "cosine", "select": "uf1"}
    for name, value in used.items():
        keys.add(plain.with_values({f"training.{name}": value}).key())
    keys.add(plain.with_values({"training.patience": 0, "training.average_last": 2}).key())
    assert len(keys) == 7
    for name, value in (("ensemble", 1), ("select", "macro_f1")):
        assert plain.with_values({f"training.{name}": value}).key() == plain.key()


def test_all_views_are_held_as_one_tensor_or_read_batch_by_batch_to_the_same_end(monkeypatch):
    held, _ = fit(task())
    monkeypatch.setattr(training, "RESIDENT_BYTES", 0)
    read, _ = fit(task())
    for ours, theirs in zip(held.model.state_dict().values(), read.model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_smoothed_labels_lie_between_the_classes():
    y = torch.eye(4)[[0, 2]]
    smoothed = training._smoothed(Batch(torch.zeros(2, 1), y, {}), 0.2).y
    torch.testing.assert_close(smoothed.sum(1), torch.ones(2))
    assert smoothed[0].tolist() == pytest.approx([0.85, 0.05, 0.05, 0.05])
    assert training._smoothed(Batch(torch.zeros(2, 1), y, {}), 0.0).y is y


def test_smoothing_keeps_a_network_less_sure():
    sure, _ = fit(task(train=np.arange(60), val=NONE), epochs=20)
    unsure, _ = fit(task(train=np.arange(60), val=NONE), epochs=20, label_smoothing=0.3)
    tops = [each.proba().max(1).mean() for each in (sure, unsure)]
    assert tops[0] > tops[1] + 0.05


def test_every_subject_is_drawn_as_often_however_many_clips_he_has():
    subjects = np.repeat([0, 1, 2], [50, 8, 2])
    drawing = run(settings(draw="subjects"), subjects=subjects)
    counts = Counter(int(subjects[row]) for _ in range(200) for batch in drawing._batches() for row in batch)
    shares = np.array([counts[subject] for subject in range(3)]) / counts.total()
    assert np.abs(shares - 1 / 3).max() < 0.02
    plain = run(settings(), subjects=subjects)
    shown = np.concatenate(list(plain._batches()))
    assert sorted(shown) == list(range(60))


def test_averaged_weights_are_the_mean_of_the_last_epochs():
    found = []

    class Noting(training.TrainingRun):
        def _average(self, epoch):
            found.append({name: value.clone() for name, value in self.model.named_parameters()})
            super()._average(epoch)

    torch.manual_seed(0)
    model = _linear()
    a_task = task(train=np.arange(60), val=NONE)
    noted = Noting(model, a_task, losses.build("cross_entropy", {}), settings(average_last=3), 0, ())
    from microexpr.core.progress import Silent

    noted.go("cross_entropy", Silent())
    for name in found[0]:
        expected = torch.stack([epoch[name] for epoch in found[-3:]]).mean(0)
        torch.testing.assert_close(noted.state[name], expected.detach(), atol=1e-6, rtol=1e-5)


def test_averages_that_may_be_cut_short_are_refused():
    with pytest.raises(ConfigError, match="set patience = 0"):
        Experiment().with_values({"training.average_last": 3})
    with pytest.raises(ConfigError, match="average_last = 30 exceeds the number of epochs, 20"):
        Experiment().with_values({"training.average_last": 30, "training.epochs": 20, "training.patience": 0})


def test_an_ensemble_gives_the_mean_of_its_members_probabilities():
    together, _ = fit(task(train=np.arange(60), val=NONE), ensemble=3)
    rows, views = np.arange(60), Stack(PIXELS, SPEC)
    alone = [learner_of(each).predict(views, rows).proba for each in together.model.members]
    assert not np.allclose(alone[0], alone[1])
    np.testing.assert_allclose(together.proba(), np.mean(alone, axis=0), atol=1e-6)
    first, _ = fit(task(train=np.arange(60), val=NONE))
    np.testing.assert_allclose(first.proba(), alone[0], atol=1e-6)
    assert together.learner.parameters == 3 * first.learner.parameters
    assert fit(task(), model="pca_svm")[0].learner.parameters is None


def test_the_learning_rate_falls_along_half_a_cosine():
    falling = run(settings(schedule="cosine", epochs=4))
    rates = []
    for epoch in range(1, 5):
        rates.append(falling.optimizer.param_groups[0]["lr"])
        falling.train_epoch(epoch)
    np.testing.assert_allclose(rates, 3e-3 * (1 + np.cos(np.pi * np.arange(4) / 4)) / 2)


def test_a_training_that_nothing_chooses_from_is_looked_at_now_and_then_and_at_its_end():
    fitted, _ = fit(task(train=np.arange(60), val=NONE), epochs=50)
    assert len(fitted.history) <= training.CURVE_POINTS
    assert fitted.history["epoch"].iloc[-1] == 50
    assert fitted.history["chosen"].iloc[-1]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_both_optimizers_learn(name):
    rate = 3e-3 if name == "adamw" else 3e-2
    fitted, _ = fit(task(train=np.arange(60), val=NONE), optimizer=name, learning_rate=rate)
    proba = fitted.proba()
    assert (proba.argmax(1) == Y).mean() > 0.9


def test_batch_statistics_after_averaging_are_those_of_the_averaged_network():
    from microexpr.core.progress import Silent

    settled = run(settings(average_last=3, batch=20)).go("cross_entropy", Silent())
    model = _linear()
    model.load_state_dict(settled.state)
    convolution, norm = next(
        (a, b)
        for a, b in zip(model.modules(), list(model.modules())[1:], strict=False)
        if isinstance(b, torch.nn.BatchNorm2d)
    )
    seen = []
    convolution.register_forward_hook(lambda module, given, out: seen.append(out))
    with torch.inference_mode():
        model.eval()(settled.task.inputs.take(np.arange(60)))
    torch.testing.assert_close(norm.running_mean, seen[0].mean((0, 2, 3)), atol=1e-4, rtol=1e-3)
    raw = run(settings(batch=20)).go("cross_entropy", Silent())
    name = next(name for name in raw.state if name.endswith("running_mean"))
    assert not torch.allclose(raw.state[name], norm.running_mean, atol=1e-3)
