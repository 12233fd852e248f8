"""A training that takes a second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microexpr.config.settings import Training
from microexpr.core.interfaces import ViewSpec, losses, models
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

    def take(self, indices):
        return self.pixels[indices]


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
    return learners.fit(lambda: factory(SPEC, 3, {}), a_task, built, settings, seed=1), settings
