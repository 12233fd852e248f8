"""Trace one fold: which modules it enters, in which order, and how often it changes between them.

    python -m tools.walk [DATA]

Runs one small experiment (small CNN, two epochs, two folds by subject) on a synthetic database in CASME II's layout,
made in a temporary folder or read from DATA, and follows every call of the package's functions from the beginning of
`run_fold` to its end. A change is a call from one module into another; a return trip is counted with the call that
caused it.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import microexpr

OWN = "microexpr."
START = "run_fold"
EXPERIMENT = microexpr.Experiment().with_values(
    {
        "datasets": "casme2",
        "labels": "as_given",
        "preprocessing": {"name": "m1", "size": 48},
        "sampling": "kfs",
        "model": "small_cnn",
        "loss": "cross_entropy",
        "protocol": {"name": "subject_kfold", "k": 2},
        "training.epochs": 2,
        "training.patience": 0,
    }
)


class Walk:
    """What `sys.setprofile` reports of the first call of `run_fold`."""

    def __init__(self) -> None:
        self.changes: Counter[tuple[str, str]] = Counter()
        self.modules: dict[str, None] = {}
        self._stack: list[str] = []
        self._done = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Follow one call or return."""
        name = str(frame.f_globals.get("__name__", ""))
        if self._done or event not in ("call", "return") or not name.startswith(OWN):
            return
        if not self._stack and (frame.f_code.co_name != START or event != "call"):
            return
        if event == "return":
            self._stack.pop()
            self._done = not self._stack
            return
        module = name.removeprefix(OWN)
        self.modules.setdefault(module)
        if self._stack and self._stack[-1] != module:
            self.changes[self._stack[-1], module] += 1
        self._stack.append(module)


def walk(data: Path, out: Path) -> Walk:
    """Run the experiment and return the walk of its first fold."""
    found = Walk()
    sys.setprofile(found)
    try:
        microexpr.run_experiment(EXPERIMENT, data, out)
    finally:
        sys.setprofile(None)
    return found


def main() -> None:
    """Print the modules in the order in which they are entered, and the changes between them."""
    with tempfile.TemporaryDirectory() as temporary:
        box = Path(temporary)
        data = Path(sys.argv[1]) if len(sys.argv) > 1 else box / "data"
        if len(sys.argv) == 1:
            microexpr.make_synthetic(data, subjects=4, clips=8, emotions=("disgust", "surprise"))
        found = walk(data, box / "out")
    print(f"{len(found.modules)} modules, {len(found.changes)} ways between them, {found.changes.total()} changes")
    for module in found.modules:
        to = Counter({after: count for (before, after), count in found.changes.items() if before == module})
        print(f"  {module} -> {', '.join(f'{name} {count}' for name, count in to.most_common()) or 'none'}")


if __name__ == "__main__":
    main()
