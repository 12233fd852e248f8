"""Example of DFME."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from example_databases.files import draw, mark, xlsx
from microexpr.components.datasets.dfme import FOLDERS, TABLES, Dfme
from microexpr.core.facs import parse_action_units

HEADER: Final = (
    *("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame"),
    *("Emotion", "EmotionId", "Fps", "AU"),
)


class Row(NamedTuple):
    """A row of the tables."""

    part: str
    subject: int
    video: str
    onset: int
    apex: int
    offset: int
    emotion: str
    fps: int
    units: int | str


ROWS: Final = (
    Row("train", 1, "sub0001_01", 12, 16, 20, "disgust", 500, "4+9"),
    Row("train", 1, "sub0001_02", 98, 102, 106, "surprise", 500, "1+2"),
    Row("train", 2, "sub0002_01", 5, 9, 12, "contempt", 300, "L14"),
    Row("train", 3, "sub0003_01", 101, 104, 108, "happiness", 200, 12),
    Row("testA", 2, "sub0002_07", 31, 35, 38, "fear", 300, "1+4"),
    Row("testB", 3, "sub0003_09", 44, 47, 51, "sadness", 200, "15?"),
)


def write(root: Path) -> None:
    mark(root, "dfme")
    for part, table in (("train", "training"), ("testA", "testA"), ("testB", "testB")):
        rows = [row for row in ROWS if row.part == part]
        xlsx(root / TABLES / f"{table}_full_with_AU.xlsx", {"Sheet1": [HEADER, *map(_cells, rows)]})
        for row in rows:
            draw(
                root / FOLDERS[part] / row.video,
                {number: f"{number:05d}.png" for number in range(row.onset, row.offset + 1)},
                subject=row.subject,
                apex=row.apex,
                units=[f"{unit.side or ''}{unit.number}" for unit in parse_action_units(str(row.units))],
            )


def _cells(row: Row) -> tuple[object, ...]:
    number = list(Dfme.emotions).index(row.emotion)
    times = (row.onset, row.apex, row.offset)
    return (f"sub{row.subject:04d}", row.video, *times, row.emotion, number, row.fps, row.units)
