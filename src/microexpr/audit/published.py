"""A published table as a file: supports, figures per class and scores, each with its printed decimals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from microexpr.audit.claims import Printed, printed
from microexpr.audit.solutions import AveragedClasses
from microexpr.config.loading import read_toml
from microexpr.core.errors import ConfigError, UsageError, suggest

ABSENT: Final = ("-", "\u2013", "\u2014", "")
"""What tables print for a class without a figure."""
MAX_CLIPS: Final = 3_000
"""Largest number of clips of a table that can be audited; memory grows with its square."""


def _text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Figure = Annotated[str, BeforeValidator(_text)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Strict):
    """The figures of one model or method, each with its printed decimals."""

    name: str
    f1: tuple[Figure, ...] | None = None
    precision: tuple[Figure, ...] | None = None
    recall: tuple[Figure, ...] | None = None
    macro_f1: Figure | None = None
    uar: Figure | None = Field(None, validation_alias=AliasChoices("uar", "macro_recall"))
    macro_precision: Figure | None = None
    accuracy: Figure | None = None

    def printed(self, name: str) -> str | None:
        """Return a score of the column as printed; None if there is none."""
        figure: str | None = getattr(self, name)
        return None if figure is None or figure.strip() in ABSENT else figure.strip()


PER_CLASS: Final = ("f1", "precision", "recall")
SCORES: Final = {
    "macro_f1": "the macro score",
    "uar": "the UAR",
    "macro_precision": "the macro precision",
    "accuracy": "the accuracy",
}
"""Scores of a column, and their names in a sentence."""


class Claim(_Strict):
    """A difference claimed between two columns; `relative` refers to the first (in per cent, as printed)."""

    first: str
    second: str
    text: str = ""
    relative: Figure | None = None
    difference: Figure | None = None


class PublishedTable(_Strict):
    """A table as printed in a paper; all columns refer to the same test clips."""

    title: str = ""
    source: str = ""
    classes: tuple[str, ...] = Field(min_length=2)
    supports: tuple[int, ...]
    columns: tuple[Column, ...] = Field(min_length=1)
    claims: tuple[Claim, ...] = ()
    macro_over: AveragedClasses | None = None
    """Which classes macro scores average, according to the paper; without it every known rule is tried."""
    rounding: Literal["nearest", "cut"] = "nearest"
    percent: bool = False
    """Whether figures are printed in per cent, without the sign."""


def read_table(file: Path) -> PublishedTable:
    """Read a table; raises ConfigError with a list of everything that is wrong."""
    # Numbers remain text: 0.500 is printed with three decimals, 0.5 with one.
    file, content = read_toml(file, "audit", parse_float=str)
    try:
        table = PublishedTable.model_validate(content)
    except ValidationError as error:
        found = error.errors()
        # A list with an invalid item is also reported as too short.
        inside = {item["loc"][0] for item in found if len(item["loc"]) > 1}
        problems = [_problem(item) for item in found if item["type"] != "too_short" or item["loc"][0] not in inside]
        raise _invalid(file, problems) from None
    problems = list(_problems(table))
    if problems:
        raise _invalid(file, problems)
    return table


def _invalid(file: Path, problems: Sequence[str]) -> ConfigError:
    return ConfigError("E920", f"{file} is not a valid table:\n  " + "\n  ".join(problems))


def _problem(item: Any) -> str:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] != "extra_forbidden":
        return f"{path}: {item['msg']}"
    inner: dict[str, type[BaseModel]] = {"columns": Column, "claims": Claim}
    kind = inner.get(str(item["loc"][0]) if len(item["loc"]) > 1 else "", PublishedTable)
    if item["loc"][-1] == "macro_recall" and kind is Column:
        return f"{path}: is the same as uar; give only one of them"
    known = list(kind.model_fields)
    return f"unknown key {path!r}{suggest(str(item['loc'][-1]), known)}; known: {', '.join(known)}"


def _problems(table: PublishedTable) -> Iterator[str]:
    num_classes, names = len(table.classes), [column.name for column in table.columns]
    if len(table.supports) != num_classes:
        yield f"supports: {len(table.supports)} numbers for {num_classes} classes"
    if min(table.supports) < 0 or sum(table.supports) < 1:
        yield "supports: numbers of clips cannot be negative, and at least one must be above 0"
    if sum(table.supports) > MAX_CLIPS:
        yield f"supports: {sum(table.supports)} clips are too many; at most {MAX_CLIPS} can be audited"
    for column in table.columns:
        given = [getattr(column, name) for name in (*PER_CLASS, *SCORES)]
        if all(one is None or set(one if isinstance(one, tuple) else [one]) <= set(ABSENT) for one in given):
            yield f"{column.name}: has no figure; give at least one of {', '.join((*PER_CLASS, *SCORES))}"
        for name in PER_CLASS:
            figures = getattr(column, name)
            if figures is not None and len(figures) != num_classes:
                yield (
                    f"{column.name}: {name} has {len(figures)} figures for {num_classes} classes; write '-' for a "
                    "missing one"
                )
            for figure in figures or ():
                yield from _bad(f"{column.name}: {name}", figure, table.percent)
        for name in SCORES:
            if (figure := getattr(column, name)) is not None:
                yield from _bad(f"{column.name}: {name}", figure, table.percent)
    for what, every in (("classes", list(table.classes)), ("columns", names)):
        yield from (f"{what}: {name!r} occurs twice" for name in dict.fromkeys(every) if every.count(name) > 1)
    for at, claim in enumerate(table.claims):
        for name in ("relative", "difference"):
            if (figure := getattr(claim, name)) is not None:
                yield from _unreadable(f"claims.{at}: {name}", figure, table.percent)
        for name in (claim.first, claim.second):
            if name not in names:
                yield f"claims: no column {name!r}{suggest(name, names)}"


def _bad(where: str, figure: str, percent: bool) -> Iterator[str]:
    if figure.strip() in ABSENT:
        return
    unreadable = list(_unreadable(where, figure, percent))
    yield from unreadable
    if not unreadable and not 0 <= read_figure(figure, percent).value <= 1:
        yield f"{where}: {figure} is not in 0..1; set percent = true for figures in per cent"


def _unreadable(where: str, figure: str, percent: bool) -> Iterator[str]:
    try:
        read_figure(figure, percent)
    except UsageError as error:
        yield f"{where}: {error}"


def read_figure(figure: str, percent: bool) -> Printed:
    """Read a figure of a table."""
    return printed(figure + "%" if percent and not figure.strip().endswith("%") else figure)
