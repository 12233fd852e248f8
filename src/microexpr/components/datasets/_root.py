"""Where a database lies: its table, or which folder would have been the right one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from microexpr.core.errors import DataError, Fault, suggest

_SHOWN = 6


def unusable(fault: Fault) -> DataError:
    """Return the error of a database that cannot be used at all."""
    return DataError("E201", "The database cannot be read.", [fault])


def check_folder(root: Path, what: str) -> None:
    """Raise DataError with the way out if there is no such folder, or nobody may look into it."""
    if root.is_file():
        raise unusable(
            Fault("E201", str(root), "is a file, not a folder", f"give the folder it lies in, {root.parent}")
        )
    if not root.is_dir():
        near = suggest(root.name, [path.name for path in folders(root.parent)])
        raise unusable(Fault("E201", str(root), f"does not exist{near}", f"give the folder that holds the {what}"))
    try:
        next(root.iterdir(), None)
    except OSError as error:
        problem = f"cannot be looked into ({error.strerror})"
        raise unusable(Fault("E201", str(root), problem, "ask for the right to read it")) from None


def find_files(root: Path, wanted: Callable[[str], bool], what: str) -> list[Path]:
    """Return the files directly in `root` whose name is `wanted`, at least one; raises DataError with the way out."""
    check_folder(root, what)
    found = _files(root, wanted)
    if found:
        return found
    for near in (*list(root.parents)[:2], *folders(root)):
        elsewhere = _files(near, wanted)
        if elsewhere:
            fix = f"give {near} instead, where {elsewhere[0].name} lies"
            raise unusable(Fault("E201", str(root), f"holds no {what}", fix))
    names = [path.name for path in entries(root)]
    inside = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    fix = f"give the folder that holds the {what}, as its owners ship it"
    raise unusable(Fault("E201", str(root), f"holds no {what}; it holds {inside or 'nothing'}", fix))


def entries(folder: Path) -> list[Path]:
    """Return what a folder holds, by name; nothing where it cannot be read."""
    try:
        found = (path for path in folder.iterdir() if not path.name.startswith((".", "~$")))
        return sorted(found, key=lambda path: path.name)
    except OSError:
        return []


def folders(folder: Path) -> Iterator[Path]:
    """Yield the folders in a folder, by name."""
    return (path for path in entries(folder) if path.is_dir())


def first_with(places: Iterable[Path], wanted: Callable[[str], bool]) -> Path | None:
    """Return the first of some places that has a folder whose name is `wanted`."""
    return next((place for place in places if any(wanted(folder.name) for folder in folders(place))), None)


def nearest(root: Path, named: re.Pattern[str], without: re.Pattern[str], levels: int = 5) -> Path | None:
    """Return the folder nearest to the root that holds folders `named` so, casefolded; None if `levels` hold none.

    Folders that begin as `without` does are not looked into.
    """
    places = [root]
    for _ in range(levels):
        for place in places:
            if any(named.fullmatch(path.name.casefold()) and path.is_dir() for path in entries(place)):
                return place
        places = [path for place in places for path in folders(place) if not without.match(path.name.casefold())]
    return None


def first_folder(places: Iterable[Path]) -> Path:
    """Return the first of some places that is a folder, else the first place."""
    wanted = list(places)
    return next((place for place in wanted if place.is_dir()), wanted[0])


def child(folder: Path, name: str) -> Path:
    """Return the entry of a folder by name; else in other case, or with other zeros before its numbers; else as named.

    A name that fits two entries in the same way is nobody's: 'sub1' is 'Sub01' unless there is a 'SUB001' as well. A
    name that leads out of the folder ('/', '..') is no entry of it.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return folder / re.sub(r"[/.]", "_", name)
    exact = folder / name
    if exact.exists():
        return exact
    for alike in (str.casefold, _unpadded):
        found = [path for path in entries(folder) if alike(path.name) == alike(name)]
        if len(found) == 1:
            return found[0]
    return exact


def _unpadded(name: str) -> str:
    return re.sub(r"0+(?=\d)", "", re.sub(r"(?<=\d)(?=\D)|(?<=\D)(?=\d)", " ", name.casefold()))


def _files(folder: Path, wanted: Callable[[str], bool]) -> list[Path]:
    return [path for path in entries(folder) if wanted(path.name) and path.is_file()]
