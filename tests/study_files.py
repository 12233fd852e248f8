"""A small study in files, as a user has it, and what must not depend on how it was run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from conftest import recipe, write_database

SUBJECTS = 4
STUDY = """
name = "small"
title = "A small study"
latency = false

[experiment]
{experiment}

[grid]
sampling = ["onset_apex", "apex_offset"]
model = ["pca_svm", "small_cnn"]
"""


def write_study(folder: Path, epochs: int = 6) -> tuple[Path, Path]:
    """Write a study of four experiments with four folds each; return its file and its database."""
    experiment = recipe().with_values({"sampling": "onset_apex", "representation": "flow", "training.epochs": epochs})
    lines = [f"{key} = {_toml(value)}" for key, value in experiment.to_dict().items()]
    file = folder / "study.toml"
    file.write_text(STUDY.format(experiment="\n".join(lines)))
    return file, write_database(folder / "data", subjects=SUBJECTS, clips=3)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def lasting(out: Path) -> dict[str, str]:
    """Return a digest of everything that must not depend on how a study was run."""
    kinds = ("*.views.parquet", "*.history.parquet", "folds.json", "experiment.json")
    files = [file for kind in kinds for file in sorted((out / "results").rglob(kind))]
    return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
