"""Leave-one-subject-out of scikit-learn classifiers on images that a CSV file lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC


def read(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images (n x height x width x channels), class numbers and subjects of manifest.csv."""
    table = pd.read_csv(folder / "manifest.csv", dtype=str)
    images = np.stack([cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED) for name in table["onset_apex"]])
    return images, pd.factorize(table["emotion"], sort=True)[0], table["subject"].to_numpy()


def pca_svm(components: int = 60, solver: str = "full") -> Any:
    """Standardisation, principal components, RBF support vector machine with balanced classes."""
    svm = SVC(C=3.0, class_weight="balanced", break_ties=True)
    return make_pipeline(StandardScaler(), PCA(components, svd_solver=solver, random_state=0), svm)


def logistic() -> Any:
    """Standardisation and multinomial logistic regression with balanced classes."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000))


def linear_svm(C: float) -> Any:
    """Standardisation and a linear support vector machine with balanced classes."""
    machine = LinearSVC(C=C, class_weight="balanced", dual=False, max_iter=10_000)
    return make_pipeline(StandardScaler(), machine)


def leave_one_subject_out(
    make: Any, features: np.ndarray, labels: np.ndarray, subjects: np.ndarray, processes: int = 1
) -> np.ndarray:
    """Fit on all other subjects for each subject in turn, and return the predicted class of every clip."""
    rows = features.reshape(len(features), -1)
    rows = rows.astype(np.float32) if rows.dtype == np.uint8 else rows
    return cross_val_predict(make(), rows, labels, groups=subjects, cv=LeaveOneGroupOut(), n_jobs=processes)
