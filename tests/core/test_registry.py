"""How components are found, asked for and given their parameters."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Annotated, Literal

import pytest
from pydantic import Field

from microexpr.core import registry as _registry
from microexpr.core.interfaces import REGISTRIES, datasets, models
from microexpr.core.registry import Registry, _registered_names
from refusal import refuses

Size = Annotated[int, Field(ge=8, le=64)]


@dataclass(frozen=True)
class Thing:
    size: Size = 16
    colour: Literal["rgb", "grey"] = "rgb"
    steps: tuple[int, ...] = (0, 1)
    share: float = 0.5
    mark: str | None = None


@pytest.fixture
def things() -> Registry[Thing]:
    registry: Registry[Thing] = Registry("thing", "no such folder", "microexpr.things", bound=frozenset({"root"}))
    registry.register("thing", revision=3)(Thing)

    @registry.register("rooted")
    def rooted(root: str, needed: int, *rest: int, also: bool = False, **options: int) -> Thing:
        return Thing()

    return registry


# --- discovery --------------------------------------------------------------------------------------------------------
def test_listing_names_imports_no_component():
    code = (
        "import sys; from microexpr.core.interfaces import REGISTRIES\n"
        "names = {folder: registry.names() for folder, registry in REGISTRIES.items()}\n"
        "assert 'vit_b32' in names['models'] and 'casme2' in names['datasets'], names\n"
        "sys.stdout.write(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert not {"torch", "pandas", "numpy", "timm", "cv2", "sklearn", "dlib"} & set(loaded)
    assert not [name for name in loaded if name.startswith(tuple(f"microexpr.{folder}." for folder in REGISTRIES))]


def test_names_are_read_from_the_source(tmp_path):
    file = tmp_path / "plugin.py"
    file.write_text(
        "raise RuntimeError('never imported')\n"
        "@things.register('a')\nclass A: ...\n"
        "@things.register('b', revision=2)\n@dataclass\nclass B: ...\n"
        "things.register('c')(make('c'))\n"
        "things.register(name)(other)\n"
        "register('d')\n"
    )
    assert _registered_names(file) == ["a", "b", "c"]


def test_every_name_is_where_its_source_says():
    """A file that registers another name than it spells would be found and then not be there."""
    for registry in REGISTRIES.values():
        for name in registry.names():
            assert callable(registry.get(name)), name


def test_no_name_is_registered_twice():
    for folder, registry in REGISTRIES.items():
        root = _registry.COMPONENTS / folder
        found = [name for file in sorted(root.rglob("*.py")) for name in _registered_names(file)]
        assert sorted(found) == sorted(set(found)), folder
        assert set(found) <= set(registry.names()), folder


def test_other_packages_add_components_through_entry_points(monkeypatch, things):
    point = EntryPoint("foreign", f"{__name__}:Thing", "microexpr.things")
    asked = []
    monkeypatch.setattr(_registry, "entry_points", lambda group: asked.append(group) or [point])
    assert things.names() == ("foreign", "rooted", "thing")
    assert asked == ["microexpr.things"]
    assert things.build("foreign", {"size": 32}) == Thing(32)
    assert str(things.revision("foreign")).startswith("1+")


def test_an_entry_point_that_registers_itself_keeps_its_revision(monkeypatch, things):
    class Point(EntryPoint):
        def load(self):
            return things.register("own", revision=7)(Thing)

    monkeypatch.setattr(_registry, "entry_points", lambda group: [Point("own", "a:b", group)])
    assert things.get("own") is Thing
    assert str(things.revision("own")).startswith("7+")


# --- names and parameters ---------------------------------------------------------------------------------------------
def test_unknown_names_list_the_known_ones(things):
    with refuses("E103", "'thingg' (did you mean 'thing'?)", "rooted, thing"):
        things.get("thingg")


def test_where_nothing_is_registered_the_message_says_so():
    with refuses("E103", "void 'x'", "none"):
        Registry("void", "no such folder", "microexpr.things").get("x")


def test_defaults_are_filled_in_and_values_converted(things):
    assert things.bind("thing", {"size": "32", "steps": [3, 4]}) == {
        **{"size": 32, "colour": "rgb", "steps": (3, 4)},
        **{"share": 0.5, "mark": None},
    }
    assert things.build("thing", {"mark": "x"}) == Thing(mark="x")
    assert str(things.revision("thing")).startswith("3+")


@pytest.mark.parametrize(
    ("params", "code", "named"),
    [
        ({"siez": 9}, "E110", ("thing 'thing'", "'siez' (did you mean 'size'?)", "size, colour, st")),
        ({"size": 7}, "E112", ("thing 'thing': size = 7 ", "greater than or equal to 8")),
        ({"size": 65}, "E112", ("size = 65 ", "less than or equal to 64")),
        ({"size": "big"}, "E112", ("size = 'big' ", "integer")),
        ({"size": 9.5}, "E112", ("size = 9.5 ",)),
        ({"colour": "gray"}, "E112", ("colour = 'gray' ", "'rgb' or 'grey'")),
        ({"steps": 3}, "E112", ("steps = 3 ",)),
        ({"share": "half"}, "E112", ("share = 'half' ",)),
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_built(things, params, code, named):
    with refuses(code, *named):
        things.bind("thing", params)


def test_what_the_house_passes_itself_cannot_be_set(things):
    with refuses("E110", "'rooted'", "'root'", "needed, also"):
        things.bind("rooted", {"root": "/", "needed": 1})
    with refuses("E110", "'root'"):
        datasets.bind("casme2", {"root": "/"})


def test_parameters_without_a_default_are_asked_for(things):
    with refuses("E111", "thing 'rooted'", "'needed'"):
        things.bind("rooted", {})
    assert things.bind("rooted", {"needed": 1}) == {"needed": 1, "also": False}


def test_parameters_cannot_hide_in_keyword_arguments(things):
    with refuses("E110", "'anything'"):
        things.bind("rooted", {"needed": 1, "anything": 2})


def test_ranges_of_real_components_are_enforced():
    for params in ({"drop_path": 1.0}, {"dropout": -0.1}, {"frozen_stages": -2}, {"grey": "mean"}):
        with refuses("E112", f"{next(iter(params))} = "):
            models.bind("vit_nano", params)
