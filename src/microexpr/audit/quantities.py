"""Quantities that are published under the name of a score, computed from one log's predictions.

Formulas: Sokolova & Lapalme (2009) for averages over classes; Opitz & Burst (2019) for the two quantities called
macro-F1; Forman & Scholz (2010) for the effect of averaging over folds. Precision of a class that is never predicted
counts 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Int

from microexpr.audit.matching import ClipPredictions
from microexpr.config.scores import confusion_metric
from microexpr.core.confusion import (
    confusion_matrix,
    f1_per_class,
    kappa,
    precision_per_class,
    present,
    recall_per_class,
)

ALL: Final = "all"
"""The scope of all databases together."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its name; `scope` is a database or all of them."""

    scope: str
    name: str
    value: float
    description: str


def quantities(predictions: ClipPredictions) -> list[Quantity]:
    """Return every quantity, those of all databases together first."""
    scopes = [ALL, *databases(predictions)]
    return [item for scope in scopes for item in _of_scope(predictions, scope) if np.isfinite(item.value)]


def databases(predictions: ClipPredictions) -> list[str]:
    """Return the databases of a log if there are several, otherwise nothing."""
    names = list(dict.fromkeys(predictions.dataset.tolist()))
    return names if len(names) > 1 else []


def rows_of(predictions: ClipPredictions, scope: str) -> Bool[np.ndarray, "n"]:
    """Return which clips belong to a scope."""
    rows: Bool[np.ndarray, "n"] = np.asarray((predictions.dataset == scope) | (scope == ALL))
    return rows


def _of_scope(predictions: ClipPredictions, scope: str) -> Iterator[Quantity]:
    rows, num_classes = rows_of(predictions, scope), len(predictions.classes)
    y_true, y_pred = predictions.y_true[rows], predictions.y_pred[rows]
    confusion = confusion_matrix(y_true, y_pred, num_classes)
    for name, (value, description) in {**_pooled(confusion), **_by_class(confusion, predictions.classes)}.items():
        yield Quantity(scope, name, value, description)
    yield from _over_folds(predictions, scope, rows)
    if scope == ALL:
        yield from _over_databases(predictions)
    yield from _over_epochs(predictions, scope, rows)


def _pooled(confusion: Int[np.ndarray, "k k"]) -> dict[str, tuple[float, str]]:
    def of(name: str) -> float:
        return _SCORES[name].of(confusion)

    n, true, predicted, hits = confusion.sum(), confusion.sum(1), confusion.sum(0), np.diag(confusion)
    averaged_classes = true > 0
    f1 = f1_per_class(confusion)
    precision, recall = map(np.nan_to_num, (precision_per_class(confusion), recall_per_class(confusion)))
    share, share_predicted = true / n, predicted / n
    p, r = of("macro_precision"), of("uar")
    one_against_rest = (n - true - predicted + 2 * hits) / n
    rest = n - true
    specificity = np.divide(n - true - predicted + hits, rest, out=np.ones(len(rest)), where=rest > 0)
    swapped = "with truth and prediction swapped"
    found = {
        "uf1": (of("uf1"), "UF1 (macro-F1): mean F1 of the classes, all clips pooled"),
        "uar": (r, "UAR (macro recall, balanced accuracy): mean recall of the classes, all clips pooled"),
        "accuracy": (of("accuracy"), "accuracy (WAR, weighted recall, micro-F1): share of correct clips"),
        "macro_precision": (
            p,
            "macro precision: mean precision of the classes, equal to macro recall if truth and prediction are swapped",
        ),
        "weighted_f1": (of("weighted_f1"), "weighted F1: mean F1 of the classes, weighted by true clips"),
        "weighted_precision": (share @ precision, "weighted precision: mean precision, weighted by true clips"),
        "f1_of_means": (2 * p * r / (p + r) if p + r else 0.0, "F1 of macro precision and macro recall, not mean F1"),
        "weighted_f1_swapped": (share_predicted @ f1, f"weighted F1 {swapped}"),
        "weighted_precision_swapped": (share_predicted @ recall, f"weighted precision {swapped}"),
        "class_accuracy": (
            one_against_rest[averaged_classes].mean(),
            "mean over classes of (TP + TN) / N, which counts every clip of the other classes as correct",
        ),
        "specificity": (specificity[averaged_classes].mean(), "mean specificity of the classes"),
        "kappa": (kappa(confusion), "Cohen's kappa, all clips pooled"),
        "mcc": (_mcc(confusion), "Matthews correlation coefficient, all clips pooled"),
        "largest_class": (share.max(), "share of the largest class: accuracy of always predicting it"),
    }
    if not averaged_classes.all():
        found["uf1_all"] = (of("uf1_all"), "mean F1 over every class; one without a true clip counts 0")
        found["uar_all"] = (of("uar_all"), "mean recall over every class; one without a true clip counts 0")
    return {name: (float(value), description) for name, (value, description) in found.items()}


def _mcc(confusion: Int[np.ndarray, "k k"]) -> float:
    """Return the correlation of Gorodkin (2004); nan if truth or prediction has one class only."""
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
def _present(confusion: Int[np.ndarray, "k k"]) -> Bool[np.ndarray, "k"]:
    return np.asarray(confusion.sum(1) > 0)


def _either(confusion: Int[np.ndarray, "k k"]) -> Bool[np.ndarray, "k"]:
    """Return the classes true or predicted, as averaged by scikit-learn."""
    return np.asarray(confusion.sum(0) + confusion.sum(1) > 0)


def _every(confusion: Int[np.ndarray, "k k"]) -> Bool[np.ndarray, "k"]:
    return np.ones(len(confusion), dtype=bool)


@dataclass(frozen=True, slots=True)
class _Score:
    """A registered metric over the classes that a rule selects, and its name."""

    description: str
    metric: str
    averaged_classes: Callable[[Int[np.ndarray, "k k"]], Bool[np.ndarray, "k"]] = _present

    def of(self, confusion: Int[np.ndarray, "k k"]) -> float:
        return float(confusion_metric(self.metric).of_confusion(confusion, self.averaged_classes(confusion)))


_SCORES: Final = {
    "accuracy": _Score("accuracy", "accuracy"),
    "uf1": _Score("UF1 over the classes with a true clip", "macro_f1"),
    "uar": _Score("UAR over the classes with a true clip", "macro_recall"),
    "macro_precision": _Score("macro precision over the classes with a true clip", "macro_precision"),
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
    yield from _means(scope, "folds", folds, list(_SCORES))
    accuracies = np.array([_SCORES["accuracy"].of(fold) for fold in folds])
    yield Quantity(scope, "folds.median_accuracy", float(np.median(accuracies)), "median over folds of accuracy")


def _over_databases(predictions: ClipPredictions) -> Iterator[Quantity]:
    if databases(predictions):
        parts = _matrices(predictions, predictions.dataset, np.ones(predictions.y_true.size, dtype=bool))
        yield from _means(ALL, "databases", parts, ["accuracy", "uf1", "uar", "macro_precision", "weighted_f1"])


def _means(
    scope: str, groups: str, matrices: Sequence[Int[np.ndarray, "k k"]], names: Sequence[str]
) -> Iterator[Quantity]:
    """Yield means over folds or databases, unweighted and weighted by their clips."""
    sizes = np.array([matrix.sum() for matrix in matrices])
    for name in names:
        score = _SCORES[name]
        values = np.array([score.of(matrix) for matrix in matrices])
        mean = f"mean over the {len(matrices)} {groups} of {score.description}"
        yield Quantity(scope, f"{groups}.{name}", float(values.mean()), mean)
        if name != "accuracy":  # weighted by clips, it is the pooled accuracy
            weighted = f"mean over {groups}, weighted by clips, of {score.description}"
            yield Quantity(scope, f"{groups}_by_size.{name}", float(values @ sizes / sizes.sum()), weighted)


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
    """Yield scores of epochs chosen on the test clips: the best epoch overall, and each fold's best epoch, pooled."""
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
        description = score.description.removesuffix(" over the classes with a true clip")
        values = [score.of(matrix) for matrix in each]
        best = f"{description} at the epoch that is best on the test clips"
        by_fold = f"{description} with every fold's epoch chosen on its test clips"
        yield Quantity(scope, f"best_epoch.{name}", max(values), best)
        yield Quantity(scope, f"mean_epoch.{name}", float(np.mean(values)), f"mean over epochs of {description}")
        yield Quantity(scope, f"fold_epoch.{name}", score.of(chosen), by_fold)


def one_class(predictions: ClipPredictions, scope: str) -> str | None:
    """Return the class of all clips of a scope; None if there are several."""
    found = np.flatnonzero(present(predictions.y_true[rows_of(predictions, scope)], len(predictions.classes)))
    return predictions.classes[found[0]] if found.size == 1 else None
