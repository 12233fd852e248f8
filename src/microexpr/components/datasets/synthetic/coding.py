"""Plausible action units for each emotion, and the irregular rows of CASME II's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CLIPS_PER_SUBJECT: Final = (9, 13, 7, 5, 19, 5, 9, 3, 14, 14, 10, 12, 8, 4, 3, 4, 36, 3, 16, 11, 2, 2, 12, 10, 7, 17)
"""Numbers of CASME II's subjects 01 to 26."""

CODES: Final[dict[str, dict[str, int]]] = {
    "others": {"4": 34, "4+7": 14, "14": 9, "4+L10": 4, "R14": 5, "L14": 4, "7": 6, "4+14": 5, "4+10": 3, "17": 4}
    | {"12": 2, "2": 2, "4+7+L10": 2, "1+4": 2, "4+15": 2, "L12+14": 1},
    "disgust": {"4+7": 15, "4+9": 10, "9": 6, "4+7+9": 9, "10": 6, "4+L10": 4, "4+7+10": 6, "4": 5, "7": 3, "9+10": 4}
    | {"4+R10": 2, "L9": 1, "7+10": 2},
    "happiness": {"6+12": 12, "12": 9, "R12": 2, "L12": 3, "6": 2, "12+14": 2, "12+25": 2, "6+L12": 1},
    "repression": {"15": 5, "17": 7, "14+17": 4, "15+17": 4, "14": 3, "R12+R15": 1, "14+15": 2, "L14": 1, "12+17": 1},
    "surprise": {"1+2": 11, "1+2+25": 5, "1+2+5": 3, "5+25": 1, "L1+L2": 1, "2": 1, "R2": 1, "25": 1, "1+2+5+25": 2},
    "sadness": {"1+4": 3, "15": 1, "4+15": 2, "17": 1, "1+15": 1, "1+4+15": 2},
    "fear": {"1+2+4": 2, "1+4+20": 2, "20": 1, "1+2+4+5+20+25": 1, "20+25": 1},
}
"""Action-unit cells of each class and their relative frequencies; classes overlap, as in real annotations."""

RELABELLED: Final = {"1+2": 2, "1": 1, "2": 1}
"""Cells of the clips that are sadness in the table of 2014 and surprise in that of 2019, with frequencies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirk:
    """An irregular row of the real table, which a reader must handle."""

    subject: int
    filename: str
    emotion: str | None = None
    times: tuple[int, int, int] | None = None
    """Onset, apex and offset in the table."""
    last: int | None = None
    """Last frame in the folder, if it is not the table's offset."""
    no_apex: bool = False
    """The apex cell is '/'."""
    apex_is: str | None = None
    """'onset' or 'offset': the table's apex equals it."""


QUIRKS: Final = (
    Quirk(subject=4, filename="EP12_01f", emotion="disgust", no_apex=True),
    Quirk(subject=16, filename="EP01_08", emotion="disgust", times=(73, 84, 110), last=96),
    Quirk(subject=5, filename="EP09_05f", emotion="repression", apex_is="onset"),
    Quirk(subject=5, filename="EP16_04f", emotion="others", apex_is="offset"),
    Quirk(subject=12, filename="EP09_06", emotion="disgust", apex_is="offset"),
    Quirk(subject=20, filename="EP16_01", emotion="others", apex_is="offset"),
    Quirk(subject=25, filename="EP18_04f", emotion="disgust", apex_is="offset"),
    Quirk(subject=7, filename="EP06_01", emotion="others", times=(15, 49, 68)),
    Quirk(subject=12, filename="EP09_02", emotion="disgust", times=(16, 59, 101)),
    Quirk(subject=3, filename="EP01_2"),
    Quirk(subject=3, filename="EP08_1"),
    Quirk(subject=7, filename="EP06_02_01"),
    Quirk(subject=7, filename="EP06_02_02"),
    Quirk(subject=9, filename="EP09f"),
)
"""In the order in which small databases use them."""

UNCODED: Final = 5
"""Number of cells '?' among the 255 of the 2014 table; the 2019 table has none."""
