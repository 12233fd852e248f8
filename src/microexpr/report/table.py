"""A table: raw values for CSV, and how each column is shown to a reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from microexpr.report.reading import number

NOT_MEASURED = "not measured"
ABSENT = "—"
"""What stands where there is nothing to measure: a class without test clips, a paper that gives no value."""


@dataclass(frozen=True)
class Column:
    """One shown column, made of one key of the frame; an interval is made of three."""

    head: str
    keys: str | tuple[str, ...]
    show: str = "text"
    """text, score (3 digits), published (4 digits, as in the paper), interval, change, percent, count, size, p, ms or
    time"""
    group: str = ""
    missing: str = NOT_MEASURED

    @property
    def numeric(self) -> bool:
        """Whether the column is set flush right."""
        return self.show != "text"

    def of(self, row: Mapping[str, Any]) -> str:
        """Return what the reader sees of a row."""
        keys = (self.keys,) if isinstance(self.keys, str) else self.keys
        value = row.get(keys[0])
        if isinstance(value, str):
            return value or self.missing
        if self.show == "text":
            return self.missing if value is None else str(value)
        if number(value) is None:
            return self.missing
        text = shown(value, "score" if self.show == "interval" else self.show)
        digits = 3 if self.show == "change" else 2
        return text + interval(row, *keys[1:], digits=digits) if len(keys) > 1 else text


def shown(value: Any, how: str) -> str:
    """Return a number as a reader sees it.

    >>> shown(0.47619, "score"), shown(442368, "count"), shown(0.84, "percent"), shown(19.674, "ms"), shown(90, "time")
    ('0.476', '442,368', '84.0 %', '19.67', '1.5 min')
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
    """Return a number of seconds in the unit that people would take."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def interval(row: Mapping[str, Any], low: str = "ci_low", high: str = "ci_high", *, digits: int = 2) -> str:
    """Return ' [0.26, 0.71]', or nothing where no interval was computed.

    >>> interval({"ci_low": 0.264, "ci_high": 0.71})
    ' [0.26, 0.71]'
    """
    lowest, highest = number(row.get(low)), number(row.get(high))
    if lowest is None or highest is None:
        return ""
    return f" [{lowest:.{digits}f}, {highest:.{digits}f}]".replace("-", "−")


@dataclass(frozen=True)
class Table:
    """One table of the report; `name` is that of its files."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = ()
    marks: Mapping[int, str] | None = None
    """Rows that stand out: 'best', 'reference' (a baseline), 'rule' (a new group begins)."""
    folded: bool = False
    """Whether it is shown when asked for: long, and of no interest to most."""
    label: str = ""
    """'Table III' for the paper's, 'Table A' for ours; set when the report is put together."""

    @property
    def frame(self) -> pd.DataFrame:
        """The values as they are; None where nothing was measured."""
        keys = [(c.keys,) if isinstance(c.keys, str) else c.keys for c in self.columns]
        names = list(dict.fromkeys(key for group in keys for key in group))
        values = [[None if row.get(name) == ABSENT else row.get(name) for name in names] for row in self.rows]
        return pd.DataFrame(values, columns=names, dtype=object)

    @property
    def csv(self) -> str:
        """The values with all their digits; what was not measured stays empty."""
        return str(self.frame.to_csv(index=False, lineterminator="\n"))

    @property
    def markdown(self) -> str:
        """The table as the reader sees it, for a page in Markdown."""
        heads = [column.head for column in self.columns]
        rules = ["---:" if column.numeric else "---" for column in self.columns]
        return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rules, *self.body))

    @cached_property
    def body(self) -> list[list[str]]:
        """Every cell as the reader sees it."""
        return [[column.of(row) for column in self.columns] for row in self.rows]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The upper heads with the number of columns under each; empty where the table has none."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans if any(group for group, _ in spans) else []

    @cached_property
    def prose(self) -> bool:
        """Whether some cell is a sentence, so that the table takes the page's width and breaks lines."""
        return any(len(text) > 48 for row in self.body for text in row)

    def mark(self, at: int) -> str:
        """Return how a row stands out."""
        return (self.marks or {}).get(at, "")
