"""What is unusual about clips without being wrong: it is reported, and the clips are read."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Final

from microexpr.core.clip import Clip
from microexpr.core.errors import Fault
from microexpr.core.facs import beside_units

ESTIMATED: Final = "estimated"
"""Entry of `Clip.labels` that names the times that were not coded but estimated."""
LONGEST: Final = 0.5
"""Seconds from onset to offset beyond which an expression is no longer called a micro-expression (Yan et al., 2013)."""
MACRO: Final = 4.0
"""Seconds up to which a macro-expression usually lasts (Matsumoto and Hwang, Psychological Science Agenda, 2011)."""


def span(clip: Clip) -> range | None:
    """Return the frame numbers of a clip, None where it has no time."""
    return None if clip.onset is None or clip.offset is None else range(clip.onset, clip.offset + 1)


def unusual(clip: Clip, apexes: bool) -> Iterator[Fault]:
    """Yield what is unusual about a clip; `apexes` says whether the database codes any apex."""
    estimated = clip.labels.get(ESTIMATED, ())
    found = []
    if "offset" in estimated:
        found.append(("E250", f"its offset was not coded; {clip.offset} is used"))
    if clip.apex is None or "apex" in estimated:
        used = f"; {clip.apex} is used" if clip.apex is not None else ""
        found += [("E250", f"its apex was not coded{used}")] if apexes else []
    elif clip.apex == clip.onset:
        found.append(("E251", f"its apex {clip.apex} is its onset"))
    elif clip.apex == clip.offset and "offset" not in estimated:
        found.append(("E251", f"its apex {clip.apex} is its offset"))
    seconds = len(span(clip) or ()) / clip.fps if clip.fps else 0.0
    if clip.kind == "micro" and seconds > MACRO:
        problem = f"it lasts {seconds:.0f} s; even macro-expressions usually end within {MACRO:.0f} s"
        yield Fault("E253", clip.key, problem, "compare the row with its frames", clip.key)
    elif clip.kind == "micro" and seconds > LONGEST:
        found.append(("E252", f"it lasts {1000 * seconds:.0f} ms, more than {1000 * LONGEST:.0f}"))
    for cell in clip.labels.get("action_units", ()):
        rest = ", ".join(beside_units(cell))
        found += [("E254", f"its action units {cell!r} contain more than units: {rest}")] if rest else []
    for code, problem in found:
        yield Fault(code, clip.key, problem, "no action needed: it is read as the owners coded it", clip.key)


def overlaps(clips: Iterable[Clip]) -> Iterator[Fault]:
    """Yield clips of one video that share frames with the clip before: one expression may be coded twice."""
    videos: dict[tuple[str, str, str], list[Clip]] = {}
    for clip in clips:
        if span(clip):
            videos.setdefault((clip.subject_id, clip.video, clip.kind), []).append(clip)
    for clips_of_video in videos.values():
        ordered = sorted(clips_of_video, key=lambda clip: (clip.onset or 0, clip.offset or 0))
        for before, after in itertools.pairwise(ordered):
            if (after.onset or 0) <= (before.offset or 0):
                problem = f"it shares frames with {before.key}"
                yield Fault("E255", after.key, problem, "check whether one expression is coded twice", after.key)
