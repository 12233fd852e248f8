"""Writes the database in CASME II's layout; can be interrupted at any time and called again."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import openpyxl
from jaxtyping import UInt8

from microexpr.core.claims import held
from microexpr.core.errors import DataError
from microexpr.core.files import make_folder, write_atomically

from .face import Face, face
from .motion import state
from .planning import ClipPlan, plan
from .rendering import render, stage
from .spec import SyntheticSpec

MARKER: Final = "microexpr-synthetic.json"
"""File in the root of a finished database."""
_STARTED: Final = "microexpr-synthetic.unfinished.json"
_PARTIAL: Final = ".partial"
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_BATCH: Final = 12
"""Clips of one person that a process renders at a time."""

HEADER: Final = (
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
"""Columns of CASME II's table; two have no name."""

Progress = Callable[[int, int], None]


def make(root: Path, spec: SyntheticSpec, *, workers: int | None = None, progress: Progress | None = None) -> None:
    """Write a synthetic database into an empty or new folder, or finish one that was begun with the same spec.

    `workers` is the number of processes, by default one per core; the bytes do not depend on it. A script that uses
    more than one needs `if __name__ == "__main__":`, as always with processes. `progress` is called with the number of
    finished clips and their total. Raises DataError if the folder holds anything else.
    """
    root, report = Path(root), progress or (lambda done, total: None)
    clips = plan(spec)
    if _finished(root, spec):
        report(len(clips), len(clips))
        return
    with held(make_folder(root)):
        write_atomically(root / _STARTED, json.dumps(spec.to_json(), indent=2))
        _finish(root, spec, clips, workers or os.cpu_count() or 1, report)
    (root / ".lock").unlink(missing_ok=True)


def _finish(root: Path, spec: SyntheticSpec, clips: Sequence[ClipPlan], workers: int, report: Progress) -> None:
    shutil.rmtree(root / _PARTIAL, ignore_errors=True)
    missing = [clip for clip in clips if not all((top / clip.folder).is_dir() for top in _tops(root, spec))]
    done = len(clips) - len(missing)
    report(done, len(clips))
    for count in _draw_all(root, spec, missing, workers):
        done += count
        report(done, len(clips))
    write_table(root, spec)
    (root / _STARTED).unlink(missing_ok=True)
    shutil.rmtree(root / _PARTIAL, ignore_errors=True)


def write_table(root: Path, spec: SyntheticSpec) -> None:
    """Write the coding table, and the file that says how the database was made."""
    write_atomically(root / f"CASME2-coding-{spec.labels}.xlsx", table(plan(spec)))
    write_atomically(root / MARKER, json.dumps(spec.to_json(), indent=2))


def _finished(root: Path, spec: SyntheticSpec) -> bool:
    """Return whether the database is complete; raise DataError for a folder with any other content."""
    if not root.exists():
        return False
    if not root.is_dir():
        raise DataError("E116", f"{root} is a file. Name an empty or new folder.")
    for name in (MARKER, _STARTED):
        if (root / name).is_file():
            if json.loads((root / name).read_text()) != spec.to_json():
                raise DataError(
                    "E116", f"{root} holds a synthetic database with other options ({name}). Name another folder."
                )
            return name == MARKER
    if any(not path.name.startswith((".lock", f".{_STARTED}")) for path in root.iterdir()):
        raise DataError("E116", f"{root} holds something other than a synthetic database. Name an empty folder.")
    return False


def _tops(root: Path, spec: SyntheticSpec) -> list[Path]:
    names = {"raw": ["CASME2_RAW_selected"], "cropped": ["Cropped"], "both": ["CASME2_RAW_selected", "Cropped"]}
    return [root / name for name in names[spec.folders]]


def _draw_all(root: Path, spec: SyntheticSpec, clips: Sequence[ClipPlan], workers: int) -> Iterator[int]:
    """Render clips and yield the size of each batch; a batch is of one person, whose face is then rendered once."""
    if workers == 1:
        yield from (_draw(root, spec, [clip]) for clip in clips)
        return
    by_person = [list(group) for _, group in groupby(clips, key=lambda clip: clip.subject)]
    batches = [group[i : i + _BATCH] for group in by_person for i in range(0, len(group), _BATCH)]
    if not batches:
        return
    batches.sort(key=len, reverse=True)
    # Spawned, because a process forked from one with threads (torch) can hang.
    pool = ProcessPoolExecutor(min(workers, len(batches)), get_context("spawn"), cv2.setNumThreads, (1,))
    try:
        for job in as_completed([pool.submit(_draw, root, spec, batch) for batch in batches]):
            yield job.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _draw(root: Path, spec: SyntheticSpec, clips: Iterable[ClipPlan]) -> int:
    """Write clips of one person; each folder gets its final name only when it is complete."""
    count = 0
    for count, clip in enumerate(clips, start=1):  # noqa: B007
        who = face(spec, clip.subject)
        parts = [root / _PARTIAL / top.name / clip.folder for top in _tops(root, spec)]
        for part in parts:
            part.mkdir(parents=True)
        for number in clip.numbers:
            frame = render(who, clip, number)
            for part in parts:
                cropped = part.relative_to(root / _PARTIAL).parts[0] == "Cropped"
                name = f"reg_img{number}.jpg" if cropped else f"img{number}.jpg"
                (part / name).write_bytes(jpeg(crop(frame, who, clip) if cropped else frame, spec.jpeg_quality))
        for part, top in zip(parts, _tops(root, spec), strict=True):
            if not (top / clip.folder).is_dir():
                (top / clip.folder).parent.mkdir(parents=True, exist_ok=True)
                part.rename(top / clip.folder)
    return count


def crop(frame: UInt8[np.ndarray, "480 640 3"], who: Face, clip: ClipPlan) -> UInt8[np.ndarray, "340 280 3"]:
    """Crop the face at its position in the clip's first frame, to 280x340, the mean face area of CASME II."""
    size, (dx, dy), first = who.person.half_width, stage(who, clip).shift, state(who.spec, clip, clip.onset)
    left, top = who.person.centre[0] + dx + first.x - size, who.person.centre[1] + dy + first.y - 1.3 * size
    scale = 2 * size / 280
    move = np.array([[scale, 0, left], [0, scale, top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut: UInt8[np.ndarray, "340 280 3"] = cv2.warpAffine(
        frame, move, (280, 340), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return cut


def jpeg(frame: UInt8[np.ndarray, "h w 3"], quality: int) -> bytes:
    """Return the bytes of a frame's file."""
    _, coded = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return coded.tobytes()


def table(clips: Sequence[ClipPlan]) -> bytes:
    """Return the coding table as an Excel file, the same bytes every time."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    sheet = book.create_sheet("Sheet1")
    sheet.append(HEADER)
    for c in clips:
        units = int(c.action_units) if c.action_units.isdigit() else c.action_units
        apex = "/" if c.apex is None else c.apex
        sheet.append([c.subject, c.filename, None, c.onset, apex, c.offset, None, units, c.emotion])
    book.create_sheet("Sheet2")
    book.create_sheet("Sheet3")
    book.properties.created = _EPOCH.replace(tzinfo=None)
    raw = io.BytesIO()
    book.save(raw)
    return _undated(raw)


def _undated(raw: io.BytesIO) -> bytes:
    """Remove the time of writing from an Excel file."""
    pattern, fixed = rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>" + f"{_EPOCH:%Y-%m-%dT%H:%M:%SZ}".encode()
    clean = io.BytesIO()
    with zipfile.ZipFile(raw) as old, zipfile.ZipFile(clean, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            entry = zipfile.ZipInfo(name, date_time=(2000, 1, 1, 0, 0, 0))
            new.writestr(entry, re.sub(pattern, fixed, old.read(name)), zipfile.ZIP_DEFLATED)
    return clean.getvalue()
