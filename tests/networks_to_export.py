"""Stored networks with weights that no initialisation gives, so that their scores differ between inputs."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from conftest import recipe
from microexpr.core.interfaces import ViewSpec
from microexpr.learning.pipeline import CARD, WEIGHTS, Pipeline, untrained
from small_inputs import FRAMES, LARGE, PICTURES, SMALL, VIEWS

CLASSES = ("disgust", "happiness", "surprise")
UNITS = ("AU1", "AU4")


def lively(model: nn.Module) -> nn.Module:
    """Move every weight, and the statistics of normalisations, of a network in small steps."""
    generator = torch.Generator().manual_seed(2)

    def noise(value: torch.Tensor) -> torch.Tensor:
        return torch.randn(value.shape, generator=generator)

    with torch.no_grad():
        for value in model.parameters():
            value.add_(noise(value) * (0.02 + 0.3 * value.std(correction=0)))
        for part in model.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                assert part.running_mean is not None
                assert part.running_var is not None
                part.running_mean.add_(0.2 * noise(part.running_mean))
                part.running_var.mul_(0.5 + torch.rand(part.running_var.shape, generator=generator))
    return model


def stored(name: str, folder: Path, *, side: int = 64, targets: bool = False, **values: object) -> Path:
    """Return the folder of a stored network of this name, as `microexpr fit` leaves it."""
    channels = VIEWS.get(name, PICTURES)[0]
    view = ViewSpec((FRAMES.get(name, 1), side, side, len(channels)), channels)
    params = {"name": name, **SMALL.get(name, {}), **({"weights": "random"} if name in LARGE else {})}
    experiment = recipe().with_values({"model": params, **values})
    units = {"action_units": UNITS} if targets else {}
    torch.manual_seed(0)
    learner = untrained(experiment, view, len(CLASSES), {key: len(each) for key, each in units.items()})
    lively(learner.model)
    if name == "mobilevit_svm":
        features = learner.model.embed(torch.rand(24, *(view.shape[at] for at in (0, 3, 1, 2))) * 255).detach()
        learner.model.fit_head(features, torch.arange(24).numpy() % len(CLASSES))
    folder.mkdir(parents=True)
    pipeline = Pipeline(experiment, learner, CLASSES, view, "frames", channels, units)
    card = pipeline.save(folder / WEIGHTS, {"licence": {"caveat": "none"}})
    (folder / CARD).write_text(json.dumps(card), "utf-8")
    return folder
