"""The score that counts: one that was not selected by its result on the test subjects, and whether it beats chance."""

from __future__ import annotations

from dataclasses import dataclass

from microexpr.report.blocks.differences import p_equals
from microexpr.report.summary import NamedCell
from microexpr.report.view import StudyView, scored

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
    level: float | None = None
    """95th percentile under permuted labels."""
    p: float | None = None
    above: bool = False
    unseen: bool = True
    """Whether no subject is in both training and test."""
    corrected: bool = False
    """Whether p is corrected (Holm) for the number of methods."""

    @property
    def sentence(self) -> str:
        """Whether it is above chance, and the numbers that say so."""
        value = f"{self.metric} {scored(self.score, self.low, self.high)}"
        subject = self.subject[:1].upper() + self.subject[1:]
        if self.level is None or self.p is None:
            return f"{subject} reaches {value}."
        what = f"expressions{' of subjects it has not seen' if self.unseen else ''}"
        can = f"recognises {what}" if self.above else f"cannot be shown to recognise {what}"
        return (
            f"{subject} {can} better than chance: {value}; 95 % of label permutations score below "
            f"{self.level:.3f}, {p_equals(self.p)}{', corrected (Holm)' if self.corrected else ''}."
        )


def prespecified(view: StudyView, named: NamedCell, subject: str) -> Counting:
    """Return the prespecified experiment as the score that counts."""
    return Counting(PRESPECIFIED, subject, view.score, named.score, named.ci_low, named.ci_high,
                    named.permutation_level, named.p_value, named.above_chance,
                    named.protocol.shared_subjects == 0)  # fmt: skip
