"""Attribution maps: their sanity check, their distribution over face regions, and the maps of some clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from microexpr.report.figure import MARKERS, SERIES, SOFT, WIDTH, Plot, canvas, legend_handles
from microexpr.report.page import Picture, Pictures, Prose
from microexpr.report.summary import Explanations, Maps, ShownMap
from microexpr.report.table import ABSENT, Column, Row, Table, short
from microexpr.report.view import StudyView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COARSE = 4
"""Map resolution, vertical or horizontal, below which correlations are far from 0 by chance."""
MOST = 12
"""Largest number of models in the figure, limited by markers and colours."""


def about(view: StudyView) -> Prose | None:
    """Say which maps were computed and which are shown, how they may be interpreted, and which say nothing."""
    found = view.summary.explanations
    if found is None:
        return None
    tested = "test clips of the first fold" if found.folds == 1 else f"test clips of the first {found.folds} folds"
    first = "first correct and the first wrong clip" if found.per_class == 1 else (
        f"first {found.per_class} correct and {found.per_class} wrong clips"
    )  # fmt: skip
    free = [f"{row.explainer} ({row.name})" for row in found.rows if not row.by_class]
    same = f" Independent of the class: {', '.join(free)}." if free else ""
    text = (
        f"Maps were computed for all {tested}, with the weights of the fold, which was not trained on the clip, and "
        f"for the predicted class, whether correct or not.{same} For every class, the {first} in order of their names "
        "are shown, regardless of their maps. A map attributes a model's output to image regions; it does not show "
        "why, nor that a face expresses an emotion there."
    )
    return Prose([text], list(_caveats(found)))


def _caveats(found: Explanations) -> Iterator[str]:
    for row in found.rows:
        title = f"{row.name}, {row.explainer}"
        if row.flagged:
            yield (
                f"{title}: a randomised model gives a similar map (rank correlation {row.to_random:.2f}), so the map "
                "says nothing about what was learnt."
            )
        if row.empty:
            yield f"{title}: {row.empty} of {row.maps} maps are 0 everywhere and carry no information."


def sanity(view: StudyView) -> Table | None:
    """Return the correlation of maps of trained and of randomised models."""
    found = view.summary.explanations
    if found is None:
        return None
    rows: list[Row] = [
        {**row.model_dump(exclude={"shown", "regions"}), "grid": f"{row.places[0]} × {row.places[1]}",
         "verdict": _verdict(row)}
        for row in found.rows
    ]  # fmt: skip
    columns = [
        Column("Name", "name"),
        Column("Explainer", "explainer"),
        Column("Resolution", "grid"),
        Column("Test clips", "clips", "count"),
        Column("Maps", "maps", "count"),
        Column("Empty", "empty", "count"),
        Column("with randomised", "to_random", "change", group="Rank correlation", missing=ABSENT),
        Column("between randomised", "among_random", "change", group="Rank correlation", missing=ABSENT),
        Column("clips", "compared", "count", group="Rank correlation"),
        *([Column("Verdict", "verdict", missing=" ")] if any(row["verdict"] for row in rows) else []),
    ]
    method = [
        f"With randomised: Spearman's correlation of a map with those of {found.seeds} randomised models, mean over "
        "models and clips; between randomised: of each pair of those models. Networks are reinitialised with other "
        "seeds, other models are fitted to permuted labels (Adebayo et al., NeurIPS 2018). Maps are flagged at "
        f"{found.threshold} or above. An unflagged map is not necessarily right: noise does not correlate either. "
        f"{ABSENT}: undefined, because all maps of the model or of the randomised models are constant. Resolution: "
        "vertical × horizontal positions of a map, which is interpolated between them; below "
        f"{COARSE} × {COARSE}, correlations are far from 0 by chance (too coarse). Empty: maps that are 0 everywhere."
    ]
    return Table("explanations", "Sanity check: maps of trained and of randomised models", columns, rows, [], method)


def _regions(rows: Sequence[Maps]) -> list[str]:
    """Return the face regions of some maps, in their order."""
    return list(dict.fromkeys(name for row in rows for name in row.regions))


def _verdict(row: Maps) -> str:
    if row.flagged:
        return "flagged"
    if row.empty == row.maps:
        return "all empty"
    if row.to_random is None:
        return "unknown"
    return "too coarse" if min(row.places) < COARSE else ""


def regions(view: StudyView) -> Table | None:
    """Return the distribution of the maps over face regions."""
    found = view.summary.explanations
    rows: list[Row] = []
    marks: dict[int, str] = {}
    for row in found.rows if found else ():
        if not row.regions:
            continue
        marks |= {len(rows): "rule"} if rows else {}
        shares = {name: (each.share, each.area) for name, each in row.regions.items()}
        share, area = (1 - sum(each[k] for each in shares.values()) for k in (0, 1))
        shares["elsewhere"] = (share, area)
        lines: dict[str, dict[str, float | None]] = {
            "share of the map": {name: share for name, (share, _) in shares.items()},
            "share of the image": {name: area for name, (_, area) in shares.items()},
            "ratio": {name: share / area if area > 0 else None for name, (share, area) in shares.items()},
        }
        named = f"{row.name}, {row.explainer} ({row.places[0]} × {row.places[1]})"
        rows += [
            {"name": "" if at else named, "what": what, **values} for at, (what, values) in enumerate(lines.items())
        ]
    names = [*_regions(found.rows if found else ()), "elsewhere"]
    columns = [
        Column("Name", "name", missing=" "),
        Column("Value", "what"),
        *(Column(name.capitalize(), name, "score", missing=ABSENT) for name in names),
    ]
    method = [
        "Means over the clips of all non-empty maps. A constant map has a ratio of 1. Regions are fixed parts of the "
        "detected face box (of the image, where it was cropped to a face before), left and right combined; they do not "
        "follow facial landmarks. Brows and eyes each take a fifth of the face's height: a map with a lower resolution "
        "in the face cannot separate them."
    ]
    without = [f"{row.name} {row.without_face} of {row.maps}" for row in (found.rows if found else ())
               if row.without_face]  # fmt: skip
    method += [f"Excluded views without a known face: {', '.join(without)}."] if without else []
    caption = "Distribution of the maps over face regions"
    return Table("explanation_regions", caption, columns, rows, [], method, marks, sortable=False)


def weights(view: StudyView) -> Plot | None:
    """Draw, by region, the ratio of its share of each map to its share of the image."""
    known = [row for row in view.summary.explanations.rows if row.regions] if view.summary.explanations else []
    rows, left = known[:MOST], known[MOST:]
    if not rows:
        return None
    names = _regions(rows)

    def draw() -> Figure:
        figure = canvas(WIDTH, 0.42 * len(names) + 0.9)
        axes = figure.subplots()
        spread = min(0.11, 0.7 / len(rows))
        entries: dict[str, dict[str, Any]] = {}
        for at, row in enumerate(rows):
            points = [
                (y + spread * (at - (len(rows) - 1) / 2), share.share / share.area)
                for y, name in enumerate(names)
                if (share := row.regions.get(name)) and share.area
            ]
            colour = SERIES[at % len(SERIES)]
            look: dict[str, Any] = {"color": colour, "marker": MARKERS[at % len(MARKERS)], "markersize": 5.0}
            look |= {"linestyle": "none", "markerfacecolor": "white" if row.flagged else colour}
            axes.plot([x for _, x in points], [y for y, _ in points], **look)
            entries[short(f"{row.name}, {row.explainer}", 40)] = look
        axes.axvline(1, color=SOFT, linewidth=0.9)
        axes.set_yticks(range(len(names)), [name.capitalize() for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.set_xlabel("share of the map / share of the image")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        figure.legend(handles=legend_handles(entries), loc="outside upper left", ncols=3)
        return figure

    notes = ["Right of 1: a larger share of the map than of the image."]
    notes += ["Open markers: flagged."] if any(row.flagged for row in rows) else []
    notes += [f"Not shown: {', '.join(row.name for row in left)}."] if left else []
    return Plot("explanations", "Relative weight of face regions in the maps", draw, notes)


def maps(view: StudyView) -> list[Pictures]:
    """Return the colour key, and the maps of some clips of every model."""
    found = view.summary.explanations
    if found is None:
        return []
    key = Picture("From dark (0) to bright yellow (maximum of the clip)", f"data:image/png;base64,{found.bar}")
    return [Pictures("map_key", [key], width="key"), *(_model(row) for row in found.rows)]


def _model(row: Maps) -> Pictures:
    what = (
        "Map of a view, over the onset, the apex and the optical flow between them."
        if row.overlaid
        else "Map over the optical flow, where there is one, with the outlines of the regions: images of real people "
        f"never enter a report. The maps over their frames are in {row.folder}."
    )
    note = f"{row.model} on {row.shows}, seed {row.seed}; {row.component}. Scale: {row.scale}. {what}"
    title = f"{row.name}: {row.explainer}{' (flagged)' if row.flagged else ''}"
    each = [Picture(_caption(shown), f"data:image/jpeg;base64,{shown.jpeg_base64}") for shown in row.shown]
    return Pictures(f"maps_{row.name}", each, title, note, "maps wide" if row.overlaid else "maps")


def _caption(each: ShownMap) -> str:
    result = "correct" if each.true == each.predicted else f"wrong, true class {each.true}"
    panels = f" {', '.join(each.panels)}." if each.panels else ""
    full = f"Full colour: {each.strongest:.2g}" if each.strongest > 0 else "The map is 0 everywhere"
    correlation = "" if each.to_random is None else f" Rank correlation with randomised models: {each.to_random:+.2f}."
    return f"{each.clip}: {each.predicted} ({each.probability:.2f}), {result}.{panels} {full}.{correlation}"
