"""What readers of tables share: rows become clips, table and folder are compared, known defects are corrected.

A reader defines how its owners name things: which file the table is, which columns it has, what a row means, and which
folder contains a clip's frames. Reading, checking and correcting are done here.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

import numpy as np
from jaxtyping import Num

from microexpr.components.datasets._folders import find_files, folders, no_frames, several_tables
from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._notes import ESTIMATED, overlaps, span, unusual
from microexpr.components.datasets._table import Row, RowReader, find_rows
from microexpr.components.datasets._workbook import read_sheets
from microexpr.core.clip import Clip
from microexpr.core.errors import DataError, Fault
from microexpr.core.files import entries
from microexpr.core.image_files import fingerprint, is_image, read_image, relative, stack, to_rgb
from microexpr.core.interfaces import Correction, Dataset, Modality

MARKER: Final = "microexpr-synthetic.json"
"""File in the root of a folder of synthetic images."""
MIDDLE: Final = "the middle of onset and offset"
"""Value of a correction that estimates an apex."""


class Line(NamedTuple):
    """One row, its file, and metadata of the row that are not in its cells."""

    file: Path
    row: Row
    metadata: Mapping[str, str] = {}


@dataclass(slots=True)
class Reading:
    """The result of reading the table; clips by key."""

    rows: int = 0
    clips: dict[str, Clip] = field(default_factory=dict)
    named: list[Clip] = field(default_factory=list)
    """The clips of all rows, including those with faults."""
    faults: list[Fault] = field(default_factory=list)
    applied: list[Correction] = field(default_factory=list)


class TableDataset(Dataset):
    """A database with a table of one row per clip and folders of numbered images."""

    columns: ClassVar[Mapping[str, tuple[str, ...]]]
    """Required columns by our names, each with its known spellings, the owners' first."""
    optional: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Columns that are read where the table has them."""
    table_called: ClassVar[str]
    """The table in messages: 'coding table CASME2-coding-*.xlsx'."""
    frames_called: ClassVar[str]
    """The frames in messages: 'CASME2_RAW_selected/sub01/EP02_01f/img46.jpg'."""
    one_clip_a_video: ClassVar[bool] = False
    """Whether two rows of one video are a fault."""

    def __init__(self, root: Path, *, corrections: bool = True, table: str | None = None) -> None:
        self._root = Path(root).expanduser().absolute()
        self._correct, self._table_name = corrections, table
        self._alone = self.one_clip_a_video

    # --- what a reader defines ----------------------------------------------------------------------------------------
    @abstractmethod
    def _is_table(self, name: str) -> bool:
        """Whether a file name is that of a table, ignoring case."""

    @abstractmethod
    def _frames_root(self) -> Path | None:
        """Return the folder that contains the frames of all clips, None where there is none."""

    @abstractmethod
    def _clip(self, cells: RowReader, metadata: Mapping[str, str]) -> Clip | None:
        """Return the clip of a row, with its problems noted in `cells`; None for a row that is not requested."""

    @abstractmethod
    def _home(self, clip: Clip, modality: str) -> FrameFolder:
        """Return the folder of a clip's frames, whether it exists or not."""

    def _release(self, reading: Reading) -> str:
        """Return which release of the table this is, judged by its content."""
        return f"{reading.rows} rows"

    def _lines(self) -> Iterable[Line]:
        """Return the rows of the table."""
        rows = find_rows(self._table, read_sheets(self._table), self.columns, self.optional)
        return (Line(self._table, row) for row in rows)

    @property
    def _table_root(self) -> Path:
        """The folder that contains the table."""
        return self._root

    # --- the interface ------------------------------------------------------------------------------------------------
    def modalities(self) -> Mapping[str, Modality]:
        return {"colour": Modality(("r", "g", "b"))}

    def clips(self) -> Sequence[Clip]:
        return tuple(self._reading.clips.values())

    def applied(self) -> Sequence[Correction]:
        return tuple(self._reading.applied)

    def faults(self, *, table_only: bool = False) -> Sequence[Fault]:
        try:
            reading = self._reading
        except DataError as error:
            return error.faults
        if table_only:
            return tuple(reading.faults)
        if self._place is None:
            return (self._frameless(), *reading.faults)
        wanted = [(clip, name) for clip in reading.clips.values() for name in self.modalities()]
        # Threads, because on a network disk nearly all of the time is waiting.
        with ThreadPoolExecutor(8) as pool:
            checked = list(pool.map(lambda pair: self._check_frames(*pair), wanted))
        return (*reading.faults, *(fault for fault in checked if fault), *self._shared())

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        clips = self.clips()
        # A database without any apex gets one note, not one per clip.
        apexes = not clips or any(clip.apex is not None for clip in clips)
        found = [note for clip in clips for note in unusual(clip, apexes)]
        if not apexes:
            fix = "no action needed: it is read as the owners coded it"
            found.append(Fault("E250", str(self._root), "no clip has a coded apex", fix))
        found += overlaps(clips)
        return tuple(found if table_only or self._place is None else [*found, *self._unlisted(), *self._surplus()])

    def metadata(self) -> Mapping[str, str]:
        reading, place = self._reading, self._place
        made = {"synthetic": _options(self._synthetic)} if self._synthetic is not None else {}
        return {
            "table": ", ".join(dict.fromkeys(file.name for file in self._tables)) or "none",
            "label version": self._release(reading),
            "folder": self._short(place) if place else "none",
            "cropped": "yes" if self.cropped() else "no",
            **made,
        }

    def frames(self, clip: Clip, numbers: Sequence[int], modality: str) -> Num[np.ndarray, "t h w c"]:
        kinds = self.modalities()
        if modality not in kinds:
            raise DataError("E240", f"{self.info.title} has no modality {modality!r}. Known: {', '.join(kinds)}.")
        if self._place is None:
            raise DataError("E209", "The database cannot be read.", [self._frameless()])
        files = self._home(clip, modality).files(numbers)
        colour = len(kinds[modality].channels) == 3
        images = [read_image(file) for file in files]
        return stack([to_rgb(image) if colour else image for image in images], files)

    def fingerprint(self) -> str:
        places = {self._home(clip, name).path for clip in self.clips() for name in self.modalities()}
        images = [file for place in places for file in entries(place) if file.is_file()] if self._place else []
        return fingerprint(self._root, self._tables, images)

    # --- files and folders --------------------------------------------------------------------------------------------
    @cached_property
    def _tables(self) -> Sequence[Path]:
        """The table; several for a reader of several files."""
        if self._table_name is None:
            found = find_files(self._table_root, self._is_table, self.table_called)
        else:
            found = find_files(self._table_root, lambda name: name == self._table_name, f"table {self._table_name}")
        if len(found) > 1:
            raise several_tables(self._table_root, [file.name for file in found], found[0].name)
        return found

    @property
    def _table(self) -> Path:
        """The first table, or the only one."""
        return self._tables[0]

    @cached_property
    def _place(self) -> Path | None:
        return self._frames_root()

    def _frameless(self) -> Fault:
        """Return the fault of a database without frames."""
        return no_frames(self._root, self.frames_called)

    def _short(self, path: Path) -> str:
        return relative(path, self._root)

    @cached_property
    def _synthetic(self) -> Mapping[str, object] | None:
        """The options that synthetic images were made with; None for recordings."""
        marker = self._root / MARKER
        if not marker.is_file():
            return None
        try:
            spec = json.loads(marker.read_text("utf-8"))["spec"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return spec if isinstance(spec, dict) else {}

    def _namespace(self, name: str) -> str:
        """Return the namespace of the subjects; synthetic ones are not those of a real database, and differ by seed."""
        if self._synthetic is None:
            return name
        return "-".join(["synthetic", *(str(self._synthetic[key]) for key in ("seed",) if key in self._synthetic)])

    # --- the table ----------------------------------------------------------------------------------------------------
    @cached_property
    def _reading(self) -> Reading:
        reading, seen = Reading(), dict[str, tuple[Clip, Line]]()
        for line in self._lines():
            self._read(line, reading, seen)
        return reading

    def _read(self, line: Line, reading: Reading, seen: dict[str, tuple[Clip, Line]]) -> None:
        cells = RowReader(line.file, line.row)
        clip = self._clip(cells, line.metadata)
        if clip is None:
            return
        reading.rows += 1
        if self._correct:
            cells, clip = self._corrected(line, cells, clip, reading)
        cells.check_times(clip.onset, clip.apex, clip.offset)
        name = f"{clip.subject_id or '?'}/{clip.video or '?'}"
        key = name
        if clip.subject_id and clip.video and span(clip) is not None:
            first, where = seen.setdefault(self._same(clip), (clip, line))
            # It is unknown which of two rows is right, so the fault excludes the first one too.
            key = first.key
            if first is not clip:
                file = f"{where.file.name}, " if where.file != line.file else ""
                problem = f"this clip is in the table twice, first in {file}{_place(where)}"
                cells.note("E224", problem, "delete one of its two rows")
        if clip.subject_id and clip.video:
            reading.named.append(clip)
        if not cells.problems:
            reading.clips[clip.key] = clip
        reading.faults += cells.faults(name, key)

    def _same(self, clip: Clip) -> str:
        """Return what identifies the clip, so that two rows of one clip are found."""
        return f"{clip.subject_id}/{clip.video}" if self._alone else clip.key

    def _corrected(self, line: Line, cells: RowReader, clip: Clip, reading: Reading) -> tuple[RowReader, Clip]:
        """Return the row and its clip, corrected where a known defect has the value found and the folder agrees."""
        for correction in self.corrections:
            names, found, used = _values(correction)
            meant = correction.clip.casefold() in _names(clip)
            if not meant or tuple(map(cells.text, names)) != tuple(map(str, found)):
                continue
            if used == (MIDDLE,):
                if clip.onset is None or clip.offset is None:
                    continue
                used = ((clip.onset + clip.offset) // 2,)
            other = {**line.row.cells, **dict(zip(names, used, strict=True))}
            corrected = RowReader(line.file, replace(line.row, cells=other))
            changed = self._clip(corrected, line.metadata)
            if changed is None or (correction.folder and not self._agrees(clip, changed)):
                continue
            if correction.used == MIDDLE:
                changed = replace(changed, labels={**changed.labels, ESTIMATED: ("apex",)})
                correction = replace(correction, used=used[0])
            reading.applied.append(correction)
            return corrected, changed
        return cells, clip

    def _agrees(self, found: Clip, used: Clip) -> bool:
        """Whether the folder has every frame of the times used, and none that is only within the times found."""
        if self._place is None:
            return False
        listed: Collection[int] = self._home(found, next(iter(self.modalities()))).listed()
        wanted, other = set(span(used) or ()), set(span(found) or ())
        return bool(wanted) and wanted <= set(listed) and not (other - wanted) & set(listed)

    # --- the folder ---------------------------------------------------------------------------------------------------
    def _check_frames(self, clip: Clip, modality: str) -> Fault | None:
        folder = self._home(clip, modality)
        return folder.fault(clip, self._short(folder.path))

    def _shared(self) -> Iterator[Fault]:
        """Yield clips of different names that read one folder, because names match without case and zeros."""
        names: dict[Path, dict[tuple[str, str], Clip]] = {}
        for clip in self.clips():
            home = self._home(clip, next(iter(self.modalities())))
            if not home.recording:
                names.setdefault(_target(home.path), {})[clip.subject_id, clip.video] = clip
        for clips in names.values():
            for clip in clips.values() if len(clips) > 1 else ():
                others = " and ".join(other.key for other in clips.values() if other is not clip)
                where = self._short(self._home(clip, next(iter(self.modalities()))).path)
                fix = "use the folder named after the clip for each clip"
                yield Fault("E236", where, f"{others} uses this folder too", fix, clip.key)

    def _unlisted(self) -> Iterator[Fault]:
        """Yield folders of images, as deep as those of the clips, that no row of the table names."""
        found = [self._home(clip, name) for clip in self._reading.named for name in self.modalities()]
        homes = {home.path for home in found}
        if not self._place or any(home.recording for home in found):  # most recordings contain no expression
            return
        inside = [home.relative_to(self._place).parts for home in homes if home.is_relative_to(self._place)]
        for folder in _below(self._place, max(map(len, inside), default=0), homes):
            if any(is_image(path.name) for path in entries(folder)):
                problem = "no row of the table refers to this folder"
                yield Fault("E256", self._short(folder), problem, "no action needed: it is not read")

    def _surplus(self) -> Iterator[Fault]:
        """Yield folders with frames outside all clips or with gaps, links, and folders outside the root."""
        spans: dict[Path, tuple[FrameFolder, list[Clip]]] = {}
        for clip in self.clips():
            for name in self.modalities():
                home = self._home(clip, name)
                spans.setdefault(home.path, (home, []))[1].append(clip)
        fix = "no action needed if this is intended"
        links = {path: self._link(path) for path in (*spans, *self._tables)}
        for link in dict.fromkeys(filter(None, links.values())):
            outside = "" if _target(link).is_relative_to(_target(self._root)) else f", outside {self._root}"
            yield Fault("E258", self._short(link), f"is a link to {_target(link)}{outside}", fix)
        for path, (home, clips) in spans.items():
            if problems := home.notes(clips):
                yield Fault("E257", self._short(path), "; ".join(problems), fix)
            linked = ["has images that are links"] if home.linked() else []
            if links[path] is None and not _target(path).is_relative_to(_target(self._root)):
                linked.append(f"is outside {self._root}")
            if linked:
                yield Fault("E258", self._short(path), "; ".join(linked), fix)

    def _link(self, path: Path) -> Path | None:
        """Return the uppermost link between the root and a folder, so that one note covers all folders below it."""
        way = [folder for folder in (path, *path.parents) if folder != self._root and self._root in folder.parents]
        return next((folder for folder in reversed(way) if folder.is_symlink()), None)


def _place(line: Line) -> str:
    return line.row.place or f"row {line.row.number}"


def _below(folder: Path, depth: int, known: Collection[Path]) -> Iterator[Path]:
    """Yield the folders below one, to a depth, that are not known; known ones are not searched."""
    for inner in folders(folder) if depth else ():
        if inner not in known:
            yield inner
            yield from _below(inner, depth - 1, known)


def _target(path: Path) -> Path:
    """Return the target of a path; a link to itself stays unchanged."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path


def _values(correction: Correction) -> tuple[tuple[str, ...], tuple[object, ...], tuple[object, ...]]:
    """Return the columns of a correction, the values found and those used."""
    names = tuple(name.strip() for name in correction.field.split(","))
    found, used = (value if isinstance(value, tuple) else (value,) for value in (correction.found, correction.used))
    return names, found, used


def _names(clip: Clip) -> tuple[str, str]:
    """Return how a correction may name a clip, casefolded; with its onset where several clips share a video."""
    video = f"{clip.subject_id}/{clip.video}".casefold()
    return video, f"{video}/{clip.onset}"


def _options(spec: Mapping[str, object]) -> str:
    """Return options in words: "subjects 12, quirks yes, emotions (disgust and happiness)"."""
    texts = (f"{name.replace('_', ' ')} {_words(value)}" for name, value in spec.items() if value is not None)
    return ", ".join(texts) or f"yes, but {MARKER} cannot be read"


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        *others, last = map(str, value) if value else ["none"]
        return f"({', '.join(others)} and {last})" if others else f"({last})"
    return str(value)
