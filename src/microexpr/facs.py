"""Action units as coders write them: '4+L10', 'R12+R15', '12B', '4?', '?'."""

from __future__ import annotations

import re
from typing import Literal, cast

from microexpr.clip import ActionUnit

_UNIT = re.compile(
    r"(?<![\dA-Za-z.])(?:(?P<side>[LR])(?=\d)|[TB](?=\d))?(?P<number>\d+)(?:(?P<after>[LR])(?![\dA-Za-z]))?"
    r"(?P<intensity>[A-E](?:/[A-E])?(?![A-Za-z]))?(?P<doubt>\s*\?)?"
)
_EITHER = re.compile(r"\bor\b", re.IGNORECASE)


def parse_action_units(text: str) -> tuple[ActionUnit, ...]:
    """Return the action units of one cell, in the coder's order (notation of Ekman & Friesen 1978).

    L and R, before the number or after it ('12L'), are the sides of the face, A to E the intensities, '?' a doubt;
    units joined by 'or' are doubtful too. T and B before the number, one half of the mouth, are passed over. Words
    without a number ('soft focus'), '?' alone and an empty cell give none: keep the cell beside the result.

    >>> [str(unit) for unit in parse_action_units("4+L10+12B?")]
    ['4', 'L10', '12B?']
    >>> [str(unit) for unit in parse_action_units("12L+T28")]
    ['L12', '28']
    >>> parse_action_units("?")
    ()
    """
    doubted = _EITHER.search(text) is not None
    return tuple(
        ActionUnit(
            number=int(found["number"]),
            side=cast(Literal["L", "R"] | None, found["side"] or found["after"]),
            intensity=found["intensity"],
            doubtful=doubted or found["doubt"] is not None,
        )
        for found in _UNIT.finditer(text)
    )
