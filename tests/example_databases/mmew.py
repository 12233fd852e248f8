"""Example of MMEW."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from example_databases.files import draw, mark, xlsx
from microexpr.components.datasets.mmew import Mmew

ROWS: Final[tuple[tuple[object, ...], ...]] = (
    (1, "S01-01-001", 1, 4, 8, "6+12", "happiness", None),
    (1, "S01-04-001", "1", "3", "8", "4R+7", "Others", "hand before the face"),
    ("02", "S02-02-001", 1, 5, 9, "12L", "surprise", None),
    (2, "S02-03-001", 1.0, 4.0, 8.0, 4, "disgust", None),
    (3, "S03-05-001", 1, 4, 8, "4+5", "fear", None),
)


def write(root: Path) -> None:
    mark(root, "MMEW")
    header = (*(known[0] for known in Mmew.columns.values()), "notes")
    xlsx(root / "MMEW_Micro_Exp.xlsx", {"Sheet1": [header, *ROWS]})
    for _, video, _, apex, offset, _, emotion, _ in ROWS:
        name, last = str(video), int(str(offset).removesuffix(".0"))
        folder = root / "Micro_Expression" / {"Others": "repression"}.get(str(emotion), str(emotion)) / name
        files = {number: f"{number}.jpg" for number in range(1, last + 1)}
        draw(folder, files, subject=int(name[1:3]), apex=int(str(apex).removesuffix(".0")))
