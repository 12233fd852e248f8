"""Write the pages made from the registries: ``python -m tools.component_pages docs/components.md``.

Next to the page of components, `databases/` gets one page per database and an index.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from microexpr.core.errors import UsageError
from microexpr.core.files import make_folder, write_atomically
from microexpr.core.interfaces import REGISTRIES, Correction, Dataset, DatasetInfo, datasets, reader
from microexpr.core.labels import AS_GIVEN, LABEL_SETS, LabelSet, Rule
from microexpr.core.registry import Registry

HEAD = """\
# Components

Made by `make docs` from the registries; do not edit. A component is chosen by its name in a study file,
`model = "small_cnn"`, or with parameters, `model = { name = "small_cnn", width = 32 }`. A revision is raised whenever a
component's output changes; it is part of the key under which results are stored. The inputs and outputs of each kind
of component are described in `src/microexpr/core/interfaces.py`.
"""
MADE = "Made by `make docs` from the registries; do not edit."
DATABASES = f"""\
# Databases

{MADE} None is included in microexpr: each has its own licence, and is read in the form that its
owners distribute. `microexpr data list` prints this list; `microexpr data check NAME --root DIR` lists everything that
is wrong with a copy.

| name | database | clips | subjects | frames per second |
|---|---|---|---|---|"""
SYNTHETIC = """
`microexpr data make synthetic --out DIR` draws synthetic faces in CASME II's layout, which are read as `casme2`. Scores
on them only show that the software works; they say nothing about methods.
"""
_TYPES = {"boolean": "true or false", "integer": "integer", "number": "number", "string": "text", "null": "none"}
_TYPES |= {"object": "table"}


def components_page() -> str:
    """Return the page, in Markdown, of every component that comes with the package, by kind."""
    return "\n".join([HEAD, *(line for registry in REGISTRIES.values() for line in _kind(registry))])


def _kind(registry: Registry[Any]) -> Iterator[str]:
    own = [name for name in registry.names() if registry.get(name).__module__.startswith("microexpr.")]
    yield f"## {registry.folder.capitalize()}\n"
    if not own:
        yield f"None yet: a file in `src/microexpr/components/{registry.folder}/` adds the first.\n"
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
    yield from _parameters(registry.parameters(name))
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
    given = "required" if default is inspect.Parameter.empty else _value(default)
    return f"| `{name}` | {_type(TypeAdapter(annotation).json_schema())} | {given} |"


def _value(value: object) -> str:
    if value is None:
        return "none"
    return f"`{json.dumps(round(value, 4) if isinstance(value, float) else value)}`"


def _type(schema: Mapping[str, Any]) -> str:
    """Return a JSON schema in words."""
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    name = _TYPES.get(str(schema.get("type")), "anything")
    if isinstance(schema.get("additionalProperties"), Mapping):
        name += f" of {_type(schema['additionalProperties'])}"
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    return name + "".join(f", {words} {schema[key]:g}" for key, words in bounds.items() if key in schema)


# --- databases --------------------------------------------------------------------------------------------------------
def database_pages() -> dict[str, str]:
    """Return the pages of the databases and of their index, in Markdown, by file name."""
    own = [name for name in datasets.names() if reader(name).__module__.startswith("microexpr.")]
    lines = [_line(name, reader(name).info) for name in own]
    index = "\n".join([DATABASES, *lines, SYNTHETIC])
    return {"index.md": index, **{f"{name}.md": "\n".join(_database(name)) for name in own}}


def _line(name: str, info: DatasetInfo) -> str:
    counts = (info.n_clips, info.n_subjects, info.fps and f"{info.fps:g}")
    return f"| `{name}` | [{info.title}]({name}.md) | {' | '.join(str(count or '') for count in counts)} |"


def _database(name: str) -> Iterator[str]:
    factory = reader(name)
    info = factory.info
    yield f"# {info.title}\n"
    yield f"Reader `{name}`. {MADE} Source: `src/{factory.__module__.replace('.', '/')}.py`.\n"
    yield _size(info)
    yield "## How to obtain it\n"
    yield from _info(info)
    if info.layout:
        yield f"## Files\n\n```text\n{info.layout.strip()}\n```\n"
    yield from _columns(factory)
    yield from _emotions(factory)
    yield f"## What the reader does\n\n{_text(factory.__doc__)}\n"
    yield from _parameters(datasets.parameters(name))
    yield from _corrections(factory.corrections)
    if info.counted:
        yield "## Numbers of clips in papers\n\n| clips | rule |\n|---|---|"
        yield from (f"| {number} | {_cell(rule)} |" for number, rule in info.counted)
        yield ""
    yield from _label_sets(name, factory)
    yield f"## Checking your copy\n\n```sh\nmicroexpr data check {name} --root DIR"
    yield f"microexpr data table {name} --root DIR --out clips.csv"
    yield f"microexpr data stats {name} --root DIR --out {name}.svg\n```\n"


def _size(info: DatasetInfo) -> str:
    counts = ((info.n_clips, "clips"), (info.n_subjects, "subjects"), (info.fps, "frames per second"))
    parts = [f"{number:g} {words}" for number, words in counts if number is not None]
    if info.fps is None and info.n_clips:
        parts.append("frame rates that differ between clips")
    lines = [", ".join(parts) + "."] if parts else []
    relatives = [name for name in datasets.names() if info.family and reader(name).info.family == info.family]
    if len(relatives) > 1:
        names = ", ".join(f"`{name}`" for name in relatives)
        lines.append(
            f"It belongs to the {info.family} family ({names}): the same people may have taken part in several of them "
            "under different numbers."
        )
    return " ".join(lines) + "\n" * bool(lines)


def _columns(factory: type[Dataset]) -> Iterator[str]:
    needed: Mapping[str, Sequence[str]] = getattr(factory, "columns", {})
    optional: Mapping[str, Sequence[str]] = getattr(factory, "optional", {})
    if not needed:
        return
    yield "## Columns of the table\n"
    yield "Capitals, spaces and punctuation in a header are ignored.\n"
    yield "| read as | the owners' header | also | |\n|---|---|---|---|"
    for columns, presence in ((needed, "required"), (optional, "may be missing")):
        for name, (first, *others) in columns.items():
            yield f"| {name} | `{first}` | {', '.join(f'`{other}`' for other in others)} | {presence} |"
    yield ""


def _emotions(factory: type[Dataset]) -> Iterator[str]:
    other = {word: emotion for word, emotion in factory.emotions.items() if word != emotion}
    emotions = ", ".join(dict.fromkeys(factory.emotions.values())) + "."
    read = ", ".join(f"`{word}` as {emotion}" for word, emotion in other.items())
    yield f"## Emotions\n\n{emotions}" + (f" Other words are translated: {read}." if read else "") + "\n"


def _parameters(parameters: Mapping[str, tuple[Any, Any]]) -> Iterator[str]:
    if not parameters:
        yield "No parameters.\n"
        return
    yield "| parameter | type | default |\n|---|---|---|"
    yield from (_row(key, annotation, default) for key, (annotation, default) in parameters.items())
    yield ""


def _corrections(corrections: Sequence[Correction]) -> Iterator[str]:
    if not corrections:
        return
    yield "## Corrections\n"
    yield (
        "Known defects of the table, corrected only if the table has the value found; where the folder must agree, it "
        "has every frame of the times used and none of those that only the table names. `--no-corrections` reads the "
        "table without corrections.\n"
    )
    yield "| clip | field | found | used | source | folder must agree |\n|---|---|---|---|---|---|"
    for item in corrections:
        values = (item.clip, item.field, _plain(item.found), _plain(item.used), item.source, "yes" * item.folder)
        yield f"| {' | '.join(map(_cell, values))} |"
    yield ""


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value) or "an empty cell"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _label_sets(name: str, factory: type[Dataset]) -> Iterator[str]:
    yield "## Label sets\n"
    yield f"Label sets of which this database has every class; `{AS_GIVEN}` uses the table's words unchanged.\n"
    yield "| labels | classes | leaves out | rule |\n|---|---|---|---|"
    for labels in LABEL_SETS.values():
        if applies(labels, name, factory):
            left = ", ".join(_left_out(labels, name, factory))
            yield f"| `{labels.name}` | {', '.join(labels.classes)} | {left} | {_cell(labels.source)} |"
    yield ""


def applies(labels: LabelSet, name: str, factory: type[Dataset]) -> bool:
    """Whether a database has emotions for every class of a label set."""
    rule = _rule(labels, name)
    if rule is None:
        return False
    if rule.reads != "emotion":
        # Such labels are not part of the registry: a reader's docstring or columns mention them.
        columns = (*getattr(factory, "columns", ()), *getattr(factory, "optional", ()))
        return rule.reads in columns or rule.reads in _text(factory.__doc__)
    return {rule.mapping.get(word) for word in factory.emotions.values()} >= set(labels.classes)


def _rule(labels: LabelSet, name: str) -> Rule | None:
    return next((rule for rule in labels.rules if not rule.datasets or name in rule.datasets), None)


def _left_out(labels: LabelSet, name: str, factory: type[Dataset]) -> Iterator[str]:
    rule = _rule(labels, name)
    if rule is None:
        return
    if rule.reads == "emotion":
        yield from (word for word in dict.fromkeys(factory.emotions.values()) if word not in rule.mapping)
    if rule.needs_apex:
        yield "clips whose apex was not coded or is the onset"


def main(arguments: Sequence[str]) -> None:
    """Write the page of components to the named file, and those of databases into `databases/` next to it."""
    if len(arguments) != 1:
        raise UsageError("E105", "name the file to write: python -m tools.component_pages docs/components.md")
    file = Path(arguments[0])
    write_atomically(file, components_page())
    pages = database_pages()
    folder = make_folder(file.parent / "databases")
    for old in folder.glob("*.md"):
        if old.name not in pages and MADE in old.read_text("utf-8"):
            old.unlink()
    for name, page in pages.items():
        write_atomically(folder / name, page)


if __name__ == "__main__":
    main(sys.argv[1:])
