"""Which averages a macro score can be, and what fits a printed column under each of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from microexpr.audit.published import ABSENT, PER_CLASS, SCORES, Column, PublishedTable, read_figure
from microexpr.audit.solutions import ANY, WORK, AveragedClasses, ClassFigures, Mean, Of, Range, Solutions, solve

MEANS: Final[dict[str, Of]] = {"macro_f1": "f1", "uar": "recall", "macro_precision": "precision"}
"""Scores that average classes, and what they average."""
AVERAGED_CLASSES: Final[dict[AveragedClasses, str]] = {
    "present": "the classes with a true clip",
    "either": "the classes true or predicted (scikit-learn's macro average)",
    "all": "all classes",
}
"""Which classes an average includes."""


class Average(NamedTuple):
    """One way to average: over which classes, and whether macro-F1 is the F1 of mean precision and mean recall."""

    averaged_classes: AveragedClasses
    of_means: bool = False

    @property
    def description(self) -> str:
        """Return its name in a sentence."""
        what = "the F1 of mean precision and mean recall" if self.of_means else "a mean"
        return f"{what} over {AVERAGED_CLASSES[self.averaged_classes]}"


class Fit(NamedTuple):
    """An average and the solutions under it."""

    average: Average
    found: Solutions


def range_of(figure: str | None, table: PublishedTable, rounding: str) -> Range:
    """Return the numbers that are printed as this figure."""
    if figure is None or figure.strip() in ABSENT:
        return ANY
    number = read_figure(figure, table.percent)
    if rounding == "cut" and number.unit:
        return Range(number.value, number.value + number.unit - 1e-8)
    return Range(number.low, number.high)


def class_figures(table: PublishedTable, column: Column, rounding: str | None = None) -> list[ClassFigures]:
    """Return what is printed for every class."""
    none = ("-",) * len(table.classes)
    rows = zip(table.supports, *(getattr(column, name) or none for name in PER_CLASS), strict=True)
    return [
        ClassFigures(support, *(range_of(figure, table, rounding or table.rounding) for figure in figures))
        for support, *figures in rows
    ]


def fits(
    table: PublishedTable,
    column: Column,
    *,
    rounding: str | None = None,
    without: Iterable[str] = (),
    work: int = WORK,
) -> list[Fit]:
    """Return every average under which the printed figures, without those in `without`, are possible.

    The average that the file declares comes first; others are tried only if nothing fits it.
    """
    rounding, without = rounding or table.rounding, set(without)
    figures, clips = class_figures(table, column, rounding), sum(table.supports)
    ranges = {name: ANY if name in without else range_of(column.printed(name), table, rounding) for name in SCORES}
    for averages in _averages(table, [name for name in MEANS if ranges[name] != ANY]):
        found = []
        for average in averages:
            means = [
                Mean(
                    "f1_of_means" if average.of_means and name == "macro_f1" else of,
                    average.averaged_classes,
                    ranges[name],
                )
                for name, of in MEANS.items()
            ]
            fit = Fit(average, solve(figures, clips, means, ranges["accuracy"], work=work))
            found += [fit] if fit.found.right else []
        if found:
            return found
    return []


def _averages(table: PublishedTable, names: Sequence[str]) -> list[list[Average]]:
    """Return the averages to try, in groups; a group is tried only if nothing in the previous one fits."""
    if not names:
        return [[Average("present")]]
    every: tuple[AveragedClasses, ...] = tuple(AVERAGED_CLASSES) if 0 in table.supports else ("present",)
    declared: list[AveragedClasses] = [table.macro_over] if table.macro_over else []
    groups = [[Average(classes) for classes in declared]]
    groups.append([Average(classes) for classes in every if classes not in declared])
    if "macro_f1" in names:
        groups.append([Average(classes, of_means=True) for classes in every])
    return [group for group in groups if group]


def span(numbers: Sequence[int]) -> str:
    """Return whole numbers as a range if they have no gaps.

    >>> span([13, 14, 15]), span([15]), span([3, 5])
    ('13 to 15', '15', '3 or 5')
    """
    if len(numbers) == 1:
        return str(numbers[0])
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return " or ".join(map(str, numbers)) if len(numbers) < 6 else f"{numbers[0]} to {numbers[-1]} (with gaps)"
