"""Your own clips, or precomputed images, listed in a CSV file."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from jaxtyping import Num

from microexpr.components.datasets._folders import find_files, unusable
from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._table import Row, RowReader
from microexpr.core.clip import Clip
from microexpr.core.delimited_text import read_text, squeeze
from microexpr.core.errors import DataError, Fault, FrameError, NoFrameError
from microexpr.core.facs import parse_action_units
from microexpr.core.files import entries
from microexpr.core.image_files import (
    fingerprint,
    is_image,
    read_image,
    relative,
    size,
    stack,
    to_rgb,
    unlike,
)
from microexpr.core.interfaces import Dataset, DatasetInfo, Modality, Scaling, datasets
from microexpr.core.labels import VOCABULARY
from microexpr.core.words import many

REQUIRED: Final = ("dataset", "subject", "clip")
TIMES: Final = ("onset", "apex", "offset")
KNOWN: Final = (*REQUIRED, "emotion", "frames", *TIMES, "fps", "action_units")
FOLDER_MODALITY: Final = "colour"
FIX_TWICE: Final = "correct the path, or delete the wrong row: frames in both training and test raise every score"


@dataclass(frozen=True, slots=True)
class Listed:
    """One row: its number, its clip, and the precomputed images or the frame folder that it names."""

    row: int
    clip: Clip
    places: Mapping[str, Path]
    """Paths by the name as written."""


@dataclass(slots=True)
class _Reading:
    """The result of reading the file; `places` are the folder or the images of each clip, by modality."""

    modalities: tuple[str, ...]
    precomputed: bool
    clips: dict[str, Clip] = field(default_factory=dict)
    places: dict[str, dict[str, Path]] = field(default_factory=dict)
    listed: list[Listed] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def files(self, modality: str) -> dict[str, Path]:
        """Return the folder or image of every clip."""
        return {key: places[modality] for key, places in self.places.items()}


@datasets.register("manifest")
class Manifest(Dataset):
    """Clips listed in a CSV file, one per line, with the columns dataset, subject, clip and emotion (which may be empty
    or left out where clips are only predicted), and either

    - `frames` (a folder of numbered images, relative to the file), onset, apex (may be empty) and offset, and
      optionally fps and action_units: the modality `colour`; or
    - columns of paths to precomputed images (optical flow, for instance): each is a modality, its image frame 0 of a
      clip without time.

    An image that two rows list, a folder of two subjects, and clips of one folder whose frames overlap are faults;
    two clips of one subject in separate parts of one folder are not. Copies under other file names are not found here;
    `microexpr check` finds identical frames in training and test.

    Further columns are kept as text in `Clip.labels`. Images of three channels are read as red, green, blue;
    `channels` gives them other names, then in the order in which OPENCV READS THEM (blue, green, red), unchanged:
    ``channels = {onset_apex = ["strain", "v", "u"]}`` for strain in blue and u in red.

    `scaling` says how motion is scaled in precomputed images (`interfaces.Scaling`):
    ``scaling = {onset_apex = "minmax"}``. `series` joins columns of precomputed images into one modality, whose images
    are numbered from 0 in the given order: ``series = {both = ["onset_apex", "apex_offset"]}``; the sampling
    ``{name = "image", count = 2}`` uses both.
    """

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="Your own clips in a CSV file",
        doi="",
        licence="that of the images it lists",
        access="write it: dataset, subject, clip, emotion, and frames or precomputed images",
        n_clips=None,
        n_subjects=None,
    )
    emotions: ClassVar[Mapping[str, str]] = {word: word for word in VOCABULARY}

    def __init__(
        self,
        root: Path,
        *,
        file: str = "manifest.csv",
        channels: dict[str, tuple[str, ...]] | None = None,
        scaling: dict[str, Scaling] | None = None,
        series: dict[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._root = Path(root).expanduser().absolute()
        self._name, self._channels, self._scaling, self._series = file, channels or {}, scaling or {}, series or {}

    def clips(self) -> Sequence[Clip]:
        return tuple(self._reading.clips.values())

    def modalities(self) -> Mapping[str, Modality]:
        joined = {name: self._joined(name, columns) for name, columns in self._series.items()}
        return {**self._modalities, **joined}

    def metadata(self) -> Mapping[str, str]:
        counts = Counter(clip.dataset for clip in self.clips())
        return {
            "table": self._file.name,
            "databases": ", ".join(f"{name} {count}" for name, count in counts.items()),
            "images": "precomputed" if self._precomputed else "folders of frames",
            **self._channels_and_scaling(),
        }

    def _channels_and_scaling(self) -> Mapping[str, str]:
        # A file without its images has metadata too.
        try:
            metadata = {f"channels of {name}": ", ".join(kind.channels) for name, kind in self.modalities().items()}
            scaled = {f"scaling of {name}": kind.scaling for name, kind in self.modalities().items() if kind.scaling}
            return {**metadata, **scaled}
        except DataError:
            return {}

    def faults(self, *, table_only: bool = False) -> Sequence[Fault]:
        try:
            reading = self._reading
        except DataError as error:
            return error.faults
        if table_only:
            return tuple(reading.faults)
        try:
            self._check_any(reading)
            self.modalities()
        except DataError as error:
            return (*error.faults, *reading.faults)
        check = self._check_image if self._precomputed else self._check_folder
        found = list(reading.faults)
        for name in reading.modalities:
            found += check(name)
        return tuple(found)

    def frames(self, clip: Clip, numbers: Sequence[int], modality: str) -> Num[np.ndarray, "t h w c"]:
        kinds = self.modalities()
        if modality not in kinds:
            raise DataError("E240", f"{self._file} has no modality {modality!r}. Known: {', '.join(kinds)}.")
        if clip.key not in self._reading.places:
            raise DataError("E240", f"{self._file} has no clip {clip.key}.")
        places = self._reading.places[clip.key]
        if self._precomputed:
            columns = self._series.get(modality, (modality,))
            used = [columns[number] for number in _precomputed_numbers(columns, numbers, clip)]
        else:
            used = [modality for _ in numbers]
        files = (
            [places[column] for column in used] if self._precomputed else FrameFolder(places[modality]).files(numbers)
        )
        images = [
            self._with_channels(read_image(file), file, column, kinds[column])
            for file, column in zip(files, used, strict=True)
        ]
        return stack(images, files)

    def fingerprint(self) -> str:
        places = {path for by_modality in self._reading.places.values() for path in by_modality.values()}
        files = [file for path in places for file in ([path] if self._precomputed else entries(path)) if file.is_file()]
        return fingerprint(self._root, [self._file], files)

    # --- the file -----------------------------------------------------------------------------------------------------
    @cached_property
    def _file(self) -> Path:
        return find_files(self._root, lambda name: name == self._name, f"file {self._name}")[0]

    @property
    def _precomputed(self) -> bool:
        """Whether the file lists precomputed images rather than folders of frames."""
        return self._reading.precomputed

    @cached_property
    def _reading(self) -> _Reading:
        headers, rows = read_csv(self._file, KNOWN)
        modalities = self._columns(headers, rows)
        reading = _Reading(modalities, precomputed="frames" not in headers)
        self._check_names(modalities, reading.precomputed)
        for row in rows:
            self._read_row(row, reading)
        twice = _images_twice if reading.precomputed else _folders_twice
        reading.faults += twice(self._file, reading.listed)
        return reading

    def _check_names(self, modalities: Sequence[str], precomputed: bool) -> None:
        """Raise DataError where a parameter names an unknown column, or a name twice."""
        if self._series and not precomputed:
            problem = "has folders of frames, and `series` joins columns of precomputed images"
            raise unusable("E211", self._file, problem, "leave `series` out; a sampling chooses among frames")
        in_series = [name for columns in self._series.values() for name in columns]
        for parameter, named in (("channels", self._channels), ("scaling", self._scaling), ("series", in_series)):
            if unknown := sorted(set(named) - set(modalities)):
                problem = f"has no images {unknown[0]!r}, which `{parameter}` names"
                raise unusable("E211", self._file, problem, f"name one of {', '.join(modalities)}")
        for parameter, lists in (("channels", self._channels), ("series", self._series)):
            for key, names in lists.items():
                if twice := [name for name, count in Counter(names).items() if count > 1]:
                    problem = f"cannot be read: `{parameter}` names {twice[0]!r} twice for {key}"
                    raise unusable("E211", self._file, problem, "name each once")

    def _joined(self, name: str, columns: Sequence[str]) -> Modality:
        """Return the modality of a series; raises DataError where its columns differ."""
        kinds = {column: self._modalities[column] for column in columns}
        if len(set(kinds.values())) != 1 or name in self._modalities:
            channels = "; ".join(f"{column} has {', '.join(kind.channels)}" for column, kind in kinds.items())
            problem = f"cannot join the series {name!r}: {channels or 'it names no column'}"
            fix = "join columns of one kind of image (channels, range, scaling) under a new name"
            raise unusable("E211", self._file, problem, fix)
        return next(iter(kinds.values()))

    def _columns(self, headers: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:
        """Return the modalities that the columns give; raises DataError where a column is missing."""
        framed = "frames" in headers
        missing = [name for name in (*REQUIRED, *(TIMES if framed else ())) if name not in headers]
        if missing:
            problem = f"lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; it has {', '.join(headers)}"
            raise unusable("E208", self._file, problem, "add what is missing")
        if not rows:
            raise unusable("E208", self._file, "lists no clip", "write one line per clip")
        found = tuple(name for name in headers if name not in KNOWN and _all_images(rows, name))
        if not framed and not found:
            problem = f"names no images: it has the columns {', '.join(headers)}"
            fix = "add the column frames (folders) with onset, apex and offset, or a column of paths to images"
            raise unusable("E208", self._file, problem, fix)
        return (FOLDER_MODALITY,) if framed else found

    def _read_row(self, row: Row, reading: _Reading) -> None:
        cells = RowReader(self._file, row)
        clip = self._clip(cells, reading.modalities)
        columns = reading.modalities if reading.precomputed else ("frames",)
        written = [cells.required(column) for column in columns]
        places = dict(zip(reading.modalities, map(self._place, written), strict=True))
        if clip.key in reading.clips:
            cells.note("E224", "this clip is in the file twice", "delete one of its two lines")
        if not cells.problems:
            reading.clips[clip.key], reading.places[clip.key] = clip, places
            reading.listed.append(Listed(row.number, clip, dict(zip(written, places.values(), strict=True))))
        reading.faults += cells.faults(f"{clip.subject_id or '?'}/{clip.video or '?'}", clip.key)

    def _clip(self, cells: RowReader, modalities: Iterable[str]) -> Clip:
        dataset, subject, video = (cells.required(name) for name in REQUIRED)
        onset = apex = offset = None
        if "frames" in cells.row.cells:
            onset, offset = cells.number("onset"), cells.number("offset")
            apex = cells.number("apex", absent=("", "/"))
            cells.check_times(onset, apex, offset)
        extra = [name for name in cells.row.cells if name and name not in KNOWN and name not in modalities]
        units = cells.text("action_units")
        return Clip(
            dataset=dataset,
            subject_id=subject,
            namespace=dataset,
            video=video,
            fps=_fps(cells),
            onset=onset,
            apex=apex,
            offset=offset,
            emotion=cells.emotion("emotion", self.emotions) if cells.text("emotion") else None,
            action_units=parse_action_units(units),
            labels={name: (text,) for name in (*extra, "action_units") if (text := cells.text(name))},
        )

    def _place(self, cell: str) -> Path:
        # A file written on Windows has backslashes.
        return self._root / cell.replace("\\", "/")

    def _check_any(self, reading: _Reading) -> None:
        for modality in reading.modalities:
            paths = list(reading.files(modality).values())
            if paths and not any(path.exists() for path in paths):
                problem = f"none of the {many(len(paths), 'path')} of {modality} exists, for instance {paths[0]}"
                fix = f"put the images there; paths are relative to {self._root}"
                raise unusable("E209", self._file, problem, fix)

    # --- the images ---------------------------------------------------------------------------------------------------
    @cached_property
    def _modalities(self) -> Mapping[str, Modality]:
        return {name: self._kind(name) for name in self._reading.modalities}

    def _kind(self, modality: str) -> Modality:
        """Return channels and range of a modality, judged by its first image that can be read."""
        for place in self._reading.files(modality).values():
            try:
                file = place if self._precomputed else next(iter(FrameFolder(place).listed().values()))
                image = read_image(file)
            except (FrameError, StopIteration):
                continue
            return self._modality(image, file, modality)
        if self._reading.faults:
            fix = "correct its rows, which are listed with this fault"
        else:
            fix = "copy the images again from the original"
        problem = f"no image of {modality} can be read" if self._reading.clips else "no row can be used"
        raise unusable("E233" if self._reading.clips else "E208", self._file, problem, fix)

    def _modality(self, image: Num[np.ndarray, "h w c"], file: Path, modality: str) -> Modality:
        count = image.shape[-1]
        own = self._channels.get(modality)
        if own and len(own) != count:
            fix = f"give {modality} {count} names in `channels`, in the order blue, green, red, or none"
            raise unusable("E211", file, f"is {size(image)}, but `channels` names {', '.join(own)}", fix)
        rgb = ("r", "g", "b")
        names = own or {1: ("grey",), 3: rgb, 4: rgb}.get(count) or tuple(f"c{n}" for n in range(count))
        high = float(np.iinfo(image.dtype).max) if np.issubdtype(image.dtype, np.integer) else 1.0
        return Modality(tuple(names), 0.0, high, self._scaling.get(modality, ""))

    def _with_channels(
        self, image: Num[np.ndarray, "h w c"], file: Path, modality: str, kind: Modality
    ) -> Num[np.ndarray, "h w c2"]:
        """Return an image with the modality's channels; raises FrameError where it has others."""
        if modality not in self._channels and image.shape[-1] in (3, 4):
            image = to_rgb(image)
        if image.shape[-1] != len(kind.channels):
            channels = ", ".join(kind.channels)
            raise FrameError(
                "E234", f"{file} is {size(image)}, but {modality} has {channels}; convert it to the others' kind."
            )
        return image

    def _check_folder(self, modality: str) -> list[Fault]:
        def check(key: str) -> Fault | None:
            folder, clip = FrameFolder(reading.places[key][modality]), reading.clips[key]
            where = f"{self._file.name}: {self._short(folder.path)}"
            fault = folder.fault(clip, where)
            if fault or clip.onset is None:
                return fault
            try:
                self.frames(clip, [clip.onset], modality)
            except FrameError as error:
                return Fault(error.code, where, str(error), "convert its images to the kind of the others", key)
            return None

        reading = self._reading
        with ThreadPoolExecutor(8) as pool:
            return [fault for fault in pool.map(check, reading.clips) if fault]

    def _check_image(self, modality: str) -> list[Fault]:
        files = self._reading.files(modality)
        fix = "copy it again, or make all of one size and kind"
        return [
            Fault(code, f"{self._file.name}: {self._short(files[key])}", problem, fix, key)
            for key, (code, problem) in unlike(files).items()
        ]

    def _short(self, path: Path) -> str:
        return relative(path, self._root)


def _all_images(rows: Sequence[Row], column: str) -> bool:
    values = [text for row in rows if (text := str(row.cells[column]).strip())]
    return bool(values) and all(map(is_image, values))


def _fps(cells: RowReader) -> float | None:
    found = cells.text("fps")
    if not found:
        return None
    try:
        if 0 < float(found) < float("inf"):
            return float(found)
    except ValueError:
        pass
    fix = "write the frames per second, 200 for instance, or leave it empty"
    cells.note("E221", f"the fps cell contains {found!r}", fix)
    return None


def _precomputed_numbers(columns: Sequence[str], numbers: Sequence[int], clip: Clip) -> Sequence[int]:
    for number in numbers:
        if number not in range(len(columns)):
            frames = "only frame 0" if len(columns) == 1 else f"only the frames 0 to {len(columns) - 1}"
            raise NoFrameError(
                "E241",
                f"{clip.key} has precomputed images ({', '.join(columns)}) with {frames}, not frame {number}; choose "
                f'sampling = {{name = "image", count = {len(columns)}}}, or join more columns with `series`.',
            )
    return numbers


# --- the CSV file -----------------------------------------------------------------------------------------------------
def read_csv(file: Path, known: Sequence[str]) -> tuple[list[str], list[Row]]:
    """Return headers and rows; headers in `known` are matched without case and spaces, others stay unchanged.

    The delimiter is the comma, semicolon or tab that is most frequent in the header. A row's number is its line in the
    file. Raises DataError.
    """
    text = read_text(file)
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        numbered = [(lines.line_num, cells) for cells in lines if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        problem = f"cannot be read from line {lines.line_num} on ({error})"
        raise unusable("E207", file, problem, "close its quotation marks") from None
    if not numbered:
        raise unusable("E207", file, "is empty", "write one header and one line per clip")
    spelt = {squeeze(name): name for name in known}
    headers = [spelt.get(squeeze(cell), cell.strip()) for cell in numbered[0][1]]
    if twice := sorted({header for header in headers if header and headers.count(header) > 1}):
        raise unusable("E208", file, f"has the column {twice[0]!r} more than once", "rename one of them")
    for number, cells in numbered[1:]:
        while len(cells) > len(headers) and not cells[-1].strip():
            cells.pop()  # spreadsheets write commas for cells that were empty
        if len(cells) != len(headers):
            problem = f"has {len(cells)} cells in line {number}, but {len(headers)} columns"
            raise unusable("E207", file, problem, "put cells that contain a comma in quotation marks")
    return headers, [Row(number, dict(zip(headers, cells, strict=True))) for number, cells in numbered[1:]]


# --- frames that are listed twice -------------------------------------------------------------------------------------
def _images_twice(table: Path, listed: Sequence[Listed]) -> Iterator[Fault]:
    """Yield a fault for each row whose precomputed image another row lists too.

    One image of two subjects puts the same pixels into training and test.
    """
    for each, others in _sharing(listed):
        names = ", ".join(dict.fromkeys(name for _, name in others))
        yield _listed_twice(table, each, f"{names} is also listed in {_rows(other for other, _ in others)}")


def _folders_twice(table: Path, listed: Sequence[Listed]) -> Iterator[Fault]:
    """Yield a fault for each row whose frame folder another subject has too, or whose frames another clip has too."""
    for each, others in _sharing(listed):
        clip, name = each.clip, others[0][1]
        other_subjects = [other for other, _ in others if other.clip.subject != clip.subject]
        overlapping = [other for other, _ in others if _overlap(clip, other.clip)]
        if other_subjects:
            problem = f"the folder {name} is listed for another subject in {_rows(other_subjects)}"
            yield _listed_twice(table, each, problem)
        elif overlapping:
            frames = f"the frames {clip.onset}-{clip.offset} of {name}"
            yield _listed_twice(table, each, f"{frames} overlap those of {_rows(overlapping)}")


def _sharing(listed: Sequence[Listed]) -> Iterator[tuple[Listed, list[tuple[Listed, str]]]]:
    """Yield each row that shares a path with others: these, each with the path as written in this row."""
    by_place: dict[str, list[Listed]] = {}
    # Resolved, because `a/../b`, a link and an absolute path may all lead to one file.
    resolved = [{os.path.realpath(path): name for name, path in each.places.items()} for each in listed]
    for each, own in zip(listed, resolved, strict=True):
        for place in own:
            by_place.setdefault(place, []).append(each)
    for each, own in zip(listed, resolved, strict=True):
        others = [(other, name) for place, name in own.items() for other in by_place[place] if other is not each]
        if others:
            yield each, others


def _overlap(a: Clip, b: Clip) -> bool:
    """Whether two clips share a frame; offsets are inclusive."""
    if a.onset is None or a.offset is None or b.onset is None or b.offset is None:
        return False
    return a.onset <= b.offset and b.onset <= a.offset


def _listed_twice(table: Path, each: Listed, problem: str) -> Fault:
    where = f"{table.name}, row {each.row} ({each.clip.subject_id}/{each.clip.video})"
    return Fault("E227", where, problem, FIX_TWICE, each.clip.key)


def _rows(listed: Iterable[Listed]) -> str:
    numbers = sorted({each.row for each in listed})
    return f"row{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
