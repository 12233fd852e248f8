"""A synthetic micro-expression database: rendered faces in CASME II's exact layout.

`make` writes a database. `plan`, `face` and `render` give its clips, persons and single frames without writing files.
The images show no real person; scores on them show whether the software works, not whether a method does.
"""

from __future__ import annotations

from .face import Face, face
from .planning import ClipPlan, plan
from .rendering import render
from .spec import INFO, NOTICE, SyntheticSpec
from .writing import MARKER, make, write_table

__all__ = [
    "INFO",
    "MARKER",
    "NOTICE",
    "ClipPlan",
    "Face",
    "SyntheticSpec",
    "face",
    "make",
    "plan",
    "render",
    "write_table",
]
