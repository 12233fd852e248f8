"""A published table checked for whether it is possible: supports, figures per class and scores as printed.

A macro score can be any of several averages, and papers seldom say which (Opitz & Burst, 2019). A column is reported as
impossible only if none of the averages in use fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from microexpr.audit.averages import MEANS, Average, Fit, fits, range_of, span
from microexpr.audit.impossible import why
from microexpr.audit.published import ABSENT, PER_CLASS, SCORES, Claim, Column, PublishedTable, read_figure, read_table
from microexpr.audit.solutions import Solutions

LISTED: Final = 20
"""Solutions that are listed one by one."""


def audit_table(file: Path | str) -> dict[str, Any]:
    """Return every confusion table that a published one can come from, and its claims in numbers of clips.

    The file (TOML) has ``classes``, their ``supports``, one ``[[columns]]`` per model with ``name`` and what is printed
    of ``f1``, ``precision``, ``recall`` (one figure per class), ``macro_f1``, ``uar`` (or ``macro_recall``),
    ``macro_precision`` and ``accuracy``; and ``[[claims]]`` of a difference between two columns. Without
    ``macro_over`` macro scores are tried as means over the classes with a true clip, those true or predicted, and all.
    The F1 of mean precision and mean recall is tried if none of these fits. Raises ConfigError if the file is not such
    a table.
    """
    table = read_table(Path(file))
    found = {column.name: fits(table, column) for column in table.columns}
    return {
        "file": str(file),
        "title": table.title,
        "source": table.source,
        "classes": list(table.classes),
        "supports": list(table.supports),
        "clips": sum(table.supports),
        "columns": [_column(table, column, found[column.name]) for column in table.columns],
        "claims": [_claim(table, claim, found) for claim in table.claims],
    }


# --- one column -------------------------------------------------------------------------------------------------------
def _column(table: PublishedTable, column: Column, found: Sequence[Fit]) -> dict[str, Any]:
    clips, right = sum(table.supports), _right(found)
    first = found[0].found if found else None
    row: dict[str, Any] = {
        "name": column.name,
        "macro_f1": column.macro_f1,
        "fits": bool(right),
        "right": right,
        "accuracy": [right[0] / clips, right[-1] / clips] if right else None,
        "uar": _uar(table, found),
        "solutions": first.count if first else 0,
        "averages": [
            {
                "averaged_classes": fit.average.averaged_classes,
                "f1_of_means": fit.average.of_means,
                "description": fit.average.description,
                "right": list(fit.found.right),
                "solutions": fit.found.count,
            }
            for fit in found
        ],
        "listed": _listed(table, first) if first else [],
    }
    if first is None:
        return row | {"sentence": f"no confusion matrix of {clips} clips gives these figures: {why(table, column)}"}
    parts = [f"{span(right)} of {clips} clips are correct ({_how_many(first)})", *_which(table, column, found)]
    if all(set(getattr(column, name) or ()) <= set(ABSENT) for name in PER_CLASS):
        parts.append("no figure is printed for any class, so nothing is known about single classes")
    return row | {"sentence": "; ".join(parts)}


def _right(found: Sequence[Fit]) -> list[int]:
    return sorted({number for fit in found for number in fit.found.right})


def _how_many(found: Solutions) -> str:
    if found.count is None:
        return "too many confusion tables fit to list them, so the range may be too wide"
    if found.count == 1:
        return "one combination of correct and predicted clips per class fits"
    return f"{found.count:,} combinations of correct and predicted clips per class fit"


def _which(table: PublishedTable, column: Column, found: Sequence[Fit]) -> Iterator[str]:
    """Say which averages fit, if there is a choice."""
    averaged = [name for name in MEANS if column.printed(name)]
    first = found[0].average
    if not averaged or (0 not in table.supports and not first.of_means):
        return
    if table.macro_over and first != Average(table.macro_over):
        declared = Average(table.macro_over).description
        yield f"it is not {declared}, as declared by macro_over = {table.macro_over!r}"
    what = "macro scores" if len(averaged) > 1 else SCORES[averaged[0]]
    if first.of_means:
        yield "no mean of the classes' F1 gives the macro score"
        what = SCORES["macro_f1"]
    # If solutions were merged, all that is known is that the average is not excluded.
    verb = "can be" if len(found) > 1 or found[0].found.count is None else "are" if what == "macro scores" else "is"
    each = [fit.average.description for fit in found]
    if len({fit.found.right for fit in found}) > 1:
        each = [f"{fit.average.description}: {span(fit.found.right)} correct, {_how_many(fit.found)}" for fit in found]
    yield f"{what} {verb} {'; or '.join(each)}"


def _uar(table: PublishedTable, found: Sequence[Fit]) -> list[float] | None:
    """Return the smallest and largest mean recall over the classes with a true clip; None if not all are known."""
    supports = np.array(table.supports)
    present = supports > 0
    recalls = [(fit.found.tp[:, present] / supports[present]).mean(1) for fit in found if fit.found.tp is not None]
    if not recalls or len(recalls) < len(found):
        return None
    every = np.concatenate(recalls)
    return [float(every.min()), float(every.max())]


def _listed(table: PublishedTable, found: Solutions) -> list[dict[str, Any]]:
    if found.tp is None or found.predicted is None:
        return []
    rows = zip(found.tp[:LISTED].tolist(), found.predicted[:LISTED].tolist(), strict=True)
    return [
        {
            "right": sum(tp),
            "per_class": {
                name: {"right": n, "predicted": q} for name, n, q in zip(table.classes, tp, predicted, strict=True)
            },
        }
        for tp, predicted in rows
    ]


# --- claims -----------------------------------------------------------------------------------------------------------
def _claim(table: PublishedTable, claim: Claim, found: Mapping[str, Sequence[Fit]]) -> dict[str, Any]:
    """Convert a claimed difference to clips, and give the smallest p-value that McNemar's exact test could have."""
    first, second = (next(item for item in table.columns if item.name == name) for name in (claim.first, claim.second))
    row: dict[str, Any] = {"claim": claim.text, "first": claim.first, "second": claim.second}
    row["agrees"] = {
        name: _agrees(table, first, second, figure, relative=name == "relative")
        for name in ("relative", "difference")
        if (figure := getattr(claim, name)) is not None
    }
    a, b = _right(found[claim.first]), _right(found[claim.second])
    parts = [f"{claim.first} against {claim.second}"]
    parts += [
        f"{getattr(claim, name)} is {'' if agrees else 'not '}the {name} difference of the printed macro scores "
        f"({first.macro_f1}, {second.macro_f1})"
        for name, agrees in row["agrees"].items()
        if agrees is not None
    ]
    if not a or not b:
        parts.append("the number of clips is not known, because a column is not possible")
        return row | {"clips": None, "p_value": None, "sentence": "; ".join(parts)}
    clips, least, most = sum(table.supports), a[0] - b[-1], a[-1] - b[0]
    p_value = min(1.0, 2.0 ** (1 - max(abs(least), abs(most))))
    parts.append(f"this is a difference of {least if least == most else f'{least} to {most}'} of {clips} correct clips")
    parts.append(f"the smallest p-value that McNemar's exact test could give for it is {p_value:.2g}")
    return row | {"clips": [least, most], "p_value": p_value, "sentence": "; ".join(parts)}


def _agrees(table: PublishedTable, first: Column, second: Column, figure: str, *, relative: bool) -> bool | None:
    """Return whether a printed difference can come from the printed macro scores; None if a score is not printed.

    Only its size is compared, not its sign: papers write a loss of 20 % both as 20 % and as -20 %.
    """
    if first.macro_f1 is None or second.macro_f1 is None:
        return None
    a, b = (range_of(item.macro_f1, table, table.rounding) for item in (first, second))
    claim = read_figure(figure, table.percent)
    if relative and a.low <= 0:
        return None
    low, high = (1 - b.high / a.low, 1 - b.low / a.high) if relative else (a.low - b.high, a.high - b.low)
    least, most = (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
    size = abs(claim.value)
    return bool(least <= size + claim.unit / 2 + 1e-9 and most >= size - claim.unit / 2 - 1e-9)
