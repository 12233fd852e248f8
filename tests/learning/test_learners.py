from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from microexpr.config.settings import Training
from microexpr.core.interfaces import Output, losses, models
from microexpr.learning import learners, training
from refusal import refuses
from small_training import SPEC, Y, fit, learner_of, task, train

pytestmark = pytest.mark.numeric


def test_a_network_learns_and_predicts_probabilities():
    fitted, _ = fit(task())
    proba = fitted.proba()
    assert proba.shape == (60, 3)
    assert np.allclose(proba.sum(1), 1)
    assert (proba.argmax(1) == Y).mean() > 0.9


def test_history_has_every_epoch_of_both_parts():
    fitted, _ = fit(task(), names=("cross_entropy", "focal"))
    history = fitted.history
    assert history.groupby("loss")["epoch"].apply(list).to_dict() == {
        "cross_entropy": list(range(1, 9)),
        "focal": list(range(1, 9)),
    }
    assert {"train_loss", "val_loss", "train_score", "val_score", "chosen"} <= set(history.columns)
    assert not history[["train_loss", "val_loss", "train_score", "val_score"]].isna().any().any()
    assert history["chosen"].sum() == 1


def test_without_patience_the_last_epoch_counts():
    fitted, _ = fit(task(), epochs=3)
    assert fitted.epoch == 3


def test_patience_stops_and_keeps_the_best_epoch():
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.9])

    def score(proba, indices):
        return next(scores) if indices[0] % 2 else 0.0  # validation rows are odd

    a_task = task(score=score)
    fitted, _ = fit(a_task, patience=2, epochs=20)
    assert (fitted.epoch, len(fitted.history)) == (2, 4)
    assert fitted.loss_scores == {"cross_entropy": 0.5}
    short, _ = fit(task(score=lambda proba, indices: 0.0), epochs=2)
    for ours, theirs in zip(fitted.model.state_dict().values(), short.model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)  # the weights are those of epoch 2


def test_validation_chooses_the_loss_and_ties_go_to_the_lower_loss():
    wanted = iter([0.2] * 8 + [0.7] * 8)

    def score(proba, indices):
        return next(wanted) if indices[0] % 2 else 0.0

    fitted, _ = fit(task(score=score), names=("cross_entropy", "focal"))
    assert (fitted.loss, fitted.loss_scores) == ("focal", {"cross_entropy": 0.2, "focal": 0.7})


def test_members_of_an_ensemble_choose_each_its_own_loss_and_all_choices_are_told():
    each = ([0.2] * 8, [0.7] * 8), ([0.9] * 8, [0.4] * 8), ([0.1] * 8, [0.4] * 8)
    wanted = iter([score for member in each for scores in member for score in scores])

    def score(proba, indices):
        return next(wanted) if indices[0] % 2 else 0.0

    fitted, _ = fit(task(score=score), names=("cross_entropy", "focal"), ensemble=3)
    assert fitted.loss == "cross_entropy/focal"
    assert fitted.loss_scores == pytest.approx({"cross_entropy": 0.4, "focal": 0.5})
    assert fitted.history.loc[fitted.history["chosen"], "loss"].tolist() == ["focal"]  # the first member's


def test_the_epoch_of_an_ensemble_is_the_median_of_its_members():
    peaks, stated = (2, 4, 7), []

    def score(proba, indices):
        if not indices[0] % 2:
            return 0.0
        stated.append(None)
        return float(len(stated) % 8 == peaks[(len(stated) - 1) // 8] % 8)

    fitted, _ = fit(task(score=score), ensemble=3, patience=8)
    assert fitted.epoch == 4


def test_both_losses_start_from_the_same_weights():
    fitted, _ = fit(task(), names=("cross_entropy", "focal"), epochs=1)
    alone, _ = fit(task(), names=("focal",), epochs=1)
    both = fitted.history[fitted.history["loss"] == "focal"].iloc[0]
    assert both["val_loss"] == alone.history.iloc[0]["val_loss"]


def test_same_seed_same_bytes():
    first, _ = fit(task())
    again, _ = fit(task())
    for ours, theirs in zip(first.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    assert first.history.equals(again.history)


def test_nothing_selects_without_validation():
    fitted, _ = fit(task(train=np.arange(60), val=np.array([], int)), patience=3, epochs=5)
    assert (fitted.epoch, fitted.loss_scores) == (5, {})


def test_estimators_are_fitted_once_and_classes_they_never_saw_get_nothing():
    y = np.where(Y == 2, 1, Y)
    fitted, _ = fit(task(y=y), model="pca_svm")
    proba = fitted.proba()
    assert proba.shape == (60, 3)
    assert (proba[:, 2] == 0).all()
    assert (proba.argmax(1) == y).mean() > 0.9
    assert len(fitted.history) == 1


def test_a_batch_of_one_is_never_left_over():
    run = training.TrainingRun(
        nn.Linear(1, 3), task(train=np.arange(17)), losses.build("focal", {}), Training(batch=8), 0, ()
    )
    assert [len(batch) for batch in run._batches()] == [8, 9]


def test_a_loss_that_is_not_finite_is_told():
    class Bad(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return Output(self.weight * torch.full((len(x), 3), torch.nan), {})

    with refuses("E703", "epoch 1", "training.learning_rate"):
        train(Bad, task(), {"focal": losses.build("focal", {})}, Training(), seed=0)


def test_frozen_parameters_stay():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(1024, 4), nn.Linear(4, 3)
            self.body.requires_grad_(False)

        def forward(self, x):
            return Output(self.head(self.body(x.flatten(1) / 255)), {})

    torch.manual_seed(1)
    before = Half().body.weight.clone()
    fitted = train(Half, task(), {"focal": losses.build("focal", {})}, Training(epochs=2, patience=0), seed=1)
    assert torch.equal(fitted.model.body.weight, before)


def test_latency_is_a_positive_median():
    model = models.build("small_cnn", {})(SPEC, 3, {})
    assert 0 < learners.latency(learner_of(model), SPEC) < 1000


def test_losses_that_validation_scores_alike_are_told_apart_by_one_measure():
    fitted, _ = fit(task(score=lambda proba, indices: 0.5), names=("focal", "cross_entropy"), epochs=4)
    last = fitted.history[fitted.history["epoch"] == 4].set_index("loss")["val_nll"]
    assert fitted.loss == last.idxmin()
    own = fitted.history[fitted.history["epoch"] == 4].set_index("loss")["val_loss"]
    assert own["focal"] < own["cross_entropy"]  # by their own values focal would always win
