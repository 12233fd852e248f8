"""The page of `microexpr compare`: tables, figures and sentences, made from its summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from microexpr.core.errors import many
from microexpr.report.differences import Pair, corrected, difference, distributions, forest, how, power
from microexpr.report.paper_figures import Plot
from microexpr.report.reading import Reading, number, score_title, short
from microexpr.report.study_tables import checked, environment
from microexpr.report.style import INK, SERIES, SOFT, WIDTH
from microexpr.report.table import ABSENT, Column, Table, format_value

SUBJECTS = 14
"""Number of subjects whose influence a panel shows."""
ACROSS = 2


def comparison_tables(reading: Reading) -> list[Table]:
    """Return the tables of a comparison that its summary has rows for."""
    makers = (results, differing, differences, classes, clips, left_out, checked, software)
    made = [maker(reading) for maker in makers]
    return [_own(table) for table in made if table.rows]


def comparison_figures(reading: Reading) -> list[Plot]:
    """Return the figures of a comparison."""
    pairs, score = _pairs(reading), title(reading)
    ahead = ("the other result" if len(pairs) > 1 else "B", "A")
    made = [
        forest(pairs, ahead, score, "comparison_differences"),
        distributions(pairs, ahead, score, "comparison_distributions"),
        influenced(reading),
    ]
    return [plot for plot in made if plot is not None]


def _own(table: Table) -> Table:
    """Rename a table that a study's report also has: both may be written to one folder."""
    return table if table.name.startswith("comparison_") else replace(table, name=f"comparison_{table.name}")


def title(reading: Reading) -> str:
    """Return the display name of the compared score."""
    return score_title(str(reading.summary.get("metric")))


def _letters(reading: Reading) -> list[str]:
    return [str(row["letter"]) for row in reading.rows("results")]


def _name(row: Mapping[str, Any]) -> str:
    """Return 'B (small_cnn)': a result's letter and what distinguishes it from the others."""
    return f"{row['letter']} ({short(str(row['title']), 48)})" if row.get("title") else str(row["letter"])


def _pairs(reading: Reading) -> list[Pair]:
    named = {str(row["letter"]): _name(row) for row in reading.rows("results")}
    rows = reading.rows("comparisons")
    return [
        Pair(f"A − {named[str(row['letter'])]}", row, SERIES[at % len(SERIES)] if len(rows) > 1 else SERIES[0])
        for at, row in enumerate(rows)
    ]


# --- tables -----------------------------------------------------------------------------------------------------------
def results(reading: Reading) -> Table:
    """Return every result with its scores."""
    metric = str(reading.summary.get("metric"))
    rows = [
        {
            **row,
            **row["scores"],
            "ci_low": row["intervals"][metric][0],
            "ci_high": row["intervals"][metric][1],
            "title": row["title"] or ABSENT,
        }
        for row in reading.rows("results")
    ]
    others = [name for name in (rows[0]["scores"] if rows else {}) if name != metric]
    columns = [
        Column("Result", "letter"),
        Column("Distinguished by", "title"),
        Column(f"{_head(metric)} [{reading.interval_level}]", (metric, "ci_low", "ci_high"), "interval"),
        *(Column(_head(name), name, "score") for name in others),
        Column("Folder", "folder"),
        Column("Key", "key"),
    ]
    ways = [str(row["interval"]) for row in reading.rows("comparisons")[:1]]
    data = reading.part("data")
    notes = [f"The same {data.get('n_clips')} test clips of {data.get('n_subjects')} subjects. {'; '.join(ways)}."]
    common = {name: {str(row[name]) for row in rows} for name in ("preprocessing", "sampling", "model", "protocol")}
    shared = [f"{name} {values.pop()}" for name, values in common.items() if len(values) == 1]
    notes += [f"In common: {', '.join(shared)}."] if shared else []
    return Table("comparison_results", "Compared results", columns, rows, notes)


def _head(metric: str) -> str:
    name = score_title(metric)
    return name[:1].upper() + name[1:]


def differing(reading: Reading) -> Table:
    """Return all settings that differ, then differences in data, libraries and machines."""
    parts = [reading.rows("settings"), reading.rows("surroundings")]
    letters = _letters(reading)
    rows = [
        {"setting": row["name"], **dict(zip(letters, row["values"], strict=True))} for part in parts for row in part
    ]
    columns = [Column("Setting", "setting"), *(Column(letter, letter, missing=ABSENT) for letter in letters)]
    first = len(parts[0])
    marks = {first: "rule"} if 0 < first < len(rows) else {}
    notes = [f"Keys as for --set, with defaults. {ABSENT}: no such setting. All other settings are equal."]
    notes += ["Below the line: data, libraries and machines."] if marks else []
    return Table("comparison_settings", "Settings that differ", columns, rows, notes, marks)


def differences(reading: Reading) -> Table:
    """Return each comparison with all its tests."""
    pairs = _pairs(reading)
    rows = [{**pair.row, "pair": f"A − {pair.row['letter']}"} for pair in pairs]
    several = len(rows) > 1
    columns = [
        Column("Pair", "pair"),
        Column(f"Difference [{reading.interval_level}]", ("difference", "ci_low", "ci_high"), "change"),
        Column("p", "p_value", "p"),
        *([Column("p (Holm)", "p_holm", "p")] if several else []),
        Column("only A", "only_a", "count", group="correct clips"),
        Column("only the other" if several else "only B", "only_b", "count", group="correct clips"),
        Column("p (McNemar)", "mcnemar_p", "p"),
        Column("p (Wilcoxon)", "wilcoxon_p", "p", missing=ABSENT),
        Column("Detectable", "detectable", "score", missing=ABSENT),
    ]
    notes = [
        f"Differences in {title(reading)}. {'; '.join(how(rows))}. The permutation test is the test to report: "
        "McNemar's exact test (clips) and Wilcoxon's test (subjects) compare accuracies, whatever the score, and are "
        "not corrected.",
        f"Detectable: smallest difference detectable with {power(rows)} power.",
    ]
    marks = {at: "best" for at, pair in enumerate(pairs) if pair.significant}
    return Table("comparison_differences", "Differences", columns, rows, notes, marks)


def classes(reading: Reading) -> Table:
    """Return, by true class, how many clips each result classifies correctly."""
    names, letters = reading.classes, _letters(reading)
    matrices = {str(row["letter"]): row["confusion"] for row in reading.rows("results")}
    alone = _alone(reading) if len(letters) == 2 else {}
    rows: list[dict[str, Any]] = []
    for at, name in enumerate(names if matrices else ()):
        tested = sum(next(iter(matrices.values()))[at])
        if tested:
            right = {letter: matrix[at][at] for letter, matrix in matrices.items()}
            only = {f"only_{letter}": alone[letter].get(name, 0) for letter in alone}
            rows.append({"class": name, "n": tested, **right, **only})
    sums = {key: sum(row[key] for row in rows) for key in (rows[0] if rows else ()) if key != "class"}
    rows += [{"class": "all", **sums}] if rows else []
    columns = [Column("True class", "class"), Column("Test clips", "n", "count")]
    columns += [Column(letter, letter, "count", group="correct") for letter in letters]
    columns += [Column(letter, f"only_{letter}", "count", group="only this one correct") for letter in alone]
    return Table("comparison_classes", "Correct clips by class", columns, rows, [], {len(rows) - 1: "rule"})


def _alone(reading: Reading) -> dict[str, dict[str, int]]:
    """Return how many clips of each class only one of two results classifies correctly."""
    counts: dict[str, dict[str, int]] = {letter: {} for letter in _letters(reading)}
    for clip in reading.rows("changed"):
        for letter, word in zip(counts, clip["predicted"], strict=True):
            if word == clip["truth"]:
                counts[letter][clip["truth"]] = counts[letter].get(clip["truth"], 0) + 1
    return counts


def clips(reading: Reading) -> Table:
    """Return the clips on which results differ in correctness, those that only the first has correct at the top."""
    letters = _letters(reading)
    rows = []
    for clip in reading.rows("changed"):
        right = [letter for letter, word in zip(letters, clip["predicted"], strict=True) if word == clip["truth"]]
        rows.append({**clip, **dict(zip(letters, clip["predicted"], strict=True)), "right": ", ".join(right)})
    rows.sort(key=lambda row: (row["right"], row["truth"], row["clip"]))
    marks = {at: "rule" for at in range(1, len(rows)) if rows[at]["right"] != rows[at - 1]["right"]}
    columns = [
        Column("Clip", "clip"),
        Column("Subject", "subject"),
        Column("True class", "truth"),
        *(Column(letter, letter, group="predicted by") for letter in letters),
        Column("Correct", "right"),
    ]
    two = len(letters) == 2
    caption = (
        "Clips that only one result classifies correctly" if two else "Clips on which another result differs from A"
    )
    return Table("comparison_clips", caption, columns, rows, [], marks)


def left_out(reading: Reading) -> Table:
    """Return the difference without each subject."""
    rows: list[dict[str, Any]] = []
    marks: dict[int, str] = {}
    several = len(reading.rows("influence")) > 1
    for found in reading.rows("influence"):
        marks |= {len(rows): "rule"} if rows else {}
        whole = _whole(reading, found)
        for one in found["subjects"]:
            turns = "yes" if whole and one["score"] * whole <= 0 else "no"
            lost = ", ".join(one["lost"]) or ABSENT
            rows.append({**one, "pair": f"A − {found['letter']}", "turns": turns, "lost": lost})
    columns = [
        *([Column("Pair", "pair")] if several else []),
        Column("Without", "subject"),
        Column("Clips", "clips", "count"),
        Column("Difference", "score", "change"),
        Column("Change", "change", "change"),
        Column("Sign changes or 0", "turns"),
        Column("Classes only in this subject", "lost"),
    ]
    return Table("comparison_influence", "Difference without each subject", columns, rows, [], marks)


def _whole(reading: Reading, found: Mapping[str, Any]) -> float:
    return next(float(row["difference"]) for row in reading.rows("comparisons") if row["letter"] == found["letter"])


def software(reading: Reading) -> Table:
    """Return the environment of the comparison; that of the trainings is in the reports of the results."""
    return replace(environment(reading), caption="Software and machine of this comparison")


# --- influence --------------------------------------------------------------------------------------------------------
def influenced(reading: Reading) -> Plot | None:
    """Draw the difference without each of the most influential subjects."""
    found = [one for one in reading.rows("influence") if one["subjects"]]
    if not found:
        return None
    across, most = min(ACROSS, len(found)), max(min(SUBJECTS, len(one["subjects"])) for one in found)
    down = -(-len(found) // across)
    size = (WIDTH if across > 1 else 5.4, (0.19 * most + 0.75) * down)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flat
    for one, pair, axes in zip(found, _pairs(reading), panels, strict=False):
        _without(axes, one["subjects"][:SUBJECTS], _whole(reading, one), pair.colour)
        axes.set_title(short(pair.label, 40) if len(found) > 1 else "")
    for axes in panels:
        axes.set_visible(False)
    for axes in figure.axes[-across:]:
        axes.set_xlabel(f"difference in {title(reading)} without this subject")
    cut = any(len(one["subjects"]) > SUBJECTS for one in found)
    notes = [
        "Lines: from the difference over all subjects to that without the subject. Open markers: the sign changes or "
        "the difference is 0." + (f" The {SUBJECTS} most influential subjects; the table lists all." if cut else "")
    ]
    return Plot("comparison_influence", "Difference without each subject", figure, notes)


def _without(axes: Axes, subjects: Sequence[Mapping[str, Any]], whole: float, colour: str) -> None:
    axes.axvline(0, color=SOFT, linewidth=0.8, zorder=1)
    axes.axvline(whole, color=INK, linewidth=0.9, dashes=(3, 2), zorder=1)
    for at, one in enumerate(reversed(subjects)):
        axes.plot([whole, one["score"]], [at, at], color=colour, linewidth=1.0, zorder=2)
        face = "white" if one["score"] * whole <= 0 else colour
        axes.plot([one["score"]], [at], color=colour, marker="o", markersize=4.5, markerfacecolor=face, zorder=3)
    names = [f"{short(str(one['subject']), 22)} ({one['clips']})" for one in reversed(subjects)]
    axes.set_yticks(range(len(subjects)), names)
    axes.set_ylim(-0.6, len(subjects) - 0.4)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


# --- sentences --------------------------------------------------------------------------------------------------------
def heading(reading: Reading) -> str:
    """Return the title of the page."""
    rows = reading.rows("results")
    names = [short(str(row["title"] or row["letter"]), 44) for row in rows]
    return f"{names[0]} against {names[1] if len(names) == 2 else f'{len(names) - 1} others'}"


def done(reading: Reading) -> str:
    """Return which experiments were compared, on which clips."""
    data, rows = reading.part("data"), reading.rows("results")
    names = "; ".join(map(_name, rows))
    return (
        f"{len(rows)} experiments were tested on the same {data.get('n_clips')} clips of {data.get('n_subjects')} "
        f"subjects ({', '.join(data.get('datasets') or [])}): {names}."
    )


def verdicts(reading: Reading) -> list[str]:
    """Return a sentence on the significance of each difference."""
    return [_verdict(pair, title(reading)) for pair in _pairs(reading)]


def _verdict(pair: Pair, score: str) -> str:
    row = pair.row
    least, unit = number(row.get("detectable")), row["unit"]
    p = format_value(corrected(row), "p")
    p = p if p.startswith("<") else f"= {p}"
    p = f"p {p}{' (Holm)' if number(row.get('p_holm')) is not None else ''}"
    verdict = pair.trained.verdict(significant=pair.significant)
    caution = "" if pair.significant else ", which does not show that there is no difference"
    said = f"{pair.label}: {score} {difference(row)}; permutation test by {unit}, {p}: {verdict}{caution}."
    if least is None:
        return said
    smallest = format_value(least, "score")
    return f"{said} The smallest difference detectable with {power([row])} power is {smallest}."


def changing(reading: Reading) -> list[str]:
    """Return, for each comparison, how many clips only one side classifies correctly."""
    total = reading.part("data").get("n_clips")
    said = []
    for row in reading.rows("comparisons"):
        other = row["letter"]
        same = int(total or 0) - row["only_a"] - row["only_b"]
        said.append(
            f"{many(row['only_a'], 'clip')} {'is' if row['only_a'] == 1 else 'are'} correct in A only and "
            f"{row['only_b']} in {other} only; the other {same} of {total} are correct in both or wrong in both."
        )
    return said


def influence_ranges(reading: Reading) -> list[str]:
    """Return, for each comparison, the range of the difference without any one subject, and who changes its sign."""
    said = []
    for found in reading.rows("influence"):
        pair = f"A − {found['letter']}"
        if found.get("problem"):
            said.append(f"{pair}: {found['problem']}")
            continue
        scores, whole = [one["score"] for one in found["subjects"]], _whole(reading, found)
        turning = [str(one["subject"]) for one in found["subjects"] if one["score"] * whole <= 0]
        low, high = (format_value(value, "change") for value in (min(scores), max(scores)))
        end = "; its sign is the same whichever subject is left out"
        if turning:
            named = [*turning[:3], *([f"{len(turning) - 3} others"] if len(turning) > 3 else [])]
            subjects = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} or {named[-1]}"
            end = f"; its sign changes, or it is 0, without {subjects}"
        said.append(
            f"{pair}: without any one subject, the difference is between {low} and {high}{end if whole else ''}."
        )
    return said


def notes(reading: Reading) -> list[str]:
    """Return the notes of the comparisons, with the pairs they apply to where these are not all."""
    rows = reading.rows("comparisons")
    found = []
    for note in dict.fromkeys(note for row in rows for note in row.get("notes") or []):
        letters = [str(row["letter"]) for row in rows if note in (row.get("notes") or [])]
        found.append(note if len(letters) == len(rows) else f"A − {', '.join(letters)}: {note}")
    return found
