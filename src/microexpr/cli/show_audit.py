"""What ``microexpr audit`` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from microexpr.cli import show
from microexpr.core.errors import many


def log(found: Mapping[str, Any]) -> None:
    """Print the scores of a log, its confusion matrices and the verdicts on claims."""
    order = "" if found["swapped"] else ", order checked"
    checked = f" against {found['truth']}{order}" if found["truth"] else ""
    typer.echo(f"{found['file']} ({found['form']}){checked}")
    for note in found["notes"]:
        _said(f"! {note}")
    for scope, told in found["scopes"].items():
        subjects = f", {many(told['subjects'], 'subject')}" if told["subjects"] else ""
        typer.echo(f"\n{scope}: {many(told['clips'], 'clip')}{subjects}, {told['right']} right")
        if told["note"]:
            _said(f"! {told['note']}")
        _scores(told["metrics"], told["unit"])
        _classes(found["classes"], told)
    typer.echo("")
    _rules(found)
    settings = found["intervals"]
    if any(score["low"] is not None for told in found["scopes"].values() for score in told["metrics"].values()):
        _said(f"intervals: {settings['method']}, {settings['level']:.0%}, {settings['resamples']} resamples")
    if found["claims"]:
        typer.echo("\nclaims:")
    for claim in found["claims"]:
        _said(f"{'holds' if claim['holds'] else 'FALSE'}: {claim['sentence']}")


def _scores(metrics: Mapping[str, Any], unit: str | None) -> None:
    known = {name: score for name, score in metrics.items() if score["value"] is not None}
    if known:
        heading = f"95 % interval by {unit}" if unit else "95 % interval"
        alike: dict[tuple[Any, ...], list[str]] = {}
        for name, score in known.items():
            same = tuple(end and round(end, 9) for end in (score["value"], score["low"], score["high"]))
            alike.setdefault(same, []).append(name)
        show.table(
            [
                {
                    "metric": ", ".join(names),
                    "score": f"{known[names[0]]['value']:.4f}",
                    heading: _interval(known[names[0]]),
                }
                for names in alike.values()
            ]
        )
    for name, score in metrics.items():
        if score["note"]:
            typer.echo(f"{name}: {score['note']}")


def _rules(found: Mapping[str, Any]) -> None:
    """Print in one sentence what the scores are and which classes they average; --json has each metric's own rules."""
    averaged = {scope: ", ".join(told["averaged"]) for scope, told in found["scopes"].items() if told["metrics"]}
    if len(set(averaged.values())) == 1:
        where = averaged.popitem()[1]
    else:
        where = "; ".join(f"{scope}: {names}" for scope, names in averaged.items())
    _said(
        "rules: clips are pooled before scoring; rows are true classes; precision = TP / (TP + FP), recall = TP / (TP "
        "+ FN), F1 = 2 TP / (2 TP + FP + FN); means of them are over the classes with a true clip "
        f"({where}), those of macro_f1_all over every class, one without a true clip counting 0; the precision of a "
        "class never predicted counts 0 (--json has the rule of each metric)"
    )


def _interval(score: Mapping[str, Any]) -> str:
    return "-" if score["low"] is None else f"{score['low']:.4f} .. {score['high']:.4f}"


def _classes(classes: Sequence[str], told: Mapping[str, Any]) -> None:
    typer.echo("")
    show.table(
        [
            {
                "true \\ predicted": name,
                **dict(zip(classes, row, strict=True)),
                "clips": told["per_class"][name]["clips"],
                **{key: _number(told["per_class"][name][key]) for key in ("precision", "recall", "f1")},
            }
            for name, row in zip(classes, told["confusion"], strict=True)
        ]
    )


def table(found: Mapping[str, Any]) -> None:
    """Print what every column of a published table can come from, and its claims in clips."""
    typer.echo(found["title"] or found["file"])
    if found["source"]:
        _said(found["source"])
    counts = zip(found["classes"], found["supports"], strict=True)
    _said(f"{found['clips']} clips: " + ", ".join(f"{name} {count}" for name, count in counts) + "\n")
    for column in found["columns"]:
        _said(f"{column['name']}: {column['sentence']}")
        implied = {"accuracy": column["accuracy"], "UAR": column["uar"]}
        if any(implied.values()):
            typer.echo("  " + ", ".join(f"{name} {_span(span)}" for name, span in implied.items() if span))
    for claim in found["claims"]:
        _said(f"\nclaim{': ' + claim['claim'] if claim['claim'] else ''}")
        _said(f"  {claim['sentence']}")


def _span(ends: Sequence[float]) -> str:
    low, high = (f"{end:.3f}" for end in ends)
    return low if low == high else f"{low} to {high}"


def agreement(found: Mapping[str, Any]) -> None:
    """Print how far two codings agree."""
    first, second = found["first"], found["second"]
    typer.echo(
        f"{first} and {second}: {many(found['videos'], 'video')}, {found['events'][0]} and "
        f"{many(found['events'][1], 'expression')}"
    )
    typer.echo(f"{found['paired']} of them paired; times in {found['unit']}")
    for note in found["notes"]:
        _said(f"! {note}")
    if found["labels"]:
        typer.echo("\nlabels")
        _kappa("Cohen's kappa", found["labels"])
    if found["times"]:
        typer.echo("\ntimes (second minus first)")
        show.table([_time(name, told) for name, told in found["times"].items()])
        _said(
            "Frame numbers of expressions that lie far apart correlate whatever the coders do: read the differences, "
            "and the correlation of durations (offset minus onset)."
        )
    if found["spotting"]:
        _spotting(found["spotting"], second)
    if found["action_units"]:
        _units(found["action_units"])
    told = [found["labels"] or {}, *(found["action_units"] or {}).get("by_unit", {}).values()]
    if any(one.get("low") is not None for one in told):
        settings = found["intervals"]
        _said(f"\nintervals: {settings['method']}, {settings['level']:.0%}, {settings['resamples']} resamples")


def _kappa(name: str, told: Mapping[str, Any]) -> None:
    value = told.get("kappa")
    if value is not None:
        where = f", 95 % interval by {told['unit']} {_interval(told)}" if told.get("low") is not None else ""
        typer.echo(f"{name} {value:.4f}{where}; {told['agreed']} of {told['pairs']} agree")
    if told.get("sentence"):
        typer.echo(told["sentence"])


def _time(name: str, told: Mapping[str, Any]) -> dict[str, str]:
    return {
        "time": name,
        "pairs": told["pairs"],
        "mean": f"{told['mean_difference']:+.2f}",
        "sd": _number(told["sd_difference"], 2),
        "mean size": _number(told["mean_absolute_difference"], 2),
        "same": told["same"],
        "ICC(2,1)": _icc(told["icc_2_1"]),
        "ICC(3,1)": _icc(told["icc_3_1"]),
    }


def _icc(told: Mapping[str, Any] | None) -> str:
    if told is None:
        return "-"
    return f"{told['value']:.3f} [{_number(told['low'])}, {_number(told['high'])}]"


def _spotting(told: Mapping[str, Any], second: str) -> None:
    typer.echo(f"\nintervals that overlap by {told['iou']:g} or more, each matched once")
    typer.echo(
        f"TP {told['tp']}, FP {told['fp']} ({second} alone), FN {told['fn']}: precision {_number(told['precision'])}, "
        f"recall {_number(told['recall'])}, F1 {_number(told['f1'], 4)}; mean overlap of the matched "
        f"{_number(told['mean_iou'])}"
    )
    if any(told["without_interval"]):
        typer.echo(f"without onset or offset: {told['without_interval'][0]} and {told['without_interval'][1]}")


def _units(told: Mapping[str, Any]) -> None:
    typer.echo("\naction units (sides and intensities aside)")
    if told["sentence"]:
        typer.echo(told["sentence"])
        return
    typer.echo(f"ratio of agreement, 2 x both / all: {told['ratio']:.3f} over {many(told['pairs'], 'expression')}")
    show.table(
        [
            {
                "unit": unit,
                **{name: row[name] for name in ("first", "second", "both")},
                "f1": _number(row["f1"]),
                "kappa": _number(row["kappa"]),
                "95 % interval": _interval(row),
            }
            for unit, row in told["by_unit"].items()
        ]
    )


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _said(text: str) -> None:
    """Print a sentence in lines that can be read; what it begins with stays where it is."""
    start = text[: len(text) - len(text.lstrip())]
    typer.echo(
        start
        + textwrap.fill(
            text.lstrip(), show.WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    )
