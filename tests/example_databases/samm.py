"""Example of SAMM: short clips and long videos."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from example_databases.files import draw, mark, xlsx

ROWS: Final = (
    ("006", "006_1_2", 5562, 5566, 5571, "4+7", "Anger", 3, None),
    ("006", "006_2_4", 180, 183, 188, "(R6 or R12)+R15", "Other", 7, "While blinking"),
    ("007", "007_3_1", 2046, 2050, 2055, "20", "Fear", 6, None),
    ("007", "007_6_3", 497, 500, 505, "A/L12", "Happiness", 1, "Eye movement"),
    ("009", "009_3_4", 3334, 3338, 3342, "10A/B", "Disgust", 4, "L12?"),
    # The released apex is after the offset; the middle is used.
    ("028", "028_4_1", 1126, 1143, 1134, 14, "Contempt", 5, None),
)
"""Subject, name, onset, apex, offset, action units, emotion, objective class, notes."""
ROWS_LONG: Final = (
    ("006", "006_1_2", 2, 5, 8, "Micro - 1/2", "4+7", None),
    ("006", "006_1_9", 7, 9, 12, "Macro", "12", "Smiles"),
    ("007", "007_3_1", 3, 6, 10, "Micro - 1/2", "20", None),
)
"""Subject, name, onset, apex, offset, type, action units, notes."""


def write(root: Path) -> None:
    mark(root, "samm")
    _write_clips(root)
    _write_long(root)


def _write_clips(root: Path) -> None:
    header = ("Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration")
    coded = ("Micro", "Action Units", "Estimated Emotion", "Objective Classes", "Notes")
    preface = [("Made-up rows in the layout of SAMM's table of micro-movements",), *[()] * 12]
    rows: list[Sequence[object]] = [*preface, (*header, *coded)]
    for index, (subject, name, onset, apex, offset, units, *coding) in enumerate(ROWS):
        line = len(rows) + 1
        duration = f"=SUM(F{line}-D{line})+1"
        rows.append((subject, name, int(name[4]), onset, apex, offset, duration, "Micro - 1/2", units, *coding))
        digits = 5 if name[4] == "1" else 4
        files = {number: f"{subject}_{number:0{digits}d}.jpg" for number in range(onset, offset + 1)}
        moved = re.findall("[LR]?[0-9]+", str(units))
        folder, peak = root / "SAMM" / subject / name, apex if apex <= offset else (onset + offset) // 2
        draw(folder, files, subject=min(1 + index // 2, 3), apex=peak, units=moved, kind="grey")
    xlsx(root / "SAMM_Micro_FACS_Codes_v2.xlsx", {"MICRO_ONLY": rows})


def _write_long(root: Path) -> None:
    header = ("Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration", "Type")
    preface = [("Made-up rows in the layout of SAMM's table of long videos",), *[()] * 8]
    rows: list[Sequence[object]] = [*preface, (*header, "Action Units", "Notes")]
    for subject, name, onset, apex, offset, kind, units, notes in ROWS_LONG:
        line = len(rows) + 1
        rows.append((subject, name, int(name[4]), onset, apex, offset, f"=F{line}-D{line}+1", kind, units, notes))
    xlsx(root / "SAMM_LongVideos_V2_Release.xlsx", {"Sheet1": rows})
    for subject_number, video in enumerate(("006_1", "007_3"), start=1):
        files = {number: f"{video}_{number:04d}.jpg" for number in range(1, 13)}
        draw(root / "SAMM_longvideos" / video, files, subject=subject_number, apex=5, kind="grey")
