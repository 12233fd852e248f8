"""Whether a map tells of what was learnt: the maps of models that learnt nothing are set beside it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import nn

from microexpr.core.interfaces import FitsStatistics, Fold, FrozenBackbone
from microexpr.core.randomness import rng_for
from microexpr.data.cache import Views
from microexpr.learning import learners as engine
from microexpr.learning.checkpoint import load_model
from microexpr.runs.experiment import untrained
from microexpr.runs.plan import Plan

ALIKE = 0.5
"""Mean rank correlation with the maps of randomised models from which on a map is flagged."""


def built(plan: Plan, seed: int) -> Any:
    """Return the plan's model, or ensemble, with random weights; the stream of random numbers outside goes on."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return untrained(plan.experiment, plan.spec, len(plan.data.labels.classes), plan.aux)


def trained(plan: Plan, weights: Path) -> Any:
    """Return the model of a fold."""
    model = built(plan, 0)
    load_model(model, weights)
    return model


def randomised(plan: Plan, views: Views, fold: Fold, weights: Path, count: int) -> Iterator[Any]:
    """Yield models of the same kind that learnt nothing of the classes.

    Networks start anew from other seeds (Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018: model
    parameter randomisation); what standardises their input stays that of the fold. What is fitted once has no weights
    to draw, and is fitted to the fold's training clips with permuted labels (their data randomisation).
    """
    kept = trained(plan, weights)
    for number in range(count):
        rng = rng_for(plan.experiment.seed, f"randomised/{fold.name}/{number}")
        seed = int(rng.integers(2**31))
        if isinstance(kept, nn.Module) and not isinstance(kept, FrozenBackbone):
            fresh = built(plan, seed)
            for part, known in zip(_seeing(fresh), _seeing(kept), strict=True):
                part.load_state_dict(known.state_dict())
            yield fresh
            continue
        y = plan.y.copy()
        y[fold.train] = rng.permutation(y[fold.train])
        task = engine.Task(
            views=views,
            y=y[views.clip_rows],
            num_classes=len(plan.data.labels.classes),
            train=views.of(fold.train),
            val=np.array([], int),
            score=lambda proba, rows: 0.0,
        )
        yield engine.fit(lambda: trained(plan, weights), task, {}, plan.experiment.training, seed).model


def _seeing(model: nn.Module) -> list[nn.Module]:
    return [part for part in model.modules() if isinstance(part, FitsStatistics)]


def alike(
    mine: Float[np.ndarray, "n t h w"], others: Sequence[Float[np.ndarray, "n t h w"]]
) -> tuple[Float[np.ndarray, "s n"], Float[np.ndarray, "p n"]]:
    """Return Spearman's correlation of each map with each randomised model's, and of every two of those.

    NaN where all places of a map are equal.
    """
    own, *drawn = [_ranked(maps) for maps in (mine, *others)]
    among = [(first * second).sum(1) for first, second in itertools.combinations(drawn, 2)]
    return np.array([(own * other).sum(1) for other in drawn]), np.array(among)


def _ranked(maps: Float[np.ndarray, "n t h w"]) -> Float[np.ndarray, "n m"]:
    """Return the ranks of each map's places, centred and of length 1."""
    ranks = np.apply_along_axis(rankdata, 1, maps.reshape(len(maps), -1))
    ranks -= ranks.mean(1, keepdims=True)
    length = np.linalg.norm(ranks, axis=1, keepdims=True)
    return np.asarray(ranks / np.where(length > 0, length, np.nan))
