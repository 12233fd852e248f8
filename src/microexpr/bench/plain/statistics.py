"""Intervals and tests of macro-F1 by resampling subjects, with scikit-learn's score in a loop."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import f1_score


def macro_f1(y_true: np.ndarray, y_pred: np.ndarray, classes: int) -> float:
    """Mean F1 over all classes."""
    return float(f1_score(y_true, y_pred, labels=range(classes), average="macro", zero_division=0))


def intervals(
    y_true: np.ndarray, methods: list[np.ndarray], subjects: np.ndarray, classes: int, n: int, seed: int
) -> np.ndarray:
    """95 % percentile interval of every method, all on the same resamples of subjects: methods x 2."""
    rng = np.random.default_rng(seed)
    names = np.unique(subjects)
    rows_of = {name: np.flatnonzero(subjects == name) for name in names}
    scores = np.empty((n, len(methods)))
    for number in range(n):
        rows = np.concatenate([rows_of[name] for name in rng.choice(names, len(names))])
        scores[number] = [macro_f1(y_true[rows], y_pred[rows], classes) for y_pred in methods]
    return np.quantile(scores, [0.025, 0.975], axis=0).T


def paired_permutation(
    y_true: np.ndarray, a: np.ndarray, b: np.ndarray, subjects: np.ndarray, classes: int, n: int, seed: int
) -> float:
    """p-value of the difference between two methods; their predictions are swapped subject by subject."""
    rng = np.random.default_rng(seed)
    names, person = np.unique(subjects, return_inverse=True)
    observed = abs(macro_f1(y_true, a, classes) - macro_f1(y_true, b, classes))
    as_large = 0
    for _ in range(n):
        swap = rng.integers(0, 2, len(names)).astype(bool)[person]
        first, second = np.where(swap, b, a), np.where(swap, a, b)
        difference = macro_f1(y_true, first, classes) - macro_f1(y_true, second, classes)
        as_large += abs(difference) >= observed - 1e-12
    return (1 + as_large) / (1 + n)
