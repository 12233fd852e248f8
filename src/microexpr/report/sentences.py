"""Sentences on what was done and on the results; a sentence is left out where its values are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from microexpr.core.errors import many
from microexpr.report.reading import PLURAL, Reading, number
from microexpr.report.study_tables import gap
from microexpr.report.table import NOT_MEASURED, format_interval, format_value

MANY = 6
"""Largest number of seeds that a sentence lists."""


def done(reading: Reading) -> str:
    """Return what was trained and scored: cells, clips, subjects, protocol."""
    cells = len(reading.cells)
    if reading.leaderboard:
        return _done(reading, _methods(reading))
    axes = [(len(reading.levels(axis)), axis) for axis in PLURAL]
    levels = [many(n, axis) for n, axis in axes if n > 1]
    levels += [f"{len(reading.part('axes')[name]['levels'])} levels of {name}" for name in reading.other_axes]
    grid = " × ".join(levels)
    what = f"{many(cells, 'cell')} ({grid})" if grid and not reading.single_experiment else "One experiment"
    what += f" with {cells} seeds" if reading.single_experiment and cells > 1 else ""
    return _done(reading, what if cells else "Nothing")


def _methods(reading: Reading) -> str:
    """Return the number of methods and seeds."""
    rows = reading.leaderboard["rows"]
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
        f"{what} {'was' if reading.single_experiment or not reading.cells else 'were'} trained and scored{of}"
        f"{f' ({names})' if names else ''}{f', under the protocol {under}' if under else ''}."
    )


def came_out(reading: Reading) -> str:
    """Return the best cell, the nested selection, the baselines and how many cells exceed random guessing."""
    best = reading.best_cell
    if best is None:
        return "No cell has a score yet."
    value = f"{format_value(best['macro_f1'], 'score')}{format_interval(best)}"
    clips = f" on {best['n_test']} test clips" if best.get("n_test") else ""
    if reading.leaderboard:
        return _baselines(reading)
    if reading.single_experiment:
        said = f"{reading.title(best)} reaches a macro-F1 of {value}{clips}."
    else:
        said = (
            f"The highest macro-F1 of the {len(reading.cells)} cells is {value}{clips} ({reading.title(best)}); "
            "it was selected on the test set and is therefore overestimated by an unknown amount."
        )
    return " ".join(
        filter(
            None,
            [
                said,
                seeds(reading) if reading.single_experiment else nested(reading),
                _baselines(reading),
                above_guessing(reading),
            ],
        )
    )


def nested(reading: Reading) -> str:
    """Return the score where the cell is selected on validation clips in every fold."""
    found = reading.part("nested")
    if not found:
        return ""
    folds, names = found["folds"], [reading.title(row) for row in found["chosen"]]
    what = names[0]
    if len(names) > 1:
        what = f"{len(names)} cells, {names[0]} in {found['chosen'][0]['times']} of {folds} folds"
    return (
        "With the cell selected on the validation clips of "
        f"{'the fold' if folds == 1 else f'each of the {folds} folds'} "
        f"instead ({what}), macro-F1 is {format_value(found['macro_f1'], 'score')}{format_interval(found)}; no test "
        "clip enters this selection."
    )


def narrow(reading: Reading) -> str:
    """Return a warning about the coverage of intervals where a class has few test clips."""
    if not reading.rare_classes:
        return ""
    return (
        f"{reading.rare_classes_note} In simulations with known scores, intervals covered them clearly less often than "
        "stated (docs/validation.md, 28 and 255 clips)."
    )


def seeds(reading: Reading) -> str:
    """Return the mean score over seeds, and the share of the variance due to seeds."""
    rows = reading.rows("over_seeds")
    if not rows:
        return ""
    best = reading.highest([{**row, "macro_f1": row["mean"]} for row in rows]) or rows[0]
    count = len(best["seeds"])
    several = f"{count} seeds ({', '.join(best['seeds'][:MANY])}{' ...' if count > MANY else ''})"
    value = f"{format_value(best['mean'], 'score')}{format_interval(best, 'low', 'high')}"
    spread = f"{format_value(min(best['scores']), 'score')} to {format_value(max(best['scores']), 'score')}"
    mean = f"Over {several}, the mean is" if len(rows) == 1 else f"The highest mean over {several} is"
    of = "" if len(rows) == 1 else f" ({reading.title(best)})"
    said = "" if reading.leaderboard else f"{mean} {value}{of}; the scores of single seeds range from {spread}."
    varying = [row.get(part) for row in rows for part in ("seed_share", "joint_share")]
    if all(min(row["scores"]) == max(row["scores"]) for row in rows) and not any(varying):
        said += " The seed has no effect here: all seeds give the same score."
    else:
        said += f" {variance(rows)}"
    problems = list(dict.fromkeys(str(row["problem"]) for row in rows if row.get("problem")))
    return " ".join([said.strip(), *problems]).strip()


def variance(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the shares of a score's variance due to seeds, subjects and both; empty where they are not known."""
    found = [row for row in rows if number(row.get("joint_share")) is not None]
    if not found:
        return ""

    def share(part: str) -> str:
        values = [100 * row[part] for row in found]
        low, high = f"{min(values):.0f} %", f"{max(values):.0f} %"
        return low if low == high else f"{low} to {high}"

    unit = {"subject": "the subjects", "clip": "the clips"}.get(str(found[0].get("unit")), "the units")
    return (
        f"Of the variance of a single reported score, {share('seed_share')} is due to the seed, {share('unit_share')} "
        f"to {unit} tested and {share('joint_share')} to both jointly."
    )


def _baselines(reading: Reading) -> str:
    known = {
        name: f"{format_value(baseline['macro_f1'], 'score')}{format_interval(baseline)}"
        for name, baseline in reading.part("baselines").items()
        if number(baseline.get("macro_f1")) is not None
    }
    said = [f"random guessing by class frequency reaches {known['guessing']}"] if "guessing" in known else []
    if "majority" in known:
        said += [f"always predicting the majority class {'' if said else 'reaches '}{known['majority']}"]
    text = ", ".join(said)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def above_guessing(reading: Reading) -> str:
    """Return in how many cells the whole interval is above the score of random guessing."""
    level = reading.score(reading.part("baselines").get("guessing"))
    lows = [low for cell in reading.cells if (low := number(cell.get("ci_low"))) is not None]
    if level is None or not lows:
        return ""
    above = sum(low > level for low in lows)
    if len(lows) == 1:
        return f"Its interval is {'entirely' if above else 'not entirely'} above the score of random guessing."
    share = {0: "none of the", len(lows): "all"}.get(above, f"{above} of the")
    said = f"The whole interval is above the score of random guessing in {share} {len(lows)} cells."
    return said if above else f"{said} No cell can be distinguished from random guessing."


def named(reading: Reading) -> str:
    """Return the result of the prespecified cell: the one that the study names before anything is trained."""
    cell = reading.part("named_cell")
    if not cell:
        return ""
    value = f"{format_value(cell.get('macro_f1'), 'score')}{format_interval(cell)}"
    level, low = number(cell.get("permutation_level")), number(cell.get("ci_low"))
    subjects = f", {many(cell['n_subjects'], 'subject')}" if cell.get("n_subjects") else ""
    how = f": {cell['interval']}" if cell.get("interval") else ""
    unit = f"; interval by {cell['interval_unit']}{how}" if cell.get("interval_unit") else ""
    said = (
        f"The prespecified cell, {reading.title(cell)}, reaches a macro-F1 of {value} under "
        f"{str(cell.get('protocol')).upper()} ({cell.get('n_test', '?')} test clips{subjects}{unit}); "
        f"the 95th percentile under permuted labels is {format_value(level, 'score')}"
    )
    p = number(cell.get("p_value"))
    said += f" (p = {p:.3g})" if p is not None else ""
    if level is not None and low is not None:
        said += f", so the interval is {'entirely' if low > level else 'not entirely'} above it"
    shuffled = number(cell.get("shuffled_macro_f1"))
    end = "." if shuffled is None else f". Trained on shuffled labels, it reaches {format_value(shuffled, 'score')}."
    return said + end


def compared(reading: Reading) -> list[str]:
    """Return, for each phase, by how many correct clips the two preprocessings differ."""
    methods = reading.levels("preprocessing")
    if len(methods) != 2:
        return []
    said = []
    for sampling, winner in reading.best_by_sampling.items():
        counts = [reading.correct_count(reading.find(name, sampling, winner["model"])) for name in methods]
        if counts[0] is None or counts[1] is None:
            continue
        first, second = (reading.label("preprocessing", name) for name in methods[:2])
        difference = counts[0] - counts[1]
        more = first if difference > 0 else second
        said.append(
            f"{reading.label('sampling', sampling)}: equal numbers under {first} and {second} ({counts[0]})"
            if not difference
            else f"{reading.label('sampling', sampling)}: {many(abs(difference), 'clip')} more under {more}"
            f" ({first} {counts[0]}, {second} {counts[1]})"
        )
    return said


def overfitting(reading: Reading) -> str:
    """Return under which preprocessing the gap between training and validation scores is larger."""
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
        return f"Gap between training and validation scores: {NOT_MEASURED}."
    one, other = (reading.label("preprocessing", name) for name in methods[:2])
    larger = sum(b > a for a, b in pairs)
    means = [sum(values) / len(pairs) for values in zip(*pairs, strict=True)]
    return (
        f"The gap is larger under {other} than under {one} in {larger} of {len(pairs)} pairs; "
        f"on average it is {means[0]:.3f} under {one} and {means[1]:.3f} under {other}."
    )


def shares(protocol: Mapping[str, Any]) -> str:
    """Return whether the protocol separates subjects, and how many it shares between training and test."""
    if not protocol:
        return "Protocol not stated."
    if protocol.get("subject_independent") or protocol.get("shared_subjects") == 0:
        return f"Protocol {protocol.get('name')}: no subject is in both training and test."
    shared, tested = protocol.get("shared_subjects"), protocol.get("test_subjects")
    who = f"{shared} of the {tested} subjects" if isinstance(shared, int) and isinstance(tested, int) else "subjects"
    return (
        f"Protocol {protocol.get('name')}: clips, not subjects, are split, so {who} in the test set are in the "
        "training set as well. A model may recognise the subject instead of the expression; scores under such a "
        "protocol do not generalise to subjects that the model has not seen."
    )
