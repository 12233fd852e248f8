"""CASME (Yan et al., FG 2013): 193 coded clips at 60 frames per second, recorded by two cameras in sections A and B."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final, Literal

from microexpr.components.datasets._folders import child, choose, folders, kinds
from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._reader import Reading, TableDataset
from microexpr.components.datasets._table import NO_APEX, RowReader
from microexpr.components.datasets._workbook import is_workbook
from microexpr.core.clip import Clip
from microexpr.core.delimited_text import squeeze
from microexpr.core.errors import Fault
from microexpr.core.facs import parse_action_units
from microexpr.core.files import entries
from microexpr.core.image_files import is_image
from microexpr.core.interfaces import DatasetInfo, datasets

RELEASES: Final = {193: "2019-07-21", 189: "the table that MEB reads"}
"""Releases of the table, by number of rows."""
DEEPEST: Final = 3
"""Levels of folders between the root and those of the subjects; two are known, CASME_raw_selected/Section A."""
KINDS: Final = ("raw", "cropped")
_SUBJECT: Final = re.compile(r"sub\d+", re.IGNORECASE)
_SECTION: Final = re.compile(r"(?:section|class)[ _-]?([ab])", re.IGNORECASE)
_FPS: Final = 60.0


@datasets.register("casme")
class Casme(TableDataset):
    """CASME on disk: its coding table, an old Excel file, and beside it the raw or the cropped frames.

    `folder` chooses the frames (`auto`: raw where they exist); `table` chooses the table where there are several. There
    are no corrections, because no defect is known of which both the clip and the wrong value are public. MEB changes
    five rows by their number to fit them to the frames; a row that does not fit your frames is a fault here.

    A video may contain several expressions. The apex is the first frame of the apex phase; its last frame, the table's
    ApexF2, is kept in `Clip.labels` ("second apex"), as are both durations in milliseconds and, where the frames are in
    ``Section A`` and ``Section B`` (two cameras), the section.

    Based on a public copy of the table of 2019-07-21 (columns, 193 rows, first rows, and durations that count frames of
    1/60 s), on an extract of 189 rows (class counts), and on the folder and file names that MEB and users of its tables
    read. How the sections are nested is not known: subject folders are searched for up to three levels down.
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
    } | {"amusement": "happiness"}  # The word of the paper; the owners' table uses happiness.
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
        return (*super().notes(table_only=table_only), *filter(None, map(_mistimed, self.clips())))

    def cropped(self) -> bool:
        return self._kind == "cropped"

    # --- files and folders --------------------------------------------------------------------------------------------
    def _is_table(self, name: str) -> bool:
        # The names of CASME II's and CAS(ME)^2's tables begin in the same way.
        named = squeeze(Path(name).stem)
        return re.fullmatch(r"casme1?(cod.*|label.*|)", named) is not None and is_workbook(name)

    @cached_property
    def _by_kind(self) -> Mapping[str, Sequence[Path]]:
        """The folders that contain subject folders, by the kind of their frames."""
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
        """Return folders of one section that contain the same subject: copies, of which the right one is unknown."""
        held: dict[tuple[str, str], list[Path]] = {}
        for place in self._places:
            for folder in filter(_of_subject, folders(place)):
                held.setdefault((_section(place, self._root), folder.name.casefold()), []).append(place)
        return next((places for places in held.values() if len(places) > 1), [])

    def _frameless(self) -> Fault:
        copies = self._copies()
        if copies:
            names = " and ".join(map(self._short, copies))
            problem = f"contains the {self._kind} frames twice: {names}"
            return Fault("E237", str(self._root), problem, "move one of them away")
        other = next((kind for kind in KINDS if self._by_kind[kind]), None)
        fault = super()._frameless()
        return replace(fault, fix=choose("folder", other)) if other else fault

    def _homes(self, clip: Clip) -> list[FrameFolder]:
        """Return the folders of a clip in all sections, first those that have all of its frames."""
        paths = [child(child(place, f"sub{clip.subject_id}"), clip.video) for place in self._places]
        homes = [FrameFolder(path, _prefixes(path.name, clip.video)) for path in paths if path.is_dir()]
        return sorted(homes, key=lambda home: not _has(home, clip))

    def _home(self, clip: Clip, modality: str) -> FrameFolder:
        missing = FrameFolder((self._place or self._root) / f"sub{clip.subject_id}" / clip.video)
        return next(iter(self._homes(clip)), missing)

    def _check_frames(self, clip: Clip, modality: str) -> Fault | None:
        whole = [self._short(home.path) for home in self._homes(clip) if _has(home, clip)]
        if len(whole) > 1:
            problem = f"the clip's frames are also in {whole[1]}, and the table does not name its section"
            return Fault("E237", whole[0], problem, "move away the folder that is not this clip's", clip.key)
        return super()._check_frames(clip, modality)

    # --- the table ----------------------------------------------------------------------------------------------------
    def _clip(self, cells: RowReader, metadata: Mapping[str, str]) -> Clip:
        labels = cells.labels("action_units", *self.optional)
        if labels.get("second apex", ("",))[0] in NO_APEX:
            labels.pop("second apex", None)
        clip = Clip(
            dataset="casme",
            subject_id=cells.subject_number(2),
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
        emotions = Counter(clip.emotion for clip in reading.clips.values())
        counts = ", ".join(f"{word} {n}" for word, n in emotions.most_common())
        if self._synthetic is not None:
            return f"imitates 2019-07-21 ({counts})"
        release = RELEASES.get(reading.rows, "neither 2019-07-21 (193 rows) nor the table that MEB reads (189)")
        return f"{release} ({reading.rows} rows: {counts})"


def _mistimed(clip: Clip) -> Fault | None:
    """Return a note on a clip whose frame numbers do not fit its duration, which the table has too."""
    (total,) = clip.labels.get("onset to offset ms", ("",))
    if clip.onset is None or clip.offset is None or not re.fullmatch(r"\d+(\.\d+)?", total):
        return None
    frames = clip.offset - clip.onset + 1
    if abs(float(total) * _FPS / 1000 - frames) < 1:
        return None
    problem = f"its Total is {float(total):.0f} ms, but {clip.onset}-{clip.offset} are {frames} frames of 1/60 s"
    return Fault("E259", clip.key, problem, "compare the row with its frames", clip.key)


def _with_subjects(folder: Path, levels: int) -> Iterator[Path]:
    """Yield the folders that contain subject folders, up to some levels down."""
    inner = [path for path in folders(folder) if not squeeze(path.name).startswith(("casme2", "casme3"))]
    if any(map(_of_subject, inner)):
        yield folder
    elif levels:
        for path in inner:
            yield from _with_subjects(path, levels - 1)


def _of_subject(folder: Path) -> bool:
    return _SUBJECT.fullmatch(folder.name) is not None


def _is_cropped(place: Path, root: Path) -> bool:
    """Whether the owners cropped the faces, judged by the name of the folder or of the first image."""
    if "crop" in place.relative_to(root).as_posix().casefold():
        return True
    images = (
        file
        for subject in filter(_of_subject, folders(place))
        for video in folders(subject)
        for file in entries(video)
        if is_image(file.name)
    )
    first = next(images, None)
    return first is not None and first.name.casefold().startswith("reg_")


def _section(folder: Path, root: Path) -> str:
    """Return the section, A or B, that contains a folder; '' for none."""
    parts = (_SECTION.fullmatch(part) for part in folder.relative_to(root).parts)
    return next((found[1].upper() for found in parts if found), "")


def _prefixes(*names: str) -> tuple[str, ...]:
    """Return how frame names begin: with their video's name, or as in CASME II."""
    starts = [f"{name.casefold()}{sign}" for name in dict.fromkeys(names) for sign in "-_"]
    return tuple(f"{lead}{start}" for lead in ("reg_", "") for start in (*starts, "img", ""))


def _has(home: FrameFolder, clip: Clip) -> bool:
    """Whether a folder has all frames of a clip."""
    if clip.onset is None or clip.offset is None or clip.offset < clip.onset:
        return False
    # The ends first, because a typing error may name a million frames.
    listed = home.listed()
    return {clip.onset, clip.offset} <= listed.keys() and all(
        number in listed for number in range(clip.onset, clip.offset + 1)
    )
