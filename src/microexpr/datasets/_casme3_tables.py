"""The owners' tables of CAS(ME)^3: names, columns, releases and words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

ROMAN: Final = {numeral: str(number) for number, numeral in enumerate(("I", "II", "III", "IV", "V", "VI", "VII"), 1)}
WORDS: Final = {
    **{word: word for word in ("disgust", "surprise", "others", "fear", "anger", "sadness", "happiness")},
    **{"sad": "sadness", "happy": "happiness"},
}  # Part A's; 'Others' stands beside 'others'.
WORDS_C: Final = {word: word for word in ("negative", "positive", "surprise", "others")}
V1: Final = (
    "v1, which the owners replaced: they list rows of it that are wrongly labelled in "
    "CAS(ME)3_part_A_wrongly_labeled_me_in_V1.xlsx; use v2"
)
TIMES = {"onset": ("Onset",), "apex": ("Apex",), "offset": ("Offset",), "action_units": ("AU",)}
CODED_C = ("onset", "offset", "action_units")
OBJECTIVE = {"objective": ("Objective class",)}


class Sort(NamedTuple):
    """One of the owners' tables; `pattern` is its name without case and signs."""

    called: str
    pattern: str
    columns: Mapping[str, tuple[str, ...]]
    optional: Mapping[str, tuple[str, ...]] = {}


LABELS = Sort(
    "label table cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx",
    r".*partamelabel.*xls[xm]?$",
    {"subject": ("Subject",), "video": ("Filename",), **TIMES, "emotion": ("emotion",)},
    OBJECTIVE,
)
ALL = Sort(
    "table CAS(ME)3_part_A_v2.xls",
    r".*parta(v\d+)?xls[xm]?$",
    {"subject": ("Subject",), "video": ("Filename",), **TIMES, "type": ("Expression type", "type")},
    {**OBJECTIVE, "emotion": ("emotion",)},
)
PART_C = Sort(
    "table CAS(ME)3_part_C_ME.xlsx",
    r".*partcme.*xls[xm]?$",
    {"subject": ("sub",), "video": ("count",), **{name: TIMES[name] for name in CODED_C}, "emotion": ("emotion",)},
)
TABLES = {
    ("a", "micro"): ((LABELS,), {860: "v2", 921: "v1"}),
    ("a", "macro"): ((ALL,), {3346: "v2"}),
    ("a", "both"): ((LABELS, ALL), {4206: "v2"}),
    ("c", "micro"): ((PART_C,), {165: "the owners'"}),
}
"""By part and kind: the tables read, and releases by the number of rows they give."""
