"""One training of a network with one loss: batches, steps, the epoch that is kept. Test rows are never used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, update_bn

from microexpr.config.scores import title
from microexpr.config.settings import Training
from microexpr.core.errors import TrainingError
from microexpr.core.interfaces import Augmentation, Batch, LossFn, Output, ViewSpec
from microexpr.core.multitask import TargetValues, target_loss
from microexpr.core.progress import Progress
from microexpr.learning.device import autocast, device, placed

AUGMENTATION_SEED = 0x9E3779B9
"""Distinguishes the random numbers of augmentations from those of the batches."""
MOMENTUM = 0.9
"""Of stochastic gradient descent."""
CURVE_POINTS = 20
"""Epochs at which a training without validation is scored on its own clips, for the learning curves."""
RESIDENT_BYTES = 1 << 30
"""Size up to which all views are kept in memory as one tensor, so that batches are indexed instead of read."""
SCORED = {"train": "train_score", "validation": "val_score"}
"""Parts of the clips, and the columns of the history with their scores."""
Score = Callable[[Float[np.ndarray, "n k"], Int[np.ndarray, "n"]], float]
"""(probabilities, rows of the views) -> the score used for selection, `training.select`; it includes the vote."""


@runtime_checkable
class ViewSource(Protocol):
    """Where views come from (`data.cache.Views`)."""

    @property
    def spec(self) -> ViewSpec:
        """What models are built for."""

    @property
    def features(self) -> Float[np.ndarray, "n f"] | None:
        """Features of a frozen backbone for every view, if they were computed before."""

    def __len__(self) -> int: ...

    def take(
        self, indices: Int[np.ndarray, "b"], out: Num[np.ndarray, "b t h w c"] | None = None
    ) -> Num[np.ndarray, "b t h w c"]:
        """Return these views, in `out` if given."""


@dataclass(frozen=True)
class Task:
    """What is to be learnt: views, their classes and subjects, and the rows for training and validation."""

    views: ViewSource
    y: Int[np.ndarray, "n"]
    num_classes: int
    train: Int[np.ndarray, "m"]
    val: Int[np.ndarray, "v"]
    score: Score
    subjects: Int[np.ndarray, "n"] | None = None
    """A number for each view's subject; required if subjects are sampled."""
    targets: Mapping[str, TargetValues] = field(default_factory=dict)
    """Auxiliary targets, one row per view."""

    @cached_property
    def inputs(self) -> Inputs:
        """The views as tensors."""
        return Inputs(self.views)


class Inputs:
    """Views as tensors on the accelerator; all are kept there if they fit into RESIDENT_BYTES."""

    def __init__(self, views: ViewSource) -> None:
        self.views = views
        self._all: Tensor | None = None
        self._room: np.ndarray | None = None
        self._few = len(views) * int(np.prod(views.spec.shape)) * 4 <= RESIDENT_BYTES

    def take(self, indices: Int[np.ndarray, "b"]) -> Float[Tensor, "b t c h w"]:
        """Return these views; a later call may overwrite them."""
        if not self._few:
            if self._room is None or len(self._room) < len(indices):
                self._room = np.empty((len(indices), *self.views.spec.shape), self.views.take(indices[:1]).dtype)
            return tensor(self.views, indices, self._room[: len(indices)])
        if self._all is None:
            self._all = tensor(self.views, np.arange(len(self.views)))
        return self._all[torch.as_tensor(indices, device=self._all.device)]


def tensor(
    views: ViewSource, indices: Int[np.ndarray, "b"], out: Num[np.ndarray, "b t h w c"] | None = None
) -> Float[Tensor, "b t c h w"]:
    """Return these views as input of a network; `out` is a buffer that they are read into."""
    x = torch.as_tensor(np.ascontiguousarray(views.take(indices, out)))
    return x.to(device(), non_blocking=True).movedim(-1, 2).contiguous().float()


def prediction_batch(training: Training) -> int:
    """Return how many views are predicted together."""
    return max(training.batch, 32)


def outputs(
    model: Callable[[Tensor], Output],
    take: Callable[[Int[np.ndarray, "b"]], Float[Tensor, "b ..."]],
    indices: Int[np.ndarray, "n"],
    training: Training,
) -> Output:
    """Return a network's outputs for views, as in validation and test; the network must be in evaluation mode."""
    size, start, parts = prediction_batch(training), 0, list[Output]()
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    with torch.inference_mode(), autocast(training):
        while start < len(indices):
            try:
                parts.append(_float(model(take(indices[start : start + size]))))
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                size //= 2
                continue
            start += size
    aux = {name: torch.cat([part.aux[name] for part in parts]).cpu() for name in parts[0].aux}
    return Output(torch.cat([part.logits for part in parts]).cpu(), aux)


class TrainingRun:
    """One training with one loss; `state` holds the weights that are kept, `history` every epoch that was scored.

    Each batch goes through the network in so many `parts`, whose gradients are added up: less memory for the same step.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        loss: LossFn,
        training: Training,
        seed: int,
        augmentations: Sequence[Augmentation],
        parts: int = 1,
    ) -> None:
        self.model, self.task, self.loss, self.training = placed(model, training), task, loss, training
        self.parts = parts
        self.augmentations = augmentations
        self.generator = torch.Generator().manual_seed(seed)
        # A separate stream: with and without augmentation, clips come in the same order.
        self.augmenting = torch.Generator().manual_seed(seed ^ AUGMENTATION_SEED)
        self.balances = {name: target.balance(task.train).to(device()) for name, target in task.targets.items()}
        self.counts = torch.bincount(torch.as_tensor(task.y[task.train]), minlength=task.num_classes).float()
        self.optimizer = _optimizer(model, training)
        self.rate = _schedule(self.optimizer, training)
        self.averaged = AveragedModel(model) if training.average_last else None
        self.epochs: list[dict[str, Any]] = []
        self.best, self.best_nll, self.epoch = -np.inf, np.inf, 0
        self.state: dict[str, Tensor] = {}

    def go(self, name: str, progress: Progress) -> TrainingRun:
        """Train for all epochs, or until validation has not improved for `patience` epochs."""
        torch.manual_seed(int(self.generator.initial_seed()))  # the same dropout for every loss
        progress.start(name, self.training.epochs)
        try:
            self._train(name, progress)
        finally:
            progress.stop()
        return self

    def history(self) -> pd.DataFrame:
        """Return one row per scored epoch: losses and scores on training and validation."""
        return pd.DataFrame(self.epochs)

    def _train(self, name: str, progress: Progress) -> None:
        for epoch in range(1, self.training.epochs + 1):
            self.train_epoch(epoch)
            self._average(epoch)
            if not self._is_scored(epoch):
                progress.step("")
                continue
            row = self._evaluate(name, epoch)
            scores = [f"{part} {row[key]:.3f}" for part, key in SCORED.items() if key in row]
            progress.step(f"{title(self.training.select)}: {', '.join(scores)}")
            if self._keep(row) or not self._may_stop:
                continue
            if epoch - self.epoch >= self.training.patience:
                break

    def _is_scored(self, epoch: int) -> bool:
        if len(self.task.val):
            return True
        return epoch % -(-self.training.epochs // CURVE_POINTS) == 0 or epoch == self.training.epochs

    def train_epoch(self, epoch: int) -> None:
        """Take every training view once, in batches; `epoch` counts from 1."""
        self.model.train()
        for indices in self._batches():
            batch = self.batch(indices)
            for augment in self.augmentations:
                batch = augment(batch, self.task.views.spec, self.augmenting)
            batch = _smoothed(batch, self.training.label_smoothing)
            self.optimizer.zero_grad(set_to_none=True)
            for part in _split(batch, self.parts):
                with autocast(self.training):
                    output = self.model(part.x)
                loss = self._loss(_float(output), part)
                if not torch.isfinite(loss):
                    raise TrainingError(
                        "E703",
                        f"the loss is not finite in epoch {epoch}. Set a smaller training.learning_rate (now "
                        f'{self.training.learning_rate:g}) or training.precision = "float32".',
                    )
                (loss if self.parts == 1 else loss * (len(part.x) / len(batch.x))).backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        if self.rate is not None:
            self.rate.step()

    def _loss(self, output: Output, batch: Batch) -> Float[Tensor, ""]:
        loss = self.loss(output, batch, self.counts.to(device())).mean()
        for name, target in self.task.targets.items():
            loss = loss + target.weight * target_loss(output.aux[name], batch.aux[name], self.balances[name])
        return loss

    def _average(self, epoch: int) -> None:
        """Add this epoch's weights to the mean, which replaces them after the last epoch."""
        if self.averaged is None or epoch <= self.training.epochs - self.training.average_last:
            return
        self.averaged.update_parameters(self.model)
        if epoch == self.training.epochs:
            # Running batch statistics must be measured anew for averaged weights.
            update_bn((self.task.inputs.take(indices) for indices in self._batches()), self.averaged)
            self.model.load_state_dict(self.averaged.module.state_dict())

    def _batches(self) -> Iterator[np.ndarray]:
        """Shuffled batches; a last batch of one view is merged into the one before, since batch statistics need two."""
        order = self.task.train[self._sampled().numpy()]
        cuts = list(range(self.training.batch, len(order), self.training.batch))
        if cuts and len(order) - cuts[-1] == 1:
            cuts.pop()
        yield from np.split(order, cuts)

    def _sampled(self) -> Int[Tensor, "m"]:
        """Return the training views of an epoch, in the order in which they are used."""
        count = len(self.task.train)
        if self.training.draw == "clips":
            return torch.randperm(count, generator=self.generator)
        assert self.task.subjects is not None
        subjects = torch.as_tensor(self.task.subjects[self.task.train])
        weights = 1 / torch.bincount(subjects).double()[subjects]
        return torch.multinomial(weights, count, replacement=True, generator=self.generator)

    def batch(self, indices: np.ndarray) -> Batch:
        """Return these views with their classes and targets, on the accelerator."""
        aux = {
            name: torch.as_tensor(target.values[indices]).float().to(device())
            for name, target in self.task.targets.items()
        }
        return Batch(self.task.inputs.take(indices), one_hot(self.task, indices).to(device()), aux)

    def _evaluate(self, name: str, epoch: int) -> dict[str, Any]:
        row: dict[str, Any] = {"loss": name, "epoch": epoch}
        self.model.eval()
        for part, indices in (("train", self.task.train), ("val", self.task.val)):
            if len(indices):
                scores = outputs(self.model, self.task.inputs.take, indices, self.training).logits
                batch = Batch(torch.empty(len(indices), 0), one_hot(self.task, indices), {})
                row[f"{part}_loss"] = float(self.loss(Output(scores, {}), batch, self.counts).mean())
                row[f"{part}_nll"] = float(nn.functional.cross_entropy(scores, torch.as_tensor(self.task.y[indices])))
                row[f"{part}_score"] = self.task.score(torch.softmax(scores.double(), 1).numpy(), indices)
        self.epochs.append(row)
        return row

    def _keep(self, row: Mapping[str, Any]) -> bool:
        """Keep this epoch's weights if it is the best so far on validation; without validation, always."""
        score, nll = (row["val_score"], row["val_nll"]) if "val_score" in row else (np.inf, row["train_nll"])
        better = score > self.best or "val_score" not in row or not self.training.patience
        if better:
            self.best, self.best_nll, self.epoch = score, nll, row["epoch"]
            if row["epoch"] == self.training.epochs or self._may_stop:
                self.state = {key: value.detach().cpu().clone() for key, value in self.model.state_dict().items()}
        return bool(better)

    @property
    def _may_stop(self) -> bool:
        return bool(self.training.patience) and len(self.task.val) > 0


def one_hot(task: Task, indices: Int[np.ndarray, "b"]) -> Float[Tensor, "b k"]:
    """Return the classes of views in one-hot encoding."""
    return nn.functional.one_hot(torch.as_tensor(task.y[indices]), task.num_classes).float()


def _optimizer(model: nn.Module, training: Training) -> torch.optim.Optimizer:
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate, decay = training.learning_rate, training.weight_decay
    if training.optimizer == "sgd":
        return torch.optim.SGD(trainable, lr=rate, momentum=MOMENTUM, weight_decay=decay, fused=True)
    return torch.optim.AdamW(trainable, lr=rate, weight_decay=decay, fused=True)


def _schedule(
    optimizer: torch.optim.Optimizer, training: Training
) -> torch.optim.lr_scheduler.CosineAnnealingLR | None:
    if training.schedule == "constant":
        return None
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.epochs)


def _smoothed(batch: Batch, share: float) -> Batch:
    return batch._replace(y=batch.y * (1 - share) + share / batch.y.shape[1]) if share else batch


def _split(batch: Batch, parts: int) -> Iterator[Batch]:
    """Yield a batch in parts, of two views at least, as batch statistics need."""
    parts = max(1, min(parts, len(batch.x) // 2))
    split = (torch.tensor_split(each, parts) for each in (batch.x, batch.y, *batch.aux.values()))
    for x, y, *aux in zip(*split, strict=True):
        yield Batch(x, y, dict(zip(batch.aux, aux, strict=True)))


def _float(output: Output) -> Output:
    return Output(output.logits.float(), {key: value.float() for key, value in output.aux.items()})
