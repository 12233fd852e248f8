"""Action units in coders' notation: '4+L10', 'R12+R15', '12B', '10A/B', '4?', 'AU4(k)', 'AD38', '?'."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, Literal, cast

from microexpr.core.clip import ActionUnit

_UNIT = re.compile(
    r"""(?<![0-9A-Z])(?<![0-9]\.)
    (?:A(?P<kind>[UD])\s*)?
    (?:(?P<side>[LR])(?=[0-9])|(?P<lip>[ATB])(?=[0-9]))?
    (?P<number>(?!0+(?![0-9]))[0-9]{1,2})(?![0-9]|\.[0-9])
    (?P<intensity>[A-E](?:/[A-E])?(?![A-Z0-9]))?
    (?P<after>[LR](?![A-Z0-9]))?
    (?P<doubt>\s*\?)?
    (?P<still>\s*\(\s*K\s*\))?""",
    re.IGNORECASE | re.VERBOSE,
)
_EITHER: Final = re.compile(r"\bor\b|(?:(?<=[0-9])|(?<=[0-9][A-E]))\s*/\s*(?=(?:A[UD]\s*)?[LR]?[0-9])", re.IGNORECASE)
_BESIDE: Final = re.compile(r"[^\W_]+(?:[^\w+,?]+[^\W_]+)*")
_NARROW: Final = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    ord("\u3000"): " ",
    ord("\u3001"): ",",
    ord("\u3002"): ".",
}


def narrow(text: str) -> str:
    """Return a text with full-width digits, letters and punctuation as ASCII.

    >>> narrow("\uff11\uff12\uff0bL\uff14\uff0c7")
    '12+L4,7'
    """
    return text.translate(_NARROW).strip()


def parse_action_units(text: str) -> tuple[ActionUnit, ...]:
    """Return the action units of one cell, in the coder's order (notation of Ekman & Friesen 1978).

    L and R, before the number or after it ('12L'), are sides of the face, A to E the intensities, '?' a doubt. Units
    joined by 'or' or by a slash are doubtful too, with all others in their brackets or, without brackets, in their
    cell. 'AD38' is an action descriptor and marked as one. '(k)' (4DME: present throughout, not moving) is not part of
    a unit; `still_units` returns such units. Words without a number ('soft focus'), a single '?', 0 and an empty cell
    give none. Keep the cell beside the result: `beside_units` returns what belongs to no unit.

    >>> [str(unit) for unit in parse_action_units("4+L10+12B?")]
    ['4', 'L10', '12B?']
    >>> [str(unit) for unit in parse_action_units("12L+T28+AD38")]
    ['L12', '28', 'AD38']
    >>> [str(unit) for unit in parse_action_units("(R6 or R12)+R15")]
    ['R6?', 'R12?', 'R15']
    >>> parse_action_units("?")
    ()
    """
    text = narrow(text)
    either = _either(text)
    return tuple(_unit(found, either) for found in _UNIT.finditer(text))


def still_units(text: str) -> tuple[ActionUnit, ...]:
    """Return the units of a cell that its coder marked '(k)'.

    >>> [str(unit) for unit in still_units("AU4(k)+L7")]
    ['4']
    """
    text = narrow(text)
    either = _either(text)
    return tuple(_unit(found, either) for found in _UNIT.finditer(text) if found["still"])


def beside_units(text: str) -> tuple[str, ...]:
    """Return the words, letters and numbers of a cell that belong to no unit: T and B (lips), A (asymmetry), a
    second side, 0.

    >>> beside_units("ref(43) + 12A"), beside_units("A/L12"), beside_units("4 or L7?"), beside_units("123, soft focus")
    (('ref',), ('A',), (), ('123', 'soft focus'))
    >>> beside_units("12L+T28+A15B"), beside_units("L4R+l0")
    (('T', 'A'), ('R', 'l0'))
    """
    return tuple(_beside(_EITHER.sub("+", narrow(text))))


def _beside(text: str) -> Iterator[str]:
    end = 0
    for found in _UNIT.finditer(text):
        yield from _BESIDE.findall(text[end : found.start()])
        yield from filter(None, [found["lip"]])
        if found["side"] and found["after"] and found["side"].upper() != found["after"].upper():
            yield found["after"]
        end = found.end()
    yield from _BESIDE.findall(text[end:])


def _either(text: str) -> Sequence[range]:
    """Return the ranges of a cell in which units are alternatives: the innermost brackets around each 'or' or slash."""
    opened: list[int] = []
    brackets: list[range] = []
    for place, sign in enumerate(text):
        if sign == "(":
            opened.append(place)
        elif sign == ")" and opened:
            brackets.append(range(opened.pop(), place))
    cell = range(len(text))
    return [
        min((inner for inner in brackets if found.start() in inner), key=len, default=cell)
        for found in _EITHER.finditer(text)
    ]


def _unit(found: re.Match[str], either: Sequence[range]) -> ActionUnit:
    side, intensity = found["side"] or found["after"], found["intensity"]
    return ActionUnit(
        number=int(found["number"]),
        side=cast(Literal["L", "R"], side.upper()) if side else None,
        intensity=intensity.upper() if intensity else None,
        doubtful=found["doubt"] is not None or any(found.start() in places for places in either),
        descriptor=(found["kind"] or "").upper() == "D",
    )
