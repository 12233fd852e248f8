"""Experiments and studies as data: TOML in and out, checked whole before anything runs.

A component is written by its name, ``model = "vit_b32"``, or with parameters,
``model = { name = "vit_b32", drop_path = 0.2 }``. Dotted keys reach into an experiment, in a study's grid and with
``--set``: ``"preprocessing.size" = [224, 384]``, ``training.epochs = 2``.
"""

from __future__ import annotations

import hashlib
import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import tomli_w
from pydantic import BaseModel, Field, model_validator

from microexpr import contracts
from microexpr._registry import Registry
from microexpr.component import PAPERS_LOSSES, Components, Strict, factors, words
from microexpr.component import Component as Component
from microexpr.errors import ConfigError, UnknownComponentError
from microexpr.files import digest
from microexpr.labels import AS_GIVEN, LABEL_SETS
from microexpr.parsing import parse as parse
from microexpr.parsing import parse_setting as parse_setting
from microexpr.parsing import set_dotted
from microexpr.settings import LATER, check_score
from microexpr.settings import Bootstrap as Bootstrap
from microexpr.settings import Choice as Choice
from microexpr.settings import Explanations as Explanations
from microexpr.settings import Leaderboard as Leaderboard
from microexpr.settings import Training as Training
from microexpr.settings import Tuning as Tuning

METHOD = 1
"""Raised whenever splitting, training or selection changes what comes out; part of every experiment's key."""
COMPARED = ("preprocessing", "sampling", "model")
"""What the paper compares, and its tables are laid out by."""
AXES = (
    *COMPARED, "modality", "representation", "augmentation", "target", "loss", "vote", "validation", "training", "seed",
    "train_clips", "train_persons",
)  # fmt: skip
"""What the cells of a study may differ in, or parts of it. The report states one database, label set and protocol."""
SIZES = ("train_clips", "train_persons")
METHODS = "method"
"""The axis of a study's methods."""
LARGEST = 2**63 - 1
"""The largest seed that can be stored."""


class Experiment(Strict):
    """One training recipe under one protocol: one cell of a study."""

    name: str = "experiment"
    datasets: Components = Field((Component(name="casme2"),), min_length=1)
    modality: str | None = None
    labels: str | dict[str, str] = "casme2_7"
    preprocessing: Component = Component(name="m1")
    sampling: Component = Component(name="af")
    representation: Component = Component(name="pixels")
    augmentation: Components = ()
    model: Component = Component(name="vit_b32")
    target: Components = ()
    """What a network learns beside the class, through a head of its own for each."""
    loss: Components = Field(tuple(Component(name=name) for name in PAPERS_LOSSES), min_length=1)
    vote: Component = Component(name="majority")
    protocol: Component = Component(name="paper_holdout")
    validation: float = Field(0.1, gt=0, lt=0.5)
    """Share of the training clips, whole persons, that choose where the protocol brings no validation of its own."""
    training: Training = Training()
    bootstrap: Bootstrap = Bootstrap()
    scores: tuple[str, ...] = ()
    """Further scores for the table of cells, ``["weighted_f1", "mean_of_folds(uf1)"]``; all metrics have one anyway."""
    tuning: Tuning = Tuning()
    """What `microexpr tune` searches; nothing else looks at it."""
    seed: int = Field(0, ge=0, le=LARGEST)
    shuffled: int = Field(0, ge=0)
    """0 = the labels as they are; n = their n-th shuffling between all clips, where nothing must be found."""
    train_clips: int | None = Field(None, ge=2)
    """Train on so many of each fold's training clips, drawn at random; larger numbers contain smaller ones."""
    train_persons: int | None = Field(None, ge=1)
    """The same with whole persons."""

    @model_validator(mode="after")
    def _one_size(self) -> Experiment:
        if self.train_clips is not None and self.train_persons is not None:
            raise ValueError("train_clips and train_persons both say how much to train on; take one of them")
        return self

    @model_validator(mode="after")
    def _targets_once(self) -> Experiment:
        names = [item.name for item in self.target]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"target: {name} is listed twice; write it once")
        return self

    @property
    def selects(self) -> bool:
        """Whether validation chooses anything (a loss or an epoch) for a network."""
        return len(self.loss) > 1 or self.training.patience > 0

    def components(self) -> Iterator[tuple[Registry[Any], Component]]:
        """Yield every component with its registry."""
        for name, registry in _FIELDS.items():
            value = getattr(self, name)
            for component in value if isinstance(value, tuple) else (value,):
                yield registry, component

    def canonical(self) -> dict[str, Any]:
        """Return what makes this experiment what it is: defaults filled in, revisions named; no names, no paths."""
        content = self.model_dump(mode="json", exclude={"name", "bootstrap", "scores", "tuning"})
        content["method"], content["training"] = METHOD, self.training.canonical()
        for later in (*SIZES, "target"):
            if not content[later]:  # what was stored before there were such keeps its key
                del content[later]
        for name, registry in _FIELDS.items():
            value = getattr(self, name)
            if name not in content:
                continue
            filled = [_canonical(registry, item) for item in (value if isinstance(value, tuple) else (value,))]
            content[name] = filled if isinstance(value, tuple) else filled[0]
        return content

    def key(self, **facts: str) -> str:
        """Return the sha256 (16 digits) of the canonical JSON; `facts` join it (the weights' sha256, say)."""
        return digest([self.canonical(), facts])

    def with_values(self, values: Mapping[str, Any]) -> Experiment:
        """Return this experiment with dotted keys set; raises ConfigError."""
        content = self.to_dict()
        for key, value in values.items():
            set_dotted(content, key, value)
        return parse(Experiment, content, "the changed experiment")

    def to_dict(self) -> dict[str, Any]:
        """Return this experiment as TOML would hold it."""
        content = self.model_dump(mode="json", exclude_none=True)
        for name in _FIELDS:
            value = getattr(self, name)
            content[name] = [item.to_toml() for item in value] if isinstance(value, tuple) else value.to_toml()
        return content

    def uncorrected(self) -> Experiment:
        """Return this experiment with every table read raw; raises ConfigError where no reader knows corrections."""
        known = {item.name for item in self.datasets if "corrections" in contracts.datasets.parameters(item.name)}
        if not known:
            raise ConfigError(f"{' + '.join(item.name for item in self.datasets)} has no corrections to leave out.")
        left = {name: {"corrections": False} for name in known}
        raw = [{"name": item.name, **item.params, **left.get(item.name, {})} for item in self.datasets]
        return self.with_values({"datasets": raw})

    def to_toml(self) -> str:
        """Return this experiment as a file that `microexpr run` takes."""
        return tomli_w.dumps(self.to_dict())

    def check(self) -> None:
        """Bind every component to its parameters; raises ConfigError at the first that is wrong."""
        for registry, component in self.components():
            registry.bind(component.name, component.params)
        if isinstance(self.labels, str) and self.labels not in (*LABEL_SETS, AS_GIVEN):
            raise UnknownComponentError("label set", self.labels, [*LABEL_SETS, AS_GIVEN])
        for score in self.scores:
            check_score(score)


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
            if part not in _FIELDS or not isinstance(getattr(experiment, part), Component):
                raise ConfigError(f"overrides: when.{part} is no single component of an experiment.")
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
        """Return this study with `size` (train_clips or train_persons) as its last axis; None = all of a fold."""
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
                    f"grid: {key!r} cannot be an axis; cells may differ in {', '.join(AXES)} and their parts."
                )
        for cell in cells:
            cell.check()
        self._check_apart()
        self._check_leaderboard()
        self.explanations.check(list(self.methods) or [cell.model.name for cell in self.cells()])
        for override in self.overrides:
            for part, name in override.when.items():
                _FIELDS[part].get(name)
            for axis in {*COMPARED, *self.grid} & set(override.set):
                raise ConfigError(f"overrides: set.{axis} would change which {axis} a cell has; set its parameters.")
            if not any(override.matches(cell) for cell in cells):
                raise ConfigError(f"overrides: no cell has {override.when}.")

    def _check_leaderboard(self) -> None:
        """Refuse methods that change more than an axis may, and a leaderboard that they do not allow."""
        for name, values in self.methods.items():
            for key in values:
                if key.split(".")[0] not in AXES:
                    raise ConfigError(
                        f"methods.{name}: {key!r} is no part of a method; methods may differ in {', '.join(AXES)} and "
                        "their parts."
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
                    f"grid: the cells ({other}) and ({word}) are the same experiment; leave one of them out."
                )


M = TypeVar("M", Experiment, Study)
_FIELDS: Mapping[str, Registry[Any]] = {
    "datasets": contracts.datasets,
    "preprocessing": contracts.preprocessors,
    "sampling": contracts.samplers,
    "representation": contracts.representations,
    "augmentation": contracts.augmentations,
    "model": contracts.models,
    "target": contracts.targets,
    "loss": contracts.losses,
    "vote": contracts.votes,
    "protocol": contracts.protocols,
}


def _canonical(registry: Registry[Any], component: Component) -> dict[str, Any]:
    params = registry.bind(component.name, component.params)
    content = {"name": component.name, "revision": registry.revision(component.name), "params": params}
    if registry is contracts.models:
        params.pop("weights", None)  # which file they come from does not matter; their sha256 joins the key
    for key, (annotation, _) in registry.parameters(component.name).items():
        for mark in getattr(annotation, "__metadata__", ()):
            if isinstance(mark, contracts.ByContent):
                params[key] = mark.digest(params[key])
    if "detector" in params:
        content["detector"] = contracts.detectors.revision(params["detector"])
    if "of" in params:
        params["of"] = _canonical(registry, Component.model_validate(params["of"]))
    return content


def load(kind: type[M], file: Path, values: Mapping[str, Any] | None = None) -> M:
    """Read an Experiment or a Study from TOML, dotted `values` set on top; raises ConfigError."""
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no file {file}; `studies/` of the project holds examples.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}.") from None
    for key, value in (values or {}).items():
        set_dotted(content, key, value)
    _expect(kind, content, file)
    found = parse(kind, content, str(file))
    try:
        found.check()
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None
    return found


def _expect(kind: type[BaseModel], content: Mapping[str, Any], file: Path) -> None:
    """Tell a study from an experiment where one is taken for the other."""
    other, what, command = (Study, "a study", "study") if kind is Experiment else (Experiment, "an experiment", "run")
    if set(content) <= set(other.model_fields) and not set(content) <= set(kind.model_fields):
        raise ConfigError(f"{file} is {what}; `microexpr {command} {file}` takes it.")


def rng_for(seed: int, role: str) -> np.random.Generator:
    """Return the generator of one role (``split``, ``training/<fold>`` ...): roles never share a stream."""
    stream = np.frombuffer(hashlib.sha256(role.encode()).digest()[:16], np.uint32)
    return np.random.default_rng([seed, *stream.tolist()])
