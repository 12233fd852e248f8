"""Write the page of components from their registries: ``python -m microexpr.docs docs/components.md``."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from microexpr._registry import Registry
from microexpr.contracts import REGISTRIES, DatasetInfo
from microexpr.errors import UsageError
from microexpr.files import write_atomically

HEAD = """\
# Components

Made by `make docs` from the registries; do not edit. A component is chosen by its name in a study file,
`model = "small_cnn"`, or with parameters, `model = { name = "small_cnn", width = 32 }`. A revision is raised whenever a
component's output changes; it is part of the key under which results are stored. What a kind of component takes and
gives stands in `src/microexpr/contracts.py`.
"""
_WORDS = {"boolean": "true or false", "integer": "whole number", "number": "number", "string": "text", "null": "none"}
_WORDS |= {"object": "table"}


def components_page() -> str:
    """Return the page, in Markdown: every component that comes with the package, by kind."""
    return "\n".join([HEAD, *(line for registry in REGISTRIES.values() for line in _kind(registry))])


def _kind(registry: Registry[Any]) -> Iterator[str]:
    own = [name for name in registry.names() if registry.get(name).__module__.startswith("microexpr.")]
    yield f"## {registry.folder.capitalize()}\n"
    if not own:
        yield f"None so far: the contract is laid, and a file in `src/microexpr/{registry.folder}/` fills it.\n"
    for name in own:
        yield from _component(registry, name)


def _component(registry: Registry[Any], name: str) -> Iterator[str]:
    factory = registry.get(name)
    source = "src/" + factory.__module__.replace(".", "/")
    yield f"### {registry.kind} `{name}`\n"
    yield _text(factory.__doc__) + "\n"
    info = getattr(factory, "info", None)
    if isinstance(info, DatasetInfo):
        yield from _info(info)
    parameters = registry.parameters(name)
    if parameters:
        yield "| parameter | type | default |"
        yield "|---|---|---|"
        yield from (_row(key, annotation, default) for key, (annotation, default) in parameters.items())
        yield ""
    else:
        yield "No parameters.\n"
    yield f"Revision {registry.revision(name)}. Source: `{source}.py`.\n"


def _info(info: DatasetInfo) -> Iterator[str]:
    yield f"- Licence: {info.licence}."
    yield f"- Access: {info.access}."
    if info.doi:
        yield f"- DOI: {info.doi}."
    yield ""


def _text(docstring: str | None) -> str:
    """Return a docstring as Markdown, without its doctests."""
    paragraphs = inspect.cleandoc(docstring or "").split("\n\n")
    kept = [paragraph for paragraph in paragraphs if not paragraph.startswith(">>>")]
    return re.sub(r"``(.+?)``", r"`\1`", "\n\n".join(kept))


def _row(name: str, annotation: Any, default: object) -> str:
    shown = "needed" if default is inspect.Parameter.empty else _value(default)
    return f"| `{name}` | {_type(TypeAdapter(annotation).json_schema())} | {shown} |"


def _value(value: object) -> str:
    if value is None:
        return "none"
    return f"`{json.dumps(round(value, 4) if isinstance(value, float) else value)}`"


def _type(schema: Mapping[str, Any]) -> str:
    """Return a JSON schema in words."""
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{json.dumps(word)}`" for word in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    word = _WORDS.get(str(schema.get("type")), "anything")
    if isinstance(schema.get("additionalProperties"), Mapping):
        word += f" of {_type(schema['additionalProperties'])}"
    return word + "".join(_bounds(schema))


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    said = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    yield from (f", {words} {schema[key]:g}" for key, words in said.items() if key in schema)


def main(arguments: Sequence[str]) -> None:
    """Write the page to the file named."""
    if len(arguments) != 1:
        raise UsageError("name the file to write: python -m microexpr.docs docs/components.md")
    write_atomically(Path(arguments[0]), components_page())


if __name__ == "__main__":
    main(sys.argv[1:])
