"""Example of CAS(ME)^3: part A in colour and depth, with macro-expressions, and part C in colour."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from example_databases.files import draw, mark, xlsx

HEADER: Final = ("Subject", "Filename", "Onset", "Apex", "Offset", "AU")
ROWS: Final = (
    ("spNO.1", "a", "355", 359, "362", "4+L10", "III", "disgust"),
    ("spNO.1", "a", 371, "374", 378, 4, "III", "Others"),
    ("spNO.2", "b", 12, 15, 19, "T28+14", "VII", "sad"),
    ("spNO.3", "J", 5, 5, 12, "L2+L1", "II", "surprise"),
    ("spNO.3", "k", 40, 43, 47, 12, "I", "happy"),
    # A known defect: frames start at 1.
    ("spNO.216", "e", 0, 0, 8, "4+7", "III", "anger"),
)
MACRO: Final = ("spNO.2", "b", 25, 28, 32, "6+12", "Macro-expression", "I")
PART_C: Final = ((1, 1, 5, 12, "4，7", "negative"), ("2", 1, 30, 37, 12, "positive"))


def write(root: Path) -> None:
    mark(root, "CAS(ME)^3")
    tables = root / "annotation"
    labels = [(*HEADER, "Objective class", "emotion"), *ROWS]
    xlsx(tables / "partA/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {"label": labels})
    micro = [(*row[:6], "Micro-expression", row[6]) for row in ROWS]
    coded = [(*HEADER, "Expression type", "Objective class"), *micro, MACRO]
    xlsx(tables / "CAS(ME)3_part_A_v2.xls", {"AU+Emotion": coded, "eye blink": [("Subject", "Filename", "Onset")]})
    coded = [("sub", "count", "onset", "offset", "au", "emotion"), *PART_C]
    xlsx(tables / "CAS(ME)3_part_C_ME.xlsx", {"Sheet1": coded})
    videos = [(f"part_A/{row[0]}/{row[1]}", min(int(row[0][5:]), 3), max(int(row[2]), 1)) for row in (*ROWS, MACRO)]
    videos += [(f"part_C/{int(row[0]):02d}/a", int(row[0]), int(row[2])) for row in PART_C]
    for video, subject, onset in videos:
        numbers = range(onset, onset + 8)
        draw(root / video / "color", {n: f"{n}.jpg" for n in numbers}, subject=subject, apex=onset + 3)
        if video.startswith("part_A"):
            depths = {n: f"{n}.png" for n in numbers}
            draw(root / video / "depth", depths, subject=subject, apex=onset + 3, kind="depth")
