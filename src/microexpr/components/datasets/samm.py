"""SAMM (Davison et al., IEEE TAFFC 2018), 159 clips of 29 subjects at 200 frames per second, and its long videos."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final, Literal

from microexpr.components.datasets._folders import child, first_with, folders
from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._reader import MIDDLE, Line, Reading, TableDataset
from microexpr.components.datasets._table import RowReader, find_rows, plain, rows_beside
from microexpr.components.datasets._workbook import is_workbook, read_sheets
from microexpr.core.clip import Clip
from microexpr.core.errors import ConfigError, Fault
from microexpr.core.facs import parse_action_units
from microexpr.core.files import entries
from microexpr.core.interfaces import Correction, DatasetInfo, datasets

Part = Literal["micro", "long"]
RAW: Final = {"micro": "SAMM", "long": "SAMM_longvideos"}
CROPPED: Final = {"micro": ("SAMM_CROP", "SAMM_Cropped", "Cropped"), "long": ("cropped_SAMM_longvideos",)}
FOLDERS: Final = {"micro": re.compile(r"[0-9]{1,3}"), "long": re.compile(r"[0-9]{1,3}_[0-9]+")}
"""Names of the folders inside the frames' folder: subjects, or long videos."""
NAME: Final = re.compile(r"([0-9]{1,3})_[0-9]+_[0-9]+")
"""Filename: subject, stimulus, number of the movement."""
COUNTS: Final = {"anger": 57, "others": 26, "happiness": 26, "surprise": 15, "contempt": 12, "disgust": 9} | {
    "fear": 8,
    "sadness": 6,
}
OBJECTIVE: Final = "objective class"
CLASSES: Final = tuple("1234567")


@datasets.register("samm", revision=2)
class Samm(TableDataset):
    """SAMM on disk: the coding table of its clips and their frames, or those of its long videos.

    `part` chooses: ``micro`` are the 159 clips, ``long`` the recordings that they were cut from, of which `kind` takes
    the micro-expressions, the macro-expressions or both. The long table has no emotions; where the table of the clips
    is beside it and can be read, each micro-expression has the emotion and the objective class of the clip of its name.
    `corrections` says whether the known defects of the table are corrected, `table` chooses the table where there are
    several. Subjects are the same in both parts.

    Based on a public copy of the table of 159 rows (columns, counts, cells that are not numbers), on both places where
    readers expect its header, on the frame lists of public readers (numbers of four digits or five), on the columns
    that readers of the long videos name, and on the folder names of MEB, MEAN and the challenges of 2019 to 2022. No
    table or listing of the long videos was available. MEB sets the offset of 013_1_9 to 5739, which is what the public
    copies have: what another copy has is not known, so there is no correction for it. The apex of 032_3_2, 5127, is
    one frame after its onset; MEB's 5130 is an estimate from motion, so the coded apex is kept.
    """

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="SAMM",
        doi="10.1109/TAFFC.2016.2573832",
        licence="for research only, under an agreement signed with the owners; not to be passed on",
        access="ask the owners: https://personalpages.manchester.ac.uk/staff/adrian.davison/SAMM.html",
        n_clips=159,
        n_subjects=29,
        fps=200.0,
        layout="""\
SAMM_Micro_FACS_Codes_v2.xlsx
SAMM/006/006_1_2/006_05562.jpg ... or SAMM_CROP/006/006_1_2/006_05562.jpg ...
SAMM_LongVideos_V2_Release.xlsx (part = "long")
SAMM_longvideos/006_1/006_1_0001.jpg ...""",
        counted=(
            ("159", "every row of the table"),
            ("136", "the five words that the table has more than ten times, others among them (label set samm_5)"),
            ("133", "MEGC 2019: without others (megc2019_3)"),
            ("68", "objective classes 1 to 5, which depend only on action units (MEGC 2018)"),
            ("343 and 159", "macro- and micro-expressions of the long videos; 333 without those that begin in frame 1"),
        ),
    )
    emotions: ClassVar[Mapping[str, str]] = {**{word: word for word in COUNTS}, "other": "others"}
    corrections: ClassVar[tuple[Correction, ...]] = (
        Correction(
            "028/028_4_1",
            "apex",
            1143,
            MIDDLE,
            "it is after the offset; copies corrected by hand have 1105, 1113, 1124 or 1134",
        ),
        Correction("032/032_3_1", "apex", 1930, 4930, "it is before the onset; copies corrected by hand have 4930"),
    )
    columns: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "subject": ("Subject",),
        "video": ("Filename",),
        "onset": ("Onset Frame", "Onset"),
        "apex": ("Apex Frame", "Apex"),
        "offset": ("Offset Frame", "Offset"),
        "action_units": ("Action Units", "AU"),
        "emotion": ("Estimated Emotion", "Emotion"),
    }
    optional: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "inducement code": ("Inducement Code",),
        "type": ("Micro", "Type"),
        OBJECTIVE: ("Objective Classes", "Objective Class"),
        "notes": ("Notes",),
    }
    table_called: ClassVar[str] = "coding table SAMM_Micro_FACS_Codes_v2.xlsx (part = 'long': SAMM_LongVideos_*.xlsx)"
    frames_called: ClassVar[str] = (
        "SAMM/006/006_1_2/006_05562.jpg ... (part = 'long': SAMM_longvideos/006_1/006_1_0001.jpg ...)"
    )
    one_clip_a_video: ClassVar[bool] = True

    def __init__(
        self,
        root: Path,
        *,
        part: Part = "micro",
        kind: Literal["micro", "macro", "both"] = "micro",
        corrections: bool = True,
        table: str | None = None,
    ) -> None:
        if part == "micro" and kind != "micro":
            raise ConfigError("E104", f"samm: the clips are micro-expressions; for kind = {kind!r} set part = 'long'.")
        super().__init__(root, corrections=corrections, table=table)
        self._part, self._kind = part, kind
        self._alone = part == "micro"

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        unread = self._rows_beside[1] if self._part == "long" else ()
        return (*super().notes(table_only=table_only), *unread)

    def cropped(self) -> bool:
        if self._place is None:
            return False
        inside = self._place.relative_to(self._root).parts
        return any("crop" in name.casefold() for name in inside or (self._root.name,))

    # --- files and folders --------------------------------------------------------------------------------------------
    def _is_table(self, name: str) -> bool:
        return _is_table(name, self._part)

    @cached_property
    def _tables(self) -> Sequence[Path]:
        beside = self._beside if self._part == "long" else ()
        return [*super()._tables, *beside]

    @cached_property
    def _beside(self) -> Sequence[Path]:
        """The table of the clips, where one is beside that of the long videos."""
        found = [file for file in entries(self._root) if file.is_file() and _is_table(file.name, "micro")]
        return found if len(found) == 1 else ()

    def _frames_root(self) -> Path | None:
        raw, cropped = child(self._root, RAW[self._part]), [child(self._root, name) for name in CROPPED[self._part]]
        nested = [place for top in cropped for place in (top, *folders(top))]
        wanted = FOLDERS[self._part].fullmatch
        return first_with((raw, *folders(raw), self._root, *nested), lambda name: wanted(name) is not None)

    def _home(self, clip: Clip, modality: str) -> FrameFolder:
        place = self._place or self._root / RAW[self._part]
        folder = place if self._part == "long" else child(place, clip.subject_id)
        prefixes = (f"{clip.subject_id}_", f"{clip.video}_", "reg_img", "img", "")
        return FrameFolder(child(folder, clip.video), prefixes, recording=self._part == "long")

    # --- the table ----------------------------------------------------------------------------------------------------
    def _lines(self) -> Iterable[Line]:
        wanted, optional = dict(self.columns), dict(self.optional)
        if self._part == "long":
            del wanted["emotion"]
            wanted["type"] = optional.pop("type")
        return (Line(self._table, row) for row in find_rows(self._table, read_sheets(self._table), wanted, optional))

    def _clip(self, cells: RowReader, metadata: Mapping[str, str]) -> Clip | None:
        kind = _kind(cells) if self._part == "long" else "micro"
        if kind and self._kind not in (kind, "both"):
            return None
        subject, name = _subject(cells), cells.required("video")
        _check_name(cells, subject, name)
        emotion, objective = self._coded(cells, name, kind)
        units = cells.text("action_units")
        long = self._part == "long"
        return Clip(
            dataset="samm_long" if long else "samm",
            subject_id=subject,
            namespace=self._namespace("samm"),
            video=name.rpartition("_")[0] if long else name,
            fps=self.info.fps,
            **cells.times(),
            emotion=emotion,
            action_units=parse_action_units(units),
            kind=kind or "micro",
            labels={
                **cells.labels("action_units", "inducement code", "type", "notes"),
                **({"filename": (name,)} if long else {}),
                **({OBJECTIVE: (objective,)} if objective else {}),
            },
        )

    def _coded(self, cells: RowReader, name: str, kind: str | None) -> tuple[str | None, str]:
        """Return emotion and objective class of a row: its own, or those of the clip of the same name."""
        if self._part == "long":
            row = self._clips_beside.get(name) if kind == "micro" else None
            if row is None:
                return None, ""
            coded = row.emotion("emotion", self.emotions), row.text(OBJECTIVE)
            for code, problem, fix in row.problems:
                cells.note(code, f"{problem} (row {row.row.number} of {row.file.name})", fix)
            return coded
        objective = cells.text(OBJECTIVE)
        if objective and objective not in CLASSES:
            problem = f"the {OBJECTIVE} cell contains {objective!r}"
            cells.note("E221", problem, f"write one of {', '.join(CLASSES)}")
        return cells.emotion("emotion", self.emotions), objective

    @cached_property
    def _clips_beside(self) -> Mapping[str, RowReader]:
        """The rows of the clips by name, which have emotion and objective class."""
        return {plain(row.row.cells["video"]): row for row in self._rows_beside[0]}

    @cached_property
    def _rows_beside(self) -> tuple[Sequence[RowReader], Sequence[Fault]]:
        """The rows of the table beside, and a note where it cannot be read."""
        wanted = {column: self.columns[column] for column in ("subject", "video", "emotion")}
        return rows_beside(self._beside, wanted, self.optional, "the clips' emotions and objective classes")

    def _release(self, reading: Reading) -> str:
        clips = reading.clips.values()
        if self._part == "long":
            kinds = Counter(clip.kind for clip in clips)
            return f"long videos: {', '.join(f'{number} {kind}' for kind, number in sorted(kinds.items()))}"
        if reading.rows > len(clips):
            return f"{reading.rows} rows, {reading.rows - len(clips)} of them with faults"
        if Counter(clip.emotion for clip in clips) != COUNTS:
            return f"{reading.rows} rows, not the {sum(COUNTS.values())} that were released"
        apex = next((clip.apex for clip in clips if clip.video == "028_4_1"), None)
        first = any(correction.clip == "028/028_4_1" for correction in reading.applied)
        return f"{reading.rows} rows, " + (
            "as first released" if first else f"apex {apex} of 028_4_1: corrected by hand"
        )


def _is_table(name: str, part: Part) -> bool:
    low = name.casefold()
    named = low.startswith("samm") and is_workbook(name)
    return named and ("long" in low) == (part == "long")


def _kind(cells: RowReader) -> Literal["micro", "macro"] | None:
    found = cells.required("type").casefold()
    if found and not found.startswith(("micro", "macro")):
        cells.note("E221", f"the type cell contains {cells.text('type')!r}", "write Micro - 1/2 or Macro")
    return "micro" if found.startswith("micro") else "macro" if found.startswith("macro") else None


def _subject(cells: RowReader) -> str:
    found = cells.required("subject")
    if not found.isdecimal() and found:
        cells.note("E221", f"the subject cell contains {found!r}", "write the subject's number, 006 to 037")
    return f"{int(found):03d}" if found.isdecimal() else ""


def _check_name(cells: RowReader, subject: str, name: str) -> None:
    """Note a file name that does not follow the owners' scheme: its frames could be those of another subject."""
    match = NAME.fullmatch(name)
    if name and match is None:
        cells.note("E221", f"the video cell contains {name!r}", "write a name like 006_1_2")
    elif match and subject and int(match[1]) != int(subject):
        cells.note("E225", f"{name} is not named after its subject {subject}", "correct one of the two")
