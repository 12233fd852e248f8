"""Pictures on disk: numbered folders, whole or broken files, reading."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import Num

from microexpr.components.datasets._root import entries
from microexpr.core.errors import FrameError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
_TAIL = 1024
# First bytes of a format, and what its last kilobyte holds when the file was written to its end.
_MARKS = ((b"\xff\xd8", b"\xff\xd9"), (b"\x89PNG\r\n\x1a\n", b"IEND"))
_OTHERS = (b"BM", b"II*\x00", b"MM\x00*", b"RIFF")


def is_picture(name: str) -> bool:
    """Tell a picture by its name's ending."""
    return name.casefold().endswith(SUFFIXES)


def numbered(folder: Path, prefixes: tuple[str, ...] = ()) -> dict[int, list[Path]]:
    """Return the pictures of a folder by frame number, in its order: the last digits of the name (img46, 006_05562).

    With `prefixes`, only names made of one of them and digits count. More than one picture may claim a number.
    """
    found: dict[int, list[Path]] = {}
    for path in entries(folder):
        digits = _digits(path.stem, prefixes) if is_picture(path.name) else None
        if digits:
            found.setdefault(int(digits), []).append(path)
    return dict(sorted(found.items()))


def _digits(stem: str, prefixes: tuple[str, ...]) -> str | None:
    if not prefixes:
        match = re.search(r"([0-9]+)[^0-9]*$", stem)
        return match[1] if match else None
    rests = (stem[len(prefix) :] for prefix in prefixes if stem.casefold().startswith(prefix))
    return next((rest for rest in rests if rest.isascii() and rest.isdigit()), None)


def ranges(numbers: Iterable[int]) -> str:
    """Return numbers as people write them.

    >>> ranges([97, 98, 99, 103])
    '97-99, 103'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def broken(file: Path) -> str | None:
    """Return what is wrong with a picture file, judged by its first and last bytes; None if nothing is."""
    try:
        with file.open("rb") as stream:
            head = stream.read(8)
            size = stream.seek(0, 2)
            stream.seek(max(0, size - _TAIL))
            return _judge(head, stream.read(_TAIL))
    except OSError as error:
        return f"cannot be opened ({error.strerror})"


def _judge(head: bytes, tail: bytes) -> str | None:
    if not head:
        return "is empty (0 bytes)"
    for start, end in _MARKS:
        if head.startswith(start):
            return None if end in tail else "is cut off (its end is missing)"
    return None if head.startswith(_OTHERS) else "is not a picture"


def read_image(file: Path) -> Num[np.ndarray, "h w c"]:
    """Return a picture as stored: colours in OpenCV's order (blue, green, red), depth in bits and grey kept."""
    import cv2

    try:
        data = np.fromfile(file, np.uint8)  # cv2.imread fails on some systems when a path is not ASCII
    except OSError as error:
        raise FrameError("E202", f"{file} cannot be opened ({error.strerror}); copy the folder again.") from None
    # OpenCV fills what a cut-off file lacks with grey, and says nothing.
    problem = _judge(data[:8].tobytes(), data[-_TAIL:].tobytes())
    image = None if problem else cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise FrameError("E202", f"{file} {problem or 'cannot be decoded'}; copy it again from the original.")
    pixels: Num[np.ndarray, "h w c"] = np.atleast_3d(image)
    return pixels


def to_rgb(image: Num[np.ndarray, "h w c"]) -> Num[np.ndarray, "h w 3"]:
    """Return red, green, blue of a picture as read; transparency is dropped, grey is repeated."""
    return np.ascontiguousarray(image[..., 2::-1] if image.shape[-1] > 2 else np.repeat(image[..., :1], 3, axis=-1))


def stack(images: Sequence[Num[np.ndarray, "_ _ _"]], files: Sequence[Path]) -> Num[np.ndarray, "t h w c"]:
    """Return pictures as one array; raises FrameError naming the first whose size or depth differs."""
    for image, file in zip(images, files, strict=True):
        if (image.shape, image.dtype) != (images[0].shape, images[0].dtype):
            raise FrameError(
                "E202", f"{file} is {size(image)}, but {files[0]} is {size(images[0])}; copy the folder again."
            )
    return np.stack(images)


def size(image: Num[np.ndarray, "h w c"]) -> str:
    """Return a picture's size in words: '640x480, 3 channels, uint8'."""
    height, width, channels = image.shape
    return f"{width}x{height}, {channels} channel{'s' * (channels != 1)}, {image.dtype}"


def unlike_most(files: Mapping[int, Path]) -> dict[int, str]:
    """Return, by frame number, the pictures whose width and height are not those of most; only headers are read."""
    sizes = {number: _header(file) for number, file in files.items()}
    known = Counter(found for found in sizes.values() if found)
    if len(known) < 2:
        return {}
    usual = known.most_common(1)[0][0]
    return {
        number: f"{files[number].name} is {found}, most are {usual}"
        for number, found in sizes.items()
        if found and found != usual
    }


def _header(file: Path) -> str:
    """Return width and height of a picture, '' where its header does not tell."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            return f"{image.width}x{image.height}"
    except (OSError, UnidentifiedImageError, ValueError):
        return ""


def unlike(files: Mapping[str, Path]) -> dict[str, str]:
    """Return, by the keys of `files`, what is wrong with those that are broken or unlike most of the others.

    Every picture is decoded: these are fed to a model as they are, so that all must have one size and kind.
    """
    with ThreadPoolExecutor(8) as pool:
        seen = dict(zip(files, pool.map(_look, files.values()), strict=True))
    sizes = Counter(found for found, problem in seen.values() if not problem)
    usual = sizes.most_common(1)[0][0] if sizes else ""
    return {
        key: problem or f"is {found}, but most are {usual}"
        for key, (found, problem) in seen.items()
        if problem or found != usual
    }


def _look(file: Path) -> tuple[str, str]:
    try:
        return size(read_image(file)), ""
    except FrameError as error:
        return "", str(error)


def fingerprint(root: Path, tables: Iterable[Path], files: Iterable[Path]) -> str:
    """Return the sha256 of the tables' bytes and of the sorted names (relative to `root`) and sizes of files."""
    total = sha256(b"".join(table.read_bytes() for table in tables))
    for name, file in sorted((_relative(file, root), file) for file in files):
        total.update(f"\n{name} {file.stat().st_size}".encode())
    return total.hexdigest()


def _relative(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.as_posix()
