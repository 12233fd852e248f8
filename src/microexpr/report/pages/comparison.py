"""The page of `microexpr compare`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from microexpr.core.words import joined, many
from microexpr.report.blocks import differences, record
from microexpr.report.blocks.differences import (
    UNDECIDED,
    Pair,
    detectable,
    differing,
    how,
    p_equals,
    signed,
)
from microexpr.report.figure import SERIES, WIDTH, Dot, Plot, canvas, dot_height, dotplot
from microexpr.report.page import First, Page, Prose, Section
from microexpr.report.summary import ComparedResult, ComparisonSummary, Summary
from microexpr.report.table import ABSENT, Column, Table, format_value, short
from microexpr.report.view import scored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUBJECTS = 14
"""Number of subjects whose influence a panel shows."""
ACROSS = 2
SEVERAL = 3
"""Largest number of comparisons with a sentence each."""


def others(summary: Summary, given: dict[str, float]) -> list[str]:
    """Return the given scores except the one that decides, in the order of the summary."""
    known = [name for name in summary.metrics if name in given]
    return [name for name in (*known, *(name for name in given if name not in known)) if name != summary.metric]


def _letters(view: ComparisonSummary) -> list[str]:
    return [row.letter for row in view.results]


def _name(row: ComparedResult) -> str:
    """Return 'B (small_cnn)': a result's letter and what distinguishes it from the others."""
    return f"{row.letter} ({short(row.title, 48)})" if row.title else row.letter


def _pairs(view: ComparisonSummary) -> list[Pair]:
    named, several = {row.letter: _name(row) for row in view.results}, len(view.comparisons) > 1
    return [
        Pair(f"A − {named[row.letter]}", row.paired, SERIES[at % len(SERIES) if several else 0])
        for at, row in enumerate(view.comparisons)
    ]


# --- sentences --------------------------------------------------------------------------------------------------------
def verdict(view: ComparisonSummary) -> list[str]:
    """Return whether the first result differs significantly from the others, and in which direction."""
    pairs, named = view.comparisons, {row.letter: _name(row) for row in view.results}
    none = ", which does not show that there is no difference"
    if len(pairs) > SEVERAL:
        found = [
            f"{word} than {joined(mine)}"
            for word, sign in (("higher", 1), ("lower", -1))
            if (mine := [p.letter for p in pairs if p.paired.significant and p.paired.difference * sign > 0])
        ]
        share = f"in {sum(pair.paired.significant for pair in pairs)}" if found else "in none"
        return [
            f"A was compared with {len(pairs)} other results. After Holm's correction, "
            f"{differing([pair.paired for pair in pairs])} {share} of the comparisons"
            f"{f' (A scores {joined(found)})' if found else none}."
        ]
    said = []
    for pair in pairs:
        paired, other = pair.paired, named[pair.letter]
        word = "higher" if paired.difference > 0 else "lower"
        value = signed(paired.difference, paired.ci_low, paired.ci_high)
        score = f"A scores {word} than {other} in {view.score_title} ({value})"
        score = score if paired.difference else f"A and {other} have the same {view.score_title}"
        result = paired.trained.verdict(significant=paired.significant)
        p = f"{p_equals(paired.p)}{'' if paired.p_holm is None else ', Holm'}"
        join, caution = (", and", "") if paired.significant else (", but" if paired.difference else ", and", none)
        said.append(f"{score}{join} {result} ({p}){caution}.")
    return said


def done(view: ComparisonSummary) -> str:
    """Return which experiments were compared, on which clips."""
    data, first = view.data, view.results[0].title if view.results else ""
    named = f" A is {first}." if first else ""
    if len(view.comparisons) > SEVERAL:
        named = f" They are {joined([_name(row) for row in view.results])}."
    return (
        f"{len(view.results)} experiments were tested on the same {many(data.n_clips, 'clip')} of "
        f"{many(data.n_subjects, 'subject')} ({', '.join(data.datasets)}).{named}"
    )


def changing(view: ComparisonSummary) -> Prose:
    """Return, for each comparison, how many clips only one side classifies correctly."""
    said = []
    for pair in view.comparisons:
        first, second = pair.paired.only_a, pair.paired.only_b
        said.append(
            f"{many(first, 'clip')} {'is' if first == 1 else 'are'} correct in A only and {second} in {pair.letter} "
            f"only; the other {view.data.n_clips - first - second} of {view.data.n_clips} are correct in both or wrong "
            "in both."
        )
    return _list(said)


def influence_ranges(view: ComparisonSummary) -> Prose:
    """Return, for each comparison, the range of the difference without any one subject, and who changes its sign."""
    said = []
    whole = {pair.letter: pair.paired.difference for pair in view.comparisons}
    for found in view.influence:
        if found.problem or not found.subjects:
            said.append(f"A − {found.letter}: {found.problem}")
            continue
        scores, difference = [one.score for one in found.subjects], whole[found.letter]
        turning = [one.subject for one in found.subjects if one.score * difference <= 0]
        low, high = (format_value(bound(scores), "change") for bound in (min, max))
        end = ". Its sign is the same whichever subject is left out"
        if turning:
            end = f". Its sign changes, or it is 0, without {joined(turning, 3, 'or')}"
        said.append(
            f"A − {found.letter}: without any one subject, the difference is between {low} and {high}"
            f"{end if difference else ''}."
        )
    return _list(said)


def notes(view: ComparisonSummary) -> Prose:
    """Return what could have been detected, and the notes of the comparisons, with the pairs that they apply to."""
    rows = view.comparisons
    least = [pair.paired.detectable for pair in rows if not pair.paired.significant]
    said = [detectable(least, rows[0].paired.power, what=UNDECIDED) if rows else ""]
    for note in dict.fromkeys(note for pair in rows for note in pair.paired.notes):
        letters = [pair.letter for pair in rows if note in pair.paired.notes]
        said.append(note if len(letters) == len(rows) else f"A − {', '.join(letters)}: {note}")
    return _list([text for text in said if text])


def _list(said: list[str]) -> Prose:
    return Prose(items=said) if len(said) > 1 else Prose(said)


# --- figures ----------------------------------------------------------------------------------------------------------
def _ahead(view: ComparisonSummary) -> tuple[str, str]:
    return "the other result" if len(view.comparisons) > 1 else "B", "A"


def forest(view: ComparisonSummary) -> Plot | None:
    """Draw every difference with its interval."""
    return differences.forest(_pairs(view), _ahead(view), view.score_title, "comparison_differences")


def influence(view: ComparisonSummary) -> Plot | None:
    """Draw the difference without each of the most influential subjects."""
    pairs = {row.letter: pair for row, pair in zip(view.comparisons, _pairs(view), strict=True)}
    found = [one for one in view.influence if one.subjects]
    if not found:
        return None
    panels = []
    for one in found:
        whole, colour = pairs[one.letter].paired.difference, pairs[one.letter].colour
        panels.append([
            Dot(f"{short(each.subject, 22)} ({each.clips})", each.score, min(whole, each.score), max(whole, each.score),
                colour=colour, filled=each.score * whole > 0)
            for each in one.subjects[:SUBJECTS]
        ])  # fmt: skip
    across = min(ACROSS, len(found))
    down = -(-len(found) // across)
    size = (WIDTH if across > 1 else 5.4, (max(map(dot_height, panels)) + 0.85) * down)

    def draw() -> Figure:
        figure = canvas(*size)
        grid = list(figure.subplots(down, across, squeeze=False).flat)
        for one, dots, axes in zip(found, panels, grid, strict=False):
            line = {"all subjects": pairs[one.letter].paired.difference}
            dotplot(axes, dots, xlabel=f"difference in {view.score_title}", zero=True, lines=line)
            axes.set_title(short(pairs[one.letter].label, 40) if len(found) > 1 else "", pad=12)
        for axes in grid[len(found) :]:
            axes.set_visible(False)
        return figure

    cut = any(len(one.subjects) > SUBJECTS for one in found)
    text = "Lines: change from the difference over all subjects. Open: the sign changes, or the difference is 0."
    text += f" The {SUBJECTS} most influential subjects; the table lists all." if cut else ""
    return Plot("comparison_influence", "Difference without each subject", draw, [text])


# --- tables -----------------------------------------------------------------------------------------------------------
def results(view: ComparisonSummary) -> Table:
    """Return every result with its scores."""
    rows: list[dict[str, Any]] = []
    for row in view.results:
        low, high = row.bounds.get(view.metric, (None, None))
        stated = row.model_dump(include={"letter", "folder", "key"}) | {"title": row.title or ABSENT}
        rows.append(stated | row.scores | {"ci_low": low, "ci_high": high})
    level = f"{100 * view.intervals.level:.3g} %"
    columns = [
        Column("Result", "letter"),
        Column("Distinguished by", "title"),
        Column(f"{view.heading(view.metric)} [{level}]", (view.metric, "ci_low", "ci_high"), "interval"),
        *(Column(view.heading(name), name, "score")
          for name in others(view, view.results[0].scores if view.results else {})),
        Column("Folder", "folder"),
        Column("Key", "key"),
    ]  # fmt: skip
    common = {name: {getattr(row, name) for row in view.results} for name in PARTS}
    shared = [f"{name} {values.pop()}" for name, values in common.items() if len(values) == 1]
    text = [f"In common: {', '.join(shared)}."] if shared else []
    ways = [f"{pair.paired.interval}." for pair in view.comparisons[:1]]
    return Table("comparison_results", "Compared results", columns, rows, text, ways)


PARTS = ("preprocessing", "sampling", "model", "protocol")


def settings(view: ComparisonSummary) -> Table | Prose:
    """Return all settings that differ, then differences in data, libraries and machines."""
    letters, first = _letters(view), len(view.settings)
    rows = [
        {"setting": row.name, **dict(zip(letters, row.values, strict=True))}
        for row in (*view.settings, *view.surroundings)
    ]
    if not rows:
        return Prose(["The experiments have the same settings, data, libraries and machine."])
    columns = [Column("Setting", "setting"), *(Column(letter, letter, missing=ABSENT) for letter in letters)]
    marks = {first: "rule"} if 0 < first < len(rows) else {}
    text = [f"Keys as for --set, with defaults. {ABSENT}: no such setting. All other settings are equal."]
    text += ["Below the line: data, libraries and machines."] if marks else []
    return Table("comparison_settings", "Settings that differ", columns, rows, text, marks=marks, sortable=False)


def tests(view: ComparisonSummary) -> Table:
    """Return each comparison with all its tests."""
    pairs, several = [pair.paired for pair in view.comparisons], len(view.comparisons) > 1
    rows = [{**pair.paired.model_dump(exclude={"trained"}), "pair": f"A − {pair.letter}"} for pair in view.comparisons]
    level = f"{100 * view.intervals.level:.3g} %"
    columns = [
        Column("Pair", "pair"),
        Column(f"Difference [{level}]", ("difference", "ci_low", "ci_high"), "change"),
        Column("p", "p_value", "p"),
        *([Column("p (Holm)", "p_holm", "p")] if several else []),
        Column("only A", "only_a", "count", group="correct clips"),
        Column("only the other" if several else "only B", "only_b", "count", group="correct clips"),
        Column("p (McNemar)", "mcnemar_p", "p"),
        Column("p (Wilcoxon)", "wilcoxon_p", "p", missing=ABSENT),
        Column("Detectable", "detectable", "score", missing=ABSENT),
    ]
    marks = {at: "best" for at, pair in enumerate(pairs) if pair.significant}
    text = [f"Bold: {differing(pairs)}."] if marks and several else []
    method = [
        f"Differences in {view.score_title}.",
        *how(pairs),
        "The permutation test is the test to report: McNemar's exact test (clips) and Wilcoxon's test (subjects) "
        "compare accuracies, whatever the score, and are not corrected.",
        *(f"Detectable: smallest difference detected with {100 * pair.power:.0f} % power." for pair in pairs[:1]),
    ]
    return Table("comparison_differences", "Differences", columns, rows, text, method, marks)


def classes(view: ComparisonSummary) -> Table:
    """Return, by true class, how many clips each result classifies correctly."""
    letters = _letters(view)
    alone: dict[str, dict[str, int]] = {letter: {} for letter in letters} if len(letters) == 2 else {}
    for clip in view.changed:
        for letter, word in zip(alone, clip.predicted, strict=False):
            if word == clip.truth:
                alone[letter][clip.truth] = alone[letter].get(clip.truth, 0) + 1
    rows: list[dict[str, Any]] = []
    for at, name in enumerate(view.data.classes if view.results else ()):
        if tested := sum(view.results[0].confusion[at]):
            right = {row.letter: row.confusion[at][at] for row in view.results}
            only = {f"only_{letter}": counts.get(name, 0) for letter, counts in alone.items()}
            rows.append({"class": name, "n": tested, **right, **only})
    if rows:
        rows.append({"class": "all"} | {key: sum(row[key] for row in rows) for key in rows[0] if key != "class"})
    columns = [Column("True class", "class"), Column("Test clips", "n", "count")]
    columns += [Column(letter, letter, "count", group="correct") for letter in letters]
    columns += [Column(letter, f"only_{letter}", "count", group="only this one correct") for letter in alone]
    marks = {len(rows) - 1: "rule"}
    return Table("comparison_classes", "Correct clips by class", columns, rows, marks=marks, sortable=False)


def clips(view: ComparisonSummary) -> Table:
    """Return the clips on which results differ in correctness, those that only the first has correct at the top."""
    letters = _letters(view)
    rows: list[dict[str, Any]] = []
    for clip in view.changed:
        named = dict(zip(letters, clip.predicted, strict=True))
        right = ", ".join(letter for letter, word in named.items() if word == clip.truth)
        rows.append({**clip.model_dump(exclude={"predicted"}), **named, "right": right})
    rows.sort(key=lambda row: (row["right"], row["truth"], row["clip"]))
    marks = {at: "rule" for at in range(1, len(rows)) if rows[at]["right"] != rows[at - 1]["right"]}
    columns = [
        Column("Clip", "clip"),
        Column("Subject", "subject"),
        Column("True class", "truth"),
        *(Column(letter, letter, group="predicted by") for letter in letters),
        Column("Correct", "right"),
    ]
    two = "Clips that only one result classifies correctly"
    caption = two if len(letters) == 2 else "Clips on which another result differs from A"
    return Table("comparison_clips", caption, columns, rows, marks=marks)


def left_out(view: ComparisonSummary) -> Table:
    """Return the difference without each subject."""
    rows: list[dict[str, Any]] = []
    marks: dict[int, str] = {}
    whole = {pair.letter: pair.paired.difference for pair in view.comparisons}
    for found in view.influence:
        marks |= {len(rows): "rule"} if rows else {}
        for one in found.subjects:
            turns = "yes" if whole[found.letter] and one.score * whole[found.letter] <= 0 else "no"
            lost = ", ".join(one.lost) or ABSENT
            rows.append({**one.model_dump(), "pair": f"A − {found.letter}", "turns": turns, "lost": lost})
    columns = [
        *([Column("Pair", "pair")] if len(view.influence) > 1 else []),
        Column("Without", "subject"),
        Column("Clips", "clips", "count"),
        Column("Difference", "score", "change"),
        Column("Change", "change", "change"),
        Column("Sign changes or 0", "turns"),
        Column("Classes only in this subject", "lost"),
    ]
    return Table("comparison_influence", "Difference without each subject", columns, rows, marks=marks)


def limits(view: Summary) -> Prose:
    """Explain the caveats of the first screen, where a line is not enough: this page has no second file."""
    whole = (caveat.text if caveat.line.endswith("…") else f"{caveat.line} {caveat.text}"
             for caveat in view.caveats if caveat.text)  # fmt: skip
    return Prose(list(whole))


# --- the page ---------------------------------------------------------------------------------------------------------
def first(view: ComparisonSummary) -> First:
    """Return the first screen of a comparison."""
    title, two = view.heading(view.metric), len(view.results) == 2
    numbers = {
        f"{title}, {row.letter}": scored(row.scores.get(view.metric), *row.bounds.get(view.metric, (None, None)))
        for row in view.results[: 2 if two else 1]
    }
    if two and view.comparisons:
        numbers["Difference"] = format_value(view.comparisons[0].paired.difference, "change")
    else:
        numbers["Results"] = str(len(view.results))
    numbers |= {"Clips": format_value(view.data.n_clips, "count")}
    numbers |= {"Subjects": format_value(view.data.n_subjects, "count")}
    return First([*verdict(view), done(view)], numbers, forest(view), view.caveats)


def checks(view: ComparisonSummary) -> Table:
    """Return the findings of the methodological checks."""
    return replace(record.checks_of(view), name="comparison_checks")


def reproduce(view: ComparisonSummary) -> Iterator[Prose | Table]:
    """Yield the command, the permitted use, and the environment of the comparison, which is not that of the results."""
    yield Prose(["The same results and the same version give the same numbers."], code=view.command)
    caption = "Software and machine of this comparison"
    yield replace(record.environment(view), name="comparison_environment", caption=caption)
    yield Prose([record.PERMITTED_USE])


PAGE: Page[ComparisonSummary] = Page(
    "comparison",
    "microexpr comparison",
    first,
    sections=(
        Section("Limits explained", (limits,)),
        Section("Compared results", (results, settings)),
        Section("Differences", (tests, notes)),
        Section("Changed clips", (changing, classes, clips)),
        Section("Influence of single subjects", (influence_ranges, influence, left_out)),
        Section("Methodological checks", (checks,)),
        Section("Reproducing this page", (reproduce,)),
    ),
)
