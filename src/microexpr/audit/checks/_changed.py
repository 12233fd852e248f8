"""Results computed by other code than the present one, or than other results of the same experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from microexpr.audit.checks._finding import Finding
from microexpr.audit.checks._stored import Stored
from microexpr.config.experiment import FIELDS
from microexpr.core import interfaces
from microexpr.core.errors import ConfigError
from microexpr.core.files import digest
from microexpr.core.registry import Registry

FIX = "run the same command again, which trains the folds again, and delete the older results/KEY"
Used = tuple[Registry[Any], str, int | str]
"""A component: its registry, its name and the revision under which results were stored."""


def of_changed(stored: Sequence[Stored]) -> Iterator[Finding]:
    """Yield findings; external components may not be known here, so results are compared with each other as well."""
    now: dict[str, list[str]] = {}
    by_revision: dict[str, dict[str, set[str]]] = {}
    for each in stored:
        canonical = each.metadata.get("canonical") or {}
        used = list(_used(canonical))
        for registry, name, before in used:
            after = _revision(registry, name)
            if after not in (None, before):
                now.setdefault(f"{registry.kind} {name}: revision {before} stored, {after} now", []).append(each.key)
        same = digest([_without(canonical), each.metadata.get("weights"), each.metadata.get("fingerprint")])
        for registry, name, before in (item for item in used if isinstance(item[2], str)):
            by_revision.setdefault(f"{same} {registry.kind} {name}", {}).setdefault(str(before), set()).add(each.key)
    if now:
        listed = "; ".join(f"{what} ({', '.join(keys)})" for what, keys in now.items())
        yield Finding("ME017", "warning", "Components have changed since results were computed.", f"{listed}.", FIX)
    for what, found in by_revision.items():
        if len(found) > 1:
            listed = "; ".join(f"revision {revision} ({', '.join(sorted(keys))})" for revision, keys in found.items())
            evidence = f"{what.partition(' ')[2]}: {listed}."
            yield Finding(
                "ME017", "warning", "Results of one experiment were computed by different code.", evidence, FIX
            )


def _used(canonical: Mapping[str, Any]) -> Iterator[Used]:
    for part, registry in FIELDS.items():
        value = canonical.get(part) or []
        for component in value if isinstance(value, list) else [value]:
            yield from _with_inner(registry, component)


def _with_inner(registry: Registry[Any], component: Mapping[str, Any]) -> Iterator[Used]:
    yield registry, component["name"], component["revision"]
    if "detector" in component:
        yield interfaces.detectors, component["params"]["detector"], component["detector"]
    if isinstance(inner := component["params"].get("of"), Mapping):
        yield from _with_inner(registry, inner)


def _revision(registry: Registry[Any], name: str) -> int | str | None:
    """Return a component's present revision; None if it is not known here or cannot be recognised."""
    try:
        revision = registry.revision(name)
    except ConfigError:
        return None
    return None if name in registry.unrecognised else revision


def _without(content: object) -> object:
    """Return canonical content without revisions."""
    if isinstance(content, Mapping):
        kept = {key: value for key, value in content.items() if key != "revision"}
        if isinstance(kept.get("params"), Mapping):
            kept.pop("detector", None)
        return {key: _without(value) for key, value in kept.items()}
    return [_without(item) for item in content] if isinstance(content, list) else content
