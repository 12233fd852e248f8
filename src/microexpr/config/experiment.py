"""One experiment as data: which components, with which parameters; what makes it what it is, as its key.

A component is written by its name, ``model = "vit_b32"``, or with parameters,
``model = { name = "vit_b32", drop_path = 0.2 }``. Dotted keys reach into an experiment, in a study's grid and with
``--set``: ``"preprocessing.size" = [224, 384]``, ``training.epochs = 2``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tomli_w
from pydantic import Field, model_validator

from microexpr.config.component import PAPERS_LOSSES, Component, Components, Strict
from microexpr.config.loading import parse, set_dotted
from microexpr.config.settings import Bootstrap, Training, Tuning, check_score
from microexpr.core import interfaces as contracts
from microexpr.core.errors import ConfigError, UnknownComponentError
from microexpr.core.files import digest
from microexpr.core.labels import AS_GIVEN, LABEL_SETS
from microexpr.core.registry import Registry

METHOD = 1
"""Raised whenever splitting, training or selection changes what comes out; part of every experiment's key."""
SIZES = ("train_clips", "train_subjects")
LARGEST = 2**63 - 1
"""The largest seed that can be stored."""
FIELDS: Mapping[str, Registry[Any]] = {
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
"""Parts of an experiment that are components, and where these are registered."""


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
    """Share of the training clips, whole subjects, that choose where the protocol brings no validation of its own."""
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
    train_subjects: int | None = Field(None, ge=1)
    """The same with whole subjects."""

    @model_validator(mode="after")
    def _one_size(self) -> Experiment:
        if self.train_clips is not None and self.train_subjects is not None:
            raise ValueError("train_clips and train_subjects both say how much to train on; take one of them")
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
        for name, registry in FIELDS.items():
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
        for name, registry in FIELDS.items():
            value = getattr(self, name)
            if name not in content:
                continue
            filled = [_canonical(registry, item) for item in (value if isinstance(value, tuple) else (value,))]
            content[name] = filled if isinstance(value, tuple) else filled[0]
        return content

    def key(self, **metadata: str) -> str:
        """Return the sha256 (16 digits) of the canonical JSON; `facts` join it (the weights' sha256, say)."""
        return digest([self.canonical(), metadata])

    def with_values(self, values: Mapping[str, Any]) -> Experiment:
        """Return this experiment with dotted keys set; raises ConfigError."""
        content = self.to_dict()
        for key, value in values.items():
            set_dotted(content, key, value)
        return parse(Experiment, content, "the changed experiment")

    def to_dict(self) -> dict[str, Any]:
        """Return this experiment as TOML would hold it."""
        content = self.model_dump(mode="json", exclude_none=True)
        for name in FIELDS:
            value = getattr(self, name)
            content[name] = [item.to_toml() for item in value] if isinstance(value, tuple) else value.to_toml()
        return content

    def uncorrected(self) -> Experiment:
        """Return this experiment with every table read raw; raises ConfigError where no reader knows corrections."""
        known = {item.name for item in self.datasets if "corrections" in contracts.datasets.parameters(item.name)}
        if not known:
            raise ConfigError(
                "E104", f"{' + '.join(item.name for item in self.datasets)} has no corrections to leave out."
            )
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


def _canonical(registry: Registry[Any], component: Component) -> dict[str, Any]:
    params = registry.bind(component.name, component.params)
    content = {"name": component.name, "revision": registry.revision(component.name), "params": params}
    if registry is contracts.models:
        params.pop("weights", None)  # which file they come from does not matter; their sha256 joins the key
    for key, (annotation, _) in registry.parameters(component.name).items():
        for mark in getattr(annotation, "__metadata__", ()):
            if isinstance(mark, contracts.KeyedByContent):
                params[key] = mark.digest(params[key])
            elif isinstance(mark, contracts.AddedLater) and params.get(key) == mark.before:
                del params[key]
    if "detector" in params:
        content["detector"] = contracts.detectors.revision(params["detector"])
    if "of" in params:
        params["of"] = _canonical(registry, Component.model_validate(params["of"]))
    return content
