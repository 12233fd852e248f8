"""SMIC (Li et al., IEEE FG 2013): 164 clips of 16 subjects at 100 frames a second, other cameras, long recordings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import ClassVar, Final, Literal

from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._images import numbered
from microexpr.components.datasets._naming import alike_folders, left_out
from microexpr.components.datasets._reader import Line, Reading, TableDataset
from microexpr.components.datasets._root import check_folder, child, entries, first_with, folders, unusable
from microexpr.components.datasets._smic_long import EXPRESSIONS, expressions, is_text, miscounted
from microexpr.components.datasets._smic_names import (
    NAME,
    PUBLISHED,
    SHORT,
    check_name,
    compared,
    is_subject,
    is_table,
    spelt,
    subject_of,
    told_by,
)
from microexpr.components.datasets._table import Row, RowReader, find_rows, plain
from microexpr.components.datasets._workbook import read_sheets
from microexpr.core.clip import Clip
from microexpr.core.errors import Fault
from microexpr.core.interfaces import DatasetInfo, datasets

Camera = Literal["HS", "VIS", "NIR"]
FPS: Final = {"HS": 100.0, "VIS": 25.0, "NIR": 25.0}
PREFIXES: Final = ("image", "reg_image", "reg_", "img", "")
MISSING: Final = ("s3_ne_03", "s3_ne_20", "s4_ne_05", "s4_ne_06", "s9_sur_02")
"""Clips of HS whose long recording is not in the owners' download."""
LABELS: Final = {"first frame": "FirstF", "last frame": "LastF", "recording length": "TotalVL"}
"""Labels of a clip and the columns that they are read from."""


@datasets.register("smic", revision=2)
class Smic(TableDataset):
    """SMIC on disk: its short clips, told by their folders alone, or its long recordings and their annotation table.

    `camera` is the fast one (HS) or one of two at 25 frames a second (VIS, in colour, and NIR, infrared), `part` the
    short clips or the long recordings; the subjects are the same. `table` says which annotation table is read where
    there is more than one.

    A short clip is the folder ``{camera}/{subject}/micro/{emotion}/{clip}``; onset and offset are its first and last
    frame, and no apex is coded. Folders ``non_micro`` are not read. The emotion is that of the folder; a name that
    tells another one is remarked. The clip keeps its name on disk (s1_ne_01) as video; its name in the list of MEGC
    2019 (s01_ne_01) is its label "challenge name".

    Two folders of a subject with the same frames are a copy, and faults. Where there are fewer clips than were
    published, numbers that are left out in the clips' names are remarked.

    A row of the annotation table holds up to three expressions, each of which is a clip. One that begins before the
    first frame of its recording (FirstF) is a fault, as two third expressions of a public copy do (s18_ne_01,
    s18_sur_03); one that repeats another of its row is read once, and remarked. The emotion is that of the row: a copy
    has s18_sur_03 as negative, which MEGC 2019 counts as surprise, as its name says. Rows below the clips that hold
    words and no subject are passed over and reported. Five clips of HS are known to lack their recording (s3_ne_03,
    s3_ne_20, s4_ne_05, s4_ne_06, s9_sur_02); their rows are passed over where the folder is not there.

    Rests on the folder and file names that MEB, SLSTT and readers of the cropped release use, on MEAN's folders of the
    long recordings, on the columns that public readers of ``SMIC-HS-E_annotation.xlsx`` name, and on the organisers'
    list of 164 clips. No listing of VIS and NIR was seen: they are taken to be built like HS.
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
            [*self._passed_over(), *self._expressions[1], *miscounted(self.clips())]
            if self._long
            else [*self._gaps(), *self._strangers()]
        )
        return (*super().notes(table_only=table_only), *self._misnamed(), *own)

    def cropped(self) -> bool:
        inside = self._place.relative_to(self._root).parts if self._place else ("",)
        return any("crop" in name.casefold() for name in inside or (self._root.parent.name, self._root.name))

    # --- where things lie ---------------------------------------------------------------------------------------------
    def _is_table(self, name: str) -> bool:
        return is_table(name, self._camera)

    @cached_property
    def _tables(self) -> Sequence[Path]:
        if not self._long:
            return ()
        own = any(self._is_table(path.name) for path in entries(self._table_root))
        other = next(self._other_tables(), None) if self._table_name is None and not own else None
        if other is not None:
            camera, file = other
            problem = f"holds no annotation table of {self._camera}, but {self._short(file)}"
            raise unusable(
                Fault("E201", str(self._root), problem, f"choose camera = {camera!r}, or copy the table into it")
            )
        return super()._tables

    @property
    def _table(self) -> Path:
        if not self._long:
            raise unusable(self._tableless())
        return super()._table

    @cached_property
    def _table_root(self) -> Path:
        """The folder of the annotation table: HS_long, wherever below the root it lies."""
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
            yield from ((camera, file) for file in files if is_table(file.name, camera))

    def _tableless(self) -> Fault:
        fix = "check it with its pictures, or say part = 'long' for the recordings, which have one"
        return Fault(
            "E201", str(self._root), "the short clips of SMIC have no table: their folders are the annotation", fix
        )

    def _frames_root(self) -> Path | None:
        """Return the folder that holds the subjects; raw frames rather than cropped ones."""
        if self._long:
            return self._long_root()
        below = sorted(folders(self._root), key=lambda path: "crop" in path.name.casefold())
        tops = [child(top, self._camera) for top in (self._root, *below)]
        itself = [self._root] if self._root.name.casefold() == self._camera.lower() else []
        places = [place for top in tops for place in (top, child(top, self._camera))]
        return first_with([*places, *itself], is_subject)

    def _long_root(self) -> Path | None:
        names = (f"SMIC-{self._camera}-E", f"SMIC_{self._camera}_E", self._camera)
        tops = (self._table_root, *self._long_folders(self._camera))
        places = [place for top in tops for place in (*(child(top, name) for name in names), top)]
        return first_with([inner for place in places for inner in (child(place, self._camera), place)], is_subject)

    def _frameless(self) -> Fault:
        have = ", ".join(path.name for path in folders(self._root)) or "no folder"
        long = f"SMIC-E_raw image/{self._camera}_long/SMIC-{self._camera}-E/s01/s1_ne_01/image000001.jpg"
        wanted = long if self._long else f"{self._camera}/s1/micro/negative/s1_ne_01/image000001.bmp"
        fix = f"copy the frames into it as {wanted}"
        others = [camera for camera in FPS if first_with([child(self._root, camera)], is_subject)]
        near = [path for path in self._root.parents[:4] if first_with([child(path, self._camera)], is_subject)]
        if others and not self._long:
            fix = f"choose camera = {others[0]!r}, or {fix}"
        elif near and not self._long:
            fix = f"give {near[0]} instead, where {self._camera} lies"
        return Fault("E201", str(self._root), f"holds no frames of {self._camera} ({wanted} ...), but {have}", fix)

    def _home(self, clip: Clip, modality: str) -> FrameFolder:
        found = () if self._long else self._found
        own = (path for path, subject, _ in found if (subject, path.name) == (clip.subject_id, clip.video))
        return FrameFolder(next(own, self._recording(clip.subject_id, clip.video)), PREFIXES, recording=self._long)

    def _recording(self, subject: str, video: str) -> Path:
        return child(child(self._place or self._root, subject), video)

    # --- the short clips ----------------------------------------------------------------------------------------------
    @cached_property
    def _found(self) -> Sequence[tuple[Path, str, str]]:
        """Every clip's folder with its subject and the folder called after its emotion."""
        subjects = [path for path in folders(self._place or self._root) if is_subject(path.name)]
        return [
            (clip, subject_of(folder.name), emotion.name)
            for folder in sorted(subjects, key=lambda path: int(path.name[1:]))
            for emotion in _emotions(folder)
            for clip in folders(emotion)
        ]

    def _lines(self) -> Iterable[Line]:
        if self._long:
            return self._expressions[0]
        check_folder(self._root, f"folder {self._camera}")
        if self._place is None:
            raise unusable(self._frameless())
        return self._folder_lines()

    def _folder_lines(self) -> Iterator[Line]:
        same: dict[tuple[str, str], list[Path]] = {}
        for path, subject, _ in self._found:
            same.setdefault((subject, spelt(path.name)), []).append(path)
        for path, subject, emotion in self._found:
            first, *others = same[subject, spelt(path.name)]
            if path != first:
                continue
            frames = [*numbered(path, PREFIXES)]
            onset, offset = (frames[0], frames[-1]) if frames else (None, None)
            names = {"subject": subject, "video": path.name, "emotion": emotion}
            cells: dict[str, object] = {**names, "onset": onset, "offset": offset}
            told = {"others": others, "copies": [copy for copy in self._copies.get(path, ()) if copy not in others]}
            metadata = {what: ", ".join(map(self._short, paths)) for what, paths in told.items() if paths}
            yield Line(path, Row(0, cells, self._short(path)), metadata)

    @cached_property
    def _copies(self) -> Mapping[Path, Sequence[Path]]:
        """The clips' folders that hold the same frames as others of their subject, with those others."""
        named = [(path, subject) for path, subject, _ in self._found if NAME.fullmatch(path.name)]
        return alike_folders((path, subject, numbered(path, PREFIXES)) for path, subject in named)

    def _gaps(self) -> Iterator[Fault]:
        """Yield numbers that no clip of a subject and a word has, where there are fewer clips than were published."""
        if len(self._found) < PUBLISHED[self._camera][0] and self._synthetic is None:
            names = (spelt(path.name) for path, _, _ in self._found if NAME.fullmatch(path.name))
            for where, lacking in left_out(names):
                problem = f"{', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not there"
                yield Fault("E201", where, problem, "see whether your copy lacks them, or the original too")

    def _unlisted(self) -> Iterator[Fault]:
        return (fault for fault in super()._unlisted() if "non_micro" not in fault.where)

    def _misnamed(self) -> Iterator[Fault]:
        """Yield clips whose name tells another emotion than their folder, or their row."""
        place = "row" if self._long else "folder"
        for clip in self.clips():
            if (told := told_by(clip.video)) not in (None, clip.emotion):
                problem = f"its name tells {told}, its {place} {clip.emotion}, which counts"
                yield Fault("E201", clip.key, problem, "see which is right", clip.key)

    def _strangers(self) -> Iterator[Fault]:
        for path in folders(self._place or self._root):
            if not is_subject(path.name):
                yield Fault(
                    "E201", self._short(path), "is not called like a subject, s1 to s20", "nothing: it is not read"
                )

    # --- the long recordings ------------------------------------------------------------------------------------------
    @cached_property
    def _rows(self) -> tuple[Sequence[Row], Sequence[tuple[Row, str]]]:
        """The rows of clips, and those that are passed over, with the reason."""
        sheets = read_sheets(self._table)
        own = {title: rows for title, rows in sheets.items() if self._camera.casefold() in title.casefold()}
        kept: list[Row] = []
        passed: list[tuple[Row, str]] = []
        for row in find_rows(self._table, own or sheets, self.columns, self.optional):
            name = spelt(plain(row.cells["video"]))
            lost = self._camera == "HS" and name in MISSING
            if is_text(row):
                words = " ".join(filter(None, map(plain, row.cells.values())))
                passed.append((row, f"holds words, not a clip: {words[:60]!r}"))
            elif lost and not self._recording(name.partition("_")[0], name).is_dir():
                passed.append((row, f"{name} is a clip whose recording is not in the owners' download"))
            else:
                kept.append(row)
        return kept, passed

    @cached_property
    def _expressions(self) -> tuple[Sequence[Line], Sequence[Fault]]:
        return expressions(self._table, self._rows[0])

    def _passed_over(self) -> Iterator[Fault]:
        for row, reason in self._rows[1]:
            yield Fault("E201", f"{self._table.name}, row {row.number}", reason, "nothing: it is not read")

    # --- both ---------------------------------------------------------------------------------------------------------
    def _clip(self, cells: RowReader, metadata: Mapping[str, str]) -> Clip:
        subject, video = subject_of(cells.required("subject")), cells.required("video")
        if cells.text("subject") and not subject:
            cells.note(f"the cell subject holds {cells.text('subject')!r}", "write the subject's number, 1 to 20")
        check_name(cells, subject, video)
        if "others" in metadata:
            cells.note(f"this clip has other folders: {metadata['others']}", "keep one of them")
        if "copies" in metadata:
            problem = f"begins with the same frame as {metadata['copies']} and has as many: one is a copy of the other"
            cells.note(problem, "delete the one that the owners do not ship")
        first, onset = (plain(cells.row.cells.get(name)) for name in (LABELS["first frame"], "onset"))
        if self._long and first.isdecimal() and onset.isdecimal() and int(onset) < int(first):
            problem = f"the onset {onset} lies before the recording's first frame {first} (column FirstF)"
            cells.note(problem, "compare the row with its frames")
        empty = not self._long and not onset
        if empty:
            cells.note("the clip's folder holds no frames", "copy its folder again from the original")
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
        """Return the emotion of a row; a table without that column tells it in the names alone."""
        if "emotion" not in cells.row.cells:
            if told_by(video) is None:
                cells.note(f"the name {video!r} tells no emotion", f"write a name with {', '.join(SHORT)}")
            return told_by(video)
        found = cells.text("emotion").casefold()
        if self._long or found in self.emotions:
            return cells.emotion("emotion", self.emotions)
        cells.note(f"lies in a folder of no known emotion, {found!r}", f"rename it: {', '.join(self.emotions)}")
        return None

    def _labels(self, cells: RowReader, video: str, metadata: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        if self._long:
            told = {label: cells.text(column) for label, column in (*LABELS.items(), ("length", "length"))}
            return {label: (text,) for label, text in {**told, **metadata}.items() if text}
        return {"challenge name": (re.sub(r"^s(?=[0-9]_)", "s0", video),)} if self._camera == "HS" else {}

    def _release(self, reading: Reading) -> str:
        counts = Counter(clip.emotion for clip in reading.clips.values())
        told = ", ".join(f"{word} {counts[word]}" for word in self.emotions.values())
        known = "" if self._long or self._synthetic is not None else compared(self._camera, reading.clips.values())
        return f"{self._camera}, {'long recordings' if self._long else 'short clips'}: {known}{told}"

    # --- the example --------------------------------------------------------------------------------------------------
    @classmethod
    def write_example(cls, root: Path) -> None:
        from microexpr.components.datasets._smic_example import write

        write(root)


def _emotions(subject: Path) -> Iterator[Path]:
    """Yield a subject's folders of emotions; some copies have them in the subject's folder itself."""
    micro = child(subject, "micro")
    return folders(micro) if micro.is_dir() else (path for path in folders(subject) if "micro" not in path.name)
