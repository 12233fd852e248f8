"""Example of CASME."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from example_databases.files import draw, mark, xls

FPS: Final = 60.0
HEADER: Final = (
    *("Subject", "Filename", None, "OnsetF", "ApexF1", "ApexF2", "OffsetF", None),
    *("Onset", "Total", "AU", "Emotion"),
)


class Row(NamedTuple):
    """A row of the table."""

    subject: int
    video: str
    onset: int
    apex: int
    second: int | str
    offset: int
    units: int | str
    emotion: str


ROWS: Final = (
    # One video with two expressions, the second with a second apex.
    Row(1, "EP01_12", 73, 77, "\\", 81, 4, "tense"),
    Row(1, "EP01_12", 82, 86, 87, 90, "4+17", "repression"),
    Row(2, "EP03_1", 9, 13, "\\", 17, "1+2", "surprise"),
    Row(8, "EP07_4", 57, 60, 61, 65, 12, "happiness"),
    Row(8, "EP12_2", 96, 100, "\\", 104, "4+9", "disgust"),
)


def write(root: Path) -> None:
    mark(root, "casme")
    xls(root / "CASME-coded-20190721.xls", [HEADER, *map(_cells, ROWS)])
    subjects = sorted({row.subject for row in ROWS})
    for (subject, video), group in groupby(ROWS, lambda row: (row.subject, row.video)):
        rows = list(group)
        # The second camera's files have padded numbers, in a section of their own.
        section, digits = ("A", 1) if subject < 8 else ("B", 3)
        draw(
            root / f"Section {section}" / f"sub{subject:02d}" / video,
            {number: f"{video}-{number:0{digits}d}.jpg" for number in range(rows[0].onset, rows[-1].offset + 1)},
            subject=subjects.index(subject) + 1,
            apex=rows[0].apex,
            units=str(rows[0].units).split("+"),
        )


def _cells(row: Row) -> tuple[object, ...]:
    *start, units, emotion = row
    durations = ((last - row.onset + 1) * 1000 / FPS for last in (row.apex, row.offset))
    return (*start[:2], None, *start[2:], None, *durations, units, emotion)
