"""Every error and fault has a code of the table, and every code of the table is used."""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import pytest

import microexpr
from microexpr.core import errors
from microexpr.core.error_codes import CODES

PACKAGE = Path(microexpr.__file__).parent
KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.MicroexprError) and name != "UnknownComponentError"
}


def made() -> list[tuple[str, ast.Call]]:
    """Return every place of the package where an error or a fault is made."""
    return [
        (f"{file.relative_to(PACKAGE)}:{node.lineno}", node)
        for file in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {*KINDS, "Fault"}
    ]


def test_every_error_and_fault_has_a_known_code():
    wrong = []
    for place, call in made():
        first = call.args[0] if call.args else None
        if isinstance(first, ast.Constant) and first.value not in CODES:
            wrong.append(place)
    assert wrong == []


def test_every_code_is_used_and_explained():
    text = "".join(file.read_text("utf-8") for file in PACKAGE.rglob("*.py") if file.name not in ("error_codes.py",))
    assert {code for code in CODES if f'"{code}"' not in text} == set()
    for code, explanation in CODES.items():
        assert re.fullmatch(r"E[1-9]\d\d", code)
        assert all(sentence.endswith(".") for sentence in explanation), code


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_errors_pass_between_processes(kind):
    error = pickle.loads(pickle.dumps(kind("E101", "no such file")))
    assert (type(error), error.code, str(error)) == (kind, "E101", "no such file")


def test_faults_pass_between_processes():
    error = errors.DataError("E201", "bad", [errors.Fault("E201", "a.csv, row 3", "is empty", "fill it")])
    again = pickle.loads(pickle.dumps(error))
    assert (again.code, again.faults, str(again)) == (error.code, error.faults, str(error))
