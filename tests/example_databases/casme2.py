"""Example of CASME II."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from example_databases.files import draw, mark, xlsx
from microexpr.components.datasets.casme2 import OBJECTIVE, Casme2
from microexpr.core.facs import parse_action_units

ROWS: Final[tuple[tuple[str, str, object, object, object, object, str], ...]] = (
    ("01", "EP02_01f", 46, 50, 54, "4+L10", "happiness"),
    ("01", "EP19_05f", "101", " 105 ", "110", 4, "Others"),
    ("02", "EP01_2", 7, 7, 15, "R12+R15", "repression"),
    ("03", "EP06_02_01", 21, 25, 29, "?", "surprise"),
    ("03", "EP09f", 31, "/", 39, "4+7", "disgust"),
    # The clip without an apex: its middle is used.
    ("04", "EP12_01f", 257, "/", 265, 9, "disgust"),
)
CLASSES: Final = ((1, "EP02_01f", 1), ("01", "EP19_05F", "7"), ("02", "EP01_2", 3), (4, "EP12_01f", 4))


def write(root: Path) -> None:
    mark(root, "casme2")
    header = (*(known[0] for known in Casme2.columns.values()),)
    rows = [(*row[:2], None, *row[2:5], None, *row[5:]) for row in (header, *ROWS)]
    xlsx(root / "CASME2-coding-20140508.xlsx", {"Sheet1": rows, "Sheet2": [], "Sheet3": []})
    classes = [tuple(known[0] for known in OBJECTIVE.values()), *CLASSES]
    xlsx(root / "CASME2-ObjectiveClasses.xlsx", {"Sheet1": classes, "Sheet2": []})
    for subject, video, onset, apex, offset, units, _ in ROWS:
        first, last = int(str(onset)), int(str(offset))
        draw(
            root / "CASME2_RAW_selected" / f"sub{subject}" / video,
            {number: f"img{number}.jpg" for number in range(first, last + 1)},
            subject=min(int(subject), 3),
            apex=(first + last) // 2 if apex == "/" else int(str(apex)),
            units=[f"{unit.side or ''}{unit.number}" for unit in parse_action_units(str(units))] or ("1", "2"),
        )
