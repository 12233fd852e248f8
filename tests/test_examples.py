"""The examples run as a user runs them, and print what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
PRINTED = {
    "own_data.py": "F1 of happiness: 1.000",
    "one_factor.py": "only the colour",
    "add_a_sampler.py": "spaced(count=4): 4 views per clip, 48 in total",
}


def test_every_example_is_run_here():
    assert {file.name for file in EXAMPLES.glob("*.py")} == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
def test_examples_run(name, tmp_path):
    # One thread each: with more, busy machines wait for each other.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert PRINTED[name] in done.stdout
    assert list(tmp_path.iterdir()) == [], "an example without arguments leaves nothing behind"
