"""What is unusual about clips and no fault: it is told, and the clips are read."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Final

from microexpr.core.clip import Clip
from microexpr.core.errors import Fault
from microexpr.core.facs import beside_units

ESTIMATED: Final = "estimated"
"""Entry of `Clip.labels` that names the times no coder gave."""
LONGEST: Final = 0.5
"""Seconds from onset to offset beyond which an expression is no longer called a micro-expression (Yan et al., 2013)."""
MACRO: Final = 4.0
"""Seconds up to which a macro-expression usually lasts (Matsumoto and Hwang, Psychological Science Agenda, 2011)."""


def span(clip: Clip) -> range | None:
    """Return the frame numbers of a clip, None where it has no time."""
    return None if clip.onset is None or clip.offset is None else range(clip.onset, clip.offset + 1)


def odd(clip: Clip, apexes: bool) -> Iterator[Fault]:
    """Yield what is unusual about a clip, and no fault; `apexes`: whether the database codes any."""
    told = []
    estimated = clip.labels.get(ESTIMATED, ())
    if "offset" in estimated:
        told.append(f"nobody coded its offset; {clip.offset} is used")
    if clip.apex is None or "apex" in estimated:
        used = f"; {clip.apex} is used" if clip.apex is not None else ""
        told += [f"nobody coded its apex{used}"] if apexes else []
    elif clip.apex == clip.onset:
        told.append(f"its apex {clip.apex} is its onset")
    elif clip.apex == clip.offset and "offset" not in estimated:
        told.append(f"its apex {clip.apex} is its offset")
    seconds = len(span(clip) or ()) / clip.fps if clip.fps else 0.0
    if clip.kind == "micro" and seconds > MACRO:
        problem = f"it lasts {seconds:.0f} s, where even macro-expressions usually end within {MACRO:.0f} s"
        yield Fault("E201", clip.key, problem, "compare the row with its frames", clip.key)
    elif clip.kind == "micro" and seconds > LONGEST:
        told.append(f"it lasts {1000 * seconds:.0f} ms, more than {1000 * LONGEST:.0f}")
    for cell in clip.labels.get("action_units", ()):
        rest = ", ".join(beside_units(cell))
        told += [f"its action units {cell!r} say more than units: {rest}"] if rest else []
    for problem in told:
        yield Fault("E201", clip.key, problem, "nothing: it is as the owners coded it", clip.key)


def overlaps(clips: Iterable[Clip]) -> Iterator[Fault]:
    """Yield clips of one video that share frames with the one before: one expression may stand there twice."""
    videos: dict[tuple[str, str, str], list[Clip]] = {}
    for clip in clips:
        if span(clip):
            videos.setdefault((clip.subject_id, clip.video, clip.kind), []).append(clip)
    for many in videos.values():
        ordered = sorted(many, key=lambda clip: (clip.onset or 0, clip.offset or 0))
        for before, after in itertools.pairwise(ordered):
            if (after.onset or 0) <= (before.offset or 0):
                yield Fault(
                    "E201", after.key, f"it shares frames with {before.key}", "see whether it is coded twice", after.key
                )
