"""Factor analysis of a grid: main effects and two-way interactions over cells tested on the same clips.

An effect is a contrast of cell means. The other factors are averaged over: each of their settings ("block") counts
once, and only settings with all levels of the factor are used. The effects of two factors that never vary separately
cannot be separated; such factors are listed, and neither is estimated.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ConfusionMetric
from microexpr.core.words import capitalised, joined
from microexpr.evaluation.statistics._units import TIE, Units, check_labels, expanded_shares, units_of
from microexpr.evaluation.statistics.bootstrap import resampled
from microexpr.evaluation.statistics.multiplicity import holm

CLAIM = 0.05
"""An effect is significant if its corrected p-value is at most this."""
ENTRIES = 1 << 22
"""Matrix entries permuted at once: limits the memory, never changes a result."""

Cell = Mapping[str, str]
"""Factor -> level."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """A difference of two levels, or of two such differences, and its expanded percentile interval over subjects."""

    words: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of one factor, or the interaction of two (two names)."""

    factors: tuple[str, ...]
    contrasts: tuple[Contrast, ...]
    """Every pair of levels; for an interaction, every pair of levels against the first ones."""
    blocks: int
    """Number of settings of the other factors averaged over."""
    p_value: float
    p_corrected: float
    """Corrected by Holm for all effects of the study."""

    @property
    def name(self) -> str:
        """The factor, or both factors of an interaction."""
        return " × ".join(self.factors)

    @property
    def claimed(self) -> bool:
        """Whether the effect is significant after correction."""
        return self.p_corrected <= CLAIM

    @property
    def largest(self) -> Contrast:
        """The contrast farthest from zero."""
        return max(self.contrasts, key=lambda contrast: abs(contrast.value))


@dataclass(frozen=True, slots=True)
class Factorial:
    """All effects of a study."""

    effects: tuple[Effect, ...]
    confounded: tuple[str, ...]
    """Sentences about the factors that could not be estimated."""
    subjects: int
    n: int
    """Resamples."""
    permutations: int
    smallest_p: float
    """The smallest p-value that is possible with this number of subjects."""

    def verdict(self, score: str = "score") -> str:
        """Say which factors have a significant effect, or that none has."""
        return " ".join([*_verdict(self, score), *self.confounded])


@dataclass(frozen=True, slots=True, eq=False)
class _Design:
    """One effect as weights over the cells."""

    factors: tuple[str, ...]
    words: tuple[str, ...]
    weights: Float[np.ndarray, "m cells"]
    deviations: Float[np.ndarray, "r cells"]
    """Contrasts whose squares the test sums: each level's deviation from the mean, or the residuals of additivity."""
    blocks: int


def factorial(
    metric: ConfusionMetric,
    y_true: Int[np.ndarray, "n"],
    predictions: Sequence[Int[np.ndarray, "n"]],
    cells: Sequence[Cell],
    *,
    num_classes: int,
    averaged_classes: Bool[np.ndarray, "k"],
    subjects: Shaped[np.ndarray, "n"],
    rng: np.random.Generator,
    n: int = 2_000,
    permutations: int = 1_999,
    level: float = 0.95,
    averaged: Sequence[str] = (),
) -> Factorial:
    """Estimate and test every main effect and two-way interaction of the factors of `cells` on a score.

    `predictions` holds each cell's predictions of the same clips. Factors in `averaged` (repeats, seeds) are averaged
    over and not reported. Intervals draw subjects with replacement, the same for all cells, and are percentiles moved
    outwards for the effective number of subjects ("expanded", see `bootstrap`).

    The test of a factor exchanges its levels within each subject, all cells of a subject together: if the factor had no
    effect, a subject's predictions could as well have come from another level. The statistic is the sum of squared
    deviations of the level means. An interaction is tested by exchanging the levels of whichever of its factors has
    fewer, with the sum of squared residuals of additivity: main effects cancel out of it, exactly for scores that add
    up over subjects (accuracy) and nearly so for F1. p-values are (1 + count) / (permutations + 1) (Phipson & Smyth,
    2010), and Holm's correction limits the probability of any false claim over all effects.
    """
    check_labels(y_true, predictions, num_classes, subjects)
    _check_cells(cells, predictions, n, permutations, level)
    units = units_of(y_true, predictions, num_classes, subjects)
    factors = [name for name in cells[0] if len({cell[name] for cell in cells}) > 1]
    reported = [name for name in factors if name not in averaged]
    alone = {name: design for name in reported if (design := _main(name, cells, factors))}
    pairs = [(a, b) for a, b in itertools.combinations(alone, 2)]
    designs = [*alone.values(), *(design for pair in pairs if (design := _interaction(pair, cells, factors)))]
    if not designs:
        return Factorial((), _confounded(reported, alone, cells), len(units.counts), n, permutations, 1.0)
    point = metric.of_confusion(units.matrices.sum(axis=0), averaged_classes)
    drawn = np.concatenate([metric.of_confusion(matrices, averaged_classes) for matrices in resampled(units, n, rng)])
    levels = {name: list(dict.fromkeys(cell[name] for cell in cells)) for name in factors}
    p_values: dict[tuple[str, ...], float] = {}
    for name in alone:
        mine = [d for d in designs if min(d.factors, key=lambda factor: len(levels[factor])) == name]
        exchanged = _exchanged(metric, units, averaged_classes, _partners(name, cells, factors), permutations, rng)
        p_values |= {design.factors: _p_value(design, point, exchanged) for design in mine}
    shares = expanded_shares(units.sizes(), units.counts, level)
    corrected = holm([p_values[design.factors] for design in designs])
    effects = [
        _effect(design, point, drawn, shares, p_values[design.factors], p or 0.0)
        for design, p in zip(designs, corrected, strict=True)
    ]
    fewest = max(math.factorial(len(levels[name])) for name in alone)
    smallest = max(1 / (permutations + 1), float(fewest) ** (1 - len(units.counts)))
    return Factorial(
        tuple(effects), _confounded(reported, alone, cells), len(units.counts), n, permutations, min(1.0, smallest)
    )


def _check_cells(
    cells: Sequence[Cell], predictions: Sequence[Int[np.ndarray, "n"]], n: int, permutations: int, level: float
) -> None:
    if len(cells) != len(predictions):
        raise ValueError(f"{len(cells)} cells, but predictions of {len(predictions)}")
    if len(cells) < 2 or len({tuple(cell) for cell in cells}) > 1:
        raise ConfigError("E810", "effects need at least two cells, all with the same factors.")
    if len({tuple(cell.items()) for cell in cells}) < len(cells):
        raise ConfigError(
            "E810", "two cells have the same level of every factor; name what they differ in as a factor."
        )
    if n < 1 or permutations < 1 or not 0 < level < 1:
        raise ConfigError(
            "E801",
            "effects need at least one resample, one permutation and a level between 0 and 1, not "
            f"{n}, {permutations} and {level:g}.",
        )


# --- designs ----------------------------------------------------------------------------------------------------------
def _blocks(names: Sequence[str], cells: Sequence[Cell], factors: Sequence[str]) -> list[dict[tuple[str, ...], int]]:
    """Return, for every setting of the other factors that has all levels of `names`, the cells by level."""
    wanted = set(itertools.product(*(dict.fromkeys(cell[name] for cell in cells) for name in names)))
    found: dict[tuple[str, ...], dict[tuple[str, ...], int]] = {}
    for at, cell in enumerate(cells):
        setting = tuple(cell[name] for name in factors if name not in names)
        found.setdefault(setting, {})[tuple(cell[name] for name in names)] = at
    return [block for block in found.values() if set(block) == wanted]


def level_means(
    names: Sequence[str], cells: Sequence[Cell], factors: Sequence[str]
) -> dict[tuple[str, ...], np.ndarray]:
    """Return, for every combination of levels, the cell weights that give its mean; empty without a block."""
    blocks = _blocks(names, cells, factors)
    if not blocks:
        return {}
    levels = [dict.fromkeys(cell[name] for cell in cells) for name in names]
    means = {combination: np.zeros(len(cells)) for combination in itertools.product(*levels)}
    for block in blocks:
        for combination, at in block.items():
            means[combination][at] = 1 / len(blocks)
    return means


def _main(name: str, cells: Sequence[Cell], factors: Sequence[str]) -> _Design | None:
    means = {level: weights for (level,), weights in level_means([name], cells, factors).items()}
    if not means:
        return None
    pairs = list(itertools.combinations(means, 2))
    rows = np.array(list(means.values()))
    return _Design(
        (name,),
        tuple(f"{second} − {first}" for first, second in pairs),
        np.array([means[second] - means[first] for first, second in pairs]),
        rows - rows.mean(axis=0),
        len(_blocks([name], cells, factors)),
    )


def _interaction(names: tuple[str, str], cells: Sequence[Cell], factors: Sequence[str]) -> _Design | None:
    means = level_means(names, cells, factors)
    if not means:
        return None
    first, second = (list(dict.fromkeys(cell[name] for cell in cells)) for name in names)
    grid = np.array([[means[a, b] for b in second] for a in first])
    left = grid - grid.mean(axis=0, keepdims=True) - grid.mean(axis=1, keepdims=True) + grid.mean(axis=(0, 1))
    words, weights = [], []
    for a, b in itertools.product(range(1, len(first)), range(1, len(second))):
        words.append(f"({first[a]} − {first[0]}) under {second[b]} − the same under {second[0]}")
        weights.append(grid[a, b] - grid[0, b] - grid[a, 0] + grid[0, 0])
    blocks = len(_blocks(names, cells, factors))
    return _Design(names, tuple(words), np.array(weights), left.reshape(-1, len(cells)), blocks)


def _confounded(reported: Sequence[str], alone: Mapping[str, _Design], cells: Sequence[Cell]) -> tuple[str, ...]:
    """Say why factors were not estimated: which others always vary together with them."""
    lost = [name for name in reported if name not in alone]
    tied = {name: {other for other in reported if other != name and _follows(name, other, cells)} for name in lost}
    sentences, done = [], set[str]()
    for name in lost:
        if name in done:
            continue
        group = [name, *(other for other in lost if other in tied[name] and name in tied[other])]
        done |= set(group)
        if len(group) > 1:
            sentences.append(f"{joined(group)} never vary separately, so their effects cannot be separated.")
        elif tied[name]:
            sentences.append(
                f"{name} never varies without {joined(sorted(tied[name]))}, so its effect cannot be separated."
            )
        else:
            sentences.append(f"{name} is not estimated: no setting of the other factors has all of its levels.")
    return tuple(sentences)


def _follows(name: str, other: str, cells: Sequence[Cell]) -> bool:
    """Return whether every level of `other` has a single level of `name`."""
    found: dict[str, set[str]] = {}
    for cell in cells:
        found.setdefault(cell[other], set()).add(cell[name])
    return all(len(levels) == 1 for levels in found.values())


# --- exchanging levels ------------------------------------------------------------------------------------------------
def _partners(name: str, cells: Sequence[Cell], factors: Sequence[str]) -> Int[np.ndarray, "levels blocks"]:
    """Return the cells of each level, blocks in the same order: the cells that are exchanged."""
    blocks = _blocks([name], cells, factors)
    levels = dict.fromkeys(cell[name] for cell in cells)
    return np.array([[block[level,] for block in blocks] for level in levels])


def _exchanged(
    metric: ConfusionMetric,
    units: Units,
    averaged_classes: Bool[np.ndarray, "k"],
    partners: Int[np.ndarray, "levels blocks"],
    n: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "n cells"]:
    """Score all cells `n` times, with the levels of one factor exchanged within each subject; other cells stay."""
    num_subjects, cells, num_classes = units.matrices.shape[:3]
    flat = units.matrices.reshape(num_subjects, cells, num_classes * num_classes)
    total = flat.sum(axis=0)
    size = max(1, ENTRIES // (cells * num_classes * num_classes))
    scores = []
    for start in range(0, n, size):
        count = min(size, n - start)
        order = rng.permuted(np.tile(np.arange(len(partners)), (count, num_subjects, 1)), axis=2)
        made = np.tile(total, (count, 1, 1))
        for to, target in enumerate(partners):
            made[:, target] = sum(
                np.einsum("np,pbk->nbk", order[:, :, to] == source, flat[:, partners[source]], optimize=True)
                for source in range(len(partners))
            )
        scores.append(metric.of_confusion(made.reshape(count, cells, num_classes, num_classes), averaged_classes))
    return np.concatenate(scores)


def _p_value(design: _Design, point: Float[np.ndarray, "cells"], exchanged: Float[np.ndarray, "n cells"]) -> float:
    observed = float(((design.deviations @ point) ** 2).sum())
    drawn = ((exchanged @ design.deviations.T) ** 2).sum(axis=1)
    return (1 + int((drawn >= observed - TIE).sum())) / (len(drawn) + 1)


def _effect(
    design: _Design,
    point: Float[np.ndarray, "cells"],
    drawn: Float[np.ndarray, "n cells"],
    shares: Sequence[float],
    p_value: float,
    p_corrected: float,
) -> Effect:
    lows, highs = np.quantile(drawn @ design.weights.T, shares, axis=0)
    values = design.weights @ point
    contrasts = tuple(
        Contrast(*found) for found in zip(design.words, values.tolist(), lows.tolist(), highs.tolist(), strict=True)
    )
    return Effect(design.factors, contrasts, design.blocks, p_value, p_corrected)


# --- text -------------------------------------------------------------------------------------------------------------
def _verdict(found: Factorial, score: str) -> list[str]:
    main = [effect for effect in found.effects if len(effect.factors) == 1]
    significant = [effect for effect in main if effect.claimed]
    interactions = [effect for effect in found.effects if len(effect.factors) == 2 and effect.claimed]
    if not main:
        return ["No factor can be estimated."]
    if found.smallest_p * len(found.effects) > CLAIM:
        return [
            f"No effect of a factor can be significant: with {found.subjects} subjects the smallest possible p-value "
            f"is {found.smallest_p:.2g}, and {len(found.effects)} effects are tested."
        ]
    sentences = [f"{effect.name} has a significant effect on {score}: {_largest(effect)}." for effect in significant]
    others = [effect.name for effect in main if not effect.claimed]
    if not significant:
        nearest = min(main, key=lambda effect: effect.p_corrected)
        sentences.append(
            f"No factor has a significant effect on {score}; the smallest p is that of {nearest.name}: "
            f"{_largest(nearest)}."
        )
    elif others:
        sentences.append(f"No significant effect of {joined(others)}.")
    sentences += [
        f"The effect of {a} depends on {b}: {_largest(effect)}." for effect in interactions for a, b in [effect.factors]
    ]
    return [capitalised(sentence) for sentence in sentences]


def _largest(effect: Effect) -> str:
    top = effect.largest
    interval = f"{top.value:+.3f} [{top.low:+.3f}, {top.high:+.3f}]".replace("-", "−")
    p = "< 0.001" if effect.p_corrected < 0.001 else f"= {effect.p_corrected:.3f}"
    return f"{top.words} = {interval}, corrected p {p}"
