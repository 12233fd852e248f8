"""Train and predict: a torch module or a scikit-learn estimator, on views it is handed.

Test rows never come here: what validation there is, chooses; where there is none, nothing does.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from microexpr.config import Training
from microexpr.contracts import Augmentation, Batch, LossFn, Output, Seeing, ViewSpec
from microexpr.errors import TrainingError
from microexpr.progress import Progress, Silent

LATENCY_REPEATS = 30
SHOWN = 256
"""Views that a model is shown at a time."""
AUGMENTING = 0x9E3779B9
"""Tells the stream of random numbers of augmentations from that of the batches."""
Score = Callable[[Float[np.ndarray, "n k"], Int[np.ndarray, "n"]], float]
"""(probabilities, rows of the views) -> the score that chooses; it knows vote and metric, the engine does not."""


@runtime_checkable
class Source(Protocol):
    """Where views come from (cache.Views)."""

    @property
    def spec(self) -> ViewSpec:
        """What a model is built for."""

    def take(self, indices: Int[np.ndarray, "b"]) -> Num[np.ndarray, "b t h w c"]:
        """Return these views."""


@dataclass(frozen=True)
class Task:
    """What is to be learnt: views, their classes, who trains and who chooses."""

    views: Source
    y: Int[np.ndarray, "n"]
    num_classes: int
    train: Int[np.ndarray, "m"]
    val: Int[np.ndarray, "v"]
    score: Score


class Fitted(NamedTuple):
    """A trained model, how it came to be, and what was chosen."""

    model: Any
    history: pd.DataFrame
    loss: str
    epoch: int
    loss_scores: Mapping[str, float]


def device() -> torch.device:
    """Return the accelerator of this machine, or its CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fit(
    build: Callable[[], Any],
    task: Task,
    losses: Mapping[str, LossFn],
    training: Training,
    seed: int,
    augmentations: Sequence[Augmentation] = (),
    progress: Progress | None = None,
) -> Fitted:
    """Train; with several losses each is trained and validation chooses. Raises TrainingError.

    Losses that validation scores alike are told apart by the negative log-likelihood of the validation views, which
    is measured alike for all of them; their own values are not comparable (focal loss is never above cross-entropy).
    """
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    torch.manual_seed(seed)
    model = build()
    if not isinstance(model, nn.Module):
        return _fit_estimator(model, task, training)
    _show(model, task)
    start = copy.deepcopy(model.state_dict())
    runs: dict[str, _Run] = {}
    for name, loss in losses.items():
        model.load_state_dict(start)
        runs[name] = _Run(model, task, loss, training, seed, augmentations).go(name, progress or Silent())
    chosen = max(runs, key=lambda name: (runs[name].best, -runs[name].best_nll))
    model.load_state_dict(runs[chosen].state)
    history = pd.concat([run.history() for run in runs.values()], ignore_index=True)
    history["chosen"] = (history["loss"] == chosen) & (history["epoch"] == runs[chosen].epoch)
    scores = {name: run.best for name, run in runs.items()} if len(task.val) else {}
    return Fitted(model, history, chosen, runs[chosen].epoch, scores)


def predict(
    model: Any, views: Source, indices: Int[np.ndarray, "n"], num_classes: int, training: Training
) -> Float[np.ndarray, "n k"]:
    """Return each view's class probabilities; a class that an estimator never saw has 0."""
    if not isinstance(model, nn.Module):
        proba = np.zeros((len(indices), num_classes))
        proba[:, model.classes_] = model.predict_proba(_flat(views, indices))
        return proba
    logits = _logits(model, views, indices, training)
    return np.asarray(torch.softmax(logits.double(), dim=1))


def latency(model: nn.Module, spec: ViewSpec, training: Training) -> float:
    """Return the median milliseconds of one view through the model, after warming up."""
    where = device()
    time_steps, height, width, channels = spec.shape
    x = torch.rand(1, time_steps, channels, height, width, device=where) * (spec.high - spec.low) + spec.low
    model = model.to(where).eval()
    spent = []
    with torch.inference_mode(), _precision(training, where):
        for _ in range(5 + LATENCY_REPEATS):
            start = time.perf_counter()
            model(x)
            if where.type == "cuda":
                torch.cuda.synchronize()
            spent.append(time.perf_counter() - start)
    return 1000 * float(np.median(spent[5:]))


class _Run:
    """One training with one loss."""

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        loss: LossFn,
        training: Training,
        seed: int,
        augmentations: Sequence[Augmentation],
    ) -> None:
        self.model, self.task, self.loss, self.training = model.to(device()), task, loss, training
        self.augmentations = augmentations
        self.generator = torch.Generator().manual_seed(seed)
        # A stream of their own: with and without augmentation, clips come in the same order.
        self.augmenting = torch.Generator().manual_seed(seed ^ AUGMENTING)
        self.counts = torch.bincount(torch.as_tensor(task.y[task.train]), minlength=task.num_classes).float()
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trainable, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
        )
        self.epochs: list[dict[str, Any]] = []
        self.best, self.best_nll, self.epoch = -np.inf, np.inf, 0
        self.state: dict[str, Tensor] = {}

    def go(self, name: str, progress: Progress) -> _Run:
        torch.manual_seed(int(self.generator.initial_seed()))  # dropout alike for every loss
        progress.start(name, self.training.epochs)
        try:
            self._train(name, progress)
        finally:
            progress.stop()
        return self

    def _train(self, name: str, progress: Progress) -> None:
        for epoch in range(1, self.training.epochs + 1):
            self._train_epoch(epoch)
            row = self._evaluate(name, epoch)
            progress.step(" ".join(f"{key} {row[key]:.3f}" for key in ("train_score", "val_score") if key in row))
            if self._keep(row) or not self.training.patience or not len(self.task.val):
                continue
            if epoch - self.epoch >= self.training.patience:
                break

    def history(self) -> pd.DataFrame:
        return pd.DataFrame(self.epochs)

    def _train_epoch(self, epoch: int) -> None:
        self.model.train()
        for indices in self._batches():
            batch = self._batch(indices)
            for augment in self.augmentations:
                batch = augment(batch, self.task.views.spec, self.augmenting)
            with _precision(self.training, device()):
                output = self.model(batch.x)
            loss = self.loss(_float(output), batch, self.counts.to(device())).mean()
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"the loss is not finite in epoch {epoch}; take a smaller training.learning_rate "
                    f'(now {self.training.learning_rate:g}) or training.precision = "float32".'
                )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()

    def _batches(self) -> Iterator[np.ndarray]:
        """Shuffled batches; a last batch of one view joins the one before, because batch statistics need two."""
        order = self.task.train[torch.randperm(len(self.task.train), generator=self.generator).numpy()]
        cuts = list(range(self.training.batch, len(order), self.training.batch))
        if cuts and len(order) - cuts[-1] == 1:
            cuts.pop()
        yield from np.split(order, cuts)

    def _batch(self, indices: np.ndarray) -> Batch:
        return Batch(_tensor(self.task.views, indices), _one_hot(self.task, indices).to(device()), {})

    def _evaluate(self, name: str, epoch: int) -> dict[str, Any]:
        row: dict[str, Any] = {"loss": name, "epoch": epoch}
        for part, indices in (("train", self.task.train), ("val", self.task.val)):
            if len(indices):
                logits = _logits(self.model, self.task.views, indices, self.training)
                batch = Batch(torch.empty(len(indices), 0), _one_hot(self.task, indices), {})
                row[f"{part}_loss"] = float(self.loss(Output(logits, {}), batch, self.counts).mean())
                row[f"{part}_nll"] = float(nn.functional.cross_entropy(logits, torch.as_tensor(self.task.y[indices])))
                row[f"{part}_score"] = self.task.score(torch.softmax(logits.double(), 1).numpy(), indices)
        self.epochs.append(row)
        return row

    def _keep(self, row: Mapping[str, Any]) -> bool:
        """Keep this epoch's weights if it is the best so far on validation; without validation always."""
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


def _show(model: nn.Module, task: Task) -> None:
    """Hand the training views to those parts of the model that measure them, before anything is trained."""
    for part in model.modules():
        if isinstance(part, Seeing):
            starts = range(0, len(task.train), SHOWN)
            part.see(_tensor(task.views, task.train[start : start + SHOWN]) for start in starts)


def _fit_estimator(model: Any, task: Task, training: Training) -> Fitted:
    model.fit(_flat(task.views, task.train), task.y[task.train])
    row: dict[str, Any] = {"loss": "", "epoch": 0, "chosen": True}
    for part, indices in (("train", task.train), ("val", task.val)):
        if len(indices):
            proba = predict(model, task.views, indices, task.num_classes, training)
            row[f"{part}_score"] = task.score(proba, indices)
    return Fitted(model, pd.DataFrame([row]), "", 0, {})


def _flat(views: Source, indices: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n m"]:
    return views.take(indices).reshape(len(indices), -1).astype(np.float32)


def _tensor(views: Source, indices: Int[np.ndarray, "b"]) -> Float[Tensor, "b t c h w"]:
    x = torch.as_tensor(np.ascontiguousarray(views.take(indices)))
    return x.to(device(), non_blocking=True).movedim(-1, 2).contiguous().float()


def _one_hot(task: Task, indices: Int[np.ndarray, "b"]) -> Float[Tensor, "b k"]:
    return nn.functional.one_hot(torch.as_tensor(task.y[indices]), task.num_classes).float()


def _logits(model: nn.Module, views: Source, indices: Int[np.ndarray, "n"], training: Training) -> Float[Tensor, "n k"]:
    model.eval()
    size = max(training.batch, 32)
    with torch.inference_mode(), _precision(training, device()):
        parts = [
            model(_tensor(views, indices[start : start + size])).logits.float().cpu()
            for start in range(0, len(indices), size)
        ]
    return torch.cat(parts)


def _float(output: Output) -> Output:
    return Output(output.logits.float(), {key: value.float() for key, value in output.aux.items()})


def _precision(training: Training, where: torch.device) -> torch.autocast:
    wanted = training.precision == "bf16" or (
        training.precision == "auto" and where.type == "cuda" and torch.cuda.is_bf16_supported()
    )
    return torch.autocast(where.type, torch.bfloat16, enabled=wanted)
