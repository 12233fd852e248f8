"""Compare the stored predictions of two versions of microexpr: ``python -m tools.same_predictions BEFORE AFTER``.

BEFORE and AFTER are folders that two versions wrote with ``--out`` for the same study and data. Every fold of every
experiment is matched by the experiment's settings, seed and fold, every row by its clip and frames; true class, labels
and probabilities must be the same to the last bit. Exit code 1, with what differs, where they are not. Run both under
the same number of threads on the same machine, for example with ``OMP_NUM_THREADS=1``.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

RENAMED = {"person": "subject", "persons": "subjects", "train_persons": "train_subjects"}
"""Words of version 0.1 in keys, values and columns."""


def main() -> int:
    """Compare two folders, print what was compared; returns 1 where predictions differ."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m tools.same_predictions BEFORE AFTER")
    before, after = (_experiments(Path(folder)) for folder in sys.argv[1:])
    problems = [f"only in {sys.argv[1]}: {name}" for name in before.keys() - after.keys()]
    problems += [f"only in {sys.argv[2]}: {name}" for name in after.keys() - before.keys()]
    folds = rows = 0
    for name in sorted(before.keys() & after.keys()):
        first, second = (_folds(each[name]) for each in (before, after))
        if first.keys() != second.keys():
            problems.append(f"other folds: {name}: {sorted(first.keys() ^ second.keys())}")
        for fold in sorted(first.keys() & second.keys()):
            folds, rows = folds + 1, rows + len(first[fold])
            if (problem := _difference(first[fold], second[fold])) is not None:
                problems.append(f"{name}, fold {fold}: {problem}")
    print(f"{len(before)} experiments, {folds} folds, {rows} views: {len(problems)} differences")
    print("\n".join(problems[:20]))
    return 1 if problems or not rows else 0


def _experiments(out: Path) -> dict[str, Path]:
    """Return the folder of each experiment by its settings, written with the present words."""
    found = {}
    for file in sorted((out / "results").glob("*/experiment.json")):
        content = json.loads(file.read_text("utf-8"))
        settings = _renamed(content["canonical"])
        found[json.dumps([settings, content.get("weights")], sort_keys=True)] = file.parent
    return found


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {RENAMED.get(key, key): _renamed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    return RENAMED.get(value, value) if isinstance(value, str) else value


def _folds(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the table of views of each fold, in a fixed order of rows and under the present names of columns."""
    found = {}
    for file in sorted(folder.glob("fold-*.views.parquet")):
        table = pd.read_parquet(file).rename(columns=RENAMED).drop(columns=["experiment"], errors="ignore")
        table["frames"] = table["frames"].map(lambda numbers: "-".join(map(str, numbers)))
        name = re.sub(r"^fold-|\.views\.parquet$", "", file.name)
        found[name] = table.sort_values(["part", "clip", "frames"], ignore_index=True)
    return found


def _difference(a: pd.DataFrame, b: pd.DataFrame) -> str | None:
    """Return what differs between two tables of views, None where nothing does."""
    if list(a.columns) != list(b.columns):
        return f"other columns: {sorted(set(a.columns) ^ set(b.columns))}"
    if len(a) != len(b):
        return f"{len(a)} and {len(b)} views"
    for column in a.columns:
        left, right = a[column].to_numpy(), b[column].to_numpy()
        if column.startswith("p_"):
            if not np.array_equal(left, right):
                return f"{column} differs by up to {np.abs(left - right).max():.3g}"
        elif not (a[column].equals(b[column]) or [*map(str, left)] == [*map(str, right)]):
            return f"{column} differs"
    return None


if __name__ == "__main__":
    sys.exit(main())
