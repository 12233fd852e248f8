"""Made-up annotations of full size, whose counts are those of the released databases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from example_databases.files import xlsx

Cells = Sequence[Any]

# --- SAMM -------------------------------------------------------------------------------------------------------------
SAMM_TABLE = "SAMM_Micro_FACS_Codes_v2.xlsx"
SAMM_HEADER = (
    *("Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration"),
    *("Micro", "Action Units", "Estimated Emotion", "Objective Classes", "Notes"),
)
SAMM_COUNTS = {"Anger": 57, "Other": 26, "Happiness": 26, "Surprise": 15, "Contempt": 12, "Disgust": 9} | {
    "Fear": 8,
    "Sadness": 6,
}
SAMM_OBJECTIVE = (24, 13, 20, 8, 3, 7, 84)
SAMM_SUBJECTS = (6, 7, *range(9, 27), 28, *range(30, 38))
ONLY_OTHER = 25
"""The one subject whose clips are all 'Other'."""
UNITS = (4, "4+7", "(R6 or R12)+R15", "A/L12", "10A/B", "7B+ ref(43)", "R14+17+soft focus", "A9+12", "L12C", "T18+39")
DEFECTS = {
    "028_4_1": ("028", "Contempt", (1071, 1143, 1134)),
    "032_3_1": ("032", "Anger", (4896, 1930, 4970)),
    "032_3_2": ("032", "Anger", (5126, 5127, 5207)),
    "013_1_9": ("013", "Anger", (5658, 5680, 5739)),
}
"""Rows as they were released: subject, emotion and times."""


def samm_row(
    subject: object, name: object, times: Cells, units: object = 4, emotion: object = "Anger", objective: object = 3
) -> tuple[Any, ...]:
    code = int(str(name)[4]) if len(str(name)) > 4 and str(name)[4].isdigit() else None
    return (subject, name, code, *times, "=SUM(F15-D15)+1", "Micro - 1/2", units, emotion, objective, None)


def samm_rows() -> list[tuple[Any, ...]]:
    """Return 159 rows of 29 subjects, the four that have known defects among them."""
    counts = dict(SAMM_COUNTS)
    for _, emotion, _ in DEFECTS.values():
        counts[emotion] -= 1
    words = list(chain.from_iterable([word] * number for word, number in counts.items()))
    classes = cycle(chain.from_iterable([number] * count for number, count in enumerate(SAMM_OBJECTIVE, start=1)))
    people = cycle([number for number in SAMM_SUBJECTS if number != ONLY_OTHER])
    units = cycle(UNITS)
    rows, others = [], 0
    for index, word in enumerate(words):
        others += word == "Other"
        subject = ONLY_OTHER if word == "Other" and others <= 4 else next(people)
        onset = 100 * index + 1
        times = (onset, onset + 30, onset + 60)
        name = f"{subject:03d}_7_{100 + index}"
        rows.append(samm_row(f"{subject:03d}", name, times, next(units), word, next(classes)))
    for name, (subject, emotion, times) in DEFECTS.items():
        rows.append(samm_row(subject, name, times, "4A", emotion, next(classes)))
    return sorted(rows, key=lambda row: str(row[1]))


def samm_table(root: Path, rows: Iterable[Cells], *, preface: int = 13, name: str = SAMM_TABLE) -> Path:
    """Write the table with its header below `preface` rows."""
    above: list[Cells] = [("SAMM: micro-movements",), *[()] * (preface - 1)] if preface else []
    xlsx(root / name, {"MICRO_ONLY": [*above, SAMM_HEADER, *rows]})
    return root / name


# --- SMIC -------------------------------------------------------------------------------------------------------------
SMIC_SUBJECTS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 15, 18, 19, 20)
SMIC_COUNTS = {"negative": 70, "positive": 51, "surprise": 43}
SHORT = {"negative": "ne", "positive": "po", "surprise": "sur"}
OF_S3 = 39


def smic_clips() -> Iterator[tuple[int, str, str]]:
    """Yield subject, emotion and name of 164 clips of 16 subjects; s18_sur_03 is surprise, as the organisers list "
    "it."""
    rest = cycle([number for number in SMIC_SUBJECTS if number not in (3, 18)])
    words = list(chain.from_iterable([word] * number for word, number in SMIC_COUNTS.items()))
    words.remove("surprise")
    yield 18, "surprise", "s18_sur_03"
    for index, word in enumerate(words):
        subject = 3 if index % 4 == 0 and index < 4 * OF_S3 else next(rest)
        yield subject, word, f"s{subject}_{SHORT[word]}_{index + 1:02d}"


def picture(suffix: str = ".bmp", shade: int = 90) -> bytes:
    return cv2.imencode(suffix, np.full((2, 3), shade, np.uint8))[1].tobytes()


def smic_folder(root: Path, subject: int, emotion: str, name: str, numbers: Iterable[int] = (559740, 559741, 559742)):
    folder = root / f"s{subject}/micro/{emotion}/{name}"
    folder.mkdir(parents=True)
    for number in numbers:
        (folder / f"image{number:06d}.bmp").write_bytes(picture())
    return folder


def smic_folders(root: Path) -> Path:
    """Write 164 clips of three frames."""
    for index, (subject, emotion, name) in enumerate(smic_clips()):
        smic_folder(root / "HS", subject, emotion, name, range(559740 + 10 * index, 559743 + 10 * index))
    return root
