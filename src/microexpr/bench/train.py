"""Training steps end to end against a plain loop in float32, and against bare steps on a prepared batch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from microexpr.bench.measuring import NotMeasured, Timed, alternate, compared, isolated
from microexpr.bench.plain import training as plain
from microexpr.bench.rows import Row, Size
from microexpr.bench.running import Job
from microexpr.config.settings import Training
from microexpr.core.interfaces import FitsStatistics, LossFn, ViewSpec, losses, models
from microexpr.data.reading import Stack
from microexpr.learning.device import autocast, device, fastest_precision
from microexpr.learning.learners import Task, make
from microexpr.learning.training import TrainingRun

T = TypeVar("T")
CLASSES = 4
"""As many clips of each in every batch of the comparison, so that class weights are 1."""
RATE, DECAY = 5e-5, 1e-3
BATCH = 16
"""The paper's."""


class _Case(NamedTuple):
    title: str
    model: str
    parameters: dict[str, Any]
    side: int
    batch: int
    steps: int
    repeats: int


_LARGE = {"weights": "random", "drop_path": 0.0, "dropout": 0.0}
_FLOW = ("u", "v", "strain")
PLACES = ("", ", GPU")
"""Ends of the names of rows: on the processor, and on a GPU."""
CASES = {
    "full": [
        _Case("ViT-B/32 384", "vit_b32", _LARGE, 384, BATCH, 2, 3),
        _Case("PoolFormer-m36 224", "poolformer_m36", _LARGE, 224, BATCH, 2, 3),
        _Case("Swin-B 224", "swin_b", _LARGE, 224, BATCH, 2, 3),
        _Case("STSTNet 28", "ststnet", {"dropout": 0.0}, 28, 64, 60, 5),
    ],
    "small": [
        _Case("ViT-S/32 128", "vit_s32", _LARGE, 128, 8, 3, 3),
        _Case("STSTNet 28", "ststnet", {"dropout": 0.0}, 28, 64, 40, 5),
    ],
    "tiny": [_Case("STSTNet 28", "ststnet", {"dropout": 0.0}, 28, 16, 3, 1)],
}


def jobs(size: Size) -> list[Job]:
    """Return the jobs of this group."""
    return [
        Job("train", (case.title + place,), f"training {case.title}", partial(_row, case=case, place=place, size=size))
        for place in (PLACES if size == "full" else PLACES[:1])
        for case in CASES[size]
    ]


def check_place(place: str) -> None:
    """Raise NotMeasured for the processor's rows on a machine with a GPU, and for the GPU's rows without one."""
    if place and device().type == "cpu":
        raise NotMeasured("this machine has no GPU")
    if not place and device().type != "cpu":
        raise NotMeasured("networks are computed by this machine's GPU")


def finished(side: Callable[[], T]) -> T:
    """Return what a side returns when the accelerator has finished its work."""
    found = side()
    if device().type == "cuda":
        torch.cuda.synchronize()
    return found


class _Logits(nn.Module):
    """The same network for a plain loop: images in, logits out."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x[:, None]).logits
        return logits


class Measured(NamedTuple):
    """What the process that trains sends back."""

    seconds: dict[str, list[float]]
    difference: float
    bf16: bool
    finite: bool


def _row(folder: Path, case: _Case, place: str, size: Size) -> list[Row]:
    check_place(place)
    found = isolated(measure, case) if size == "full" else measure(case)
    used = "bf16" if found.bf16 else "float32"
    large = case.model != "ststnet"
    # After one step from the same weights; bfloat16 has 8 bits of mantissa.
    allowed = 0.1 if found.bf16 else 1e-3
    further: dict[str, float | str] = {
        "precision": used,
        "plain channels-last, seconds": float(np.median(found.seconds["channels-last"])),
        "plain channels-last in autocast to bf16, seconds": float(np.median(found.seconds["autocast"])),
    }
    row = compared(
        "train",
        case.title + place,
        f"{case.steps} training steps of {case.batch} images, "
        f"{case.title.rsplit(' ', 1)[0]} at {case.side}x{case.side}, AdamW. "
        f"Plain: TensorDataset, DataLoader, contiguous float32{', all threads' if not place else ''}. Ours: one epoch "
        "of a training with "
        f'precision = "auto", here {used}.',
        Timed(found.seconds, {}),
        (
            f"largest difference of a logit after one step {found.difference:.2g}",
            found.difference,
            found.finite and found.difference <= allowed,
        ),
        limit=f"bare steps (forward, loss, backward, optimizer) on a prepared batch in {used}",
        target=2.2 if large and not place else None,
        share_target=0.95 if large else 0.8,
        further=further,
    )
    return [row]


def measure(case: _Case) -> Measured:
    """Train one network in four ways and return their seconds."""
    channels, shape = (_FLOW if case.model == "ststnet" else ("r", "g", "b")), (1, case.side, case.side, 3)
    spec = ViewSpec(shape, channels)
    rng = np.random.default_rng(0)
    count = case.batch * case.steps
    pixels = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    y = np.arange(count) % CLASSES
    model = models.build(case.model, case.parameters)
    settings = Training(
        epochs=1,
        batch=case.batch,
        learning_rate=RATE,
        weight_decay=DECAY,
        patience=0,
        precision=fastest_precision(model, spec, CLASSES, {}),
    )
    loss: LossFn = losses.build("cross_entropy", {})

    def build() -> nn.Module:
        found: nn.Module = make(lambda: model(spec, CLASSES, {}), CLASSES, settings, 0).model
        return found

    def begun(net: nn.Module, rows: int) -> TrainingRun:
        score: Any = lambda proba, indices: 0.0  # noqa: E731
        task = Task(Stack(pixels, spec), y, CLASSES, np.arange(rows), np.array([], int), score)
        return TrainingRun(net, task, loss, settings, 0, ())

    start, there = build(), device()
    for part in start.modules():
        if isinstance(part, FitsStatistics):
            part.fit_statistics([torch.from_numpy(pixels).movedim(-1, 2).float()])
    images = torch.from_numpy(pixels[:, 0]).permute(0, 3, 1, 2).float().contiguous()
    labels = torch.from_numpy(y)
    options: Any = {"epochs": 1, "learning_rate": RATE, "weight_decay": DECAY, "device": str(there)}

    # One step on one batch: the order of the rows within it does not matter, so that both sides do the same.
    few, first = slice(case.batch), begun(copy.deepcopy(start), case.batch)
    first.train_epoch(1)
    theirs = plain.train(_Logits(copy.deepcopy(start)), images[few], labels[few], batch=case.batch, **options)
    logits = []
    for net in (theirs, _Logits(first.model)):
        with torch.inference_mode():
            logits.append(net.eval()(images[few].to(there)).cpu())
    difference = float((logits[0] - logits[1]).abs().max())
    del first, theirs

    contiguous, last, own = _Logits(copy.deepcopy(start)), _Logits(copy.deepcopy(start)), copy.deepcopy(start)
    last = last.to(memory_format=torch.channels_last)
    images_last = images.contiguous(memory_format=torch.channels_last)

    def ours() -> nn.Module:
        run = begun(own, count)
        run.train_epoch(1)
        return run.model

    bare = begun(start, case.batch)
    batch = bare.batch(np.arange(case.batch))

    def limit() -> None:
        bare.model.train()
        for _ in range(case.steps):
            bare.optimizer.zero_grad(set_to_none=True)
            with autocast(settings):
                output = bare.model(batch.x)
            value = nn.functional.cross_entropy(output.logits.float(), batch.y)
            value.backward()  # type: ignore[no-untyped-call]
            bare.optimizer.step()

    def loop(net: nn.Module, x: Tensor, bf16: bool = False) -> nn.Module:
        return plain.train(net, x, labels, batch=case.batch, bf16=bf16, **options)

    sides: dict[str, Any] = {
        "plain": lambda: loop(contiguous, images),
        "channels-last": lambda: loop(last, images_last),
        "autocast": lambda: loop(last, images_last, bf16=True),
        "ours": ours,
        "limit": limit,
    }
    spent = alternate({name: partial(finished, side) for name, side in sides.items()}, case.repeats)
    finite = all(bool(torch.isfinite(values).all()) for values in spent.results["ours"].parameters())
    return Measured(
        {name: list(values) for name, values in spent.seconds.items()}, difference, settings.precision == "bf16", finite
    )
