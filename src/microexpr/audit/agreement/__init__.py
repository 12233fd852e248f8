"""Agreement of two codings of the same videos: labels, times, intervals and action units.

A coding is a CSV with the columns ``video, onset, apex, offset, label, action_units, subject``, as far as available,
and one row per expression. A row with a video and nothing else means that the video was coded and nothing was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int, Shaped
from sklearn.metrics import cohen_kappa_score

from microexpr.audit.agreement.measures import Kappa, intraclass, matched, overlap, spotting_scores
from microexpr.audit.agreement.reading import COLUMNS, TIMES, Coding, Event, read_coding
from microexpr.core.delimited_text import listed, plain_name
from microexpr.core.errors import ConfigError, DataError, Fault
from microexpr.core.randomness import rng_for
from microexpr.evaluation.statistics.bootstrap import METHODS, Method, bootstrap

DURATION: Final = "duration"
"""Offset minus onset: unlike single times, it does not correlate just because expressions are far apart in a video."""
IOU: Final = 0.5
"""The overlap required by MEGC's spotting rule."""
RESAMPLES: Final = 10_000
METHOD: Final[Method] = "expanded"
"""Method of the intervals of kappa, which are not too narrow with few subjects."""


def audit_agreement(
    first: Path | str,
    second: Path | str,
    *,
    iou: float = IOU,
    all_videos: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the agreement of two codings; the first is the reference if one is needed (precision, recall).

    `iou` is the overlap from which two intervals count as the same expression. Videos in only one coding are left out
    and listed; with `all_videos` the other coding counts as having found nothing there. Raises DataError for a file
    that is not a coding, for codings without a common video, and if no expression can be paired because times are
    missing.
    """
    if not 0 < iou <= 1:
        raise ConfigError("E935", f"iou = {iou:g}: an overlap is above 0 and at most 1.")
    if resamples < 100:
        raise ConfigError("E801", f"an interval needs at least 100 resamples, not {resamples}.")
    a, b = read_coding(Path(first)), read_coding(Path(second))
    shared = set(a.videos) & set(b.videos)
    alone = {name: [one.videos[key] for key in one.videos if key not in shared] for name, one in (("a", a), ("b", b))}
    used = set(a.videos) | set(b.videos) if all_videos else shared
    if not shared:
        problem = f"have no video in common: {listed(a.videos.values(), 3)} against {listed(b.videos.values(), 3)}"
        fault = Fault("E933", f"{a.name}, {b.name}", problem, "use the same names for the same videos")
        raise DataError("E933", "The codings cannot be compared.", [fault])
    events = [[event for event in one.events if plain_name(event.video) in used] for one in (a, b)]
    frames = all(value is None or value.is_integer() for one in events for event in one for value in event.times)
    pairs = list(_pairs(events[0], events[1], frames))
    timed = "onset" in a.has & b.has and "offset" in a.has & b.has
    if not pairs and not timed:
        raise _unpaired(a, b)
    return {
        "first": a.name,
        "second": b.name,
        "videos": len(used),
        "only_first": alone["a"],
        "only_second": alone["b"],
        "events": [len(one) for one in events],
        "paired": len(pairs),
        "unit": "frames, both ends counted" if frames else "as written, ends not counted",
        "notes": list(_notes(a, b, alone, all_videos, events, pairs)),
        "labels": _labels(a, b, pairs, resamples, seed) if "label" in a.has & b.has else None,
        "times": {name: row for name in (*TIMES, DURATION) if (row := _times(name, pairs)) is not None},
        "spotting": _spotting(events, iou, frames) if timed else None,
        "action_units": _units(pairs, resamples, seed) if "action_units" in a.has & b.has else None,
        "intervals": {"method": METHODS[METHOD], "level": 0.95, "resamples": resamples, "seed": seed},
    }


# --- pairs ------------------------------------------------------------------------------------------------------------
def _by_video(events: Sequence[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in events:
        found.setdefault(plain_name(event.video), []).append(event)
    return found


def _pairs(first: Sequence[Event], second: Sequence[Event], frames: bool) -> Iterator[tuple[Event, Event]]:
    """Yield the events that count as the same: the only ones of a video, otherwise those that overlap at all."""
    others = _by_video(second)
    for video, here in _by_video(first).items():
        other = others.get(video, [])
        if len(here) == len(other) == 1:
            yield here[0], other[0]
            continue
        timed, other_timed = ([event for event in events if event.interval] for events in (here, other))
        if timed and other_timed:
            iou = overlap(_intervals(timed), _intervals(other_timed), frames=frames)
            yield from ((timed[r], other_timed[p]) for r, p in matched(iou, 1e-9))


def _unpaired(a: Coding, b: Coding) -> DataError:
    """Return the error of codings with several expressions per video and no times to pair them by."""
    faults = []
    for coding in (a, b):
        lacking = [name for name in ("onset", "offset") if name not in coding.has]
        if lacking:
            problem = f"has no column {' or '.join(lacking)}; its columns are {listed(coding.header)}"
            faults.append(Fault("E934", coding.name, problem, f"name the columns {', '.join(COLUMNS)}"))
    return DataError(
        "E934",
        "No expression could be paired: the only expressions of a video are paired, or those whose times overlap.",
        faults,
    )


def _intervals(events: Sequence[Event]) -> Float[np.ndarray, "n 2"]:
    return np.array([event.interval for event in events if event.interval], dtype=float).reshape(-1, 2)


def _notes(
    a: Coding,
    b: Coding,
    alone: Mapping[str, Sequence[str]],
    all_videos: bool,
    events: Sequence[Sequence[Event]],
    pairs: Sequence[object],
) -> Iterator[str]:
    for coding in (a, b):
        if coding.read_as:
            yield f"{coding.name}: {', '.join(f'{cell} was read as {name}' for cell, name in coding.read_as.items())}."
        if coding.unread:
            known = ", ".join(COLUMNS)
            yield f"{coding.name}: columns ignored: {listed(coding.unread)} (known: {known})."
    if not pairs:
        yield "No expression could be paired. Check that both files give times in the same unit (frames, seconds)."
    for coding, names in ((a, alone["a"]), (b, alone["b"])):
        if names:
            done = "counted as if the other coding had found nothing" if all_videos else "left out"
            yield f"Videos only in {coding.name} ({len(names)}), {done}: {listed(names)}."
    lost = [len(one) - len(pairs) for one in events]
    if any(lost):
        yield (
            f"Expressions without a counterpart: {lost[0]} of {a.name}, {lost[1]} of {b.name}. Labels, times and "
            "action units are compared for paired expressions only, which overestimates the agreement."
        )


# --- labels -----------------------------------------------------------------------------------------------------------
def _labels(a: Coding, b: Coding, pairs: Sequence[tuple[Event, Event]], resamples: int, seed: int) -> dict[str, Any]:
    named = [(one, other) for one, other in pairs if one.label and other.label]
    classes = sorted({event.label for pair in named for event in pair})
    if not named:
        return {"pairs": 0, "sentence": f"no expression has a label in both {a.name} and {b.name}"}
    first, second = (np.array([classes.index(pair[at].label) for pair in named]) for at in (0, 1))
    confusion = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(confusion, (first, second), 1)
    row = {
        "pairs": len(named),
        "agreed": int((first == second).sum()),
        "classes": classes,
        "confusion": confusion.tolist(),
    }
    return row | _kappa(first, second, len(classes), [pair[0] for pair in named], resamples, seed)


def _kappa(
    first: Int[np.ndarray, "n"],
    second: Int[np.ndarray, "n"],
    num_classes: int,
    events: Sequence[Event],
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Return kappa and its interval over subjects (or videos if subjects are not known), or why there is none."""
    if len({*first.tolist(), *second.tolist()}) < 2:
        return {"kappa": None, "low": None, "high": None, "sentence": "only one class is used, so there is no kappa"}
    row: dict[str, Any] = {"kappa": float(cohen_kappa_score(first, second)), "low": None, "high": None}
    if np.unique(first).size < 2 or np.unique(second).size < 2:
        return row | {"sentence": "one coding uses only one class, so kappa is 0 whatever the other one is"}
    unit, units = _unit(events)
    if np.unique(units).size < 2:
        return row | {"sentence": f"no interval: all pairs are of one {unit}"}
    found = bootstrap(
        Kappa(),
        first,
        second,
        num_classes=num_classes,
        averaged_classes=np.ones(num_classes, dtype=bool),
        rng=rng_for(seed, "bootstrap"),
        n=resamples,
        subjects=units,
        method=METHOD,
    )
    return row | {"low": found.low, "high": found.high, "unit": unit, "sentence": None}


def _unit(events: Sequence[Event]) -> tuple[str, Shaped[np.ndarray, "n"]]:
    if all(event.subject for event in events):
        return "subject", np.array([event.subject for event in events])
    return "video", np.array([plain_name(event.video) for event in events])


# --- times ------------------------------------------------------------------------------------------------------------
def _times(name: str, pairs: Sequence[tuple[Event, Event]]) -> dict[str, Any] | None:
    rated = [(_of(one, name), _of(other, name)) for one, other in pairs]
    both = np.array([pair for pair in rated if None not in pair], dtype=float).reshape(-1, 2)
    if not len(both):
        return None
    differences = both[:, 1] - both[:, 0]
    row: dict[str, Any] = {
        "pairs": len(both),
        "mean_difference": float(differences.mean()),
        "sd_difference": float(differences.std(ddof=1)) if len(both) > 1 else None,
        "mean_absolute_difference": float(np.abs(differences).mean()),
        "same": int((differences == 0).sum()),
    }
    found = intraclass(both)
    if found is None:
        return row | {
            "icc_2_1": None,
            "icc_3_1": None,
            "sentence": "no correlation: too few expressions, or all times are equal",
        }
    two, three = ({"value": icc.value, "low": _finite(icc.low), "high": _finite(icc.high)} for icc in found)
    return row | {"icc_2_1": two, "icc_3_1": three, "sentence": None}


def _of(event: Event, name: str) -> float | None:
    """Return one of an event's times, or its duration (offset minus onset)."""
    if name == DURATION:
        return event.interval[1] - event.interval[0] if event.interval else None
    return event.times[TIMES.index(name)]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


# --- intervals --------------------------------------------------------------------------------------------------------
def _spotting(events: Sequence[Sequence[Event]], threshold: float, frames: bool) -> dict[str, Any]:
    timed = [[event for event in one if event.interval] for one in events]
    first, second = map(_by_video, timed)
    tp, overlaps = 0, list[float]()
    for video in first.keys() & second.keys():
        iou = overlap(_intervals(first[video]), _intervals(second[video]), frames=frames)
        here = matched(iou, threshold)
        tp += len(here)
        overlaps += [float(iou[pair]) for pair in here]
    fp, fn = len(timed[1]) - tp, len(timed[0]) - tp
    row = {"iou": threshold, "tp": tp, "fp": fp, "fn": fn, **spotting_scores(tp, fp, fn)}
    return row | {
        "mean_iou": float(np.mean(overlaps)) if overlaps else None,
        "without_interval": [len(one) - len(kept) for one, kept in zip(events, timed, strict=True)],
    }


# --- action units -----------------------------------------------------------------------------------------------------
def _units(pairs: Sequence[tuple[Event, Event]], resamples: int, seed: int) -> dict[str, Any]:
    """Return the agreement on each action unit, ignoring sides and intensities, and the ratio used by FACS coders."""
    coded = [(one, other) for one, other in pairs if one.action_units or other.action_units]
    numbers = sorted({unit for pair in coded for event in pair for unit in event.action_units})
    both = sum(len(one.action_units & other.action_units) for one, other in coded)
    every = sum(len(one.action_units) + len(other.action_units) for one, other in coded)
    by_unit = {}
    for unit in numbers:
        first, second = (np.array([unit in pair[at].action_units for pair in coded], dtype=int) for at in (0, 1))
        shared, total = int((first & second).sum()), int(first.sum() + second.sum())
        by_unit[str(unit)] = {
            "first": int(first.sum()),
            "second": int(second.sum()),
            "both": shared,
            "f1": 2 * shared / total,
            **_kappa(first, second, 2, [pair[0] for pair in coded], resamples, seed),
        }
    return {
        "pairs": len(coded),
        "ratio": 2 * both / every if every else None,
        "by_unit": by_unit,
        "sentence": None if coded else "no expression has an action unit in both codings",
    }
