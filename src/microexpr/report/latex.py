"""Tables as LaTeX with booktabs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from microexpr.report.table import Table

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "''",
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "—": "---",
        "–": "--",
        "−": "$-$",
        "×": r"$\times$",
        "·": r"$\cdot$",
        "≥": r"$\geq$",
        "≤": r"$\leq$",
        "→": r"$\to$",
        "±": r"$\pm$",
        "σ": r"$\sigma$",
        "α": r"$\alpha$",
        "γ": r"$\gamma$",
        "Σ": r"$\sum$",
        "½": r"$\frac{1}{2}$",
        "²": r"$^{2}$",
        "\u00a0": "~",
        "\n": " ",
        "\r": " ",
        "\t": " ",
    }
)


def escape(text: str) -> str:
    r"""Return text with LaTeX's special characters escaped, and quotes as pairs, which every font encoding has.

    >>> escape("M1_crop & 50 %")
    'M1\\_crop \\& 50 \\%'
    >>> print(escape('a "wrong" clip'))
    a ``wrong'' clip
    """
    return re.sub(r'"([^"]*)"', r"``\1''", text).translate(_ESCAPES)


WRAPPED, CHARACTER, GAP = 24, 0.013, 0.026
"""Longest text that is not wrapped, and the widths of a character and of the space around a column, of the line."""
LONG = 40
"""Largest number of rows on one page; longer tables break over pages."""


def latex(table: Table) -> str:
    r"""Return a table for a paper, with caption, label and notes.

    It needs the packages array, booktabs and adjustbox, which shrinks a table that is wider than the text, or, for a
    table of several pages, longtable.
    """
    spec = "".join(_columns(table))
    heads = [*_groups(table), " & ".join(escape(column.head) for column in table.columns) + " \\\\"]
    title = f"\\caption{{{escape(table.caption)}}}\\label{{tab:{table.name}}}"
    body = []
    for at, row in enumerate(table.body):
        if at and "rule" in table.mark(at):
            body.append("\\midrule")
        body.append(" & ".join(_cell(text, table.mark(at)) for text in row) + " \\\\")
    notes = " ".join(escape(note) for note in (*table.notes, *table.method))
    note = [f"\\par\\smallskip\\parbox{{\\linewidth}}{{\\footnotesize {notes}}}"] if notes else []
    if len(table.rows) > LONG:
        lines = [
            "% needs \\usepackage{array,booktabs,longtable}",
            "{\\small",
            f"\\begin{{longtable}}{{@{{}}{spec}@{{}}}}",
            f"{title}\\\\",
            "\\toprule", *heads, "\\midrule\\endfirsthead",
            "\\toprule", *heads, "\\midrule\\endhead",
            "\\bottomrule\\endlastfoot",
            *body,
            "\\end{longtable}", *note, "}",
        ]  # fmt: skip
    else:
        fit = [] if table.prose else ["\\begin{adjustbox}{max width=\\linewidth}"]
        lines = [
            "% needs \\usepackage{array,booktabs,adjustbox}",
            "\\begin{table}[tbp]",
            "\\centering\\small",
            title,
            *fit,
            f"\\begin{{tabular}}{{@{{}}{spec}@{{}}}}",
            "\\toprule", *heads, "\\midrule", *body, "\\bottomrule",
            "\\end{tabular}",
            *(["\\end{adjustbox}"] if fit else []),
            *note,
            "\\end{table}",
        ]  # fmt: skip
    return "\n".join([*lines, ""])


def _columns(table: Table) -> Iterator[str]:
    """Yield the type of every column; long texts of a table with sentences share the width that is left."""
    texts = [[column.head, *(row[at] for row in table.body)] for at, column in enumerate(table.columns)]
    longest = [max(map(len, each)) for each in texts]
    wraps = [table.prose and size > WRAPPED and not column.numeric
             for size, column in zip(longest, table.columns, strict=True)]  # fmt: skip
    taken = sum(CHARACTER * size for size, wrapped in zip(longest, wraps, strict=True) if not wrapped)
    left = max(0.97 - taken - GAP * len(texts), 0.3)
    sizes = [sum(map(len, each)) ** 0.5 if wrapped else 0.0 for each, wrapped in zip(texts, wraps, strict=True)]
    for column, wrapped, size in zip(table.columns, wraps, sizes, strict=True):
        width = left * size / sum(sizes) if wrapped else 0.0
        text = f">{{\\raggedright\\arraybackslash}}p{{{width:.2f}\\linewidth}}" if wrapped else "l"
        yield "r" if column.numeric else text


def _cell(text: str, mark: str) -> str:
    escaped = escape(text)
    # A bracket after \\ or at the start of a row would be read as an optional argument.
    escaped = f"{{}}{escaped}" if escaped.startswith(("[", "*")) else escaped
    return f"\\textbf{{{escaped}}}" if "best" in mark and escaped else escaped


def _groups(table: Table) -> list[str]:
    if not table.groups:
        return []
    heads, rules, at = [], [], 1
    for group, span in table.groups:
        heads.append(f"\\multicolumn{{{span}}}{{c}}{{{escape(group)}}}" if group else " & ".join([""] * span))
        if group:
            rules.append(f"\\cmidrule(lr){{{at}-{at + span - 1}}}")
        at += span
    return [" & ".join(heads) + " \\\\", "".join(rules)]
