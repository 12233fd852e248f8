"""From the predictions of views to those of clips, and their scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool

from microexpr import contracts


def voted(views: pd.DataFrame, vote: contracts.Vote, num_classes: int) -> pd.DataFrame:
    """Join the views of each clip by the vote: one row a clip with clip, person, y_true, y_pred, p_0 .. p_(k-1)."""
    columns = [f"p_{number}" for number in range(num_classes)]
    if views["clip"].is_unique and not hasattr(vote, "fit"):  # nothing to vote on
        table = views[["clip", "person", "y_true", *columns]].reset_index(drop=True)
        table.insert(3, "y_pred", table[columns].to_numpy().argmax(axis=1))
        return table
    rows = []
    for clip, group in views.groupby("clip", sort=False):
        label, proba = vote(group[["frames", *columns]])
        first = group.iloc[0]
        rows.append((clip, first["person"], int(first["y_true"]), label, *proba))
    return pd.DataFrame(rows, columns=["clip", "person", "y_true", "y_pred", *columns])


def score(metric: contracts.Metric, predictions: pd.DataFrame, over: Bool[np.ndarray, "k"] | None = None) -> float:
    """Score voted predictions over the classes that have a true clip (or over `over`)."""
    proba = predictions.filter(regex=r"^p_\d+$").to_numpy(float)
    y_true = predictions["y_true"].to_numpy(int)
    over = np.isin(np.arange(proba.shape[1]), y_true) if over is None else over
    return metric(y_true, predictions["y_pred"].to_numpy(int), proba, over)
