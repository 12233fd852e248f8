"""What a score would be if the predictions knew nothing of the emotions: labels permuted against predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from microexpr.core.confusion import confusion_matrix
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ConfusionMetric, Metric

CHUNK = 1 << 20
"""Labels permuted at once: bounds the memory. Part of the result where subjects are given, as it orders the draws."""

TIE = 1e-12
"""Scores this near are equal: the same rational number can come out of two matrices with different rounding."""
QUANTILE = 0.95
"""The level is the score that 95 of 100 permutations stay under."""
RECOGNISED = 0.5
"""Share of clips that the model recognises whose detection `permutation_power` states."""


@dataclass(frozen=True, slots=True)
class PermutationNull:
    """Scores of `n` permutations: their mean, their 95th percentile, and the p-value of the observed score."""

    mean: float
    level: float
    p_value: float
    n: int


@dataclass(frozen=True, slots=True)
class PermutationPower:
    """How often the test within subjects finds a model that recognises half of the clips, and on whom it rests."""

    power: float
    subjects: int
    mixed: int
    """Subjects with clips of at least two classes: within the others nothing can be permuted."""


def permutation_null(
    metric: Metric,
    y_true: Int[np.ndarray, "n"],
    y_pred: Int[np.ndarray, "n"],
    *,
    k: int,
    over: Bool[np.ndarray, "k"],
    rng: np.random.Generator,
    n: int = 9_999,
    subjects: Shaped[np.ndarray, "n"] | None = None,
    proba: Float[np.ndarray, "n k"] | None = None,
) -> PermutationNull:
    """Permute the labels against the predictions, within subjects where `subjects` names each clip's.

    The p-value is (1 + number of permutations that score at least as much) / (n + 1), so it is never 0 (Phipson &
    Smyth, 2010). Clips are exchangeable only if the null hypothesis makes them so. Subjects differ in the emotions that
    they show, and a model that merely knows a face can guess its owner's habit; permuting over everybody destroys
    that knowledge too and calls it skill. Within a subject the labels are exchangeable whatever the habits are: the
    test then holds under subject effects and asks for skill beyond them. Under `loso` the model that predicts a
    subject has learnt the emotions that this subject lacks most, an effect of the fold that also stays fixed within
    a subject. A subject with one label only adds nothing, and where all are such, the p-value is 1. A large p-value is
    therefore no sign of missing skill by itself: `permutation_power` says what the test could have found.

    A metric without `of_confusion` is called once a permutation, and needs `proba`.
    """
    if y_true.size == 0 or n < 1:
        raise ConfigError("E104", "a permutation test needs at least one clip and one permutation.")
    if isinstance(metric, ConfusionMetric):
        one = np.ones((1, 1))
        return permutation_nulls(metric, y_true, [y_pred], one, k=k, over=over, rng=rng, n=n, subjects=subjects)[0]
    if proba is None:
        raise ValueError("this metric does not follow from a confusion matrix: pass proba")
    shuffled = _permuted(y_true.astype(np.int64), subjects, n, rng)
    scores = np.array([metric(labels, y_pred, proba, over) for chunk in shuffled for labels in chunk])
    return _null(scores, metric(y_true, y_pred, proba, over))


def permutation_nulls(
    metric: ConfusionMetric,
    y_true: Int[np.ndarray, "n"],
    guesses: Sequence[Int[np.ndarray, "n"]],
    weights: Float[np.ndarray, "sums m"],
    *,
    k: int,
    over: Bool[np.ndarray, "k"],
    rng: np.random.Generator,
    n: int = 9_999,
    subjects: Shaped[np.ndarray, "n"] | None = None,
) -> tuple[PermutationNull, ...]:
    """Do the same for weighted sums of the scores of m predictions, a row of `weights` each: means over seeds, say.

    All of them see the same permutations.
    """
    if y_true.size == 0 or n < 1:
        raise ConfigError("E104", "a permutation test needs at least one clip and one permutation.")
    observed = np.array([metric.of_confusion(confusion_matrix(y_true, guess, k), over) for guess in guesses])
    shuffled = _permuted(y_true.astype(np.int64), subjects, n, rng)
    drawn = [[metric.of_confusion(_matrices(labels, guess, k), over) for guess in guesses] for labels in shuffled]
    scores = weights @ np.concatenate(drawn, axis=1)
    return tuple(_null(row, float(point)) for row, point in zip(scores, weights @ observed, strict=True))


def permutation_power(
    metric: ConfusionMetric,
    y_true: Int[np.ndarray, "n"],
    subjects: Shaped[np.ndarray, "n"],
    *,
    k: int,
    over: Bool[np.ndarray, "k"],
    rng: np.random.Generator,
    n: int = 199,
    sets: int = 200,
    level: float = 1 - QUANTILE,
) -> PermutationPower:
    """Return how often the test within subjects rejects at `level` for a model that recognises half of the clips.

    The model gives a clip its true class with probability `RECOGNISED`, and else one of the labels of the same subject,
    each as often as that subject has it: what knowing the subject's habit gives. `sets` predictions are drawn on the
    labels and subjects as they are, and all see the same `n` permutations. It depends on the test set alone, not on any
    predictions, so it is no "observed power".
    """
    if y_true.size == 0 or n < 1 or sets < 1:
        raise ConfigError(
            "E104", "the power of a permutation test needs at least one clip, one permutation and one set."
        )
    labels = y_true.astype(np.int64)
    habits, nulls = (np.concatenate(list(_permuted(labels, subjects, many, rng))) for many in (sets, n))
    guesses = np.where(rng.random(habits.shape) < RECOGNISED, labels, habits)
    classes = np.eye(k)
    true = classes[np.vstack([labels, nulls])].transpose(0, 2, 1).reshape(-1, labels.size)
    counts = true @ classes[guesses].transpose(1, 0, 2).reshape(labels.size, -1)
    matrices = np.rint(counts).astype(np.int64).reshape(n + 1, k, sets, k).transpose(0, 2, 1, 3)
    observed, *drawn = metric.of_confusion(matrices, over)
    p_values = (1 + (np.array(drawn) >= observed - TIE).sum(axis=0)) / (n + 1)
    names = np.unique(subjects)
    mixed = sum(np.unique(labels[subjects == name]).size > 1 for name in names)
    return PermutationPower(float((p_values <= level + TIE).mean()), names.size, mixed)


def _null(scores: Float[np.ndarray, "n"], observed: float) -> PermutationNull:
    p_value = (1 + int((scores >= observed - TIE).sum())) / (scores.size + 1)
    return PermutationNull(float(scores.mean()), float(np.quantile(scores, QUANTILE)), p_value, scores.size)


def _permuted(
    y_true: Int[np.ndarray, "n"], subjects: Shaped[np.ndarray, "n"] | None, n: int, rng: np.random.Generator
) -> Iterator[Int[np.ndarray, "chunk n"]]:
    groups = (
        [np.arange(y_true.size)]
        if subjects is None
        else [np.flatnonzero(subjects == name) for name in np.unique(subjects)]
    )
    size = max(1, CHUNK // y_true.size)
    for start in range(0, n, size):
        labels = np.tile(y_true, (min(size, n - start), 1))
        for rows in groups:
            labels[:, rows] = rng.permuted(labels[:, rows], axis=1)
        yield labels


def _matrices(labels: Int[np.ndarray, "chunk n"], y_pred: Int[np.ndarray, "n"], k: int) -> Int[np.ndarray, "chunk k k"]:
    chunk = len(labels)
    cells = np.arange(chunk)[:, None] * k * k + labels * k + y_pred
    return np.bincount(cells.ravel(), minlength=chunk * k * k).reshape(chunk, k, k)
