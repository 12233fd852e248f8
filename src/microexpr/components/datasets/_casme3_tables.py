"""The owners' tables of CAS(ME)^3: names, columns, releases and words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from microexpr.components.datasets._table import RowReader
from microexpr.core.facs import narrow

ROMAN: Final = {numeral: str(number) for number, numeral in enumerate(("I", "II", "III", "IV", "V", "VI", "VII"), 1)}
WORDS: Final = {
    **{word: word for word in ("disgust", "surprise", "others", "fear", "anger", "sadness", "happiness")},
    **{"sad": "sadness", "happy": "happiness"},
}  # Part A's; 'Others' stands beside 'others'.
WORDS_C: Final = {word: word for word in ("negative", "positive", "surprise", "others")}
V1: Final = "v1, which the owners ship beside v2 (860 rows): scores on the two cannot be compared"
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


def version(name: str) -> str:
    """Return the release that a table's name tells, 'v2' for instance; '' where it tells none."""
    return next(iter(re.findall(r"_(v[0-9]+)", name.casefold())), "")


def newest(files: Sequence[Path]) -> Path | None:
    """Return the table of the newest release; None where a name tells none, or tables of that release differ."""
    releases = [int(version(file.name)[1:] or -1) for file in files]
    latest = [file for file, release in zip(files, releases, strict=True) if release == max(releases)]
    return latest[0] if min(releases) >= 0 and alike(latest) else None


def alike(files: Sequence[Path]) -> bool:
    """Whether files hold the same bytes."""
    try:
        return len({file.read_bytes() for file in files}) == 1
    except OSError:
        return False


def subject(cells: RowReader) -> str:
    """Return a row's subject as spNO.1; anything else is noted."""
    found = cells.required("subject")
    match = re.fullmatch(r"(?:spno\W*)?0*([0-9]+)", found.casefold())
    if found and not match:
        cells.note(f"the cell subject holds {found!r}", "write the subject as the owners do, spNO.1 for instance")
    return f"spNO.{match[1]}" if match else ""


def macro(cells: RowReader) -> Literal["macro"]:
    """Return the kind of a row that is no micro-expression; another than macro is noted."""
    if not cells.text("type").casefold().startswith("macro"):
        cells.note(f"the cell type holds {cells.text('type')!r}", "write Micro-expression or Macro-expression")
    return "macro"


def objective(cells: RowReader) -> dict[str, tuple[str, ...]]:
    """Return a row's objective class as a clip's label, 1 to 7 for I to VII."""
    numeral = narrow(cells.text("objective")).upper()
    number = ROMAN.get(numeral, numeral)
    if number and number not in ROMAN.values():
        cells.note(f"the cell objective holds {cells.text('objective')!r}", f"write one of {', '.join(ROMAN)}")
    return {"objective class": (number,)} if number else {}
