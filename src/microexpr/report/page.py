"""A page: what is on it, in which order, and its one HTML file that loads nothing.

A page is data: a first screen and sections of blocks. A block is a function of the view of a summary that returns a
table, a figure, matrices or prose, or None where the summary lacks its values; sections without blocks are left out.
Tables and figures are numbered in the order of the page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Generic, TypeVar

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from microexpr.core.files import make_folder, write_atomically
from microexpr.report.drawings import Drawings
from microexpr.report.figure import Plot, inline
from microexpr.report.glossary import Glossary
from microexpr.report.latex import latex
from microexpr.report.summary import Caveat, Summary
from microexpr.report.table import ABSENT, NOT_MEASURED, Table

V = TypeVar("V")
ENDINGS = {"table": (".csv", ".tex"), "figure": (".svg", ".pdf")}
"""Files of every table and figure."""


def slug(text: str) -> str:
    """Return text as the fragment of an address or the stem of a file.

    >>> slug("Flow + PCA-SVM (28 px)")
    'flow-pca-svm-28-px'
    """
    return re.sub(r"\W+", "-", text.lower()).strip("-")


@dataclass(frozen=True)
class Prose:
    """Paragraphs, a list of short lines, or both."""

    paragraphs: Sequence[str] = ()
    items: Sequence[str] = ()
    code: str = ""


@dataclass(frozen=True)
class Picture:
    """An image with its caption, as a data URL."""

    caption: str
    source: str


@dataclass(frozen=True)
class Pictures:
    """Images side by side, with a heading and a note."""

    name: str
    pictures: Sequence[Picture]
    title: str = ""
    note: str = ""
    width: str = ""
    """A class of the style sheet: 'many', 'maps', 'wide'."""


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix (rows: true class), with the anchor that links lead to."""

    anchor: str
    title: str
    counts: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Matrices:
    """The confusion matrices of all methods, and their table for other programs."""

    classes: Sequence[str]
    each: Sequence[Matrix]
    table: Table


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    values: Mapping[str, str]


Block = Table | Plot | Prose | Pictures | Matrices | Facts


@dataclass(frozen=True)
class Section(Generic[V]):
    """A section: its title and its blocks in order."""

    title: str
    blocks: Sequence[Callable[[V], Block | Iterable[Block | None] | None]]
    open: bool = True
    """Whether it is unfolded at first."""

    @property
    def anchor(self) -> str:
        """The fragment of its address."""
        return slug(self.title)


@dataclass(frozen=True)
class First:
    """The first screen: the verdict, the score that counts, one figure, and the limits."""

    verdict: Sequence[str]
    """Plain sentences; the first is the answer."""
    numbers: Mapping[str, str]
    """Display name -> value, as '0.843 [0.75, 0.92]'."""
    figure: Plot | None
    limits: Sequence[Caveat]


@dataclass(frozen=True)
class Page(Generic[V]):
    """A kind of page."""

    stem: str
    """Stem of its file; tables and figures of several pages in one folder have different names."""
    kicker: str
    first: Callable[[V], First]
    sections: Sequence[Section[V]]
    details: Sequence[Section[V]] = ()
    """Sections of a second file, `details.html`."""


@dataclass(frozen=True)
class ReportPaths:
    """Files of a page."""

    html: Path
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]
    details: Path | None = None


@dataclass
class _Numbers:
    drawings: Drawings
    tables: int = 0
    figures: int = 0
    svg: dict[str, str] = field(default_factory=dict)
    pdf: dict[str, bytes] = field(default_factory=dict)
    laid: list[Table | Plot] = field(default_factory=list)

    def of(self, block: Block) -> Block:
        """Return a table or figure with its number; figures are rendered where they changed."""
        if isinstance(block, Table):
            self.tables += 1
            block = replace(block, label=f"Table {self.tables}")
            self.laid.append(block)
        elif isinstance(block, Plot):
            self.figures += 1
            block = replace(block, label=f"Figure {self.figures}")
            self.svg[block.name], self.pdf[block.name] = self.drawings.of(block)
            self.laid.append(block)
        elif isinstance(block, Matrices):
            self.laid.append(block.table)
        return block


def write(page: Page[V], summary: Summary, view: V, out: Path) -> ReportPaths:
    """Write a page of a summary into `out`: HTML, `tables/` (CSV, LaTeX) and `figures/` (SVG, PDF).

    The same summary gives the same bytes. Files are replaced atomically; tables and figures of an earlier version of
    the page that this one does not have are removed.
    """
    numbers = _Numbers(Drawings(summary, out / "figures"))
    first = page.first(view)
    figure = numbers.of(first.figure) if first.figure else None
    sections, details = (
        [(section, blocks) for section in part if (blocks := _blocks(section, view, numbers))]
        for part in (page.sections, page.details)
    )
    method = [(block.label, list(block.method)) for block in numbers.laid if block.method and block.label]
    shared: dict[str, object] = {
        "page": page,
        "summary": summary,
        "drawings": {name: Markup(inline(svg, name)) for name, svg in numbers.svg.items()},
        "quiet": (ABSENT, NOT_MEASURED),
        "has_details": bool(details),
        "on_details": False,
    }
    html = {
        f"{page.stem}.html": _render(
            "page.html", **shared, first=first, figure=figure, sections=sections, method=[] if details else method
        )
    }
    if details:
        html["details.html"] = _render("details.html", **shared | {"on_details": True}, sections=details, method=method)
    files_of = {
        "tables": {f"{t.name}.csv": t.csv.encode() for t in numbers.laid if isinstance(t, Table)}
        | {f"{t.name}.tex": latex(t).encode() for t in numbers.laid if isinstance(t, Table) and t.label},
        "figures": {f"{name}.svg": svg.encode() for name, svg in numbers.svg.items()}
        | {f"{name}.pdf": pdf for name, pdf in numbers.pdf.items()},
    }
    _remove_stale(out, html, files_of)
    folders = {kind: make_folder(out / kind) for kind in files_of}
    written = {
        kind: tuple(write_atomically(folders[kind] / name, content) for name, content in sorted(each.items()))
        for kind, each in files_of.items()
    }
    numbers.drawings.write_index()
    paths = [write_atomically(out / name, text) for name, text in html.items()]
    return ReportPaths(paths[0], written["tables"], written["figures"], paths[1] if details else None)


def _blocks(section: Section[V], view: V, numbers: _Numbers) -> list[Block]:
    """Return the blocks of a section, made and numbered."""
    blocks: list[Block] = []
    for make in section.blocks:
        made = make(view)
        each = [made] if made is None or isinstance(made, Block) else list(made)
        blocks += [numbers.of(block) for block in each if block is not None and not _empty(block)]
    return blocks


def _empty(block: Block) -> bool:
    if isinstance(block, Table):
        return not block.rows
    if isinstance(block, Prose):
        return not any(block.paragraphs) and not block.items and not block.code
    return isinstance(block, Pictures) and not block.pictures


def _remove_stale(out: Path, html: Iterable[str], new: Mapping[str, Mapping[str, bytes]]) -> None:
    """Remove the files of the tables and figures that an earlier version of these pages has and this one has not."""
    for name in html:
        page = out / name
        earlier = page.read_text("utf-8", "replace") if page.is_file() else ""
        for kind, stem in re.findall(r'id="(table|figure)-(\w+)"', earlier):
            for file in (f"{stem}{end}" for end in ENDINGS[kind]):
                if file not in new[f"{kind}s"]:
                    (out / f"{kind}s" / file).unlink(missing_ok=True)


def _render(template: str, **context: object) -> str:
    here = files("microexpr.report") / "templates"
    environment = Environment(
        loader=FunctionLoader(lambda name: here.joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    glossary = Glossary()
    environment.filters["kind"] = lambda block: type(block).__name__
    environment.filters["spell"] = glossary.spell
    css, js = (Markup(here.joinpath(name).read_text(encoding="utf-8")) for name in ("report.css", "report.js"))
    return environment.get_template(template).render(css=css, js=js, glossary=glossary, **context)
