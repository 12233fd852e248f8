"""CASME II (Yan et al., PLoS ONE 2014): 255 clips of 26 subjects at 200 frames a second, and copies in its layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final, Literal

from microexpr.components.datasets import _example
from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._naming import (
    first_kind,
    is_workbook,
    number_of,
    rows_beside,
    subject_number,
    with_subjects,
)
from microexpr.components.datasets._reader import MIDDLE, Reading, TableDataset
from microexpr.components.datasets._root import child, entries, folders
from microexpr.components.datasets._table import RowReader
from microexpr.core.clip import Clip
from microexpr.core.errors import Fault
from microexpr.core.facs import parse_action_units
from microexpr.core.interfaces import Correction, DatasetInfo, datasets

FOLDERS: Final = {"raw": ("CASME2_RAW_selected", "CASME2-RAW", "CASME2_RAW"), "cropped": ("Cropped", "Cropped-updated")}
PREFIXES: Final = ("reg_img", "img")
COUNTS: Final = {"others": 99, "disgust": 63, "happiness": 32, "repression": 27, "fear": 2}
UNCODED: Final = "action-unit cells '?'"
VERSIONS: Final = {
    "2014-05-08": {**COUNTS, "surprise": 25, "sadness": 7, UNCODED: 5},
    "2019-07-01": {**COUNTS, "surprise": 28, "sadness": 4, UNCODED: 0},
}
"""Clips of each emotion and action-unit cells '?' of the two tables of 255 rows."""
TOLD_BY: Final = ("surprise", "sadness", UNCODED)
"""What the two tables differ in."""
FULL: Final = 255
NEAR: Final = 12
"""A table with this many rows more or less is compared with the released ones."""
APEXLESS: Final = ("04", "EP12_01f")
"""The clip without an apex in both tables."""
OBJECTIVE: Final = {"subject": ("Subject",), "video": ("Filename",), "class": ("Objective Class",)}
CLASSES: Final = tuple("1234567")
_SHOWN: Final = 6
_RENUMBERED: Final = "its folder is numbered as in Benchmark-MER's copy"


@datasets.register("casme2")
class Casme2(TableDataset):
    """CASME II on disk: its coding table, and beside it the raw or the cropped frames.

    `folder` says which frames (`auto`: raw where they are there), `corrections` whether the known defects of the table
    are mended, `table` which table is read where there is more than one. The classes of Davison et al. (2018) are read
    where ``CASME2-ObjectiveClasses.xlsx`` lies beside the table, as `Clip.labels` "objective class"; where that file
    cannot be read, clips are read without them.

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
            (
                "145",
                "MEGC 2019, of the table of 2014 (148 of that of 2019): without others, sadness, fear and two clips "
                "without a usable apex (megc2019_3)",
            ),
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

    def metadata(self) -> Mapping[str, str]:
        clips = self.clips()
        odd = {
            "without apex": [clip for clip in clips if clip.apex is None],
            "apex on onset": [clip for clip in clips if clip.apex == clip.onset],
            "apex on offset": [clip for clip in clips if clip.apex == clip.offset],
        }
        told = {fact: ", ".join(f"{clip.subject_id}/{clip.video}" for clip in found) for fact, found in odd.items()}
        return {**super().metadata(), **{fact: names for fact, names in told.items() if names}}

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        return (*super().notes(table_only=table_only), *self._objective_rows[1], *self._of_no_clip())

    def cropped(self) -> bool:
        return self._kind == "cropped"

    @classmethod
    def write_example(cls, root: Path) -> None:
        _example.mark(root, "casme2")
        head = (*(known[0] for known in cls.columns.values()),)
        rows = [(*row[:2], None, *row[2:5], None, *row[5:]) for row in (head, *_EXAMPLE)]
        _example.xlsx(root / "CASME2-coding-20140508.xlsx", {"Sheet1": rows, "Sheet2": [], "Sheet3": []})
        classes = [tuple(known[0] for known in OBJECTIVE.values()), *_EXAMPLE_CLASSES]
        _example.xlsx(root / "CASME2-ObjectiveClasses.xlsx", {"Sheet1": classes, "Sheet2": []})
        for subject, video, onset, apex, offset, units, _ in _EXAMPLE:
            first, last = int(str(onset)), int(str(offset))
            _example.draw(
                root / "CASME2_RAW_selected" / f"sub{subject}" / video,
                {number: f"img{number}.jpg" for number in range(first, last + 1)},
                subject=min(int(subject), 3),
                apex=(first + last) // 2 if apex == "/" else int(str(apex)),
                units=[f"{unit.side or ''}{unit.number}" for unit in parse_action_units(str(units))] or ("1", "2"),
            )

    # --- where things lie ---------------------------------------------------------------------------------------------
    def _is_table(self, name: str) -> bool:
        # By these words CASME2-ObjectiveClasses.xlsx, which lies beside it, is none.
        low = name.casefold()
        named = low.startswith("casme2") and is_workbook(name)
        return named and ("cod" in low or "label" in low)

    @cached_property
    def _tables(self) -> Sequence[Path]:
        return [*super()._tables, *self._beside]

    @property
    def _beside(self) -> Sequence[Path]:
        """The owners' second table, that of the objective classes."""
        named = (file for file in entries(self._root) if file.name.casefold() == "casme2-objectiveclasses.xlsx")
        return [file for file in named if file.is_file()]

    def _frames_root(self) -> Path | None:
        return self._found[1] if self._found else None

    @property
    def _kind(self) -> str:
        return self._found[0] if self._found else ""

    @cached_property
    def _found(self) -> tuple[str, Path] | None:
        """The kind of frames and their folder: the first kind that is wanted and there."""
        return first_kind(self._wanted, FOLDERS, self._with_subjects)

    def _with_subjects(self, names: Sequence[str]) -> Path | None:
        return with_subjects(self._root, names, r"sub\d+")

    def _frameless(self) -> Fault:
        kinds = FOLDERS if self._wanted == "auto" else {self._wanted: FOLDERS[self._wanted]}
        other = [kind for kind in FOLDERS if kind not in kinds and self._with_subjects(FOLDERS[kind])]
        wanted = " or ".join(names[0] for names in kinds.values())
        have = ", ".join(path.name for path in folders(self._root)) or "no folder"
        fix = f"choose folder = {other[0]!r}" if other else f"copy {wanted}/sub01, sub02 ... into it"
        problem = f"holds no frames: no {wanted} with folders sub01, sub02 ... in it, but {have}"
        return Fault("E201", str(self._root), problem, fix)

    def _home(self, clip: Clip, modality: str) -> FrameFolder:
        place = self._place or self._root / FOLDERS["raw"][0]
        return FrameFolder(child(child(place, f"sub{clip.subject_id}"), clip.video), PREFIXES)

    # --- the table ----------------------------------------------------------------------------------------------------
    def _clip(self, cells: RowReader, metadata: Mapping[str, str]) -> Clip:
        subject, video = subject_number(cells, 2, ", 01 to 26"), cells.required("video")
        units = cells.text("action_units")
        objective = self._class_of(cells, subject, video)
        return Clip(
            dataset="casme2",
            subject_id=subject,
            namespace=self._namespace("casme2"),
            video=video,
            fps=self.info.fps,
            **cells.times(unapexed=("/",)),
            emotion=cells.emotion("emotion", self.emotions),
            action_units=parse_action_units(units),
            labels={**cells.labels("action_units"), **({"objective class": (objective,)} if objective else {})},
        )

    @cached_property
    def _objective_rows(self) -> tuple[Sequence[RowReader], Sequence[Fault]]:
        """The rows of the objective classes, and a remark where their table cannot be read."""
        return rows_beside(self._beside, OBJECTIVE, {}, "its classes")

    @cached_property
    def _objective(self) -> Mapping[tuple[str, str], Sequence[RowReader]]:
        """The rows of each clip's objective class; names may be in another case."""
        found: dict[tuple[str, str], list[RowReader]] = {}
        for row in self._objective_rows[0]:
            found.setdefault(_pair(number_of(row.text("subject"), 2), row.text("video")), []).append(row)
        return found

    def _class_of(self, cells: RowReader, subject: str, video: str) -> str:
        """Return a clip's objective class, '' where none is told; what is wrong with it is noted with its row."""
        rows = self._objective.get(_pair(subject, video), [])
        told = {row.text("class"): row for row in rows}
        for row in rows:
            place = f"row {row.row.number} of {row.file.name}"
            for problem, fix in row.noted:
                cells.note(f"{problem} ({place})", fix)
            found = row.text("class")
            if not row.noted and found not in CLASSES:
                cells.note(f"its objective class is {found!r} ({place})", f"write one of {', '.join(CLASSES)}")
        if len(told) > 1:
            named = " and ".join(f"{found!r} in row {row.row.number}" for found, row in told.items())
            cells.note(f"its objective class is {named} of {rows[0].file.name}", "delete the row that is wrong")
        return next(iter(told), "")

    def _of_no_clip(self) -> Sequence[Fault]:
        """Return a remark on the objective classes of clips that the coding table does not name."""
        named = {_pair(clip.subject_id, clip.video) for clip in self._reading.named}
        lost = [row for pair, rows in self._objective.items() if pair not in named for row in rows]
        if not lost:
            return ()
        told = [f"row {row.row.number} ({row.text('subject')}/{row.text('video')})" for row in lost]
        more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
        problem = f"names clips that the coding table has not: {', '.join(told[:_SHOWN])}{more}"
        return (Fault("E201", lost[0].file.name, problem, "correct their names, if they are meant to be in it"),)

    def _release(self, reading: Reading) -> str:
        """Return which of the two tables this is, by its content; the name of the file is only compared."""
        clips = reading.clips.values()
        counts = Counter(clip.emotion or "" for clip in clips)
        counts[UNCODED] = sum(clip.labels.get("action_units") == ("?",) for clip in clips)
        seen = f"surprise {counts['surprise']}, sadness {counts['sadness']}"
        if self._synthetic is not None:
            return f"imitates {self._synthetic.get('labels', 'both tables')} ({seen})"
        told = (day for day, known in VERSIONS.items() if all(counts[word] == known[word] for word in TOLD_BY))
        version = next(told, None) if reading.rows == FULL else None
        if version is None:
            found = f"{reading.rows} rows, {seen}, {counts[UNCODED]} {UNCODED}"
            return f"neither {' nor '.join(VERSIONS)} ({found}){_nearest(reading, counts)}"
        named = [day for day in VERSIONS if day != version and day.replace("-", "") in self._table.name]
        name = f", although the file's name says {named[0]}" if named else ""
        other = [*_differences(reading, counts, version), *_filled_in(reading)]
        return f"{version} ({seen}){name}" + (f", but {'; '.join(other)}" if other else "")


def _nearest(reading: Reading, counts: Mapping[str, int]) -> str:
    """Return what tells a table that is neither from the one that it is most like; '' if it is like none."""
    if abs(reading.rows - FULL) > NEAR:
        return ""
    apart = {day: sum(abs(counts[word] - n) for word, n in known.items()) for day, known in VERSIONS.items()}
    version = min(apart, key=lambda day: apart[day])
    rows = [f"{reading.rows} rows, not {FULL}"] if reading.rows != FULL else []
    told = [*rows, *_differences(reading, counts, version), *_filled_in(reading)]
    return f"; nearest to {version}, but {'; '.join(told)}"


def _differences(reading: Reading, counts: Mapping[str, int], version: str) -> list[str]:
    """Return what a table has more or less of than a version."""
    faulty = reading.rows - len(reading.clips)
    told = [
        f"{word} {counts[word]}, not {number}" for word, number in VERSIONS[version].items() if counts[word] != number
    ]
    return [*([f"{faulty} rows with faults"] if faulty else []), *told]


def _filled_in(reading: Reading) -> list[str]:
    """Return the apex that somebody has given the clip that has none."""
    name = "/".join(APEXLESS)
    if any(correction.clip == name for correction in reading.applied):
        return []
    found = (clip.apex for clip in reading.clips.values() if (clip.subject_id, clip.video) == APEXLESS)
    return [f"somebody has filled in the apex of {name} ({apex})" for apex in found if apex is not None]


def _pair(subject: str, video: str) -> tuple[str, str]:
    return subject, video.casefold()


_EXAMPLE: Final[tuple[tuple[str, str, object, object, object, object, str], ...]] = (
    ("01", "EP02_01f", 46, 50, 54, "4+L10", "happiness"),
    ("01", "EP19_05f", "101", " 105 ", "110", 4, "Others"),
    ("02", "EP01_2", 7, 7, 15, "R12+R15", "repression"),
    ("03", "EP06_02_01", 21, 25, 29, "?", "surprise"),
    ("03", "EP09f", 31, "/", 39, "4+7", "disgust"),
    # The clip without an apex: its middle is used.
    ("04", "EP12_01f", 257, "/", 265, 9, "disgust"),
)
_EXAMPLE_CLASSES: Final = ((1, "EP02_01f", 1), ("01", "EP19_05F", "7"), ("02", "EP01_2", 3), (4, "EP12_01f", 4))
