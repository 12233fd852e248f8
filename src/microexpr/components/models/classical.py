"""Baselines without a network: predictions that ignore the input, and a support vector machine on principal components.

They take rows of pixels ``n t*h*w*c``. Their probabilities are not calibrated.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from microexpr.components.models._checks import refuse_targets
from microexpr.components.models._estimators import (
    PrincipalAxes,
    confidence,
    most_probable_class,
    need_two_classes,
)
from microexpr.components.models._parameters import NO_WEIGHTS, Penalty
from microexpr.core.interfaces import ViewSpec, models
from microexpr.core.parallel import limited_threads

Components = Annotated[int, Field(ge=1)]
Gamma = Annotated[float, Field(gt=0)] | Literal["scale", "auto"]
Seed = Annotated[int, Field(ge=0)]


@models.register("majority")
@dataclass(frozen=True)
class Majority:
    """Always predict the most frequent training class; probabilities are the class shares in training."""

    trains_in_epochs: ClassVar[bool] = False
    label: ClassVar[str] = "majority class"
    mixing: ClassVar[str] = "none (the input is ignored)"

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        return NO_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> BaseEstimator:
        refuse_targets(aux, "majority")
        return DummyClassifier(strategy="prior")


@models.register("class_frequency")
@dataclass(frozen=True)
class ClassFrequency:
    """Predict a random class for every row, drawn with the class shares in training: chance level under imbalance."""

    seed: Seed = 0
    trains_in_epochs: ClassVar[bool] = False
    label: ClassVar[str] = "random by class frequency"
    mixing: ClassVar[str] = "none (the input is ignored)"

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        return NO_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> BaseEstimator:
        refuse_targets(aux, "class_frequency")
        return RandomByFrequency(self.seed)


@models.register("pca_svm", revision=3)
@dataclass(frozen=True)
class PcaSvm:
    """Standardised pixels, principal components, and an RBF support vector machine with balanced class weights.

    `components` are at most as many as the training rows allow; `gamma` is the kernel's, ``scale`` being
    1 / (components * variance).
    """

    components: Components = 60
    C: Penalty = 3.0
    gamma: Gamma = "scale"
    trains_in_epochs: ClassVar[bool] = False
    label: ClassVar[str] = "PCA + SVM"
    mixing: ClassVar[str] = "linear projection of all pixels"

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        return NO_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> BaseEstimator:
        refuse_targets(aux, "pca_svm")
        return PcaSvmClassifier(self.components, self.C, self.gamma)


class RandomByFrequency(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Draw each row's class from the training shares, seeded by this seed, the training rows and the row itself.

    scikit-learn's ``DummyClassifier("stratified")`` repeats its draws in every fold: under leave-one-subject-out the
    first clip of every subject would get the same prediction.
    """

    predict = most_probable_class

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, X: Float[np.ndarray, "n d"], y: Int[np.ndarray, "n"]) -> RandomByFrequency:
        """Count the classes."""
        self.classes_, counts = np.unique(y, return_counts=True)
        self.shares_ = counts / counts.sum()
        self.training_ = zlib.crc32(np.asarray(X).tobytes(), zlib.crc32(np.asarray(y).tobytes()))
        return self

    def predict_proba(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Return the drawn classes, one-hot encoded."""
        seeds = [(self.seed, self.training_, zlib.crc32(row.tobytes())) for row in X]
        drawn = [np.random.default_rng(seed).choice(len(self.classes_), p=self.shares_) for seed in seeds]
        proba: np.ndarray = np.eye(len(self.classes_))[np.array(drawn, dtype=int)]
        return proba


class PcaSvmClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """`PcaSvm`'s estimator."""

    predict = most_probable_class

    def __init__(self, components: int = 60, C: float = 3.0, gamma: float | str = "scale") -> None:
        self.components = components
        self.C = C
        self.gamma = gamma

    def fit(self, X: Float[np.ndarray, "n d"], y: Int[np.ndarray, "n"]) -> PcaSvmClassifier:
        """Fit all three steps on the training rows."""
        need_two_classes(y, "pca_svm")
        components = min(self.components, len(X) - 1, X.shape[1])
        self.scaler_, self.pca_ = StandardScaler(), PrincipalAxes(components, svd_solver="full")
        with limited_threads(1):
            coordinates = self.pca_.fit_transform(self.scaler_.fit_transform(X))
            self.rows_ = np.ascontiguousarray(coordinates, float)  # as stored, so that products keep their bits
            self.gamma_ = self._gamma(self.rows_)
            # One product gives the kernel of all rows, which libsvm would compute pair by pair. Votes between pairs of
            # classes can tie; breaking ties by confidence agrees with the decision function.
            self.svm_ = SVC(C=self.C, kernel="precomputed", class_weight="balanced", break_ties=True)
            self.svm_.fit(rbf_kernel(self.rows_, gamma=self.gamma_), y)
        self.classes_ = self.svm_.classes_
        return self

    def _gamma(self, rows: Float[np.ndarray, "n r"]) -> float:
        """Return `gamma` as a number, as `SVC` does."""
        if not isinstance(self.gamma, str):
            return self.gamma
        spread = float(rows.var()) if self.gamma == "scale" else 1.0
        return 1 / (rows.shape[1] * spread) if spread else 1.0

    def predict_proba(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Return the softmax of the decision function, which is not calibrated."""
        with limited_threads(1):
            rows = self.pca_.transform(self.scaler_.transform(X)).astype(float)
            return confidence(self.svm_.decision_function(rbf_kernel(rows, self.rows_, gamma=self.gamma_)))
