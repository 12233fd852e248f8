"""The score that counts: one that was not selected by its result on the test subjects, and whether it beats chance."""

from __future__ import annotations

from dataclasses import dataclass

from microexpr.core.words import capitalised
from microexpr.report.blocks.differences import p_equals
from microexpr.report.summary import NamedCell, Permutations, Protocol
from microexpr.report.view import StudyView, percent

PRESPECIFIED = "prespecified"
"""Name of the experiment that the study file names beforehand."""


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
    protocol: Protocol
    permuted: Permutations | None

    def answer(self, view: StudyView) -> str:
        """Return whether the score is above chance."""
        value = f"{self.metric} {self.score:.3f}"
        if self.low is not None and self.high is not None:
            value += f" ({percent(self.level)} interval {self.low:.3f} to {self.high:.3f})"
        subject = self.subject
        if view.summary.data.synthetic:
            subject = f"on synthetic faces, {subject}"
        subject = capitalised(subject)
        if self.permuted is None:
            return f"{subject} reaches {value}."
        can = "recognises" if self.permuted.above_chance else "cannot be shown to recognise"
        where = "" if self.protocol.shared_subjects else " in subjects it was not trained on"
        return f"{subject} {can} expressions better than chance{where}: {value}."

    @property
    def chance(self) -> str:
        """The score under permuted labels, in a sentence; empty where it was not computed."""
        if self.permuted is None:
            return ""
        found = self.permuted
        corrected = ", corrected by Holm" if found.p != found.p_value else ""
        return (
            f"With labels permuted within subjects, {self.metric} is {found.permutation_mean:.3f} on average and below "
            f"{found.permutation_level:.3f} in 95 % of permutations ({p_equals(found.p)}{corrected})."
        )


def chance_level(found: Permutations) -> dict[str, str]:
    """Return the score under permuted labels as a number of the first screen."""
    return {"Labels permuted": f"{found.permutation_mean:.3f} [95 % below {found.permutation_level:.3f}]"}


def prespecified(view: StudyView, named: NamedCell, subject: str) -> Counting:
    """Return the prespecified experiment as the score that counts."""
    return Counting(PRESPECIFIED, subject, view.score, named.score, named.ci_low, named.ci_high,
                    named.interval_level, named.protocol, named)  # fmt: skip
