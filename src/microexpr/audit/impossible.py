"""Why no confusion table gives a column's figures: which figures conflict, and the nearest possible ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from microexpr.audit.averages import AVERAGED_CLASSES, MEANS, Average, Fit, class_figures, fits, span
from microexpr.audit.published import PER_CLASS, SCORES, Column, PublishedTable, read_figure
from microexpr.audit.solutions import ANY, AveragedClasses, ClassFigures, Mean, Of, Solutions, choices
from microexpr.core.delimited_text import listed

SUMS: Final = 5_000_000
"""Sums of class values that are tried for the nearest possible average."""
EFFORT: Final = 250_000_000
"""Steps allowed for each of the several trials of an explanation."""


def why(table: PublishedTable, column: Column) -> str:
    """Say which of the printed figures conflict."""
    single = list(_of_classes(table, column))
    parts = ["; ".join(single) if single else _of_column(table, column)]
    other = "cut" if table.rounding == "nearest" else "nearest"
    if fits(table, column, rounding=other, work=EFFORT):
        parts.append(f"they are possible if figures were {'truncated' if other == 'cut' else 'rounded to the nearest'}")
    return "; ".join(parts)


# --- one class --------------------------------------------------------------------------------------------------------
def _of_classes(table: PublishedTable, column: Column) -> Iterator[str]:
    """Yield what is impossible within a class: one of its figures, or all of them together."""
    clips = sum(table.supports)
    for at, (name, figures) in enumerate(zip(table.classes, class_figures(table, column), strict=True)):
        if len(choices(figures, clips)):
            continue
        printed = {one: getattr(column, one)[at] for one in PER_CLASS if getattr(figures, one) != ANY}
        wrong = [
            one
            for one in printed
            if not len(choices(ClassFigures(figures.support, **{one: getattr(figures, one)}), clips))
        ]
        if not wrong:
            each = listed(f"{_word(one)} {figure}" for one, figure in printed.items())
            yield f"no numbers of correct and predicted clips give {name} ({figures.support} clips) all of {each}"
        for one in wrong:
            free = choices(ClassFigures(figures.support), clips)
            values = _class_values(free[:, 0], free[:, 1], figures.support, one)
            yield (
                f"no numbers of correct and predicted clips give {name} ({figures.support} clips) the {_word(one)} "
                f"{printed[one]}: the nearest are {_nearest(values, printed[one], table)}"
            )


def _word(name: str) -> str:
    return "F1" if name == "f1" else name


def _nearest(values: Float[np.ndarray, "n"], figure: str, table: PublishedTable) -> str:
    """Return the possible values next to a printed figure, below and above, with one digit more than the figure.

    The extra digit keeps a value from looking like the printed one.
    """
    target = read_figure(figure, table.percent).value
    next_to = [values[values <= target].max(initial=-1.0), values[values >= target].min(initial=2.0)]
    digits = len(figure.strip(" %").partition(".")[2]) + 1
    scale, sign = (100, " %") if table.percent or "%" in figure else (1, "")
    return " and ".join(dict.fromkeys(f"{value * scale:.{digits}f}{sign}" for value in next_to if 0 <= value <= 1))


# --- the whole column -------------------------------------------------------------------------------------------------
def _of_column(table: PublishedTable, column: Column) -> str:
    """Say which scores the figures per class exclude, or the smallest set of scores that exclude each other."""
    sign = " %" if table.percent else ""
    words = {name: f"{word} {column.printed(name)}{sign}" for name, word in SCORES.items() if column.printed(name)}
    free = fits(table, column, without=words, work=EFFORT)
    if not free:
        return _sums(table, column)
    alone = [name for name in words if not fits(table, column, without=words.keys() - {name}, work=EFFORT)]
    if len(alone) == 1:  # what the other scores leave is more specific, if they leave anything
        free = fits(table, column, without=alone, work=EFFORT) or free
    if alone:
        *most, last = (words[name] for name in alone)
        not_these = f"neither {', '.join(most)} nor {last}" if most else f"not {last}"
        each = [_attainable(table, column, name, free) for name in alone]
        if most:
            each = [f"{SCORES[name]}: {said}" for name, said in zip(alone, each, strict=True)]
        return f"the figures per class are possible together, but {not_these}: {'; '.join(each)}"
    groups = (group for size in range(2, len(words)) for group in itertools.combinations(words, size))
    wrong = next((g for g in groups if not fits(table, column, without=words.keys() - set(g), work=EFFORT)), (*words,))
    *most, last = (words[name] for name in wrong)
    rest = "is possible with either" if len(wrong) == 2 else "is possible if one of them is left out"
    return f"{', '.join(most)} and {last} exclude each other: the rest {rest}"


def _attainable(table: PublishedTable, column: Column, name: str, found: Sequence[Fit]) -> str:
    """Say which values of a score the rest of the column allows."""
    printed, clips = column.printed(name) or "", sum(table.supports)
    if name == "accuracy":
        right = sorted({number for fit in found for number in fit.found.right})
        ends = dict.fromkeys(f"{number / clips:.1%}" for number in (right[0], right[-1]))
        allowed = f"they allow {span(right)} of {clips} correct clips, {' to '.join(ends)}"
        near = _nearest(np.array(right) / clips, printed, table)
        return allowed if len(right) == 1 else f"{allowed}, of which the nearest are {near}"
    said = []
    every: tuple[AveragedClasses, ...] = tuple(AVERAGED_CLASSES) if 0 in table.supports else ("present",)
    for classes in every:
        kinds: tuple[Of, ...] = (MEANS[name], "f1_of_means") if name == "macro_f1" else (MEANS[name],)
        for of in kinds:
            mean = Mean(of, classes, ANY)
            known = [fit.found for fit in found if fit.average.averaged_classes == classes or len(found) == 1]
            values = [_values(table, mean, one) for one in known]
            if any(value is None for value in values) or not values:
                continue
            known_values = np.concatenate([value for value in values if value is not None])
            said.append(
                f"{_nearest(known_values, printed, table)} ({Average(classes, of == 'f1_of_means').description})"
            )
    if said:
        return f"the nearest values that they allow are {'; '.join(said)}"
    sums = _sums_of(table, column, MEANS[name])
    if sums is None:
        return f"as printed they average between {_means(table, column, name)}"
    near = _nearest(sums / sum(support > 0 for support in table.supports), printed, table)
    return f"the nearest averages of such figures are {near} ({Average('present').description})"


def _sums_of(table: PublishedTable, column: Column, of: Of) -> Float[np.ndarray, "n"] | None:
    """Return every sum of one value per class, possible together or not; None if there are too many."""
    clips, sums = sum(table.supports), np.zeros(1)
    for figures in class_figures(table, column):
        tp, q = choices(figures, clips).T
        values = np.unique(_class_values(tp, q, figures.support, of))
        if len(sums) * len(values) > SUMS:
            return None
        sums = np.unique(np.add.outer(sums, values).round(12))
    return sums


def _class_values(
    tp: Int[np.ndarray, "*n"], predicted: Int[np.ndarray, "*n"], support: Int[np.ndarray, "#k"] | int, of: str
) -> Float[np.ndarray, "*n"]:
    """Return F1, precision or recall from correct and predicted clips; 0 if not defined."""
    below = {"f1": support + predicted, "precision": predicted, "recall": support + 0 * predicted}[of]
    return np.asarray(np.divide(tp * (1 + (of == "f1")), below, out=np.zeros(tp.shape), where=below > 0))


def _values(table: PublishedTable, mean: Mean, found: Solutions) -> Float[np.ndarray, "n"] | None:
    """Return the average of every solution; None if solutions were merged."""
    if found.tp is None or found.predicted is None:
        return None
    tp, predicted, supports = found.tp, found.predicted, np.array(table.supports)
    sums = {name: _class_values(tp, predicted, supports, name).sum(1) for name in PER_CLASS}
    extra = ((predicted > 0) & (supports == 0)).sum(1).astype(float)
    return mean.value(sums, table.supports, extra)


def _means(table: PublishedTable, column: Column, name: str) -> str:
    """Return the range of the average of the printed figures over the classes with a true clip."""
    each = [getattr(item, MEANS[name]) for item in class_figures(table, column) if item.support]
    low, high = (float(np.mean([np.clip(item[at], 0, 1) for item in each])) for at in (0, 1))
    if table.percent:
        return f"{100 * low:.2f} % and {100 * high:.2f} %"
    return f"{low:.4f} and {high:.4f}"


def _sums(table: PublishedTable, column: Column) -> str:
    """Say whether the numbers of predicted clips can add up; if so, the row and column totals conflict."""
    clips = sum(table.supports)
    sums = {0}
    for figures in class_figures(table, column):
        predicted = np.unique(choices(figures, clips)[:, 1]).tolist()
        sums = {total + more for total in sums for more in predicted if total + more <= clips}
    if clips not in sums:
        return (
            f"each class's figure is possible, but the predicted clips cannot add up to {clips}; if the model "
            "predicted a class that the table does not list, add the class with support 0"
        )
    return (
        f"each class's figure is possible, and the predicted clips can add up to {clips}, but no confusion matrix has "
        "these row and column totals"
    )
