"""Who of a fold's training subjects chooses, and how many train."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from microexpr.config.experiment import Experiment
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import Fold
from microexpr.core.randomness import rng_for


def cut_val(fold: Fold, table: pd.DataFrame, experiment: Experiment) -> Fold:
    """Cut validation from the training subjects: of 100 draws the one whose class shares are nearest to training's."""
    rng = rng_for(experiment.seed, f"validation/{fold.name}")
    subjects, labels = table["subject"].to_numpy()[fold.train], table["label"].to_numpy(int)[fold.train]
    names, inverse = np.unique(subjects, return_inverse=True)
    wanted = max(1, round(experiment.validation * len(fold.train)))
    k = int(table["label"].max()) + 1
    best, chosen = np.inf, np.zeros(len(fold.train), bool)
    for _ in range(100):
        order = rng.permutation(len(names))
        sizes = np.cumsum(np.bincount(inverse, minlength=len(names))[order])
        mask = np.isin(inverse, order[: int(np.searchsorted(sizes, wanted)) + 1])
        if mask.all():
            continue
        gap = _shares(labels[mask], k) - _shares(labels[~mask], k)
        if np.abs(gap).sum() < best:
            best, chosen = float(np.abs(gap).sum()), mask
    if not chosen.any():
        raise ConfigError(
            "E104",
            f"fold {fold.name}: too few subjects to cut validation from; train a fixed number of epochs with one loss "
            "(training.patience = 0).",
        )
    return replace(fold, train=fold.train[~chosen], val=fold.train[chosen])


def keep_train(fold: Fold, table: pd.DataFrame, experiment: Experiment) -> Fold:
    """Keep `train_clips` or `train_subjects` of a fold's training clips, drawn at random once for all numbers.

    Larger numbers contain smaller ones. Validation was cut before, so that every number is judged by the same clips.
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
            "E104",
            f"train_{what} = {wanted}: fold {fold.name} has {len(order)} training {what} "
            f"{'besides validation' if fold.val is not None else 'in all'}; ask for fewer, or for all of them.",
        )
    return replace(fold, train=fold.train[np.isin(units, order[:wanted])])


def _shares(labels: Int[np.ndarray, "n"], k: int) -> Float[np.ndarray, "k"]:
    return np.bincount(labels, minlength=k) / len(labels)
