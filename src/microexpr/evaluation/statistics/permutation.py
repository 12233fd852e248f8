"""Permutation test of a score: labels are permuted against the predictions, so that they are unrelated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from microexpr.core.confusion import confusion_matrix
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ConfusionMetric, Metric
from microexpr.evaluation.statistics._units import TIE

CHUNK = 1 << 20
"""Labels permuted at once: limits the memory. With subjects it affects the result, because it orders the draws."""
QUANTILE = 0.95
"""The chance level is the score that 95 of 100 permutations stay below."""
RECOGNISED = 0.5
"""Share of clips that the model of `permutation_power` recognises."""


@dataclass(frozen=True, slots=True)
class PermutationNull:
    """Scores of `n` permutations: their mean, their 95th percentile, and the p-value of the observed score."""

    mean: float
    level: float
    p_value: float
    n: int


@dataclass(frozen=True, slots=True)
class PermutationPower:
    """How often the test within subjects detects a model that recognises half of the clips."""

    power: float
    subjects: int
    mixed: int
    """Number of subjects with clips of at least two classes; permuting within the others changes nothing."""


def permutation_null(
    metric: Metric,
    y_true: Int[np.ndarray, "n"],
    y_pred: Int[np.ndarray, "n"],
    *,
    num_classes: int,
    averaged_classes: Bool[np.ndarray, "k"],
    rng: np.random.Generator,
    n: int = 9_999,
    subjects: Shaped[np.ndarray, "n"] | None = None,
    proba: Float[np.ndarray, "n k"] | None = None,
) -> PermutationNull:
    """Permute the labels against the predictions, within subjects if `subjects` names each clip's.

    The p-value is (1 + number of permutations that score at least as much) / (n + 1), so it is never 0 (Phipson &
    Smyth, 2010). Clips are exchangeable only if the null hypothesis makes them so. Subjects differ in the emotions that
    they show, and a model that merely recognises a face can predict its owner's most frequent emotion; permuting over
    all clips breaks that relation too and counts it as recognition of emotions. Within a subject the labels are
    exchangeable whatever the subject's frequencies: the test is then valid under subject effects and looks for skill
    beyond them. Under `loso` the model that predicts a subject was trained most on the emotions that this subject
    lacks, an effect of the fold that is constant within a subject as well. A subject with a single label contributes
    nothing, and if all subjects are like that, the p-value is 1. A large p-value is therefore no evidence of missing
    skill by itself: `permutation_power` says what the test could have detected.

    A metric without `of_confusion` is called once per permutation, and needs `proba`.
    """
    _check(y_true, n)
    if isinstance(metric, ConfusionMetric):
        one = np.ones((1, 1))
        return permutation_nulls(
            metric,
            y_true,
            [y_pred],
            one,
            num_classes=num_classes,
            averaged_classes=averaged_classes,
            rng=rng,
            n=n,
            subjects=subjects,
        )[0]
    if proba is None:
        raise ValueError("this metric cannot be computed from a confusion matrix: pass proba")
    shuffled = _permuted(y_true.astype(np.int64), subjects, n, rng)
    scores = np.array([metric(labels, y_pred, proba, averaged_classes) for chunk in shuffled for labels in chunk])
    return _null(scores, metric(y_true, y_pred, proba, averaged_classes))


def permutation_nulls(
    metric: ConfusionMetric,
    y_true: Int[np.ndarray, "n"],
    predictions: Sequence[Int[np.ndarray, "n"]],
    weights: Float[np.ndarray, "sums m"],
    *,
    num_classes: int,
    averaged_classes: Bool[np.ndarray, "k"],
    rng: np.random.Generator,
    n: int = 9_999,
    subjects: Shaped[np.ndarray, "n"] | None = None,
) -> tuple[PermutationNull, ...]:
    """Test weighted sums of the scores of m predictions, one per row of `weights`, such as means over seeds.

    All of them use the same permutations; otherwise as `permutation_null`.
    """
    _check(y_true, n)
    observed = np.array(
        [metric.of_confusion(confusion_matrix(y_true, y_pred, num_classes), averaged_classes) for y_pred in predictions]
    )
    shuffled = _permuted(y_true.astype(np.int64), subjects, n, rng)
    drawn = [
        [metric.of_confusion(_matrices(labels, y_pred, num_classes), averaged_classes) for y_pred in predictions]
        for labels in shuffled
    ]
    scores = weights @ np.concatenate(drawn, axis=1)
    return tuple(_null(row, float(point)) for row, point in zip(scores, weights @ observed, strict=True))


def permutation_power(
    metric: ConfusionMetric,
    y_true: Int[np.ndarray, "n"],
    subjects: Shaped[np.ndarray, "n"],
    *,
    num_classes: int,
    averaged_classes: Bool[np.ndarray, "k"],
    rng: np.random.Generator,
    n: int = 199,
    sets: int = 200,
    level: float = 1 - QUANTILE,
) -> PermutationPower:
    """Return how often the test within subjects rejects at `level` for a model that recognises half of the clips.

    The model gives a clip its true class with probability `RECOGNISED`, and otherwise one of the labels of the same
    subject, as often as the subject has it: what knowing the subject's class frequencies would give. `sets` predictions
    are drawn for the given labels and subjects, all with the same `n` permutations. The power depends on the test set
    only, not on any predictions, so it is not an "observed power".
    """
    _check(y_true, n)
    if sets < 1:
        raise ConfigError("E801", f"the power of a permutation test needs at least one set of predictions, not {sets}.")
    labels = y_true.astype(np.int64)
    habits, nulls = (np.concatenate(list(_permuted(labels, subjects, times, rng))) for times in (sets, n))
    drawn_predictions = np.where(rng.random(habits.shape) < RECOGNISED, labels, habits)
    classes = np.eye(num_classes)
    true = classes[np.vstack([labels, nulls])].transpose(0, 2, 1).reshape(-1, labels.size)
    counts = true @ classes[drawn_predictions].transpose(1, 0, 2).reshape(labels.size, -1)
    matrices = np.rint(counts).astype(np.int64).reshape(n + 1, num_classes, sets, num_classes).transpose(0, 2, 1, 3)
    observed, *drawn = metric.of_confusion(matrices, averaged_classes)
    p_values = (1 + (np.array(drawn) >= observed - TIE).sum(axis=0)) / (n + 1)
    names = np.unique(subjects)
    mixed = sum(np.unique(labels[subjects == name]).size > 1 for name in names)
    return PermutationPower(float((p_values <= level + TIE).mean()), names.size, mixed)


def _check(y_true: Int[np.ndarray, "n"], n: int) -> None:
    if y_true.size == 0:
        raise ConfigError("E802", "a permutation test needs at least one clip.")
    if n < 1:
        raise ConfigError("E801", f"a permutation test needs at least one permutation, not {n}.")


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


def _matrices(
    labels: Int[np.ndarray, "chunk n"], y_pred: Int[np.ndarray, "n"], num_classes: int
) -> Int[np.ndarray, "chunk k k"]:
    chunk = len(labels)
    cells = np.arange(chunk)[:, None] * num_classes * num_classes + labels * num_classes + y_pred
    return np.bincount(cells.ravel(), minlength=chunk * num_classes * num_classes).reshape(
        chunk, num_classes, num_classes
    )
