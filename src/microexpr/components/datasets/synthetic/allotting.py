"""Number of clips per class and subject, and which subject gets which class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .coding import CLIPS_PER_SUBJECT, QUIRKS, Quirk
from .spec import COUNTS, SyntheticSpec

LABELS = "20140508"
"""Clips are distributed by the table of 2014; that of 2019 only renames some, so that the images are the same."""


def subject_counts(spec: SyntheticSpec) -> list[int]:
    """Return the number of clips per subject: CASME II's for 255 clips of 26 subjects, otherwise equal (within one)."""
    if (spec.subjects, spec.clips) == (len(CLIPS_PER_SUBJECT), sum(CLIPS_PER_SUBJECT)):
        return list(CLIPS_PER_SUBJECT)
    each, more = divmod(spec.clips, spec.subjects)
    return [each + (subject < more) for subject in range(spec.subjects)]


def class_counts(spec: SyntheticSpec) -> dict[str, int]:
    """Return the number of clips per class in the proportions of 2014, by largest remainder.

    Every class has at least two clips if there are four times as many clips as classes, otherwise one if possible, so
    that a class can be learnt while one subject is left out.
    """
    shares = {e: n for e, n in COUNTS[LABELS].items() if spec.emotions is None or e in spec.emotions}
    least = 2 if spec.clips >= 4 * len(shares) else int(spec.clips >= len(shares))
    counts = largest_remainder(shares, spec.clips)
    for emotion in counts:
        while counts[emotion] < least:
            counts[max(counts, key=lambda e: counts[e])] -= 1
            counts[emotion] += 1
    return counts


def largest_remainder(shares: Mapping[str, int], total: int) -> dict[str, int]:
    """Divide `total` in proportion to `shares`, into integers with this sum."""
    exact = {name: total * share / sum(shares.values()) for name, share in shares.items()}
    counts = {name: int(value) for name, value in exact.items()}
    for name in sorted(exact, key=lambda n: counts[n] - exact[n])[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def fitting_quirks(spec: SyntheticSpec) -> list[Quirk]:
    """Return the quirks to use: none below 40 clips, all with CASME II's numbers, else at most in half of the clips."""
    if not spec.quirks or spec.clips < 40:
        return []
    per_subject, counts, kept = subject_counts(spec), class_counts(spec), []
    room = per_subject if per_subject == list(CLIPS_PER_SUBJECT) else [(n + 1) // 2 for n in per_subject]
    for quirk in QUIRKS:
        classed = quirk.emotion is None or counts.get(quirk.emotion, 0) > 1
        if quirk.subject <= len(room) and room[quirk.subject - 1] and classed:
            room[quirk.subject - 1] -= 1
            kept.append(quirk)
            if quirk.emotion:
                counts[quirk.emotion] -= 1
    return kept


def deal(spec: SyntheticSpec, quirks: Sequence[Quirk], rng: np.random.Generator) -> list[list[str]]:
    """Return the classes of every subject's clips, those that quirks require first.

    Classes are dealt like cards, the rarest first, so that all subjects have a similar mixture and the clips of a rare
    class belong to different subjects.
    """
    places, counts = subject_counts(spec), class_counts(spec)
    hands: list[list[str]] = [[] for _ in places]
    for quirk in quirks:
        if quirk.emotion:
            hands[quirk.subject - 1].append(quirk.emotion)
            counts[quirk.emotion] -= 1
    for emotion in sorted(counts, key=lambda e: counts[e]):
        for _ in range(counts[emotion]):
            luck = rng.random(len(hands))
            free = [s for s in range(len(hands)) if len(hands[s]) < places[s]]
            chosen = min(free, key=lambda s: (hands[s].count(emotion) / places[s], len(hands[s]) / places[s], luck[s]))
            hands[chosen].append(emotion)
    return hands
