"""Tables and sentences of `microexpr tune`'s page, made from its summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from microexpr.core.errors import many
from microexpr.evaluation.statistics.scope import Trained
from microexpr.report.differences import difference, how, power
from microexpr.report.reading import Reading, number, score_title
from microexpr.report.records import environment
from microexpr.report.records import score_head as head
from microexpr.report.table import ABSENT, Column, Table, shown


def tuning_tables(reading: Reading) -> list[Table]:
    """Return the tables of a tuning that its summary has rows for."""
    makers = (results, space, searches, values, importances, trials, software)
    return [table for table in (maker(reading) for maker in makers) if table.rows]


def title(reading: Reading) -> str:
    """Return the score that was searched, as people write it."""
    return score_title(str(reading.summary.get("metric")))


def parameters(reading: Reading) -> list[str]:
    """Return what was searched, as dotted keys."""
    return [str(row["parameter"]) for row in reading.rows("space")]


def brief(parameter: str) -> str:
    """Return what a parameter is called where there is little room.

    >>> brief("model.drop_path")
    'drop path'
    """
    return parameter.rpartition(".")[2].replace("_", " ")


def value(found: object) -> str:
    """Return a value of a parameter as a reader sees it.

    >>> value(0.123456), value(12), value(0.00000512), value("none")
    ('0.123', '12', '5.12e-06', 'none')
    """
    return f"{found:.3g}" if isinstance(found, float) else str(found)


# --- tables -----------------------------------------------------------------------------------------------------------
def results(reading: Reading) -> Table:
    """Return the scores, tuned and untuned, on the same clips."""
    metric, found = str(reading.summary.get("metric")), reading.part("results")
    rows = []
    for name in ("tuned", "untuned"):
        if name in found:
            low, high = found[name]["intervals"].get(metric, (None, None))
            rows.append({"what": name, **found[name]["scores"], "ci_low": low, "ci_high": high})
    others = [name for name in (found["tuned"]["scores"] if rows else {}) if name != metric]
    columns = [
        Column("", "what"),
        Column(f"{head(metric)} [{reading.level}]", (metric, "ci_low", "ci_high"), "interval"),
        *(Column(head(name), name, "score") for name in others),
    ]
    tested = found.get("tuned") or {}
    notes = [
        f"The same {tested.get('n_test')} test clips of {tested.get('n_subjects')} subjects, the folds' predictions "
        f"pooled; {reading.interval}."
    ]
    return Table("tuning_results", "Tuned and untuned", columns, rows, notes)


def space(reading: Reading) -> Table:
    """Return what was searched, and between what."""
    columns = [Column("Parameter", "parameter"), Column("Values", "values")]
    told = "The ranges are the paper's (section II.C) where it gives numbers: drop path and dropout."
    notes = [told] if reading.part("tuning").get("papers") else []
    return Table("tuning_space", "What was searched", columns, reading.rows("space"), notes)


def searches(reading: Reading) -> Table:
    """Return every search: whom it saw, whom it is tested on, and how it did on both."""
    columns = [
        Column("Search", "search"),
        Column("Clips", "clips", "count", group="searched on"),
        Column("Subjects", "subjects", "count", group="searched on"),
        Column("Trials", "finished", "count", group="searched on"),
        Column("Clips", "tested_clips", "count", group="tested on"),
        Column("Subjects", "tested_subjects", "count", group="tested on"),
        Column("Folds", "folds", "count", group="tested on"),
        Column("Untuned", "own_inner_score", "score", group="inner score", missing=ABSENT),
        Column("Best trial", "inner_score", "score", group="inner score"),
        Column("Untuned", "untuned", "score", group="outer score"),
        Column("Tuned", "tuned", "score", group="outer score"),
    ]
    notes = [
        f"{head(str(reading.summary.get('metric')))}. Inner: clips searched on, and of the best trial optimistic; "
        "outer: clips tested on, of which a search sees none. Scores of few clips average the classes that these show: "
        "only those of one row and one kind can be compared."
    ]
    return Table("tuning_searches", "The searches", columns, reading.rows("searches"), notes)


def values(reading: Reading) -> Table:
    """Return the values that each search found."""
    found = reading.rows("searches")
    rows = [
        {"search": row["search"], "trial": row["best"], **{key: value(row["values"][key]) for key in row["values"]}}
        for row in found
    ]
    columns = [Column("Search", "search"), *(Column(brief(key), key) for key in parameters(reading))]
    columns += [Column("Trial", "trial", "count")]
    return Table("tuning_values", "The values found", columns, rows)


def importances(reading: Reading) -> Table:
    """Return each parameter's share of what is explained, by search and joined."""
    found = reading.part("importance")
    if not found:
        return Table("tuning_importance", "", [], [])
    names = [str(row["search"]) for row in reading.rows("searches")]
    told = [*zip(names, found["searches"], strict=True)]
    told += [("all", found["joined"])] if len(told) > 1 else []
    rows = [
        {"search": name, "note": each["problem"] or ABSENT, **(each["shares"] or dict.fromkeys(parameters(reading)))}
        for name, each in told
    ]
    columns = [Column("Search", "search")]
    columns += [Column(brief(key), key, "percent", missing=ABSENT) for key in parameters(reading)]
    columns += [Column("Note", "note")] if any(each["problem"] for _, each in told) else []
    notes = [f"{reading.part('tuning').get('importance')}. Shares add up to 100 %."]
    notes += ["All: scores of each search taken from their mean."] if len(told) > 1 else []
    marks = {len(rows) - 1: "rule"} if len(told) > 1 else {}
    return Table("tuning_importance", "Importance of the parameters", columns, rows, notes, marks)


def trials(reading: Reading) -> Table:
    """Return every trial."""
    found, rows, marks = reading.rows("trials"), [], {}
    problems = list(dict.fromkeys(str(row["problem"]) for row in found if row["problem"]))
    for at, row in enumerate(found):
        told = {key: value(each) for key, each in row["values"].items()}
        rows.append({**row, **told, "note": "; ".join(_notes(row, problems)) or ABSENT})
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
    notes = ["Bold: the trial whose values were taken, the first of equals. Untuned: the file's own values."]
    notes += [f"({at}) {_ended(problem)}" for at, problem in enumerate(problems, start=1)]
    return Table("tuning_trials", "Every trial", columns, rows, notes, marks)


def _notes(row: Mapping[str, Any], problems: Sequence[str]) -> Iterator[str]:
    """Yield what is to be said of a trial, briefly: problems stand below the table, each once."""
    if row["problem"]:
        yield f"see ({problems.index(row['problem']) + 1})"
    elif row["same_as"] is not None:
        yield f"as trial {row['same_as']}"
    if row["state"] == "stopped":
        yield "tried again"
    if row["own"]:
        yield "untuned"


def _ended(problem: str) -> str:
    sentence = problem[:1].upper() + problem[1:]
    return sentence if sentence.endswith(".") else f"{sentence}."


def software(reading: Reading) -> Table:
    """Return what the page was computed with."""
    return replace(environment(reading), name="tuning_environment", caption="Software and machine")


# --- words ------------------------------------------------------------------------------------------------------------
def done(reading: Reading) -> list[str]:
    """Return what was done."""
    data, experiment, count = reading.part("data"), reading.part("experiment"), len(reading.rows("searches"))
    named, sets = ", ".join(map(brief, parameters(reading))), ", ".join(data.get("datasets") or [])
    each = many(reading.part("tuning")["trials"], "trial")
    return [
        f"Searched: {named} of {experiment.get('model')}, on {data.get('n_clips')} clips of {data.get('n_subjects')} "
        f"subjects ({sets}) under {experiment.get('protocol')}; {count} search{'es' * (count != 1)} of at least "
        f"{each}, "
        f"{'none of which' if count != 1 else 'which never'} saw a clip that its result is tested on."
    ]


def verdict(reading: Reading) -> list[str]:
    """Return whether tuning helped, did harm, or nothing can be told."""
    row, score = reading.part("comparison"), title(reading)
    if row.get("problem"):
        return [f"Whether tuning helped cannot be told: {row['problem']}"]
    found = f"{score} of tuned minus untuned {difference(row)}, swapped {row['unit']} by {row['unit']} p {_p(row)}"
    trained = Trained(**row.get("trained") or {})
    both = f"The tuned and the untuned {trained.things[:-1]}"
    if row["told"]:
        what, better = ("helped", "tuned") if row["difference"] > 0 else ("did harm", "untuned")
        said = f"{both} differ significantly, and the {better} one is better" if trained.holdout else f"Tuning {what}"
        return [f"{said}: {found}."]
    least = number(row.get("detectable"))
    could = f" The smallest difference that {power([row])} of such test sets would find is {shown(least, 'score')}."
    said = f"{both} do not differ significantly" if trained.holdout else "Whether tuning helped cannot be told"
    return [f"{said}: {found}. That is no proof that tuning does nothing." + (could if least is not None else "")]


def _p(row: Mapping[str, Any]) -> str:
    p = shown(row.get("p_value"), "p")
    return p if p.startswith("<") else f"= {p}"


def optimism(reading: Reading) -> list[str]:
    """Return the inner score of the chosen trials beside the outer one."""
    each, tuned = reading.rows("searches"), (reading.part("results").get("tuned") or {}).get("scores") or {}
    if not each:
        return []
    inner = sum(row["inner_score"] for row in each) / len(each)
    outer, least = tuned.get(str(reading.summary.get("metric"))), min(row["finished"] for row in each)
    trial = "of the chosen trial is" if len(each) == 1 else f"of the {len(each)} chosen trials is on average"
    return [
        f"The inner {title(reading)} {trial} {shown(inner, 'score')}, the outer one {shown(outer, 'score')}. The first "
        f"is optimistic: it is the best of {least} or more on the very clips that chose it, and no result. Only the "
        "second says something about clips that the search has not seen."
    ]


def notes(reading: Reading) -> list[str]:
    """Return how the comparison was made, and what to know of it."""
    row = reading.part("comparison")
    if not row or row.get("problem"):
        return []
    return ["; ".join(how([row])) + ".", *row.get("notes", [])]


def tuned_on(reading: Reading) -> list[str]:
    """Return who was searched on, and how a trial is scored."""
    tuning, each = reading.part("tuning"), reading.rows("searches")
    if not each:
        return []
    inner = (
        f"A trial trains {tuning['inner']} times, on the subjects of all but one of {tuning['inner']} inner folds, and "
        f"is scored by {title(reading)} of what it predicts for the subjects left out, pooled. "
        f"{_ended(tuning['search'])} The trials took {_minutes(sum(row['seconds'] for row in each))} in all."
    )
    if len(each) == 1:
        return [
            f"The protocol has one fold. Its {each[0]['clips']} clips that are not tested were searched on.",
            inner,
        ]
    if all(row["folds"] == 1 for row in each):
        return [f"Each of the {len(each)} folds has a search of its own, on the clips it may learn from.", inner]
    return [
        f"The {tuning['folds']} folds were divided at random into {len(each)} groups. For each group one search ran on "
        "the clips of the subjects whom none of its folds tests; then its folds were trained with the values found, "
        "each on all of its training clips.",
        inner,
    ]


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def agreement(reading: Reading) -> list[str]:
    """Return whether the searches found the same."""
    each = reading.rows("searches")
    if len(each) < 2:
        return ["There is one search, so nothing tells how much its values depend on who was searched on."]
    told = []
    for key in parameters(reading):
        found = [row["values"][key] for row in each]
        if len(set(found)) == 1:
            told.append(f"{brief(key)} {value(found[0])} in all of them")
        elif all(isinstance(one, int | float) for one in found):
            told.append(f"{brief(key)} from {value(min(found))} to {value(max(found))}")
        else:
            counts = {word: found.count(word) for word in dict.fromkeys(found)}
            told.append(
                f"{brief(key)} " + ", ".join(f"{word} ({count} of {len(each)})" for word, count in counts.items())
            )
    same = all(row["values"] == each[0]["values"] for row in each)
    end = "they agree" if same else "where they differ much, the score hardly depends on the value, or chance chose it"
    return [f"The {len(each)} searches found {'; '.join(told)}: {end}."]


def importance(reading: Reading) -> list[str]:
    """Return which parameter explains most, or why nothing can be said."""
    found = reading.part("importance")
    joined = found.get("joined") or {}
    if joined.get("problem"):
        return [f"No importance can be given: {joined['problem']}."]
    shares = joined.get("shares") or {}
    if not shares:
        return []
    first = max(shares, key=lambda key: float(shares[key]))
    scores = [row["score"] for row in reading.rows("trials") if row["score"] is not None]
    return [
        f"Of what the values explain, {brief(first)} explains {shown(shares[first], 'percent')}. Shares say nothing of "
        f"how much there is to explain: inner scores lie between {shown(min(scores), 'score')} and "
        f"{shown(max(scores), 'score')}."
    ]


def again(reading: Reading) -> str:
    """Return what the same command does."""
    return (
        f"Trials lie in {reading.part('tuning').get('storage')}; the same command with more trials goes on from them. "
        "One process alone gives the same trials from the same seed, also when it was stopped in between, on the same "
        "kind of processor with as many threads; several at once do not, because what each draws depends on what the "
        "others have finished."
    )
