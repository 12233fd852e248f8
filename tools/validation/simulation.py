"""Simulated test sets with a known truth, on which tests and intervals are evaluated.

Subjects differ in how many clips they have, in the emotions that they show, in how difficult they are for any
classifier, in how well each classifier suits them, and in the classes that each classifier confuses their clips with.
Clips differ in how difficult they are for both. All of this is drawn again for every test set; no real data are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import brentq
from scipy.special import expit

from microexpr.core.confusion import f1_per_class, recall_per_class

COMMON = 0.1
"""Part of a subject's class shares that is common to all subjects, so that every class can occur."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How test sets are drawn; standard deviations are on the logit scale of predicting a clip correctly."""

    clips: int
    subjects: int
    shares: tuple[int, ...]
    """Sizes of the classes, in proportion."""
    skill: float = 0.2
    """Logit of predicting an average clip correctly; 0.2 gives about 55 %."""
    tilt: float = 0.4
    """How much better a classifier is on frequent classes, in logits per unit of log share."""
    subject_sd: float = 0.6
    """Subjects who are difficult or easy for both classifiers."""
    suit_sd: float = 0.6
    """Subjects who suit one classifier, which makes clip-level comparisons invalid."""
    clip_sd: float = 1.0
    """Clips that are difficult or easy for both."""
    habit: float = 4.0
    """Concentration of subjects' class shares around `shares`, true and mistaken; small values give strong habits."""
    evenness: float = 2.0
    """Concentration of subjects' shares of the clips; small values give a few subjects most of them."""

    def without_subject_effects(self) -> Scenario:
        """Return the same scenario with clips that are independent except for the emotions that subjects show."""
        return replace(self, subject_sd=0.0, suit_sd=0.0, habit=1e4)


_SEVEN = (99, 63, 32, 27, 25, 7, 2)
SCENARIOS: Mapping[int, Scenario] = {
    28: Scenario(clips=28, subjects=26, shares=(10, 7, 4, 3, 3, 1)),
    145: Scenario(clips=145, subjects=24, shares=(88, 32, 25)),
    255: Scenario(clips=255, subjects=26, shares=_SEVEN),
    442: Scenario(clips=442, subjects=68, shares=(250, 109, 83)),
}
"""Clips, subjects and class sizes of: the paper's test set; CASME II in MEGC 2019; CASME II; all of MEGC 2019."""


class Drawn(NamedTuple):
    """One test set and the predictions of two classifiers."""

    y_true: Int[np.ndarray, "n"]
    y_a: Int[np.ndarray, "n"]
    y_b: Int[np.ndarray, "n"]
    subjects: Int[np.ndarray, "n"]


class _Subjects(NamedTuple):
    """Effects of subjects, one row each; those of both classifiers along the second dimension."""

    true: Float[np.ndarray, "p k"]
    mistaken: Float[np.ndarray, "p 2 k"]
    logit: Float[np.ndarray, "p 2"]


def draw(scenario: Scenario, rng: np.random.Generator, gap: float = 0.0) -> Drawn:
    """Draw a test set; `gap` is the first classifier's lead in logits, 0 if the two are equally good.

    A set with one subject or one class is drawn again, because it cannot be tested.
    """
    while True:
        subject_effects = _draw_subjects(scenario, scenario.subjects, rng)
        sizes = rng.multinomial(scenario.clips, rng.dirichlet(np.full(scenario.subjects, scenario.evenness)))
        who = np.repeat(np.arange(scenario.subjects), sizes)
        y_true = _choose(subject_effects.true[who], rng)
        if np.unique(who).size > 1 and np.unique(y_true).size > 1:
            break
    hard = scenario.clip_sd * rng.standard_normal((scenario.clips, 1))
    right = rng.random((scenario.clips, 2)) < _right(scenario, subject_effects, who, y_true, hard, gap)
    predictions = []
    for at in range(2):
        wrong = subject_effects.mistaken[who, at].copy()
        wrong[np.arange(who.size), y_true] = 0
        predictions.append(np.where(right[:, at], y_true, _choose(wrong / wrong.sum(axis=1, keepdims=True), rng)))
    return Drawn(y_true, predictions[0], predictions[1], who)


def population(
    scenario: Scenario, gap: float = 0.0, *, subjects: int = 20_000, seed: int = 0
) -> Float[np.ndarray, "2 k k"]:
    """Return the confusion matrices (as shares) that both classifiers have in the limit of many subjects and clips.

    Averaged over `subjects`, each with one clip of every class, weighted by how often the subject shows it. Outcomes
    are averaged by their probability, and the two classifiers are given the same subjects, so that they differ by
    `gap` alone.
    """
    rng = np.random.default_rng(seed)
    subject_effects, num_classes = _draw_subjects(scenario, subjects, rng), len(scenario.shares)
    matrices = np.zeros((2, num_classes, num_classes))
    for label in range(num_classes):
        y_true = np.full(subjects, label)
        hard = scenario.clip_sd * rng.standard_normal((subjects, 1))
        weight = subject_effects.true[:, label] / subjects
        for at, lead in enumerate((gap, -gap)):
            right = _right(scenario, subject_effects, np.arange(subjects), y_true, hard, lead)[:, 0]
            wrong = subject_effects.mistaken[:, 0].copy()
            wrong[:, label] = 0
            matrices[at, label] = ((weight * (1 - right) / wrong.sum(axis=1))[:, None] * wrong).sum(axis=0)
            matrices[at, label, label] = (weight * right).sum()
    return matrices


def true_score(matrix: Float[np.ndarray, "k k"], metric: str, y_true: Int[np.ndarray, "n"]) -> float:
    """Return the population's score over the classes of a test set, which its interval should contain."""
    kept = np.bincount(y_true, minlength=len(matrix)) > 0
    if metric == "accuracy":
        return float(np.trace(matrix) / matrix.sum())
    per_class = recall_per_class(matrix) if metric == "uar" else f1_per_class(matrix)
    return float(per_class[kept].mean())


def gap_for(scenario: Scenario, metric: str, difference: float) -> float:
    """Return the lead in logits that makes the population's scores differ by `difference`, over all classes."""
    if difference == 0:
        return 0.0
    everything = np.arange(len(scenario.shares))

    def miss(gap: float) -> float:
        first, second = population(scenario, gap)
        return true_score(first, metric, everything) - true_score(second, metric, everything) - difference

    return float(brentq(miss, -12, 12, xtol=1e-4))


def _draw_subjects(scenario: Scenario, subjects: int, rng: np.random.Generator) -> _Subjects:
    shares = np.array(scenario.shares, float) / sum(scenario.shares)
    num_classes = shares.size

    def habits(size: tuple[int, ...]) -> Float[np.ndarray, "..."]:
        return (1 - COMMON) * rng.dirichlet(scenario.habit * num_classes * shares, size) + COMMON * shares

    suits = scenario.suit_sd * rng.standard_normal((subjects, 2))
    logit = scenario.subject_sd * rng.standard_normal((subjects, 1)) + suits
    return _Subjects(habits((subjects,)), habits((subjects, 2)), logit)


def _right(
    scenario: Scenario,
    subject_effects: _Subjects,
    who: Int[np.ndarray, "n"],
    y_true: Int[np.ndarray, "n"],
    hard: Float[np.ndarray, "n 1"],
    gap: float,
) -> Float[np.ndarray, "n 2"]:
    """Return the probability of predicting each clip correctly."""
    shares = np.array(scenario.shares, float) / sum(scenario.shares)
    tilted = scenario.tilt * np.log(shares * shares.size)[y_true]
    lead = np.array([gap / 2, -gap / 2])
    return np.asarray(expit(scenario.skill + tilted[:, None] + subject_effects.logit[who] + hard + lead))


def _choose(shares: Float[np.ndarray, "n k"], rng: np.random.Generator) -> Int[np.ndarray, "n"]:
    """Draw a class for each row of shares."""
    limits = shares.cumsum(axis=1)[:, :-1]
    return np.asarray((rng.random((len(shares), 1)) >= limits).sum(axis=1))
