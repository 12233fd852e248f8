"""What ``microexpr audit`` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from microexpr.cli import show
from microexpr.core.words import many


def log(found: Mapping[str, Any]) -> None:
    """Print the scores of a log, its confusion matrices and whether claims hold."""
    order = "" if found["swapped"] else ", column order checked"
    checked = f" against {found['truth']}{order}" if found["truth"] else ""
    typer.echo(f"{found['file']} ({found['form']}){checked}")
    for note in found["notes"]:
        _wrap(f"! {note}")
    for scope, row in found["scopes"].items():
        subjects = f", {many(row['subjects'], 'subject')}" if row["subjects"] else ""
        typer.echo(f"\n{scope}: {many(row['clips'], 'clip')}{subjects}, {row['right']} correct")
        if row["note"]:
            _wrap(f"! {row['note']}")
        _scores(row["metrics"], row["unit"])
        _classes(found["classes"], row)
    typer.echo("")
    _rules(found)
    settings = found["intervals"]
    if any(score["low"] is not None for row in found["scopes"].values() for score in row["metrics"].values()):
        _wrap(f"intervals: {settings['method']}, {settings['level']:.0%}, {settings['resamples']} resamples")
    if found["claims"]:
        typer.echo("\nclaims:")
    for claim in found["claims"]:
        _wrap(f"{'holds' if claim['holds'] else 'FALSE'}: {claim['sentence']}")


def _scores(metrics: Mapping[str, Any], unit: str | None) -> None:
    known = {name: score for name, score in metrics.items() if score["value"] is not None}
    if known:
        heading = f"95 % interval by {unit}" if unit else "95 % interval"
        by_value: dict[tuple[Any, ...], list[str]] = {}
        for name, score in known.items():
            values = tuple(end and round(end, 9) for end in (score["value"], score["low"], score["high"]))
            by_value.setdefault(values, []).append(name)
        show.table(
            [
                {
                    "metric": ", ".join(names),
                    "score": f"{known[names[0]]['value']:.4f}",
                    heading: _interval(known[names[0]]),
                }
                for names in by_value.values()
            ]
        )
    for name, score in metrics.items():
        if score["note"]:
            typer.echo(f"{name}: {score['note']}")


def _rules(found: Mapping[str, Any]) -> None:
    """Print how the scores are computed and which classes they average; --json has the rule of each metric."""
    averaged = {scope: ", ".join(row["averaged_classes"]) for scope, row in found["scopes"].items() if row["metrics"]}
    if len(set(averaged.values())) == 1:
        classes = averaged.popitem()[1]
    else:
        classes = "; ".join(f"{scope}: {names}" for scope, names in averaged.items())
    _wrap(
        "rules: clips are pooled before scoring; rows are true classes; precision = TP / (TP + FP), recall = TP / (TP "
        "+ FN), F1 = 2 TP / (2 TP + FP + FN); means are over the classes with a true clip "
        f"({classes}), except for macro_f1_all, which averages every class, one without a true clip counting 0; the "
        "precision of a class that is never predicted counts 0 (--json has the rule of each metric)"
    )


def _interval(score: Mapping[str, Any]) -> str:
    return "-" if score["low"] is None else f"{score['low']:.4f} .. {score['high']:.4f}"


def _classes(classes: Sequence[str], found: Mapping[str, Any]) -> None:
    typer.echo("")
    show.table(
        [
            {
                "true \\ predicted": name,
                **dict(zip(classes, row, strict=True)),
                "clips": found["per_class"][name]["clips"],
                **{key: _number(found["per_class"][name][key]) for key in ("precision", "recall", "f1")},
            }
            for name, row in zip(classes, found["confusion"], strict=True)
        ]
    )


def table(found: Mapping[str, Any]) -> None:
    """Print what every column of a published table can come from, and its claims in numbers of clips."""
    typer.echo(found["title"] or found["file"])
    if found["source"]:
        _wrap(found["source"])
    counts = zip(found["classes"], found["supports"], strict=True)
    _wrap(f"{found['clips']} clips: " + ", ".join(f"{name} {count}" for name, count in counts) + "\n")
    for column in found["columns"]:
        _wrap(f"{column['name']}: {column['sentence']}")
        implied = {"accuracy": column["accuracy"], "UAR": column["uar"]}
        if any(implied.values()):
            typer.echo("  " + ", ".join(f"{name} {_span(span)}" for name, span in implied.items() if span))
    for claim in found["claims"]:
        _wrap(f"\nclaim{': ' + claim['claim'] if claim['claim'] else ''}")
        _wrap(f"  {claim['sentence']}")


def _span(ends: Sequence[float]) -> str:
    low, high = (f"{end:.3f}" for end in ends)
    return low if low == high else f"{low} to {high}"


def agreement(found: Mapping[str, Any]) -> None:
    """Print the agreement of two codings."""
    first, second = found["first"], found["second"]
    typer.echo(
        f"{first} and {second}: {many(found['videos'], 'video')}, {found['events'][0]} and "
        f"{many(found['events'][1], 'expression')}"
    )
    typer.echo(f"{found['paired']} pairs; times in {found['unit']}")
    for note in found["notes"]:
        _wrap(f"! {note}")
    if found["labels"]:
        typer.echo("\nlabels")
        _kappa("Cohen's kappa", found["labels"])
    if found["times"]:
        typer.echo("\ntimes (second minus first)")
        show.table([_time(name, row) for name, row in found["times"].items()])
        _wrap(
            "Frame numbers of expressions that are far apart in a video correlate in any case. Use the differences, "
            "and the correlation of durations (offset minus onset)."
        )
    if found["spotting"]:
        _spotting(found["spotting"], second)
    if found["action_units"]:
        _units(found["action_units"])
    kappas = [found["labels"] or {}, *(found["action_units"] or {}).get("by_unit", {}).values()]
    if any(one.get("low") is not None for one in kappas):
        settings = found["intervals"]
        _wrap(f"\nintervals: {settings['method']}, {settings['level']:.0%}, {settings['resamples']} resamples")


def _kappa(name: str, found: Mapping[str, Any]) -> None:
    value = found.get("kappa")
    if value is not None:
        where = f", 95 % interval by {found['unit']} {_interval(found)}" if found.get("low") is not None else ""
        typer.echo(f"{name} {value:.4f}{where}; {found['agreed']} of {found['pairs']} agree")
    if found.get("sentence"):
        typer.echo(found["sentence"])


def _time(name: str, found: Mapping[str, Any]) -> dict[str, str]:
    return {
        "time": name,
        "pairs": found["pairs"],
        "mean": f"{found['mean_difference']:+.2f}",
        "sd": _number(found["sd_difference"], 2),
        "mean size": _number(found["mean_absolute_difference"], 2),
        "same": found["same"],
        "ICC(2,1)": _icc(found["icc_2_1"]),
        "ICC(3,1)": _icc(found["icc_3_1"]),
    }


def _icc(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "-"
    return f"{found['value']:.3f} [{_number(found['low'])}, {_number(found['high'])}]"


def _spotting(found: Mapping[str, Any], second: str) -> None:
    typer.echo(f"\nintervals that overlap by {found['iou']:g} or more, each matched once")
    typer.echo(
        f"TP {found['tp']}, FP {found['fp']} (only in {second}), FN {found['fn']}: precision "
        f"{_number(found['precision'])}, recall {_number(found['recall'])}, F1 {_number(found['f1'], 4)}; mean overlap "
        f"of matched intervals {_number(found['mean_iou'])}"
    )
    if any(found["without_interval"]):
        typer.echo(f"without onset or offset: {found['without_interval'][0]} and {found['without_interval'][1]}")


def _units(found: Mapping[str, Any]) -> None:
    typer.echo("\naction units (without sides and intensities)")
    if found["sentence"]:
        typer.echo(found["sentence"])
        return
    typer.echo(f"ratio of agreement, 2 x both / all: {found['ratio']:.3f} over {many(found['pairs'], 'expression')}")
    show.table(
        [
            {
                "unit": unit,
                **{name: row[name] for name in ("first", "second", "both")},
                "f1": _number(row["f1"]),
                "kappa": _number(row["kappa"]),
                "95 % interval": _interval(row),
            }
            for unit, row in found["by_unit"].items()
        ]
    )


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _wrap(text: str) -> None:
    """Print a sentence wrapped to the width of the terminal; leading white space is kept."""
    start = text[: len(text) - len(text.lstrip())]
    typer.echo(
        start
        + textwrap.fill(
            text.lstrip(), show.WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    )
