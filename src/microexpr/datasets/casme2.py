"""CASME II (Yan et al., PLoS ONE 2014): 255 clips of 26 persons at 200 frames a second, and copies in its layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final, Literal

from microexpr.clip import Clip
from microexpr.contracts import Correction, DatasetInfo, datasets
from microexpr.datasets._frame_folder import FrameFolder
from microexpr.datasets._reader import MIDDLE, Reading, TableDataset
from microexpr.datasets._root import child, entries, folders
from microexpr.datasets._table import RowReader, find_rows
from microexpr.datasets._workbook import read_sheets
from microexpr.errors import Fault
from microexpr.facs import parse_action_units

FOLDERS: Final = {"raw": ("CASME2_RAW_selected", "CASME2-RAW", "CASME2_RAW"), "cropped": ("Cropped", "Cropped-updated")}
PREFIXES: Final = ("reg_img", "img")
VERSIONS: Final = {(25, 7, 5): "2014-05-08", (28, 4, 0): "2019-07-01"}
"""Clips of surprise, clips of sadness and action-unit cells '?' of the two tables of 255 rows."""
FULL: Final = 255
OBJECTIVE: Final = {"subject": ("Subject",), "video": ("Filename",), "class": ("Objective Class",)}
_RENUMBERED: Final = "its folder is numbered as in Benchmark-MER's copy"


@datasets.register("casme2")
class Casme2(TableDataset):
    """CASME II on disk: its coding table, and beside it the raw or the cropped frames.

    `folder` says which frames (`auto`: raw where they are there), `corrections` whether the known defects of the table
    are mended, `table` which table is read where there is more than one. The classes of Davison et al. (2018) are read
    where ``CASME2-ObjectiveClasses.xlsx`` lies beside the table, as `Clip.labels` "objective class".

    Rests on both released tables (columns, 255 rows, cells that are not numbers), on the folder names that MEB, MMNet
    and bob.db.casme2 read, and on public notes of clips whose folder is shorter or numbered otherwise than the table.
    """

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="CASME II",
        doi="10.1371/journal.pone.0086041",
        licence="for research only, under an agreement signed with the owners; not to be passed on",
        access="ask the Chinese Academy of Sciences: http://fu.psych.ac.cn/CASME/casme2-en.php",
        n_clips=FULL,
        n_subjects=26,
        fps=200.0,
        family="CASME",
        layout="""\
CASME2-coding-20140508.xlsx, or CASME2-coding-20190701.xlsx
CASME2-ObjectiveClasses.xlsx (may be missing)
CASME2_RAW_selected/sub01/EP02_01f/img46.jpg ... or Cropped/sub01/EP02_01f/reg_img46.jpg ...""",
        counted=(
            ("255", "every row of either table"),
            ("247", "the number on the owners' page and in their paper"),
            (
                "246",
                "the five classes others, disgust, happiness, repression, surprise (label set casme2_5, table of 2014)",
            ),
            ("145", "MEGC 2019: without others, sadness, fear and two clips without a usable apex (megc2019_3)"),
        ),
    )
    emotions: ClassVar[Mapping[str, str]] = {
        word: word for word in ("others", "disgust", "happiness", "repression", "surprise", "sadness", "fear")
    }
    corrections: ClassVar[tuple[Correction, ...]] = (
        Correction("04/EP12_01f", "apex", "/", MIDDLE, "the cell is '/' in both released tables"),
        Correction("16/EP01_08", "offset", 110, 96, "its folder ends at frame 96", folder=True),
        Correction("07/EP06_01", "onset, apex, offset", (15, 49, 68), (56, 89, 116), _RENUMBERED, folder=True),
        Correction("12/EP09_02", "onset, apex, offset", (16, 59, 101), (161, 176, 206), _RENUMBERED, folder=True),
    )
    columns: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "subject": ("Subject",),
        "video": ("Filename",),
        "onset": ("OnsetFrame", "Onset"),
        "apex": ("ApexFrame", "Apex"),
        "offset": ("OffsetFrame", "Offset"),
        "action_units": ("Action Units", "AU"),
        "emotion": ("Estimated Emotion", "Emotion"),
    }
    table_called: ClassVar[str] = "coding table CASME2-coding-*.xlsx"
    frames_called: ClassVar[str] = "CASME2_RAW_selected/sub01/EP02_01f/img46.jpg ..."
    one_clip_a_video: ClassVar[bool] = True

    def __init__(
        self,
        root: Path,
        *,
        folder: Literal["auto", "raw", "cropped"] = "auto",
        corrections: bool = True,
        table: str | None = None,
    ) -> None:
        super().__init__(root, corrections=corrections, table=table)
        self._wanted = folder

    def facts(self) -> Mapping[str, str]:
        clips = self.clips()
        odd = {
            "without apex": [clip for clip in clips if clip.apex is None],
            "apex on onset": [clip for clip in clips if clip.apex == clip.onset],
            "apex on offset": [clip for clip in clips if clip.apex == clip.offset],
        }
        told = {fact: ", ".join(f"{clip.subject}/{clip.video}" for clip in found) for fact, found in odd.items()}
        return {**super().facts(), **{fact: names for fact, names in told.items() if names}}

    def cropped(self) -> bool:
        return self._kind == "cropped"

    @classmethod
    def write_example(cls, root: Path) -> None:
        from microexpr.datasets.synthetic import SyntheticSpec, make

        # In this process: a caller without `if __name__ == "__main__"` cannot start others.
        make(root, SyntheticSpec(subjects=2, clips=4, expression_size=3.0), workers=1)

    # --- where things lie ---------------------------------------------------------------------------------------------
    def _is_table(self, name: str) -> bool:
        # By these words CASME2-ObjectiveClasses.xlsx, which lies beside it, is none.
        low = name.casefold()
        named = low.startswith("casme2") and low.endswith((".xls", ".xlsx", ".xlsm"))
        return named and ("cod" in low or "label" in low)

    def _frames_root(self) -> Path | None:
        return self._found[1] if self._found else None

    @property
    def _kind(self) -> str:
        return self._found[0] if self._found else ""

    @cached_property
    def _found(self) -> tuple[str, Path] | None:
        """The kind of frames and their folder: the first kind that is wanted and there."""
        kinds = tuple(FOLDERS) if self._wanted == "auto" else (self._wanted,)
        found = ((kind, _with_subjects(self._root, FOLDERS[kind])) for kind in kinds)
        return next(((kind, folder) for kind, folder in found if folder), None)

    def _frameless(self) -> Fault:
        kinds = FOLDERS if self._wanted == "auto" else {self._wanted: FOLDERS[self._wanted]}
        other = [kind for kind in FOLDERS if kind not in kinds and _with_subjects(self._root, FOLDERS[kind])]
        wanted = " or ".join(names[0] for names in kinds.values())
        have = ", ".join(path.name for path in folders(self._root)) or "no folder"
        mend = f"choose folder = {other[0]!r}" if other else f"copy {wanted}/sub01, sub02 ... into it"
        problem = f"holds no frames: no {wanted} with folders sub01, sub02 ... in it, but {have}"
        return Fault(str(self._root), problem, mend)

    def _home(self, clip: Clip, modality: str) -> FrameFolder:
        place = self._place or self._root / FOLDERS["raw"][0]
        return FrameFolder(child(child(place, f"sub{clip.subject}"), clip.video), PREFIXES)

    # --- the table ----------------------------------------------------------------------------------------------------
    def _clip(self, cells: RowReader, facts: Mapping[str, str]) -> Clip:
        subject, video = _subject(cells), cells.required("video")
        units = cells.text("action_units")
        return Clip(
            dataset="casme2",
            subject=subject,
            namespace=self._namespace("casme2"),
            video=video,
            fps=self.info.fps,
            **cells.times(unapexed=("/",)),
            emotion=cells.emotion("emotion", self.emotions),
            action_units=parse_action_units(units),
            labels={**cells.labels("action_units"), **self._objective.get((subject, video), {})},
        )

    @cached_property
    def _objective(self) -> Mapping[tuple[str, str], Mapping[str, tuple[str, ...]]]:
        """The objective class of each clip, where the owners' second table lies beside the first."""
        files = [file for file in entries(self._root) if file.name.casefold() == "casme2-objectiveclasses.xlsx"]
        rows = [RowReader(file, row) for file in files for row in find_rows(file, read_sheets(file), OBJECTIVE)]
        return {
            (_padded(row.text("subject")), row.text("video")): {"objective class": (row.text("class"),)} for row in rows
        }

    def _release(self, reading: Reading) -> str:
        """Return which of the two tables this is, by its content; the name of the file is only compared."""
        clips = reading.clips.values()
        counts = Counter(clip.emotion for clip in clips)
        uncoded = sum(clip.labels.get("action_units") == ("?",) for clip in clips)
        found = counts["surprise"], counts["sadness"], uncoded
        seen = f"surprise {found[0]}, sadness {found[1]}"
        if self._synthetic is not None:
            return f"imitates {self._synthetic.get('labels', 'an unknown table')} ({seen})"
        version = VERSIONS.get(found) if reading.rows == FULL else None
        if version is None:
            return f"neither 2014-05-08 nor 2019-07-01 ({reading.rows} rows, {seen}, {uncoded} action-unit cells '?')"
        name = self._table.name
        others = [day for day in VERSIONS.values() if day != version and day.replace("-", "") in name]
        return f"{version} ({seen})" + (f", although the file's name says {others[0]}" if others else "")


def _with_subjects(root: Path, names: Iterable[str]) -> Path | None:
    """Return the first folder of these names that has subjects in it, also one level further down (Cropped/Cropped)."""
    for name in names:
        place = child(root, name)
        for folder in (place, *folders(place)):
            if any(path.name.casefold().startswith("sub") and path.name[3:].isdigit() for path in folders(folder)):
                return folder
    return None


def _padded(subject: str) -> str:
    digits = subject.casefold().removeprefix("sub")
    return f"{int(digits):02d}" if digits.isdecimal() else ""


def _subject(cells: RowReader) -> str:
    found = cells.required("subject")
    if found and not _padded(found):
        cells.note(f"the cell subject holds {found!r}", "write the person's number, 01 to 26")
    return _padded(found)
