"""CAS(ME)^2 (Qu et al., 2018): 57 micro- and 300 macro-expressions of 22 subjects in long videos, 30 frames a "
"second."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final, Literal, NamedTuple

from microexpr.components.datasets import _example
from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._naming import first_kind, is_workbook, with_subjects
from microexpr.components.datasets._reader import Line, Reading, TableDataset
from microexpr.components.datasets._remarks import ESTIMATED
from microexpr.components.datasets._root import child, folders, unusable
from microexpr.components.datasets._table import NO_APEX, Row, RowReader, Times, find_rows, plain, squeeze
from microexpr.components.datasets._workbook import Sheets, read_sheets
from microexpr.core.clip import Clip
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
    """CAS(ME)^2 on disk: its table without a header, and beside it long recordings or the pictures of each expression.

    `kind` says which expressions, `folder` which frames (`auto`: ``rawpic``, else ``selectedpic``, else ``cropped``),
    `table` which table is read where there is more than one.

    The first sheet numbers subjects from 1 and calls videos anger1_1, the second says in which folder a subject lies
    (s15), the third which recording a video's first word is of (0401). A header that somebody has added is read. Where
    the table's offset is 0, nobody coded one, and the apex is the last frame used, as in the MEGC 2019 spotting
    challenge: `Clip.labels` "estimated" names the offset. An apex of 0 is none. The recording's code and what the
    subject said to have felt are kept as "recording" and "self-report".

    ``rawpic`` holds recordings (s15/15_0401girlcrashing/img001.jpg), ``selectedpic`` and ``cropped`` the frames of one
    expression a folder (s15/anger1_1/img557.jpg; without s in cropped, which lacks 16 of the 357). A recording is found
    by the subject's folder and its code: one folder of public copies bears another subject's number,
    s19/23_0502funnyerrors, and is taken by its place, as SoftNet does, which finds all 357 expressions so.

    Rests on what SoftNet, MDMD and other users of the table read, and on public listings of the three folders. The
    table itself was not at hand: other words for emotions than the paper's four are faults here.
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

    @classmethod
    def write_example(cls, root: Path) -> None:
        _example.mark(root, "casme_squared")
        sheets: dict[str, Sequence[_example.Cells]] = {
            "CASFEcode_final": [tuple(row) for row in _EXAMPLE],
            "naming rule1": [(15, "s15", 1), (16, "s16", 2), (19, "s19", 3)],
            "naming rule2": [("0101", "disgust1"), ("0401", "anger1"), ("0502", "happy1")],
        }
        _example.xlsx(root / "CAS(ME)^2code_final.xlsx", sheets)
        for (number, name), (first, last, apex, units) in _RECORDINGS.items():
            _example.draw(
                root / "rawpic" / ("s15", "s16", "s19")[number - 1] / name,
                {number: f"img{number:03d}.jpg" for number in range(first, last + 1)},
                subject=number,
                apex=apex,
                units=units,
            )

    # --- where things lie ---------------------------------------------------------------------------------------------
    def _is_table(self, name: str) -> bool:
        named = squeeze(Path(name).stem)
        right = named.startswith(("casme2code", "codefinal")) and "codefinal" in named
        return right and is_workbook(name)

    @cached_property
    def _found(self) -> tuple[str, Path] | None:
        """The kind of frames and their folder: the first kind that is wanted and there."""
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
        return Fault("E201", fault.where, f"holds no {self._wanted} frames", f"choose folder = {other[0]!r}")

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
        """Yield folders of recordings that bear another subject's number than the folder they lie in."""
        homes = {self._home(clip, "colour").path: clip for clip in self.clips()}
        for path, clip in sorted(homes.items()):
            number = re.match(r"(\d+)_", path.name)
            if number and int(number[1]) != int(clip.subject_id[1:]) and path.is_dir():
                problem = (
                    f"bears the number {number[1]}, but lies in the folder of {clip.subject_id} and is read as theirs"
                )
                fix = "move it if it is not theirs; s19/23_0502funnyerrors is so in public copies"
                yield Fault("E201", self._short(path), problem, fix)

    # --- the table ----------------------------------------------------------------------------------------------------
    @cached_property
    def _sheets(self) -> Sheets:
        return read_sheets(self._table)

    @cached_property
    def _rows(self) -> Sequence[Row]:
        """The rows of the sheet of expressions, whether or not somebody has given it a header."""
        found = next(((title, rows) for title, rows in self._sheets.items() if any(map(_type, rows))), None)
        if found is None:
            told = ", ".join(f"{title!r}" for title in self._sheets) or "none"
            problem = f"no sheet has rows that say micro-expression or macro-expression (its sheets: {told})"
            raise unusable(Fault("E201", str(self._table), problem, "use the table as its owners ship it"))
        title, rows = found
        first = next(cells for cells in rows if any(map(plain, cells)))
        if not any(plain(cell).isdecimal() for cell in first):
            return find_rows(self._table, {title: rows}, self.columns, self.optional)
        self._check_order(rows)
        names = (*self.columns, *self.optional)
        numbered = (Row(number, dict(zip_longest(names, cells[: len(names)]))) for number, cells in enumerate(rows, 1))
        return [row for row in numbered if any(map(plain, row.cells.values()))]

    def _check_order(self, rows: Sequence[Sequence[object]]) -> None:
        """Raise where the columns are others than the owners': without a header, they are told by their order alone."""
        place = list(self.columns).index("type")
        moved = [bool(_type(cells)) and not _type(cells[place : place + 1]) for cells in rows]
        if 2 * sum(moved) > sum(bool(_type(cells)) for cells in rows):
            problem = (
                f"has no header, and the type of expression is not in column {place + 1}, where the owners have it"
            )
            header = ", ".join(known[0] for known in (*self.columns.values(), *self.optional.values()))
            fix = f"use the table as its owners ship it, or write a header: {header}"
            raise unusable(Fault("E201", str(self._table), problem, fix))

    @cached_property
    def _people(self) -> Mapping[str, str]:
        """The folder of each subject, by their number in the table."""
        rows = [row for rows in self._sheets.values() for row in rows if len(row) > 2]
        named = ((_unpadded(row[2]), plain(row[1]).casefold()) for row in rows)
        found = _once((number, folder) for number, folder in named if re.fullmatch(r"s\d+", folder))
        return found or self._unnamed("which folder (s15 ...) is whose", "naming rule1")

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
        return found or self._unnamed("which recording (0101 ...) a video's word is of", "naming rule2")

    def _unnamed(self, what: str, sheet: str) -> Mapping[str, str]:
        problem = f"has no sheet that tells {what}"
        raise unusable(Fault("E201", str(self._table), problem, f"use the table with the owners' sheet {sheet!r}"))

    def _lines(self) -> Iterable[Line]:
        return (Line(self._table, row) for row in self._rows)

    def _clip(self, cells: RowReader, metadata: Mapping[str, str]) -> Clip | None:
        kind = _type([cells.text("type")])
        if not kind:
            cells.note(f"the cell type holds {cells.text('type')!r}", "write micro-expression or macro-expression")
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
        if found in self._people.values():
            return found
        return self._listed(cells, "subject", found, self._people) if found else ""

    def _listed(self, cells: RowReader, what: str, word: str, known: Mapping[str, str]) -> str:
        if word not in known:
            cells.note(f"the {what} {word!r} is not in the naming sheets, or twice", f"write one of {', '.join(known)}")
        return known.get(word, "")

    def _release(self, reading: Reading) -> str:
        seen = Counter(_type([plain(row.cells["type"])]) for row in self._rows)
        counts = f"{seen['micro']} micro- and {seen['macro']} macro-expressions"
        if self._synthetic is not None:
            return f"imitates the published table ({counts})"
        if dict(seen) == PUBLISHED:
            return f"as published ({counts})"
        return f"not as published ({counts}, not {PUBLISHED['micro']} and {PUBLISHED['macro']})"


def _once(pairs: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Return what the naming sheets tell, without the names of which they tell two things."""
    found: dict[str, set[str]] = {}
    for name, meant in pairs:
        found.setdefault(name, set()).add(meant)
    return {name: meant.pop() for name, meant in found.items() if len(meant) == 1}


class _Row(NamedTuple):
    """A row of the example's table, in the owners' order."""

    subject: int
    video: str
    onset: int
    apex: int
    offset: int
    units: int | str
    emotion: str
    type: str
    said: str


_EXAMPLE: Final = (
    _Row(1, "anger1_1", 3, 6, 10, "4+7", "negative", "micro-expression", "anger"),
    # Nobody coded its offset.
    _Row(1, "anger1_2", 12, 16, 0, 4, "negative", "micro-expression", "helpless"),
    _Row(2, "disgust1_1", 2, 5, 9, "4+9", "negative", "micro-expression", "disgust"),
    _Row(2, "disgust1_10", 5, 9, 14, 10, "others", "macro-expression", "disgust"),
    _Row(3, "happy1_1", 1, 5, 12, "6+12", "positive", "macro-expression", "happiness"),
    _Row(3, "happy1_2", 6, 8, 10, "1+2", "surprise", "micro-expression", "surprise"),
)
_RECORDINGS: Final[Mapping[tuple[int, str], tuple[int, int, int, Sequence[str]]]] = MappingProxyType(
    {
        (1, "15_0401girlcrashing"): (1, 18, 6, ("4", "7")),
        (2, "16_0101disgustingteeth"): (1, 14, 5, ("4", "9")),
        # Another subject's number, as in public copies.
        (3, "23_0502funnyerrors"): (1, 12, 5, ("6", "12")),
    }
)
"""Subject and folder: first and last frame, apex and action units of what is drawn."""


def _type(cells: Iterable[object]) -> Literal["micro", "macro", ""]:
    """Return the type of expression that one of the cells states; '' where none does."""
    for cell in cells:
        word = squeeze(cell)
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
    """Return onset, apex and offset; an offset of 0 says that nobody coded one, and the apex stands in."""
    apex = cells.number("apex", absent=NO_APEX)
    if not _uncoded(cells):
        return {"onset": cells.number("onset"), "apex": apex, "offset": cells.number("offset")}
    if apex is None:
        cells.note("its offset and its apex are both 0", "write the frame's number")
    return {"onset": cells.number("onset"), "apex": apex, "offset": apex}


def _subject_folder(place: Path, subject: str) -> Path:
    """Return a subject's folder, s15 or 15."""
    found = (child(place, name) for name in (subject, subject[1:]) if name)
    return next((path for path in found if path.is_dir()), place / subject)


def _recording(folder: Path, subject: str, code: str) -> Path | None:
    """Return a subject's recording with this code, 15_0401girlcrashing; by its number first, then by its place "
    "alone."""
    coded = [(path, re.match(r"(\d+)_(\d{4})(?!\d)", path.name)) for path in folders(folder)]
    right = [(path, found[1]) for path, found in coded if found and found[2] == code]
    own = [path for path, number in right if number.lstrip("0") == subject[1:].lstrip("0")]
    candidates = own or [path for path, _ in right]
    return candidates[0] if len(candidates) == 1 else None
