"""Words of sentences: counts with their nouns, lists, capital letters."""

from __future__ import annotations

from collections.abc import Sequence


def many(count: int, word: str) -> str:
    """Return a number with its noun.

    >>> many(1, "clip"), many(2000, "clip")
    ('1 clip', '2,000 clips')
    """
    return f"{count:,} {word}{'s' * (count != 1)}"


def joined(words: Sequence[str], most: int | None = None, last: str = "and") -> str:
    """Return 'a, b and c'; of more than `most` words, 'a, b and 3 more'; `last` comes before the last word.

    >>> joined(["a", "b", "c"]), joined(["a", "b", "c", "d", "e"], 2)
    ('a, b and c', 'a, b and 3 more')
    """
    if most is not None and len(words) > most:
        words = [*words[:most], f"{len(words) - most} more"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def capitalised(text: str) -> str:
    """Return a text with a capital first letter and the other letters as they are.

    >>> capitalised("macro-F1 of CASME II")
    'Macro-F1 of CASME II'
    """
    return f"{text[:1].upper()}{text[1:]}"
