"""Files of example databases: synthetic faces, workbooks in the new and the old format."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import openpyxl

from microexpr.components.datasets._reader import MARKER
from microexpr.components.datasets.synthetic import NOTICE
from microexpr.components.datasets.synthetic.film import film
from microexpr.core.files import write_atomically

Cells = Sequence[object]


def mark(root: Path, database: str) -> None:
    """Write the file that marks the images of a folder as synthetic, so that they do not pass for recordings."""
    root.mkdir(parents=True, exist_ok=True)
    content = {"notice": NOTICE, "spec": {"layout": database, "seed": 0}}
    write_atomically(root / MARKER, json.dumps(content, indent=2))


def draw(
    folder: Path,
    files: Mapping[int, str],
    *,
    subject: int,
    apex: int,
    emotion: str = "happiness",
    units: Sequence[str] = ("6", "12"),
    kind: Literal["colour", "grey", "depth"] = "colour",
) -> None:
    """Write one expression of a synthetic subject, 320x240; `files` are the file names by frame number.

    Depth has 16 bits and one channel. It is made from the brightness of the face, so only its format is realistic.
    """
    folder.mkdir(parents=True, exist_ok=True)
    frames = film(subject, list(files), apex, emotion=emotion, units=units)
    for name, frame in zip(files.values(), frames, strict=True):
        small = cv2.resize(frame, (320, 240), interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        images = {"grey": grey, "depth": 600 + grey.astype(np.uint16), "colour": cv2.cvtColor(small, cv2.COLOR_RGB2BGR)}
        _, coded = cv2.imencode(Path(name).suffix, images[kind])
        (folder / name).write_bytes(coded.tobytes())


def xlsx(file: Path, sheets: Mapping[str, Sequence[Cells]]) -> None:
    """Write a workbook, the rows of each sheet by its name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for cells in rows:
            sheet.append(list(cells))
    book.save(file)


def xls(file: Path, rows: Sequence[Cells]) -> None:
    """Write a workbook of one sheet in the old format BIFF2, which no maintained library writes any more."""
    records = [(0x0009, struct.pack("<HH", 2, 0x10))]
    for y, cells in enumerate(rows):
        for x, cell in enumerate(cells):
            place = struct.pack("<HH", y, x)
            if isinstance(cell, str):
                text = cell.encode("cp1252")
                records.append((0x0004, place + bytes((0, 0, 0, len(text))) + text))
            elif isinstance(cell, int | float):
                records.append((0x0003, place + bytes(3) + struct.pack("<d", cell)))
    records.append((0x000A, b""))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"".join(struct.pack("<HH", kind, len(data)) + data for kind, data in records))
