"""CASME II (Yan et al., PLoS ONE 2014): 255 clips of 26 subjects at 200 frames per second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final, Literal

from microexpr.components.datasets._folders import child, choose, first_kind, kinds, no_frames, with_subjects
from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._reader import MIDDLE, Reading, TableDataset
from microexpr.components.datasets._table import RowReader, number_of, rows_beside
from microexpr.components.datasets._workbook import is_workbook
from microexpr.core.clip import Clip
from microexpr.core.delimited_text import listed
from microexpr.core.errors import Fault
from microexpr.core.facs import parse_action_units
from microexpr.core.files import entries
from microexpr.core.interfaces import Correction, DatasetInfo, datasets

FOLDERS: Final = {"raw": ("CASME2_RAW_selected", "CASME2-RAW", "CASME2_RAW"), "cropped": ("Cropped", "Cropped-updated")}
PREFIXES: Final = ("reg_img", "img")
COUNTS: Final = {"others": 99, "disgust": 63, "happiness": 32, "repression": 27, "fear": 2}
UNCODED: Final = "action-unit cells '?'"
VERSIONS: Final = {
    "2014-05-08": {**COUNTS, "surprise": 25, "sadness": 7, UNCODED: 5},
    "2019-07-01": {**COUNTS, "surprise": 28, "sadness": 4, UNCODED: 0},
}
"""Number of clips of each emotion, and of action-unit cells '?', in the two released tables of 255 rows."""
DISTINCTIVE: Final = ("surprise", "sadness", UNCODED)
"""What the two tables differ in."""
FULL: Final = 255
NEAR: Final = 12
"""A table whose number of rows differs by at most this is compared with the released ones."""
APEXLESS: Final = ("04", "EP12_01f")
"""The clip without an apex in both tables."""
OBJECTIVE: Final = {"subject": ("Subject",), "video": ("Filename",), "class": ("Objective Class",)}
CLASSES: Final = tuple("1234567")
_SHOWN: Final = 6
_RENUMBERED: Final = "its folder is numbered as in Benchmark-MER's copy"


@datasets.register("casme2")
class Casme2(TableDataset):
    """CASME II on disk: its coding table, and beside it the raw or the cropped frames.

    `folder` chooses the frames (`auto`: raw where they exist), `corrections` says whether the known defects of the
    table are corrected, and `table` chooses the table where there are several. The classes of Davison et al. (2018) are
    read where ``CASME2-ObjectiveClasses.xlsx`` is beside the table, as `Clip.labels` "objective class"; where that file
    cannot be read, clips are read without them.

    Based on both released tables (columns, 255 rows, cells that are not numbers), on the folder names that MEB, MMNet
    and bob.db.casme2 read, and on public notes on clips whose folder is shorter or numbered otherwise than the table.
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
        unusual = {
            "without apex": [clip for clip in clips if clip.apex is None],
            "apex on onset": [clip for clip in clips if clip.apex == clip.onset],
            "apex on offset": [clip for clip in clips if clip.apex == clip.offset],
        }
        named = {key: ", ".join(f"{clip.subject_id}/{clip.video}" for clip in found) for key, found in unusual.items()}
        return {**super().metadata(), **{key: names for key, names in named.items() if names}}

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        return (*super().notes(table_only=table_only), *self._objective_rows[1], *self._of_no_clip())

    def cropped(self) -> bool:
        return self._kind == "cropped"

    # --- files and folders --------------------------------------------------------------------------------------------
    def _is_table(self, name: str) -> bool:
        # CASME2-ObjectiveClasses.xlsx, beside it, has none of these words.
        low = name.casefold()
        named = low.startswith("casme2") and is_workbook(name)
        return named and ("cod" in low or "label" in low)

    @cached_property
    def _tables(self) -> Sequence[Path]:
        return [*super()._tables, *self._beside]

    @property
    def _beside(self) -> Sequence[Path]:
        """The owners' second table, with the objective classes."""
        named = (file for file in entries(self._root) if file.name.casefold() == "casme2-objectiveclasses.xlsx")
        return [file for file in named if file.is_file()]

    def _frames_root(self) -> Path | None:
        return self._found[1] if self._found else None

    @property
    def _kind(self) -> str:
        return self._found[0] if self._found else ""

    @cached_property
    def _found(self) -> tuple[str, Path] | None:
        """The kind of frames and their folder: the first allowed kind that exists."""
        return first_kind(self._wanted, FOLDERS, self._with_subjects)

    def _with_subjects(self, names: Sequence[str]) -> Path | None:
        return with_subjects(self._root, names, r"sub\d+")

    def _frameless(self) -> Fault:
        allowed = kinds(self._wanted, FOLDERS)
        other = [kind for kind in FOLDERS if kind not in allowed and self._with_subjects(FOLDERS[kind])]
        wanted = " or ".join(f"{FOLDERS[kind][0]}/sub01, sub02 ..." for kind in allowed)
        return no_frames(self._root, wanted, choose("folder", other[0]) if other else "")

    def _home(self, clip: Clip, modality: str) -> FrameFolder:
        place = self._place or self._root / FOLDERS["raw"][0]
        return FrameFolder(child(child(place, f"sub{clip.subject_id}"), clip.video), PREFIXES)

    # --- the table ----------------------------------------------------------------------------------------------------
    def _clip(self, cells: RowReader, metadata: Mapping[str, str]) -> Clip:
        subject, video = cells.subject_number(2, ", 01 to 26"), cells.required("video")
        units = cells.text("action_units")
        objective = self._class_of(cells, subject, video)
        return Clip(
            dataset="casme2",
            subject_id=subject,
            namespace=self._namespace("casme2"),
            video=video,
            fps=self.info.fps,
            **cells.times(no_apex=("/",)),
            emotion=cells.emotion("emotion", self.emotions),
            action_units=parse_action_units(units),
            labels={**cells.labels("action_units"), **({"objective class": (objective,)} if objective else {})},
        )

    @cached_property
    def _objective_rows(self) -> tuple[Sequence[RowReader], Sequence[Fault]]:
        """The rows of the objective classes, and a note where their table cannot be read."""
        return rows_beside(self._beside, OBJECTIVE, {}, "its classes")

    @cached_property
    def _objective(self) -> Mapping[tuple[str, str], Sequence[RowReader]]:
        """The rows of each clip's objective class; names are matched without case."""
        found: dict[tuple[str, str], list[RowReader]] = {}
        for row in self._objective_rows[0]:
            found.setdefault(_pair(number_of(row.text("subject"), 2), row.text("video")), []).append(row)
        return found

    def _class_of(self, cells: RowReader, subject: str, video: str) -> str:
        """Return a clip's objective class, '' where there is none; problems are noted with its row."""
        rows = self._objective.get(_pair(subject, video), [])
        classes = {row.text("class"): row for row in rows}
        for row in rows:
            place = f"row {row.row.number} of {row.file.name}"
            for code, problem, fix in row.problems:
                cells.note(code, f"{problem} ({place})", fix)
            found = row.text("class")
            if not row.problems and found not in CLASSES:
                problem = f"its objective class is {found!r} ({place})"
                cells.note("E221", problem, f"write one of {', '.join(CLASSES)}")
        if len(classes) > 1:
            named = " and ".join(f"{found!r} in row {row.row.number}" for found, row in classes.items())
            problem = f"its objective class is {named} of {rows[0].file.name}"
            cells.note("E226", problem, "delete the row that is wrong")
        return next(iter(classes), "")

    def _of_no_clip(self) -> Sequence[Fault]:
        """Return a note on the objective classes of clips that the coding table does not name."""
        named = {_pair(clip.subject_id, clip.video) for clip in self._reading.named}
        lost = [row for pair, rows in self._objective.items() if pair not in named for row in rows]
        if not lost:
            return ()
        rows = (f"row {row.row.number} ({row.text('subject')}/{row.text('video')})" for row in lost)
        problem = f"names clips that are not in the coding table: {listed(rows, _SHOWN)}"
        return (Fault("E256", lost[0].file.name, problem, "correct their names if they should be in it"),)

    def _release(self, reading: Reading) -> str:
        """Return which of the two tables this is, by its content; the name of the file is only compared."""
        clips = reading.clips.values()
        counts = Counter(clip.emotion or "" for clip in clips)
        counts[UNCODED] = sum(clip.labels.get("action_units") == ("?",) for clip in clips)
        seen = f"surprise {counts['surprise']}, sadness {counts['sadness']}"
        if self._synthetic is not None:
            return f"imitates {self._synthetic.get('labels', 'both tables')} ({seen})"
        matching = (day for day, known in VERSIONS.items() if all(counts[word] == known[word] for word in DISTINCTIVE))
        version = next(matching, None) if reading.rows == FULL else None
        if version is None:
            found = f"{reading.rows} rows, {seen}, {counts[UNCODED]} {UNCODED}"
            return f"neither {' nor '.join(VERSIONS)} ({found}){_nearest(reading, counts)}"
        named = [day for day in VERSIONS if day != version and day.replace("-", "") in self._table.name]
        name = f", although the file's name says {named[0]}" if named else ""
        other = [*_differences(reading, counts, version), *_filled_in(reading)]
        return f"{version} ({seen}){name}" + (f", but {'; '.join(other)}" if other else "")


def _nearest(reading: Reading, counts: Mapping[str, int]) -> str:
    """Return how an unknown table differs from the most similar release; '' if it is similar to none."""
    if abs(reading.rows - FULL) > NEAR:
        return ""
    distances = {day: sum(abs(counts[word] - n) for word, n in known.items()) for day, known in VERSIONS.items()}
    version = min(distances, key=lambda day: distances[day])
    rows = [f"{reading.rows} rows, not {FULL}"] if reading.rows != FULL else []
    differences = [*rows, *_differences(reading, counts, version), *_filled_in(reading)]
    return f"; nearest to {version}, but {'; '.join(differences)}"


def _differences(reading: Reading, counts: Mapping[str, int], version: str) -> list[str]:
    """Return the counts of a table that differ from those of a version."""
    faulty = reading.rows - len(reading.clips)
    differences = [
        f"{word} {counts[word]}, not {number}" for word, number in VERSIONS[version].items() if counts[word] != number
    ]
    return [*([f"{faulty} rows with faults"] if faulty else []), *differences]


def _filled_in(reading: Reading) -> list[str]:
    """Return the apex that was filled in for the clip without one."""
    name = "/".join(APEXLESS)
    if any(correction.clip == name for correction in reading.applied):
        return []
    found = (clip.apex for clip in reading.clips.values() if (clip.subject_id, clip.video) == APEXLESS)
    return [f"the apex of {name} has been filled in ({apex})" for apex in found if apex is not None]


def _pair(subject: str, video: str) -> tuple[str, str]:
    return subject, video.casefold()
