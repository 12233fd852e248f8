"""MMEW (Ben et al., TPAMI 2022): 300 micro-expressions at 90 frames a second."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final

from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._images import read_image
from microexpr.components.datasets._reader import Reading, TableDataset
from microexpr.components.datasets._root import entries, folders, nearest
from microexpr.components.datasets._table import RowReader, squeeze
from microexpr.core.clip import Clip
from microexpr.core.errors import Fault, FrameError
from microexpr.core.facs import parse_action_units
from microexpr.core.interfaces import DatasetInfo, datasets

FULL: Final = 300
_TABLE = re.compile(r"mmewmicroexp.*xls[xm]?")
_MICRO = re.compile(r"micro[ _-]?expressions?")
_MACRO = re.compile(r"macro")
_VIDEO = re.compile(r"s0*([0-9]+)-.+")
_WIDE: Final = 1.2
"""Frames as recorded are 1920x1080; a face that somebody cut out is about as high as wide."""


@datasets.register("mmew")
class Mmew(TableDataset):
    """MMEW on disk: its table of micro-expressions, and their frames under ``Micro_Expression``.

    A clip's folder is found by the video's name, whether subjects or emotions lie above it: the owners' page describes
    ``S03/happiness/S03-01-002/1.jpg``, most public code reads ``happiness/S03-01-002/1.jpg``, and the clips that the
    table calls others lie under ``repression`` or under ``others``; any other emotion that lies in another's folder is
    remarked. `table` says which table is read where there is more than one. The 900 pictures under ``Macro_Expression``
    are single frames that the table does not list, and are not read.

    Rests on the owners' page, on the columns that MEB reads, and on a public copy of the 234 rows that are not others
    (HTNet's), where every apex lies in its clip. MEB sets apex and offset of 16 rows anew, by their position; none of
    its values is in that copy, so they seem to be among the 66 others, whose names and numbers no public copy tells.
    They cannot be named here: where their numbers contradict each other or their folder, they are faults. Whether
    frames are faces that somebody cut out is told by the shape of the first picture.
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
Macro_Expression/... (single pictures; not read)""",
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

    @classmethod
    def write_example(cls, root: Path) -> None:
        from microexpr.components.datasets._example import draw, mark, xlsx

        mark(root, "MMEW")
        rows: tuple[tuple[object, ...], ...] = (
            (1, "S01-01-001", 1, 4, 8, "6+12", "happiness", None),
            (1, "S01-04-001", "1", "3", "8", "4R+7", "Others", "hand before the face"),
            ("02", "S02-02-001", 1, 5, 9, "12L", "surprise", None),
            (2, "S02-03-001", 1.0, 4.0, 8.0, 4, "disgust", None),
            (3, "S03-05-001", 1, 4, 8, "4+5", "fear", None),
        )
        head = (*(known[0] for known in cls.columns.values()), "notes")
        xlsx(root / "MMEW_Micro_Exp.xlsx", {"Sheet1": [head, *rows]})
        for _, video, _, apex, offset, _, emotion, _ in rows:
            name, last = str(video), int(str(offset).removesuffix(".0"))
            folder = root / "Micro_Expression" / {"Others": "repression"}.get(str(emotion), str(emotion)) / name
            files = {number: f"{number}.jpg" for number in range(1, last + 1)}
            draw(folder, files, subject=int(name[1:3]), apex=int(str(apex).removesuffix(".0")))

    # --- where things lie ---------------------------------------------------------------------------------------------
    def _is_table(self, name: str) -> bool:
        return _TABLE.fullmatch(squeeze(name)) is not None

    def _frames_root(self) -> Path | None:
        above = nearest(self._root, _MICRO, _MACRO, levels=3)
        found = [path for path in folders(above) if _MICRO.fullmatch(path.name.casefold())] if above else []
        # A copy may lie in a folder of its own name.
        return next((path for path in found if _videos(path)), None) or (self._root if _videos(self._root) else None)

    @cached_property
    def _folders(self) -> Mapping[str, list[Path]]:
        """Folders of clips by the video's name."""
        return _videos(self._place) if self._place else {}

    @cached_property
    def _narrow(self) -> bool:
        """Whether the first picture that can be read is no wider than a face."""
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
        return FrameFolder(self._folders.get(_name(clip.video), [missing])[0])

    def _check_frames(self, clip: Clip, modality: str) -> Fault | None:
        places = self._folders.get(_name(clip.video), [])
        if len(places) > 1:
            others = ", ".join(self._short(place) for place in places[1:])
            return Fault(
                "E201", self._short(places[0]), f"the clip has another folder: {others}", "delete one", clip.key
            )
        return super()._check_frames(clip, modality)

    def _misplaced(self) -> Iterator[Fault]:
        """Yield clips that lie in the folder of another emotion than the table's."""
        for clip in self.clips():
            for place in self._folders.get(_name(clip.video), [])[:1]:
                word = place.parent.name.casefold()
                allowed = (clip.emotion, "repression") if clip.emotion == "others" else (clip.emotion,)
                if self.emotions.get(word, clip.emotion) not in allowed:
                    problem = f"lies in a folder called {place.parent.name}, but the table calls it {clip.emotion}"
                    yield Fault(
                        "E201", self._short(place), problem, "see which is right; the table's word is used", clip.key
                    )

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
    """Return the subject as the videos name him, S01; a video of somebody else is noted."""
    found = cells.required("subject")
    match = re.fullmatch(r"s?0*([0-9]{1,3})", found.casefold())
    if found and not match:
        cells.note(f"the cell subject holds {found!r}", "write the subject's number, 1 to 30")
    named = _VIDEO.fullmatch(video.casefold())
    if match and named and named[1] != match[1]:
        cells.note(f"the subject is {found}, but the video {video} is another's", "correct one of the two")
    return f"S{match[1]:0>2}" if match else ""


def _name(video: str) -> str:
    """Return a video's name without case and without zeros before its numbers."""
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", video.casefold())


def _videos(place: Path) -> dict[str, list[Path]]:
    """Return the folders of clips below a folder, at most a subject and an emotion further down."""
    found: dict[str, list[Path]] = {}
    for folder in _below(place, 3):
        found.setdefault(_name(folder.name), []).append(folder)
    return found


def _below(place: Path, levels: int) -> Iterator[Path]:
    for folder in entries(place):
        if _VIDEO.fullmatch(folder.name.casefold()):
            if folder.is_dir():
                yield folder
        elif levels > 1 and not _MACRO.match(folder.name.casefold()) and folder.is_dir():
            yield from _below(folder, levels - 1)
