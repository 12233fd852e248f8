"""TOML turned into checked models: dotted keys, and every wrong key told at once."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from microexpr.core.errors import ConfigError, suggest

M = TypeVar("M", bound=BaseModel)


def parse(kind: type[M], content: Mapping[str, Any], where: str) -> M:
    """Return what TOML holds as a checked model; raises ConfigError naming every wrong key."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        problems = [_problem(kind, item) for item in error.errors()]
        raise ConfigError(f"{where} is not right:\n  " + "\n  ".join(problems)) from None


def _problem(kind: type[BaseModel], item: Any) -> str:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = _known(kind, item["loc"][:-1])
        return f"unknown key {path!r}{suggest(str(item['loc'][-1]), known)}; known: {', '.join(known)}"
    said = str(item["msg"]).removeprefix("Value error, ")
    return f"{path}: {said}" if path else said


def _known(kind: type[BaseModel], path: Sequence[Any]) -> list[str]:
    for part in path:
        inner = kind.model_fields[part].annotation if part in kind.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        kind = inner
    return list(kind.model_fields)


def set_dotted(content: dict[str, Any], key: str, value: object) -> None:
    """Set a value deep inside nested tables; a component that was a bare name gets parameters."""
    *path, last = key.split(".")
    for part in path:
        inner = content.get(part, {})
        if not isinstance(inner, str | dict):
            raise ConfigError(f"{key}: {part!r} has no parts that could be set.")
        content[part] = {"name": inner} if isinstance(inner, str) else copy.copy(inner)
        content = content[part]
    content[last] = value


def parse_setting(text: str) -> tuple[str, Any]:
    """Return key and value of ``key=value``; the value is TOML where it can be, else a word."""
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set takes key=value, not {text!r}; for instance --set training.epochs=2.")
    try:
        return key.strip(), tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()
