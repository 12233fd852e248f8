"""Figures: their style, their rendering (the same figure gives the same bytes of SVG and PDF), and the dot plot."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree

from microexpr.report.table import format_value

if TYPE_CHECKING:  # a page whose figures are all drawn already does not load matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def canvas(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """Return an empty figure of this size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def render(figure: Figure) -> tuple[str, bytes]:
    """Return a figure as SVG text and as PDF bytes, both without a date."""
    return as_svg(figure), as_pdf(figure)


def as_svg(figure: Figure) -> str:
    """Return a figure as SVG text without a date, and fix its layout."""
    with _quiet():
        if figure.get_layout_engine() is not None:
            fixed = any(axes.get_aspect() != "auto" for axes in figure.axes)
            for _ in range(2 if fixed else 1):  # axes with a fixed aspect need a second layout pass
                figure.draw_without_rendering()
            figure.set_layout_engine("none")
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue().decode().replace("'DejaVu Sans', sans-serif", _FONTS)


def as_pdf(figure: Figure) -> bytes:
    """Return a figure that `as_svg` laid out as PDF without a date; its fonts take most of the time of a page."""
    stream = io.BytesIO()
    with _quiet():
        figure.savefig(stream, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return stream.getvalue()


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # Labels may be in any script: browsers then use the reader's own fonts. Labels may also be too many or too
        # long for a figure: the table beside it has the same values.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        yield


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
    from matplotlib.lines import Line2D

    return [Line2D([], [], label=label, **look) for label, look in entries.items()]


@dataclass(frozen=True)
class Plot:
    """One figure of a page; `name` is the stem of its files."""

    name: str
    caption: str
    """Without a full stop."""
    draw: Callable[[], Figure]
    """Called only if the folder does not have this figure; it may use what is in `Summary.lasting`."""
    notes: Sequence[str] = ()
    """What a reader needs to read the figure."""
    method: Sequence[str] = ()
    """How its numbers were computed; on the page of details."""
    label: str = ""
    """'Figure 2'; set when the page is assembled."""


@dataclass(frozen=True)
class Dot:
    """A value of a dot plot, with its interval."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    beside: str = ""
    """Text at the right."""
    colour: str = INK
    marker: str = "o"
    filled: bool = True
    small: Sequence[float] = ()
    """Further values, as small dots below the line, such as single seeds."""
    ticks: Sequence[float] = ()
    """Grey marks, such as the score under permuted labels."""
    gap: float = 0.0
    """Empty space above, in rows."""
    same_row: bool = False
    """Whether it is on the row of the dot before."""


def dotplot(
    axes: Axes, dots: Sequence[Dot], *, xlabel: str, zero: bool = False, lines: Mapping[str, float] | None = None
) -> None:
    """Draw one row for each dot, the first at the top: the value, its interval, and what is beside it.

    `zero` draws a line at 0; `lines` are further vertical lines by their name at the top, dashed and dotted in turn.
    """
    at = -1.0
    places: list[float] = []
    labels: list[str] = []
    for dot in dots:
        if not dot.same_row:
            at += 1.0 + (dot.gap if places else 0.0)
            places.append(at)
            labels.append(dot.label)
        if dot.value is None:
            axes.annotate("not measured", (0, at), fontsize=6.5, color=SOFT, style="italic", va="center")
            continue
        if dot.low is not None and dot.high is not None:
            axes.plot([dot.low, dot.high], [at, at], color=dot.colour, linewidth=1.3, solid_capstyle="butt", zorder=2)
        if dot.small:
            how: dict[str, Any] = {"marker": "o", "markersize": 2.4, "alpha": 0.7, "linestyle": "none", "zorder": 2}
            axes.plot(dot.small, [at + 0.26] * len(dot.small), color=dot.colour, **how)
        axes.plot(dot.ticks, [at] * len(dot.ticks), color=SOFT, marker="|", markersize=7, linestyle="none", zorder=1)
        face = dot.colour if dot.filled else "white"
        look: dict[str, Any] = {"marker": dot.marker, "markersize": 4.8, "linestyle": "none", "zorder": 3}
        axes.plot([dot.value], [at], color=dot.colour, markerfacecolor=face, **look)
        if dot.beside:
            where: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            axes.annotate(dot.beside, (1.0, at), (6, 0), **where, fontsize=7, va="center", color=INK)
    axes.set_yticks(places, labels)
    axes.set_ylim(at + 0.7, -0.7)
    axes.set_xlabel(xlabel)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if zero:
        axes.axvline(0, color=SOFT, linewidth=0.8, zorder=1)
    for k, (name, level) in enumerate(sorted((lines or {}).items(), key=lambda item: item[1])):
        axes.axvline(level, color=SOFT, linewidth=0.9, dashes=((4, 2), (1, 2))[k % 2], zorder=1)
        side: dict[str, Any] = {"ha": "right" if k % 2 == 0 and len(lines or {}) > 1 else "left", "va": "bottom"}
        offset = (-3 if side["ha"] == "right" else 3, 1)
        place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        axes.annotate(name, (level, 1.0), offset, **place, **side, fontsize=6.5, color=SOFT)


def dot_height(dots: Sequence[Dot]) -> float:
    """Return the height in inches that the rows of a dot plot need, without its axis."""
    return sum(0.0 if dot.same_row else 0.2 * (1.0 + dot.gap) for dot in dots)


def score_beside(value: float | None, low: float | None, high: float | None) -> str:
    """Return '0.843 [0.75, 0.92]', the text beside a dot."""
    if value is None:
        return ""
    bounds = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return f"{format_value(value, 'score')}{bounds}".replace("-", "−")
