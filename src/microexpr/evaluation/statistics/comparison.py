"""Two experiments on the same clips: their difference, whether it is significant, and what could have been detected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from microexpr.config.scores import confusion_metric
from microexpr.core.confusion import confusion_matrix, present
from microexpr.core.words import many
from microexpr.evaluation.statistics.bootstrap import Method
from microexpr.evaluation.statistics.multiplicity import Tested
from microexpr.evaluation.statistics.paired import Predictions, align
from microexpr.evaluation.statistics.paired_difference import PairedDifference, paired_difference
from microexpr.evaluation.statistics.paired_tests import OddsRatio, SignedRank, matched_odds_ratio, mcnemar, signed_rank
from microexpr.evaluation.statistics.power import POWER, precision
from microexpr.evaluation.statistics.scope import UNKNOWN, Trained

Unit = Literal["clip", "subject"]


@dataclass(frozen=True, slots=True)
class Changed:
    """A clip that only one of two experiments has right; classes by name."""

    clip: str
    subject: str
    truth: str
    a: str
    b: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Tested):
    """Experiment `a` against `b` on the same clips, in plain numbers; `notes` explain a value that is None.

    The test to report is the permutation test (`p_value`, `p_holm`): it is valid for any metric and under subject
    effects. McNemar's and Wilcoxon's tests compare accuracies, whatever the metric.
    """

    a: str
    b: str
    metric: str
    classes: tuple[str, ...]
    """The classes that the metric averages: those with a true clip."""
    n_clips: int
    n_subjects: int
    score_a: float
    score_b: float
    difference: float
    """Score of `a` minus score of `b`: the effect size, in the units of the metric."""
    ci_low: float
    ci_high: float
    unit: Unit
    """What the interval resamples and the permutation test swaps."""
    method: Method
    resamples: int
    percentiles: tuple[float, ...]
    """The 0th to 100th percentile of the resampled differences, for a plot."""
    design_effect: float | None
    """Variance of the difference over subjects by that over clips; far above 1, clip-level tests are not valid."""
    p_exact: bool
    """Whether all permutations were scored; otherwise `permutations` of them were drawn."""
    permutations: int
    differing: int
    """Number of subjects (or clips) whose confusion matrices differ; only they contribute to the test."""
    only_a: int
    only_b: int
    mcnemar_p: float
    odds_ratio: float | None
    odds_low: float | None
    odds_high: float | None
    wilcoxon_p: float | None
    wilcoxon_subjects: int
    wilcoxon_dropped: int
    detectable: float | None
    """The smallest difference that this test set could have detected with probability `power` at level 0.05."""
    power: float
    changed: tuple[Changed, ...]
    """Clips that only one of the two has right, in the order of `a`."""
    notes: tuple[str, ...]
    trained: Trained = UNKNOWN
    """How the two were trained, and so what the tests treat as fixed."""

    @property
    def verdict(self) -> str:
        """What may be said of the difference, in words."""
        return self.trained.verdict(significant=self.significant)

    def __str__(self) -> str:
        p = (
            f"p = {self.p_value:.4f}"
            if self.p_holm is None
            else f"p = {self.p_holm:.4f} (Holm, {self.family} comparisons)"
        )
        return (
            f"{self.a} minus {self.b}: {self.metric} {self.difference:+.4f} "
            f"[{self.ci_low:+.4f}, {self.ci_high:+.4f}], permutation by {self.unit} {p}: {self.verdict}."
        )


def compare(
    a: Predictions,
    b: Predictions,
    metric: str,
    *,
    rng: np.random.Generator,
    n: int = 10_000,
    permutations: int = 9_999,
    unit: Unit = "subject",
    method: Method = "expanded",
    level: float = 0.95,
    power: float = POWER,
    trained: Trained = UNKNOWN,
) -> Comparison:
    """Compare two experiments by a registered metric that can be computed from confusion matrices.

    The trained models of both sides are treated as fixed; `trained` says how they were trained, so that verdict and
    notes claim no more than that.

    The default interval, "expanded" by subject, covers best of all that `tools/validation` measures. On 2,000 simulated
    test sets each of 28, 145, 255 and 442 clips with subject effects it contained the difference of UF1 in 94.4 to
    94.7 %, percentiles by subject in 90.0 to 93.7 %, BCa by subject in 80.8 to 93.2 %, percentiles by clip in 86.5 to
    90.8 %.

    Raises ConfigError if clips, label sets or annotations differ, if there is only one subject or one class, and if the
    metric cannot be computed from confusion matrices.
    """
    a, b = align(a, b)
    built, num_classes = confusion_metric(metric), len(a.classes)
    averaged_classes = present(a.y_true, num_classes)
    by_unit = {"subject": a.subjects, "clip": None}
    scored: dict[str, Any] = {"num_classes": num_classes, "averaged_classes": averaged_classes}
    found = paired_difference(
        built,
        a.y_true,
        [a.y_pred],
        [b.y_pred],
        subjects=by_unit[unit],
        rng=rng,
        n=n,
        permutations=permutations,
        method=method,
        level=level,
        power=power,
        **scored,
    )
    errors = {
        name: precision(built, a.y_true, a.y_pred, b.y_pred, subjects=subjects, **scored).error
        for name, subjects in by_unit.items()
    }
    counted, ranked = mcnemar(a.y_true, a.y_pred, b.y_pred), signed_rank(a.y_true, a.y_pred, b.y_pred, a.subjects)
    odds = matched_odds_ratio(counted.only_a, counted.only_b, level) if counted.only_a + counted.only_b else None
    scores = [
        float(built.of_confusion(confusion_matrix(a.y_true, y_pred, num_classes), averaged_classes))
        for y_pred in (a.y_pred, b.y_pred)
    ]
    return Comparison(
        a=a.name,
        b=b.name,
        metric=metric,
        classes=tuple(name for name, kept in zip(a.classes, averaged_classes, strict=True) if kept),
        n_clips=a.y_true.size,
        n_subjects=int(np.unique(a.subjects).size),
        score_a=scores[0],
        score_b=scores[1],
        difference=found.interval.point,
        ci_low=found.interval.low,
        ci_high=found.interval.high,
        level=level,
        unit=unit,
        method=method,
        resamples=n,
        percentiles=tuple(float(value) for value in np.quantile(found.resamples.scores, np.linspace(0, 1, 101))),
        design_effect=(errors["subject"] / errors["clip"]) ** 2 if errors["clip"] else None,
        p_value=found.test.p_value,
        p_exact=found.test.exact,
        permutations=found.test.n,
        differing=found.test.units,
        only_a=counted.only_a,
        only_b=counted.only_b,
        mcnemar_p=counted.p_value,
        odds_ratio=odds.ratio if odds else None,
        odds_low=odds.low if odds else None,
        odds_high=odds.high if odds else None,
        wilcoxon_p=ranked.p_value,
        wilcoxon_subjects=ranked.subjects,
        wilcoxon_dropped=ranked.dropped,
        detectable=found.detectable,
        power=power,
        changed=tuple(_changed(a, b)),
        notes=tuple(filter(None, [trained.caveat, *_notes(unit, found, odds, ranked)])),
        trained=trained,
    )


def _changed(a: Predictions, b: Predictions) -> Iterator[Changed]:
    for at in np.flatnonzero((a.y_pred == a.y_true) != (b.y_pred == b.y_true)):
        truth, by_a, by_b = (a.classes[int(number[at])] for number in (a.y_true, a.y_pred, b.y_pred))
        yield Changed(str(a.clips[at]), str(a.subjects[at]), truth, by_a, by_b)


def _notes(unit: Unit, found: PairedDifference, odds: OddsRatio | None, ranked: SignedRank) -> Iterator[str]:
    if found.test.units == 0:
        yield "The two experiments predict the same class for every clip, so this says nothing about other clips."
    elif found.test.step is None:
        yield (
            f"The predictions differ for {many(found.test.units, unit)} only. No permutation gives a p of 0.05 or "
            "less, so no difference can be significant on this test set."
        )
    elif found.precision.error == 0:
        yield f"Leaving out any one {unit} does not change the difference, so the detectable difference is not known."
    if unit == "clip":
        yield "Resampling and swapping are by clip, which treats the clips of a subject as independent; they are not."
    yield (
        "McNemar's test treats clips as independent. It rejects too often if the clips of a subject tend to be right "
        "or wrong together."
    )
    if odds is None:
        yield "No clip is predicted correctly by only one of the two, so there is no odds ratio."
    elif odds.ratio is None:
        yield (
            f"No clip is predicted correctly by the second only, so the odds ratio has no upper limit "
            f"(lower limit {odds.low:.3g})."
        )
    if ranked.p_value is None:
        yield "All subjects have the same accuracy in both, so there is no Wilcoxon test."
    elif ranked.dropped:
        yield f"Wilcoxon's test drops {many(ranked.dropped, 'subject')} with the same accuracy in both."
