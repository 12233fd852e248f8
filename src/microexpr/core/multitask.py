"""Auxiliary targets of an experiment: their values for each clip, their loss, and their scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class TargetValues:
    """Values of one target, one row per clip (or view): 0..1, NaN where not annotated."""

    values: Float[np.ndarray, "n m"]
    names: tuple[str, ...]
    weight: float

    def of(self, rows: Int[np.ndarray, "v"]) -> TargetValues:
        """Return the values of other rows, such as the clip of every view."""
        return TargetValues(self.values[rows], self.names, self.weight)

    def balance(self, rows: Int[np.ndarray, "r"]) -> Float[Tensor, "2 m"]:
        """Return the weights of clips with and without each unit, so that both groups count equally among these rows.

        As inverse class frequencies: n / (2 n_with) and n / (2 n_without). A unit that all or none of these rows have
        cannot be learnt and has the weight 0.
        """
        known = self.values[rows]
        having, lacking = np.nansum(known, axis=0), np.nansum(1 - known, axis=0)
        both = (having > 0) & (lacking > 0)
        counts = np.where(both, np.stack([having, lacking]), 1.0)
        return torch.as_tensor(np.where(both, (having + lacking) / (2 * counts), 0.0)).float()


def target_loss(
    logits: Float[Tensor, "b m"], truth: Float[Tensor, "b m"], balance: Float[Tensor, "2 m"]
) -> Float[Tensor, ""]:
    """Return the mean binary cross-entropy over the annotated values, weighted by `balance`.

    Units of weight 0 are left out of the mean; the loss is 0 if nothing in the batch is annotated.
    """
    known = ~truth.isnan() & (balance.sum(0) > 0)
    y = torch.where(known, truth, 0.0)
    each = functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
    weighted = each * torch.where(known, y * balance[0] + (1 - y) * balance[1], 0.0)
    return weighted.sum() / known.sum().clamp(min=1)


CODED, PREDICTED = "coded", "predicted"
FROM = 0.5
"""Mean probability over a clip's views from which a unit counts as predicted."""


def by_unit(views: pd.DataFrame) -> pd.DataFrame:
    """Score stored views: one row for each unit of each target, over the clips with an annotation.

    Columns: target, unit, clips, coded (clips with the unit), predicted (clips predicted to have it), precision, recall
    and f1, NaN if no clip has it, and `always`, the f1 of predicting it in every clip. A clip's probability is the mean
    over its views.
    """
    rows = []
    for column in [name for name in views.columns if name.startswith(f"{CODED}:")]:
        _, target, unit = column.split(":", 2)
        clips = views.groupby("clip")[[column, f"{PREDICTED}:{target}:{unit}"]].mean().dropna().to_numpy(float)
        coded, predicted = clips[:, 0] >= FROM, clips[:, 1] >= FROM
        both, some = int((coded & predicted).sum()), int(coded.sum() + predicted.sum())
        rows.append(
            {
                "target": target,
                "unit": unit,
                "clips": len(clips),
                "coded": int(coded.sum()),
                "predicted": int(predicted.sum()),
                "precision": both / predicted.sum() if predicted.any() else np.nan,
                "recall": both / coded.sum() if coded.any() else np.nan,
                "f1": 2 * both / some if coded.any() else np.nan,
                "always": 2 * coded.mean() / (1 + coded.mean()) if coded.any() else np.nan,
            }
        )
    return pd.DataFrame(rows)
