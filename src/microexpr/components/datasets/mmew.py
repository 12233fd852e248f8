"""MMEW (Ben et al., TPAMI 2022): 300 micro-expressions at 90 frames per second."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final

from microexpr.components.datasets._folders import folders, nearest
from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._reader import Reading, TableDataset
from microexpr.components.datasets._table import RowReader
from microexpr.core.clip import Clip
from microexpr.core.delimited_text import plain_name, squeeze
from microexpr.core.errors import Fault, FrameError
from microexpr.core.facs import parse_action_units
from microexpr.core.files import entries
from microexpr.core.image_files import read_image
from microexpr.core.interfaces import DatasetInfo, datasets

FULL: Final = 300
_TABLE = re.compile(r"mmewmicroexp.*xls[xm]?")
_MICRO = re.compile(r"micro[ _-]?expressions?")
_MACRO = re.compile(r"macro")
_VIDEO = re.compile(r"s0*([0-9]+)-.+")
_WIDE: Final = 1.2
"""Width by height above which frames are as recorded (1920x1080); a cropped face is about as high as wide."""


@datasets.register("mmew")
class Mmew(TableDataset):
    """MMEW on disk: its table of micro-expressions, and their frames under ``Micro_Expression``.

    A clip's folder is found by the video's name, whether it is inside folders of subjects or of emotions: the owners'
    page describes ``S03/happiness/S03-01-002/1.jpg``, most public code reads ``happiness/S03-01-002/1.jpg``, and the
    clips that the table calls others are in ``repression`` or in ``others``; any other clip in the folder of another
    emotion is noted. `table` chooses the table where there are several. The 900 images under ``Macro_Expression`` are
    single frames that the table does not list, and are not read.

    Based on the owners' page, on the columns that MEB reads, and on a public copy of the 234 rows that are not others
    (HTNet's), where every apex is within its clip. MEB changes apex and offset of 16 rows, by their position; none of
    its values is in that copy, so they seem to be among the 66 others, whose names and numbers are in no public copy.
    They cannot be named here; where their numbers contradict each other or their folder, they are faults. Whether
    frames are cropped faces is judged by the shape of the first image.
    """

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="MMEW",
        doi="10.1109/TPAMI.2021.3067464",
        licence="for research only, under an agreement signed with the owners; not to be passed on",
        access="ask Xianye Ben, Shandong University: http://www.dpailab.com/database.html",
        n_clips=FULL,
        n_subjects=30,
        fps=90.0,
        layout="""\
MMEW_Micro_Exp.xlsx
Micro_Expression/happiness/S03-01-002/1.jpg ..., or Micro_Expression/S03/happiness/S03-01-002/1.jpg ...
Macro_Expression/... (single images; not read)""",
        counted=(
            ("300", "every row of the table"),
            ("234", "without others: six emotions"),
            ("263", "others, disgust, surprise and happiness: four classes"),
        ),
    )
    emotions: ClassVar[Mapping[str, str]] = {
        word: word for word in ("happiness", "surprise", "disgust", "fear", "sadness", "anger", "others", "repression")
    }
    columns: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "subject": ("Subject",),
        "video": ("Filename",),
        "onset": ("OnsetFrame", "Onset"),
        "apex": ("ApexFrame", "Apex"),
        "offset": ("OffsetFrame", "Offset"),
        "action_units": ("Action Units", "AU"),
        "emotion": ("Estimated Emotion", "Emotion"),
    }
    optional: ClassVar[Mapping[str, tuple[str, ...]]] = {"notes": ("notes",)}
    table_called: ClassVar[str] = "table MMEW_Micro_Exp.xlsx"
    frames_called: ClassVar[str] = "Micro_Expression/happiness/S03-01-002/1.jpg ..."
    one_clip_a_video: ClassVar[bool] = True

    def __init__(self, root: Path, *, table: str | None = None) -> None:
        super().__init__(root, table=table)

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        found = super().notes(table_only=table_only)
        return found if table_only else (*found, *self._misplaced())

    def cropped(self) -> bool:
        return self._narrow

    # --- files and folders --------------------------------------------------------------------------------------------
    def _is_table(self, name: str) -> bool:
        return _TABLE.fullmatch(squeeze(name)) is not None

    def _frames_root(self) -> Path | None:
        above = nearest(self._root, _MICRO, _MACRO, levels=3)
        found = [path for path in folders(above) if _MICRO.fullmatch(path.name.casefold())] if above else []
        # A copy may be inside a folder of its own name.
        return next((path for path in found if _videos(path)), None) or (self._root if _videos(self._root) else None)

    @cached_property
    def _folders(self) -> Mapping[str, list[Path]]:
        """Folders of clips by the video's name."""
        return _videos(self._place) if self._place else {}

    @cached_property
    def _narrow(self) -> bool:
        """Whether the first image that can be read is no wider than a face."""
        for places in self._folders.values():
            for file in FrameFolder(places[0]).listed().values():
                try:
                    height, width, _ = read_image(file).shape
                except FrameError:
                    continue
                return bool(width < _WIDE * height)
        return False

    def _home(self, clip: Clip, modality: str) -> FrameFolder:
        missing = (self._place or self._root / "Micro_Expression") / clip.video
        return FrameFolder(self._folders.get(plain_name(clip.video), [missing])[0])

    def _check_frames(self, clip: Clip, modality: str) -> Fault | None:
        places = self._folders.get(plain_name(clip.video), [])
        if len(places) > 1:
            others = ", ".join(self._short(place) for place in places[1:])
            problem = f"the clip has another folder: {others}"
            return Fault("E237", self._short(places[0]), problem, "delete one", clip.key)
        return super()._check_frames(clip, modality)

    def _misplaced(self) -> Iterator[Fault]:
        """Yield clips in the folder of another emotion than the table's."""
        for clip in self.clips():
            for place in self._folders.get(plain_name(clip.video), [])[:1]:
                word = place.parent.name.casefold()
                allowed = (clip.emotion, "repression") if clip.emotion == "others" else (clip.emotion,)
                if self.emotions.get(word, clip.emotion) not in allowed:
                    problem = f"is in a folder called {place.parent.name}, but the table calls it {clip.emotion}"
                    fix = "check which is right; the table's word is used"
                    yield Fault("E260", self._short(place), problem, fix, clip.key)

    # --- the table ----------------------------------------------------------------------------------------------------
    def _clip(self, cells: RowReader, metadata: Mapping[str, str]) -> Clip:
        video = cells.required("video")
        return Clip(
            dataset="mmew",
            subject_id=_subject(cells, video),
            namespace=self._namespace("mmew"),
            video=video,
            fps=self.info.fps,
            **cells.times(),
            emotion=cells.emotion("emotion", self.emotions),
            action_units=parse_action_units(cells.text("action_units")),
            labels=cells.labels("action_units", "notes"),
        )

    def _release(self, reading: Reading) -> str:
        if self._synthetic is not None:
            return f"imitates the owners' table ({reading.rows} rows)"
        return f"the owners' ({FULL} rows)" if reading.rows == FULL else f"not the owners' {FULL} rows: {reading.rows}"


def _subject(cells: RowReader, video: str) -> str:
    """Return the subject as in the names of videos, S01; a video of another subject is noted."""
    found = cells.required("subject")
    match = re.fullmatch(r"s?0*([0-9]{1,3})", found.casefold())
    if found and not match:
        cells.note("E221", f"the subject cell contains {found!r}", "write the subject's number, 1 to 30")
    named = _VIDEO.fullmatch(video.casefold())
    if match and named and named[1] != match[1]:
        problem = f"the subject is {found}, but the video {video} is another subject's"
        cells.note("E225", problem, "correct one of the two")
    return f"S{match[1]:0>2}" if match else ""


def _videos(place: Path) -> dict[str, list[Path]]:
    """Return the folders of clips below a folder, at most three levels down."""
    found: dict[str, list[Path]] = {}
    for folder in _below(place, 3):
        found.setdefault(plain_name(folder.name), []).append(folder)
    return found


def _below(place: Path, levels: int) -> Iterator[Path]:
    for folder in entries(place):
        if _VIDEO.fullmatch(folder.name.casefold()):
            if folder.is_dir():
                yield folder
        elif levels > 1 and not _MACRO.match(folder.name.casefold()) and folder.is_dir():
            yield from _below(folder, levels - 1)
