"""Split a validation set from a fold's training subjects, and reduce the training set to a given size."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from microexpr.config.experiment import Experiment
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import Fold
from microexpr.core.randomness import rng_for


def split_validation(
    fold: Fold, table: pd.DataFrame, experiment: Experiment, by: Literal["subject", "clip"] = "subject"
) -> Fold:
    """Split validation subjects, or clips, from the training set.

    Of 100 random splits, the one is used whose class shares are most similar to those of the remaining training clips.
    """
    rng = rng_for(experiment.seed, f"validation/{fold.name}")
    units = table["subject" if by == "subject" else "key"].to_numpy()[fold.train]
    labels = table["label"].to_numpy(int)[fold.train]
    names, inverse = np.unique(units, return_inverse=True)
    wanted = max(1, round(experiment.validation * len(fold.train)))
    num_classes = int(table["label"].max()) + 1
    best, chosen = np.inf, np.zeros(len(fold.train), bool)
    for _ in range(100):
        order = rng.permutation(len(names))
        sizes = np.cumsum(np.bincount(inverse, minlength=len(names))[order])
        mask = np.isin(inverse, order[: int(np.searchsorted(sizes, wanted)) + 1])
        if mask.all():
            continue
        gap = _shares(labels[mask], num_classes) - _shares(labels[~mask], num_classes)
        if np.abs(gap).sum() < best:
            best, chosen = float(np.abs(gap).sum()), mask
    if not chosen.any():
        raise ConfigError(
            "E463",
            f"fold {fold.name} has too few training {by}s for a validation set; train a fixed number of epochs with "
            "one loss (training.patience = 0).",
        )
    return replace(fold, train=fold.train[~chosen], val=fold.train[chosen])


def limit_training(fold: Fold, table: pd.DataFrame, experiment: Experiment) -> Fold:
    """Keep only `train_clips` or `train_subjects` of a fold's training clips, sampled at random.

    One random order serves all sizes, so larger samples contain smaller ones. The validation set is split off before,
    so that all sizes use the same validation clips.
    """
    clips, subjects = experiment.train_clips, experiment.train_subjects
    wanted = clips if subjects is None else subjects
    if wanted is None:
        return fold
    units = fold.train if subjects is None else table["subject"].to_numpy()[fold.train]
    order = rng_for(experiment.seed, f"size/{fold.name}").permutation(np.unique(units))
    if wanted > len(order):
        what = "clips" if subjects is None else "subjects"
        raise ConfigError(
            "E464",
            f"train_{what} = {wanted}: fold {fold.name} has only {len(order)} training {what}"
            f"{' without its validation set' if fold.val is not None else ''}; request fewer, or all of them.",
        )
    return replace(fold, train=fold.train[np.isin(units, order[:wanted])])


def _shares(labels: Int[np.ndarray, "n"], num_classes: int) -> Float[np.ndarray, "k"]:
    return np.bincount(labels, minlength=num_classes) / len(labels)
