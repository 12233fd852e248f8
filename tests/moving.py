"""Films that only their order tells apart, for the tests of networks that look at sequences."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def films(rows: int, frames: int = 8, side: int = 32, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Textures that go round to the right (class 1) or to the left (0), four pixels a frame, 0..255.

    Pictures are as likely in the one as in the other class, and so is every set of them: a frame tells nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    spectrum = torch.fft.fft2(torch.rand(rows, side, side, generator=generator))
    across = torch.fft.fftfreq(side)
    spectrum *= torch.exp(-(across[:, None] ** 2 + across**2) * 2 * (torch.pi * 2) ** 2)  # details of some pixels
    picture = torch.fft.ifft2(spectrum).real
    low, high = picture.amin((1, 2), keepdim=True), picture.amax((1, 2), keepdim=True)
    picture = (picture - low) / (high - low) * 255
    y = torch.arange(rows) % 2
    ways = (2 * y - 1).tolist()
    moved = [
        torch.stack([each.roll(4 * k * way, 1) for k in range(frames)]) for each, way in zip(picture, ways, strict=True)
    ]
    return torch.stack(moved)[:, :, None], y


def shuffled(x: Tensor, seed: int = 0) -> Tensor:
    """The frames of each film in an order of its own."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([film[torch.randperm(len(film), generator=generator)] for film in x])


def train(model: nn.Module, x: Tensor, y: Tensor, steps: int, rate: float = 3e-3, rows: int = 16) -> nn.Module:
    """The model after some steps of Adam."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.train().parameters(), rate)
    for _ in range(steps):
        pick = torch.randperm(len(x), generator=generator)[:rows]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[pick]).logits, y[pick]).backward()
        optimizer.step()
    return model.eval()


def learn(
    model: nn.Module,
    drawn: Callable[[int, torch.Generator], tuple[Tensor, Tensor]],
    steps: int,
    rate: float,
) -> nn.Module:
    """The model after some steps of AdamW, each with sixteen rows that are drawn for it."""
    generator, optimiser = torch.Generator().manual_seed(0), torch.optim.AdamW(model.parameters(), rate)
    for _ in range(steps):
        x, y = drawn(16, generator)
        loss = nn.functional.cross_entropy(model(x).logits, y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.inference_mode():
        return (model(x).logits.argmax(1) == y).float().mean().item()
