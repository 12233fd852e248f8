"""A registered component as written in study files, and short names for the levels of a study's axes."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, field_validator, model_validator

from microexpr.core.registry import Registry

BEST_ON_VALIDATION = "best_on_validation"
"""``loss = "best_on_validation"``: train with both of the paper's losses and choose on validation."""
PAPERS_LOSSES = ("cross_entropy", "focal")


class Strict(BaseModel):
    """A part of a study file: immutable, unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Component(Strict):
    """A registered name and its parameters."""

    name: str
    params: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_toml(cls, value: object) -> object:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping) and "params" not in value:
            return {"name": value.get("name"), "params": {key: item for key, item in value.items() if key != "name"}}
        return value

    @field_validator("params")
    @classmethod
    def _as_in_toml(cls, params: dict[str, Any]) -> dict[str, Any]:
        return {key: _as_in_toml(value) for key, value in params.items()}

    def build(self, registry: Registry[Any]) -> Any:
        """Return the component; raises ConfigError for unknown names and wrong parameters."""
        return registry.build(self.name, self.params)

    def to_toml(self) -> str | dict[str, Any]:
        """Return the shortest form that reads back as this component."""
        return {"name": self.name, **self.params} if self.params else self.name

    @property
    def label(self) -> str:
        """Name and explicitly set parameters, for tables."""
        return f"{self.name}({self.listed_params})" if self.params else self.name

    @property
    def listed_params(self) -> str:
        """Explicitly set parameters in one line; nested components appear by their own labels."""
        return ", ".join(
            f"{key}={Component.model_validate(item).label if isinstance(item, Mapping) and 'name' in item else item}"
            for key, item in self.params.items()
        )


def _as_in_toml(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_in_toml(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_in_toml(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _as_tuple(value: object) -> object:
    if value == BEST_ON_VALIDATION:
        return PAPERS_LOSSES
    return (value,) if isinstance(value, str | Mapping | Component) else value


Components = Annotated[tuple[Component, ...], BeforeValidator(_as_tuple)]


def factors(grid: Mapping[str, Sequence[object]]) -> list[dict[str, str]]:
    """Return, for each cell of a grid, axis title -> level name. Axes with a single level are left out.

    >>> factors({"sampling": ["af"], "preprocessing.size": [32, 48], "augmentation": [[], "flip"]})[1]
    {'size': '32', 'augmentation': 'flip'}
    """
    axis_titles = titles(grid)
    cells = [dict(zip(grid, names, strict=True)) for names in itertools.product(*map(level_names, grid.values()))]
    return [{title: cell[key] for key, title in axis_titles.items()} for cell in cells]


def titles(grid: Mapping[str, Sequence[object]]) -> dict[str, str]:
    """Return the title of each axis with several levels: the last part of its key, or the whole key if ambiguous."""
    keys = [key for key, values in grid.items() if len(values) > 1]
    ends = Counter(key.split(".")[-1] for key in keys)
    short = {key: key.split(".")[-1] if ends[key.split(".")[-1]] == 1 else key for key in keys}
    return {key: title.replace("_", " ") for key, title in short.items()}


def level_names(levels: Sequence[object]) -> list[str]:
    """Return a short name for each level of an axis: a component's name, plus its parameters if the name is not unique.

    >>> level_names([{"name": "crop", "crop": "none"}, {"name": "crop", "crop": "face", "box": "frame"}])
    ['none', 'face frame']
    >>> level_names(["m1", {"name": "m2", "box": "onset"}]), level_names([[], ["crop_jitter"]])
    (['m1', 'm2'], ['none', 'crop_jitter'])
    >>> level_names([384, None])
    ['384', 'all']
    """
    parts = [
        [_name_and_params(item) for item in (level if isinstance(level, list | tuple) else [level])] for level in levels
    ]
    counts = Counter(tuple(name for name, _ in part) for part in parts)
    return [
        _level_name(part, unique=counts[tuple(name for name, _ in part)] == 1, with_names=len(counts) > 1)
        for part in parts
    ]


def _name_and_params(level: object) -> tuple[str, Mapping[str, object]]:
    if isinstance(level, Mapping):
        return str(level.get("name", "")), {key: value for key, value in level.items() if key != "name"}
    return ("all" if level is None else str(level).lower() if isinstance(level, bool) else str(level)), {}


def _level_name(parts: Sequence[tuple[str, Mapping[str, object]]], *, unique: bool, with_names: bool) -> str:
    """Join the components of a level; parameters are listed unless the names alone are unique."""
    names = []
    for name, params in parts:
        listed = [] if unique else [str(v) if isinstance(v, str) else f"{key} {v}" for key, v in params.items()]
        names.append(" ".join([*([name] if with_names or not listed else []), *listed]))
    return " + ".join(names) or "none"
