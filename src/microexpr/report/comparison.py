"""Tables, figures and sentences of `microexpr compare`'s page, made from its summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from microexpr.report.differences import Pair, corrected, difference, distributions, forest, how, power
from microexpr.report.figures import Plot
from microexpr.report.reading import Reading, number, score_title, short
from microexpr.report.records import checked, environment
from microexpr.report.style import INK, SERIES, SOFT, WIDTH
from microexpr.report.table import ABSENT, Column, Table, shown

SUBJECTS = 14
"""Subjects whose influence a panel shows."""
ACROSS = 2


def comparison_tables(reading: Reading) -> list[Table]:
    """Return the tables of a comparison that its summary has rows for."""
    makers = (results, differing, differences, classes, clips, left_out, checked, software)
    made = [maker(reading) for maker in makers]
    return [_own(table) for table in made if table.rows]


def comparison_figures(reading: Reading) -> list[Plot]:
    """Return the figures of a comparison."""
    pairs, score = _pairs(reading), title(reading)
    ahead = ("the other" if len(pairs) > 1 else "B", "A")
    made = [
        forest(pairs, ahead, score, "comparison_differences"),
        distributions(pairs, ahead, score, "comparison_distributions"),
        influenced(reading),
    ]
    return [plot for plot in made if plot is not None]


def _own(table: Table) -> Table:
    """Give a table that a study's report has as well a file of its own: both may lie in one folder."""
    return table if table.name.startswith("comparison_") else replace(table, name=f"comparison_{table.name}")


def title(reading: Reading) -> str:
    """Return the score that is compared, as people write it."""
    return score_title(str(reading.summary.get("metric")))


def _letters(reading: Reading) -> list[str]:
    return [str(row["letter"]) for row in reading.rows("results")]


def _name(row: Mapping[str, Any]) -> str:
    """Return 'B (small_cnn)': a result's letter and what tells it from the others."""
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
        Column("", "letter"),
        Column("What is its own", "title"),
        Column(f"{_head(metric)} [{reading.level}]", (metric, "ci_low", "ci_high"), "interval"),
        *(Column(_head(name), name, "score") for name in others),
        Column("Folder", "folder"),
        Column("Key", "key"),
    ]
    ways = [str(row["interval"]) for row in reading.rows("comparisons")[:1]]
    data = reading.part("data")
    notes = [f"The same {data.get('n_clips')} test clips of {data.get('n_subjects')} subjects. {'; '.join(ways)}."]
    common = {name: {str(row[name]) for row in rows} for name in ("preprocessing", "sampling", "model", "protocol")}
    told = [f"{name} {values.pop()}" for name, values in common.items() if len(values) == 1]
    notes += [f"In common: {', '.join(told)}."] if told else []
    return Table("comparison_results", "What is compared", columns, rows, notes)


def _head(metric: str) -> str:
    name = score_title(metric)
    return name[:1].upper() + name[1:]


def differing(reading: Reading) -> Table:
    """Return everything that is set otherwise, then what differs in data, libraries and machines."""
    parts = [reading.rows("settings"), reading.rows("surroundings")]
    letters = _letters(reading)
    rows = [
        {"setting": row["name"], **dict(zip(letters, row["values"], strict=True))} for part in parts for row in part
    ]
    columns = [Column("Setting", "setting"), *(Column(letter, letter, missing=ABSENT) for letter in letters)]
    first = len(parts[0])
    marks = {first: "rule"} if 0 < first < len(rows) else {}
    notes = [f"As --set names them, defaults filled in. {ABSENT}: there is no such setting. All others are the same."]
    notes += ["Below the line: data, libraries and machines."] if marks else []
    return Table("comparison_settings", "What the experiments differ in", columns, rows, notes, marks)


def differences(reading: Reading) -> Table:
    """Return each comparison with all its tests."""
    pairs = _pairs(reading)
    rows = [{**pair.row, "pair": f"A − {pair.row['letter']}"} for pair in pairs]
    many = len(rows) > 1
    columns = [
        Column("", "pair"),
        Column(f"Difference [{reading.level}]", ("difference", "ci_low", "ci_high"), "change"),
        Column("p", "p_value", "p"),
        *([Column("p, Holm", "p_holm", "p")] if many else []),
        Column("Only A right", "only_a", "count"),
        Column("Only the other" if many else "Only B right", "only_b", "count"),
        Column("p, McNemar", "mcnemar_p", "p"),
        Column("p, Wilcoxon", "wilcoxon_p", "p", missing=ABSENT),
        Column("Detectable", "detectable", "score", missing=ABSENT),
    ]
    notes = [
        f"Of {title(reading)}. {'; '.join(how(rows))}. It is the test to judge by: McNemar's exact test (clips) and "
        "Wilcoxon's (subjects) compare shares of right clips, whatever the score, and are not corrected.",
        f"Detectable: the smallest difference that {power(rows)} of such test sets would find.",
    ]
    marks = {at: "best" for at, pair in enumerate(pairs) if pair.told}
    return Table("comparison_differences", "Differences", columns, rows, notes, marks)


def classes(reading: Reading) -> Table:
    """Return, by true class, how many clips each result has right."""
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
    columns += [Column(letter, letter, "count", group="right") for letter in letters]
    columns += [Column(letter, f"only_{letter}", "count", group="right alone") for letter in alone]
    return Table("comparison_classes", "Clips right, by class", columns, rows, [], {len(rows) - 1: "rule"})


def _alone(reading: Reading) -> dict[str, dict[str, int]]:
    """Return how many clips of each class one of two results alone has right."""
    counts: dict[str, dict[str, int]] = {letter: {} for letter in _letters(reading)}
    for clip in reading.rows("changed"):
        for letter, word in zip(counts, clip["predicted"], strict=True):
            if word == clip["truth"]:
                counts[letter][clip["truth"]] = counts[letter].get(clip["truth"], 0) + 1
    return counts


def clips(reading: Reading) -> Table:
    """Return the clips that change, those that the first alone has right before the others."""
    letters = _letters(reading)
    rows = []
    for clip in reading.rows("changed"):
        right = [letter for letter, word in zip(letters, clip["predicted"], strict=True) if word == clip["truth"]]
        told = dict(zip(letters, clip["predicted"], strict=True))
        rows.append({**clip, **told, "right": ", ".join(right)})
    rows.sort(key=lambda row: (row["right"], row["truth"], row["clip"]))
    marks = {at: "rule" for at in range(1, len(rows)) if rows[at]["right"] != rows[at - 1]["right"]}
    columns = [
        Column("Clip", "clip"),
        Column("Subject", "subject"),
        Column("True class", "truth"),
        *(Column(letter, letter, group="predicted by") for letter in letters),
        Column("Right", "right"),
    ]
    caption = "Clips that one has right and the other wrong" if len(letters) == 2 else "Clips that change against A"
    return Table("comparison_clips", caption, columns, rows, [], marks)


def left_out(reading: Reading) -> Table:
    """Return the difference without each subject."""
    rows: list[dict[str, Any]] = []
    marks: dict[int, str] = {}
    many = len(reading.rows("influence")) > 1
    for found in reading.rows("influence"):
        marks |= {len(rows): "rule"} if rows else {}
        whole = _whole(reading, found)
        for one in found["subjects"]:
            turns = "yes" if whole and one["score"] * whole <= 0 else "no"
            lost = ", ".join(one["lost"]) or ABSENT
            rows.append({**one, "pair": f"A − {found['letter']}", "turns": turns, "lost": lost})
    columns = [
        *([Column("", "pair")] if many else []),
        Column("Without", "subject"),
        Column("Clips", "clips", "count"),
        Column("Difference", "score", "change"),
        Column("Change", "change", "change"),
        Column("Sign turns", "turns"),
        Column("Classes nobody else shows", "lost"),
    ]
    return Table("comparison_influence", "The difference without each subject", columns, rows, [], marks)


def _whole(reading: Reading, found: Mapping[str, Any]) -> float:
    return next(float(row["difference"]) for row in reading.rows("comparisons") if row["letter"] == found["letter"])


def software(reading: Reading) -> Table:
    """Return what the comparison was computed with; what trained the results is in their own reports."""
    return replace(environment(reading), caption="Software and machine of this comparison")


# --- influence --------------------------------------------------------------------------------------------------------
def influenced(reading: Reading) -> Plot | None:
    """Draw the difference without each subject, for those who weigh most."""
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
        axes.set_xlabel(f"difference of {title(reading)} without this subject")
    cut = any(len(one["subjects"]) > SUBJECTS for one in found)
    notes = [
        "Line from the difference of all subjects to the one without this subject; hollow: the sign turns, or nothing "
        "is "
        "left." + (f" The {SUBJECTS} subjects who weigh most; the table has all." if cut else "")
    ]
    return Plot("comparison_influence", "The difference without each subject", figure, notes)


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


# --- words ------------------------------------------------------------------------------------------------------------
def heading(reading: Reading) -> str:
    """Return what the page is about."""
    rows = reading.rows("results")
    names = [short(str(row["title"] or row["letter"]), 44) for row in rows]
    return f"{names[0]} against {names[1] if len(names) == 2 else f'{len(names) - 1} others'}"


def done(reading: Reading) -> str:
    """Return what was compared on what."""
    data, rows = reading.part("data"), reading.rows("results")
    names = "; ".join(map(_name, rows))
    return (
        f"{len(rows)} experiments were tested on the same {data.get('n_clips')} clips of {data.get('n_subjects')} "
        f"subjects ({', '.join(data.get('datasets') or [])}): {names}."
    )


def verdicts(reading: Reading) -> list[str]:
    """Return what can be told of each difference."""
    return [_verdict(pair, title(reading)) for pair in _pairs(reading)]


def _verdict(pair: Pair, score: str) -> str:
    row = pair.row
    least, unit = number(row.get("detectable")), row["unit"]
    p = f"p {shown(corrected(row), 'p')}{', corrected' if number(row.get('p_holm')) is not None else ''}"
    found = "" if pair.told else ", which is no proof that there is none"
    told = pair.trained.verdict(significant=pair.told)
    said = f"{pair.label}: {score} {difference(row)}; swapped {unit} by {unit}, {p}: {told}{found}."
    if least is None:
        return said
    return (
        f"{said} The smallest difference that {power([row])} of such test sets would find is {shown(least, 'score')}."
    )


def changing(reading: Reading) -> list[str]:
    """Return, for each comparison, how many clips each side alone has right."""
    total = reading.part("data").get("n_clips")
    said = []
    for row in reading.rows("comparisons"):
        other = row["letter"]
        same = int(total or 0) - row["only_a"] - row["only_b"]
        said.append(
            f"A alone has {row['only_a']} clips right and {other} alone {row['only_b']}; "
            f"on the other {same} of {total} both are right or both are wrong."
        )
    return said


def weighing(reading: Reading) -> list[str]:
    """Return, for each comparison, between what the difference lies without any one subject, and whose it is."""
    said = []
    for found in reading.rows("influence"):
        pair = f"A − {found['letter']}"
        if found.get("problem"):
            said.append(f"{pair}: {found['problem']}")
            continue
        scores, whole = [one["score"] for one in found["subjects"]], _whole(reading, found)
        turning = [str(one["subject"]) for one in found["subjects"] if one["score"] * whole <= 0]
        low, high = (shown(value, "change") for value in (min(scores), max(scores)))
        many = f" and {len(turning) - 3} others" if len(turning) > 3 else ""
        end = f"; its sign turns, or nothing is left, without {', '.join(turning[:3])}{many}" if turning else ""
        end = end or "; its sign stays, whoever is left out"
        said.append(
            f"{pair}: without any one subject the difference lies between {low} and {high}{end if whole else ''}."
        )
    return said


def notes(reading: Reading) -> list[str]:
    """Return the remarks of the comparisons, with the pair's name where not all have them."""
    rows = reading.rows("comparisons")
    told = dict.fromkeys(remark for row in rows for remark in row.get("notes") or [])
    said = []
    for remark in told:
        mine = [str(row["letter"]) for row in rows if remark in (row.get("notes") or [])]
        said.append(remark if len(mine) == len(rows) else f"A − {', '.join(mine)}: {remark}")
    return said
