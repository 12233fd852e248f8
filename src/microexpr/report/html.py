"""The pages: each one HTML file that loads nothing, with the order and numbers of its tables and figures."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from microexpr.report import comparison, explanations, methods, pairs, sentences, tuning
from microexpr.report.factors import crossed
from microexpr.report.paper_figures import Plot
from microexpr.report.reading import Reading, score_title, short
from microexpr.report.style import inline
from microexpr.report.table import ABSENT, NOT_MEASURED, Table, format_interval, format_value

TABLES = {
    "leaderboard": "",
    "leaderboard_printed": "",
    "leaderboard_choice": "",
    "leaderboard_databases": "",
    "leaderboard_tests": "",
    "table3_main_results": "Table III",
    "nested": "",
    "paired": "",
    "changed_clips": "",
    "seeds": "",
    "effects": "",
    "crossings": "",
    "table1_dataset": "Table I",
    "preprocessings": "",
    "classes": "",
    "table2_architectures": "Table II",
    "table4_evolution": "Table IV",
    "table5_per_class": "Table V",
    "by_class": "",
    "by_database": "",
    "by_subject": "",
    "targets": "",
    "explanations": "",
    "explanation_regions": "",
    "all_cells": "",
    "all_scores": "",
    "repeats": "",
    "losses": "",
    "overfitting": "",
    "latency": "",
    "checks": "",
    "choices": "",
    "scores": "",
    "corrections": "",
    "skipped": "",
    "disagreements": "",
    "environment": "",
}
"""All tables of a study's report in page order, with the paper's number where they have one."""

FIGURES = {
    "leaderboard": "",
    "figure2_quality_performance": "Figure 2",
    "cells": "",
    "differences": "",
    "difference_distributions": "",
    "seeds": "",
    "effects": "",
    "levels": "",
    "sizes": "",
    "database": "",
    "figure3_phases": "Figure 3",
    "figure4_confusion": "Figure 4",
    "subjects": "",
    "influence": "",
    "explanations": "",
    "overfitting": "",
    "curves_methods": "",
    "curves_macro_f1": "",
    "curves_loss": "",
    "latency": "",
}
"""All figures of a study's report, likewise."""

COMPARISON_TABLES = (
    "comparison_results",
    "comparison_settings",
    "comparison_differences",
    "comparison_classes",
    "comparison_clips",
    "comparison_influence",
    "comparison_checks",
    "comparison_environment",
)
"""All tables of a comparison's page, in page order."""

COMPARISON_FIGURES = ("comparison_differences", "comparison_distributions", "comparison_influence")
"""All figures of a comparison's page, likewise."""

TUNING_TABLES = (
    "tuning_results",
    "tuning_space",
    "tuning_searches",
    "tuning_values",
    "tuning_importance",
    "tuning_trials",
    "tuning_environment",
)
"""All tables of a tuning's page, in page order."""

TUNING_FIGURES = ("tuning_difference", "tuning_importance", "tuning_parameters", "tuning_history")
"""All figures of a tuning's page, likewise."""

_STATED = ("name", "title", "version", "created", "caveats", "curves", "command")


def numbered_tables(tables: Sequence[Table], *, factors_first: bool = False) -> list[Table]:
    """Return tables in page order: the paper's tables keep their number, the others are S1, S2 ..."""
    found = {table.name: table for table in tables}
    # Without a main table, the table of all cells is the main result and comes first.
    first = {} if {"table3_main_results", "leaderboard"} & set(found) else {"all_cells": ""}
    if factors_first:
        first = {"effects": "", "crossings": "", **first}
    order = {**first, **TABLES}
    return [replace(found[name], label=label) for name, label in _labels("Table", order, found).items()]


def numbered_figures(plots: Sequence[Plot], *, factors_first: bool = False) -> list[Plot]:
    """Return figures in page order, numbered in the same way."""
    found = {plot.name: plot for plot in plots}
    order = {"effects": "", "levels": "", "sizes": "", **FIGURES} if factors_first else FIGURES
    return [replace(found[name], label=label) for name, label in _labels("Figure", order, found).items()]


def numbered_comparison(tables: Sequence[Table], plots: Sequence[Plot]) -> tuple[list[Table], list[Plot]]:
    """Return the tables and figures of a comparison in page order: Table 1, 2 ... and Figure 1, 2 ..."""
    return _counted(tables, plots, COMPARISON_TABLES, COMPARISON_FIGURES)


def numbered_tuning(tables: Sequence[Table], plots: Sequence[Plot]) -> tuple[list[Table], list[Plot]]:
    """Return the tables and figures of a tuning in page order, likewise."""
    return _counted(tables, plots, TUNING_TABLES, TUNING_FIGURES)


def _counted(
    tables: Sequence[Table], plots: Sequence[Plot], known: Sequence[str], known_drawn: Sequence[str]
) -> tuple[list[Table], list[Plot]]:
    by_name, drawn = {table.name: table for table in tables}, {plot.name: plot for plot in plots}
    there = [name for name in known if name in by_name]
    there_drawn = [name for name in known_drawn if name in drawn]
    return (
        [replace(by_name[name], label=f"Table {at}") for at, name in enumerate(there, start=1)],
        [replace(drawn[name], label=f"Figure {at}") for at, name in enumerate(there_drawn, start=1)],
    )


def _labels(kind: str, known: Mapping[str, str], present: Mapping[str, object]) -> dict[str, str]:
    labels, ours = {}, 0
    for name, label in known.items():
        if name in present:
            ours += not label
            labels[name] = label or f"{kind} S{ours}"
    return labels


def page(reading: Reading, tables: Sequence[Table], figures: Sequence[Plot], drawings: Mapping[str, str]) -> str:
    """Return a study's page; `drawings` holds the SVG of each figure by its name."""
    return _rendered(
        "report.html",
        (tables, figures, drawings),
        what={name: reading.summary.get(name) for name in _STATED}
        | {name: reading.part("data").get(name) for name in ("fingerprint", "metadata", "datasets")},
        r=reading,
        say=sentences,
        pairs=pairs,
        methods=methods,
        maps=explanations,
        crossed=crossed,
        key_numbers=_strip(reading),
        examples=_examples(reading),
    )


def comparison_page(
    reading: Reading, tables: Sequence[Table], figures: Sequence[Plot], drawings: Mapping[str, str]
) -> str:
    """Return the page of a comparison."""
    return _rendered(
        "comparison.html",
        (tables, figures, drawings),
        what={name: reading.summary.get(name) for name in _STATED} | {"title": comparison.heading(reading)},
        r=reading,
        say=comparison,
        key_numbers=_comparison_strip(reading),
    )


def tuning_page(reading: Reading, tables: Sequence[Table], figures: Sequence[Plot], drawings: Mapping[str, str]) -> str:
    """Return the page of a tuning."""
    return _rendered(
        "tuning.html",
        (tables, figures, drawings),
        what={name: reading.summary.get(name) for name in _STATED},
        r=reading,
        say=tuning,
        key_numbers=_tuning_strip(reading),
    )


def _rendered(
    template: str, parts: tuple[Sequence[Table], Sequence[Plot], Mapping[str, str]], **context: object
) -> str:
    here = files("microexpr.report")
    environment = Environment(
        loader=FunctionLoader(lambda name: here.joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    tables, figures, drawings = parts
    return environment.get_template(template).render(
        css=Markup(here.joinpath("report.css").read_text(encoding="utf-8")),
        tables={table.name: table for table in tables},
        figures={plot.name: plot for plot in figures},
        drawings={name: Markup(inline(svg, name)) for name, svg in drawings.items()},
        quiet=(ABSENT, NOT_MEASURED),
        **context,
    )


def _comparison_strip(reading: Reading) -> dict[str, str]:
    """Return the key numbers of a comparison."""
    data, metric = reading.part("data"), str(reading.summary.get("metric"))
    strip = {
        "Clips": format_value(data.get("n_clips"), "count"),
        "Subjects": format_value(data.get("n_subjects"), "count"),
    }
    for row in reading.rows("results"):
        low, high = row["intervals"][metric]
        value = format_value(row["scores"][metric], "score") + format_interval({"ci_low": low, "ci_high": high})
        strip[f"{row['letter']}, {comparison.title(reading)}"] = value
    return strip


def _tuning_strip(reading: Reading) -> dict[str, str]:
    """Return the key numbers of a tuning."""
    data, found, metric = reading.part("data"), reading.part("results"), str(reading.summary.get("metric"))
    strip = {
        "Clips": format_value(data.get("n_clips"), "count"),
        "Subjects": format_value(data.get("n_subjects"), "count"),
    }
    strip["Trials"] = format_value(sum(row["finished"] for row in reading.rows("searches")), "count")
    for name in ("untuned", "tuned"):
        low, high = found[name]["intervals"].get(metric, (None, None))
        bounds = format_interval({"ci_low": low, "ci_high": high})
        strip[f"{name.capitalize()}, {tuning.title(reading)}"] = (
            format_value(found[name]["scores"][metric], "score") + bounds
        )
    return strip


def _strip(reading: Reading) -> dict[str, str]:
    """Return the key numbers of a study."""
    data, best, named = reading.part("data"), reading.best_cell, reading.part("named_cell")
    strip = {
        "Clips": format_value(data.get("n_clips"), "count"),
        "Subjects": format_value(data.get("n_subjects"), "count"),
        "Seeds" if reading.single_experiment and len(reading.cells) > 1 else "Cells": str(len(reading.cells)),
    }
    if reading.leaderboard:
        strip.pop("Cells", None)
        return strip | {"Methods": str(len(reading.leaderboard["rows"]))} | _methods_strip(reading)
    seeds = reading.rows("over_seeds")
    if best is not None and reading.single_experiment and seeds:
        title = f"Macro-F1, mean of {len(seeds[0]['seeds'])} seeds"
        strip[title] = format_value(seeds[0]["mean"], "score") + format_interval(seeds[0], "low", "high")
    elif best is not None:
        title = "Macro-F1" if reading.single_experiment else "Best macro-F1"
        strip[title] = format_value(best["macro_f1"], "score") + format_interval(best)
    strip["Random guessing"] = format_value((reading.part("baselines").get("guessing") or {}).get("macro_f1"), "score")
    if named:
        title = f"Prespecified cell, {str(named.get('protocol', '')).upper()}"
        strip[title] = format_value(named.get("macro_f1"), "score") + format_interval(named)
    return strip


def _methods_strip(reading: Reading) -> dict[str, str]:
    """Return the key scores of a study of methods."""
    rows, title = reading.leaderboard["rows"], score_title(str(reading.leaderboard["metric"]))
    selected = methods.nested_choice(reading)
    scores = {f"{title}, {methods.CHOSEN}": selected} if selected else {}
    scores |= {f"{title}, {short(row['label'], 20)} (reference)": row for row in rows if row["reference"]}
    scores |= {f"{title}, best on test*": rows[0]} if len(rows) > 1 else {}
    return {
        name: format_value(row["score"], "score") + format_interval(row, "low", "high") for name, row in scores.items()
    }


def _examples(reading: Reading) -> list[dict[str, Any]]:
    """Return the example images; anything but PNG is left out."""
    valid = []
    for example in reading.rows("examples"):
        try:
            image = base64.b64decode(str(example.get("png_base64", "")), validate=True)
        except (binascii.Error, ValueError):
            continue
        if image.startswith(b"\x89PNG"):
            valid.append({"caption": example.get("caption", ""), "png": base64.b64encode(image).decode()})
    return valid
