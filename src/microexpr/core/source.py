"""Digests of the source code of components from outside the package, so that changed code is recognised.

For a module, the whole syntax tree counts, and those of the modules that it imports from its own package or folder. For
a script that is being run, only the statements that register the component count, and those that they refer to by name;
the lines that run a study do not. Comments, docstrings and layout never count. What the code reads while it runs
(files, the environment) is not recognised.
"""

from __future__ import annotations

import ast
import builtins
import dis
import functools
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from microexpr.core.files import digest

OWN = "microexpr"
SCRIPT = "__microexpr_script__"
"""Name under which another process imports a script; `__mp_main__` is taken where multiprocessing is imported."""
CHECKERS = ("jaxtyping", "beartype")
"""Packages whose frames are in between when types are checked at run time."""


def inside(factory: object) -> bool:
    """Whether a factory is a class or function of this package."""
    return isinstance(factory, type | FunctionType) and factory.__module__.partition(".")[0] == OWN


def calling() -> str:
    """Return the name of the module whose code called into this package."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in (OWN, *CHECKERS):
        frame = frame.f_back
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


def source(factory: Any, name: str, registering: str) -> str | None:
    """Return the digest of a factory's source; None if there is no source that can be read.

    It was registered as `name` by the module `registering`, which may differ from the one that defines it.
    """
    while isinstance(factory, functools.partial):
        factory = factory.func
    defining = inspect.unwrap(factory)
    defining = defining if isinstance(defining, type | FunctionType) else type(defining)
    modules = [sys.modules.get(each) for each in dict.fromkeys((defining.__module__, registering))]
    try:
        if not all(module and _has_file(module) for module in modules) or _typed_in(defining):
            return None
        return digest([defining.__qualname__, [_content(module, name) for module in modules]])
    except (OSError, SyntaxError, ValueError, ImportError, IndexError):  # such as an import from above its package
        return None


def _content(module: Any, name: str) -> list[Any]:
    """Return what counts in a module, and in those that it imports from its own package or folder."""
    file, spec = Path(module.__file__).resolve(), getattr(module, "__spec__", None)
    dotted = spec.name if spec is not None else module.__name__  # a script started with -m has a spec
    tree = _tree(file)
    counted = _of_script(tree, name) if module.__name__ in ("__main__", "__mp_main__", SCRIPT) else tree.body
    distributions = sorted(set(packages_distributions().get(dotted.partition(".")[0], ())))
    modules = sorted(_imported(counted, dotted, file).items())
    return [_plain(counted), [f"{each} {version(each)}" for each in distributions], modules]


def _has_file(module: Any) -> bool:
    return Path(str(getattr(module, "__file__", None))).suffix == ".py"


def _typed_in(defining: type | FunctionType) -> bool:
    """Whether code comes from a notebook cell or the prompt, although its module has a file."""
    functions = [defining] if isinstance(defining, FunctionType) else vars(defining).values()
    places = (each.__code__.co_filename for each in functions if isinstance(each, FunctionType))
    return any(not Path(place).is_file() and place != "<string>" for place in places)  # <string>: made by dataclass


# --- modules ----------------------------------------------------------------------------------------------------------
def _imported(body: Sequence[ast.stmt], dotted: str, file: Path) -> dict[str, Any]:
    """Return, by name, the syntax trees of what a file imports, directly or not, from its own package or folder."""
    package = file.name == "__init__.py"
    root = file.parents[dotted.count(".") + package]
    installed, top = "site-packages" in root.parts, dotted.partition(".")[0]
    found: dict[str, Any] = {}
    todo = list(_names(body, dotted if package else dotted.rpartition(".")[0]))
    while todo:
        name = todo.pop()
        if name in found or (installed and name.partition(".")[0] != top):
            continue
        place = root.joinpath(*name.split("."))
        for each in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if each.is_file() and each != file:
                tree = _tree(each)
                found[name] = _plain(tree.body)
                todo += _names(tree.body, name if each.name == "__init__.py" else name.rpartition(".")[0])
                break
    return found


def _names(body: Iterable[ast.stmt], package: str) -> Iterator[str]:
    """Yield every name, with its parents, under which statements of a module in `package` may import modules."""
    for node in (node for statement in body for node in ast.walk(statement)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (not node.level or package):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for parts in (name.split(".") for name in names):
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


# --- scripts ----------------------------------------------------------------------------------------------------------
def _of_script(tree: ast.Module, name: str) -> list[ast.stmt]:
    """Return the statements that register a component and, repeatedly, those that bind or change a name they use.

    A function or loop counts as a whole. If nothing registers the component by a literal name, the whole script counts.
    """
    statements = list(_flat(tree.body))
    counted = [each for each in statements if _registers(each, name)]
    if not counted:
        return tree.body
    imports = (each for each in statements if isinstance(each, ast.Import | ast.ImportFrom))
    fixed = {*dir(builtins), *(bound for each in imports for bound in _binds(each))}
    for each in counted:
        used = _used(each)
        for other in statements:
            changes = _binds(other) - (fixed if isinstance(other, ast.Expr) else set())
            if other not in counted and ("*" in changes or used & changes):
                counted.append(other)  # visited later in this loop
    return sorted(counted, key=lambda each: each.lineno)


def _used(statement: ast.stmt) -> set[str]:
    """Return the module-level names that a statement reads, without those that its functions bind."""
    codes = [compile(ast.Module([statement], []), "<script>", "exec", dont_inherit=True)]
    for code in codes:
        codes += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
    loads = (step for code in codes for step in dis.get_instructions(code) if step.opname.startswith("LOAD_"))
    return {str(step.argval) for step in loads if "NAME" in step.opname or "GLOBAL" in step.opname}


def _flat(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements; each one under an ``if`` separately, with its condition."""
    for statement in body:
        if isinstance(statement, ast.If):
            for inner in _flat([*statement.body, *statement.orelse]):
                yield ast.copy_location(ast.If(statement.test, [inner], []), inner)
        else:
            yield statement


def _registers(statement: ast.stmt, name: str) -> bool:
    if isinstance(statement, ast.If):
        return _registers(statement.body[0], name)
    calls = (node for node in ast.walk(statement) if isinstance(node, ast.Call))
    return any(
        isinstance(call.func, ast.Attribute)
        and call.func.attr == "register"
        and any(isinstance(word, ast.Constant) and word.value == name for word in call.args[:1])
        for call in calls
    )


def _binds(statement: ast.stmt) -> set[str]:
    """Return the names that a statement binds, or may change like ``LAYERS.append(3)`` and ``fill(LAYERS)``."""
    if isinstance(statement, ast.If):
        return _binds(statement.body[0])
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        shared = (each for node in ast.walk(statement) if isinstance(node, ast.Global) for each in node.names)
        return {statement.name, *shared}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
    if isinstance(statement, ast.Expr):
        return {node.id for node in names}
    changed = {
        id(target)
        for node in ast.walk(statement)
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store)
        for target in ast.walk(node.value)
    }
    return {node.id for node in names if isinstance(node.ctx, ast.Store) or id(node) in changed}


# --- syntax trees -----------------------------------------------------------------------------------------------------
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_bytes())


def _plain(node: object) -> object:
    """Return a syntax tree as lists, without docstrings and empty fields, which differ between Python versions."""
    if isinstance(node, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(node) if name not in ("kind", "type_comment")]
        return [type(node).__name__, *([name, _plain(value)] for name, value in fields if value not in (None, []))]
    if isinstance(node, list):
        return [_plain(item) for item in node if not _is_docstring(item)]
    return repr(node)


def _is_docstring(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
