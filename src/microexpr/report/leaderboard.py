"""Tables and the figure of a study of methods, made from its summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from microexpr.report.figures import Plot
from microexpr.report.methods_words import CHOSEN, compared, honest, listed
from microexpr.report.reading import Reading, number, score_title, short
from microexpr.report.records import score_head
from microexpr.report.style import INK, SERIES, SOFT, WIDTH, legend_handles
from microexpr.report.table import ABSENT, Column, Table, interval, shown

MOST = 48
"""Methods that the figure can show."""


def leaderboard_tables(reading: Reading) -> list[Table]:
    """Return the tables of a study of methods; none for another study."""
    if not reading.board:
        return []
    return [
        table
        for table in (board(reading), printed(reading), tests(reading), databases(reading), choice(reading))
        if table.rows
    ]


def _metric(reading: Reading) -> str:
    return score_title(str(reading.board["metric"]))


def _lines(reading: Reading) -> list[dict[str, Any]]:
    """Return the rows of a table by method: the methods, the best first, and the choice where one was made."""
    rows = [{**row, "name": _name(row)} for row in reading.board["rows"]]
    found = honest(reading)
    if found is not None:
        blank: dict[str, Any] = dict.fromkeys(("group", "ms_a_clip", "ms_threads", "parameters"), ABSENT)
        rows.append({**blank, **found, "name": CHOSEN, "estimator": True, "chosen": True})
    return rows


def _name(row: Mapping[str, Any]) -> str:
    told = [word for word, kept in (("reference", row["reference"]), ("best on test*", row["best"])) if kept]
    return f"{row['label']} ({', '.join(told)})" if told else str(row["label"])


def _marks(rows: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    marks = {at: "best" for at, row in enumerate(rows) if row.get("best")}
    return marks | {at: "rule" for at, row in enumerate(rows) if row.get("chosen")}


def _paired(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's comparison with the reference under keys of their own; words for the reference itself."""
    if row.get("reference"):
        return {"value": "reference", **dict.fromkeys(("p_value", "p_holm", "differing", "detectable"), ABSENT)}
    return dict(row.get("paired") or {})


def _spread(row: Mapping[str, Any]) -> str:
    low, high = shown(min(row["scores"]), "score"), shown(max(row["scores"]), "score")
    return ABSENT if len(row["scores"]) < 2 else (low if low == high else f"{low}–{high}")


def _starred(reading: Reading) -> str:
    number_of = len(reading.board["rows"])
    return (
        f"* The highest of {number_of} on the test subjects themselves: a choice made on test subjects, so its score "
        f"is "
        "too high by an unknown amount."
    )


def board(reading: Reading) -> Table:
    """Return every method with its scores, its difference from the reference and what it costs."""
    metadata = reading.board
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
        Column(f"{title} [{reading.level}]", ("score", "low", "high"), "interval"),
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
        Column("ms a clip", "ms_a_clip", "ms"),
        Column("Threads", "ms_threads", missing=ABSENT),
        Column("Training", "seconds", "time"),
    ]
    return Table("leaderboard", "Leaderboard", columns, rows, _notes(reading), _marks(rows))


def printed(reading: Reading) -> Table:
    """Return what papers print of the methods beside what they give here, each with the protocol it was got under."""
    rows = [
        {**row["printed"], "name": row["label"], "metric": score_title(row["printed"]["metric"])}
        for row in reading.board["rows"]
        if row.get("printed")
    ]
    columns = [
        Column("Method", "name"),
        Column("Metric", "metric"),
        Column("Here", "ours", "score"),
        Column("Printed", "value", "published"),
        Column("The printed figure's protocol", "protocol"),
        Column("Source", "source"),
    ]
    notes = [
        "A printed figure was got on other clips, classes, folds and often with another choice of the model, so the "
        "two columns differ for reasons that nobody can take apart: nothing follows from their difference."
    ]
    return Table("leaderboard_printed", "Beside the figures that papers print", columns, rows, notes)


def _several(reading: Reading) -> bool:
    return any(len(row["scores"]) > 1 for row in reading.board["rows"])


def _notes(reading: Reading) -> list[str]:
    metadata, several = reading.board, _several(reading)
    title, against = _metric(reading), metadata["reference"]
    mean = ", the mean of the seeds' scores" if several else ""
    notes = [
        f"{title} of the pooled test clips{mean}; {reading.level} intervals: {metadata['interval']}, {metadata['n']:,} "
        "resamples; they hold the trained models fixed.",
        _starred(reading),
    ]
    alone, judging = "", ""
    if honest(reading):
        alone = ", but that of the choice stands alone, as the study file's one rule"
        judging = "; of the choice, the folds that judge, which come on top of the methods' own"
    if against:
        compares = sum(row["paired"] is not None for row in metadata["rows"])
        mean, together = ("mean ", "all seeds together, ") if several else ("", "")
        seeds = {tuple(row["seeds"]) for row in metadata["rows"] if row["paired"] or row["reference"]}
        both = ", a method of one seed beside every seed of the other" if len(seeds) > 1 else ""
        notes.append(
            f"− {against}: difference of the {mean}scores{both}. p: whole subjects swapped between the two, {together}"
            f"{metadata['swappings']:,} times (in all ways where these are fewer); corrected by Holm for {compares} "
            f"comparisons{alone}."
        )
    notes.append(
        f"Parameters: of networks; what an estimator learns is not counted alike ({ABSENT}). ms a clip: to represent "
        "and predict one clip on so many threads (an estimator on one) after a warm-up, the median over folds. "
        f"Training: all folds of one seed{judging}."
    )
    notes += [
        f"{row['label']}: the mean of the class probabilities of {listed(row['fused'])}, clip by clip (first seeds); "
        "nothing is trained for it, and it costs what they cost together."
        for row in metadata["rows"]
        if row["fused"]
    ]
    notes += [f"{row['label']} is not compared: {row['problem']}" for row in metadata["rows"] if row.get("problem")]
    if metadata["problem"]:
        notes.append(f"No intervals and comparisons: {metadata['problem']}")
    return notes


def tests(reading: Reading) -> Table:
    """Return what the tests of every method rest on: raw and corrected p, detectable differences, permuted labels."""
    metadata = reading.board
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
            Column("Holm", "p_holm", "p", against, ABSENT),
            Column("Subjects differing", "differing", "count", against, ABSENT),
            Column("Detectable", "detectable", "score", against, ABSENT),
        ]
    nulls = "permuted labels"
    columns += [
        Column("Mean", "null_mean", "score", nulls),
        Column("95 of 100 below", "null_level", "score", nulls),
        Column("p", "null_p_value", "p", nulls),
        Column("Holm", "null_p_holm", "p", nulls),
    ]
    notes = [
        f"Permuted labels: the {_metric(reading)} of these predictions where the labels of each subject are permuted, "
        f"{metadata['permutations']:,} times. It lies above that of blind guessing where a method knows which classes "
        f"a "
        "subject or a database shows."
    ]
    if metadata["reference"]:
        notes.insert(
            0,
            f"Detectable: the smallest difference that {100 * metadata['power']:.0f} % of such test sets would find; "
            f"{ABSENT} where none could.",
        )
    return Table("leaderboard_tests", "What the leaderboard's tests rest on", columns, rows, notes, _marks(rows))


def databases(reading: Reading) -> Table:
    """Return every method's further scores, and those on the clips of each of several databases."""
    lines = _lines(reading)
    names = list(dict.fromkeys(name for row in lines for name in row["databases"]))
    names = names if len(names) > 1 else []
    told = list(dict.fromkeys((str(reading.board["metric"]), "uf1", "uar")))
    several = _several(reading)
    rows = [
        {**row, "spread": _spread(row)}
        | {f"{at}/{name}": value for at, found in row["databases"].items() for name, value in found.items()}
        for row in lines
    ]
    columns = [
        Column("Method", "name"),
        *([Column("Group", "group", missing=ABSENT)] if reading.board["contrast"] else []),
        *([Column(f"{_metric(reading)} of the seeds", "spread")] if several else []),
        *(Column(score_head(name), name, "score", "all" if names else "") for name in ("accuracy", "macro_f1")),
        *(Column(score_title(name), f"{at}/{name}", "score", at) for at in names for name in told),
    ]
    notes = [
        "Each over the classes with a test clip in that database; the score of all clips together is not the mean of "
        "these."
    ]
    caption = "Methods by database" if names else "Further scores of the methods"
    return Table("leaderboard_databases", caption, columns, rows, notes if names else [], _marks(rows))


def choice(reading: Reading) -> Table:
    """Return what was chosen how often, its score on the subjects that judged, and what it gives on those tested."""
    found = honest(reading)
    if found is None:
        return Table("leaderboard_choice", "", [], [])
    rows: list[dict[str, Any]] = [*found["chosen"]]
    pooled = {"method": "what was chosen, pooled", "inner": found["inner"], "outer": found["score"]}
    subjects, groups = (sum(row[name] for row in rows) for name in ("subjects", "groups"))
    ends = {"low": found["low"], "high": found["high"]}
    rows.append({**pooled, "subjects": subjects, "groups": groups, **ends})
    title = _metric(reading)
    columns = [
        Column("Method", "method"),
        Column("Groups", "groups", "count", "chosen for"),
        Column("Subjects", "subjects", "count", "chosen for"),
        Column(f"{title}, others", "inner", "score"),
        Column(f"{title}, tested [{reading.level}]", ("outer", "low", "high"), "interval"),
    ]
    seed = f" (seed {found['seeds'][0]})" if found["seeds"][0] else ""
    notes = [
        f"Others: the subjects outside the tested one's group, each predicted by models that saw neither them nor that "
        f"group; the mean over subjects. Tested: the subjects themselves{seed}, the methods' own models."
    ]
    if not found["apart"]:
        notes.append(
            "Folds here test several subjects at once: some of the others are tested in the same fold as the subject, "
            "and are not among those whom its models are trained on."
        )
    return Table("leaderboard_choice", CHOSEN.capitalize(), columns, rows, notes, {len(rows) - 1: "best rule"})


# --- figure -----------------------------------------------------------------------------------------------------------
def leaderboard_figures(reading: Reading) -> list[Plot | None]:
    """Return the figure of a study of methods."""
    return [forest(reading)] if reading.board else []


def _looks(reading: Reading) -> dict[str | None, str]:
    groups = (reading.board["contrast"] or {}).get("groups") or {}
    return {None: INK, **{name: SERIES[at] for at, name in enumerate(groups)}}


def forest(reading: Reading) -> Plot | None:
    """Draw every method's score and interval, its seeds, the reference's line, and the choice below."""
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
    against = reading.board["reference"]
    notes = [f"Marks and lines: scores and their {reading.level} intervals over subjects."]
    notes += ["Small dots: single seeds."] if _several(reading) else []
    notes += ["Short upright bars: what 95 of 100 permutations of the labels stay under."]
    if against:
        notes.append(
            f"Broken line: the reference, {against}. Filled: it, and what can be told from it; right of each the "
            "difference and p. Intervals that overlap do not tell whether a difference can be told."
        )
    notes += [_starred(reading)]
    return [*notes, *([f"{left_out} lower methods are in the table alone."] if left_out > 0 else [])]


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
    filled = bool(row.get("reference") or (paired and paired["told"]))
    look: dict[str, Any] = {"marker": "D"} if row.get("chosen") else {"marker": "o"}
    look |= {"color": colour, "markerfacecolor": colour if filled else "white", "markersize": 5.0}
    axes.plot([row["score"]], [at], **look, linestyle="none", zorder=3)
    beside = shown(row["score"], "score") + interval(row, "low", "high")
    beside += f" · {compared(row)}" if paired else ""
    axes.annotate(beside, (1.0, at), (6, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                  fontsize=7, va="center", color=INK)  # fmt: skip
