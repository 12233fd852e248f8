"""Made-up files in the layout of SMIC."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from microexpr.components.datasets import _example

_EXAMPLE: Final = (
    (1, "negative", "s1_ne_01", 559740, ".bmp"),
    (1, "positive", "s1_po_01", 701843, ".jpg"),
    (2, "surprise", "s2_sur_01", 90868, ".jpg"),
    (3, "negative", "s3_ne_01", 17581039, ".jpg"),
    (3, "surprise", "s3_sur_02", 17692849, ".jpg"),
)
"""Subject, emotion, name, first frame, format."""


def write(root: Path) -> None:
    """Write short clips of the fast camera and two long recordings, with the copies' harmless quirks."""
    _example.mark(root, "smic")
    for subject, emotion, name, first, suffix in _EXAMPLE:
        files = {number: f"image{number:06d}{suffix}" for number in range(first, first + 9)}
        folder = root / f"HS/s{subject}/micro/{emotion}/{name}"
        _example.draw(folder, files, subject=subject, apex=first + 4)
    # No expression, and not read.
    _example.draw(root / "HS/s1/non_micro/s1_n1", {1: "image000001.jpg"}, subject=1, apex=1)
    _write_long(root / "SMIC-E_raw image/HS_long")


def _write_long(root: Path) -> None:
    header = ("Subject", "Filename", None, "OnsetF", "OffsetF", "Onset2F", "Offset2F", "Onset3F", "Offset3F", None)
    lengths = ("FirstF", "LastF", "TotalMF1", "TotalMF2", "TotalMF3", "TotalVL", "Emotion")
    none = [None] * 5
    rows: list[Sequence[object]] = [
        (*header, *lengths),
        (1, "s1_ne_01", None, 559742, 559746, *none, 559740, 559753, 5, None, None, 14, "negative"),
        # Numbers are stored as text here and there.
        ("s02", "s2_sur_01", None, 90869, "90873", 90876, 90880, *none[:3], 90868, 90881, 5, 5, None, 14, "surprise"),
        (3, "s3_ne_03", None, 302900, 302925, *none, "missing", None, 26, None, None, None, "negative"),
        (),
        (None, "Made-up rows in the layout of SMIC's table; TotalMF: frames of an expression"),
    ]
    _example.xlsx(root / "SMIC-HS-E_annotation.xlsx", {"HS": rows})
    for subject, name, first in ((1, "s1_ne_01", 559740), (2, "s2_sur_01", 90868)):
        files = {number: f"image{number:06d}.jpg" for number in range(first, first + 14)}
        _example.draw(root / f"SMIC-HS-E/s{subject:02d}/{name}", files, subject=subject, apex=first + 4)
