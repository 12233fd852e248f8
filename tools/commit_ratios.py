"""``make ratios``: measure all rows at the small size, and keep their ratios as those of this class of processors.

It runs ``python -m tools.commit_ratios src/microexpr/bench/committed.json``. Run it on a machine that does nothing
else: `.ci/run` fails where a ratio is under two thirds of the one kept here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from microexpr.bench.guard import as_committed, committed
from microexpr.bench.running import run
from microexpr.cli.progress import Lines
from microexpr.core.files import write_atomically


def main(arguments: Sequence[str]) -> None:
    """Measure, and write the file; the ratios of other classes stay."""
    (file,) = map(Path, arguments)
    known = dict(committed(file)) if file.is_file() else {}
    found = run(size="small", progress=Lines(sys.stderr))
    write_atomically(file, json.dumps({**known, **as_committed(found)}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
