"""Train a model and predict with it: a torch network, a scikit-learn estimator, or a frozen backbone with a head.

Test rows are never used here. Validation rows, if any, choose the loss and the epoch; without them nothing is chosen.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from microexpr.config.settings import Training
from microexpr.core.interfaces import Augmentation, FitsStatistics, FrozenBackbone, LossFn, Output, ViewSpec
from microexpr.core.progress import Progress, Silent
from microexpr.learning.training import Task as Task
from microexpr.learning.training import TrainingRun, ViewSource, outputs, precision, tensor
from microexpr.learning.training import device as device

LATENCY_REPEATS = 30
STATISTICS_BATCH = 256
"""Views per batch when a module measures the training views."""


class Fitted(NamedTuple):
    """A trained model, its history, and what was chosen.

    The members of an ensemble choose independently: `loss` lists what they chose (``cross_entropy/focal``), `epoch` is
    the median of their epochs and `loss_scores` are means. The history is the first member's.
    """

    model: Any
    history: pd.DataFrame
    loss: str
    epoch: int
    loss_scores: Mapping[str, float]


def parameters(model: Any) -> int | None:
    """Return a network's number of parameters; None for an estimator, where the number is not comparable."""
    return sum(each.numel() for each in model.parameters()) if isinstance(model, nn.Module) else None


class Ensemble(nn.Module):
    """Networks of one architecture trained from different seeds; their probabilities are averaged."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Output:
        given = [member(x) for member in self.members]
        proba = torch.stack([torch.softmax(output.logits.double(), 1) for output in given]).mean(0)
        aux = {
            name: torch.stack([output.aux[name].double().sigmoid() for output in given]).mean(0).logit(eps=1e-12)
            for name in given[0].aux
        }
        return Output(proba.clamp(min=torch.finfo(torch.float64).tiny).log(), aux)


def assemble(build: Callable[[], Any], training: Training) -> Any:
    """Return the untrained model that `fit` trains: one model, or an ensemble."""
    model = build()
    if not isinstance(model, nn.Module) or training.ensemble == 1:
        return model
    return Ensemble([model, *(build() for _ in range(training.ensemble - 1))])


def fit(
    build: Callable[[], Any],
    task: Task,
    losses: Mapping[str, LossFn],
    training: Training,
    seed: int,
    augmentations: Sequence[Augmentation] = (),
    progress: Progress | None = None,
) -> Fitted:
    """Train a model; with several losses, train with each and let validation choose. Raises TrainingError.

    Ties between losses are broken by the negative log-likelihood of the validation views, which is comparable between
    losses; their own values are not (focal loss is never above cross-entropy). Estimators and the heads of frozen
    backbones are fitted once, whatever `training` says.
    """
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    members = []
    for number in range(training.ensemble):
        torch.manual_seed(seed + number)
        model = build()
        if isinstance(model, FrozenBackbone):
            return _fit_frozen_backbone(model, task, training)
        if not isinstance(model, nn.Module):
            return _fit_estimator(model, task, training)
        members.append(_fit_network(model, task, losses, training, seed + number, augmentations, progress or Silent()))
    return members[0] if len(members) == 1 else _as_ensemble(members)


def _as_ensemble(members: Sequence[Fitted]) -> Fitted:
    first = members[0]
    return first._replace(
        model=Ensemble([member.model for member in members]),
        loss="/".join(sorted({member.loss for member in members})),
        epoch=int(np.median([member.epoch for member in members])),
        loss_scores={
            name: float(np.mean([member.loss_scores[name] for member in members])) for name in first.loss_scores
        },
    )


def predict(
    model: Any, views: ViewSource, indices: Int[np.ndarray, "n"], num_classes: int, training: Training
) -> Float[np.ndarray, "n k"]:
    """Return each view's class probabilities; classes that an estimator did not see in training get 0."""
    return predict_all(model, views, indices, num_classes, training)[0]


def predict_all(
    model: Any, views: ViewSource, indices: Int[np.ndarray, "n"], num_classes: int, training: Training
) -> tuple[Float[np.ndarray, "n k"], dict[str, Float[np.ndarray, "n _"]]]:
    """Return each view's class probabilities, and the output probabilities of each auxiliary target."""
    if not isinstance(model, nn.Module):
        proba = np.zeros((len(indices), num_classes))
        proba[:, model.classes_] = model.predict_proba(_flattened(views, indices))
        return proba, {}
    output = _outputs(model.to(device()).eval(), views, indices, training)
    aux = {name: value.double().sigmoid().numpy() for name, value in output.aux.items()}
    return torch.softmax(output.logits.double(), dim=1).numpy(), aux


def _outputs(model: nn.Module, views: ViewSource, indices: Int[np.ndarray, "n"], training: Training) -> Output:
    if isinstance(model, FrozenBackbone) and views.features is not None:
        features = views.features
        return outputs(model.classify, lambda rows: torch.as_tensor(features[rows]).to(device()), indices, training)
    return outputs(model, partial(tensor, views), indices, training)


def embed(model: FrozenBackbone, views: ViewSource, indices: Int[np.ndarray, "n"], training: Training) -> np.ndarray:
    """Return the features of a frozen backbone for views."""
    assert isinstance(model, nn.Module)
    backbone = model.to(device()).eval()
    return outputs(lambda x: Output(backbone.embed(x), {}), partial(tensor, views), indices, training).logits.numpy()


def latency(model: nn.Module, spec: ViewSpec, training: Training) -> float:
    """Return the median time, in milliseconds, of one view through the model, after warming up."""
    where = device()
    time_steps, height, width, channels = spec.shape
    x = torch.rand(1, time_steps, channels, height, width, device=where) * (spec.high - spec.low) + spec.low
    model = model.to(where).eval()
    spent = []
    with torch.inference_mode(), precision(training, where):
        for _ in range(5 + LATENCY_REPEATS):
            start = time.perf_counter()
            model(x)
            if where.type == "cuda":
                torch.cuda.synchronize()
            spent.append(time.perf_counter() - start)
    return 1000 * float(np.median(spent[5:]))


def _fit_network(
    model: nn.Module,
    task: Task,
    losses: Mapping[str, LossFn],
    training: Training,
    seed: int,
    augmentations: Sequence[Augmentation],
    progress: Progress,
) -> Fitted:
    _fit_statistics(model, task)
    start = copy.deepcopy(model.state_dict())
    runs: dict[str, TrainingRun] = {}
    for name, loss in losses.items():
        model.load_state_dict(start)
        runs[name] = TrainingRun(model, task, loss, training, seed, augmentations).go(name, progress)
    chosen = max(runs, key=lambda name: (runs[name].best, -runs[name].best_nll))
    model.load_state_dict(runs[chosen].state)
    history = pd.concat([run.history() for run in runs.values()], ignore_index=True)
    history["chosen"] = (history["loss"] == chosen) & (history["epoch"] == runs[chosen].epoch)
    scores = {name: run.best for name, run in runs.items()} if len(task.val) else {}
    return Fitted(model, history, chosen, runs[chosen].epoch, scores)


def _fit_statistics(model: nn.Module, task: Task) -> None:
    """Let the parts of a module that measure the training views do so."""
    for part in [part for part in model.modules() if isinstance(part, FitsStatistics)]:
        rows = [task.train[at : at + STATISTICS_BATCH] for at in range(0, len(task.train), STATISTICS_BATCH)]
        part.fit_statistics(task.inputs.take(each).cpu() for each in rows)


def _fit_frozen_backbone(model: FrozenBackbone, task: Task, training: Training) -> Fitted:
    stored, rows = task.views.features, task.train
    features = stored[rows] if stored is not None else embed(model, task.views, rows, training)
    model.fit_head(torch.as_tensor(features).to(device()), task.y[rows])
    return _without_epochs(model, task, training)


def _fit_estimator(model: Any, task: Task, training: Training) -> Fitted:
    model.fit(_flattened(task.views, task.train), task.y[task.train])
    return _without_epochs(model, task, training)


def _without_epochs(model: Any, task: Task, training: Training) -> Fitted:
    row: dict[str, Any] = {"loss": "", "epoch": 0, "chosen": True}
    for part, indices in (("train", task.train), ("val", task.val)):
        if len(indices):
            proba = predict(model, task.views, indices, task.num_classes, training)
            row[f"{part}_score"] = task.score(proba, indices)
    return Fitted(model, pd.DataFrame([row]), "", 0, {})


def _flattened(views: ViewSource, indices: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n m"]:
    return views.take(indices).reshape(len(indices), -1).astype(np.float32)
