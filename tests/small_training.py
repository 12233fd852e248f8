"""A training that takes a second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from microexpr.config.settings import Training
from microexpr.core.interfaces import ViewSpec, losses, models
from microexpr.core.progress import Silent
from microexpr.learning import learners

RNG = np.random.default_rng(0)


Y = np.repeat([0, 1, 2], 20)


@dataclass
class Stack:
    """Pictures whose brightness tells the class."""

    pixels: np.ndarray
    spec: ViewSpec
    features: None = None

    def __len__(self):
        return len(self.pixels)

    def take(self, indices, out=None):
        return np.take(self.pixels, indices, axis=0, out=out)


PIXELS = (RNG.integers(0, 60, (60, 1, 32, 32, 1)) + 70 * Y[:, None, None, None, None]).astype(np.uint8)


SPEC = ViewSpec((1, 32, 32, 1), ("grey",))


EVEN, ODD = np.arange(0, 60, 2), np.arange(1, 60, 2)


def task(train=EVEN, val=ODD, score=None, y=Y):
    def accuracy(proba, indices):
        return float((proba.argmax(1) == y[indices]).mean())

    return learners.Task(Stack(PIXELS, SPEC), y, 3, train, val, score or accuracy)


def fit(a_task, model="small_cnn", names=("cross_entropy",), **training):
    settings = Training(**{"epochs": 8, "learning_rate": 3e-3, "batch": 8, "patience": 0} | training)
    factory = models.build(model, {})
    built = {name: losses.build(name, {}) for name in names}
    return train(lambda: factory(SPEC, 3, {}), a_task, built, settings, seed=1), settings


@dataclass
class Trained:
    """A learner and how it was trained."""

    learner: learners.Learner
    history: pd.DataFrame
    loss: str
    epoch: int
    loss_scores: dict[str, float]
    parts: int = 1

    @property
    def model(self):
        return self.learner.model

    def proba(self):
        """Probabilities of all pictures."""
        return self.learner.predict(Stack(PIXELS, SPEC), np.arange(60)).proba


def train(build, a_task, built, settings, seed, augmentations=()):
    learner = learners.make(build, a_task.num_classes, settings, seed)
    return Trained(learner, *learner.fit(a_task, built, seed, augmentations, Silent()))


def learner_of(model, num_classes=3):
    """The learner of a model that exists."""
    return learners.make(lambda: model, num_classes, Training())
