"""CASME II (Yan et al., PLoS ONE 2014): 255 clips of 26 persons at 200 frames a second, and copies in its layout."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final, Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8

from microexpr.clip import Clip
from microexpr.contracts import Correction, Dataset, DatasetInfo, Modality, datasets
from microexpr.datasets._frame_folder import FrameFolder
from microexpr.datasets._images import fingerprint, read_image, stack, to_rgb
from microexpr.datasets._root import entries, find_files, folders, unusable
from microexpr.datasets._table import Row, RowReader, find_rows
from microexpr.datasets._workbook import read_sheets
from microexpr.errors import DataError, Fault
from microexpr.facs import parse_action_units

FPS: Final = 200.0
COLUMNS: Final = {
    "subject": ("Subject",),
    "video": ("Filename",),
    "onset": ("OnsetFrame", "Onset"),
    "apex": ("ApexFrame", "Apex"),
    "offset": ("OffsetFrame", "Offset"),
    "action_units": ("Action Units", "AU"),
    "emotion": ("Estimated Emotion", "Emotion"),
}
FOLDERS: Final = {"raw": ("CASME2_RAW_selected", "CASME2-RAW", "CASME2_RAW"), "cropped": ("Cropped", "Cropped-updated")}
PREFIXES: Final = ("reg_img", "img")
MARKER: Final = "microexpr-synthetic.json"
NO_APEX: Final = ("/",)
VERSIONS: Final = {(25, 7, 5): "2014-05-08", (28, 4, 0): "2019-07-01"}
"""Clips of surprise, clips of sadness and action-unit cells '?' of the two tables of 255 rows."""
FULL: Final = 255


class Times(NamedTuple):
    """When a clip's expression starts, peaks and ends."""

    onset: int
    apex: int | None
    offset: int

    def __repr__(self) -> str:
        return f"{self.onset}-{self.apex}-{self.offset}"

    def lacking(self, present: Collection[int]) -> list[int]:
        """Return the frame numbers of the clip that its folder does not have."""
        return [number for number in range(self.onset, self.offset + 1) if number not in present]


NO_PEAK: Final = Correction(
    "04/EP12_01f", "apex", "/", "the middle of onset and offset", "the cell is '/' in both released tables"
)
SHORT: Final = Correction("16/EP01_08", "offset", 110, 96, "its folder ends at frame 96")
RENUMBERED: Final = tuple(
    Correction(clip, "onset, apex, offset", found, used, "its folder is numbered as in Benchmark-MER's copy")
    for clip, found, used in (
        ("07/EP06_01", Times(15, 49, 68), Times(56, 89, 116)),
        ("12/EP09_02", Times(16, 59, 101), Times(161, 176, 206)),
    )
)


@dataclass(slots=True)
class _Reading:
    """What one pass over the table gives."""

    rows: int = 0
    uncoded: int = 0
    clips: dict[tuple[str, str], Clip] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    applied: list[Correction] = field(default_factory=list)


@datasets.register("casme2")
class Casme2(Dataset):
    """CASME II on disk: its coding table, and beside it the raw or the cropped frames.

    `folder` says which frames (`auto`: raw where they are there), `corrections` whether the known defects of the table
    are mended, `table` which table is read where there is more than one.
    """

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="CASME II",
        doi="10.1371/journal.pone.0086041",
        licence="for research only, under an agreement signed with the owners; not to be passed on",
        access="ask the Chinese Academy of Sciences: http://fu.psych.ac.cn/CASME/casme2-en.php",
        n_clips=FULL,
        n_subjects=26,
    )
    emotions: ClassVar[Mapping[str, str]] = {
        word: word for word in ("others", "disgust", "happiness", "repression", "surprise", "sadness", "fear")
    }
    corrections: ClassVar[tuple[Correction, ...]] = (NO_PEAK, SHORT, *RENUMBERED)

    def __init__(
        self,
        root: Path,
        *,
        folder: Literal["auto", "raw", "cropped"] = "auto",
        corrections: bool = True,
        table: str | None = None,
    ) -> None:
        self._root = Path(root).expanduser().absolute()
        self._wanted, self._correct, self._table_name = folder, corrections, table

    def modalities(self) -> Mapping[str, Modality]:
        return {"colour": Modality(("r", "g", "b"))}

    def clips(self) -> Sequence[Clip]:
        return tuple(self._reading.clips.values())

    def applied(self) -> Sequence[Correction]:
        return tuple(self._reading.applied)

    def faults(self) -> Sequence[Fault]:
        try:
            reading = self._reading
        except DataError as error:
            return error.faults
        try:
            self._frames_folder()
        except DataError as error:
            return (*error.faults, *reading.faults)
        # Threads, because on a network disk nearly all of the time is spent waiting.
        with ThreadPoolExecutor(8) as pool:
            checked = list(pool.map(self._check_frames, reading.clips.values()))
        return (*reading.faults, *(fault for fault in checked if fault))

    def facts(self) -> Mapping[str, str]:
        reading, clips = self._reading, self.clips()
        kind, folder = self._folder or ("", None)
        odd = {
            "without apex": [clip for clip in clips if clip.apex is None],
            "apex on onset": [clip for clip in clips if clip.apex == clip.onset],
            "apex on offset": [clip for clip in clips if clip.apex == clip.offset],
        }
        return {
            "table": self._table.name,
            "label version": _label_version(self._table.name, reading, self._synthetic),
            "folder": folder.relative_to(self._root).as_posix() if folder else "none",
            "cropped": "yes" if kind == "cropped" else "no",
            **({"synthetic": _dials(self._synthetic)} if self._synthetic is not None else {}),
            **{fact: ", ".join(map(_name, found)) for fact, found in odd.items() if found},
        }

    def frames(self, clip: Clip, numbers: Sequence[int], modality: str) -> UInt8[np.ndarray, "t h w 3"]:
        if modality not in self.modalities():
            raise DataError(f"CASME II has no modality {modality!r}. Known: {', '.join(self.modalities())}.")
        files = self._clip_folder(clip.subject, clip.video).files(numbers)
        return stack([to_rgb(read_image(file)) for file in files], files)

    def fingerprint(self) -> str:
        places = [self._clip_folder(clip.subject, clip.video).path for clip in self.clips()]
        files = [file for place in places for file in entries(place) if file.is_file()]
        return fingerprint(self._root, self._table, files)

    @classmethod
    def write_example(cls, root: Path) -> None:
        from microexpr.datasets.synthetic import SyntheticSpec, make

        # In this process: a caller without `if __name__ == "__main__"` cannot start others.
        make(root, SyntheticSpec(subjects=2, clips=4, expression_size=3.0), workers=1)

    # --- where things lie ---------------------------------------------------------------------------------------------
    @cached_property
    def _table(self) -> Path:
        found = find_files(self._root, self._is_table, f"coding table {self._table_name or 'CASME2-coding-*.xlsx'}")
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            mend = f"choose one, for instance table = {found[0].name!r}, or move the others away"
            raise unusable(Fault(str(self._root), f"holds {len(found)} coding tables: {names}", mend))
        return found[0]

    def _is_table(self, name: str) -> bool:
        if self._table_name is not None:
            return name == self._table_name
        # By these words CASME2-ObjectiveClasses.xlsx, which lies beside it, is none.
        low = name.casefold()
        named = low.startswith("casme2") and low.endswith((".xls", ".xlsx", ".xlsm"))
        return named and ("cod" in low or "label" in low)

    @cached_property
    def _folder(self) -> tuple[str, Path] | None:
        """The kind of frames and their folder: the first kind that is wanted and there."""
        kinds = tuple(FOLDERS) if self._wanted == "auto" else (self._wanted,)
        found = ((kind, _with_subjects(self._root, FOLDERS[kind])) for kind in kinds)
        return next(((kind, folder) for kind, folder in found if folder), None)

    def _frames_folder(self) -> Path:
        if self._folder:
            return self._folder[1]
        kinds = FOLDERS if self._wanted == "auto" else {self._wanted: FOLDERS[self._wanted]}
        other = [kind for kind in FOLDERS if kind not in kinds and _with_subjects(self._root, FOLDERS[kind])]
        wanted = " or ".join(names[0] for names in kinds.values())
        have = ", ".join(path.name for path in folders(self._root)) or "no folder"
        mend = f"choose folder = {other[0]!r}" if other else f"copy {wanted}/sub01, sub02 ... into it"
        problem = f"holds no frames: no {wanted} with folders sub01, sub02 ... in it, but {have}"
        raise unusable(Fault(str(self._root), problem, mend))

    def _clip_folder(self, subject: str, video: str) -> FrameFolder:
        return FrameFolder(self._frames_folder() / f"sub{subject}" / video, PREFIXES)

    @property
    def _namespace(self) -> str:
        """Drawn people are nobody of CASME II, and each seed draws others."""
        if self._synthetic is None:
            return "casme2"
        return "-".join(["synthetic", *(str(self._synthetic[name]) for name in ("seed",) if name in self._synthetic)])

    @cached_property
    def _synthetic(self) -> Mapping[str, object] | None:
        """The dials of a synthetic database, None for the real one."""
        marker = self._root / MARKER
        if not marker.is_file():
            return None
        try:
            spec = json.loads(marker.read_text("utf-8"))["spec"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return spec if isinstance(spec, dict) else {}

    # --- the table ----------------------------------------------------------------------------------------------------
    @cached_property
    def _reading(self) -> _Reading:
        rows = find_rows(self._table, read_sheets(self._table), COLUMNS)
        reading = _Reading(rows=len(rows))
        for row in rows:
            self._read_row(row, reading)
        return reading

    def _read_row(self, row: Row, reading: _Reading) -> None:
        cells = RowReader(self._table, row)
        subject, video, times = _subject(cells), cells.required("video"), _times(cells)
        emotion, units = cells.emotion("emotion", self.emotions), cells.text("action_units")
        reading.uncoded += units == "?"
        if times and self._correct:
            times = self._corrected(subject, video, times, reading)
        if times:
            cells.check_times(*times)
        first = reading.clips.get((subject, video))
        if first:
            cells.note("this clip is in the table twice", "delete one of its two rows")
        name = f"{subject or '?'}/{video or '?'}"
        onset, apex, offset = times or (None, None, None)
        clip = Clip(
            dataset="casme2",
            subject=subject,
            namespace=self._namespace,
            video=video,
            fps=FPS,
            onset=onset,
            apex=apex,
            offset=offset,
            emotion=emotion,
            action_units=parse_action_units(units),
            labels={"action_units": (units,)},
        )
        if not cells.noted:
            reading.clips[subject, video] = clip
        # Of a clip with two rows nobody can tell which is right, so that the first is faulty too.
        known = first or (clip if subject and video and times else None)
        key = known.key if known else name
        reading.faults += cells.faults(name, key)

    def _corrected(self, subject: str, video: str, times: Times, reading: _Reading) -> Times:
        for correction in self.corrections:
            if correction.clip == f"{subject}/{video}":
                present = self._clip_folder(subject, video).listed() if self._folder else ()
                mended = _mend(correction, times, present)
                if mended != times:
                    used = mended.apex if correction is NO_PEAK else correction.used
                    reading.applied.append(replace(correction, used=used))
                    return mended
        return times

    def _check_frames(self, clip: Clip) -> Fault | None:
        folder = self._clip_folder(clip.subject, clip.video)
        return folder.fault(clip, folder.path.relative_to(self._root).as_posix())


def _with_subjects(root: Path, names: Iterable[str]) -> Path | None:
    """Return the first folder of these names that has subjects in it, also one level further down (Cropped/Cropped)."""
    for name in names:
        for folder in (root / name, *folders(root / name)):
            if any(path.name.startswith("sub") and path.name[3:].isdigit() for path in folders(folder)):
                return folder
    return None


def _subject(cells: RowReader) -> str:
    found = cells.required("subject")
    digits = found.casefold().removeprefix("sub")
    if found and not digits.isdecimal():
        cells.note(f"the cell subject holds {found!r}", "write the person's number, 01 to 26")
        return ""
    return f"{int(digits):02d}" if found else ""


def _times(cells: RowReader) -> Times | None:
    onset, apex, offset = cells.number("onset"), cells.number("apex", absent=NO_APEX), cells.number("offset")
    return None if onset is None or offset is None else Times(onset, apex, offset)


def _mend(correction: Correction, times: Times, present: Collection[int]) -> Times:
    """Return the times used; unchanged where the value found or the folder does not call for the correction."""
    if correction is NO_PEAK:
        return times._replace(apex=(times.onset + times.offset) // 2) if times.apex is None else times
    if correction is SHORT:
        matches = times.offset == SHORT.found and bool(present) and max(present) == SHORT.used
        return times._replace(offset=96) if matches else times
    assert isinstance(correction.used, Times)
    other = times == correction.found and times.lacking(present) and not correction.used.lacking(present)
    return correction.used if other else times


def _label_version(name: str, reading: _Reading, synthetic: Mapping[str, object] | None) -> str:
    """Return which of the two tables this is, by its content; the name of the file is only compared."""
    counts = Counter(clip.emotion for clip in reading.clips.values())
    found = counts["surprise"], counts["sadness"], reading.uncoded
    seen = f"surprise {found[0]}, sadness {found[1]}"
    if synthetic is not None:
        return f"imitates {synthetic.get('labels', 'an unknown table')} ({seen})"
    version = VERSIONS.get(found) if reading.rows == FULL else None
    if version is None:
        return f"neither 2014-05-08 nor 2019-07-01 ({reading.rows} rows, {seen}, {found[2]} action-unit cells '?')"
    others = [day for day in VERSIONS.values() if day != version and day.replace("-", "") in name]
    return f"{version} ({seen})" + (f", although the file's name says {others[0]}" if others else "")


def _dials(spec: Mapping[str, object]) -> str:
    told = (f"{name.replace('_', ' ')} {value}" for name, value in spec.items())
    return ", ".join(told) or f"yes, but {MARKER} cannot be read"


def _name(clip: Clip) -> str:
    return f"{clip.subject}/{clip.video}"
