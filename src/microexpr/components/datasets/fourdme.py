"""4DME (Li et al., IEEE T-AFFC 2022): 267 micro-expressions, read from their grey videos of 60 frames per second."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final, Literal

from microexpr.components.datasets._folders import child, first_kind, folders
from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._reader import Reading, TableDataset
from microexpr.components.datasets._table import RowReader
from microexpr.components.datasets._workbook import is_workbook
from microexpr.core.clip import Clip
from microexpr.core.delimited_text import squeeze
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
_SEPARATORS: Final = re.compile(r"\s*[+,;/&]\s*|\s+and\s+|\s+")


@datasets.register("fourdme")
class FourDme(TableDataset):
    """4DME on disk: the table of its micro-expressions, and beside it their grey frames.

    An expression may have several emotions: all of them are in `Clip.labels` ("emotions"), those written first. Where
    the column Emotion has more than one word the clip has no single emotion and is in no label set; with `several` =
    `first` the first word counts. Units that the coders marked '(k)', present throughout and not moving, are kept among
    the action units and named in `Clip.labels` ("static action units"). `folder` chooses the frames (`auto`: raw where
    they exist), `table` the table where there are several.

    There are no corrections: MEB swaps the action units of the 145th and the 146th row, and no public source says which
    clips these are. Compare `action_units` of such clips with their frames where it matters.

    Based on what MEB reads (columns, folders, 267 rows, marks on units). How frames are named is not known; the last
    digits of a name are taken for its number, which MEB compares with the table's. The table's columns of single units
    (AU1, AU2 ...) repeat its column AUs and are not read. The other recordings of 4DME (colour, depth, meshes) are not
    read, because no public source describes their layout.
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
            ("fewer", "those with a single emotion (column Emotion); an expression may have several"),
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
        without = {"without one emotion": f"{several} clips, whose Emotion has several words"} if several else {}
        return {**super().metadata(), **without}

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        return (*super().notes(table_only=table_only), *filter(None, map(_contradicted, self.clips())))

    def cropped(self) -> bool:
        return self._found is not None and self._found[0] == "cropped"

    # --- files and folders --------------------------------------------------------------------------------------------
    def _is_table(self, name: str) -> bool:
        stem = squeeze(Path(name).stem)
        named = stem.startswith("4dme") and "label" in stem and "macro" not in stem
        return named and is_workbook(name)

    @cached_property
    def _found(self) -> tuple[str, Path] | None:
        """The kind of frames and their folder: the first allowed kind that exists."""
        return first_kind(self._wanted, FOLDERS, self._unpacked)

    def _unpacked(self, names: Sequence[str]) -> Path | None:
        """Return the first folder of these names with folders in it, or the folder of its own name inside it."""
        place = next((place for place in (child(self._root, name) for name in names) if any(folders(place))), None)
        inner = child(place, place.name) if place else None
        return inner if inner and inner.is_dir() else place

    def _frames_root(self) -> Path | None:
        return self._found[1] if self._found else None

    def _home(self, clip: Clip, modality: str) -> FrameFolder:
        place = self._place or self._root / FOLDERS["raw"][0]
        # MEB's first copies have no subject folders.
        parents = [child(place, f"{lead}{clip.subject_id}") for lead in ("S", "sub", "")]
        homes = [child(parent, clip.video) for parent in (*filter(Path.is_dir, parents), place)]
        return FrameFolder(next(filter(Path.is_dir, homes), homes[0]))

    # --- the table ----------------------------------------------------------------------------------------------------
    def _clip(self, cells: RowReader, metadata: Mapping[str, str]) -> Clip:
        units = cells.text("action_units")
        emotion, emotions = self._emotions(cells)
        still = tuple(map(str, still_units(units)))
        subject, video = cells.subject_number(2), cells.required("video")
        cells.check_owner(subject, video)
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
        """Return the clip's emotion, None where several are written, and all emotions that are written or marked."""
        words = [word for word in _SEPARATORS.split(narrow(cells.text("emotion")).casefold()) if word]
        written = [self.emotions[word] for word in words if word in self.emotions]
        if len(words) > 1 and len(written) == len(words):
            one = len(set(written)) == 1 or self._several == "first"
            emotion = written[0] if one else None
        else:
            emotion = cells.emotion("emotion", self.emotions)
        marked = [word for word in EMOTIONS if cells.text(word).casefold() not in _UNMARKED]
        return emotion, tuple(dict.fromkeys([*written, *marked]))

    def _release(self, reading: Reading) -> str:
        counts = Counter(clip.emotion or "several" for clip in reading.clips.values())
        emotions = ", ".join(f"{word} {counts[word]}" for word in (*EMOTIONS, "several") if counts[word])
        if self._synthetic is not None:
            return f"imitates release v1 ({emotions})"
        return f"{'release v1' if reading.rows == FULL else 'not release v1'} ({reading.rows} rows: {emotions})"


def _contradicted(clip: Clip) -> Fault | None:
    """Return a note on a clip whose written emotion is not among those marked in the columns of emotions."""
    marked = [word for word in EMOTIONS if clip.labels.get(f"marked {word}", ("",))[0].casefold() not in _UNMARKED]
    if not marked or clip.emotion is None or clip.emotion in marked:
        return None
    problem = f"its Emotion is {clip.emotion}, but the columns mark {', '.join(marked)}"
    return Fault("E259", clip.key, problem, "no action needed: its Emotion is used", clip.key)
