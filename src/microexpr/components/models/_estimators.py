"""What scikit-learn classifiers share: checks, probabilities from scores, predictions, axes of rows of many values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import eigh
from scipy.special import softmax
from sklearn.decomposition import PCA

from microexpr.core.errors import TrainingError

COLUMNS = 8192
"""Columns that are converted to float64 at a time."""


def need_two_classes(y: Int[np.ndarray, "n"], name: str) -> None:
    """Raise TrainingError if the training rows are all of one class."""
    if len(np.unique(y)) < 2:
        raise TrainingError(
            "E702",
            f"{name} needs two classes in the training rows, but these have one. Choose another protocol or label set.",
        )


def confidence(scores: Float[np.ndarray, "n *k"]) -> Float[np.ndarray, "n k"]:
    """Return the softmax of a decision function (uncalibrated); two classes may have a single score per row."""
    return np.asarray(softmax(np.stack([-scores, scores], 1) if scores.ndim == 1 else scores, axis=1))


def most_probable_class(self: Any, X: Float[np.ndarray, "n d"]) -> Int[np.ndarray, "n"]:
    """Return the class of largest `predict_proba` for each row: the method ``predict`` of our classifiers."""
    return np.asarray(self.classes_[self.predict_proba(X).argmax(1)])


class PrincipalAxes(PCA):  # type: ignore[misc]
    """scikit-learn's `PCA` with ``svd_solver="full"``, fitted several times faster to few rows of many values."""

    def fit(self, X: Float[np.ndarray, "n d"], y: object = None) -> PrincipalAxes:
        """Find the axes of largest variance; their signs may differ from those of `PCA`."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Float[np.ndarray, "n d"], y: object = None) -> Float[np.ndarray, "n r"]:
        """Fit, and return the coordinates on the axes."""
        rows, columns = X.shape
        if rows > columns:
            return np.asarray(super().fit_transform(X))
        self.mean_ = X.mean(0, dtype=float).astype(X.dtype)
        centred = X - self.mean_
        weights, coordinates, total = row_axes(centred, self.n_components)
        axes = combined(weights, centred)
        squares = np.square(coordinates).sum(0)
        self.n_features_in_, self.n_samples_, self.n_components_ = columns, rows, len(axes)
        self.components_ = axes.astype(X.dtype)
        self.explained_variance_ = squares / (rows - 1)
        self.explained_variance_ratio_, self.singular_values_ = squares / total, np.sqrt(squares)
        self.noise_variance_ = float(max(total - squares.sum(), 0)) / (rows - 1) / max(rows - len(axes), 1)
        self._fit_svd_solver = "full"
        return coordinates.astype(X.dtype)


def row_axes(
    X: Float[np.ndarray, "n d"], most: int | None = None
) -> tuple[Float[np.ndarray, "r n"], Float[np.ndarray, "n r"], float]:
    """Return orthonormal axes of the space of the rows, the rows' coordinates on them, and the sum of all squares.

    At most `most` axes, in descending order of the squares along each, as weights of the rows (`combined` gives their
    values). They are found from the eigenvectors of the products of the rows with each other, in float64: few rows of
    many values have few products. A linear classifier with a penalty on squared weights is the same on the coordinates
    as on `X`.
    """
    product = np.zeros((len(X), len(X)))
    for part in _parts(X):
        product += part @ part.T
    total = float(np.trace(product))
    lowest = 0 if most is None else max(0, len(X) - most)
    squares, vectors = eigh(product, subset_by_index=(lowest, len(X) - 1), overwrite_a=True, check_finite=False)
    kept = squares > len(X) * np.finfo(float).eps * squares[-1]
    lengths, vectors = np.sqrt(squares[kept][::-1]), vectors[:, kept][:, ::-1]
    return (vectors / lengths).T, vectors * lengths, total


def combined(weights: Float[np.ndarray, "r n"], X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "r d"]:
    """Return sums of the rows with these weights, in float64."""
    return np.concatenate([weights @ part for part in _parts(X)], axis=1)


def _parts(X: Float[np.ndarray, "n d"]) -> Iterator[Float[np.ndarray, "n _"]]:
    """Yield all columns, some at a time, in float64."""
    for start in range(0, X.shape[1], COLUMNS):
        yield X[:, start : start + COLUMNS].astype(float, copy=False)
