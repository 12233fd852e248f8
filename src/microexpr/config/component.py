"""One registered component as study files write it, and the words that tell components of one axis apart."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, field_validator, model_validator

from microexpr.core.registry import Registry

BEST_ON_VALIDATION = "best_on_validation"
"""``loss = "best_on_validation"``: both of the paper's losses are trained and validation chooses."""
PAPERS_LOSSES = ("cross_entropy", "focal")


class Strict(BaseModel):
    """A part of a study file: what it does not know is refused, and it never changes."""

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
        return {key: str(value) if isinstance(value, Path) else value for key, value in params.items()}

    def build(self, registry: Registry[Any]) -> Any:
        """Return the component; raises ConfigError for unknown names and wrong parameters."""
        return registry.build(self.name, self.params)

    def to_toml(self) -> str | dict[str, Any]:
        """Return the shortest form that reads back as this."""
        return {"name": self.name, **self.params} if self.params else self.name

    @property
    def label(self) -> str:
        """The component as one word with its own parameters, for tables."""
        inner = ", ".join(f"{key}={_labelled(value)}" for key, value in self.params.items())
        return f"{self.name}({inner})" if inner else self.name


def _labelled(value: object) -> object:
    """Return a parameter as a label shows it: a component within a component by its own label."""
    return Component.model_validate(value).label if isinstance(value, Mapping) and "name" in value else value


def _several(value: object) -> object:
    if value == BEST_ON_VALIDATION:
        return PAPERS_LOSSES
    return (value,) if isinstance(value, str | Mapping | Component) else value


Components = Annotated[tuple[Component, ...], BeforeValidator(_several)]


def factors(grid: Mapping[str, Sequence[object]]) -> list[dict[str, str]]:
    """Return what tells the cells of a grid apart: axis -> level, as words. An axis is called by its last part.

    >>> factors({"sampling": ["af"], "preprocessing.size": [32, 48], "augmentation": [[], "flip"]})[1]
    {'size': '32', 'augmentation': 'flip'}
    """
    named = titles(grid)
    cells = [dict(zip(grid, line, strict=True)) for line in itertools.product(*map(words, grid.values()))]
    return [{title: cell[key] for key, title in named.items()} for cell in cells]


def titles(grid: Mapping[str, Sequence[object]]) -> dict[str, str]:
    """Return what each axis of a grid is called: the last part of its key where no other ends so."""
    keys = [key for key, values in grid.items() if len(values) > 1]
    ends = Counter(key.split(".")[-1] for key in keys)
    short = {key: key.split(".")[-1] if ends[key.split(".")[-1]] == 1 else key for key in keys}
    return {key: title.replace("_", " ") for key, title in short.items()}


def words(levels: Sequence[object]) -> list[str]:
    """Return each level of an axis as a word: a component's bare name, or what tells it from others of its name.

    >>> words([{"name": "crop", "crop": "none"}, {"name": "crop", "crop": "face", "box": "frame"}])
    ['none', 'face frame']
    >>> words(["m1", {"name": "m2", "box": "onset"}]), words([[], ["crop_jitter"]]), words([384, None])
    (['m1', 'm2'], ['none', 'crop_jitter'], ['384', 'all'])
    """
    parts = [[_named(item) for item in (level if isinstance(level, list | tuple) else [level])] for level in levels]
    names = Counter(tuple(name for name, _ in part) for part in parts)
    only = len(names) == 1
    return [_word(part, bare=names[tuple(name for name, _ in part)] == 1, named=not only) for part in parts]


def _named(level: object) -> tuple[str, Mapping[str, object]]:
    if isinstance(level, Mapping):
        return str(level.get("name", "")), {key: value for key, value in level.items() if key != "name"}
    return ("all" if level is None else str(level).lower() if isinstance(level, bool) else str(level)), {}


def _word(parts: Sequence[tuple[str, Mapping[str, object]]], *, bare: bool, named: bool) -> str:
    words = []
    for name, params in parts:
        told = [] if bare else [str(v) if isinstance(v, str) else f"{key} {v}" for key, v in params.items()]
        words.append(" ".join([*([name] if named or not told else []), *told]))
    return " + ".join(words) or "none"
