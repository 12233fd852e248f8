"""CASME II's files, made up: its table, folders of frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import openpyxl

TABLE = "CASME2-coding-20140508.xlsx"


HEADER = (
    "Subject",
    "Filename",
    None,
    "OnsetFrame",
    "ApexFrame",
    "OffsetFrame",
    None,
    "Action Units",
    "Estimated Emotion",
)


RED, GREEN, BLUE = 200, 100, 30


def row(subject: object, video: object, onset: object, apex: object, offset: object, units: object, emotion: object):
    return (subject, video, None, onset, apex, offset, None, units, emotion)


def jpeg() -> bytes:
    colour = np.full((16, 24, 3), (BLUE, GREEN, RED), np.uint8)
    return cv2.imencode(".jpg", colour)[1].tobytes()


def write_table(file: Path, rows: Iterable[Sequence[object]], header: Sequence[object] = HEADER) -> Path:
    book = openpyxl.Workbook()
    book.active.title = "Sheet1"
    for cells in (header, *rows):
        book.active.append(list(cells))
    book.create_sheet("Sheet2")
    book.create_sheet("Sheet3")
    file.parent.mkdir(parents=True, exist_ok=True)
    book.save(file)
    return file
