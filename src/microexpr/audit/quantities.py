"""Everything that people have printed under the name of a score, computed from one log's predictions.

Formulas: Sokolova & Lapalme (2009) for the averages over classes; Opitz & Burst (2019) for the two things called
macro-F1; Forman & Scholz (2010) for what averaging over folds does. Precision of a class never predicted counts 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Int

from microexpr.audit.matching import ClipPredictions
from microexpr.core.confusion import (
    confusion_matrix,
    f1_per_class,
    kappa,
    precision_per_class,
    present,
    recall_per_class,
)
from microexpr.evaluation.predictions import confusion_metric

ALL: Final = "all"
"""The scope of all databases together."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its name: `scope` is a database or all of them, `words` what it is."""

    scope: str
    name: str
    value: float
    words: str


def quantities(predictions: ClipPredictions) -> list[Quantity]:
    """Return every quantity, those of all databases together first."""
    scopes = [ALL, *databases(predictions)]
    return [item for scope in scopes for item in _of_scope(predictions, scope) if np.isfinite(item.value)]


def databases(predictions: ClipPredictions) -> list[str]:
    """Return the databases of a log that names more than one."""
    names = list(dict.fromkeys(predictions.dataset.tolist()))
    return names if len(names) > 1 else []


def rows_of(predictions: ClipPredictions, scope: str) -> Bool[np.ndarray, "n"]:
    """Return which clips a scope holds."""
    rows: Bool[np.ndarray, "n"] = np.asarray((predictions.dataset == scope) | (scope == ALL))
    return rows


def _of_scope(predictions: ClipPredictions, scope: str) -> Iterator[Quantity]:
    rows, num_classes = rows_of(predictions, scope), len(predictions.classes)
    y_true, y_pred = predictions.y_true[rows], predictions.y_pred[rows]
    confusion = confusion_matrix(y_true, y_pred, num_classes)
    for name, (value, words) in {**_pooled(confusion), **_by_class(confusion, predictions.classes)}.items():
        yield Quantity(scope, name, value, words)
    yield from _over_folds(predictions, scope, rows)
    if scope == ALL:
        yield from _over_databases(predictions)
    yield from _over_epochs(predictions, scope, rows)


def _pooled(confusion: Int[np.ndarray, "k k"]) -> dict[str, tuple[float, str]]:
    def of(name: str) -> float:
        return _SCORES[name].of(confusion)

    n, true, predicted = confusion.sum(), confusion.sum(1), confusion.sum(0)
    averaged_classes = true > 0
    f1 = f1_per_class(confusion)
    precision, recall = map(np.nan_to_num, (precision_per_class(confusion), recall_per_class(confusion)))
    share, share_predicted = true / n, predicted / n
    p, r = of("macro_precision"), of("uar")
    one_against_rest = (n - true - predicted + 2 * np.diag(confusion)) / n
    rest = n - true
    specificity = np.divide(n - true - predicted + np.diag(confusion), rest, out=np.ones(len(rest)), where=rest > 0)
    found = {
        "uf1": (of("uf1"), "UF1 (macro-F1): mean of the classes' F1, all clips pooled"),
        "uar": (r, "UAR (macro recall, balanced accuracy): mean of the classes' recall, all clips pooled"),
        "accuracy": (of("accuracy"), "accuracy (WAR, weighted recall, micro-F1): share of clips that are right"),
        "macro_precision": (p, "macro precision: mean of the classes' precision, which is what recall becomes where "
                               "truth and prediction are swapped"),
        "weighted_f1": (of("weighted_f1"), "weighted F1: mean of the classes' F1 by their true clips"),
        "weighted_precision": (share @ precision, "weighted precision: mean of precision by true clips"),
        "f1_of_means": (2 * p * r / (p + r) if p + r else 0.0, "F1 of macro precision and macro recall, not mean F1"),
        "weighted_f1_swapped": (share_predicted @ f1, "weighted F1 with truth and prediction swapped"),
        "weighted_precision_swapped": (
            share_predicted @ recall, "weighted precision with truth and prediction swapped"
        ),
        "class_accuracy": (one_against_rest[averaged_classes].mean(), "mean over classes of (TP + TN) / N, which counts every "
                                                          "clip of the other classes as right"),
        "specificity": (specificity[averaged_classes].mean(), "mean specificity over classes"),
        "kappa": (kappa(confusion), "Cohen's kappa, all clips pooled"),
        "mcc": (_mcc(confusion), "Matthews' correlation, all clips pooled"),
        "largest_class": (share.max(), "share of the largest class: always guessing it"),
    }  # fmt: skip
    if not averaged_classes.all():
        found["uf1_all"] = (of("uf1_all"), "mean F1 over every class, one without a true clip counting 0")
        found["uar_all"] = (of("uar_all"), "mean recall over every class, one without a true clip counting 0")
    return {name: (float(value), words) for name, (value, words) in found.items()}


def _mcc(confusion: Int[np.ndarray, "k k"]) -> float:
    """Return the correlation of Gorodkin (2004); not a number where truth or prediction is one class."""
    n, true, predicted = float(confusion.sum()), confusion.sum(1).astype(float), confusion.sum(0).astype(float)
    below = np.sqrt((n**2 - predicted @ predicted) * (n**2 - true @ true))
    return float((np.trace(confusion) * n - true @ predicted) / below) if below > 0 else np.nan


def _by_class(confusion: Int[np.ndarray, "k k"], classes: tuple[str, ...]) -> dict[str, tuple[float, str]]:
    precision, recall = map(np.nan_to_num, (precision_per_class(confusion), recall_per_class(confusion)))
    values = {"recall": recall, "precision": precision, "f1": f1_per_class(confusion)}
    return {
        f"{name}.{word}": (float(value[at]), f"{name if name != 'f1' else 'F1'} of class {word}")
        for name, value in values.items()
        for at, word in enumerate(classes)
    }


# --- averages that are not pooled -------------------------------------------------------------------------------------
def _there(confusion: Int[np.ndarray, "k k"]) -> Bool[np.ndarray, "k"]:
    return np.asarray(confusion.sum(1) > 0)


def _either(confusion: Int[np.ndarray, "k k"]) -> Bool[np.ndarray, "k"]:
    """Return the classes true or predicted, which scikit-learn averages."""
    return np.asarray(confusion.sum(0) + confusion.sum(1) > 0)


def _every(confusion: Int[np.ndarray, "k k"]) -> Bool[np.ndarray, "k"]:
    return np.ones(len(confusion), dtype=bool)


@dataclass(frozen=True, slots=True)
class _Score:
    """A registered metric over the classes that a rule names, and what that is called."""

    words: str
    metric: str
    averaged_classes: Callable[[Int[np.ndarray, "k k"]], Bool[np.ndarray, "k"]] = _there

    def of(self, confusion: Int[np.ndarray, "k k"]) -> float:
        return float(confusion_metric(self.metric).of_confusion(confusion, self.averaged_classes(confusion)))


_SCORES: Final = {
    "accuracy": _Score("accuracy", "accuracy"),
    "uf1": _Score("UF1 over the classes that are there", "macro_f1"),
    "uar": _Score("UAR over the classes that are there", "macro_recall"),
    "macro_precision": _Score("macro precision over those that are there", "macro_precision"),
    "uf1_either": _Score("macro-F1 over the classes true or predicted", "macro_f1", _either),
    "uar_either": _Score("macro recall over the classes true or predicted", "macro_recall", _either),
    "uf1_all": _Score("F1 over every class, absent ones counting 0", "macro_f1", _every),
    "uar_all": _Score("recall over every class, absent ones counting 0", "macro_recall", _every),
    "weighted_f1": _Score("weighted F1", "weighted_f1"),
}


def _over_folds(predictions: ClipPredictions, scope: str, rows: Bool[np.ndarray, "n"]) -> Iterator[Quantity]:
    folds = _matrices(predictions, predictions.fold, rows)
    if len(folds) < 2:
        return
    sizes = np.array([fold.sum() for fold in folds])
    for name, score in _SCORES.items():
        words, values = score.words, np.array([score.of(fold) for fold in folds])
        yield Quantity(scope, f"folds.{name}", float(values.mean()), f"mean over the {len(folds)} folds of {words}")
        if name != "accuracy":  # which is then the pooled one
            by_size = float(values @ sizes / sizes.sum())
            yield Quantity(scope, f"folds_by_size.{name}", by_size, f"mean over folds, by their clips, of {words}")
    alone = np.array([_SCORES["accuracy"].of(fold) for fold in folds])
    yield Quantity(scope, "folds.median_accuracy", float(np.median(alone)), "median over folds of accuracy")


def _over_databases(predictions: ClipPredictions) -> Iterator[Quantity]:
    names = databases(predictions)
    every = np.ones(predictions.y_true.size, dtype=bool)
    parts = _matrices(predictions, predictions.dataset, every)
    if not names:
        return
    sizes = np.array([part.sum() for part in parts])
    for name in ("accuracy", "uf1", "uar", "macro_precision", "weighted_f1"):
        words, values = _SCORES[name].words, np.array([_SCORES[name].of(part) for part in parts])
        yield Quantity(
            ALL, f"databases.{name}", float(values.mean()), f"mean over the {len(names)} databases of {words}"
        )
        if name != "accuracy":
            by_size = float(values @ sizes / sizes.sum())
            yield Quantity(
                ALL, f"databases_by_size.{name}", by_size, f"mean over databases, by their clips, of {words}"
            )


def _matrices(
    predictions: ClipPredictions, groups: np.ndarray, rows: Bool[np.ndarray, "n"]
) -> list[Int[np.ndarray, "k k"]]:
    num_classes = len(predictions.classes)
    return [
        confusion_matrix(predictions.y_true[here], predictions.y_pred[here], num_classes)
        for name in dict.fromkeys(groups[rows].tolist())
        for here in [rows & (groups == name)]
    ]


def _over_epochs(predictions: ClipPredictions, scope: str, rows: Bool[np.ndarray, "n"]) -> Iterator[Quantity]:
    """Yield what looking at the test clips gives: the best epoch of all, and each fold's own best epoch, pooled."""
    if not predictions.epochs:
        return
    num_classes, y_true = len(predictions.classes), predictions.y_true
    runs = np.stack(list(predictions.epochs.values()))
    each = [confusion_matrix(y_true[rows], run[rows], num_classes) for run in runs]
    picked = predictions.y_pred.copy()
    for name in dict.fromkeys(predictions.fold[rows].tolist()):
        here = rows & (predictions.fold == name)
        picked[here] = runs[(runs[:, here] == y_true[here]).mean(1).argmax()][here]
    chosen = confusion_matrix(y_true[rows], picked[rows], num_classes)
    for name in ("uf1", "uar", "accuracy", "macro_precision"):
        score = _SCORES[name]
        words = score.words.removesuffix(" over the classes that are there")
        values = [score.of(matrix) for matrix in each]
        yield Quantity(scope, f"best_epoch.{name}", max(values), f"{words} at the epoch that is best on the test clips")
        yield Quantity(scope, f"mean_epoch.{name}", float(np.mean(values)), f"mean over epochs of {words}")
        yield Quantity(
            scope, f"fold_epoch.{name}", score.of(chosen), f"{words} with every fold's epoch chosen on its test clips"
        )


def one_class(predictions: ClipPredictions, scope: str) -> str | None:
    """Return the class that all clips of a scope have, None where there are several."""
    seen = np.flatnonzero(present(predictions.y_true[rows_of(predictions, scope)], len(predictions.classes)))
    return predictions.classes[seen[0]] if seen.size == 1 else None
