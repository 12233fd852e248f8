"""The report: pages, tables and figures made from a summary.

`summary*.py`, `caveats.py` and `examples.py` compute summaries from results; all other modules see a summary only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microexpr.core.errors import StoreError
from microexpr.core.files import make_folder, write_atomically
from microexpr.report.reading import FORMAT

if TYPE_CHECKING:
    from microexpr.report.paper_figures import Plot
    from microexpr.report.table import Table


@dataclass(frozen=True, slots=True)
class ReportPaths:
    """Files that were written."""

    html: Path
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]


def write_report(summary: Mapping[str, Any], out: Path) -> ReportPaths:
    """Write `report.html`, `tables/` (CSV, LaTeX) and `figures/` (SVG, PDF) of a summary into `out`.

    The same summary gives the same bytes. Files are replaced atomically; tables and figures of an earlier report that
    this summary does not have are removed. Raises StoreError where `out` cannot be written, or where the summary has
    another format.
    """
    if summary.get("format", FORMAT) != FORMAT:
        raise StoreError(
            "E851",
            f"the summary has format {summary['format']!r}; this version reads format {FORMAT}. Run the study again: "
            "finished folds are not trained again.",
        )
    return _write(_report(summary), out, "report.html")


def write_comparison(summary: Mapping[str, Any], out: Path) -> ReportPaths:
    """Write `comparison.html`, with its tables and figures, of a comparison's summary into `out`, as `write_report`."""
    return _write(_comparison(summary), out, "comparison.html")


def write_tuning(summary: Mapping[str, Any], out: Path) -> ReportPaths:
    """Write `tuning.html`, with its tables and figures, of a tuning's summary into `out`, as `write_report`."""
    return _write(_tuning(summary), out, "tuning.html")


def _write(made: tuple[dict[str, bytes], dict[str, bytes], str], out: Path, page: str) -> ReportPaths:
    tables, figures, html = made
    return ReportPaths(
        tables=_write_all(out / "tables", tables),
        figures=_write_all(out / "figures", figures),
        html=write_atomically(make_folder(out) / page, html),
    )


def _report(summary: Mapping[str, Any]) -> tuple[dict[str, bytes], dict[str, bytes], str]:
    from microexpr.report import html
    from microexpr.report.details import detail_figures, detail_tables, target_tables
    from microexpr.report.explanations import explanation_figure, explanation_tables
    from microexpr.report.factors import factor_tables
    from microexpr.report.methods import leaderboard_figures, leaderboard_tables, method_curves
    from microexpr.report.pairs import pair_tables
    from microexpr.report.paper_figures import paper_figures
    from microexpr.report.paper_tables import paper, paper_tables
    from microexpr.report.reading import Reading
    from microexpr.report.study_figures import record_figures
    from microexpr.report.study_tables import record_tables
    from microexpr.report.style import styled

    reading = Reading(summary, paper())
    tables = html.numbered_tables(
        [
            *leaderboard_tables(reading),
            *paper_tables(reading),
            *record_tables(reading),
            *pair_tables(reading),
            *factor_tables(reading),
            *detail_tables(reading),
            *target_tables(reading),
            *explanation_tables(reading),
        ],
        factors_first=reading.many_preprocessings,
    )
    with styled():
        made = [*paper_figures(reading), *record_figures(reading)]
        made += filter(None, [*leaderboard_figures(reading), method_curves(reading), *detail_figures(reading)])
        made += filter(None, [explanation_figure(reading)])
        plots = html.numbered_figures(made, factors_first=reading.many_preprocessings)
        drawn = _drawn(plots)
    text = html.page(reading, tables, plots, {name: svg for name, (svg, _) in drawn.items()})
    return _table_files(tables, html.TABLES), _figure_files(drawn, html.FIGURES), text


def _comparison(summary: Mapping[str, Any]) -> tuple[dict[str, bytes], dict[str, bytes], str]:
    from microexpr.report import html
    from microexpr.report.comparison import comparison_figures, comparison_tables
    from microexpr.report.reading import Reading
    from microexpr.report.style import styled

    reading = Reading(summary, {})
    with styled():
        tables, plots = html.numbered_comparison(comparison_tables(reading), comparison_figures(reading))
        drawn = _drawn(plots)
    text = html.comparison_page(reading, tables, plots, {name: svg for name, (svg, _) in drawn.items()})
    return _table_files(tables, html.COMPARISON_TABLES), _figure_files(drawn, html.COMPARISON_FIGURES), text


def _tuning(summary: Mapping[str, Any]) -> tuple[dict[str, bytes], dict[str, bytes], str]:
    from microexpr.report import html
    from microexpr.report.reading import Reading
    from microexpr.report.style import styled
    from microexpr.report.tuning import tuning_figures, tuning_tables

    reading = Reading(summary, {})
    with styled():
        tables, plots = html.numbered_tuning(tuning_tables(reading), tuning_figures(reading))
        drawn = _drawn(plots)
    text = html.tuning_page(reading, tables, plots, {name: svg for name, (svg, _) in drawn.items()})
    return _table_files(tables, html.TUNING_TABLES), _figure_files(drawn, html.TUNING_FIGURES), text


def _drawn(plots: Sequence[Plot]) -> dict[str, tuple[str, bytes]]:
    from microexpr.report.style import render

    return {plot.name: render(plot.figure) for plot in plots}


def _table_files(tables: Sequence[Table], known: Iterable[str]) -> dict[str, bytes]:
    """Return tables as CSV and LaTeX; known tables that are absent have empty contents."""
    from microexpr.report.latex import latex

    contents = {f"{name}{end}": b"" for name in known for end in (".csv", ".tex")}
    contents |= {f"{table.name}.csv": table.csv.encode() for table in tables}
    return contents | {f"{table.name}.tex": latex(table).encode() for table in tables}


def _figure_files(drawn: Mapping[str, tuple[str, bytes]], known: Iterable[str]) -> dict[str, bytes]:
    contents = {f"{name}{end}": b"" for name in known for end in (".svg", ".pdf")}
    contents |= {f"{name}.svg": svg.encode() for name, (svg, _) in drawn.items()}
    return contents | {f"{name}.pdf": pdf for name, (_, pdf) in drawn.items()}


def _write_all(folder: Path, contents: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Write files into a folder; an empty content removes the file of an earlier report."""
    make_folder(folder)
    for name, content in contents.items():
        if not content:
            (folder / name).unlink(missing_ok=True)
    return tuple(write_atomically(folder / name, content) for name, content in sorted(contents.items()) if content)
