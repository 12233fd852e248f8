"""A GPU whose memory does not suffice for a batch: the batch goes through the network in parts, to the same step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from microexpr.config.settings import Training
from microexpr.core.interfaces import Output, losses
from microexpr.core.progress import Silent
from microexpr.learning import learners
from small_training import task

pytestmark = pytest.mark.numeric
FULL = 16


class Small(nn.Module):
    """A network without batch statistics on an accelerator that holds so many views at once."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 8), nn.Tanh(), nn.Linear(8, 3))
        self.room = room
        self.seen = list[int]()

    def forward(self, x):
        if len(x) > self.room:
            raise torch.OutOfMemoryError("memory does not suffice")
        if self.training:
            self.seen.append(len(x))
        return Output(self.net(x / 255), {})


def trained(room: int, **training):
    settings = Training(**{"epochs": 3, "learning_rate": 3e-3, "batch": FULL, "patience": 0} | training)
    learner = learners.make(lambda: Small(room), 3, settings, 0)
    found = learner.fit(task(), {"cross_entropy": losses.build("cross_entropy", {})}, 0, [], Silent())
    return learner, found


@pytest.mark.parametrize(("room", "parts"), [(64, 1), (15, 2), (8, 2), (7, 4), (4, 4), (2, 8)])
def test_a_batch_in_parts_gives_the_same_training(room, parts):
    whole, _ = trained(1000)
    learner, found = trained(room)
    assert found.parts == parts
    assert max(learner.model.seen) <= room
    for ours, theirs in zip(learner.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)


def test_what_does_not_fit_in_parts_of_two_views_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        trained(1)


def test_prediction_takes_as_many_views_as_fit():
    learner, _ = trained(1000)
    a_task = task()
    whole = learner.predict(a_task.views, np.arange(60)).proba
    learner.model.room = 5
    np.testing.assert_allclose(learner.predict(a_task.views, np.arange(60)).proba, whole, atol=1e-6)
    learner.model.room = 0
    with pytest.raises(torch.OutOfMemoryError):
        learner.predict(a_task.views, np.arange(60))


def test_every_member_of_an_ensemble_may_need_parts():
    settings = {"ensemble": 2}
    learner, found = trained(8, **settings)
    assert found.parts == 2
    assert len(learner.model.members) == 2
