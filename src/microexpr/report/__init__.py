"""The report: a typed summary (`summary`), and the pages made from it.

`page` says what a page is, `pages` has the kinds of pages, `blocks` their tables, figures and sentences.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microexpr.report.page import ReportPaths
    from microexpr.report.summary import ComparisonSummary, StudySummary, TuningSummary


def write_report(summary: StudySummary, out: Path) -> ReportPaths:
    """Write `report.html`, `details.html`, `tables/` (CSV, LaTeX) and `figures/` (SVG, PDF) of a study into `out`.

    The same summary gives the same bytes. Raises StoreError where `out` cannot be written.
    """
    from microexpr.report.page import write
    from microexpr.report.pages import factors, methods
    from microexpr.report.view import StudyView

    return write((methods if summary.leaderboard else factors).PAGE, summary, StudyView(summary), out)


def write_comparison(summary: ComparisonSummary, out: Path) -> ReportPaths:
    """Write `comparison.html`, with its tables and figures, into `out`, as `write_report`."""
    from microexpr.report.page import write
    from microexpr.report.pages import comparison

    return write(comparison.PAGE, summary, summary, out)


def write_tuning(summary: TuningSummary, out: Path) -> ReportPaths:
    """Write `tuning.html`, with its tables and figures, into `out`, as `write_report`."""
    from microexpr.report.page import write
    from microexpr.report.pages import tuning

    return write(tuning.PAGE, summary, summary, out)
