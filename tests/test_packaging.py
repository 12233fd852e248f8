"""What an installed package holds: every template and study file, nothing that only developers run."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "microexpr"


@pytest.fixture(scope="module")
def setuptools():
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]


def test_every_file_beside_the_modules_is_package_data(setuptools):
    patterns = setuptools["package-data"]["microexpr"]
    files = [
        path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    lost = [
        str(file)
        for file in files
        if file.suffix != ".py" and not any(fnmatch(str(file), pattern) for pattern in patterns)
    ]
    assert lost == []
    assert {file.parts[0] for file in files if file.suffix == ".toml"} == {"studies"}


def test_packages_are_those_of_src_alone(setuptools):
    assert setuptools["packages"]["find"]["where"] == ["src"]
    assert [path.name for path in (ROOT / "src").iterdir() if (path / "__init__.py").is_file()] == ["microexpr"]


def test_the_package_root_is_small():
    entries = [path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 16, sorted(entries)
