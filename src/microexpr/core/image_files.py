"""Images on disk: numbered folders, intact or broken files, reading."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import Num

from microexpr.core.errors import FrameError
from microexpr.core.files import entries
from microexpr.core.words import many

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
_TAIL = 1024
# First bytes of a format, and what the last kilobyte of a complete file contains.
_MARKS = ((b"\xff\xd8", b"\xff\xd9"), (b"\x89PNG\r\n\x1a\n", b"IEND"))
_OTHERS = (b"BM", b"II*\x00", b"MM\x00*", b"RIFF")


def is_image(name: str) -> bool:
    """Whether a file name has the suffix of an image."""
    return name.casefold().endswith(SUFFIXES)


def numbered(folder: Path, prefixes: tuple[str, ...] = ()) -> dict[int, list[Path]]:
    """Return the images of a folder by frame number, in ascending order.

    The number is the last digits of the name (img46, 006_05562). With `prefixes`, only names that consist of one of
    them and digits count. Several files may have one number.
    """
    found: dict[int, list[Path]] = {}
    for path in entries(folder):
        digits = _digits(path.stem, prefixes) if is_image(path.name) else None
        if digits:
            found.setdefault(int(digits), []).append(path)
    return dict(sorted(found.items()))


def _digits(stem: str, prefixes: tuple[str, ...]) -> str | None:
    if not prefixes:
        match = re.search(r"([0-9]+)[^0-9]*$", stem)
        return match[1] if match else None
    rests = (stem[len(prefix) :] for prefix in prefixes if stem.casefold().startswith(prefix))
    return next((rest for rest in rests if rest.isascii() and rest.isdigit()), None)


def broken(file: Path) -> str | None:
    """Return what is wrong with an image file, judged by its first and last bytes; None if nothing is."""
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
            return None if end in tail else "is truncated"
    return None if head.startswith(_OTHERS) else "is not an image"


def read_image(file: Path) -> Num[np.ndarray, "h w c"]:
    """Return an image as stored: colours in OpenCV's order (blue, green, red), bit depth and grey kept."""
    import cv2

    try:
        data = np.fromfile(file, np.uint8)  # cv2.imread fails on some systems when a path is not ASCII
    except OSError as error:
        raise FrameError("E233", f"{file} cannot be opened ({error.strerror}); copy the folder again.") from None
    # OpenCV fills the missing part of a truncated file with grey, without an error.
    problem = _judge(data[:8].tobytes(), data[-_TAIL:].tobytes())
    image = None if problem else cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise FrameError("E233", f"{file} {problem or 'cannot be decoded'}; copy it again from the original.")
    pixels: Num[np.ndarray, "h w c"] = np.atleast_3d(image)
    return pixels


def to_rgb(image: Num[np.ndarray, "h w c"]) -> Num[np.ndarray, "h w 3"]:
    """Return red, green, blue of an image as read; transparency is dropped, grey is repeated."""
    return np.ascontiguousarray(image[..., 2::-1] if image.shape[-1] > 2 else np.repeat(image[..., :1], 3, axis=-1))


def stack(images: Sequence[Num[np.ndarray, "_ _ _"]], files: Sequence[Path]) -> Num[np.ndarray, "t h w c"]:
    """Return images as one array; raises FrameError naming the first whose size or bit depth differs."""
    for image, file in zip(images, files, strict=True):
        if (image.shape, image.dtype) != (images[0].shape, images[0].dtype):
            raise FrameError(
                "E234", f"{file} is {size(image)}, but {files[0]} is {size(images[0])}; copy the folder again."
            )
    return np.stack(images)


def size(image: Num[np.ndarray, "h w c"]) -> str:
    """Return an image's size as text: '640x480, 3 channels, uint8'."""
    height, width, channels = image.shape
    return f"{width}x{height}, {many(channels, 'channel')}, {image.dtype}"


def unlike_most(files: Mapping[int, Path]) -> dict[int, str]:
    """Return, by frame number, the images whose width and height differ from most; only headers are read."""
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
    """Return width and height of an image, '' where its header cannot be read."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            return f"{image.width}x{image.height}"
    except (OSError, UnidentifiedImageError, ValueError):
        return ""


def unlike(files: Mapping[str, Path]) -> dict[str, tuple[str, str]]:
    """Return, by the keys of `files`, code and problem of images that are broken or unlike most of the others.

    Every image is decoded: they become model input as they are, so all must have one size and kind.
    """
    with ThreadPoolExecutor(8) as pool:
        seen = dict(zip(files, pool.map(_size_or_problem, files.values()), strict=True))
    sizes = Counter(found for found, problem in seen.values() if not problem)
    usual = sizes.most_common(1)[0][0] if sizes else ""
    return {
        key: ("E233", problem) if problem else ("E234", f"is {found}, but most are {usual}")
        for key, (found, problem) in seen.items()
        if problem or found != usual
    }


def _size_or_problem(file: Path) -> tuple[str, str]:
    try:
        return size(read_image(file)), ""
    except FrameError as error:
        return "", str(error)


def fingerprint(root: Path, tables: Iterable[Path], files: Iterable[Path]) -> str:
    """Return the sha256 of the tables' bytes and of the sorted names (relative to `root`) and sizes of files."""
    total = sha256(b"".join(table.read_bytes() for table in tables))
    for name, file in sorted((relative(file, root), file) for file in files):
        total.update(f"\n{name} {file.stat().st_size}".encode())
    return total.hexdigest()


def relative(path: Path, root: Path) -> str:
    """Return a path relative to the root, or in full where it is not below the root."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
