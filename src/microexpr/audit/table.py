"""A published table tested for whether it can be: supports, per-class figures and the macro score as printed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from microexpr.audit.claims import Printed, printed
from microexpr.audit.margins import ANY, ClassFigures, Margins, Range, choices, margins
from microexpr.cells import listed
from microexpr.errors import ConfigError, UsageError, suggest

ABSENT: Final = ("-", "\u2013", "\u2014", "")
"""What tables print where a class has no figure."""
MOST: Final = 3_000
"""Clips of a table that can be audited; memory grows with their square."""
SHOWN: Final = 20
"""Margins that are told one by one."""


def _text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Figure = Annotated[str, BeforeValidator(_text)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Strict):
    """One model's or method's figures, each with the decimals that it was printed with."""

    name: str
    f1: tuple[Figure, ...]
    macro_f1: Figure | None = None
    precision: tuple[Figure, ...] | None = None
    recall: tuple[Figure, ...] | None = None
    accuracy: Figure | None = None


class Claim(_Strict):
    """A difference that was claimed between two columns; `relative` is of the first (in per cent, as printed)."""

    first: str
    second: str
    text: str = ""
    relative: Figure | None = None
    difference: Figure | None = None


class PublishedTable(_Strict):
    """A table as a paper prints it; all columns are of the same test clips."""

    title: str = ""
    source: str = ""
    classes: tuple[str, ...] = Field(min_length=2)
    supports: tuple[int, ...]
    columns: tuple[Column, ...] = Field(min_length=1)
    claims: tuple[Claim, ...] = ()
    macro_over: Literal["present", "all"] = "present"
    """Whether the macro score averages the classes with a true clip, or every class."""
    rounding: Literal["nearest", "cut"] = "nearest"
    percent: bool = False
    """Whether figures are printed in per cent, without the sign."""


def audit_table(file: Path | str) -> dict[str, Any]:
    """Return every whole-number table that a published one can come from, and its claims in clips.

    The file (TOML) holds ``classes``, their ``supports``, one ``[[columns]]`` a model with ``f1`` and ``macro_f1`` as
    printed (``precision``, ``recall`` and ``accuracy`` where they are), and ``[[claims]]`` of a difference between
    two columns. Raises ConfigError for a file that is no such table.
    """
    table = _read(Path(file))
    found = {column.name: _fit(table, column) for column in table.columns}
    return {
        "file": str(file),
        "title": table.title,
        "source": table.source,
        "classes": list(table.classes),
        "supports": list(table.supports),
        "clips": sum(table.supports),
        "columns": [_told(table, column, found[column.name]) for column in table.columns],
        "claims": [_claim(table, claim, found) for claim in table.claims],
    }


# --- the file ---------------------------------------------------------------------------------------------------------
def _read(file: Path) -> PublishedTable:
    try:
        # Numbers stay text: 0.500 is printed with three decimals, 0.5 with one.
        content = tomllib.loads(file.read_text("utf-8"), parse_float=str)
    except FileNotFoundError:
        raise ConfigError(f"there is no file {file}; studies/audit/ of the project holds an example.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}.") from None
    try:
        table = PublishedTable.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{file} is no table:\n  " + "\n  ".join(map(_problem, error.errors()))) from None
    problems = list(_problems(table))
    if problems:
        raise ConfigError(f"{file} is no table:\n  " + "\n  ".join(problems))
    return table


def _problem(item: Any) -> str:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] != "extra_forbidden":
        return f"{path}: {item['msg']}"
    inner: dict[str, type[BaseModel]] = {"columns": Column, "claims": Claim}
    kind = inner.get(str(item["loc"][0]) if len(item["loc"]) > 1 else "", PublishedTable)
    known = list(kind.model_fields)
    return f"unknown key {path!r}{suggest(str(item['loc'][-1]), known)}; known: {', '.join(known)}"


def _problems(table: PublishedTable) -> Iterator[str]:
    k, names = len(table.classes), [column.name for column in table.columns]
    if len(table.supports) != k:
        yield f"supports: {len(table.supports)} numbers for {k} classes"
    if min(table.supports) < 0 or sum(table.supports) < 1:
        yield "supports: clips are counted from 0 up, and there must be some"
    if sum(table.supports) > MOST:
        yield f"supports: {sum(table.supports)} clips are too many for their tables to be counted; {MOST} are not"
    for column in table.columns:
        for name in ("f1", "precision", "recall"):
            figures = getattr(column, name)
            if figures is not None and len(figures) != k:
                yield f"{column.name}: {name} has {len(figures)} figures for {k} classes; write '-' where there is none"
            for figure in figures or ():
                yield from _bad(f"{column.name}: {name}", figure, table.percent)
        for name in ("macro_f1", "accuracy"):
            if (figure := getattr(column, name)) is not None:
                yield from _bad(f"{column.name}: {name}", figure, table.percent)
    for what, every in (("classes", list(table.classes)), ("columns", names)):
        yield from (f"{what}: {name!r} stands there twice" for name in dict.fromkeys(every) if every.count(name) > 1)
    for at, claim in enumerate(table.claims):
        for name in ("relative", "difference"):
            if (figure := getattr(claim, name)) is not None:
                yield from _unread(f"claims.{at}: {name}", figure, table.percent)
        for name in (claim.first, claim.second):
            if name not in names:
                yield f"claims: no column {name!r}{suggest(name, names)}"


def _bad(where: str, figure: str, percent: bool) -> Iterator[str]:
    if figure.strip() in ABSENT:
        return
    unread = list(_unread(where, figure, percent))
    yield from unread
    if not unread and not 0 <= _printed(figure, percent).value <= 1:
        yield f"{where}: {figure} does not lie in 0..1; say percent = true for figures in per cent"


def _unread(where: str, figure: str, percent: bool) -> Iterator[str]:
    try:
        _printed(figure, percent)
    except UsageError as error:
        yield f"{where}: {error}"


def _printed(figure: str, percent: bool) -> Printed:
    return printed(figure + "%" if percent and not figure.strip().endswith("%") else figure)


# --- one column -------------------------------------------------------------------------------------------------------
def _range(figure: str | None, table: PublishedTable, rounding: str) -> Range:
    if figure is None or figure.strip() in ABSENT:
        return ANY
    number = _printed(figure, table.percent)
    if rounding == "cut" and number.unit:
        return Range(number.value, number.value + number.unit - 1e-8)
    return Range(number.low, number.high)


def _figures(table: PublishedTable, column: Column, rounding: str) -> list[ClassFigures]:
    none = ("-",) * len(table.classes)
    return [
        ClassFigures(
            support,
            _range(f1, table, rounding),
            _range(precision, table, rounding),
            _range(recall, table, rounding),
            averaged=table.macro_over == "all" or support > 0,
        )
        for support, f1, precision, recall in zip(
            table.supports, column.f1, column.precision or none, column.recall or none, strict=True
        )
    ]


def _fit(table: PublishedTable, column: Column, *, rounding: str | None = None, without: Sequence[str] = ()) -> Margins:
    """Return what fits the printed figures, some of them left out."""
    rounding = rounding or table.rounding
    macro, accuracy = (
        ANY if name in without else _range(getattr(column, name), table, rounding) for name in ("macro_f1", "accuracy")
    )
    return margins(_figures(table, column, rounding), sum(table.supports), macro, accuracy)


def _told(table: PublishedTable, column: Column, found: Margins) -> dict[str, Any]:
    clips = sum(table.supports)
    told: dict[str, Any] = {
        "name": column.name,
        "macro_f1": column.macro_f1,
        "fits": bool(found.right),
        "right": list(found.right),
        "accuracy": [found.right[0] / clips, found.right[-1] / clips] if found.right else None,
        "uar": _uar(table, found),
        "margins": found.count,
        "listed": _listed(table, found),
    }
    if not found.right:
        return told | {"sentence": f"no confusion matrix of {clips} clips gives these figures: {_why(table, column)}"}
    how_many = "more margins fit than can be told apart, so the range may be too wide"
    if found.count is not None:
        how_many = "one margin fits" if found.count == 1 else f"{found.count} margins fit"
    return told | {"sentence": f"{span(found.right)} of {clips} clips are right ({how_many})"}


def span(numbers: Sequence[int]) -> str:
    """Return whole numbers as a range where they have no gap.

    >>> span([13, 14, 15]), span([15]), span([3, 5])
    ('13 to 15', '15', '3 or 5')
    """
    if len(numbers) == 1:
        return str(numbers[0])
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return " or ".join(map(str, numbers)) if len(numbers) < 6 else f"{numbers[0]} to {numbers[-1]}, with gaps"


def _uar(table: PublishedTable, found: Margins) -> list[float] | None:
    """Return the least and the largest mean recall of the margins that fit."""
    if found.tp is None or not found.right:
        return None
    supports = np.array(table.supports)
    there = supports > 0
    recall = (found.tp[:, there] / supports[there]).mean(1)
    return [float(recall.min()), float(recall.max())]


def _listed(table: PublishedTable, found: Margins) -> list[dict[str, Any]]:
    if found.tp is None or found.predicted is None:
        return []
    rows = zip(found.tp[:SHOWN].tolist(), found.predicted[:SHOWN].tolist(), strict=True)
    return [
        {
            "right": sum(tp),
            "per_class": {
                name: {"right": n, "predicted": q} for name, n, q in zip(table.classes, tp, predicted, strict=True)
            },
        }
        for tp, predicted in rows
    ]


def _why(table: PublishedTable, column: Column) -> str:
    """Say which of the printed figures stands in the way of the others."""
    clips, figures = sum(table.supports), _figures(table, column, table.rounding)
    alone = [
        f"{name} ({column.f1[at]}, {figures[at].support} clips)"
        for at, name in enumerate(table.classes)
        if not len(choices(figures[at], clips))
    ]
    said = [f"no numbers of right and predicted clips give {listed(alone)}" if alone else _freed(table, column)]
    other = "cut" if table.rounding == "nearest" else "nearest"
    if _fits(table, column, rounding=other):
        said.append(f"they fit if figures were {'cut off' if other == 'cut' else 'rounded to the nearest'}")
    return "; ".join(said)


def _fits(
    table: PublishedTable, column: Column, *, rounding: str | None = None, without: Sequence[str] = ()
) -> bool | None:
    """Say whether any table fits; None where too many would have to be tried."""
    try:
        return bool(_fit(table, column, rounding=rounding, without=without).right)
    except ConfigError:
        return None


def _freed(table: PublishedTable, column: Column) -> str:
    """Say without which of macro score and accuracy the rest fits, or why the classes' figures alone do not."""
    sign = " %" if table.percent else ""
    words = {
        "macro_f1": f"the macro score {column.macro_f1}{sign}",
        "accuracy": f"the accuracy {column.accuracy}{sign}",
    }
    there = [name for name in words if getattr(column, name) not in (None, *ABSENT)]
    fits = {name: _fits(table, column, without=[name]) for name in there}
    free = [name for name, fit in fits.items() if fit]
    means = f"as printed they average between {_means(table, column)}"
    if len(free) == 2:
        return f"{words['macro_f1']} and {words['accuracy']} exclude each other: the rest fits with either; {means}"
    if free == ["macro_f1"]:
        return f"the classes' figures fit together, but not {words['macro_f1']}: {means}"
    if free == ["accuracy"]:
        return f"the classes' figures fit together, but not {words['accuracy']}: {_accuracies(table, column)}"
    both = len(there) == 2 and _fits(table, column, without=there)
    if None in (*fits.values(), both) and len(free) < 2:
        return "what stands in the way cannot be told, since the rest is printed too coarsely to be tried"
    if both:
        return f"the classes' figures fit together, but neither {words['macro_f1']} nor {words['accuracy']}: {means}"
    return _sums(table, column)


def _accuracies(table: PublishedTable, column: Column) -> str:
    clips = sum(table.supports)
    right = _fit(table, column, without=["accuracy"]).right
    ends = dict.fromkeys(f"{number / clips:.1%}" for number in (right[0], right[-1]))
    return f"they leave {span(right)} of {clips} clips right, {' to '.join(ends)}"


def _sums(table: PublishedTable, column: Column) -> str:
    """Say whether the classes' predicted clips can add up; where they can, it is rows and columns that cannot."""
    clips = sum(table.supports)
    sums = {0}
    for figures in _figures(table, column, table.rounding):
        predicted = np.unique(choices(figures, clips)[:, 1]).tolist()
        sums = {total + more for total in sums for more in predicted if total + more <= clips}
    if clips not in sums:
        return f"each class's figure is possible, but the predicted clips cannot add up to {clips}"
    return (
        f"each class's figure is possible, and the predicted clips can add up to {clips}, but their row and column "
        "sums leave no matrix"
    )


def _means(table: PublishedTable, column: Column) -> str:
    averaged = [item.f1 for item in _figures(table, column, table.rounding) if item.averaged]
    low, high = (float(np.mean([np.clip(item[at], 0, 1) for item in averaged])) for at in (0, 1))
    if table.percent:
        return f"{100 * low:.2f} % and {100 * high:.2f} %"
    return f"{low:.4f} and {high:.4f}"


# --- claims -----------------------------------------------------------------------------------------------------------
def _claim(table: PublishedTable, claim: Claim, found: Mapping[str, Margins]) -> dict[str, Any]:
    """Put a claimed difference in clips, and say what the exact McNemar test could make of it at best."""
    first, second = (next(item for item in table.columns if item.name == name) for name in (claim.first, claim.second))
    told: dict[str, Any] = {"claim": claim.text, "first": claim.first, "second": claim.second}
    told["agrees"] = {
        name: _agrees(table, first, second, figure, relative=name == "relative")
        for name in ("relative", "difference")
        if (figure := getattr(claim, name)) is not None
    }
    a, b = found[claim.first].right, found[claim.second].right
    said = [f"{claim.first} against {claim.second}"]
    said += [
        f"{getattr(claim, name)} is {'' if agrees else 'not '}the {name} difference of the printed macro scores "
        f"({first.macro_f1}, {second.macro_f1})"
        for name, agrees in told["agrees"].items()
        if agrees is not None
    ]
    if not a or not b:
        return told | {"clips": None, "p_value": None, "sentence": "; ".join([*said, "in clips it cannot be told"])}
    clips, least, most = sum(table.supports), a[0] - b[-1], a[-1] - b[0]
    p_value = min(1.0, 2.0 ** (1 - max(abs(least), abs(most))))
    said.append(f"in clips it is {_signed(least, most)} of {clips}")
    said.append(f"an exact McNemar test of it gives p = {p_value:.2g} at best")
    return told | {"clips": [least, most], "p_value": p_value, "sentence": "; ".join(said)}


def _signed(least: int, most: int) -> str:
    return f"{least}" if least == most else f"{least} to {most}"


def _agrees(table: PublishedTable, first: Column, second: Column, figure: str, *, relative: bool) -> bool | None:
    """Say whether a printed difference can come from the printed macro scores; None where one is not printed.

    Its size counts, not its sign: papers write a loss of 20 % as 20 % and as -20 %.
    """
    if first.macro_f1 is None or second.macro_f1 is None:
        return None
    a, b = (_range(item.macro_f1, table, table.rounding) for item in (first, second))
    claim = _printed(figure, table.percent)
    if relative and a.low <= 0:
        return None
    low, high = (1 - b.high / a.low, 1 - b.low / a.high) if relative else (a.low - b.high, a.high - b.low)
    least, most = (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
    size = abs(claim.value)
    return bool(least <= size + claim.unit / 2 + 1e-9 and most >= size - claim.unit / 2 - 1e-9)
