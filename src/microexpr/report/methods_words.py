"""What a study of methods tells, and what it does not, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from microexpr.core.errors import many
from microexpr.evaluation.statistics.power import LEVEL
from microexpr.evaluation.statistics.scope import Trained
from microexpr.report.reading import Reading, score_title
from microexpr.report.table import interval, shown

CHOSEN = "chosen in training"
"""The choice made inside the training subjects, in few words."""
NAMED = 6
"""Methods that a sentence names with their numbers."""


def honest(reading: Reading) -> Mapping[str, Any] | None:
    """Return the choice made inside the training subjects; None where none could be made."""
    found = reading.board.get("choice") or {}
    return found if found.get("score") is not None else None


def compared(row: Mapping[str, Any]) -> str:
    """Return '+0.021, p 0.310': the difference from the reference and the p-value to judge it by."""
    return f"{shown(row['paired']['value'], 'change')}, p {shown(judged(row['paired']), 'p')}"


def judged(paired: Mapping[str, Any]) -> float:
    """Return the p-value to judge by: Holm's where there is a family."""
    adjusted = paired.get("p_holm")
    return float(paired["p_value"] if adjusted is None else adjusted)


def sentences(reading: Reading) -> list[str]:
    """Return what the leaderboard tells: the choice, differences from the reference, the best, the contrast."""
    made = [_choice(reading), _against(reading), _best(reading), _permuted(reading), _contrast(reading)]
    compares = any(row["paired"] for row in reading.board["rows"]) or reading.board.get("contrast")
    return [sentence for sentence in [*made, _trained(reading).caveat if compares else ""] if sentence]


def _trained(reading: Reading) -> Trained:
    return Trained(**reading.board.get("trained") or {})


def skipped(reading: Reading) -> list[str]:
    """Return the methods that the data do not allow, each with the reason."""
    return [f"{row['method']}: {row['reason']}" for row in reading.board.get("skipped") or []]


def _value(row: Mapping[str, Any]) -> str:
    return f"{shown(row['score'], 'score')}{interval(row, 'low', 'high')}"


def _title(reading: Reading) -> str:
    return score_title(str(reading.board["metric"]))


def _choice(reading: Reading) -> str:
    asked = reading.board.get("choice")
    if not asked:
        return "No method was chosen inside the training subjects, so that no score in the table is that of a choice."
    if asked["problem"]:
        return f"No method could be chosen inside the training subjects: {asked['problem']}"
    taken = [row for row in asked["chosen"] if row["subjects"]]
    subjects = sum(row["subjects"] for row in taken)
    told = ", ".join(f"{row['method']} for {row['subjects']}" for row in taken)
    said = (
        f"Chosen inside the training subjects, by the study file's rule and from its "
        f"{many(len(asked['of']), 'method')}, {_title(reading)} is {_value(asked)}: this is the score that counts, "
        f"since no test subject had a word in the choice ({told} of {subjects} subjects). "
        f"On the subjects that judged, the chosen methods gave {shown(asked['inner'], 'score')} on average."
    )
    if asked["left_out"]:
        said += f" {listed(asked['left_out'])} could not be run and could not be chosen."
    return f"{said} {_than(reading, asked)}".strip()


def _than(reading: Reading, row: Mapping[str, Any]) -> str:
    """Compare the choice with the reference."""
    against, paired = reading.board["reference"], row.get("paired")
    if not against or not paired:
        return ""
    if not paired["differing"]:
        return f"It predicts as {against} does, so that the two do not differ."
    trained = _trained(reading)
    told = "the difference can be told" if paired["told"] else "no difference can be told"
    told = trained.verdict(significant=paired["told"]) if trained.holdout else told
    value = shown(paired["value"], "change") + interval(paired, "low", "high", digits=3)
    return f"Against {against} that is {value}, p {shown(paired['p_value'], 'p')}: {told}."


def _against(reading: Reading) -> str:
    against = reading.board["reference"]
    if reading.board["problem"]:
        return f"The methods were not compared: {reading.board['problem']}"
    rows = [row for row in reading.board["rows"] if row["paired"]]
    asked = reading.board.get("reference_asked")
    if asked and not against:
        return (
            f"The reference, {asked}, could not be run, so that no method was compared with it and no difference may "
            "be claimed."
        )
    if not against or not rows:
        return "No reference was named, so that no method was compared with another and no difference may be claimed."
    better = [row for row in rows if row["paired"]["told"] and row["paired"]["value"] > 0]
    worse = [row for row in rows if row["paired"]["told"] and row["paired"]["value"] <= 0]
    open_ = [row for row in rows if not row["paired"]["told"]]
    said = f"Against {against}, corrected for {many(len(rows), 'comparison')} (Holm), "
    trained = _trained(reading)
    claims = [(word, found) for word, found in (("better", better), ("worse", worse)) if found]
    if trained.holdout:
        things = f"these trained {trained.things}"
        parts = [f"{things} are significantly {word}: {_named(found)}" for word, found in claims]
        said += f"{'; '.join(parts) or f'none of {things} is significantly better or worse'}."
    elif claims:
        said += f"{' and '.join(f'{_named(found)} can be told to be {word}' for word, found in claims)}."
    else:
        said += "no method can be told to be better or worse."
    if open_:
        said += f" Not significant: {_named(open_)}. That is no proof that there is no difference"
        least = [row["paired"]["detectable"] for row in open_ if row["paired"]["detectable"] is not None]
        low, high = (shown(value, "score") for value in (min(least, default=0.0), max(least, default=0.0)))
        share = f"{100 * reading.board['power']:.0f} %"
        found = f"; {share} of such test sets would find one of {low if low == high else f'{low} to {high}'}"
        said += f"{found}." if least else "."
    return said


def _named(rows: Sequence[Mapping[str, Any]]) -> str:
    names = [f"{row['label']} ({compared(row)})" for row in rows[:NAMED]]
    return listed([*names, *([f"{len(rows) - NAMED} more"] if len(rows) > NAMED else [])])


def _best(reading: Reading) -> str:
    rows = reading.board["rows"]
    if len(rows) < 2:
        return ""
    return (
        f"The highest {_title(reading)} of the {len(rows)} methods is {_value(rows[0])} ({rows[0]['label']}); it was "
        "picked on the test subjects and is therefore too high by an unknown amount."
    )


def _permuted(reading: Reading) -> str:
    rows = [row for row in reading.board["rows"] if row.get("permuted")]
    if not rows:
        return ""
    found = [row for row in rows if row["permuted"]["p_value"] <= LEVEL]
    missed = [row["label"] for row in rows if row["permuted"]["p_value"] > LEVEL]
    if all(row["permuted"]["above"] for row in rows):
        return "Every method scores above what permuted labels give (Holm)."
    said = (
        f"Against permuted labels {len(found)} of {many(len(rows), 'method')} {'is' if len(found) == 1 else 'are'} "
        f"below {100 * LEVEL:g} %, {len(rows) * LEVEL:g} expected by chance; corrected by Holm, "
        f"{sum(row['permuted']['above'] for row in rows)}."
    )
    if missed:
        said += f" Not distinguishable from permuted labels: {listed(missed)}."
        said += " That does not prove that nothing is recognised."
    return said


def _contrast(reading: Reading) -> str:
    found = reading.board.get("contrast")
    if not found:
        return ""
    (first, mine), (second, others) = found["groups"].items()
    if found["problem"]:
        return f"{first} and {second} were not compared: {found['problem']}"
    value = shown(found["value"], "change") + interval(found, "low", "high", digits=3)
    told = _trained(reading).verdict(significant=found["told"], sides=len(mine) + len(others))
    told += "" if found["told"] else ", which is no proof of none"
    said = (
        f"{first[:1].upper()}{first[1:]} ({many(len(mine), 'method')}, mean {_title(reading)} "
        f"{shown(found['scores'][first], 'score')}) minus {second} ({len(others)}, "
        f"{shown(found['scores'][second], 'score')}): {value}, p {shown(found['p_value'], 'p')} by swapping whole "
        f"subjects between the groups: {told}."
    )
    if not found["told"] and found["detectable"] is not None:
        said += (
            f" {100 * reading.board['power']:.0f} % of such test sets would find a difference of "
            f"{shown(found['detectable'], 'score')}."
        )
    return f"{said} {listed(found['left_out'])} could not be run." if found["left_out"] else said


def listed(words: Sequence[str]) -> str:
    """Return 'a, b and c'."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
