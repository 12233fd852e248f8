"""Files that are written completely or not at all, and append-only files of JSON lines."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from microexpr.core.errors import StoreError

LINES = 4096
"""JSON lines that are parsed together, which takes a fifth of the time of parsing each."""


def make_folder(folder: Path) -> Path:
    """Create a folder for results; raises StoreError if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{uuid4().hex}.probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StoreError("E601", f"{folder} cannot be written: {error.strerror}; choose another --out.") from None
    return folder


def entries(folder: Path) -> list[Path]:
    """Return what a folder contains, by name; nothing where it cannot be read."""
    try:
        found = (path for path in folder.iterdir() if not path.name.startswith((".", "~$")))
        return sorted(found, key=lambda path: path.name)
    except OSError:
        return []


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Yield a temporary file next to `file` that replaces it at the end, or is removed if the block fails."""
    partial = file.with_name(f".{file.name}.{uuid4().hex}.partial")  # processes of two machines may have one number
    try:
        yield partial
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(file: Path, content: str | bytes) -> Path:
    """Write a file completely or not at all; raises StoreError."""
    try:
        with replacing(file) as partial:
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise StoreError("E601", f"{file} cannot be written: {error.strerror}; choose another --out.") from None
    return file


def json_lines(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of an append-only file; an incomplete line, left by a killed process, is skipped."""
    if not file.is_file():
        return
    lines = file.read_text("utf-8").splitlines()
    for start in range(0, len(lines), LINES):
        part = lines[start : start + LINES]
        try:
            yield from json.loads(f"[{','.join(part)}]")
        except json.JSONDecodeError:
            for line in part:
                with suppress(json.JSONDecodeError):
                    yield json.loads(line)


def append_json_lines(file: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Append lines, after removing an incomplete last line that a killed process left."""
    with file.open("a+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(end - 1, 0))
        if end and stream.read(1) != b"\n":
            stream.seek(0)
            stream.truncate(stream.read().rfind(b"\n") + 1)
        stream.write("".join(json.dumps(line) + "\n" for line in lines).encode())


def digest(content: object) -> str:
    """Return the first 16 digits of the sha256 of `content` as canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
