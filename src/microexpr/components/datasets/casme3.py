"""CAS(ME)^3 (Li et al., TPAMI 2023): micro- and macro-expressions at 30 frames per second, in colour and depth."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, NamedTuple

import numpy as np
from jaxtyping import Num
from pydantic import Field

from microexpr.components.datasets._depth import COLOUR_DEPTH, DEPTH, NEAR_DEPTH, in_range, with_depth
from microexpr.components.datasets._folders import (
    check_folder,
    child,
    contents,
    first_folder,
    folders,
    nearest,
    no_frames,
    several_tables,
    unusable,
)
from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._reader import Line, Reading, TableDataset
from microexpr.components.datasets._table import RowReader, find_rows
from microexpr.components.datasets._workbook import read_sheets
from microexpr.core.clip import Clip
from microexpr.core.delimited_text import squeeze
from microexpr.core.errors import ConfigError, DataError, Fault, FrameError
from microexpr.core.facs import narrow, parse_action_units
from microexpr.core.files import entries
from microexpr.core.image_files import fingerprint
from microexpr.core.interfaces import Correction, DatasetInfo, Modality, datasets

_SUBJECTS = {"a": re.compile(r"spno\W*\d+"), "c": re.compile(r"\d{1,3}")}
_CLIPS = re.compile(r"spno\W*\d+_[a-z]+_\d+")
_NOT_IN = {"a": re.compile("depth|spno|part_?[bc]"), "c": re.compile("depth|spno|part_?[ab]")}
_FIX = "copy its folder again; the owners' own copy lacks frames of about one clip in ten"
Reach = Annotated[int, Field(ge=0, le=65535)]
MADE: Final = ("near_depth", "colour_depth")
"""Modalities that are computed from those recorded."""
OWN: Final = "the value is that of the owners' CAS(ME)3_part_A_v2.xls"
NEAR: Final = 300
FAR: Final = 1300
_FRAMES = {"a": "part_A/spNO.1/a/color/355.jpg ...", "c": "part_C/01/a/color/355.jpg ..."}

_ROMAN: Final = {numeral: str(number) for number, numeral in enumerate(("I", "II", "III", "IV", "V", "VI", "VII"), 1)}
WORDS: Final = {
    **{word: word for word in ("disgust", "surprise", "others", "fear", "anger", "sadness", "happiness")},
    **{"sad": "sadness", "happy": "happiness"},
}
"""Emotions of part A, in which both 'Others' and 'others' occur."""
WORDS_C: Final = {word: word for word in ("negative", "positive", "surprise", "others")}
V1: Final = "v1, which the owners distribute beside v2 (860 rows): scores on the two cannot be compared"
_TIMES: Final = {"onset": ("Onset",), "apex": ("Apex",), "offset": ("Offset",), "action_units": ("AU",)}
_OBJECTIVE: Final = {"objective": ("Objective class",)}


class TableKind(NamedTuple):
    """One of the owners' tables; `pattern` is its name without case and punctuation."""

    called: str
    pattern: str
    columns: Mapping[str, tuple[str, ...]]
    optional: Mapping[str, tuple[str, ...]] = {}


LABELS: Final = TableKind(
    "label table cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx",
    r".*partamelabel.*xls[xm]?$",
    {"subject": ("Subject",), "video": ("Filename",), **_TIMES, "emotion": ("emotion",)},
    _OBJECTIVE,
)
ALL: Final = TableKind(
    "table CAS(ME)3_part_A_v2.xls",
    r".*parta(v\d+)?xls[xm]?$",
    {"subject": ("Subject",), "video": ("Filename",), **_TIMES, "type": ("Expression type", "type")},
    {**_OBJECTIVE, "emotion": ("emotion",)},
)
PART_C: Final = TableKind(
    "table CAS(ME)3_part_C_ME.xlsx",
    r".*partcme.*xls[xm]?$",
    {
        "subject": ("sub",),
        "video": ("count",),
        **{name: _TIMES[name] for name in ("onset", "offset", "action_units")},
        "emotion": ("emotion",),
    },
)
TABLES: Final = {
    ("a", "micro"): ((LABELS,), {860: "v2", 921: "v1"}),
    ("a", "macro"): ((ALL,), {3346: "v2"}),
    ("a", "both"): ((LABELS, ALL), {4206: "v2"}),
    ("c", "micro"): ((PART_C,), {165: "the owners'"}),
}
"""The tables that are read, and the releases by their number of rows, by part and kind."""


@datasets.register("casme3", revision=2)
class Casme3(TableDataset):
    """CAS(ME)^3 on disk: part A's or part C's table, and the frames in colour and, where they exist, in depth.

    `part` is "a" (emotions while watching films, 94 subjects) or "c" (a mock crime; clips are called casme3c, and no
    apex is coded). `kind` chooses the expressions of part A: "micro" reads the label table, "macro" the
    macro-expressions of ``CAS(ME)3_part_A_v2.xls``, which have no emotion, and "both" reads both. `depth = false` reads
    no depth, so that clips without depth frames are not faults. `corrections` corrects the known defects. Where several
    releases of a table are side by side, as in the owners' repository, the newest by its name is read and the metadata
    say so; `table` chooses another. Tables may be in the root, in ``annotation`` or in ``annotation/partA``. Objective
    classes, Roman numerals in the table, are `Clip.labels` "objective class" 1 to 7. A clip keeps the table's name of
    its video; a folder whose name differs in case (J for j) is read and noted.

    Where depth exists, modality "depth" has its units (0 to 65535, of which a face covers a small part), "near_depth"
    is in 0..255 with fractions, and "colour_depth" has it as a fourth channel of colour: 255 at `near` units and
    nearer, 0 at `far` and farther, and 0 where nothing was measured; resizing frames afterwards averages such places
    with their surroundings. The units are assumed to be millimetres, and the limits those of a subject at a desk: no
    known text of the owners gives either, and their depth code assumes that a face extends less than 400 units in
    depth. That code crops both images with one box, so their pixels correspond.

    Based on the counts and columns of the owners' tables, on the folders that the owners' depth code reads
    (``RGB/spNO.1/a/color``), that MEB reads (``part_A/spNO.1/a/color``), on the smaller copy that has one folder per
    clip (``Part_A_ME_clip/frame/spNO.1_a_355``), and for part C on public code that reads ``part_C/01/a/color``. Six
    rows of v2 are impossible or name frames that do not exist; public code that fails on them shows which. Of the
    values used, four are those of the owners' own ``CAS(ME)3_part_A_v2.xls`` and two are MEB's. How many frames a full
    copy lacks is not known here; MEB's issues say about one clip in ten.
    """

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="CAS(ME)^3",
        doi="10.1109/TPAMI.2022.3174895",
        licence="for research only, under an agreement signed with the owners; not to be passed on",
        access="ask the Chinese Academy of Sciences: http://casme.psych.ac.cn/casme/e4; "
        "the owners publish the tables in jingtingEmmaLi/CAS-ME-3 on GitHub",
        n_clips=860,
        n_subjects=94,
        fps=30.0,
        family="CASME",
        layout="""\
annotation/partA/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx (micro-expressions of part A)
annotation/CAS(ME)3_part_A_v2.xls (macro-expressions too; only for kind macro or both)
annotation/CAS(ME)3_part_C_ME.xlsx (part C)
part_A/spNO.1/a/color/355.jpg ..., part_A/spNO.1/a/depth/355.png ... (16 bits)
or Part_A_ME_clip/frame/spNO.1_a_355/355.jpg ..., Part_A_ME_clip/depth/spNO.1_a_355/355.png ...
part_C/01/a/color/355.jpg ..., part_C/01/a/depth/355.png ...""",
        counted=(
            ("860", "micro-expressions of part A, label table v2 (seven or four classes: casme3_7, casme3_4)"),
            ("921", "the same, label table v1"),
            ("699", "part A v2 without others, in three classes"),
            ("165", "micro-expressions of part C"),
            ("3,346", "macro-expressions of part A, v2 (kind macro)"),
            ("4,206", "micro- and macro-expressions of part A, v2 (kind both)"),
            ("1,109 and 3,490", "micro- and macro-expressions of parts A and C together, in the owners' paper"),
        ),
    )
    emotions: ClassVar[Mapping[str, str]] = {**WORDS, **WORDS_C}
    corrections: ClassVar[tuple[Correction, ...]] = (
        Correction("spNO.149/d/112", "apex", 83, 160, f"the apex is before the onset; {OWN}; MEB reads 123"),
        Correction("spNO.214/c/5", "offset", 3460, 34, "115 seconds long; the value is MEB's"),
        Correction("spNO.216/d/3647", "onset", 3647, 2647, f"one digit: its apex is 2668; {OWN}, and MEB's"),
        Correction("spNO.216/e/0", "onset, apex", (0, 0), (1, 1), "frames start at 1; the values are MEB's"),
        Correction("spNO.40/e/1812", "offset", 0, 1845, f"the offset is 0; {OWN}, and MEB's"),
        Correction("spNO.40/e/2327", "offset", 0, 2403, f"the offset is 0; {OWN}, and MEB's"),
    )
    columns: ClassVar[Mapping[str, tuple[str, ...]]] = LABELS.columns
    optional: ClassVar[Mapping[str, tuple[str, ...]]] = LABELS.optional
    table_called: ClassVar[str] = LABELS.called
    frames_called: ClassVar[str] = _FRAMES["a"]

    def __init__(
        self,
        root: Path,
        *,
        part: Literal["a", "c"] = "a",
        kind: Literal["micro", "macro", "both"] = "micro",
        depth: bool = True,
        near: Reach = NEAR,
        far: Reach = FAR,
        corrections: bool = True,
        table: str | None = None,
    ) -> None:
        super().__init__(root, corrections=corrections, table=table)
        if part == "c" and kind != "micro":
            raise ConfigError("E104", f"kind: part C's table lists only micro-expressions; leave kind = {kind!r} out.")
        if near >= far:
            raise ConfigError(
                "E104", f"near = {near} and far = {far} leave no range of depth; choose near smaller than far."
            )
        self._part, self._kind, self._deep = part, kind, depth
        self._near, self._far = near, far

    # --- the interface ------------------------------------------------------------------------------------------------
    def modalities(self) -> Mapping[str, Modality]:
        deep = {"depth": DEPTH, "near_depth": NEAR_DEPTH, "colour_depth": COLOUR_DEPTH}
        return {**super().modalities(), **(deep if self._has_depth else {})}

    def frames(self, clip: Clip, numbers: Sequence[int], modality: str) -> Num[np.ndarray, "t h w c"]:
        if modality not in MADE or not self._has_depth:
            return super().frames(clip, numbers, modality)
        depth = super().frames(clip, numbers, "depth")
        colour = super().frames(clip, numbers, "colour") if modality == "colour_depth" else None
        try:
            near = in_range(depth, self._near, self._far)
            return near if colour is None else with_depth(colour, near)
        except FrameError as error:
            raise FrameError(error.code, f"{clip.key}: {error}") from None

    def metadata(self) -> Mapping[str, str]:
        found = super().metadata()
        still = sum(clip.apex == clip.onset for clip in self.clips())
        own = {"part": self._part.upper(), "kind": self._kind, "clips with the apex on the onset": str(still or "")}
        own["warning"] = V1 if found["label version"].startswith("v1") else ""
        own["tables not read"] = "; ".join(other for _, other in self._chosen if other)
        return {**found, **{key: text for key, text in own.items() if text}}

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        spelt = () if table_only or self._place is None else self._spelt_otherwise()
        return (*super().notes(table_only=table_only), *spelt)

    def fingerprint(self) -> str:
        found, reach = self._fingerprint(), (self._near, self._far)
        # The limits change what is read: frames cached under other limits must not be used.
        return found if reach == (NEAR, FAR) else sha256(f"{found} depth {reach}".encode()).hexdigest()

    def _fingerprint(self) -> str:
        if self._place is None or self._of_clips:
            return super().fingerprint()
        # Of 80 hours of frames only those of clips; the others are never read.
        images: set[Path] = set()
        for clip in self.clips():
            for name in self.modalities():
                listed = self._home(clip, name).listed()
                images.update(listed[n] for n in range(clip.onset or 0, (clip.offset or 0) + 1) if n in listed)
        return fingerprint(self._root, self._tables, images)

    # --- the tables ---------------------------------------------------------------------------------------------------
    def _is_table(self, name: str) -> bool:
        return any(re.match(kind.pattern, squeeze(name)) for kind in self._table_kinds)

    @property
    def _table_kinds(self) -> Sequence[TableKind]:
        return TABLES[self._part, self._kind][0]

    @cached_property
    def _tables(self) -> Sequence[Path]:
        chosen = [file for file, _ in self._chosen]
        if self._table_name is not None and self._table_name not in [file.name for file in chosen]:
            fix = f"choose one of {' and '.join(file.name for file in chosen)}, or leave `table` out"
            raise unusable("E205", self._root, f"table {self._table_name} is not one of the two of this kind", fix)
        return chosen

    @cached_property
    def _chosen(self) -> Sequence[tuple[Path, str]]:
        """The table of each kind, and which others are not read, and why."""
        return tuple(map(self._table_of, self._table_kinds))

    def _table_of(self, kind: TableKind) -> tuple[Path, str]:
        """Return the table of one kind: the newest release; files of one release must be identical."""
        chosen = self._table_name
        alone, called = chosen is not None and len(self._table_kinds) == 1, kind.called

        def wanted(file: Path) -> bool:
            named = file.name == chosen if alone else re.match(kind.pattern, squeeze(file.name))
            return bool(named) and file.is_file()

        def listed(root: Path) -> list[Path]:
            return [file for place in self._table_places(root) for file in entries(place) if wanted(file)]

        found = listed(self._root)
        if chosen is not None:  # of two kinds the other one is the table of the same version
            found = [file for file in found if file.name == chosen] or [
                file for file in found if _version(file.name) == _version(chosen)
            ]
        if not found:
            raise self._tableless(listed, f"table {chosen}" if alone else called)
        if len(found) == 1 or _identical(found):
            return found[0], ""
        latest = _newest(found)
        if latest is None:
            raise several_tables(self._root, map(self._short, found), max(file.name for file in found))
        others = dict.fromkeys(file.name for file in found if _version(file.name) != _version(latest.name))
        return latest, f"{', '.join(others)}, because {_version(latest.name)} is newer; `table` chooses another"

    def _tableless(self, listed: Callable[[Path], list[Path]], called: str) -> DataError:
        check_folder(self._root, called)
        for near in (*list(self._root.parents)[:2], *folders(self._root)):
            if found := listed(near):
                fix = f"give {near} instead, which contains {found[0].relative_to(near).as_posix()}"
                return unusable("E205", self._root, f"contains no {called}", fix)
        fix = f"give the folder that contains the {called}, directly or in annotation/part{self._part.upper()}"
        return unusable("E205", self._root, f"contains no {called}; it contains {contents(self._root)}", fix)

    def _table_places(self, root: Path) -> Iterator[Path]:
        yield root
        for name in ("annotation", "PartA_annotation"):
            yield from (place := child(root, name), child(place, f"part{self._part.upper()}"))

    def _lines(self) -> Iterator[Line]:
        for kind, file in zip(self._table_kinds, self._tables, strict=True):
            rows = find_rows(file, read_sheets(file), kind.columns, kind.optional)
            yield from (Line(file, row, {"table": kind.called}) for row in rows)

    def _clip(self, cells: RowReader, metadata: Mapping[str, str]) -> Clip | None:
        if metadata["table"] == PART_C.called:
            return self._clip_of_c(cells)
        whole = metadata["table"] == ALL.called
        if whole and cells.text("type").casefold().startswith("micro"):
            return None
        return Clip(
            dataset="casme3",
            subject_id=_subject(cells),
            namespace=self._namespace("casme3"),
            video=cells.required("video"),
            fps=self.info.fps,
            **cells.times(),
            emotion=None if whole and not cells.text("emotion") else cells.emotion("emotion", WORDS),
            action_units=parse_action_units(cells.text("action_units")),
            kind=_macro(cells) if whole else "micro",
            labels={**cells.labels("action_units"), **_objective(cells)},
        )

    def _clip_of_c(self, cells: RowReader) -> Clip:
        found = cells.required("subject")
        number = re.fullmatch(r"0*([0-9]{1,3})", found)
        if found and not number:
            cells.note("E221", f"the subject cell contains {found!r}", "write the subject's number, 1 to 31")
        return Clip(
            dataset="casme3c",
            subject_id=number[1].zfill(2) if number else "",
            namespace=self._namespace("casme3c"),
            video=cells.required("video"),
            fps=self.info.fps,
            **cells.times(),
            emotion=cells.emotion("emotion", WORDS_C),
            action_units=parse_action_units(cells.text("action_units")),
            labels=cells.labels("action_units"),
        )

    def _release(self, reading: Reading) -> str:
        """Return which release of the table this is, by its number of rows; the file name is only compared."""
        known = TABLES[self._part, self._kind][1]
        release = known.get(reading.rows)
        if self._synthetic is not None:
            return f"imitates {next(iter(known.values()))} ({reading.rows} rows)"
        if release is None:
            releases = " nor ".join(f"{name} ({rows} rows)" for rows, name in known.items())
            return f"{'neither' if len(known) > 1 else 'not'} {releases}: {reading.rows} rows"
        named = _version(self._table.name)
        other = f", although the file's name says {named}" if named and named != release else ""
        return f"{release} ({reading.rows} rows){other}"

    def _same(self, clip: Clip) -> str:
        return super()._same(clip).casefold()  # J and j are one video

    # --- the frames ---------------------------------------------------------------------------------------------------
    def _frames_root(self) -> Path | None:
        return self._found[1] if self._found else None

    @cached_property
    def _found(self) -> tuple[bool, Path] | None:
        """Whether folders contain one clip each, and where they are; folders of whole videos are preferred."""
        videos = nearest(self._root, _SUBJECTS[self._part], _NOT_IN[self._part])
        if videos is not None:
            return False, videos
        clips = nearest(self._root, _CLIPS, _NOT_IN["a"]) if self._part == "a" else None
        return (True, clips) if clips else None

    @property
    def _of_clips(self) -> bool:
        return self._found is not None and self._found[0]

    @property
    def _beside(self) -> Path:
        """The folder of depth beside that of colour frames (labeledData/RGB, labeledData/depth)."""
        place = self._place or self._root
        return child(self._root if place == self._root else place.parent, "depth")

    @cached_property
    def _has_depth(self) -> bool:
        if not self._deep or self._place is None:
            return False
        if next(folders(self._beside), None):
            return True
        subjects = [] if self._of_clips else folders(self._place)
        return any(child(video, "depth").is_dir() for subject in subjects for video in folders(subject))

    def _frameless(self) -> Fault:
        return no_frames(self._root, _FRAMES[self._part])

    def _home(self, clip: Clip, modality: str) -> FrameFolder:
        place = self._place or self._root / f"part_{self._part.upper()}"
        if self._of_clips:
            where = place if modality == "colour" else self._beside
            return FrameFolder(first_folder(child(where, name) for name in self._clip_names(clip)))
        video = self._video(place, clip)
        if modality == "colour":
            return FrameFolder(child(video, "color"), recording=True)
        other = self._video(self._beside, clip)
        return FrameFolder(first_folder((child(video, "depth"), child(other, "depth"), other)), recording=True)

    def _clip_names(self, clip: Clip) -> Iterator[str]:
        """Yield possible names of a clip's own folder, with the onset of the table, which may have been corrected."""
        yield f"{clip.subject_id}_{clip.video}_{clip.onset}"
        for correction in self.corrections:
            name, onset = correction.clip.rsplit("/", 1)
            if name.casefold() == f"{clip.subject_id}/{clip.video}".casefold() and "onset" in correction.field:
                yield f"{clip.subject_id}_{clip.video}_{onset}"

    def _video(self, place: Path, clip: Clip) -> Path:
        # The owners' depth code has spNO.210 to spNO.215 without the dot.
        subject = first_folder(child(place, name) for name in (clip.subject_id, clip.subject_id.replace(".", "")))
        own = child(subject, clip.video)
        if self._part == "a" or own.is_dir():
            return own
        # Part C has one recording per subject, of which `count` numbers the expressions.
        return next(folders(subject), child(subject, "a"))

    def _check_frames(self, clip: Clip, modality: str) -> Fault | None:
        if modality in MADE:  # the modalities that they are computed from are checked
            return None
        fault = super()._check_frames(clip, modality)
        without = "; or read no depth (depth = false)" if modality == "depth" else ""
        return replace(fault, fix=_FIX + without) if fault else None

    def _spelt_otherwise(self) -> Iterator[Fault]:
        """Yield folders of a video or a clip whose name differs from the table's in case: J for j."""
        seen: set[Path] = set()
        for clip in self.clips():
            path = self._home(clip, "colour").path
            folder, name = (path, next(self._clip_names(clip))) if self._of_clips else (path.parent, clip.video)
            if folder.name != name and folder.name.casefold() == name.casefold() and folder not in seen:
                seen.add(folder)
                problem = f"the table calls it {name}"
                yield Fault("E260", self._short(folder), problem, "no action needed: it is read", clip.key)

    def _unlisted(self) -> Iterator[Fault]:
        # Videos without an expression are normal.
        return super()._unlisted() if self._of_clips else iter(())


def _version(name: str) -> str:
    """Return the release in a table's name, 'v2' for instance; '' where there is none."""
    return next(iter(re.findall(r"_(v[0-9]+)", name.casefold())), "")


def _newest(files: Sequence[Path]) -> Path | None:
    """Return the table of the newest release; None where a name has no release, or tables of that release differ."""
    releases = [int(_version(file.name)[1:] or -1) for file in files]
    latest = [file for file, release in zip(files, releases, strict=True) if release == max(releases)]
    return latest[0] if min(releases) >= 0 and _identical(latest) else None


def _identical(files: Sequence[Path]) -> bool:
    """Whether files have the same bytes."""
    try:
        return len({file.read_bytes() for file in files}) == 1
    except OSError:
        return False


def _subject(cells: RowReader) -> str:
    """Return a row's subject as spNO.1; anything else is noted."""
    found = cells.required("subject")
    match = re.fullmatch(r"(?:spno\W*)?0*([0-9]+)", found.casefold())
    if found and not match:
        problem = f"the subject cell contains {found!r}"
        cells.note("E221", problem, "write the subject as the owners do, spNO.1 for instance")
    return f"spNO.{match[1]}" if match else ""


def _macro(cells: RowReader) -> Literal["macro"]:
    """Return the kind of a row that is not a micro-expression; any other than macro is noted."""
    found = cells.text("type")
    if not found.casefold().startswith("macro"):
        cells.note("E221", f"the type cell contains {found!r}", "write Micro-expression or Macro-expression")
    return "macro"


def _objective(cells: RowReader) -> dict[str, tuple[str, ...]]:
    """Return a row's objective class as a clip's label, 1 to 7 for I to VII."""
    numeral = narrow(cells.text("objective")).upper()
    number = _ROMAN.get(numeral, numeral)
    if number and number not in _ROMAN.values():
        problem = f"the objective cell contains {cells.text('objective')!r}"
        cells.note("E221", problem, f"write one of {', '.join(_ROMAN)}")
    return {"objective class": (number,)} if number else {}
