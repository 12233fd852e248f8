"""What scikit-learn classifiers share: checks, probabilities from scores, predictions, axes of rows of many values."""

from __future__ import annotations

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
        rows, columns = X.shape
        if rows > columns:
            super().fit(X)
            return self
        self.mean_ = X.mean(0, dtype=float).astype(X.dtype)
        centred = X - self.mean_
        axes, squares, total = row_axes(centred, self.n_components)
        self.n_features_in_, self.n_samples_, self.n_components_ = columns, rows, len(axes)
        self.components_ = axes.astype(X.dtype)
        self.explained_variance_ = squares / (rows - 1)
        self.explained_variance_ratio_, self.singular_values_ = squares / total, np.sqrt(squares)
        self.noise_variance_ = float(max(total - squares.sum(), 0)) / (rows - 1) / max(rows - len(axes), 1)
        self._fit_svd_solver = "full"
        return self

    def fit_transform(self, X: Float[np.ndarray, "n d"], y: object = None) -> Float[np.ndarray, "n r"]:
        """Fit, and return the coordinates on the axes."""
        return np.asarray(self.fit(X).transform(X))


def row_axes(
    X: Float[np.ndarray, "n d"], most: int | None = None
) -> tuple[Float[np.ndarray, "r d"], Float[np.ndarray, "r"], float]:
    """Return orthonormal axes of the space of the rows, the squares along each in descending order, and their sum.

    At most `most` axes. They are the eigenvectors of the product of the rows with each other, in float64: few rows of
    many values have a small product. A linear classifier with a penalty on squared weights is the same on
    ``X @ axes.T`` as on `X`.
    """
    blocks = [slice(start, start + COLUMNS) for start in range(0, X.shape[1], COLUMNS)]
    product = np.zeros((len(X), len(X)))
    for block in blocks:
        part = X[:, block].astype(float)
        product += part @ part.T
    lowest = 0 if most is None else max(0, len(X) - most)
    squares, vectors = eigh(product, subset_by_index=(lowest, len(X) - 1), check_finite=False)
    kept = squares > len(X) * np.finfo(float).eps * squares[-1]
    squares, vectors = squares[kept][::-1], vectors[:, kept][:, ::-1]
    weights = (vectors / np.sqrt(squares)).T
    axes = np.concatenate([weights @ X[:, block].astype(float) for block in blocks], axis=1)
    return axes, squares, float(np.trace(product))
