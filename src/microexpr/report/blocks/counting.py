"""The score that counts: one that was not selected by its result on the test subjects, and whether it beats chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from microexpr.report.blocks.differences import p_equals
from microexpr.report.summary import NamedCell
from microexpr.report.view import StudyView, percent

PRESPECIFIED = "prespecified"
"""Name of the experiment that the study file names beforehand."""


class Permuted(NamedTuple):
    """The score under permuted labels."""

    mean: float
    level: float
    """95th percentile."""
    p: float
    corrected: bool = False
    """Whether p is corrected (Holm) for the number of methods."""


@dataclass(frozen=True)
class Counting:
    """The score that counts."""

    name: str
    subject: str
    """The subject of a sentence on it."""
    metric: str
    """Display name of its metric."""
    score: float
    low: float | None
    high: float | None
    level: float
    """Confidence level of the interval."""
    unseen: bool
    """Whether no subject is in both training and test."""
    permuted: Permuted | None
    above: bool
    """Whether it is above the score under permuted labels."""

    def answer(self, view: StudyView) -> str:
        """Return whether the score is above chance."""
        value = f"{self.metric} {self.score:.3f}"
        if self.low is not None and self.high is not None:
            value += f" ({percent(self.level)} interval {self.low:.3f} to {self.high:.3f})"
        subject = self.subject
        if view.summary.data.synthetic:
            subject = f"on synthetic faces, {subject}"
        subject = subject[:1].upper() + subject[1:]
        if self.permuted is None:
            return f"{subject} reaches {value}."
        can = "recognises" if self.above else "cannot be shown to recognise"
        where = " in subjects it was not trained on" if self.unseen else ""
        return f"{subject} {can} expressions better than chance{where}: {value}."

    @property
    def chance(self) -> str:
        """The score under permuted labels, in a sentence; empty where it was not computed."""
        if self.permuted is None:
            return ""
        found = self.permuted
        return (
            f"With permuted labels, {self.metric} is {found.mean:.3f} on average and below {found.level:.3f} in 95 % "
            f"of permutations ({p_equals(found.p)}{', corrected by Holm' if found.corrected else ''})."
        )


def prespecified(view: StudyView, named: NamedCell, subject: str) -> Counting:
    """Return the prespecified experiment as the score that counts."""
    permuted = Permuted(named.permutation_mean, named.permutation_level, named.p_value)
    unseen = named.protocol.shared_subjects == 0
    return Counting(PRESPECIFIED, subject, view.score, named.score, named.ci_low, named.ci_high,
                    named.interval_level, unseen, permuted, named.above_chance)  # fmt: skip
