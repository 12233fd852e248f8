"""Paired differences: in words, and as a dot plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from microexpr.evaluation.statistics.scope import Trained, together
from microexpr.report.figure import SERIES, WIDTH, Dot, Plot, canvas, dot_height, dotplot
from microexpr.report.summary import Paired
from microexpr.report.table import format_interval, format_value, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 36
"""Largest number of comparisons in one figure."""
UNDECIDED = "comparisons without a significant difference"
"""Comparisons for which a page says what could have been detected."""
_GAP = 5 * "\u00a0"
"""Space that browsers do not collapse."""


@dataclass(frozen=True)
class Pair:
    """A comparison as figures show it."""

    label: str
    paired: Paired
    colour: str = SERIES[0]


# --- words ------------------------------------------------------------------------------------------------------------


def signed(value: float, low: float, high: float) -> str:
    """Return a difference with its interval.

    >>> signed(0.062, -0.0214, 0.144)
    '+0.062 [−0.021, 0.144]'
    """
    return format_value(value, "change") + format_interval({"ci_low": low, "ci_high": high}, digits=3)


def p_equals(p: float) -> str:
    """Return a p-value as a sentence gives it.

    >>> p_equals(0.31), p_equals(0.0002)
    ('p = 0.310', 'p < 0.001')
    """
    text = format_value(p, "p")
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def span(values: Sequence[float]) -> str:
    """Return the range of several scores, '0.080 to 0.120'; one score where they are equal."""
    low, high = (format_value(bound(values), "score") for bound in (min, max))
    return low if low == high else f"{low} to {high}"


def detectable(least: Sequence[float | None], power: float, between: str = "", what: str = "pairs") -> str:
    """Return which differences such test sets detect, and in how many of `what`; empty where none is detected.

    >>> detectable([0.1, None, None], 0.8)
    'Differences of 0.100 would be detected with 80 % power in 1 of 3 pairs; in the others, no difference would be.'
    """
    known = [value for value in least if value is not None]
    if not known:
        return ""
    where = f" in {len(known)} of {len(least)} {what}; in the others, no difference would be"
    where = "" if len(known) == len(least) else where
    return f"Differences{between} of {span(known)} would be detected with {100 * power:.0f} % power{where}."


def trainings(pairs: Sequence[Paired]) -> Trained:
    """Return how the sides of several comparisons were trained."""
    return together([pair.trained for pair in pairs])


def differing(pairs: Sequence[Paired]) -> str:
    """Return what a mark on some of these pairs says: that the difference is significant, or the networks differ."""
    trained = trainings(pairs)
    if len(pairs) < 2 or not trained.holdout:
        return trained.verdict(significant=True)
    return f"the {'two ' if trained.seeds == 1 else ''}{trained.things} of a pair differ significantly"


def how(pairs: Sequence[Paired]) -> list[str]:
    """Return how intervals and p-values were computed, as sentences; each once."""
    made = [clause for key in ("interval", "test") for pair in pairs if (clause := getattr(pair, key))]
    drawn = {pair.permutations for pair in pairs if not pair.p_exact}
    exact = any(pair.p_exact for pair in pairs)
    ways = [f"{max(drawn):,} random permutations"] if drawn else []
    ways += [f"all permutations{' where there are fewer' if drawn else ''}"] if exact else []
    said = list(dict.fromkeys(made))
    if said and ways:
        said[-1] += f", {', '.join(ways)}"
    return [f"{clause}." for clause in said]


# --- figures ----------------------------------------------------------------------------------------------------------
def chosen(pairs: Sequence[Pair]) -> tuple[list[Pair], list[str]]:
    """Return the pairs that fit in a figure, and a note where these are not all."""
    if len(pairs) <= MOST:
        return list(pairs), []
    kept = sorted(pairs, key=lambda pair: (pair.paired.p, pair.paired.p_value))[:MOST]
    note = f"The {MOST} of {len(pairs)} pairs with the smallest p; the table lists all."
    return [pair for pair in pairs if pair in kept], [note]


def forest(pairs: Sequence[Pair], ahead: tuple[str, str], score: str, name: str) -> Plot | None:
    """Draw every difference with its interval; `ahead` names the sides with the higher score left and right of 0."""
    drawn, notes = chosen(pairs)
    if not drawn:
        return None
    dots = [_dot(pair, _beside(pair.paired), pair.paired.detectable) for pair in drawn]

    def draw() -> Figure:
        figure = canvas(WIDTH, 1.2 * dot_height(dots) + 0.85)
        dotplot(figure.subplots(), dots, xlabel=_towards(ahead, score), zero=True)
        return figure

    if any(pair.paired.significant for pair in drawn):
        corrected = any(pair.paired.p_holm is not None and pair.paired.family > 1 for pair in drawn)
        filled = differing([pair.paired for pair in drawn])
        notes.append(f"Filled markers: {filled}{' (p corrected by Holm)' if corrected else ''}.")
    if any(pair.paired.detectable is not None for pair in drawn):
        power = 100 * drawn[0].paired.power
        notes.append(f"Grey marks: the smallest difference that is detected with {power:.0f} % power.")
    method = how([pair.paired for pair in drawn])
    caption = f"Differences in {score} with their intervals" if len(drawn) > 1 else f"Difference in {score}"
    return Plot(name, caption, draw, notes, method)


def _beside(pair: Paired) -> str:
    return f"{signed(pair.difference, pair.ci_low, pair.ci_high)} · {p_equals(pair.p)}"


def _dot(pair: Pair, beside: str, least: float | None = None) -> Dot:
    """Return a row of a figure; `least` is the difference to mark on both sides of 0."""
    found, ticks = pair.paired, () if least is None else (-least, least)
    return Dot(
        short(pair.label, 44), found.difference, found.ci_low, found.ci_high, beside, pair.colour,
        filled=found.significant, ticks=ticks,
    )  # fmt: skip


def _towards(ahead: tuple[str, str], score: str) -> str:
    left, right = (short(name, 22) for name in ahead)
    return f"← {left} higher{_GAP}difference in {score}{_GAP}{right} higher →"
