"""One experiment as data: its components with their parameters, its settings, and the key that identifies it.

A component is written by its name, ``model = "vit_b32"``, or with parameters,
``model = { name = "vit_b32", drop_path = 0.2 }``. A study's grid and ``--set`` address parts of an experiment by dotted
keys: ``"preprocessing.size" = [224, 384]``, ``training.epochs = 2``. Everything has a default but `REQUIRED`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tomli_w
from pydantic import Field, model_validator

from microexpr.config.component import Component, Components, Strict
from microexpr.config.loading import parse, set_dotted
from microexpr.config.scores import check_score, selecting_metric
from microexpr.config.settings import Bootstrap, Training, Tuning
from microexpr.core import interfaces
from microexpr.core.errors import ConfigError, UnknownComponentError
from microexpr.core.files import digest
from microexpr.core.labels import AS_GIVEN, LABEL_SETS
from microexpr.core.registry import Registry

METHOD = 1
"""Raised whenever a change of splitting, training or selection changes results; part of every experiment's key."""
SIZES = ("train_clips", "train_subjects")
LARGEST = 2**63 - 1
"""The largest seed that can be stored."""
FIELDS: Mapping[str, Registry[Any]] = {
    "datasets": interfaces.datasets,
    "preprocessing": interfaces.preprocessors,
    "sampling": interfaces.samplers,
    "representation": interfaces.representations,
    "augmentation": interfaces.augmentations,
    "model": interfaces.models,
    "target": interfaces.targets,
    "loss": interfaces.losses,
    "vote": interfaces.votes,
    "protocol": interfaces.protocols,
}
"""Parts of an experiment that are components, and their registries."""
UNSET = ""
"""Name of a component, or label set, that an experiment does not set; `check` refuses it."""
REQUIRED = ("datasets", "labels", "model")
"""What an experiment must set: there is no neutral choice. In a study, the grid or the methods may set the model."""


class Experiment(Strict):
    """One training recipe under one protocol: one cell of a study."""

    name: str = "experiment"
    datasets: Components = ()
    modality: str | None = None
    labels: str | dict[str, str] = UNSET
    preprocessing: Component = Component(name="m1")
    sampling: Component = Component(name="af")
    representation: Component = Component(name="pixels")
    augmentation: Components = ()
    model: Component = Component(name=UNSET)
    target: Components = ()
    """Auxiliary targets: what a network learns in addition to the class, each through its own head."""
    loss: Components = Field((Component(name="cross_entropy"),), min_length=1)
    """Of several losses, the one with the best score on validation clips is selected in each fold."""
    vote: Component = Component(name="majority")
    protocol: Component = Component(name="loso")
    validation: float = Field(0.1, gt=0, lt=0.5)
    """Share of the training clips, in whole subjects, used as validation if the protocol has no validation set."""
    training: Training = Training()
    bootstrap: Bootstrap = Bootstrap()
    scores: tuple[str, ...] = ()
    """Additional scores in the table of cells, ``["weighted_f1", "mean_of_folds(uf1)"]``; all metrics are computed."""
    tuning: Tuning = Tuning()
    """What `microexpr tune` searches; nothing else uses it."""
    seed: int = Field(0, ge=0, le=LARGEST)
    shuffled: int = Field(0, ge=0)
    """0 = the true labels; n = their n-th random permutation between all clips, a control without any signal."""
    train_clips: int | None = Field(None, ge=2)
    """Train on this many of each fold's training clips, drawn at random; larger samples contain smaller ones."""
    train_subjects: int | None = Field(None, ge=1)
    """The same with whole subjects."""

    @model_validator(mode="after")
    def _one_size(self) -> Experiment:
        if self.train_clips is not None and self.train_subjects is not None:
            raise ValueError("train_clips and train_subjects cannot both be set; remove one of them")
        return self

    @model_validator(mode="after")
    def _targets_once(self) -> Experiment:
        names = [item.name for item in self.target]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"target: {name} is listed twice; remove one of the two")
        return self

    @property
    def selects(self) -> bool:
        """Whether validation selects anything (a loss or an epoch) for a network."""
        return len(self.loss) > 1 or self.training.patience > 0

    @property
    def selecting_metric(self) -> interfaces.Metric:
        """The score on validation clips that selects (`training.select`); raises ConfigError if it cannot."""
        return selecting_metric(self.training.select)

    def components(self) -> Iterator[tuple[Registry[Any], Component]]:
        """Yield every component with its registry."""
        for name, registry in FIELDS.items():
            value = getattr(self, name)
            for component in value if isinstance(value, tuple) else (value,):
                yield registry, component

    def canonical(self) -> dict[str, Any]:
        """Return what identifies this experiment: all parameters and revisions, but no names or paths."""
        content = self.model_dump(mode="json", exclude={"name", "bootstrap", "scores", "tuning"})
        content["method"], content["training"] = METHOD, self.training.canonical()
        for later in (*SIZES, "target"):
            if not content[later]:  # results stored before these settings existed keep their keys
                del content[later]
        for name, registry in FIELDS.items():
            value = getattr(self, name)
            if name not in content:
                continue
            filled = [_canonical(registry, item) for item in (value if isinstance(value, tuple) else (value,))]
            content[name] = filled if isinstance(value, tuple) else filled[0]
        return content

    def key(self, **metadata: str) -> str:
        """Return the sha256 (16 digits) of the canonical JSON and of `metadata`, such as the sha256 of weights."""
        return digest([self.canonical(), metadata])

    def with_values(self, values: Mapping[str, Any]) -> Experiment:
        """Return this experiment with dotted keys set; raises ConfigError."""
        content = self.to_dict()
        for key, value in values.items():
            set_dotted(content, key, value)
        return parse(Experiment, content, "the changed experiment")

    def to_dict(self) -> dict[str, Any]:
        """Return this experiment as the content of a TOML file."""
        content = self.model_dump(mode="json", exclude_none=True)
        for name in FIELDS:
            value = getattr(self, name)
            content[name] = [item.to_toml() for item in value] if isinstance(value, tuple) else value.to_toml()
        return content

    def uncorrected(self) -> Experiment:
        """Return this experiment with corrections of the tables turned off; raises ConfigError if no reader has any."""
        known = {item.name for item in self.datasets if "corrections" in interfaces.datasets.parameters(item.name)}
        if not known:
            names = " + ".join(item.name for item in self.datasets)
            raise ConfigError("E128", f"the reader of {names} makes no corrections; leave --no-corrections out.")
        uncorrected = [
            {"name": item.name, **item.params, **({"corrections": False} if item.name in known else {})}
            for item in self.datasets
        ]
        return self.with_values({"datasets": uncorrected})

    def to_toml(self) -> str:
        """Return this experiment as the text of a file for `microexpr run`."""
        return tomli_w.dumps(self.to_dict())

    def require(self, *names: str) -> None:
        """Raise ConfigError if one of these, which have no default, is not set."""
        values: dict[str, object] = {"datasets": self.datasets, "labels": self.labels, "model": self.model.name}
        missing = [name for name in names if not values[name]]
        if missing:
            examples = {
                "datasets": f'datasets = "manifest"  # or {_listed(interfaces.datasets)}; see `microexpr data list`',
                "labels": f'labels = "{AS_GIVEN}"  # or {", ".join(LABEL_SETS)}, or a table: emotion = "class"',
                "model": f'model = "small_cnn"  # or {_listed(interfaces.models)}',
            }
            raise ConfigError(
                "E119",
                f"experiment {self.name!r} does not set {', '.join(missing)}, and there is no default. Add to the file "
                "(in a study to [experiment]; its grid or methods may set the model instead), for example:\n  "
                + "\n  ".join(examples[name] for name in missing),
            )

    def check(self) -> None:
        """Check that everything required is set, and every component; raises ConfigError at the first error."""
        self.require(*REQUIRED)
        for registry, component in self.components():
            registry.bind(component.name, component.params)
        if isinstance(self.labels, str) and self.labels not in (*LABEL_SETS, AS_GIVEN):
            raise UnknownComponentError("label set", self.labels, [*LABEL_SETS, AS_GIVEN])
        for score in self.scores:
            check_score(score)
        selecting_metric(self.training.select)


def _listed(registry: Registry[Any]) -> str:
    return ", ".join(registry.names())


def _canonical(registry: Registry[Any], component: Component) -> dict[str, Any]:
    params = registry.bind(component.name, component.params)
    content = {"name": component.name, "revision": registry.revision(component.name), "params": params}
    if registry is interfaces.models:
        params.pop("weights", None)  # their sha256 is part of the key instead of their path
    for key, (annotation, _) in registry.parameters(component.name).items():
        for mark in getattr(annotation, "__metadata__", ()):
            if isinstance(mark, interfaces.KeyedByContent):
                params[key] = mark.digest(params[key])
            elif isinstance(mark, interfaces.AddedLater) and params.get(key) == mark.before:
                del params[key]
    if "detector" in params:
        content["detector"] = interfaces.detectors.revision(params["detector"])
    if "of" in params:
        params["of"] = _canonical(registry, Component.model_validate(params["of"]))
    return content
