"""Paired comparisons of a study's preprocessings: sentences, figures, tables, and the clips that change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from microexpr.core.words import capitalised, joined
from microexpr.report.blocks import differences
from microexpr.report.blocks.differences import Pair, detectable, differing, how, p_equals, trainings
from microexpr.report.blocks.scores import model_style, place
from microexpr.report.figure import Plot
from microexpr.report.page import Prose
from microexpr.report.summary import Pair as Compared
from microexpr.report.summary import Paired
from microexpr.report.table import ABSENT, Column, Table, format_value
from microexpr.report.view import MANY, StudyView

ONE_BY_ONE = 3
"""Largest number of pairs whose changed clips are listed pair by pair; of more, changes are counted by clip."""
NAMED = 4
"""Largest number of pairs that a sentence names."""


def _made(view: StudyView) -> list[tuple[Compared, Paired]]:
    """Return the pairs that could be compared."""
    return [(pair, pair.paired) for pair in view.summary.paired if pair.paired is not None]


def _where(view: StudyView, pair: Compared) -> list[str]:
    """Return a pair's sampling, model and levels of the other axes."""
    others = [f"{name} {pair.factors[name]}" for name in view.other_axes if name in pair.factors]
    return [view.short_label("sampling", pair.sampling), view.short_label("model", pair.model), *others]


def _titles(view: StudyView) -> list[str]:
    """Return the names of pairs, reduced to the parts in which they differ."""
    words = [
        [" − ".join(view.short_label("preprocessing", name) for name in (pair.a, pair.b)), *_where(view, pair)]
        for pair, _ in _made(view)
    ]
    apart = [at for at, part in enumerate(zip(*words, strict=True)) if len(set(part)) > 1]
    return [" · ".join(each[at] for at in apart or [0]) for each in words]


# --- sentences --------------------------------------------------------------------------------------------------------
def sentence(view: StudyView) -> str:
    """Return in how many pairs the difference is significant, and in which; empty where nothing was compared."""
    pairs = _made(view)
    if not pairs:
        problem = next((pair.problem for pair in view.summary.paired), None)
        return f"No pair of preprocessings could be compared: {problem}" if problem else ""
    trained, significant = trainings([found for _, found in pairs]), [each for each in pairs if each[1].significant]
    none = ", which does not show that there is no difference"
    if len(pairs) == 1:
        pair, found = pairs[0]
        sides = " with ".join(view.short_label("preprocessing", name) for name in (pair.a, pair.b))
        return (
            f"In the comparison of {sides} ({' · '.join(_where(view, pair))}), "
            f"{trained.verdict(significant=found.significant)} ({format_value(found.difference, 'change')} in "
            f"{view.score}, {p_equals(found.p)}){'' if significant else none}."
        )
    what = f"{trained.things.capitalize()} trained on two preprocessings" if trained.holdout else "Preprocessings"
    share = f"in {len(significant)} of them: {_named(view, significant)}" if significant else f"in none of them{none}"
    return (
        f"{what} were compared in {len(pairs)} pairs on the same test clips. After Holm's correction for their number, "
        f"{differing([found for _, found in pairs])} {share}."
    )


def _named(view: StudyView, pairs: Sequence[tuple[Compared, Paired]]) -> str:
    said = []
    for pair, found in pairs:
        more, less = (pair.a, pair.b) if found.difference > 0 else (pair.b, pair.a)
        better, worse = (view.short_label("preprocessing", name) for name in (more, less))
        said.append(f"{better} scores higher than {worse} ({' · '.join(_where(view, pair))}, {p_equals(found.p)})")
    return joined(said, NAMED)


def verdict(view: StudyView) -> Prose:
    """Return the result, what could have been detected, and what a hold-out does not show."""
    pairs = [found for _, found in _made(view)]
    if not pairs:
        return Prose([sentence(view)])
    least = detectable([pair.detectable for pair in pairs], pairs[0].power)
    least = least or "Too few subjects are predicted differently for any difference to be significant on these clips."
    return Prose([f"{sentence(view)} {least}", trainings(pairs).caveat])


def changing(view: StudyView) -> Prose | None:
    """Return how many test clips are correct on one side only of some pair."""
    pairs = [found for _, found in _made(view)]
    clips = {clip.clip for pair in pairs for clip in pair.changed}
    if not pairs:
        return None
    where, verb = "" if len(pairs) == 1 else " in at least one pair", "is" if len(clips) == 1 else "are"
    tested = max(pair.n_clips for pair in pairs)
    return Prose([
        f"{len(clips)} of {tested} test clips {verb} correct under only one of the two preprocessings{where}."
    ])  # fmt: skip


# --- figures ----------------------------------------------------------------------------------------------------------
def figure(view: StudyView) -> Plot | None:
    """Draw every difference with its interval."""
    return differences.forest(_drawn(view), _ahead(view), view.score, "differences")


def _drawn(view: StudyView) -> list[Pair]:
    named = zip(_titles(view), _made(view), strict=True)
    return [Pair(title, found, model_style(view, pair.model)["color"]) for title, (pair, found) in named]


def _ahead(view: StudyView) -> tuple[str, str]:
    """Return which side has the higher score left and right of zero, in general terms where that differs by pair."""
    sides = {(pair.b, pair.a) for pair, _ in _made(view)}
    if len(sides) != 1:
        return "the second", "the first"
    ((left, right),) = sides
    return view.short_label("preprocessing", left), view.short_label("preprocessing", right)


# --- tables -----------------------------------------------------------------------------------------------------------
def table(view: StudyView) -> Table | None:
    """Return the paired comparisons of two preprocessings on the same test clips."""
    found, made = view.summary.paired, [each for _, each in _made(view)]
    rows: list[dict[str, Any]] = [
        {
            **(pair.paired.model_dump(exclude={"trained"}) if pair.paired else {}),
            **{axis: view.label(axis, getattr(pair, axis)) for axis in ("model", "sampling")},
            **{side: view.label("preprocessing", getattr(pair, side)) for side in ("a", "b")},
            **{f"factor_{name}": level for name, level in pair.factors.items()},
        }
        for pair in found
    ]
    columns = [
        *(column for column in place(view) if column.keys != "preprocessing"),
        Column("A", "a"),
        Column("B", "b"),
        Column(f"A − B [{view.interval_level}]", ("difference", "ci_low", "ci_high"), "change"),
        Column("only A", "only_a", "count", group="correct clips"),
        Column("only B", "only_b", "count", group="correct clips"),
        Column("p", "p_value", "p", group="permutation test"),
        Column("p (Holm)", "p_holm", "p", group="permutation test"),
        Column("p (McNemar)", "mcnemar_p", "p"),
        Column("Detectable", "detectable", "score", missing=ABSENT),
    ]
    marks = {at: "best" for at, pair in enumerate(found) if pair.paired and pair.paired.significant}
    notes = [f"Bold: {differing(made)}."] if marks else []
    notes += list(dict.fromkeys(f"Not compared: {pair.problem}" for pair in found if pair.problem))
    method = [
        f"{capitalised(view.score)} on the same test clips.",
        *how(made),
        "Holm: corrected for the number of pairs. McNemar's exact test assumes independent clips, which clips of one "
        "subject are not.",
    ]
    if made:
        method.append(
            f"Detectable: smallest difference detected with {100 * made[0].power:.0f} % power; {ABSENT}: too few "
            "subjects are predicted differently for any difference to be significant."
        )
    return Table("paired", "Paired comparison of preprocessings", columns, rows, notes, method, marks)


def changed(view: StudyView) -> Table | None:
    """Return the clips that are correct on one side only: pair by pair, or counted where there are many pairs."""
    pairs = _made(view)
    return None if not pairs else _one_by_one(view) if len(pairs) <= ONE_BY_ONE else _counted(view)


def _one_by_one(view: StudyView) -> Table:
    rows: list[dict[str, Any]] = []
    marks: dict[int, str] = {}
    pairs = _made(view)
    for title, (pair, found) in zip(_titles(view), pairs, strict=True):
        for side in ("a", "b"):
            mine = [clip.model_dump() for clip in found.changed if getattr(clip, side) == clip.truth]
            marks |= {len(rows): "rule"} if rows and mine else {}
            rows += [
                {**clip, "pair": title, "right": view.label("preprocessing", getattr(pair, side))} for clip in mine
            ]
    one = len(pairs) == 1
    heads = [view.label("preprocessing", getattr(pairs[0][0], side)) if one else side.upper() for side in ("a", "b")]
    columns = [
        *([] if one else [Column("Pair", "pair")]),
        Column("Clip", "clip"),
        Column("Subject", "subject"),
        Column("True class", "truth"),
        *(Column(head, side, group="predicted under") for head, side in zip(heads, ("a", "b"), strict=True)),
        Column("Correct under", "right"),
    ]
    caption = "Clips that are correct under one preprocessing only"
    return Table("changed_clips", caption, columns, rows, marks=marks)


def _counted(view: StudyView) -> Table:
    pairs = _made(view)
    clips: dict[str, dict[str, Any]] = {}
    alone: dict[str, Counter[str]] = {}
    wrong: dict[str, Counter[str]] = {}
    for pair, found in pairs:
        for clip in found.changed:
            right, error = (pair.a, clip.b) if clip.a == clip.truth else (pair.b, clip.a)
            clips.setdefault(clip.clip, clip.model_dump(include={"clip", "subject", "truth"}))
            alone.setdefault(clip.clip, Counter())[right] += 1
            wrong.setdefault(clip.clip, Counter())[error] += 1
    levels = list(dict.fromkeys(side for pair, _ in pairs for side in (pair.a, pair.b)))
    rows = [
        {
            **clip,
            "pairs": alone[name].total(),
            "taken": ", ".join(f"{word} {count}" for word, count in wrong[name].most_common()),
            **{f"right_{level}": alone[name][level] for level in levels},
        }
        for name, clip in clips.items()
    ]
    rows.sort(key=lambda row: (-row["pairs"], row["clip"]))
    columns = [Column("Clip", "clip"), Column("Subject", "subject"), Column("True class", "truth")]
    columns.append(Column(f"Pairs of {len(pairs)}", "pairs", "count"))
    if len(levels) <= MANY:
        columns += [
            Column(view.label("preprocessing", level), f"right_{level}", "count", group="correct under this only")
            for level in levels
        ]
    columns.append(Column("Wrong predictions", "taken"))
    return Table("changed_clips", "Clips whose result depends on the preprocessing", columns, rows)
