"""The examples run without arguments, and print what they promise."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from microexpr.core.interfaces import samplers

EXAMPLES = Path(__file__).parents[1] / "examples"
PRINTED = {
    "own_data.py": "F1 of happiness: 1.000",
    "one_factor.py": "only the colour",
    "predict_folder.py": "small_cnn for disgust, surprise",
    "add_a_sampler.py": "spaced(count=4): 4 views per clip, 48 in total",
}

WITH_A_MODEL = {"predict_exported.py"}
"""Run by tests/cli/test_export_command.py, with a model that is exported there."""


def test_every_example_is_run():
    assert {file.name for file in EXAMPLES.glob("*.py")} == set(PRINTED) | WITH_A_MODEL


@pytest.mark.parametrize("name", PRINTED)
def test_examples_run(name, tmp_path, monkeypatch, capsys, no_figures):
    """In this process, as starting another takes longer than the example."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name])
    before = set(samplers.names())
    try:
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    finally:  # what an example registers does not stay
        for added in set(samplers.names()) - before:
            for known in (samplers._factories, samplers._revisions, samplers._sources, samplers._outside):
                known.pop(added, None)
        samplers.begin_run()
    assert PRINTED[name] in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [], "an example without arguments leaves nothing behind"
