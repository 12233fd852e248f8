"""One small synthetic database for each registered reader, in the exact layout of its owners.

The module named after the reader has a function ``write(root)``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest


def write_example(name: str, root: Path) -> None:
    """Write the example of a registered reader into a folder."""
    module = f"{__name__}.{name}"
    if find_spec(module) is None:
        pytest.fail(f"no example for the reader {name!r}: add tests/example_databases/{name}.py with write(root)")
    import_module(module).write(root)
