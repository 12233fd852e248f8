"""Results of a study of methods: tables, figures and sentences of the leaderboard, made from its summary."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from microexpr.config.study import METHODS
from microexpr.core.errors import many
from microexpr.evaluation.statistics.power import LEVEL
from microexpr.evaluation.statistics.scope import Trained
from microexpr.report.paper_figures import Plot
from microexpr.report.reading import Reading, number, score_title, short
from microexpr.report.study_tables import score_heading
from microexpr.report.style import INK, SERIES, SOFT, WIDTH, legend_handles
from microexpr.report.table import ABSENT, Column, Table, format_interval, format_value

MOST = 48
"""Largest number of methods in the figure."""


def leaderboard_tables(reading: Reading) -> list[Table]:
    """Return the tables of a study of methods; none for another study."""
    if not reading.leaderboard:
        return []
    return [
        table
        for table in (board(reading), printed(reading), tests(reading), databases(reading), choice(reading))
        if table.rows
    ]


def _metric(reading: Reading) -> str:
    return score_title(str(reading.leaderboard["metric"]))


def _lines(reading: Reading) -> list[dict[str, Any]]:
    """Return the rows of a table by method: methods in descending order of score, then the nested selection."""
    rows = [{**row, "name": _name(row)} for row in reading.leaderboard["rows"]]
    found = nested_choice(reading)
    if found is not None:
        blank: dict[str, Any] = dict.fromkeys(("group", "ms_a_clip", "ms_threads", "parameters"), ABSENT)
        rows.append({**blank, **found, "name": CHOSEN, "estimator": True, "chosen": True})
    return rows


def _name(row: Mapping[str, Any]) -> str:
    roles = [role for role, applies in (("reference", row["reference"]), ("best on test*", row["best"])) if applies]
    return f"{row['label']} ({', '.join(roles)})" if roles else str(row["label"])


def _marks(rows: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    marks = {at: "best" for at, row in enumerate(rows) if row.get("best")}
    return marks | {at: "rule" for at, row in enumerate(rows) if row.get("chosen")}


def _paired(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a row's comparison with the reference; placeholders for the reference itself."""
    if row.get("reference"):
        return {"value": "reference", **dict.fromkeys(("p_value", "p_holm", "differing", "detectable"), ABSENT)}
    return dict(row.get("paired") or {})


def _spread(row: Mapping[str, Any]) -> str:
    low, high = format_value(min(row["scores"]), "score"), format_value(max(row["scores"]), "score")
    return ABSENT if len(row["scores"]) < 2 else (low if low == high else f"{low}–{high}")


def _starred(reading: Reading) -> str:
    return (
        f"* Highest of {len(reading.leaderboard['rows'])}, selected on the test subjects themselves, so its score is "
        "overestimated by an unknown amount."
    )


def board(reading: Reading) -> Table:
    """Return every method with its scores, its difference from the reference and its cost."""
    metadata = reading.leaderboard
    rows = [
        {
            **row,
            "name": row["name"] if row.get("chosen") else f"{row['label']}{'*' if row['best'] else ''}",
            **{f"pair_{name}": value for name, value in _paired(row).items()},
            "parameters": ABSENT if row["estimator"] else row["parameters"],
        }
        for row in _lines(reading)
    ]
    title, against = _metric(reading), metadata["reference"]
    columns = [
        Column("Method", "name"),
        Column(f"{title} [{reading.interval_level}]", ("score", "low", "high"), "interval"),
        *(Column(score_title(name), name, "score") for name in ("uf1", "uar") if name != metadata["metric"]),
    ]
    if against:
        columns.append(
            Column(f"− {short(against, 18)}", ("pair_value", "pair_low", "pair_high"), "change", missing=ABSENT)
        )
        columns.append(Column("p", "pair_p", "p", missing=ABSENT))
        for row in rows:
            row["pair_p"] = row.get("pair_p_value" if row.get("chosen") else "pair_p_holm")
    columns += [
        Column("Parameters", "parameters", "count"),
        Column("ms per clip", "ms_a_clip", "ms"),
        Column("Threads", "ms_threads", missing=ABSENT),
        Column("Training time", "seconds", "time"),
    ]
    return Table("leaderboard", "Leaderboard", columns, rows, _notes(reading), _marks(rows))


def printed(reading: Reading) -> Table:
    """Return the published scores of the methods beside the scores here, with the protocol of each publication."""
    rows = [
        {**row["printed"], "name": row["label"], "metric": score_title(row["printed"]["metric"])}
        for row in reading.leaderboard["rows"]
        if row.get("printed")
    ]
    columns = [
        Column("Method", "name"),
        Column("Metric", "metric"),
        Column("Here", "here", "score"),
        Column("Published", "value", "published"),
        Column("Protocol of the publication", "protocol"),
        Column("Source", "source"),
    ]
    notes = [
        "Published scores were obtained on other clips, classes and folds, often with a different model selection. The "
        "reasons for a difference between the two columns cannot be separated, so it supports no conclusion."
    ]
    return Table("leaderboard_printed", "Published scores of the methods", columns, rows, notes)


def _several(reading: Reading) -> bool:
    return any(len(row["scores"]) > 1 for row in reading.leaderboard["rows"])


def _notes(reading: Reading) -> list[str]:
    metadata, several = reading.leaderboard, _several(reading)
    title, against = _metric(reading), metadata["reference"]
    mean = ", the mean of the seeds' scores" if several else ""
    notes = [
        f"{title} of the pooled test clips{mean}; {reading.interval_level} intervals: {metadata['interval']}, "
        f"{metadata['n']:,} resamples, conditional on the trained models.",
        _starred(reading),
    ]
    uncorrected, inner = "", ""
    if nested_choice(reading):
        uncorrected = (
            "; that of the nested selection is not corrected, as it is the only one specified in the study file"
        )
        inner = "; for the nested selection, the inner folds, in addition to the methods' own"
    if against:
        compares = sum(row["paired"] is not None for row in metadata["rows"])
        mean, together = ("mean ", " with all their seeds") if several else ("", "")
        seeds = {tuple(row["seeds"]) for row in metadata["rows"] if row["paired"] or row["reference"]}
        both = "; a method with one seed is paired with every seed of the other" if len(seeds) > 1 else ""
        notes.append(
            f"− {against}: difference in {mean}scores{both}. p: paired permutation test by subject{together}, "
            f"{metadata['paired_permutations']:,} permutations (all where there are fewer); corrected by Holm for "
            f"{compares} comparisons{uncorrected}."
        )
    notes.append(
        f"Parameters: of networks; not comparable for estimators ({ABSENT}). ms per clip: representation and "
        "prediction of one clip on the given number of threads (estimators: one) after a warm-up, median over folds. "
        f"Training time: all folds of one seed{inner}."
    )
    notes += [
        f"{row['label']}: clip-wise mean of the class probabilities of {listed(row['fused'])} (first seeds); it needs "
        "no training of its own and costs the sum of theirs."
        for row in metadata["rows"]
        if row["fused"]
    ]
    notes += [f"{row['label']} was not compared: {row['problem']}" for row in metadata["rows"] if row.get("problem")]
    if metadata["problem"]:
        notes.append(f"No intervals or comparisons: {metadata['problem']}")
    return notes


def tests(reading: Reading) -> Table:
    """Return details of the tests of every method: raw and corrected p, detectable differences, permuted labels."""
    metadata = reading.leaderboard
    rows = [
        {
            **row,
            **_paired(row),
            **{f"null_{name}": value for name, value in row["permuted"].items()},
        }
        for row in _lines(reading)
        if row.get("permuted")
    ]
    against = f"against {metadata['reference']}"
    columns = [Column("Method", "name")]
    if metadata["reference"]:
        columns += [
            Column("p", "p_value", "p", against, ABSENT),
            Column("p (Holm)", "p_holm", "p", against, ABSENT),
            Column("Differing subjects", "differing", "count", against, ABSENT),
            Column("Detectable", "detectable", "score", against, ABSENT),
        ]
    nulls = "permuted labels"
    columns += [
        Column("Mean", "null_mean", "score", nulls),
        Column("95th percentile", "null_level", "score", nulls),
        Column("p", "null_p_value", "p", nulls),
        Column("p (Holm)", "null_p_holm", "p", nulls),
    ]
    notes = [
        f"Permuted labels: {_metric(reading)} of the same predictions with labels permuted within subjects, "
        f"{metadata['permutations']:,} permutations. It exceeds random guessing where a method has learnt which "
        "classes a subject or a database shows."
    ]
    if metadata["reference"]:
        notes.insert(
            0,
            f"Differing subjects: those whom the two methods predict differently. Detectable: smallest difference "
            f"detectable with {100 * metadata['power']:.0f} % power; {ABSENT}: none is.",
        )
    return Table("leaderboard_tests", "Details of the leaderboard's tests", columns, rows, notes, _marks(rows))


def databases(reading: Reading) -> Table:
    """Return every method's other scores, and its scores on each of several databases."""
    lines = _lines(reading)
    names = list(dict.fromkeys(name for row in lines for name in row["databases"]))
    names = names if len(names) > 1 else []
    metrics = list(dict.fromkeys((str(reading.leaderboard["metric"]), "uf1", "uar")))
    several = _several(reading)
    rows = [
        {**row, "spread": _spread(row)}
        | {f"{at}/{name}": value for at, found in row["databases"].items() for name, value in found.items()}
        for row in lines
    ]
    columns = [
        Column("Method", "name"),
        *([Column("Group", "group", missing=ABSENT)] if reading.leaderboard["contrast"] else []),
        *([Column(f"{_metric(reading)}, range over seeds", "spread")] if several else []),
        *(Column(score_heading(name), name, "score", "all" if names else "") for name in ("accuracy", "macro_f1")),
        *(Column(score_title(name), f"{at}/{name}", "score", at) for at in names for name in metrics),
    ]
    notes = [
        "Each score is over the classes with a test clip in that database; the score over all clips is not their mean."
    ]
    caption = "Methods by database" if names else "Other scores of the methods"
    return Table("leaderboard_databases", caption, columns, rows, notes if names else [], _marks(rows))


def choice(reading: Reading) -> Table:
    """Return how often each method was selected, with its score on the inner subjects and on the test subjects."""
    found = nested_choice(reading)
    if found is None:
        return Table("leaderboard_choice", "", [], [])
    rows: list[dict[str, Any]] = [*found["chosen"]]
    pooled = {"method": "selected methods, pooled", "inner": found["inner"], "outer": found["score"]}
    subjects, groups = (sum(row[name] for row in rows) for name in ("subjects", "groups"))
    ends = {"low": found["low"], "high": found["high"]}
    rows.append({**pooled, "subjects": subjects, "groups": groups, **ends})
    title = _metric(reading)
    columns = [
        Column("Method", "method"),
        Column("Groups", "groups", "count", "selected for"),
        Column("Subjects", "subjects", "count", "selected for"),
        Column(f"{title}, inner", "inner", "score"),
        Column(f"{title}, test [{reading.interval_level}]", ("outer", "low", "high"), "interval"),
    ]
    seed = f" (seed {found['seeds'][0]})" if found["seeds"][0] else ""
    notes = [
        "Inner: subjects outside the test subject's group, each predicted by models trained on neither them nor that "
        f"group; mean over subjects. Test: the test subjects{seed}, predicted by the methods' own models."
    ]
    if not found["one_subject_per_fold"]:
        notes.append(
            "Folds test several subjects at once: some inner subjects are tested in the same fold as the test subject "
            "and are not among its training subjects."
        )
    return Table(
        "leaderboard_choice", "Nested selection of the method", columns, rows, notes, {len(rows) - 1: "best rule"}
    )


# --- figure -----------------------------------------------------------------------------------------------------------
def leaderboard_figures(reading: Reading) -> list[Plot | None]:
    """Return the figure of a study of methods."""
    return [forest(reading)] if reading.leaderboard else []


def _looks(reading: Reading) -> dict[str | None, str]:
    groups = (reading.leaderboard["contrast"] or {}).get("groups") or {}
    return {None: INK, **{name: SERIES[at] for at, name in enumerate(groups)}}


def forest(reading: Reading) -> Plot | None:
    """Draw the score, interval and seeds of every method, the reference as a line, and the nested selection."""
    lines = _lines(reading)
    drawn = [row for row in lines if not row.get("chosen")][:MOST] + [row for row in lines if row.get("chosen")]
    colours = _looks(reading)
    figure = Figure(figsize=(WIDTH, 0.26 * len(drawn) + 1.0), layout="constrained")
    axes = figure.subplots()
    places = [at + (0.5 if row.get("chosen") else 0.0) for at, row in enumerate(drawn)]
    for at, row in zip(places, drawn, strict=True):
        group = row.get("group")
        _point(axes, at, row, colours[group if group in colours else None])
    middle = next((row["score"] for row in lines if row.get("reference")), None)
    if middle is not None:
        axes.axvline(middle, color=SOFT, linewidth=0.9, dashes=(4, 2), zorder=1)
    axes.set_yticks(places, [short(row["name"], 46) for row in drawn])
    axes.set_ylim(max(places) + 0.7, -0.7)
    axes.set_xlabel(_metric(reading))
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    entries: dict[str, dict[str, Any]] = {
        str(name): {"color": colour, "marker": "o", "linestyle": "none"} for name, colour in colours.items() if name
    }
    if entries:
        handles = legend_handles(entries)
        figure.legend(handles=handles, loc="outside upper right", ncols=min(4, len(handles)))
    return Plot("leaderboard", f"Methods by {_metric(reading)}", figure, _drawn(reading, len(lines) - len(drawn)))


def _drawn(reading: Reading, left_out: int) -> list[str]:
    against = reading.leaderboard["reference"]
    notes = [f"Marks and lines: scores and their {reading.interval_level} intervals over subjects."]
    notes += ["Small dots: single seeds."] if _several(reading) else []
    notes += ["Short vertical bars: 95th percentile under permuted labels."]
    if against:
        notes.append(
            f"Dashed line: the reference, {against}. Filled markers: the reference and methods that differ "
            "significantly from it. At the right: score, interval, difference and p. Overlapping intervals do not show "
            "whether a difference is significant."
        )
    notes += [_starred(reading)]
    return [*notes, *([f"{left_out} methods with lower scores are in the table only."] if left_out > 0 else [])]


def _point(axes: Axes, at: float, row: Mapping[str, Any], colour: str) -> None:
    low, high, paired = number(row.get("low")), number(row.get("high")), row.get("paired")
    if low is not None and high is not None:
        axes.plot([low, high], [at, at], color=colour, linewidth=1.4, solid_capstyle="butt", zorder=2)
    if len(row["scores"]) > 1:
        axes.plot(row["scores"], [at + 0.26] * len(row["scores"]), color=colour, marker="o", markersize=2.4, alpha=0.7,
                  linestyle="none", zorder=2)  # fmt: skip
    level = number((row.get("permuted") or {}).get("level"))
    if level is not None:
        axes.plot([level], [at], color=SOFT, marker="|", markersize=7, linestyle="none", zorder=1)
    filled = bool(row.get("reference") or (paired and paired["significant"]))
    look: dict[str, Any] = {"marker": "D"} if row.get("chosen") else {"marker": "o"}
    look |= {"color": colour, "markerfacecolor": colour if filled else "white", "markersize": 5.0}
    axes.plot([row["score"]], [at], **look, linestyle="none", zorder=3)
    beside = format_value(row["score"], "score") + format_interval(row, "low", "high")
    beside += f" · {compared(row)}" if paired else ""
    axes.annotate(beside, (1.0, at), (6, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                  fontsize=7, va="center", color=INK)  # fmt: skip


# --- sentences --------------------------------------------------------------------------------------------------------
CHOSEN = "nested selection"
"""Name of the selection of a method within the training subjects."""
NAMED = 6
"""Largest number of methods that a sentence names with their values."""


def nested_choice(reading: Reading) -> Mapping[str, Any] | None:
    """Return the selection of a method within the training subjects; None where there is none."""
    found = reading.leaderboard.get("choice") or {}
    return found if found.get("score") is not None else None


def compared(row: Mapping[str, Any]) -> str:
    """Return '+0.021, p 0.310': the difference from the reference and its p-value."""
    return f"{format_value(row['paired']['value'], 'change')}, p {format_value(p_to_report(row['paired']), 'p')}"


def p_to_report(paired: Mapping[str, Any]) -> float:
    """Return the p-value to report: Holm's where there is a family of comparisons."""
    adjusted = paired.get("p_holm")
    return float(paired["p_value"] if adjusted is None else adjusted)


def sentences(reading: Reading) -> list[str]:
    """Return the results: nested selection, differences from the reference, best method, permuted labels, contrast."""
    made = [_choice(reading), _against(reading), _best(reading), _permuted(reading), _contrast(reading)]
    compares = any(row["paired"] for row in reading.leaderboard["rows"]) or reading.leaderboard.get("contrast")
    return [sentence for sentence in [*made, _trained(reading).caveat if compares else ""] if sentence]


def _trained(reading: Reading) -> Trained:
    return Trained(**reading.leaderboard.get("trained") or {})


def skipped(reading: Reading) -> list[str]:
    """Return the methods that the data do not allow, with reasons."""
    return [f"{row['method']}: {row['reason']}" for row in reading.leaderboard.get("skipped") or []]


def _value(row: Mapping[str, Any]) -> str:
    return f"{format_value(row['score'], 'score')}{format_interval(row, 'low', 'high')}"


def _choice(reading: Reading) -> str:
    found = reading.leaderboard.get("choice")
    if not found:
        return "No method was selected within the training subjects, so no score in the table is that of a selection."
    if found["problem"]:
        return f"No method could be selected within the training subjects: {found['problem']}"
    taken = [row for row in found["chosen"] if row["subjects"]]
    subjects = sum(row["subjects"] for row in taken)
    counts = ", ".join(f"{row['method']} for {row['subjects']}" for row in taken)
    said = (
        f"With the method selected within the training subjects, by the study file's rule and from its "
        f"{many(len(found['of']), 'method')}, {_metric(reading)} is {_value(found)}. This is the score to report, "
        f"since no test subject took part in the selection ({counts} of {subjects} subjects). "
        f"On the inner subjects, the selected methods reached {format_value(found['inner'], 'score')} on average."
    )
    if found["left_out"]:
        said += f" {listed(found['left_out'])} could not be run and could not be selected."
    return f"{said} {_than(reading, found)}".strip()


def _than(reading: Reading, row: Mapping[str, Any]) -> str:
    """Return how the nested selection differs from the reference."""
    against, paired = reading.leaderboard["reference"], row.get("paired")
    if not against or not paired:
        return ""
    if not paired["differing"]:
        return f"Its predictions are those of {against}, so the two do not differ."
    value = format_value(paired["value"], "change") + format_interval(paired, "low", "high", digits=3)
    verdict = _trained(reading).verdict(significant=paired["significant"])
    return f"The difference from {against} is {value}, p {format_value(paired['p_value'], 'p')}: {verdict}."


def _against(reading: Reading) -> str:
    against = reading.leaderboard["reference"]
    if reading.leaderboard["problem"]:
        return f"The methods were not compared: {reading.leaderboard['problem']}"
    rows = [row for row in reading.leaderboard["rows"] if row["paired"]]
    requested = reading.leaderboard.get("requested_reference")
    if requested and not against:
        return (
            f"The reference, {requested}, could not be run, so no method was compared with it and no difference may be "
            "claimed."
        )
    if not against or not rows:
        return "The study names no reference, so methods were not compared and no difference may be claimed."
    better = [row for row in rows if row["paired"]["significant"] and row["paired"]["value"] > 0]
    worse = [row for row in rows if row["paired"]["significant"] and row["paired"]["value"] <= 0]
    others = [row for row in rows if not row["paired"]["significant"]]
    said = f"Against {against}, corrected for {many(len(rows), 'comparison')} (Holm), "
    trained = _trained(reading)
    things = f"of these trained {trained.things}" if trained.holdout else "of the methods"
    found = [f"{_named(each)} {'is' if len(each) == 1 else 'are'} significantly {word}"
             for word, each in (("better", better), ("worse", worse)) if each]  # fmt: skip
    said += f"{'; '.join(found) or f'none {things} is significantly better or worse'}"
    said += f" ({things})." if found and trained.holdout else "."
    if others:
        said += f" Not significant: {_named(others)}. This does not show that there is no difference"
        smallest = [row["paired"]["detectable"] for row in others if row["paired"]["detectable"] is not None]
        low, high = (format_value(bound(smallest, default=0.0), "score") for bound in (min, max))
        share = f"{100 * reading.leaderboard['power']:.0f} %"
        sizes = low if low == high else f"{low} to {high}"
        said += f"; differences detectable with {share} power: {sizes}." if smallest else "."
    return said


def _named(rows: Sequence[Mapping[str, Any]]) -> str:
    names = [f"{row['label']} ({compared(row)})" for row in rows[:NAMED]]
    return listed([*names, *([f"{len(rows) - NAMED} more"] if len(rows) > NAMED else [])])


def _best(reading: Reading) -> str:
    rows = reading.leaderboard["rows"]
    if len(rows) < 2:
        return ""
    return (
        f"The highest {_metric(reading)} of the {len(rows)} methods is {_value(rows[0])} ({rows[0]['label']}); it was "
        "selected on the test subjects and is therefore overestimated by an unknown amount."
    )


def _permuted(reading: Reading) -> str:
    rows = [row for row in reading.leaderboard["rows"] if row.get("permuted")]
    if not rows:
        return ""
    found = [row for row in rows if row["permuted"]["p_value"] <= LEVEL]
    missed = [row["label"] for row in rows if row["permuted"]["p_value"] > LEVEL]
    if all(row["permuted"]["above"] for row in rows):
        return "Every method scores significantly higher than under permuted labels (Holm)."
    said = (
        f"Against permuted labels, p ≤ {LEVEL:g} for {len(found)} of {many(len(rows), 'method')} "
        f"({len(rows) * LEVEL:g} expected by chance); after Holm's correction, for "
        f"{sum(row['permuted']['above'] for row in rows)}."
    )
    if missed:
        said += f" Not significantly above permuted labels: {listed(missed)}."
        said += " This does not show that nothing is recognised."
    return said


def _contrast(reading: Reading) -> str:
    found = reading.leaderboard.get("contrast")
    if not found:
        return ""
    (first, mine), (second, others) = found["groups"].items()
    if found["problem"]:
        return f"{first} and {second} were not compared: {found['problem']}"
    value = format_value(found["value"], "change") + format_interval(found, "low", "high", digits=3)
    verdict = _trained(reading).verdict(significant=found["significant"], sides=len(mine) + len(others))
    verdict += "" if found["significant"] else ", which does not show that there is none"
    said = (
        f"{first[:1].upper()}{first[1:]} ({many(len(mine), 'method')}, mean {_metric(reading)} "
        f"{format_value(found['scores'][first], 'score')}) minus {second} ({len(others)}, "
        f"{format_value(found['scores'][second], 'score')}): {value}, p {format_value(found['p_value'], 'p')} "
        f"(permutation test by subject): {verdict}."
    )
    if not found["significant"] and found["detectable"] is not None:
        said += (
            f" The smallest difference detectable with {100 * reading.leaderboard['power']:.0f} % power is "
            f"{format_value(found['detectable'], 'score')}."
        )
    return f"{said} {listed(found['left_out'])} could not be run." if found["left_out"] else said


def listed(words: Sequence[str]) -> str:
    """Return 'a, b and c'."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


# --- learning curves --------------------------------------------------------------------------------------------------
ACROSS = 4
"""Panels side by side."""
WITHIN = (10, 90)
"""Percentiles of the folds that bound the band."""
VAL, TRAIN = SERIES[0], SOFT


def method_curves(reading: Reading) -> Plot | None:
    """Draw macro-F1 on training and validation clips by epoch, one panel per method; None if none trains in epochs."""
    methods: dict[str, list[Mapping[str, Any]]] = {}
    for curve in reading.rows("curves"):
        if reading.leaderboard and curve.get("chosen", True) and len(curve["epoch"]) > 1:
            methods.setdefault(curve["factors"].get(METHODS, curve["model"]), []).append(curve)
    if not methods:
        return None
    lines = math.ceil(len(methods) / ACROSS)
    figure = Figure(figsize=(WIDTH, 1.25 * lines + 0.55), layout="constrained")
    grid = figure.subplots(lines, ACROSS, sharey=True, squeeze=False).flatten()
    for axes, (method, curves) in zip(grid, methods.items(), strict=False):
        axes.set_title(short(method, 26), fontsize=7.5, pad=3)
        _band(axes, curves, "train", TRAIN)
        _band(axes, curves, "val", VAL)
        axes.grid(axis="y")
        axes.set_ylim(0.0, 1.02)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.tick_params(labelsize=6.5)
    for axes in grid[len(methods) :]:
        axes.set_visible(False)
    validated = any(_known(curve, "val") for curves in methods.values() for curve in curves)
    entries: dict[str, dict[str, Any]] = {"training macro-F1": {"color": TRAIN, "linewidth": 1.3}}
    if validated:
        entries["validation macro-F1"] = {"color": VAL, "linewidth": 1.3}
    figure.legend(handles=legend_handles(entries), loc="outside upper right", ncols=2)
    figure.supxlabel("epoch", fontsize=7.5, color=INK)
    notes = [
        f"Lines: mean over the folds and seeds still in training; bands: {WITHIN[0]}th to {WITHIN[1]}th percentile. "
        "Methods not trained in epochs have no curve."
    ]
    if not validated:
        notes.append("No validation clips were used, so there is no validation curve.")
    return Plot("curves_methods", "Learning curves of the methods: macro-F1", figure, notes)


def _known(curve: Mapping[str, Any], part: str) -> bool:
    return any(number(value) is not None for value in curve.get(f"{part}_macro_f1") or [])


def _band(axes: Axes, curves: Sequence[Mapping[str, Any]], part: str, colour: str) -> None:
    values: dict[int, list[float]] = {}
    for curve in curves:
        for epoch, value in zip(curve["epoch"], curve.get(f"{part}_macro_f1") or [], strict=False):
            if (known := number(value)) is not None:
                values.setdefault(epoch, []).append(known)
    if not values:
        return
    epochs = sorted(values)
    low, high = np.array([np.percentile(values[epoch], WITHIN) for epoch in epochs]).T
    axes.fill_between(epochs, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(epochs, [float(np.mean(values[epoch])) for epoch in epochs], color=colour, linewidth=1.3)
