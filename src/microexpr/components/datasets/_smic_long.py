"""Rows of the annotation tables of SMIC's long recordings: up to three expressions each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from microexpr.components.datasets._reader import Line
from microexpr.components.datasets._smic_names import NAME, SHORT, subject_of
from microexpr.components.datasets._table import Row, plain
from microexpr.core.clip import Clip
from microexpr.core.errors import Fault

EXPRESSIONS: Final = (
    ("onset", "offset", "TotalMF1"),
    ("Onset2F", "Offset2F", "TotalMF2"),
    ("Onset3F", "Offset3F", "TotalMF3"),
)
"""Columns of a recording's first, second and third expression: begin, end, number of frames."""


def expressions(table: Path, rows: Iterable[Row]) -> tuple[Sequence[Line], Sequence[Fault]]:
    """Return one line for each expression of the recordings, and a remark for each that repeats one of its row."""
    lines: list[Line] = []
    repeats: list[Fault] = []
    for row in rows:
        known: dict[tuple[str, str], int] = {}
        for number, columns in enumerate(EXPRESSIONS, start=1):
            onset, offset, length = (row.cells.get(column) for column in columns)
            times = (plain(onset), plain(offset))
            if number > 1 and not any(times):
                continue
            if known.setdefault(times, number) != number:
                where = f"{table.name}, row {row.number} ({plain(row.cells['video'])})"
                problem = f"its expression {number} repeats its expression {known[times]}, {'-'.join(times)}"
                repeats.append(Fault("E201", where, problem, "nothing to do: it is read once"))
                continue
            cells = {**row.cells, "onset": onset, "offset": offset, "length": length}
            headers = dict(zip(("onset", "offset"), columns, strict=False)) if number > 1 else {}
            named = replace(row, cells=cells, headers={**row.headers, **headers})
            lines.append(Line(table, named, {"expression": str(number)}))
    return lines, repeats


def miscounted(clips: Iterable[Clip]) -> Iterator[Fault]:
    """Yield expressions whose number of frames is another than the table's, and those that end too late."""
    for clip in clips:
        (last,) = clip.labels.get("last frame", ("",))
        if last.isdecimal() and (clip.offset or 0) > int(last):
            # No fault: the frames show whether the recording ends there.
            problem = f"{clip.onset}-{clip.offset} ends after the recording's last frame {last} (column LastF)"
            yield Fault("E201", clip.key, problem, "compare the row with its frames", clip.key)
        (length,) = clip.labels.get("length", ("",))
        frames = (clip.offset or 0) - (clip.onset or 0) + 1
        # Both ways of counting from onset to offset are good.
        if length.isdecimal() and int(length) not in (frames, frames - 1):
            column = EXPRESSIONS[int(clip.labels["expression"][0]) - 1][2]
            problem = f"its {column} is {length}, but {clip.onset}-{clip.offset} are {frames} frames"
            yield Fault("E201", clip.key, problem, "compare the row with its frames", clip.key)


def is_text(row: Row) -> bool:
    """Whether a row holds words and no clip: no subject, no clip's name, no two frame numbers, no emotion."""
    cells = {name: plain(cell) for name, cell in row.cells.items()}
    numbers = cells["onset"].isdecimal() and cells["offset"].isdecimal()
    coded = numbers or cells.get("emotion", "").casefold() in SHORT.values()
    return not (subject_of(cells["subject"]) or NAME.fullmatch(cells["video"]) or coded)
