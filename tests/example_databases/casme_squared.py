"""Example of CAS(ME)^2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from example_databases.files import Cells, draw, mark, xlsx


class Row(NamedTuple):
    """A row of the table, in the owners' order."""

    subject: int
    video: str
    onset: int
    apex: int
    offset: int
    units: int | str
    emotion: str
    type: str
    self_report: str


ROWS: Final = (
    Row(1, "anger1_1", 3, 6, 10, "4+7", "negative", "micro-expression", "anger"),
    # Its offset was not coded.
    Row(1, "anger1_2", 12, 16, 0, 4, "negative", "micro-expression", "helpless"),
    Row(2, "disgust1_1", 2, 5, 9, "4+9", "negative", "micro-expression", "disgust"),
    Row(2, "disgust1_10", 5, 9, 14, 10, "others", "macro-expression", "disgust"),
    Row(3, "happy1_1", 1, 5, 12, "6+12", "positive", "macro-expression", "happiness"),
    Row(3, "happy1_2", 6, 8, 10, "1+2", "surprise", "micro-expression", "surprise"),
)
RECORDINGS: Final[Mapping[tuple[int, str], tuple[int, int, int, Sequence[str]]]] = {
    (1, "15_0401girlcrashing"): (1, 18, 6, ("4", "7")),
    (2, "16_0101disgustingteeth"): (1, 14, 5, ("4", "9")),
    # Another subject's number, as in public copies.
    (3, "23_0502funnyerrors"): (1, 12, 5, ("6", "12")),
}
"""First and last frame, apex and action units of the synthetic recordings, by subject and folder."""


def write(root: Path) -> None:
    mark(root, "casme_squared")
    sheets: dict[str, Sequence[Cells]] = {
        "CASFEcode_final": [tuple(row) for row in ROWS],
        "naming rule1": [(15, "s15", 1), (16, "s16", 2), (19, "s19", 3)],
        "naming rule2": [("0101", "disgust1"), ("0401", "anger1"), ("0502", "happy1")],
    }
    xlsx(root / "CAS(ME)^2code_final.xlsx", sheets)
    for (number, name), (first, last, apex, units) in RECORDINGS.items():
        draw(
            root / "rawpic" / ("s15", "s16", "s19")[number - 1] / name,
            {number: f"img{number:03d}.jpg" for number in range(first, last + 1)},
            subject=number,
            apex=apex,
            units=units,
        )
