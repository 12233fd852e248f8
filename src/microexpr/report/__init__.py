"""The report: one summary in, a page, tables and figures out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microexpr.errors import StoreError
from microexpr.files import make_folder, write_atomically

FORMAT = 1
"""The summary format that this report reads."""


@dataclass(frozen=True, slots=True)
class ReportPaths:
    """What was written."""

    html: Path
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]


def write_report(summary: Mapping[str, Any], out: Path) -> ReportPaths:
    """Write `report.html`, `tables/` (CSV, LaTeX) and `figures/` (SVG, PDF) of a summary into `out`.

    The same summary gives the same bytes. Each file is replaced at once or not at all; a table or figure of an
    earlier report that this summary no longer gives is removed. Raises StoreError where `out` cannot be written.
    """
    if summary.get("format", FORMAT) != FORMAT:
        raise StoreError(
            f"summary format {summary['format']!r} is not {FORMAT}: run the study again with this version of "
            "microexpr; finished folds are not trained again."
        )
    tables, figures, html = _made(summary)
    return ReportPaths(
        tables=_write_all(out / "tables", tables),
        figures=_write_all(out / "figures", figures),
        html=write_atomically(make_folder(out) / "report.html", html),
    )


def _made(summary: Mapping[str, Any]) -> tuple[dict[str, bytes], dict[str, bytes], str]:
    from microexpr.report import html
    from microexpr.report.curves import record_figures
    from microexpr.report.details import detail_figures, detail_tables
    from microexpr.report.factors import factor_tables
    from microexpr.report.figures import paper_figures
    from microexpr.report.latex import latex
    from microexpr.report.published import paper
    from microexpr.report.reading import Reading
    from microexpr.report.records import record_tables
    from microexpr.report.style import render, styled
    from microexpr.report.tables import paper_tables

    reading = Reading(summary, paper())
    tables = html.numbered_tables(
        [*paper_tables(reading), *record_tables(reading), *factor_tables(reading), *detail_tables(reading)],
        crowded=reading.crowded,
    )
    with styled():
        drawn_of = [*paper_figures(reading), *record_figures(reading), *filter(None, detail_figures(reading))]
        plots = html.numbered_figures(drawn_of, crowded=reading.crowded)
        drawn = {plot.name: render(plot.figure) for plot in plots}
    table_files = {f"{table.name}.csv": table.csv.encode() for table in tables}
    table_files |= {f"{table.name}.tex": latex(table).encode() for table in tables}
    figure_files = {f"{name}.svg": svg.encode() for name, (svg, _) in drawn.items()}
    figure_files |= {f"{name}.pdf": pdf for name, (_, pdf) in drawn.items()}
    known = {f"{name}{end}": b"" for name in html.TABLES for end in (".csv", ".tex")}
    stale = {f"{name}{end}": b"" for name in html.FIGURES for end in (".svg", ".pdf")}
    text = html.page(reading, tables, plots, {name: svg for name, (svg, _) in drawn.items()})
    return known | table_files, stale | figure_files, text


def _write_all(folder: Path, contents: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Write files into a folder; an empty content is a file that must not stay from an earlier report."""
    make_folder(folder)
    for name, content in contents.items():
        if not content:
            (folder / name).unlink(missing_ok=True)
    return tuple(write_atomically(folder / name, content) for name, content in sorted(contents.items()) if content)
