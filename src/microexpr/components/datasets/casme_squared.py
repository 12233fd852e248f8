"""CAS(ME)^2 (Qu et al., 2018): 57 micro- and 300 macro-expressions of 22 subjects in long videos, 30 fps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import ClassVar, Final, Literal

from microexpr.components.datasets._folders import child, choose, first_kind, folders, unusable, with_subjects
from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._notes import ESTIMATED
from microexpr.components.datasets._reader import Line, Reading, TableDataset
from microexpr.components.datasets._table import NO_APEX, Row, RowReader, Times, find_rows, plain
from microexpr.components.datasets._workbook import Sheets, is_workbook, read_sheets
from microexpr.core.clip import Clip
from microexpr.core.delimited_text import squeeze
from microexpr.core.errors import Fault
from microexpr.core.facs import parse_action_units
from microexpr.core.interfaces import DatasetInfo, datasets

FOLDERS: Final = {
    "raw": ("rawpic",),
    "selected": ("selectedpic",),
    "cropped": ("cropped", "longVideoFaceCropped", "CAS(ME)2_longVideoFaceCropped"),
}
PUBLISHED: Final = {"micro": 57, "macro": 300}
_PREFIXES: Final = ("img_", "img", "")


@datasets.register("casme_squared")
class CasmeSquared(TableDataset):
    """CAS(ME)^2 on disk: its table without a header, and beside it long recordings or the images of each expression.

    `kind` chooses the expressions, `folder` the frames (`auto`: ``rawpic``, else ``selectedpic``, else ``cropped``),
    `table` the table where there are several.

    The first sheet numbers subjects from 1 and calls videos anger1_1, the second gives the folder of each subject
    (s15), the third the recording that a video's first word belongs to (0401). A header that was added is read. Where
    the table's offset is 0, it was not coded, and the apex is the last frame used, as in the MEGC 2019 spotting
    challenge: `Clip.labels` "estimated" names the offset. An apex of 0 is none. The recording's code and the emotion
    that the subject reported are kept as "recording" and "self-report".

    ``rawpic`` contains recordings (s15/15_0401girlcrashing/img001.jpg), ``selectedpic`` and ``cropped`` one folder of
    frames per expression (s15/anger1_1/img557.jpg; without s in cropped, which lacks 16 of the 357). A recording is
    found by the subject's folder and its code: one folder of public copies has another subject's number,
    s19/23_0502funnyerrors, and is assigned by its place, as in SoftNet, which finds all 357 expressions in this way.

    Based on what SoftNet, MDMD and other users of the table read, and on public listings of the three folders. The
    table itself was not available: words for emotions other than the paper's four are faults here.
    """

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="CAS(ME)^2",
        doi="10.1109/TAFFC.2017.2654440",
        licence="for research only, under an agreement signed with the owners; not to be passed on",
        access="ask the Chinese Academy of Sciences: http://casme.psych.ac.cn/casme/e3",
        n_clips=sum(PUBLISHED.values()),
        n_subjects=22,
        fps=30.0,
        family="CASME",
        layout="""\
CAS(ME)^2code_final.xlsx, code_final.xlsx or CAS(ME)^2code_final(Updated).xlsx (three sheets)
rawpic/s15/15_0401girlcrashing/img001.jpg ... (whole recordings)
selectedpic/s15/anger1_1/img557.jpg ... (expressions)
cropped/15/anger1_1/img557.jpg ... (faces of expressions)""",
        counted=(
            ("57", "the micro-expressions"),
            ("300", "the macro-expressions (kind = 'macro')"),
            ("357", "both (kind = 'both')"),
            ("53 and 250", "the first release (Qu et al., 2016)"),
        ),
    )
    emotions: ClassVar[Mapping[str, str]] = {word: word for word in ("positive", "negative", "surprise", "others")} | {
        "other": "others"
    }
    columns: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "subject": ("subject", "participant"),
        "video": ("video", "filename", "clip name"),
        "onset": ("onset", "onset frame"),
        "apex": ("apex", "apex frame"),
        "offset": ("offset", "offset frame"),
        "action_units": ("au", "aus", "action units"),
        "emotion": ("emotion", "estimated emotion"),
        "type": ("type", "expression type"),
    }
    optional: ClassVar[Mapping[str, tuple[str, ...]]] = {"self-report": ("selfReport", "self-reported emotion")}
    table_called: ClassVar[str] = "table CAS(ME)^2code_final.xlsx"
    frames_called: ClassVar[str] = "rawpic/s15/15_0101disgustingteeth/img001.jpg ..."

    def __init__(
        self,
        root: Path,
        *,
        kind: Literal["micro", "macro", "both"] = "micro",
        folder: Literal["auto", "raw", "selected", "cropped"] = "auto",
        table: str | None = None,
    ) -> None:
        super().__init__(root, table=table)
        self._kind, self._wanted = kind, folder

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        found = super().notes(table_only=table_only)
        return found if table_only else (*found, *self._misnamed())

    def cropped(self) -> bool:
        return self._frames == "cropped"

    # --- files and folders --------------------------------------------------------------------------------------------
    def _is_table(self, name: str) -> bool:
        named = squeeze(Path(name).stem)
        right = named.startswith(("casme2code", "codefinal")) and "codefinal" in named
        return right and is_workbook(name)

    @cached_property
    def _found(self) -> tuple[str, Path] | None:
        """The kind of frames and their folder: the first allowed kind that exists."""
        return first_kind(self._wanted, FOLDERS, self._with_subjects)

    def _with_subjects(self, names: Sequence[str]) -> Path | None:
        return with_subjects(self._root, names, r"s?\d+")

    @property
    def _frames(self) -> str:
        return self._found[0] if self._found else ""

    def _frames_root(self) -> Path | None:
        return self._found[1] if self._found else None

    def _frameless(self) -> Fault:
        fault = super()._frameless()
        other = [kind for kind, names in FOLDERS.items() if self._with_subjects(names)]
        if not other:
            return fault
        return Fault("E209", fault.where, f"contains no {self._wanted} frames", choose("folder", other[0]))

    def _home(self, clip: Clip, modality: str) -> FrameFolder:
        subject = _subject_folder(self._place or self._root / FOLDERS["raw"][0], clip.subject_id)
        expression = child(subject, clip.video)
        if expression.is_dir():
            return FrameFolder(expression, _PREFIXES)
        (code,) = clip.labels.get("recording", ("",))
        recording = _recording(subject, clip.subject_id, code)
        if recording is None:
            recording = subject / (f"{clip.subject_id[1:]}_{code}" if self._frames == "raw" else clip.video)
        return FrameFolder(recording, _PREFIXES, recording=True)

    def _unlisted(self) -> Iterator[Fault]:
        if self._kind == "both":
            yield from super()._unlisted()
        else:
            # Rows of the other kind name folders as well.
            both = CasmeSquared(self._root, kind="both", folder=self._wanted, table=self._table_name)
            yield from both._unlisted()

    def _misnamed(self) -> Iterator[Fault]:
        """Yield folders of recordings with another subject's number than the folder that they are in."""
        homes = {self._home(clip, "colour").path: clip for clip in self.clips()}
        for path, clip in sorted(homes.items()):
            number = re.match(r"(\d+)_", path.name)
            if number and int(number[1]) != int(clip.subject_id[1:]) and path.is_dir():
                problem = f"has the number {number[1]}, but is in the folder of {clip.subject_id} and is read as theirs"
                fix = "move it if it is another subject's; public copies have s19/23_0502funnyerrors"
                yield Fault("E260", self._short(path), problem, fix)

    # --- the table ----------------------------------------------------------------------------------------------------
    @cached_property
    def _sheets(self) -> Sheets:
        return read_sheets(self._table)

    @cached_property
    def _rows(self) -> Sequence[Row]:
        """The rows of the sheet of expressions, with or without a header."""
        found = next(((title, rows) for title, rows in self._sheets.items() if any(map(_type, rows))), None)
        if found is None:
            titles = ", ".join(f"{title!r}" for title in self._sheets) or "none"
            problem = f"no sheet has rows with micro-expression or macro-expression (its sheets: {titles})"
            raise unusable("E208", self._table, problem, "use the table as distributed by the owners")
        title, rows = found
        first = next(cells for cells in rows if any(map(plain, cells)))
        if not any(plain(cell).isdecimal() for cell in first):
            return find_rows(self._table, {title: rows}, self.columns, self.optional)
        self._check_order(rows)
        names = (*self.columns, *self.optional)
        numbered = (Row(number, dict(zip_longest(names, cells[: len(names)]))) for number, cells in enumerate(rows, 1))
        return [row for row in numbered if any(map(plain, row.cells.values()))]

    def _check_order(self, rows: Sequence[Sequence[object]]) -> None:
        """Raise where the order of columns is not the owners'; without a header nothing else identifies them."""
        place = list(self.columns).index("type")
        moved = [bool(_type(cells)) and not _type(cells[place : place + 1]) for cells in rows]
        if 2 * sum(moved) > sum(bool(_type(cells)) for cells in rows):
            problem = (
                f"has no header, and the type of expression is not in column {place + 1}, where the owners have it"
            )
            header = ", ".join(known[0] for known in (*self.columns.values(), *self.optional.values()))
            fix = f"use the table as distributed by the owners, or write a header: {header}"
            raise unusable("E208", self._table, problem, fix)

    @cached_property
    def _subjects(self) -> Mapping[str, str]:
        """The folder of each subject, by their number in the table."""
        rows = [row for rows in self._sheets.values() for row in rows if len(row) > 2]
        named = ((_unpadded(row[2]), plain(row[1]).casefold()) for row in rows)
        found = _once((number, folder) for number, folder in named if re.fullmatch(r"s\d+", folder))
        return found or self._unnamed("the folder (s15 ...) of each subject", "naming rule1")

    @cached_property
    def _codes(self) -> Mapping[str, str]:
        """The code of each recording, four digits, by its word."""
        rows = [row for rows in self._sheets.values() for row in rows if len(row) > 1]
        coded = re.compile(r"\d{3,4}")
        found = _once(
            (plain(row[1]).casefold(), plain(row[0]).zfill(4))
            for row in rows
            if coded.fullmatch(plain(row[0])) and re.fullmatch(r"[^\W\d_]+\d+", plain(row[1]))
        )
        return found or self._unnamed("the recording (0101 ...) of each video", "naming rule2")

    def _unnamed(self, what: str, sheet: str) -> Mapping[str, str]:
        fix = f"use the table with the owners' sheet {sheet!r}"
        raise unusable("E208", self._table, f"has no sheet with {what}", fix)

    def _lines(self) -> Iterable[Line]:
        return (Line(self._table, row) for row in self._rows)

    def _clip(self, cells: RowReader, metadata: Mapping[str, str]) -> Clip | None:
        kind = _type([cells.text("type")])
        if not kind:
            problem = f"the type cell contains {cells.text('type')!r}"
            cells.note("E221", problem, "write micro-expression or macro-expression")
        elif self._kind not in ("both", kind):
            return None
        video, times = cells.required("video"), _times(cells)
        estimated = {ESTIMATED: ("offset",)} if times["offset"] is not None and _uncoded(cells) else {}
        code = self._listed(cells, "recording", video.split("_")[0].casefold(), self._codes) if video else ""
        return Clip(
            dataset="casme_squared",
            subject_id=self._subject(cells),
            namespace=self._namespace("casme_squared"),
            video=video,
            fps=self.info.fps,
            **times,
            emotion=cells.emotion("emotion", self.emotions),
            action_units=parse_action_units(cells.text("action_units")),
            kind=kind or "micro",
            labels={
                **cells.labels("action_units", "self-report"),
                **({"recording": (code,)} if code else {}),
                **estimated,
            },
        )

    def _subject(self, cells: RowReader) -> str:
        found = _unpadded(cells.required("subject")).casefold()
        if found in self._subjects.values():
            return found
        return self._listed(cells, "subject", found, self._subjects) if found else ""

    def _listed(self, cells: RowReader, what: str, word: str, known: Mapping[str, str]) -> str:
        if word not in known:
            problem = f"the {what} {word!r} is not in the naming sheets, or more than once"
            cells.note("E225", problem, f"write one of {', '.join(known)}")
        return known.get(word, "")

    def _release(self, reading: Reading) -> str:
        types = Counter(_type([plain(row.cells["type"])]) for row in self._rows)
        counts = f"{types['micro']} micro- and {types['macro']} macro-expressions"
        if self._synthetic is not None:
            return f"imitates the published table ({counts})"
        if dict(types) == PUBLISHED:
            return f"as published ({counts})"
        return f"not as published ({counts}, not {PUBLISHED['micro']} and {PUBLISHED['macro']})"


def _once(pairs: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Return the entries of the naming sheets, without names that have two meanings."""
    found: dict[str, set[str]] = {}
    for name, meant in pairs:
        found.setdefault(name, set()).add(meant)
    return {name: meant.pop() for name, meant in found.items() if len(meant) == 1}


def _type(cells: Iterable[object]) -> Literal["micro", "macro", ""]:
    """Return the type of expression in the cells; '' where there is none."""
    for cell in cells:
        word = squeeze(plain(cell))
        if word in ("micro", "microexpression"):
            return "micro"
        if word in ("macro", "macroexpression"):
            return "macro"
    return ""


def _unpadded(cell: object) -> str:
    """Return a subject's number without zeros before it."""
    text = plain(cell)
    return str(int(text)) if text.isdecimal() else text


def _uncoded(cells: RowReader) -> bool:
    return cells.text("offset") == "0"


def _times(cells: RowReader) -> Times:
    """Return onset, apex and offset; an offset of 0 was not coded, and the apex is used instead."""
    apex = cells.number("apex", absent=NO_APEX)
    if not _uncoded(cells):
        return {"onset": cells.number("onset"), "apex": apex, "offset": cells.number("offset")}
    if apex is None:
        cells.note("E220", "its offset and its apex are both 0", "write the frame number")
    return {"onset": cells.number("onset"), "apex": apex, "offset": apex}


def _subject_folder(place: Path, subject: str) -> Path:
    """Return a subject's folder, s15 or 15."""
    found = (child(place, name) for name in (subject, subject[1:]) if name)
    return next((path for path in found if path.is_dir()), place / subject)


def _recording(folder: Path, subject: str, code: str) -> Path | None:
    """Return a subject's recording with this code, 15_0401girlcrashing; by its number first, then by its place."""
    coded = [(path, re.match(r"(\d+)_(\d{4})(?!\d)", path.name)) for path in folders(folder)]
    right = [(path, found[1]) for path, found in coded if found and found[2] == code]
    own = [path for path, number in right if number.lstrip("0") == subject[1:].lstrip("0")]
    candidates = own or [path for path, _ in right]
    return candidates[0] if len(candidates) == 1 else None
