"""The table of what cells learn beside the class: how well each unit is told, such as each facial action unit."""

from __future__ import annotations

from microexpr.report.cellwise import MEAN
from microexpr.report.reading import Reading, number
from microexpr.report.table import ABSENT, Column, Table

BLANK = ("clips", "coded", "predicted", "precision", "recall", "always")
"""What a mean over units does not have."""


def target_tables(reading: Reading) -> list[Table]:
    """Return the table of targets, where a cell learns one."""
    rows = reading.rows("targets")
    if not rows:
        return []
    marks = {at: "rule" for at in range(1, len(rows)) if rows[at - 1]["unit"] == MEAN}
    last, shown = "", []
    for row in rows:
        about = {} if row["cell"] == last else {"about": row["cell"]}
        mean = dict.fromkeys(BLANK, ABSENT) if row["unit"] == MEAN else {}
        word = f"mean of {row['units']}" if row["unit"] == MEAN else row["unit"]
        shown.append({"about": "", **row, **mean, **about, "unit": word})
        last = row["cell"]
    columns = [
        Column("Cell", "about", missing=" "),
        Column("Unit", "unit"),
        Column("Test clips", "clips", "count"),
        Column("With it", "coded", "count"),
        Column("Predicted", "predicted", "count"),
        Column("Precision", "precision", "score", missing=ABSENT),
        Column("Recall", "recall", "score", missing=ABSENT),
        Column("F1", "f1", "score", missing=ABSENT),
        Column("F1, always", "always", "score", missing=ABSENT),
    ]
    notes = [
        "Units learnt beside the class, on the clips of which a coder wrote down any. A unit is predicted where the "
        "mean probability over a clip's views is 0.5 or more. In the mean are the units that a test clip has "
        f"({ABSENT}: none has it); precision is {ABSENT} where a unit is never predicted. Always: predicted in every "
        "clip."
    ]
    if all(number(row.get("f1")) is None for row in rows):
        notes.append("No test clip has any of these units.")
    return [Table("targets", "Learnt beside the class", columns, shown, notes, marks)]
