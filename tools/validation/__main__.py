"""``make validate``: measure error rates, coverage and power of the statistics, and write the tables into a page.

It runs ``python -m tools.validation tools/validation/planted.toml out/validate docs/validation.md``. Results are stored
in the folder, so an interrupted run continues. In the page, the text between the marks ``<!-- made: NAME -->`` and
``<!-- end -->`` is replaced; the rest is left unchanged.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from microexpr.cli.progress import Lines
from microexpr.config.component import titles
from microexpr.config.study import Study, load
from microexpr.core.errors import ConfigError, MicroexprError
from microexpr.core.files import digest, make_folder, write_atomically
from microexpr.core.progress import Progress, track
from tools.validation.error_rates import Settings, find_detectable, measure
from tools.validation.planted import check_axes, judge, trials
from tools.validation.simulation import SCENARIOS, Scenario

TABLES = ("rejects", "rejects-independent", "difference", "score", "detectable", "planted")
REVISION = 1
"""Increased if a change of the statistics changes the measurements: stored ones are then made again."""
TESTS = ("permutation by subject", "Wilcoxon", "McNemar", "permutation by clip")
INTERVALS = (
    "expanded by subject",
    "percentile by subject",
    "bca by subject",
    "expanded by clip",
    "percentile by clip",
    "percentile by clip, stratified",
    "bca by clip",
)


def main(arguments: Sequence[str]) -> None:
    """Measure everything that is not stored yet and write the tables into the page."""
    options = _options(arguments)
    started = time.perf_counter()
    study, progress, page = load(Study, options.study), Lines(sys.stderr), _page(options.page)
    check_axes(study)
    settings = Settings(simulations=options.simulations, jobs=options.jobs)
    folder = make_folder(options.out)
    simulated = list(_simulated(settings, folder, progress))
    found = trials(study, options.sets, folder / "planted.jsonl", options.jobs, progress)
    made = {
        "rejects": _by_clips(simulated, "rejects", TESTS, subject_effects=True),
        "rejects-independent": _by_clips(simulated, "rejects", TESTS, subject_effects=False),
        "difference": _by_clips(simulated, "holds the difference", INTERVALS, subject_effects=True),
        "score": _by_clips(simulated, "holds the score", INTERVALS, subject_effects=True),
        "detectable": _detectable(simulated),
        "planted": _planted(judge(found, titles(study.axes))),
    }
    tables = {name: made[name] for name in TABLES}
    for name, table in tables.items():
        sys.stdout.write(f"{name}\n{table}\n\n")
    write_atomically(options.page, filled(page, tables))
    sys.stdout.write(f"{options.page}: {len(tables)} tables, {(time.perf_counter() - started) / 60:.0f} minutes\n")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.validation", description=__doc__)
    parser.add_argument("study", type=Path, help="the study to run on every simulated database")
    parser.add_argument("out", type=Path, help="folder of the measurements")
    parser.add_argument("page", type=Path, help="page whose tables are replaced")
    parser.add_argument("--simulations", type=_whole, default=2_000, help="simulated test sets per scenario")
    parser.add_argument("--sets", type=_whole, default=50, help="simulated databases per condition")
    parser.add_argument("--jobs", type=_whole, default=2, help="processes")
    return parser.parse_args(arguments)


def _whole(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _page(file: Path) -> str:
    """Return the page's text; raises ConfigError if it cannot be read or lacks a mark."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("E106", f"{file} cannot be read: {error}.") from None
    filled(text, dict.fromkeys(TABLES, ""))
    return text


# --- simulations ------------------------------------------------------------------------------------------------------
def _simulated(settings: Settings, folder: Path, progress: Progress) -> Iterator[dict[str, Any]]:
    """Yield the measurements of each scenario, with and without subject effects, and of its detectable difference."""
    jobs: list[tuple[dict[str, Any], Scenario, Callable[[], list[dict[str, Any]]]]] = []
    for clips, scenario in SCENARIOS.items():
        for subject_effects, drawn in ((True, scenario), (False, scenario.without_subject_effects())):
            what = {"clips": clips, "subject_effects": subject_effects}
            jobs.append((what, drawn, partial(_rows, partial(measure, drawn, settings))))
        find = partial(_one, partial(find_detectable, scenario, settings))
        jobs.append(({"clips": clips, "detectable": True}, scenario, find))
    decides = {name: value for name, value in asdict(settings).items() if name != "jobs"}
    for what, drawn, run in track(jobs, len(jobs), "simulations", progress):
        file = folder / f"simulated-{digest([REVISION, what, asdict(drawn), decides])}.json"
        if not file.is_file():
            write_atomically(file, json.dumps({**what, "rows": run()}))
        yield dict(json.loads(file.read_text("utf-8")))


def _rows(run: Callable[[], pd.DataFrame]) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in run().to_dict("records")]


def _one(run: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
    return [run()]


# --- tables -----------------------------------------------------------------------------------------------------------
def _by_clips(
    simulated: Sequence[Mapping[str, Any]], quantity: str, ways: Sequence[str], *, subject_effects: bool
) -> str:
    """Return the shares of one quantity, one method per line and one number of clips per column."""
    shares = {
        (row["way"], each["clips"]): row["share"]
        for each in simulated
        if each.get("subject_effects") is subject_effects
        for row in each["rows"]
        if row["quantity"] == quantity
    }
    clips = list(SCENARIOS)
    lines = [[way, *(_figure(shares[way, number]) for number in clips)] for way in ways]
    return _table(["", *(f"{number} clips" for number in clips)], lines)


def _detectable(simulated: Sequence[Mapping[str, Any]]) -> str:
    rows = {each["clips"]: each["rows"][0] for each in simulated if each.get("detectable")}
    lines = [
        ["found", *(f"{_figure(row['share'])} [{row['low']:.3f}, {row['high']:.3f}]" for row in rows.values())],
        ["size stated, median", *(_figure(row["stated"]) for row in rows.values())],
        ["sets without a stated size, or with one beyond the scale", *(str(row["beyond"]) for row in rows.values())],
    ]
    return _table(["", *(f"{clips} clips" for clips in rows)], lines)


def _planted(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        [row["condition"], row["what"], f"{row['share']:.2f} [{row['low']:.2f}, {row['high']:.2f}]", str(row["n"])]
        for row in rows
    ]
    return _table(["planted", "the study", "share of databases", "databases"], lines)


def _figure(value: float | None) -> str:
    return "no number" if value is None else f"{value:.3f}"


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def filled(page: str, tables: Mapping[str, str]) -> str:
    """Return the page with the text between the marks of each table replaced; raises ConfigError if a mark is missing.

    >>> print(filled("a <!-- made: x -->old<!-- end --> b", {"x": "new"}))
    a <!-- made: x -->
    new
    <!-- end --> b
    """
    for name, table in tables.items():
        mark = f"<!-- made: {name} -->"
        made = f"{mark}\n{table}\n<!-- end -->"
        found = re.findall(f"{re.escape(mark)}.*?<!-- end -->", page, flags=re.DOTALL)
        if len(found) != 1:
            raise ConfigError(
                "E106", f"the page has {mark} ... <!-- end --> {len(found)} times; it must have each table once."
            )
        page = page.replace(found[0], made)
    return page


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MicroexprError as error:
        sys.exit(f"error: {error}")
