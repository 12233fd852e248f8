"""Study files: finding them, reading TOML into validated models, setting dotted keys."""

from __future__ import annotations

import copy
import itertools
import re
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from microexpr.core.errors import ConfigError, OldNameWarning, suggest

M = TypeVar("M", bound=BaseModel)
RENAMED_KEYS = {"train_persons": "train_subjects"}
"""Keys of version 0.1 and what replaces them."""
RENAMED_VALUES = {"unit": ("person", "subject"), "draw": ("persons", "subjects")}
"""By key: a value of version 0.1 and what replaces it."""
SHIPPED = Path(__file__).parents[1] / "studies"
"""Folder of the files that come with the package: studies, experiments, published tables to audit in `audit/`, and the
numbers of replicated works in `published/`."""


def shipped(folder: str = "") -> dict[str, Path]:
    """Return the files that come with the package by name, sorted."""
    return {file.stem: file for file in sorted((SHIPPED / folder).glob("*.toml"))}


def described(file: Path) -> tuple[str, str]:
    """Return description and command of a file that comes with the package, both read from its first comment."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), file.read_text("utf-8").splitlines())
    comment = [line.removeprefix("#").removeprefix(" ") for line in lines]
    command = next(line.strip() for line in comment if re.match(rf"  microexpr (study|run|tune) {file.stem} ", line))
    sentence = re.split(r"(?<=\w)\. |: | \(", " ".join(comment), maxsplit=1)[0]
    return sentence.removesuffix("."), command


def read_toml(file: Path, folder: str = "", **options: Any) -> tuple[Path, dict[str, Any]]:
    """Return a file and its content; a name without ``.toml`` stands for a file of the package. Raises ConfigError."""
    known = shipped(folder)
    if not file.is_file() and file.name == str(file) in known:
        file = known[str(file)]
    try:
        return file, tomllib.loads(file.read_text("utf-8"), **options)
    except FileNotFoundError:
        if file.stem in known:
            hint = f"Write {file.stem}, without path and ending, to use the one that comes with microexpr."
        else:
            hint = f"Give the path of a file, or the name of one that comes with microexpr: {', '.join(known)}."
        raise ConfigError("E101", f"there is no file {file}{suggest(file.stem, known)}. {hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("E106", f"{file} cannot be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("E106", f"{file} is not valid TOML: {error}.") from None


def parse(kind: type[M], content: Mapping[str, Any], where: str) -> M:
    """Return the content of a TOML file as a validated model, with names of earlier versions replaced.

    Raises ConfigError; the message lists every wrong key.
    """
    content, old = _renamed(content)
    for name, new in old.items():
        warnings.warn(f"{where}: {name} is now {new}; the old name is still accepted.", OldNameWarning, stacklevel=2)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        problems = [_problem(kind, item) for item in error.errors()]
        raise ConfigError("E102", f"{where} is not valid:\n  " + "\n  ".join(problems)) from None


def _renamed(content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the content under current names, and each replaced name with its replacement.

    >>> _renamed({"grid": {"train_persons": [4, 8], "training.draw": ["clips", "persons"]}})[0]
    {'grid': {'train_subjects': [4, 8], 'training.draw': ['clips', 'subjects']}}
    """
    renamed: dict[str, Any] = {}
    old: dict[str, str] = {}
    for key, value in content.items():
        path, dot, last = key.rpartition(".")
        name = RENAMED_KEYS.get(last, last)
        if name != last:
            old[last] = name
        if isinstance(value, Mapping):
            value, inner = _renamed(value)
            old |= inner
        elif last in RENAMED_VALUES:
            before, after = RENAMED_VALUES[last]
            listed = value if isinstance(value, list | tuple) else [value]
            if before in listed:
                old[f'{last} = "{before}"'] = f'{last} = "{after}"'
                listed = [after if item == before else item for item in listed]
                value = listed if isinstance(value, list | tuple) else listed[0]
        renamed[path + dot + name] = value
    return renamed, old


def _problem(kind: type[BaseModel], item: Any) -> str:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = _known(kind, item["loc"][:-1])
        return f"unknown key {path!r}{suggest(str(item['loc'][-1]), known)}; known: {', '.join(known)}"
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{path}: {message}" if path else message


def _known(kind: type[BaseModel], path: Sequence[Any]) -> list[str]:
    for part in path:
        inner = kind.model_fields[part].annotation if part in kind.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        kind = inner
    return list(kind.model_fields)


def set_dotted(content: dict[str, Any], key: str, value: object) -> None:
    """Set a value in nested tables; a component given by its name alone becomes a table with parameters.

    Raises ConfigError.
    """
    *path, last = key.split(".")
    for part in path:
        inner = content.get(part, {})
        if not isinstance(inner, str | dict):
            raise ConfigError("E107", f"{key}: {part!r} is a single value and has no parts to set.")
        content[part] = {"name": inner} if isinstance(inner, str) else copy.copy(inner)
        content = content[part]
    content[last] = value


def parse_setting(text: str, option: str = "--set", example: str = "training.epochs=2") -> tuple[str, Any]:
    """Return key and value of ``key=value``; a value that is not valid TOML is a string. Raises ConfigError."""
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise ConfigError("E107", f"{option} takes key=value, not {text!r}; for example {option} {example}.")
    try:
        return key.strip(), tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()
