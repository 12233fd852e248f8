"""A synthetic micro-expression database: drawn faces, written in CASME II's exact layout.

`make` writes a database. `plan`, `face` and `render` give its clips, persons and single frames without writing any.
The pictures show no person; what is scored on them tells whether software works, not whether a method does.
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
