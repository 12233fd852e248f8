"""The view of a study's summary: levels, names, and which cell is which, for blocks of pages and for the command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from microexpr.core.words import capitalised
from microexpr.report.summary import Cell, Model, Place, Preprocessing, Sampling, Scored, StudySummary
from microexpr.report.table import format_value, short

AXES = ("preprocessing", "sampling", "model")
METHOD = "method"
"""Axis of the methods."""
MANY = 6
"""Largest number of preprocessings that tables and figures show side by side."""
FEW_CLIPS = 8
"""Number of test clips of a class below which intervals of a score undercover, whatever the method."""
BASELINES = {"guessing": "Random guessing", "majority": "Majority class"}
"""Baselines that use no image."""


@dataclass(frozen=True)
class StudyView:
    """One summary of a study."""

    summary: StudySummary

    # --- the grid -----------------------------------------------------------------------------------------------------
    @cached_property
    def cells(self) -> Sequence[Cell]:
        """The cells of the grid, in display order."""
        order = {axis: {name: at for at, name in enumerate(self.levels(axis))} for axis in AXES}
        return sorted(
            self.summary.cells, key=lambda cell: [order[axis][getattr(cell, axis)] for axis in reversed(AXES)]
        )

    @cached_property
    def other_axes(self) -> Sequence[str]:
        """The axes in which cells of the same preprocessing, sampling and model differ: augmentation, size, seed ..."""
        return [name for name, axis in self.summary.axes.items() if axis.part not in AXES]

    def other_levels(self, place: Place) -> dict[str, str]:
        """Return a cell's levels of the other axes."""
        return {name: place.factors[name] for name in self.other_axes if name in place.factors}

    @cached_property
    def default_levels(self) -> Mapping[str, str]:
        """The levels of the other axes in tables by preprocessing, sampling and model: those of the first cell."""
        return self.other_levels(self.summary.cells[0]) if self.summary.cells else {}

    @cached_property
    def default_cells(self) -> Sequence[Cell]:
        """The cells with the default levels: one for each preprocessing, sampling and model."""
        return [cell for cell in self.cells if self.other_levels(cell) == self.default_levels]

    @property
    def default_cells_note(self) -> str:
        """Note that says which cells a table by preprocessing, sampling and model shows; empty where it shows all."""
        levels = " and ".join(f"{name} {level}" for name, level in self.default_levels.items())
        return f"Only cells with {levels}; the table of all cells lists the others." if levels else ""

    @cached_property
    def seed_axis(self) -> str | None:
        """The axis whose levels are the seeds of otherwise equal cells; None if there is none."""
        return next((name for name, axis in self.summary.axes.items() if axis.part == "seed"), None)

    @cached_property
    def single_experiment(self) -> bool:
        """Whether all cells are one experiment, run with one seed or several."""
        cells = self.summary.cells
        return len(cells) == 1 or (bool(cells) and list(self.summary.axes) == [self.seed_axis])

    @property
    def many_preprocessings(self) -> bool:
        """Whether there are too many preprocessings to show side by side."""
        return len(self.levels("preprocessing")) > MANY

    # --- names --------------------------------------------------------------------------------------------------------
    def levels(self, axis: str) -> list[str]:
        """Return the names on one axis that have a cell, in the summary's order."""
        used = dict.fromkeys(getattr(cell, axis) for cell in self.summary.cells)
        described = [name for name in self._described(axis) if name in used]
        return described + [name for name in used if name not in described]

    def _described(self, axis: str) -> Mapping[str, str]:
        """Return the display names of the described levels of an axis."""
        described: Mapping[str, Mapping[str, Preprocessing | Sampling | Model]] = {
            "preprocessing": self.summary.preprocessing,
            "sampling": self.summary.sampling,
            "model": self.summary.models,
        }
        return {name: each.label for name, each in described[axis].items()}

    def label(self, axis: str, name: str) -> str:
        """Return the display name of a level."""
        return self._described(axis).get(name) or name

    def short_label(self, axis: str, name: str) -> str:
        """Return a label short enough for a figure, or the whole where another level has the same short label."""
        whole = self.label(axis, name)
        cut = short(whole)
        return whole if sum(short(self.label(axis, level)) == cut for level in self.levels(axis)) > 1 else cut

    def title(self, place: Place, *axes: str) -> str:
        """Return 'M1 · AF · ViT', or only these axes of it, followed by the place's levels of the other axes."""
        return self._title(place, axes, self.label)

    def short_title(self, place: Place, *axes: str) -> str:
        """Return `title` with labels short enough for a figure."""
        return self._title(place, axes, self.short_label)

    def _title(self, place: Place, axes: Sequence[str], label: Callable[[str, str], str]) -> str:
        if self.summary.leaderboard and place.factors:  # a method, then the levels of the other axes
            levels = dict(place.factors)
            names = [levels.pop(METHOD, None) or self.summary.leaderboard.rows[0].method]
        else:
            levels, names = self.other_levels(place), [label(axis, getattr(place, axis)) for axis in (axes or AXES)]
        return " · ".join([*names, *(f"{axis} {level}" for axis, level in levels.items())])

    # --- which cell ---------------------------------------------------------------------------------------------------
    def find(self, preprocessing: str, sampling: str, model: str, like: Place | None = None) -> Cell | None:
        """Return the cell of these levels; on the other axes it has the default levels or those of `like`."""
        wanted = (preprocessing, sampling, model)
        others = self.default_levels if like is None else self.other_levels(like)
        matching = (cell for cell in self.cells if tuple(getattr(cell, axis) for axis in AXES) == wanted)
        return next((cell for cell in matching if self.other_levels(cell) == others), None)

    @staticmethod
    def highest(cells: Sequence[Cell]) -> Cell | None:
        """Return the cell with the highest score; of equal ones the first."""
        return max(cells, key=lambda cell: cell.score) if cells else None

    @cached_property
    def best_by_sampling(self) -> Mapping[str, Cell]:
        """For each sampling, the cell of the best model under the first preprocessing."""
        first = self.levels("preprocessing")[:1]
        cells = [cell for cell in self.default_cells if cell.preprocessing in first]
        found = {
            sampling: self.highest([cell for cell in cells if cell.sampling == sampling])
            for sampling in self.levels("sampling")
        }
        return {sampling: cell for sampling, cell in found.items() if cell is not None}

    @cached_property
    def best_cell(self) -> Cell | None:
        """The cell with the highest score; of several seeds of one experiment the first, since none was selected.

        In a study of methods, the first seed of the best method on the leaderboard that has cells.
        """
        if self.summary.leaderboard:
            by_key = {cell.key: cell for cell in self.cells}
            rows = self.summary.leaderboard.rows  # averages of methods have no cell
            return next((by_key[row.keys[0]] for row in rows if row.keys and row.keys[0] in by_key), None)
        return self.highest(self.summary.cells[:1] if self.single_experiment else self.cells)

    @property
    def guessing(self) -> Scored | None:
        """Random guessing by class frequency, where it was scored."""
        return self.summary.baselines.get("guessing")

    # --- notes --------------------------------------------------------------------------------------------------------
    @property
    def score(self) -> str:
        """The display name of the score that decides."""
        return self.summary.score_title

    @property
    def score_head(self) -> str:
        """The same at the beginning of a sentence or a column."""
        return capitalised(self.score)

    @property
    def interval_level(self) -> str:
        """The confidence level of the intervals, as '95 %'."""
        return percent(self.summary.intervals.level)

    @property
    def interval_note(self) -> str:
        """How the intervals of single scores were made."""
        made = self.summary.intervals
        instead = f"; where undefined, {made.instead}" if made.instead else ""
        return f"{self.interval_level} intervals: {made.method} by {made.unit}, {made.n:,} resamples{instead}"

    @property
    def test_clips(self) -> str:
        """The number of test clips behind each score: 'n = 28 test clips'."""
        sizes = sorted({cell.n_test for cell in self.cells})
        if not sizes:
            return "number of test clips not stated"
        return f"n = {sizes[0]} test clips" if len(sizes) == 1 else f"n = {sizes[0]} to {sizes[-1]} test clips"

    @cached_property
    def rare_classes(self) -> str:
        """Classes with too few test clips for reliable intervals, with their counts; empty where there are none."""
        least: dict[str, int] = {}
        for cell in self.cells:
            for name, count in zip(self.summary.data.classes, test_counts(cell.confusion), strict=False):
                if 0 < count < FEW_CLIPS:
                    least[name] = min(count, least.get(name, count))
        return ", ".join(f"{name} {count}" for name, count in least.items())

    @property
    def rare_classes_notes(self) -> list[str]:
        """The warning that belongs beside intervals where a class has few test clips; empty otherwise."""
        if not self.rare_classes:
            return []
        return [
            f"With fewer than {FEW_CLIPS} test clips in a class ({self.rare_classes}), no interval reaches its nominal "
            "coverage."
        ]


def percent(share: float) -> str:
    """Return '95 %'."""
    return f"{100 * share:.3g} %"


def test_counts(confusion: Sequence[Sequence[int]]) -> list[int]:
    """Return the number of test clips of each class: the row sums of a confusion matrix."""
    return [sum(row) for row in confusion]


def correct_count(confusion: Sequence[Sequence[int]]) -> int:
    """Return how many test clips are classified correctly."""
    return sum(row[at] for at, row in enumerate(confusion))


def scored(value: float | None, low: float | None = None, high: float | None = None, digits: int = 3) -> str:
    """Return '0.843 [0.749, 0.923]'.

    >>> scored(0.8432, 0.7491, 0.9234), scored(0.5)
    ('0.843 [0.749, 0.923]', '0.500')
    """
    if value is None:
        return "not measured"
    bounds = "" if low is None or high is None else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{format_value(value, 'score')}{bounds}".replace("-", "−")


def input_shape(shape: Sequence[object]) -> str:
    """Return the shape of a view (time, height, width, channels) as text: width first, one time step left out.

    >>> input_shape((1, 28, 30, 3)), input_shape((2, 28, 30, 3))
    ('30 × 28 × 3', '2 × 30 × 28 × 3')
    """
    steps, height, width, channels = shape
    return " × ".join(map(str, ([] if steps == 1 else [steps]) + [width, height, channels]))
