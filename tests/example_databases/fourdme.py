"""Example of 4DME."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from example_databases.files import draw, mark, xlsx
from microexpr.components.datasets.fourdme import EMOTIONS
from microexpr.core.facs import parse_action_units

HEADER: Final = (
    *("sub_ID", "fold_name", "fold", "Emotion", "Onset", "Apex", "Offset", "AUs", "eye blink"),
    *(word.capitalize() for word in EMOTIONS),
)
FACES: Final = (1, 1, 2, 2, 3)
"""The synthetic subject of each row."""


class Row(NamedTuple):
    """A row of the table."""

    subject: str
    video: str
    onset: int
    apex: int
    offset: int
    emotion: str
    units: str
    marked: tuple[str, ...]


ROWS: Final = (
    Row("S01", "S01_1st_001_01", 12, 15, 20, "Positive", "6+12", ("positive",)),
    # Two emotions are marked, one is written; the brows are lowered throughout.
    Row("S01", "S01_1st_002_01", 101, 105, 109, "Negative", "AU4(k)+L7", ("negative", "repression")),
    Row("S02", "S02_1st_001_01", 7, 11, 14, "Surprise", "1+2", ("surprise",)),
    Row("S02", "S02_2nd_003_02", 30, 33, 38, "Repression", "AUR2+12(k)+17", ("repression",)),
    Row("S05", "S05_1st_004_01", 2490, 2494, 2498, "Others", "14?", ("others",)),
)


def write(root: Path) -> None:
    mark(root, "fourdme")
    xlsx(root / "4DME_Labelling_Micro_release v1.xlsx", {"Sheet1": [HEADER, *map(_cells, ROWS)]})
    for subject, row in zip(FACES, ROWS, strict=True):
        draw(
            root / "gray_micro" / row.subject / row.video,
            {number: f"{number:05d}.jpg" for number in range(row.onset, row.offset + 1)},
            subject=subject,
            apex=row.apex,
            units=[f"{unit.side or ''}{unit.number}" for unit in parse_action_units(row.units)],
            kind="grey",
        )


def _cells(row: Row) -> tuple[object, ...]:
    marks = (int(word in row.marked) for word in EMOTIONS)
    # Some numbers are stored as text.
    return (row.subject, row.video, 1, row.emotion, row.onset, str(row.apex), row.offset, row.units, 0, *marks)
