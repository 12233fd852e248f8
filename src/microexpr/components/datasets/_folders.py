"""Folders on disk: the table of a database, folders of frames, and the error when they are somewhere else."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from microexpr.core.delimited_text import listed
from microexpr.core.errors import DataError, Fault, suggest
from microexpr.core.files import entries

K = TypeVar("K")
_SHOWN = 6


# --- errors -----------------------------------------------------------------------------------------------------------
def unusable(code: str, where: Path, problem: str, fix: str) -> DataError:
    """Return the error of a database that cannot be used at all."""
    return DataError(code, "The database cannot be read.", [Fault(code, str(where), problem, fix)])


def choose(parameter: str, value: str) -> str:
    """Return the advice to choose a value of a reader's parameter.

    >>> choose("folder", "raw")
    'choose one with --set folder=raw (in a study file: folder = "raw")'
    """
    return f'choose one with --set {shlex.quote(f"{parameter}={value}")} (in a study file: {parameter} = "{value}")'


def several_tables(folder: Path, files: Iterable[str], suggested: str, what: str = "tables") -> DataError:
    """Return the error of a folder with more than one table."""
    names = list(files)
    fix = f"{choose('table', suggested)}, or move the others away"
    return unusable("E206", folder, f"contains {len(names)} {what}: {', '.join(names)}", fix)


def no_frames(root: Path, wanted: str, fix: str = "") -> Fault:
    """Return the fault of a database without frames: what was looked for, where, and which folders there are."""
    names = [path.name for path in folders(root)]
    have = f"its folders are {listed(names, _SHOWN)}" if names else "it contains no folders"
    problem = f"contains no frames: looked for {wanted}; {have}"
    return Fault("E209", str(root), problem, fix or f"copy the frames into it as {wanted}")


def check_folder(root: Path, what: str) -> None:
    """Raise DataError if `root` is not a folder or cannot be read; `what` is what the folder should contain."""
    if root.is_file():
        raise unusable("E204", root, "is a file, not a folder", f"give the folder that contains it, {root.parent}")
    if not root.is_dir():
        near = suggest(root.name, [path.name for path in folders(root.parent)])
        raise unusable("E204", root, f"does not exist{near}", f"give the folder that contains the {what}")
    try:
        next(root.iterdir(), None)
    except OSError as error:
        raise unusable(
            "E204", root, f"cannot be opened ({error.strerror})", "check that you have permission to read it"
        ) from None


def find_files(root: Path, wanted: Callable[[str], bool], what: str) -> list[Path]:
    """Return the files directly in `root` whose name is `wanted`, at least one.

    Raises DataError, which names the right folder where the file is one or two levels up or one level down.
    """

    def files(folder: Path) -> list[Path]:
        return [path for path in entries(folder) if wanted(path.name) and path.is_file()]

    check_folder(root, what)
    if found := files(root):
        return found
    for near in (*list(root.parents)[:2], *folders(root)):
        if elsewhere := files(near):
            raise unusable(
                "E205", root, f"contains no {what}", f"give {near} instead, which contains {elsewhere[0].name}"
            )
    raise unusable(
        "E205",
        root,
        f"contains no {what}; it contains {contents(root)}",
        f"give the folder that contains the {what}",
    )


# --- what a folder contains -------------------------------------------------------------------------------------------
def folders(folder: Path) -> Iterator[Path]:
    """Yield the folders in a folder, by name."""
    return (path for path in entries(folder) if path.is_dir())


def contents(folder: Path) -> str:
    """Return the first names in a folder as text."""
    return listed((path.name for path in entries(folder)), _SHOWN) or "nothing"


def child(folder: Path, name: str) -> Path:
    """Return the entry of a folder by name: exactly, else ignoring case, else ignoring zeros before numbers.

    A name that fits several entries in the same way fits none: 'sub1' is 'Sub01' unless 'SUB001' exists as well. A
    name that leads out of the folder ('/', '..') is not an entry of it.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return folder / re.sub(r"[/.]", "_", name)
    exact = folder / name
    if exact.exists():
        return exact
    for simplified in (str.casefold, _unpadded):
        found = [path for path in entries(folder) if simplified(path.name) == simplified(name)]
        if len(found) == 1:
            return found[0]
    return exact


def _unpadded(name: str) -> str:
    return re.sub(r"0+(?=\d)", "", re.sub(r"(?<=\d)(?=\D)|(?<=\D)(?=\d)", " ", name.casefold()))


# --- folders of frames ------------------------------------------------------------------------------------------------
def first_folder(places: Iterable[Path]) -> Path:
    """Return the first path that is a folder, else the first path."""
    wanted = list(places)
    return next((place for place in wanted if place.is_dir()), wanted[0])


def first_with(places: Iterable[Path], wanted: Callable[[str], bool]) -> Path | None:
    """Return the first folder that contains a folder whose name is `wanted`."""
    return next((place for place in places if any(wanted(folder.name) for folder in folders(place))), None)


def with_subjects(root: Path, names: Iterable[str], named: str) -> Path | None:
    """Return the first folder of these names that contains subject folders, also one level down (Cropped/Cropped).

    `named` is the pattern of casefolded names of subject folders.
    """
    places = (child(root, name) for name in names)
    nested = (folder for place in places for folder in (place, *folders(place)))
    return first_with(nested, lambda name: re.fullmatch(named, name.casefold()) is not None)


def nearest(root: Path, named: re.Pattern[str], without: re.Pattern[str], levels: int = 5) -> Path | None:
    """Return the folder nearest to the root that contains folders whose casefolded names match; None within `levels`.

    Folders whose name begins with a match of `without` are not searched.
    """
    places = [root]
    for _ in range(levels):
        for place in places:
            if any(named.fullmatch(path.name.casefold()) and path.is_dir() for path in entries(place)):
                return place
        places = [path for place in places for path in folders(place) if not without.match(path.name.casefold())]
    return None


def kinds(wanted: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of frames that may be read, in order of preference; 'auto' allows all."""
    return tuple(known) if wanted == "auto" else (wanted,)


def first_kind(wanted: str, known: Mapping[str, K], place: Callable[[K], Path | None]) -> tuple[str, Path] | None:
    """Return the first allowed kind of frames that has a `place`, and that place."""
    found = ((kind, place(known[kind])) for kind in kinds(wanted, known))
    return next(((kind, folder) for kind, folder in found if folder), None)
