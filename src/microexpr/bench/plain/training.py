"""Training a network with PyTorch: tensors in memory, a DataLoader, AdamW; all threads, float32."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def train(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    epochs: int,
    batch: int,
    learning_rate: float,
    weight_decay: float,
    seed: int = 0,
    cosine: bool = False,
    device: str = "cpu",
    bf16: bool = False,
) -> nn.Module:
    """Train on images (float32, n x channels x height x width) and their class numbers; `bf16`: in autocast to it."""
    shuffled = torch.Generator().manual_seed(seed)
    data = TensorDataset(images, labels)
    loader = DataLoader(data, batch_size=batch, shuffle=True, generator=shuffled, pin_memory=device != "cpu")
    model = model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs) if cosine else None
    model.train()
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device, torch.bfloat16, enabled=bf16):
                loss = nn.functional.cross_entropy(model(x.to(device)), y.to(device))
            loss.backward()
            optimizer.step()
        if schedule is not None:
            schedule.step()
    return model


def leave_one_subject_out(
    build: Callable[[], nn.Module],
    images: np.ndarray,
    labels: np.ndarray,
    subjects: np.ndarray,
    tested: list[str],
    *,
    epochs: int,
    batch: int,
    learning_rate: float,
    weight_decay: float,
    device: str = "cpu",
) -> dict[int, int]:
    """Train on all other subjects for each of `tested`, and return the predicted class of its clips by row.

    `images`: uint8, n x height x width x channels; channels are standardised by the training clips.
    """
    x, y = torch.from_numpy(images).permute(0, 3, 1, 2).float().contiguous(), torch.from_numpy(labels)
    found: dict[int, int] = {}
    for subject in tested:
        train_rows, test_rows = (
            torch.from_numpy(np.flatnonzero(rows)) for rows in (subjects != subject, subjects == subject)
        )
        mean = x[train_rows].mean((0, 2, 3), keepdim=True)
        std = x[train_rows].std((0, 2, 3), keepdim=True)
        standard = (x - mean) / std
        torch.manual_seed(0)
        model = train(
            build(),
            standard[train_rows],
            y[train_rows],
            epochs=epochs,
            batch=batch,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            cosine=True,
            device=device,
        )
        model.eval()
        with torch.inference_mode():
            guessed = model(standard[test_rows].to(device)).argmax(1).cpu()
        found |= dict(zip(test_rows.tolist(), guessed.tolist(), strict=True))
    return found


class TripleStream(nn.Module):
    """STSTNet (Liong et al., FG 2019): three shallow streams of 3, 5 and 8 kernels on u, v and strain at 28x28."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.streams = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(3, kernels, 3, padding=2),
                nn.ReLU(inplace=True),
                nn.BatchNorm2d(kernels),
                nn.MaxPool2d(3, stride=3, padding=1),
                nn.Dropout(0.5),
            )
            for kernels in (3, 5, 8)
        )
        self.pool = nn.AvgPool2d(2, stride=2)
        self.dense = nn.Linear(400, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores of the classes."""
        maps = torch.cat([stream(x) for stream in self.streams], 1)
        return self.dense(self.pool(maps).flatten(1))
