"""Your own clips, or ready images, listed in a CSV file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from jaxtyping import Num

from microexpr.components.datasets._csv import read_csv
from microexpr.components.datasets._frame_folder import FrameFolder
from microexpr.components.datasets._images import fingerprint, is_picture, read_image, size, stack, to_rgb, unlike
from microexpr.components.datasets._listed_twice import Listed, folders_twice, images_twice
from microexpr.components.datasets._root import entries, find_files, unusable
from microexpr.components.datasets._table import Row, RowReader
from microexpr.core.clip import Clip
from microexpr.core.errors import DataError, Fault, FrameError, NoFrameError
from microexpr.core.facs import parse_action_units
from microexpr.core.interfaces import Dataset, DatasetInfo, Modality, Scaling, datasets
from microexpr.core.labels import VOCABULARY

REQUIRED: Final = ("dataset", "subject", "clip", "emotion")
TIMES: Final = ("onset", "apex", "offset")
KNOWN: Final = (*REQUIRED, "frames", *TIMES, "fps", "action_units")
FOLDER_MODALITY: Final = "colour"
EXAMPLES: Final = {"happiness": "6+12", "surprise": "1+2", "disgust": "4+L9"}
READY: Final = 0
"""Frame number of a ready image."""


@dataclass(slots=True)
class _Reading:
    """What one pass over the file gives; `places` are the folder or the images of each clip, by modality."""

    modalities: tuple[str, ...]
    ready: bool
    clips: dict[str, Clip] = field(default_factory=dict)
    places: dict[str, dict[str, Path]] = field(default_factory=dict)
    listed: list[Listed] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def files(self, modality: str) -> dict[str, Path]:
        """Return the folder or image of every clip."""
        return {key: places[modality] for key, places in self.places.items()}


@datasets.register("manifest")
class Manifest(Dataset):
    """Clips listed in a CSV file, one a line, with the columns dataset, subject, clip and emotion, and either

    - `frames` (a folder of numbered pictures, relative to the file), onset, apex (may be empty) and offset, and
      perhaps fps and action_units: the modality `colour`; or
    - columns of paths to ready images (optical flow, say): each is a modality, its image frame 0 of a clip
      without time.

    An image that two rows list, a folder under two subjects, and clips of one folder whose frames overlap are faults;
    two clips of one subject apart in one folder are none. Copies under other file names are not found here;
    `microexpr check` finds identical frames in training and test.

    Further columns are kept as text in `Clip.labels`. Pictures of three channels are read as red, green, blue;
    `channels` names them otherwise, and then in the order in which they are STORED AS OPENCV READS THEM (blue, green,
    red), untouched: ``channels = {onset_apex = ["strain", "v", "u"]}`` for strain in blue and u in red.

    `scaling` says how motion stands in ready images (`contracts.Scaling`): ``scaling = {onset_apex = "minmax"}``.
    `series` joins columns of ready images into one modality, whose images are numbered from 0 in the order given:
    ``series = {both = ["onset_apex", "apex_offset"]}``; the sampling ``{name = "image", count = 2}`` shows both.
    """

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="Your own clips in a CSV file",
        doi="",
        licence="that of the pictures it lists",
        access="write it: dataset, subject, clip, emotion, and frames or ready images",
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
            "pictures": "ready images" if self._ready else "folders of frames",
            **self._channel_facts(),
        }

    def _channel_facts(self) -> Mapping[str, str]:
        # A file alone, without its pictures, has facts too.
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
            self._none_there(reading)
            self.modalities()
        except DataError as error:
            return (*error.faults, *reading.faults)
        check = self._check_image if self._ready else self._check_folder
        found = list(reading.faults)
        for name in reading.modalities:
            found += check(name)
        return tuple(found)

    def frames(self, clip: Clip, numbers: Sequence[int], modality: str) -> Num[np.ndarray, "t h w c"]:
        kinds = self.modalities()
        if modality not in kinds:
            raise DataError("E201", f"{self._file} has no modality {modality!r}. Known: {', '.join(kinds)}.")
        if clip.key not in self._reading.places:
            raise DataError("E201", f"{self._file} has no clip {clip.key}.")
        places = self._reading.places[clip.key]
        if self._ready:
            columns = self._series.get(modality, (modality,))
            shown = [columns[number] for number in _ready_numbers(columns, numbers, clip)]
        else:
            shown = [modality for _ in numbers]
        files = [places[column] for column in shown] if self._ready else FrameFolder(places[modality]).files(numbers)
        pictures = [
            self._as_named(read_image(file), file, column, kinds[column])
            for file, column in zip(files, shown, strict=True)
        ]
        return stack(pictures, files)

    def fingerprint(self) -> str:
        places = {path for by_modality in self._reading.places.values() for path in by_modality.values()}
        files = [file for path in places for file in ([path] if self._ready else entries(path)) if file.is_file()]
        return fingerprint(self._root, [self._file], files)

    @classmethod
    def write_example(cls, root: Path) -> None:
        lines = [",".join((*REQUIRED, "frames", *TIMES, "fps", "action_units"))]
        for subject in ("01", "02", "03", "04"):
            for clip, (emotion, units) in enumerate(EXAMPLES.items(), start=1):
                folder = f"frames/{subject}_{clip}"
                _draw(root / folder, int(subject), clip)
                lines.append(f"example,{subject},clip{clip},{emotion},{folder},1,5,9,100,{units}")
        (root / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")

    # --- the file -----------------------------------------------------------------------------------------------------
    @cached_property
    def _file(self) -> Path:
        return find_files(self._root, lambda name: name == self._name, f"file {self._name}")[0]

    @property
    def _ready(self) -> bool:
        """Whether the file lists ready images rather than folders of frames."""
        return self._reading.ready

    @cached_property
    def _reading(self) -> _Reading:
        headers, rows = read_csv(self._file, KNOWN)
        modalities = self._columns(headers, rows)
        reading = _Reading(modalities, ready="frames" not in headers)
        self._check_names(modalities, reading.ready)
        for row in rows:
            self._read_row(row, reading)
        twice = images_twice if reading.ready else folders_twice
        reading.faults += twice(self._file, reading.listed)
        return reading

    def _check_names(self, modalities: Sequence[str], ready: bool) -> None:
        """Raise DataError where a parameter names a column that there is not, or a name twice."""
        if self._series and not ready:
            problem = "has folders of frames, and `series` joins columns of ready images"
            raise unusable(
                Fault("E201", str(self._file), problem, "leave `series` out; a sampling chooses among frames")
            )
        in_series = [name for columns in self._series.values() for name in columns]
        for parameter, named in (("channels", self._channels), ("scaling", self._scaling), ("series", in_series)):
            if unknown := sorted(set(named) - set(modalities)):
                problem = f"has no pictures {unknown[0]!r}, which `{parameter}` names"
                raise unusable(Fault("E201", str(self._file), problem, f"name one of {', '.join(modalities)}"))
        for parameter, lists in (("channels", self._channels), ("series", self._series)):
            for key, names in lists.items():
                if twice := [name for name, count in Counter(names).items() if count > 1]:
                    problem = f"cannot be read as asked: `{parameter}` names {twice[0]!r} of {key} twice"
                    raise unusable(Fault("E201", str(self._file), problem, "name each once"))

    def _joined(self, name: str, columns: Sequence[str]) -> Modality:
        """Return what a series holds; raises DataError where its columns are not alike."""
        kinds = {column: self._modalities[column] for column in columns}
        if len(set(kinds.values())) != 1 or name in self._modalities:
            told = "; ".join(f"{column} has {', '.join(kind.channels)}" for column, kind in kinds.items())
            problem = f"cannot join the series {name!r}: {told or 'it names no column'}"
            fix = "join columns of one kind of picture (channels, range, scaling) under a name of its own"
            raise unusable(Fault("E201", str(self._file), problem, fix))
        return next(iter(kinds.values()))

    def _columns(self, headers: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:
        """Return the modalities, told by the columns; raises DataError where a column is missing."""
        framed = "frames" in headers
        missing = [name for name in (*REQUIRED, *(TIMES if framed else ())) if name not in headers]
        if missing:
            problem = f"lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; it has {', '.join(headers)}"
            raise unusable(Fault("E201", str(self._file), problem, "add what is missing"))
        if not rows:
            raise unusable(Fault("E201", str(self._file), "lists no clip", "write one line a clip"))
        found = tuple(name for name in headers if name not in KNOWN and _all_pictures(rows, name))
        if not framed and not found:
            problem = f"names no pictures: it has the columns {', '.join(headers)}"
            fix = "add the column frames (folders) with onset, apex and offset, or a column of paths to images"
            raise unusable(Fault("E201", str(self._file), problem, fix))
        return (FOLDER_MODALITY,) if framed else found

    def _read_row(self, row: Row, reading: _Reading) -> None:
        cells = RowReader(self._file, row)
        clip = self._clip(cells, reading.modalities)
        columns = reading.modalities if reading.ready else ("frames",)
        written = [cells.required(column) for column in columns]
        places = dict(zip(reading.modalities, map(self._place, written), strict=True))
        if clip.key in reading.clips:
            cells.note("this clip is in the file twice", "delete one of its two lines")
        if not cells.noted:
            reading.clips[clip.key], reading.places[clip.key] = clip, places
            reading.listed.append(Listed(row.number, clip, dict(zip(written, places.values(), strict=True))))
        reading.faults += cells.faults(f"{clip.subject_id or '?'}/{clip.video or '?'}", clip.key)

    def _clip(self, cells: RowReader, modalities: Iterable[str]) -> Clip:
        dataset, subject, video = (cells.required(name) for name in REQUIRED[:3])
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
            emotion=cells.emotion("emotion", self.emotions),
            action_units=parse_action_units(units),
            labels={name: (text,) for name in (*extra, "action_units") if (text := cells.text(name))},
        )

    def _place(self, cell: str) -> Path:
        # A file written on Windows has backslashes.
        return self._root / cell.replace("\\", "/")

    def _none_there(self, reading: _Reading) -> None:
        for modality in reading.modalities:
            paths = list(reading.files(modality).values())
            if paths and not any(path.exists() for path in paths):
                problem = f"none of the {len(paths)} paths of {modality} is there, beginning with {paths[0]}"
                fix = f"put the pictures there; paths count from {self._root}"
                raise unusable(Fault("E201", str(self._file), problem, fix))

    # --- the pictures -------------------------------------------------------------------------------------------------
    @cached_property
    def _modalities(self) -> Mapping[str, Modality]:
        return {name: self._kind(name) for name in self._reading.modalities}

    def _kind(self, modality: str) -> Modality:
        """Return channels and range of a modality, told by its first picture that can be read."""
        for place in self._reading.files(modality).values():
            try:
                file = place if self._ready else next(iter(FrameFolder(place).listed().values()))
                image = read_image(file)
            except (FrameError, StopIteration):
                continue
            return self._named(image, file, modality)
        problem = f"no picture of {modality} can be read" if self._reading.clips else "no line of it can be used"
        raise unusable(Fault("E201", str(self._file), problem, "mend the faults named beside this one"))

    def _named(self, image: Num[np.ndarray, "h w c"], file: Path, modality: str) -> Modality:
        count = image.shape[-1]
        own = self._channels.get(modality)
        if own and len(own) != count:
            fix = f"give {modality} {count} names in `channels`, in the order blue, green, red, or none"
            raise unusable(Fault("E201", str(file), f"is {size(image)}, but `channels` names {', '.join(own)}", fix))
        rgb = ("r", "g", "b")
        names = own or {1: ("grey",), 3: rgb, 4: rgb}.get(count) or tuple(f"c{n}" for n in range(count))
        high = float(np.iinfo(image.dtype).max) if np.issubdtype(image.dtype, np.integer) else 1.0
        return Modality(tuple(names), 0.0, high, self._scaling.get(modality, ""))

    def _as_named(
        self, image: Num[np.ndarray, "h w c"], file: Path, modality: str, kind: Modality
    ) -> Num[np.ndarray, "h w c2"]:
        """Return a picture with the modality's channels; raises FrameError where it has others."""
        if modality not in self._channels and image.shape[-1] in (3, 4):
            image = to_rgb(image)
        if image.shape[-1] != len(kind.channels):
            channels = ", ".join(kind.channels)
            raise FrameError(
                "E202", f"{file} is {size(image)}, but {modality} has {channels}; convert it to the others' kind."
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
                return Fault("E201", where, str(error), "convert its pictures to the kind of the others", key)
            return None

        reading = self._reading
        with ThreadPoolExecutor(8) as pool:
            return [fault for fault in pool.map(check, reading.clips) if fault]

    def _check_image(self, modality: str) -> list[Fault]:
        files = self._reading.files(modality)
        fix = "copy it again, or make all of one size and kind"
        return [
            Fault("E201", f"{self._file.name}: {self._short(files[key])}", problem, fix, key)
            for key, problem in unlike(files).items()
        ]

    def _short(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix() if path.is_relative_to(self._root) else str(path)


def _all_pictures(rows: Sequence[Row], column: str) -> bool:
    values = [text for row in rows if (text := str(row.cells[column]).strip())]
    return bool(values) and all(map(is_picture, values))


def _fps(cells: RowReader) -> float | None:
    found = cells.text("fps")
    if not found:
        return None
    try:
        if 0 < float(found) < float("inf"):
            return float(found)
    except ValueError:
        pass
    cells.note(f"the cell fps holds {found!r}", "write the frames per second, 200 for instance, or leave it empty")
    return None


def _ready_numbers(columns: Sequence[str], numbers: Sequence[int], clip: Clip) -> Sequence[int]:
    for number in numbers:
        if number not in range(len(columns)):
            has = f"frame {READY} alone" if len(columns) == 1 else f"the frames {READY} to {len(columns) - 1}"
            raise NoFrameError(
                "E202",
                f"{clip.key} has ready images ({', '.join(columns)}) with {has}, not frame {number}; take sampling = "
                f'{{name = "image", count = {len(columns)}}}, or join more columns with `series`.',
            )
    return numbers


def _draw(folder: Path, subject: int, clip: int) -> None:
    """Write nine made-up frames: a disc, its place the subject's, that moves and comes back in the clip's direction."""
    import cv2

    folder.mkdir(parents=True)
    for number in range(1, 10):
        move = 4 - abs(number - 5)
        centre = (24 + 4 * subject + move * (clip % 2), 32 + move * (clip // 2))
        picture = cv2.circle(np.full((64, 64, 3), (90, 110, 130), np.uint8), centre, 12, (150, 170, 210), -1)
        (folder / f"img{number}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
