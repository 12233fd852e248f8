"""Sanity check of attribution maps: comparison with the maps of models that did not learn the classes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import nn

from microexpr.core.interfaces import FitsStatistics, Fold
from microexpr.core.progress import Silent
from microexpr.core.randomness import rng_for
from microexpr.data.cache import Views
from microexpr.learning import learners
from microexpr.learning.learners import Learner
from microexpr.learning.pipeline import untrained
from microexpr.runs.plan import Plan

INSENSITIVE = 0.5
"""Mean rank correlation with the maps of randomised models from which maps are flagged."""


def random_model(plan: Plan, seed: int) -> Learner:
    """Return the plan's model, or ensemble, with random weights; torch's global random state is left unchanged."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return untrained(plan.experiment, plan.spec, len(plan.data.labels.classes), plan.aux)


def trained(plan: Plan, weights: Path) -> Learner:
    """Return the trained model of a fold."""
    learner = random_model(plan, 0)
    learner.load(weights)
    return learner


def randomised(plan: Plan, views: Views, fold: Fold, weights: Path, count: int) -> Iterator[Learner]:
    """Yield models of the same kind that did not learn the classes.

    Networks get random weights from other seeds (Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018: model
    parameter randomisation); the standardisation of their input remains that of the fold. Models that are fitted once
    have no random weights and are fitted to the fold's training clips with permuted labels (their data randomisation).
    """
    original = trained(plan, weights)
    for number in range(count):
        rng = rng_for(plan.experiment.seed, f"randomised/{fold.name}/{number}")
        seed = int(rng.integers(2**31))
        if original.in_epochs:
            learner = random_model(plan, seed)
            for part, known in zip(_statistics_of(learner.model), _statistics_of(original.model), strict=True):
                part.load_state_dict(known.state_dict())
            yield learner
            continue
        y = plan.y.copy()
        y[fold.train] = rng.permutation(y[fold.train])
        task = learners.Task(
            views=views,
            y=y[views.clip_rows],
            num_classes=len(plan.data.labels.classes),
            train=views.of(fold.train),
            val=np.array([], int),
            score=lambda proba, rows: 0.0,
        )
        learner = trained(plan, weights)
        learner.fit(task, {}, seed, (), Silent())
        yield learner


def _statistics_of(model: nn.Module) -> list[nn.Module]:
    return [part for part in model.modules() if isinstance(part, FitsStatistics)]


def rank_correlations(
    maps: Float[np.ndarray, "n t h w"], others: Sequence[Float[np.ndarray, "n t h w"]]
) -> tuple[Float[np.ndarray, "s n"], Float[np.ndarray, "p n"]]:
    """Return Spearman's correlation of each map with every randomised model's, and between every two of those.

    NaN if all values of a map are equal.
    """
    own, *random = [_ranked(each) for each in (maps, *others)]
    among = [(first * second).sum(1) for first, second in itertools.combinations(random, 2)]
    return np.array([(own * other).sum(1) for other in random]), np.array(among)


def _ranked(maps: Float[np.ndarray, "n t h w"]) -> Float[np.ndarray, "n m"]:
    """Return the ranks of each map's values, centred and scaled to length 1."""
    ranks = np.apply_along_axis(rankdata, 1, maps.reshape(len(maps), -1))
    ranks -= ranks.mean(1, keepdims=True)
    length = np.linalg.norm(ranks, axis=1, keepdims=True)
    return np.asarray(ranks / np.where(length > 0, length, np.nan))
