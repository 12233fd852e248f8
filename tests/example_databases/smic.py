"""Example of SMIC: short clips of the fast camera and two long recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from example_databases.files import draw, mark, xlsx

CLIPS: Final = (
    (1, "negative", "s1_ne_01", 559740, ".bmp"),
    (1, "positive", "s1_po_01", 701843, ".jpg"),
    (2, "surprise", "s2_sur_01", 90868, ".jpg"),
    (3, "negative", "s3_ne_01", 17581039, ".jpg"),
    (3, "surprise", "s3_sur_02", 17692849, ".jpg"),
)
"""Subject, emotion, name, first frame, format."""


def write(root: Path) -> None:
    mark(root, "smic")
    for subject, emotion, name, first, suffix in CLIPS:
        files = {number: f"image{number:06d}{suffix}" for number in range(first, first + 9)}
        folder = root / f"HS/s{subject}/micro/{emotion}/{name}"
        draw(folder, files, subject=subject, apex=first + 4)
    # Contains no expression and is not read.
    draw(root / "HS/s1/non_micro/s1_n1", {1: "image000001.jpg"}, subject=1, apex=1)
    _write_long(root / "SMIC-E_raw image/HS_long")


def _write_long(root: Path) -> None:
    header = ("Subject", "Filename", None, "OnsetF", "OffsetF", "Onset2F", "Offset2F", "Onset3F", "Offset3F", None)
    lengths = ("FirstF", "LastF", "TotalMF1", "TotalMF2", "TotalMF3", "TotalVL", "Emotion")
    none = [None] * 5
    rows: list[Sequence[object]] = [
        (*header, *lengths),
        (1, "s1_ne_01", None, 559742, 559746, *none, 559740, 559753, 5, None, None, 14, "negative"),
        # Some numbers are stored as text.
        ("s02", "s2_sur_01", None, 90869, "90873", 90876, 90880, *none[:3], 90868, 90881, 5, 5, None, 14, "surprise"),
        (3, "s3_ne_03", None, 302900, 302925, *none, "missing", None, 26, None, None, None, "negative"),
        (),
        (None, "Made-up rows in the layout of SMIC's table; TotalMF: frames of an expression"),
    ]
    xlsx(root / "SMIC-HS-E_annotation.xlsx", {"HS": rows})
    for subject, name, first in ((1, "s1_ne_01", 559740), (2, "s2_sur_01", 90868)):
        files = {number: f"image{number:06d}.jpg" for number in range(first, first + 14)}
        draw(root / f"SMIC-HS-E/s{subject:02d}/{name}", files, subject=subject, apex=first + 4)
