"""The page of `microexpr tune`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from microexpr.core.words import capitalised, joined, many
from microexpr.report.blocks import record
from microexpr.report.blocks.differences import Pair, detectable, forest, how, p_equals, signed, span
from microexpr.report.figure import (
    MARKERS,
    SERIES,
    SOFT,
    WIDTH,
    Dot,
    Plot,
    canvas,
    dot_height,
    dotplot,
    legend_handles,
)
from microexpr.report.page import First, Page, Prose, Section
from microexpr.report.pages.comparison import limits, others
from microexpr.report.summary import Trial, TuningSummary
from microexpr.report.table import ABSENT, Column, Table, format_value, short
from microexpr.report.view import scored

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def parameters(view: TuningSummary) -> list[str]:
    """Return the searched parameters as dotted keys."""
    return [row.parameter for row in view.space]


def brief(parameter: str) -> str:
    """Return the short display name of a parameter.

    >>> brief("model.drop_path")
    'drop path'
    """
    return parameter.rpartition(".")[2].replace("_", " ")


def value(found: object) -> str:
    """Return the display text of a parameter's value.

    >>> value(0.123456), value(12), value(0.00000512), value("none")
    ('0.123', '12', '5.12e-06', 'none')
    """
    return f"{found:.3g}" if isinstance(found, float) else str(found)


# --- sentences --------------------------------------------------------------------------------------------------------
def verdict(view: TuningSummary) -> list[str]:
    """Return whether tuning changed the score significantly, and in which direction."""
    found = view.comparison
    if found is None:
        return [f"Tuned and untuned parameters could not be compared: {view.problem}"]
    difference = signed(found.difference, found.ci_low, found.ci_high)
    result = f"{difference}, {p_equals(found.p_value)}"
    both = f"The tuned and the untuned {found.trained.things[:-1]}"
    if found.significant:
        what, better = ("improved", "tuned") if found.difference > 0 else ("lowered", "untuned")
        said = f"Tuning {what} {view.score_title} significantly"
        if found.trained.holdout:
            said = f"{both} differ significantly, and the {better} one has the higher {view.score_title}"
        return [f"{said} ({result})."]
    said = f"Tuning had no significant effect on {view.score_title}"
    said = f"{both} do not differ significantly in {view.score_title}" if found.trained.holdout else said
    least = detectable([found.detectable], found.power)
    return [f"{said} ({result}).", f"This does not show that tuning has no effect. {least}".strip()]


def done(view: TuningSummary) -> str:
    """Return what was searched, on which data."""
    data, count, protocol = view.data, len(view.searches), view.experiment.get("protocol")
    tuned = [brief(key) for key in parameters(view)]
    return (
        f"In {count} search{'es' * (count != 1)} of at least {many(view.trials_requested, 'trial')}, "
        f"{joined(tuned)} of {view.experiment.get('model', 'the model')} {'was' if len(tuned) == 1 else 'were'} "
        f"tuned on {many(data.n_clips, 'clip')} of {many(data.n_subjects, 'subject')} ({', '.join(data.datasets)})"
        f"{f', protocol {protocol}' if protocol else ''}. No search used a clip that its result is tested on."
    )


def optimism(view: TuningSummary) -> str:
    """Return the inner score of the selected trials and the outer score."""
    each = view.searches
    if not each:
        return ""
    best = "the selected trial is" if len(each) == 1 else f"the {len(each)} selected trials is on average"
    inner = format_value(sum(row.inner_score for row in each) / len(each), "score")
    outer = format_value(view.tuned.scores.get(view.metric), "score")
    return (
        f"The inner {view.score_title} of {best} {inner}; the outer {view.score_title} is {outer}. The inner score is "
        f"optimistically biased, as it is the best of {min(row.finished for row in each)} or more on the clips that "
        "selected it, and is not a result. Only the outer score applies to clips that the search did not use."
    )


def effect(view: TuningSummary) -> Prose:
    """Return the inner and outer score, and the notes of the comparison."""
    return Prose([optimism(view)], view.comparison.notes if view.comparison else ())


def tuned_on(view: TuningSummary) -> Prose | None:
    """Return which subjects the searches used, and how a trial is scored."""
    each = view.searches
    if not each:
        return None
    seconds = sum(row.seconds for row in each)
    took = many(round(seconds), "second") if seconds < 120 else f"{seconds / 60:.0f} minutes"
    inner = (
        f"A trial is trained {view.inner} times, each time on the subjects of all but one of {view.inner} inner folds, "
        f"and scored by {view.score_title} of the pooled predictions for the subjects left out. The trials took {took} "
        "in total."
    )
    outer = (
        f"The {view.folds} folds were divided at random into {len(each)} groups. For each group, one search used the "
        "clips of the subjects that none of its folds tests; its folds were then trained with the selected values, "
        "each on all of its training clips."
    )
    if len(each) == 1:
        outer = f"The protocol has one fold. The search used its {each[0].clips} clips that are not tested."
    elif all(row.folds == 1 for row in each):
        outer = f"Each of the {len(each)} folds has its own search, on its training clips."
    return Prose([outer, inner])


def agreement(view: TuningSummary) -> Prose:
    """Return whether the searches selected the same values."""
    each = view.searches
    if len(each) < 2:
        return Prose(["There is one search only, so it is unknown how much its values depend on the subjects used."])
    ranges = []
    for key in parameters(view):
        found = [row.values[key] for row in each]
        counts = {word: found.count(word) for word in found}
        if len(counts) == 1:
            ranges.append(f"{brief(key)} {value(found[0])} in all of them")
        elif all(isinstance(one, int | float) for one in found):
            ranges.append(f"{brief(key)} from {value(min(found))} to {value(max(found))}")
        else:
            ranges.append(f"{brief(key)} {', '.join(f'{w} ({count} of {len(each)})' for w, count in counts.items())}")
    end = "They agree." if all(row.values == each[0].values for row in each) else (
        "Where values differ widely, the score hardly depends on the parameter, or the value was selected by chance."
    )  # fmt: skip
    return Prose([f"The {len(each)} searches selected {'; '.join(ranges)}. {end}"])


def importance(view: TuningSummary) -> Prose | None:
    """Return which parameter explains most of the variance, or why that is not known."""
    if view.importance.problem:
        return Prose([f"Importances are not available: {view.importance.problem}."])
    shares, scores = view.importance.shares, [row.score for row in view.trials if row.score is not None]
    if not shares or not scores:
        return None
    most = max(shares, key=lambda key: shares[key])
    return Prose([
        f"Of the variance explained by the parameters, {format_value(shares[most], 'percent')} is due to "
        f"{brief(most)}. Shares do not show how large that variance is: inner scores range from {span(scores)}."
    ])  # fmt: skip


# --- tables -----------------------------------------------------------------------------------------------------------
def results(view: TuningSummary) -> Table:
    """Return the tuned and untuned scores on the same clips."""
    rows, both = [], {"tuned": view.tuned, "untuned": view.untuned}
    missing = [name for name, found in both.items() if view.metric not in found.bounds]
    for name, found in both.items():
        low, high = found.bounds.get(view.metric, (None, None))
        rows.append({"what": name, **found.scores, "ci_low": low, "ci_high": high})
    made = view.intervals
    level, shown = f"{100 * made.level:.3g} %", len(missing) < len(both)
    instead = f"; where undefined, {made.instead}" if made.instead else ""
    notes = [f"Undefined intervals: {joined(missing)}."] if missing else []
    columns = [
        Column("Parameters", "what"),
        Column(f"{view.heading(view.metric)}{f' [{level}]' if shown else ''}",
               (view.metric, "ci_low", "ci_high"), "interval"),
        *(Column(view.heading(name), name, "score") for name in others(view, view.tuned.scores)),
    ]  # fmt: skip
    ways = f"; {level} intervals: {made.method} by {made.unit}, {made.n:,} resamples{instead}" if shown else ""
    method = [
        f"The same {view.tuned.n_test} test clips of {view.tuned.n_subjects} subjects, predictions pooled over folds"
        f"{ways}.",
        *(how([view.comparison]) if view.comparison else []),
    ]
    return Table("tuning_results", "Tuned and untuned", columns, rows, notes, method)


def space(view: TuningSummary) -> Table:
    """Return the searched parameters and their ranges."""
    columns = [Column("Parameter", "parameter"), Column("Values", "values")]
    rows = [row.model_dump() for row in view.space]
    return Table("tuning_space", "Search space", columns, rows, [view.space_source] if view.space_source else [])


def searches(view: TuningSummary) -> Table:
    """Return every search: its clips and subjects, those it is tested on, and its scores on both."""
    columns = [
        Column("Search", "search"),
        Column("Clips", "clips", "count", group="search"),
        Column("Subjects", "subjects", "count", group="search"),
        Column("Trials", "finished", "count", group="search"),
        Column("Clips", "tested_clips", "count", group="test"),
        Column("Subjects", "tested_subjects", "count", group="test"),
        Column("Folds", "folds", "count", group="test"),
        Column("Untuned", "untuned_inner_score", "score", group="inner score", missing=ABSENT),
        Column("Best trial", "inner_score", "score", group="inner score"),
        Column("Untuned", "untuned", "score", group="outer score"),
        Column("Tuned", "tuned", "score", group="outer score"),
    ]
    notes = [
        "Inner: on the clips of the search, optimistic for the best trial. Outer: on the test clips, which the search "
        "does not use."
    ]
    method = [
        f"{view.heading(view.metric)}, each over the classes present in its clips, so only inner or only outer scores "
        f"of the same row are comparable. Search: {view.search}."
    ]
    rows = [row.model_dump() for row in view.searches]
    return Table("tuning_searches", "Searches", columns, rows, notes, method)


def values(view: TuningSummary) -> Table:
    """Return the values selected by each search."""
    rows = [
        {"search": row.search, "trial": row.best, **{key: value(found) for key, found in row.values.items()}}
        for row in view.searches
    ]
    columns = [Column("Search", "search"), *(Column(brief(key), key) for key in parameters(view))]
    return Table("tuning_values", "Selected values", [*columns, Column("Trial", "trial", "count")], rows)


def importances(view: TuningSummary) -> Table:
    """Return each parameter's share of the explained variance, by search and over all searches."""
    lines = [*zip([row.search for row in view.searches], view.importances, strict=True)]
    several = len(lines) > 1
    lines += [("all", view.importance)] if several else []
    rows = [
        {"search": name, "note": each.problem or ABSENT, **(each.shares or dict.fromkeys(parameters(view)))}
        for name, each in lines
    ]
    columns = [Column("Search", "search")]
    columns += [Column(brief(key), key, "percent", missing=ABSENT) for key in parameters(view)]
    columns += [Column("Note", "note")] if any(each.problem for _, each in lines) else []
    method = [f"{view.evaluator}. Shares sum to 100 %."]
    method += ["All: scores centred on the mean of each search."] if several else []
    marks = {len(rows) - 1: "rule"} if several else {}
    return Table("tuning_importance", "Importance of the parameters", columns, rows, [], method, marks, sortable=False)


def trials(view: TuningSummary) -> Table:
    """Return every trial."""
    rows, marks = [], {}
    problems = list(dict.fromkeys(row.problem for row in view.trials if row.problem))
    for at, row in enumerate(view.trials):
        found = {key: value(each) for key, each in row.values.items()}
        rows.append({**row.model_dump(), **found, "note": "; ".join(_notes(row, problems)) or ABSENT})
        if row.best:
            marks[at] = "best"
        elif at and row.search != view.trials[at - 1].search:
            marks[at] = "rule"
    columns = [
        Column("Search", "search"),
        Column("Trial", "trial", "count"),
        *(Column(brief(key), key, missing=ABSENT) for key in parameters(view)),
        Column(f"Inner {view.score_title}", "score", "score", missing=ABSENT),
        Column("State", "state"),
        Column("Seconds", "seconds", "ms", missing=ABSENT),
        Column("Note", "note"),
    ]
    notes = ["Bold: the selected trial, the first of ties. Untuned: the values of the experiment file."]
    ended = (capitalised(problem).rstrip(".") for problem in problems)
    notes += [f"({at}) {problem}." for at, problem in enumerate(ended, start=1)]
    return Table("tuning_trials", "All trials", columns, rows, notes, marks=marks)


def _notes(row: Trial, problems: Sequence[str]) -> Iterator[str]:
    """Yield the notes on a trial; problems refer to the list below the table."""
    if row.problem:
        yield f"see ({problems.index(row.problem) + 1})"
    elif row.same_as is not None:
        yield f"same as trial {row.same_as}"
    if row.state == "stopped":
        yield "repeated"
    if row.untuned:
        yield "untuned"


# --- figures ----------------------------------------------------------------------------------------------------------
MOST = 8
"""Largest number of searches with their own colours and markers."""
ACROSS = 3
WORDS = 24
"""Largest total length of a parameter's choices that are not rotated."""


def gain(view: TuningSummary) -> Plot | None:
    """Draw the difference between tuned and untuned."""
    if view.comparison is None:
        return None
    pair = Pair("tuned − untuned", view.comparison)
    return forest([pair], ("untuned", "tuned"), view.score_title, "tuning_difference")


def history(view: TuningSummary) -> Plot | None:
    """Draw every finished trial, and the best inner score so far."""
    found = _finished(view)
    if not found:
        return None

    def draw() -> Figure:
        from matplotlib.ticker import MaxNLocator

        figure = canvas(WIDTH, 2.9)
        axes = figure.subplots()
        for (name, rows), look in zip(found.items(), _looks(found), strict=True):
            scores = [score for _, score in rows]
            at = range(1, len(scores) + 1)
            axes.plot(at, scores, linestyle="none", markersize=3.0, alpha=0.45, markeredgewidth=0, **look)
            axes.step(
                at,
                list(itertools.accumulate(scores, max)),
                where="post",
                color=look["color"],
                linewidth=1.4,
                label=name,
            )
        axes.set_xlabel("finished trial")
        axes.set_ylabel(f"inner {view.score_title}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        _legend(figure, found)
        return figure

    notes = ["Line: best score so far. Points: trials. Different searches are scored on different subjects."]
    return Plot("tuning_history", "Optimisation history", draw, notes)


def shares(view: TuningSummary) -> Plot | None:
    """Draw the share of each parameter: a large dot for all searches together, a small one for each search."""
    overall, each = view.importance.shares, [one.shares for one in view.importances if one.shares]
    if not overall or len(view.space) < 2:
        return None
    small = each if len(view.importances) > 1 else []
    dots = [
        Dot(short(brief(key)), 100 * overall[key], small=[100 * one[key] for one in small], colour=SERIES[0])
        for key in sorted(parameters(view), key=lambda key: -overall[key])
    ]

    def draw() -> Figure:
        figure = canvas(WIDTH, 1.4 * dot_height(dots) + 0.75)
        axes = figure.subplots()
        dotplot(axes, dots, xlabel="share of the explained variance, %")
        axes.set_xlim(-2, 102)
        return figure

    notes = ["Small dots: single searches; where they vary widely, the order is unreliable."] if small else []
    return Plot("tuning_importance", "Importance of the parameters", draw, notes)


def slices(view: TuningSummary) -> Plot | None:
    """Draw the inner score over each parameter's values."""
    found, names = _finished(view), parameters(view)
    if not found or not names:
        return None
    across = min(ACROSS, len(names))
    down = -(-len(names) // across)

    def draw() -> Figure:
        from matplotlib.ticker import FuncFormatter, NullFormatter

        figure = canvas(WIDTH, 2.2 * down + 0.35)
        panels = list(figure.subplots(down, across, squeeze=False, sharey=True).flat)
        for axes, row in zip(panels, view.space, strict=False):
            for rows, look in zip(found.values(), _looks(found), strict=True):
                points = [(trial.values[row.parameter], score) for trial, score in rows]
                _slice(axes, points, row.values.split(", "), look)
            axes.set_title(short(brief(row.parameter)))
            if "logarithmic" in row.values:
                axes.set_xscale("log")
                axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axes.xaxis.set_minor_formatter(NullFormatter())
            axes.grid(axis="y")
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        for row_of_panels in range(down):
            panels[row_of_panels * across].set_ylabel(f"inner {view.score_title}")
        _legend(figure, found)
        return figure

    return Plot("tuning_parameters", "Inner score by parameter value", draw, ["One point per finished trial."])


def _slice(axes: Axes, points: Sequence[tuple[Any, float]], words: Sequence[str], look: Mapping[str, Any]) -> None:
    style: dict[str, Any] = {"linestyle": "none", "markersize": 3.5, "alpha": 0.6, "markeredgewidth": 0, **look}
    if all(isinstance(value, int | float) for value, _ in points):
        axes.plot([value for value, _ in points], [score for _, score in points], **style)
        return
    places = np.array([words.index(str(value)) for value, _ in points])
    spread = 0.2 * np.linspace(-1, 1, len(points))  # keeps points of equal choices apart
    axes.plot(places + spread, [score for _, score in points], **style)
    too_long = sum(map(len, words)) > WORDS
    axes.set_xticks(range(len(words)), [short(word, 20) for word in words], rotation=25 if too_long else 0)
    if too_long:
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")


def _finished(view: TuningSummary) -> dict[str, list[tuple[Trial, float]]]:
    """Return the trials with a score, by search."""
    found: dict[str, list[tuple[Trial, float]]] = {}
    for row in view.trials:
        if row.score is not None:
            found.setdefault(row.search, []).append((row, row.score))
    return found


def _looks(found: Mapping[str, object]) -> list[dict[str, Any]]:
    if len(found) > MOST:
        return [{"color": SOFT, "marker": "o"} for _ in found]
    return [{"color": SERIES[at % len(SERIES)], "marker": MARKERS[at % len(MARKERS)]} for at in range(len(found))]


def _legend(figure: Figure, found: Mapping[str, object]) -> None:
    if 1 < len(found) <= MOST:
        entries = {
            name: {**look, "markersize": 4, "linestyle": "-"} for name, look in zip(found, _looks(found), strict=True)
        }
        figure.legend(handles=legend_handles(entries), loc="outside upper left", ncols=len(found))


# --- the page ---------------------------------------------------------------------------------------------------------
def first(view: TuningSummary) -> First:
    """Return the first screen of a tuning."""
    title = view.heading(view.metric)
    numbers = {
        f"{title}, {name}": scored(found.scores.get(view.metric), *found.bounds.get(view.metric, (None, None)))
        for name, found in (("tuned", view.tuned), ("untuned", view.untuned))
    }
    numbers |= {
        "Trials": format_value(sum(row.finished for row in view.searches), "count"),
        "Clips": format_value(view.data.n_clips, "count"),
        "Subjects": format_value(view.data.n_subjects, "count"),
    }
    return First([*verdict(view), done(view)], numbers, gain(view), view.caveats)


def reproduce(view: TuningSummary) -> Iterator[Prose | Table]:
    """Yield the command, how the search can be continued and repeated, and the environment."""
    again = (
        f"Trials are stored in {view.storage}; the same command with more trials continues from them. A single process "
        "gives the same trials from the same seed, even if interrupted, on the same kind of processor with the same "
        "number of threads; several concurrent processes do not, because what each samples depends on the trials that "
        "the others have finished."
    )
    ran = [f"{capitalised(line)}" for line in record.run_lines(view)]
    yield Prose([*ran, again], code=view.command)
    yield replace(record.environment(view), name="tuning_environment")
    yield Prose([record.PERMITTED_USE])


PAGE: Page[TuningSummary] = Page(
    "tuning",
    "microexpr tuning",
    first,
    sections=(
        Section("Limits explained", (limits,)),
        Section("Effect of tuning", (results, effect)),
        Section("Searches", (tuned_on, space, searches)),
        Section("Selected values", (agreement, values)),
        Section("Parameter importance", (importance, shares, importances, slices)),
        Section("Trials", (history, trials), open=False),
        Section("Reproducing this page", (reproduce,)),
    ),
)
