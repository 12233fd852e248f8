"""Every error and fault has a code of the table, and every code of the table is used."""

from __future__ import annotations

import ast
import pickle
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

import microexpr
from microexpr.core import error_codes, errors
from microexpr.core.error_codes import CODES
from refusal import refuses

PACKAGE = Path(microexpr.__file__).parent
KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.MicroexprError) and name != "UnknownComponentError"
}
FAMILIES = {
    name: family
    for name, family in vars(error_codes).items()
    if isinstance(family, Mapping) and name.isupper() and family is not CODES
}


def calls() -> list[tuple[str, ast.Call]]:
    """Return every call of an error class or of Fault in the package, with its place."""
    return [
        (f"{file.relative_to(PACKAGE)}:{node.lineno}", node)
        for file in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and (node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")) in {*KINDS, "Fault"}
    ]


def problem(call: ast.Call) -> str:
    """Return what is wrong with the code that a call passes, or "" if nothing is."""
    named = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
    code = call.args[0] if call.args else named[0] if named else None
    match code:
        case ast.Constant(value=value) if value in CODES:
            return ""
        case ast.Constant(value=value):
            return f"{value!r} is not a known code"
        case ast.Name(id="code") | ast.Attribute(attr="code"):  # forwards the code of a parameter or another error
            return ""
        case ast.IfExp(body=ast.Constant(value=first), orelse=ast.Constant(value=second)):
            return "" if {first, second} <= set(CODES) else f"{first!r} or {second!r} is not a known code"
        case None:
            return "passes no code"
    return f"{ast.unparse(code)} is not a literal code"


def sentence(text: str) -> bool:
    return re.fullmatch(r"[A-Z`].*\.", text, flags=re.DOTALL) is not None and "  " not in text


def test_every_error_and_fault_has_a_known_code():
    problems = [f"{place}: {found}" for place, call in calls() if (found := problem(call))]
    assert not problems, "\n" + "\n".join(problems)


def test_every_code_is_used():
    used = {
        node.value
        for file in PACKAGE.rglob("*.py")
        if file.name != "error_codes.py"
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert sorted(set(CODES) - used) == []


def test_codes_are_unique_and_explained():
    everything = [code for family in FAMILIES.values() for code in family]
    problems = [f"{code} is in two families" for code, count in Counter(everything).items() if count > 1]
    problems += [f"{code} is in no family of CODES" for code in set(everything) ^ set(CODES)]
    problems += [f"{code} is not a code" for code in everything if not re.fullmatch(r"E[1-9]\d\d", code)]
    problems += [f"{name} mixes numbers" for name, family in FAMILIES.items() if len({code[1] for code in family}) > 1]
    problems += [
        f"{code}: not a sentence: {text}" for code, found in CODES.items() for text in found if not sentence(text)
    ]
    # A dictionary keeps the last of two equal keys, so the text is searched for them.
    keys = re.findall(r'^    "(E\d+)":', Path(error_codes.__file__).read_text("utf-8"), flags=re.MULTILINE)
    problems += [f"{code} is described twice" for code, count in Counter(keys).items() if count > 1]
    assert not problems, "\n" + "\n".join(problems)


def test_codes_can_be_explained():
    assert microexpr.explain_code("e101") == CODES["E101"]
    with refuses("E105", "'E999'", kind=errors.UsageError):
        microexpr.explain_code("E999")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_errors_pass_between_processes(kind):
    error = pickle.loads(pickle.dumps(kind("E101", "no such file")))
    assert (type(error), error.code, str(error)) == (kind, "E101", "no such file")


def test_faults_pass_between_processes():
    error = errors.DataError("E467", "bad", [errors.Fault("E468", "a.csv, row 3", "is empty", "fill it")])
    again = pickle.loads(pickle.dumps(error))
    assert (again.code, again.faults, str(again)) == (error.code, error.faults, str(error))
