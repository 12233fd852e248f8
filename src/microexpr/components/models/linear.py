"""Linear baselines: support vector machines on LBP-TOP and Bi-WOOF features, logistic regression.

They take rows ``[n, t*h*w*c]`` as the engine flattens them. The machines' probabilities are not calibrated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from microexpr.components.models._parts import NO_WEIGHTS, confidence, need_two, refuse
from microexpr.core.errors import ConfigError
from microexpr.core.flow import PLANES, directions
from microexpr.core.interfaces import ViewSpec, models

Penalty = Annotated[float, Field(gt=0)]


@models.register("lbp_top_svm")
@dataclass(frozen=True)
class LbpTopSvm:
    """A linear support vector machine on LBP-TOP histograms, the baseline of CASME II, SMIC, SAMM and MEGC 2019.

    Zhao and Pietikäinen, "Dynamic texture recognition using local binary patterns with an application to facial
    expressions", IEEE Transactions on Pattern Analysis and Machine Intelligence 29, 2007; for micro-expressions Li et
    al., FG 2013 (SMIC), and Yan et al., PLoS ONE 9(1):e86041, 2014 (CASME II). Classes are weighted by the inverse of
    their training clips; features are the histograms as they are (each sums to one), not standardised. `C` means
    nothing without that scaling. Published kernels and `C` differ widely: linear with `C` chosen inside the training
    subjects, linear with 1e-4, polynomial, or a library's defaults.
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
        refuse(aux, "lbp_top_svm")
        return LinearSvmClassifier(self.C)


@models.register("bi_woof_svm")
@dataclass(frozen=True)
class BiWoofSvm:
    """A linear support vector machine on Bi-WOOF, histograms of flow directions weighted by strength and strain.

    Liong, See, Wong and Phan, "Less is more: micro-expression recognition from video using apex frame", Signal
    Processing: Image Communication 62, 2018 (arXiv 1606.01721). Classes are weighted by the inverse of their training
    clips. A whole feature vector has the length 1, so that two clips differ by less than that: `C` is large, or the
    margin swallows every difference. The authors' code stops at the features, their `C` could not be checked.
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
        refuse(aux, "bi_woof_svm")
        return LinearSvmClassifier(self.C)


@models.register("logistic")
@dataclass(frozen=True)
class Logistic:
    """Logistic regression of all classes at once on standardised values, with balanced class weights.

    `C` is the inverse of the penalty on squared weights. What it gives is what the values tell when each of them counts
    by itself: the plain reference for features and for networks that look at the same pictures. Its probabilities are
    those of the balanced classes, not of the training shares.
    """

    C: Penalty = 0.01
    trains_in_epochs: ClassVar[bool] = False
    label: ClassVar[str] = "logistic regression"
    mixing: ClassVar[str] = "linear projection of all values"

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        return NO_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> BaseEstimator:
        refuse(aux, "logistic")
        return LogisticClassifier(self.C)


def _check_features(name: str, view: ViewSpec, channels: tuple[str, ...], representation: str, sampling: str) -> None:
    if view.channels != channels:
        raise ConfigError(
            "E104",
            f"{name} takes the features of {representation}, and these views hold {', '.join(view.channels)}; set "
            f'representation = "{representation}" and sampling = "{sampling}".',
        )


class LinearSvmClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Linear machines between each pair of classes, balanced; ``predict`` is the class of largest ``predict_proba``."""

    def __init__(self, C: float = 1.0) -> None:
        self.C = C

    def fit(self, X: Float[np.ndarray, "n d"], y: Int[np.ndarray, "n"]) -> LinearSvmClassifier:
        """Fit on the training rows."""
        need_two(y, "a support vector machine")
        # Votes between pairs of classes can tie; broken by confidence, they agree with the decision function.
        self.svm_ = SVC(C=self.C, kernel="linear", class_weight="balanced", break_ties=True).fit(X, y)
        self.classes_ = self.svm_.classes_
        return self

    def predict_proba(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Return the softmax of the decision function, which is not calibrated."""
        return confidence(self.svm_.decision_function(X))

    def predict(self, X: Float[np.ndarray, "n d"]) -> Int[np.ndarray, "n"]:
        """Return the classes of largest probability."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(1)])


class LogisticClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """`Logistic`'s estimator."""

    def __init__(self, C: float = 0.01) -> None:
        self.C = C

    def fit(self, X: Float[np.ndarray, "n d"], y: Int[np.ndarray, "n"]) -> LogisticClassifier:
        """Fit both steps on the training rows."""
        need_two(y, "logistic")
        regression = LogisticRegression(C=self.C, class_weight="balanced", max_iter=1000)
        # Threads make products this small slower, on a machine that others use too.
        with threadpool_limits(1):
            self.pipeline_ = make_pipeline(StandardScaler(), regression).fit(X.astype(float), y)
        self.classes_ = regression.classes_
        return self

    def predict_proba(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Return the probabilities of the classes."""
        return np.asarray(self.pipeline_.predict_proba(X.astype(float)))

    def predict(self, X: Float[np.ndarray, "n d"]) -> Int[np.ndarray, "n"]:
        """Return the classes of largest probability."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(1)])
