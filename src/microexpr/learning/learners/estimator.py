"""Scikit-learn classifiers: fitted once, to flattened views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from microexpr.core.interfaces import Augmentation, LossFn
from microexpr.core.progress import Progress
from microexpr.learning.checkpoint import Stored, other_model
from microexpr.learning.learners.learner import Fitted, Learner, Prediction
from microexpr.learning.training import Task, ViewSource


class Estimator(Learner):
    """A scikit-learn classifier."""

    _trained: tuple[ViewSource, bytes, Prediction] | None = None
    """Training views and their prediction, which is scored and then stored."""

    def fit(
        self,
        task: Task,
        losses: Mapping[str, LossFn],
        seed: int,
        augmentations: Sequence[Augmentation],
        progress: Progress,
    ) -> Fitted:
        self._trained = None
        self.model.fit(_flattened(task.views, task.train), task.y[task.train])
        self._trained = task.views, task.train.tobytes(), self.predict(task.views, task.train)
        return self._fitted_once(task)

    def predict(self, views: ViewSource, indices: Int[np.ndarray, "n"]) -> Prediction:
        if self._trained and self._trained[0] is views and self._trained[1] == indices.tobytes():
            return self._trained[2]
        proba = np.zeros((len(indices), self.num_classes))
        proba[:, self.model.classes_] = self.model.predict_proba(_flattened(views, indices))
        return Prediction(proba, {})

    def ready(self) -> Any:
        return self.model

    def state(self) -> Stored:
        parts = dict(_attributes(self.model))
        tensors = {
            key: torch.from_numpy(np.ascontiguousarray(value)).clone()
            for key, value in parts.items()
            if isinstance(value, np.ndarray)
        }
        return Stored(tensors, {key: value for key, value in parts.items() if key not in tensors})

    def restore(self, stored: Stored, file: Path) -> None:
        """Fit the classifier to synthetic rows, so that all attributes exist, and replace them by those of the file."""
        self._trained = None
        self.model.fit(np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32), np.arange(6) % 2)
        values = {key: value.numpy() for key, value in stored.tensors.items()} | dict(stored.attributes)
        if set(values) != set(dict(_attributes(self.model))):  # a file can set no other attribute of an object
            raise other_model(file, "attributes")
        for key, value in values.items():
            _restore(self.model, key, value)


def _flattened(views: ViewSource, indices: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n m"]:
    return views.take(indices).reshape(len(indices), -1).astype(np.float32)


def _attributes(estimator: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every attribute of an estimator and of nested ones, by path; raises TypeError for an unknown type."""
    for name, value in vars(estimator).items():
        if name == "steps":
            for step, inner in value:
                yield from _attributes(inner, f"{prefix}{step}/")
        elif hasattr(value, "get_params"):
            yield from _attributes(value, f"{prefix}{name}/")
        elif isinstance(value, np.generic):
            yield prefix + name, value.item()
        elif _is_plain(value):
            yield prefix + name, value
        else:
            raise TypeError(f"{type(estimator).__name__}.{name} cannot be stored: {type(value).__name__}")


def _is_plain(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiub"
    if isinstance(value, tuple):
        return all(isinstance(item, int) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def _restore(estimator: Any, path: str, value: object) -> None:
    *parts, name = path.split("/")
    for part in parts:
        estimator = estimator.named_steps[part] if hasattr(estimator, "named_steps") else getattr(estimator, part)
    setattr(estimator, name, tuple(value) if isinstance(value, list) else value)
