"""Attribution maps in the report: their part of the summary, tables, figure and sentences."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from microexpr.report.summary.examples import is_synthetic
from microexpr.report.paper_figures import Plot
from microexpr.report.reading import Reading, number, short
from microexpr.report.style import MARKERS, SERIES, SOFT, WIDTH, legend_handles
from microexpr.report.table import ABSENT, Column, Table
from microexpr.runs.explain import INSENSITIVE, REGIONS, Explained, ExplainedClip, overlays
from microexpr.runs.study import StudyResult

COARSE = 4
"""Map resolution, vertical or horizontal, below which correlations are far from 0 by chance."""
MOST = 12
"""Largest number of models in the figure, limited by markers and colours."""


# --- the summary ------------------------------------------------------------------------------------------------------
def explanations(result: StudyResult) -> dict[str, Any]:
    """Return the attribution maps of a study; empty where none were requested."""
    if not result.explained:
        return {}
    return {
        "threshold": INSENSITIVE,
        "seeds": result.study.explanations.seeds,
        "per_class": result.study.explanations.clips,
        "folds": max(len(each.folds) for each in result.explained),
        "bar": base64.b64encode(overlays.png(overlays.bar())).decode(),
        "rows": [_row(each) for each in result.explained],
    }


def _row(found: Explained) -> dict[str, Any]:
    drawn, made = is_synthetic(found.plan.data.dataset), found.plan.experiment
    return {
        "name": found.name,
        "key": found.plan.key,
        "model": found.plan.model.label,
        "shows": ", ".join([part.label for part in (made.preprocessing, made.sampling, made.representation)]),
        "seed": made.seed,
        "explainer": found.explainer.label,
        "component": found.component.label,
        "scale": found.explainer.scale,
        "by_class": found.explainer.by_class,
        "folds": [fold.fold for fold in found.folds],
        "clips": found.clips,
        "maps": found.views,
        "empty": found.empty,
        "without_face": found.without_face,
        "places": list(found.folds[0].places),
        "to_random": _mean(found.to_random),
        "among_random": _mean(found.among_random),
        "compared": len(found.to_random),
        "flagged": found.flagged,
        "permuted": not found.plan.model.trains_in_epochs,
        "regions": {name: {"share": mine, "area": area} for name, (mine, area) in found.regions().items()},
        "folder": "/".join(found.folder.parts[-4:]),
        "overlaid": drawn,
        "shown": [_shown(found, each, drawn=drawn) for each in found.shown],
    }


def _mean(by_clip: pd.Series[float]) -> float | None:
    return float(by_clip.mean()) if len(by_clip) else None


def _shown(found: Explained, each: ExplainedClip, *, drawn: bool) -> dict[str, Any]:
    classes = found.plan.data.labels.classes
    return {
        "clip": each.clip,
        "fold": each.fold,
        "true": classes[each.y_true],
        "predicted": classes[each.y_pred],
        "probability": each.probability,
        "strongest": each.strongest,
        "to_random": each.to_random,
        "panels": list(each.titles if drawn else each.titles[-1:]),
        "jpeg_base64": base64.b64encode(overlays.jpeg(each.overlaid if drawn else each.alone)).decode(),
    }


# --- tables and the figure --------------------------------------------------------------------------------------------
def explanation_tables(reading: Reading) -> list[Table]:
    """Return the sanity check of the maps against randomised models, and their distribution over face regions."""
    return [table for table in (_sanity(reading), _regions(reading)) if table.rows]


def _rows(reading: Reading) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = reading.part("explanations").get("rows") or []
    return found


def _sanity(reading: Reading) -> Table:
    rows = [
        {**row, "grid": f"{row['places'][0]} × {row['places'][1]}", "verdict": _verdict(row)} for row in _rows(reading)
    ]
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
    threshold, seeds = reading.part("explanations").get("threshold"), reading.part("explanations").get("seeds")
    notes = [
        f"With randomised: Spearman's correlation of a map with those of {seeds} randomised models, mean over models "
        "and clips; between randomised: of each pair of those models. Networks are reinitialised with other seeds, "
        "other models are fitted to permuted labels (Adebayo et al., NeurIPS 2018). "
        f"Maps are flagged at {threshold} or above. An unflagged map is not necessarily right: noise does not "
        f"correlate either. {ABSENT}: undefined, because all maps of the model or of the randomised models are "
        "constant.",
        "Resolution: vertical × horizontal positions of a map, which is interpolated between them. Below "
        f"{COARSE} × {COARSE}, correlations are far from 0 by chance (too coarse). Empty: maps that are 0 everywhere.",
    ]
    return Table("explanations", "Sanity check: maps of trained and of randomised models", columns, rows, notes)


def _verdict(row: Mapping[str, Any]) -> str:
    if row["flagged"]:
        return "flagged"
    if row["empty"] == row["maps"]:
        return "all empty"
    if row["to_random"] is None:
        return "unknown"
    return "too coarse" if min(row["places"]) < COARSE else ""


def _regions(reading: Reading) -> Table:
    rows: list[dict[str, Any]] = []
    marks: dict[int, str] = {}
    for row in _rows(reading):
        if not row["regions"]:
            continue
        marks |= {len(rows): "rule"} if rows else {}
        shares = {name: row["regions"][name] for name in REGIONS if name in row["regions"]}
        shares["elsewhere"] = {what: 1 - sum(each[what] for each in shares.values()) for what in ("share", "area")}
        lines = {
            "share of the map": {name: each["share"] for name, each in shares.items()},
            "share of the image": {name: each["area"] for name, each in shares.items()},
            "ratio": {
                name: each["share"] / each["area"] if each["area"] > 0 else None for name, each in shares.items()
            },
        }
        rows += [
            {"name": "" if at else _with_resolution(row), "what": what, **values}
            for at, (what, values) in enumerate(lines.items())
        ]
    columns = [
        Column("Name", "name", missing=" "),
        Column("Value", "what"),
        *(Column(name.capitalize(), name, "score", missing=ABSENT) for name in (*REGIONS, "elsewhere")),
    ]
    notes = [
        "Means over the clips of all non-empty maps. A constant map has a ratio of 1. Regions are fixed parts of the "
        "detected face box (of the image, where it was cropped to a face before), left and right combined; they do not "
        "follow facial landmarks. Brows and eyes each take a fifth of the face's height: a map with a lower resolution "
        "in the face cannot separate them.",
        *_without_face(reading),
    ]
    return Table("explanation_regions", "Distribution of the maps over face regions", columns, rows, notes, marks)


def _with_resolution(row: Mapping[str, Any]) -> str:
    down, across = row["places"]
    return f"{row['name']}, {row['explainer']} ({down} × {across})"


def _without_face(reading: Reading) -> list[str]:
    counts = [f"{row['name']} {row['without_face']} of {row['maps']}" for row in _rows(reading) if row["without_face"]]
    return [f"Excluded views without a known face: {', '.join(counts)}."] if counts else []


def explanation_figure(reading: Reading) -> Plot | None:
    """Draw, by region, the ratio of its share of each map to its share of the image."""
    known = [row for row in _rows(reading) if row["regions"]]
    rows, left = known[:MOST], known[MOST:]
    if not rows:
        return None
    figure = Figure(figsize=(WIDTH, 0.42 * len(REGIONS) + 0.9), layout="constrained")
    axes = figure.subplots()
    spread = min(0.11, 0.7 / len(rows))
    for at, row in enumerate(rows):
        points = [
            (y + spread * (at - (len(rows) - 1) / 2), share["share"] / share["area"])
            for y, name in enumerate(REGIONS)
            if (share := row["regions"].get(name)) and number(share["area"])
        ]
        style = _style(at, flagged=row["flagged"])
        axes.plot([x for _, x in points], [y for y, _ in points], **style)
    axes.axvline(1, color=SOFT, linewidth=0.9)
    axes.set_yticks(range(len(REGIONS)), [name.capitalize() for name in REGIONS])
    axes.set_ylim(len(REGIONS) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("share of the map / share of the image")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    entries = {
        short(f"{row['name']}, {row['explainer']}", 40): _style(at, flagged=row["flagged"])
        for at, row in enumerate(rows)
    }
    figure.legend(handles=legend_handles(entries), loc="outside upper left", ncols=3)
    notes = ["Right of 1: a larger share of the map than of the image."]
    if any(row["flagged"] for row in rows):
        notes.append("Open markers: flagged, a randomised model gives a similar map.")
    notes += [f"Not shown: {', '.join(row['name'] for row in left)}."] if left else []
    return Plot("explanations", "Relative weight of face regions in the maps", figure, notes)


def _style(at: int, *, flagged: bool) -> dict[str, Any]:
    colour = SERIES[at % len(SERIES)]
    face = "white" if flagged else colour
    return {
        "color": colour,
        "marker": MARKERS[at % len(MARKERS)],
        "markerfacecolor": face,
        "markersize": 5.0,
        "linestyle": "none",
    }


# --- sentences --------------------------------------------------------------------------------------------------------
def about(reading: Reading) -> str:
    """Return which maps were computed and which are shown, and how they may be interpreted."""
    per_class, folds = (int(reading.part("explanations").get(name) or 1) for name in ("per_class", "folds"))
    tested = "test clips of the first fold" if folds == 1 else f"test clips of the first {folds} folds"
    first = "first correct and the first wrong clip" if per_class == 1 else (
        f"first {per_class} correct and {per_class} wrong clips"
    )  # fmt: skip
    free = [f"{row['explainer']} ({row['name']})" for row in _rows(reading) if not row["by_class"]]
    same = f" Independent of the class: {', '.join(free)}." if free else ""
    return (
        f"Maps were computed for all {tested}, for the first cell of each name, with the weights of the fold, which "
        f"was not trained on the clip, and for the predicted class, whether correct or not.{same} For every class, "
        f"the {first} in order of their keys are shown, regardless of their maps. A map attributes a model's output "
        "to image regions; it does not show why, nor that a face expresses an emotion there."
    )


def map_caveats(reading: Reading) -> list[dict[str, str]]:
    """Return the caveats of the maps."""
    made = []
    for row in _rows(reading):
        title = f"{row['name']}, {row['explainer']}"
        if row["flagged"]:
            text = (
                f"{title}: a randomised model gives a similar map (rank correlation {row['to_random']:.2f}); the map "
                "says nothing about what was learnt."
            )
            made.append({"level": "warning", "text": text})
        if row["empty"]:
            text = f"{title}: {row['empty']} of {row['maps']} maps are 0 everywhere and carry no information."
            made.append({"level": "note", "text": text})
    return made


def caption(each: Mapping[str, Any]) -> str:
    """Return the caption of the images of one clip."""
    result = "correct" if each["true"] == each["predicted"] else f"wrong, true class {each['true']}"
    panels = f" {', '.join(each['panels'])}." if each["panels"] else ""
    full = f"Full colour: {each['strongest']:.2g}" if each["strongest"] > 0 else "The map is 0 everywhere"
    correlation = ""
    if each["to_random"] is not None:
        similar = ", similar maps" if each["to_random"] >= INSENSITIVE else ""
        correlation = f" Rank correlation with randomised models: {each['to_random']:+.2f}{similar}."
    return f"{each['clip']}: {each['predicted']} ({each['probability']:.2f}), {result}.{panels} {full}.{correlation}"
