"""Statistics of a study of methods: intervals and tests over subjects, against loops over scikit-learn's score."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from microexpr.bench.measuring import alternate, compared
from microexpr.bench.plain import statistics
from microexpr.bench.rows import Row, Size
from microexpr.bench.running import Job
from microexpr.core.interfaces import ConfusionMetric, metrics
from microexpr.evaluation.statistics.bootstrap import resample_sums
from microexpr.evaluation.statistics.paired_permutation import paired_permutation

CLASSES = 3


class _Case(NamedTuple):
    clips: int
    subjects: int
    methods: int
    n: int
    repeats: int


CASES = {"full": _Case(442, 68, 3, 500, 3), "small": _Case(442, 68, 2, 100, 3), "tiny": _Case(120, 20, 2, 40, 1)}


def jobs(size: Size) -> list[Job]:
    """Return the jobs of this group."""
    case = CASES[size]
    return [
        Job("stats", ("bootstrap intervals",), "intervals of several methods", partial(_intervals, case=case)),
        Job("stats", ("paired permutation tests",), "tests of all pairs of methods", partial(_tests, case=case)),
    ]


def _predictions(case: _Case) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Draw labels and the predictions of methods that are right in 55 to 70 % of the clips."""
    rng = np.random.default_rng(0)
    y = rng.choice(CLASSES, size=case.clips, p=[0.57, 0.25, 0.18])
    subjects = np.concatenate([np.arange(case.subjects), rng.choice(case.subjects, case.clips - case.subjects)])
    right = np.linspace(0.55, 0.7, case.methods)
    return (
        y,
        [np.where(rng.random(case.clips) < share, y, rng.integers(CLASSES, size=case.clips)) for share in right],
        subjects,
    )


def _metric() -> ConfusionMetric:
    metric: Any = metrics.build("macro_f1", {})
    assert isinstance(metric, ConfusionMetric)
    return metric


def _scored(subjects: np.ndarray) -> dict[str, Any]:
    return {"num_classes": CLASSES, "averaged_classes": np.ones(CLASSES, bool), "subjects": subjects}


def _intervals(folder: Path, case: _Case) -> list[Row]:
    y, methods, subjects = _predictions(case)

    def ours() -> np.ndarray:
        rng = np.random.default_rng(1)
        found = resample_sums(_metric(), y, methods, np.eye(case.methods), rng=rng, n=case.n, **_scored(subjects))
        return np.array([(one.low, one.high) for one in (each.interval("percentile") for each in found)])

    def plain() -> np.ndarray:
        return statistics.intervals(y, methods, subjects, CLASSES, case.n, seed=2)

    spent = alternate({"plain": plain, "ours": ours}, case.repeats)
    difference = float(np.abs(spent.results["plain"] - spent.results["ours"]).max())
    # Ends of intervals from other random draws differ: here by up to 0.05 at 100 resamples.
    allowed = 0.5 / case.n**0.5
    width = np.ptp(spent.results["ours"], axis=1) / np.ptp(spent.results["plain"], axis=1)
    agrees = difference <= allowed and width.min() >= 0.6 and width.max() <= 1 / 0.6
    agreement = (
        f"largest difference of an interval's end {difference:.4f} (other random draws; allowed {allowed:.4f}), "
        f"{width.min():.2f} to {width.max():.2f} times as wide"
    )
    what = (
        f"95 % percentile intervals of macro-F1 of {case.methods} methods over {case.subjects} subjects with "
        f"{case.clips} clips, {case.n} resamples. Plain: a loop over scikit-learn's f1_score."
    )
    return [compared("stats", "bootstrap intervals", what, spent, (agreement, difference, bool(agrees)))]


def _tests(folder: Path, case: _Case) -> list[Row]:
    y, methods, subjects = _predictions(case)
    pairs = list(itertools.combinations(methods, 2))

    def ours() -> np.ndarray:
        rng, scored = np.random.default_rng(1), _scored(subjects)
        return np.array([paired_permutation(_metric(), y, a, b, rng=rng, n=case.n, **scored).p_value for a, b in pairs])

    def plain() -> np.ndarray:
        return np.array([statistics.paired_permutation(y, a, b, subjects, CLASSES, case.n, seed=2) for a, b in pairs])

    spent = alternate({"plain": plain, "ours": ours}, case.repeats)
    difference = float(np.abs(spent.results["plain"] - spent.results["ours"]).max())
    allowed = 2.5 / case.n**0.5  # five standard errors of a p-value near one half
    agreement = f"largest difference of a p-value {difference:.4f} (other random draws; allowed {allowed:.4f})"
    what = (
        f"paired permutation tests of macro-F1, all {len(pairs)} pairs of {case.methods} methods, swapping "
        f"{case.subjects} subjects with {case.clips} clips, {case.n} permutations. Plain: a loop over scikit-learn's "
        "f1_score."
    )
    row = compared("stats", "paired permutation tests", what, spent, (agreement, difference, difference <= allowed))
    return [row]
