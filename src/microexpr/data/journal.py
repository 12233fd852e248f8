"""What a long prediction has done so far, on disk, so that the same call continues after an interruption."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from microexpr.core.files import append_json_lines, digest, json_lines, make_folder, write_atomically


class Journal:
    """A file of JSON lines: first what is predicted with what (`content`), then a row for each finished clip.

    It is created with its first row, and the rows of other content are discarded then.
    """

    def __init__(self, file: Path, content: object) -> None:
        self._file, self._head = file, {"content": digest(content)}
        lines = list(json_lines(file))
        self._begun = lines[:1] == [self._head]
        self.rows: list[dict[str, Any]] = lines[1:] if self._begun else []
        """Rows of an interrupted prediction of the same content."""

    def add(self, row: Mapping[str, Any]) -> None:
        """Append the row of a clip."""
        if not self._begun:
            make_folder(self._file.parent)
            write_atomically(self._file, json.dumps(self._head) + "\n")
            self._begun = True
        append_json_lines(self._file, [row])
