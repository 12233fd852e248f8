"""The figures that a page has already: a figure is drawn again only if what it shows, or what draws it, has changed.

Drawing takes nearly all of the time of a page. Beside the figures, an index states for every figure what it was drawn
from and the digests of its two files; a file that is missing, damaged or not the one of the index is made again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from pydantic import RootModel

from microexpr.core.environment import package_digest, versions
from microexpr.core.files import write_atomically
from microexpr.report.figure import Plot, as_pdf, as_svg, styled
from microexpr.report.summary import Summary

DRAWN_BY = ("matplotlib", "numpy", "fonttools", "pillow")
INDEX = ".drawn.json"


class Drawn(NamedTuple):
    """What a figure was drawn from and by which code, and its files: their digests."""

    summary: str
    code: str
    svg: str
    pdf: str


class _Index(RootModel[dict[str, Drawn]]):
    """The index of a folder: name of a figure -> what it was drawn from."""


class Drawings:
    """The figures of one summary in a folder."""

    def __init__(self, summary: Summary, folder: Path) -> None:
        self._summary = summary.lasting
        self._code = _digest(f"{package_digest()} {versions(DRAWN_BY)}".encode())
        self._folder = folder
        self._before, self._now = _read(folder / INDEX), dict[str, Drawn]()

    def of(self, plot: Plot) -> tuple[str, bytes]:
        """Return a figure as SVG text and as PDF bytes, drawn only if the folder does not have it."""
        before = self._before.get(plot.name)
        known = before if before and before.code == self._code else None
        svg = self._stored(plot, "svg", known.svg) if known and known.summary == self._summary else None
        pdf = self._stored(plot, "pdf", known.pdf) if known else None
        if svg is None or pdf is None:
            with styled():
                figure = plot.draw()
                svg = as_svg(figure).encode()
                # The same SVG by the same code is the same figure; its PDF takes most of the time, for its fonts.
                if pdf is None or known is None or _digest(svg) != known.svg:
                    pdf = as_pdf(figure)
        self._now[plot.name] = Drawn(self._summary, self._code, _digest(svg), _digest(pdf))
        return svg.decode(), pdf

    def write_index(self) -> None:
        """Write the index; figures of other pages in the folder keep their lines, unless they were removed."""
        others = {name: drawn for name, drawn in _read(self._folder / INDEX).items()
                  if (self._folder / f"{name}.svg").is_file()}  # fmt: skip
        write_atomically(self._folder / INDEX, _Index(others | self._now).model_dump_json(indent=1))

    def _stored(self, plot: Plot, ending: str, digest: str) -> bytes | None:
        try:
            content = (self._folder / f"{plot.name}.{ending}").read_bytes()
        except OSError:
            return None
        return content if _digest(content) == digest else None


def _read(file: Path) -> dict[str, Drawn]:
    """Return the content of an index; nothing where there is none, or it is damaged."""
    try:
        return _Index.model_validate_json(file.read_bytes()).root
    except (OSError, ValueError):  # pydantic's errors are ValueErrors
        return {}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
