"""``make ratios``: measure all rows at the small size, three times, and keep each row's lowest ratio.

They are those of this class of processors.

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

ROUNDS = 3


def main(arguments: Sequence[str]) -> None:
    """Measure, and write the file; the ratios of other classes stay."""
    (file,) = map(Path, arguments)
    known = dict(committed(file)) if file.is_file() else {}
    rounds = [as_committed(run(size="small", progress=Lines(sys.stderr))) for _ in range(ROUNDS)]
    lowest = {
        kind: {name: min(each[kind][name] for each in rounds if name in each[kind]) for name in ratios}
        for kind, ratios in rounds[0].items()
    }
    write_atomically(file, json.dumps({**known, **lowest}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
