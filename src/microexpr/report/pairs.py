"""Paired comparisons of a study's preprocessings: tables, figures, changed clips and sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from microexpr.evaluation.statistics.scope import together
from microexpr.report.differences import Pair, corrected, distributions, forest, how, power
from microexpr.report.paper_figures import Plot, model_style
from microexpr.report.reading import MANY, Reading, number, short
from microexpr.report.study_tables import place
from microexpr.report.style import SERIES
from microexpr.report.table import ABSENT, Column, Table, format_value

ONE_BY_ONE = 3
"""Largest number of pairs whose changed clips are listed pair by pair; of more, changes are counted by clip."""
NAMED = 4
"""Largest number of pairs that a sentence names."""


def pair_tables(reading: Reading) -> list[Table]:
    """Return the tables of pairs that the summary has rows for."""
    made = [paired(reading), changed(reading) if len(_rows(reading)) <= ONE_BY_ONE else often_changed(reading)]
    return [table for table in made if table.rows]


def pair_figures(reading: Reading) -> list[Plot | None]:
    """Return the figures of pairs that the summary has values for."""
    pairs, ahead = _pairs(reading), _ahead(reading)
    made = (
        draw(pairs, ahead, "macro-F1", name)
        for draw, name in ((forest, "differences"), (distributions, "difference_distributions"))
    )
    return list(made)


def _rows(reading: Reading) -> list[Mapping[str, Any]]:
    """Return the pairs that could be compared."""
    return [row for row in reading.rows("paired") if number(row.get("difference")) is not None]


def _words(reading: Reading, row: Mapping[str, Any]) -> list[str]:
    """Return a pair's two sides, sampling, model and levels of the other axes."""
    sides = " − ".join(_unique(reading, "preprocessing", str(row.get(side))) for side in ("a", "b"))
    where = [_unique(reading, axis, str(row.get(axis))) for axis in ("sampling", "model")]
    return [sides, *where, *(f"{name} {level}" for name, level in reading.other_levels(row).items())]


def _unique(reading: Reading, axis: str, name: str, *, full: bool = False) -> str:
    """Return a level's label (short unless `full`), or its name where another level has the same label."""
    label = reading.label if full else reading.short_label
    shared = sum(label(axis, level) == label(axis, name) for level in reading.levels(axis)) > 1
    return (name if full else short(name)) if shared else label(axis, name)


def titles(reading: Reading, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of pairs, reduced to the parts in which they differ."""
    words = [_words(reading, row) for row in rows]
    apart = [at for at in range(len(words[0])) if len({each[at] for each in words}) > 1] if words else []
    return [" · ".join(each[at] for at in apart or [0]) for each in words]


def _pairs(reading: Reading) -> list[Pair]:
    rows, known = _rows(reading), {*reading.part("models"), *reading.levels("model")}
    colours = [model_style(reading, row["model"])["color"] if row.get("model") in known else SERIES[0] for row in rows]
    named = zip(titles(reading, rows), rows, colours, strict=True)
    return [Pair(title, row, colour) for title, row, colour in named]


def _ahead(reading: Reading) -> tuple[str, str]:
    """Return which side has the higher score left and right of zero, in general terms where that differs by pair."""
    sides = {(str(row.get("b")), str(row.get("a"))) for row in _rows(reading)}
    if len(sides) != 1:
        return "the second", "the first"
    ((left, right),) = sides
    return reading.short_label("preprocessing", left), reading.short_label("preprocessing", right)


def paired(reading: Reading) -> Table:
    """Return the paired comparisons of two preprocessings on the same test clips."""
    found = reading.rows("paired")
    rows = [
        {
            **row,
            **{axis: _unique(reading, axis, str(row.get(axis)), full=True) for axis in ("model", "sampling")},
            **{side: reading.label("preprocessing", str(row.get(side))) for side in ("a", "b")},
            **{f"factor_{name}": level for name, level in reading.other_levels(row).items()},
        }
        for row in found
    ]
    columns = [
        *(column for column in place(reading) if column.keys != "preprocessing"),
        Column("A", "a"),
        Column("B", "b"),
        Column(f"A − B [{reading.interval_level}]", ("difference", "ci_low", "ci_high"), "change"),
        Column("only A", "only_a", "count", group="correct clips"),
        Column("only B", "only_b", "count", group="correct clips"),
        Column("p", "p_value", "p", group="permutation test"),
        Column("p (Holm)", "p_holm", "p", group="permutation test"),
        Column("p (McNemar)", "mcnemar_p", "p"),
    ]
    stated = any("detectable" in row for row in found)
    columns += [Column("Detectable", "detectable", "score", missing=ABSENT)] if stated else []
    marks = {at: "best" for at, row in enumerate(found) if row.get("significant")}
    return Table("paired", "Paired comparison of preprocessings", columns, rows, _notes(found, stated=stated), marks)


def _notes(rows: Sequence[Mapping[str, Any]], *, stated: bool) -> list[str]:
    ways = how(rows)
    notes = [
        f"Macro-F1 on the same test clips. {'; '.join(ways) or 'Test not stated'}; Holm: corrected for the number of "
        "pairs. McNemar's exact test assumes independent clips, which clips of one subject are not."
    ]
    if stated:
        trained = together([Pair("", row).trained for row in rows])
        notes.append(
            f"Bold: {trained.verdict(significant=True)}. Detectable: smallest difference detectable with "
            f"{power(rows)} power; "
            f"{ABSENT}: no difference is detectable, because too few subjects are predicted differently."
        )
    return notes + list(dict.fromkeys(f"Not compared: {row['problem']}" for row in rows if row.get("problem")))


# --- clips ------------------------------------------------------------------------------------------------------------
def changed(reading: Reading) -> Table:
    """Return, pair by pair, the clips that are correct under one preprocessing only."""
    rows: list[dict[str, Any]] = []
    marks: dict[int, str] = {}
    found = _rows(reading)
    for title, pair in zip(titles(reading, found), found, strict=True):
        clips = sorted(pair.get("changed") or [], key=lambda clip: clip["a"] != clip["truth"])
        names = {side: reading.label("preprocessing", str(pair.get(side))) for side in ("a", "b")}
        for side in ("a", "b"):
            mine = [clip for clip in clips if clip[side] == clip["truth"]]
            marks |= {len(rows): "rule"} if rows and mine else {}
            rows += [{**clip, "pair": title, "right": names[side]} for clip in mine]
    one = len(found) == 1
    heads = [reading.label("preprocessing", str(found[0].get(side))) if one else side.upper() for side in ("a", "b")]
    columns = [
        *([] if one else [Column("Pair", "pair")]),
        Column("Clip", "clip"),
        Column("Subject", "subject"),
        Column("True class", "truth"),
        *(Column(head, side, group="predicted under") for head, side in zip(heads, ("a", "b"), strict=True)),
        Column("Correct under", "right"),
    ] if found else []  # fmt: skip
    return Table("changed_clips", "Clips that are correct under one preprocessing only", columns, rows, [], marks)


def often_changed(reading: Reading) -> Table:
    """Return the clips that are correct on one side only of some pair, in descending order of the number of pairs."""
    found = _rows(reading)
    clips: dict[str, dict[str, Any]] = {}
    alone: dict[str, Counter[str]] = {}
    wrong: dict[str, Counter[str]] = {}
    for pair in found:
        for clip in pair.get("changed") or []:
            right, other = ("a", "b") if clip["a"] == clip["truth"] else ("b", "a")
            clips.setdefault(clip["clip"], {"clip": clip["clip"], "subject": clip["subject"], "truth": clip["truth"]})
            alone.setdefault(clip["clip"], Counter())[str(pair.get(right))] += 1
            wrong.setdefault(clip["clip"], Counter())[clip[other]] += 1
    rows = [
        {**metadata, "pairs": alone[name].total(), "taken": _counted(wrong[name]), **_by(alone[name], found)}
        for name, metadata in clips.items()
    ]
    rows.sort(key=lambda row: (-row["pairs"], row["clip"]))
    levels = _levels(found)
    columns = [Column("Clip", "clip"), Column("Subject", "subject"), Column("True class", "truth")]
    columns.append(Column(f"Pairs of {len(found)}", "pairs", "count"))
    if len(levels) <= MANY:
        columns += [
            Column(reading.label("preprocessing", level), f"right_{level}", "count", group="correct under this only")
            for level in levels
        ]
    columns.append(Column("Wrong predictions", "taken"))
    notes = ["Pairs in which the clip is correct under one preprocessing only; summary.json lists them by pair."]
    return Table("changed_clips", "Clips whose result depends on the preprocessing", columns, rows, notes)


def _levels(found: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(str(row.get(side)) for row in found for side in ("a", "b")))


def _by(alone: Mapping[str, int], found: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {f"right_{level}": alone.get(level, 0) for level in _levels(found)}


def _counted(words: Counter[str]) -> str:
    return ", ".join(f"{word} {count}" for word, count in words.most_common())


# --- sentences --------------------------------------------------------------------------------------------------------
def verdict(reading: Reading) -> str:
    """Return in how many pairs the difference is significant, in which, and the smallest detectable difference."""
    pairs = _pairs(reading)
    if not pairs:
        return (
            f"No pair could be compared: {reading.rows('paired')[0].get('problem')}" if reading.rows("paired") else ""
        )
    significant = [pair for pair in pairs if pair.significant]
    names = "; ".join(
        f"{' · '.join(_words(reading, pair.row))} {format_value(pair.row['difference'], 'change')} "
        f"(p {format_value(corrected(pair.row), 'p')})"
        for pair in significant[:NAMED]
    )
    more = f"; and {len(significant) - NAMED} more" if len(significant) > NAMED else ""
    trained = together([pair.trained for pair in pairs])
    if len(pairs) == 1:
        said = f"In the one pair of preprocessings compared, {trained.verdict(significant=bool(significant))}"
    else:
        what = f"{trained.things.capitalize()} trained on two preprocessings" if trained.holdout else "Preprocessings"
        share = f"in {len(significant)} of them" if significant else "in none of them"
        said = f"{what} were compared in {len(pairs)} pairs on the same test clips. Corrected for their number (Holm), "
        said += f"{trained.verdict(significant=True)} {share}"
    said += f": {names}{more}." if significant else "; this does not show that there is no difference."
    return " ".join(filter(None, [said, trained.caveat, _detectable([pair.row for pair in pairs])]))


def _detectable(rows: Sequence[Mapping[str, Any]]) -> str:
    least = [value for row in rows if (value := number(row.get("detectable"))) is not None]
    if not least and all("detectable" in row for row in rows):
        return "Too few subjects are predicted differently for any difference to be significant with these test clips."
    if not least:
        return ""
    low, high = format_value(min(least), "score"), format_value(max(least), "score")
    return (
        f"The smallest difference in macro-F1 detectable with {power(rows)} power is "
        f"{low if low == high else f'{low} to {high}'}."
    )


def changing(reading: Reading) -> str:
    """Return how many test clips are correct on one side only of some pair."""
    found = [row for row in _rows(reading) if row.get("changed") is not None]
    if not found:
        return ""
    clips = {clip["clip"] for row in found for clip in row["changed"]}
    tested = max(int(row.get("n_clips") or 0) for row in found)
    where = "" if len(found) == 1 else " in at least one pair"
    of = f" of {tested} test clips" if tested else ""
    verb = "is" if len(clips) == 1 else "are"
    return f"{len(clips)}{of} {verb} correct under only one of the two preprocessings{where}."
