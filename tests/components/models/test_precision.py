"""Networks in bf16, the precision of a GPU, against 32 bits, after a short training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from microexpr.core.interfaces import FitsStatistics, FrozenBackbone, ViewSpec, models
from small_inputs import FRAMES, LARGE, PICTURES, SMALL, VIEWS

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.numeric]
K, STEPS, BATCH = 3, 40, 8
MOST = 0.04
"""Of how much the scores of different inputs differ: what a change of the precision may move them by."""
NETWORKS = [
    name
    for name in models.names()
    if name not in LARGE and (name == "mobilevit_svm" or models.build(name, SMALL.get(name, {})).trains_in_epochs)
]
"""Models that are networks, those of one architecture by its smallest."""
SIBLINGS = ("vit_s32", "swin_t", "poolformer_s12")
"""The smallest published size of each network whose smaller sibling (nano) is no published one."""


def view_of(name: str, side: int = 32) -> ViewSpec:
    channels = VIEWS.get(name, PICTURES)[0]
    return ViewSpec((FRAMES.get(name, 1), side, side, len(channels)), channels)


def network(name: str, view: ViewSpec) -> Any:
    torch.manual_seed(0)
    weights = {"weights": "random"} if name in LARGE else {}
    return models.build(name, {**SMALL.get(name, {}), **weights})(view, K, {})


def scenes(view: ViewSpec, rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Soft noise on which a square brightens from the first to the last frame; its place and strength are the class."""
    frames, side, _, channels = view.shape
    y = torch.arange(rows) % K
    coarse = torch.rand(rows, channels, 8, 8, generator=torch.Generator().manual_seed(seed))
    noise = nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    x, quarter = noise[:, None].repeat(1, frames, 1, 1, 1) * 0.3, side // 4
    for row, label in enumerate(y.tolist()):
        top = quarter * label
        x[row, frames // 2 :, :, top : top + quarter, quarter : 2 * quarter] += 0.25 + 0.2 * label
    return view.low + (view.high - view.low) * x, y


def trained(model: nn.Module, view: ViewSpec, rate: float) -> nn.Module:
    x, y = scenes(view, 3 * BATCH, seed=0)
    if isinstance(model, FrozenBackbone):
        with torch.no_grad():
            model.eval().fit_head(model.embed(x), y.numpy())
        return model
    for part in model.modules():
        if isinstance(part, FitsStatistics):
            part.fit_statistics([x])
    optimizer = torch.optim.AdamW(model.parameters(), rate)
    for step in range(STEPS):
        rows = torch.arange(step * BATCH, (step + 1) * BATCH) % len(x)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model.train()(x[rows]).logits, y[rows]).backward()
        optimizer.step()
    return model.eval()


def moved_by_precision(name: str, side: int = 32, rate: float = 1e-3) -> tuple[float, float]:
    """How much bf16 moves the scores of new inputs, and how much these differ, both as root mean squares."""
    view = view_of(name, side)
    model, (x, _) = trained(network(name, view), view, rate), scenes(view, 24, seed=1)
    with torch.no_grad():
        exact = model(x).logits
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(x).logits
    assert not torch.equal(exact, rounded)
    moved, spread = rounded.float() - exact, exact - exact.mean(0)
    return moved.square().mean().sqrt().item(), spread.square().mean().sqrt().item()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_trained_network_says_in_bf16_what_it_says_in_32_bits(name):
    moved, spread = moved_by_precision(name)
    assert spread > 0.3  # it has learnt to tell inputs apart
    assert moved < MOST * spread


@pytest.mark.slow
@pytest.mark.parametrize("name", SIBLINGS)
def test_so_do_networks_of_published_sizes(name):
    moved, spread = moved_by_precision(name, side=64, rate=2e-4)
    assert spread > 0.3
    assert moved < MOST * spread
