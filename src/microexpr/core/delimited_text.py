"""Delimited text: files as numbered rows of cells, and columns found by their names."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from microexpr.core.errors import DataError, Fault


class Cells(NamedTuple):
    """One line that is not empty: its number in the file and its cells."""

    line: int
    cells: tuple[str, ...]


def read_cells(file: Path) -> list[Cells]:
    """Return the lines of a file that are not empty; raises DataError where it cannot be read or is empty.

    The delimiter is the comma, semicolon or tab that at least half of the lines have, else white space.
    """
    lines = read_text(file).splitlines()
    counts = {sign: sum(sign in line for line in lines) for sign in ",;\t"}
    delimiter = max(counts, key=lambda sign: counts[sign])
    delimited = counts[delimiter] * 2 >= sum(bool(line.strip()) for line in lines)
    rows: list[Cells] = []
    for number, line in enumerate(lines, start=1):
        if delimited:
            cells = next(csv.reader([line], delimiter=delimiter), [])
            while cells and not cells[-1].strip():
                cells.pop()  # spreadsheets write commas for cells that were empty
        else:
            cells = line.split()
        if any(cell.strip() for cell in cells):
            rows.append(Cells(number, tuple(cell.strip() for cell in cells)))
    if not rows:
        raise unreadable(file, "is empty", "give a file with one line per clip")
    return rows


def unreadable(where: object, problem: str, fix: str) -> DataError:
    """Return the error of a file that cannot be used at all."""
    return DataError("E201", f"{where} cannot be used.", [Fault("E207", str(where), problem, fix)])


def squeeze(word: str) -> str:
    """Return a name without case, spaces and punctuation.

    >>> squeeze("Ground_Truth")
    'groundtruth'
    """
    return "".join(filter(str.isalnum, word.casefold()))


def columns(header: Sequence[str], names: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return the index of every known column that the header has; the first of its spellings counts.

    >>> columns(["Video", "y_pred"], {"clip": ("clip", "video"), "prediction": ("prediction", "y_pred")})
    {'clip': 0, 'prediction': 1}
    """
    headers = [squeeze(cell) for cell in header]
    found = {name: [word for word in map(squeeze, words) if word in headers] for name, words in names.items()}
    return {name: headers.index(words[0]) for name, words in found.items() if words}


def plain_name(name: str) -> str:
    """Return a name without case and without zeros before its numbers, to match different spellings of one clip.

    >>> plain_name("S01_ne_01") == plain_name("s1_NE_1"), plain_name("100")
    (True, '100')
    """
    return re.sub(r"(?<!\d)0+(?=\d)", "", name.casefold().strip())


def listed(words: Iterable[object], shown: int = 8) -> str:
    """Return the first few words, separated by commas, and how many more there are.

    >>> listed(range(1, 12), 3)
    '1, 2, 3 and 8 more'
    """
    every = [str(word) for word in words]
    return ", ".join(every[:shown]) + (f" and {len(every) - shown} more" if len(every) > shown else "")


def ranges(numbers: Iterable[int]) -> list[str]:
    """Return numbers, consecutive ones joined.

    >>> ranges([1, 2, 3, 7, 9, 10])
    ['1-3', '7', '9-10']
    """
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return [str(low) if low == high else f"{low}-{high}" for low, high in spans]


def runs(numbers: Iterable[int]) -> str:
    """Return the first few ranges of line numbers as text.

    >>> runs([1, 2, 3, 7, 9, 10])
    '1-3, 7, 9-10'
    """
    return listed(ranges(numbers))


def read_text(file: Path) -> str:
    """Return a text file's content; raises DataError where it cannot be read."""
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise unreadable(file, "does not exist", "give the path of a file") from None
    except IsADirectoryError:
        raise unreadable(file, "is a folder, not a file", "give the path of a file") from None
    except OSError as error:
        raise unreadable(
            file, f"cannot be opened ({error.strerror})", "check that you have permission to read it"
        ) from None
    except UnicodeDecodeError:
        raise unreadable(file, "is not a text file in UTF-8", "save it as 'CSV UTF-8'") from None
