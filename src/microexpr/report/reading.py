"""Questions that tables, figures and sentences put to one summary; whatever a summary lacks is None, never zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Cell = Mapping[str, Any]
AXES = ("preprocessing", "sampling", "model")
PLURAL = {"preprocessing": "preprocessing", "sampling": "sampling", "model": "models"}
"""Where a summary describes the levels of each axis."""
MANY = 6
"""Preprocessings that the paper's tables and figures can set side by side."""
FEW_CLIPS = 8
"""Test clips of a class below which intervals of a score promise too much, however they are made."""


def number(value: object) -> float | None:
    """Return a finite float, or None for what was not measured."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if value == value and abs(value) != float("inf") else None


def short(text: str, most: int = 24) -> str:
    """Return text, cut where it is too long for a figure.

    >>> short("PoolFormer-m36"), short("a name that nobody would write", 12)
    ('PoolFormer-m36', 'a name that…')
    """
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def score_title(metric: str) -> str:
    """Return a score's name as people write it.

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
    def work(self) -> list[str]:
        """What the run that wrote this summary did, and what it took as it was stored; one line first."""
        run = self.part("run")
        if not run:
            return []
        told = f"folds: trained {run['trained']}, reused {run['reused']}"
        if "trials_tried" in run:
            told = f"trials: tried {run['trials_tried']}, reused {run['trials_reused']}; {told}"
        return [told, *run["unknown"]]

    @cached_property
    def board(self) -> Mapping[str, Any]:
        """The leaderboard of a study of methods; empty for another study."""
        return self.part("leaderboard")

    @cached_property
    def cells(self) -> Sequence[Cell]:
        """The cells of the grid, in display order."""
        order = {axis: {name: at for at, name in enumerate(self.levels(axis))} for axis in AXES}
        return sorted(self.rows("cells"), key=lambda cell: [order[axis][cell[axis]] for axis in reversed(AXES)])

    @cached_property
    def further(self) -> Sequence[str]:
        """The axes in which cells of the same preprocessing, sampling and model differ: augmentation, size, seed ..."""
        return [name for name, axis in self.part("axes").items() if axis.get("part") not in AXES]

    def others(self, cell: Cell) -> dict[str, str]:
        """Return a cell's levels of the further axes."""
        levels = cell.get("factors") or {}
        return {name: str(levels[name]) for name in self.further if name in levels}

    @cached_property
    def usual(self) -> Mapping[str, str]:
        """The levels of the further axes that the paper's tables and figures show: those of the first cell."""
        return self.others(self.rows("cells")[0]) if self.rows("cells") else {}

    @cached_property
    def plain(self) -> Sequence[Cell]:
        """The cells with the usual levels: each alone at its preprocessing, sampling and model."""
        return [cell for cell in self.cells if self.others(cell) == self.usual]

    @property
    def crowded(self) -> bool:
        """Whether there are too many preprocessings to set side by side, as the paper does with its two."""
        return len(self.levels("preprocessing")) > MANY

    @property
    def plainly(self) -> str:
        """Which cells a table of the paper's axes shows; empty where these are all."""
        told = " and ".join(f"{name} {level}" for name, level in self.usual.items())
        return f"Only cells with {told}; the table of all cells has the others." if told else ""

    @cached_property
    def seed_axis(self) -> str | None:
        """The axis whose levels are seeds of otherwise equal cells, where there is one."""
        return next((name for name, axis in self.part("axes").items() if axis.get("part") == "seed"), None)

    @cached_property
    def alone(self) -> bool:
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
        """Return what the reader sees for a name on an axis."""
        described = self.part(PLURAL[axis]).get(name) or {}
        return str(described.get("label") or name)

    def brief(self, axis: str, name: str) -> str:
        """Return a label that leaves room for the figure it stands beside."""
        return short(self.label(axis, name))

    def title(self, cell: Cell, *axes: str) -> str:
        """Return 'M1 · AF · ViT', or only the named axes of it, and what else tells the cell from others."""
        if self.board and "factors" in cell:
            return self._method(cell)
        return " · ".join([*(self.label(axis, cell[axis]) for axis in (axes or AXES)), *self._told(cell)])

    def heading(self, cell: Cell, *axes: str) -> str:
        """Return `title` with labels short enough for a figure."""
        if self.board and "factors" in cell:
            return self._method(cell)
        return " · ".join([*(self.brief(axis, cell[axis]) for axis in (axes or AXES)), *self._told(cell)])

    def _method(self, cell: Cell) -> str:
        """Return the method that a cell is of, and its levels of the other axes."""
        levels = dict(cell.get("factors") or {})
        name = levels.pop("method", None) or self.board["rows"][0]["method"]
        return " · ".join([str(name), *(f"{axis} {level}" for axis, level in levels.items())])

    def _told(self, cell: Cell) -> list[str]:
        return [f"{name} {level}" for name, level in self.others(cell).items()]

    def find(self, preprocessing: str, sampling: str, model: str, like: Cell | None = None) -> Cell | None:
        """Return the cell at one place of the grid, its further axes being the usual ones or those of `like`."""
        wanted, others = (preprocessing, sampling, model), self.usual if like is None else self.others(like)
        there = (cell for cell in self.cells if tuple(cell[axis] for axis in AXES) == wanted)
        return next((cell for cell in there if self.others(cell) == others), None)

    def score(self, cell: Mapping[str, Any] | None, key: str = "macro_f1") -> float | None:
        """Return one score of a cell or a baseline."""
        return None if cell is None else number(cell.get(key))

    def best(self, cells: Sequence[Cell]) -> Cell | None:
        """Return the cell with the highest macro-F1; the first of equals."""
        scored = [cell for cell in cells if self.score(cell) is not None]
        return max(scored, key=lambda cell: cell["macro_f1"]) if scored else None

    @cached_property
    def winners(self) -> Mapping[str, Cell]:
        """Per sampling, the best model under the first preprocessing, as in the paper's Table III."""
        first = self.levels("preprocessing")[:1]
        found = {
            sampling: self.best([c for c in self.plain if c["sampling"] == sampling and c["preprocessing"] in first])
            for sampling in self.levels("sampling")
        }
        return {sampling: cell for sampling, cell in found.items() if cell is not None}

    @cached_property
    def best_cell(self) -> Cell | None:
        """The best cell of all; of several seeds of one experiment the first, since nobody chose among them.

        Of methods the first seed of the best on the leaderboard that has cells.
        """
        if self.board:
            by_key = {cell.get("key"): cell for cell in self.cells}
            # Averages of methods have no cell.
            return next((by_key[row["keys"][0]] for row in self.board["rows"] if row["keys"][0] in by_key), None)
        return self.best(self.rows("cells")[:1] if self.alone else self.cells)

    @cached_property
    def classes(self) -> Sequence[str]:
        """The classes, in the order of every confusion matrix."""
        return [str(name) for name in self.part("data").get("classes") or []]

    def tested(self, cell: Cell) -> Sequence[int] | None:
        """Return the number of test clips of each class, read from the rows of the confusion matrix."""
        counts = cell.get("confusion")
        return [sum(row) for row in counts] if counts and len(counts) == len(self.classes) else None

    def right(self, cell: Cell | None) -> int | None:
        """Return how many test clips a cell gets right."""
        counts = None if cell is None else cell.get("confusion")
        return sum(row[at] for at, row in enumerate(counts)) if counts else None

    @property
    def level(self) -> str:
        """The intervals' level, as '95 %'."""
        level = number(self.part("intervals").get("level"))
        return f"{100 * (0.95 if level is None else level):.3g} %"

    @property
    def interval(self) -> str:
        """What an interval is, for captions."""
        metadata = self.part("intervals")
        if not metadata:
            return f"{self.level} intervals"
        resamples = number(metadata.get("n"))
        drawn = "" if resamples is None else f", {int(resamples):,} resamples"
        unit = f" by {metadata['unit']}" if metadata.get("unit") else ""
        instead = f"; where that cannot be given, {metadata['instead']}" if metadata.get("instead") else ""
        return f"{self.level} intervals: {metadata.get('method', 'method not stated')}{unit}{drawn}{instead}"

    @cached_property
    def few(self) -> str:
        """Classes with too few test clips for intervals of a score, with their clips; empty where there are none."""
        least: dict[str, int] = {}
        for cell in self.cells:
            for name, count in zip(self.classes, self.tested(cell) or (), strict=False):
                if 0 < count < FEW_CLIPS:
                    least[name] = min(count, least.get(name, count))
        return ", ".join(f"{name} {count}" for name, count in least.items())

    @property
    def narrow(self) -> str:
        """What must stand beside intervals where a class has few test clips; empty where none has."""
        told = f"With fewer than {FEW_CLIPS} test clips in a class ({self.few}) no interval covers what it promises."
        return told if self.few else ""

    @property
    def test_clips(self) -> str:
        """The number of test clips behind each score, for captions: 'n = 28 test clips'."""
        sizes = sorted({int(cell["n_test"]) for cell in self.cells if number(cell.get("n_test")) is not None})
        if not sizes:
            return "number of test clips not stated"
        return f"n = {sizes[0]} test clips" if len(sizes) == 1 else f"n = {sizes[0]} to {sizes[-1]} test clips"

    # --- the paper's side ---------------------------------------------------------------------------------------------
    def published(self, table: str) -> Sequence[Mapping[str, Any]]:
        """Return the rows of one of the paper's tables."""
        return self.paper.get(table) or []

    def phase(self, sampling: str) -> str | None:
        """Return the paper's name of a sampling (AF, KFS, MFS), or None where it has none."""
        names = {sampling.upper(), self.label("sampling", sampling).upper()}
        return next((phase for phase in ("AF", "KFS", "MFS") if phase in names), None)

    def method(self, preprocessing: str) -> str | None:
        """Return the paper's name of a preprocessing (m1, m2), or None where it has none."""
        names = {preprocessing.lower(), self.label("preprocessing", preprocessing).lower()}
        return next((method for method in ("m1", "m2") if method in names), None)

    @cached_property
    def concerns_paper(self) -> bool:
        """Whether the study has one of the paper's preprocessings or samplings."""
        return any(map(self.method, self.levels("preprocessing"))) or any(map(self.phase, self.levels("sampling")))

    def main_row(self, sampling: str) -> Mapping[str, Any] | None:
        """Return the paper's row of Table III for a sampling."""
        phase = self.phase(sampling)
        return next((row for row in self.published("table3") if phase and row.get("phase") == phase), None)


def input_shape(shape: Sequence[object]) -> str:
    """Return the shape of a view (time, height, width, channels) in words.

    >>> input_shape((1, 28, 30, 3)), input_shape((2, 28, 30, 3))
    ('30 × 28 × 3', '2 × 30 × 28 × 3')
    """
    steps, height, width, channels = shape
    return " × ".join(map(str, ([] if steps == 1 else [steps]) + [width, height, channels]))
