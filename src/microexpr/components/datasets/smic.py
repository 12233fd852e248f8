"""SMIC (Li et al., IEEE FG 2013): 164 clips of 16 subjects at 100 frames per second, other cameras, long recordings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final, Literal

from microexpr.components.datasets._folders import (
    check_folder,
    child,
    choose,
    first_with,
    folders,
    no_frames,
    unusable,
)
from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._reader import Line, Reading, TableDataset
from microexpr.components.datasets._table import Row, RowReader, find_rows, plain
from microexpr.components.datasets._workbook import is_workbook, read_sheets
from microexpr.core.clip import Clip
from microexpr.core.delimited_text import squeeze
from microexpr.core.errors import DataError, Fault
from microexpr.core.files import entries
from microexpr.core.image_files import numbered
from microexpr.core.interfaces import DatasetInfo, datasets

Camera = Literal["HS", "VIS", "NIR"]
FPS: Final = {"HS": 100.0, "VIS": 25.0, "NIR": 25.0}
PREFIXES: Final = ("image", "reg_image", "reg_", "img", "")
NAME: Final = re.compile(r"s0*([1-9][0-9]?)_([a-z]+)_[0-9]+", re.IGNORECASE)
"""Name of a clip: subject, short word for the emotion, number."""
SHORT: Final = {"ne": "negative", "po": "positive", "sur": "surprise"}
PUBLISHED: Final[Mapping[str, tuple[int, int, Mapping[str, int]]]] = MappingProxyType(
    {"HS": (164, 16, {"negative": 70, "positive": 51, "surprise": 43}), "VIS": (71, 8, {}), "NIR": (71, 8, {})}
)
"""Short clips, subjects and, where they are known, clips of each emotion, by camera."""
EXPRESSIONS: Final = (
    ("onset", "offset", "TotalMF1"),
    ("Onset2F", "Offset2F", "TotalMF2"),
    ("Onset3F", "Offset3F", "TotalMF3"),
)
"""Columns of a recording's first, second and third expression: onset, offset, number of frames."""
MISSING: Final = ("s3_ne_03", "s3_ne_20", "s4_ne_05", "s4_ne_06", "s9_sur_02")
"""Clips of HS whose long recording is not in the owners' download."""
LABELS: Final = {"first frame": "FirstF", "last frame": "LastF", "recording length": "TotalVL"}
"""Labels of a clip and the columns that they are read from."""


@datasets.register("smic", revision=2)
class Smic(TableDataset):
    """SMIC on disk: its short clips, defined by their folders, or its long recordings and their annotation table.

    `camera` is the fast one (HS) or one of two at 25 frames per second (VIS, in colour, and NIR, infrared), `part` the
    short clips or the long recordings; the subjects are the same. `table` chooses the annotation table where there are
    several.

    A short clip is the folder ``{camera}/{subject}/micro/{emotion}/{clip}``; onset and offset are its first and last
    frame, and no apex is coded. Folders ``non_micro`` are not read. The emotion is that of the folder; a name with
    another one is noted. The clip keeps its name on disk (s1_ne_01) as video; its name in the list of MEGC 2019
    (s01_ne_01) is its label "challenge name".

    Two folders of a subject with the same frames are a copy, and faults. Where there are fewer clips than were
    published, gaps in the numbers of clips are noted.

    A row of the annotation table has up to three expressions, each of which is a clip. One that begins before the
    first frame of its recording (FirstF) is a fault, as two third expressions of a public copy are (s18_ne_01,
    s18_sur_03); one that repeats another of its row is read once, and noted. The emotion is that of the row: a copy
    has s18_sur_03 as negative, which MEGC 2019 counts as surprise, as its name says. Rows below the clips that contain
    text and no subject are ignored and noted. Five clips of HS are known to lack their recording (s3_ne_03, s3_ne_20,
    s4_ne_05, s4_ne_06, s9_sur_02); their rows are ignored where the folder does not exist.

    Based on the folder and file names that MEB, SLSTT and readers of the cropped release use, on MEAN's folders of the
    long recordings, on the columns that public readers of ``SMIC-HS-E_annotation.xlsx`` name, and on the organisers'
    list of 164 clips. No listing of VIS and NIR was available: they are assumed to have the structure of HS.
    """

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="SMIC",
        doi="10.1109/FG.2013.6553717",
        licence="for research only, under an agreement signed with the owners; not to be passed on",
        access="ask the Center for Machine Vision and Signal Analysis, University of Oulu: https://www.oulu.fi",
        n_clips=164,
        n_subjects=16,
        fps=100.0,
        layout="""\
HS/s1/micro/negative/s1_ne_01/image559740.bmp ... (also VIS, NIR; also below SMIC_all_raw or SMIC_all_cropped)
SMIC-E_raw image/HS_long/SMIC-HS-E_annotation.xlsx (part = "long")
SMIC-E_raw image/HS_long/SMIC-HS-E/s01/s1_ne_01/image559740.jpg ...""",
        counted=(
            ("164", "every short clip of HS: negative 70, positive 51, surprise 43 (smic_3, megc2019_3)"),
            ("71", "the clips of VIS, and as many of NIR, 8 subjects each"),
            ("162 or 157", "rows of the table of HS's recordings, with and without five that are not in the download"),
        ),
    )
    emotions: ClassVar[Mapping[str, str]] = {word: word for word in SHORT.values()}
    columns: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "subject": ("Subject",),
        "video": ("Filename",),
        "onset": ("OnsetF", "Onset1F"),
        "offset": ("OffsetF", "Offset1F"),
    }
    optional: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "emotion": ("Emotion",),
        **{name: (name,) for name in (*chain.from_iterable(EXPRESSIONS[1:]), "TotalMF1", *LABELS.values())},
    }
    table_called: ClassVar[str] = "annotation table SMIC-HS-E_annotation.xlsx (or VIS, NIR)"
    frames_called: ClassVar[str] = "HS/s1/micro/negative/s1_ne_01/image559740.bmp (or VIS, NIR)"
    one_clip_a_video: ClassVar[bool] = True

    def __init__(
        self,
        root: Path,
        *,
        camera: Camera = "HS",
        part: Literal["short", "long"] = "short",
        table: str | None = None,
    ) -> None:
        super().__init__(root, table=table)
        self._camera, self._long = camera, part == "long"
        self._alone = not self._long
        self._name = "smic" + (f"_{camera.lower()}" if camera != "HS" else "") + ("_long" if self._long else "")

    def faults(self, *, table_only: bool = False) -> Sequence[Fault]:
        return (self._tableless(),) if table_only and not self._long else super().faults(table_only=table_only)

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        if table_only and not self._long:
            return ()
        own = (
            [*self._ignored_rows(), *self._expressions[1], *_miscounted(self.clips())]
            if self._long
            else [*self._gaps(), *self._other_folders()]
        )
        return (*super().notes(table_only=table_only), *self._misnamed(), *own)

    def cropped(self) -> bool:
        inside = self._place.relative_to(self._root).parts if self._place else ("",)
        return any("crop" in name.casefold() for name in inside or (self._root.parent.name, self._root.name))

    # --- files and folders --------------------------------------------------------------------------------------------
    def _is_table(self, name: str) -> bool:
        return _is_table(name, self._camera)

    @cached_property
    def _tables(self) -> Sequence[Path]:
        if not self._long:
            return ()
        own = any(self._is_table(path.name) for path in entries(self._table_root))
        other = next(self._other_tables(), None) if self._table_name is None and not own else None
        if other is not None:
            camera, file = other
            problem = f"contains no annotation table of {self._camera}, but {self._short(file)}"
            raise unusable("E205", self._root, problem, f"{choose('camera', camera)}, or copy the table into it")
        return super()._tables

    @property
    def _table(self) -> Path:
        if not self._long:
            fault = self._tableless()
            raise DataError(fault.code, "The database cannot be read.", [fault])
        return super()._table

    @cached_property
    def _table_root(self) -> Path:
        """The folder of the annotation table, HS_long, at most one level below the root."""
        places = self._table_places(self._camera)
        wanted = self._is_table if self._table_name is None else lambda name: name == self._table_name
        return next((place for place in places if any(wanted(path.name) for path in entries(place))), self._root)

    def _table_places(self, camera: str) -> Sequence[Path]:
        return [self._root, *(place for long in self._long_folders(camera) for place in (long, *folders(long)))]

    def _long_folders(self, camera: str) -> Sequence[Path]:
        return [child(top, f"{camera}_long") for top in (self._root, *folders(self._root))]

    def _other_tables(self) -> Iterator[tuple[str, Path]]:
        """Yield the annotation tables of other cameras."""
        for camera in (camera for camera in FPS if camera != self._camera):
            files = (file for place in self._table_places(camera) for file in entries(place))
            yield from ((camera, file) for file in files if _is_table(file.name, camera))

    def _tableless(self) -> Fault:
        problem = "the short clips of SMIC have no table: they are defined by their folders"
        fix = "check it with its frames, or choose the recordings, which have a table, with --set part=long"
        return Fault("E205", str(self._root), problem, fix)

    def _frames_root(self) -> Path | None:
        """Return the folder that contains the subjects; raw frames before cropped ones."""
        if self._long:
            return self._long_root()
        below = sorted(folders(self._root), key=lambda path: "crop" in path.name.casefold())
        tops = [child(top, self._camera) for top in (self._root, *below)]
        itself = [self._root] if self._root.name.casefold() == self._camera.lower() else []
        places = [place for top in tops for place in (top, child(top, self._camera))]
        return first_with([*places, *itself], _is_subject)

    def _long_root(self) -> Path | None:
        names = (f"SMIC-{self._camera}-E", f"SMIC_{self._camera}_E", self._camera)
        tops = (self._table_root, *self._long_folders(self._camera))
        places = [place for top in tops for place in (*(child(top, name) for name in names), top)]
        return first_with([inner for place in places for inner in (child(place, self._camera), place)], _is_subject)

    def _frameless(self) -> Fault:
        long = f"SMIC-E_raw image/{self._camera}_long/SMIC-{self._camera}-E/s01/s1_ne_01/image000001.jpg"
        short = f"{self._camera}/s1/micro/negative/s1_ne_01/image000001.bmp"
        fix = ""
        if not self._long:
            others = [camera for camera in FPS if first_with([child(self._root, camera)], _is_subject)]
            near = [path for path in self._root.parents[:4] if first_with([child(path, self._camera)], _is_subject)]
            if others:
                fix = choose("camera", others[0])
            elif near:
                fix = f"give {near[0]} instead, which contains {self._camera}"
        return no_frames(self._root, f"{long if self._long else short} ...", fix)

    def _home(self, clip: Clip, modality: str) -> FrameFolder:
        found = () if self._long else self._found
        own = (path for path, subject, _ in found if (subject, path.name) == (clip.subject_id, clip.video))
        return FrameFolder(next(own, self._recording(clip.subject_id, clip.video)), PREFIXES, recording=self._long)

    def _recording(self, subject: str, video: str) -> Path:
        return child(child(self._place or self._root, subject), video)

    # --- the short clips ----------------------------------------------------------------------------------------------
    @cached_property
    def _found(self) -> Sequence[tuple[Path, str, str]]:
        """Every clip's folder with its subject and the name of its emotion's folder."""
        subjects = [path for path in folders(self._place or self._root) if _is_subject(path.name)]
        return [
            (clip, _subject_of(folder.name), emotion.name)
            for folder in sorted(subjects, key=lambda path: int(path.name[1:]))
            for emotion in _emotions(folder)
            for clip in folders(emotion)
        ]

    def _lines(self) -> Iterable[Line]:
        if self._long:
            return self._expressions[0]
        check_folder(self._root, f"folder {self._camera}")
        if self._place is None:
            fault = self._frameless()
            raise DataError(fault.code, "The database cannot be read.", [fault])
        return self._folder_lines()

    def _folder_lines(self) -> Iterator[Line]:
        same: dict[tuple[str, str], list[Path]] = {}
        for path, subject, _ in self._found:
            same.setdefault((subject, _spelt(path.name)), []).append(path)
        for path, subject, emotion in self._found:
            first, *others = same[subject, _spelt(path.name)]
            if path != first:
                continue
            frames = [*numbered(path, PREFIXES)]
            onset, offset = (frames[0], frames[-1]) if frames else (None, None)
            names = {"subject": subject, "video": path.name, "emotion": emotion}
            cells: dict[str, object] = {**names, "onset": onset, "offset": offset}
            copies = [copy for copy in self._copies.get(path, ()) if copy not in others]
            found = {"others": others, "copies": copies}
            metadata = {what: ", ".join(map(self._short, paths)) for what, paths in found.items() if paths}
            yield Line(path, Row(0, cells, self._short(path)), metadata)

    @cached_property
    def _copies(self) -> Mapping[Path, Sequence[Path]]:
        """The clips' folders that contain the same frames as others of their subject, with those others.

        They begin with the same frame number and have as many frames; where frames are counted from 1 in each clip,
        the first image must be identical too.
        """
        same: dict[tuple[object, ...], list[Path]] = {}
        for path, subject, _ in self._found:
            frames = numbered(path, PREFIXES) if NAME.fullmatch(path.name) else {}
            if frames:
                first = min(frames)
                content = _content(frames[first][0]) if first <= 1 else b""
                same.setdefault((subject, first, len(frames), content), []).append(path)
        return {path: [other for other in paths if other != path] for paths in same.values() for path in paths}

    def _gaps(self) -> Iterator[Fault]:
        """Yield gaps in the numbers of a subject's clips of one emotion, where there are fewer clips than published."""
        if len(self._found) < PUBLISHED[self._camera][0] and self._synthetic is None:
            names = (_spelt(path.name) for path, _, _ in self._found if NAME.fullmatch(path.name))
            for where, missing in _missing_numbers(names):
                problem = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
                yield Fault("E257", where, problem, "check whether the original lacks them too")

    def _unlisted(self) -> Iterator[Fault]:
        return (fault for fault in super()._unlisted() if "non_micro" not in fault.where)

    def _misnamed(self) -> Iterator[Fault]:
        """Yield clips whose name has another emotion than their folder or row."""
        place = "row" if self._long else "folder"
        for clip in self.clips():
            if (named := _emotion_in(clip.video)) not in (None, clip.emotion):
                problem = f"its name says {named}, its {place} {clip.emotion}, which takes precedence"
                yield Fault("E260", clip.key, problem, "check which is right", clip.key)

    def _other_folders(self) -> Iterator[Fault]:
        for path in folders(self._place or self._root):
            if not _is_subject(path.name):
                problem = "its name is not that of a subject, s1 to s20"
                yield Fault("E256", self._short(path), problem, "no action needed: it is not read")

    # --- the long recordings ------------------------------------------------------------------------------------------
    @cached_property
    def _rows(self) -> tuple[Sequence[Row], Sequence[tuple[Row, str]]]:
        """The rows of clips, and those that are ignored, with the reason."""
        sheets = read_sheets(self._table)
        own = {title: rows for title, rows in sheets.items() if self._camera.casefold() in title.casefold()}
        kept: list[Row] = []
        ignored: list[tuple[Row, str]] = []
        for row in find_rows(self._table, own or sheets, self.columns, self.optional):
            name = _spelt(plain(row.cells["video"]))
            lost = self._camera == "HS" and name in MISSING
            if _is_text(row):
                words = " ".join(filter(None, map(plain, row.cells.values())))
                ignored.append((row, f"contains text, not a clip: {words[:60]!r}"))
            elif lost and not self._recording(name.partition("_")[0], name).is_dir():
                ignored.append((row, f"{name} is a clip whose recording is not in the owners' download"))
            else:
                kept.append(row)
        return kept, ignored

    @cached_property
    def _expressions(self) -> tuple[Sequence[Line], Sequence[Fault]]:
        return _expressions(self._table, self._rows[0])

    def _ignored_rows(self) -> Iterator[Fault]:
        for row, reason in self._rows[1]:
            yield Fault("E256", f"{self._table.name}, row {row.number}", reason, "no action needed: it is not read")

    # --- both ---------------------------------------------------------------------------------------------------------
    def _clip(self, cells: RowReader, metadata: Mapping[str, str]) -> Clip:
        subject, video = _subject_of(cells.required("subject")), cells.required("video")
        if cells.text("subject") and not subject:
            problem = f"the subject cell contains {cells.text('subject')!r}"
            cells.note("E221", problem, "write the subject's number, 1 to 20")
        _check_name(cells, subject, video)
        if "others" in metadata:
            cells.note("E237", f"this clip has other folders: {metadata['others']}", "keep one of them")
        if "copies" in metadata:
            problem = f"has the same first frame and number of frames as {metadata['copies']}: one is a copy"
            cells.note("E237", problem, "delete the one that the owners do not distribute")
        first, onset = (plain(cells.row.cells.get(name)) for name in (LABELS["first frame"], "onset"))
        if self._long and first.isdecimal() and onset.isdecimal() and int(onset) < int(first):
            problem = f"the onset {onset} is before the recording's first frame {first} (column FirstF)"
            cells.note("E223", problem, "compare the row with its frames")
        empty = not self._long and not onset
        if empty:
            cells.note("E231", "the clip's folder contains no frames", "copy its folder again from the original")
        return Clip(
            dataset=self._name,
            subject_id=subject,
            namespace=self._namespace("smic"),
            video=video,
            fps=FPS[self._camera],
            onset=None if empty else cells.number("onset"),
            offset=None if empty else cells.number("offset"),
            emotion=self._emotion(cells, video),
            labels=self._labels(cells, video, metadata),
        )

    def _emotion(self, cells: RowReader, video: str) -> str | None:
        """Return the emotion of a row; in a table without that column, the names define it."""
        if "emotion" not in cells.row.cells:
            if _emotion_in(video) is None:
                cells.note("E222", f"the name {video!r} contains no emotion", f"write a name with {', '.join(SHORT)}")
            return _emotion_in(video)
        found = cells.text("emotion").casefold()
        if self._long or found in self.emotions:
            return cells.emotion("emotion", self.emotions)
        problem = f"is in the folder of an unknown emotion, {found!r}"
        cells.note("E222", problem, f"rename it: {', '.join(self.emotions)}")
        return None

    def _labels(self, cells: RowReader, video: str, metadata: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        if self._long:
            texts = {label: cells.text(column) for label, column in (*LABELS.items(), ("length", "length"))}
            return {label: (text,) for label, text in {**texts, **metadata}.items() if text}
        return {"challenge name": (re.sub(r"^s(?=[0-9]_)", "s0", video),)} if self._camera == "HS" else {}

    def _release(self, reading: Reading) -> str:
        counts = Counter(clip.emotion for clip in reading.clips.values())
        emotions = ", ".join(f"{word} {counts[word]}" for word in self.emotions.values())
        known = "" if self._long or self._synthetic is not None else _compared(self._camera, reading.clips.values())
        return f"{self._camera}, {'long recordings' if self._long else 'short clips'}: {known}{emotions}"


def _emotions(subject: Path) -> Iterator[Path]:
    """Yield a subject's folders of emotions; in some copies they are directly in the subject's folder."""
    micro = child(subject, "micro")
    return folders(micro) if micro.is_dir() else (path for path in folders(subject) if "micro" not in path.name)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


# --- names ------------------------------------------------------------------------------------------------------------
def _is_table(name: str, camera: str) -> bool:
    named = squeeze(name).startswith(f"smic{camera.lower()}") and "annotation" in name.casefold()
    return named and is_workbook(name)


def _is_subject(name: str) -> bool:
    return name[:1] in ("s", "S") and _subject_of(name) != ""


def _subject_of(text: str) -> str:
    """Return 's1' for '1', 's1', 'S01'; '' for anything else."""
    match = re.fullmatch("[sS]?0*([1-9][0-9]?)", text)
    return f"s{match[1]}" if match else ""


def _spelt(name: str) -> str:
    """Return a clip's name as on disk: 's1_ne_01' for 's01_ne_01'."""
    return re.sub("^s0+", "s", name.casefold())


def _emotion_in(video: str) -> str | None:
    """Return the emotion in a clip's name."""
    match = NAME.fullmatch(video)
    return SHORT.get(match[2].casefold()) if match else None


def _check_name(cells: RowReader, subject: str, video: str) -> None:
    """Note a name that does not follow the owners' scheme, or has another subject's number."""
    match = NAME.fullmatch(video)
    if video and not match:
        problem = f"the video cell contains {video!r}, not subject_word_number"
        cells.note("E221", problem, "write a name like s1_ne_01")
    elif match and subject and f"s{match[1]}" != subject:
        cells.note("E225", f"{video} is not named after its subject {subject}", "correct one of the two")


def _missing_numbers(names: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the names that are missing between others with the same beginning, after the range that lacks them.

    >>> list(_missing_numbers(["s1_ne_01", "s1_ne_03", "s1_po_02"]))
    [('s1_ne_01 ... s1_ne_03', ['s1_ne_02'])]
    """
    numbers: dict[str, set[int]] = {}
    for name in names:
        start, _, number = name.rpartition("_")
        numbers.setdefault(start, set()).add(int(number))
    for start, found in numbers.items():
        first, last = min(found), max(found)
        missing = [f"{start}_{number:02d}" for number in range(first, last) if number not in found]
        if missing:
            yield f"{start}_{first:02d} ... {start}_{last:02d}", missing


def _compared(camera: str, clips: Collection[Clip]) -> str:
    """Return how the number of clips compares with the published one."""
    number, subjects, words = PUBLISHED[camera]
    counts, found = Counter(clip.emotion for clip in clips), len({clip.subject_id for clip in clips})
    differences = [f"{word} {counts[word]}, not {n}" for word, n in words.items() if counts[word] != n]
    differences += [f"{found} subjects, not {subjects}"] if found != subjects else []
    if len(clips) == number and not differences:
        return "as published, "
    size = f"{len(clips)} of {number}" if len(clips) <= number else f"{len(clips)}, not {number}"
    return f"{size}: {', '.join(differences)}; " if differences else f"{size}; "


# --- rows of the annotation tables, up to three expressions each ------------------------------------------------------
def _expressions(table: Path, rows: Iterable[Row]) -> tuple[Sequence[Line], Sequence[Fault]]:
    """Return one line for each expression of the recordings, and a note for each that repeats one of its row."""
    lines: list[Line] = []
    repeats: list[Fault] = []
    for row in rows:
        known: dict[tuple[str, str], int] = {}
        for number, columns in enumerate(EXPRESSIONS, start=1):
            onset, offset, length = (row.cells.get(column) for column in columns)
            times = (plain(onset), plain(offset))
            if number > 1 and not any(times):
                continue
            if known.setdefault(times, number) != number:
                where = f"{table.name}, row {row.number} ({plain(row.cells['video'])})"
                problem = f"its expression {number} repeats its expression {known[times]}, {'-'.join(times)}"
                repeats.append(Fault("E256", where, problem, "no action needed: it is read once"))
                continue
            cells = {**row.cells, "onset": onset, "offset": offset, "length": length}
            headers = dict(zip(("onset", "offset"), columns, strict=False)) if number > 1 else {}
            named = replace(row, cells=cells, headers={**row.headers, **headers})
            lines.append(Line(table, named, {"expression": str(number)}))
    return lines, repeats


def _miscounted(clips: Iterable[Clip]) -> Iterator[Fault]:
    """Yield expressions whose number of frames differs from the table's, and those that end too late."""
    for clip in clips:
        (last,) = clip.labels.get("last frame", ("",))
        if last.isdecimal() and (clip.offset or 0) > int(last):
            # Not a fault: the frames show whether the recording ends there.
            problem = f"{clip.onset}-{clip.offset} ends after the recording's last frame {last} (column LastF)"
            yield Fault("E259", clip.key, problem, "compare the row with its frames", clip.key)
        (length,) = clip.labels.get("length", ("",))
        frames = (clip.offset or 0) - (clip.onset or 0) + 1
        # The number of frames may include the offset or not.
        if length.isdecimal() and int(length) not in (frames, frames - 1):
            column = EXPRESSIONS[int(clip.labels["expression"][0]) - 1][2]
            problem = f"its {column} is {length}, but {clip.onset}-{clip.offset} are {frames} frames"
            yield Fault("E259", clip.key, problem, "compare the row with its frames", clip.key)


def _is_text(row: Row) -> bool:
    """Whether a row contains text and no clip: no subject, no clip's name, no two frame numbers, no emotion."""
    cells = {name: plain(cell) for name, cell in row.cells.items()}
    numbers = cells["onset"].isdecimal() and cells["offset"].isdecimal()
    coded = numbers or cells.get("emotion", "").casefold() in SHORT.values()
    return not (_subject_of(cells["subject"]) or NAME.fullmatch(cells["video"]) or coded)
