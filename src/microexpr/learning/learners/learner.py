"""The interface of a model that learns and predicts, whatever kind it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from microexpr.config.settings import Training
from microexpr.core.interfaces import Augmentation, LossFn
from microexpr.core.lineage import Lineage
from microexpr.core.progress import Progress
from microexpr.learning import checkpoint
from microexpr.learning.checkpoint import Stored
from microexpr.learning.training import Task, ViewSource, prediction_batch


class Prediction(NamedTuple):
    """Predictions of views: class probabilities, and the output probabilities of each auxiliary target."""

    proba: Float[np.ndarray, "n k"]
    aux: Mapping[str, Float[np.ndarray, "n _"]]


class Fitted(NamedTuple):
    """How a learner was trained: its history, and what was chosen.

    The members of an ensemble choose independently: `loss` lists what they chose (``cross_entropy/focal``), `epoch` is
    the median of their epochs and `loss_scores` are means. The history is the first member's.
    """

    history: pd.DataFrame
    loss: str
    epoch: int
    loss_scores: Mapping[str, float]
    parts: int = 1
    """In how many parts each batch went through the network, as memory did not suffice for all of it."""


@dataclass
class Learner(ABC):
    """A model with everything that depends on its kind; `learners.make` builds one."""

    model: Any
    """What is trained: a torch module or a scikit-learn classifier; explainers look into it."""
    num_classes: int
    training: Training

    in_epochs: ClassVar[bool] = False
    """Whether random weights are trained in epochs; other models are fitted once."""

    embeds: ClassVar[bool] = False
    """Whether a part that no training changes turns views into features, which all folds can share (`embed`)."""

    @abstractmethod
    def fit(
        self,
        task: Task,
        losses: Mapping[str, LossFn],
        seed: int,
        augmentations: Sequence[Augmentation],
        progress: Progress,
    ) -> Fitted:
        """Train on the training rows of `task`; with several losses, with each, and validation chooses.

        Ties between losses are broken by the negative log-likelihood of the validation views, which is comparable
        between losses; their own values are not (focal loss is never above cross-entropy). Models that are fitted once
        use no loss. Raises TrainingError.
        """

    @abstractmethod
    def predict(self, views: ViewSource, indices: Int[np.ndarray, "n"]) -> Prediction:
        """Return the predictions of these views; classes that an estimator did not see in training get 0."""

    def embed(self, views: ViewSource, indices: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n f"]:
        """Return features of these views, if the learner `embeds`."""
        raise NotImplementedError

    @property
    def batch(self) -> int:
        """How many views are predicted together."""
        return prediction_batch(self.training)

    @property
    def parameters(self) -> int | None:
        """Number of parameters; None for an estimator, where it is not comparable."""
        return None

    @property
    def normalisation(self) -> Any:
        """What the model subtracts and scales by, in the units of its input, or where it does so."""
        return "within the fitted estimator"

    @property
    def threads(self) -> int:
        """Threads with which the prediction of one clip is timed.

        One clip is too little work for an estimator to share: waking or waiting for a pool of threads can take a
        hundred times as long as the work itself.
        """
        return 1

    @abstractmethod
    def ready(self) -> Any:
        """Return the model on the accelerator, in evaluation mode."""

    @abstractmethod
    def state(self) -> Stored:
        """Return the fitted state, without a card."""

    @abstractmethod
    def restore(self, stored: Stored, file: Path) -> None:
        """Set the state that was read from `file`; raises StoreError if it is another model's."""

    def _fitted_once(self, task: Task) -> Fitted:
        """Return the history of a model that is fitted once: one row with the scores of training and validation."""
        row: dict[str, Any] = {"loss": "", "epoch": 0, "chosen": True}
        for part, indices in (("train", task.train), ("val", task.val)):
            if len(indices):
                row[f"{part}_score"] = task.score(self.predict(task.views, indices).proba, indices)
        return Fitted(pd.DataFrame([row]), "", 0, {})

    def save(self, file: Path, card: Mapping[str, Any], lineage: Lineage | None = None) -> None:
        """Write the fitted state with its card and what it was trained on."""
        checkpoint.write(file, self.state()._replace(card=card), lineage)

    def load(self, file: Path) -> Mapping[str, Any]:
        """Read the state that `save` wrote and return its card; raises StoreError."""
        stored = checkpoint.read(file)
        self.restore(stored, file)
        return stored.card
