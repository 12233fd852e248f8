"""Components from outside the package as data, with which another process finds their code."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path

from microexpr.core.source import SCRIPT


@dataclass(frozen=True)
class Plugin:
    """A component from outside the package, as data with which another process finds it."""

    folder: str
    """Folder of its registry."""
    name: str
    revision: int
    source: str
    """Digest of its source, or one that begins with UNKNOWN."""
    module: str
    """The module that registers it."""
    file: str
    """The file of this module; empty for a notebook or prompt."""
    entry_point: bool
    """Whether an installed package offers it."""
    package: str = ""
    """The package of a script that was started with ``python -m``."""


def import_from(file: Path, module: str, package: str = "") -> None:
    """Import a module from its file; a script (``__main__``) is imported without what it does only when it is run.

    `package` is that of a script which was started with ``python -m``. Raises ImportError.
    """
    name = SCRIPT if module == "__main__" else module
    known = sys.modules.get(name)
    if known is not None and Path(str(getattr(known, "__file__", None))).resolve() == file.resolve():
        return
    if known is not None and name != SCRIPT:
        raise ImportError(f"another module {name} is loaded already, from {getattr(known, '__file__', 'no file')}")
    if not file.is_file():
        raise ImportError(f"{file} is missing")
    depth = package.count(".") + bool(package) if name == SCRIPT else module.count(".") + (file.name == "__init__.py")
    folder = str(file.parents[depth])
    sys.path.insert(0, folder)  # another module of this name may come first
    try:
        if name != SCRIPT:
            importlib.import_module(name)
            return
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        loaded = sys.modules[name] = importlib.util.module_from_spec(spec)
        if package:
            loaded.__spec__ = ModuleSpec(f"{package}.{file.stem}", spec.loader, origin=str(file))
            loaded.__package__ = package
        try:
            spec.loader.exec_module(loaded)
        except BaseException:
            del sys.modules[name]
            raise
    finally:
        sys.path.remove(folder)
        sys.path.append(folder)
