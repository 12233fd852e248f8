"""A table of the report: raw values for CSV, and the format of each column."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Row = Mapping[str, Any]
NOT_MEASURED = "not measured"
ABSENT = "—"
"""Shown where no value is defined or given: a class without test clips, a value the paper does not report."""


def number(value: object) -> float | None:
    """Return a finite float, or None for what was not measured."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if value == value and abs(value) != float("inf") else None


def short(text: str, longest: int = 24) -> str:
    """Return text, truncated where it is too long for a figure.

    >>> short("PoolFormer-m36"), short("an unusually long name", 12)
    ('PoolFormer-m36', 'an unusuall…')
    """
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


@dataclass(frozen=True)
class Column:
    """One displayed column, made of one key of the rows; an interval is made of three."""

    head: str
    keys: str | tuple[str, ...]
    show: str = "text"
    """text, score (3 digits), published (4 digits, as in the paper), interval, change, percent, count, size, p, ms or
    time"""
    group: str = ""
    missing: str = NOT_MEASURED

    @property
    def numeric(self) -> bool:
        """Whether the column is right-aligned."""
        return self.show != "text"

    def raw(self, row: Row) -> float | None:
        """Return the number that a row is sorted by; None for text."""
        return number(row.get(self.keys if isinstance(self.keys, str) else self.keys[0]))

    def of(self, row: Row) -> str:
        """Return the formatted value of a row."""
        keys = (self.keys,) if isinstance(self.keys, str) else self.keys
        value = row.get(keys[0])
        if isinstance(value, str):
            return value or self.missing
        if self.show == "text":
            return self.missing if value is None else str(value)
        if number(value) is None:
            return self.missing
        text = format_value(value, "score" if self.show == "interval" else self.show)
        digits = 3 if self.show == "change" else 2
        return text + format_interval(row, *keys[1:], digits=digits) if len(keys) > 1 else text


def format_value(value: Any, how: str) -> str:
    """Return a formatted number.

    >>> format_value(0.47619, "score"), format_value(442368, "count"), format_value(0.84, "percent")
    ('0.476', '442,368', '84.0 %')
    >>> format_value(19.674, "ms"), format_value(90, "time")
    ('19.67', '1.5 min')
    """
    known = number(value)
    if known is None:
        return NOT_MEASURED
    if how == "p":
        return "< 0.001" if known < 0.001 else f"{known:.3f}"
    if how == "size":
        return f"{known:,.0f}"
    if how == "count":
        return f"{known:,.0f}" if known == int(known) else f"{known:,.2f}"
    if how == "change":
        return f"{known:+.3f}".replace("-", "−")
    if how == "published":
        return f"{known:.4f}"
    if how == "time":
        return _time(known)
    if how == "percent":
        return f"{100 * known:.1f} %"
    return f"{known:.2f}" if how == "ms" else f"{known:.3f}"


def _time(seconds: float) -> str:
    """Return a duration in a suitable unit."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def format_interval(row: Row, low: str = "ci_low", high: str = "ci_high", *, digits: int = 2) -> str:
    """Return ' [0.26, 0.71]', or an empty string where no interval was computed.

    >>> format_interval({"ci_low": 0.264, "ci_high": 0.71})
    ' [0.26, 0.71]'
    """
    lowest, highest = number(row.get(low)), number(row.get(high))
    if lowest is None or highest is None:
        return ""
    return f" [{lowest:.{digits}f}, {highest:.{digits}f}]".replace("-", "−")


@dataclass(frozen=True)
class Table:
    """One table of the report; `name` is the stem of its files."""

    name: str
    caption: str
    """Without a full stop."""
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    """What a reader needs to read the table."""
    method: Sequence[str] = ()
    """How its numbers were computed; on the page of details, and below the table in LaTeX."""
    marks: Mapping[int, str] | None = None
    """Row styles: 'best' (bold), 'reference' (a baseline), 'rule' (first row of a group)."""
    links: Mapping[int, str] | None = None
    """Row -> the anchor that its first cell links to, such as the confusion matrix of its method."""
    sortable: bool = True
    """Whether rows can be sorted and filtered on the page: not where a row refers to the one above it."""
    label: str = ""
    """'Table 3'; set when the page is assembled."""

    @property
    def csv(self) -> str:
        """The unrounded values; empty where nothing was measured."""
        keys = [(c.keys,) if isinstance(c.keys, str) else c.keys for c in self.columns]
        names = list(dict.fromkeys(key for group in keys for key in group))
        values = [[row.get(name) for name in names] for row in self.rows]
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(
            ["" if value is None or value == ABSENT or value != value else value for value in line] for line in values
        )
        return stream.getvalue()

    @cached_property
    def raw(self) -> list[list[float | None]]:
        """The numbers that rows are sorted by."""
        return [[column.raw(row) for column in self.columns] for row in self.rows]

    @property
    def markdown(self) -> str:
        """The formatted table, for a page in Markdown."""
        heads = [column.head for column in self.columns]
        rules = ["---:" if column.numeric else "---" for column in self.columns]
        return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rules, *self.body))

    @cached_property
    def body(self) -> list[list[str]]:
        """Every cell, formatted."""
        return [[column.of(row) for column in self.columns] for row in self.rows]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The group headings with the number of columns under each; empty where the table has none."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans if any(group for group, _ in spans) else []

    @cached_property
    def prose(self) -> bool:
        """Whether some cell is a sentence, so that the table takes the full width and wraps lines."""
        return any(len(text) > 48 for row in self.body for text in row)

    def mark(self, at: int) -> str:
        """Return the styles of a row."""
        return (self.marks or {}).get(at, "")

    def link(self, at: int) -> str:
        """Return the anchor that a row links to; empty where there is none."""
        return (self.links or {}).get(at, "")
