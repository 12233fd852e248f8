"""The plan of a synthetic database: every row of its table and every frame, before anything is rendered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from .allotting import deal, fitting_quirks, subject_counts
from .coding import CODES, QUIRKS, RELABELLED, UNCODED, Quirk
from .spec import SyntheticSpec

FPS = 200
"""Frames per second, as in CASME II."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipPlan:
    """One clip: its row in the table, and what its images show. Frame numbers are those of the table."""

    subject: str
    """Two digits, starting at '01'."""
    filename: str
    onset: int
    apex: int | None
    """As in the table; None is written '/'."""
    offset: int
    """As in the table; the last frame, included."""
    action_units: str
    """As in the table: '4', '4+L10', '?'."""
    emotion: str
    index: int
    """Row in the table, from 0; together with the seed it decides every random number of the clip."""
    moved: tuple[str, ...]
    """Action units that the images show, even if the table has '?'."""
    peak: int
    """Frame of the largest movement: the apex, except in irregular rows."""
    last: int
    """Last frame in the folder: the offset, except in irregular rows."""
    amplitude: float
    """Peak displacement at expression_size 1, in pixels, 1 to 4."""
    residual: float
    """Remaining strength of the expression at the last frame, 0 to 0.1 of the peak (1 if the clip ends at its apex)."""

    @property
    def numbers(self) -> range:
        """Frame numbers in the folder."""
        return range(self.onset, self.last + 1)

    @property
    def folder(self) -> str:
        """Path of the clip below the folder of frames."""
        return f"sub{self.subject}/{self.filename}"


@lru_cache(maxsize=8)
def plan(spec: SyntheticSpec) -> tuple[ClipPlan, ...]:
    """Return the clips of the database in the order of its table: by subject, then by name."""
    rng = np.random.default_rng([spec.seed, 1])
    quirks = fitting_quirks(spec)
    hands = deal(spec, quirks, rng)
    rows = [row for s, n in enumerate(subject_counts(spec), start=1) for row in _named(s, n, hands[s - 1], quirks, rng)]
    renamed = _renamed([emotion for _, _, emotion in rows], rng)
    clips = []
    for index, (subject, filename, emotion) in enumerate(rows):
        codes = RELABELLED if index in renamed else CODES[emotion]
        clip = _clip(np.random.default_rng([spec.seed, 2, index]), codes)
        named = replace(clip, subject=f"{subject:02d}", filename=filename, emotion=emotion, index=index)
        odd = [q for q in quirks if (q.subject, q.filename) == (subject, filename)]
        clips.append(_irregular(named, odd[0]) if odd else named)
    if spec.labels == "20190701":
        both = spec.emotions is None or "surprise" in spec.emotions
        return tuple(replace(c, emotion="surprise") if both and c.index in renamed else c for c in clips)
    return tuple(_uncoded(clips, rng)) if spec.quirks else tuple(clips)


def _named(
    subject: int, count: int, hand: Sequence[str], quirks: Sequence[Quirk], rng: np.random.Generator
) -> Iterator[tuple[int, str, str]]:
    """Yield subject, filename and class of each of a person's clips, by name."""
    own = sorted((q for q in quirks if q.subject == subject), key=lambda q: q.emotion is None)
    fixed = sum(q.emotion is not None for q in own)
    taken = {q.filename.removesuffix("f") for q in QUIRKS if q.subject == subject}
    names = [*(q.filename for q in own), *_names(count - len(own), taken, rng)]
    emotions = [*hand[:fixed], *(str(e) for e in rng.permutation(hand[fixed:]))]
    for name, emotion in sorted(zip(names, emotions, strict=True)):
        yield subject, name, emotion


def _names(count: int, taken: set[str], rng: np.random.Generator) -> list[str]:
    """Return names EP<film>_<number>, some with the trailing f of the real table."""
    names: list[str] = []
    while len(names) < count:
        name = f"EP{rng.integers(1, 20):02d}_{rng.geometric(0.2):02d}"
        if name not in taken:
            taken.add(name)
            names.append(name + "f" * int(rng.random() < 0.3))
    return names


def _renamed(emotions: Sequence[str], rng: np.random.Generator) -> set[int]:
    """Return the sadness clips that the table of 2019 calls surprise: 3 of 7."""
    sad = [index for index, emotion in enumerate(emotions) if emotion == "sadness"]
    return set(rng.permutation(sad)[: round(len(sad) * 3 / 7)].tolist())


def _clip(rng: np.random.Generator, codes: Mapping[str, int]) -> ClipPlan:
    """Draw the times, action units and size of an ordinary clip."""
    weights = np.array(list(codes.values()), float)
    cell = str(rng.choice(list(codes), p=weights / weights.sum()))
    length = int(np.clip(round(rng.normal(67, 18)), 16, 100))
    onset = 1 + int(min(rng.exponential(110), 700))
    peak = onset + round((length - 1) * (0.28 + 0.4 * rng.beta(3, 3)))
    last = onset + length - 1
    return ClipPlan(
        subject="",
        filename="",
        emotion="",
        index=0,
        onset=onset,
        apex=peak,
        offset=last,
        peak=peak,
        last=last,
        action_units=cell,
        moved=tuple(cell.split("+")),
        amplitude=1 + 3 * float(rng.beta(2, 2.4)),
        residual=0.1 * float(rng.random()),
    )


def _irregular(clip: ClipPlan, quirk: Quirk) -> ClipPlan:
    """Return the clip as in the irregular row of the real table."""
    if quirk.times:
        onset, apex, offset = quirk.times
        return replace(clip, onset=onset, apex=apex, offset=offset, peak=apex, last=quirk.last or offset)
    if quirk.no_apex:
        return replace(clip, apex=None)
    if quirk.apex_is == "onset":  # the expression still peaks later: the row is wrong, not the face
        return replace(clip, apex=clip.onset)
    if quirk.apex_is == "offset":  # the clip was cut at its peak
        return replace(clip, offset=clip.peak, last=clip.peak, residual=1.0)
    return clip


def _uncoded(clips: Sequence[ClipPlan], rng: np.random.Generator) -> Iterator[ClipPlan]:
    """Yield the clips, with the cell '?' in as many as in the table of 2014."""
    blank = set(rng.permutation(len(clips))[: round(UNCODED * len(clips) / 255)].tolist())
    for clip in clips:
        yield replace(clip, action_units="?") if clip.index in blank else clip
