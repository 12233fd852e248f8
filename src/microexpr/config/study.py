"""Studies as data: grids of experiments and methods; TOML in, checked whole before anything runs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, model_validator

from microexpr.config.component import Component, Components, Strict, factors, words
from microexpr.config.experiment import FIELDS, LARGEST, Experiment
from microexpr.config.loading import parse, read_toml, set_dotted
from microexpr.config.settings import LATER, Explanations, Leaderboard
from microexpr.core.errors import ConfigError

COMPARED = ("preprocessing", "sampling", "model")
"""What the paper compares, and its tables are laid out by."""
AXES = (
    *COMPARED, "modality", "representation", "augmentation", "target", "loss", "vote", "validation", "training", "seed",
    "train_clips", "train_subjects",
)  # fmt: skip
"""What the cells of a study may differ in, or parts of it. The report states one database, label set and protocol."""
METHODS = "method"
"""The axis of a study's methods."""


class Override(Strict):
    """What some cells of a study do otherwise, for instance the batch of a preprocessing (paper: 4 to 16 for M2).

    It may change the parameters of the component it matches, never which one that is.
    """

    when: dict[str, str]
    """Part of an experiment -> name of its component; all must match."""
    set: dict[str, Any]
    """Dotted keys; parameters of a component, not the component itself."""

    def matches(self, experiment: Experiment) -> bool:
        """Say whether this is one of its cells; raises ConfigError for a part that has no component."""
        for part, name in self.when.items():
            if part not in FIELDS or not isinstance(getattr(experiment, part), Component):
                raise ConfigError("E104", f"overrides: when.{part} is no single component of an experiment.")
            if getattr(experiment, part).name != name:
                return False
        return True


class NamedCell(Strict):
    """The cell that is named beforehand and judged under a subject-independent protocol."""

    set: dict[str, Any]
    """Dotted keys that make it, protocol included."""
    permutations: int = Field(9999, ge=99)
    shuffled_runs: int = Field(1, ge=0)
    """How often it is trained again on shuffled labels."""


class Study(Strict):
    """A grid of experiments and what the report makes of them."""

    name: str
    title: str
    reduced: str | None = None
    """What was made smaller than in the paper; stamped on the report."""
    experiment: Experiment = Experiment()
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)
    """Dotted key -> values; every combination is a cell. Tables begin with the first value of each."""
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Name -> the dotted keys that make a method, such as model, sampling and representation: the first axis of the
    grid. `seed` may be a list: the method is run once with each. A method that the data do not allow is skipped, and
    the report says why."""
    leaderboard: Leaderboard = Leaderboard()
    """Written where there are methods."""
    explanations: Explanations = Explanations()
    """What some of the models look at; none where it names none."""
    overrides: tuple[Override, ...] = ()
    """Applied in their order to the cells that they match, named cell and baselines too."""
    baselines: Components = ()
    """Models trained on the first preprocessing and sampling of the grid, for comparison."""
    named_cell: NamedCell | None = None
    latency: bool = True

    @model_validator(mode="after")
    def _seeds_of_methods(self) -> Study:
        for method in self.methods:
            seeds = self._seeds(method)
            if not seeds:
                raise ValueError(f"methods.{method}.seed lists none; write one, seed = 0, or several, seed = [0, 1, 2]")
            for seed in seeds:
                if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST:
                    raise ValueError(f"methods.{method}.seed: {seed!r} is no whole number from 0 to {LARGEST}")
            if len(set(seeds)) < len(seeds):
                raise ValueError(f"methods.{method}.seed lists one seed twice; leave it out once")
        return self

    @property
    def axes(self) -> dict[str, list[Any]]:
        """Everything that cells may differ in: the methods, then the grid."""
        if not self.methods:
            return dict(self.grid)
        own = {"seed": sorted({seed for name in self.methods for seed in self._seeds(name)})}
        return {METHODS: list(self.methods), **own, **self.grid}

    def _seeds(self, method: str) -> list[Any]:
        """Return the seeds of a method where the grid has none."""
        seeds = self.methods[method].get("seed", self.experiment.seed)
        return list(seeds) if isinstance(seeds, list) else [seeds]

    def places(self) -> list[dict[str, Any]]:
        """Return the values of the axes of every cell, the last axis fastest."""
        axes = self.axes
        places = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
        return [place for place in places if self._there(place)]

    def _there(self, place: Mapping[str, Any]) -> bool:
        return not self.methods or "seed" in self.grid or place["seed"] in self._seeds(place[METHODS])

    def cells(self) -> list[Experiment]:
        """Return every experiment of the grid, the last axis fastest."""
        return [self._cell(place) for place in self.places()]

    def factors(self) -> list[dict[str, str]]:
        """Return what tells the cells apart, in their order: axis -> level, as words; axes of one level are none."""
        axes = self.axes
        everywhere = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
        return [words for place, words in zip(everywhere, factors(axes), strict=True) if self._there(place)]

    def judging(self) -> dict[str, Experiment]:
        """Return by method the experiment that judges it for the choice; empty where nothing is chosen."""
        choice = self.leaderboard.choice
        if choice is None:
            return {}
        first = {key: values[0] for key, values in self.grid.items()}
        protocol = {"name": "group_pairs", "groups": choice.groups}
        members = dict.fromkeys(member for name in choice.of for member in self.leaderboard.fused.get(name, (name,)))
        return {
            name: self._cell({METHODS: name, "seed": min(self._seeds(name)), **first, "protocol": protocol})
            for name in members
        }

    def sized(self, size: str, numbers: Sequence[int | None]) -> Study:
        """Return this study with `size` (train_clips or train_subjects) as its last axis; None = all of a fold."""
        order = sorted(dict.fromkeys(numbers), key=lambda number: float("inf") if number is None else number)
        return self.model_copy(update={"grid": {**self.grid, size: order[::-1]}})

    def seeded(self, seeds: Sequence[int]) -> Study:
        """Return this study with every cell run once with each seed; baselines and the named cell take the first."""
        unique = list(dict.fromkeys(seeds))
        first = self.experiment.with_values({"seed": unique[0]})
        return self.model_copy(update={"experiment": first, "grid": {**self.grid, "seed": unique}})

    def baseline_cells(self) -> list[Experiment]:
        """Return the baselines' experiments."""
        first = {
            key: values[0] for key, values in self.grid.items() if key.split(".")[0] in ("preprocessing", "sampling")
        }
        # What a baseline knows must not depend on how networks are trained.
        alone: dict[str, Any] = {**first, "augmentation": [], "target": []}
        cells = [self._cell({**alone, "model": item.to_toml()}) for item in self.baselines]
        return [cell.with_values({f"training.{name}": LATER[name] for name in cell.training.gains}) for cell in cells]

    def named(self) -> Experiment | None:
        """Return the experiment named beforehand."""
        return self._cell(self.named_cell.set) if self.named_cell else None

    def _cell(self, values: Mapping[str, Any]) -> Experiment:
        name = "-".join(filter(None, (self._word(key, value) for key, value in values.items())))
        method = self.methods[values[METHODS]] if METHODS in values else {}
        both = {**method, **{key: value for key, value in values.items() if key != METHODS}}
        cell = self.experiment.with_values({"name": name or self.name, **both})
        for override in self.overrides:
            if override.matches(cell):
                cell = cell.with_values(override.set)
        return cell

    def _word(self, key: str, value: object) -> str:
        """Return a cell's value of one axis as it stands in the cell's name."""
        levels = self.axes.get(key, [])
        if value in levels and len(levels) > 1:
            return words(levels)[levels.index(value)]
        if isinstance(value, Mapping):
            return str(value.get("name") or "")
        return "" if value is None or isinstance(value, list) else str(value)

    def uncorrected(self) -> Study:
        """Return this study with every table read raw; raises ConfigError where a reader knows no corrections."""
        return self.model_copy(update={"experiment": self.experiment.uncorrected()})

    def check(self) -> None:
        """Check every cell; raises ConfigError."""
        cells = (*self.cells(), *self.baseline_cells(), *filter(None, [self.named()]))
        for key in self.grid:
            if key.split(".")[0] not in AXES:
                raise ConfigError(
                    "E104", f"grid: {key!r} cannot be an axis; cells may differ in {', '.join(AXES)} and their parts."
                )
        for cell in cells:
            cell.check()
        self._check_apart()
        self._check_leaderboard()
        self.explanations.check(list(self.methods) or [cell.model.name for cell in self.cells()])
        for override in self.overrides:
            for part, name in override.when.items():
                FIELDS[part].get(name)
            for axis in {*COMPARED, *self.grid} & set(override.set):
                raise ConfigError(
                    "E104", f"overrides: set.{axis} would change which {axis} a cell has; set its parameters."
                )
            if not any(override.matches(cell) for cell in cells):
                raise ConfigError("E104", f"overrides: no cell has {override.when}.")

    def _check_leaderboard(self) -> None:
        """Refuse methods that change more than an axis may, and a leaderboard that they do not allow."""
        for name, values in self.methods.items():
            for key in values:
                if key.split(".")[0] not in AXES:
                    raise ConfigError(
                        "E104",
                        f"methods.{name}: {key!r} is no part of a method; methods may differ in {', '.join(AXES)} and "
                        "their parts.",
                    )
        self.leaderboard.check({name: self.grid.get("seed") or self._seeds(name) for name in self.methods})

    def _check_apart(self) -> None:
        """Refuse two cells that are one experiment: an axis that changes nothing, or a level that is listed twice."""
        levels = [", ".join(f"{axis} {word}" for axis, word in line.items()) for line in self.factors()]
        seen: dict[tuple[str, object], str] = {}
        for cell, word in zip(self.cells(), levels, strict=True):
            # Starting weights join the key as their sha256 only, and they are not looked for here.
            other = seen.setdefault((cell.key(), cell.model.params.get("weights")), word)
            if other != word or levels.count(word) > 1:
                raise ConfigError(
                    "E104", f"grid: the cells ({other}) and ({word}) are the same experiment; leave one of them out."
                )


M = TypeVar("M", Experiment, Study)


def load(kind: type[M], file: Path, values: Mapping[str, Any] | None = None) -> M:
    """Read an Experiment or a Study from TOML, dotted `values` set on top; raises ConfigError.

    `file` is a path, or the name of a study that comes with the package, ``paper`` for instance.
    """
    file, content = read_toml(file)
    for key, value in (values or {}).items():
        set_dotted(content, key, value)
    _expect(kind, content, file)
    found = parse(kind, content, str(file))
    try:
        found.check()
    except ConfigError as error:
        raise ConfigError("E104", f"{file}: {error}") from None
    return found


def _expect(kind: type[BaseModel], content: Mapping[str, Any], file: Path) -> None:
    """Tell a study from an experiment where one is taken for the other."""
    other, what, command = (Study, "a study", "study") if kind is Experiment else (Experiment, "an experiment", "run")
    if set(content) <= set(other.model_fields) and not set(content) <= set(kind.model_fields):
        raise ConfigError("E104", f"{file} is {what}; `microexpr {command} {file}` takes it.")
