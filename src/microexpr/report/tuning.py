"""The page of `microexpr tune`: tables, sentences and figures, made from its summary."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from microexpr.core.errors import many
from microexpr.evaluation.statistics.scope import Trained
from microexpr.report.differences import Pair, difference, distributions, how, power
from microexpr.report.paper_figures import Plot
from microexpr.report.reading import Reading, number, score_title, short
from microexpr.report.study_tables import environment
from microexpr.report.study_tables import score_heading as head
from microexpr.report.style import INK, MARKERS, SERIES, SOFT, WIDTH, legend_handles
from microexpr.report.table import ABSENT, Column, Table, format_value


def tuning_tables(reading: Reading) -> list[Table]:
    """Return the tables of a tuning that its summary has rows for."""
    makers = (results, space, searches, values, importances, trials, software)
    return [table for table in (maker(reading) for maker in makers) if table.rows]


def title(reading: Reading) -> str:
    """Return the display name of the score that was optimised."""
    return score_title(str(reading.summary.get("metric")))


def parameters(reading: Reading) -> list[str]:
    """Return the searched parameters as dotted keys."""
    return [str(row["parameter"]) for row in reading.rows("space")]


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


# --- tables -----------------------------------------------------------------------------------------------------------
def results(reading: Reading) -> Table:
    """Return the tuned and untuned scores on the same clips."""
    metric, found = str(reading.summary.get("metric")), reading.part("results")
    rows = []
    for name in ("tuned", "untuned"):
        if name in found:
            low, high = found[name]["intervals"].get(metric, (None, None))
            rows.append({"what": name, **found[name]["scores"], "ci_low": low, "ci_high": high})
    others = [name for name in (found["tuned"]["scores"] if rows else {}) if name != metric]
    columns = [
        Column("Parameters", "what"),
        Column(f"{head(metric)} [{reading.interval_level}]", (metric, "ci_low", "ci_high"), "interval"),
        *(Column(head(name), name, "score") for name in others),
    ]
    tested = found.get("tuned") or {}
    notes = [
        f"The same {tested.get('n_test')} test clips of {tested.get('n_subjects')} subjects, predictions pooled over "
        f"folds; {reading.interval_note}."
    ]
    return Table("tuning_results", "Tuned and untuned", columns, rows, notes)


def space(reading: Reading) -> Table:
    """Return the searched parameters and their ranges."""
    columns = [Column("Parameter", "parameter"), Column("Values", "values")]
    ranges = "Ranges are the paper's (section II.C) where it gives numbers: drop path and dropout."
    notes = [ranges] if reading.part("tuning").get("paper_ranges") else []
    return Table("tuning_space", "Search space", columns, reading.rows("space"), notes)


def searches(reading: Reading) -> Table:
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
        f"{head(str(reading.summary.get('metric')))}. Inner: on the clips of the search, optimistic for the best "
        "trial. Outer: on the test clips, which the search does not use. Each score is over the classes present in its "
        "clips, so only inner or only outer scores of the same row are comparable."
    ]
    return Table("tuning_searches", "Searches", columns, reading.rows("searches"), notes)


def values(reading: Reading) -> Table:
    """Return the values selected by each search."""
    found = reading.rows("searches")
    rows = [
        {"search": row["search"], "trial": row["best"], **{key: value(row["values"][key]) for key in row["values"]}}
        for row in found
    ]
    columns = [Column("Search", "search"), *(Column(brief(key), key) for key in parameters(reading))]
    columns += [Column("Trial", "trial", "count")]
    return Table("tuning_values", "Selected values", columns, rows)


def importances(reading: Reading) -> Table:
    """Return each parameter's share of the explained variance, by search and over all searches."""
    found = reading.part("importance")
    if not found:
        return Table("tuning_importance", "", [], [])
    names = [str(row["search"]) for row in reading.rows("searches")]
    lines = [*zip(names, found["searches"], strict=True)]
    lines += [("all", found["all"])] if len(lines) > 1 else []
    rows = [
        {"search": name, "note": each["problem"] or ABSENT, **(each["shares"] or dict.fromkeys(parameters(reading)))}
        for name, each in lines
    ]
    columns = [Column("Search", "search")]
    columns += [Column(brief(key), key, "percent", missing=ABSENT) for key in parameters(reading)]
    columns += [Column("Note", "note")] if any(each["problem"] for _, each in lines) else []
    notes = [f"{reading.part('tuning').get('importance')}. Shares sum to 100 %."]
    notes += ["All: scores centred on the mean of each search."] if len(lines) > 1 else []
    marks = {len(rows) - 1: "rule"} if len(lines) > 1 else {}
    return Table("tuning_importance", "Importance of the parameters", columns, rows, notes, marks)


def trials(reading: Reading) -> Table:
    """Return every trial."""
    found, rows, marks = reading.rows("trials"), [], {}
    problems = list(dict.fromkeys(str(row["problem"]) for row in found if row["problem"]))
    for at, row in enumerate(found):
        values = {key: value(each) for key, each in row["values"].items()}
        rows.append({**row, **values, "note": "; ".join(_notes(row, problems)) or ABSENT})
        if row["best"]:
            marks[at] = "best"
        elif at and row["search"] != found[at - 1]["search"]:
            marks[at] = "rule"
    columns = [
        Column("Search", "search"),
        Column("Trial", "trial", "count"),
        *(Column(brief(key), key, missing=ABSENT) for key in parameters(reading)),
        Column(f"Inner {title(reading)}", "score", "score", missing=ABSENT),
        Column("State", "state"),
        Column("Seconds", "seconds", "ms", missing=ABSENT),
        Column("Note", "note"),
    ]
    notes = ["Bold: the selected trial, the first of ties. Untuned: the values of the experiment file."]
    notes += [f"({at}) {_ended(problem)}" for at, problem in enumerate(problems, start=1)]
    return Table("tuning_trials", "All trials", columns, rows, notes, marks)


def _notes(row: Mapping[str, Any], problems: Sequence[str]) -> Iterator[str]:
    """Yield the notes on a trial; problems refer to the list below the table."""
    if row["problem"]:
        yield f"see ({problems.index(row['problem']) + 1})"
    elif row["same_as"] is not None:
        yield f"same as trial {row['same_as']}"
    if row["state"] == "stopped":
        yield "repeated"
    if row["untuned"]:
        yield "untuned"


def _ended(problem: str) -> str:
    sentence = problem[:1].upper() + problem[1:]
    return sentence if sentence.endswith(".") else f"{sentence}."


def software(reading: Reading) -> Table:
    """Return the environment of the tuning."""
    return replace(environment(reading), name="tuning_environment", caption="Software and machine")


# --- sentences --------------------------------------------------------------------------------------------------------
def done(reading: Reading) -> list[str]:
    """Return what was searched, on which data."""
    data, experiment, count = reading.part("data"), reading.part("experiment"), len(reading.rows("searches"))
    named, sets = ", ".join(map(brief, parameters(reading))), ", ".join(data.get("datasets") or [])
    each = many(reading.part("tuning")["trials"], "trial")
    return [
        f"Tuned parameters of {experiment.get('model')}: {named}; {data.get('n_clips')} clips of "
        f"{data.get('n_subjects')} subjects ({sets}), protocol {experiment.get('protocol')}. "
        f"{count} search{'es' * (count != 1)} of at least {each}; no search used a clip that its result is tested on."
    ]


def verdict(reading: Reading) -> list[str]:
    """Return whether tuning changed the score significantly, and in which direction."""
    row, score = reading.part("comparison"), title(reading)
    if row.get("problem"):
        return [f"Tuned and untuned parameters could not be compared: {row['problem']}"]
    found = f"{score}, tuned minus untuned, {difference(row)}; permutation test by {row['unit']}, p {_p(row)}"
    trained = Trained(**row.get("trained") or {})
    both = f"The tuned and the untuned {trained.things[:-1]}"
    if row["significant"]:
        what, better = ("improved", "tuned") if row["difference"] > 0 else ("lowered", "untuned")
        said = f"Tuning {what} the score significantly"
        if trained.holdout:
            said = f"{both} differ significantly; the {better} one is better"
        return [f"{said}: {found}."]
    least = number(row.get("detectable"))
    smallest = f" The smallest difference detectable with {power([row])} power is {format_value(least, 'score')}."
    said = f"{both} do not differ significantly" if trained.holdout else "Tuning had no significant effect"
    return [f"{said}: {found}. This does not show that tuning has no effect." + (smallest if least is not None else "")]


def _p(row: Mapping[str, Any]) -> str:
    p = format_value(row.get("p_value"), "p")
    return p if p.startswith("<") else f"= {p}"


def optimism(reading: Reading) -> list[str]:
    """Return the inner score of the selected trials and the outer score."""
    each, tuned = reading.rows("searches"), (reading.part("results").get("tuned") or {}).get("scores") or {}
    if not each:
        return []
    inner = sum(row["inner_score"] for row in each) / len(each)
    outer, least = tuned.get(str(reading.summary.get("metric"))), min(row["finished"] for row in each)
    trial = "of the selected trial is" if len(each) == 1 else f"of the {len(each)} selected trials is on average"
    return [
        f"The inner {title(reading)} {trial} {format_value(inner, 'score')}; the outer {title(reading)} is "
        f"{format_value(outer, 'score')}. The inner score is optimistic, as it is the best of {least} or more on the "
        "clips that selected it, and is not a result. Only the outer score applies to clips that the search did not "
        "use."
    ]


def notes(reading: Reading) -> list[str]:
    """Return how the comparison was computed, and its notes."""
    row = reading.part("comparison")
    if not row or row.get("problem"):
        return []
    return ["; ".join(how([row])) + ".", *row.get("notes", [])]


def tuned_on(reading: Reading) -> list[str]:
    """Return which subjects the searches used, and how a trial is scored."""
    tuning, each = reading.part("tuning"), reading.rows("searches")
    if not each:
        return []
    inner = (
        f"A trial is trained {tuning['inner']} times, each time on the subjects of all but one of {tuning['inner']} "
        f"inner folds, and scored by {title(reading)} of the pooled predictions for the subjects left out. "
        f"Search: {tuning['search']}. The trials took {_minutes(sum(row['seconds'] for row in each))} in total."
    )
    if len(each) == 1:
        return [f"The protocol has one fold. The search used its {each[0]['clips']} clips that are not tested.", inner]
    if all(row["folds"] == 1 for row in each):
        return [f"Each of the {len(each)} folds has its own search, on its training clips.", inner]
    return [
        f"The {tuning['folds']} folds were divided at random into {len(each)} groups. For each group, one search used "
        "the clips of the subjects that none of its folds tests; its folds were then trained with the selected values, "
        "each on all of its training clips.",
        inner,
    ]


def _minutes(seconds: float) -> str:
    return many(round(seconds), "second") if seconds < 120 else f"{seconds / 60:.0f} minutes"


def agreement(reading: Reading) -> list[str]:
    """Return whether the searches selected the same values."""
    each = reading.rows("searches")
    if len(each) < 2:
        return ["There is one search only, so it is unknown how much its values depend on the subjects used."]
    ranges = []
    for key in parameters(reading):
        found = [row["values"][key] for row in each]
        if len(set(found)) == 1:
            ranges.append(f"{brief(key)} {value(found[0])} in all of them")
        elif all(isinstance(one, int | float) for one in found):
            ranges.append(f"{brief(key)} from {value(min(found))} to {value(max(found))}")
        else:
            counts = {word: found.count(word) for word in dict.fromkeys(found)}
            ranges.append(
                f"{brief(key)} " + ", ".join(f"{word} ({count} of {len(each)})" for word, count in counts.items())
            )
    selected = f"The {len(each)} searches selected {'; '.join(ranges)}."
    if all(row["values"] == each[0]["values"] for row in each):
        return [f"{selected} They agree."]
    return [
        f"{selected} Where values differ widely, the score hardly depends on the parameter, or the value was selected "
        "by chance."
    ]


def importance(reading: Reading) -> list[str]:
    """Return which parameter explains most of the variance, or why that is not known."""
    overall = reading.part("importance").get("all") or {}
    if overall.get("problem"):
        return [f"Importances are not available: {overall['problem']}."]
    shares = overall.get("shares") or {}
    if not shares:
        return []
    first = max(shares, key=lambda key: float(shares[key]))
    scores = [row["score"] for row in reading.rows("trials") if row["score"] is not None]
    return [
        f"Of the variance explained by the parameters, {format_value(shares[first], 'percent')} is due to "
        f"{brief(first)}. Shares do not show how large that variance is: inner scores range from "
        f"{format_value(min(scores), 'score')} to {format_value(max(scores), 'score')}."
    ]


def again(reading: Reading) -> str:
    """Return how the search can be continued and repeated."""
    return (
        f"Trials are stored in {reading.part('tuning').get('storage')}; the same command with more trials continues "
        "from them. A single process gives the same trials from the same seed, even if interrupted, on the same kind "
        "of processor with the same number of threads; several concurrent processes do not, because what each "
        "samples depends on the trials that the others have finished."
    )


# --- figures ----------------------------------------------------------------------------------------------------------
MOST = 8
"""Largest number of searches with their own colours and markers."""
ACROSS = 3
WORDS = 24
"""Largest total length of a parameter's choices that are not rotated."""


def tuning_figures(reading: Reading) -> list[Plot]:
    """Return the figures of a tuning."""
    made = [gain(reading), history(reading), shares(reading), slices(reading)]
    return [plot for plot in made if plot is not None]


def gain(reading: Reading) -> Plot | None:
    """Draw the bootstrap distribution of the difference between tuned and untuned."""
    row = reading.part("comparison")
    if not row or row.get("problem"):
        return None
    return distributions([Pair("tuned − untuned", row)], ("untuned", "tuned"), title(reading), "tuning_difference")


def history(reading: Reading) -> Plot | None:
    """Draw every finished trial, and the best inner score so far."""
    found = _finished(reading)
    if not found:
        return None
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    axes = figure.subplots()
    for (name, rows), look in zip(found.items(), _looks(found), strict=True):
        scores = [row["score"] for row in rows]
        at = range(1, len(scores) + 1)
        axes.plot(at, scores, linestyle="none", markersize=3.0, alpha=0.45, markeredgewidth=0, **look)
        best = list(itertools.accumulate(scores, max))
        axes.step(at, best, where="post", color=look["color"], linewidth=1.4, label=name)
    axes.set_xlabel("finished trial")
    axes.set_ylabel(f"inner {title(reading)}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")
    _legend(figure, found)
    notes = ["Line: best score so far. Points: trials. Different searches are scored on different subjects."]
    return Plot("tuning_history", "Optimisation history", figure, notes)


def shares(reading: Reading) -> Plot | None:
    """Draw the share of each parameter: a bar for all searches together, a point for each search."""
    found, names = reading.part("importance"), parameters(reading)
    overall = (found.get("all") or {}).get("shares")
    if not overall or len(names) < 2:
        return None
    order = sorted(names, key=lambda key: float(overall[key]))
    each = [one["shares"] for one in found["searches"] if one["shares"]]
    figure = Figure(figsize=(WIDTH, 0.3 * len(order) + 0.75), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(order)), [100 * overall[key] for key in order], height=0.55, color=SERIES[0], alpha=0.75)
    if len(found["searches"]) > 1:
        for at, key in enumerate(order):
            axes.plot([100 * one[key] for one in each], [at] * len(each), "o", color=INK, markersize=3.5, alpha=0.7)
    axes.set_yticks(range(len(order)), [short(brief(key)) for key in order])
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 102)
    axes.set_xlabel("share of the explained variance, %")
    axes.grid(axis="x")
    notes = ["Bars: all searches together. Points: single searches; where they vary widely, the order is unreliable."]
    return Plot("tuning_importance", "Importance of the parameters", figure, notes if len(each) > 1 else [])


def slices(reading: Reading) -> Plot | None:
    """Draw the inner score over each parameter's values."""
    found, names = _finished(reading), parameters(reading)
    if not found:
        return None
    across = min(ACROSS, len(names))
    down = -(-len(names) // across)
    figure = Figure(figsize=(WIDTH, 2.2 * down + 0.35), layout="constrained")
    panels = list(figure.subplots(down, across, squeeze=False, sharey=True).flat)
    logs = {row["parameter"]: "logarithmic" in str(row["values"]) for row in reading.rows("space")}
    words = {row["parameter"]: str(row["values"]).split(", ") for row in reading.rows("space")}
    for axes, key in zip(panels, names, strict=False):
        for rows, look in zip(found.values(), _looks(found), strict=True):
            _slice(axes, [(row["values"][key], row["score"]) for row in rows], words[key], look)
        axes.set_title(short(brief(key)))
        if logs[key]:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(axis="y")
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    for row in range(down):
        panels[row * across].set_ylabel(f"inner {title(reading)}")
    _legend(figure, found)
    return Plot("tuning_parameters", "Inner score by parameter value", figure, ["One point per finished trial."])


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


def _finished(reading: Reading) -> dict[str, list[Mapping[str, Any]]]:
    """Return the trials with a score, by search."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in reading.rows("trials"):
        if row["score"] is not None:
            found.setdefault(str(row["search"]), []).append(row)
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
