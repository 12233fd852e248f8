"""Linear baselines: support vector machines on LBP-TOP and Bi-WOOF features, logistic regression.

They take rows ``n t*h*w*c``. The probabilities of the support vector machines are not calibrated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from microexpr.components.models._checks import refuse_targets
from microexpr.components.models._estimators import (
    combined,
    confidence,
    most_probable_class,
    need_two_classes,
    row_axes,
)
from microexpr.components.models._parameters import NO_WEIGHTS, Penalty
from microexpr.core.errors import ConfigError
from microexpr.core.flow import PLANES, directions
from microexpr.core.interfaces import ViewSpec, models
from microexpr.core.parallel import limited_threads


@models.register("lbp_top_svm")
@dataclass(frozen=True)
class LbpTopSvm:
    """A linear support vector machine on LBP-TOP histograms, the baseline of CASME II, SMIC, SAMM and MEGC 2019.

    Zhao and Pietikäinen, "Dynamic texture recognition using local binary patterns with an application to facial
    expressions", IEEE Transactions on Pattern Analysis and Machine Intelligence 29, 2007; for micro-expressions Li et
    al., FG 2013 (SMIC), and Yan et al., PLoS ONE 9(1):e86041, 2014 (CASME II). Classes are weighted by the inverse of
    their number of training clips; features are the histograms (each sums to one) without standardisation, so values
    of `C` for standardised features do not apply. Published kernels and `C` differ widely: linear with `C` chosen
    inside the training subjects, linear with 1e-4, polynomial, or a library's defaults.
    """

    C: Penalty = 1.0
    trains_in_epochs: ClassVar[bool] = False
    label: ClassVar[str] = "LBP-TOP + SVM"
    mixing: ClassVar[str] = "histograms of blocks"

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        _check_features("lbp_top_svm", view, PLANES, "lbp_top", "clip")
        return NO_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> BaseEstimator:
        self.check(view)
        refuse_targets(aux, "lbp_top_svm")
        return LinearSvmClassifier(self.C)


@models.register("bi_woof_svm")
@dataclass(frozen=True)
class BiWoofSvm:
    """A linear support vector machine on Bi-WOOF, histograms of flow directions weighted by strength and strain.

    Liong, See, Wong and Phan, "Less is more: micro-expression recognition from video using apex frame", Signal
    Processing: Image Communication 62, 2018 (arXiv 1606.01721). Classes are weighted by the inverse of their number of
    training clips. A feature vector has length 1, so that differences between clips are smaller than that: `C` is
    large, since otherwise the margin would hide every difference. The authors' code ends with the features, so that
    their `C` could not be checked.
    """

    C: Penalty = 100.0
    trains_in_epochs: ClassVar[bool] = False
    label: ClassVar[str] = "Bi-WOOF + SVM"
    mixing: ClassVar[str] = "histograms of blocks"

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        _check_features("bi_woof_svm", view, directions(len(view.channels)), "bi_woof", "onset_apex")
        return NO_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> BaseEstimator:
        self.check(view)
        refuse_targets(aux, "bi_woof_svm")
        return LinearSvmClassifier(self.C)


@models.register("logistic", revision=2)
@dataclass(frozen=True)
class Logistic:
    """Multinomial logistic regression on standardised values, with balanced class weights.

    `C` is the inverse of the penalty on squared weights. It shows what the values predict when each contributes
    separately: a reference for features, and for networks on the same images. Its probabilities are those of balanced
    classes, not of the class shares in training.
    """

    C: Penalty = 0.01
    trains_in_epochs: ClassVar[bool] = False
    label: ClassVar[str] = "logistic regression"
    mixing: ClassVar[str] = "linear projection of all values"

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        return NO_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> BaseEstimator:
        refuse_targets(aux, "logistic")
        return LogisticClassifier(self.C)


def _check_features(name: str, view: ViewSpec, channels: tuple[str, ...], representation: str, sampling: str) -> None:
    if view.channels != channels:
        raise ConfigError(
            "E409",
            f"{name} needs the features of {representation}, but these views have the channels "
            f'{", ".join(view.channels)}. Set representation = "{representation}" and sampling = "{sampling}".',
        )


class LinearSvmClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Linear support vector machines between each pair of classes, with balanced class weights."""

    predict = most_probable_class

    def __init__(self, C: float = 1.0) -> None:
        self.C = C

    def fit(self, X: Float[np.ndarray, "n d"], y: Int[np.ndarray, "n"]) -> LinearSvmClassifier:
        """Fit on the training rows."""
        need_two_classes(y, "a support vector machine")
        # Votes between pairs of classes can tie; breaking ties by confidence agrees with the decision function.
        self.svm_ = SVC(C=self.C, kernel="linear", class_weight="balanced", break_ties=True).fit(X, y)
        self.classes_ = self.svm_.classes_
        return self

    def predict_proba(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Return the softmax of the decision function, which is not calibrated."""
        return confidence(self.svm_.decision_function(X))


class LogisticClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """`Logistic`'s estimator."""

    predict = most_probable_class

    def __init__(self, C: float = 0.01) -> None:
        self.C = C

    def fit(self, X: Float[np.ndarray, "n d"], y: Int[np.ndarray, "n"]) -> LogisticClassifier:
        """Fit both steps on the training rows."""
        need_two_classes(y, "logistic")
        regression = LogisticRegression(C=self.C, class_weight="balanced", max_iter=1000)
        with limited_threads(1):
            scaler = StandardScaler()
            standard = scaler.fit_transform(X.astype(float))
            if len(X) < X.shape[1]:
                weights, coordinates, _ = row_axes(standard)
                regression.fit(coordinates, y)
                regression.coef_ = combined(regression.coef_ @ weights, standard)
                regression.n_features_in_ = X.shape[1]
            else:
                regression.fit(standard, y)
        self.pipeline_ = make_pipeline(scaler, regression)
        self.classes_ = regression.classes_
        return self

    def predict_proba(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Return the probabilities of the classes."""
        with limited_threads(1):
            return np.asarray(self.pipeline_.predict_proba(X.astype(float)))
