"""Registries: components found by name in the folder of their kind, imported only when needed.

A component's file registers it where it is defined::

    @samplers.register("af")
    @dataclass(frozen=True)
    class ApexFrame: ...

Names are read from the source with `ast`, so that listing them imports nothing. Other packages add components through
entry points, whose group is the registry's `group`.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import sys
import typing
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from microexpr.core.errors import ConfigError, UnknownComponentError, suggest
from microexpr.core.plugins import Plugin, import_from
from microexpr.core.source import calling, inside, source

T = TypeVar("T")
Factory = Callable[..., T]
COMPONENTS = Path(__file__).parents[1] / "components"
UNKNOWN = "unknown-"
"""Prefix of the digest of code that cannot be recognised in another run."""


@dataclass
class Registry(Generic[T]):
    """All components of one kind: `names`, `get` a factory, `build` a component from its parameters."""

    kind: str
    folder: str
    """Folder of `components/` with the components of this package."""
    group: str
    """Entry-point group through which other packages add components."""
    bound: frozenset[str] = frozenset()
    """Parameters that microexpr passes itself; study files may not set them."""
    _factories: dict[str, Factory[T]] = field(default_factory=dict)
    _revisions: dict[str, int] = field(default_factory=dict)
    _sources: dict[str, str | None] = field(default_factory=dict)
    """Components from outside the package: digest of their source when they were registered."""
    _registering: dict[str, str] = field(default_factory=dict)
    """Components from outside the package: the module that registered them."""
    _outside: dict[str, str] = field(default_factory=dict)
    """Components from outside the package: the digest used in this run."""

    def register(self, name: str, *, revision: int = 1) -> Callable[[Factory[T]], Any]:
        """Register a factory under `name`; raise `revision` whenever its output changes."""

        def decorate(factory: Factory[T]) -> Factory[T]:
            self._factories[name] = factory
            self._revisions[name] = revision
            self._note_source(name)
            return factory

        return decorate

    @cached_property
    def _modules(self) -> Mapping[str, str]:
        folder = COMPONENTS / self.folder
        files = sorted([*folder.glob("*.py"), *folder.glob("*/__init__.py")])
        found: dict[str, str] = {}
        for file in files:
            parts = file.relative_to(folder).with_suffix("").parts
            module = ".".join(("microexpr.components", self.folder, *(part for part in parts if part != "__init__")))
            found.update(dict.fromkeys(_registered_names(file), module))
        return found

    @cached_property
    def _entry_points(self) -> Mapping[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}

    def names(self) -> tuple[str, ...]:
        """Return every known name, sorted, without importing a component."""
        return tuple(sorted({*self._modules, *self._entry_points, *self._factories}))

    def get(self, name: str) -> Factory[T]:
        """Return the factory called `name`; raises UnknownComponentError listing the known names."""
        if name not in self._factories:
            if name in self._modules:
                importlib.import_module(self._modules[name])
            elif name in self._entry_points:
                self._factories.setdefault(name, self._entry_points[name].load())
                self._note_source(name, self._entry_points[name].module)
            else:
                raise UnknownComponentError(self.kind, name, self.names())
        return self._factories[name]

    def revision(self, name: str) -> int | str:
        """Return the revision of a component, which is part of the keys of experiments and caches.

        For a component from outside the package it includes the digest of its source.
        """
        self.get(name)
        revision = self._revisions.get(name, 1)
        return f"{revision}+{self._outside[name]}" if name in self._outside else revision

    def begin_run(self) -> bool:
        """Compare components from outside the package with their files; return whether there are any.

        If a component has no source, or its file has changed since it was loaded, its digest is unique to this run.
        """
        for name, loaded in self._sources.items():
            found = source(self._factories[name], name, self._registering[name])
            known = found is not None and found == loaded
            self._outside[name] = str(found) if known else f"{UNKNOWN}{uuid.uuid4().hex}"
        return bool(self._sources)

    @property
    def unrecognised(self) -> dict[str, str]:
        """Components whose results cannot be reused, with the reason."""
        edited, typed = "was edited after it was loaded", "has no source file (a notebook, the prompt)"
        return {
            name: edited if self._sources[name] else typed
            for name, found in self._outside.items()
            if found.startswith(UNKNOWN)
        }

    def outside(self) -> dict[str, tuple[Factory[T], int, str]]:
        """Return what another process needs in order to use the components from outside the package."""
        return {name: (self._factories[name], self._revisions.get(name, 1), at) for name, at in self._outside.items()}

    def plugins(self) -> list[Plugin]:
        """Return the components from outside the package that are in use."""
        found = []
        for name, digest in self._outside.items():
            module, point = self._registering.get(name, ""), self._entry_points.get(name)
            file = str(getattr(sys.modules.get(module), "__file__", None) or "")
            offered = point is not None and point.module == module
            spec = getattr(sys.modules.get(module), "__spec__", None)
            package = str(spec.parent) if module == "__main__" and spec is not None else ""
            found.append(
                Plugin(self.folder, name, self._revisions.get(name, 1), digest, module, file, offered, package)
            )
        return found

    def load(self, plugin: Plugin) -> None:
        """Make a component of another process available here; raises ConfigError if that cannot be the same code."""
        if plugin.name not in self._factories:
            if not plugin.file or plugin.source.startswith(UNKNOWN):
                raise ConfigError(
                    "E117",
                    f"{self.kind} {plugin.name!r} has no source file (a notebook, the prompt) or was edited after it "
                    "was loaded, so another process cannot load it. Define it in a module, and start again.",
                )
            if not plugin.entry_point:
                try:
                    import_from(Path(plugin.file), plugin.module, plugin.package)
                except ImportError as error:
                    raise ConfigError(
                        "E117",
                        f"{self.kind} {plugin.name!r} cannot be loaded by another process from {plugin.file}: {error}. "
                        "Set PYTHONPATH so that it finds the same modules, and start again.",
                    ) from error
        self.adopt({plugin.name: (self.get(plugin.name), plugin.revision, plugin.source)})

    def adopt(self, components: Mapping[str, tuple[Factory[T], int, str]]) -> None:
        """Use the components of the process that shares its work; raises ConfigError if the code here differs."""
        for name, (factory, revision, found) in components.items():
            if not found.startswith(UNKNOWN) and self._sources.setdefault(name, found) != found:
                raise ConfigError(
                    "E114",
                    f"the source of {self.kind} {name!r} was edited during the run, so the processes would run "
                    "different code. Run the same command again; finished folds are kept.",
                )
            self._factories.setdefault(name, factory)
            self._revisions[name], self._outside[name] = revision, found

    def _note_source(self, name: str, registering: str = "") -> None:
        factory = self._factories[name]
        self._sources.pop(name, None)
        self._outside.pop(name, None)
        if not inside(factory):
            self._registering[name] = registering or calling()
            self._sources[name] = found = source(factory, name, self._registering[name])
            self._outside[name] = found or f"{UNKNOWN}{uuid.uuid4().hex}"

    def parameters(self, name: str) -> dict[str, tuple[Any, Any]]:
        """Return type annotation and default (`inspect.Parameter.empty`: none) of each parameter of study files."""
        return {key: value for key, value in _parameters(self.get(name)).items() if key not in self.bound}

    def bind(self, name: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return `params` converted to the factory's types, with defaults filled in; raises ConfigError."""
        offered = self.parameters(name)
        where = f"{self.kind} {name!r}"
        for key in params:
            if key not in offered:
                known = ", ".join(offered) or "none"
                raise ConfigError(
                    "E110",
                    f"{where} has no parameter {key!r}{suggest(key, offered)}. Known parameters: {known}.",
                )
        values = {}
        for key, (annotation, default) in offered.items():
            if key in params:
                values[key] = _convert(where, key, params[key], annotation)
            elif default is inspect.Parameter.empty:
                raise ConfigError("E111", f"{where}: the parameter {key!r} is required.")
            else:
                values[key] = default
        return values

    def build(self, name: str, params: Mapping[str, Any]) -> T:
        """Return the component `name` built with `params`, after checking them against its signature."""
        return self.get(name)(**self.bind(name, params))


def _registered_names(file: Path) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
    return [
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "register"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    ]


@functools.cache
def _parameters(factory: Callable[..., Any]) -> Mapping[str, tuple[Any, Any]]:
    source = factory.__init__ if inspect.isclass(factory) else factory
    hints = typing.get_type_hints(source, include_extras=True)
    return {
        name: (hints.get(name, Any), parameter.default)
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def _convert(where: str, key: str, value: object, annotation: Any) -> object:
    from pydantic import TypeAdapter, ValidationError

    try:
        adapter: TypeAdapter[object] = TypeAdapter(annotation)
        return adapter.validate_python(value)
    except ValidationError as error:
        problem = "; ".join(item["msg"] for item in error.errors())
        raise ConfigError("E112", f"{where}: {key} = {value!r} is not valid: {problem}.") from None
