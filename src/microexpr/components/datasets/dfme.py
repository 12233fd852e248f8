"""DFME (Zhao et al., IEEE T-AFFC 2023): 2,629 released clips of three parts at 200, 300 or 500 frames per second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final, Literal

from microexpr.components.datasets._folders import (
    child,
    find_files,
    folders,
    no_frames,
    several_tables,
    unusable,
)
from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._reader import Line, Reading, TableDataset
from microexpr.components.datasets._table import Row, RowReader, find_rows, plain
from microexpr.components.datasets._workbook import is_workbook, read_sheets
from microexpr.core.clip import Clip
from microexpr.core.delimited_text import squeeze
from microexpr.core.errors import ConfigError, Fault
from microexpr.core.facs import parse_action_units
from microexpr.core.files import entries
from microexpr.core.interfaces import DatasetInfo, datasets

ROWS: Final = {"train": 1856, "testA": 474, "testB": 299}
"""Rows of each part's table."""
WORDS: Final = {"train": ("train",), "testA": ("testa", "testdataa"), "testB": ("testb", "testdatab")}
"""How the names of a part's table and folder begin, without case and punctuation."""
RATES: Final = (200.0, 300.0, 500.0)
TABLES: Final = "full_release_annotation"
FOLDERS: Final = {
    "train": "train_data/train_data",
    "testA": "test_data_A/test_data_A",
    "testB": "test_data_B/test_data_B",
}


@datasets.register("dfme", revision=2)
class Dfme(TableDataset):
    """DFME on disk: the table of each of its three parts, and the frames of each part in a folder of its own.

    `part` chooses the clips: `train`, `testA`, `testB` or `all`; the part of a clip is in `Clip.labels`. The tables of
    the test parts may come without emotions: such clips have none, and are in no label set. `table` chooses the table
    of one part where there are several. Each clip has its own frame rate. An EmotionId that is combined with another
    emotion elsewhere in its table is a fault; no public source documents which number means which emotion.

    Based on the three released tables (columns, rows, times) and on the folders that public scripts read
    (``train_data/train_data/<Filename>/00012.png``, QqXuyujie/Micro-Expression-Datasets). These are 2,629 of the 7,526
    clips that the paper describes; no public source describes the layout of the others. One subject number is taken
    for one subject in all three parts, which keeps subjects apart in any case.
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
        without = {"without emotion": f"{unnamed} clips"} if unnamed else {}
        return {**super().metadata(), "part": ", ".join(self._parts), **without}

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        return (*super().notes(table_only=table_only), *filter(None, map(_unusual_rate, self.clips())))

    # --- files and folders --------------------------------------------------------------------------------------------
    def _is_table(self, name: str) -> bool:
        return any(_is_table_of(name, part) for part in self._parts)

    @cached_property
    def _tables(self) -> Sequence[Path]:
        """The table of each part, in the parts' order."""
        return [self._one_table(part) for part in self._parts]

    def _one_table(self, part: str) -> Path:
        def wanted(name: str) -> bool:
            return name == self._table_name if self._table_name else _is_table_of(name, part)

        place = _place_of(self._root, wanted)
        default = f"{'training' if part == 'train' else part}_full_with_AU.xlsx"
        called = f"table {self._table_name or default}"
        for near in (*self._root.parents[:2], *folders(self._root)) if place is None and self._root.is_dir() else ():
            if elsewhere := _place_of(near, wanted):
                where = elsewhere.relative_to(near) / next(p.name for p in entries(elsewhere) if wanted(p.name))
                fix = f"give {near} instead, which contains {where.as_posix()}"
                raise unusable("E205", self._root, f"contains no {called}", fix)
        found = find_files(place or self._root, wanted, called)
        if len(found) > 1:
            names = [file.name for file in found]
            raise several_tables(place or self._root, names, names[0], f"tables of the part {part}")
        return found[0]

    @cached_property
    def _places(self) -> Mapping[str, Path]:
        """The folders of frames, by part."""
        found = {part: _frames_of(self._root, part) for part in self._parts}
        return {part: place for part, place in found.items() if place}

    def _frames_root(self) -> Path | None:
        if len(self._places) < len(self._parts):
            return None
        return self._root if len(self._parts) > 1 else self._places[self._parts[0]]

    def _frameless(self) -> Fault:
        missing = [FOLDERS[part] for part in self._parts if part not in self._places]
        near = [path for path in self._root.parents[:2] if all(_frames_of(path, part) for part in self._parts)]
        wanted = ", ".join(f"{place}/<Filename>/00012.png ..." for place in missing)
        return no_frames(self._root, wanted, f"give {near[0]} instead, which contains them" if near else "")

    def _home(self, clip: Clip, modality: str) -> FrameFolder:
        part = clip.labels["part"][0]
        return FrameFolder(child(self._places.get(part, self._root / FOLDERS[part]), clip.video))

    # --- the table ----------------------------------------------------------------------------------------------------
    def _lines(self) -> Iterator[Line]:
        for part, file in zip(self._parts, self._tables, strict=True):
            # Only the test parts have been distributed without emotions.
            named = {"emotion": self.optional["emotion"]} if part == "train" else {}
            rows = find_rows(file, read_sheets(file), {**self.columns, **named}, self.optional)
            usual = _usual(map(_identified, rows))
            for row in rows:
                contradiction = _contradiction(_identified(row), usual)
                yield Line(file, row, {"part": part, **({"contradiction": contradiction} if contradiction else {})})

    def _clip(self, cells: RowReader, metadata: Mapping[str, str]) -> Clip:
        subject, video = cells.subject_number(4), cells.required("video")
        cells.check_owner(subject, video)
        if "contradiction" in metadata:
            cells.note("E226", metadata["contradiction"], "correct one of the two")
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
        emotions = ", ".join(f"{word} {counts[word]}" for word in (*self.emotions, "no emotion") if counts[word])
        if self._synthetic is not None:
            return f"imitates the release of 2,629 clips ({emotions})"
        full = sum(ROWS[part] for part in self._parts)
        release = "the release of 2,629 clips" if reading.rows == full else f"not the known release of {full} rows"
        return f"{release} ({reading.rows} rows: {emotions})"


def _is_table_of(name: str, part: str) -> bool:
    stem = squeeze(Path(name).stem).removeprefix("dfme")
    return stem.startswith(WORDS[part]) and is_workbook(name)


def _place_of(root: Path, wanted: Callable[[str], bool]) -> Path | None:
    """Return the folder of the tables: the root, or the folder that their archive was unpacked to."""
    inner = child(root, TABLES)
    places = (root, inner, child(inner, TABLES))
    return next((place for place in places if any(wanted(path.name) for path in entries(place))), None)


def _identified(row: Row) -> tuple[str, str]:
    """Return a row's EmotionId and emotion."""
    number, word = (plain(row.cells.get(column)) for column in ("emotion id", "emotion"))
    return number, word.casefold()


def _usual(pairs: Iterable[tuple[str, str]]) -> Mapping[str, tuple[str, str]]:
    """Return the most frequent pair of each EmotionId and of each emotion; of equals the first."""
    known: dict[str, tuple[str, str]] = {}
    for pair, _ in Counter(pairs).most_common():
        for each in pair if pair[0] and pair[1] in Dfme.emotions else ():
            known.setdefault(each, pair)
    return known


def _contradiction(pair: tuple[str, str], usual: Mapping[str, tuple[str, str]]) -> str:
    """Return the contradiction of a row whose EmotionId or emotion usually has another partner; '' for none."""
    number, word = pair
    for each in pair if number and word in Dfme.emotions else ():
        if usual[each] != pair:
            others = " and ".join(usual[each])
            return f"its EmotionId is {number} and its Emotion {word}, but elsewhere {others} belong together"
    return ""


def _frames_of(root: Path, part: str) -> Path | None:
    """Return the folder of a part's frames: train_data, train_data/train_data, DFME_train ..."""
    for outer in folders(root):
        if squeeze(outer.name).removeprefix("dfme").startswith(WORDS[part]):
            inner = child(outer, outer.name)
            return inner if inner.is_dir() else outer
    return None


def _rate(cells: RowReader) -> float | None:
    """Return the clip's frames per second; None where the table has none."""
    if "fps" not in cells.row.cells:
        return None
    rate = cells.number("fps")
    if rate is not None and rate <= 0:
        cells.note("E221", f"the fps cell contains {rate}", "write the frames per second: 200, 300 or 500")
    return float(rate) if rate else None


def _unusual_rate(clip: Clip) -> Fault | None:
    if clip.fps is None or clip.fps in RATES:
        return None
    problem = f"its frame rate is {clip.fps:g}, not 200, 300 or 500"
    return Fault("E259", clip.key, problem, "compare the table", clip.key)
