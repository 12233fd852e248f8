"""What was done and what came out, in sentences made of facts: a summary that lacks a fact lacks the sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from microexpr.core.errors import many
from microexpr.report.reading import PLURAL, Cell, Reading, number
from microexpr.report.records import gap
from microexpr.report.table import NOT_MEASURED, interval, shown

MANY = 6
"""Seeds that a sentence lists."""


def done(reading: Reading) -> str:
    """Return what was done: cells, clips, subjects, protocol."""
    cells = len(reading.cells)
    if reading.board:
        return _done(reading, _methods(reading))
    axes = [(len(reading.levels(axis)), axis) for axis in PLURAL]
    told = [many(n, axis) for n, axis in axes if n > 1]
    told += [f"{len(reading.part('axes')[name]['levels'])} levels of {name}" for name in reading.further]
    grid = " × ".join(told)
    what = f"{many(cells, 'cell')} ({grid})" if grid and not reading.alone else "One experiment"
    what += f" with {cells} seeds" if reading.alone and cells > 1 else ""
    return _done(reading, what if cells else "Nothing")


def _methods(reading: Reading) -> str:
    """Return how many methods there are, with how many seeds."""
    rows = reading.board["rows"]
    kinds = "method" if all(not row["settings"] for row in rows) else "setting"
    least, most = (bound(len(row["seeds"]) for row in rows) for bound in (min, max))
    seeds = f"{most} seeds" if least == most else f"{least} to {most} seeds each"
    return f"{many(len(rows), kinds)} with {seeds}" if most > 1 else many(len(rows), kinds)


def _done(reading: Reading, what: str) -> str:
    data = reading.part("data")
    clips, subjects = data.get("n_clips"), data.get("n_subjects")
    of = f" on {clips:,} clips" if isinstance(clips, int) else ""
    of += f" of {many(subjects, 'subject')}" if isinstance(subjects, int) else ""
    names = ", ".join(map(str, data.get("datasets") or []))
    under = reading.part("protocol").get("name")
    return (
        f"{what} {'was' if reading.alone or not reading.cells else 'were'} trained and scored{of}"
        f"{f' ({names})' if names else ''}{f', under the protocol {under}' if under else ''}."
    )


def came_out(reading: Reading) -> str:
    """Return the best cell, the baselines and how many cells lie above them."""
    best = reading.best_cell
    if best is None:
        return "No cell has a score yet."
    value = f"{shown(best['macro_f1'], 'score')}{interval(best)}"
    clips = f" on {best['n_test']} test clips" if best.get("n_test") else ""
    if reading.board:
        return _blind(reading)
    if reading.alone:
        said = f"{reading.title(best)} reaches a macro-F1 of {value}{clips}."
    else:
        said = (
            f"The highest macro-F1 of the {len(reading.cells)} cells is {value}{clips} ({reading.title(best)}); "
            "it was picked on the test set and is therefore too high by an unknown amount."
        )
    return " ".join(
        filter(
            None,
            [said, seeds(reading) if reading.alone else nested(reading), _blind(reading), above_guessing(reading)],
        )
    )


def nested(reading: Reading) -> str:
    """Return what choosing the cell on validation gives, beside the best cell."""
    found = reading.part("nested")
    if not found:
        return ""
    folds, names = found["folds"], [reading.title(row) for row in found["chosen"]]
    what = (
        names[0] if len(names) == 1 else f"{len(names)} cells, {names[0]} in {found['chosen'][0]['times']} of {folds}"
    )
    return (
        f"Chosen on validation in {'the one fold' if folds == 1 else f'each of the {folds} folds'} instead ({what}), "
        f"without a look at test clips, it is {shown(found['macro_f1'], 'score')}{interval(found)}."
    )


def narrow(reading: Reading) -> str:
    """Return how far intervals can be trusted where a class has few test clips."""
    if not reading.few:
        return ""
    return (
        f"{reading.narrow} Where the truth is known they hold it clearly less often than they say "
        "(docs/validation.md, 28 clips and 255)."
    )


def seeds(reading: Reading) -> str:
    """Return what several seeds of each setting gave, and how much of the variance is theirs."""
    rows = reading.rows("over_seeds")
    if not rows:
        return ""
    best = reading.best([{**row, "macro_f1": row["mean"]} for row in rows]) or rows[0]
    many = (
        f"{len(best['seeds'])} seeds ({', '.join(best['seeds'][:MANY])}{' ...' if len(best['seeds']) > MANY else ''})"
    )
    value = f"{shown(best['mean'], 'score')}{interval(best, 'low', 'high')}"
    spread = f"{shown(min(best['scores']), 'score')} to {shown(max(best['scores']), 'score')}"
    mean = f"Over {many} the mean is" if len(rows) == 1 else f"The highest mean over {many} is"
    of = "" if len(rows) == 1 else f" ({reading.title(best)})"
    said = "" if reading.board else f"{mean} {value}{of}, the seeds' scores go from {spread}."
    moved = [row.get(part) for row in rows for part in ("seed_share", "joint_share")]
    if all(min(row["scores"]) == max(row["scores"]) for row in rows) and not any(moved):
        said += " The seed changes nothing here: every one gives the same score."
    else:
        said += f" {variance(rows)}"
    problems = list(dict.fromkeys(str(row["problem"]) for row in rows if row.get("problem")))
    return " ".join([said.strip(), *problems]).strip()


def variance(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what share of a score's variance comes from the seed, from the subjects and from both; empty without."""
    found = [row for row in rows if number(row.get("joint_share")) is not None]
    if not found:
        return ""

    def share(part: str) -> str:
        values = [100 * row[part] for row in found]
        low, high = f"{min(values):.0f} %", f"{max(values):.0f} %"
        return low if low == high else f"{low} to {high}"

    unit = {"subject": "the subjects", "clip": "the clips"}.get(str(found[0].get("unit")), "the units")
    return (
        f"Of the variance of one published score {share('seed_share')} comes from the seed, {share('unit_share')} from "
        f"{unit} tested and {share('joint_share')} from both jointly."
    )


def _blind(reading: Reading) -> str:
    known = {
        name: f"{shown(baseline['macro_f1'], 'score')}{interval(baseline)}"
        for name, baseline in reading.part("baselines").items()
        if number(baseline.get("macro_f1")) is not None
    }
    said = [f"guessing by class frequency reaches {known['guessing']}"] if "guessing" in known else []
    said += [f"always answering the majority class {known['majority']}"] if "majority" in known else []
    text = ", ".join(said)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def above_guessing(reading: Reading) -> str:
    """Return in how many cells the whole interval lies above the score of guessing."""
    level = reading.score(reading.part("baselines").get("guessing"))
    lows = [low for cell in reading.cells if (low := number(cell.get("ci_low"))) is not None]
    if level is None or not lows:
        return ""
    above = sum(low > level for low in lows)
    if len(lows) == 1:
        return f"Its interval {'lies wholly above' if above else 'reaches down to'} the score of guessing."
    share = {0: "none of the", len(lows): "all"}.get(above, f"{above} of the")
    said = f"The whole interval lies above the score of guessing in {share} {len(lows)} cells."
    return said if above else f"{said} No cell can be told from guessing."


def named(reading: Reading) -> str:
    """Return the result of the cell that was named before anything was trained."""
    cell = reading.part("named_cell")
    if not cell:
        return ""
    value = f"{shown(cell.get('macro_f1'), 'score')}{interval(cell)}"
    level, low = number(cell.get("permutation_level")), number(cell.get("ci_low"))
    people = f", {many(cell['n_subjects'], 'subject')}" if cell.get("n_subjects") else ""
    how = f": {cell['interval']}" if cell.get("interval") else ""
    unit = f"; interval by {cell['interval_unit']}{how}" if cell.get("interval_unit") else ""
    said = (
        f"The cell named beforehand, {reading.title(cell)}, reaches {value} under {str(cell.get('protocol')).upper()} "
        f"({cell.get('n_test', '?')} test clips{people}{unit}); "
        f"the level of permuted labels is {shown(level, 'score')}"
    )
    p = number(cell.get("p_value"))
    said += f" (p = {p:.3g})" if p is not None else ""
    if level is not None and low is not None:
        said += f", so the interval {'lies above' if low > level else 'does not lie above'} it"
    shuffled = number(cell.get("shuffled_macro_f1"))
    return said + ("." if shuffled is None else f". Trained on shuffled labels it reaches {shown(shuffled, 'score')}.")


def compared(reading: Reading) -> list[str]:
    """Return, per phase, by how many test clips the first two preprocessings differ."""
    methods = reading.levels("preprocessing")
    if len(methods) != 2:
        return []
    said = []
    for sampling, winner in reading.winners.items():
        twins: list[Cell | None] = [reading.find(name, sampling, winner["model"]) for name in methods[:2]]
        counts = [reading.right(cell) for cell in twins]
        if counts[0] is None or counts[1] is None:
            continue
        first, second = (reading.label("preprocessing", name) for name in methods[:2])
        difference = counts[0] - counts[1]
        more = first if difference > 0 else second
        said.append(
            f"{reading.label('sampling', sampling)}: {first} and {second} get equally many clips right ({counts[0]})"
            if not difference
            else f"{reading.label('sampling', sampling)}: {more} gets {many(abs(difference), 'clip')} more right"
            f" ({first} {counts[0]}, {second} {counts[1]})"
        )
    return said


def overfitting(reading: Reading) -> str:
    """Return under which preprocessing the gap between training and validation is larger."""
    methods = reading.levels("preprocessing")
    if len(methods) != 2:
        return ""
    pairs = [
        (first, second)
        for model in reading.levels("model")
        for sampling in reading.levels("sampling")
        if (first := gap(reading.find(methods[0], sampling, model))) is not None
        and (second := gap(reading.find(methods[1], sampling, model))) is not None
    ]
    if not pairs:
        return f"The gap between training and validation: {NOT_MEASURED}."
    one, other = (reading.label("preprocessing", name) for name in methods[:2])
    larger = sum(b > a for a, b in pairs)
    means = [sum(values) / len(pairs) for values in zip(*pairs, strict=True)]
    return (
        f"The gap is larger under {other} than under {one} in {larger} of {len(pairs)} pairs; "
        f"on average it is {means[0]:.3f} under {one} and {means[1]:.3f} under {other}."
    )


def shares(protocol: Mapping[str, Any]) -> str:
    """Return what the protocol shares between training and test."""
    if not protocol:
        return "The protocol was not stated."
    if protocol.get("subject_independent") or protocol.get("shared_subjects") == 0:
        return f"Protocol {protocol.get('name')}: no subject is in both training and test."
    shared, tested = protocol.get("shared_subjects"), protocol.get("test_subjects")
    many = f"{shared} of the {tested} subjects" if isinstance(shared, int) and isinstance(tested, int) else "subjects"
    return (
        f"Protocol {protocol.get('name')}: clips, not subjects, are divided, so {many} in the test set are in training "
        "as well. A model may recognise the subject instead of the expression; scores under such a protocol cannot be "
        "carried over to people it has not seen."
    )
