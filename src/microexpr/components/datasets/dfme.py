"""DFME (Zhao et al., IEEE T-AFFC 2023): 2,629 released clips of three parts at 200, 300 or 500 frames a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final, Literal, NamedTuple

from microexpr.components.datasets import _example
from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._naming import check_own, is_workbook, subject_number
from microexpr.components.datasets._reader import Line, Reading, TableDataset
from microexpr.components.datasets._root import child, entries, find_files, folders, unusable
from microexpr.components.datasets._table import Row, RowReader, find_rows, plain, squeeze
from microexpr.components.datasets._workbook import read_sheets
from microexpr.core.clip import Clip
from microexpr.core.errors import ConfigError, Fault
from microexpr.core.facs import parse_action_units
from microexpr.core.interfaces import DatasetInfo, datasets

ROWS: Final = {"train": 1856, "testA": 474, "testB": 299}
"""Rows of each part's table."""
WORDS: Final = {"train": ("train",), "testA": ("testa", "testdataa"), "testB": ("testb", "testdatab")}
"""How the names of a part's table and folder are told, without case and signs."""
RATES: Final = (200.0, 300.0, 500.0)
TABLES: Final = "full_release_annotation"
_WRITTEN: Final = {
    "train": "train_data/train_data",
    "testA": "test_data_A/test_data_A",
    "testB": "test_data_B/test_data_B",
}


@datasets.register("dfme", revision=2)
class Dfme(TableDataset):
    """DFME on disk: the table of each of its three parts, and the frames of each part in a folder of its own.

    `part` says which clips are read: `train`, `testA`, `testB` or `all`; a clip bears its part in `Clip.labels`. The
    tests' tables may come without emotions: such clips have none, and are in no label set. `table` chooses the table of
    one part where there is more than one. Each clip has its own frame rate. An EmotionId beside which a table has
    another emotion elsewhere is a fault; which number means which emotion no public source tells.

    Rests on the three released tables (columns, rows, times) and on the folders that public scripts read
    (``train_data/train_data/<Filename>/00012.png``, QqXuyujie/Micro-Expression-Datasets). These are 2,629 of the 7,526
    clips that the paper describes; nothing public tells how the others are laid out. A number of a subject is taken for
    the same subject in all three parts, which keeps subjects apart in any case.
    """

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="DFME",
        doi="10.1109/TAFFC.2023.3341918",
        licence="for research only, under an agreement signed with the owners; not to be passed on",
        access="ask the owners: https://mea-lab-421.github.io",
        n_clips=sum(ROWS.values()),
        n_subjects=None,
        fps=None,
        family="",
        layout="""\
training_full_with_AU.xlsx, testA_full_with_AU.xlsx, testB_full_with_AU.xlsx (or in full_release_annotation/)
train_data/train_data/sub0001_01/00012.png ...
test_data_A/test_data_A/..., test_data_B/test_data_B/...""",
        counted=(
            ("7,526", "the number in the paper"),
            ("2,629", "every row of the three released tables (part = all)"),
            ("1,856", "the training table (part = train)"),
            ("474", "the first test table (part = testA)"),
            ("299", "the second test table (part = testB)"),
        ),
    )
    emotions: ClassVar[Mapping[str, str]] = {
        word: word for word in ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
    }
    columns: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "subject": ("Subject",),
        "video": ("Filename",),
        "onset": ("OnsetFrame", "Onset"),
        "apex": ("ApexFrame", "Apex"),
        "offset": ("OffsetFrame", "Offset"),
    }
    optional: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "emotion": ("Emotion",),
        "emotion id": ("EmotionId",),
        "fps": ("Fps",),
        "action_units": ("AU", "AUs", "Action Units"),
    }
    table_called: ClassVar[str] = "table training_full_with_AU.xlsx"
    frames_called: ClassVar[str] = "train_data/train_data/sub0001_01/00012.png ..."

    def __init__(
        self,
        root: Path,
        *,
        part: Literal["train", "testA", "testB", "all"] = "train",
        table: str | None = None,
    ) -> None:
        super().__init__(root, table=table)
        if part == "all" and table is not None:
            raise ConfigError(
                "E104", f"table = {table!r} names one table, but part = 'all' reads three: choose a part."
            )
        self._parts = tuple(ROWS) if part == "all" else (part,)

    def metadata(self) -> Mapping[str, str]:
        unnamed = sum(clip.emotion is None for clip in self.clips())
        told = {"without emotion": f"{unnamed} clips"} if unnamed else {}
        return {**super().metadata(), "part": ", ".join(self._parts), **told}

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        return (*super().notes(table_only=table_only), *filter(None, map(_odd_rate, self.clips())))

    @classmethod
    def write_example(cls, root: Path) -> None:
        _example.mark(root, "dfme")
        for part, table in (("train", "training"), ("testA", "testA"), ("testB", "testB")):
            rows = [row for row in _EXAMPLE if row.part == part]
            _example.xlsx(root / TABLES / f"{table}_full_with_AU.xlsx", {"Sheet1": [_HEADER, *map(_cells, rows)]})
            for row in rows:
                _example.draw(
                    root / _WRITTEN[part] / row.video,
                    {number: f"{number:05d}.png" for number in range(row.onset, row.offset + 1)},
                    subject=row.subject,
                    apex=row.apex,
                    units=[f"{unit.side or ''}{unit.number}" for unit in parse_action_units(str(row.units))],
                )

    # --- where things lie ---------------------------------------------------------------------------------------------
    def _is_table(self, name: str) -> bool:
        return any(_tabled(name, part) for part in self._parts)

    @cached_property
    def _tables(self) -> Sequence[Path]:
        """The table of each part, in the parts' order."""
        return [self._one_table(part) for part in self._parts]

    def _one_table(self, part: str) -> Path:
        def wanted(name: str) -> bool:
            return name == self._table_name if self._table_name else _tabled(name, part)

        place = _place_of(self._root, wanted)
        called = f"table {self._table_name or _called(part)}"
        for near in (*self._root.parents[:2], *folders(self._root)) if place is None and self._root.is_dir() else ():
            if elsewhere := _place_of(near, wanted):
                where = elsewhere.relative_to(near) / next(p.name for p in entries(elsewhere) if wanted(p.name))
                fix = f"give {near} instead, where {where.as_posix()} lies"
                raise unusable(Fault("E201", str(self._root), f"holds no {called}", fix))
        found = find_files(place or self._root, wanted, called)
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            fix = f"choose one, for instance table = {found[0].name!r}, or move the others away"
            raise unusable(Fault("E201", str(place), f"holds {len(found)} tables of the part {part}: {names}", fix))
        return found[0]

    @cached_property
    def _places(self) -> Mapping[str, Path]:
        """The folder of each part's frames, of the parts that have one."""
        found = {part: _frames_of(self._root, part) for part in self._parts}
        return {part: place for part, place in found.items() if place}

    def _frames_root(self) -> Path | None:
        if len(self._places) < len(self._parts):
            return None
        return self._root if len(self._parts) > 1 else self._places[self._parts[0]]

    def _frameless(self) -> Fault:
        lacking = [_WRITTEN[part] for part in self._parts if part not in self._places]
        have = ", ".join(path.name for path in folders(self._root)) or "no folder"
        problem = f"holds no frames of {', '.join(lacking)}, but {have}"
        fix = f"copy the frames into it as {', '.join(f'{place}/<Filename>/00012.png' for place in lacking)}"
        near = [path for path in self._root.parents[:2] if all(_frames_of(path, part) for part in self._parts)]
        fix = f"give {near[0]} instead, where they lie" if near else fix
        return Fault("E201", str(self._root), problem, fix)

    def _home(self, clip: Clip, modality: str) -> FrameFolder:
        part = clip.labels["part"][0]
        return FrameFolder(child(self._places.get(part, self._root / _WRITTEN[part]), clip.video))

    # --- the table ----------------------------------------------------------------------------------------------------
    def _lines(self) -> Iterator[Line]:
        for part, file in zip(self._parts, self._tables, strict=True):
            # Only the tests have been given out without emotions.
            named = {"emotion": self.optional["emotion"]} if part == "train" else {}
            rows = find_rows(file, read_sheets(file), {**self.columns, **named}, self.optional)
            usual = _usual(map(_identified, rows))
            for row in rows:
                odd = _contradiction(_identified(row), usual)
                yield Line(file, row, {"part": part, **({"odd": odd} if odd else {})})

    def _clip(self, cells: RowReader, metadata: Mapping[str, str]) -> Clip:
        subject, video = subject_number(cells, 4), cells.required("video")
        check_own(cells, subject, video)
        if "odd" in metadata:
            cells.note(metadata["odd"], "correct the one or the other")
        return Clip(
            dataset="dfme",
            subject_id=subject,
            namespace=self._namespace("dfme"),
            video=video,
            fps=_rate(cells),
            **cells.times(),
            emotion=self._emotion(cells, metadata["part"]),
            action_units=parse_action_units(cells.text("action_units")),
            labels={**cells.labels("action_units", "emotion id"), "part": (metadata["part"],)},
        )

    def _emotion(self, cells: RowReader, part: str) -> str | None:
        unnamed = cells.row.cells.get("emotion") in (None, "")
        return None if unnamed and part != "train" else cells.emotion("emotion", self.emotions)

    def _release(self, reading: Reading) -> str:
        counts = Counter(clip.emotion or "no emotion" for clip in reading.clips.values())
        told = ", ".join(f"{word} {counts[word]}" for word in (*self.emotions, "no emotion") if counts[word])
        if self._synthetic is not None:
            return f"imitates the release of 2,629 clips ({told})"
        full = sum(ROWS[part] for part in self._parts)
        release = "the release of 2,629 clips" if reading.rows == full else f"no release known, which has {full} rows"
        return f"{release} ({reading.rows} rows: {told})"


def _tabled(name: str, part: str) -> bool:
    stem = squeeze(Path(name).stem).removeprefix("dfme")
    return stem.startswith(WORDS[part]) and is_workbook(name)


def _called(part: str) -> str:
    return f"{'training' if part == 'train' else part}_full_with_AU.xlsx"


def _place_of(root: Path, wanted: Callable[[str], bool]) -> Path | None:
    """Return the folder of the tables: the root, or the one that their archive was unpacked to."""
    inner = child(root, TABLES)
    places = (root, inner, child(inner, TABLES))
    return next((place for place in places if any(wanted(path.name) for path in entries(place))), None)


def _identified(row: Row) -> tuple[str, str]:
    """Return a row's number for its emotion, and its emotion."""
    number, word = (plain(row.cells.get(column)) for column in ("emotion id", "emotion"))
    return number, word.casefold()


def _usual(pairs: Iterable[tuple[str, str]]) -> Mapping[str, tuple[str, str]]:
    """Return the pair that each number and each emotion is told in most often; of equals the first."""
    known: dict[str, tuple[str, str]] = {}
    for pair, _ in Counter(pairs).most_common():
        for each in pair if pair[0] and pair[1] in Dfme.emotions else ():
            known.setdefault(each, pair)
    return known


def _contradiction(pair: tuple[str, str], usual: Mapping[str, tuple[str, str]]) -> str:
    """Return what is wrong with a row whose number or emotion stands with another elsewhere; '' for nothing."""
    number, word = pair
    for each in pair if number and word in Dfme.emotions else ():
        if usual[each] != pair:
            others = " and ".join(usual[each])
            return f"its EmotionId is {number} and its Emotion {word}, but elsewhere {others} stand together"
    return ""


def _frames_of(root: Path, part: str) -> Path | None:
    """Return the folder of a part's frames: train_data, train_data/train_data, DFME_train ..."""
    for outer in folders(root):
        if squeeze(outer.name).removeprefix("dfme").startswith(WORDS[part]):
            inner = child(outer, outer.name)
            return inner if inner.is_dir() else outer
    return None


def _rate(cells: RowReader) -> float | None:
    """Return the clip's frames a second; None where the table does not tell them."""
    if "fps" not in cells.row.cells:
        return None
    rate = cells.number("fps")
    if rate is not None and rate <= 0:
        cells.note(f"the cell fps holds {rate}", "write the frames a second: 200, 300 or 500")
    return float(rate) if rate else None


def _odd_rate(clip: Clip) -> Fault | None:
    if clip.fps is None or clip.fps in RATES:
        return None
    return Fault(
        "E201", clip.key, f"its frame rate is {clip.fps:g}, none of 200, 300, 500", "compare the table", clip.key
    )


_HEADER: Final = (
    *("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame"),
    *("Emotion", "EmotionId", "Fps", "AU"),
)


class _Row(NamedTuple):
    """A row of the example's tables."""

    part: str
    subject: int
    video: str
    onset: int
    apex: int
    offset: int
    emotion: str
    fps: int
    units: int | str


_EXAMPLE: Final = (
    _Row("train", 1, "sub0001_01", 12, 16, 20, "disgust", 500, "4+9"),
    _Row("train", 1, "sub0001_02", 98, 102, 106, "surprise", 500, "1+2"),
    _Row("train", 2, "sub0002_01", 5, 9, 12, "contempt", 300, "L14"),
    _Row("train", 3, "sub0003_01", 101, 104, 108, "happiness", 200, 12),
    _Row("testA", 2, "sub0002_07", 31, 35, 38, "fear", 300, "1+4"),
    _Row("testB", 3, "sub0003_09", 44, 47, 51, "sadness", 200, "15?"),
)


def _cells(row: _Row) -> tuple[object, ...]:
    number = list(Dfme.emotions).index(row.emotion)
    times = (row.onset, row.apex, row.offset)
    return (f"sub{row.subject:04d}", row.video, *times, row.emotion, number, row.fps, row.units)
