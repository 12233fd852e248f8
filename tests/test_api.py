"""The public calls: complete, importable, documented; what the command does can be called."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import typer

import microexpr
from microexpr import api, cli

PACKAGE = Path(microexpr.__file__).parent
CALLS = {
    "studies": "list_studies",
    "study": "run_study",
    "run": "run_experiment",
    "fit": "fit",
    "export": "export",
    "predict": "predict",
    "tune": "tune_experiment",
    "explain": "explain_code",
    "check": "check_results",
    "compare": "compare_all",
    "report": "rebuild_report",
    "audit log": "audit_log",
    "audit table": "audit_table",
    "audit agreement": "audit_agreement",
    "data make": "make_synthetic",
    "data check": "check_data",
    "data table": "data_table",
    "data stats": "data_stats",
    "data list": "list_data",
    "bench": "run_bench",
    "doctor": "check_machine",
    "status": "study_status",
    "collect": "collect_study",
    "store ls": "list_store",
    "store show": "show_store",
    "store verify": "verify_store",
    "store merge": "merge_stores",
    "store gc": "clean_store",
    "store export": "export_store",
    "weights fetch": "fetch_weights",
    "weights verify": "verify_weights",
    "weights bundle": "bundle_weights",
    "weights unbundle": "unbundle_weights",
}
ONLY_OF_THE_COMMAND = {
    "help", "settings", "no_corrections", "json", "quiet", "dry_run", "kind", "study", "verbose", "resource", "detach",
    "watch",
}  # fmt: skip


def commands(app: typer.Typer, prefix: str = "") -> dict[str, typing.Callable[..., None]]:
    found = {prefix + str(item.name): item.callback for item in app.registered_commands}
    for group in app.registered_groups:
        found |= commands(group.typer_instance, f"{prefix}{group.name} ")
    return {name: callback for name, callback in found.items() if callback}


@pytest.mark.parametrize("name", microexpr.__all__)
def test_every_public_name_is_there_and_documented(name):
    thing = getattr(microexpr, name)
    if name == "__version__":
        return
    doc = inspect.getdoc(thing)
    assert doc, name
    assert "Usage docs:" not in doc, f"{name} has pydantic's docstring, not its own"
    assert thing.__module__.startswith("microexpr."), name


def test_the_list_is_sorted_and_complete():
    assert sorted(microexpr.__all__) == microexpr.__all__
    assert dir(microexpr) == microexpr.__all__
    offered = {
        name
        for name, thing in vars(api).items()
        if not name.startswith("_") and inspect.isroutine(thing) and thing.__module__ == api.__name__
    }
    # Steps of a call that stand in the module for the command's sake.
    assert offered - set(microexpr.__all__) <= {"weights_tags"}


def test_type_checkers_see_every_public_name():
    """Names are resolved lazily, so an editor knows only those that the TYPE_CHECKING block imports."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    seen = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(microexpr.__all__) - {"__version__"} <= seen


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'run_studdy'"):
        microexpr.run_studdy  # noqa: B018


def test_star_import_and_import_alone_are_light():
    code = (
        "import sys, microexpr; dir(microexpr); microexpr.Clip; print('torch' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


DATA_COMMANDS = [["data", what, "manifest", "--root", "FOLDER"] for what in ("check", "table", "stats")]
LIGHT = """
import sys
from microexpr import cli
try:
    cli.main()
except SystemExit as end:
    assert not end.code, end.code
assert not {"torch", "torchvision", "timm"} & set(sys.modules)
"""


@pytest.mark.parametrize("words", [["--help"], ["study", "--help"], ["data", "list"], *DATA_COMMANDS], ids=" ".join)
def test_help_and_data_commands_import_no_networks(words, database):
    arguments = [word.replace("FOLDER", str(database)) for word in words]
    done = subprocess.run([sys.executable, "-c", LIGHT, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_command_has_a_call():
    assert set(commands(cli.app)) == set(CALLS)
    assert all(call in microexpr.__all__ for call in CALLS.values())
    assert "dry_run" in microexpr.__all__


@pytest.mark.parametrize("command", CALLS)
def test_every_option_of_a_command_is_a_parameter_of_its_call(command):
    call = getattr(microexpr, CALLS[command])
    wanted = set(inspect.signature(commands(cli.app)[command]).parameters) - ONLY_OF_THE_COMMAND
    if "file" in wanted and "what" in inspect.signature(call).parameters:
        wanted.remove("file")
    if command == "data make":
        offered = {"out", *microexpr.make_synthetic.__annotations__}
        from microexpr.components.datasets.synthetic import SyntheticSpec

        offered |= set(inspect.signature(SyntheticSpec).parameters)
    else:
        offered = set(inspect.signature(call).parameters)
        if "options" in offered:
            offered |= set(microexpr.RunOptions.__annotations__)
    assert wanted <= offered


def test_typed():
    assert (PACKAGE / "py.typed").is_file()
