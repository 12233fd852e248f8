"""Tables as LaTeX with booktabs."""

from __future__ import annotations

from microexpr.report.table import Table

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
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
    r"""Return text with LaTeX's special characters escaped.

    >>> escape("M1_crop & 50 %")
    'M1\\_crop \\& 50 \\%'
    """
    return text.translate(_ESCAPES)


def latex(table: Table) -> str:
    """Return a table environment; it needs ``\\usepackage{booktabs}``."""
    spec = "".join(
        "r" if column.numeric else ("p{0.28\\linewidth}" if table.prose else "l") for column in table.columns
    )
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}[tbp]",
        "\\centering",
        f"\\caption{{{escape(table.caption)}}}",
        f"\\label{{tab:{table.name}}}",
        f"\\begin{{tabular}}{{@{{}}{spec}@{{}}}}",
        "\\toprule",
        *_groups(table),
        " & ".join(escape(column.head) for column in table.columns) + " \\\\",
        "\\midrule",
    ]
    for at, row in enumerate(table.body):
        if at and "rule" in table.mark(at):
            lines.append("\\midrule")
        lines.append(" & ".join(_cell(text, table.mark(at)) for text in row) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}"]
    lines += [f"\\par\\smallskip{{\\footnotesize {escape(note)}}}" for note in table.notes]
    return "\n".join([*lines, "\\end{table}", ""])


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
