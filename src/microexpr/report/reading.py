"""Read access to one summary for tables, figures and sentences; values that a summary lacks are None, never zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Cell = Mapping[str, Any]
FORMAT = 2
"""Format of `summary.json`, `comparison.json` and `tuning.json`; raised when a key or its meaning changes."""
AXES = ("preprocessing", "sampling", "model")
PLURAL = {"preprocessing": "preprocessing", "sampling": "sampling", "model": "models"}
"""Part of the summary that describes the levels of each axis."""
MANY = 6
"""Largest number of preprocessings that the paper's tables and figures show side by side."""
MEAN = "mean"
"""Name of the row of a target that holds the mean of its units."""
FEW_CLIPS = 8
"""Number of test clips of a class below which intervals of a score undercover, whatever the method."""


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


def score_title(metric: str) -> str:
    """Return the display name of a score.

    >>> score_title("macro_f1"), score_title("weighted_f1")
    ('macro-F1', 'weighted F1')
    """
    known = {"macro_f1": "macro-F1", "macro_f1_all": "macro-F1 over all classes", "uf1": "UF1", "uar": "UAR"}
    return known.get(metric, metric.replace("_f1", " F1").replace("_", " "))


@dataclass(frozen=True)
class Reading:
    """One summary (`summary.json`) and the paper's published numbers."""

    summary: Mapping[str, Any]
    paper: Mapping[str, Any]

    def part(self, name: str) -> Mapping[str, Any]:
        """Return a part of the summary that is a mapping; empty where it is absent."""
        found = self.summary.get(name)
        return found if isinstance(found, Mapping) else {}

    def rows(self, name: str) -> Sequence[Mapping[str, Any]]:
        """Return a part of the summary that is a list; empty where it is absent."""
        return self.summary.get(name) or []

    @property
    def run_lines(self) -> list[str]:
        """How many folds (and trials) the run trained and how many it reused, then a line for each unknown origin."""
        run = self.part("run")
        if not run:
            return []
        counts = f"folds: trained {run['trained']}, reused {run['reused']}"
        if "trials_tried" in run:
            counts = f"trials: tried {run['trials_tried']}, reused {run['trials_reused']}; {counts}"
        return [counts, *run["unknown"]]

    @cached_property
    def leaderboard(self) -> Mapping[str, Any]:
        """The leaderboard of a study of methods; empty for other studies."""
        return self.part("leaderboard")

    @cached_property
    def cells(self) -> Sequence[Cell]:
        """The cells of the grid, in display order."""
        order = {axis: {name: at for at, name in enumerate(self.levels(axis))} for axis in AXES}
        return sorted(self.rows("cells"), key=lambda cell: [order[axis][cell[axis]] for axis in reversed(AXES)])

    @cached_property
    def other_axes(self) -> Sequence[str]:
        """The axes in which cells of the same preprocessing, sampling and model differ: augmentation, size, seed ..."""
        return [name for name, axis in self.part("axes").items() if axis.get("part") not in AXES]

    def other_levels(self, cell: Cell) -> dict[str, str]:
        """Return a cell's levels of the other axes."""
        levels = cell.get("factors") or {}
        return {name: str(levels[name]) for name in self.other_axes if name in levels}

    @cached_property
    def default_levels(self) -> Mapping[str, str]:
        """The levels of the other axes that the paper's tables and figures show: those of the first cell."""
        return self.other_levels(self.rows("cells")[0]) if self.rows("cells") else {}

    @cached_property
    def default_cells(self) -> Sequence[Cell]:
        """The cells with the default levels: one for each preprocessing, sampling and model."""
        return [cell for cell in self.cells if self.other_levels(cell) == self.default_levels]

    @property
    def many_preprocessings(self) -> bool:
        """Whether there are too many preprocessings to show side by side, as the paper does with its two."""
        return len(self.levels("preprocessing")) > MANY

    @property
    def default_cells_note(self) -> str:
        """Note that says which cells a table of the paper's axes shows; empty where it shows all."""
        levels = " and ".join(f"{name} {level}" for name, level in self.default_levels.items())
        return f"Only cells with {levels}; the table of all cells lists the others." if levels else ""

    @cached_property
    def seed_axis(self) -> str | None:
        """The axis whose levels are the seeds of otherwise equal cells; None if there is none."""
        return next((name for name, axis in self.part("axes").items() if axis.get("part") == "seed"), None)

    @cached_property
    def single_experiment(self) -> bool:
        """Whether all cells are one experiment, run with one seed or several."""
        return len(self.rows("cells")) == 1 or (
            bool(self.rows("cells")) and list(self.part("axes")) == [self.seed_axis]
        )

    def levels(self, axis: str) -> list[str]:
        """Return the names on one axis that have a cell, in the summary's order."""
        used = dict.fromkeys(cell[axis] for cell in self.rows("cells"))
        described = [name for name in self.part(PLURAL[axis]) if name in used]
        return described + [name for name in used if name not in described]

    def label(self, axis: str, name: str) -> str:
        """Return the display name of a level."""
        described = self.part(PLURAL[axis]).get(name) or {}
        return str(described.get("label") or name)

    def short_label(self, axis: str, name: str) -> str:
        """Return a label short enough for a figure."""
        return short(self.label(axis, name))

    def title(self, cell: Cell, *axes: str) -> str:
        """Return 'M1 · AF · ViT', or only these axes of it, followed by the cell's levels of the other axes."""
        return self._title(cell, axes, self.label)

    def short_title(self, cell: Cell, *axes: str) -> str:
        """Return `title` with labels short enough for a figure."""
        return self._title(cell, axes, self.short_label)

    def _title(self, cell: Cell, axes: Sequence[str], label: Callable[[str, str], str]) -> str:
        if self.leaderboard and "factors" in cell:  # a method, then the levels of the other axes
            levels = dict(cell.get("factors") or {})
            names = [str(levels.pop("method", None) or self.leaderboard["rows"][0]["method"])]
        else:
            levels, names = self.other_levels(cell), [label(axis, cell[axis]) for axis in (axes or AXES)]
        return " · ".join([*names, *(f"{axis} {level}" for axis, level in levels.items())])

    def find(self, preprocessing: str, sampling: str, model: str, like: Cell | None = None) -> Cell | None:
        """Return the cell of these levels; on the other axes it has the default levels or those of `like`."""
        wanted = (preprocessing, sampling, model)
        others = self.default_levels if like is None else self.other_levels(like)
        matching = (cell for cell in self.cells if tuple(cell[axis] for axis in AXES) == wanted)
        return next((cell for cell in matching if self.other_levels(cell) == others), None)

    def score(self, cell: Mapping[str, Any] | None, key: str = "macro_f1") -> float | None:
        """Return one score of a cell or a baseline."""
        return None if cell is None else number(cell.get(key))

    def highest(self, cells: Sequence[Cell]) -> Cell | None:
        """Return the cell with the highest macro-F1; of equal ones the first."""
        scored = [cell for cell in cells if self.score(cell) is not None]
        return max(scored, key=lambda cell: cell["macro_f1"]) if scored else None

    @cached_property
    def best_by_sampling(self) -> Mapping[str, Cell]:
        """For each sampling, the cell of the best model under the first preprocessing, as in the paper's Table III."""
        first = self.levels("preprocessing")[:1]
        cells = [cell for cell in self.default_cells if cell["preprocessing"] in first]
        found = {
            sampling: self.highest([cell for cell in cells if cell["sampling"] == sampling])
            for sampling in self.levels("sampling")
        }
        return {sampling: cell for sampling, cell in found.items() if cell is not None}

    @cached_property
    def best_cell(self) -> Cell | None:
        """The cell with the highest score; of several seeds of one experiment the first, since none was selected.

        In a study of methods, the first seed of the best method on the leaderboard that has cells.
        """
        if self.leaderboard:
            by_key = {cell.get("key"): cell for cell in self.cells}
            # Averages of methods have no cell.
            return next((by_key[row["keys"][0]] for row in self.leaderboard["rows"] if row["keys"][0] in by_key), None)
        return self.highest(self.rows("cells")[:1] if self.single_experiment else self.cells)

    @cached_property
    def classes(self) -> Sequence[str]:
        """The classes, in the order of every confusion matrix."""
        return [str(name) for name in self.part("data").get("classes") or []]

    def test_counts(self, cell: Cell) -> Sequence[int] | None:
        """Return the number of test clips of each class: the row sums of the confusion matrix."""
        counts = cell.get("confusion")
        return [sum(row) for row in counts] if counts and len(counts) == len(self.classes) else None

    def correct_count(self, cell: Cell | None) -> int | None:
        """Return how many test clips a cell classifies correctly."""
        counts = None if cell is None else cell.get("confusion")
        return sum(row[at] for at, row in enumerate(counts)) if counts else None

    @property
    def interval_level(self) -> str:
        """The confidence level of the intervals, as '95 %'."""
        level = number(self.part("intervals").get("level"))
        return f"{100 * (0.95 if level is None else level):.3g} %"

    @property
    def interval_note(self) -> str:
        """How the intervals were made, for captions."""
        metadata = self.part("intervals")
        if not metadata:
            return f"{self.interval_level} intervals"
        resamples = number(metadata.get("n"))
        drawn = "" if resamples is None else f", {int(resamples):,} resamples"
        unit = f" by {metadata['unit']}" if metadata.get("unit") else ""
        instead = f"; where undefined, {metadata['instead']}" if metadata.get("instead") else ""
        return f"{self.interval_level} intervals: {metadata.get('method', 'method not stated')}{unit}{drawn}{instead}"

    @cached_property
    def rare_classes(self) -> str:
        """Classes with too few test clips for reliable intervals, with their counts; empty where there are none."""
        least: dict[str, int] = {}
        for cell in self.cells:
            for name, count in zip(self.classes, self.test_counts(cell) or (), strict=False):
                if 0 < count < FEW_CLIPS:
                    least[name] = min(count, least.get(name, count))
        return ", ".join(f"{name} {count}" for name, count in least.items())

    @property
    def rare_classes_note(self) -> str:
        """Warning that belongs beside intervals where a class has few test clips; empty otherwise."""
        if not self.rare_classes:
            return ""
        return (
            f"With fewer than {FEW_CLIPS} test clips in a class ({self.rare_classes}), no interval reaches its nominal "
            "coverage."
        )

    @property
    def test_clips(self) -> str:
        """The number of test clips behind each score, for captions: 'n = 28 test clips'."""
        sizes = sorted({int(cell["n_test"]) for cell in self.cells if number(cell.get("n_test")) is not None})
        if not sizes:
            return "number of test clips not stated"
        return f"n = {sizes[0]} test clips" if len(sizes) == 1 else f"n = {sizes[0]} to {sizes[-1]} test clips"

    # --- the published paper ------------------------------------------------------------------------------------------
    def published(self, table: str) -> Sequence[Mapping[str, Any]]:
        """Return the rows of one of the paper's tables."""
        return self.paper.get(table) or []

    def paper_phase(self, sampling: str) -> str | None:
        """Return the paper's name of a sampling, its "phase" (AF, KFS, MFS); None where the paper has none."""
        names = {sampling.upper(), self.label("sampling", sampling).upper()}
        return next((phase for phase in ("AF", "KFS", "MFS") if phase in names), None)

    def paper_preprocessing(self, preprocessing: str) -> str | None:
        """Return the paper's name of a preprocessing (m1, m2); None where the paper has none."""
        names = {preprocessing.lower(), self.label("preprocessing", preprocessing).lower()}
        return next((method for method in ("m1", "m2") if method in names), None)

    @cached_property
    def follows_paper(self) -> bool:
        """Whether the study has one of the paper's preprocessings or samplings."""
        return any(map(self.paper_preprocessing, self.levels("preprocessing"))) or any(
            map(self.paper_phase, self.levels("sampling"))
        )

    def paper_main_row(self, sampling: str) -> Mapping[str, Any] | None:
        """Return the row of the paper's Table III for a sampling."""
        phase = self.paper_phase(sampling)
        return next((row for row in self.published("table3") if phase and row.get("phase") == phase), None)


def input_shape(shape: Sequence[object]) -> str:
    """Return the shape of a view (time, height, width, channels) as text: width first, one time step left out.

    >>> input_shape((1, 28, 30, 3)), input_shape((2, 28, 30, 3))
    ('30 × 28 × 3', '2 × 30 × 28 × 3')
    """
    steps, height, width, channels = shape
    return " × ".join(map(str, ([] if steps == 1 else [steps]) + [width, height, channels]))
