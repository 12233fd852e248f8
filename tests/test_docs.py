"""The documents say what the code does: their blocks run, their commands and files exist, the page is up to date."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import tomllib
import warnings
from pathlib import Path

import pytest
import typer

from microexpr.config.component import Component
from microexpr.config.experiment import Experiment
from microexpr.config.loading import parse, shipped
from microexpr.core.interfaces import launchers
from shell import microexpr
from tools.component_pages import components_page, database_pages, main

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, *kinds: str) -> list[tuple[str, str]]:
    return [(kind, text) for kind, text in BLOCK.findall(page.read_text("utf-8")) if kind in kinds]


def test_the_page_of_components_is_up_to_date():
    stored = (ROOT / "docs/components.md").read_text("utf-8")
    assert stored == components_page(), "run `make docs` and commit docs/components.md"


def test_the_pages_of_databases_are_up_to_date():
    stored = {page.name: page.read_text("utf-8") for page in (ROOT / "docs/databases").glob("*.md")}
    assert stored == database_pages(), "run `make docs` and commit docs/databases"


def test_a_database_that_went_loses_its_page_and_other_files_stay(tmp_path):
    (tmp_path / "databases").mkdir()
    for name, page in (("gone.md", database_pages()["casme2.md"]), ("mine.md", "written by hand")):
        (tmp_path / "databases" / name).write_text(page, "utf-8")
    main([str(tmp_path / "components.md")])
    names = {page.name for page in (tmp_path / "databases").iterdir()}
    assert names == {*database_pages(), "mine.md"}


def run_in_shell(text: str) -> None:
    """Run a block as a shell does, the command itself in this process: starting another takes longer than its work."""
    lines = text.splitlines(keepends=True)
    for is_command, part in itertools.groupby(lines, key=lambda line: line.startswith("microexpr ")):
        if not is_command:
            subprocess.run(["bash", "-euo", "pipefail", "-c", "".join(part)], check=True)
            continue
        for line in part:
            answer = microexpr(*shlex.split(line)[1:])
            assert answer.code == 0, answer.err


def test_the_tutorial_runs(tmp_path, monkeypatch, no_figures):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "tutorial"}
    for kind, text in blocks(ROOT / "docs/tutorial.md", "sh", "python"):
        if kind == "sh":
            run_in_shell(text)
        else:
            with warnings.catch_warnings():
                exec(compile(text, "docs/tutorial.md", "exec"), names)


def commands() -> list[tuple[str, list[str]]]:
    found = []
    for page in PAGES:
        for _, text in blocks(page, "sh"):
            joined = text.replace("\\\n", " ")
            lines = [line.strip() for line in joined.splitlines()]
            found += [(page.name, shlex.split(line)) for line in lines if line.startswith("microexpr ")]
    return found


@pytest.mark.parametrize(("page", "words"), commands(), ids=lambda value: str(value)[:60])
def test_commands_and_their_options_exist(page, words):
    from microexpr.cli import app

    command = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"{page}: no command {rest[0]!r}"
        command, rest = command.commands[rest[0]], rest[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known | {"--debug", "--help"}
    if words[1] in ("study", "run", "tune", "fit") and len(words) > 2 and re.fullmatch(r"[a-z]\w*", words[2]):
        assert words[2] in shipped(), f"{page}: no study {words[2]!r}"


def test_recipes_in_the_documents_are_valid():
    recipes = [(page, text) for page in PAGES for _, text in blocks(page, "toml")]
    assert recipes
    for page, text in recipes:
        content = tomllib.loads(text)
        if content.get("name") in launchers.names():
            Component.model_validate(content).build(launchers)
        else:
            parse(Experiment, content, page.name).check()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_named_files_exist(page):
    text = page.read_text("utf-8")
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    named = re.findall(r"`((?:src|docs|studies|examples|tests)/[\w./-]+\.\w+)`", text)
    missing = [link for link in links if not (page.parent / link).exists() and not link.endswith(".png")]
    assert missing + [name for name in named if not (ROOT / name).exists()] == []


def test_python_in_the_readme_compiles():
    for _, text in blocks(ROOT / "README.md", "python"):
        compile(text, "README.md", "exec")


def test_the_citation_names_this_version():
    import microexpr

    assert f'version: "{microexpr.__version__}"' in (ROOT / "CITATION.cff").read_text("utf-8")
