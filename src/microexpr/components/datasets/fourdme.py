"""4DME (Li et al., IEEE T-AFFC 2022): 267 micro-expressions, read in their grey videos of 60 frames a second."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final, Literal, NamedTuple

from microexpr.components.datasets import _example
from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._naming import check_own, first_kind, is_workbook, subject_number
from microexpr.components.datasets._reader import Reading, TableDataset
from microexpr.components.datasets._root import child, folders
from microexpr.components.datasets._table import RowReader, squeeze
from microexpr.core.clip import Clip
from microexpr.core.errors import Fault
from microexpr.core.facs import narrow, parse_action_units, still_units
from microexpr.core.interfaces import DatasetInfo, datasets

FULL: Final = 267
FOLDERS: Final = {
    "raw": ("gray_micro",),
    "cropped": ("gray_micro_crop", "gray_micro_cropped", "gray_micro_register_final"),
}
EMOTIONS: Final = ("positive", "negative", "surprise", "repression", "others")
_UNMARKED: Final = ("", "0", "no", "false", "-", "/")
_SIGNS: Final = re.compile(r"\s*[+,;/&]\s*|\s+and\s+|\s+")


@datasets.register("fourdme")
class FourDme(TableDataset):
    """4DME on disk: the table of its micro-expressions, and beside it their grey frames.

    An expression may bear several emotions: all of them are in `Clip.labels` ("emotions"), those written first. Where
    the column Emotion has more than one word the clip has no single emotion and is in no label set; with `several` =
    `first` the first word is taken. Units that the coders marked '(k)', there throughout and not moving, are kept among
    the action units and named in `Clip.labels` ("static action units"). `folder` says which frames (`auto`: raw where
    they are there), `table` which table is read where there is more than one.

    There are no corrections: MEB swaps the action units of the 145th and the 146th row, and no public source tells
    which clips these are. Compare `action_units` of such clips with their frames where it matters.

    Rests on what MEB reads (columns, folders, 267 rows, marks on units). How frames are named is not known; the last
    digits of a name are taken for its number, which MEB compares with the table's. The table's columns of single units
    (AU1, AU2 ...) repeat its column AUs and are not read. The other recordings of 4DME (colour, depth, meshes) are not
    read: nothing public tells their layout.
    """

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="4DME",
        doi="10.1109/TAFFC.2022.3182342",
        licence="for research only, under an agreement signed with the owners; not to be passed on",
        access="ask the University of Oulu: https://www.oulu.fi/en/university/faculties-and-units/"
        "faculty-information-technology-and-electrical-engineering/center-machine-vision-and-signal-analysis",
        n_clips=FULL,
        n_subjects=None,
        fps=60.0,
        family="Oulu",
        layout="""\
4DME_Labelling_Micro_release v1.xlsx
gray_micro/S01/<fold_name>/<frame>.jpg ... or gray_micro_crop/S01/<fold_name>/<frame>.jpg ...""",
        counted=(
            ("267", "every row of the table"),
            ("fewer", "those with one emotion alone (column Emotion); several may hold at once"),
        ),
    )
    emotions: ClassVar[Mapping[str, str]] = {word: word for word in EMOTIONS} | {"other": "others"}
    columns: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "subject": ("sub_ID", "Subject"),
        "video": ("fold_name", "folder_name", "Filename"),
        "onset": ("Onset", "OnsetFrame"),
        "apex": ("Apex", "ApexFrame"),
        "offset": ("Offset", "OffsetFrame"),
        "action_units": ("AUs", "AU", "Action Units"),
        "emotion": ("Emotion",),
    }
    optional: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "fold": ("fold",),
        "eye blink": ("eye blink",),
        "video emotion": ("video emo",),
        "self-report": ("self-report emo",),
        **{word: (word.capitalize(),) for word in EMOTIONS},
    }
    table_called: ClassVar[str] = "table 4DME_Labelling_Micro_release*.xlsx"
    frames_called: ClassVar[str] = "gray_micro/S01/<fold_name>/<frame>.jpg ..."

    def __init__(
        self,
        root: Path,
        *,
        folder: Literal["auto", "raw", "cropped"] = "auto",
        several: Literal["none", "first"] = "none",
        table: str | None = None,
    ) -> None:
        super().__init__(root, table=table)
        self._wanted, self._several = folder, several

    def metadata(self) -> Mapping[str, str]:
        several = sum(clip.emotion is None for clip in self.clips())
        told = {"without one emotion": f"{several} clips, whose Emotion has several words"} if several else {}
        return {**super().metadata(), **told}

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        found = [_contradicted(clip) for clip in self.clips()]
        return (*super().notes(table_only=table_only), *(remark for remark in found if remark))

    def cropped(self) -> bool:
        return self._found is not None and self._found[0] == "cropped"

    @classmethod
    def write_example(cls, root: Path) -> None:
        _example.mark(root, "fourdme")
        _example.xlsx(root / "4DME_Labelling_Micro_release v1.xlsx", {"Sheet1": [_HEADER, *map(_cells, _EXAMPLE)]})
        for subject, row in zip(_DRAWN, _EXAMPLE, strict=True):
            _example.draw(
                root / "gray_micro" / row.subject / row.video,
                {number: f"{number:05d}.jpg" for number in range(row.onset, row.offset + 1)},
                subject=subject,
                apex=row.apex,
                units=[f"{unit.side or ''}{unit.number}" for unit in parse_action_units(row.units)],
                kind="grey",
            )

    # --- where things lie ---------------------------------------------------------------------------------------------
    def _is_table(self, name: str) -> bool:
        stem = squeeze(Path(name).stem)
        named = stem.startswith("4dme") and "label" in stem and "macro" not in stem
        return named and is_workbook(name)

    @cached_property
    def _found(self) -> tuple[str, Path] | None:
        """The kind of frames and their folder: the first kind that is wanted and there."""
        return first_kind(self._wanted, FOLDERS, self._unpacked)

    def _unpacked(self, names: Sequence[str]) -> Path | None:
        """Return the first folder of these names that holds folders, or the one of its name that it was unpacked to."""
        place = next((place for place in (child(self._root, name) for name in names) if any(folders(place))), None)
        inner = child(place, place.name) if place else None
        return inner if inner and inner.is_dir() else place

    def _frames_root(self) -> Path | None:
        return self._found[1] if self._found else None

    def _home(self, clip: Clip, modality: str) -> FrameFolder:
        place = self._place or self._root / FOLDERS["raw"][0]
        # MEB's first copies have no folders of subjects.
        parents = [child(place, f"{lead}{clip.subject_id}") for lead in ("S", "sub", "")]
        homes = [child(parent, clip.video) for parent in (*filter(Path.is_dir, parents), place)]
        return FrameFolder(next(filter(Path.is_dir, homes), homes[0]))

    # --- the table ----------------------------------------------------------------------------------------------------
    def _clip(self, cells: RowReader, metadata: Mapping[str, str]) -> Clip:
        units = cells.text("action_units")
        emotion, emotions = self._emotions(cells)
        still = tuple(map(str, still_units(units)))
        subject, video = subject_number(cells, 2), cells.required("video")
        check_own(cells, subject, video)
        return Clip(
            dataset="fourdme",
            subject_id=subject,
            namespace=self._namespace("fourdme"),
            video=video,
            fps=self.info.fps,
            **cells.times(),
            emotion=emotion,
            action_units=parse_action_units(units),
            labels={
                **cells.labels("action_units", "fold", "eye blink", "video emotion", "self-report"),
                **({"emotions": emotions} if emotions else {}),
                **({"static action units": still} if still else {}),
                **{f"marked {word}": (text,) for word in EMOTIONS if (text := cells.text(word)) not in ("", "0")},
            },
        )

    def _emotions(self, cells: RowReader) -> tuple[str | None, tuple[str, ...]]:
        """Return the clip's emotion, None where several are written, and all that are written or marked."""
        words = [word for word in _SIGNS.split(narrow(cells.text("emotion")).casefold()) if word]
        written = [self.emotions[word] for word in words if word in self.emotions]
        if len(words) > 1 and len(written) == len(words):
            one = len(set(written)) == 1 or self._several == "first"
            emotion = written[0] if one else None
        else:
            emotion = cells.emotion("emotion", self.emotions)
        return emotion, tuple(dict.fromkeys([*written, *_marked(cells)]))

    def _release(self, reading: Reading) -> str:
        counts = Counter(clip.emotion or "several" for clip in reading.clips.values())
        told = ", ".join(f"{word} {counts[word]}" for word in (*EMOTIONS, "several") if counts[word])
        if self._synthetic is not None:
            return f"imitates release v1 ({told})"
        return f"{'release v1' if reading.rows == FULL else 'not release v1'} ({reading.rows} rows: {told})"


def _marked(cells: RowReader) -> list[str]:
    return [word for word in EMOTIONS if cells.text(word).casefold() not in _UNMARKED]


def _contradicted(clip: Clip) -> Fault | None:
    """Return what is odd about a clip whose written emotion is not among those marked in the columns of emotions."""
    marked = [word for word in EMOTIONS if clip.labels.get(f"marked {word}", ("",))[0].casefold() not in _UNMARKED]
    if not marked or clip.emotion is None or clip.emotion in marked:
        return None
    problem = f"its Emotion is {clip.emotion}, but the columns mark {', '.join(marked)}"
    return Fault("E201", clip.key, problem, "nothing: its Emotion is used", clip.key)


_HEADER: Final = (
    *("sub_ID", "fold_name", "fold", "Emotion", "Onset", "Apex", "Offset", "AUs", "eye blink"),
    *(word.capitalize() for word in EMOTIONS),
)
_DRAWN: Final = (1, 1, 2, 2, 3)
"""The drawn subject of each row of the example."""


class _Row(NamedTuple):
    """A row of the example's table."""

    subject: str
    video: str
    onset: int
    apex: int
    offset: int
    emotion: str
    units: str
    marked: tuple[str, ...]


_EXAMPLE: Final = (
    _Row("S01", "S01_1st_001_01", 12, 15, 20, "Positive", "6+12", ("positive",)),
    # Two emotions hold, one is written; the brows are lowered throughout.
    _Row("S01", "S01_1st_002_01", 101, 105, 109, "Negative", "AU4(k)+L7", ("negative", "repression")),
    _Row("S02", "S02_1st_001_01", 7, 11, 14, "Surprise", "1+2", ("surprise",)),
    _Row("S02", "S02_2nd_003_02", 30, 33, 38, "Repression", "AUR2+12(k)+17", ("repression",)),
    _Row("S05", "S05_1st_004_01", 2490, 2494, 2498, "Others", "14?", ("others",)),
)


def _cells(row: _Row) -> tuple[object, ...]:
    marks = (int(word in row.marked) for word in EMOTIONS)
    # Numbers are stored as text here and there.
    return (row.subject, row.video, 1, row.emotion, row.onset, str(row.apex), row.offset, row.units, 0, *marks)
