"""Studies as data: grids of experiments and methods, read from TOML and fully checked before anything runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, PrivateAttr, model_validator

from microexpr.config.component import Component, Components, Strict, factors, level_names
from microexpr.config.experiment import FIELDS, LARGEST, Experiment
from microexpr.config.loading import parse, read_toml, set_dotted
from microexpr.config.published import load_published
from microexpr.config.settings import ADDED_LATER, Explanations, Leaderboard
from microexpr.core.errors import ConfigError

COMPARED = ("preprocessing", "sampling", "model")
"""What the paper compares; its tables are arranged by these axes."""
AXES = (
    *COMPARED, "modality", "representation", "augmentation", "target", "loss", "vote", "validation", "training", "seed",
    "train_clips", "train_subjects",
)  # fmt: skip
"""What the cells of a study may differ in, whole or in part. A report is on one database, label set and protocol."""
METHODS = "method"
"""Name of the axis of a study's methods."""
FIXED = ("seed", "train_clips", "train_subjects")
"""Axes that decide which clips are trained on or tested; alternatives to a named cell share them."""
CHANGED = tuple(axis for axis in AXES if axis not in FIXED)
"""What alternatives may differ in from the named cell."""


class Override(Strict):
    """Settings that differ in some cells of a study, for example the batch size for a preprocessing.

    In the paper, it is 4 to 16 for M2. An override may change the parameters of a component it matches, but not replace
    the component.
    """

    when: dict[str, str]
    """Part of an experiment -> name of its component; all must match."""
    set: dict[str, Any]
    """Dotted keys -> values; parameters of a component, not the component itself."""

    def matches(self, experiment: Experiment) -> bool:
        """Whether it applies to this experiment; raises ConfigError for a part that is not a component."""
        for part, name in self.when.items():
            if part not in FIELDS or not isinstance(getattr(experiment, part), Component):
                single = [field for field in FIELDS if isinstance(getattr(experiment, field), Component)]
                raise ConfigError(
                    "E122", f"overrides: when.{part} is not a single component; use one of {', '.join(single)}."
                )
            if getattr(experiment, part).name != name:
                return False
        return True


class NamedCell(Strict):
    """The cell that is named in advance and tested under a subject-independent protocol, and alternatives to it."""

    title: str = ""
    """Name in reports; if it is empty, the name is made of the cell's components."""
    set: dict[str, Any]
    """Dotted keys that define it, including its protocol."""
    alternatives: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Name in reports -> dotted keys that differ from the named cell. They are named in advance as well, trained and
    tested on the same folds, and each is compared with the named cell; nothing is selected among them. Those that do
    not fit the data are skipped, and the report gives the reason."""
    permutations: int = Field(9999, ge=99)
    shuffled_runs: int = Field(1, ge=0)
    """How often it is retrained on shuffled labels."""

    @model_validator(mode="after")
    def _names(self) -> NamedCell:
        if "" in self.alternatives:
            raise ValueError("alternatives: a name is empty; reports need one")
        if self.title in self.alternatives:
            raise ValueError(f"alternatives: {self.title!r} is the title of the named cell; use another name")
        return self


class Study(Strict):
    """A grid of experiments and settings of its report."""

    name: str
    title: str
    reduced: str | None = None
    """What is smaller than in the full study; the report states it as a caveat."""
    published: str | None = None
    """The published numbers of the work that the study replicates, which the report lists beside its own: ``paper``, or
    the path of a TOML file like `studies/published/paper.toml`."""
    experiment: Experiment = Experiment()
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)
    """Dotted key -> values; every combination is a cell. Tables begin with the first value of each axis."""
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Name -> the dotted keys that define a method, such as model, sampling and representation: the first axis of the
    grid. `seed` may be a list: the method is run once with each. Methods that do not fit the data are skipped, and the
    report gives the reason."""
    leaderboard: Leaderboard = Leaderboard()
    """Used where there are methods."""
    explanations: Explanations = Explanations()
    """Attribution maps of some of the models; none by default."""
    overrides: tuple[Override, ...] = ()
    """Applied in order to all cells that they match, including the named cell, its alternatives and the baselines."""
    baselines: Components = ()
    """Models trained with the first preprocessing and sampling of the grid, for comparison."""
    named_cell: NamedCell | None = None
    latency: bool = True
    _file: Path | None = PrivateAttr(None)
    """The file that it was read from, for messages."""

    @model_validator(mode="after")
    def _seeds_of_methods(self) -> Study:
        for method in self.methods:
            seeds = self._seeds(method)
            if not seeds:
                raise ValueError(f"methods.{method}.seed is empty; write one, seed = 0, or several, seed = [0, 1, 2]")
            for seed in seeds:
                if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST:
                    raise ValueError(f"methods.{method}.seed: {seed!r} is not an integer from 0 to {LARGEST}")
            if len(set(seeds)) < len(seeds):
                raise ValueError(f"methods.{method}.seed lists a seed twice; remove one of the two")
        return self

    @property
    def axes(self) -> dict[str, list[Any]]:
        """All axes along which cells differ: the methods, their seeds, then the grid."""
        if not self.methods:
            return dict(self.grid)
        own = {"seed": sorted({seed for name in self.methods for seed in self._seeds(name)})}
        return {METHODS: list(self.methods), **own, **self.grid}

    def _seeds(self, method: str) -> list[Any]:
        """Return the seeds of a method; they apply if the grid has no axis of seeds."""
        seeds = self.methods[method].get("seed", self.experiment.seed)
        return list(seeds) if isinstance(seeds, list) else [seeds]

    def places(self) -> list[dict[str, Any]]:
        """Return the axis values of every cell, the last axis varying fastest."""
        axes = self.axes
        places = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
        return [place for place in places if self._has_cell(place)]

    def _has_cell(self, place: Mapping[str, Any]) -> bool:
        """Whether a combination of axis values is a cell: a method has only cells with its own seeds."""
        return not self.methods or "seed" in self.grid or place["seed"] in self._seeds(place[METHODS])

    def cells(self) -> list[Experiment]:
        """Return every experiment of the grid, the last axis varying fastest."""
        return [self._cell(place) for place in self.places()]

    def factors(self) -> list[dict[str, str]]:
        """Return axis title -> level name for every cell, in their order; axes with one level are left out."""
        axes = self.axes
        places = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
        return [levels for place, levels in zip(places, factors(axes), strict=True) if self._has_cell(place)]

    def judging(self) -> dict[str, Experiment]:
        """Return, by method, the experiment whose scores the choice uses; empty if the study makes no choice."""
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
        """Return this study with `size` (train_clips or train_subjects) as its last axis; None = all of a fold's."""
        order = sorted(dict.fromkeys(numbers), key=lambda number: float("inf") if number is None else number)
        return self.model_copy(update={"grid": {**self.grid, size: order[::-1]}})

    def seeded(self, seeds: Sequence[int]) -> Study:
        """Return this study with every cell run once per seed; baselines, named cell and alternatives use the first."""
        unique = list(dict.fromkeys(seeds))
        first = self.experiment.with_values({"seed": unique[0]})
        return self.model_copy(update={"experiment": first, "grid": {**self.grid, "seed": unique}})

    def baseline_cells(self) -> list[Experiment]:
        """Return the baselines' experiments."""
        first = {
            key: values[0] for key, values in self.grid.items() if key.split(".")[0] in ("preprocessing", "sampling")
        }
        # Baselines must not depend on how networks are trained.
        plain: dict[str, Any] = {**first, "augmentation": [], "target": []}
        cells = [self._cell({**plain, "model": item.to_toml()}) for item in self.baselines]
        return [
            cell.with_values({f"training.{name}": ADDED_LATER[name] for name in cell.training.techniques})
            for cell in cells
        ]

    def named(self) -> Experiment | None:
        """Return the experiment that was named in advance; its name is the title, if there is one."""
        return self._cell(self.named_cell.set, self.named_cell.title) if self.named_cell else None

    def alternatives(self) -> dict[str, Experiment]:
        """Return the alternatives to the named cell by name; raises ConfigError for keys that do not exist."""
        if self.named_cell is None:
            return {}
        found = {}
        for name, changes in self.named_cell.alternatives.items():
            with _of_alternative(name):
                found[name] = self._cell(self.named_cell.set, name, changes)
        return found

    def _cell(self, values: Mapping[str, Any], name: str = "", changes: Mapping[str, Any] | None = None) -> Experiment:
        """Return the study's experiment with `values`, then `changes`, then the overrides that match."""
        name = name or "-".join(filter(None, (self._name_part(key, value) for key, value in values.items())))
        method = self.methods[values[METHODS]] if METHODS in values else {}
        both = {**method, **{key: value for key, value in values.items() if key != METHODS}}
        cell = self.experiment.with_values({"name": name or self.name, **both})
        if changes:
            cell = cell.with_values(changes)
        for override in self.overrides:
            if override.matches(cell):
                cell = cell.with_values(override.set)
        return cell

    def _name_part(self, key: str, value: object) -> str:
        """Return a cell's value of one axis as a part of the cell's name."""
        levels = self.axes.get(key, [])
        if value in levels and len(levels) > 1:
            return level_names(levels)[levels.index(value)]
        if isinstance(value, Mapping):
            return str(value.get("name") or "")
        return "" if value is None or isinstance(value, list) else str(value)

    def uncorrected(self) -> Study:
        """Return this study with corrections of the tables turned off; raises ConfigError if no reader has any."""
        return self.model_copy(update={"experiment": self.experiment.uncorrected()})

    def check(self) -> None:
        """Check every cell, and the file of published numbers; raises ConfigError."""
        with naming(self._file):
            self._check()

    def _check(self) -> None:
        if self.published is not None:
            load_published(self.published)
        alternatives = self.alternatives()
        cells = (*self.cells(), *self.baseline_cells(), *filter(None, [self.named()]))
        for key in self.grid:
            if key.split(".")[0] not in AXES:
                raise ConfigError(
                    "E120", f"grid: {key!r} cannot be an axis; cells may differ in {', '.join(AXES)} and their parts."
                )
        for cell in cells:
            cell.check()
        self._check_alternatives(alternatives)
        self._check_distinct()
        for name, values in self.methods.items():
            for key in values:
                if key.split(".")[0] not in AXES:
                    raise ConfigError(
                        "E120",
                        f"methods.{name}: {key!r} cannot be part of a method; methods may differ in {', '.join(AXES)} "
                        "and their parts.",
                    )
        self.leaderboard.check({name: self.grid.get("seed") or self._seeds(name) for name in self.methods})
        self.explanations.check(list(self.methods) or [cell.model.name for cell in self.cells()])
        for override in self.overrides:
            for part, name in override.when.items():
                FIELDS[part].get(name)
            for axis in {*COMPARED, *self.grid} & set(override.set):
                raise ConfigError(
                    "E122",
                    f"overrides: set.{axis} would replace the {axis} of a cell; an override may only set its "
                    f'parameters, such as "{axis}.NAME".',
                )
            if not any(override.matches(cell) for cell in (*cells, *alternatives.values())):
                raise ConfigError(
                    "E122", f"overrides: no cell has {override.when}; correct `when`, or remove the override."
                )

    def _check_alternatives(self, alternatives: Mapping[str, Experiment]) -> None:
        """Refuse alternatives with other data or folds than the named cell, and any that are the same experiment."""
        named = self.named()
        if self.named_cell is None or named is None:
            return
        seen = {_identity(named): "the named cell"}
        for name, cell in alternatives.items():
            with _of_alternative(name):
                for key in self.named_cell.alternatives[name]:
                    if key.split(".")[0] not in CHANGED:
                        raise ConfigError(
                            "E120",
                            f"{key!r} cannot differ from the named cell, since both are tested on the same folds; "
                            f"alternatives may differ in {', '.join(CHANGED)} and their parts.",
                        )
                cell.check()
                other = seen.setdefault(_identity(cell), name)
                if other != name:
                    raise ConfigError("E121", f"this is the same experiment as {other}; change or remove it.")

    def _check_distinct(self) -> None:
        """Refuse two cells that are the same experiment: an axis without effect, or a level listed twice."""
        names = [", ".join(f"{axis} {level}" for axis, level in levels.items()) for levels in self.factors()]
        seen: dict[tuple[str, object], str] = {}
        for cell, name in zip(self.cells(), names, strict=True):
            other = seen.setdefault(_identity(cell), name)
            if other != name or names.count(name) > 1:
                raise ConfigError(
                    "E121", f"grid: the cells ({other}) and ({name}) are the same experiment; remove one of them."
                )


def _identity(cell: Experiment) -> tuple[str, object]:
    """Return what two equal experiments have in common; weights are in the key by their sha256, not known yet."""
    return cell.key(), cell.model.params.get("weights")


@contextmanager
def naming(file: Path | None) -> Iterator[None]:
    """Say in a ConfigError which file it is about, if it is about one."""
    try:
        yield
    except ConfigError as error:
        if file is None:
            raise
        raise ConfigError(error.code, f"{file}: {error}") from None


@contextmanager
def _of_alternative(name: str) -> Iterator[None]:
    """Say in a ConfigError which alternative it is about."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(error.code, f"named_cell.alternatives.{name}: {error}") from None


M = TypeVar("M", Experiment, Study)


def load(kind: type[M], file: Path, values: Mapping[str, Any] | None = None, *, checked: bool = True) -> M:
    """Read an Experiment or a Study from TOML, then set dotted `values`; raises ConfigError.

    `file` is a path, or the name of a file that comes with the package, for example ``paper``. Checking loads all
    components; what is not `checked` here must be checked before it runs.
    """
    given = file
    file, content = read_toml(given)
    for key, value in (values or {}).items():
        set_dotted(content, key, value)
    other: type[BaseModel]
    other, what, command = (Study, "a study", "study") if kind is Experiment else (Experiment, "an experiment", "run")
    if set(content) <= set(other.model_fields) and not set(content) <= set(kind.model_fields):
        raise ConfigError("E108", f"{file} is {what}; run it with `microexpr {command} {given}`.")
    found = parse(kind, content, str(file))
    if isinstance(found, Study):
        found._file = file
    if checked:
        with naming(file if isinstance(found, Experiment) else None):
            found.check()
    return found
