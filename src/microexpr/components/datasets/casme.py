"""CASME (Yan et al., FG 2013): 193 coded clips at 60 frames a second, filmed by two cameras in sections A and B."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import ClassVar, Final, Literal, NamedTuple

from microexpr.components.datasets import _example
from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._images import is_picture
from microexpr.components.datasets._naming import is_workbook, kinds, subject_number
from microexpr.components.datasets._reader import Reading, TableDataset
from microexpr.components.datasets._root import child, entries, folders
from microexpr.components.datasets._table import NO_APEX, RowReader, squeeze
from microexpr.core.clip import Clip
from microexpr.core.errors import Fault
from microexpr.core.facs import parse_action_units
from microexpr.core.interfaces import DatasetInfo, datasets

RELEASES: Final = {193: "2019-07-21", 189: "the table that MEB reads"}
"""Which table this is, by its number of rows."""
DEEPEST: Final = 3
"""How many folders may lie between the root and those of the subjects: two are known, CASME_raw_selected/Section A."""
KINDS: Final = ("raw", "cropped")
_SUBJECT: Final = re.compile(r"sub\d+", re.IGNORECASE)
_SECTION: Final = re.compile(r"(?:section|class)[ _-]?([ab])", re.IGNORECASE)
_FPS: Final = 60.0


@datasets.register("casme")
class Casme(TableDataset):
    """CASME on disk: its coding table, an old Excel file, and beside it the raw or the cropped frames.

    `folder` says which frames (`auto`: raw where they are there), `table` which table is read where there is more than
    one. There are no corrections: none is known whose clip and whose wrong value both are public. MEB changes five rows
    by their number, to fit them to the frames; a row that does not fit your frames is a fault here.

    A video may bear several expressions. The apex is the first frame of the apex phase; its last frame, the table's
    ApexF2, is kept in `Clip.labels` ("second apex"), as are both durations in milliseconds and, where the frames lie in
    ``Section A`` and ``Section B`` (two cameras), the section.

    Rests on a public print of the table of 2019-07-21 (columns, 193 rows, first rows, and that durations count frames
    of 1/60 s), on an extract of 189 rows (class counts), and on the folder and file names that MEB and users of its
    tables read. How the sections are nested is not known: subjects' folders are looked for up to three levels down.
    """

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="CASME",
        doi="10.1109/FG.2013.6553799",
        licence="for research only, under an agreement signed with the owners; not to be passed on",
        access="ask the Chinese Academy of Sciences: http://casme.psych.ac.cn/casme/e1",
        n_clips=193,
        n_subjects=19,
        fps=_FPS,
        family="CASME",
        layout="""\
CASME-coded-20190721.xls
Section A/sub01/EP01_12/EP01_12-73.jpg ... or CASME_raw_selected/sub01/EP01_12/EP01_12-73.jpg ...
Cropped/sub01/EP01_12/reg_EP01_12-73.jpg ... (numbers may be padded to three digits: EP01_12-073.jpg)""",
        counted=(
            ("195", "the number on the owners' page and in their paper"),
            ("193", "every row of the table of 2019-07-21"),
            ("189", "every row of another copy of the table, which MEB reads"),
        ),
    )
    emotions: ClassVar[Mapping[str, str]] = {
        word: word
        for word in ("tense", "disgust", "repression", "surprise", "happiness", "sadness", "contempt", "fear")
    } | {"amusement": "happiness"}  # The paper's word, which the owners' table replaces.
    columns: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "subject": ("Subject",),
        "video": ("Filename",),
        "onset": ("OnsetF", "OnsetFrame"),
        "apex": ("ApexF1", "ApexF", "ApexFrame"),
        "offset": ("OffsetF", "OffsetFrame"),
        "action_units": ("AU", "Action Units"),
        "emotion": ("Emotion", "Estimated Emotion"),
    }
    optional: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "second apex": ("ApexF2",),
        "onset to apex ms": ("Onset",),
        "onset to offset ms": ("Total",),
    }
    table_called: ClassVar[str] = "coding table CASME-coded-*.xls"
    frames_called: ClassVar[str] = "Section A/sub01/EP01_12/EP01_12-73.jpg ..."

    def __init__(
        self,
        root: Path,
        *,
        folder: Literal["auto", "raw", "cropped"] = "auto",
        table: str | None = None,
    ) -> None:
        super().__init__(root, table=table)
        self._wanted = folder

    def metadata(self) -> Mapping[str, str]:
        places = ", ".join(map(self._short, self._places)) or "none"
        return {**super().metadata(), "folder": places if self._place else "none"}

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        found = (_mistimed(clip) for clip in self.clips())
        return (*super().notes(table_only=table_only), *(remark for remark in found if remark))

    def cropped(self) -> bool:
        return self._kind == "cropped"

    @classmethod
    def write_example(cls, root: Path) -> None:
        _example.mark(root, "casme")
        _example.xls(root / "CASME-coded-20190721.xls", [_HEADER, *map(_cells, _EXAMPLE)])
        people = sorted({row.subject for row in _EXAMPLE})
        for (subject, video), group in groupby(_EXAMPLE, lambda row: (row.subject, row.video)):
            rows = list(group)
            # The second camera's files are padded, and lie in a section of their own.
            section, digits = ("A", 1) if subject < 8 else ("B", 3)
            _example.draw(
                root / f"Section {section}" / f"sub{subject:02d}" / video,
                {number: f"{video}-{number:0{digits}d}.jpg" for number in range(rows[0].onset, rows[-1].offset + 1)},
                subject=people.index(subject) + 1,
                apex=rows[0].apex,
                units=str(rows[0].units).split("+"),
            )

    # --- where things lie ---------------------------------------------------------------------------------------------
    def _is_table(self, name: str) -> bool:
        # CASME II's and CAS(ME)^2's tables begin alike.
        named = squeeze(Path(name).stem)
        return re.fullmatch(r"casme1?(cod.*|label.*|)", named) is not None and is_workbook(name)

    @cached_property
    def _by_kind(self) -> Mapping[str, Sequence[Path]]:
        """The folders that hold subjects' folders, by the kind of their frames."""
        found: dict[str, list[Path]] = {kind: [] for kind in KINDS}
        for place in _with_subjects(self._root, DEEPEST):
            found["cropped" if _is_cropped(place, self._root) else "raw"].append(place)
        return found

    @property
    def _kind(self) -> str:
        return next((kind for kind in kinds(self._wanted, KINDS) if self._by_kind[kind]), "")

    @property
    def _places(self) -> Sequence[Path]:
        return self._by_kind[self._kind] if self._kind else ()

    def _frames_root(self) -> Path | None:
        if not self._places or self._copies():
            return None
        return Path(os.path.commonpath(self._places))

    def _copies(self) -> list[Path]:
        """Return folders of one section that hold the same subject: copies, of which nobody can tell the right one."""
        held: dict[tuple[str, str], list[Path]] = {}
        for place in self._places:
            for folder in filter(_of_subject, folders(place)):
                held.setdefault((_section(place, self._root), folder.name.casefold()), []).append(place)
        return next((places for places in held.values() if len(places) > 1), [])

    def _frameless(self) -> Fault:
        copies = self._copies()
        if copies:
            names = " and ".join(map(self._short, copies))
            return Fault(
                "E201", str(self._root), f"holds the {self._kind} frames twice: {names}", "move one of them away"
            )
        other = next((kind for kind in KINDS if self._by_kind[kind]), None)
        fault = super()._frameless()
        return replace(fault, fix=f"choose folder = {other!r}") if other else fault

    def _homes(self, clip: Clip) -> list[FrameFolder]:
        """Return the folders of a clip in all sections, those that have all of its frames first."""
        paths = [child(child(place, f"sub{clip.subject_id}"), clip.video) for place in self._places]
        homes = [FrameFolder(path, _prefixes(path.name, clip.video)) for path in paths if path.is_dir()]
        return sorted(homes, key=lambda home: not _has(home, clip))

    def _home(self, clip: Clip, modality: str) -> FrameFolder:
        missing = FrameFolder((self._place or self._root) / f"sub{clip.subject_id}" / clip.video)
        return next(iter(self._homes(clip)), missing)

    def _check_frames(self, clip: Clip, modality: str) -> Fault | None:
        whole = [self._short(home.path) for home in self._homes(clip) if _has(home, clip)]
        if len(whole) > 1:
            problem = f"the clip's frames are in {whole[1]} as well, and the table does not tell its section"
            return Fault("E201", whole[0], problem, "move away the folder that is not this clip's", clip.key)
        return super()._check_frames(clip, modality)

    # --- the table ----------------------------------------------------------------------------------------------------
    def _clip(self, cells: RowReader, metadata: Mapping[str, str]) -> Clip:
        labels = cells.labels("action_units", *self.optional)
        if labels.get("second apex", ("",))[0] in NO_APEX:
            labels.pop("second apex", None)
        clip = Clip(
            dataset="casme",
            subject_id=subject_number(cells, 2),
            namespace=self._namespace("casme"),
            video=cells.required("video"),
            fps=self.info.fps,
            **cells.times(),
            emotion=cells.emotion("emotion", self.emotions),
            action_units=parse_action_units(cells.text("action_units")),
            labels=labels,
        )
        homes = self._homes(clip) if clip.subject_id and clip.video else []
        section = _section(homes[0].path, self._root) if homes else ""
        return replace(clip, labels={**labels, "section": (section,)}) if section else clip

    def _release(self, reading: Reading) -> str:
        seen = Counter(clip.emotion for clip in reading.clips.values())
        counts = ", ".join(f"{word} {n}" for word, n in seen.most_common())
        if self._synthetic is not None:
            return f"imitates 2019-07-21 ({counts})"
        release = RELEASES.get(reading.rows, "neither 2019-07-21 (193 rows) nor the table that MEB reads (189)")
        return f"{release} ({reading.rows} rows: {counts})"


_HEADER: Final = (
    *("Subject", "Filename", None, "OnsetF", "ApexF1", "ApexF2", "OffsetF", None),
    *("Onset", "Total", "AU", "Emotion"),
)


class _Row(NamedTuple):
    """A row of the example's table."""

    subject: int
    video: str
    onset: int
    apex: int
    second: int | str
    offset: int
    units: int | str
    emotion: str


_EXAMPLE: Final = (
    # One video with two expressions, the second with a second apex.
    _Row(1, "EP01_12", 73, 77, "\\", 81, 4, "tense"),
    _Row(1, "EP01_12", 82, 86, 87, 90, "4+17", "repression"),
    _Row(2, "EP03_1", 9, 13, "\\", 17, "1+2", "surprise"),
    _Row(8, "EP07_4", 57, 60, 61, 65, 12, "happiness"),
    _Row(8, "EP12_2", 96, 100, "\\", 104, "4+9", "disgust"),
)


def _cells(row: _Row) -> tuple[object, ...]:
    *start, units, emotion = row
    durations = ((last - row.onset + 1) * 1000 / _FPS for last in (row.apex, row.offset))
    return (*start[:2], None, *start[2:], None, *durations, units, emotion)


def _mistimed(clip: Clip) -> Fault | None:
    """Return what is wrong with a clip whose frame numbers and whose duration, which the table has as well, differ."""
    (told,) = clip.labels.get("onset to offset ms", ("",))
    if clip.onset is None or clip.offset is None or not re.fullmatch(r"\d+(\.\d+)?", told):
        return None
    frames = clip.offset - clip.onset + 1
    if abs(float(told) * _FPS / 1000 - frames) < 1:
        return None
    problem = f"the table's Total is {float(told):.0f} ms, but {clip.onset}-{clip.offset} are {frames} frames of 1/60 s"
    return Fault("E201", clip.key, problem, "compare the row with its frames", clip.key)


def _with_subjects(folder: Path, levels: int) -> Iterator[Path]:
    """Yield the folders in which subjects' folders lie, up to some levels down."""
    inner = [path for path in folders(folder) if not squeeze(path.name).startswith(("casme2", "casme3"))]
    if any(map(_of_subject, inner)):
        yield folder
    elif levels:
        for path in inner:
            yield from _with_subjects(path, levels - 1)


def _of_subject(folder: Path) -> bool:
    return _SUBJECT.fullmatch(folder.name) is not None


def _is_cropped(place: Path, root: Path) -> bool:
    """Whether the owners have cut out the faces: the folder says so, or the first picture's name does."""
    if "crop" in place.relative_to(root).as_posix().casefold():
        return True
    pictures = (
        file
        for subject in filter(_of_subject, folders(place))
        for video in folders(subject)
        for file in entries(video)
        if is_picture(file.name)
    )
    first = next(pictures, None)
    return first is not None and first.name.casefold().startswith("reg_")


def _section(folder: Path, root: Path) -> str:
    """Return the section, A or B, that a folder lies in; '' for none."""
    parts = (_SECTION.fullmatch(part) for part in folder.relative_to(root).parts)
    return next((found[1].upper() for found in parts if found), "")


def _prefixes(*names: str) -> tuple[str, ...]:
    """Return how the names of frames begin: with their video's name, or as CASME II's do."""
    starts = [f"{name.casefold()}{sign}" for name in dict.fromkeys(names) for sign in "-_"]
    return tuple(f"{lead}{start}" for lead in ("reg_", "") for start in (*starts, "img", ""))


def _has(home: FrameFolder, clip: Clip) -> bool:
    """Whether a folder has all frames of a clip."""
    if clip.onset is None or clip.offset is None or clip.offset < clip.onset:
        return False
    # The ends first: a slip of the pen may name a million frames.
    listed = home.listed()
    return {clip.onset, clip.offset} <= listed.keys() and all(
        number in listed for number in range(clip.onset, clip.offset + 1)
    )
