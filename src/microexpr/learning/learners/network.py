"""Networks, and ensembles of networks: trained in epochs."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from microexpr.config.settings import Training
from microexpr.core.interfaces import Augmentation, FitsStatistics, LossFn, Output, ViewSpec
from microexpr.core.progress import Progress
from microexpr.learning.checkpoint import Stored, other_model
from microexpr.learning.device import autocast, device, placed
from microexpr.learning.learners.learner import Fitted, Learner, Prediction
from microexpr.learning.training import Task, TrainingRun, ViewSource, outputs, tensor

LATENCY_REPEATS = 30
STATISTICS_BATCH = 256
"""Views per batch when a module measures the training views."""
NORMALISING = ({"centre", "scale"}, {"mean", "std"})
"""Names of the buffers of modules that normalise: backbones for images multiply by a scale, those for flow divide by
standard deviations measured on the training views."""


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


class Network(Learner):
    """A torch module `x -> Output`, or an `Ensemble` of several."""

    in_epochs: ClassVar[bool] = True

    def fit(
        self,
        task: Task,
        losses: Mapping[str, LossFn],
        seed: int,
        augmentations: Sequence[Augmentation],
        progress: Progress,
    ) -> Fitted:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        members = self.model.members if isinstance(self.model, Ensemble) else [self.model]
        done = [
            _train(member, task, losses, self.training, seed + number, augmentations, progress)
            for number, member in enumerate(members)
        ]
        return done[0] if len(done) == 1 else _together(done)

    def predict(self, views: ViewSource, indices: Int[np.ndarray, "n"]) -> Prediction:
        output = self._outputs(views, indices)
        aux = {name: value.double().sigmoid().numpy() for name, value in output.aux.items()}
        return Prediction(torch.softmax(output.logits.double(), dim=1).numpy(), aux)

    def _outputs(self, views: ViewSource, indices: Int[np.ndarray, "n"]) -> Output:
        return outputs(self.ready(), partial(tensor, views), indices, self.training)

    @property
    def parameters(self) -> int:
        return sum(each.numel() for each in self.model.parameters())

    @property
    def normalisation(self) -> dict[str, Any] | list[dict[str, Any]] | str:
        """Values by channel, or by map in the order of the module that uses them; a list if parts differ."""
        found = [dict(module.named_buffers(recurse=False)) for module in self.model.modules()]
        listed = [
            {name: buffers[name].flatten().tolist() for name in sorted(names)}
            for buffers in found
            for names in NORMALISING
            if names <= set(buffers)
        ]
        unique = [each for at, each in enumerate(listed) if each not in listed[:at]]
        if not unique:
            return "within the model, from the view's range"
        return unique[0] if len(unique) == 1 else unique

    @property
    def threads(self) -> int:
        return torch.get_num_threads()

    def ready(self) -> nn.Module:
        model: nn.Module = self.model
        first = next(model.parameters(), None)
        # Going through all modules can take longer than a prediction.
        if model.training or first is None or first.device.type != device().type:
            placed(model, self.training).eval()
        return model

    def state(self) -> Stored:
        return Stored({key: value.contiguous() for key, value in self.model.state_dict().items()})

    def restore(self, stored: Stored, file: Path) -> None:
        try:
            self.model.load_state_dict(dict(stored.tensors))
        except RuntimeError as error:
            raise other_model(file, "weights", str(error).splitlines()[-1].strip().removesuffix(".")) from None


def latency(learner: Learner, spec: ViewSpec) -> float:
    """Return the median time, in milliseconds, of one view through a network, after warming up."""
    where, model = device(), learner.ready()
    time_steps, height, width, channels = spec.shape
    x = torch.rand(1, time_steps, channels, height, width, device=where) * (spec.high - spec.low) + spec.low
    spent = []
    with torch.inference_mode(), autocast(learner.training):
        for _ in range(5 + LATENCY_REPEATS):
            start = time.perf_counter()
            model(x)
            if where.type == "cuda":
                torch.cuda.synchronize()
            spent.append(time.perf_counter() - start)
    return 1000 * float(np.median(spent[5:]))


def _train(
    model: nn.Module,
    task: Task,
    losses: Mapping[str, LossFn],
    training: Training,
    seed: int,
    augmentations: Sequence[Augmentation],
    progress: Progress,
) -> Fitted:
    """Train one network with each loss and give it the weights of the best."""
    _fit_statistics(model, task)
    start, parts = copy.deepcopy(model.state_dict()), 1
    runs: dict[str, TrainingRun] = {}
    while len(runs) < len(losses):
        name, loss = list(losses.items())[len(runs)]
        model.load_state_dict(start)
        try:
            runs[name] = TrainingRun(model, task, loss, training, seed, augmentations, parts).go(name, progress)
        except torch.OutOfMemoryError:
            if 4 * parts > training.batch:  # parts of two views are the smallest
                raise
            parts *= 2
        if parts > 1 and torch.cuda.is_available():
            torch.cuda.empty_cache()  # what the error kept alive is free here
    chosen = max(runs, key=lambda name: (runs[name].best, -runs[name].best_nll))
    model.load_state_dict(runs[chosen].state)
    history = pd.concat([run.history() for run in runs.values()], ignore_index=True)
    history["chosen"] = (history["loss"] == chosen) & (history["epoch"] == runs[chosen].epoch)
    scores = {name: run.best for name, run in runs.items()} if len(task.val) else {}
    return Fitted(history, chosen, runs[chosen].epoch, scores, parts)


def _fit_statistics(model: nn.Module, task: Task) -> None:
    """Let the parts of a module that measure the training views do so."""
    for part in [part for part in model.modules() if isinstance(part, FitsStatistics)]:
        rows = [task.train[at : at + STATISTICS_BATCH] for at in range(0, len(task.train), STATISTICS_BATCH)]
        part.fit_statistics(task.inputs.take(each).cpu() for each in rows)


def _together(members: Sequence[Fitted]) -> Fitted:
    first = members[0]
    return first._replace(
        parts=max(member.parts for member in members),
        loss="/".join(sorted({member.loss for member in members})),
        epoch=int(np.median([member.epoch for member in members])),
        loss_scores={
            name: float(np.mean([member.loss_scores[name] for member in members])) for name in first.loss_scores
        },
    )
