"""Style and rendering of figures; the same figure always gives the same bytes of SVG and PDF."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

INK, SOFT, RULE, SHADE = "#1d2227", "#667079", "#c9ced3", "#2b6cb0"
SERIES = ("#2b6cb0", "#c2621b", "#1b8a72", "#a14d97", "#8a7300", "#5b6b7a", "#b3364a", "#3f8fb8")
"""Model colours in the order of the summary, safe for common colour-vision deficiencies; markers differ as well."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
VARIABLES: Mapping[str, str] = {
    INK: "--ink",
    SOFT: "--soft",
    RULE: "--rule",
    "#ffffff": "--page",
    **{colour: f"--series-{at}" for at, colour in enumerate(SERIES)},
}
"""Colours that the page's style sheet can change, for instance in dark mode."""

WIDTH = 7.0
"""Width of a figure in inches: the text width of A4."""

_RC = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "lines.linewidth": 1.3,
    "figure.dpi": 72.0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "microexpr",
    "pdf.fonttype": 42,
}
_FONTS = "'DejaVu Sans', Verdana, Helvetica, Arial, sans-serif"
"""A figure is laid out with the widest of these fonts, so that text never overflows."""
_SCALE = 1.62
"""Screen pixels per point: a figure of full width fills the page."""
_SVG, _HREF = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save figures in the report's style; matplotlib's settings are restored afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def render(figure: Figure) -> tuple[str, bytes]:
    """Return a figure as SVG text and as PDF bytes, both without a date."""
    svg, pdf = io.BytesIO(), io.BytesIO()
    with warnings.catch_warnings():
        # Labels may be in any script: browsers then use the reader's own fonts. Labels may also be too many or too
        # long for a figure: the table beside it has the same values.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        if figure.get_layout_engine() is not None:
            fixed = any(axes.get_aspect() != "auto" for axes in figure.axes)
            for _ in range(2 if fixed else 1):  # axes with a fixed aspect need a second layout pass
                figure.draw_without_rendering()
            figure.set_layout_engine("none")
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return svg.getvalue().decode().replace("'DejaVu Sans', sans-serif", _FONTS), pdf.getvalue()


def inline(svg: str, prefix: str) -> str:
    """Return an SVG for the page: no namespaces or metadata, unique ids, colours as variables of the style sheet."""
    root = ElementTree.fromstring(svg)
    width = float(str(root.get("width")).removesuffix("pt"))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style") or child.tag.endswith("}RDF"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.attrib = {key.rsplit("}", 1)[-1]: _localise(key, value, prefix) for key, value in element.items()}
    root.attrib = {"viewBox": str(root.get("viewBox")), "style": f"max-width:{_SCALE * width:.0f}px"}
    return ElementTree.tostring(root, encoding="unicode")


def _localise(key: str, value: str, prefix: str) -> str:
    if key == "id":
        return f"{prefix}-{value}"
    if key in (_HREF, "href") and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    value = value.replace("url(#", f"url(#{prefix}-")
    if key == "style":
        value = value.replace(_FONTS, "var(--sans)")
        for colour, variable in VARIABLES.items():
            value = value.replace(colour, f"var({variable})")
    return value


def legend_handles(entries: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    """Return one legend handle per label, a line or marker with the given properties."""
    return [Line2D([], [], label=label, **look) for label, look in entries.items()]
